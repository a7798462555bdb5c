/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blk_chain.c - see blk_chain.h.
 */
#include "blk_chain.h"

#include <assert.h>
#include <endian.h>

#include "ringlet/util.h"

const struct blk_disk blk_chain_disk = {
    .capacity = BLK_CHAIN_CAPACITY,
    .can_discard = true,
    .can_write_zeroes = true,
};

static void add(struct blk_chain *chain, void *bytes, size_t length)
{
    unsigned count = chain->chain.out_count + chain->chain.in_count;

    assert(count < ARRAY_SIZE(chain->iov));
    chain->iov[count] = (struct iovec){ .iov_base = bytes, .iov_len = length };
}

void blk_chain_add_out(struct blk_chain *chain, void *bytes, size_t length)
{
    assert(!chain->chain.in_count);
    add(chain, bytes, length);
    chain->chain.out_count++;
    chain->chain.out_length += length;
}

void blk_chain_add_in(struct blk_chain *chain, void *bytes, size_t length)
{
    add(chain, bytes, length);
    chain->chain.in_count++;
    chain->chain.in_length += length;
}

int blk_chain_parse(struct blk_chain *chain, const struct blk_disk *disk)
{
    chain->chain.iov = chain->iov;
    chain->chain.iov_max = ARRAY_SIZE(chain->iov);
    return blk_request_parse(&chain->chain, disk, &chain->request);
}

struct virtio_blk_outhdr blk_header(uint32_t type, uint64_t sector)
{
    return (struct virtio_blk_outhdr){ .type = htole32(type), .sector = htole64(sector) };
}
