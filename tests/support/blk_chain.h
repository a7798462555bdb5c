/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blk_chain.h - a block request built vector by vector in our own memory, for the parser alone.
 */
#ifndef RINGLET_TEST_BLK_CHAIN_H
#define RINGLET_TEST_BLK_CHAIN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "../../src/devices/blk_request.h"
#include "../../src/devices/blk_wire.h"
#include "ringlet/virtqueue.h"

#define BLK_CHAIN_CAPACITY 1000 /* sectors */

/* Of that capacity, writable, with discard and write zeroes negotiated. */
extern const struct blk_disk blk_chain_disk;

/* Starts as all zero. */
struct blk_chain {
    struct iovec iov[64];
    struct virtqueue_chain chain;
    struct blk_request request; /* what blk_chain_parse() made of it */
};

/* Add a vector: all that the device reads come before any that it writes. The bytes are borrowed. */
void blk_chain_add_out(struct blk_chain *chain, void *bytes, size_t length);
void blk_chain_add_in(struct blk_chain *chain, void *bytes, size_t length);

int blk_chain_parse(struct blk_chain *chain, const struct blk_disk *disk);

struct virtio_blk_outhdr blk_header(uint32_t type, uint64_t sector);

#endif
