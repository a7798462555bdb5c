/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_net.c - see fake_net.h. What net_backend.h asks of a device is asserted here, where every test of it
 * passes.
 */
#include "fake_net.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "ringlet/io_client.h"
#include "ringlet/iov.h"
#include "ringlet/util.h"

static struct fake_net *from_backend(struct net_backend *backend)
{
    struct fake_net *net = container_of(backend, struct fake_net, backend);

    assert(!net->destroyed);
    return net;
}

static bool is_locked(const struct fake_net *net)
{
    return pthread_mutex_trylock(net->client->lock) == EBUSY;
}

static void attach(struct net_backend *backend, struct io_client *client, struct net_listener *listener)
{
    struct fake_net *net = from_backend(backend);

    assert(!net->client && client && listener);
    net->client = client;
    net->listener = listener;
}

static int set_offloads(struct net_backend *backend, unsigned offloads)
{
    struct fake_net *net = from_backend(backend);

    assert(is_locked(net));
    assert(!(offloads & ~backend->info.to_guest));
    assert(!offloads || (offloads & NET_OFFLOAD_CSUM));
    net->offload_calls++;
    if (!net->offload_error)
        net->offloads = offloads;
    return net->offload_error;
}

static int set_queue_pairs(struct net_backend *backend, unsigned pairs)
{
    struct fake_net *net = from_backend(backend);

    assert(is_locked(net));
    assert(pairs && pairs <= backend->info.queue_pairs);
    net->pair_calls++;
    if (!net->pair_error)
        net->pairs = pairs;
    return net->pair_error;
}

static void append(struct fake_net *net, struct fake_net_queue *queue, unsigned pair,
                   struct net_request *request)
{
    assert(net->client && is_locked(net));
    assert(pair < net->pairs && queue->count < FAKE_NET_MAX_PENDING);
    assert(request->iov_count && request->iov_count <= NET_MAX_VECTORS && request->done);
    for (unsigned i = 0; i < request->iov_count; i++)
        assert(request->iov[i].iov_len);
    for (unsigned i = 0; i < queue->count; i++)
        assert(queue->pending[i] != request);
    /* The backend's own part is the backend's: nothing of the device's may depend on it. */
    memset(request->backend_private, 0xa5, sizeof(request->backend_private));
    queue->pending[queue->count++] = request;
}

static void receive(struct net_backend *backend, unsigned pair, struct net_request *request)
{
    struct fake_net *net = from_backend(backend);

    append(net, &net->receives[pair], pair, request);
    assert(iov_length(request->iov, request->iov_count) >= NET_HEADER_SIZE);
    assert(iov_length(request->iov, request->iov_count) <= NET_HEADER_SIZE + NET_MAX_FRAME);
}

static void transmit(struct net_backend *backend, unsigned pair, struct net_request *request)
{
    struct fake_net *net = from_backend(backend);

    append(net, &net->transmits[pair], pair, request);
    assert(request->iov[0].iov_len == NET_HEADER_SIZE);
    assert(iov_length(request->iov, request->iov_count) <= NET_HEADER_SIZE + NET_MAX_FRAME);
}

static void cancel(struct net_backend *backend)
{
    struct fake_net *net = from_backend(backend);

    assert(is_locked(net));
    net->cancels++;
    net->cancelling = true;
    if (!net->cancel_later)
        fake_net_end_cancelled(net);
    sem_post(&net->cancel_called);
}

static void destroy(struct net_backend *backend)
{
    struct fake_net *net = from_backend(backend);

    for (unsigned i = 0; i < NET_MAX_QUEUE_PAIRS; i++)
        assert(!net->receives[i].count && !net->transmits[i].count);
    sem_destroy(&net->cancel_called);
    net->destroyed = true;
}

static const struct net_backend_ops ops = {
    .attach = attach,
    .set_offloads = set_offloads,
    .set_queue_pairs = set_queue_pairs,
    .receive = receive,
    .transmit = transmit,
    .cancel = cancel,
    .destroy = destroy,
};

void fake_net_init(struct fake_net *net, const struct net_info *info)
{
    memset(net, 0, sizeof(*net));
    net->backend = (struct net_backend){ .ops = &ops, .info = *info, .link_up = true };
    net->pairs = 1;
    sem_init(&net->cancel_called, 0, 0);
}

/* --- the test's side --- */

static struct net_request *take_oldest(struct fake_net_queue *queue)
{
    struct net_request *request = queue->pending[0];

    assert(queue->count);
    queue->count--;
    memmove(&queue->pending[0], &queue->pending[1], queue->count * sizeof(queue->pending[0]));
    return request;
}

/* As a backend may: nothing in the array is what it was, and the device must not care. */
static void finish(struct net_request *request, int res)
{
    memset(request->iov, 0xa5, request->iov_count * sizeof(*request->iov));
    request->done(request, res);
}

size_t fake_net_room(const struct fake_net *net, unsigned pair)
{
    const struct fake_net_queue *queue = &net->receives[pair];

    return queue->count ? iov_length(queue->pending[0]->iov, queue->pending[0]->iov_count) : 0;
}

bool fake_net_deliver(struct fake_net *net, unsigned pair, const struct virtio_net_hdr_v1 *header,
                      const void *frame, size_t length)
{
    size_t room = fake_net_room(net, pair);
    struct net_request *request;
    struct iov_cursor cursor;

    if (!room)
        return false;
    request = take_oldest(&net->receives[pair]);
    if (length + NET_HEADER_SIZE > room) {
        finish(request, -EMSGSIZE);
        return true;
    }
    cursor = iov_cursor_make(request->iov, request->iov_count);
    iov_cursor_copy_in(&cursor, header, offsetof(struct virtio_net_hdr_v1, num_buffers));
    iov_cursor_skip(&cursor, sizeof(header->num_buffers));
    iov_cursor_copy_in(&cursor, frame, length);
    finish(request, (int)(length + NET_HEADER_SIZE));
    return true;
}

void fake_net_end_receive(struct fake_net *net, unsigned pair, int res)
{
    finish(take_oldest(&net->receives[pair]), res);
}

bool fake_net_take(struct fake_net *net, unsigned pair, int res)
{
    struct net_request *request;
    struct iov_cursor cursor;

    if (!net->transmits[pair].count)
        return false;
    request = take_oldest(&net->transmits[pair]);
    cursor = iov_cursor_make(request->iov, request->iov_count);
    iov_cursor_copy_out(&cursor, &net->sent_header, sizeof(net->sent_header));
    net->sent_length = iov_cursor_copy_out(&cursor, net->sent, sizeof(net->sent));
    finish(request, res);
    return true;
}

void fake_net_end_cancelled(struct fake_net *net)
{
    net->cancelling = false;
    for (unsigned i = 0; i < NET_MAX_QUEUE_PAIRS; i++) {
        /* Not those that are posted meanwhile: they would be of a device that does not know what cancel is.
         */
        for (unsigned left = net->receives[i].count; left; left--)
            finish(take_oldest(&net->receives[i]), -ECANCELED);
        for (unsigned left = net->transmits[i].count; left; left--)
            finish(take_oldest(&net->transmits[i]), -ECANCELED);
    }
}

void fake_net_set_link(struct fake_net *net, bool up)
{
    net->backend.link_up = up;
    net->listener->ops->link_changed(net->listener, up);
}
