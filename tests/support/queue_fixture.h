/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue_fixture.h - one virtqueue and its driver, without device and transport in between. Needs
 * guest_driver.c, guest_queue.c, fake_irq_line.c.
 */
#ifndef RINGLET_TEST_QUEUE_FIXTURE_H
#define RINGLET_TEST_QUEUE_FIXTURE_H

#include <stdint.h>
#include <sys/uio.h>

#include "guest_driver.h"
#include "ringlet/virtqueue.h"

#define QUEUE_FIXTURE_MAX_SIZE 256
#define QUEUE_FIXTURE_MAX_IOV  64

struct queue_fixture {
    struct guest_driver *guest; /* which has no device */
    struct guest_queue *driver;
    struct virtqueue queue;
    struct iovec iov[QUEUE_FIXTURE_MAX_IOV];
    struct virtqueue_chain chain; /* what was popped last */
};

/* cmocka's set-up and tear-down; the queue is not ready yet */
int queue_fixture_set_up(void **state);
int queue_fixture_tear_down(void **state);

/* Tell the queue what the driver's struct says, as a transport does; virtqueue_enable()'s answer. */
int queue_fixture_enable(struct queue_fixture *f, uint64_t features);
/* Place a queue of `size` entries and enable it. */
void queue_fixture_start(struct queue_fixture *f, uint64_t features, uint16_t size);

int queue_fixture_pop(struct queue_fixture *f);
/* One readable byte, popped and outstanding; returns its head. */
uint16_t queue_fixture_offer_and_pop(struct queue_fixture *f);
/* The same, pushed and taken back. */
void queue_fixture_round_trip(struct queue_fixture *f);

#endif
