/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_control.h - what a driver says on the control queue (virtio 1.2, 5.1.6.5), understood and checked as
 * far as can be without a device.
 */
#ifndef RINGLET_NET_CONTROL_H
#define RINGLET_NET_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "net_filter.h"

struct iovec;

enum net_command_kind {
    NET_COMMAND_RX_MODE,     /* rx_mode, on */
    NET_COMMAND_MAC_TABLES,  /* unicast, multicast */
    NET_COMMAND_MAC_ADDRESS, /* mac */
    NET_COMMAND_ANNOUNCE_ACK,
    NET_COMMAND_QUEUE_PAIRS, /* pairs: any number */
    NET_COMMAND_OFFLOADS,    /* guest_features: any bits */
    NET_COMMAND_COUNT,
};

struct net_command {
    enum net_command_kind kind;
    uint8_t rx_mode; /* VIRTIO_NET_CTRL_RX_... */
    bool on;
    uint8_t mac[NET_FILTER_ADDRESS_SIZE];
    uint16_t pairs;
    uint64_t guest_features; /* bit per VIRTIO_NET_F_GUEST_... */
    struct net_filter_table unicast, multicast;
};

/*
 * The readable part of a chain, class and command first, copied once. `features`: as negotiated. 0;
 * -EOPNOTSUPP for a command that does not exist or whose feature is not negotiated; -EINVAL for one that is
 * shorter or longer than it should be.
 */
int net_command_parse(const struct iovec *iov, unsigned count, uint64_t features,
                      struct net_command *ret_command);

#endif
