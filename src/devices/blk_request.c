/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blk_request.c - see blk_request.h.
 */
#include "blk_request.h"

#include <endian.h>
#include <errno.h>
#include <sys/uio.h>

#include "blk_wire.h"
#include "ringlet/iov.h"
#include "ringlet/util.h"
#include "ringlet/virtqueue.h"

/* The answer is known already. */
static void answer(struct blk_request *request, uint8_t status)
{
    request->action = BLK_ANSWER;
    request->status = status;
}

/* Cut `length` bytes, of which there are enough, off the front. */
static void trim_front(struct blk_request *request, size_t length)
{
    while (request->iov_count && length >= request->iov->iov_len) {
        length -= request->iov->iov_len;
        request->iov++;
        request->iov_count--;
    }
    if (length) {
        request->iov->iov_base = (unsigned char *)request->iov->iov_base + length;
        request->iov->iov_len -= length;
    }
}

/* Cut the last byte off, of which there is one, and any empty vectors before or after; returns where it lies.
 */
static uint8_t *trim_last_byte(struct iovec *iov, unsigned *count)
{
    uint8_t *byte = NULL;

    while (*count) {
        struct iovec *last = &iov[*count - 1];

        if (last->iov_len && byte)
            break;
        if (last->iov_len)
            byte = (uint8_t *)last->iov_base + --last->iov_len;
        if (!last->iov_len)
            --*count;
    }
    return byte;
}

static void parse_transfer(struct blk_request *request, const struct blk_disk *disk, uint64_t sector,
                           uint64_t length)
{
    if (request->op == BLOCK_WRITE && disk->read_only) {
        answer(request, VIRTIO_BLK_S_IOERR);
        return;
    }
    /* Compared in sectors: sector * 512 of the guest's choice need not fit. */
    if (length % BLK_SECTOR_SIZE || !range_within(sector, length >> BLK_SECTOR_SHIFT, 0, disk->capacity)) {
        answer(request, VIRTIO_BLK_S_IOERR);
        return;
    }
    /* 0 is a multiple of 512: there is nothing to do, and it is done. */
    if (!length) {
        answer(request, VIRTIO_BLK_S_OK);
        return;
    }
    request->action = BLK_SUBMIT;
    request->ranges[0] = (struct blk_range){ .offset = sector << BLK_SECTOR_SHIFT, .length = length };
    request->range_count = 1;
}

/* The segments of a discard or write zeroes command, copied out of guest RAM: VIRTIO_BLK_S_OK or what is
 * wrong. */
static uint8_t check_segments(const struct virtio_blk_discard_write_zeroes *segments, size_t count,
                              const struct blk_disk *disk, uint32_t known_flags)
{
    /* Flags first: an unknown one anywhere makes the command unsupported, whatever else is wrong (5.2.6.2).
     */
    for (size_t i = 0; i < count; i++) {
        if (le32toh(segments[i].flags) & ~known_flags)
            return VIRTIO_BLK_S_UNSUPP;
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t sectors = le32toh(segments[i].num_sectors);

        if (sectors > BLK_MAX_SEGMENT_SECTORS ||
            !range_within(le64toh(segments[i].sector), sectors, 0, disk->capacity))
            return VIRTIO_BLK_S_IOERR;
    }
    return VIRTIO_BLK_S_OK;
}

static void parse_segments(struct blk_request *request, const struct blk_disk *disk, uint64_t length)
{
    struct virtio_blk_discard_write_zeroes segments[BLK_MAX_SEGMENTS];
    struct iov_cursor cursor = iov_cursor_make(request->iov, request->iov_count);
    uint32_t known_flags = request->op == BLOCK_WRITE_ZEROES ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0;
    size_t count = length / sizeof(segments[0]);
    uint8_t status;

    if (disk->read_only || !length || length % sizeof(segments[0]) || length > sizeof(segments)) {
        answer(request, VIRTIO_BLK_S_IOERR);
        return;
    }
    iov_cursor_copy_out(&cursor, segments, length);
    status = check_segments(segments, count, disk, known_flags);
    if (status != VIRTIO_BLK_S_OK) {
        answer(request, status);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        /* An empty segment is done already, and the host's calls refuse a length of 0. */
        if (!segments[i].num_sectors)
            continue;
        request->ranges[request->range_count++] = (struct blk_range){
            .offset = le64toh(segments[i].sector) << BLK_SECTOR_SHIFT,
            .length = (uint64_t)le32toh(segments[i].num_sectors) << BLK_SECTOR_SHIFT,
            .flags = segments[i].flags ? BLOCK_MAY_UNMAP : 0,
        };
    }
    if (request->range_count)
        request->action = BLK_SUBMIT;
    else
        answer(request, VIRTIO_BLK_S_OK);
}

int blk_request_parse(const struct virtqueue_chain *chain, const struct blk_disk *disk,
                      struct blk_request *ret_request)
{
    struct iovec *writable = chain->iov + chain->out_count;
    unsigned writable_count = chain->in_count;
    struct iov_cursor cursor = iov_cursor_make(chain->iov, chain->out_count);
    struct virtio_blk_outhdr header;
    uint64_t out_length = chain->out_length;
    uint8_t *status_byte = trim_last_byte(writable, &writable_count);

    if (!status_byte)
        return -EINVAL;
    *ret_request = (struct blk_request){ .status_byte = status_byte, .room = chain->in_length - 1 };

    if (iov_cursor_copy_out(&cursor, &header, sizeof(header)) < sizeof(header)) {
        answer(ret_request, VIRTIO_BLK_S_IOERR);
        return 0;
    }
    ret_request->iov = chain->iov;
    ret_request->iov_count = chain->out_count;
    trim_front(ret_request, sizeof(header));
    out_length -= sizeof(header);

    /* `ioprio` (5.2.6: reserved) is not looked at; neither is `sector` where the command has no use for it.
     */
    switch (le32toh(header.type)) {
    case VIRTIO_BLK_T_IN:
        ret_request->op = BLOCK_READ;
        ret_request->iov = writable;
        ret_request->iov_count = writable_count;
        parse_transfer(ret_request, disk, le64toh(header.sector), ret_request->room);
        break;
    case VIRTIO_BLK_T_OUT:
        ret_request->op = BLOCK_WRITE;
        parse_transfer(ret_request, disk, le64toh(header.sector), out_length);
        break;
    case VIRTIO_BLK_T_FLUSH:
        ret_request->action = BLK_SUBMIT;
        ret_request->op = BLOCK_FLUSH;
        ret_request->range_count = 1;
        break;
    case VIRTIO_BLK_T_GET_ID:
        ret_request->iov = writable;
        ret_request->iov_count = writable_count;
        /* "The length of data MUST be 20 bytes": part of an ID would be another ID. */
        if (ret_request->room < VIRTIO_BLK_ID_BYTES)
            answer(ret_request, VIRTIO_BLK_S_IOERR);
        else
            ret_request->action = BLK_GET_ID;
        break;
    case VIRTIO_BLK_T_DISCARD:
    case VIRTIO_BLK_T_WRITE_ZEROES: {
        bool discard = le32toh(header.type) == VIRTIO_BLK_T_DISCARD;

        ret_request->op = discard ? BLOCK_DISCARD : BLOCK_WRITE_ZEROES;
        if (discard ? disk->can_discard : disk->can_write_zeroes)
            parse_segments(ret_request, disk, out_length);
        else
            answer(ret_request, VIRTIO_BLK_S_UNSUPP);
        break;
    }
    default:
        answer(ret_request, VIRTIO_BLK_S_UNSUPP);
        break;
    }
    return 0;
}

uint32_t blk_request_written(const struct blk_request *request, uint8_t status)
{
    uint64_t written = 0;

    if (status == VIRTIO_BLK_S_OK && request->action == BLK_GET_ID)
        written = VIRTIO_BLK_ID_BYTES;
    else if (status == VIRTIO_BLK_S_OK && request->action == BLK_SUBMIT && request->op == BLOCK_READ)
        written = request->room;
    if (written == request->room)
        written++;
    return written < UINT32_MAX ? (uint32_t)written : UINT32_MAX;
}
