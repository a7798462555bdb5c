/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_virtio_blk_hostile.c - the block device under drivers that break the rules, and under resets while the
 * backend holds requests: nothing completes twice, nothing is lost, and a reset brings the device back.
 */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "blk_guest.h"
#include "ringlet/util.h"

static struct blk_guest blk;

static int setup(void **state)
{
    (void)state;
    blk_guest_create(&blk, NULL, NULL);
    guest_driver_start(blk.guest, GUEST_ALL_FEATURES, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    blk_guest_destroy(&blk);
    return 0;
}

static bool needs_reset(void)
{
    return guest_status(blk.guest) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

/* Reset, and start anew in RAM as empty as at first: guest_alloc() never gives anything back. */
static void start_afresh(void)
{
    guest_reset(blk.guest);
    blk.guest->next_free = 0x1000;
    memset(guest_at(blk.guest, 0x1000, GUEST_RAM_SEAM - 0x1000), 0, GUEST_RAM_SEAM - 0x1000);
    guest_driver_start(blk.guest, GUEST_ALL_FEATURES, 0);
}

/* --- requests that cannot be answered, or hardly --- */

/* A header alone, of any length, with a status byte or without. */
static uint64_t add_bare_request(uint32_t header_length, bool with_status)
{
    uint64_t at = guest_alloc(blk.guest, 32, 16);
    const struct guest_segment segments[] = { { at, header_length, false }, { at + 31, 1, true } };

    guest_write(blk.guest, at + 31, "\xff", 1);
    guest_queue_add(&blk.guest->queues[0], segments, with_status ? 2 : 1);
    return at + 31;
}

static void test_blk_request_without_a_status_byte_sets_needs_reset_and_is_not_given_back(void **state)
{
    (void)state;
    guest_take_interrupts(blk.guest);
    add_bare_request(16, false);
    guest_queue_kick(&blk.guest->queues[0]);
    assert_true(needs_reset());
    assert_int_equal(guest_acknowledge(blk.guest) & VIRTIO_MMIO_INT_CONFIG, VIRTIO_MMIO_INT_CONFIG);
    assert_true(guest_take_interrupts(blk.guest) > 0);
    blk_guest_expect_nothing(&blk, 0);

    /* Nothing more is served before the reset, everything after. */
    blk_guest_send(&blk, 0, VIRTIO_BLK_T_IN, 0, 512);
    assert_int_equal(blk.disk.pending_count, 0);
    blk_guest_expect_service(&blk);
}

static void test_blk_unanswerable_request_leaves_those_in_flight_to_end(void **state)
{
    struct blk_io io = blk_guest_send(&blk, 0, VIRTIO_BLK_T_IN, 0, 512);

    (void)state;
    add_bare_request(16, false);
    guest_queue_kick(&blk.guest->queues[0]);
    assert_true(needs_reset());
    assert_int_equal(blk.disk.pending_count, 1);
    blk_guest_complete(&blk, 0);
    assert_int_equal(blk_guest_status(&blk, &io), VIRTIO_BLK_S_OK);
    assert_int_equal(blk.guest->device->in_flight, 0);
    blk_guest_expect_service(&blk);
}

static void test_blk_unanswerable_requests_do_not_use_up_the_device(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        add_bare_request(16, false);
        guest_queue_kick(&blk.guest->queues[0]);
        assert_true(needs_reset());
        start_afresh();
    }
    blk_guest_expect_service(&blk);
}

static void test_blk_request_with_a_short_header_fails_with_ioerr(void **state)
{
    struct guest_used used;
    uint64_t status_at;
    uint8_t status;

    (void)state;
    for (uint32_t length = 1; length < 16; length++) {
        status_at = add_bare_request(length, true);
        guest_queue_kick(&blk.guest->queues[0]);
        assert_true(guest_queue_take_used(&blk.guest->queues[0], &used));
        assert_int_equal(used.length, 1);
        guest_read(blk.guest, status_at, &status, 1);
        assert_int_equal(status, VIRTIO_BLK_S_IOERR);
    }
    assert_false(needs_reset());
}

static void test_blk_chain_of_more_vectors_than_seg_max_allows_sets_needs_reset(void **state)
{
    struct virtio_blk_config config = blk_guest_config;
    struct guest_segment segments[126 + 2 + 8];
    uint64_t at;

    (void)state;
    config.queue_size = 256;
    blk_guest_destroy(&blk);
    blk_guest_create(&blk, &config, NULL);
    guest_driver_start(blk.guest, GUEST_ALL_FEATURES, 0);
    at = guest_alloc(blk.guest, 512, 512);
    for (unsigned i = 0; i < ARRAY_SIZE(segments); i++)
        segments[i] = (struct guest_segment){ at, 512, false };
    segments[ARRAY_SIZE(segments) - 1].writable = true;
    guest_queue_add_indirect(&blk.guest->queues[0], segments, ARRAY_SIZE(segments), 0);
    guest_queue_kick(&blk.guest->queues[0]);
    assert_true(needs_reset());
    assert_int_equal(blk.disk.pending_count, 0);
    blk_guest_expect_service(&blk);
}

static void test_blk_buffer_outside_ram_sets_needs_reset(void **state)
{
    uint64_t at = guest_alloc(blk.guest, 32, 16);
    const struct guest_segment segments[] = { { at, 16, false },
                                              { GUEST_RAM_LOW_END - 512, 1024, true },
                                              { at + 16, 1, true } };

    (void)state;
    guest_queue_add(&blk.guest->queues[0], segments, ARRAY_SIZE(segments));
    guest_queue_kick(&blk.guest->queues[0]);
    assert_true(needs_reset());
    assert_int_equal(blk.disk.pending_count, 0);
    blk_guest_expect_service(&blk);
}

static void test_blk_one_head_made_available_twice_is_two_requests_each_ended_once(void **state)
{
    struct blk_io io = blk_guest_add(&blk, 0, VIRTIO_BLK_T_IN, 0, 512);

    (void)state;
    guest_queue_offer(&blk.guest->queues[0], io.head);
    guest_queue_kick(&blk.guest->queues[0]);
    assert_int_equal(blk.disk.pending_count, 2);
    blk_guest_complete_all(&blk);
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_OK, 513);
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_OK, 513);
    blk_guest_expect_nothing(&blk, 0);
}

static void test_blk_more_chains_than_the_queue_holds_set_needs_reset(void **state)
{
    struct blk_io io = blk_guest_add(&blk, 0, VIRTIO_BLK_T_IN, 0, 512);

    (void)state;
    for (unsigned i = 1; i < 64; i++)
        guest_queue_offer(&blk.guest->queues[0], io.head);
    guest_queue_kick(&blk.guest->queues[0]);
    assert_int_equal(blk.disk.pending_count, 64);
    assert_false(needs_reset());
    guest_queue_offer(&blk.guest->queues[0], io.head);
    guest_queue_kick(&blk.guest->queues[0]);
    assert_true(needs_reset());
    assert_int_equal(blk.disk.pending_count, 64);
    blk_guest_complete_all(&blk);
    assert_int_equal(blk.guest->device->in_flight, 0);
    blk_guest_expect_service(&blk);
}

static void test_blk_segments_rewritten_after_the_kick_change_nothing(void **state)
{
    struct virtio_blk_discard_write_zeroes segments[2] = {
        { .sector = htole64(0), .num_sectors = htole32(8) },
        { .sector = htole64(16), .num_sectors = htole32(8) },
    };
    struct blk_io io = blk_guest_send_data(&blk, 0, VIRTIO_BLK_T_DISCARD, 0, segments, sizeof(segments));

    (void)state;
    memset(segments, 0xff, sizeof(segments));
    guest_write(blk.guest, io.data, segments, sizeof(segments));
    blk_guest_complete(&blk, 0);
    assert_int_equal(memory_block_pending(&blk.disk, 0)->offset, 16 * 512);
    assert_int_equal(memory_block_pending(&blk.disk, 0)->length, 8 * 512);
    blk_guest_complete(&blk, 0);
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_OK, 1);
}

/* --- reset while requests are with the backend --- */

static void *reset_thread(void *argument)
{
    (void)argument;
    guest_reset(blk.guest);
    return NULL;
}

/* A vCPU writes 0 to Status; returns once the device has begun to wait. */
static pthread_t begin_reset(void)
{
    pthread_t thread;
    bool begun = false;

    assert_int_equal(pthread_create(&thread, NULL, reset_thread, NULL), 0);
    while (!begun) {
        sched_yield();
        pthread_mutex_lock(&blk.guest->device->lock);
        begun = blk.guest->device->resetting;
        pthread_mutex_unlock(&blk.guest->device->lock);
    }
    return thread;
}

static void test_blk_reset_waits_for_requests_in_flight_and_publishes_none_of_them(void **state)
{
    pthread_t thread;

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        blk_guest_add(&blk, 0, i % 2 ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, i, 512);
    guest_queue_kick(&blk.guest->queues[0]);
    assert_int_equal(blk.disk.pending_count, 5);
    guest_take_interrupts(blk.guest);

    thread = begin_reset();
    assert_int_not_equal(guest_status(blk.guest), 0);
    for (unsigned i = 0; i < 4; i++) {
        if (i % 2)
            blk_guest_fail(&blk, 0, -EIO);
        else
            blk_guest_complete(&blk, 0);
        assert_int_not_equal(guest_status(blk.guest), 0);
    }
    blk_guest_complete(&blk, 0);
    pthread_join(thread, NULL);

    assert_int_equal(guest_status(blk.guest), 0);
    blk_guest_expect_nothing(&blk, 0);
    assert_int_equal(guest_take_interrupts(blk.guest), 0);
    blk_guest_expect_service(&blk);
}

static void test_blk_reset_ends_a_discard_after_the_segment_that_is_under_way(void **state)
{
    struct virtio_blk_discard_write_zeroes segments[8];
    pthread_t thread;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(segments); i++)
        segments[i] =
            (struct virtio_blk_discard_write_zeroes){ .sector = htole64(i), .num_sectors = htole32(1) };
    blk_guest_send_data(&blk, 0, VIRTIO_BLK_T_DISCARD, 0, segments, sizeof(segments));
    blk_guest_complete(&blk, 0);

    thread = begin_reset();
    blk_guest_complete(&blk, 0);
    pthread_join(thread, NULL);
    assert_int_equal(blk.disk.submits[BLOCK_DISCARD], 2);
    blk_guest_expect_nothing(&blk, 0);
    blk_guest_expect_service(&blk);
}

static void test_blk_resets_in_flight_lose_no_slots(void **state)
{
    struct blk_io io;

    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        pthread_t thread;

        start_afresh();
        for (unsigned i = 0; i < 64; i++)
            blk_guest_add(&blk, 0, VIRTIO_BLK_T_IN, i, 512);
        guest_queue_kick(&blk.guest->queues[0]);
        assert_int_equal(blk.disk.pending_count, 64);
        thread = begin_reset();
        while (blk.disk.pending_count)
            blk_guest_complete(&blk, blk.disk.pending_count / 2);
        pthread_join(thread, NULL);
    }
    start_afresh();
    io = blk_guest_send(&blk, 0, VIRTIO_BLK_T_FLUSH, 0, 0);
    blk_guest_complete(&blk, 0);
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_OK, 1);
}

/* --- noise --- */

struct noise {
    unsigned short seed[3];
    unsigned used, broken, failed;
};

static uint32_t below(struct noise *noise, uint32_t limit)
{
    return (uint32_t)((unsigned long)nrand48(noise->seed) % limit);
}

/* Mostly a request as it should be; sometimes no such thing. */
static void noisy_request(struct noise *noise, struct guest_queue *queue, uint64_t arena)
{
    static const uint32_t types[] = { VIRTIO_BLK_T_IN,      VIRTIO_BLK_T_OUT,     VIRTIO_BLK_T_FLUSH,
                                      VIRTIO_BLK_T_GET_ID,  VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES,
                                      VIRTIO_BLK_T_SCSI_CMD };
    struct virtio_blk_outhdr header = { .type = htole32(types[below(noise, ARRAY_SIZE(types))]),
                                        .sector = htole64(below(noise, 600)) };
    uint32_t count = 1 + below(noise, 8);
    uint16_t head = (uint16_t)below(noise, queue->size);
    uint16_t index = head;
    unsigned writable_from = below(noise, 400) ? below(noise, count) : count;

    if (!below(noise, 16))
        header.sector = htole64((uint64_t)nrand48(noise->seed) << below(noise, 34));
    guest_write(queue->guest, arena + 16 * head, &header, sizeof(header));
    for (uint32_t i = 0; i < count; i++) {
        uint64_t address = arena + 512 * below(noise, 128);
        uint32_t length = below(noise, 4) ? 512 * below(noise, 5) : below(noise, 100);
        uint16_t flags = (uint16_t)((i >= writable_from ? VRING_DESC_F_WRITE : 0) |
                                    (i + 1 < count ? VRING_DESC_F_NEXT : 0));
        uint16_t next = (uint16_t)((index + 1) % queue->size);

        if (!i && below(noise, 16)) {
            address = arena + 16 * head;
            length = 16;
        }
        if (i + 1 == count && (!length || below(noise, 16)))
            length = 1;
        if (!below(noise, 400))
            address = (uint64_t)nrand48(noise->seed) << below(noise, 34);
        if (!below(noise, 400))
            flags = (uint16_t)nrand48(noise->seed);
        if (!below(noise, 400))
            next = (uint16_t)nrand48(noise->seed);
        guest_queue_write_desc(queue, index, address, length, flags, next);
        index = next % queue->size;
    }
    guest_queue_offer(queue, below(noise, 400) ? head : (uint16_t)nrand48(noise->seed));
}

static void test_blk_noise_on_the_ring_never_completes_anything_twice_or_never(void **state)
{
    struct noise noise = { .seed = { 3, 1, 4 } };

    (void)state;
    for (unsigned round = 0; round < 400; round++) {
        struct guest_queue *queue = &blk.guest->queues[0];
        unsigned offered = 0, used_count = 0;
        struct guest_used used;
        uint64_t arena;

        start_afresh();
        arena = guest_alloc(blk.guest, 128 * 512 + 4096, 4096);
        for (unsigned step = 0; step < 60 && !needs_reset(); step++) {
            if (offered - used_count < queue->size && below(&noise, 3)) {
                noisy_request(&noise, queue, arena);
                offered++;
                guest_queue_kick(queue);
            } else if (blk.disk.pending_count && below(&noise, 4)) {
                blk_guest_complete(&blk, below(&noise, blk.disk.pending_count));
            } else if (blk.disk.pending_count) {
                blk_guest_fail(&blk, below(&noise, blk.disk.pending_count), -EIO);
                noise.failed++;
            }
            while (guest_queue_take_used(queue, &used))
                used_count++;
            assert_true(used_count <= offered);
        }
        noise.broken += needs_reset();
        while (blk.disk.pending_count)
            blk_guest_complete(&blk, below(&noise, blk.disk.pending_count));
        while (guest_queue_take_used(queue, &used))
            used_count++;
        assert_int_equal(blk.guest->device->in_flight, 0);
        /* Whoever kept to the ring's rules got every chain back, exactly once. */
        if (!needs_reset())
            assert_int_equal(used_count, offered);
        noise.used += used_count;
    }
    /* The noise was neither all rubbish nor all fine. */
    assert_in_range(noise.broken, 20, 380);
    assert_true(noise.used > 1000 && noise.failed > 100);
    start_afresh();
    blk_guest_expect_service(&blk);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_blk_request_without_a_status_byte_sets_needs_reset_and_is_not_given_back),
        TEST(test_blk_unanswerable_request_leaves_those_in_flight_to_end),
        TEST(test_blk_unanswerable_requests_do_not_use_up_the_device),
        TEST(test_blk_request_with_a_short_header_fails_with_ioerr),
        TEST(test_blk_chain_of_more_vectors_than_seg_max_allows_sets_needs_reset),
        TEST(test_blk_buffer_outside_ram_sets_needs_reset),
        TEST(test_blk_one_head_made_available_twice_is_two_requests_each_ended_once),
        TEST(test_blk_more_chains_than_the_queue_holds_set_needs_reset),
        TEST(test_blk_segments_rewritten_after_the_kick_change_nothing),
        TEST(test_blk_reset_waits_for_requests_in_flight_and_publishes_none_of_them),
        TEST(test_blk_reset_ends_a_discard_after_the_segment_that_is_under_way),
        TEST(test_blk_resets_in_flight_lose_no_slots),
        TEST(test_blk_noise_on_the_ring_never_completes_anything_twice_or_never),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
