/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_pool.h - a few threads that run operations which block.
 *
 * For loop_call() in both engines, and in the threads engine for all file I/O. Threads are made when there is
 * work for them and stay. Every signal is blocked in them.
 *
 * An operation on a stream may block for good (a terminal that nobody reads), and the loop must still be able
 * to end it. While it is inside such a system call the thread accepts pthread_cancel(): loop_pool_cancel()
 * then costs the thread its life, and the operation is -ECANCELED. The thread is replaced when next needed.
 */
#ifndef RINGLET_IO_LOOP_POOL_H
#define RINGLET_IO_LOOP_POOL_H

#include <pthread.h>
#include <stdbool.h>

struct loop;
struct loop_op;

/* A queue of ops linked by op->next. Zero is empty. */
struct op_list {
    struct loop_op *head;
    struct loop_op *last; /* meaningless while head is NULL */
};

void op_list_append(struct op_list *list, struct loop_op *op);
struct loop_op *op_list_pop(struct op_list *list);
/* Take `op` out; false if it is not there. */
bool op_list_remove(struct op_list *list, struct loop_op *op);
/* Move all of `from` behind `to`. */
void op_list_move(struct op_list *to, struct op_list *from);

#define LOOP_POOL_THREADS 4

enum pool_worker_state {
    POOL_WORKER_ABSENT,
    POOL_WORKER_RUNNING,
    POOL_WORKER_ENDED, /* has nothing left to do but return; to be joined */
};

struct pool_worker {
    struct loop_pool *pool;
    pthread_t thread;
    enum pool_worker_state state;
    struct loop_op *op; /* what it performs */
    bool interrupted;   /* pthread_cancel() was sent: it must not take another op */
};

struct loop_pool {
    struct loop *loop; /* woken when something has finished */
    pthread_mutex_t lock;
    pthread_cond_t work; /* queue is not empty, or quit */

    /* under lock */
    struct op_list queue;
    struct op_list finished;
    unsigned queued; /* length of queue */
    unsigned idle;   /* workers that wait for work */
    bool quit;
    struct pool_worker workers[LOOP_POOL_THREADS];
};

int loop_pool_init(struct loop_pool *pool, struct loop *loop);
/* Joins the threads. No op is queued or running. */
void loop_pool_finish(struct loop_pool *pool);

/* 0, or -EAGAIN when there is not a single thread to run it; the op is then still the caller's. */
int loop_pool_submit(struct loop_pool *pool, struct loop_op *op);

/* True: the op had not been begun and is the caller's again. False: it comes out of collect() by itself. */
bool loop_pool_cancel(struct loop_pool *pool, struct loop_op *op);

/* Append what has finished, op->result set, to *to. */
void loop_pool_collect(struct loop_pool *pool, struct op_list *to);

/* One attempt at a read, write or accept op; `rwf_flags` are added to its own. res, never -EINTR. */
int loop_op_attempt(const struct loop_op *op, int rwf_flags);

#endif
