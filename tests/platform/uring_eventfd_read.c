/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uring_eventfd_read.c - doorbells: a read of a blocking eventfd waits, empties the counter and completes
 * once however often it was rung; cancelling one gives -ECANCELED.
 */
#include <sys/eventfd.h>
#include <unistd.h>

#include "uring.h"

int main(void)
{
    struct io_uring ring;
    struct io_uring_cqe *cqe;
    struct io_uring_sqe *sqe;
    uint64_t count = 0;
    int event = eventfd(0, EFD_CLOEXEC);

    make_ring(&ring, 0);
    io_uring_prep_read(io_uring_get_sqe(&ring), event, &count, sizeof(count), (__u64)-1);
    CHECK(io_uring_submit(&ring) == 1);
    CHECK(io_uring_peek_cqe(&ring, &cqe) == -EAGAIN);
    CHECK(eventfd_write(event, 2) == 0);
    CHECK(next_result(&ring) == sizeof(count));
    CHECK(count == 2);
    CHECK(eventfd_write(event, 3) == 0);
    CHECK(io_uring_peek_cqe(&ring, &cqe) == -EAGAIN);
    io_uring_prep_read(io_uring_get_sqe(&ring), event, &count, sizeof(count), (__u64)-1);
    CHECK(io_uring_submit(&ring) == 1);
    CHECK(next_result(&ring) == sizeof(count));
    CHECK(count == 3);

    sqe = io_uring_get_sqe(&ring);
    io_uring_prep_read(sqe, event, &count, sizeof(count), (__u64)-1);
    io_uring_sqe_set_data64(sqe, 1);
    CHECK(io_uring_submit(&ring) == 1);
    sqe = io_uring_get_sqe(&ring);
    io_uring_prep_cancel64(sqe, 1, 0);
    io_uring_sqe_set_data64(sqe, 2);
    CHECK(io_uring_submit(&ring) == 1);
    for (int i = 0; i < 2; i++) {
        CHECK(io_uring_wait_cqe(&ring, &cqe) == 0);
        CHECK(cqe->res == (cqe->user_data == 1 ? -ECANCELED : 0));
        io_uring_cqe_seen(&ring, cqe);
    }
    return 0;
}
