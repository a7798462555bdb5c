/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_iov.c - the cursor over scattered buffers: borders, empty vectors, ends, and sums that do not fit.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ringlet/iov.h"
#include "ringlet/util.h"

/* "abcdefghij" in pieces of 3, 0, 1, 0 and 6 bytes. */
struct scattered {
    char bytes[11];
    struct iovec iov[5];
};

static void scatter(struct scattered *scattered)
{
    static const size_t lengths[] = { 3, 0, 1, 0, 6 };
    size_t at = 0;

    memcpy(scattered->bytes, "abcdefghij", sizeof(scattered->bytes));
    for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
        scattered->iov[i] = (struct iovec){ .iov_base = scattered->bytes + at, .iov_len = lengths[i] };
        at += lengths[i];
    }
}

static void test_iov_length_adds_up(void **state)
{
    struct scattered scattered;

    (void)state;
    scatter(&scattered);
    assert_int_equal(iov_length(scattered.iov, 5), 10);
    assert_int_equal(iov_length(scattered.iov, 0), 0);
    assert_int_equal(iov_length(NULL, 0), 0);
}

static void test_iov_length_that_does_not_fit_saturates(void **state)
{
    struct iovec iov[] = { { .iov_len = SIZE_MAX - 1 }, { .iov_len = 1 }, { .iov_len = 1 } };
    struct iov_cursor cursor = iov_cursor_make(iov, 3);

    (void)state;
    assert_true(iov_length(iov, 2) == SIZE_MAX);
    assert_true(iov_length(iov, 3) == SIZE_MAX);
    assert_true(iov_cursor_remaining(&cursor) == SIZE_MAX);
}

static void test_iov_copy_out_crosses_borders_and_is_short_only_at_the_end(void **state)
{
    struct scattered scattered;
    struct iov_cursor cursor;
    char out[16] = "";

    (void)state;
    scatter(&scattered);
    cursor = iov_cursor_make(scattered.iov, 5);
    assert_int_equal(iov_cursor_copy_out(&cursor, out, 2), 2);
    assert_memory_equal(out, "ab", 2);
    assert_int_equal(iov_cursor_remaining(&cursor), 8);
    assert_int_equal(iov_cursor_copy_out(&cursor, out, 4), 4);
    assert_memory_equal(out, "cdef", 4);
    assert_int_equal(iov_cursor_copy_out(&cursor, out, 16), 4);
    assert_memory_equal(out, "ghij", 4);
    assert_int_equal(iov_cursor_remaining(&cursor), 0);
    assert_int_equal(iov_cursor_copy_out(&cursor, out, 1), 0);
}

static void test_iov_copy_in_writes_where_the_cursor_stands(void **state)
{
    struct scattered scattered;
    struct iov_cursor cursor;

    (void)state;
    scatter(&scattered);
    cursor = iov_cursor_make(scattered.iov, 5);
    assert_int_equal(iov_cursor_skip(&cursor, 2), 2);
    assert_int_equal(iov_cursor_copy_in(&cursor, "12345", 5), 5);
    assert_string_equal(scattered.bytes, "ab12345hij");
    assert_int_equal(iov_cursor_copy_in(&cursor, "6789", 4), 3);
    assert_string_equal(scattered.bytes, "ab12345678");
}

static void test_iov_fill_stops_at_the_end(void **state)
{
    struct scattered scattered;
    struct iov_cursor cursor;

    (void)state;
    scatter(&scattered);
    cursor = iov_cursor_make(scattered.iov, 5);
    iov_cursor_skip(&cursor, 3);
    assert_int_equal(iov_cursor_fill(&cursor, '.', 2), 2);
    assert_string_equal(scattered.bytes, "abc..fghij");
    assert_int_equal(iov_cursor_fill(&cursor, '!', 100), 5);
    assert_string_equal(scattered.bytes, "abc..!!!!!");
}

static void test_iov_skip_says_how_many_bytes_there_were(void **state)
{
    struct scattered scattered;
    struct iov_cursor cursor;

    (void)state;
    scatter(&scattered);
    cursor = iov_cursor_make(scattered.iov, 5);
    assert_int_equal(iov_cursor_skip(&cursor, 0), 0);
    assert_int_equal(iov_cursor_skip(&cursor, 9), 9);
    assert_int_equal(iov_cursor_skip(&cursor, SIZE_MAX), 1);
    assert_int_equal(iov_cursor_skip(&cursor, 1), 0);
}

static void test_iov_cursor_over_nothing_has_nothing(void **state)
{
    struct iovec empty[] = { { .iov_len = 0 }, { .iov_len = 0 } };
    struct iov_cursor nothing = iov_cursor_make(NULL, 0), hollow = iov_cursor_make(empty, 2);
    char byte = 0;

    (void)state;
    assert_int_equal(iov_cursor_remaining(&nothing), 0);
    assert_int_equal(iov_cursor_copy_out(&nothing, &byte, 1), 0);
    assert_int_equal(iov_cursor_remaining(&hollow), 0);
    assert_int_equal(iov_cursor_copy_out(&hollow, &byte, 1), 0);
}

static void test_iov_slice_describes_the_same_bytes_without_empty_vectors(void **state)
{
    struct scattered scattered;
    struct iov_cursor cursor;
    struct iovec slice[3];

    (void)state;
    scatter(&scattered);
    cursor = iov_cursor_make(scattered.iov, 5);
    iov_cursor_skip(&cursor, 1);
    assert_int_equal(iov_cursor_slice(&cursor, 6, slice, 3), 3);
    assert_ptr_equal(slice[0].iov_base, scattered.bytes + 1);
    assert_int_equal(slice[0].iov_len, 2);
    assert_ptr_equal(slice[1].iov_base, scattered.bytes + 3);
    assert_int_equal(slice[1].iov_len, 1);
    assert_ptr_equal(slice[2].iov_base, scattered.bytes + 4);
    assert_int_equal(slice[2].iov_len, 3);
    assert_int_equal(iov_cursor_remaining(&cursor), 3);
    assert_int_equal(iov_cursor_slice(&cursor, 3, slice, 1), 1);
    assert_ptr_equal(slice[0].iov_base, scattered.bytes + 7);
    assert_int_equal(iov_cursor_remaining(&cursor), 0);
}

static void test_iov_slice_of_no_bytes_is_no_vectors(void **state)
{
    struct scattered scattered;
    struct iov_cursor cursor;

    (void)state;
    scatter(&scattered);
    cursor = iov_cursor_make(scattered.iov, 5);
    assert_int_equal(iov_cursor_slice(&cursor, 0, NULL, 0), 0);
    assert_int_equal(iov_cursor_remaining(&cursor), 10);
}

static void test_iov_slice_that_needs_too_many_vectors_leaves_the_cursor(void **state)
{
    struct scattered scattered;
    struct iov_cursor cursor;
    struct iovec slice[2];
    char byte;

    (void)state;
    scatter(&scattered);
    cursor = iov_cursor_make(scattered.iov, 5);
    iov_cursor_skip(&cursor, 1);
    assert_int_equal(iov_cursor_slice(&cursor, 9, slice, 2), -E2BIG);
    assert_int_equal(iov_cursor_remaining(&cursor), 9);
    iov_cursor_copy_out(&cursor, &byte, 1);
    assert_int_equal(byte, 'b');
}

static void test_iov_slice_past_the_end_fails_and_leaves_the_cursor(void **state)
{
    struct scattered scattered;
    struct iov_cursor cursor;
    struct iovec slice[8];
    char byte;

    (void)state;
    scatter(&scattered);
    cursor = iov_cursor_make(scattered.iov, 5);
    assert_int_equal(iov_cursor_slice(&cursor, 11, slice, 8), -EINVAL);
    assert_int_equal(iov_cursor_slice(&cursor, SIZE_MAX, slice, 8), -EINVAL);
    assert_int_equal(iov_cursor_remaining(&cursor), 10);
    iov_cursor_copy_out(&cursor, &byte, 1);
    assert_int_equal(byte, 'a');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_iov_length_adds_up),
        cmocka_unit_test(test_iov_length_that_does_not_fit_saturates),
        cmocka_unit_test(test_iov_copy_out_crosses_borders_and_is_short_only_at_the_end),
        cmocka_unit_test(test_iov_copy_in_writes_where_the_cursor_stands),
        cmocka_unit_test(test_iov_fill_stops_at_the_end),
        cmocka_unit_test(test_iov_skip_says_how_many_bytes_there_were),
        cmocka_unit_test(test_iov_cursor_over_nothing_has_nothing),
        cmocka_unit_test(test_iov_slice_describes_the_same_bytes_without_empty_vectors),
        cmocka_unit_test(test_iov_slice_of_no_bytes_is_no_vectors),
        cmocka_unit_test(test_iov_slice_that_needs_too_many_vectors_leaves_the_cursor),
        cmocka_unit_test(test_iov_slice_past_the_end_fails_and_leaves_the_cursor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
