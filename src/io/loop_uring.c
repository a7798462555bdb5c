/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_uring.c - the event loop on io_uring.
 *
 * start() puts the op on `queued` and does no more, so that it may be called before the ring is enabled, with
 * a full submission queue, and any number of times. turn() turns the list into SQEs, enters the kernel once
 * to submit them and wait, and takes every CQE there is before anything is submitted again.
 *
 * user_data is the op's address. An op is known to the kernel at most once at a time, and it is pending until
 * its CQE was seen, so that a CQE always finds its op. A cancellation is an SQE of its own, whose CQE nobody
 * looks at; it is submitted before the SQEs of that turn's new ops and is matched at once, so it cannot hit a
 * later use of the same op.
 *
 * The ring has one submitter, the loop thread, but is made by the thread that builds the VM: it is created
 * disabled and enabled in enter(), which makes the caller its submitter. What the kernel defers for a single
 * submitter (DEFER_TASKRUN) then happens only inside our io_uring_enter().
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "loop_engine.h"
#include "ringlet/cleanup.h"
#include "ringlet/error.h"
#include "ringlet/util.h"

/* user_data that is no op's address */
enum {
    USER_DATA_NOBODY,
    USER_DATA_WAKE,
};

struct uring_loop {
    struct loop loop;
    struct io_uring ring;
    struct op_list queued;
    struct op_list cancels;
    bool enabled;    /* enter() has been through */
    bool wake_armed; /* a poll of wake_fd is in the kernel */
};

static struct uring_loop *uring_loop(struct loop *loop)
{
    return container_of(loop, struct uring_loop, loop);
}

/* --- starting and ending --- */

static void start(struct loop *loop, struct loop_op *op)
{
    op->state = LOOP_OP_QUEUED;
    op_list_append(&uring_loop(loop)->queued, op);
}

static void cancel(struct loop *loop, struct loop_op *op)
{
    /* One that is still queued is found cancelled when its turn comes. */
    if (op->state != LOOP_OP_SUBMITTED)
        return;
    op->state = LOOP_OP_ENDING;
    op_list_append(&uring_loop(loop)->cancels, op);
}

/* --- submission --- */

/*
 * A write to a blocking terminal that has no room blocks whoever issues it, because ttys know no non-blocking
 * attempt: let a kernel worker do it.
 */
static bool would_block_issuer(const struct loop_op *op)
{
    struct termios attributes;

    return op->offset == LOOP_NO_OFFSET && !op->no_terminal && tcgetattr(op->fd, &attributes) == 0;
}

static void prepare(struct io_uring_sqe *sqe, const struct loop_op *op)
{
    if (op->waiting) {
        io_uring_prep_poll_add(sqe, op->fd, loop_op_is_write(op) ? POLLOUT : POLLIN);
        return;
    }
    switch ((enum loop_opcode)op->opcode) {
    case LOOP_OP_READV:
        io_uring_prep_readv(sqe, op->fd, op->pointer, op->count, op->offset);
        break;
    case LOOP_OP_WRITEV:
        io_uring_prep_writev2(sqe, op->fd, op->pointer, op->count, op->offset, op->flags);
        break;
    case LOOP_OP_READ:
        io_uring_prep_read(sqe, op->fd, op->pointer, (unsigned)op->length, op->offset);
        break;
    case LOOP_OP_WRITE:
        io_uring_prep_write(sqe, op->fd, op->pointer, (unsigned)op->length, op->offset);
        break;
    case LOOP_OP_FDATASYNC:
        io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC);
        break;
    case LOOP_OP_FALLOCATE:
        io_uring_prep_fallocate(sqe, op->fd, (int)op->count, (off_t)op->offset, (off_t)op->length);
        break;
    case LOOP_OP_POLL:
        io_uring_prep_poll_add(sqe, op->fd, op->count);
        break;
    case LOOP_OP_TIMEOUT:
        /* op->timespec has the layout of struct __kernel_timespec; see the static_assert below. */
        io_uring_prep_timeout(sqe, (struct __kernel_timespec *)(void *)(uintptr_t)op->timespec, 0, 0);
        break;
    case LOOP_OP_ACCEPT:
        io_uring_prep_accept(sqe, op->fd, NULL, NULL, SOCK_CLOEXEC);
        break;
    case LOOP_OP_COMPLETE:
    case LOOP_OP_CALL:
    case LOOP_OP_OPCODE_COUNT:
        assert(!"an op without an SQE");
    }
    if (loop_op_is_write(op) && would_block_issuer(op))
        io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
}

static_assert(sizeof(((struct loop_op *)0)->timespec) == sizeof(struct __kernel_timespec),
              "two 64-bit numbers");

/* An SQE, submitting those before it when the queue is full. NULL when the kernel takes no more just now. */
static struct io_uring_sqe *get_sqe(struct uring_loop *uring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);

    if (!sqe && io_uring_submit(&uring->ring) >= 0)
        sqe = io_uring_get_sqe(&uring->ring);
    return sqe;
}

/* False if something is left on the lists because the kernel takes no more before CQEs are taken. */
static bool fill_submission_queue(struct uring_loop *uring)
{
    struct io_uring_sqe *sqe;
    struct loop_op *op;

    if (!uring->wake_armed) {
        sqe = get_sqe(uring);
        if (!sqe)
            return false;
        io_uring_prep_poll_add(sqe, uring->loop.wake_fd, POLLIN);
        io_uring_sqe_set_data64(sqe, USER_DATA_WAKE);
        uring->wake_armed = true;
    }
    while (uring->cancels.head) {
        sqe = get_sqe(uring);
        if (!sqe)
            return false;
        op = op_list_pop(&uring->cancels);
        op->state = LOOP_OP_SUBMITTED;
        io_uring_prep_cancel64(sqe, (uintptr_t)op, 0);
        io_uring_sqe_set_data64(sqe, USER_DATA_NOBODY);
    }
    while (uring->queued.head) {
        if (uring->queued.head->cancelled) {
            loop_op_finish(&uring->loop, op_list_pop(&uring->queued), -ECANCELED);
            continue;
        }
        sqe = get_sqe(uring);
        if (!sqe)
            return false;
        op = op_list_pop(&uring->queued);
        prepare(sqe, op);
        io_uring_sqe_set_data64(sqe, (uintptr_t)op);
        op->state = LOOP_OP_SUBMITTED;
    }
    return true;
}

/* --- completion --- */

static void again(struct uring_loop *uring, struct loop_op *op, bool waiting)
{
    op->waiting = waiting;
    start(&uring->loop, op);
}

/* Both engines give the same results: see "What both promise" in ringlet/loop.h. */
static void complete(struct uring_loop *uring, struct loop_op *op, int res)
{
    if (op->state == LOOP_OP_ENDING)
        op_list_remove(&uring->cancels, op);
    if (res == -EINTR || (op->waiting && res >= 0)) {
        again(uring, op, false);
    } else if (res == -EAGAIN && loop_op_is_stream(op)) {
        /* The descriptor is O_NONBLOCK: the kernel does not wait for it unless told to. */
        again(uring, op, true);
    } else {
        if (op->opcode == LOOP_OP_TIMEOUT && res == -ETIME)
            res = 0;
        op->state = LOOP_OP_IDLE;
        loop_op_finish(&uring->loop, op, res);
    }
}

static void take_completions(struct uring_loop *uring)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;

    io_uring_for_each_cqe(&uring->ring, head, cqe)
    {
        count++;
        if (cqe->user_data == USER_DATA_WAKE) {
            uring->wake_armed = false;
            loop_woken(&uring->loop);
        } else if (cqe->user_data != USER_DATA_NOBODY) {
            complete(uring, (struct loop_op *)(uintptr_t)cqe->user_data, cqe->res);
        }
    }
    io_uring_cq_advance(&uring->ring, count);
}

static int turn(struct loop *loop, bool block)
{
    struct uring_loop *uring = uring_loop(loop);
    int result;

    if (!fill_submission_queue(uring) || loop->ready.head)
        block = false;
    if (block)
        result = io_uring_submit_and_wait(&uring->ring, 1);
    else
        result = io_uring_submit_and_get_events(&uring->ring);
    take_completions(uring);
    /* A signal; no memory just now; CQEs that had to be taken first: the SQEs are still there for next time.
     */
    if (result == -EINTR || result == -EAGAIN || result == -EBUSY)
        result = 0;
    return result < 0 ? result : 0;
}

/* --- life --- */

static int enter(struct loop *loop)
{
    struct uring_loop *uring = uring_loop(loop);
    int result = 0;

    /* io_uring_enable_rings(): the shared liburing 2.3 declares it but does not export it. */
    if (!uring->enabled && uring->ring.flags & IORING_SETUP_R_DISABLED &&
        io_uring_register((unsigned)uring->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0)
        result = -errno;
    uring->enabled = result == 0;
    return result;
}

static void destroy(struct loop *loop)
{
    struct uring_loop *uring = uring_loop(loop);

    /* The poll of wake_fd ends with the ring; it owns no memory of ours. */
    io_uring_queue_exit(&uring->ring);
    loop_finish(loop);
    free(uring);
}

static const struct loop_engine_ops uring_ops = {
    .name = "io_uring",
    .enter = enter,
    .start = start,
    .cancel = cancel,
    .turn = turn,
    .destroy = destroy,
};

/* Newest first, with the kernel that brought each: the oldest kernel we run on, 5.10, knows none of them. */
static const unsigned optional_flags[] = {
    IORING_SETUP_DEFER_TASKRUN,                           /* 6.1 */
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_R_DISABLED, /* 6.0 (5.10) */
    IORING_SETUP_COOP_TASKRUN,                            /* 5.19 */
    IORING_SETUP_SUBMIT_ALL,                              /* 5.18 */
};

static int init_ring(struct io_uring *ring, unsigned entries)
{
    unsigned flags = IORING_SETUP_CLAMP;
    int result;

    for (unsigned i = 0; i < ARRAY_SIZE(optional_flags); i++)
        flags |= optional_flags[i];
    for (unsigned dropped = 0;; dropped++) {
        struct io_uring_params params = { .flags = flags };

        result = io_uring_queue_init_params(entries, ring, &params);
        if (result != -EINVAL || dropped == ARRAY_SIZE(optional_flags))
            return result;
        flags &= ~optional_flags[dropped];
    }
}

static bool has_opcodes(struct io_uring *ring)
{
    static const int needed[] = {
        IORING_OP_READV,    IORING_OP_WRITEV,  IORING_OP_READ,         IORING_OP_WRITE,  IORING_OP_FSYNC,
        IORING_OP_POLL_ADD, IORING_OP_TIMEOUT, IORING_OP_ASYNC_CANCEL, IORING_OP_ACCEPT, IORING_OP_FALLOCATE,
    };
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    bool has = probe != NULL;

    for (unsigned i = 0; has && i < ARRAY_SIZE(needed); i++)
        has = io_uring_opcode_supported(probe, needed[i]);
    io_uring_free_probe(probe);
    return has;
}

/* kernel.io_uring_disabled (6.6): 1 lets one group in, 2 nobody. 0 also where there is no such setting. */
static int disabled_by_sysctl(void)
{
    CLEANUP_CLOSE int fd = open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC);
    char digit = '0';

    if (fd >= 0 && read(fd, &digit, 1) != 1)
        return 0;
    return digit >= '0' && digit <= '2' ? digit - '0' : 0;
}

static int say_why(struct error *err, int code)
{
    int setting = disabled_by_sysctl();

    if (code == -EPERM && setting > 0)
        return error_set(
            err, code, "io_uring is switched off on this host (sysctl kernel.io_uring_disabled=%d)", setting);
    if (code == -EPERM || code == -EACCES)
        return error_set(err, code, "io_uring is forbidden here (a seccomp filter or a security module)");
    if (code == -ENOSYS)
        return error_set(err, code, "io_uring is missing here (no such system call, or a seccomp filter)");
    if (code == -ENOMEM)
        return error_set(err, code,
                         "io_uring gets no memory (the limit on locked memory, ulimit -l, may be low)");
    return error_set(err, code, "io_uring cannot be set up: %s", strerror(-code));
}

int loop_uring_create(unsigned entries, struct loop **ret_loop, struct error *err)
{
    struct uring_loop *uring = calloc(1, sizeof(*uring));
    int result;

    if (!uring)
        return error_set(err, -ENOMEM, "out of memory");
    result = init_ring(&uring->ring, entries);
    if (result < 0) {
        free(uring);
        return say_why(err, result);
    }
    if (!has_opcodes(&uring->ring)) {
        result = error_set(err, -EOPNOTSUPP, "this kernel's io_uring lacks operations that Ringlet needs");
    } else {
        result = loop_init(&uring->loop, &uring_ops);
        if (result < 0)
            error_set(err, result, "the event loop cannot be set up: %s", strerror(-result));
    }
    if (result < 0) {
        io_uring_queue_exit(&uring->ring);
        free(uring);
        return result;
    }
    *ret_loop = &uring->loop;
    return 0;
}
