/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_guest_settings.c - RUN's settings, each key, and bytes that are none.
 */
#include "settings.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ringlet/error.h"
#include "ringlet/util.h"

/* A copy to be cut up, of exactly that size, so that AddressSanitizer sees a step past it. */
static char *copy(const char *bytes, size_t size)
{
    char *copied = malloc(size ? size : 1);

    assert_non_null(copied);
    memcpy(copied, bytes, size);
    return copied;
}

static void assert_parses(const char *bytes, size_t size, char **ret_copy, struct settings *ret_settings)
{
    struct error err = { "" };

    *ret_copy = copy(bytes, size);
    if (settings_parse(*ret_copy, size, ret_settings, &err) != 0)
        fail_msg("refused: %s", err.text);
}

static void assert_refused(const char *bytes, size_t size, const char *part)
{
    struct settings settings = { .rows = 77 };
    struct error err = { "" };
    char *copied = copy(bytes, size);

    if (settings_parse(copied, size, &settings, &err) != -EINVAL)
        fail_msg("taken: %s", bytes);
    if (!strstr(err.text, part))
        fail_msg("'%s' does not say '%s'", err.text, part);
    assert_int_equal(settings.rows, 77);
    free(copied);
}

#define TEXT(text) (text), sizeof(text) /* with the NUL of the last string */

static void test_a_command_alone_has_the_defaults(void **state)
{
    struct settings settings;
    char *bytes;

    (void)state;
    assert_parses(TEXT("arg=true"), &bytes, &settings);
    assert_int_equal(settings.argument_count, 1);
    assert_string_equal(settings.arguments[0], "true");
    assert_null(settings.arguments[1]);
    assert_int_equal(settings.environment_count, 0);
    assert_string_equal(settings.workdir, "/");
    assert_string_equal(settings.user, "root");
    assert_null(settings.hostname);
    assert_int_equal(settings.root, ROOT_INITRD);
    assert_false(settings.root_read_only);
    assert_false(settings.network);
    assert_false(settings.tty);
    assert_int_equal(settings.mount_count, 0);
    settings_finish(&settings);
    free(bytes);
}

static void test_every_key_is_understood(void **state)
{
    struct settings settings;
    char *bytes;

    (void)state;
    assert_parses(
        TEXT("arg=sh\0arg=-c\0arg=echo a=b\0arg=\0env=A=1\0env=B=\0env=A=2=3\0workdir=/srv\0user=joe:staff\0"
             "hostname=box\0root=disk:/dev/vda\0readonly=1\0mount=t0:ro:/a\0mount=t1:rw:/b:c\0network=1\0"
             "tty=1\0rows=24\0cols=65535"),
        &bytes, &settings);
    assert_int_equal(settings.argument_count, 4);
    assert_string_equal(settings.arguments[2], "echo a=b");
    assert_string_equal(settings.arguments[3], "");
    assert_null(settings.arguments[4]);
    assert_int_equal(settings.environment_count, 3);
    assert_string_equal(settings.environment[1], "B=");
    assert_string_equal(settings.environment[2], "A=2=3");
    assert_string_equal(settings.workdir, "/srv");
    assert_string_equal(settings.user, "joe:staff");
    assert_string_equal(settings.hostname, "box");
    assert_int_equal(settings.root, ROOT_DISK);
    assert_string_equal(settings.root_name, "/dev/vda");
    assert_true(settings.root_read_only);
    assert_int_equal(settings.mount_count, 2);
    assert_string_equal(settings.mounts[0].tag, "t0");
    assert_string_equal(settings.mounts[0].directory, "/a");
    assert_true(settings.mounts[0].read_only);
    assert_string_equal(settings.mounts[1].tag, "t1");
    assert_string_equal(settings.mounts[1].directory, "/b:c");
    assert_false(settings.mounts[1].read_only);
    assert_true(settings.network);
    assert_true(settings.tty);
    assert_int_equal(settings.rows, 24);
    assert_int_equal(settings.columns, 65535);
    settings_finish(&settings);
    free(bytes);
}

static void test_of_a_repeated_key_the_last_counts(void **state)
{
    struct settings settings;
    char *bytes;

    (void)state;
    assert_parses(TEXT("root=share:host\0workdir=/a\0workdir=/b\0tty=1\0tty=0\0arg=x"), &bytes, &settings);
    assert_int_equal(settings.root, ROOT_SHARE);
    assert_string_equal(settings.root_name, "host");
    assert_string_equal(settings.workdir, "/b");
    assert_false(settings.tty);
    settings_finish(&settings);
    free(bytes);
    assert_parses(TEXT("root=share:host\0root=initrd\0arg=x"), &bytes, &settings);
    assert_int_equal(settings.root, ROOT_INITRD);
    assert_null(settings.root_name);
    settings_finish(&settings);
    free(bytes);
}

static void test_what_is_no_setting_is_refused_by_name(void **state)
{
    static const struct {
        const char *string, *part;
    } bad[] = {
        { "", "does not know" },
        { "arg", "'arg'" },
        { "ARG=x", "'ARG=x'" },
        { "colour=blue", "'colour=blue'" },
        { "env=A", "env=A" },
        { "env==x", "env==x" },
        { "env=", "env=" },
        { "workdir=srv", "'srv'" },
        { "workdir=", "working directory" },
        { "user=", "user" },
        { "user=:staff", "':staff'" },
        { "hostname=", "host name" },
        { "hostname=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "64" },
        { "root=", "root=" },
        { "root=nfs:x", "root=nfs:x" },
        { "root=disk:", "root=disk:" },
        { "root=disk:vda", "root=disk:vda" },
        { "root=share:", "root=share:" },
        { "mount=tag", "mount=tag" },
        { "mount=tag:ro", "mount=tag:ro" },
        { "mount=tag:ro:", "mount=tag:ro:" },
        { "mount=tag:ro:a", "mount=tag:ro:a" },
        { "mount=:ro:/a", "mount=:ro:/a" },
        { "mount=tag:rx:/a", "mount=tag:rx:/a" },
        { "mount=tag::/a", "mount=tag::/a" },
        { "readonly=", "readonly=" },
        { "readonly=yes", "readonly=yes" },
        { "network=2", "network=2" },
        { "tty=11", "tty=11" },
        { "rows=", "rows=" },
        { "rows=-1", "rows=-1" },
        { "rows=65536", "rows=65536" },
        { "rows=99999999999999999999", "rows=9999" },
        { "cols=12x", "cols=12x" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char bytes[256] = "arg=true";
        size_t size = strlen(bytes) + 1;

        strcpy(bytes + size, bad[i].string);
        assert_refused(bytes, size + strlen(bad[i].string) + 1, bad[i].part);
    }
}

static void test_settings_without_a_command_are_refused(void **state)
{
    (void)state;
    assert_refused(TEXT("user=joe"), "no command");
}

static void test_bytes_without_an_end_are_refused(void **state)
{
    (void)state;
    assert_refused("", 0, "NUL");
    assert_refused("arg=true", 8, "NUL");
    assert_refused("arg=true\0tty=1", 14, "NUL");
    assert_refused("arg=true\0\0\0", 11, "does not know");
}

static void test_a_long_value_is_cut_in_the_sentence_only(void **state)
{
    static char bytes[1u << 20];
    struct settings settings;
    char *copied;

    (void)state;
    memset(bytes, 'x', sizeof(bytes) - 1);
    memcpy(bytes, "arg=", 4);
    assert_parses(bytes, sizeof(bytes), &copied, &settings);
    assert_int_equal(strlen(settings.arguments[0]), sizeof(bytes) - 5);
    settings_finish(&settings);
    free(copied);
    memcpy(bytes, "bad=", 4);
    assert_refused(bytes, sizeof(bytes), "bad=");
}

/* Whatever is done to good settings, they are taken or refused, within their bytes. */
static void test_any_byte_may_be_any_other(void **state)
{
    static const char good[] = "arg=a\0env=A=1\0mount=t:ro:/a\0root=disk:/d\0rows=24\0user=j:k";

    (void)state;
    for (size_t at = 0; at < sizeof(good); at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            char *bytes = copy(good, sizeof(good));
            struct settings settings;
            struct error err = { "" };
            int result;

            bytes[at] = (char)byte;
            result = settings_parse(bytes, sizeof(good), &settings, &err);
            if (result == 0)
                settings_finish(&settings);
            else
                assert_true(*err.text);
            free(bytes);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_command_alone_has_the_defaults),
        cmocka_unit_test(test_every_key_is_understood),
        cmocka_unit_test(test_of_a_repeated_key_the_last_counts),
        cmocka_unit_test(test_what_is_no_setting_is_refused_by_name),
        cmocka_unit_test(test_settings_without_a_command_are_refused),
        cmocka_unit_test(test_bytes_without_an_end_are_refused),
        cmocka_unit_test(test_a_long_value_is_cut_in_the_sentence_only),
        cmocka_unit_test(test_any_byte_may_be_any_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
