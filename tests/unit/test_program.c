/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_program.c - where PATH leads to.
 */
#include "ringlet/program.h"

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

#include "scratch.h"

static void put(const struct scratch *scratch, const char *name, mode_t mode)
{
    char path[SCRATCH_PATH_SIZE + 32];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", scratch->path, name);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    close(fd);
}

static void set_path(const char *before, const char *folder, const char *behind)
{
    char text[1024];

    snprintf(text, sizeof(text), "%s%s%s", before, folder, behind);
    assert_int_equal(setenv("PATH", text, 1), 0);
}

static void test_a_program_is_found_in_any_folder_of_path(void **state)
{
    struct scratch *scratch = *state;

    put(scratch, "tool", 0700);
    put(scratch, "text", 0600);
    set_path("/nonexistent:", scratch->path, "");
    assert_true(program_in_path("tool"));
    assert_false(program_in_path("text")); /* nobody may run it, not even root */
    assert_false(program_in_path("other"));
    set_path("", scratch->path, ":/nonexistent");
    assert_true(program_in_path("tool"));
    set_path("", scratch->path, "/below");
    assert_false(program_in_path("tool"));
}

static void test_an_empty_folder_of_path_is_the_working_directory(void **state)
{
    struct scratch *scratch = *state;
    char before[4096];

    put(scratch, "tool", 0700);
    assert_non_null(getcwd(before, sizeof(before)));
    assert_int_equal(chdir(scratch->path), 0);
    set_path("/nonexistent:", "", "");
    assert_true(program_in_path("tool"));
    set_path("", "", ":/nonexistent");
    assert_true(program_in_path("tool"));
    assert_int_equal(chdir("/"), 0);
    assert_false(program_in_path("tool"));
    assert_int_equal(chdir(before), 0);
}

static void test_without_a_path_nothing_is_found(void **state)
{
    (void)state;
    unsetenv("PATH");
    assert_false(program_in_path("sh"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_set_up, scratch_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_program_is_found_in_any_folder_of_path),
        TEST(test_an_empty_folder_of_path_is_the_working_directory),
        cmocka_unit_test(test_without_a_path_nothing_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
