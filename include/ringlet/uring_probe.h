/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uring_probe.h - which of io_uring's operations the running kernel has, of those the loop uses.
 */
#ifndef RINGLET_URING_PROBE_H
#define RINGLET_URING_PROBE_H

#include <stdbool.h>

struct error;

#define URING_PROBE_MAX 16

struct uring_operation {
    const char *name;    /* "IORING_OP_READV" */
    const char *purpose; /* in a few words */
    bool supported;
};

/* 0 with the number of rows in *ret_count, or -errno with *err when no io_uring can be set up at all. */
int uring_probe(struct uring_operation operations[URING_PROBE_MAX], unsigned *ret_count, struct error *err);

#endif
