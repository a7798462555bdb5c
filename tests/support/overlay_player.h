/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overlay_player.h - plays the block device on an ephemeral disk over two disks in memory, which finish their
 * requests when and how the test says. Places and lengths are in sectors.
 */
#ifndef RINGLET_TEST_OVERLAY_PLAYER_H
#define RINGLET_TEST_OVERLAY_PLAYER_H

#include <stdint.h>
#include <sys/uio.h>

#include "memory_block.h"
#include "ringlet/io_client.h"

#define OVERLAY_SECTOR   512U
#define OVERLAY_SECTORS  1000U /* no whole number of the bitmap's words */
#define OVERLAY_CAPACITY (OVERLAY_SECTORS * OVERLAY_SECTOR)
#define OVERLAY_GARBAGE  0xee /* what top holds before anything is written to it */

struct overlay_fixture {
    struct memory_block base, top;
    struct io_client client;
    struct block_backend *disk;
};

/* One request of the guest's and what became of it. */
struct overlay_player {
    struct block_request request;
    struct iovec iov[1];
    unsigned dones;
    int res;
    struct block_backend *again; /* done() submits it there once more */
};

/* For cmocka: *state is a struct overlay_fixture. */
int overlay_set_up(void **state);
int overlay_tear_down(void **state);

/* What the base holds. */
uint8_t overlay_base_byte(uint64_t at);

/* Submit the request that `player` holds. */
void overlay_submit(struct overlay_fixture *fixture, struct overlay_player *player);
/* Make one and submit it. `bytes` is NULL where there are none. */
void overlay_start(struct overlay_fixture *fixture, struct overlay_player *player, enum block_op op,
                   uint64_t offset, uint64_t length, void *bytes);
/* Let both sides finish all that they have. */
void overlay_complete_all(struct overlay_fixture *fixture);
/* The three together; its result. */
int overlay_perform(struct overlay_fixture *fixture, enum block_op op, uint64_t offset, uint64_t length,
                    void *bytes);
void overlay_write_byte(struct overlay_fixture *fixture, uint64_t offset, uint64_t length, uint8_t byte);
/* The whole disk, as the guest sees it; to be freed. */
uint8_t *overlay_read_disk(struct overlay_fixture *fixture);

/* All of [offset, offset + length) is `byte`, or the base's. `bytes` begins at the disk's start for the latter. */
void assert_byte(const uint8_t *bytes, uint64_t offset, uint64_t length, uint8_t byte);
void assert_base(const uint8_t *bytes, uint64_t offset, uint64_t length);

#endif
