/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_named_files.c - files that a command line names twice, by one name or by two, by path or by descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "named_files.h"
#include "options.h"
#include "ringlet/error.h"
#include "ringlet/util.h"

struct fixture {
    char directory[64];
    char path[96];    /* a file */
    char link[96];    /* another name of it */
    char other[96];   /* another file */
    int fd;           /* of the first, and */
    int duplicate;    /* another open file of it */
    char fd_name[16]; /* "fd=N" of either */
    char duplicate_name[16];
    struct device_request devices[4];
    struct run_options options;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    const char *base = getenv("TMPDIR");
    int other;

    if (!fixture)
        return -1;
    snprintf(fixture->directory, sizeof(fixture->directory), "%s/ringlet-XXXXXX",
             base && strlen(base) < 32 ? base : "/var/tmp");
    if (!mkdtemp(fixture->directory))
        return -1;
    snprintf(fixture->path, sizeof(fixture->path), "%s/file", fixture->directory);
    snprintf(fixture->link, sizeof(fixture->link), "%s/link", fixture->directory);
    snprintf(fixture->other, sizeof(fixture->other), "%s/other", fixture->directory);
    /* as exec leaves what was passed on */
    fixture->fd = open(fixture->path, O_RDWR | O_CREAT, 0600);
    fixture->duplicate = open(fixture->path, O_RDWR);
    other = open(fixture->other, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fixture->fd < 0 || fixture->duplicate < 0 || other < 0 || symlink(fixture->path, fixture->link) < 0)
        return -1;
    close(other);
    snprintf(fixture->fd_name, sizeof(fixture->fd_name), "fd=%d", fixture->fd);
    snprintf(fixture->duplicate_name, sizeof(fixture->duplicate_name), "fd=%d", fixture->duplicate);
    fixture->options.devices = fixture->devices;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    close(fixture->fd);
    close(fixture->duplicate);
    unlink(fixture->path);
    unlink(fixture->link);
    unlink(fixture->other);
    rmdir(fixture->directory);
    free(fixture);
    return 0;
}

static struct device_request *add(struct fixture *fixture, const char *name, const char *value)
{
    struct device_request *request = &fixture->devices[fixture->options.device_count++];
    unsigned count;
    const struct device_type *types = device_types(&count);

    assert_true(fixture->options.device_count <= ARRAY_SIZE(fixture->devices));
    *request = (struct device_request){ .argument.value = value };
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(types[i].name, name) == 0)
            request->type = &types[i];
    }
    assert_non_null(request->type);
    snprintf(request->name, sizeof(request->name), "%s%u", name, fixture->options.device_count - 1);
    return request;
}

/* `key` may be NULL. */
static void add_disk(struct fixture *fixture, const char *path, const char *key)
{
    struct device_request *request = add(fixture, "disk", path);
    bool found = !key;

    for (unsigned i = 0; i < request->type->key_count; i++) {
        if (key && strcmp(request->type->keys[i].name, key) == 0)
            found = request->argument.keys[i].given = true;
    }
    assert_true(found);
}

static void add_tap(struct fixture *fixture, const char *kind, const char *value)
{
    struct device_request *request = add(fixture, "net", value);
    unsigned choice = 0;

    while (strcmp(request->type->values[choice].name, kind) != 0)
        assert_true(++choice < request->type->value_count);
    request->argument.choice = choice;
}

/* The next command line. */
static void begin_anew(struct fixture *fixture)
{
    fixture->options = (struct run_options){ .devices = fixture->devices };
}

static void assert_fine(struct fixture *fixture)
{
    struct error err = { 0 };

    if (named_files_check(&fixture->options, &err) != 0)
        fail_msg("%s", err.text);
    assert_string_equal(err.text, "");
    begin_anew(fixture);
}

static void assert_refused(struct fixture *fixture, const char *first, const char *second)
{
    struct error err = { 0 };

    assert_int_equal(named_files_check(&fixture->options, &err), -EINVAL);
    if (!strstr(err.text, first) || !strstr(err.text, second))
        fail_msg("'%s' and '%s' are not in: %s", first, second, err.text);
    begin_anew(fixture);
}

static void test_files_that_differ_are_fine(void **state)
{
    struct fixture *fixture = *state;

    fixture->options.kernel = fixture->path;
    fixture->options.initrd = "/nowhere/at/all";
    fixture->options.console = CONSOLE_FILE;
    fixture->options.console_path = fixture->other;
    fixture->options.events = "fd=2";
    fixture->options.pidfile = "/nowhere/either";
    add_disk(fixture, "/nowhere/a.img", NULL);
    add_disk(fixture, "/nowhere/b.img", NULL);
    add_tap(fixture, "fd", "5:6");
    add_tap(fixture, "fd", "56:7");
    assert_fine(fixture);
    assert_fine(fixture); /* nothing at all */
}

static void test_disk_is_known_by_every_name_it_has(void **state)
{
    struct fixture *fixture = *state;
    const char *const names[] = { fixture->path, fixture->link, fixture->fd_name, fixture->duplicate_name };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(names); j++) {
            add_disk(fixture, names[i], NULL);
            add_disk(fixture, fixture->other, NULL);
            add_disk(fixture, names[j], NULL);
            assert_refused(fixture, names[j], "given twice");
        }
    }
    /* also one that leads to no file */
    add_disk(fixture, "/nowhere/a.img", NULL);
    add_disk(fixture, "/nowhere/a.img", NULL);
    assert_refused(fixture, "/nowhere/a.img", "given twice");
}

static void test_disk_that_is_never_written_may_be_given_twice(void **state)
{
    static const char *const keys[] = { "ro", "ephemeral" };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(keys); j++) {
            add_disk(fixture, fixture->path, keys[i]);
            add_disk(fixture, fixture->fd_name, keys[j]);
            assert_fine(fixture);
        }
        add_disk(fixture, fixture->path, keys[i]);
        add_disk(fixture, fixture->path, NULL);
        assert_refused(fixture, fixture->path, "ro or ephemeral both times");
        add_disk(fixture, fixture->path, NULL);
        add_disk(fixture, fixture->path, keys[i]);
        assert_refused(fixture, fixture->path, "ro or ephemeral both times");
        add_disk(fixture, fixture->path, keys[i]);
        add_disk(fixture, fixture->path, "direct");
        assert_refused(fixture, fixture->path, "ro or ephemeral both times");
    }
}

static void set_written(struct fixture *fixture, unsigned which, const char *path)
{
    if (which == 0) {
        fixture->options.console = CONSOLE_FILE;
        fixture->options.console_path = path;
    } else if (which == 1) {
        fixture->options.events = path;
    } else {
        fixture->options.pidfile = path;
    }
}

static void test_what_we_write_is_nothing_that_the_guest_has(void **state)
{
    static const char *const sentences[] = { "console's file", "events' file", "pid file" };
    struct fixture *fixture = *state;

    for (unsigned which = 0; which < ARRAY_SIZE(sentences); which++) {
        set_written(fixture, which, fixture->fd_name);
        fixture->options.kernel = fixture->path;
        assert_refused(fixture, sentences[which], "the kernel as well");
        set_written(fixture, which, fixture->link);
        fixture->options.initrd = fixture->duplicate_name;
        assert_refused(fixture, sentences[which], "the initrd as well");
        set_written(fixture, which, fixture->path);
        add_disk(fixture, fixture->other, NULL);
        add_disk(fixture, fixture->fd_name, "ro");
        assert_refused(fixture, sentences[which], "the disk1 as well");
        set_written(fixture, which, fixture->path);
        add_disk(fixture, fixture->path, "ephemeral");
        assert_refused(fixture, sentences[which], "the disk0 as well");
    }
}

static void test_console_that_is_no_file_overwrites_nothing(void **state)
{
    struct fixture *fixture = *state;

    fixture->options.console = CONSOLE_SOCKET;
    fixture->options.console_path = fixture->path;
    fixture->options.kernel = fixture->path;
    assert_fine(fixture);
}

static void test_descriptor_that_was_not_passed_is_refused_even_if_it_is_open(void **state)
{
    struct fixture *fixture = *state;
    char name[16];
    int ours = open("/dev/null", O_RDWR | O_CLOEXEC);
    int none = dup(ours);
    int numbers[] = { ours, none };

    assert_true(ours >= 0 && none >= 0);
    close(none);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        snprintf(name, sizeof(name), "fd=%d", numbers[i]);
        fixture->options.kernel = name;
        assert_refused(fixture, "the kernel fd=", "not open");
        fixture->options.initrd = name;
        assert_refused(fixture, "the initrd fd=", "not open");
        set_written(fixture, 0, name);
        assert_refused(fixture, "the console file fd=", "not open");
        set_written(fixture, 1, name);
        assert_refused(fixture, "the events file fd=", "not open");
        set_written(fixture, 2, name);
        assert_refused(fixture, "the pid file fd=", "not open");
        add_disk(fixture, fixture->fd_name, NULL);
        add_disk(fixture, name, "ro");
        assert_refused(fixture, "the disk fd=", "not open");
    }
    close(ours);
}

static void test_tap_descriptor_is_one_queue_only(void **state)
{
    struct fixture *fixture = *state;

    add_tap(fixture, "fd", "5");
    add_tap(fixture, "fd", "5");
    assert_refused(fixture, "--net: descriptor 5", "given twice");
    add_tap(fixture, "fd", "5:6");
    add_disk(fixture, fixture->path, NULL);
    add_tap(fixture, "fd", "7:06");
    assert_refused(fixture, "--net: descriptor 6", "given twice");
    add_tap(fixture, "fd", "8:9:8");
    assert_refused(fixture, "--net: descriptor 8", "given twice");
    /* an interface that is called so, and networks without descriptors */
    add_tap(fixture, "tap", "5");
    add_tap(fixture, "fd", "5");
    add_tap(fixture, "user", NULL);
    add_tap(fixture, "user", NULL);
    assert_fine(fixture);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_files_that_differ_are_fine),
        TEST(test_disk_is_known_by_every_name_it_has),
        TEST(test_disk_that_is_never_written_may_be_given_twice),
        TEST(test_what_we_write_is_nothing_that_the_guest_has),
        TEST(test_console_that_is_no_file_overwrites_nothing),
        TEST(test_descriptor_that_was_not_passed_is_refused_even_if_it_is_open),
        TEST(test_tap_descriptor_is_one_queue_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
