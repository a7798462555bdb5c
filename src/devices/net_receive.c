/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_receive.c - the receive queues of virtio-net (virtio 1.2, 5.1.6.3, 5.1.6.4): the host writes frames
 * straight into the driver's buffers.
 *
 * Theory of operation. A receive is posted before anybody knows how long its frame will be. With
 * VIRTIO_NET_F_MRG_RXBUF it is therefore built from as many chains as the longest possible frame needs; when
 * it is done the first few, which the frame fills, are given back together, and the others go back in front
 * of the stock, for the next request. Without it a request is one chain.
 *
 *     ring -- pop --> stock -- request posted --> filled: used, in one go
 *                       ^------------------------ the rest, or all if the frame is dropped
 *
 * A queue is popped only for what the next request lacks. The stock's chains belong to nobody's request: they
 * are forgotten on reset and when their queue is taken away.
 *
 * Who wakes whom. Both sides can be short: the driver of buffers, the host of frames. With no frames the
 * requests simply stay posted. With no buffers nothing is posted, and the pop that found the ring empty has
 * switched the doorbell on; every kick and every completion come here to refill, so a request is posted as
 * soon as there is something to post. When buffers for one longest frame are not there, but some are, a
 * single request is posted with those: a driver that never has more could otherwise wait for ever. A frame
 * that does not fit is dropped, as on any card that is out of buffers.
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net_device.h"
#include "net_header.h"
#include "ringlet/iov.h"
#include "ringlet/util.h"

#define REQUESTS        4
#define REQUEST_VECTORS 256 /* and chains: each has one at least */
#define CHAIN_VECTORS   64  /* 65562 bytes in pages are 18; REQUEST_VECTORS holds some of the worst */
#define TAGS_MAX        2   /* VLAN tags that do not count towards an MTU */
#define HEAD_SIZE       (ETH_HLEN + VLAN_TAG_SIZE)
#define VLAN_TAG_SIZE   4
#define ERRORS_IN_A_ROW 16 /* of the host, until nothing more is posted */

static_assert(REQUEST_VECTORS <= NET_MAX_VECTORS, "net_backend.h");

/* A chain that was popped. In exactly one place: the free list, the stock, or a request. */
struct chain {
    struct chain *next;
    struct iovec *storage; /* [CHAIN_VECTORS] */
    const struct iovec *iov;
    unsigned iov_count;
    uint16_t head;
    uint64_t length; /* bytes, NET_HEADER_SIZE at least */
};

struct receive {
    struct net_request request;
    struct net_receive_queue *queue;
    struct receive *next_idle;
    uint64_t length; /* bytes of its vectors */
    unsigned chain_count;
    struct chain *chains[REQUEST_VECTORS];
    struct iovec iov[REQUEST_VECTORS];
};

struct net_receive_queue {
    struct virtio_net *net;
    unsigned pair;
    struct chain *free;

    struct chain *stock, **stock_end; /* in the order of the ring; stock_end: where the next one is hung on */
    unsigned stock_vectors;
    uint64_t stock_length;

    struct receive *idle;
    unsigned posted;
    unsigned errors; /* in a row */

    struct chain *chains;
    struct iovec *vectors;
    struct receive requests[REQUESTS];
};

/* --- the stock --- */

static void stock_append(struct net_receive_queue *queue, struct chain *chain)
{
    chain->next = NULL;
    *queue->stock_end = chain;
    queue->stock_end = &chain->next;
    queue->stock_vectors += chain->iov_count;
    queue->stock_length += chain->length;
}

static void stock_prepend(struct net_receive_queue *queue, struct chain *chain)
{
    if (!queue->stock)
        queue->stock_end = &chain->next;
    chain->next = queue->stock;
    queue->stock = chain;
    queue->stock_vectors += chain->iov_count;
    queue->stock_length += chain->length;
}

static struct chain *stock_take(struct net_receive_queue *queue)
{
    struct chain *chain = queue->stock;

    queue->stock = chain->next;
    if (!queue->stock)
        queue->stock_end = &queue->stock;
    queue->stock_vectors -= chain->iov_count;
    queue->stock_length -= chain->length;
    return chain;
}

static void chain_free(struct net_receive_queue *queue, struct chain *chain)
{
    chain->next = queue->free;
    queue->free = chain;
}

/* One more chain from the ring. */
static bool stock_pop(struct net_receive_queue *queue)
{
    struct virtio_device *device = &queue->net->device;
    struct chain *chain = queue->free;
    struct virtqueue_chain popped;

    if (!chain)
        return false; /* all that a ring can hold are here */
    popped = (struct virtqueue_chain){ .iov = chain->storage, .iov_max = CHAIN_VECTORS };
    if (virtio_device_pop(device, net_receiveq(queue->pair), &popped) <= 0)
        return false;
    /*
     * 5.1.6.3.1: no buffer is shorter than that. Where the header does not fit there is nothing to say, and a
     * buffer given back empty would be taken for a frame.
     */
    if (popped.in_length < NET_HEADER_SIZE) {
        virtio_device_needs_reset(device);
        return false;
    }
    queue->free = chain->next;
    chain->head = popped.head;
    chain->iov = chain->storage + popped.out_count;
    chain->iov_count = popped.in_count;
    chain->length = popped.in_length;
    stock_append(queue, chain);
    return true;
}

/* --- posting --- */

static bool is_mergeable(const struct virtio_net *net)
{
    return virtio_device_has_feature(&net->device, VIRTIO_NET_F_MRG_RXBUF);
}

/* Bytes of the longest frame that may come, and its header. */
static uint64_t longest(const struct virtio_net *net)
{
    const unsigned segmented = NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 | NET_OFFLOAD_USO;

    if ((net->offloads & segmented) || !virtio_device_has_feature(&net->device, VIRTIO_NET_F_MTU))
        return NET_HEADER_SIZE + NET_MAX_FRAME;
    return NET_HEADER_SIZE + ETH_HLEN + TAGS_MAX * VLAN_TAG_SIZE + (uint64_t)net->mtu;
}

/* Is there enough for any frame, or as much as a request takes? */
static bool stock_suffices(const struct net_receive_queue *queue)
{
    if (!is_mergeable(queue->net))
        return queue->stock;
    return queue->stock_length >= longest(queue->net) ||
           queue->stock_vectors > REQUEST_VECTORS - CHAIN_VECTORS;
}

static void post(struct net_receive_queue *queue)
{
    struct virtio_net *net = queue->net;
    struct receive *receive = queue->idle;
    uint64_t wanted = longest(net);
    unsigned most = is_mergeable(net) ? REQUEST_VECTORS : 1, vectors = 0;

    queue->idle = receive->next_idle;
    receive->chain_count = 0;
    receive->length = 0;
    while (queue->stock && receive->chain_count < most && receive->length < wanted &&
           vectors + queue->stock->iov_count <= REQUEST_VECTORS) {
        struct chain *chain = stock_take(queue);

        receive->chains[receive->chain_count++] = chain;
        /* A chain can have 4 GiB; what is beyond the longest frame is not for the host. */
        for (unsigned i = 0; i < chain->iov_count && receive->length < wanted; i++) {
            struct iovec *iov = &receive->iov[vectors++];

            *iov = chain->iov[i];
            if (iov->iov_len > wanted - receive->length)
                iov->iov_len = wanted - receive->length;
            receive->length += iov->iov_len;
        }
    }
    receive->request.iov = receive->iov;
    receive->request.iov_count = vectors;
    queue->posted++;
    virtio_device_request_begin(&net->device);
    net->backend->ops->receive(net->backend, queue->pair, &receive->request);
}

void net_receive_refill(struct net_receive_queue *queue)
{
    struct virtio_net *net = queue->net;

    while (queue->idle && queue->pair < net->pairs && queue->errors < ERRORS_IN_A_ROW) {
        bool enough = stock_suffices(queue);

        while (!enough && stock_pop(queue))
            enough = stock_suffices(queue);
        /* Not live: also since a moment ago, when a chain broke the rules. */
        if (!virtio_device_is_live(&net->device) || !queue->stock || (!enough && queue->posted))
            return;
        post(queue);
    }
}

/* --- frames --- */

/* Copy the first bytes of what was received out of, or back into, the driver's buffers. */
static size_t copy(const struct receive *receive, void *bytes, size_t length, bool to_driver)
{
    size_t done = 0;

    for (unsigned i = 0; i < receive->chain_count && done < length; i++) {
        struct iov_cursor cursor = iov_cursor_make(receive->chains[i]->iov, receive->chains[i]->iov_count);
        uint8_t *here = (uint8_t *)bytes + done;

        done += to_driver ? iov_cursor_copy_in(&cursor, here, length - done)
                          : iov_cursor_copy_out(&cursor, here, length - done);
    }
    return done;
}

/* Bytes in front of what the MTU counts. `head`: HEAD_SIZE bytes of the frame. */
static unsigned link_header_length(const uint8_t *head)
{
    unsigned length = ETH_HLEN;

    for (unsigned tags = 0; tags < TAGS_MAX; tags++) {
        unsigned type = (unsigned)head[length - 2] << 8 | head[length - 1];

        if (type != ETH_P_8021Q && type != ETH_P_8021AD)
            break;
        length += VLAN_TAG_SIZE;
    }
    return length;
}

/*
 * May this frame reach the driver? NULL, with its header put right, or the counter of the reason why not.
 * `length`: bytes with the header. What is read here the guest may change meanwhile, to nobody's harm but its
 * own.
 */
static uint64_t *judge(struct receive *receive, uint64_t length, struct virtio_net_hdr_v1 *ret_header)
{
    struct virtio_net *net = receive->queue->net;
    struct virtio_net_counters *counters = &net->counters;
    struct {
        struct virtio_net_hdr_v1 header;
        uint8_t head[HEAD_SIZE];
    } start = { 0 };
    bool knows_mac = net->mac_set || virtio_device_has_feature(&net->device, VIRTIO_NET_F_MAC);

    static_assert(sizeof(start) == NET_HEADER_SIZE + HEAD_SIZE, "as the bytes lie");
    if (length < NET_HEADER_SIZE + ETH_HLEN)
        return &counters->rx_too_short;
    copy(receive, &start, length < sizeof(start) ? length : sizeof(start), false);
    if (receive->queue->pair >= net->pairs)
        return &counters->rx_inactive;
    if (!net_header_to_driver(&start.header, net->offloads))
        return &counters->rx_bad_header;
    /* Without CTRL_RX a driver cannot say what it wants: it gets all. */
    if (virtio_device_has_feature(&net->device, VIRTIO_NET_F_CTRL_RX) &&
        !net_filter_accepts(&net->filter, knows_mac ? net->mac : NULL, start.head))
        return &counters->rx_filtered;
    /* 5.1.4.1 */
    if (virtio_device_has_feature(&net->device, VIRTIO_NET_F_MTU) &&
        start.header.gso_type == VIRTIO_NET_HDR_GSO_NONE &&
        length - NET_HEADER_SIZE > (uint64_t)net->mtu + link_header_length(start.head))
        return &counters->rx_too_long;
    *ret_header = start.header;
    return NULL;
}

/* Give the frame to the driver; returns how many chains it takes, 0 for a frame that is dropped. */
static unsigned deliver(struct receive *receive, uint64_t length)
{
    struct virtio_net *net = receive->queue->net;
    struct virtqueue_used used[REQUEST_VECTORS];
    struct virtio_net_hdr_v1 header;
    uint64_t *reason = judge(receive, length, &header), left = length;
    unsigned count = 0;

    if (reason) {
        ++*reason;
        return 0;
    }
    /* 5.1.6.4.1: all buffers but the last are filled. */
    while (left) {
        const struct chain *chain = receive->chains[count];
        uint64_t here = chain->length < left ? chain->length : left;

        used[count++] = (struct virtqueue_used){ .head = chain->head, .written = (uint32_t)here };
        left -= here;
    }
    header.num_buffers = htole16((uint16_t)count);
    copy(receive, &header, sizeof(header), true);
    virtio_device_push_many(&net->device, net_receiveq(receive->queue->pair), used, count);
    net->counters.rx_frames++;
    net->counters.rx_bytes += length - NET_HEADER_SIZE;
    return count;
}

static void receive_done(struct net_request *request, int res)
{
    struct receive *receive = container_of(request, struct receive, request);
    struct net_receive_queue *queue = receive->queue;
    struct virtio_net *net = queue->net;
    unsigned used = 0;

    if (res >= 0) {
        assert((uint64_t)res <= receive->length);
        queue->errors = 0;
        used = deliver(receive, (uint64_t)res);
    } else if (res == -EMSGSIZE) {
        queue->errors = 0;
        net->counters.rx_too_long++;
    } else if (res != -ECANCELED) {
        queue->errors++;
        net->counters.rx_errors++;
    }
    for (unsigned i = receive->chain_count; i > used; i--)
        stock_prepend(queue, receive->chains[i - 1]);
    for (unsigned i = used; i > 0; i--)
        chain_free(queue, receive->chains[i - 1]);
    receive->chain_count = 0;
    receive->next_idle = queue->idle;
    queue->idle = receive;
    queue->posted--;
    virtio_device_request_end(&net->device);
    net_receive_refill(queue);
}

/* --- life --- */

void net_receive_forgive(struct net_receive_queue *queue)
{
    queue->errors = 0;
}

void net_receive_forget(struct net_receive_queue *queue)
{
    assert(!queue->posted);
    while (queue->stock)
        chain_free(queue, stock_take(queue));
    queue->errors = 0;
}

int net_receive_create(struct virtio_net *net, unsigned pair, uint16_t queue_size,
                       struct net_receive_queue **ret_queue)
{
    struct net_receive_queue *queue = calloc(1, sizeof(*queue));

    if (!queue)
        return -ENOMEM;
    queue->net = net;
    queue->pair = pair;
    queue->stock_end = &queue->stock;
    queue->chains = calloc(queue_size, sizeof(*queue->chains));
    queue->vectors = calloc((size_t)queue_size * CHAIN_VECTORS, sizeof(*queue->vectors));
    if (!queue->chains || !queue->vectors) {
        net_receive_destroy(queue);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < queue_size; i++) {
        queue->chains[i].storage = &queue->vectors[(size_t)i * CHAIN_VECTORS];
        chain_free(queue, &queue->chains[i]);
    }
    for (unsigned i = 0; i < REQUESTS; i++) {
        struct receive *receive = &queue->requests[i];

        receive->queue = queue;
        receive->request.done = receive_done;
        receive->next_idle = queue->idle;
        queue->idle = receive;
    }
    *ret_queue = queue;
    return 0;
}

void net_receive_destroy(struct net_receive_queue *queue)
{
    if (!queue)
        return;
    free(queue->vectors);
    free(queue->chains);
    free(queue);
}
