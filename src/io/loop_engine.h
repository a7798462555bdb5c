/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_engine.h - what loop.c and its two engines share.
 *
 * loop.c owns what does not depend on the engine: which operations are in flight, the list of those that have
 * a result (`ready`), their delivery under the clients' locks, posted tasks, the wake-up eventfd, and the
 * pool for loop_call(). An engine owns the waiting: start() and cancel() never block and never deliver;
 * turn() submits what start() took, waits, and appends what has a result to `ready` with loop_op_finish().
 *
 * An op is in one place at a time, named by its state; op->next links it there.
 */
#ifndef RINGLET_IO_LOOP_ENGINE_H
#define RINGLET_IO_LOOP_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "loop_pool.h"
#include "ringlet/loop.h"

enum loop_opcode {
    LOOP_OP_READV,
    LOOP_OP_WRITEV,
    LOOP_OP_READ,
    LOOP_OP_WRITE,
    LOOP_OP_FDATASYNC,
    LOOP_OP_FALLOCATE,
    LOOP_OP_POLL,
    LOOP_OP_TIMEOUT,
    LOOP_OP_ACCEPT,
    LOOP_OP_COMPLETE,
    LOOP_OP_CALL,
    LOOP_OP_OPCODE_COUNT,
};

enum loop_op_state {
    LOOP_OP_IDLE,      /* not started */
    LOOP_OP_QUEUED,    /* io_uring: on `queued`, the kernel has not seen it */
    LOOP_OP_SUBMITTED, /* io_uring: the kernel has it */
    LOOP_OP_ENDING,    /* io_uring: the kernel has it, and it is on `cancels` */
    LOOP_OP_WAITING,   /* threads: on `waiting` for its descriptor */
    LOOP_OP_TIMING,    /* threads: on `timers` */
    LOOP_OP_POOLED,    /* the pool has it, queued, running or finished */
    LOOP_OP_READY,     /* on `ready`, with its result */
    LOOP_OP_STATE_COUNT,
};

struct loop_engine_ops {
    const char *name;
    /* required: the loop thread enters loop_run(). 0 or -errno */
    int (*enter)(struct loop *loop);
    /* required: take an op other than COMPLETE and CALL */
    void (*start)(struct loop *loop, struct loop_op *op);
    /* required: end an op that is in one of the engine's states */
    void (*cancel)(struct loop *loop, struct loop_op *op);
    /* required: one round; waits for something to happen if `block`. 0 or -errno. Interruptions are no
     * failure */
    int (*turn)(struct loop *loop, bool block);
    /* required: nothing is in flight; frees the loop */
    void (*destroy)(struct loop *loop);
};

struct loop {
    const struct loop_engine_ops *ops;
    struct op_list ready;
    unsigned in_flight;
    struct io_client *dirty; /* clients of this turn's completions */
    bool woken;              /* the engine saw wake_fd readable since this was last cleared */

    /* any thread */
    int wake_fd;            /* eventfd, non-blocking */
    _Atomic bool wake_sent; /* wake_fd has been written since the loop last emptied it */
    _Atomic bool stop;
    _Atomic(struct loop_task *) posted; /* newest first */

    struct loop_pool pool;
};

/* The part of an engine's create() and destroy() that is the same for both. 0 or -errno. */
int loop_init(struct loop *loop, const struct loop_engine_ops *ops);
void loop_finish(struct loop *loop);

/* The op has its result: it leaves the engine. */
void loop_op_finish(struct loop *loop, struct loop_op *op, int result);

/* The engine saw wake_fd readable. */
void loop_woken(struct loop *loop);

/* Make the engine's wait end. Any thread, and signal handlers. */
void loop_wake(struct loop *loop);

/* Does the operation wait for its descriptor, rather than for a disk? */
static inline bool loop_op_is_stream(const struct loop_op *op)
{
    switch ((enum loop_opcode)op->opcode) {
    case LOOP_OP_READV:
    case LOOP_OP_WRITEV:
    case LOOP_OP_READ:
    case LOOP_OP_WRITE:
        return op->offset == LOOP_NO_OFFSET;
    case LOOP_OP_ACCEPT:
        return true;
    default:
        return false;
    }
}

static inline bool loop_op_is_write(const struct loop_op *op)
{
    return op->opcode == LOOP_OP_WRITEV || op->opcode == LOOP_OP_WRITE;
}

int loop_uring_create(unsigned entries, struct loop **ret_loop, struct error *err);
int loop_threads_create(struct loop **ret_loop, struct error *err);

#endif
