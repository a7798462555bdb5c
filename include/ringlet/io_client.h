/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io_client.h - the trampoline between the event loop and a device.
 *
 * A device contains no locks. Its one mutex is taken by the bus for guest accesses, and by the loop for
 * completions: every loop_op and every backend names the client it works for, and the loop holds that
 * client's lock while it calls back. After the last completion of a turn the loop calls batch_end() once for
 * each client that had any, which is where a virtio device decides on its single interrupt.
 *
 * Lock order: a client's lock is the outermost; a backend's inner lock may be taken under it; two clients'
 * locks are never held together.
 */
#ifndef RINGLET_IO_CLIENT_H
#define RINGLET_IO_CLIENT_H

#include <pthread.h>
#include <stdbool.h>

struct io_client {
    pthread_mutex_t *lock;                     /* borrowed; outlives the client */
    void (*batch_end)(struct io_client *self); /* optional; loop thread, lock held */

    /* The loop's own: the list of clients to call at the end of this turn. Zero before first use. */
    struct io_client *next_dirty;
    bool dirty;
};

#endif
