/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network.h - the guest's network: the loopback always, and every Ethernet card by DHCP.
 */
#ifndef RINGLET_GUEST_NETWORK_H
#define RINGLET_GUEST_NETWORK_H

#include <stdbool.h>

struct report;

/*
 * Nothing of it is worth giving up for: what does not come up is a warning. A card takes five seconds at most. In
 * the guest's root, as it is then: its /etc/resolv.conf gets the name servers.
 */
void network_set_up(bool cards, const struct report *report);

#endif
