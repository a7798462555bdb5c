/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_virtio_fs_life.c - how the file system device and the process that works on its queues part: resets, queues
 * that come and go, the machine's end, a process that dies, drivers that no kernel has. Where a vCPU has to wait
 * for the process, the vCPU is a thread. Meant to be run under ThreadSanitizer as well.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fs_guest.h"
#include "ringlet/util.h"

#define DRIVER_OK   VIRTIO_CONFIG_S_DRIVER_OK
#define NEEDS_RESET VIRTIO_CONFIG_S_NEEDS_RESET

/* --- resets --- */

static void test_fs_reset_waits_until_the_process_lets_go(void **state)
{
    struct fs_guest *f = *state;
    struct fs_vcpu vcpu;

    fs_guest_start(f);
    fs_vcpu_write(&vcpu, f, VIRTIO_MMIO_STATUS, 0);
    sem_wait(&f->vhost.stop_called);
    assert_int_not_equal(guest_status(f->guest), 0);
    fs_guest_say_used(f, 0);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
    assert_int_not_equal(guest_status(f->guest), 0);
    fs_guest_let_stop(f);
    fs_vcpu_join(&vcpu);
    assert_int_equal(guest_status(f->guest), 0);
    assert_int_equal(f->vhost.stops, 1);
    assert_int_equal(f->vhost.starts, 1);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
}

/* The batch in which the process lets go may end when the reset is complete already. */
static void test_fs_used_in_a_batch_that_ends_after_the_reset_is_not_told(void **state)
{
    struct fs_guest *f = *state;
    struct fs_vcpu vcpu;

    fs_guest_start(f);
    pthread_mutex_lock(&f->device->lock);
    fake_vhost_used(&f->vhost, 1);
    pthread_mutex_unlock(&f->device->lock);
    fs_vcpu_write(&vcpu, f, VIRTIO_MMIO_STATUS, 0);
    sem_wait(&f->vhost.stop_called);
    pthread_mutex_lock(&f->device->lock);
    fake_vhost_stop(&f->vhost);
    pthread_mutex_unlock(&f->device->lock);
    fs_vcpu_join(&vcpu);
    guest_driver_enter(f->guest);
    guest_driver_leave(f->guest);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
    assert_int_equal(guest_register_read(f->guest, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

static void test_fs_after_a_reset_every_queue_begins_anew(void **state)
{
    struct fs_guest *f = *state;

    for (unsigned i = 1; i <= 5; i++) {
        fs_guest_start(f);
        assert_int_equal(f->vhost.starts, i);
        assert_false(fs_guest_started(f, 0)->resume || fs_guest_started(f, 1)->resume);
        fs_guest_reset(f);
        assert_int_equal(f->vhost.stops, i);
    }
}

static void test_fs_reset_before_driver_ok_asks_the_process_nothing(void **state)
{
    struct fs_guest *f = *state;

    assert_true(guest_negotiate(f->guest, GUEST_ALL_FEATURES));
    guest_queue_place(f->guest, 1, FS_GUEST_QUEUE_SIZE);
    assert_true(guest_queue_enable(&f->guest->queues[1]));
    guest_reset(f->guest);
    assert_int_equal(f->vhost.starts + f->vhost.stops, 0);
}

/* --- queues that come and go --- */

static void test_fs_queue_taken_away_waits_and_the_other_goes_on_where_it_was(void **state)
{
    struct fs_guest *f = *state;

    fs_guest_start(f);
    f->guest->hold_doorbells = true;
    guest_driver_turn(f->guest);
    fs_guest_take_queue_away(f, 0);
    assert_int_equal(guest_register_read(f->guest, VIRTIO_MMIO_QUEUE_READY), 0);
    assert_int_equal(f->vhost.starts, 2);
    assert_int_equal(f->vhost.queue_count, 1);
    assert_true(fs_guest_started(f, 1)->resume);
    assert_int_equal(atomic_load(&f->guest->bells), 2); /* for what was kicked meanwhile */
    fs_guest_say_used(f, 1);
    assert_int_equal(guest_take_interrupts(f->guest), 1);
    fs_guest_take_queue_away(f, 1);
    assert_int_equal(f->vhost.starts, 2);
    assert_int_equal(f->device->in_flight, 0);
    assert_false(guest_status(f->guest) & NEEDS_RESET);
}

static void test_fs_queue_that_comes_back_begins_anew_beside_the_other(void **state)
{
    struct fs_guest *f = *state;

    fs_guest_start(f);
    fs_guest_take_queue_away(f, 0);
    f->guest->hold_doorbells = true;
    guest_driver_turn(f->guest);
    guest_queue_place(f->guest, 0, FS_GUEST_QUEUE_SIZE);
    assert_true(guest_queue_enable(&f->guest->queues[0]));
    assert_int_equal(f->vhost.stops, 2);
    assert_int_equal(f->vhost.starts, 2);
    assert_int_equal(atomic_load(&f->guest->bells), 0);
    fs_guest_let_stop(f);
    assert_int_equal(f->vhost.starts, 3);
    assert_int_equal(f->vhost.queue_count, 2);
    assert_false(fs_guest_started(f, 0)->resume);
    assert_true(fs_guest_started(f, 1)->resume);
    assert_int_equal(atomic_load(&f->guest->bells), 3);
}

static void test_fs_used_during_such_a_pause_is_told(void **state)
{
    struct fs_guest *f = *state;
    struct fs_vcpu vcpu;

    fs_guest_start(f);
    guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_SEL, 0);
    fs_vcpu_write(&vcpu, f, VIRTIO_MMIO_QUEUE_READY, 0);
    sem_wait(&f->vhost.stop_called);
    fs_guest_say_used(f, 1);
    assert_int_equal(guest_take_interrupts(f->guest), 1);
    fs_guest_let_stop(f);
    fs_vcpu_join(&vcpu);
}

static void test_fs_reset_overtakes_a_queue_being_taken_away(void **state)
{
    struct fs_guest *f = *state;
    struct fs_vcpu stopper, resetter;

    fs_guest_start(f);
    guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_SEL, 0);
    fs_vcpu_write(&stopper, f, VIRTIO_MMIO_QUEUE_READY, 0);
    sem_wait(&f->vhost.stop_called);
    fs_vcpu_write(&resetter, f, VIRTIO_MMIO_STATUS, 0);
    for (bool seen = false; !seen; sched_yield()) {
        pthread_mutex_lock(&f->device->lock);
        seen = f->device->resetting;
        pthread_mutex_unlock(&f->device->lock);
    }
    fs_guest_let_stop(f);
    fs_vcpu_join(&stopper);
    fs_vcpu_join(&resetter);
    assert_int_equal(guest_status(f->guest), 0);
    assert_int_equal(f->vhost.stops, 1);
    assert_int_equal(f->vhost.starts, 1);
}

/* --- the machine's end --- */

static void test_fs_machine_that_ends_stops_the_process_for_good(void **state)
{
    struct fs_guest *f = *state;

    fs_guest_start(f);
    virtio_device_stop(f->device);
    assert_int_equal(f->vhost.stops, 1);
    assert_int_equal(f->device->in_flight, 1);
    virtio_device_stop(f->device);
    assert_int_equal(f->vhost.stops, 1);
    fs_guest_let_stop(f);
    assert_int_equal(f->device->in_flight, 0);
    assert_int_equal(f->vhost.starts, 1);
}

/* --- the process has gone --- */

static void expect_out_of_order(struct fs_guest *f, unsigned starts)
{
    assert_int_equal(guest_status(f->guest) & NEEDS_RESET, NEEDS_RESET);
    assert_int_equal(guest_take_interrupts(f->guest), 1);
    assert_int_equal(guest_acknowledge(f->guest), VIRTIO_MMIO_INT_CONFIG);
    assert_int_equal(f->device->in_flight, 0);
    assert_int_equal(f->vhost.starts, starts);
}

static void test_fs_process_that_goes_while_it_works_is_needs_reset(void **state)
{
    struct fs_guest *f = *state;

    fs_guest_start(f);
    fs_guest_let_end(f);
    expect_out_of_order(f, 1);
    assert_int_equal(f->vhost.stops, 0);
    /* A driver that comes back is told at once, every time. */
    for (unsigned i = 0; i < 2; i++) {
        guest_reset(f->guest);
        assert_int_equal(guest_status(f->guest), 0);
        fs_guest_start(f);
        expect_out_of_order(f, 1);
    }
    guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_SEL, 0);
    guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_READY, 0);
    assert_int_equal(guest_register_read(f->guest, VIRTIO_MMIO_QUEUE_READY), 0);
}

static void test_fs_process_that_goes_before_the_driver_comes_is_told_at_driver_ok(void **state)
{
    struct fs_guest *f = *state;

    fs_guest_let_end(f);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
    fs_guest_start(f);
    expect_out_of_order(f, 0);
}

static void test_fs_process_that_goes_between_features_and_driver_ok_is_told_then(void **state)
{
    struct fs_guest *f = *state;

    assert_true(guest_negotiate(f->guest, GUEST_ALL_FEATURES));
    fs_guest_let_end(f);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
    guest_driver_ok(f->guest);
    expect_out_of_order(f, 0);
}

static void test_fs_process_that_goes_during_a_reset_ends_it(void **state)
{
    struct fs_guest *f = *state;
    struct fs_vcpu vcpu;

    fs_guest_start(f);
    fs_vcpu_write(&vcpu, f, VIRTIO_MMIO_STATUS, 0);
    sem_wait(&f->vhost.stop_called);
    fs_guest_let_end(f);
    assert_int_not_equal(guest_status(f->guest), 0); /* stopped() is still owed */
    fs_guest_let_stop(f);
    fs_vcpu_join(&vcpu);
    assert_int_equal(guest_status(f->guest), 0);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
    fs_guest_start(f);
    expect_out_of_order(f, 1);
}

static void test_fs_process_that_goes_while_a_queue_is_taken_away_is_not_started_again(void **state)
{
    struct fs_guest *f = *state;
    struct fs_vcpu vcpu;

    fs_guest_start(f);
    guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_SEL, 1);
    fs_vcpu_write(&vcpu, f, VIRTIO_MMIO_QUEUE_READY, 0);
    sem_wait(&f->vhost.stop_called);
    fs_guest_let_end(f);
    fs_guest_let_stop(f);
    fs_vcpu_join(&vcpu);
    expect_out_of_order(f, 1);
}

static void test_fs_process_that_does_not_take_the_queues_is_needs_reset_until_it_does(void **state)
{
    struct fs_guest *f = *state;

    f->vhost.start_error = -EPIPE;
    fs_guest_start(f);
    expect_out_of_order(f, 0);
    f->vhost.start_error = 0;
    guest_reset(f->guest);
    fs_guest_start(f);
    assert_false(guest_status(f->guest) & NEEDS_RESET);
    assert_int_equal(f->vhost.starts, 1);
}

/* --- drivers that no kernel has --- */

static void test_fs_driver_ok_without_a_queue_starts_nothing_until_one_comes(void **state)
{
    struct fs_guest *f = *state;

    assert_true(guest_negotiate(f->guest, GUEST_ALL_FEATURES));
    guest_driver_ok(f->guest);
    assert_int_equal(guest_status(f->guest) & (DRIVER_OK | NEEDS_RESET), DRIVER_OK);
    assert_int_equal(f->vhost.starts, 0);
    assert_int_equal(f->device->in_flight, 0);
    guest_queue_place(f->guest, 1, FS_GUEST_QUEUE_SIZE);
    assert_true(guest_queue_enable(&f->guest->queues[1]));
    assert_int_equal(f->vhost.starts, 1);
    assert_int_equal(f->vhost.queue_count, 1);
    assert_int_equal(f->vhost.queues[0].index, 1);
}

static void test_fs_queue_sizes_that_cannot_be_never_reach_the_process(void **state)
{
    static const uint16_t sizes[] = { 0, 3, 511, 513, 1024, 0x8000 };
    struct fs_guest *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        assert_true(guest_negotiate(f->guest, GUEST_ALL_FEATURES));
        guest_queue_place(f->guest, 1, FS_GUEST_QUEUE_SIZE);
        f->guest->queues[1].size = sizes[i];
        assert_false(guest_queue_enable(&f->guest->queues[1]));
        guest_driver_ok(f->guest);
        expect_out_of_order(f, 0);
    }
}

static void test_fs_rings_outside_ram_never_reach_the_process(void **state)
{
    struct fs_guest *f = *state;

    assert_true(guest_negotiate(f->guest, GUEST_ALL_FEATURES));
    guest_queue_place(f->guest, 0, FS_GUEST_QUEUE_SIZE);
    f->guest->queues[0].used = GUEST_RAM_LOW_END - 4;
    assert_false(guest_queue_enable(&f->guest->queues[0]));
    guest_driver_ok(f->guest);
    expect_out_of_order(f, 0);
}

/* A second queue that is wrong, while the first is worked on: nobody starts it, and a reset ends it all. */
static void test_fs_bad_queue_beside_a_good_one_is_needs_reset(void **state)
{
    struct fs_guest *f = *state;

    assert_true(guest_negotiate(f->guest, GUEST_ALL_FEATURES));
    guest_queue_place(f->guest, 0, FS_GUEST_QUEUE_SIZE);
    guest_queue_place(f->guest, 1, FS_GUEST_QUEUE_SIZE);
    assert_true(guest_queue_enable(&f->guest->queues[1]));
    guest_driver_ok(f->guest);
    f->guest->queues[0].desc = GUEST_RAM_LOW_END;
    assert_false(guest_queue_enable(&f->guest->queues[0]));
    assert_int_equal(guest_status(f->guest) & NEEDS_RESET, NEEDS_RESET);
    assert_int_equal(f->vhost.starts, 1);
    fs_guest_reset(f);
    fs_guest_start(f);
    assert_int_equal(f->vhost.starts, 2);
}

/* --- all at once --- */

struct process {
    struct fs_guest *f;
    atomic_bool over;
};

/* The loop's thread: the process uses buffers all the time, and lets go when it is asked to. */
static void *process_thread(void *argument)
{
    struct process *process = argument;
    struct fake_vhost *vhost = &process->f->vhost;

    while (!atomic_load(&process->over)) {
        guest_driver_enter(process->f->guest);
        if (vhost->working)
            fake_vhost_used(vhost, vhost->queues[0].index);
        if (vhost->stopping)
            fake_vhost_stop(vhost);
        guest_driver_leave(process->f->guest);
        sched_yield();
    }
    return NULL;
}

static void test_fs_driver_that_starts_resets_and_takes_queues_away_at_random(void **state)
{
    struct fs_guest *f = *state;
    struct process process = { .f = f };
    struct guest_queue queues[FS_GUEST_QUEUES];
    unsigned seed = 1;
    pthread_t thread;

    /* Two queues placed once, since guest RAM does not grow. */
    for (unsigned i = 0; i < FS_GUEST_QUEUES; i++) {
        guest_queue_place(f->guest, i, FS_GUEST_QUEUE_SIZE);
        queues[i] = f->guest->queues[i];
    }
    assert_int_equal(pthread_create(&thread, NULL, process_thread, &process), 0);
    for (unsigned round = 0; round < 300; round++) {
        assert_true(guest_negotiate(f->guest, GUEST_ALL_FEATURES)); /* resets, and waits */
        assert_false(f->vhost.working);
        for (unsigned i = 0; i < FS_GUEST_QUEUES; i++)
            assert_true(guest_queue_enable(&queues[i]));
        guest_driver_ok(f->guest);
        for (unsigned step = 0; step < 6; step++) {
            uint32_t index = (seed = seed * 1103515245 + 12345) >> 16 & 1;

            guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_SEL, index);
            if (guest_register_read(f->guest, VIRTIO_MMIO_QUEUE_READY))
                guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_READY, 0);
            else
                assert_true(guest_queue_enable(&queues[index]));
        }
        assert_false(guest_status(f->guest) & NEEDS_RESET);
    }
    guest_reset(f->guest);
    atomic_store(&process.over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(f->vhost.starts, f->vhost.stops);
    assert_true(f->vhost.starts >= 300);
    assert_int_equal(f->device->in_flight, 0);
}

#define PLUGGED(test) cmocka_unit_test_setup_teardown(test, fs_guest_create_plugged, fs_guest_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLUGGED(test_fs_reset_waits_until_the_process_lets_go),
        PLUGGED(test_fs_used_in_a_batch_that_ends_after_the_reset_is_not_told),
        PLUGGED(test_fs_after_a_reset_every_queue_begins_anew),
        PLUGGED(test_fs_reset_before_driver_ok_asks_the_process_nothing),
        PLUGGED(test_fs_queue_taken_away_waits_and_the_other_goes_on_where_it_was),
        PLUGGED(test_fs_queue_that_comes_back_begins_anew_beside_the_other),
        PLUGGED(test_fs_used_during_such_a_pause_is_told),
        PLUGGED(test_fs_reset_overtakes_a_queue_being_taken_away),
        PLUGGED(test_fs_machine_that_ends_stops_the_process_for_good),
        PLUGGED(test_fs_process_that_goes_while_it_works_is_needs_reset),
        PLUGGED(test_fs_process_that_goes_before_the_driver_comes_is_told_at_driver_ok),
        PLUGGED(test_fs_process_that_goes_between_features_and_driver_ok_is_told_then),
        PLUGGED(test_fs_process_that_goes_during_a_reset_ends_it),
        PLUGGED(test_fs_process_that_goes_while_a_queue_is_taken_away_is_not_started_again),
        PLUGGED(test_fs_process_that_does_not_take_the_queues_is_needs_reset_until_it_does),
        PLUGGED(test_fs_driver_ok_without_a_queue_starts_nothing_until_one_comes),
        PLUGGED(test_fs_queue_sizes_that_cannot_be_never_reach_the_process),
        PLUGGED(test_fs_rings_outside_ram_never_reach_the_process),
        PLUGGED(test_fs_bad_queue_beside_a_good_one_is_needs_reset),
        PLUGGED(test_fs_driver_that_starts_resets_and_takes_queues_away_at_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
