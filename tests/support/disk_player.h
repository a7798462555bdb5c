/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_player.h - plays the block device: submits requests to a block backend on a real loop and checks the
 * contract of block_backend.h around each of them (done once, never inside submit(), with the client's lock).
 */
#ifndef RINGLET_DISK_PLAYER_H
#define RINGLET_DISK_PLAYER_H

#include <pthread.h>
#include <stdint.h>
#include <sys/uio.h>

#include "ringlet/block_backend.h"
#include "ringlet/block_file.h"
#include "ringlet/io_client.h"
#include "ringlet/loop.h"

struct disk_player {
    struct loop *loop;
    struct block_backend *disk; /* NULL until opened */
    struct io_client client;
    pthread_mutex_t lock;
    unsigned awaited;
};

struct disk_request {
    struct block_request request;
    struct disk_player *player;
    unsigned dones;
    int res;
};

/* 0 or -errno of loop_create(). */
int disk_player_init(struct disk_player *player, enum loop_engine engine);
void disk_player_finish(struct disk_player *player);

/* Open and attach a disk, or fail the test with the sentence of the failure. */
void disk_player_open(struct disk_player *player, const struct block_file_options *options);
void disk_player_close(struct disk_player *player);

/* Submit without waiting. `request` has op, flags, offset, length, iov and iov_count. */
void disk_player_submit(struct disk_player *player, struct disk_request *request);
/* Run the loop until `count` more requests are done. */
void disk_player_wait(struct disk_player *player, unsigned count);

/* One turn of the loop that finds things as they are and does not wait. */
void disk_player_turn(struct disk_player *player);

/* Submit one, wait for it, give its result. */
int disk_player_do(struct disk_player *player, enum block_op op, unsigned flags, uint64_t offset,
                   uint64_t length, const struct iovec *iov, unsigned iov_count);
int disk_player_read(struct disk_player *player, uint64_t offset, void *buffer, uint64_t length);
int disk_player_write(struct disk_player *player, uint64_t offset, const void *buffer, uint64_t length);

#endif
