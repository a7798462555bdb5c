/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_console_escape.c - the escape key, as a table, whole and cut at every place; and the byte ring.
 */
#include "../../src/io/console_escape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/io/byte_ring.h"
#include "ringlet/util.h"

static const struct {
    const char *typed, *sent;
    unsigned actions;
} rows[] = {
    { "", "", 0 },
    { "plain text\r", "plain text\r", 0 },
    { "\001\001", "\001", 0 },
    { "a\001\001b", "a\001b", 0 },
    { "\001\001x", "\001x", 0 },
    { "\001x", "", CONSOLE_ESCAPE_QUIT },
    { "ab\001xcd", "ab", CONSOLE_ESCAPE_QUIT },
    { "\001h", "", CONSOLE_ESCAPE_HELP },
    { "\001?z", "z", CONSOLE_ESCAPE_HELP },
    { "\001h\001x", "", CONSOLE_ESCAPE_HELP | CONSOLE_ESCAPE_QUIT },
    { "\001e", "\001e", 0 },
    { "\001X", "\001X", 0 },
    { "\001\r", "\001\r", 0 },
    { "\001e\001x", "\001e", CONSOLE_ESCAPE_QUIT },
    { "\003\032\034\177\377", "\003\032\034\177\377", 0 }, /* Ctrl-C, Ctrl-Z, Ctrl-\ are the guest's */
    { "\001", "", 0 },                                     /* undecided yet */
};

static void test_escape_key_means_what_the_table_says(void **state)
{
    (void)state;
    for (size_t row = 0; row < ARRAY_SIZE(rows); row++) {
        size_t length = strlen(rows[row].typed);

        for (size_t cut = 0; cut <= length; cut++) {
            struct console_escape escape = { 0 };
            uint8_t out[64];
            unsigned first, second = 0;
            size_t count = console_escape_filter(&escape, (const uint8_t *)rows[row].typed, cut, out, &first);

            assert_true(count <= cut + 1);
            if (!(first & CONSOLE_ESCAPE_QUIT))
                count += console_escape_filter(&escape, (const uint8_t *)rows[row].typed + cut, length - cut,
                                               out + count, &second);
            assert_int_equal(first | second, rows[row].actions);
            assert_int_equal(count, strlen(rows[row].sent));
            assert_memory_equal(out, rows[row].sent, count);
        }
    }
}

static void test_a_pending_prefix_makes_one_byte_more_than_came_in(void **state)
{
    struct console_escape escape = { .after_prefix = true };
    uint8_t out[3];
    unsigned actions;

    (void)state;
    assert_int_equal(console_escape_filter(&escape, (const uint8_t *)"ab", 2, out, &actions), 3);
    assert_memory_equal(out, "\001ab", 3);
}

static size_t content(struct byte_ring *ring, uint8_t *to, size_t max)
{
    struct iovec iov[2];
    unsigned count = byte_ring_peek(ring, iov, max);
    size_t total = 0;

    for (unsigned i = 0; i < count; i++) {
        memcpy(to + total, iov[i].iov_base, iov[i].iov_len);
        total += iov[i].iov_len;
    }
    return total;
}

static int make_ring(void **state)
{
    *state = calloc(1, sizeof(struct byte_ring) + 3 * BYTE_RING_SIZE);
    return *state ? 0 : -1;
}

static int free_ring(void **state)
{
    free(*state);
    return 0;
}

static void test_ring_takes_what_fits_and_wraps(void **state)
{
    struct byte_ring *ring = *state;
    uint8_t *in = (uint8_t *)(ring + 1), *out = in + BYTE_RING_SIZE;

    for (size_t i = 0; i < BYTE_RING_SIZE; i++)
        in[i] = (uint8_t)(i * 7 + i / 256);
    assert_int_equal(byte_ring_put(ring, in, 60000), 60000);
    byte_ring_drop(ring, 50000);
    assert_int_equal(byte_ring_put(ring, in, BYTE_RING_SIZE), BYTE_RING_SIZE - 10000);
    assert_int_equal(byte_ring_room(ring), 0);
    assert_int_equal(byte_ring_put(ring, in, 1), 0);
    assert_int_equal(content(ring, out, SIZE_MAX), BYTE_RING_SIZE);
    assert_memory_equal(out, in + 50000, 10000);
    assert_memory_equal(out + 10000, in, BYTE_RING_SIZE - 10000);
    assert_int_equal(content(ring, out, 12000), 12000);
    assert_int_equal(content(ring, out, 10), 10);
    byte_ring_drop(ring, BYTE_RING_SIZE);
    assert_int_equal(content(ring, out, SIZE_MAX), 0);
}

static void test_ring_of_the_latest_forgets_the_oldest(void **state)
{
    struct byte_ring *ring = *state;
    uint8_t *in = (uint8_t *)(ring + 1), *out = in + 2 * BYTE_RING_SIZE;

    for (size_t i = 0; i < 2 * BYTE_RING_SIZE; i++)
        in[i] = (uint8_t)(i * 7 + i / 256);
    assert_int_equal(byte_ring_put_latest(ring, in, 40000), 0);
    assert_int_equal(byte_ring_put_latest(ring, in + 40000, 40000), 80000 - BYTE_RING_SIZE);
    assert_int_equal(content(ring, out, SIZE_MAX), BYTE_RING_SIZE);
    assert_memory_equal(out, in + 80000 - BYTE_RING_SIZE, BYTE_RING_SIZE);
    /* More at once than there is room for in all. */
    assert_int_equal(byte_ring_put_latest(ring, in, 70000), 70000);
    assert_int_equal(content(ring, out, SIZE_MAX), BYTE_RING_SIZE);
    assert_memory_equal(out, in + 70000 - BYTE_RING_SIZE, BYTE_RING_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape_key_means_what_the_table_says),
        cmocka_unit_test(test_a_pending_prefix_makes_one_byte_more_than_came_in),
        cmocka_unit_test_setup_teardown(test_ring_takes_what_fits_and_wraps, make_ring, free_ring),
        cmocka_unit_test_setup_teardown(test_ring_of_the_latest_forgets_the_oldest, make_ring, free_ring),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
