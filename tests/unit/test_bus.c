/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_bus.c - guest accesses find their region, and nobody's accesses find nobody.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ringlet/bus.h"
#include "ringlet/util.h"

/* Notes the last access; reads give `answer`. With a lock it asserts that the lock is held. */
struct recorder {
    uint64_t answer;
    unsigned reads, writes;
    uint64_t offset, value;
    unsigned size;
    pthread_mutex_t *lock;
};

static void note(struct recorder *recorder, uint64_t offset, unsigned size)
{
    recorder->offset = offset;
    recorder->size = size;
    if (recorder->lock)
        assert_int_equal(pthread_mutex_trylock(recorder->lock), EBUSY);
}

static uint64_t recorder_read(void *opaque, uint64_t offset, unsigned size)
{
    struct recorder *recorder = opaque;

    note(recorder, offset, size);
    recorder->reads++;
    return recorder->answer;
}

static void recorder_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct recorder *recorder = opaque;

    note(recorder, offset, size);
    recorder->writes++;
    recorder->value = value;
}

static const struct bus_region_ops recorder_ops = { .read = recorder_read, .write = recorder_write };

static int add(struct bus *bus, struct recorder *recorder, uint64_t base, uint64_t size)
{
    struct bus_region region = {
        .name = "recorder",
        .base = base,
        .size = size,
        .ops = &recorder_ops,
        .opaque = recorder,
        .lock = recorder ? recorder->lock : NULL,
    };

    return bus_add(bus, &region);
}

static int set_up(void **state)
{
    return bus_create((struct bus **)state) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    bus_destroy(*state);
    return 0;
}

/* --- the table --- */

static void test_regions_must_not_be_empty_or_wrap(void **state)
{
    assert_int_equal(add(*state, NULL, 0x100, 0), -EINVAL);
    assert_int_equal(add(*state, NULL, UINT64_MAX, 2), -EINVAL);
    assert_int_equal(add(*state, NULL, UINT64_MAX - 15, 16), -EINVAL);
    assert_int_equal(add(*state, NULL, 2, UINT64_MAX), -EINVAL);
}

static void test_regions_must_not_overlap_but_may_adjoin(void **state)
{
    struct bus *bus = *state;

    assert_int_equal(add(bus, NULL, 0x100, 0x10), 0);
    assert_int_equal(add(bus, NULL, 0x100, 0x10), -EEXIST);
    assert_int_equal(add(bus, NULL, 0x10f, 1), -EEXIST);
    assert_int_equal(add(bus, NULL, 0xff, 2), -EEXIST);
    assert_int_equal(add(bus, NULL, 0x108, 0x100), -EEXIST);
    assert_int_equal(add(bus, NULL, 0, 0x1000), -EEXIST);
    assert_int_equal(add(bus, NULL, 0x110, 0x10), 0);
    assert_int_equal(add(bus, NULL, 0xf0, 0x10), 0);
}

static void test_a_frozen_table_takes_no_more(void **state)
{
    struct bus *bus = *state;

    assert_int_equal(add(bus, NULL, 0x100, 0x10), 0);
    bus_freeze(bus);
    assert_int_equal(add(bus, NULL, 0x200, 0x10), -EBUSY);
}

static void test_the_region_is_copied(void **state)
{
    struct bus *bus = *state;
    struct recorder recorder = { .answer = 0x42 };
    struct bus_region region = {
        .name = "recorder", .base = 8, .size = 4, .ops = &recorder_ops, .opaque = &recorder
    };
    uint64_t value;

    assert_int_equal(bus_add(bus, &region), 0);
    region = (struct bus_region){ 0 };
    bus_freeze(bus);
    assert_true(bus_read(bus, 8, &value, 1));
    assert_int_equal(value, 0x42);
}

static void test_destroy_takes_null(void **state)
{
    (void)state;
    bus_destroy(NULL);
}

/* --- finding --- */

static void test_every_region_is_found_whatever_the_order_they_came_in(void **state)
{
    struct bus *bus = *state;
    struct recorder recorders[17] = { 0 };

    /* 5 is prime to 17, so each comes once, in no order */
    for (unsigned i = 0; i < 17; i++) {
        unsigned which = i * 5 % 17;

        assert_int_equal(add(bus, &recorders[which], 0x1000 + which * 0x20, 0x10), 0);
    }
    bus_freeze(bus);
    for (unsigned i = 0; i < 17; i++) {
        uint64_t base = 0x1000 + i * 0x20;

        assert_false(bus_write(bus, base - 1, 0, 1));
        assert_true(bus_write(bus, base, i, 4));
        assert_int_equal(recorders[i].offset, 0);
        assert_true(bus_write(bus, base + 0xf, i, 1));
        assert_int_equal(recorders[i].offset, 0xf);
        assert_false(bus_write(bus, base + 0x10, 0, 1));
        assert_int_equal(recorders[i].writes, 2);
    }
}

static void test_nobody_reads_as_all_ones_and_swallows_writes(void **state)
{
    static const struct {
        unsigned size;
        uint64_t ones;
    } sizes[] = { { 1, 0xff }, { 2, 0xffff }, { 4, 0xffffffff }, { 8, UINT64_MAX } };
    struct bus *bus = *state;

    bus_freeze(bus);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint64_t value = 0;

        assert_false(bus_read(bus, 0x60, &value, sizes[i].size));
        assert_true(value == sizes[i].ones);
        assert_false(bus_write(bus, 0x60, 0, sizes[i].size));
    }
}

static void test_an_access_that_straddles_an_end_is_nobodys(void **state)
{
    struct bus *bus = *state;
    struct recorder left = { 0 }, right = { 0 };
    uint64_t value;

    assert_int_equal(add(bus, &left, 0x100, 0x10), 0);
    assert_int_equal(add(bus, &right, 0x110, 0x10), 0);
    bus_freeze(bus);
    assert_false(bus_read(bus, 0x10e, &value, 4)); /* left and right */
    assert_int_equal(value, 0xffffffff);
    assert_false(bus_write(bus, 0x10f, 0, 2));
    assert_false(bus_write(bus, 0xff, 0, 2));  /* before and left */
    assert_false(bus_write(bus, 0x11c, 0, 8)); /* right and after */
    assert_int_equal(left.reads + left.writes + right.reads + right.writes, 0);
    assert_true(bus_write(bus, 0x118, 0, 8));
    assert_int_equal(right.writes, 1);
}

static void test_an_access_at_the_end_of_the_address_space_does_not_wrap(void **state)
{
    struct bus *bus = *state;
    struct recorder low = { 0 }, high = { 0 };

    assert_int_equal(add(bus, &low, 0, 0x10), 0);
    assert_int_equal(add(bus, &high, UINT64_MAX - 16, 16), 0);
    bus_freeze(bus);
    assert_true(bus_write(bus, UINT64_MAX - 8, 0, 8));
    assert_false(bus_write(bus, UINT64_MAX - 7, 0, 8));
    assert_false(bus_write(bus, UINT64_MAX, 0, 8));
    assert_int_equal(low.writes, 0);
    assert_int_equal(high.writes, 1);
}

/* --- the access itself --- */

static void test_values_are_cut_to_the_size_of_the_access(void **state)
{
    struct bus *bus = *state;
    struct recorder recorder = { .answer = UINT64_C(0x1122334455667788) };
    uint64_t value;

    assert_int_equal(add(bus, &recorder, 0, 0x10), 0);
    bus_freeze(bus);
    assert_true(bus_read(bus, 1, &value, 1));
    assert_int_equal(value, 0x88);
    assert_true(bus_read(bus, 2, &value, 2));
    assert_int_equal(value, 0x7788);
    assert_true(bus_read(bus, 4, &value, 4));
    assert_int_equal(value, 0x55667788);
    assert_true(bus_read(bus, 8, &value, 8));
    assert_true(value == recorder.answer);
    assert_int_equal(recorder.offset, 8);
    assert_int_equal(recorder.size, 8);
    assert_true(bus_write(bus, 6, UINT64_C(0xaabbccddeeff0011), 2));
    assert_int_equal(recorder.value, 0x0011);
    assert_int_equal(recorder.offset, 6);
    assert_int_equal(recorder.size, 2);
}

static void test_the_regions_lock_is_held_around_each_call_and_free_after(void **state)
{
    struct bus *bus = *state;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct recorder recorder = { .lock = &lock };
    uint64_t value;

    assert_int_equal(add(bus, &recorder, 0x10, 0x10), 0);
    bus_freeze(bus);
    assert_true(bus_read(bus, 0x10, &value, 4));
    assert_true(bus_write(bus, 0x10, 0, 4));
    assert_false(bus_write(bus, 0x1f, 0, 4)); /* nobody's: no lock either */
    assert_int_equal(recorder.reads + recorder.writes, 2);
    assert_int_equal(pthread_mutex_trylock(&lock), 0);
    pthread_mutex_unlock(&lock);
}

/* Two vCPUs count in a device that has no lock of its own. */
#define COUNT_TO 20000

static uint64_t no_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque, (void)offset, (void)size;
    return 0;
}

static void count_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)offset, (void)value, (void)size;
    ++*(unsigned *)opaque;
}

static void *vcpu(void *argument)
{
    for (unsigned i = 0; i < COUNT_TO; i++)
        bus_write(argument, 0, i, 4);
    return NULL;
}

static void test_a_device_is_never_entered_twice_at_once(void **state)
{
    static const struct bus_region_ops ops = { .read = no_read, .write = count_write };
    struct bus *bus = *state;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    unsigned count = 0;
    struct bus_region region = { .name = "counter", .size = 4, .ops = &ops, .opaque = &count, .lock = &lock };
    pthread_t threads[2];

    assert_int_equal(bus_add(bus, &region), 0);
    bus_freeze(bus);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, vcpu, bus), 0);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(count, 2 * COUNT_TO);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_regions_must_not_be_empty_or_wrap),
        TEST(test_regions_must_not_overlap_but_may_adjoin),
        TEST(test_a_frozen_table_takes_no_more),
        TEST(test_the_region_is_copied),
        TEST(test_destroy_takes_null),
        TEST(test_every_region_is_found_whatever_the_order_they_came_in),
        TEST(test_nobody_reads_as_all_ones_and_swallows_writes),
        TEST(test_an_access_that_straddles_an_end_is_nobodys),
        TEST(test_an_access_at_the_end_of_the_address_space_does_not_wrap),
        TEST(test_values_are_cut_to_the_size_of_the_access),
        TEST(test_the_regions_lock_is_held_around_each_call_and_free_after),
        TEST(test_a_device_is_never_entered_twice_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
