/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_util.c - checked sums, ranges, rounding, and the scope-bound releases, at their edges.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "ringlet/cleanup.h"
#include "ringlet/util.h"

static void test_checked_add_refuses_a_sum_that_wraps(void **state)
{
    uint64_t sum = 7;

    (void)state;
    assert_true(checked_add(UINT64_MAX - 1, 1, &sum));
    assert_true(sum == UINT64_MAX);
    sum = 7;
    assert_false(checked_add(UINT64_MAX, 1, &sum));
    assert_int_equal(sum, 7);
}

static void test_checked_mul_refuses_a_product_that_wraps(void **state)
{
    uint64_t product = 7;

    (void)state;
    assert_true(checked_mul(UINT32_MAX, UINT32_MAX, &product));
    assert_true(product == UINT64_C(0xfffffffe00000001));
    product = 7;
    assert_false(checked_mul(UINT64_C(1) << 32, UINT64_C(1) << 32, &product));
    assert_int_equal(product, 7);
}

static void test_range_within_never_overflows(void **state)
{
    (void)state;
    assert_true(range_within(10, 5, 10, 5));
    assert_true(range_within(14, 1, 10, 5));
    assert_true(range_within(15, 0, 10, 5));
    assert_false(range_within(9, 1, 10, 5));
    assert_false(range_within(15, 1, 10, 5));
    assert_false(range_within(10, 6, 10, 5));
    assert_false(range_within(12, UINT64_MAX, 10, 5));
    assert_false(range_within(UINT64_MAX, 2, 10, 5));
    assert_false(range_within(UINT64_MAX, 1, 0, UINT64_MAX));
    assert_true(range_within(UINT64_MAX - 1, 1, 0, UINT64_MAX));
}

static void test_rounding_to_powers_of_two(void **state)
{
    (void)state;
    assert_int_equal(align_up(0, 4096), 0);
    assert_int_equal(align_up(1, 4096), 4096);
    assert_int_equal(align_up(4096, 4096), 4096);
    assert_int_equal(align_down(4095, 4096), 0);
    assert_int_equal(align_down(8191, 4096), 4096);
    assert_true(is_power_of_two(1));
    assert_true(is_power_of_two(UINT64_C(1) << 63));
    assert_false(is_power_of_two(0));
    assert_false(is_power_of_two(12));
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void test_cleanup_close_closes_at_the_end_of_the_scope(void **state)
{
    int seen;

    (void)state;
    {
        CLEANUP_CLOSE int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        assert_true(is_open(fd));
        seen = fd;
    }
    assert_false(is_open(seen));
}

static void test_steal_fd_hands_the_descriptor_over(void **state)
{
    int taken;

    (void)state;
    {
        CLEANUP_CLOSE int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        taken = steal_fd(&fd);
        assert_int_equal(fd, -1);
    }
    assert_true(is_open(taken));
    close(taken);
}

static void test_steal_pointer_hands_the_memory_over(void **state)
{
    char *taken;

    (void)state;
    {
        CLEANUP_FREE char *memory = malloc(1);

        taken = steal_pointer(&memory);
        assert_null(memory);
    }
    assert_non_null(taken);
    *taken = 'x';
    free(taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checked_add_refuses_a_sum_that_wraps),
        cmocka_unit_test(test_checked_mul_refuses_a_product_that_wraps),
        cmocka_unit_test(test_range_within_never_overflows),
        cmocka_unit_test(test_rounding_to_powers_of_two),
        cmocka_unit_test(test_cleanup_close_closes_at_the_end_of_the_scope),
        cmocka_unit_test(test_steal_fd_hands_the_descriptor_over),
        cmocka_unit_test(test_steal_pointer_hands_the_memory_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
