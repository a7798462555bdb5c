/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_header.h - is a struct virtio_net_hdr fit to be passed on (virtio 1.2, 5.1.6.2, 5.1.6.4)? Pure
 * functions on copies: the guest can change the original at any moment.
 */
#ifndef RINGLET_NET_HEADER_H
#define RINGLET_NET_HEADER_H

#include <stdbool.h>
#include <stdint.h>

struct virtio_net_hdr_v1;

/*
 * A header of the driver's, for a frame of `length` bytes, where the `offloads` (enum net_offload) to the
 * host are negotiated. True: *header has become what the backend may have, with everything else zero. False:
 * it asks for something that was not negotiated, or points outside the frame.
 */
bool net_header_from_driver(struct virtio_net_hdr_v1 *header, unsigned offloads, uint64_t length);

/*
 * A header of the backend's, on its way to a driver that has these `offloads` switched on. False: the frame
 * may not reach that driver.
 */
bool net_header_to_driver(struct virtio_net_hdr_v1 *header, unsigned offloads);

#endif
