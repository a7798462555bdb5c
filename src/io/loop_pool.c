/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_pool.c - see loop_pool.h.
 */
#include "loop_pool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "loop_engine.h"
#include "ringlet/util.h"

void op_list_append(struct op_list *list, struct loop_op *op)
{
    op->next = NULL;
    if (list->head)
        list->last->next = op;
    else
        list->head = op;
    list->last = op;
}

struct loop_op *op_list_pop(struct op_list *list)
{
    struct loop_op *op = list->head;

    if (op)
        list->head = op->next;
    return op;
}

bool op_list_remove(struct op_list *list, struct loop_op *op)
{
    struct loop_op *before = NULL;

    for (struct loop_op *at = list->head; at; before = at, at = at->next) {
        if (at != op)
            continue;
        if (before)
            before->next = op->next;
        else
            list->head = op->next;
        if (list->last == op)
            list->last = before;
        return true;
    }
    return false;
}

void op_list_move(struct op_list *to, struct op_list *from)
{
    if (!from->head)
        return;
    if (to->head)
        to->last->next = from->head;
    else
        to->head = from->head;
    to->last = from->last;
    from->head = NULL;
}

static ssize_t attempt_once(const struct loop_op *op, int rwf_flags)
{
    struct iovec single = { .iov_base = op->pointer, .iov_len = op->length };
    const struct iovec *iov = op->pointer;
    int count = (int)op->count;

    if (op->opcode == LOOP_OP_ACCEPT)
        return accept4(op->fd, NULL, NULL, SOCK_CLOEXEC);
    if (op->opcode == LOOP_OP_READ || op->opcode == LOOP_OP_WRITE) {
        iov = &single;
        count = 1;
    }
    /* An offset of -1 is readv() and writev(), which is what LOOP_NO_OFFSET means. */
    if (loop_op_is_write(op))
        return pwritev2(op->fd, iov, count, (off_t)op->offset, op->flags | rwf_flags);
    return preadv2(op->fd, iov, count, (off_t)op->offset, rwf_flags);
}

int loop_op_attempt(const struct loop_op *op, int rwf_flags)
{
    ssize_t result;

    do
        result = attempt_once(op, rwf_flags);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : (int)result;
}

/*
 * The descriptor said that it was ready, but is a blocking one that may have changed its mind: wait here,
 * where nobody else waits along. Writes need no poll(): they block until there is room.
 */
static int perform_stream(struct loop_op *op)
{
    struct pollfd readable = { .fd = op->fd, .events = POLLIN };
    int previous, result;

    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &previous);
    do {
        while (!loop_op_is_write(op) && poll(&readable, 1, -1) < 0 && errno == EINTR)
            continue;
        result = loop_op_attempt(op, 0);
    } while (result == -EAGAIN && !loop_op_is_write(op));
    pthread_setcancelstate(previous, NULL);
    return result;
}

static int perform(struct loop_op *op)
{
    int result;

    if (loop_op_is_stream(op))
        return perform_stream(op);
    switch ((enum loop_opcode)op->opcode) {
    case LOOP_OP_CALL:
        return op->work(op->pointer);
    case LOOP_OP_FDATASYNC:
        do
            result = fdatasync(op->fd) < 0 ? -errno : 0;
        while (result == -EINTR);
        return result;
    case LOOP_OP_FALLOCATE:
        do
            result = fallocate(op->fd, (int)op->count, (off_t)op->offset, (off_t)op->length) < 0 ? -errno : 0;
        while (result == -EINTR);
        return result;
    default:
        return loop_op_attempt(op, 0);
    }
}

/* The worker's op is over. The lock is held on entry and released. */
static void hand_over(struct pool_worker *worker, int result)
{
    struct loop_pool *pool = worker->pool;
    struct loop *loop = pool->loop;

    worker->op->result = result;
    op_list_append(&pool->finished, worker->op);
    worker->op = NULL;
    pthread_mutex_unlock(&pool->lock);
    loop_wake(loop);
}

/* pthread_cancel() took effect inside perform_stream(). */
static void worker_cancelled(void *argument)
{
    struct pool_worker *worker = argument;

    pthread_mutex_lock(&worker->pool->lock);
    worker->state = POOL_WORKER_ENDED;
    hand_over(worker, -ECANCELED);
}

/*
 * Perform ops until there are no more to come. Whoever sets ENDED touches the lock no more after releasing
 * it, because add_worker() joins with the lock held.
 */
static void serve(struct pool_worker *worker)
{
    struct loop_pool *pool = worker->pool;
    bool interrupted;
    int result;

    do {
        pthread_mutex_lock(&pool->lock);
        while (!pool->queue.head && !pool->quit) {
            pool->idle++;
            pthread_cond_wait(&pool->work, &pool->lock);
            pool->idle--;
        }
        if (!pool->queue.head) {
            worker->state = POOL_WORKER_ENDED;
            pthread_mutex_unlock(&pool->lock);
            return;
        }
        worker->op = op_list_pop(&pool->queue);
        pool->queued--;
        pthread_mutex_unlock(&pool->lock);

        result = perform(worker->op);

        pthread_mutex_lock(&pool->lock);
        /* A cancellation that came too late for this op would hit the next one: end, and take it along. */
        interrupted = worker->interrupted;
        if (interrupted)
            worker->state = POOL_WORKER_ENDED;
        hand_over(worker, result);
    } while (!interrupted);
}

static void *worker_main(void *argument)
{
    struct pool_worker *worker = argument;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_cleanup_push(worker_cancelled, worker);
    serve(worker);
    pthread_cleanup_pop(0);
    return NULL;
}

int loop_pool_init(struct loop_pool *pool, struct loop *loop)
{
    int failed;

    pool->loop = loop;
    failed = pthread_mutex_init(&pool->lock, NULL);
    if (failed)
        return -failed;
    failed = pthread_cond_init(&pool->work, NULL);
    if (failed) {
        pthread_mutex_destroy(&pool->lock);
        return -failed;
    }
    for (unsigned i = 0; i < LOOP_POOL_THREADS; i++)
        pool->workers[i].pool = pool;
    return 0;
}

void loop_pool_finish(struct loop_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    assert(!pool->queue.head && !pool->finished.head);
    pool->quit = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    /* Only submit() makes threads, on this thread, so the states are as they will be but for RUNNING to
     * ENDED. */
    for (unsigned i = 0; i < LOOP_POOL_THREADS; i++) {
        if (pool->workers[i].thread)
            pthread_join(pool->workers[i].thread, NULL);
    }
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
}

/* One more thread, if there may be one. Lock held. */
static void add_worker(struct loop_pool *pool)
{
    struct pool_worker *worker = NULL;
    sigset_t all, previous;

    for (unsigned i = 0; i < LOOP_POOL_THREADS && !worker; i++) {
        if (pool->workers[i].state != POOL_WORKER_RUNNING)
            worker = &pool->workers[i];
    }
    if (!worker)
        return;
    if (worker->state == POOL_WORKER_ENDED)
        pthread_join(worker->thread, NULL);
    *worker = (struct pool_worker){ .pool = pool, .state = POOL_WORKER_RUNNING };
    /* A thread inherits the mask: signals are for the threads that expect them. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &previous);
    if (pthread_create(&worker->thread, NULL, worker_main, worker)) {
        worker->thread = 0;
        worker->state = POOL_WORKER_ABSENT;
    }
    pthread_sigmask(SIG_SETMASK, &previous, NULL);
}

static bool has_workers(const struct loop_pool *pool)
{
    for (unsigned i = 0; i < LOOP_POOL_THREADS; i++) {
        if (pool->workers[i].state == POOL_WORKER_RUNNING && !pool->workers[i].interrupted)
            return true;
    }
    return false;
}

int loop_pool_submit(struct loop_pool *pool, struct loop_op *op)
{
    int result = 0;

    pthread_mutex_lock(&pool->lock);
    if (pool->queued + 1 > pool->idle)
        add_worker(pool);
    if (has_workers(pool)) {
        op->state = LOOP_OP_POOLED;
        op_list_append(&pool->queue, op);
        pool->queued++;
        pthread_cond_signal(&pool->work);
    } else {
        result = -EAGAIN;
    }
    pthread_mutex_unlock(&pool->lock);
    return result;
}

bool loop_pool_cancel(struct loop_pool *pool, struct loop_op *op)
{
    bool removed;

    pthread_mutex_lock(&pool->lock);
    removed = op_list_remove(&pool->queue, op);
    if (removed)
        pool->queued--;
    for (unsigned i = 0; !removed && loop_op_is_stream(op) && i < LOOP_POOL_THREADS; i++) {
        struct pool_worker *worker = &pool->workers[i];

        if (worker->op == op && !worker->interrupted) {
            worker->interrupted = true;
            pthread_cancel(worker->thread);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return removed;
}

void loop_pool_collect(struct loop_pool *pool, struct op_list *to)
{
    struct loop_op *op;

    pthread_mutex_lock(&pool->lock);
    if (pool->queue.head && !has_workers(pool)) {
        /* The last thread fell to a cancellation, and ops were waiting behind it. */
        add_worker(pool);
        while (!has_workers(pool) && (op = op_list_pop(&pool->queue))) {
            pool->queued--;
            op->result = -EAGAIN;
            op_list_append(&pool->finished, op);
        }
    }
    op_list_move(to, &pool->finished);
    pthread_mutex_unlock(&pool->lock);
}
