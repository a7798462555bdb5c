/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_device.h - a virtio device that counts what the core tells it, and completes requests at once or when
 * the test says so.
 */
#ifndef RINGLET_TEST_FAKE_DEVICE_H
#define RINGLET_TEST_FAKE_DEVICE_H

#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

#include "ringlet/virtio_device.h"

struct guest_memory;

#define FAKE_DEVICE_ID          42
#define FAKE_DEVICE_CONFIG_SIZE 22 /* no multiple of 4 */
#define FAKE_DEVICE_FEATURE     3  /* a feature bit of its own */
#define FAKE_DEVICE_MAX_HELD    256
#define FAKE_DEVICE_FILL        0xa5 /* what it writes into device-writable buffers */

struct fake_held {
    unsigned queue;
    uint16_t head;
    uint32_t written;
};

struct fake_device {
    struct virtio_device device;
    uint8_t config[FAKE_DEVICE_CONFIG_SIZE];

    uint64_t refuses; /* features that it takes no set with */
    bool hold;        /* keep what is popped in flight until fake_device_complete() */
    unsigned room;    /* how many may be held; popping stops there and goes on at the next completion */
    struct fake_held held[FAKE_DEVICE_MAX_HELD];
    unsigned held_count;

    unsigned notified[VIRTIO_DEVICE_MAX_QUEUES];
    unsigned disabled[VIRTIO_DEVICE_MAX_QUEUES];
    unsigned popped, features_accepted, activated, cancelled, resets;
    unsigned char last_out[64]; /* the first bytes of the last chain's readable part */
    bool *destroyed;            /* set by destroy; may be NULL */
    sem_t cancel_called;        /* posted by cancel */
};

/* Destroyed through virtio_device_destroy(). Ends the test if it cannot be made. */
struct fake_device *fake_device_create(const struct guest_memory *memory, unsigned queues,
                                       uint16_t queue_size);

/* Complete the request held longest; lock held. False when there is none. */
bool fake_device_complete(struct fake_device *fake);

#endif
