/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_wire.h - virtio-net's structures and numbers as they stand in guest memory (virtio 1.2, 5.1), and those
 * that a kernel header may be too old to have.
 */
#ifndef RINGLET_NET_WIRE_H
#define RINGLET_NET_WIRE_H

#include <assert.h>
#include <linux/if_ether.h>
#include <linux/virtio_net.h>
#include <stdint.h>

#include "ringlet/net_backend.h"

#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO   56
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define NET_FEATURE(bit) (UINT64_C(1) << (bit))

static_assert(sizeof(struct virtio_net_hdr_v1) == NET_HEADER_SIZE, "5.1.6");

/* 5.1.4: what of the configuration space exists. All little-endian. */
struct net_config_space {
    uint8_t mac[ETH_ALEN];
    uint16_t status;
    uint16_t max_virtqueue_pairs;
    uint16_t mtu;
};

static_assert(sizeof(struct net_config_space) == 12, "5.1.4: no holes");

#endif
