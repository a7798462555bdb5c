/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_exec_settings.c - what the guest's init is told, for a command line.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "exec_settings.h"
#include "options.h"
#include "ringlet/error.h"
#include "ringlet/guest_protocol.h"
#include "ringlet/util.h"

static const struct exec_terminal no_terminal;

/* The settings for these words, each followed by a newline in place of its NUL; the caller's to free. */
static char *settings_of(const struct exec_terminal *terminal, const char *const *words, int count)
{
    struct run_options options;
    struct error err = { 0 };
    char *settings;
    size_t size;

    if (run_options_parse(COMMAND_EXEC, count, (char **)(uintptr_t)words, &options, &err) < 0)
        fail_msg("%s", err.text);
    if (exec_settings_make(&options, terminal, &settings, &size, &err) < 0)
        fail_msg("%s", err.text);
    run_options_finish(&options);
    assert_int_equal(settings[size - 1], '\0');
    for (size_t i = 0; i < size - 1; i++) {
        if (!settings[i])
            settings[i] = '\n';
    }
    return settings;
}

#define SETTINGS(terminal, ...)                                                                              \
    settings_of(terminal, (const char *[]){ "exec", __VA_ARGS__, NULL },                                     \
                (int)ARRAY_SIZE(((const char *[]){ "exec", __VA_ARGS__ })))

#define assert_settings(expected, settings)                                                                  \
    do {                                                                                                     \
        char *made_ = settings;                                                                              \
        assert_string_equal(made_, expected);                                                                \
        free(made_);                                                                                         \
    } while (0)

static void test_the_command_comes_word_by_word(void **state)
{
    (void)state;
    assert_settings("arg=sh\narg=-c\narg=a b\narg=\nhostname=ringlet",
                    SETTINGS(&no_terminal, "--", "sh", "-c", "a b", ""));
}

static void test_variables_directory_user_and_name(void **state)
{
    (void)state;
    assert_settings("arg=true\nenv=A=1\nenv=B=x=y\nworkdir=/tmp\nuser=1000:100\nhostname=box",
                    SETTINGS(&no_terminal, "-e", "A=1", "--env", "B=x=y", "-w", "/tmp", "-u", "1000:100",
                             "--name", "box", "true"));
}

static void test_a_terminal_has_a_type_and_a_size_where_they_are_known(void **state)
{
    static const struct exec_terminal terminal = { .rows = 24, .columns = 80, .type = "xterm" };

    (void)state;
    assert_settings("arg=sh\ntty=1\nenv=TERM=xterm\nrows=24\ncols=80\nhostname=ringlet",
                    SETTINGS(&terminal, "-t", "sh"));
    assert_settings("arg=sh\ntty=1\nhostname=ringlet", SETTINGS(&no_terminal, "-t", "sh"));
    /* Without -t the caller's terminal is nobody's business. */
    assert_settings("arg=sh\nhostname=ringlet", SETTINGS(&terminal, "sh"));
}

static void test_a_variable_of_the_callers_comes_after_ours(void **state)
{
    static const struct exec_terminal terminal = { .type = "xterm" };

    (void)state;
    assert_settings("arg=sh\ntty=1\nenv=TERM=xterm\nenv=TERM=dumb\nhostname=ringlet",
                    SETTINGS(&terminal, "-t", "-e", "TERM=dumb", "sh"));
}

static void test_roots(void **state)
{
    (void)state;
    assert_settings("arg=a\nhostname=ringlet\nroot=disk:/dev/vda",
                    SETTINGS(&no_terminal, "--disk", "other.img", "--image", "root.img", "a"));
    assert_settings("arg=a\nhostname=ringlet\nroot=disk:/dev/vda\nreadonly=1",
                    SETTINGS(&no_terminal, "--image", "root.img,ro", "a"));
    assert_settings("arg=a\nhostname=ringlet\nroot=share:root0",
                    SETTINGS(&no_terminal, "--root", "/srv/tree", "a"));
}

static void test_shares_and_networks(void **state)
{
    (void)state;
    assert_settings(
        "arg=a\nhostname=ringlet\nmount=share0:rw:/a\nmount=share1:ro:/b c\nnetwork=1",
        SETTINGS(&no_terminal, "--share", ".:/a", "--net", "user", "--share", "/tmp:/b c:ro", "a"));
}

static void test_a_share_without_a_place_in_the_guest_is_refused(void **state)
{
    char exec[] = "exec", option[] = "--share", place[] = "/tmp", command[] = "true";
    char *words[] = { exec, option, place, command };
    struct run_options options;
    struct error err = { 0 };
    char *settings;
    size_t size;

    (void)state;
    assert_int_equal(run_options_parse(COMMAND_EXEC, ARRAY_SIZE(words), words, &options, &err), 0);
    assert_int_equal(exec_settings_make(&options, &no_terminal, &settings, &size, &err), -EINVAL);
    assert_non_null(strstr(err.text, "HOSTDIR:GUESTDIR"));
    run_options_finish(&options);
}

static void test_more_than_a_frame_holds_is_refused(void **state)
{
    char *word = malloc(GUEST_FRAME_TO_GUEST_MAX + 1);
    char exec[] = "exec", *words[] = { exec, word };
    struct run_options options;
    struct error err = { 0 };
    char *settings;
    size_t size;

    (void)state;
    assert_non_null(word);
    memset(word, 'x', GUEST_FRAME_TO_GUEST_MAX);
    word[GUEST_FRAME_TO_GUEST_MAX] = '\0';
    assert_int_equal(run_options_parse(COMMAND_EXEC, ARRAY_SIZE(words), words, &options, &err), 0);
    assert_int_equal(exec_settings_make(&options, &no_terminal, &settings, &size, &err), -E2BIG);
    run_options_finish(&options);
    free(word);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_command_comes_word_by_word),
        cmocka_unit_test(test_variables_directory_user_and_name),
        cmocka_unit_test(test_a_terminal_has_a_type_and_a_size_where_they_are_known),
        cmocka_unit_test(test_a_variable_of_the_callers_comes_after_ours),
        cmocka_unit_test(test_roots),
        cmocka_unit_test(test_shares_and_networks),
        cmocka_unit_test(test_a_share_without_a_place_in_the_guest_is_refused),
        cmocka_unit_test(test_more_than_a_frame_holds_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
