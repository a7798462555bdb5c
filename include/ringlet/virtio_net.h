/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_net.h - the network device (virtio 1.2, 5.1).
 */
#ifndef RINGLET_VIRTIO_NET_H
#define RINGLET_VIRTIO_NET_H

#include <stdint.h>

struct guest_memory;
struct net_backend;
struct virtio_device;

#define VIRTIO_NET_MAX_QUEUE_SIZE 1024
#define VIRTIO_NET_MIN_MTU        68 /* 5.1.4.1 */

struct virtio_net_options {
    const char *name;     /* "net0": for messages; borrowed */
    uint8_t mac[6];       /* a unicast address; what the device starts with, and returns to on reset */
    uint16_t mtu;         /* told to the driver; 0: the backend's, and if that is unknown none is told */
    uint16_t queue_pairs; /* 1 .. what the backend has */
    uint16_t queue_size;  /* a power of two, 2 .. VIRTIO_NET_MAX_QUEUE_SIZE */
};

/* What happened since creation. A frame is in exactly one of its direction's. */
struct virtio_net_counters {
    uint64_t rx_frames, rx_bytes; /* given to the driver; bytes without the header */
    uint64_t rx_filtered;         /* for somebody else */
    uint64_t rx_too_long;         /* longer than the buffers, or than the MTU that the driver was told */
    uint64_t rx_too_short;        /* no Ethernet header */
    uint64_t rx_bad_header;       /* with an offload that the driver has not switched on */
    uint64_t rx_inactive;         /* for a queue pair that the driver does not use */
    uint64_t rx_errors;           /* the host failed */

    uint64_t tx_frames, tx_bytes; /* taken by the host */
    uint64_t tx_bad_length;       /* no Ethernet header, or longer than NET_MAX_FRAME */
    uint64_t tx_bad_header;       /* with an offload not negotiated, or one that points outside the frame */
    uint64_t tx_errors;           /* the host failed */
};

/*
 * Takes over `backend` when it succeeds, and destroys it with the device. Copies *options; borrows `memory`.
 * 0; -ENOMEM; -EINVAL for options out of range.
 */
int virtio_net_create(const struct virtio_net_options *options, struct net_backend *backend,
                      const struct guest_memory *memory, struct virtio_device **ret_device);

/* Takes the lock; any thread. `device` is one that virtio_net_create() made, also below. */
void virtio_net_counters(struct virtio_device *device, struct virtio_net_counters *ret_counters);

/*
 * Ask the driver to announce itself on the network (5.1.6.5.4), as a link that comes up does by itself.
 * Nothing happens if it did not negotiate GUEST_ANNOUNCE. Lock held, any thread.
 */
void virtio_net_announce(struct virtio_device *device);

#endif
