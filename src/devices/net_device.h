/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_device.h - the network device from inside: what virtio_net.c, net_receive.c and net_transmit.c share.
 *
 * All of it is under the device's lock.
 */
#ifndef RINGLET_NET_DEVICE_H
#define RINGLET_NET_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "net_filter.h"
#include "net_wire.h"
#include "ringlet/net_backend.h"
#include "ringlet/virtio_device.h"
#include "ringlet/virtio_net.h"

struct net_receive_queue;
struct net_transmit_queue;

struct virtio_net {
    struct virtio_device device;
    struct net_backend *backend;
    struct net_listener listener;
    unsigned max_pairs; /* as created */
    uint16_t mtu;       /* 0: unknown */
    uint8_t initial_mac[ETH_ALEN];

    /* what the driver set up; forgotten on reset */
    uint8_t mac[ETH_ALEN];
    bool mac_set;      /* by the driver */
    unsigned pairs;    /* in use, the first ones */
    unsigned offloads; /* enum net_offload: what the driver takes from us now */
    bool announce;     /* VIRTIO_NET_S_ANNOUNCE */
    struct net_filter filter;

    bool link_up;
    struct virtio_net_counters counters;
    struct net_receive_queue *receive[NET_MAX_QUEUE_PAIRS];
    struct net_transmit_queue *transmit[NET_MAX_QUEUE_PAIRS];
    struct iovec *control_iov;
    unsigned control_iov_max;
};

/* 5.1.2: of queue pair `pair`. */
static inline unsigned net_receiveq(unsigned pair)
{
    return 2 * pair;
}

static inline unsigned net_transmitq(unsigned pair)
{
    return 2 * pair + 1;
}

/* Vectors of the longest chain without indirect descriptors, whose buffers lie across borders of guest RAM.
 */
unsigned net_chain_vectors(uint16_t queue_size);

/* --- net_receive.c --- */

int net_receive_create(struct virtio_net *net, unsigned pair, uint16_t queue_size,
                       struct net_receive_queue **ret_queue);
void net_receive_destroy(struct net_receive_queue *queue); /* NULL is fine */
/* Have as many requests behind the backend as there are buffers for. Loop thread. */
void net_receive_refill(struct net_receive_queue *queue);
/* The link came up: errors of before do not count any more. */
void net_receive_forgive(struct net_receive_queue *queue);
/* Nothing is in flight: forget the driver's buffers. */
void net_receive_forget(struct net_receive_queue *queue);

/* --- net_transmit.c --- */

int net_transmit_create(struct virtio_net *net, unsigned pair, uint16_t queue_size,
                        struct net_transmit_queue **ret_queue);
void net_transmit_destroy(struct net_transmit_queue *queue); /* NULL is fine */
/* Send what is there, as far as there are slots. Loop thread. */
void net_transmit_serve(struct net_transmit_queue *queue);

#endif
