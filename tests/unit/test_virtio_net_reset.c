/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device taken away from under its requests: resets, queues taken away and the machine's end,
 * with receives posted that no frame would ever end; and drivers that mean no good. Meant to be run under
 * ThreadSanitizer as well.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net_guest.h"
#include "ringlet/bus.h"
#include "ringlet/util.h"

static uint8_t frame[60];

static int set_up(void **state)
{
    struct net_guest *net = malloc(sizeof(*net));
    struct virtio_net_options options = net_guest_options;

    assert_non_null(net);
    options.queue_pairs = 2;
    options.queue_size = 16;
    net_guest_create(net, &options, NULL);
    net_guest_make_frame(frame, sizeof(frame), 5);
    *state = net;
    return 0;
}

static int tear_down(void **state)
{
    net_guest_destroy(*state);
    free(*state);
    return 0;
}

/* RAM from `mark` on is nobody's again, and zero. The device has been reset: it knows none of it. */
static void release(struct net_guest *net, uint64_t mark)
{
    static const uint8_t zeroes[4096];

    for (uint64_t at = mark; at < net->guest->next_free; at += sizeof(zeroes))
        guest_write(net->guest, at, zeroes, sizeof(zeroes));
    net->guest->next_free = mark;
}

/* --- a vCPU, which may have to wait --- */

struct vcpu {
    struct net_guest *net;
    uint64_t offset;
    uint32_t value;
    pthread_t thread;
};

static void *write_register(void *argument)
{
    struct vcpu *vcpu = argument;

    bus_write(vcpu->net->guest->bus, GUEST_MMIO_BASE + vcpu->offset, vcpu->value, 4);
    return NULL;
}

static void vcpu_write(struct vcpu *vcpu, struct net_guest *net, uint64_t offset, uint32_t value)
{
    *vcpu = (struct vcpu){ .net = net, .offset = offset, .value = value };
    assert_int_equal(pthread_create(&vcpu->thread, NULL, write_register, vcpu), 0);
}

static void start_with_all_in_flight(struct net_guest *net)
{
    net->net.cancel_later = false;
    guest_driver_start(net->guest, GUEST_ALL_FEATURES, 16);
    net_guest_offer(net, 0, 8, 16384);
    net_guest_send(net, 0, &net_guest_plain, frame, sizeof(frame));
    assert_true(net->net.receives[0].count > 0);
    assert_int_equal(net->net.transmits[0].count, 1);
    net->net.cancel_later = true;
    while (!sem_trywait(&net->net.cancel_called))
        ;
}

static void end_cancelled(struct net_guest *net)
{
    guest_driver_enter(net->guest);
    fake_net_end_cancelled(&net->net);
    guest_driver_leave(net->guest);
}

static void test_net_reset_ends_receives_that_wait_for_ever(void **state)
{
    struct net_guest *net = *state;
    struct vcpu vcpu;

    start_with_all_in_flight(net);
    vcpu_write(&vcpu, net, VIRTIO_MMIO_STATUS, 0);
    sem_wait(&net->net.cancel_called);
    /* One of them was faster: its frame is not the new driver's. */
    assert_true(net_guest_arrive(net, 0, &net_guest_plain, frame, sizeof(frame)));
    assert_int_not_equal(guest_status(net->guest), 0);
    end_cancelled(net);
    pthread_join(vcpu.thread, NULL);
    assert_int_equal(guest_status(net->guest), 0);
    assert_int_equal(guest_queue_used_idx(&net->guest->queues[0]), 0);
    assert_int_equal(guest_queue_used_idx(&net->guest->queues[1]), 0);
    assert_int_equal(net->net.receives[0].count, 0);

    net->net.cancel_later = false;
    guest_driver_start(net->guest, GUEST_ALL_FEATURES, 16);
    assert_int_equal(net->net.receives[0].count, 0); /* nothing of the old driver's buffers */
    net_guest_offer(net, 0, 1, 256);
    assert_int_equal(fake_net_room(&net->net, 0), 256);
    net_guest_expect_service(net, 0);
}

static void take_queue_away(struct net_guest *net, unsigned index)
{
    struct vcpu vcpu;

    guest_register_write(net->guest, VIRTIO_MMIO_QUEUE_SEL, index);
    vcpu_write(&vcpu, net, VIRTIO_MMIO_QUEUE_READY, 0);
    sem_wait(&net->net.cancel_called);
    end_cancelled(net);
    pthread_join(vcpu.thread, NULL);
    assert_int_equal(guest_register_read(net->guest, VIRTIO_MMIO_QUEUE_READY), 0);
    guest_driver_turn(net->guest);
}

static void test_net_receive_queue_taken_away_leaves_no_buffer_behind(void **state)
{
    struct net_guest *net = *state;

    start_with_all_in_flight(net);
    take_queue_away(net, 0);
    assert_int_equal(net->net.receives[0].count, 0);
    guest_queue_place(net->guest, 0, 16);
    assert_true(guest_queue_enable(&net->guest->queues[0]));
    net_guest_offer(net, 0, 1, 256);
    assert_int_equal(fake_net_room(&net->net, 0), 256);
    net_guest_expect_service(net, 0);
    net_guest_expect_nothing(net, 0);
}

static void test_net_receives_of_other_queues_are_posted_again_when_one_was_taken_away(void **state)
{
    struct net_guest *net = *state;
    size_t room;

    start_with_all_in_flight(net);
    room = fake_net_room(&net->net, 0);
    take_queue_away(net, 1);
    assert_int_equal(fake_net_room(&net->net, 0), room);
    for (unsigned i = 0; i < 8; i++)
        net_guest_expect_service(net, 0);
    net_guest_expect_nothing(net, 0);
}

static void test_net_control_queue_may_be_taken_away(void **state)
{
    struct net_guest *net = *state;

    start_with_all_in_flight(net);
    take_queue_away(net, net_guest_controlq(net));
    for (unsigned i = 0; i < 8; i++)
        net_guest_expect_service(net, 0);
}

static void test_net_stop_ends_receives_and_posts_none(void **state)
{
    struct net_guest *net = *state;

    start_with_all_in_flight(net);
    virtio_device_stop(net->device);
    end_cancelled(net);
    assert_int_equal(net->device->in_flight, 0);
    net_guest_offer(net, 0, 1, 1526);
    guest_queue_kick(&net->guest->queues[0]);
    net_guest_set_link(net, false);
    net_guest_set_link(net, true);
    assert_int_equal(net->net.receives[0].count, 0);
}

/* --- the loop on a thread of its own, and a driver that resets all the time --- */

struct melee {
    struct net_guest *net;
    atomic_bool over;
};

static void *loop_thread(void *argument)
{
    struct melee *melee = argument;
    struct net_guest *net = melee->net;

    for (unsigned i = 0; !atomic_load(&melee->over); i++) {
        guest_driver_turn(net->guest);
        guest_driver_enter(net->guest);
        if (net->net.cancelling)
            fake_net_end_cancelled(&net->net);
        else if (i % 3 == 0)
            fake_net_deliver(&net->net, i / 3 % 2, &net_guest_plain, frame, sizeof(frame));
        else if (i % 3 == 1)
            fake_net_take(&net->net, i / 3 % 2, i % 5 ? 0 : -EIO);
        else if (i % 11 == 0)
            fake_net_set_link(&net->net, i & 1);
        guest_driver_leave(net->guest);
        sched_yield();
    }
    return NULL;
}

static void test_net_many_resets_beside_a_busy_loop_end_well(void **state)
{
    struct net_guest *net = *state;
    struct melee melee = { .net = net };
    uint64_t mark;
    pthread_t loop;

    net->net.cancel_later = true;
    net->guest->hold_doorbells = true;
    assert_int_equal(pthread_create(&loop, NULL, loop_thread, &melee), 0);
    mark = net->guest->next_free;
    for (unsigned round = 0; round < 300; round++) {
        guest_driver_start(net->guest, GUEST_ALL_FEATURES, 16);
        net_guest_offer(net, 0, 8, 2048);
        net_guest_offer(net, 1, 4, 2048);
        for (unsigned i = 0; i < 4; i++)
            net_guest_send(net, 0, &net_guest_plain, frame, sizeof(frame));
        while (round % 4 == 0 && !guest_queue_used_idx(&net->guest->queues[0]))
            sched_yield();
        if (round % 5 == 0) {
            guest_register_write(net->guest, VIRTIO_MMIO_QUEUE_SEL, round % 3);
            guest_register_write(net->guest, VIRTIO_MMIO_QUEUE_READY, 0);
        }
        guest_reset(net->guest);
        release(net, mark);
    }
    atomic_store(&melee.over, true);
    assert_int_equal(pthread_join(loop, NULL), 0);
    assert_int_equal(net->device->in_flight, 0);
    net->guest->hold_doorbells = false;
    net->net.cancel_later = false;
    guest_driver_start(net->guest, GUEST_ALL_FEATURES, 16);
    net_guest_offer(net, 0, 1, 256);
    net_guest_expect_service(net, 0);
}

/* --- drivers that mean no good --- */

static uint32_t next_random(uint32_t *random)
{
    *random = *random * 1664525 + 1013904223;
    return *random >> 8;
}

/* Descriptors, rings, commands and headers of any content, and frames all the while. */
static void play_wildly(struct net_guest *net, uint32_t seed)
{
    uint32_t random = seed;
    uint64_t area = guest_alloc(net->guest, 4096, 4096), mark = net->guest->next_free;

    for (unsigned round = 0; round < 40; round++) {
        guest_reset(net->guest);
        release(net, mark);
        guest_driver_start(net->guest,
                           round % 2 ? GUEST_ALL_FEATURES
                                     : net_guest_features_without(net, NET_FEATURE(VIRTIO_NET_F_MRG_RXBUF)),
                           16);
        for (unsigned step = 0; step < 60; step++) {
            unsigned index = next_random(&random) % net->device->queue_count;
            struct guest_queue *queue = &net->guest->queues[index];
            uint8_t bytes[32];

            switch (next_random(&random) % 8) {
            case 0: /* seldom a sane address */
                guest_queue_write_desc(
                    queue, (uint16_t)(next_random(&random) % 16),
                    next_random(&random) % 64 ? area + next_random(&random) % 4000 : UINT64_C(0x1fff00),
                    next_random(&random) % 8 ? next_random(&random) % 90 : next_random(&random),
                    (uint16_t)(next_random(&random) % 4), (uint16_t)(next_random(&random) % 17));
                break;
            case 1:
                for (unsigned i = 0; i < sizeof(bytes); i++)
                    bytes[i] = (uint8_t)(next_random(&random) % 6);
                guest_write(net->guest, area + next_random(&random) % 4000, bytes, sizeof(bytes));
                break;
            case 2:
                if (next_random(&random) % 20 == 0)
                    guest_queue_set_avail_idx(queue, (uint16_t)next_random(&random));
                break;
            case 3:
                net_guest_arrive(net, next_random(&random) % 2,
                                 &(struct virtio_net_hdr_v1){ .flags = next_random(&random) % 4 }, frame,
                                 next_random(&random) % sizeof(frame));
                break;
            case 4:
                net_guest_leave_wire(net, next_random(&random) % 2, next_random(&random) % 2 ? 0 : -EIO);
                break;
            default:
                guest_queue_offer(queue, (uint16_t)(next_random(&random) % 16));
                guest_queue_kick(queue);
                break;
            }
        }
    }
}

static void test_net_random_drivers_do_no_harm(void **state)
{
    struct net_guest *net = *state;

    uint64_t mark = net->guest->next_free;

    for (uint32_t seed = 1; seed <= 50; seed++) {
        play_wildly(net, seed);
        guest_reset(net->guest);
        release(net, mark);
    }
    guest_driver_start(net->guest, GUEST_ALL_FEATURES, 16);
    net_guest_offer(net, 0, 1, 256);
    net_guest_expect_service(net, 0);
}

static void test_net_same_buffer_offered_twice_is_two_buffers(void **state)
{
    struct net_guest *net = *state;
    struct guest_queue *queue = &net->guest->queues[0];
    struct guest_used used;

    guest_driver_start(net->guest, net_guest_features_without(net, NET_FEATURE(VIRTIO_NET_F_MRG_RXBUF)), 16);
    guest_queue_write_desc(queue, 3, guest_alloc(net->guest, 2048, 16), 2048, VRING_DESC_F_WRITE, 0);
    for (unsigned i = 0; i < 16; i++)
        guest_queue_offer(queue, 3);
    guest_queue_kick(queue);
    for (unsigned i = 0; i < 16; i++) {
        assert_true(net_guest_arrive(net, 0, &net_guest_plain, frame, sizeof(frame)));
        assert_true(guest_queue_take_used(queue, &used));
        assert_int_equal(used.head, 3);
    }
    assert_false(net_guest_arrive(net, 0, &net_guest_plain, frame, sizeof(frame)));
}

static void test_net_chain_of_more_pieces_than_a_receive_takes_sets_needs_reset(void **state)
{
    struct net_guest *net = *state;
    struct guest_segment segments[65];

    for (unsigned count = 64; count <= 65; count++) {
        guest_driver_start(net->guest, GUEST_ALL_FEATURES, 16);
        for (unsigned i = 0; i < count; i++)
            segments[i] = (struct guest_segment){ 0x100 + 4 * i, 4, true };
        guest_queue_add_indirect(&net->guest->queues[0], segments, count, 0);
        guest_queue_kick(&net->guest->queues[0]);
        assert_int_equal(net->net.receives[0].count, count == 64);
        assert_int_equal(!!(guest_status(net->guest) & VIRTIO_CONFIG_S_NEEDS_RESET), count == 65);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_net_reset_ends_receives_that_wait_for_ever),
        TEST(test_net_receive_queue_taken_away_leaves_no_buffer_behind),
        TEST(test_net_receives_of_other_queues_are_posted_again_when_one_was_taken_away),
        TEST(test_net_control_queue_may_be_taken_away),
        TEST(test_net_stop_ends_receives_and_posts_none),
        TEST(test_net_many_resets_beside_a_busy_loop_end_well),
        TEST(test_net_random_drivers_do_no_harm),
        TEST(test_net_same_buffer_offered_twice_is_two_buffers),
        TEST(test_net_chain_of_more_pieces_than_a_receive_takes_sets_needs_reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
