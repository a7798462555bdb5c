/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_rng.c - the entropy device (virtio 1.2, 5.4): fills the driver's buffers with random bytes.
 *
 * The smallest device there is, and the one to copy. A device is a structure that embeds struct
 * virtio_device, a const table of ops, a create function that hands both to the core, and what happens when a
 * doorbell rings. There are no locks here: the core and the loop hold the device's around every function of
 * this file.
 *
 * One request is with the backend at a time; chains that arrive meanwhile wait in the ring.
 */
#include "ringlet/virtio_rng.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>

#include "ringlet/cleanup.h"
#include "ringlet/entropy_backend.h"
#include "ringlet/guest_memory.h"
#include "ringlet/iov.h"
#include "ringlet/util.h"
#include "ringlet/virtio_device.h"

#define QUEUE_SIZE 8

/* A chain is no longer than the queue (2.7.5.3.1), but each border inside RAM may cut a buffer in two. */
#define VECTORS_MAX (QUEUE_SIZE + GUEST_MEMORY_MAX_REGIONS - 1)

/* "MAY use less than the entire buffer length" (5.4.6.1): one buffer does not keep the host busy for long. */
#define REQUEST_MAX (64 * KIB)

struct virtio_rng {
    struct virtio_device device;
    struct entropy_backend *backend;
    bool busy; /* the backend holds `request`; until it is done nothing below may change */
    struct virtqueue_chain chain;
    struct iovec vectors[VECTORS_MAX]; /* the chain, as popped */
    struct iovec slice[VECTORS_MAX];   /* what of it is to be filled */
    struct entropy_request request;
};

/* Take the next buffer, if there is one and the backend is free. */
static void serve(struct virtio_rng *rng)
{
    struct virtqueue_chain *chain = &rng->chain;
    struct iov_cursor cursor;
    size_t length;

    if (rng->busy || virtio_device_pop(&rng->device, 0, chain) <= 0)
        return;
    if (!chain->in_length) {
        /* "MUST place one or more random bytes into the buffer": there is no place. The driver is at fault.
         */
        virtio_device_needs_reset(&rng->device);
        return;
    }
    length = chain->in_length < REQUEST_MAX ? chain->in_length : REQUEST_MAX;
    cursor = iov_cursor_make(chain->iov + chain->out_count, chain->in_count);
    /* Cannot fail: the bytes are there, and a part of the chain has no more vectors than the chain. */
    rng->request.iov_count = (unsigned)iov_cursor_slice(&cursor, length, rng->slice, VECTORS_MAX);
    rng->busy = true;
    virtio_device_request_begin(&rng->device);
    rng->backend->ops->submit(rng->backend, &rng->request);
}

/* The backend's answer: bytes filled, or -errno. */
static void request_done(struct entropy_request *request, int result)
{
    struct virtio_rng *rng = container_of(request, struct virtio_rng, request);

    rng->busy = false;
    /*
     * No random bytes: an empty buffer is not allowed, old bytes would be worse, and a driver left waiting
     * learns nothing. So the device says that it is out of order (2.1.2); during a reset both calls do
     * nothing.
     */
    if (result > 0)
        virtio_device_push(&rng->device, 0, rng->chain.head, (uint32_t)result);
    else
        virtio_device_needs_reset(&rng->device);
    virtio_device_request_end(&rng->device);
    serve(rng);
}

static void virtio_rng_queue_notify(struct virtio_device *device, unsigned index)
{
    (void)index; /* there is one queue */
    serve(container_of(device, struct virtio_rng, device));
}

static void virtio_rng_config_read(struct virtio_device *device, uint32_t offset, void *to, uint32_t length)
{
    /* 5.4.4: there is no configuration, config_size is 0, and the core never asks. */
    (void)device, (void)offset, (void)to, (void)length;
}

static void virtio_rng_destroy(struct virtio_device *device)
{
    struct virtio_rng *rng = container_of(device, struct virtio_rng, device);

    entropy_backend_destroy(rng->backend);
    virtio_device_finish(device);
    free(rng);
}

static const struct virtio_device_ops virtio_rng_ops = {
    .config_read = virtio_rng_config_read,
    .queue_notify = virtio_rng_queue_notify,
    .destroy = virtio_rng_destroy,
};

int virtio_rng_create(const char *name, struct entropy_backend *backend, const struct guest_memory *memory,
                      struct virtio_device **ret_device)
{
    const struct virtio_device_setup setup = {
        .ops = &virtio_rng_ops,
        .name = name,
        .device_id = VIRTIO_ID_RNG,
        .queue_count = 1,
        .queue_size = QUEUE_SIZE,
        .memory = memory,
    };
    CLEANUP_FREE struct virtio_rng *rng = calloc(1, sizeof(*rng));
    int result;

    if (!rng)
        return -ENOMEM;
    result = virtio_device_init(&rng->device, &setup);
    if (result)
        return result;
    rng->backend = backend;
    rng->chain.iov = rng->vectors;
    rng->chain.iov_max = VECTORS_MAX;
    rng->request.iov = rng->slice;
    rng->request.done = request_done;
    backend->ops->attach(backend, &rng->device.client);
    *ret_device = &steal_pointer(&rng)->device;
    return 0;
}
