/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_vhost.h - a process that works on queues, which touches none: it notes what it is asked, insists on the
 * contract of ringlet/vhost_backend.h, and says that buffers were used, that it has stopped or that it has gone
 * when the test says so.
 *
 * fake_vhost_used(), _stop() and _end() call the device, so the test holds its lock around them
 * (guest_driver_enter() and _leave()).
 */
#ifndef RINGLET_TEST_FAKE_VHOST_H
#define RINGLET_TEST_FAKE_VHOST_H

#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

#include "ringlet/vhost_backend.h"

struct fake_vhost {
    struct vhost_backend backend;

    /* how it behaves; set by the test */
    int attach_error; /* what attach() returns instead of 0 */
    int start_error;  /* likewise start() */
    int doorbell_error;

    /* what was asked of it */
    struct io_client *client; /* from attach(), which also brought: */
    struct vhost_listener *listener;
    struct vhost_region regions[VHOST_MAX_REGIONS];
    unsigned region_count;
    unsigned starts, stops;                      /* starts that succeeded */
    uint64_t features;                           /* of the last start */
    struct vhost_queue queues[VHOST_MAX_QUEUES]; /* likewise */
    unsigned queue_count;                        /* likewise */
    bool working, stopping, ended, destroyed;
    sem_t stop_called; /* posted by stop() */
    int eventfds[VHOST_MAX_QUEUES];
};

void fake_vhost_init(struct fake_vhost *vhost, uint64_t features);
/* Whether or not the backend was destroyed. */
void fake_vhost_finish(struct fake_vhost *vhost);

void fake_vhost_used(struct fake_vhost *vhost, unsigned index);
/* What stop() asked for is done. */
void fake_vhost_stop(struct fake_vhost *vhost);
/* It goes; if a stop() was asked for, fake_vhost_stop() is still owed. */
void fake_vhost_end(struct fake_vhost *vhost);

/* How often the doorbell rang since the last call. */
uint64_t fake_vhost_take_rings(struct fake_vhost *vhost, unsigned index);

#endif
