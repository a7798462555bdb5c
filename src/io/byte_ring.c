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

unsigned byte_ring_peek(struct byte_ring *ring, struct iovec iov[2], size_t max)
{
    size_t count = least(ring->count, max);
    size_t straight = least(count, BYTE_RING_SIZE - ring->head);

    if (!count)
        return 0;
    iov[0] = (struct iovec){ .iov_base = ring->bytes + ring->head, .iov_len = straight };
    if (straight == count)
        return 1;
    iov[1] = (struct iovec){ .iov_base = ring->bytes, .iov_len = count - straight };
    return 2;
}

void byte_ring_drop(struct byte_ring *ring, size_t count)
{
    ring->head = (ring->head + count) % BYTE_RING_SIZE;
    ring->count -= count;
}
