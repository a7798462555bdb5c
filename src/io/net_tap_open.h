/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_tap_open.h - finding and setting up a tap, and all the sentences for why it cannot be: the half of
 * ringlet/net_tap.h that happens before a frame moves.
 */
#ifndef RINGLET_IO_NET_TAP_OPEN_H
#define RINGLET_IO_NET_TAP_OPEN_H

#include <stdbool.h>
#include <stdint.h>

#include "ringlet/net_backend.h"

struct error;
struct net_tap_options;

struct opened_tap {
    int fds[NET_MAX_QUEUE_PAIRS]; /* O_NONBLOCK; the first alone is attached */
    struct net_info info;
};

/* As net_tap_open(). */
int open_tap(const struct net_tap_options *options, struct opened_tap *ret_tap, struct error *err);
void close_tap(struct opened_tap *tap);

/* TUNSETOFFLOAD for enum net_offload, TUNSETQUEUE. 0 or -errno */
int tap_set_offloads(int fd, unsigned offloads);
int tap_attach_queue(int fd, bool attached);

#endif
