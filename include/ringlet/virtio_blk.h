/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_blk.h - the block device (virtio 1.2, 5.2).
 */
#ifndef RINGLET_VIRTIO_BLK_H
#define RINGLET_VIRTIO_BLK_H

#include <stdbool.h>
#include <stdint.h>

struct block_backend;
struct guest_memory;
struct virtio_device;

#define VIRTIO_BLK_MAX_QUEUES     16
#define VIRTIO_BLK_MAX_QUEUE_SIZE 1024

struct virtio_blk_config {
    const char *name;    /* for messages; borrowed */
    const char *serial;  /* up to 20 bytes are shown by GET_ID (5.2.6), copied; NULL for none */
    uint16_t queues;     /* 1 .. VIRTIO_BLK_MAX_QUEUES */
    uint16_t queue_size; /* a power of two, 2 .. VIRTIO_BLK_MAX_QUEUE_SIZE */
    bool writeback;      /* what the `writeback` field starts as; false: every write is stable when done */
};

/*
 * Takes over `backend` when it succeeds, and destroys it with the device. Copies *config; borrows `memory`.
 * 0; -ENOMEM; -EINVAL for a config out of range or a backend whose info makes no sense (sizes not powers of
 * two, a block smaller than 512 bytes, a capacity that is no multiple of 512).
 */
int virtio_blk_create(const struct virtio_blk_config *config, struct block_backend *backend,
                      const struct guest_memory *memory, struct virtio_device **ret_device);

#endif
