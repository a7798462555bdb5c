/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_virtio_rng.c - the entropy device (virtio 1.2, 5.4).
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
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

#include "fake_entropy.h"
#include "guest_driver.h"
#include "ringlet/util.h"
#include "ringlet/virtio_rng.h"

static struct guest_driver *guest;
static struct fake_entropy entropy;

static void complete_request(uint8_t byte, size_t length)
{
    guest_driver_enter(guest);
    fake_entropy_complete(&entropy, byte, length);
    guest_driver_leave(guest);
}

static void fail_request(int error)
{
    guest_driver_enter(guest);
    fake_entropy_fail(&entropy, error);
    guest_driver_leave(guest);
}

static int setup(void **state)
{
    struct virtio_device *device;

    (void)state;
    guest = guest_driver_create();
    fake_entropy_init(&entropy);
    assert_int_equal(virtio_rng_create("rng0", &entropy.backend, guest->memory, &device), 0);
    guest_driver_plug(guest, device);
    guest_driver_start(guest, GUEST_ALL_FEATURES, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    while (entropy.pending)
        complete_request(0, SIZE_MAX);
    guest_driver_destroy(guest);
    assert_true(entropy.destroyed);
    return 0;
}

static uint64_t send_buffer(uint32_t length)
{
    struct guest_segment segment = { guest_alloc(guest, length, 16), length, true };

    guest_queue_add(&guest->queues[0], &segment, 1);
    guest_queue_kick(&guest->queues[0]);
    return segment.address;
}

static void expect_used(uint32_t length)
{
    struct guest_used used;

    assert_true(guest_queue_take_used(&guest->queues[0], &used));
    assert_int_equal(used.length, length);
}

static void expect_nothing(void)
{
    struct guest_used used;

    assert_false(guest_queue_take_used(&guest->queues[0], &used));
}

static bool needs_reset(void)
{
    return guest_status(guest) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static void expect_bytes(uint64_t address, uint8_t byte, size_t length)
{
    for (size_t i = 0; i < length; i++)
        assert_int_equal(*(uint8_t *)guest_at(guest, address + i, 1), byte);
}

/* Reset, and start anew in RAM as empty as at first: guest_alloc() never gives anything back. */
static void start_afresh(void)
{
    guest_reset(guest);
    guest->next_free = 0x1000;
    memset(guest_at(guest, 0x1000, GUEST_RAM_SEAM - 0x1000), 0, GUEST_RAM_SEAM - 0x1000);
    guest_driver_start(guest, GUEST_ALL_FEATURES, 0);
}

/* A fresh start, after which a buffer is filled. */
static void expect_service(void)
{
    guest_driver_start(guest, GUEST_ALL_FEATURES, 0);
    send_buffer(64);
    assert_non_null(entropy.pending);
    complete_request(1, 64);
    expect_used(64);
}

static void test_rng_device_id_is_4_and_it_has_one_queue_and_no_configuration(void **state)
{
    uint8_t config[16], zeroes[16] = { 0 };

    (void)state;
    assert_int_equal(guest_register_read(guest, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_RNG);
    assert_int_equal(VIRTIO_ID_RNG, 4);
    assert_int_equal(guest->device->queue_count, 1);
    guest_config_write(guest, 0, 0xff, 4);
    guest_config_read(guest, 0, config, sizeof(config));
    assert_memory_equal(config, zeroes, sizeof(config));
}

static void test_rng_fills_the_buffer_and_says_how_much(void **state)
{
    uint64_t at = send_buffer(64);

    (void)state;
    assert_int_equal(fake_entropy_wanted(&entropy), 64);
    expect_nothing();
    complete_request(0x5a, 64);
    expect_used(64);
    expect_bytes(at, 0x5a, 64);
    assert_true(guest_take_interrupts(guest) > 0);
}

static void test_rng_says_only_as_much_as_the_host_gave(void **state)
{
    uint64_t at = send_buffer(64);

    (void)state;
    complete_request(0x5a, 1);
    expect_used(1);
    expect_bytes(at, 0x5a, 1);
    expect_bytes(at + 1, 0, 63);
}

static void test_rng_asks_for_64_kib_at_most(void **state)
{
    const uint32_t length = 64 * 1024 + 1;
    uint64_t at = send_buffer(length);

    (void)state;
    assert_int_equal(fake_entropy_wanted(&entropy), 64 * 1024);
    complete_request(0x5a, SIZE_MAX);
    expect_used(64 * 1024);
    expect_bytes(at + 64 * 1024, 0, 1);
}

static void test_rng_cuts_64_kib_out_of_many_buffers(void **state)
{
    uint64_t at = guest_alloc(guest, 3 * 40000, 16);
    const struct guest_segment segments[] = { { at, 40000, true },
                                              { at + 40000, 40000, true },
                                              { at + 80000, 40000, true } };

    (void)state;
    guest_queue_add_indirect(&guest->queues[0], segments, 3, 0);
    guest_queue_kick(&guest->queues[0]);
    assert_int_equal(fake_entropy_wanted(&entropy), 64 * 1024);
    complete_request(0x5a, SIZE_MAX);
    expect_used(64 * 1024);
    expect_bytes(at + 64 * 1024, 0, 1);
}

static void test_rng_fills_scattered_buffers_in_order_and_across_a_border_of_ram(void **state)
{
    uint64_t first = guest_alloc(guest, 3, 1), high = guest_alloc_high(guest, 5, 1);
    const struct guest_segment segments[] = { { first, 3, true },
                                              { GUEST_RAM_SEAM - 2, 4, true },
                                              { high, 5, true } };

    (void)state;
    guest_queue_add(&guest->queues[0], segments, 3);
    guest_queue_kick(&guest->queues[0]);
    assert_int_equal(fake_entropy_wanted(&entropy), 12);
    complete_request(0x5a, 9);
    expect_used(9);
    expect_bytes(first, 0x5a, 3);
    expect_bytes(GUEST_RAM_SEAM - 2, 0x5a, 4);
    expect_bytes(high, 0x5a, 2);
    expect_bytes(high + 2, 0, 3);
}

static void test_rng_accepts_chains_as_long_as_the_queue_with_one_more_vector_for_the_border(void **state)
{
    struct guest_segment segments[8];

    (void)state;
    assert_int_equal(guest->queues[0].size, ARRAY_SIZE(segments));
    for (unsigned i = 0; i < ARRAY_SIZE(segments); i++)
        segments[i] = (struct guest_segment){ guest_alloc(guest, 16, 1), 16, true };
    segments[3].address = GUEST_RAM_SEAM - 8;
    guest_queue_add_indirect(&guest->queues[0], segments, ARRAY_SIZE(segments), 0);
    guest_queue_kick(&guest->queues[0]);
    assert_int_equal(fake_entropy_wanted(&entropy), 128);
    assert_int_equal(entropy.pending->iov_count, 9);
}

static void test_rng_never_writes_what_is_for_reading(void **state)
{
    uint64_t at = guest_alloc(guest, 32, 16);
    const struct guest_segment segments[] = { { at, 16, false }, { at + 16, 16, true } };

    (void)state;
    guest_queue_add(&guest->queues[0], segments, 2);
    guest_queue_kick(&guest->queues[0]);
    assert_int_equal(fake_entropy_wanted(&entropy), 16);
    complete_request(0x5a, SIZE_MAX);
    expect_used(16);
    expect_bytes(at, 0, 16);
    expect_bytes(at + 16, 0x5a, 16);
}

static void test_rng_serves_waiting_buffers_one_after_the_other(void **state)
{
    struct guest_segment segments[8];

    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 8; i++) {
            segments[i] = (struct guest_segment){ guest_alloc(guest, 16, 1), 16, true };
            guest_queue_add(&guest->queues[0], &segments[i], 1);
        }
        assert_true(guest_queue_kick_if_wanted(&guest->queues[0]));
        for (unsigned i = 0; i < 8; i++) {
            expect_nothing();
            assert_non_null(entropy.pending);
            complete_request((uint8_t)(i + 1), 16);
            expect_used(16);
            expect_bytes(segments[i].address, (uint8_t)(i + 1), 16);
        }
        assert_null(entropy.pending);
    }
}

static void test_rng_buffer_without_a_writable_byte_sets_needs_reset(void **state)
{
    uint64_t at = guest_alloc(guest, 16, 16);
    const struct guest_segment rows[] = { { at, 16, false }, { at, 0, true } };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        guest_queue_add(&guest->queues[0], &rows[i], 1);
        guest_queue_kick(&guest->queues[0]);
        assert_true(needs_reset());
        assert_true(guest_acknowledge(guest) & VIRTIO_MMIO_INT_CONFIG);
        expect_nothing();
        assert_null(entropy.pending);
        expect_service();
    }
}

static void test_rng_without_random_bytes_sets_needs_reset_and_gives_back_no_buffer(void **state)
{
    static const int errors[] = { -EIO, -EAGAIN, -ECANCELED };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(errors); i++) {
        send_buffer(64);
        send_buffer(64);
        fail_request(errors[i]);
        assert_true(needs_reset());
        assert_true(guest_acknowledge(guest) & VIRTIO_MMIO_INT_CONFIG);
        expect_nothing();
        assert_null(entropy.pending);
        expect_service();
    }
}

static void test_rng_takes_no_bytes_for_a_failure(void **state)
{
    (void)state;
    send_buffer(64);
    complete_request(0x5a, 0);
    assert_true(needs_reset());
    expect_nothing();
    expect_service();
}

static void *reset_thread(void *argument)
{
    (void)argument;
    guest_reset(guest);
    return NULL;
}

static void test_rng_reset_waits_for_the_backend_and_publishes_nothing(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        pthread_t thread;
        bool begun = false;

        send_buffer(64);
        send_buffer(64);
        guest_take_interrupts(guest);
        assert_int_equal(pthread_create(&thread, NULL, reset_thread, NULL), 0);
        while (!begun) {
            sched_yield();
            pthread_mutex_lock(&guest->device->lock);
            begun = guest->device->resetting;
            pthread_mutex_unlock(&guest->device->lock);
        }
        assert_int_not_equal(guest_status(guest), 0);
        if (round)
            fail_request(-EIO);
        else
            complete_request(0x5a, 64);
        pthread_join(thread, NULL);
        assert_int_equal(guest_status(guest), 0);
        assert_null(entropy.pending);
        assert_int_equal(guest_queue_used_idx(&guest->queues[0]), 0);
        assert_int_equal(guest_take_interrupts(guest), 0);
        expect_service();
        guest_driver_start(guest, GUEST_ALL_FEATURES, 0);
    }
}

static void test_rng_noise_on_the_ring_never_loses_or_doubles_a_buffer(void **state)
{
    unsigned short seed[3] = { 2, 7, 1 };
    unsigned broken = 0, filled = 0;

    (void)state;
    for (unsigned round = 0; round < 1000; round++) {
        struct guest_queue *queue = &guest->queues[0];
        unsigned offered = 0, used_count = 0;
        struct guest_used used;
        uint64_t arena;

        start_afresh();
        arena = guest_alloc(guest, 4096, 4096);
        for (unsigned step = 0; step < 30 && !needs_reset(); step++) {
            if (offered - used_count < queue->size && nrand48(seed) % 2) {
                for (uint16_t i = 0; i < queue->size; i++) {
                    bool wild = nrand48(seed) % 200 == 0;

                    guest_queue_write_desc(queue, i, wild ? (uint64_t)nrand48(seed) << 8 : arena,
                                           (uint32_t)(1 + nrand48(seed) % (wild ? 100000 : 4096)),
                                           wild ? (uint16_t)nrand48(seed) : VRING_DESC_F_WRITE,
                                           (uint16_t)(nrand48(seed) % 8));
                }
                guest_queue_offer(queue, (uint16_t)(nrand48(seed) % (nrand48(seed) % 100 ? 8 : 65536)));
                offered++;
                guest_queue_kick(queue);
            } else if (entropy.pending) {
                complete_request(1, 1 + (size_t)nrand48(seed) % 5000);
            }
            while (guest_queue_take_used(queue, &used))
                used_count++;
            assert_true(used_count <= offered);
        }
        broken += needs_reset();
        while (entropy.pending)
            complete_request(1, SIZE_MAX);
        while (guest_queue_take_used(queue, &used))
            used_count++;
        if (!needs_reset())
            assert_int_equal(used_count, offered);
        filled += used_count;
    }
    assert_in_range(broken, 50, 950);
    assert_true(filled > 1000);
    start_afresh();
    expect_service();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rng_device_id_is_4_and_it_has_one_queue_and_no_configuration),
        TEST(test_rng_fills_the_buffer_and_says_how_much),
        TEST(test_rng_says_only_as_much_as_the_host_gave),
        TEST(test_rng_asks_for_64_kib_at_most),
        TEST(test_rng_cuts_64_kib_out_of_many_buffers),
        TEST(test_rng_fills_scattered_buffers_in_order_and_across_a_border_of_ram),
        TEST(test_rng_accepts_chains_as_long_as_the_queue_with_one_more_vector_for_the_border),
        TEST(test_rng_never_writes_what_is_for_reading),
        TEST(test_rng_serves_waiting_buffers_one_after_the_other),
        TEST(test_rng_buffer_without_a_writable_byte_sets_needs_reset),
        TEST(test_rng_without_random_bytes_sets_needs_reset_and_gives_back_no_buffer),
        TEST(test_rng_takes_no_bytes_for_a_failure),
        TEST(test_rng_reset_waits_for_the_backend_and_publishes_nothing),
        TEST(test_rng_noise_on_the_ring_never_loses_or_doubles_a_buffer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
