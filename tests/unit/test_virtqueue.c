/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The split virtqueue with a driver that keeps the rules: setting it up, chains of every shape, what is given
 * back. Who tells whom is in test_virtqueue_notify.c, drivers that break the rules are in
 * test_virtqueue_hostile.c.
 */
#include <errno.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "queue_fixture.h"
#include "ringlet/iov.h"
#include "ringlet/util.h"

#define EVENT_IDX (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT  (UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC)

/* --- setting up --- */

static void test_queue_is_not_ready_until_enabled(void **state)
{
    struct queue_fixture *f = *state;

    assert_false(f->queue.ready);
    assert_int_equal(f->queue.size, QUEUE_FIXTURE_MAX_SIZE);
    assert_int_equal(queue_fixture_pop(f), 0);
    queue_fixture_start(f, 0, 8);
    assert_true(f->queue.ready);
}

static void test_largest_and_smallest_size_are_accepted(void **state)
{
    struct queue_fixture *f = *state;

    queue_fixture_start(f, 0, 1);
    queue_fixture_round_trip(f);
    queue_fixture_round_trip(f);
    virtqueue_reset(&f->queue);
    queue_fixture_start(f, 0, QUEUE_FIXTURE_MAX_SIZE);
    queue_fixture_round_trip(f);
}

static void test_bad_size_is_refused(void **state)
{
    static const uint16_t sizes[] = { 0,     3,    24, QUEUE_FIXTURE_MAX_SIZE + 1, QUEUE_FIXTURE_MAX_SIZE * 2,
                                      32768, 65535 };
    struct queue_fixture *f = *state;

    guest_queue_place(f->guest, 0, 8);
    f->driver = &f->guest->queues[0];
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        f->driver->size = sizes[i];
        assert_int_equal(queue_fixture_enable(f, 0), -EINVAL);
        assert_false(f->queue.ready);
    }
    f->driver->size = 8;
    assert_int_equal(queue_fixture_enable(f, 0), 0);
}

static void test_misaligned_parts_are_refused(void **state)
{
    struct queue_fixture *f = *state;

    guest_queue_place(f->guest, 0, 8);
    f->driver = &f->guest->queues[0];
    f->driver->desc += 8;
    assert_int_equal(queue_fixture_enable(f, 0), -EINVAL);
    f->driver->desc -= 8;
    f->driver->avail += 1;
    assert_int_equal(queue_fixture_enable(f, 0), -EINVAL);
    f->driver->avail -= 1;
    f->driver->used += 2;
    assert_int_equal(queue_fixture_enable(f, 0), -EINVAL);
    f->driver->used -= 2;
    assert_int_equal(queue_fixture_enable(f, 0), 0);
}

static void test_parts_outside_ram_are_refused(void **state)
{
    /* in the hole, half out of RAM, at the end of the address space, across two mappings */
    static const uint64_t addresses[] = { GUEST_RAM_LOW_END, GUEST_RAM_LOW_END - 16, UINT64_MAX - 15,
                                          GUEST_RAM_SEAM - 16 };
    struct queue_fixture *f = *state;

    guest_queue_place(f->guest, 0, 8);
    f->driver = &f->guest->queues[0];
    for (unsigned i = 0; i < ARRAY_SIZE(addresses); i++) {
        struct guest_queue good = *f->driver;

        f->driver->desc = addresses[i];
        assert_int_equal(queue_fixture_enable(f, 0), -EFAULT);
        *f->driver = good;
        f->driver->avail = addresses[i];
        assert_int_equal(queue_fixture_enable(f, 0), -EFAULT);
        *f->driver = good;
        f->driver->used = addresses[i];
        assert_int_equal(queue_fixture_enable(f, 0), -EFAULT);
        *f->driver = good;
        assert_false(f->queue.ready);
    }
    assert_int_equal(queue_fixture_enable(f, 0), 0);
}

static void test_parts_may_end_where_ram_ends(void **state)
{
    struct queue_fixture *f = *state;

    guest_queue_place(f->guest, 0, 8);
    f->driver = &f->guest->queues[0];
    f->driver->desc = GUEST_RAM_HIGH_END - 128;
    f->driver->avail = GUEST_RAM_SEAM - 22;
    f->driver->used = GUEST_RAM_LOW_END - 72; /* 70 bytes, and aligned */
    assert_int_equal(queue_fixture_enable(f, EVENT_IDX), 0);
    queue_fixture_round_trip(f);
}

static void test_reset_forgets_everything(void **state)
{
    struct queue_fixture *f = *state;

    queue_fixture_start(f, EVENT_IDX | INDIRECT, 8);
    queue_fixture_round_trip(f);
    queue_fixture_offer_and_pop(f);
    virtqueue_reset(&f->queue);
    assert_false(f->queue.ready);
    assert_int_equal(f->queue.size, QUEUE_FIXTURE_MAX_SIZE);
    assert_int_equal(f->queue.desc_address, 0);
    assert_int_equal(f->queue.outstanding, 0);
    assert_int_equal(queue_fixture_pop(f), 0);
    queue_fixture_start(f, 0, 16);
    queue_fixture_round_trip(f);
}

/* --- chains --- */

static void test_empty_queue_yields_nothing(void **state)
{
    struct queue_fixture *f = *state;

    queue_fixture_start(f, 0, 8);
    assert_int_equal(queue_fixture_pop(f), 0);
    queue_fixture_round_trip(f);
    assert_int_equal(queue_fixture_pop(f), 0);
}

static void test_pop_yields_readable_then_writable_buffers(void **state)
{
    struct queue_fixture *f = *state;
    struct guest_segment segments[] = {
        { .address = 0x2001, .length = 16 },
        { .address = GUEST_RAM_HIGH + 5, .length = 512 },
        { .address = 0x3000, .length = 4096, .writable = true },
        { .address = 0x5fff, .length = 1, .writable = true },
    };
    uint16_t head;

    queue_fixture_start(f, 0, 8);
    head = guest_queue_add(f->driver, segments, ARRAY_SIZE(segments));
    assert_int_equal(queue_fixture_pop(f), 1);
    assert_int_equal(f->chain.head, head);
    assert_int_equal(f->chain.out_count, 2);
    assert_int_equal(f->chain.in_count, 2);
    assert_int_equal(f->chain.out_length, 528);
    assert_int_equal(f->chain.in_length, 4097);
    for (unsigned i = 0; i < ARRAY_SIZE(segments); i++) {
        assert_ptr_equal(f->iov[i].iov_base, guest_at(f->guest, segments[i].address, segments[i].length));
        assert_int_equal(f->iov[i].iov_len, segments[i].length);
    }
    assert_int_equal(queue_fixture_pop(f), 0);
}

static void test_chain_of_single_bytes_is_the_same_message(void **state)
{
    static const char message[] = "borders mean nothing";
    struct guest_segment segments[sizeof(message)];
    struct queue_fixture *f = *state;
    char copy[sizeof(message)];
    struct iov_cursor cursor;

    queue_fixture_start(f, 0, 32);
    for (unsigned i = 0; i < sizeof(message); i++) {
        segments[i] = (struct guest_segment){ .address = 0x4000 + 64 * (sizeof(message) - i), .length = 1 };
        guest_write(f->guest, segments[i].address, &message[i], 1);
    }
    guest_queue_add(f->driver, segments, ARRAY_SIZE(segments));
    assert_int_equal(queue_fixture_pop(f), 1);
    assert_int_equal(f->chain.out_length, sizeof(message));
    cursor = iov_cursor_make(f->chain.iov, f->chain.out_count);
    assert_int_equal(iov_cursor_copy_out(&cursor, copy, sizeof(copy)), sizeof(copy));
    assert_string_equal(copy, message);
}

static void test_chain_may_use_every_descriptor_in_any_order(void **state)
{
    static const uint16_t order[] = { 5, 0, 7, 2, 1, 6, 3, 4 };
    struct queue_fixture *f = *state;

    queue_fixture_start(f, 0, 8);
    for (unsigned i = 0; i < 8; i++)
        guest_queue_write_desc(f->driver, order[i], 0x2000 + 16 * i, 16, i < 7 ? VRING_DESC_F_NEXT : 0,
                               i < 7 ? order[i + 1] : 5);
    guest_queue_offer(f->driver, 5);
    assert_int_equal(queue_fixture_pop(f), 1);
    assert_int_equal(f->chain.out_count, 8);
    for (unsigned i = 0; i < 8; i++)
        assert_ptr_equal(f->iov[i].iov_base, guest_at(f->guest, 0x2000 + 16 * i, 16));
}

static void test_buffer_across_two_mappings_yields_two_vectors(void **state)
{
    struct queue_fixture *f = *state;
    struct guest_segment segment = { .address = GUEST_RAM_SEAM - 3, .length = 10, .writable = true };

    queue_fixture_start(f, 0, 8);
    guest_queue_add(f->driver, &segment, 1);
    assert_int_equal(queue_fixture_pop(f), 1);
    assert_int_equal(f->chain.in_count, 2);
    assert_int_equal(f->chain.in_length, 10);
    assert_int_equal(f->iov[0].iov_len, 3);
    assert_int_equal(f->iov[1].iov_len, 7);
    assert_ptr_equal(f->iov[1].iov_base, guest_at(f->guest, GUEST_RAM_SEAM, 7));
}

static void test_empty_descriptors_yield_no_vectors(void **state)
{
    struct queue_fixture *f = *state;
    struct guest_segment segments[] = {
        { .address = UINT64_MAX, .length = 0 },
        { .address = 0x2000, .length = 8 },
        { .address = 0, .length = 0, .writable = true },
    };

    queue_fixture_start(f, 0, 8);
    guest_queue_add(f->driver, segments, 3);
    guest_queue_add(f->driver, segments, 1);
    assert_int_equal(queue_fixture_pop(f), 1);
    assert_int_equal(f->chain.out_count, 1);
    assert_int_equal(f->chain.in_count, 0);
    assert_int_equal(queue_fixture_pop(f), 1);
    assert_int_equal(f->chain.out_count + f->chain.in_count, 0);
    assert_int_equal(f->chain.out_length + f->chain.in_length, 0);
}

static void test_indirect_table_is_followed(void **state)
{
    struct queue_fixture *f = *state;
    struct guest_segment segments[] = {
        { .address = 0x2000, .length = 16 },
        { .address = 0x3000, .length = 32, .writable = true },
        { .address = 0x4000, .length = 64, .writable = true },
    };

    queue_fixture_start(f, INDIRECT, 8);
    guest_queue_add_indirect(f->driver, segments, 3, 0);
    assert_int_equal(f->driver->free_count, 7);
    assert_int_equal(queue_fixture_pop(f), 1);
    assert_int_equal(f->chain.out_count, 1);
    assert_int_equal(f->chain.in_count, 2);
    assert_int_equal(f->chain.in_length, 96);
}

static void test_normal_descriptors_before_an_indirect_one_are_handled(void **state)
{
    struct queue_fixture *f = *state;
    struct guest_segment segments[] = {
        { .address = 0x2000, .length = 16 },
        { .address = 0x3000, .length = 32 },
        { .address = 0x4000, .length = 64 },
        { .address = 0x5000, .length = 1, .writable = true },
    };

    queue_fixture_start(f, INDIRECT, 8);
    for (unsigned direct = 0; direct < 4; direct++) {
        guest_queue_add_indirect(f->driver, segments, 4, direct);
        assert_int_equal(queue_fixture_pop(f), 1);
        assert_int_equal(f->chain.out_count, 3);
        assert_int_equal(f->chain.out_length, 112);
        assert_int_equal(f->chain.in_count, 1);
        for (unsigned i = 0; i < 4; i++)
            assert_ptr_equal(f->iov[i].iov_base, guest_at(f->guest, segments[i].address, 1));
        virtqueue_push(&f->queue, f->chain.head, 0);
        assert_true(guest_queue_take_used(f->driver, &(struct guest_used){ 0 }));
    }
}

static void test_write_flag_of_an_indirect_descriptor_is_ignored(void **state)
{
    struct queue_fixture *f = *state;
    uint64_t table = guest_alloc(f->guest, 16, 16);

    queue_fixture_start(f, INDIRECT, 8);
    guest_write_desc(f->guest, table, 0, 0x2000, 24, 0, 0);
    guest_queue_write_desc(f->driver, 0, table, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE, 0);
    guest_queue_offer(f->driver, 0);
    assert_int_equal(queue_fixture_pop(f), 1);
    assert_int_equal(f->chain.out_length, 24);
    assert_int_equal(f->chain.in_count, 0);
}

static void test_indirect_table_may_lie_anywhere_in_ram(void **state)
{
    /* across two mappings, with a descriptor across them too; and not aligned at all */
    static const uint64_t tables[] = { GUEST_RAM_SEAM - 24, GUEST_RAM_HIGH + 1 };
    struct queue_fixture *f = *state;

    queue_fixture_start(f, INDIRECT, 8);
    for (unsigned i = 0; i < ARRAY_SIZE(tables); i++) {
        for (unsigned k = 0; k < 3; k++)
            guest_write_desc(f->guest, tables[i], k, 0x2000 + 256 * k, 8 + k, k < 2 ? VRING_DESC_F_NEXT : 0,
                             (uint16_t)(k + 1));
        guest_queue_write_desc(f->driver, 3, tables[i], 48, VRING_DESC_F_INDIRECT, 0);
        guest_queue_offer(f->driver, 3);
        assert_int_equal(queue_fixture_pop(f), 1);
        assert_int_equal(f->chain.out_count, 3);
        assert_int_equal(f->chain.out_length, 27);
    }
}

/* Linux makes such chains: its limit is the device's (seg_max), not the queue's. */
static void test_indirect_chain_may_be_longer_than_the_queue(void **state)
{
    struct guest_segment segments[40];
    struct queue_fixture *f = *state;

    queue_fixture_start(f, INDIRECT, 4);
    for (unsigned i = 0; i < ARRAY_SIZE(segments); i++)
        segments[i] = (struct guest_segment){ .address = 0x2000 + 8 * i, .length = 8 };
    guest_queue_add_indirect(f->driver, segments, ARRAY_SIZE(segments), 0);
    assert_int_equal(queue_fixture_pop(f), 1);
    assert_int_equal(f->chain.out_count, 40);
}

/* --- giving back --- */

static void test_push_publishes_head_and_length(void **state)
{
    struct queue_fixture *f = *state;
    struct guest_used used;
    uint16_t first, second;

    queue_fixture_start(f, 0, 8);
    first = queue_fixture_offer_and_pop(f);
    second = queue_fixture_offer_and_pop(f);
    assert_false(guest_queue_take_used(f->driver, &used));
    /* in the order in which they are done, not in which they were offered */
    virtqueue_push(&f->queue, second, 77);
    assert_int_equal(guest_queue_used_idx(f->driver), 1);
    assert_true(guest_queue_take_used(f->driver, &used));
    assert_int_equal(used.head, second);
    assert_int_equal(used.length, 77);
    virtqueue_push(&f->queue, first, 0);
    assert_true(guest_queue_take_used(f->driver, &used));
    assert_int_equal(used.head, first);
    assert_int_equal(used.length, 0);
    assert_int_equal(f->queue.outstanding, 0);
}

struct watcher {
    struct guest_queue *driver;
    atomic_bool over;
    bool saw_a_part;
};

static void *watch(void *argument)
{
    struct watcher *watcher = argument;

    while (!atomic_load(&watcher->over)) {
        if (guest_queue_used_idx(watcher->driver) % 4)
            watcher->saw_a_part = true;
    }
    return NULL;
}

static void test_push_many_publishes_all_at_once(void **state)
{
    struct queue_fixture *f = *state;
    struct watcher watcher = { .driver = f->driver };
    pthread_t thread;

    queue_fixture_start(f, 0, 8);
    watcher.driver = f->driver;
    assert_int_equal(pthread_create(&thread, NULL, watch, &watcher), 0);
    for (unsigned round = 0; round < 5000; round++) {
        struct virtqueue_used used[4];
        struct guest_used taken;

        for (unsigned i = 0; i < ARRAY_SIZE(used); i++)
            used[i] = (struct virtqueue_used){ queue_fixture_offer_and_pop(f), round + i };
        virtqueue_push_many(&f->queue, used, ARRAY_SIZE(used));
        for (unsigned i = 0; i < ARRAY_SIZE(used); i++) {
            assert_true(guest_queue_take_used(f->driver, &taken));
            assert_int_equal(taken.head, used[i].head);
            assert_int_equal(taken.length, round + i);
        }
    }
    atomic_store(&watcher.over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(watcher.saw_a_part);
    assert_int_equal(f->queue.outstanding, 0);
    virtqueue_push_many(&f->queue, NULL, 0);
    assert_int_equal(guest_queue_used_idx(f->driver), 20000);
}

static void test_indices_run_past_65535(void **state)
{
    struct queue_fixture *f = *state;

    queue_fixture_start(f, EVENT_IDX, 4);
    for (unsigned i = 0; i < 70000; i++)
        queue_fixture_round_trip(f);
    assert_int_equal(guest_queue_used_idx(f->driver), 70000 % 65536);
    assert_int_equal(queue_fixture_pop(f), 0);
}

static void test_device_never_writes_descriptors_or_the_available_ring(void **state)
{
    struct guest_segment segments[] = { { .address = 0x2000, .length = 16 },
                                        { .address = 0x3000, .length = 16, .writable = true } };
    uint8_t desc[128], avail[22], after_desc[128], after_avail[22];
    struct queue_fixture *f = *state;

    queue_fixture_start(f, EVENT_IDX | INDIRECT, 8);
    guest_queue_add(f->driver, segments, 2);
    guest_queue_add_indirect(f->driver, segments, 2, 0);
    guest_read(f->guest, f->driver->desc, desc, sizeof(desc));
    guest_read(f->guest, f->driver->avail, avail, sizeof(avail));
    virtqueue_disable_doorbell(&f->queue);
    while (queue_fixture_pop(f) > 0)
        virtqueue_push(&f->queue, f->chain.head, 16);
    virtqueue_enable_doorbell(&f->queue);
    virtqueue_should_notify(&f->queue);
    guest_read(f->guest, f->driver->desc, after_desc, sizeof(desc));
    guest_read(f->guest, f->driver->avail, after_avail, sizeof(avail));
    assert_memory_equal(desc, after_desc, sizeof(desc));
    assert_memory_equal(avail, after_avail, sizeof(avail));
    assert_int_equal(guest_queue_used_idx(f->driver), 2);
}

static void test_queue_that_is_not_ready_is_not_touched(void **state)
{
    struct queue_fixture *f = *state;

    virtqueue_disable_doorbell(&f->queue);
    assert_false(virtqueue_enable_doorbell(&f->queue));
    assert_false(virtqueue_should_notify(&f->queue));
    virtqueue_push(&f->queue, 0, 0);
    assert_int_equal(queue_fixture_pop(f), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, queue_fixture_set_up, queue_fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_queue_is_not_ready_until_enabled),
        TEST(test_largest_and_smallest_size_are_accepted),
        TEST(test_bad_size_is_refused),
        TEST(test_misaligned_parts_are_refused),
        TEST(test_parts_outside_ram_are_refused),
        TEST(test_parts_may_end_where_ram_ends),
        TEST(test_reset_forgets_everything),
        TEST(test_empty_queue_yields_nothing),
        TEST(test_pop_yields_readable_then_writable_buffers),
        TEST(test_chain_of_single_bytes_is_the_same_message),
        TEST(test_chain_may_use_every_descriptor_in_any_order),
        TEST(test_buffer_across_two_mappings_yields_two_vectors),
        TEST(test_empty_descriptors_yield_no_vectors),
        TEST(test_indirect_table_is_followed),
        TEST(test_normal_descriptors_before_an_indirect_one_are_handled),
        TEST(test_write_flag_of_an_indirect_descriptor_is_ignored),
        TEST(test_indirect_table_may_lie_anywhere_in_ram),
        TEST(test_indirect_chain_may_be_longer_than_the_queue),
        TEST(test_push_publishes_head_and_length),
        TEST(test_push_many_publishes_all_at_once),
        TEST(test_indices_run_past_65535),
        TEST(test_device_never_writes_descriptors_or_the_available_ring),
        TEST(test_queue_that_is_not_ready_is_not_touched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
