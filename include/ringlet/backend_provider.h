/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backend_provider.h - how a device that is being made asks for its outside: a file, a source of
 * randomness, a network.
 *
 * The devices' layer cannot open anything. The wiring (src/backends.c) can, and passes this in; a test passes
 * fakes. What is returned belongs to the caller.
 */
#ifndef RINGLET_BACKEND_PROVIDER_H
#define RINGLET_BACKEND_PROVIDER_H

#include <stdbool.h>
#include <stdint.h>

struct backend_provider;
struct block_backend;
struct entropy_backend;
struct error;
struct net_backend;
struct vhost_backend;

/* How a disk image is to be opened. */
struct disk_options {
    const char *path;
    bool read_only;
    bool direct;    /* past the host's page cache */
    bool unsafe;    /* FLUSH is answered without doing it */
    bool ephemeral; /* writes go to an unlinked file and vanish; the image itself is opened read-only */
};

/* A port of the host that leads to one of the guest. */
struct net_forward {
    bool udp;         /* else TCP */
    char address[16]; /* of the host, where it listens: dotted IPv4 */
    uint16_t host_port, guest_port;
};

enum net_kind {
    NET_KIND_TAP,  /* an interface by name */
    NET_KIND_FD,   /* descriptors of one that is open already */
    NET_KIND_USER, /* passt */
    NET_KIND_COUNT,
};

/* How a network is to be reached. Borrowed for the call; descriptors become the backend's if it succeeds. */
struct net_options {
    enum net_kind kind;
    const char *tap;
    const int *fds;       /* queue_pairs of them */
    unsigned queue_pairs; /* 1 for NET_KIND_USER */
    uint16_t mtu;         /* 0: as the other side has it */
    const struct net_forward *forwards;
    unsigned forward_count;
    const char *name; /* of the device, for messages while the VM runs; outlives the backend */
};

/* Which directory of the host is to be shown to the guest. */
struct share_options {
    const char *directory;
    bool read_only;
    bool at_rest;     /* nobody changes it while the VM runs: what the guest has seen of it, it may keep */
    const char *name; /* of the device, for messages while the VM runs; outlives the backend */
};

struct backend_provider_ops {
    /* required: 0 or -errno with *err */
    int (*open_disk)(const struct backend_provider *provider, const struct disk_options *options,
                     struct block_backend **ret_backend, struct error *err);
    /* required: 0 or -errno with *err */
    int (*open_entropy)(const struct backend_provider *provider, struct entropy_backend **ret_backend,
                        struct error *err);
    /* required: 0 or -errno with *err */
    int (*open_net)(const struct backend_provider *provider, const struct net_options *options,
                    struct net_backend **ret_backend, struct error *err);
    /* required: 0 or -errno with *err */
    int (*open_share)(const struct backend_provider *provider, const struct share_options *options,
                      struct vhost_backend **ret_backend, struct error *err);
};

struct backend_provider {
    const struct backend_provider_ops *ops;
};

#endif
