/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blk_wire.h - the kernel's description of what a block device and its driver say to each other.
 *
 * <linux/virtio_blk.h> calls the configuration space struct virtio_blk_config, as the spec does; in
 * ringlet/virtio_blk.h that name stands for what the creator of a device chooses. Files that meet both take
 * the kernel's header from here, where its structure is struct virtio_blk_config_space.
 */
#ifndef RINGLET_BLK_WIRE_H
#define RINGLET_BLK_WIRE_H

#define virtio_blk_config virtio_blk_config_space
#include <linux/virtio_blk.h> /* IWYU pragma: export */
#undef virtio_blk_config

/* Unit of the protocol (5.2.6), whatever block size the disk has. */
#define BLK_SECTOR_SIZE  512
#define BLK_SECTOR_SHIFT 9

#endif
