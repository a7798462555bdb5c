/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deadline.h - how long to go on waiting: moments on the monotonic clock, in milliseconds, which poll() takes.
 */
#ifndef RINGLET_GUEST_DEADLINE_H
#define RINGLET_GUEST_DEADLINE_H

#include <limits.h>
#include <stdint.h>
#include <time.h>

static inline int64_t deadline_in(int64_t milliseconds)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + milliseconds;
}

/* Milliseconds that are left, for poll(): 0 if it has passed. */
static inline int deadline_left(int64_t deadline)
{
    int64_t left = deadline - deadline_in(0);

    return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

#endif
