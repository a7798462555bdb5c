/* SPDX-License-Identifier: Apache-2.0 */
/*
 * byte_ring.h - a bounded queue of bytes, whose content can be written with one writev().
 */
#ifndef RINGLET_IO_BYTE_RING_H
#define RINGLET_IO_BYTE_RING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define BYTE_RING_SIZE 65536

struct byte_ring {
    uint8_t bytes[BYTE_RING_SIZE];
    size_t head, count;
};

static inline size_t byte_ring_room(const struct byte_ring *ring)
{
    return BYTE_RING_SIZE - ring->count;
}

/* Append what fits; returns how much did. */
size_t byte_ring_put(struct byte_ring *ring, const uint8_t *bytes, size_t count);

/* Append everything, at the cost of what is oldest; returns how many bytes were lost by it. */
size_t byte_ring_put_latest(struct byte_ring *ring, const uint8_t *bytes, size_t count);

/* The content, oldest first, in at most two vectors, cut at `max` bytes. Returns the number of vectors. */
unsigned byte_ring_peek(struct byte_ring *ring, struct iovec iov[2], size_t max);

/*
 * The room, in the order in which it will be filled, for a read straight into it; cut at `max` bytes. Returns the
 * number of vectors. Until byte_ring_filled() says how much came, nothing else may be put; dropping is fine.
 */
unsigned byte_ring_space(struct byte_ring *ring, struct iovec iov[2], size_t max);
void byte_ring_filled(struct byte_ring *ring, size_t count);

/* Copy the youngest `size` bytes, or all, to `to`, oldest first; returns how many. */
size_t byte_ring_copy_latest(const struct byte_ring *ring, uint8_t *to, size_t size);

/* Forget the `count` (at most ring->count) oldest bytes. */
void byte_ring_drop(struct byte_ring *ring, size_t count);

#endif
