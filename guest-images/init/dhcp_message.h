/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dhcp_message.h - DHCP messages (RFC 2131, RFC 2132) as whole Ethernet frames: pure functions.
 *
 * Whole frames, because a card without an address has no UDP: servers may answer to the very address that they
 * are about to give.
 */
#ifndef RINGLET_GUEST_DHCP_MESSAGE_H
#define RINGLET_GUEST_DHCP_MESSAGE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DHCP_MAC_SIZE         6
#define DHCP_FRAME_SIZE       342 /* of what we send: the headers and the 300 bytes that every server takes */
#define DHCP_NAME_SERVERS_MAX 3   /* as resolv.conf(5) */

enum dhcp_type { DHCP_DISCOVER = 1, DHCP_OFFER = 2, DHCP_REQUEST = 3, DHCP_ACK = 5, DHCP_NAK = 6 };

/* What a server gives. Addresses in network order; 0: not given. */
struct dhcp_lease {
    in_addr_t address, netmask, router, server;
    in_addr_t name_servers[DHCP_NAME_SERVERS_MAX];
    unsigned name_server_count;
    uint16_t mtu;
    char domain[256]; /* letters, digits, dots, hyphens; may be empty */
};

/*
 * DISCOVER (`offer` NULL), or REQUEST for what was offered. Every server is to answer by broadcast. Returns
 * DHCP_FRAME_SIZE.
 */
size_t dhcp_message_make(unsigned char frame[DHCP_FRAME_SIZE], const unsigned char mac[DHCP_MAC_SIZE],
                         uint32_t xid, const struct dhcp_lease *offer);

/*
 * Is the frame a server's answer to our messages with that number? Then *ret_type is OFFER, ACK or NAK, and of the
 * first two *ret_lease is usable: an address that a card can have, and a mask. Whatever else the frame may be
 * is false. Checksums are not looked at: a virtio card need not have computed them.
 */
bool dhcp_message_parse(const unsigned char *frame, size_t size, const unsigned char mac[DHCP_MAC_SIZE],
                        uint32_t xid, enum dhcp_type *ret_type, struct dhcp_lease *ret_lease);

#endif
