/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network.h - the guest's network: the loopback always, and every Ethernet card by DHCP.
 */
#ifndef RINGLET_GUEST_NETWORK_H
#define RINGLET_GUEST_NETWORK_H

#include <stdbool.h>
#include <stddef.h>

struct dhcp_lease;
struct report;

/*
 * Nothing of it is worth giving up for: what does not come up is a warning. A card takes five seconds at most. In
 * the guest's root, as it is then: its /etc/resolv.conf gets the name servers.
 */
void network_set_up(bool cards, const struct report *report);

/* The text of resolv.conf(5) for some leases, NUL-terminated; cut where `size` is too small, behind a whole line. */
void network_resolv_conf(const struct dhcp_lease *leases, size_t count, char *text, size_t size);

#endif
