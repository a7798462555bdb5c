/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue_fixture.c - see queue_fixture.h.
 */
#include "queue_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

int queue_fixture_set_up(void **state)
{
    struct queue_fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->guest = guest_driver_create();
    f->chain = (struct virtqueue_chain){ .iov = f->iov, .iov_max = QUEUE_FIXTURE_MAX_IOV };
    virtqueue_init(&f->queue, f->guest->memory, QUEUE_FIXTURE_MAX_SIZE);
    *state = f;
    return 0;
}

int queue_fixture_tear_down(void **state)
{
    struct queue_fixture *f = *state;

    guest_driver_destroy(f->guest);
    free(f);
    return 0;
}

int queue_fixture_enable(struct queue_fixture *f, uint64_t features)
{
    f->guest->features = features;
    f->queue.size = f->driver->size;
    f->queue.desc_address = f->driver->desc;
    f->queue.avail_address = f->driver->avail;
    f->queue.used_address = f->driver->used;
    return virtqueue_enable(&f->queue, features);
}

void queue_fixture_start(struct queue_fixture *f, uint64_t features, uint16_t size)
{
    guest_queue_place(f->guest, 0, size);
    f->driver = &f->guest->queues[0];
    assert_int_equal(queue_fixture_enable(f, features), 0);
}

int queue_fixture_pop(struct queue_fixture *f)
{
    return virtqueue_pop(&f->queue, &f->chain);
}

uint16_t queue_fixture_offer_and_pop(struct queue_fixture *f)
{
    struct guest_segment segment = { .address = 0x800, .length = 1 };
    uint16_t head = guest_queue_add(f->driver, &segment, 1);

    assert_int_equal(queue_fixture_pop(f), 1);
    assert_int_equal(f->chain.head, head);
    return head;
}

void queue_fixture_round_trip(struct queue_fixture *f)
{
    struct guest_used used;
    uint16_t head = queue_fixture_offer_and_pop(f);

    virtqueue_push(&f->queue, head, 0);
    assert_true(guest_queue_take_used(f->driver, &used));
}
