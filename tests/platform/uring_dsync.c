/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uring_dsync.c - a stable write is one operation: WRITEV takes RWF_DSYNC, and refuses flags it does not
 * know.
 */
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "uring.h"

int main(void)
{
    char path[] = "/var/tmp/ringlet-XXXXXX", byte = 'x';
    struct iovec iov = { &byte, 1 };
    struct io_uring ring;
    int fd = mkostemp(path, O_CLOEXEC);

    CHECK(fd >= 0);
    unlink(path);
    make_ring(&ring, 0);
    io_uring_prep_writev2(io_uring_get_sqe(&ring), fd, &iov, 1, 0, RWF_DSYNC);
    CHECK(io_uring_submit(&ring) == 1);
    CHECK(next_result(&ring) == 1);
    io_uring_prep_writev2(io_uring_get_sqe(&ring), fd, &iov, 1, 0, 1 << 30);
    CHECK(io_uring_submit(&ring) == 1);
    CHECK(next_result(&ring) == -EOPNOTSUPP);
    return 0;
}
