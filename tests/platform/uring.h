/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uring.h - a ring for the programs that prove something about io_uring.
 */
#ifndef RINGLET_TESTS_PLATFORM_URING_H
#define RINGLET_TESTS_PLATFORM_URING_H

#include <liburing.h>

#include "platform.h"

/* Skips where io_uring is refused, or knows `flags` not. */
static inline void make_ring(struct io_uring *ring, unsigned flags)
{
    int result = io_uring_queue_init(8, ring, flags);

    if (result < 0)
        SKIP("io_uring_setup with flags %#x: %s", flags, strerror(-result));
}

/* The result of the next CQE, waited for. */
static inline int next_result(struct io_uring *ring)
{
    struct io_uring_cqe *cqe;
    int result;

    CHECK(io_uring_wait_cqe(ring, &cqe) == 0);
    result = cqe->res;
    io_uring_cqe_seen(ring, cqe);
    return result;
}

#endif
