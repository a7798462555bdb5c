/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolv_conf.h - the name servers of the leases become those of the guest's root.
 */
#ifndef RINGLET_GUEST_RESOLV_CONF_H
#define RINGLET_GUEST_RESOLV_CONF_H

#include <stddef.h>

struct dhcp_lease;

/*
 * In the guest's root, as it is then. Leases without name servers change nothing. 0, or -errno when the root cannot
 * have a resolv.conf.
 */
int resolv_conf_set(const struct dhcp_lease *leases, size_t count);

/* The text of resolv.conf(5), NUL-terminated; cut where `size` is too small, behind a whole line. */
void resolv_conf_text(const struct dhcp_lease *leases, size_t count, char *text, size_t size);

#endif
