/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h - the event loop: one thread, one io_uring, every byte of I/O.
 *
 * An operation is a `struct loop_op` embedded in the request that waits on it. It is started by one of the
 * loop_read()-like calls, which only queue it: everything queued in one turn is submitted together with one
 * system call. Its done() runs later, once, on the loop thread, with the client's lock held; never from
 * inside the call that started it. Until then the op, its iovec array and its buffers must stay where they
 * are. done() may start the same op again.
 *
 * There are two engines behind the same interface: io_uring, and (where that is refused) poll(2) with a small
 * pool of threads. They behave alike; loop_engine_name() says which one runs.
 *
 * What both promise about results: -EINTR never comes out. Operations on streams (LOOP_NO_OFFSET, accept)
 * wait until the descriptor is ready, whether it is blocking or O_NONBLOCK, so that -EAGAIN does not come out
 * either; O_NONBLOCK itself is never changed, because a terminal's or a pipe's description is shared with
 * others. Transfers may be short. More than IOV_MAX vectors give -EINVAL. A descriptor stays open until every
 * operation on it is done.
 *
 * Threads: unless noted a function belongs to the loop thread, i.e. the thread inside loop_run(), and before
 * loop_run() to the thread that created the loop. A loop that has run once runs on that same thread ever
 * after (the ring has a single submitter). Calls that start an operation never block and never call done(),
 * so they are fine with a client's lock held.
 *
 * A process that uses loops ignores SIGPIPE and SIGXFSZ: a closed pipe and RLIMIT_FSIZE are then results
 * (-EPIPE, -EFBIG) of the request that met them, and not the end of the process.
 */
#ifndef RINGLET_LOOP_H
#define RINGLET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct io_client;
struct iovec;
struct loop;
struct sockaddr;

enum loop_engine {
    LOOP_ENGINE_AUTO, /* io_uring if the kernel lets us, else threads */
    LOOP_ENGINE_IO_URING,
    LOOP_ENGINE_THREADS,
    LOOP_ENGINE_COUNT,
};

/* offset for files without one (pipes, terminals, sockets, eventfds), or "at the file's own position" */
#define LOOP_NO_OFFSET UINT64_MAX

struct loop_op {
    void (*done)(struct loop_op *op,
                 int res);    /* res: bytes or 0, or -errno; -ECANCELED after loop_cancel() */
    struct io_client *client; /* whose lock is held around done(); NULL for none */
    bool no_terminal;         /* a hint: what is written to is no terminal, so that a write is simply tried */

    /* The loop's own from here. */
    struct loop_op *next;
    bool pending;   /* started and not yet done */
    bool cancelled; /* loop_cancel() was called since it started */
    bool waiting;   /* io_uring: a poll for readiness stands in for the operation itself */
    uint8_t opcode;
    uint8_t state; /* which list or kernel queue holds it; see src/io/loop_engine.h */
    int fd;
    unsigned count; /* iovecs, poll events, or fallocate mode */
    int flags;      /* RWF_* */
    uint64_t offset;
    uint64_t length;
    void *pointer;
    int (*work)(void *argument);
    int64_t timespec[2]; /* seconds, nanoseconds: struct __kernel_timespec */
    int result;
};

/* A piece of work for the loop thread, embedded in its owner; posting one that is already posted is a no-op.
 */
struct loop_task {
    void (*run)(struct loop_task *task); /* loop thread; may post the task again */
    struct io_client
        *client; /* whose lock is held around run(), and whose batch it is part of; NULL for none */

    /* The loop's own from here; zero before first use. */
    struct loop_task *next;
    bool posted;
};

/*
 * `entries`: submission queue size, a power of two; more operations than that may be in flight. When io_uring
 * is refused *err gets a sentence naming the reason (seccomp, kernel.io_uring_disabled): IO_URING then fails,
 * AUTO falls back to threads and returns 0 with the sentence left in *err, for the one line that the caller
 * prints (loop_engine_name() tells). *err is otherwise untouched on success.
 */
int loop_create(enum loop_engine engine, unsigned entries, struct loop **ret_loop, struct error *err);

/* No operation may be in flight: cancel them and run the loop until they are done. NULL is fine. */
void loop_destroy(struct loop *loop);

/* "io_uring" or "threads". Any thread. */
const char *loop_engine_name(const struct loop *loop);

/*
 * Serve until loop_stop(). 0, or -errno when the engine itself failed. A loop_stop() that came before makes
 * it serve one turn only. It may be run again, e.g. to see cancelled operations off.
 */
int loop_run(struct loop *loop);

/* Make loop_run() return after this turn. Any thread, and signal handlers. */
void loop_stop(struct loop *loop);

/* Run `task` on the loop thread soon. Any thread. Tasks run in the order posted. */
void loop_post(struct loop *loop, struct loop_task *task);

/* Operations started and not yet done, for tests and orderly ends. */
unsigned loop_in_flight(const struct loop *loop);

/* --- operations --- */

void loop_readv(struct loop *loop, struct loop_op *op, int fd, const struct iovec *iov, unsigned count,
                uint64_t offset);
/* `rwf_flags`: RWF_DSYNC or 0 */
void loop_writev(struct loop *loop, struct loop_op *op, int fd, const struct iovec *iov, unsigned count,
                 uint64_t offset, int rwf_flags);
void loop_read(struct loop *loop, struct loop_op *op, int fd, void *buffer, size_t length, uint64_t offset);
void loop_write(struct loop *loop, struct loop_op *op, int fd, const void *buffer, size_t length,
                uint64_t offset);
void loop_fdatasync(struct loop *loop, struct loop_op *op, int fd);
void loop_fallocate(struct loop *loop, struct loop_op *op, int fd, int mode, uint64_t offset,
                    uint64_t length);
/* One-shot; `events` and res are poll(2)'s. A descriptor that is not open is -EBADF. */
void loop_poll(struct loop *loop, struct loop_op *op, int fd, unsigned events);
/* Nanoseconds from now (CLOCK_MONOTONIC); res is 0 when it fires. */
void loop_timeout(struct loop *loop, struct loop_op *op, uint64_t nanoseconds);
/* res: the new descriptor, close-on-exec */
void loop_accept(struct loop *loop, struct loop_op *op, int listen_fd);
/* Completes in the next turn with `res`, without the kernel: for results known at once. */
void loop_complete(struct loop *loop, struct loop_op *op, int res);
/*
 * Block-device ioctl or any other call without a ring opcode: `work` runs on a thread of a small pool, where
 * it may block; its return value is res. The pool's threads are made when first needed: -EAGAIN if none can
 * be.
 */
void loop_call(struct loop *loop, struct loop_op *op, int (*work)(void *argument), void *argument);

/*
 * Ask for an early end; done() still comes, once, with -ECANCELED or with the result that was faster. What
 * waits (polls, streams, timers, accepts) ends at once; file I/O and loop_call() work that is already running
 * finishes by itself. No-op for an op that is not pending.
 */
void loop_cancel(struct loop *loop, struct loop_op *op);

#endif
