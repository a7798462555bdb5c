/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entropy_backend.h - where a virtio-rng device's random bytes come from.
 *
 * Same manners as block_backend.h: the request is the device's, done() comes exactly once, on the loop
 * thread with the client's lock held, never from inside submit(). res is the number of bytes filled from the
 * start of the iovecs (at least one), or -errno.
 *
 * Implementations: src/io/entropy_file.c, and tests/support/fake_entropy.c.
 */
#ifndef RINGLET_ENTROPY_BACKEND_H
#define RINGLET_ENTROPY_BACKEND_H

#include <stdalign.h>

struct entropy_backend;
struct io_client;
struct iovec;

#define ENTROPY_REQUEST_BACKEND_SIZE 192

struct entropy_request {
    const struct iovec *iov;
    unsigned iov_count;
    void (*done)(struct entropy_request *request, int res);

    /* The backend's own. */
    alignas(16) unsigned char backend_private[ENTROPY_REQUEST_BACKEND_SIZE];
};

struct entropy_backend_ops {
    void (*attach)(struct entropy_backend *backend, struct io_client *client);        /* required */
    void (*submit)(struct entropy_backend *backend, struct entropy_request *request); /* required */
    void (*destroy)(struct entropy_backend *backend);                                 /* required */
};

struct entropy_backend {
    const struct entropy_backend_ops *ops;
};

static inline void entropy_backend_destroy(struct entropy_backend *backend)
{
    if (backend)
        backend->ops->destroy(backend);
}

#endif
