/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_guest.h - a guest with one virtio network card: guest_driver.h's player, the device, and fake_net.h
 * behind it.
 *
 *     net_guest_create(&net, NULL, NULL);
 *     guest_driver_start(net.guest, GUEST_ALL_FEATURES, 0);
 *     net_guest_offer(&net, 0, 8, 1526);
 *     net_guest_arrive(&net, 0, &header, frame, 60);
 *     net_guest_expect_frame(&net, 0, frame, 60);
 *     net_guest_destroy(&net);
 */
#ifndef RINGLET_TEST_NET_GUEST_H
#define RINGLET_TEST_NET_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../src/devices/net_wire.h"
#include "fake_net.h"
#include "guest_driver.h"
#include "ringlet/virtio_net.h"

#define NET_GUEST_BUFFER     1526
#define NET_GUEST_QUEUE_SIZE 64

struct net_guest {
    struct fake_net net;
    struct guest_driver *guest;
    struct virtio_device *device;
    /* where each receive buffer of a queue lies, by head */
    struct {
        uint64_t address;
        uint32_t length;
    } buffers[NET_MAX_QUEUE_PAIRS][VIRTIO_NET_MAX_QUEUE_SIZE];
    /* the frame taken last */
    struct virtio_net_hdr_v1 header;
    uint8_t frame[NET_MAX_FRAME];
    size_t length;
    unsigned chains;
};

extern const uint8_t net_guest_mac[6];
/* Everything that a backend can do; MTU unknown. */
extern const struct net_info net_guest_info;
/* One pair, queues of NET_GUEST_QUEUE_SIZE. */
extern const struct virtio_net_options net_guest_options;
/* No offload. */
extern const struct virtio_net_hdr_v1 net_guest_plain;

/* NULL: the above. The device is plugged in and not yet started. */
void net_guest_create(struct net_guest *net, const struct virtio_net_options *options,
                      const struct net_info *info);
void net_guest_destroy(struct net_guest *net);
/* The features offered, without those of `mask`. */
uint64_t net_guest_features_without(struct net_guest *net, uint64_t mask);

/* A frame for net_guest_mac, of bytes that depend on `seed`. */
void net_guest_make_frame(uint8_t *frame, size_t length, uint8_t seed);

/* `count` receive buffers of `length` bytes, one descriptor each, kicked as Linux does. */
void net_guest_offer(struct net_guest *net, unsigned pair, unsigned count, uint32_t length);
/* A frame arrives, in a turn of the loop of its own; says whether a receive was posted for it. */
bool net_guest_arrive(struct net_guest *net, unsigned pair, const struct virtio_net_hdr_v1 *header,
                      const void *frame, size_t length);
/* Take the next frame from the used ring into net->frame; false when there is none. Checks num_buffers. */
bool net_guest_take(struct net_guest *net, unsigned pair);
/* Take one, and it is this. */
void net_guest_expect_frame(struct net_guest *net, unsigned pair, const void *frame, size_t length);
void net_guest_expect_nothing(struct net_guest *net, unsigned pair);
/* An ordinary frame arrives and reaches the guest. */
void net_guest_expect_service(struct net_guest *net, unsigned pair);

/* Send a frame: header and frame in one descriptor each, as Linux without ANY_LAYOUT. Returns the head. */
uint16_t net_guest_send(struct net_guest *net, unsigned pair, const struct virtio_net_hdr_v1 *header,
                        const void *frame, uint32_t length);
/* The backend finishes the oldest transmit, in a turn of its own; false when there is none. */
bool net_guest_leave_wire(struct net_guest *net, unsigned pair, int res);
/* The next element of the transmit queue's used ring is this one. */
void net_guest_expect_sent(struct net_guest *net, unsigned pair, uint16_t head);

/* The control queue's index; commands, and their answer: VIRTIO_NET_OK or _ERR. */
unsigned net_guest_controlq(const struct net_guest *net);
uint8_t net_guest_command(struct net_guest *net, uint8_t class, uint8_t command, const void *data,
                          uint32_t length);

void net_guest_set_link(struct net_guest *net, bool up);
struct virtio_net_counters net_guest_counters(struct net_guest *net);

#endif
