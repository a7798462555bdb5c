/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_exit_status.c - every way a run can end has its documented status.
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
static const struct {
    enum stop_reason reason;
    int value;
    int status;
    const char *row;
} endings[] = {
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

static void test_each_ending_has_its_status(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(endings); i++)
        assert_int_equal(exit_status_of(endings[i].reason, endings[i].value), endings[i].status);
}

static void test_every_reason_is_among_the_endings(void **state)
{
    (void)state;
    for (unsigned reason = 0; reason < STOP_REASON_COUNT; reason++) {
        size_t i = 0;

        while (i < ARRAY_SIZE(endings) && endings[i].reason != reason)
            i++;
        if (i == ARRAY_SIZE(endings))
            fail_msg("reason %u has no row in this test", reason);
    }
}

static void test_the_documented_table_has_a_row_for_each_ending_and_no_other(void **state)
{
    unsigned count;
    const struct exit_status_row *rows = exit_status_rows(&count);
    unsigned used[64] = { 0 };

    (void)state;
    assert_in_range(count, 1, ARRAY_SIZE(used));
    for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
        unsigned at = 0;

        while (at < count && strcmp(rows[at].status, endings[i].row) != 0)
            at++;
        if (at == count)
            fail_msg("no row '%s'", endings[i].row);
        used[at]++;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!used[i])
            fail_msg("row '%s' stands for nothing", rows[i].status);
        assert_true(strlen(rows[i].meaning) > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_ending_has_its_status),
        cmocka_unit_test(test_every_reason_is_among_the_endings),
        cmocka_unit_test(test_the_documented_table_has_a_row_for_each_ending_and_no_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
