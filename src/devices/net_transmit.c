/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_transmit.c - the transmit queues of virtio-net (virtio 1.2, 5.1.6.2): frames go to the backend out of
 * the driver's buffers as they are.
 *
 * Only the 12 bytes of the header are copied, and the copy is what is judged and what is sent: the guest
 * could change the original between the two. The copy takes the place of the vectors that the header filled,
 * so the chain's own array becomes the request's.
 *
 * A slot holds all that a frame needs until it is done. When no slot is free popping stops, which leaves the
 * doorbell off, and the next completion goes on.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "net_device.h"
#include "net_header.h"
#include "ringlet/iov.h"
#include "ringlet/util.h"

#define SLOTS_MAX 64

struct slot {
    struct net_transmit_queue *queue;
    struct slot *next_free;
    struct iovec *vectors; /* the first is kept free for the header */
    uint16_t head;
    uint64_t length; /* bytes of the frame, header not included */
    struct virtio_net_hdr_v1 header;
    struct net_request request;
};

struct net_transmit_queue {
    struct virtio_net *net;
    unsigned pair;
    unsigned chain_vectors;
    struct slot *free;
    bool starved; /* popping stopped for want of a slot */
    struct iovec *vectors;
    struct slot *slots;
};

/* Which of the host's offloads the driver may use. */
static unsigned negotiated_offloads(const struct virtio_device *device)
{
    unsigned offloads = 0;

    if (virtio_device_has_feature(device, VIRTIO_NET_F_CSUM))
        offloads |= NET_OFFLOAD_CSUM;
    if (virtio_device_has_feature(device, VIRTIO_NET_F_HOST_TSO4))
        offloads |= NET_OFFLOAD_TSO4;
    if (virtio_device_has_feature(device, VIRTIO_NET_F_HOST_TSO6))
        offloads |= NET_OFFLOAD_TSO6;
    if (virtio_device_has_feature(device, VIRTIO_NET_F_HOST_USO))
        offloads |= NET_OFFLOAD_USO;
    return offloads;
}

/* Copy the header out, and put the copy in front of the rest. */
static void split_header(struct slot *slot, struct iovec *iov, unsigned count)
{
    struct iov_cursor cursor = iov_cursor_make(iov, count);
    size_t left = sizeof(slot->header);

    iov_cursor_copy_out(&cursor, &slot->header, sizeof(slot->header));
    /* The vector that the header ends in, or the one behind it, is the first of the frame. */
    while (left >= iov->iov_len) {
        left -= iov->iov_len;
        iov++;
        count--;
    }
    iov->iov_base = (uint8_t *)iov->iov_base + left;
    iov->iov_len -= left;
    iov--;
    *iov = (struct iovec){ .iov_base = &slot->header, .iov_len = sizeof(slot->header) };
    slot->request.iov = iov;
    slot->request.iov_count = count + 1;
}

/* The frame is lost, as on a wire, and counted; the slot was not taken. */
static void drop(struct slot *slot, uint64_t *counter)
{
    struct net_transmit_queue *queue = slot->queue;

    ++*counter;
    virtio_device_push(&queue->net->device, net_transmitq(queue->pair), slot->head, 0);
}

static void slot_start(struct slot *slot, struct virtqueue_chain *chain)
{
    struct net_transmit_queue *queue = slot->queue;
    struct virtio_net *net = queue->net;

    slot->head = chain->head;
    slot->length = chain->out_length - NET_HEADER_SIZE;
    if (chain->out_length < NET_HEADER_SIZE + ETH_HLEN || slot->length > NET_MAX_FRAME) {
        drop(slot, &net->counters.tx_bad_length);
        return;
    }
    split_header(slot, chain->iov, chain->out_count);
    if (!net_header_from_driver(&slot->header, negotiated_offloads(&net->device), slot->length)) {
        drop(slot, &net->counters.tx_bad_header);
        return;
    }
    queue->free = slot->next_free;
    virtio_device_request_begin(&net->device);
    net->backend->ops->transmit(net->backend, queue->pair, &slot->request);
}

void net_transmit_serve(struct net_transmit_queue *queue)
{
    struct virtio_net *net = queue->net;

    queue->starved = false;
    while (queue->pair < net->pairs) {
        struct slot *slot = queue->free;
        struct virtqueue_chain chain;

        if (!slot) {
            queue->starved = true;
            return;
        }
        chain = (struct virtqueue_chain){ .iov = slot->vectors + 1, .iov_max = queue->chain_vectors };
        if (virtio_device_pop(&net->device, net_transmitq(queue->pair), &chain) <= 0)
            return;
        slot_start(slot, &chain);
    }
}

static void transmit_done(struct net_request *request, int res)
{
    struct slot *slot = container_of(request, struct slot, request);
    struct net_transmit_queue *queue = slot->queue;
    struct virtio_net *net = queue->net;

    if (res < 0) {
        net->counters.tx_errors++;
    } else {
        net->counters.tx_frames++;
        net->counters.tx_bytes += slot->length;
    }
    slot->next_free = queue->free;
    queue->free = slot;
    virtio_device_push(&net->device, net_transmitq(queue->pair), slot->head, 0);
    virtio_device_request_end(&net->device);
    if (queue->starved)
        net_transmit_serve(queue);
}

/* --- life --- */

int net_transmit_create(struct virtio_net *net, unsigned pair, uint16_t queue_size,
                        struct net_transmit_queue **ret_queue)
{
    struct net_transmit_queue *queue = calloc(1, sizeof(*queue));
    unsigned slots = queue_size < SLOTS_MAX ? queue_size : SLOTS_MAX;

    if (!queue)
        return -ENOMEM;
    queue->net = net;
    queue->pair = pair;
    queue->chain_vectors = net_chain_vectors(queue_size);
    queue->slots = calloc(slots, sizeof(*queue->slots));
    queue->vectors = calloc((size_t)slots * (queue->chain_vectors + 1), sizeof(*queue->vectors));
    if (!queue->slots || !queue->vectors) {
        net_transmit_destroy(queue);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < slots; i++) {
        struct slot *slot = &queue->slots[i];

        slot->queue = queue;
        slot->vectors = &queue->vectors[(size_t)i * (queue->chain_vectors + 1)];
        slot->request.done = transmit_done;
        slot->next_free = queue->free;
        queue->free = slot;
    }
    *ret_queue = queue;
    return 0;
}

void net_transmit_destroy(struct net_transmit_queue *queue)
{
    if (!queue)
        return;
    free(queue->vectors);
    free(queue->slots);
    free(queue);
}
