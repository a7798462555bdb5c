/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_threads.c - the event loop where io_uring is refused: one ppoll() a turn, and a pool of threads.
 *
 * What has an offset is file I/O and goes to the pool at once. Streams wait on the loop thread until ppoll()
 * says they are ready, and are then tried without blocking: O_NONBLOCK descriptors as they are, blocking ones
 * with RWF_NOWAIT. Where the kernel cannot do that (terminals; regular files with cold pages; accept on a
 * blocking socket) the pool does the blocking.
 *
 * Writes to what is known to be no terminal are tried before anything is waited for: there mostly is room,
 * and a tap that is down is never said to be ready, whereas a write finds out.
 *
 * poll rather than epoll: descriptors are few, every wait is one-shot, so epoll would cost an epoll_ctl()
 * each; and two operations may wait on one descriptor, which epoll's one registration makes awkward.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "loop_engine.h"
#include "ringlet/error.h"
#include "ringlet/util.h"

#define NANOSECONDS_PER_SECOND 1000000000

struct threads_loop {
    struct loop loop;
    struct op_list untried; /* writes for the next turn to try */
    struct op_list waiting;
    unsigned waiting_count;
    struct op_list timers; /* soonest first; timespec is the deadline on CLOCK_MONOTONIC */
    struct pollfd *polled; /* [0] is wake_fd, then `waiting` in order */
    unsigned polled_capacity;
};

static struct threads_loop *threads_loop(struct loop *loop)
{
    return container_of(loop, struct threads_loop, loop);
}

static struct timespec now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time;
}

/* --- starting and ending --- */

static void to_pool(struct loop *loop, struct loop_op *op)
{
    int result = loop_pool_submit(&loop->pool, op);

    if (result < 0)
        loop_op_finish(loop, op, result);
}

static void wait_for_descriptor(struct threads_loop *threads, struct loop_op *op)
{
    unsigned needed = threads->waiting_count + 2;

    if (needed > threads->polled_capacity) {
        unsigned capacity = needed * 2;
        struct pollfd *polled = reallocarray(threads->polled, capacity, sizeof(*polled));

        if (!polled) {
            loop_op_finish(&threads->loop, op, -ENOMEM);
            return;
        }
        threads->polled = polled;
        threads->polled_capacity = capacity;
    }
    op->state = LOOP_OP_WAITING;
    op_list_append(&threads->waiting, op);
    threads->waiting_count++;
}

static bool is_sooner(const struct loop_op *a, const struct loop_op *b)
{
    if (a->timespec[0] != b->timespec[0])
        return a->timespec[0] < b->timespec[0];
    return a->timespec[1] < b->timespec[1];
}

static void start_timer(struct threads_loop *threads, struct loop_op *op)
{
    struct timespec start = now();
    struct op_list later = { 0 }, sooner = { 0 };
    struct loop_op *other;

    op->timespec[0] += start.tv_sec;
    op->timespec[1] += start.tv_nsec;
    if (op->timespec[1] >= NANOSECONDS_PER_SECOND) {
        op->timespec[0]++;
        op->timespec[1] -= NANOSECONDS_PER_SECOND;
    }
    op->state = LOOP_OP_TIMING;
    op_list_move(&later, &threads->timers);
    while (later.head && !is_sooner(op, later.head)) {
        other = op_list_pop(&later);
        op_list_append(&sooner, other);
    }
    op_list_append(&sooner, op);
    op_list_move(&sooner, &later);
    op_list_move(&threads->timers, &sooner);
}

static void try_next_turn(struct threads_loop *threads, struct loop_op *op)
{
    op->state = LOOP_OP_WAITING;
    op_list_append(&threads->untried, op);
}

static void start(struct loop *loop, struct loop_op *op)
{
    struct threads_loop *threads = threads_loop(loop);

    if (op->opcode == LOOP_OP_TIMEOUT)
        start_timer(threads, op);
    else if (op->no_terminal && loop_op_is_write(op) && loop_op_is_stream(op))
        try_next_turn(threads, op);
    else if (op->opcode == LOOP_OP_POLL || loop_op_is_stream(op))
        wait_for_descriptor(threads, op);
    else
        to_pool(loop, op);
}

static void cancel(struct loop *loop, struct loop_op *op)
{
    struct threads_loop *threads = threads_loop(loop);

    if (op_list_remove(&threads->waiting, op))
        threads->waiting_count--;
    else if (!op_list_remove(&threads->untried, op))
        op_list_remove(&threads->timers, op);
    loop_op_finish(loop, op, -ECANCELED);
}

/* --- a turn --- */

static unsigned poll_events(const struct loop_op *op)
{
    if (op->opcode == LOOP_OP_POLL)
        return op->count;
    return loop_op_is_write(op) ? POLLOUT : POLLIN;
}

/* Files and devices say that they are ready when all they mean is that poll() does not apply. */
static bool readiness_means_nothing(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 &&
           (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode) || S_ISCHR(status.st_mode));
}

/* A stream whose descriptor is ready: try it, wait on, or let the pool block. */
static void attempt(struct threads_loop *threads, struct loop_op *op)
{
    int flags = fcntl(op->fd, F_GETFL);
    bool blocking = flags >= 0 && !(flags & O_NONBLOCK);
    int result = -EOPNOTSUPP;

    if (!blocking || op->opcode != LOOP_OP_ACCEPT)
        result = loop_op_attempt(op, blocking ? RWF_NOWAIT : 0);
    if (blocking && (result == -EOPNOTSUPP || (result == -EAGAIN && readiness_means_nothing(op->fd))))
        to_pool(&threads->loop, op);
    else if (result == -EAGAIN)
        wait_for_descriptor(threads, op);
    else
        loop_op_finish(&threads->loop, op, result);
}

static void try_writes(struct threads_loop *threads)
{
    struct op_list untried = { 0 };
    struct loop_op *op;

    op_list_move(&untried, &threads->untried);
    while ((op = op_list_pop(&untried))) {
        op->state = LOOP_OP_IDLE;
        attempt(threads, op);
    }
}

static void serve_descriptors(struct threads_loop *threads)
{
    struct op_list polled = { 0 };
    struct loop_op *op;

    op_list_move(&polled, &threads->waiting);
    threads->waiting_count = 0;
    for (unsigned i = 1; (op = op_list_pop(&polled)); i++) {
        short events = threads->polled[i].revents;

        /* wait_for_descriptor() cannot fail here, nor overwrite: there is room for all that were waiting. */
        if (!events)
            wait_for_descriptor(threads, op);
        else if (events & POLLNVAL)
            loop_op_finish(&threads->loop, op, -EBADF);
        else if (op->opcode == LOOP_OP_POLL)
            loop_op_finish(&threads->loop, op, events);
        else
            attempt(threads, op);
    }
}

static void serve_timers(struct threads_loop *threads)
{
    struct timespec time = now();
    const struct loop_op present = { .timespec = { time.tv_sec, time.tv_nsec } };

    while (threads->timers.head && !is_sooner(&present, threads->timers.head))
        loop_op_finish(&threads->loop, op_list_pop(&threads->timers), 0);
}

/* How long ppoll() may sleep; NULL for ever. */
static const struct timespec *patience(const struct threads_loop *threads, bool block, struct timespec *time)
{
    const struct loop_op *timer = threads->timers.head;
    struct timespec present;

    *time = (struct timespec){ 0 };
    if (!block)
        return time;
    if (!timer)
        return NULL;
    present = now();
    time->tv_sec = timer->timespec[0] - present.tv_sec;
    time->tv_nsec = timer->timespec[1] - present.tv_nsec;
    if (time->tv_nsec < 0) {
        time->tv_sec--;
        time->tv_nsec += NANOSECONDS_PER_SECOND;
    }
    if (time->tv_sec < 0)
        *time = (struct timespec){ 0 };
    return time;
}

static int turn(struct loop *loop, bool block)
{
    struct threads_loop *threads = threads_loop(loop);
    struct timespec time;
    unsigned count = 0;

    try_writes(threads);
    block = block && !loop->ready.head;
    threads->polled[count++] = (struct pollfd){ .fd = loop->wake_fd, .events = POLLIN };
    for (struct loop_op *op = threads->waiting.head; op; op = op->next)
        threads->polled[count++] = (struct pollfd){ .fd = op->fd, .events = (short)poll_events(op) };
    if (ppoll(threads->polled, count, patience(threads, block, &time), NULL) < 0)
        return errno == EINTR || errno == ENOMEM ? 0 : -errno;
    if (threads->polled[0].revents)
        loop_woken(loop);
    serve_descriptors(threads);
    serve_timers(threads);
    return 0;
}

static int enter(struct loop *loop)
{
    (void)loop;
    return 0;
}

static void destroy(struct loop *loop)
{
    struct threads_loop *threads = threads_loop(loop);

    loop_finish(loop);
    free(threads->polled);
    free(threads);
}

static const struct loop_engine_ops threads_ops = {
    .name = "threads",
    .enter = enter,
    .start = start,
    .cancel = cancel,
    .turn = turn,
    .destroy = destroy,
};

int loop_threads_create(struct loop **ret_loop, struct error *err)
{
    struct threads_loop *threads = calloc(1, sizeof(*threads));
    int result;

    if (!threads)
        return error_set(err, -ENOMEM, "out of memory");
    threads->polled_capacity = 16;
    threads->polled = calloc(threads->polled_capacity, sizeof(*threads->polled));
    if (!threads->polled) {
        free(threads);
        return error_set(err, -ENOMEM, "out of memory");
    }
    result = loop_init(&threads->loop, &threads_ops);
    if (result < 0) {
        free(threads->polled);
        free(threads);
        return error_set(err, result, "the event loop cannot be set up: %s", strerror(-result));
    }
    *ret_loop = &threads->loop;
    return 0;
}
