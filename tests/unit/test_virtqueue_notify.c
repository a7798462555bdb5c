/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who tells whom: interrupts and doorbells of a split virtqueue, with and without EVENT_IDX (2.7.7, 2.7.10),
 * first one question at a time, then between threads.
 */
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "queue_fixture.h"
#include "ringlet/util.h"

#define EVENT_IDX (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)

/* --- used buffer notifications --- */

static void test_nothing_pushed_means_nothing_to_notify(void **state)
{
    struct queue_fixture *f = *state;

    queue_fixture_start(f, 0, 8);
    assert_false(virtqueue_should_notify(&f->queue));
    queue_fixture_round_trip(f);
    assert_true(virtqueue_should_notify(&f->queue));
    assert_false(virtqueue_should_notify(&f->queue));
}

static void test_without_event_idx_flags_decide_and_used_event_is_ignored(void **state)
{
    struct queue_fixture *f = *state;

    queue_fixture_start(f, 0, 8);
    guest_queue_set_used_event(f->driver, 1000);
    queue_fixture_round_trip(f);
    assert_true(virtqueue_should_notify(&f->queue));
    guest_queue_set_avail_flags(f->driver, VRING_AVAIL_F_NO_INTERRUPT);
    guest_queue_set_used_event(f->driver, 1);
    queue_fixture_round_trip(f);
    assert_false(virtqueue_should_notify(&f->queue));
    guest_queue_set_avail_flags(f->driver, 0);
    queue_fixture_round_trip(f);
    assert_true(virtqueue_should_notify(&f->queue));
}

static void test_with_event_idx_used_event_decides_and_flags_are_ignored(void **state)
{
    struct queue_fixture *f = *state;

    queue_fixture_start(f, EVENT_IDX, 8);
    guest_queue_set_avail_flags(f->driver, VRING_AVAIL_F_NO_INTERRUPT);
    guest_queue_set_used_event(f->driver, 0);
    queue_fixture_round_trip(f);
    assert_true(virtqueue_should_notify(&f->queue));
    guest_queue_set_avail_flags(f->driver, 0);
    guest_queue_set_used_event(f->driver, 3);
    queue_fixture_round_trip(f);
    assert_false(virtqueue_should_notify(&f->queue));
    queue_fixture_round_trip(f);
    assert_false(virtqueue_should_notify(&f->queue));
    queue_fixture_round_trip(f); /* goes where used.idx is 3 */
    assert_true(virtqueue_should_notify(&f->queue));
    queue_fixture_round_trip(f);
    assert_false(virtqueue_should_notify(&f->queue));
}

static void test_event_inside_a_batch_is_seen(void **state)
{
    struct queue_fixture *f = *state;

    queue_fixture_start(f, EVENT_IDX, 8);
    guest_queue_set_used_event(f->driver, 2);
    for (unsigned i = 0; i < 5; i++)
        queue_fixture_round_trip(f);
    assert_true(virtqueue_should_notify(&f->queue));
    guest_queue_set_used_event(f->driver, 2);
    for (unsigned i = 0; i < 5; i++)
        queue_fixture_round_trip(f);
    assert_false(virtqueue_should_notify(&f->queue));
}

static void test_event_is_seen_where_the_index_wraps(void **state)
{
    struct queue_fixture *f = *state;

    queue_fixture_start(f, EVENT_IDX, 4);
    guest_queue_set_used_event(f->driver, 65535);
    for (unsigned i = 0; i < 65535; i++) {
        queue_fixture_round_trip(f);
        assert_false(virtqueue_should_notify(&f->queue));
    }
    queue_fixture_round_trip(f);
    assert_true(virtqueue_should_notify(&f->queue));
    assert_int_equal(guest_queue_used_idx(f->driver), 0);
}

/* Indices that are equal again say nothing about what lies between. */
static void test_a_whole_lap_without_the_question_notifies(void **state)
{
    struct queue_fixture *f = *state;

    queue_fixture_start(f, EVENT_IDX, 4);
    guest_queue_set_used_event(f->driver, 40000);
    for (unsigned i = 0; i < 65536; i++)
        queue_fixture_round_trip(f);
    assert_true(virtqueue_should_notify(&f->queue));
    assert_false(virtqueue_should_notify(&f->queue));
}

/* --- available buffer notifications --- */

static void test_without_event_idx_the_doorbell_is_a_flag(void **state)
{
    struct queue_fixture *f = *state;

    queue_fixture_start(f, 0, 8);
    assert_int_equal(guest_queue_used_flags(f->driver), 0);
    virtqueue_disable_doorbell(&f->queue);
    assert_int_equal(guest_queue_used_flags(f->driver), VRING_USED_F_NO_NOTIFY);
    assert_false(virtqueue_enable_doorbell(&f->queue));
    assert_int_equal(guest_queue_used_flags(f->driver), 0);
    assert_int_equal(guest_queue_avail_event(f->driver), 0);
}

static void test_with_event_idx_flags_stay_zero_and_avail_event_follows(void **state)
{
    struct queue_fixture *f = *state;
    uint16_t stale = 1;

    guest_queue_place(f->guest, 0, 8);
    f->driver = &f->guest->queues[0];
    guest_write(f->guest, f->driver->used, &stale, sizeof(stale));
    assert_int_equal(queue_fixture_enable(f, EVENT_IDX), 0);
    assert_int_equal(guest_queue_used_flags(f->driver), 0);
    virtqueue_disable_doorbell(&f->queue);
    assert_int_equal(guest_queue_used_flags(f->driver), 0);
    queue_fixture_round_trip(f);
    queue_fixture_round_trip(f);
    assert_int_equal(guest_queue_avail_event(f->driver), 0);
    assert_false(virtqueue_enable_doorbell(&f->queue));
    assert_int_equal(guest_queue_avail_event(f->driver), 2);
    assert_int_equal(guest_queue_used_flags(f->driver), 0);
}

static void test_enabling_the_doorbell_tells_of_a_buffer_already_there(void **state)
{
    static const uint64_t features[] = { 0, EVENT_IDX };
    struct guest_segment segment = { .address = 0x2000, .length = 1 };
    struct queue_fixture *f = *state;

    for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
        virtqueue_reset(&f->queue);
        queue_fixture_start(f, features[i], 8);
        virtqueue_disable_doorbell(&f->queue);
        guest_queue_add(f->driver, &segment, 1);
        assert_true(virtqueue_enable_doorbell(&f->queue));
        assert_int_equal(queue_fixture_pop(f), 1);
        assert_false(virtqueue_enable_doorbell(&f->queue));
    }
}

/* --- both at once --- */

#define EXCHANGES 20000

struct exchange {
    struct queue_fixture *f;
    sem_t bell, interrupt;
    unsigned bells, interrupts; /* each its own thread's */
};

/* The device sleeps unless its bell rings: a lost notification hangs the test. */
static void *device_thread(void *argument)
{
    struct exchange *x = argument;
    unsigned served = 0;

    while (served < EXCHANGES) {
        while (queue_fixture_pop(x->f) > 0 ||
               (virtqueue_enable_doorbell(&x->f->queue) && queue_fixture_pop(x->f) > 0)) {
            virtqueue_disable_doorbell(&x->f->queue);
            virtqueue_push(&x->f->queue, x->f->chain.head, 0);
            served++;
            if (virtqueue_should_notify(&x->f->queue)) {
                x->interrupts++;
                sem_post(&x->interrupt);
            }
        }
        if (served < EXCHANGES)
            sem_wait(&x->bell);
    }
    return NULL;
}

static void exchange(struct queue_fixture *f, uint64_t features)
{
    struct guest_segment segment = { .address = 0x800, .length = 1 };
    struct exchange x = { .f = f };
    unsigned offered = 0, taken = 0;
    struct guest_used used;
    pthread_t thread;

    queue_fixture_start(f, features, 4);
    sem_init(&x.bell, 0, 0);
    sem_init(&x.interrupt, 0, 0);
    assert_int_equal(pthread_create(&thread, NULL, device_thread, &x), 0);
    while (taken < EXCHANGES) {
        while (offered < EXCHANGES && f->driver->free_count) {
            guest_queue_add(f->driver, &segment, 1);
            offered++;
            if (guest_queue_wants_kick(f->driver)) {
                x.bells++;
                sem_post(&x.bell);
            }
        }
        guest_queue_set_avail_flags(f->driver, VRING_AVAIL_F_NO_INTERRUPT);
        while (guest_queue_take_used(f->driver, &used))
            taken++;
        /* Sleep, but look once more after saying so. */
        guest_queue_set_avail_flags(f->driver, 0);
        guest_queue_set_used_event(f->driver, f->driver->last_used);
        if (guest_queue_used_idx(f->driver) == f->driver->last_used && taken < EXCHANGES &&
            (offered == EXCHANGES || !f->driver->free_count))
            sem_wait(&x.interrupt);
    }
    pthread_join(thread, NULL);
    assert_int_equal(f->queue.outstanding, 0);
    assert_true(x.bells <= EXCHANGES && x.interrupts <= EXCHANGES);
    sem_destroy(&x.bell);
    sem_destroy(&x.interrupt);
}

static void test_no_notification_is_lost_between_threads(void **state)
{
    exchange(*state, 0);
}

static void test_no_notification_is_lost_between_threads_with_event_idx(void **state)
{
    exchange(*state, EVENT_IDX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, queue_fixture_set_up, queue_fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_pushed_means_nothing_to_notify),
        TEST(test_without_event_idx_flags_decide_and_used_event_is_ignored),
        TEST(test_with_event_idx_used_event_decides_and_flags_are_ignored),
        TEST(test_event_inside_a_batch_is_seen),
        TEST(test_event_is_seen_where_the_index_wraps),
        TEST(test_a_whole_lap_without_the_question_notifies),
        TEST(test_without_event_idx_the_doorbell_is_a_flag),
        TEST(test_with_event_idx_flags_stay_zero_and_avail_event_follows),
        TEST(test_enabling_the_doorbell_tells_of_a_buffer_already_there),
        TEST(test_no_notification_is_lost_between_threads),
        TEST(test_no_notification_is_lost_between_threads_with_event_idx),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
