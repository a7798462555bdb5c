/* SPDX-License-Identifier: Apache-2.0 */
/*
 * char_stream.c - see char_stream.h.
 *
 * Output: a vCPU puts bytes into the ring and, unless a write is in flight or the loop is already on its way,
 * posts kick_task. From then on writes chain: each completion starts the next with all that came meanwhile,
 * so that the loop is woken once for each time the ring goes from idle to not, and bytes are gathered the
 * more the slower the reader is.
 *
 * Input is read straight into its ring, as much as there is room for; only what has to be filtered takes the way
 * through a buffer. The front end is told of the end when the last byte has been taken, and is told no more once
 * finish() has begun.
 *
 * The end: finish() has the rest written under a timer that is restarted as long as bytes move. When nothing
 * is in flight any more, whichever way, `drained` is told by a task of its own, since its lock is not held.
 */
#include "char_stream.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "ringlet/io_client.h"
#include "ringlet/util.h"

#define DEFAULT_DRAIN_TIMEOUT UINT64_C(2000000000) /* ns */

void char_stream_lock(struct char_stream *stream)
{
    if (stream->frontend)
        pthread_mutex_lock(stream->frontend->client->lock);
}

void char_stream_unlock(struct char_stream *stream)
{
    if (stream->frontend)
        pthread_mutex_unlock(stream->frontend->client->lock);
}

void char_stream_kick(struct char_stream *stream)
{
    if (stream->kicked)
        return;
    stream->kicked = true;
    loop_post(stream->loop, &stream->kick_task);
}

void char_stream_op_begin(struct char_stream *stream, struct loop_op *op,
                          void (*done)(struct loop_op *op, int res))
{
    op->done = done;
    op->client = stream->frontend ? stream->frontend->client : NULL;
    stream->in_flight++;
}

void char_stream_op_end(struct char_stream *stream)
{
    stream->in_flight--;
    char_stream_pump(stream);
}

static void count_dropped(struct char_stream *stream, size_t count)
{
    if (!stream->keeps_no_count)
        atomic_fetch_add(&stream->dropped, count);
}

static void drop_output(struct char_stream *stream)
{
    count_dropped(stream, stream->output.count);
    byte_ring_drop(&stream->output, stream->output.count);
}

/* --- output --- */

static void write_done(struct loop_op *op, int res);

static void start_write(struct char_stream *stream)
{
    unsigned count;

    if (stream->writing || !stream->connected || stream->gave_up)
        return;
    count = byte_ring_peek(&stream->output, stream->write_iov, stream->write_limit);
    if (!count)
        return;
    stream->writing = true;
    char_stream_op_begin(stream, &stream->write_op, write_done);
    loop_writev(stream->loop, &stream->write_op, stream->output_fd, stream->write_iov, count, LOOP_NO_OFFSET,
                0);
}

static bool wants_to_know_loss(const struct char_stream *stream)
{
    return stream->tells_loss && stream->frontend && stream->frontend->ops->output_lost;
}

static void write_failed(struct char_stream *stream, int res)
{
    if (stream->ops->write_failed) {
        stream->ops->write_failed(stream, res);
        return;
    }
    /* A reader that is gone does not come back; a full disk may. */
    if (res == -EPIPE || res == -EBADF || wants_to_know_loss(stream))
        stream->output_ended = stream->output_lost = true;
    drop_output(stream);
}

static void tell_loss(struct char_stream *stream)
{
    if (!stream->output_lost || stream->loss_told || stream->finishing || !wants_to_know_loss(stream))
        return;
    stream->loss_told = true;
    stream->frontend->ops->output_lost(stream->frontend);
}

static void tell_writable(struct char_stream *stream)
{
    if (!stream->owes_writable || stream->gave_up || (stream->connected && !byte_ring_room(&stream->output)))
        return;
    stream->owes_writable = false;
    stream->frontend->ops->writable(stream->frontend);
}

static void write_done(struct loop_op *op, int res)
{
    struct char_stream *stream = container_of(op, struct char_stream, write_op);

    stream->writing = false;
    if (res > 0) {
        byte_ring_drop(&stream->output, (size_t)res);
        stream->written += (uint64_t)res;
    } else if (res != -ECANCELED) {
        atomic_store(&stream->write_error, res ? res : -EIO);
        write_failed(stream, res ? res : -EIO);
    }
    char_stream_op_end(stream);
}

static size_t stream_write(struct char_backend *backend, const uint8_t *bytes, size_t count)
{
    struct char_stream *stream = char_stream_of(backend);
    size_t taken;

    /* After the end there is nobody to write: a guest may well try. */
    if (stream->output_ended || stream->drain_told) {
        count_dropped(stream, count);
        return count;
    }
    if (!stream->connected && stream->started) {
        count_dropped(stream, byte_ring_put_latest(&stream->output, bytes, count));
        return count;
    }
    taken = byte_ring_put(&stream->output, bytes, count);
    if (taken < count)
        stream->owes_writable = true;
    if (!stream->writing && !stream->pumping)
        char_stream_kick(stream);
    return taken;
}

/* --- input --- */

static void deliver_input(struct char_stream *stream)
{
    struct iovec iov[2];

    while (!stream->frontend_is_full && !stream->finishing &&
           byte_ring_peek(&stream->input, iov, BYTE_RING_SIZE)) {
        size_t taken = stream->frontend->ops->receive(stream->frontend, iov[0].iov_base, iov[0].iov_len);

        byte_ring_drop(&stream->input, taken);
        if (taken < iov[0].iov_len)
            stream->frontend_is_full = true;
    }
}

static void tell_end(struct char_stream *stream)
{
    if (!stream->tells_end || !stream->input_ended || stream->reading || stream->input.count ||
        stream->end_told || stream->finishing || !stream->frontend)
        return;
    stream->end_told = true;
    if (stream->frontend->ops->input_ended)
        stream->frontend->ops->input_ended(stream->frontend);
}

static void stream_receive_ready(struct char_backend *backend)
{
    struct char_stream *stream = char_stream_of(backend);

    if (!stream->frontend_is_full)
        return;
    stream->frontend_is_full = false;
    char_stream_kick(stream);
}

static void read_ended(struct char_stream *stream, int res)
{
    if (res == -ECANCELED)
        return;
    if (stream->ops->read_ended)
        stream->ops->read_ended(stream, res);
    else
        stream->input_ended = true;
}

static void read_done(struct loop_op *op, int res)
{
    struct char_stream *stream = container_of(op, struct char_stream, read_op);

    stream->reading = false;
    if (res <= 0) {
        read_ended(stream, res);
    } else if (stream->ops->filter) {
        size_t count = stream->ops->filter(stream, stream->read_buffer, (size_t)res, stream->filtered);

        /* There was room for one more than a full buffer before the read was started. */
        byte_ring_put(&stream->input, stream->filtered, count);
    } else {
        byte_ring_filled(&stream->input, (size_t)res);
    }
    char_stream_op_end(stream);
}

static void read_now(struct char_stream *stream)
{
    unsigned count = 1;

    if (stream->ops->filter)
        stream->read_iov[0] =
            (struct iovec){ .iov_base = stream->read_buffer, .iov_len = sizeof(stream->read_buffer) };
    else
        count = byte_ring_space(&stream->input, stream->read_iov, BYTE_RING_SIZE);
    stream->reading = true;
    char_stream_op_begin(stream, &stream->read_op, read_done);
    loop_readv(stream->loop, &stream->read_op, stream->input_fd, stream->read_iov, count, LOOP_NO_OFFSET);
}

static void poll_done(struct loop_op *op, int res)
{
    struct char_stream *stream = container_of(op, struct char_stream, read_op);

    stream->reading = false;
    if (res == -ECANCELED || stream->finishing) {
        /* over */
    } else if (res < 0) {
        read_ended(stream, res);
    } else if (stream->ops->may_read(stream)) {
        read_now(stream);
    }
    char_stream_op_end(stream);
}

static void start_read(struct char_stream *stream)
{
    if (stream->reading || !stream->connected || stream->input_ended || stream->finishing ||
        byte_ring_room(&stream->input) <= CHAR_STREAM_READ_SIZE)
        return;
    if (!stream->polls_first) {
        read_now(stream);
    } else if (stream->ops->may_read(stream)) {
        stream->reading = true;
        char_stream_op_begin(stream, &stream->read_op, poll_done);
        loop_poll(stream->loop, &stream->read_op, stream->input_fd, POLLIN);
    }
}

/* --- for the kinds --- */

void char_stream_connect(struct char_stream *stream, int input_fd, int output_fd)
{
    stream->connected = true;
    stream->input_fd = input_fd;
    stream->output_fd = output_fd;
    stream->input_ended = input_fd < 0;
    stream->output_ended = output_fd < 0;
}

void char_stream_disconnect(struct char_stream *stream)
{
    stream->connected = false;
    if (stream->reading)
        loop_cancel(stream->loop, &stream->read_op);
    if (stream->writing)
        loop_cancel(stream->loop, &stream->write_op);
}

static void watch_done(struct loop_op *op, int res)
{
    struct char_stream *stream = container_of(op, struct char_stream, watch_op);

    stream->watching = false;
    if (res != -ECANCELED && !stream->finishing)
        stream->ops->watch(stream);
    char_stream_op_end(stream);
}

void char_stream_watch(struct char_stream *stream)
{
    if (stream->watching || stream->finishing)
        return;
    stream->watching = true;
    char_stream_op_begin(stream, &stream->watch_op, watch_done);
    loop_timeout(stream->loop, &stream->watch_op, CHAR_STREAM_WATCH_NS);
}

/* --- the end --- */

static void drain_done(struct loop_op *op, int res);

static void start_drain_timer(struct char_stream *stream)
{
    stream->waiting = true;
    stream->written_before = stream->written;
    char_stream_op_begin(stream, &stream->drain_op, drain_done);
    loop_timeout(stream->loop, &stream->drain_op, stream->drain_timeout);
}

static void drain_done(struct loop_op *op, int res)
{
    struct char_stream *stream = container_of(op, struct char_stream, drain_op);

    stream->waiting = false;
    if (res != -ECANCELED && stream->output.count) {
        if (stream->written != stream->written_before) {
            start_drain_timer(stream);
        } else {
            stream->gave_up = true;
            loop_cancel(stream->loop, &stream->write_op);
        }
    }
    char_stream_op_end(stream);
}

static void drained_run(struct loop_task *task)
{
    struct char_stream *stream = container_of(task, struct char_stream, drained_task);

    stream->drained(stream->drained_argument);
}

/* When finishing: what can still happen, and is it all over? */
static void check_end(struct char_stream *stream)
{
    bool waits;

    if (!stream->finishing || stream->drain_told)
        return;
    if (!stream->keeps_output && !stream->writing && (!stream->connected || stream->gave_up))
        drop_output(stream);
    waits = stream->output.count && !stream->keeps_output;
    if (!waits && stream->waiting)
        loop_cancel(stream->loop, &stream->drain_op);
    if (stream->in_flight || stream->kicked || waits)
        return;
    stream->drain_told = true;
    loop_post(stream->loop, &stream->drained_task);
}

void char_stream_pump(struct char_stream *stream)
{
    stream->pumping = true;
    if (!stream->started && !stream->finishing) {
        stream->started = true;
        if (stream->ops->start)
            stream->ops->start(stream);
    }
    if (stream->continued) {
        stream->continued = false;
        if (stream->ops->resumed && !stream->finishing)
            stream->ops->resumed(stream);
    }
    if (stream->output_ended && !stream->writing)
        drop_output(stream);
    tell_loss(stream);
    tell_writable(stream);
    start_write(stream);
    deliver_input(stream);
    tell_end(stream);
    start_read(stream);
    if (stream->ops->turned)
        stream->ops->turned(stream);
    check_end(stream);
    stream->pumping = false;
}

static void kick_run(struct loop_task *task)
{
    struct char_stream *stream = container_of(task, struct char_stream, kick_task);

    stream->kicked = false;
    char_stream_pump(stream);
}

static void finish_run(struct loop_task *task)
{
    struct char_stream *stream = container_of(task, struct char_stream, finish_task);

    stream->finishing = true;
    if (stream->reading)
        loop_cancel(stream->loop, &stream->read_op);
    if (stream->watching)
        loop_cancel(stream->loop, &stream->watch_op);
    if (stream->ops->stop)
        stream->ops->stop(stream);
    if (stream->connected && stream->output.count && stream->drain_timeout != CHAR_STREAM_NEVER)
        start_drain_timer(stream);
    char_stream_pump(stream);
}

static void stream_finish(struct char_backend *backend, void (*drained)(void *argument), void *argument)
{
    struct char_stream *stream = char_stream_of(backend);

    stream->drained = drained;
    stream->drained_argument = argument;
    loop_post(stream->loop, &stream->finish_task);
}

static void stream_attach(struct char_backend *backend, struct char_frontend *frontend)
{
    struct char_stream *stream = char_stream_of(backend);

    stream->frontend = frontend;
    stream->kick_task.client = stream->finish_task.client = frontend->client;
    char_stream_kick(stream);
}

static void stream_destroy(struct char_backend *backend)
{
    struct char_stream *stream = char_stream_of(backend);

    assert(!stream->in_flight);
    stream->ops->release(stream);
}

static const struct char_backend_ops backend_ops = {
    .attach = stream_attach,
    .write = stream_write,
    .receive_ready = stream_receive_ready,
    .finish = stream_finish,
    .destroy = stream_destroy,
};

struct char_stream *char_stream_of(const struct char_backend *backend)
{
    assert(backend->ops == &backend_ops);
    return container_of(backend, struct char_stream, backend);
}

void char_stream_init(struct char_stream *stream, struct loop *loop, const struct char_stream_ops *ops,
                      uint64_t drain_timeout)
{
    stream->backend.ops = &backend_ops;
    stream->ops = ops;
    stream->loop = loop;
    stream->drain_timeout = drain_timeout ? drain_timeout : DEFAULT_DRAIN_TIMEOUT;
    stream->input_fd = stream->output_fd = -1;
    stream->write_limit = SIZE_MAX;
    stream->kick_task.run = kick_run;
    stream->finish_task.run = finish_run;
    stream->drained_task.run = drained_run;
}
