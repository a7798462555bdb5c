/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The split virtqueue with drivers that break the rules, each rule by itself and then all of them at random.
 * Whatever stands in the rings, no vector lies outside guest RAM, no walk is endless, and a queue that is
 * broken stays so until reset.
 */
#include <errno.h>
#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest_driver.h"
#include "ringlet/guest_memory.h"
#include "ringlet/iov.h"
#include "ringlet/util.h"
#include "ringlet/virtqueue.h"

#define EVENT_IDX (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT  (UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC)
#define NEXT      VRING_DESC_F_NEXT
#define WRITE     VRING_DESC_F_WRITE
#define SIZE      8
#define MAX_IOV   5000
#define DATA      UINT64_C(0x800) /* RAM that nothing else uses */

struct fixture {
    struct guest_driver *guest;
    struct guest_queue *driver;
    struct virtqueue queue;
    struct iovec iov[MAX_IOV];
    struct virtqueue_chain chain;
};

static void start(struct fixture *f, uint64_t features)
{
    virtqueue_reset(&f->queue);
    guest_queue_place(f->guest, 0, SIZE);
    f->driver = &f->guest->queues[0];
    f->guest->features = features;
    f->queue.size = SIZE;
    f->queue.desc_address = f->driver->desc;
    f->queue.avail_address = f->driver->avail;
    f->queue.used_address = f->driver->used;
    assert_int_equal(virtqueue_enable(&f->queue, features), 0);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->guest = guest_driver_create();
    f->chain = (struct virtqueue_chain){ .iov = f->iov, .iov_max = MAX_IOV };
    virtqueue_init(&f->queue, f->guest->memory, SIZE);
    start(f, INDIRECT | EVENT_IDX);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    guest_driver_destroy(f->guest);
    free(f);
    return 0;
}

/* Offer the chain at descriptor 0, which is no good: so says pop, and so it stays. */
static void expect_broken(struct fixture *f, int error)
{
    uint16_t used = guest_queue_used_idx(f->driver);

    guest_queue_offer(f->driver, 0);
    assert_int_equal(virtqueue_pop(&f->queue, &f->chain), error);
    assert_true(f->queue.broken);
    assert_int_equal(f->queue.outstanding, 0);
    assert_true(virtqueue_pop(&f->queue, &f->chain) < 0);
    assert_false(virtqueue_enable_doorbell(&f->queue));
    assert_false(virtqueue_should_notify(&f->queue));
    assert_int_equal(guest_queue_used_idx(f->driver), used);
}

static void desc(struct fixture *f, uint16_t index, uint64_t address, uint32_t length, unsigned flags,
                 uint16_t next)
{
    guest_queue_write_desc(f->driver, index, address, length, (uint16_t)flags, next);
}

/* Descriptor 0 refers to a table of `bytes` bytes. Returns the table. */
static uint64_t indirect(struct fixture *f, uint32_t bytes)
{
    uint64_t table = guest_alloc(f->guest, align_up(bytes + 1, 16), 16);

    desc(f, 0, table, bytes, VRING_DESC_F_INDIRECT, 0);
    return table;
}

/* --- the available ring --- */

static void test_avail_index_that_jumps_past_the_queue_breaks_it(void **state)
{
    struct fixture *f = *state;

    desc(f, 0, DATA, 1, 0, 0);
    guest_queue_set_avail_idx(f->driver, SIZE);
    expect_broken(f, -EINVAL);
}

static void test_avail_index_that_goes_back_breaks_the_queue(void **state)
{
    struct fixture *f = *state;

    guest_queue_set_avail_idx(f->driver, 65534);
    expect_broken(f, -EINVAL);
}

static void test_head_outside_the_table_breaks_the_queue(void **state)
{
    static const uint16_t heads[] = { SIZE, SIZE + 1, 65535 };
    struct fixture *f = *state;

    for (unsigned i = 0; i < ARRAY_SIZE(heads); i++) {
        start(f, 0);
        guest_queue_offer(f->driver, heads[i]);
        assert_int_equal(virtqueue_pop(&f->queue, &f->chain), -EINVAL);
        assert_true(f->queue.broken);
    }
}

static void test_more_chains_than_descriptors_are_not_handed_out(void **state)
{
    struct fixture *f = *state;

    /* the same head over and over, while the first is still outstanding */
    desc(f, 0, DATA, 1, 0, 0);
    for (unsigned i = 0; i < SIZE; i++) {
        guest_queue_offer(f->driver, 0);
        assert_int_equal(virtqueue_pop(&f->queue, &f->chain), 1);
    }
    assert_int_equal(f->queue.outstanding, SIZE);
    guest_queue_offer(f->driver, 0);
    assert_int_equal(virtqueue_pop(&f->queue, &f->chain), -EINVAL);
    assert_int_equal(f->queue.outstanding, SIZE);
}

static void test_broken_queue_takes_back_what_is_outstanding_without_publishing(void **state)
{
    struct fixture *f = *state;

    desc(f, 0, DATA, 1, 0, 0);
    guest_queue_offer(f->driver, 0);
    assert_int_equal(virtqueue_pop(&f->queue, &f->chain), 1);
    guest_queue_offer(f->driver, SIZE);
    assert_int_equal(virtqueue_pop(&f->queue, &f->chain), -EINVAL);
    virtqueue_push(&f->queue, 0, 1);
    virtqueue_disable_doorbell(&f->queue);
    assert_int_equal(f->queue.outstanding, 0);
    assert_int_equal(guest_queue_used_idx(f->driver), 0);
    assert_false(virtqueue_should_notify(&f->queue));
}

static void test_reset_mends_a_broken_queue(void **state)
{
    struct fixture *f = *state;

    expect_broken(f, (desc(f, 0, DATA, 1, NEXT, SIZE), -EINVAL));
    start(f, 0);
    desc(f, 0, DATA, 1, 0, 0);
    guest_queue_offer(f->driver, 0);
    assert_int_equal(virtqueue_pop(&f->queue, &f->chain), 1);
}

/* --- descriptors --- */

static void test_next_outside_the_table_breaks_the_queue(void **state)
{
    static const uint16_t nexts[] = { SIZE, 65535 };
    struct fixture *f = *state;

    for (unsigned i = 0; i < ARRAY_SIZE(nexts); i++) {
        start(f, 0);
        desc(f, 0, DATA, 1, NEXT, nexts[i]);
        expect_broken(f, -EINVAL);
    }
}

static void test_chain_that_loops_breaks_the_queue(void **state)
{
    struct fixture *f = *state;

    desc(f, 0, DATA, 1, NEXT, 0);
    expect_broken(f, -EINVAL);
    start(f, 0);
    for (uint16_t i = 0; i < SIZE; i++)
        desc(f, i, DATA, 1, NEXT, (uint16_t)((i + 1) % SIZE));
    expect_broken(f, -EINVAL);
    start(f, 0);
    desc(f, 0, DATA, 1, NEXT, 1);
    desc(f, 1, DATA, 0, NEXT, 2);
    desc(f, 2, DATA, 0, NEXT, 1);
    expect_broken(f, -EINVAL);
}

static void test_readable_after_writable_breaks_the_queue(void **state)
{
    struct fixture *f = *state;
    uint64_t table;

    desc(f, 0, DATA, 1, NEXT | WRITE, 1);
    desc(f, 1, DATA, 1, 0, 0);
    expect_broken(f, -EINVAL);
    start(f, 0);
    desc(f, 0, DATA, 1, NEXT, 1);
    desc(f, 1, DATA, 0, NEXT | WRITE, 2);
    desc(f, 2, DATA, 1, 0, 0);
    expect_broken(f, -EINVAL);
    /* also from the queue's table into an indirect one */
    start(f, INDIRECT);
    table = guest_alloc(f->guest, 16, 16);
    desc(f, 0, DATA, 1, NEXT | WRITE, 1);
    desc(f, 1, table, 16, VRING_DESC_F_INDIRECT, 0);
    guest_write_desc(f->guest, table, 0, DATA, 1, 0, 0);
    expect_broken(f, -EINVAL);
}

static void test_buffer_outside_ram_breaks_the_queue(void **state)
{
    static const struct {
        uint64_t address;
        uint32_t length;
    } buffers[] = {
        { GUEST_RAM_LOW_END, 1 },
        { GUEST_RAM_LOW_END - 1, 2 },
        { GUEST_RAM_HIGH - 1, 2 },
        { GUEST_RAM_HIGH_END, 1 },
        { GUEST_MMIO_BASE, 4 },
        { 0, UINT32_MAX },
        { UINT64_MAX, 1 },
        { UINT64_MAX, 2 },
        { UINT64_MAX - 0xfff, 0x2000 },
        { UINT64_C(1) << 63, UINT32_MAX },
    };
    struct fixture *f = *state;

    for (unsigned i = 0; i < ARRAY_SIZE(buffers); i++) {
        for (unsigned writable = 0; writable < 2; writable++) {
            start(f, 0);
            desc(f, 0, buffers[i].address, buffers[i].length, writable ? WRITE : 0, 0);
            expect_broken(f, -EFAULT);
        }
    }
}

static void test_more_vectors_than_there_is_room_for_break_the_queue(void **state)
{
    struct fixture *f = *state;

    f->chain.iov_max = 3;
    for (uint16_t i = 0; i < 4; i++)
        desc(f, i, DATA, 1, i < 3 ? NEXT : 0, (uint16_t)(i + 1));
    expect_broken(f, -E2BIG);
    /* a buffer across two mappings takes two */
    start(f, 0);
    desc(f, 0, DATA, 1, NEXT, 1);
    desc(f, 1, DATA, 1, NEXT, 2);
    desc(f, 2, GUEST_RAM_SEAM - 1, 2, 0, 0);
    expect_broken(f, -E2BIG);
    start(f, 0);
    desc(f, 2, GUEST_RAM_SEAM, 2, 0, 0);
    for (uint16_t i = 0; i < 2; i++)
        desc(f, i, DATA, 1, NEXT, (uint16_t)(i + 1));
    guest_queue_offer(f->driver, 0);
    assert_int_equal(virtqueue_pop(&f->queue, &f->chain), 1);
}

static void test_chain_longer_than_4_gib_breaks_the_queue(void **state)
{
    struct fixture *f = *state;
    const unsigned mebibytes = 4096;

    for (unsigned extra = 0; extra < 2; extra++) {
        unsigned entries = mebibytes + extra;
        uint64_t table;

        start(f, INDIRECT);
        table = indirect(f, 16 * entries);
        for (unsigned i = 0; i < entries; i++)
            guest_write_desc(f->guest, table, i, 0, MIB, i + 1 < entries ? NEXT : 0, (uint16_t)(i + 1));
        if (extra) {
            expect_broken(f, -EINVAL);
        } else {
            guest_queue_offer(f->driver, 0);
            assert_int_equal(virtqueue_pop(&f->queue, &f->chain), 1);
            assert_true(f->chain.out_length == UINT64_C(1) << 32);
        }
    }
}

/* --- indirect tables --- */

static void test_indirect_without_the_feature_breaks_the_queue(void **state)
{
    struct fixture *f = *state;

    start(f, EVENT_IDX);
    guest_write_desc(f->guest, indirect(f, 16), 0, DATA, 1, 0, 0);
    expect_broken(f, -EINVAL);
}

static void test_indirect_table_of_odd_or_no_length_breaks_the_queue(void **state)
{
    static const uint32_t lengths[] = { 0, 1, 8, 15, 17, 31 };
    struct fixture *f = *state;

    for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
        start(f, INDIRECT);
        guest_write_desc(f->guest, indirect(f, lengths[i]), 0, DATA, 1, 0, 0);
        expect_broken(f, -EINVAL);
    }
}

static void test_indirect_with_next_breaks_the_queue(void **state)
{
    struct fixture *f = *state;
    uint64_t table = indirect(f, 16);

    guest_write_desc(f->guest, table, 0, DATA, 1, 0, 0);
    desc(f, 0, table, 16, VRING_DESC_F_INDIRECT | NEXT, 1);
    desc(f, 1, DATA, 1, 0, 0);
    expect_broken(f, -EINVAL);
}

static void test_indirect_inside_an_indirect_table_breaks_the_queue(void **state)
{
    struct fixture *f = *state;
    uint64_t table = indirect(f, 32);

    /* itself, which would be endless */
    guest_write_desc(f->guest, table, 0, DATA, 1, NEXT, 1);
    guest_write_desc(f->guest, table, 1, table, 32, VRING_DESC_F_INDIRECT, 0);
    expect_broken(f, -EINVAL);
}

static void test_next_outside_an_indirect_table_breaks_the_queue(void **state)
{
    struct fixture *f = *state;
    uint64_t table = indirect(f, 32);

    /* 2 is a descriptor of the queue's table, but not of this one */
    desc(f, 2, DATA, 1, 0, 0);
    guest_write_desc(f->guest, table, 0, DATA, 1, NEXT, 2);
    guest_write_desc(f->guest, table, 2, DATA, 1, 0, 0);
    expect_broken(f, -EINVAL);
}

static void test_indirect_table_that_loops_breaks_the_queue(void **state)
{
    struct fixture *f = *state;
    uint64_t table = indirect(f, 48);

    for (unsigned i = 0; i < 3; i++)
        guest_write_desc(f->guest, table, i, DATA, i, NEXT, (uint16_t)((i + 1) % 3));
    expect_broken(f, -EINVAL);
}

static void test_indirect_table_outside_ram_breaks_the_queue(void **state)
{
    static const uint64_t tables[] = { GUEST_RAM_LOW_END, GUEST_RAM_LOW_END - 8, GUEST_MMIO_BASE,
                                       UINT64_MAX - 15, UINT64_MAX - 7 };
    struct fixture *f = *state;

    for (unsigned i = 0; i < ARRAY_SIZE(tables); i++) {
        start(f, INDIRECT);
        desc(f, 0, tables[i], 16, VRING_DESC_F_INDIRECT, 0);
        expect_broken(f, -EFAULT);
    }
    /* the part of the table that is read counts as well as its beginning */
    start(f, INDIRECT);
    desc(f, 0, GUEST_RAM_LOW_END - 16, 32, VRING_DESC_F_INDIRECT, 0);
    guest_write_desc(f->guest, GUEST_RAM_LOW_END - 16, 0, DATA, 1, NEXT, 1);
    expect_broken(f, -EFAULT);
}

/* Nothing but empty descriptors fills no vector, so only counting ends this walk. */
static void test_long_walk_over_empty_descriptors_is_bounded(void **state)
{
    const uint32_t entries = VIRTQUEUE_MAX_SIZE + 1;
    struct fixture *f = *state;
    uint64_t table = indirect(f, 16 * entries);

    for (uint32_t i = 0; i < entries; i++)
        guest_write_desc(f->guest, table, i, 0, 0, i + 1 < entries ? NEXT : 0, (uint16_t)(i + 1));
    expect_broken(f, -EINVAL);
}

/* --- all at once --- */

static uint64_t random_next(uint64_t *seed)
{
    /* xorshift64*: the same numbers on every run */
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * UINT64_C(2685821657736338717);
}

static uint64_t random_address(uint64_t *seed)
{
    static const uint64_t corners[] = { 0,
                                        GUEST_RAM_SEAM,
                                        GUEST_RAM_LOW_END,
                                        GUEST_RAM_HIGH,
                                        GUEST_RAM_HIGH_END,
                                        GUEST_MMIO_BASE,
                                        UINT64_C(1) << 63,
                                        UINT64_MAX };
    uint64_t corner = corners[random_next(seed) % ARRAY_SIZE(corners)];

    if (random_next(seed) % 4)
        return random_next(seed) % GUEST_RAM_LOW_END;
    return corner + random_next(seed) % 65 - 32;
}

static struct vring_desc random_desc(uint64_t *seed, uint64_t table)
{
    static const uint32_t lengths[] = { 0, 1, 16, 512, 4096, 0x100000, UINT32_MAX };
    struct vring_desc random = {
        .addr = random_address(seed),
        .len = lengths[random_next(seed) % ARRAY_SIZE(lengths)],
        .flags = (uint16_t)(random_next(seed) % 8 & (random_next(seed) % 3 ? 3 : 7)),
        .next = (uint16_t)(random_next(seed) % (random_next(seed) % 8 ? SIZE : 65536)),
    };

    if (random.flags & VRING_DESC_F_INDIRECT && random_next(seed) % 4) {
        random.addr = table;
        random.len = 16 * SIZE;
        random.flags &= (uint16_t)~NEXT;
    }
    return random;
}

static bool in_ram(const struct fixture *f, const struct iovec *iov)
{
    for (unsigned i = 0; i < guest_memory_region_count(f->guest->memory); i++) {
        const struct guest_memory_region *region = guest_memory_region_at(f->guest->memory, i);

        if (range_within((uintptr_t)iov->iov_base, iov->iov_len, (uintptr_t)region->host, region->size))
            return true;
    }
    return false;
}

static void check_chain(const struct fixture *f)
{
    const struct virtqueue_chain *chain = &f->chain;

    assert_true(chain->out_count + chain->in_count <= chain->iov_max);
    for (unsigned i = 0; i < chain->out_count + chain->in_count; i++) {
        assert_true(f->iov[i].iov_len > 0);
        assert_true(in_ram(f, &f->iov[i]));
    }
    assert_true(iov_length(chain->iov, chain->out_count) == chain->out_length);
    assert_true(iov_length(chain->iov + chain->out_count, chain->in_count) == chain->in_length);
    assert_true(chain->head < SIZE);
}

static void test_random_rings_never_yield_anything_outside_ram(void **state)
{
    struct fixture *f = *state;
    uint64_t seed = UINT64_C(0x52696e676c657421);
    uint64_t table = guest_alloc(f->guest, 16 * SIZE, 16);
    unsigned popped = 0, broken = 0;

    for (unsigned round = 0; round < 20000; round++) {
        struct vring_desc descs[SIZE];
        int result;

        /* the same memory each time */
        virtqueue_reset(&f->queue);
        f->queue.size = SIZE;
        f->queue.desc_address = f->driver->desc;
        f->queue.avail_address = f->driver->avail;
        f->queue.used_address = f->driver->used;
        assert_int_equal(virtqueue_enable(&f->queue, round % 8 ? INDIRECT : 0), 0);
        f->chain.iov_max = round % 16 ? MAX_IOV : (unsigned)(random_next(&seed) % 4);
        for (unsigned i = 0; i < SIZE; i++)
            descs[i] = random_desc(&seed, table);
        guest_write(f->guest, f->driver->desc, descs, sizeof(descs));
        for (unsigned i = 0; i < SIZE; i++)
            descs[i] = random_desc(&seed, table);
        guest_write(f->guest, table, descs, sizeof(descs));
        f->driver->avail_idx = 0;
        for (unsigned i = 0; i < SIZE; i++)
            guest_queue_offer(f->driver,
                              (uint16_t)(random_next(&seed) % (SIZE + !(random_next(&seed) % 16))));
        if (!(random_next(&seed) % 16))
            guest_queue_set_avail_idx(f->driver, (uint16_t)random_next(&seed));

        while ((result = virtqueue_pop(&f->queue, &f->chain)) > 0) {
            check_chain(f);
            assert_true(f->queue.outstanding <= SIZE);
            popped++;
            if (random_next(&seed) % 2)
                virtqueue_push(&f->queue, f->chain.head, (uint32_t)f->chain.in_length);
        }
        broken += result < 0;
        assert_int_equal(f->queue.broken, result < 0);
    }
    /* Both kinds were met, or the rings were not random enough to say anything. */
    assert_true(popped > 10000 && broken > 10000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_avail_index_that_jumps_past_the_queue_breaks_it),
        TEST(test_avail_index_that_goes_back_breaks_the_queue),
        TEST(test_head_outside_the_table_breaks_the_queue),
        TEST(test_more_chains_than_descriptors_are_not_handed_out),
        TEST(test_broken_queue_takes_back_what_is_outstanding_without_publishing),
        TEST(test_reset_mends_a_broken_queue),
        TEST(test_next_outside_the_table_breaks_the_queue),
        TEST(test_chain_that_loops_breaks_the_queue),
        TEST(test_readable_after_writable_breaks_the_queue),
        TEST(test_buffer_outside_ram_breaks_the_queue),
        TEST(test_more_vectors_than_there_is_room_for_break_the_queue),
        TEST(test_chain_longer_than_4_gib_breaks_the_queue),
        TEST(test_indirect_without_the_feature_breaks_the_queue),
        TEST(test_indirect_table_of_odd_or_no_length_breaks_the_queue),
        TEST(test_indirect_with_next_breaks_the_queue),
        TEST(test_indirect_inside_an_indirect_table_breaks_the_queue),
        TEST(test_next_outside_an_indirect_table_breaks_the_queue),
        TEST(test_indirect_table_that_loops_breaks_the_queue),
        TEST(test_indirect_table_outside_ram_breaks_the_queue),
        TEST(test_long_walk_over_empty_descriptors_is_bounded),
        TEST(test_random_rings_never_yield_anything_outside_ram),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
