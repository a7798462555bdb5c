/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_backend.h - where a network device's frames come from and go to: the contract between virtio-net and a
 * tap, passt, or a test.
 *
 * A frame is an Ethernet frame behind a struct virtio_net_hdr of 12 bytes (virtio 1.2, 5.1.6), in the guest's
 * byte order, which is little-endian. The header is always there; what its fields may say follows from the
 * offloads that were set. Requests and buffers are the device's and stay until done().
 *
 * The header is the first 12 bytes of a request's vectors, cut anywhere: the guest of a receive may have laid
 * its buffers out in any way. A transmit's header is a vector of its own. receive() writes a header's first
 * 10 bytes, all zero where nothing is offloaded; num_buffers is the device's to write.
 *
 * A backend begins with no offloads to the guest and one queue pair. With fewer pairs than before, receives
 * of the others may stay until cancel(), end with -ECANCELED, or be filled once more (the device drops it).
 * Offloads that are switched off may still be seen in frames that were on their way (dropped likewise).
 *
 * Every request is finished exactly once, on the loop thread with the client's lock held, never from inside
 * receive() or transmit(). Several may be posted at once on each queue pair; receives of one pair are filled
 * in the order posted, transmits of one pair leave in the order posted.
 *
 * Threads: attach() while the VM is built; cancel(), set_offloads() and set_queue_pairs() with the client's
 * lock held, on any thread; receive() and transmit() likewise, on the loop thread.
 *
 * Implementations: src/io/net_tap.c, src/io/net_passt.c, and tests/support/fake_net.c.
 */
#ifndef RINGLET_NET_BACKEND_H
#define RINGLET_NET_BACKEND_H

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>

struct io_client;
struct iovec;
struct net_backend;
struct net_listener;
struct net_request;

#define NET_HEADER_SIZE          12 /* struct virtio_net_hdr_v1 */
#define NET_MAX_QUEUE_PAIRS      8
#define NET_REQUEST_BACKEND_SIZE 320
#define NET_MAX_VECTORS          1000  /* of a request; leaves a backend a few of its own below IOV_MAX */
#define NET_MAX_FRAME            65562 /* bytes of a frame, header not included; none is longer */

/* What the other side can be asked to do, or accepts, in place of complete frames. */
enum net_offload {
    NET_OFFLOAD_CSUM = 1 << 0, /* frames without their checksum (VIRTIO_NET_HDR_F_NEEDS_CSUM) */
    NET_OFFLOAD_TSO4 = 1 << 1, /* TCP over IPv4, to be segmented; needs CSUM, as do the next two */
    NET_OFFLOAD_TSO6 = 1 << 2,
    NET_OFFLOAD_USO = 1 << 3, /* UDP, to be segmented, both address families */
};

struct net_request {
    struct iovec *iov; /* header first; the backend may change the array, not what it names the guest by */
    unsigned iov_count;
    /*
     * receive: bytes filled, header included, or -EMSGSIZE for a frame that was too long (dropped; nothing
     * was filled), or -ECANCELED, or another -errno: what a backend can mend by waiting it does not report,
     * and after several in a row the device asks for no more frames until link_changed() says up or the
     * driver resets it. transmit: 0 or -errno; the frame is then lost, as on a wire.
     */
    void (*done)(struct net_request *request, int res);

    /* The backend's own. */
    alignas(16) unsigned char backend_private[NET_REQUEST_BACKEND_SIZE];
};

struct net_info {
    unsigned queue_pairs; /* 1 .. NET_MAX_QUEUE_PAIRS */
    unsigned to_host;     /* enum net_offload: what transmit() takes */
    unsigned to_guest;    /* enum net_offload: what receive() can be told to deliver */
    uint16_t mtu;         /* of the other side, 0 if unknown */
};

struct net_listener_ops {
    /* required: loop thread, the client's lock held */
    void (*link_changed)(struct net_listener *listener, bool up);
};

struct net_listener {
    const struct net_listener_ops *ops;
};

struct net_backend_ops {
    /* required: whose lock to hold, and whom to tell of the link; called once, before anything else */
    void (*attach)(struct net_backend *backend, struct io_client *client, struct net_listener *listener);
    /* required: which offloads of info.to_guest receive() may deliver now. 0 or -errno */
    int (*set_offloads)(struct net_backend *backend, unsigned offloads);
    /* required: use the first `pairs` pairs only. 0 or -errno */
    int (*set_queue_pairs)(struct net_backend *backend, unsigned pairs);
    /* required */
    void (*receive)(struct net_backend *backend, unsigned pair, struct net_request *request);
    /* required */
    void (*transmit)(struct net_backend *backend, unsigned pair, struct net_request *request);
    /* required: end all requests in flight soon, with -ECANCELED where nothing has happened yet */
    void (*cancel)(struct net_backend *backend);
    /* required; nothing is in flight */
    void (*destroy)(struct net_backend *backend);
};

struct net_backend {
    const struct net_backend_ops *ops;
    struct net_info info; /* constant after creation */
    bool link_up;         /* loop thread, lock held; link_changed() tells of changes */
};

static inline void net_backend_destroy(struct net_backend *backend)
{
    if (backend)
        backend->ops->destroy(backend);
}

#endif
