/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iov.c - see ringlet/iov.h.
 */
#include "ringlet/iov.h"

#include <errno.h>
#include <string.h>

struct iov_cursor iov_cursor_make(const struct iovec *iov, unsigned count)
{
    return (struct iov_cursor){ .iov = iov, .count = count };
}

size_t iov_length(const struct iovec *iov, unsigned count)
{
    size_t total = 0;

    for (unsigned i = 0; i < count; i++) {
        if (__builtin_add_overflow(total, iov[i].iov_len, &total))
            return SIZE_MAX;
    }
    return total;
}

size_t iov_cursor_remaining(const struct iov_cursor *cursor)
{
    size_t total = iov_length(cursor->iov, cursor->count);

    return total == SIZE_MAX ? total : total - cursor->offset;
}

/* The next stretch of at most `length` bytes that lies in one vector; 0 at the end. Moves the cursor past it.
 */
static size_t take(struct iov_cursor *cursor, size_t length, unsigned char **ret_bytes)
{
    size_t here;

    while (cursor->count && cursor->offset == cursor->iov->iov_len) {
        cursor->iov++;
        cursor->count--;
        cursor->offset = 0;
    }
    if (!cursor->count)
        return 0;
    here = cursor->iov->iov_len - cursor->offset;
    if (here > length)
        here = length;
    *ret_bytes = (unsigned char *)cursor->iov->iov_base + cursor->offset;
    cursor->offset += here;
    return here;
}

size_t iov_cursor_skip(struct iov_cursor *cursor, size_t length)
{
    unsigned char *bytes;
    size_t done = 0, here;

    while (done < length && (here = take(cursor, length - done, &bytes)))
        done += here;
    return done;
}

size_t iov_cursor_copy_out(struct iov_cursor *cursor, void *to, size_t length)
{
    unsigned char *bytes;
    size_t done = 0, here;

    while (done < length && (here = take(cursor, length - done, &bytes))) {
        memcpy((unsigned char *)to + done, bytes, here);
        done += here;
    }
    return done;
}

size_t iov_cursor_copy_in(struct iov_cursor *cursor, const void *from, size_t length)
{
    unsigned char *bytes;
    size_t done = 0, here;

    while (done < length && (here = take(cursor, length - done, &bytes))) {
        memcpy(bytes, (const unsigned char *)from + done, here);
        done += here;
    }
    return done;
}

size_t iov_cursor_fill(struct iov_cursor *cursor, int byte, size_t length)
{
    unsigned char *bytes;
    size_t done = 0, here;

    while (done < length && (here = take(cursor, length - done, &bytes))) {
        memset(bytes, byte, here);
        done += here;
    }
    return done;
}

int iov_cursor_slice(struct iov_cursor *cursor, size_t length, struct iovec *slice, unsigned max)
{
    struct iov_cursor start = *cursor;
    unsigned char *bytes;
    unsigned count = 0;
    size_t done = 0, here;

    while (done < length && (here = take(cursor, length - done, &bytes))) {
        if (count == max) {
            *cursor = start;
            return -E2BIG;
        }
        slice[count++] = (struct iovec){ .iov_base = bytes, .iov_len = here };
        done += here;
    }
    if (done < length) {
        *cursor = start;
        return -EINVAL;
    }
    return (int)count;
}
