/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_pidfile.c - our number in a file: whole, replaced, removed, or left alone where it has become another's.
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

#include "pidfile.h"
#include "ringlet/error.h"
#include "ringlet/util.h"

struct fixture {
    char folder[64], path[96];
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    strcpy(fixture->folder, "/tmp/ringlet-pidfile-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->path, sizeof(fixture->path), "%s/pid", fixture->folder);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    unlink(fixture->path);
    /* Nothing else may be left in it. */
    assert_int_equal(rmdir(fixture->folder), 0);
    free(fixture);
    return 0;
}

static void assert_holds_our_number(const char *path)
{
    FILE *file = fopen(path, "re");
    int number = 0;
    char newline = 0;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d%c", &number, &newline), 2);
    assert_int_equal(fgetc(file), EOF);
    fclose(file);
    assert_int_equal(number, getpid());
    assert_int_equal(newline, '\n');
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_holds_our_number_until_it_is_removed(void **state)
{
    struct fixture *fixture = *state;
    struct pidfile *pidfile;

    assert_int_equal(pidfile_write(fixture->path, &pidfile, NULL), 0);
    assert_holds_our_number(fixture->path);
    pidfile_remove(pidfile);
    assert_int_equal(access(fixture->path, F_OK), -1);
}

static void test_replaces_one_that_was_left(void **state)
{
    struct fixture *fixture = *state;
    struct pidfile *pidfile;

    static const char *const left[] = { "", "12345678901234567890\n", "7" };

    for (size_t i = 0; i < ARRAY_SIZE(left); i++) {
        write_text(fixture->path, left[i]);
        assert_int_equal(pidfile_write(fixture->path, &pidfile, NULL), 0);
        assert_holds_our_number(fixture->path);
        pidfile_remove(pidfile);
    }
}

static void test_does_not_take_the_place_of_another_file(void **state)
{
    static const char *const others[] = { "important\n", "12 34\n", "-7\n",
                                          "123456789012345678901234567890123456789\n" };
    struct fixture *fixture = *state;
    struct pidfile *pidfile;
    struct error err = { 0 };
    char text[64];

    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        FILE *file;

        write_text(fixture->path, others[i]);
        assert_int_equal(pidfile_write(fixture->path, &pidfile, &err), -EEXIST);
        assert_non_null(strstr(err.text, "is no pidfile"));
        file = fopen(fixture->path, "re");
        assert_non_null(file);
        assert_non_null(fgets(text, sizeof(text), file));
        fclose(file);
        assert_string_equal(text, others[i]);
    }
}

static void test_leaves_what_has_become_anothers(void **state)
{
    struct fixture *fixture = *state;
    struct pidfile *pidfile;
    char other[128];

    assert_int_equal(pidfile_write(fixture->path, &pidfile, NULL), 0);
    snprintf(other, sizeof(other), "%s.other", fixture->path);
    write_text(other, "1\n");
    assert_int_equal(rename(other, fixture->path), 0);
    pidfile_remove(pidfile);
    assert_int_equal(access(fixture->path, F_OK), 0);
}

static void test_a_descriptor_is_written_to_and_stays(void **state)
{
    struct fixture *fixture = *state;
    struct pidfile *pidfile;
    char name[16];
    int fd = open(fixture->path, O_WRONLY | O_CREAT, 0600);

    assert_true(fd >= 0);
    snprintf(name, sizeof(name), "fd=%d", fd);
    assert_int_equal(pidfile_write(name, &pidfile, NULL), 0);
    pidfile_remove(pidfile);
    assert_holds_our_number(fixture->path);
    close(fd);
}

static void test_a_place_that_cannot_be_written_is_named(void **state)
{
    static const char *const places[] = { "/nonexistent/pid", "/proc/pid", "fd=999" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        struct error err = { 0 };
        struct pidfile *pidfile;

        assert_true(pidfile_write(places[i], &pidfile, &err) < 0);
        assert_non_null(strstr(err.text, places[i]));
    }
}

static void test_none_is_removed_without_harm(void **state)
{
    (void)state;
    pidfile_remove(NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_holds_our_number_until_it_is_removed),
        TEST(test_replaces_one_that_was_left),
        TEST(test_holds_our_number_until_it_is_removed),
        TEST(test_does_not_take_the_place_of_another_file),
        TEST(test_leaves_what_has_become_anothers),
        TEST(test_a_descriptor_is_written_to_and_stays),
        TEST(test_a_place_that_cannot_be_written_is_named),
        TEST(test_none_is_removed_without_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
