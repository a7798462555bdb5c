/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_rng.h - the entropy device (virtio 1.2, 5.4). The smallest device, and the example to copy.
 */
#ifndef RINGLET_VIRTIO_RNG_H
#define RINGLET_VIRTIO_RNG_H

struct entropy_backend;
struct guest_memory;
struct virtio_device;

/* Takes over `backend` when it succeeds. 0 or -ENOMEM. `name` is borrowed. */
int virtio_rng_create(const char *name, struct entropy_backend *backend, const struct guest_memory *memory,
                      struct virtio_device **ret_device);

#endif
