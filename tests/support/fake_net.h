/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_net.h - the other end of the wire in a test: requests wait until the test brings a frame, takes one,
 * or lets either fail.
 *
 * The functions that finish a request call the device's done(), so the test holds the device's lock around
 * them (guest_driver_enter() and _leave(), which net_guest.h does).
 */
#ifndef RINGLET_TEST_FAKE_NET_H
#define RINGLET_TEST_FAKE_NET_H

#include <linux/virtio_net.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ringlet/net_backend.h"

#define FAKE_NET_MAX_PENDING 256

struct fake_net_queue {
    struct net_request *pending[FAKE_NET_MAX_PENDING]; /* oldest first */
    unsigned count;
};

struct fake_net {
    struct net_backend backend;
    struct io_client *client; /* from attach() */
    struct net_listener *listener;
    bool destroyed;

    /* what the device asked for */
    unsigned offloads, pairs;
    unsigned offload_calls, pair_calls;
    int offload_error, pair_error; /* what to answer, 0 for yes */

    struct fake_net_queue receives[NET_MAX_QUEUE_PAIRS], transmits[NET_MAX_QUEUE_PAIRS];

    unsigned cancels;
    bool cancel_later; /* cancel() only takes note; the test calls fake_net_end_cancelled() */
    bool cancelling;   /* ... and this is the note */
    sem_t cancel_called;

    /* the frame sent last */
    struct virtio_net_hdr_v1 sent_header;
    uint8_t sent[NET_MAX_FRAME];
    size_t sent_length;
};

void fake_net_init(struct fake_net *net, const struct net_info *info);

/* What the oldest receive of this pair has room for, header included; 0 when none is posted. */
size_t fake_net_room(const struct fake_net *net, unsigned pair);
/*
 * A frame arrives, as at a tap: into the oldest receive of the pair, or -EMSGSIZE into it. False when none is
 * posted. Of the header the first 10 bytes are written.
 */
bool fake_net_deliver(struct fake_net *net, unsigned pair, const struct virtio_net_hdr_v1 *header,
                      const void *frame, size_t length);
/* The oldest receive ends like this. */
void fake_net_end_receive(struct fake_net *net, unsigned pair, int res);
/* The oldest transmit ends with `res`; what it held is in sent_header and sent. False when there is none. */
bool fake_net_take(struct fake_net *net, unsigned pair, int res);
/* End everything with -ECANCELED. */
void fake_net_end_cancelled(struct fake_net *net);
void fake_net_set_link(struct fake_net *net, bool up);

#endif
