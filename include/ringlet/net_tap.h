/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_tap.h - a network that is a tap interface of the host: net_backend.h on the event loop.
 *
 * The kernel does what the guest is spared: checksums and segmentation (TUNSETOFFLOAD), one descriptor for
 * each queue pair, header in the guest's byte order. Frames go between the guest's memory and the kernel
 * without a copy of ours.
 *
 * What becomes of the interface while the guest runs:
 *   down     nothing comes, what is sent is lost (-EIO); when it is up again all goes on
 *   deleted  the link is down for good; what waits to be filled goes on waiting
 */
#ifndef RINGLET_NET_TAP_H
#define RINGLET_NET_TAP_H

#include <stdint.h>

struct error;
struct loop;
struct net_backend;

struct net_tap_options {
    const char *name;     /* an interface, or NULL: */
    const int *fds;       /* descriptors of one, opened by somebody else; a queue pair each */
    unsigned queue_pairs; /* 1 .. NET_MAX_QUEUE_PAIRS; of `fds` their number */
    uint16_t mtu;         /* to be set on the interface if it is another, 0: as it is */
};

/*
 * Open a tap. The loop is borrowed and outlives it. The descriptors become the backend's if it succeeds, and
 * are made O_NONBLOCK; they must be a tap's (also a macvtap's), with IFF_VNET_HDR and IFF_NO_PI, all of one.
 * The first pair is in use, the others are not until set_queue_pairs(). An interface that is not there is not
 * made. 0 or -errno with a sentence in *err that says the mend. May block.
 */
int net_tap_open(struct loop *loop, const struct net_tap_options *options, struct net_backend **ret_backend,
                 struct error *err);

#endif
