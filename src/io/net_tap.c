/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_tap.c - see ringlet/net_tap.h.
 *
 * Receiving. A tap gives one frame to one read. Several reads waiting on one descriptor would be woken in no
 * order, so one waits, on the loop; when it is filled, the frames behind it are fetched at once, without
 * waiting and without going through the loop, into the requests behind it. A burst thus costs one turn of the
 * loop and one interrupt, and the order of frames and requests is kept.
 *
 * A tap cuts a frame that is longer than the read and does not tell. Each read therefore has one byte more
 * than the request: if that is filled, the frame was too long.
 *
 * Transmitting. Every write is an operation of its own; a tap takes it at once (its send buffer has no limit,
 * see net_tap_open.c), so that all of a turn are done in order within one system call.
 */
#include "ringlet/net_tap.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "net_queue.h"
#include "net_tap_open.h"
#include "ringlet/error.h"
#include "ringlet/io_client.h"
#include "ringlet/iov.h"
#include "ringlet/loop.h"
#include "ringlet/util.h"

#define BURST_MAX 64 /* frames fetched behind the one waited for, before others have their turn */

struct tap_pair {
    struct net_tap *tap;
    int fd;
    bool attached;          /* to the interface: frames come here */
    bool fetching;          /* requests are being finished: what they post waits */
    struct loop_op read_op; /* pending: for the front of `receives` */
    struct net_queue receives, transmits;
    struct iovec iov[NET_MAX_VECTORS + 1]; /* the front's vectors, and the byte too many */
    char excess;
};

struct net_tap {
    struct net_backend backend;
    struct loop *loop;
    struct io_client *client;
    struct net_listener *listener;
    struct loop_task cancel_task;
    bool gone; /* the interface was deleted */
    struct opened_tap opened;
    struct tap_pair pairs[];
};

static struct net_tap *net_tap(struct net_backend *backend)
{
    return container_of(backend, struct net_tap, backend);
}

/* The interface is no more, and will not come back. */
static bool means_gone(int res)
{
    return res == -EBADFD || res == -EBADF || res == -ENODEV;
}

static void lose_link(struct net_tap *tap)
{
    if (tap->gone)
        return;
    tap->gone = true;
    tap->backend.link_up = false;
    tap->listener->ops->link_changed(tap->listener, false);
}

/* A result that is known before there is a system call. */
static void refused(struct loop_op *op, int res)
{
    struct net_request *request = net_request_of(container_of(op, struct net_own, op));

    request->done(request, res);
}

static void refuse(struct net_tap *tap, struct net_own *own, int result)
{
    own->op.done = refused;
    loop_complete(tap->loop, &own->op, result);
}

static struct net_own *begin(struct net_tap *tap, struct tap_pair *pair, struct net_request *request)
{
    struct net_own *own = net_own_of(request);

    *own = (struct net_own){ .op = { .client = tap->client, .no_terminal = true }, .owner = pair };
    return own;
}

/* --- receiving --- */

static void read_done(struct loop_op *op, int res);

/* The front's vectors, and one byte. */
static unsigned front_vectors(struct tap_pair *pair)
{
    const struct net_request *request = net_request_of(pair->receives.head);

    memcpy(pair->iov, request->iov, request->iov_count * sizeof(*pair->iov));
    pair->iov[request->iov_count] = (struct iovec){ &pair->excess, 1 };
    return request->iov_count + 1;
}

static void wait_for_frame(struct tap_pair *pair)
{
    struct net_tap *tap = pair->tap;

    if (pair->fetching || pair->read_op.pending || tap->gone || !pair->receives.head)
        return;
    pair->read_op.done = read_done;
    pair->read_op.client = tap->client;
    loop_readv(tap->loop, &pair->read_op, pair->fd, pair->iov, front_vectors(pair), LOOP_NO_OFFSET);
}

/* The front's read gave `res`. False: nothing more is to be had. */
static bool finish_front(struct tap_pair *pair, int res)
{
    struct net_request *request;

    if (means_gone(res)) {
        lose_link(pair->tap);
        return false;
    }
    request = net_request_of(net_queue_pop(&pair->receives));
    if (res >= 0 && res < NET_HEADER_SIZE)
        res = -EIO;
    else if (res > 0 && (size_t)res > iov_length(request->iov, request->iov_count))
        res = -EMSGSIZE;
    request->done(request, res);
    return true;
}

/* What has come behind the frame waited for. */
static void fetch_burst(struct tap_pair *pair)
{
    for (unsigned i = 0; i < BURST_MAX && pair->receives.head && !pair->receives.head->cancelled; i++) {
        ssize_t length = readv(pair->fd, pair->iov, (int)front_vectors(pair));

        if (length < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (!finish_front(pair, length < 0 ? -errno : (int)length))
            return;
    }
}

static void end_cancelled(struct net_queue *queue)
{
    while (net_queue_is_ending(queue)) {
        struct net_request *request = net_request_of(net_queue_pop(queue));

        request->done(request, -ECANCELED);
    }
}

static void read_done(struct loop_op *op, int res)
{
    struct tap_pair *pair = container_of(op, struct tap_pair, read_op);

    pair->fetching = true;
    if (res != -ECANCELED && finish_front(pair, res))
        fetch_burst(pair);
    end_cancelled(&pair->receives);
    pair->fetching = false;
    wait_for_frame(pair);
}

static void receive(struct net_backend *backend, unsigned index, struct net_request *request)
{
    struct net_tap *tap = net_tap(backend);
    struct tap_pair *pair = &tap->pairs[index];
    struct net_own *own = begin(tap, pair, request);

    assert(index < backend->info.queue_pairs);
    /* A read without room for the header loses the frame. */
    if (request->iov_count > NET_MAX_VECTORS ||
        iov_length(request->iov, request->iov_count) < NET_HEADER_SIZE) {
        refuse(tap, own, -EINVAL);
        return;
    }
    net_queue_append(&pair->receives, own);
    wait_for_frame(pair);
}

/* --- transmitting --- */

static void write_done(struct loop_op *op, int res)
{
    struct net_own *own = container_of(op, struct net_own, op);
    struct tap_pair *pair = own->owner;
    struct net_request *request = net_request_of(own);

    net_queue_remove(&pair->transmits, own);
    if (means_gone(res))
        lose_link(pair->tap);
    request->done(request, res < 0 ? res : 0);
}

static void transmit(struct net_backend *backend, unsigned index, struct net_request *request)
{
    struct net_tap *tap = net_tap(backend);
    struct tap_pair *pair = &tap->pairs[index];
    struct net_own *own = begin(tap, pair, request);

    assert(index < backend->info.queue_pairs);
    if (tap->gone) {
        refuse(tap, own, -ENETDOWN);
        return;
    }
    own->op.done = write_done;
    net_queue_append(&pair->transmits, own);
    loop_writev(tap->loop, &own->op, pair->fd, request->iov, request->iov_count, LOOP_NO_OFFSET, 0);
}

/* --- the backend --- */

static void attach(struct net_backend *backend, struct io_client *client, struct net_listener *listener)
{
    net_tap(backend)->client = client;
    net_tap(backend)->listener = listener;
}

static int set_offloads(struct net_backend *backend, unsigned offloads)
{
    if (offloads & ~backend->info.to_guest)
        return -EINVAL;
    return tap_set_offloads(net_tap(backend)->opened.fds[0], offloads);
}

static int set_queue_pairs(struct net_backend *backend, unsigned pairs)
{
    struct net_tap *tap = net_tap(backend);

    if (!pairs || pairs > backend->info.queue_pairs)
        return -EINVAL;
    for (unsigned i = 1; i < backend->info.queue_pairs; i++) {
        struct tap_pair *pair = &tap->pairs[i];
        int result;

        if (pair->attached == (i < pairs))
            continue;
        result = tap_attach_queue(pair->fd, i < pairs);
        if (result < 0)
            return result;
        pair->attached = i < pairs;
    }
    return 0;
}

static void cancel_run(struct loop_task *task)
{
    struct net_tap *tap = container_of(task, struct net_tap, cancel_task);

    pthread_mutex_lock(tap->client->lock);
    for (unsigned i = 0; i < tap->backend.info.queue_pairs; i++) {
        struct tap_pair *pair = &tap->pairs[i];

        for (struct net_own *own = pair->transmits.head; own && own->cancelled; own = own->next)
            loop_cancel(tap->loop, &own->op);
        if (!net_queue_is_ending(&pair->receives))
            continue;
        if (pair->read_op.pending) {
            loop_cancel(tap->loop, &pair->read_op);
        } else {
            /* Those of a tap that is gone wait for nothing. */
            pair->read_op.done = read_done;
            pair->read_op.client = tap->client;
            loop_complete(tap->loop, &pair->read_op, -ECANCELED);
        }
    }
    pthread_mutex_unlock(tap->client->lock);
}

static void cancel(struct net_backend *backend)
{
    struct net_tap *tap = net_tap(backend);
    bool any = false;

    for (unsigned i = 0; i < backend->info.queue_pairs; i++) {
        any |= net_queue_mark_cancelled(&tap->pairs[i].receives);
        any |= net_queue_mark_cancelled(&tap->pairs[i].transmits);
    }
    if (any)
        loop_post(tap->loop, &tap->cancel_task);
}

static void destroy(struct net_backend *backend)
{
    struct net_tap *tap = net_tap(backend);

    close_tap(&tap->opened);
    free(tap);
}

static const struct net_backend_ops tap_ops = {
    .attach = attach,
    .set_offloads = set_offloads,
    .set_queue_pairs = set_queue_pairs,
    .receive = receive,
    .transmit = transmit,
    .cancel = cancel,
    .destroy = destroy,
};

int net_tap_open(struct loop *loop, const struct net_tap_options *options, struct net_backend **ret_backend,
                 struct error *err)
{
    struct net_tap *tap = calloc(1, sizeof(*tap) + options->queue_pairs * sizeof(tap->pairs[0]));
    int result;

    if (!tap)
        return error_set(err, -ENOMEM, "out of memory");
    result = open_tap(options, &tap->opened, err);
    if (result < 0) {
        free(tap);
        return result;
    }
    tap->backend = (struct net_backend){ .ops = &tap_ops, .info = tap->opened.info, .link_up = true };
    tap->loop = loop;
    tap->cancel_task.run = cancel_run;
    for (unsigned i = 0; i < tap->backend.info.queue_pairs; i++) {
        tap->pairs[i].tap = tap;
        tap->pairs[i].fd = tap->opened.fds[i];
        tap->pairs[i].attached = i == 0;
    }
    *ret_backend = &tap->backend;
    return 0;
}
