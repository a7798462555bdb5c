/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monotonic.h - the time by a clock that is never set, for deadlines of what blocks.
 */
#ifndef RINGLET_MONOTONIC_H
#define RINGLET_MONOTONIC_H

#include <stdint.h>
#include <time.h>

/* Milliseconds. Any thread. */
static inline int64_t monotonic_ms(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

#endif
