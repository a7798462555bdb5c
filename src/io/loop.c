/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.c - see ringlet/loop.h: the part of the event loop that both engines share.
 *
 * One turn: the engine submits what was started, waits, and collects results on `ready`; then posted tasks
 * run; then every op that was ready is delivered under its client's lock, and each client that got one hears
 * batch_end(). Whatever those callbacks start waits for the next turn, and so goes to the kernel in one call.
 */
#include <assert.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "loop_engine.h"
#include "ringlet/error.h"
#include "ringlet/io_client.h"
#include "ringlet/loop.h"

#define NANOSECONDS_PER_SECOND 1000000000U

int loop_init(struct loop *loop, const struct loop_engine_ops *ops)
{
    int result;

    loop->ops = ops;
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake_fd < 0)
        return -errno;
    result = loop_pool_init(&loop->pool, loop);
    if (result < 0)
        close(loop->wake_fd);
    return result;
}

void loop_finish(struct loop *loop)
{
    loop_pool_finish(&loop->pool);
    close(loop->wake_fd);
}

int loop_create(enum loop_engine engine, unsigned entries, struct loop **ret_loop, struct error *err)
{
    int result;

    if (engine != LOOP_ENGINE_THREADS) {
        result = loop_uring_create(entries, ret_loop, err);
        if (result == 0 || engine == LOOP_ENGINE_IO_URING)
            return result;
    }
    return loop_threads_create(ret_loop, err);
}

void loop_destroy(struct loop *loop)
{
    if (!loop)
        return;
    assert(loop->in_flight == 0);
    loop->ops->destroy(loop);
}

const char *loop_engine_name(const struct loop *loop)
{
    return loop->ops->name;
}

unsigned loop_in_flight(const struct loop *loop)
{
    return loop->in_flight;
}

void loop_wake(struct loop *loop)
{
    const uint64_t one = 1;
    int saved_errno = errno; /* we may be in a signal handler */

    /*
     * Pairs with loop_woken(): whoever set the flag writes the eventfd, and what was published before the
     * flag is seen after it is cleared, because the clearing reads the flag that was set. An eventfd that was
     * just emptied takes the write; it cannot fail.
     */
    if (!atomic_exchange(&loop->wake_sent, true) && write(loop->wake_fd, &one, sizeof(one)) < 0)
        assert(errno == EAGAIN);
    errno = saved_errno;
}

void loop_woken(struct loop *loop)
{
    uint64_t count;

    /* Empty it before clearing the flag: the other way round could swallow the next wake-up. */
    if (read(loop->wake_fd, &count, sizeof(count)) < 0)
        assert(errno == EAGAIN);
    (void)atomic_exchange(&loop->wake_sent, false);
    loop->woken = true;
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->stop, true);
    loop_wake(loop);
}

void loop_post(struct loop *loop, struct loop_task *task)
{
    struct loop_task *first;

    if (__atomic_exchange_n(&task->posted, true, __ATOMIC_SEQ_CST)) /* pairs with run_tasks() */
        return;
    first = atomic_load_explicit(&loop->posted, memory_order_relaxed);
    do
        task->next = first;
    while (!atomic_compare_exchange_weak_explicit(&loop->posted, &first, task, memory_order_release,
                                                  memory_order_relaxed));
    loop_wake(loop);
}

static void end_batch(struct io_client *client)
{
    client->dirty = false;
    if (client->batch_end)
        client->batch_end(client);
}

static void mark_dirty(struct loop *loop, struct io_client *client)
{
    if (client->dirty)
        return;
    client->dirty = true;
    client->next_dirty = loop->dirty;
    loop->dirty = client;
}

static void run_tasks(struct loop *loop)
{
    struct loop_task *newest = atomic_exchange_explicit(&loop->posted, NULL, memory_order_acquire);
    struct loop_task *oldest = NULL;

    while (newest) {
        struct loop_task *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct loop_task *task = oldest;
        struct io_client *client = task->client;

        /*
         * From here on the task may be posted again, and run() may free it. A full barrier: whoever still finds it
         * posted, and so posts nothing (loop_post()), has written before that what run() is to see.
         */
        oldest = task->next;
        (void)__atomic_exchange_n(&task->posted, false, __ATOMIC_SEQ_CST);
        if (client) {
            pthread_mutex_lock(client->lock);
            mark_dirty(loop, client); /* deliver() ends the batch */
        }
        task->run(task);
        if (client)
            pthread_mutex_unlock(client->lock);
    }
}

void loop_op_finish(struct loop *loop, struct loop_op *op, int result)
{
    assert(op->pending && op->state != LOOP_OP_READY);
    op->state = LOOP_OP_READY;
    op->result = result;
    op_list_append(&loop->ready, op);
}

/* `held`, whose lock is still held, goes first, so that a turn with one client locks once. */
static void end_batches(struct loop *loop, struct io_client *held)
{
    if (held) {
        end_batch(held);
        pthread_mutex_unlock(held->lock);
    }
    while (loop->dirty) {
        struct io_client *client = loop->dirty;

        loop->dirty = client->next_dirty;
        if (client == held)
            continue;
        pthread_mutex_lock(client->lock);
        end_batch(client);
        pthread_mutex_unlock(client->lock);
    }
}

/* Every op that is ready now; those that become ready meanwhile are for the next turn. */
static void deliver(struct loop *loop)
{
    struct op_list batch = { 0 };
    struct io_client *held = NULL;
    struct loop_op *op;

    op_list_move(&batch, &loop->ready);
    while ((op = op_list_pop(&batch))) {
        struct io_client *client = op->client;

        if (client != held) {
            if (held)
                pthread_mutex_unlock(held->lock);
            if (client) {
                pthread_mutex_lock(client->lock);
                mark_dirty(loop, client);
            }
            held = client;
        }
        op->state = LOOP_OP_IDLE;
        op->pending = false;
        loop->in_flight--;
        op->done(op, op->result);
    }
    end_batches(loop, held);
}

int loop_run(struct loop *loop)
{
    int result = loop->ops->enter(loop);

    if (result < 0)
        return result;
    do {
        bool block = !loop->ready.head && !atomic_load(&loop->stop);

        result = loop->ops->turn(loop, block);
        if (loop->woken) {
            loop->woken = false;
            loop_pool_collect(&loop->pool, &loop->ready);
            run_tasks(loop);
        }
        deliver(loop);
    } while (result == 0 && !atomic_exchange(&loop->stop, false));
    return result;
}

/* --- operations --- */

static void begin(struct loop *loop, struct loop_op *op, enum loop_opcode opcode)
{
    assert(!op->pending);
    op->pending = true;
    op->cancelled = false;
    op->waiting = false;
    op->opcode = (uint8_t)opcode;
    op->state = LOOP_OP_IDLE;
    loop->in_flight++;
}

void loop_readv(struct loop *loop, struct loop_op *op, int fd, const struct iovec *iov, unsigned count,
                uint64_t offset)
{
    begin(loop, op, LOOP_OP_READV);
    op->fd = fd;
    op->pointer = (void *)(uintptr_t)iov;
    op->count = count;
    op->offset = offset;
    op->flags = 0;
    loop->ops->start(loop, op);
}

void loop_writev(struct loop *loop, struct loop_op *op, int fd, const struct iovec *iov, unsigned count,
                 uint64_t offset, int rwf_flags)
{
    begin(loop, op, LOOP_OP_WRITEV);
    op->fd = fd;
    op->pointer = (void *)(uintptr_t)iov;
    op->count = count;
    op->offset = offset;
    op->flags = rwf_flags;
    loop->ops->start(loop, op);
}

/* Longer transfers are short ones anyway: the kernel's MAX_RW_COUNT is INT_MAX rounded down to a page. */
static uint64_t transfer_length(size_t length)
{
    return length < 0x7ffff000 ? length : 0x7ffff000;
}

void loop_read(struct loop *loop, struct loop_op *op, int fd, void *buffer, size_t length, uint64_t offset)
{
    begin(loop, op, LOOP_OP_READ);
    op->fd = fd;
    op->pointer = buffer;
    op->length = transfer_length(length);
    op->offset = offset;
    op->flags = 0;
    loop->ops->start(loop, op);
}

void loop_write(struct loop *loop, struct loop_op *op, int fd, const void *buffer, size_t length,
                uint64_t offset)
{
    begin(loop, op, LOOP_OP_WRITE);
    op->fd = fd;
    op->pointer = (void *)(uintptr_t)buffer;
    op->length = transfer_length(length);
    op->offset = offset;
    op->flags = 0;
    loop->ops->start(loop, op);
}

void loop_fdatasync(struct loop *loop, struct loop_op *op, int fd)
{
    begin(loop, op, LOOP_OP_FDATASYNC);
    op->fd = fd;
    loop->ops->start(loop, op);
}

void loop_fallocate(struct loop *loop, struct loop_op *op, int fd, int mode, uint64_t offset, uint64_t length)
{
    begin(loop, op, LOOP_OP_FALLOCATE);
    op->fd = fd;
    op->count = (unsigned)mode;
    op->offset = offset;
    op->length = length;
    loop->ops->start(loop, op);
}

void loop_poll(struct loop *loop, struct loop_op *op, int fd, unsigned events)
{
    begin(loop, op, LOOP_OP_POLL);
    op->fd = fd;
    op->count = events;
    loop->ops->start(loop, op);
}

void loop_timeout(struct loop *loop, struct loop_op *op, uint64_t nanoseconds)
{
    begin(loop, op, LOOP_OP_TIMEOUT);
    op->fd = -1;
    op->timespec[0] = (int64_t)(nanoseconds / NANOSECONDS_PER_SECOND);
    op->timespec[1] = (int64_t)(nanoseconds % NANOSECONDS_PER_SECOND);
    loop->ops->start(loop, op);
}

void loop_accept(struct loop *loop, struct loop_op *op, int listen_fd)
{
    begin(loop, op, LOOP_OP_ACCEPT);
    op->fd = listen_fd;
    loop->ops->start(loop, op);
}

void loop_complete(struct loop *loop, struct loop_op *op, int res)
{
    begin(loop, op, LOOP_OP_COMPLETE);
    loop_op_finish(loop, op, res);
}

void loop_call(struct loop *loop, struct loop_op *op, int (*work)(void *argument), void *argument)
{
    int result;

    begin(loop, op, LOOP_OP_CALL);
    op->work = work;
    op->pointer = argument;
    result = loop_pool_submit(&loop->pool, op);
    if (result < 0)
        loop_op_finish(loop, op, result);
}

void loop_cancel(struct loop *loop, struct loop_op *op)
{
    if (!op->pending || op->cancelled)
        return;
    op->cancelled = true;
    if (op->state == LOOP_OP_POOLED) {
        if (loop_pool_cancel(&loop->pool, op))
            loop_op_finish(loop, op, -ECANCELED);
    } else if (op->state != LOOP_OP_READY) {
        loop->ops->cancel(loop, op);
    }
}
