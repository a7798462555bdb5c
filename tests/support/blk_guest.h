/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blk_guest.h - a guest with one virtio disk: guest_driver.h's player, the device, and memory_block.h behind
 * it.
 *
 *     blk_guest_create(&blk, &config, &info);
 *     guest_driver_start(blk.guest, GUEST_ALL_FEATURES, 0);
 *     io = blk_guest_send(&blk, 0, VIRTIO_BLK_T_IN, 5, 512);
 *     blk_guest_complete(&blk, 0);
 *     blk_guest_expect(&blk, &io, VIRTIO_BLK_S_OK, 513);
 *     blk_guest_destroy(&blk);
 */
#ifndef RINGLET_TEST_BLK_GUEST_H
#define RINGLET_TEST_BLK_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "../../src/devices/blk_wire.h"
#include "guest_driver.h"
#include "memory_block.h"
#include "ringlet/virtio_blk.h"

#define BLK_GUEST_CAPACITY (256 * 1024) /* bytes */

struct blk_guest {
    struct memory_block disk; /* disk.bytes[i] starts as blk_guest_pattern(i) */
    struct guest_driver *guest;
    bool direct; /* use the queue's own descriptors, no indirect tables */
};

/* One request of the driver's: header, data and status in places of their own. */
struct blk_io {
    unsigned queue;
    uint16_t head;
    uint64_t data, status; /* guest-physical */
    uint32_t length;       /* of the data */
};

/* 512-byte blocks, a cache, discard and write zeroes. */
extern const struct block_info blk_guest_info;
/* One queue of 64. */
extern const struct virtio_blk_config blk_guest_config;

/* NULL: the above. The device is plugged in and not yet started. */
void blk_guest_create(struct blk_guest *blk, const struct virtio_blk_config *config,
                      const struct block_info *info);
/* Completes what is pending, and takes everything down. */
void blk_guest_destroy(struct blk_guest *blk);

uint8_t blk_guest_pattern(uint64_t offset);

/*
 * Place a request with `length` bytes of data, which the device reads (a write, discard or write zeroes) or
 * may write (everything else), and make it available: _add() without a kick, _send() with. In the second form
 * the data is given. The status byte is 0xff until the device writes it.
 */
struct blk_io blk_guest_add(struct blk_guest *blk, unsigned queue, uint32_t type, uint64_t sector,
                            uint32_t length);
struct blk_io blk_guest_send(struct blk_guest *blk, unsigned queue, uint32_t type, uint64_t sector,
                             uint32_t length);
struct blk_io blk_guest_send_data(struct blk_guest *blk, unsigned queue, uint32_t type, uint64_t sector,
                                  const void *data, uint32_t length);

/* The backend finishes the request in place `index` of those pending, in a turn of the loop of its own. */
void blk_guest_complete(struct blk_guest *blk, unsigned index);
void blk_guest_complete_all(struct blk_guest *blk);
void blk_guest_fail(struct blk_guest *blk, unsigned index, int error);

uint8_t blk_guest_status(struct blk_guest *blk, const struct blk_io *io);
/* The next used element of its queue is `io`, with this status and length. */
void blk_guest_expect(struct blk_guest *blk, const struct blk_io *io, uint8_t status, uint32_t written);
/* Nothing has been used that was not yet taken. */
void blk_guest_expect_nothing(struct blk_guest *blk, unsigned queue);
/* The device, reset or not, is fit for service: reset, start, and read the first sector. */
void blk_guest_expect_service(struct blk_guest *blk);

#endif
