/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_stream.c - see net_stream.h.
 *
 * Incoming. Once a frame's length is known, one read fetches the frame straight into the request in front
 * and, behind it, the length of the next one: a frame a read, nothing copied. `phase` says what the next
 * bytes are. As with a tap, one read waits on the loop and what has come behind it is fetched at once. There
 * is a read only while there is a request, so that no operation outlives what the client knows of.
 *
 * A frame that its request cannot take, or whose request was cancelled halfway, has to be read nonetheless:
 * it goes to `scratch`.
 *
 * Outgoing. All that waits goes with one write, which is carried on where it stopped. The front may be
 * cancelled halfway: the other side waits for its end, so what is left of it is copied to `rest` and goes
 * first from then on, before the request's memory is the guest's again.
 */
#include "net_stream.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net_queue.h"
#include "ringlet/io_client.h"
#include "ringlet/iov.h"
#include "ringlet/loop.h"
#include "ringlet/util.h"

#define PREFIX_SIZE      4
#define NUM_BUFFERS_SIZE 2  /* the header's last field, which the device fills in */
#define BURST_MAX        64 /* frames fetched behind the one waited for, before others have their turn */

static_assert(sizeof(((struct net_own *)0)->prefix) == PREFIX_SIZE, "room for a length");
static_assert(NET_MAX_VECTORS + 2 <= IOV_MAX, "room for a length behind a frame; for one and a rest before");

enum phase {
    PHASE_LENGTH,  /* prefix_have bytes of a length have come */
    PHASE_WAITING, /* a length is known; the frame has no request yet */
    PHASE_FILLING, /* `left` bytes go to the request in front */
    PHASE_SKIPPING /* `left` bytes go nowhere */
};

struct net_stream {
    struct net_backend backend;
    struct loop *loop;
    struct io_client *client;
    struct net_listener *listener;
    struct net_stream_owner *owner;
    struct loop_task cancel_task;
    int fd;
    bool over;

    struct net_queue receives;
    struct loop_op read_op;
    bool fetching; /* requests are being finished: what they post waits */
    enum phase phase;
    unsigned char prefix[PREFIX_SIZE];
    unsigned prefix_have;
    uint32_t length, left;  /* of the frame */
    struct iov_cursor into; /* PHASE_FILLING: where the front's next bytes go */
    struct iovec read_iov[IOV_MAX];
    unsigned char scratch[NET_MAX_FRAME];

    struct net_queue transmits;
    struct loop_op write_op;
    bool finishing; /* transmits are being finished: what they post waits */
    size_t sent;    /* bytes of the front, length included */
    size_t rest_at, rest_end;
    struct iovec write_iov[IOV_MAX];
    unsigned char rest[PREFIX_SIZE + NET_MAX_FRAME];
};

static struct net_stream *net_stream(struct net_backend *backend)
{
    return container_of(backend, struct net_stream, backend);
}

static size_t frame_length(const struct net_request *request)
{
    size_t length = iov_length(request->iov, request->iov_count);

    return length > NET_HEADER_SIZE ? length - NET_HEADER_SIZE : 0;
}

static void end_stream(struct net_stream *stream, const char *reason)
{
    if (stream->over)
        return;
    stream->over = true;
    /* A write that waits for room ends with this. */
    shutdown(stream->fd, SHUT_RDWR);
    stream->backend.link_up = false;
    stream->listener->ops->link_changed(stream->listener, false);
    if (stream->owner)
        stream->owner->ended(stream->owner, reason);
}

static void end_by_result(struct net_stream *stream, int res)
{
    bool closed = res == 0 || res == -EPIPE || res == -ECONNRESET;

    end_stream(stream, closed ? "has closed the connection" : strerror(-res));
}

static void finish_front(struct net_queue *queue, int result)
{
    struct net_request *request = net_request_of(net_queue_pop(queue));

    request->done(request, result);
}

/* A result that is known before there is a system call. */
static void refused(struct loop_op *op, int res)
{
    struct net_request *request = net_request_of(container_of(op, struct net_own, op));

    request->done(request, res);
}

static void refuse(struct net_stream *stream, struct net_own *own, int result)
{
    own->op.done = refused;
    loop_complete(stream->loop, &own->op, result);
}

/* --- incoming --- */

static void read_done(struct loop_op *op, int res);

/* A length is known and there is a request: can it take the frame? */
static void place_frame(struct net_stream *stream)
{
    const struct net_request *request = net_request_of(stream->receives.head);

    stream->left = stream->length;
    if (frame_length(request) < stream->length) {
        stream->phase = PHASE_SKIPPING;
        finish_front(&stream->receives, -EMSGSIZE);
        return;
    }
    stream->phase = PHASE_FILLING;
    stream->into = iov_cursor_make(request->iov, request->iov_count);
    iov_cursor_fill(&stream->into, 0, NET_HEADER_SIZE - NUM_BUFFERS_SIZE);
    iov_cursor_skip(&stream->into, NUM_BUFFERS_SIZE);
}

/* Where the next bytes go. Returns the number of vectors. */
static unsigned plan_read(struct net_stream *stream)
{
    struct iov_cursor into = stream->into;
    int count = 0;

    switch (stream->phase) {
    case PHASE_LENGTH:
        break;
    case PHASE_WAITING:
        assert(!"a frame that has no place yet");
        break;
    case PHASE_FILLING:
        /* There is room: place_frame() and receive() saw to it. */
        count = iov_cursor_slice(&into, stream->left, stream->read_iov, IOV_MAX - 1);
        assert(count > 0);
        break;
    case PHASE_SKIPPING:
        stream->read_iov[count++] = (struct iovec){ stream->scratch, stream->left };
        break;
    }
    stream->read_iov[count++] =
        (struct iovec){ stream->prefix + stream->prefix_have, PREFIX_SIZE - stream->prefix_have };
    return (unsigned)count;
}

static void begin_frame(struct net_stream *stream)
{
    uint32_t length;

    memcpy(&length, stream->prefix, sizeof(length));
    length = be32toh(length);
    stream->prefix_have = 0;
    if (length < NET_STREAM_MIN_FRAME || length > NET_MAX_FRAME) {
        end_stream(stream, "has sent what is no frame");
        return;
    }
    stream->length = length;
    stream->phase = PHASE_WAITING;
}

/* `bytes` have come to where plan_read() said. */
static void take(struct net_stream *stream, size_t bytes)
{
    if (stream->phase != PHASE_LENGTH) {
        size_t taken = bytes < stream->left ? bytes : stream->left;
        bool filling = stream->phase == PHASE_FILLING;

        if (filling)
            iov_cursor_skip(&stream->into, taken);
        stream->left -= (uint32_t)taken;
        bytes -= taken;
        if (stream->left)
            return;
        stream->phase = PHASE_LENGTH;
        if (filling)
            finish_front(&stream->receives, (int)stream->length + NET_HEADER_SIZE);
    }
    stream->prefix_have += (unsigned)bytes;
    if (stream->prefix_have == PREFIX_SIZE)
        begin_frame(stream);
}

/* Is there something to be read, and somebody to read it for? Finishes requests. */
static bool ready_to_read(struct net_stream *stream)
{
    while (!stream->over && stream->receives.head && !stream->receives.head->cancelled) {
        if (stream->phase != PHASE_WAITING)
            return true;
        place_frame(stream);
    }
    return false;
}

static void fetch_burst(struct net_stream *stream)
{
    for (unsigned i = 0; i < BURST_MAX && ready_to_read(stream); i++) {
        ssize_t length = readv(stream->fd, stream->read_iov, (int)plan_read(stream));

        if (length < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (length > 0)
            take(stream, (size_t)length);
        else
            end_by_result(stream, length < 0 ? -errno : 0);
    }
}

static void wait_for_bytes(struct net_stream *stream)
{
    if (stream->fetching || stream->read_op.pending || stream->over || !stream->receives.head)
        return;
    stream->read_op.done = read_done;
    stream->read_op.client = stream->client;
    if (stream->phase == PHASE_WAITING)
        loop_complete(stream->loop, &stream->read_op, -ECANCELED); /* to be placed first; see read_done() */
    else
        loop_readv(stream->loop, &stream->read_op, stream->fd, stream->read_iov, plan_read(stream),
                   LOOP_NO_OFFSET);
}

static void end_cancelled_receives(struct net_stream *stream)
{
    if (net_queue_is_ending(&stream->receives) && stream->phase == PHASE_FILLING)
        stream->phase = PHASE_SKIPPING;
    while (net_queue_is_ending(&stream->receives))
        finish_front(&stream->receives, -ECANCELED);
}

/* -ECANCELED: nothing was read, there is something else to do. */
static void read_done(struct loop_op *op, int res)
{
    struct net_stream *stream = container_of(op, struct net_stream, read_op);

    stream->fetching = true;
    if (res > 0)
        take(stream, (size_t)res);
    else if (res != -ECANCELED)
        end_by_result(stream, res);
    fetch_burst(stream);
    end_cancelled_receives(stream);
    stream->fetching = false;
    wait_for_bytes(stream);
}

static void receive(struct net_backend *backend, unsigned pair, struct net_request *request)
{
    struct net_stream *stream = net_stream(backend);
    struct net_own *own = net_own_of(request);

    assert(pair == 0);
    *own = (struct net_own){ .op.client = stream->client };
    if (request->iov_count > NET_MAX_VECTORS || frame_length(request) == 0) {
        refuse(stream, own, -EINVAL);
        return;
    }
    net_queue_append(&stream->receives, own);
    wait_for_bytes(stream);
}

/* --- outgoing --- */

static void write_done(struct loop_op *op, int res);

/* The front's bytes that were not sent. Returns the number of vectors, 0 if there are not enough left. */
static unsigned frame_vectors(struct net_own *own, size_t sent, struct iovec *iov, unsigned max)
{
    struct net_request *request = net_request_of(own);
    struct iov_cursor cursor = iov_cursor_make(request->iov, request->iov_count);
    size_t length = frame_length(request);
    unsigned count = 0;
    int slices;

    if (max < 2)
        return 0;
    if (sent < PREFIX_SIZE)
        iov[count++] = (struct iovec){ own->prefix + sent, PREFIX_SIZE - sent };
    sent = sent > PREFIX_SIZE ? sent - PREFIX_SIZE : 0;
    iov_cursor_skip(&cursor, NET_HEADER_SIZE + sent);
    slices = iov_cursor_slice(&cursor, length - sent, iov + count, max - count);
    return slices < 0 ? 0 : count + (unsigned)slices;
}

static void write_frames(struct net_stream *stream)
{
    unsigned count = 0;
    size_t sent = stream->sent;

    if (stream->finishing || stream->write_op.pending || stream->over)
        return;
    if (stream->rest_at < stream->rest_end)
        stream->write_iov[count++] =
            (struct iovec){ stream->rest + stream->rest_at, stream->rest_end - stream->rest_at };
    for (struct net_own *own = stream->transmits.head; own; own = own->next) {
        unsigned more = frame_vectors(own, sent, stream->write_iov + count, IOV_MAX - count);

        if (!more)
            break;
        count += more;
        sent = 0;
    }
    if (!stream->transmits.head)
        return;
    stream->write_op.done = write_done;
    stream->write_op.client = stream->client;
    stream->write_op.no_terminal = true;
    loop_writev(stream->loop, &stream->write_op, stream->fd, stream->write_iov, count, LOOP_NO_OFFSET, 0);
}

static void count_written(struct net_stream *stream, size_t bytes)
{
    size_t of_rest = stream->rest_end - stream->rest_at;

    of_rest = bytes < of_rest ? bytes : of_rest;
    stream->rest_at += of_rest;
    bytes -= of_rest;
    while (bytes) {
        size_t left = PREFIX_SIZE + frame_length(net_request_of(stream->transmits.head)) - stream->sent;

        if (bytes < left) {
            stream->sent += bytes;
            return;
        }
        bytes -= left;
        stream->sent = 0;
        finish_front(&stream->transmits, 0);
    }
}

/* The front is to end, and a part of it is with the other side: keep what is left. */
static void keep_rest(struct net_stream *stream)
{
    struct iovec *iov = stream->write_iov;
    unsigned count = frame_vectors(stream->transmits.head, stream->sent, iov, IOV_MAX);
    struct iov_cursor cursor = iov_cursor_make(iov, count);
    ssize_t sent;

    stream->rest_at = 0;
    stream->rest_end = iov_cursor_copy_out(&cursor, stream->rest, sizeof(stream->rest));
    stream->sent = 0;
    /* Now if there is room: the next transmit may be long in coming. An error comes again with it. */
    sent = send(stream->fd, stream->rest, stream->rest_end, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0)
        stream->rest_at = (size_t)sent;
}

static void end_cancelled_transmits(struct net_stream *stream)
{
    if (net_queue_is_ending(&stream->transmits) && stream->sent && !stream->over)
        keep_rest(stream);
    while (net_queue_is_ending(&stream->transmits))
        finish_front(&stream->transmits, -ECANCELED);
}

static void write_done(struct loop_op *op, int res)
{
    struct net_stream *stream = container_of(op, struct net_stream, write_op);

    stream->finishing = true;
    if (res > 0)
        count_written(stream, (size_t)res);
    else if (res != -ECANCELED)
        end_by_result(stream, res);
    end_cancelled_transmits(stream);
    while (stream->over && stream->transmits.head)
        finish_front(&stream->transmits, -ENETDOWN);
    stream->finishing = false;
    write_frames(stream);
}

static void transmit(struct net_backend *backend, unsigned pair, struct net_request *request)
{
    struct net_stream *stream = net_stream(backend);
    struct net_own *own = net_own_of(request);
    size_t length = frame_length(request);
    uint32_t prefix = htobe32((uint32_t)length);

    assert(pair == 0);
    *own = (struct net_own){ .op.client = stream->client };
    if (request->iov_count > NET_MAX_VECTORS || length < NET_STREAM_MIN_FRAME || length > NET_MAX_FRAME) {
        refuse(stream, own, -EINVAL);
        return;
    }
    if (stream->over) {
        if (stream->owner)
            stream->owner->dropped(stream->owner);
        refuse(stream, own, -ENETDOWN);
        return;
    }
    memcpy(own->prefix, &prefix, sizeof(prefix));
    net_queue_append(&stream->transmits, own);
    write_frames(stream);
}

/* --- the backend --- */

static void attach(struct net_backend *backend, struct io_client *client, struct net_listener *listener)
{
    net_stream(backend)->client = client;
    net_stream(backend)->listener = listener;
}

static int set_offloads(struct net_backend *backend, unsigned offloads)
{
    (void)backend;
    return offloads ? -EINVAL : 0;
}

static int set_queue_pairs(struct net_backend *backend, unsigned pairs)
{
    (void)backend;
    return pairs == 1 ? 0 : -EINVAL;
}

static void cancel_run(struct loop_task *task)
{
    struct net_stream *stream = container_of(task, struct net_stream, cancel_task);

    pthread_mutex_lock(stream->client->lock);
    if (net_queue_is_ending(&stream->receives)) {
        if (stream->read_op.pending) {
            loop_cancel(stream->loop, &stream->read_op);
        } else {
            /* The stream is over: they wait for nothing. */
            stream->read_op.done = read_done;
            stream->read_op.client = stream->client;
            loop_complete(stream->loop, &stream->read_op, -ECANCELED);
        }
    }
    /* Where there is something to transmit, there is a write. */
    if (net_queue_is_ending(&stream->transmits))
        loop_cancel(stream->loop, &stream->write_op);
    pthread_mutex_unlock(stream->client->lock);
}

static void cancel(struct net_backend *backend)
{
    struct net_stream *stream = net_stream(backend);
    bool receives = net_queue_mark_cancelled(&stream->receives);
    bool transmits = net_queue_mark_cancelled(&stream->transmits);

    if (receives || transmits)
        loop_post(stream->loop, &stream->cancel_task);
}

static void destroy(struct net_backend *backend)
{
    struct net_stream *stream = net_stream(backend);
    struct net_stream_owner *owner = stream->owner;

    close(stream->fd);
    free(stream);
    if (owner)
        owner->destroyed(owner);
}

static const struct net_backend_ops stream_ops = {
    .attach = attach,
    .set_offloads = set_offloads,
    .set_queue_pairs = set_queue_pairs,
    .receive = receive,
    .transmit = transmit,
    .cancel = cancel,
    .destroy = destroy,
};

int net_stream_create(struct loop *loop, int fd, uint16_t mtu, struct net_stream_owner *owner,
                      struct net_backend **ret_backend)
{
    struct net_stream *stream;
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    stream = calloc(1, sizeof(*stream));
    if (!stream)
        return -ENOMEM;
    stream->backend =
        (struct net_backend){ .ops = &stream_ops, .info = { .queue_pairs = 1, .mtu = mtu }, .link_up = true };
    stream->loop = loop;
    stream->fd = fd;
    stream->owner = owner;
    stream->cancel_task.run = cancel_run;
    *ret_backend = &stream->backend;
    return 0;
}
