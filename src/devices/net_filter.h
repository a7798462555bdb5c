/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_filter.h - which frames a driver wants (virtio 1.2, 5.1.6.5.1 and 5.1.6.5.2).
 *
 * The tables are bounded, so the filter is imperfect, which the specification allows: a kind of address of
 * which the driver names more than fit is let through as a whole.
 */
#ifndef RINGLET_NET_FILTER_H
#define RINGLET_NET_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#define NET_FILTER_ADDRESS_SIZE 6
#define NET_FILTER_TABLE_SIZE   64

struct net_filter_table {
    bool overflow; /* there were more than fit: every address is in it */
    unsigned count;
    uint8_t addresses[NET_FILTER_TABLE_SIZE][NET_FILTER_ADDRESS_SIZE];
};

/* All zero after a reset: frames for the device's own address, and broadcasts. */
struct net_filter {
    unsigned modes; /* bit per VIRTIO_NET_CTRL_RX command that is on */
    struct net_filter_table unicast, multicast;
};

/* `own`: the device's address, or NULL where it does not know it; then every unicast address may be its. */
bool net_filter_accepts(const struct net_filter *filter, const uint8_t *own, const uint8_t *destination);

#endif
