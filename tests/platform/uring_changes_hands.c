/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uring_changes_hands.c - a ring for a single issuer may be made, disabled, by one thread, and belongs to the
 * thread that enables it: that one may submit, the maker may not any more.
 */
#include <pthread.h>

#include "uring.h"

static void *run(void *argument)
{
    struct io_uring *ring = argument;

    CHECK(io_uring_register((unsigned)ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) == 0);
    CHECK(io_uring_submit_and_wait(ring, 1) == 1);
    CHECK(next_result(ring) == 0);
    return NULL;
}

int main(void)
{
    struct io_uring ring;
    pthread_t thread;

    make_ring(&ring, IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_R_DISABLED |
                         IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP);
    /* queued by the maker, before the ring is enabled */
    io_uring_prep_nop(io_uring_get_sqe(&ring));
    CHECK(pthread_create(&thread, NULL, run, &ring) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    io_uring_prep_nop(io_uring_get_sqe(&ring));
    CHECK(io_uring_submit(&ring) == -EEXIST);
    return 0;
}
