/* SPDX-License-Identifier: Apache-2.0 */
/*
 * byte_ring.c - see byte_ring.h.
 */
#include "byte_ring.h"

#include <string.h>

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t byte_ring_put(struct byte_ring *ring, const uint8_t *bytes, size_t count)
{
    size_t taken = least(count, byte_ring_room(ring));
    size_t tail = (ring->head + ring->count) % BYTE_RING_SIZE;
    size_t straight = least(taken, BYTE_RING_SIZE - tail);

    memcpy(ring->bytes + tail, bytes, straight);
    memcpy(ring->bytes, bytes + straight, taken - straight);
    ring->count += taken;
    return taken;
}

size_t byte_ring_put_latest(struct byte_ring *ring, const uint8_t *bytes, size_t count)
{
    size_t skipped = count > BYTE_RING_SIZE ? count - BYTE_RING_SIZE : 0;
    size_t kept = count - skipped;
    size_t displaced = kept > byte_ring_room(ring) ? kept - byte_ring_room(ring) : 0;

    byte_ring_drop(ring, displaced);
    byte_ring_put(ring, bytes + skipped, kept);
    return skipped + displaced;
}

/* The `count` bytes from place `start` on, as at most two vectors. */
static unsigned stretch(struct byte_ring *ring, size_t start, size_t count, struct iovec iov[2])
{
    size_t straight = least(count, BYTE_RING_SIZE - start);

    if (!count)
        return 0;
    iov[0] = (struct iovec){ .iov_base = ring->bytes + start, .iov_len = straight };
    if (straight == count)
        return 1;
    iov[1] = (struct iovec){ .iov_base = ring->bytes, .iov_len = count - straight };
    return 2;
}

unsigned byte_ring_peek(struct byte_ring *ring, struct iovec iov[2], size_t max)
{
    return stretch(ring, ring->head, least(ring->count, max), iov);
}

unsigned byte_ring_space(struct byte_ring *ring, struct iovec iov[2], size_t max)
{
    size_t tail = (ring->head + ring->count) % BYTE_RING_SIZE;

    return stretch(ring, tail, least(byte_ring_room(ring), max), iov);
}

void byte_ring_filled(struct byte_ring *ring, size_t count)
{
    ring->count += count;
}

size_t byte_ring_copy_latest(const struct byte_ring *ring, uint8_t *to, size_t size)
{
    size_t count = least(ring->count, size);
    size_t start = (ring->head + ring->count - count) % BYTE_RING_SIZE;
    size_t straight = least(count, BYTE_RING_SIZE - start);

    memcpy(to, ring->bytes + start, straight);
    memcpy(to + straight, ring->bytes, count - straight);
    return count;
}

void byte_ring_drop(struct byte_ring *ring, size_t count)
{
    ring->head = (ring->head + count) % BYTE_RING_SIZE;
    ring->count -= count;
}
