/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resets, and queues taken away, while requests are in flight: several vCPUs and the loop, as threads. Meant
 * to be run under ThreadSanitizer as well.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_device.h"
#include "guest_driver.h"
#include "ringlet/bus.h"
#include "ringlet/util.h"

#define QUEUES 2
#define SIZE   16

struct fixture {
    struct guest_driver *guest;
    struct fake_device *fake;
    struct virtio_device *device;
    struct guest_queue *queue; /* the first */
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->guest = guest_driver_create();
    f->fake = fake_device_create(f->guest->memory, QUEUES, SIZE);
    f->fake->hold = true;
    f->device = &f->fake->device;
    guest_driver_plug(f->guest, f->device);
    f->queue = &f->guest->queues[0];
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

static void offer_and_kick(struct guest_queue *queue)
{
    struct guest_segment segment = { .address = 0x800, .length = 4, .writable = true };

    guest_queue_add(queue, &segment, 1);
    guest_queue_kick(queue);
}

/* --- vCPUs, which may have to wait --- */

struct vcpu {
    struct fixture *f;
    uint64_t offset;
    uint32_t value;
    pthread_t thread;
};

static void *write_register(void *argument)
{
    struct vcpu *vcpu = argument;

    bus_write(vcpu->f->guest->bus, GUEST_MMIO_BASE + vcpu->offset, vcpu->value, 4);
    return NULL;
}

static void vcpu_write(struct vcpu *vcpu, struct fixture *f, uint64_t offset, uint32_t value)
{
    *vcpu = (struct vcpu){ .f = f, .offset = offset, .value = value };
    assert_int_equal(pthread_create(&vcpu->thread, NULL, write_register, vcpu), 0);
}

static void vcpu_join(struct vcpu *vcpu)
{
    assert_int_equal(pthread_join(vcpu->thread, NULL), 0);
}

/* Until `count` vCPUs wait to take a queue away. */
static void wait_for_stopping(struct fixture *f, unsigned count)
{
    for (bool seen = false; !seen;) {
        pthread_mutex_lock(&f->device->lock);
        seen = f->device->stopping == count;
        pthread_mutex_unlock(&f->device->lock);
        sched_yield();
    }
}

static bool complete_one(struct fixture *f)
{
    bool any;

    guest_driver_enter(f->guest);
    any = fake_device_complete(f->fake);
    guest_driver_leave(f->guest);
    return any;
}

/* --- resets --- */

static void test_reset_waits_for_what_is_in_flight_and_publishes_none_of_it(void **state)
{
    struct fixture *f = *state;
    struct vcpu vcpu;

    guest_driver_start(f->guest, GUEST_ALL_FEATURES, SIZE);
    for (unsigned i = 0; i < 3; i++)
        offer_and_kick(f->queue);
    assert_int_equal(f->device->in_flight, 3);
    vcpu_write(&vcpu, f, VIRTIO_MMIO_STATUS, 0);
    sem_wait(&f->fake->cancel_called);

    /* Another vCPU may look; the reset is not complete. */
    assert_int_not_equal(guest_status(f->guest), 0);
    assert_true(complete_one(f));
    assert_true(complete_one(f));
    assert_int_not_equal(guest_status(f->guest), 0);
    assert_int_equal(f->fake->resets, 1); /* start's own */
    assert_true(complete_one(f));
    vcpu_join(&vcpu);

    assert_int_equal(guest_status(f->guest), 0);
    assert_int_equal(f->fake->cancelled, 1);
    assert_int_equal(f->fake->resets, 2);
    assert_int_equal(guest_queue_used_idx(f->queue), 0);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
    assert_int_equal(guest_register_read(f->guest, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

static void test_reset_with_nothing_in_flight_does_not_wait(void **state)
{
    struct fixture *f = *state;

    guest_driver_start(f->guest, GUEST_ALL_FEATURES, SIZE);
    guest_reset(f->guest);
    assert_int_equal(guest_status(f->guest), 0);
    assert_int_equal(f->fake->cancelled, 0);
    assert_int_equal(f->fake->resets, 2); /* start's own and this one */
}

/* Reset the device with one request in flight, and another published in a batch that has not ended. */
static void begin_reset_inside_a_batch(struct fixture *f, struct vcpu *vcpu)
{
    guest_driver_start(f->guest, GUEST_ALL_FEATURES, SIZE);
    offer_and_kick(f->queue);
    offer_and_kick(f->queue);
    guest_driver_enter(f->guest);
    assert_true(fake_device_complete(f->fake));
    pthread_mutex_unlock(&f->device->lock);
    assert_int_equal(guest_queue_used_idx(f->queue), 1);
    vcpu_write(vcpu, f, VIRTIO_MMIO_STATUS, 0);
    sem_wait(&f->fake->cancel_called);
}

static void test_batch_that_ends_during_the_reset_sends_no_interrupt(void **state)
{
    struct fixture *f = *state;
    struct vcpu vcpu;

    begin_reset_inside_a_batch(f, &vcpu);
    guest_driver_enter(f->guest);
    guest_driver_leave(f->guest);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
    assert_true(complete_one(f));
    vcpu_join(&vcpu);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
}

/* The completion that ends the wait is in a batch too, whose end may come when the driver is back already. */
static void test_batch_that_ends_after_the_reset_sends_no_interrupt(void **state)
{
    struct fixture *f = *state;
    struct vcpu vcpu;

    begin_reset_inside_a_batch(f, &vcpu);
    pthread_mutex_lock(&f->device->lock);
    assert_true(fake_device_complete(f->fake));
    pthread_mutex_unlock(&f->device->lock);
    vcpu_join(&vcpu);
    guest_driver_enter(f->guest);
    guest_driver_leave(f->guest);
    assert_int_equal(guest_queue_used_idx(f->queue), 1);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
}

static void test_during_a_reset_nothing_is_popped_and_no_write_counts(void **state)
{
    struct fixture *f = *state;
    struct guest_queue before;
    struct vcpu vcpu;
    uint8_t status;

    guest_driver_start(f->guest, GUEST_ALL_FEATURES, SIZE);
    guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_SEL, 1);
    guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_READY, 0);
    offer_and_kick(f->queue);
    vcpu_write(&vcpu, f, VIRTIO_MMIO_STATUS, 0);
    sem_wait(&f->fake->cancel_called);
    before = *f->queue;
    status = guest_status(f->guest);

    offer_and_kick(f->queue);
    assert_int_equal(f->fake->popped, 1);
    guest_add_status(f->guest, VIRTIO_CONFIG_S_FAILED);
    assert_int_equal(guest_status(f->guest), status);
    guest_write_features(f->guest, 0);
    guest_config_write(f->guest, 0, 0xff, 1);
    guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_NUM, 4);
    guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_READY, 1);
    assert_int_equal(guest_register_read(f->guest, VIRTIO_MMIO_QUEUE_READY), 0);
    assert_int_equal(f->device->queues[1].size, SIZE);
    guest_driver_enter(f->guest);
    virtio_device_needs_reset(f->device);
    virtio_device_config_changed(f->device);
    guest_driver_leave(f->guest);
    assert_int_equal(guest_status(f->guest), status);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
    assert_int_equal(f->fake->config[0], 0x10);
    assert_true(f->device->accepted_features == f->guest->features);

    assert_true(complete_one(f));
    vcpu_join(&vcpu);
    assert_int_equal(guest_status(f->guest), 0);
    assert_int_equal(guest_queue_used_idx(&before), 0);
}

static void test_second_reset_and_queue_ready_wait_for_the_first_reset(void **state)
{
    struct fixture *f = *state;
    struct vcpu first, second, third;

    guest_driver_start(f->guest, GUEST_ALL_FEATURES, SIZE);
    offer_and_kick(f->queue);
    guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_SEL, 0);
    vcpu_write(&first, f, VIRTIO_MMIO_STATUS, 0);
    sem_wait(&f->fake->cancel_called);
    vcpu_write(&second, f, VIRTIO_MMIO_STATUS, 0);
    vcpu_write(&third, f, VIRTIO_MMIO_QUEUE_READY, 0);
    assert_int_not_equal(guest_status(f->guest), 0);
    assert_true(complete_one(f));
    vcpu_join(&first);
    vcpu_join(&second);
    vcpu_join(&third);
    assert_int_equal(guest_status(f->guest), 0);
    assert_int_equal(f->fake->cancelled, 1);
    /* a good driver comes back */
    guest_driver_start(f->guest, GUEST_ALL_FEATURES, SIZE);
    offer_and_kick(f->queue);
    assert_true(complete_one(f));
    assert_int_equal(guest_queue_used_idx(f->queue), 1);
    assert_int_equal(guest_take_interrupts(f->guest), 1);
}

/* --- taking one queue away --- */

static void test_queue_ready_0_waits_and_the_other_queue_catches_up(void **state)
{
    struct fixture *f = *state;
    struct guest_queue *other = &f->guest->queues[1];
    struct vcpu vcpu;

    guest_driver_start(f->guest, GUEST_ALL_FEATURES, SIZE);
    offer_and_kick(f->queue);
    guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_SEL, 0);
    vcpu_write(&vcpu, f, VIRTIO_MMIO_QUEUE_READY, 0);
    wait_for_stopping(f, 1);
    assert_int_equal(guest_register_read(f->guest, VIRTIO_MMIO_QUEUE_READY), 1);
    offer_and_kick(other);
    assert_int_equal(f->fake->popped, 1);
    /* What is in flight is still given back: the queue is the device's until QueueReady reads 0. */
    assert_true(complete_one(f));
    vcpu_join(&vcpu);
    assert_int_equal(guest_register_read(f->guest, VIRTIO_MMIO_QUEUE_READY), 0);
    assert_int_equal(guest_queue_used_idx(f->queue), 1);
    guest_driver_turn(f->guest);
    assert_int_equal(f->fake->popped, 2);
    assert_true(complete_one(f));
    assert_int_equal(guest_queue_used_idx(other), 1);
}

static void test_two_queues_may_be_taken_away_at_once(void **state)
{
    struct fixture *f = *state;
    struct vcpu first, second;

    guest_driver_start(f->guest, GUEST_ALL_FEATURES, SIZE);
    offer_and_kick(f->queue);
    guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_SEL, 0);
    vcpu_write(&first, f, VIRTIO_MMIO_QUEUE_READY, 0);
    wait_for_stopping(f, 1);
    guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_SEL, 1);
    vcpu_write(&second, f, VIRTIO_MMIO_QUEUE_READY, 0);
    wait_for_stopping(f, 2);
    assert_true(complete_one(f));
    vcpu_join(&first);
    vcpu_join(&second);
    for (uint32_t i = 0; i < QUEUES; i++) {
        guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_SEL, i);
        assert_int_equal(guest_register_read(f->guest, VIRTIO_MMIO_QUEUE_READY), 0);
    }
}

static void test_reset_overtakes_a_queue_being_taken_away(void **state)
{
    struct fixture *f = *state;
    struct vcpu stopper, resetter;

    guest_driver_start(f->guest, GUEST_ALL_FEATURES, SIZE);
    offer_and_kick(f->queue);
    guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_SEL, 0);
    vcpu_write(&stopper, f, VIRTIO_MMIO_QUEUE_READY, 0);
    sem_wait(&f->fake->cancel_called);
    wait_for_stopping(f, 1);
    vcpu_write(&resetter, f, VIRTIO_MMIO_STATUS, 0);
    sem_wait(&f->fake->cancel_called);
    assert_true(complete_one(f));
    vcpu_join(&stopper);
    vcpu_join(&resetter);
    assert_int_equal(guest_status(f->guest), 0);
    assert_int_equal(guest_queue_used_idx(f->queue), 0);
    assert_int_equal(f->fake->disabled[0], 0); /* the reset told of it */
}

static void test_queue_ready_0_asks_what_is_in_flight_to_end_and_tells_when_it_has(void **state)
{
    struct fixture *f = *state;
    struct vcpu vcpu;

    guest_driver_start(f->guest, GUEST_ALL_FEATURES, SIZE);
    offer_and_kick(f->queue);
    guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_SEL, 0);
    vcpu_write(&vcpu, f, VIRTIO_MMIO_QUEUE_READY, 0);
    sem_wait(&f->fake->cancel_called);
    pthread_mutex_lock(&f->device->lock);
    assert_false(virtio_device_is_live(f->device));
    assert_int_equal(f->fake->disabled[0], 0);
    pthread_mutex_unlock(&f->device->lock);
    assert_true(complete_one(f));
    vcpu_join(&vcpu);
    assert_int_equal(f->fake->disabled[0], 1);
    assert_int_equal(f->fake->disabled[1], 0);
    assert_true(virtio_device_is_live(f->device));
    /* With nothing in flight there is nothing to ask, and still something to tell. */
    guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_SEL, 1);
    guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_READY, 0);
    assert_int_equal(f->fake->cancelled, 1);
    assert_int_equal(f->fake->disabled[1], 1);
    /* A queue that was not ready is not taken away. */
    guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_READY, 0);
    assert_int_equal(f->fake->disabled[1], 1);
}

/* --- the end --- */

static void test_stop_asks_what_is_in_flight_to_end_and_pops_no_more(void **state)
{
    struct fixture *f = *state;

    guest_driver_start(f->guest, GUEST_ALL_FEATURES, SIZE);
    offer_and_kick(f->queue);
    offer_and_kick(f->queue);
    assert_true(virtio_device_is_live(f->device));
    virtio_device_stop(f->device);
    assert_int_equal(f->fake->cancelled, 1);
    assert_false(virtio_device_is_live(f->device));
    offer_and_kick(f->queue);
    assert_int_equal(f->fake->popped, 2);
    /* What was in flight is still answered. */
    assert_true(complete_one(f));
    assert_true(complete_one(f));
    assert_int_equal(f->device->in_flight, 0);
    assert_int_equal(guest_queue_used_idx(f->queue), 2);
    assert_int_equal(f->fake->popped, 2);
    virtio_device_stop(f->device);
    assert_int_equal(f->fake->cancelled, 1);
}

/* --- everything at once --- */

#define ROUNDS 1000

struct melee {
    struct fixture *f;
    atomic_bool wild_over, loop_over;
};

/* The loop: answers bells and completes what is held, one at a time. */
static void *loop_thread(void *argument)
{
    struct melee *melee = argument;

    while (!atomic_load(&melee->loop_over)) {
        guest_driver_turn(melee->f->guest);
        complete_one(melee->f);
        sched_yield();
    }
    return NULL;
}

/* A vCPU that writes what it likes where it likes. */
static void *wild_vcpu(void *argument)
{
    static const struct {
        uint64_t offset;
        uint32_t value;
    } writes[] = { { VIRTIO_MMIO_STATUS, 0 },         { VIRTIO_MMIO_QUEUE_READY, 0 },
                   { VIRTIO_MMIO_STATUS, 0xff },      { VIRTIO_MMIO_QUEUE_SEL, 1 },
                   { VIRTIO_MMIO_QUEUE_NOTIFY, 0 },   { VIRTIO_MMIO_QUEUE_READY, 0 },
                   { VIRTIO_MMIO_INTERRUPT_ACK, 3 },  { VIRTIO_MMIO_STATUS, 0 },
                   { VIRTIO_MMIO_QUEUE_NOTIFY, 1 },   { VIRTIO_MMIO_QUEUE_SEL, 0 },
                   { VIRTIO_MMIO_QUEUE_READY, 1 },    { VIRTIO_MMIO_STATUS, 4 },
                   { VIRTIO_MMIO_DRIVER_FEATURES, 8 } };
    struct melee *melee = argument;
    uint64_t value;

    for (unsigned i = 0; !atomic_load(&melee->wild_over); i++) {
        bus_write(melee->f->guest->bus, GUEST_MMIO_BASE + writes[i % ARRAY_SIZE(writes)].offset,
                  writes[i % ARRAY_SIZE(writes)].value, 4);
        bus_read(melee->f->guest->bus, GUEST_MMIO_BASE + VIRTIO_MMIO_STATUS, &value, 4);
        sched_yield();
    }
    return NULL;
}

static void test_many_resets_from_many_threads_end_well(void **state)
{
    struct fixture *f = *state;
    struct melee melee = { .f = f };
    pthread_t loop, wild[2];

    f->guest->hold_doorbells = true; /* they are the loop thread's */
    assert_int_equal(pthread_create(&loop, NULL, loop_thread, &melee), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(wild); i++)
        assert_int_equal(pthread_create(&wild[i], NULL, wild_vcpu, &melee), 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        /* a good driver's steps, whose every one may be undone by the others */
        guest_negotiate(f->guest, GUEST_ALL_FEATURES);
        for (unsigned i = 0; i < QUEUES; i++) {
            guest_queue_place(f->guest, i, SIZE);
            guest_queue_enable(&f->guest->queues[i]);
        }
        guest_driver_ok(f->guest);
        for (unsigned i = 0; i < SIZE; i++)
            offer_and_kick(&f->guest->queues[i % QUEUES]);
        sched_yield();
        if (round % 2)
            guest_reset(f->guest);
    }
    /* The loop goes on until no vCPU waits for it. */
    atomic_store(&melee.wild_over, true);
    for (unsigned i = 0; i < ARRAY_SIZE(wild); i++)
        assert_int_equal(pthread_join(wild[i], NULL), 0);
    guest_reset(f->guest);
    atomic_store(&melee.loop_over, true);
    assert_int_equal(pthread_join(loop, NULL), 0);
    assert_int_equal(f->device->in_flight, 0);
    assert_int_equal(f->device->stopping, 0);
    assert_false(f->device->resetting);

    /* The device is as good as new. */
    f->guest->hold_doorbells = false;
    guest_driver_start(f->guest, GUEST_ALL_FEATURES, SIZE);
    offer_and_kick(f->queue);
    assert_true(complete_one(f));
    assert_int_equal(guest_queue_used_idx(f->queue), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_reset_waits_for_what_is_in_flight_and_publishes_none_of_it),
        TEST(test_reset_with_nothing_in_flight_does_not_wait),
        TEST(test_batch_that_ends_during_the_reset_sends_no_interrupt),
        TEST(test_batch_that_ends_after_the_reset_sends_no_interrupt),
        TEST(test_during_a_reset_nothing_is_popped_and_no_write_counts),
        TEST(test_second_reset_and_queue_ready_wait_for_the_first_reset),
        TEST(test_queue_ready_0_waits_and_the_other_queue_catches_up),
        TEST(test_two_queues_may_be_taken_away_at_once),
        TEST(test_reset_overtakes_a_queue_being_taken_away),
        TEST(test_queue_ready_0_asks_what_is_in_flight_to_end_and_tells_when_it_has),
        TEST(test_stop_asks_what_is_in_flight_to_end_and_pops_no_more),
        TEST(test_many_resets_from_many_threads_end_well),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
