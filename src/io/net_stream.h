/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_stream.h - frames over a stream socket, each behind its length as 32 bits, big-endian: what passt (and
 * QEMU's "stream" networks) speak. There is no header of virtio's on the wire, hence no offloads: the guest
 * gets zeroes, what it sends is skipped.
 *
 * A stream has no place to start again: a length that cannot be one, an end, an error end it for good.
 */
#ifndef RINGLET_IO_NET_STREAM_H
#define RINGLET_IO_NET_STREAM_H

#include <stdint.h>

struct loop;
struct net_backend;
struct net_stream_owner;

#define NET_STREAM_MIN_FRAME 14 /* an Ethernet header; the longest is NET_MAX_FRAME */

/* Who started the other side. */
struct net_stream_owner {
    /*
     * required: the stream is over, and no frame will go either way. `reason` says who ended it, as the
     * predicate of a sentence ("has closed the connection"). Loop thread, the client's lock held.
     */
    void (*ended)(struct net_stream_owner *owner, const char *reason);
    /* required: a frame was lost because the stream is over; loop thread, the client's lock held */
    void (*dropped)(struct net_stream_owner *owner);
    /* required: the backend was destroyed, its descriptor is closed */
    void (*destroyed)(struct net_stream_owner *owner);
};

/*
 * `fd`: a connected stream socket, which becomes the backend's if it succeeds, and O_NONBLOCK. `owner` is
 * borrowed and outlives the backend; NULL: nobody. `mtu` is info.mtu. 0 or -errno
 */
int net_stream_create(struct loop *loop, int fd, uint16_t mtu, struct net_stream_owner *owner,
                      struct net_backend **ret_backend);

#endif
