/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dhcp.h - the conversation of a DHCP client (RFC 2131, 4.4.1): DISCOVER, OFFER, REQUEST, ACK. The lease is
 * never renewed; the guest's life is that of a command.
 */
#ifndef RINGLET_GUEST_DHCP_H
#define RINGLET_GUEST_DHCP_H

#include <stdint.h>

#include "dhcp_message.h"

/*
 * `fd` carries whole Ethernet frames of the card with the address `mac`, one for each read() or write(), and does
 * not block. `xid` tells our conversation from others: random. What is not answered is sent again, ever more
 * seldom, until the deadline (deadline.h). 0 with *ret_lease, -ETIMEDOUT, or what read() or write() said.
 */
int dhcp_acquire(int fd, const unsigned char mac[DHCP_MAC_SIZE], uint32_t xid, int64_t deadline,
                 struct dhcp_lease *ret_lease);

#endif
