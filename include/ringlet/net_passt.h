/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_passt.h - a network for whom nobody has set anything up: net_backend.h over passt, which translates the
 * guest's frames to ordinary sockets of an ordinary user (https://passt.top).
 *
 * passt is a child of ours, connected by a socket that it was started with. It ends when that socket closes,
 * so whichever way we end, it does not stay behind; when it ends first, the guest's link goes down and the VM
 * lives on.
 */
#ifndef RINGLET_NET_PASST_H
#define RINGLET_NET_PASST_H

#include <stdint.h>

struct error;
struct loop;
struct net_backend;
struct net_forward;

struct net_passt_options {
    const char *program;                /* NULL: passt, from PATH */
    const struct net_forward *forwards; /* ports of the host */
    unsigned forward_count;
    uint16_t mtu; /* told to the guest by DHCP and NDP; 0: not told */

    int interrupt_fd; /* ends the wait for it when it becomes readable: -EINTR; borrowed; 0: none */

    /* optional: loop thread, the client's lock held: passt has ended, and why */
    void (*ended)(void *argument, const char *sentence);
    void *argument;
};

#define NET_PASST_FORWARDS_MAX 64

/*
 * Start passt and wait until it serves. The loop is borrowed and outlives the backend. 0 or -errno with a
 * sentence in *err: passt is not installed, a port is taken, or passt's own last words. May block.
 */
int net_passt_open(struct loop *loop, const struct net_passt_options *options,
                   struct net_backend **ret_backend, struct error *err);

#endif
