/* SPDX-License-Identifier: Apache-2.0 */
/*
 * write_now.c - see ringlet/write_now.h.
 */
#include "ringlet/write_now.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Is there somebody at the other end for whom the kernel might let us wait? A file's RWF_NOWAIT means the disk. */
static bool has_reader(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode));
}

ssize_t write_now(int fd, const void *bytes, size_t length)
{
    const struct iovec whole = { (void *)(uintptr_t)bytes, length };
    struct pollfd polled = { .fd = fd, .events = POLLOUT };
    ssize_t written = -1;
    int ready;

    errno = EOPNOTSUPP;
    if (has_reader(fd))
        written = pwritev2(fd, &whole, 1, -1, RWF_NOWAIT);
    if (written < 0 && errno == EOPNOTSUPP) {
        ready = poll(&polled, 1, 0);
        if (ready == 0)
            return -EAGAIN;
        if (ready > 0)
            written = write(fd, bytes, length);
    }
    return written < 0 ? -errno : written;
}
