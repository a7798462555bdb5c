/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_header.c - see net_header.h. The host's kernel checks what a guest says of its frames as well; but what
 * it refuses looks to us like a failure of the host, and a tap is not the only backend.
 */
#include "net_header.h"

#include <endian.h>

#include "net_wire.h"

#define CHECKSUM_SIZE 2

/*
 * The offload that a frame of this gso_type needs, or 0 if there is none such. ECN stands beside the type in
 * gso_type, and neither HOST_ECN nor GUEST_ECN is ever negotiated.
 */
static unsigned gso_offload(uint8_t gso_type)
{
    switch (gso_type) {
    case VIRTIO_NET_HDR_GSO_TCPV4:
        return NET_OFFLOAD_TSO4;
    case VIRTIO_NET_HDR_GSO_TCPV6:
        return NET_OFFLOAD_TSO6;
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        return NET_OFFLOAD_USO;
    default:
        return 0;
    }
}

/* What both directions ask of the parts that belong together. Clears those that mean nothing. */
static bool is_consistent(struct virtio_net_hdr_v1 *header, unsigned offloads)
{
    if (!(header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
        header->csum_start = header->csum_offset = 0;
    else if (!(offloads & NET_OFFLOAD_CSUM))
        return false;

    if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
        header->gso_size = 0;
        return true;
    }
    /* 5.1.6.2.1, 5.1.6.4.1: who leaves the segments to be cut leaves the checksums too. */
    return (gso_offload(header->gso_type) & offloads) && header->gso_size &&
           (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
}

bool net_header_from_driver(struct virtio_net_hdr_v1 *header, unsigned offloads, uint64_t length)
{
    /* 5.1.6.2.2: flags that we do not know are ignored. */
    header->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
    header->num_buffers = 0;
    if (!is_consistent(header, offloads))
        return false;
    if ((header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
        (uint64_t)le16toh(header->csum_start) + le16toh(header->csum_offset) + CHECKSUM_SIZE > length)
        return false;
    /* 5.1.6.2.2: a hint, not to be relied on. A tap refuses a frame over a wrong one, and does without it. */
    if (le16toh(header->hdr_len) > length || le16toh(header->hdr_len) < ETH_HLEN)
        header->hdr_len = 0;
    return true;
}

bool net_header_to_driver(struct virtio_net_hdr_v1 *header, unsigned offloads)
{
    if (!(offloads & NET_OFFLOAD_CSUM))
        header->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM; /* and that is refused below */
    else
        header->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID;
    return is_consistent(header, offloads);
}
