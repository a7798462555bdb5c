/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_exit_status.c - every way that run and exec can end has its documented status.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "exit_status.h"
#include "ringlet/util.h"

/* `row`: how the table that people read spells it. */
struct ending {
    enum stop_reason reason;
    int value;
    int status;
    const char *row;
};

static const struct ending run_endings[] = {
    { STOP_POWEROFF, 0, 0, "0" },
    { STOP_DEBUG_EXIT, 0, 0, "N" },
    { STOP_DEBUG_EXIT, 42, 42, "N" },
    { STOP_DEBUG_EXIT, 255, 255, "N" },
    { STOP_DEBUG_EXIT, 0x1ff, 255, "N" }, /* a byte, whatever the guest wrote */
    { STOP_RESET, 0, 120, "120" },
    { STOP_TRIPLE_FAULT, 0, 121, "121" },
    { STOP_INTERNAL_ERROR, 0, 122, "122" },
    { STOP_TIMEOUT, 0, 124, "124" },
    { STOP_HOST_FAILURE, -5, 125, "125" },
    { STOP_SIGNAL, SIGTERM, 143, "128+N" },
    { STOP_SIGNAL, SIGHUP, 129, "128+N" },
    { STOP_CONSOLE_QUIT, 0, 130, "128+N" }, /* as Ctrl-C would have been */
};

static const struct ending exec_endings[] = {
    { STOP_COMMAND, 0, 0, "N" },
    { STOP_COMMAND, 7, 7, "N" },
    { STOP_COMMAND, 255, 255, "N" },
    { STOP_COMMAND, 126, 126, "126" },
    { STOP_COMMAND, 127, 127, "127" },
    { STOP_COMMAND, 128 + SIGKILL, 137, "128+N" },
    { STOP_POWEROFF, 0, 123, "123" }, /* even an orderly end is none of the command's */
    { STOP_DEBUG_EXIT, 0, 123, "123" },
    { STOP_RESET, 0, 123, "123" },
    { STOP_TRIPLE_FAULT, 0, 123, "123" },
    { STOP_INTERNAL_ERROR, 0, 122, "122" },
    { STOP_TIMEOUT, 0, 124, "124" },
    { STOP_GUEST_FAILURE, 0, 125, "125" },
    { STOP_HOST_FAILURE, -28, 125, "125" },
    { STOP_SIGNAL, SIGINT, 130, "128+N" },
    { STOP_CONSOLE_QUIT, 0, 130, "128+N" },
};

static void test_each_ending_of_run_has_its_status(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(run_endings); i++)
        assert_int_equal(exit_status_of(run_endings[i].reason, run_endings[i].value), run_endings[i].status);
}

static void test_each_ending_of_exec_has_its_status(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(exec_endings); i++)
        assert_int_equal(exit_status_of_exec(exec_endings[i].reason, exec_endings[i].value),
                         exec_endings[i].status);
}

/* What only exec's session asks for has a meaning without exec as well, so that no reason is without. */
static void test_a_commands_end_is_its_status_whoever_asks(void **state)
{
    (void)state;
    assert_int_equal(exit_status_of(STOP_COMMAND, 3), 3);
    assert_int_equal(exit_status_of(STOP_GUEST_FAILURE, 0), 125);
}

static void test_every_reason_is_among_the_endings_of_exec(void **state)
{
    (void)state;
    for (unsigned reason = 0; reason < STOP_REASON_COUNT; reason++) {
        size_t i = 0;

        while (i < ARRAY_SIZE(exec_endings) && exec_endings[i].reason != reason)
            i++;
        if (i == ARRAY_SIZE(exec_endings))
            fail_msg("reason %u has no row in this test", reason);
    }
}

/* The rows of `command` stand for these endings and nothing else, each status once. */
static void check_rows(enum command command, const struct ending *endings, size_t ending_count)
{
    unsigned count;
    const struct exit_status_row *rows = exit_status_rows(&count);
    unsigned used[64] = { 0 };

    assert_in_range(count, 1, ARRAY_SIZE(used));
    for (size_t i = 0; i < ending_count; i++) {
        unsigned found = 0;

        for (unsigned at = 0; at < count; at++) {
            if (!(rows[at].commands & (unsigned)command) || strcmp(rows[at].status, endings[i].row) != 0)
                continue;
            found++;
            used[at]++;
        }
        if (found != 1)
            fail_msg("%u rows '%s'", found, endings[i].row);
    }
    for (unsigned i = 0; i < count; i++) {
        if ((rows[i].commands & (unsigned)command) && !used[i])
            fail_msg("row '%s' stands for nothing", rows[i].status);
        assert_true(rows[i].commands != 0);
        assert_true(strlen(rows[i].meaning) > 0);
    }
}

static void test_the_documented_table_of_run_has_a_row_for_each_ending_and_no_other(void **state)
{
    (void)state;
    check_rows(COMMAND_RUN, run_endings, ARRAY_SIZE(run_endings));
}

static void test_the_documented_table_of_exec_has_a_row_for_each_ending_and_no_other(void **state)
{
    (void)state;
    check_rows(COMMAND_EXEC, exec_endings, ARRAY_SIZE(exec_endings));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_ending_of_run_has_its_status),
        cmocka_unit_test(test_each_ending_of_exec_has_its_status),
        cmocka_unit_test(test_a_commands_end_is_its_status_whoever_asks),
        cmocka_unit_test(test_every_reason_is_among_the_endings_of_exec),
        cmocka_unit_test(test_the_documented_table_of_run_has_a_row_for_each_ending_and_no_other),
        cmocka_unit_test(test_the_documented_table_of_exec_has_a_row_for_each_ending_and_no_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
