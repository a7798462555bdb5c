/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backend_provider.h - how a device that is being made asks for its outside: a file, a source of randomness.
 *
 * The devices' layer cannot open anything. The wiring (src/backends.c) can, and passes this in; a test passes
 * fakes. What is returned belongs to the caller.
 */
#ifndef RINGLET_BACKEND_PROVIDER_H
#define RINGLET_BACKEND_PROVIDER_H

#include <stdbool.h>

struct backend_provider;
struct block_backend;
struct entropy_backend;
struct error;

/* How a disk image is to be opened. */
struct disk_options {
    const char *path;
    bool read_only;
    bool direct; /* past the host's page cache */
    bool unsafe; /* FLUSH is answered without doing it */
};

struct backend_provider_ops {
    /* required: 0 or -errno with *err */
    int (*open_disk)(const struct backend_provider *provider, const struct disk_options *options,
                     struct block_backend **ret_backend, struct error *err);
    /* required: 0 or -errno with *err */
    int (*open_entropy)(const struct backend_provider *provider, struct entropy_backend **ret_backend,
                        struct error *err);
};

struct backend_provider {
    const struct backend_provider_ops *ops;
};

#endif
