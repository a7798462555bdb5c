/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blk_request.h - what a chain of buffers asks of a block device (virtio 1.2, 5.2.6).
 *
 * A pure function from one chain and a few facts about the disk to an answer or a list of ranges for the
 * backend. The guest may rewrite its RAM meanwhile, so header and segments are copied once, and nothing that
 * was checked is read again. What is handed on lies inside the disk.
 */
#ifndef RINGLET_BLK_REQUEST_H
#define RINGLET_BLK_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "ringlet/block_backend.h"

struct virtqueue_chain;

/*
 * Segments in one discard or write zeroes command, and sectors in one segment: what the configuration space
 * says and the parser enforces. 2 GiB a segment keeps each call of the host, and so a reset that has to wait
 * for it, short.
 */
#define BLK_MAX_SEGMENTS        16
#define BLK_MAX_SEGMENT_SECTORS (UINT32_C(1) << 22)

/* The disk as requests see it. */
struct blk_disk {
    uint64_t capacity; /* sectors of 512 bytes */
    bool read_only;
    bool can_discard, can_write_zeroes; /* negotiated */
};

enum blk_action {
    BLK_ANSWER, /* nothing to be done: write `status` */
    BLK_GET_ID, /* write the 20 bytes of the device's ID to the start of iov, then VIRTIO_BLK_S_OK */
    BLK_SUBMIT, /* `op` on each range in turn, then a status */
    BLK_ACTION_COUNT,
};

struct blk_range {
    uint64_t offset, length; /* bytes, multiples of 512 */
    unsigned flags;          /* of enum block_request_flags: BLOCK_MAY_UNMAP or 0 */
};

struct blk_request {
    enum blk_action action;
    uint8_t status;       /* BLK_ANSWER: VIRTIO_BLK_S_* */
    uint8_t *status_byte; /* in guest RAM */
    uint64_t room;        /* bytes of the writable part that lie before the status byte */

    enum block_op op;
    struct blk_range ranges[BLK_MAX_SEGMENTS];
    unsigned range_count;
    /* The data: for BLK_SUBMIT of a read or write exactly ranges[0].length bytes. Part of the chain's array.
     */
    struct iovec *iov;
    unsigned iov_count;
};

/*
 * Read the request in `chain`. 0, or -EINVAL when there is no writable byte, so that no answer can be given;
 * whatever else is wrong becomes a status. Trims chain->iov in place: the header, the status byte and what is
 * not data are cut off, and the chain's own counts no longer describe it.
 */
int blk_request_parse(const struct virtqueue_chain *chain, const struct blk_disk *disk,
                      struct blk_request *ret_request);

/*
 * How many bytes, counted from the start of the writable part, hold what the device wrote once the request
 * ends with `status`: what goes into the used ring (2.7.8.2: at least `len` bytes are written, "beginning at
 * the first device-writable buffer"). The status byte comes last, so it counts only if nothing before it was
 * left out: a failed read is 0, not 1.
 */
uint32_t blk_request_written(const struct blk_request *request, uint8_t status);

#endif
