/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_argument.h - what the texts of a --net option mean. Nothing is opened here; mistakes get a sentence.
 */
#ifndef RINGLET_DEVICES_NET_ARGUMENT_H
#define RINGLET_DEVICES_NET_ARGUMENT_H

#include <stdint.h>

struct error;
struct net_forward;

/* "52:54:00:12:34:56": a unicast address. 0 or -EINVAL with *err. */
int net_argument_mac(const char *text, uint8_t ret_mac[6], struct error *err);

/*
 * An address for a device that was given none: locally administered, unicast, and another one each time, so
 * that no two VMs on a bridge have the same. 0 or -errno.
 */
int net_argument_random_mac(uint8_t ret_mac[6]);

/* "8080:80", "udp:5353:53", "192.0.2.1:8080:80"; without an address only the host itself can connect. */
int net_argument_forward(const char *text, struct net_forward *ret_forward, struct error *err);

/* "5", "5:6:7": descriptors above 2, `max` at most. Their number or -EINVAL with *err. */
int net_argument_fds(const char *text, int *fds, unsigned max, struct error *err);

#endif
