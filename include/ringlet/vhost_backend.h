/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost_backend.h - a device whose virtqueues another process works on: the contract between such a device's
 * front end here (features, status, configuration) and that process (virtio-fs and virtiofsd).
 *
 * The process has guest RAM mapped and gets an eventfd for each queue's doorbell, and one by which it says that
 * buffers were used. Nothing of a request passes through us but that last signal, which becomes the interrupt.
 *
 *   attach -> start -> (kicks and calls) -> stop ... stopped() -> start ...     ended() at any time
 *
 * Threads: attach() while the VM is built; start() and stop() on any thread with the client's lock held, never
 * blocking; the listener is called on the loop thread with that lock held, never from inside start() or stop().
 *
 * Implementations: src/io/vhost_user.c, and tests/support/fake_vhost.c.
 */
#ifndef RINGLET_VHOST_BACKEND_H
#define RINGLET_VHOST_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

struct io_client;
struct vhost_backend;
struct vhost_listener;

#define VHOST_MAX_QUEUES  8
#define VHOST_MAX_REGIONS 8 /* of a vhost-user memory table */

/* A piece of guest RAM that can be mapped elsewhere. */
struct vhost_region {
    uint64_t base;   /* guest-physical */
    uint64_t size;   /* bytes */
    void *host;      /* where we have it mapped */
    int fd;          /* memfd; borrowed, open as long as the backend lives */
    uint64_t offset; /* of the region in fd */
};

/* A queue as the driver set it up; pointers into guest RAM, checked by virtqueue_enable(). */
struct vhost_queue {
    unsigned index;
    bool resume; /* go on where the last stop() left it; false: it is new, from its beginning */
    uint16_t size;
    const void *desc;
    const void *avail;
    void *used;
};

struct vhost_listener_ops {
    /* required: buffers of queue `index` were used */
    void (*used)(struct vhost_listener *listener, unsigned index);
    /* required: what stop() asked for is done: nothing of guest RAM is touched any more. Once for each start */
    void (*stopped)(struct vhost_listener *listener);
    /*
     * required: the process has gone, for good, and touches guest RAM no more. What was started needs no stop()
     * now; if stop() came before, stopped() follows
     */
    void (*ended)(struct vhost_listener *listener);
};

struct vhost_listener {
    const struct vhost_listener_ops *ops;
};

struct vhost_backend_ops {
    /* required: once, before anything else. 0 or -errno */
    int (*attach)(struct vhost_backend *backend, struct io_client *client, struct vhost_listener *listener,
                  const struct vhost_region *regions, unsigned region_count);
    /*
     * required: the eventfd that is queue `index`'s doorbell (< VHOST_MAX_QUEUES), which never blocks; the
     * backend's own, the same as long as it lives
     */
    int (*doorbell)(struct vhost_backend *backend, unsigned index);
    /*
     * required: work these queues, with these features. 0 or -errno; then nothing has begun. Not between stop()
     * and stopped(), nor after ended(): -EPIPE. A process that has gone unnoticed is started all the same, and ended() follows.
     * Bells rung before and meanwhile count
     */
    int (*start)(struct vhost_backend *backend, uint64_t features, const struct vhost_queue *queues,
                 unsigned count);
    /* required: after start(), once: come to rest; stopped() tells when */
    void (*stop)(struct vhost_backend *backend);
    /* required; stopped or never started */
    void (*destroy)(struct vhost_backend *backend);
};

struct vhost_backend {
    const struct vhost_backend_ops *ops;
    uint64_t features; /* what the process can do; constant after creation */
};

static inline void vhost_backend_destroy(struct vhost_backend *backend)
{
    if (backend)
        backend->ops->destroy(backend);
}

#endif
