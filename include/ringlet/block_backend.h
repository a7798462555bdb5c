/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block_backend.h - where a disk's bytes come from: the contract between a block device and its storage.
 *
 * The device owns the request and its iovecs; both stay until done(). The backend finishes each request
 * exactly once, never from inside submit(), with 0 or -errno: short transfers are the backend's to carry on
 * (a read that hits the end of the file early is -EIO), so the device never sees one. Requests in flight
 * together may be done in any order. done() may submit the same request again, for the next of several
 * ranges, so a backend lets go of it before it calls. -EOPNOTSUPP says that the storage cannot do this op at
 * all: the driver is told so, and falls back on others.
 *
 * Threads: attach() while the VM is built; submit() on the loop thread with the client's lock held; done() is
 * called on the loop thread with that lock held.
 *
 * Implementations: src/io/block_file.c, src/io/block_overlay.c (over two others), and
 * tests/support/memory_block.c.
 */
#ifndef RINGLET_BLOCK_BACKEND_H
#define RINGLET_BLOCK_BACKEND_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct block_backend;
struct block_request;
struct io_client;
struct iovec;

enum block_op {
    BLOCK_READ,
    BLOCK_WRITE,
    BLOCK_FLUSH,        /* everything done before is on stable storage when this is done */
    BLOCK_DISCARD,      /* contents of the range no longer matter; space is given back */
    BLOCK_WRITE_ZEROES, /* the range reads as zeroes; BLOCK_MAY_UNMAP lets the backend give space back */
    BLOCK_OP_COUNT,
};

enum block_request_flags {
    BLOCK_FUA = 1 << 0,       /* on stable storage before done(): write-through */
    BLOCK_MAY_UNMAP = 1 << 1, /* with BLOCK_WRITE_ZEROES */
};

#define BLOCK_REQUEST_BACKEND_SIZE 320

struct block_request {
    enum block_op op;
    unsigned flags;
    uint64_t offset;         /* bytes; a multiple of 512; offset + length <= capacity (the device checks) */
    uint64_t length;         /* bytes; a multiple of 512; for reads and writes the iovecs' total */
    const struct iovec *iov; /* reads and writes only */
    unsigned iov_count;
    void (*done)(struct block_request *request, int res);

    /* The backend's own, so that no request is allocated on the I/O path. */
    alignas(16) unsigned char backend_private[BLOCK_REQUEST_BACKEND_SIZE];
};

struct block_info {
    uint64_t capacity;            /* bytes, a multiple of 512 */
    uint32_t logical_block_size;  /* bytes: the unit the storage can address */
    uint32_t physical_block_size; /* bytes: the unit it writes without read-modify-write */
    uint32_t optimal_io_size;     /* bytes, 0 if unknown */
    uint32_t discard_granularity; /* bytes */
    bool read_only;
    bool can_discard;
    bool can_write_zeroes;
    bool write_cache; /* there is a volatile cache that FLUSH empties */
};

struct block_backend_ops {
    /* required: whose lock to hold at done(); called once, before the first submit() */
    void (*attach)(struct block_backend *backend, struct io_client *client);
    /* required */
    void (*submit)(struct block_backend *backend, struct block_request *request);
    /* required; nothing is in flight */
    void (*destroy)(struct block_backend *backend);
};

struct block_backend {
    const struct block_backend_ops *ops;
    struct block_info info; /* constant after creation */
};

static inline void block_backend_destroy(struct block_backend *backend)
{
    if (backend)
        backend->ops->destroy(backend);
}

#endif
