/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uring_probe.c - see ringlet/uring_probe.h.
 */
#include "ringlet/uring_probe.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <string.h>

#include "ringlet/error.h"
#include "ringlet/util.h"

#define ROW(opcode, purpose)                                                                                 \
    {                                                                                                        \
        opcode, #opcode, purpose                                                                             \
    }

static const struct {
    int opcode;
    const char *name;
    const char *purpose;
} rows[] = {
    ROW(IORING_OP_READV, "disk reads"),
    ROW(IORING_OP_WRITEV, "disk and console writes"),
    ROW(IORING_OP_FSYNC, "disk flushes"),
    ROW(IORING_OP_FALLOCATE, "discard and write-zeroes"),
    ROW(IORING_OP_READ, "doorbells and console input"),
    ROW(IORING_OP_WRITE, "zeroes to storage that cannot make its own"),
    ROW(IORING_OP_POLL_ADD, "waiting for descriptors"),
    ROW(IORING_OP_ACCEPT, "console sockets"),
    ROW(IORING_OP_TIMEOUT, "timers"),
    ROW(IORING_OP_ASYNC_CANCEL, "orderly ends"),
};
static_assert(ARRAY_SIZE(rows) <= URING_PROBE_MAX, "room for every row");

int uring_probe(struct uring_operation operations[URING_PROBE_MAX], unsigned *ret_count, struct error *err)
{
    struct io_uring_probe *probe;
    struct io_uring ring;
    int result = io_uring_queue_init(2, &ring, 0);

    if (result < 0)
        return error_set(err, result, "refused (%s)", strerror(-result));
    probe = io_uring_get_probe_ring(&ring);
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        operations[i] = (struct uring_operation){
            .name = rows[i].name,
            .purpose = rows[i].purpose,
            .supported = probe && io_uring_opcode_supported(probe, rows[i].opcode),
        };
    }
    if (probe)
        io_uring_free_probe(probe);
    io_uring_queue_exit(&ring);
    *ret_count = ARRAY_SIZE(rows);
    return 0;
}
