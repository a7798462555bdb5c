/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iov.h - a cursor over an iovec array.
 *
 * Requests arrive as scattered buffers whose borders mean nothing (virtio 1.2, 2.7.4 "Message Framing").
 * The cursor walks such an array without changing it: copy a header out, cut the rest into a new array, copy
 * a status in. The array and the memory it points at are borrowed.
 */
#ifndef RINGLET_IOV_H
#define RINGLET_IOV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct iov_cursor {
    const struct iovec *iov; /* the vector the cursor stands in */
    unsigned count;          /* vectors left, that one included */
    size_t offset;           /* bytes of that one already passed */
};

struct iov_cursor iov_cursor_make(const struct iovec *iov, unsigned count);

/* Bytes from the cursor to the end. Saturates at SIZE_MAX. */
size_t iov_cursor_remaining(const struct iov_cursor *cursor);

/* Move on by up to `length` bytes; returns how many there were. */
size_t iov_cursor_skip(struct iov_cursor *cursor, size_t length);

/* Copy out of / into the vectors and move on; returns the bytes copied, short only at the end. */
size_t iov_cursor_copy_out(struct iov_cursor *cursor, void *to, size_t length);
size_t iov_cursor_copy_in(struct iov_cursor *cursor, const void *from, size_t length);
size_t iov_cursor_fill(struct iov_cursor *cursor, int byte, size_t length);

/*
 * Describe the next `length` bytes in `slice` (room for `max` vectors) and move past them. Empty vectors are
 * left out. Returns the number of vectors, -EINVAL when fewer bytes are left, -E2BIG when `max` is too small
 * (the cursor is then where it was).
 */
int iov_cursor_slice(struct iov_cursor *cursor, size_t length, struct iovec *slice, unsigned max);

/* Total bytes of an array. Saturates at SIZE_MAX. */
size_t iov_length(const struct iovec *iov, unsigned count);

#endif
