/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blk_guest.c - see blk_guest.h.
 */
#include "blk_guest.h"

#include <endian.h>
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "ringlet/util.h"

const struct block_info blk_guest_info = {
    .capacity = BLK_GUEST_CAPACITY,
    .logical_block_size = 512,
    .physical_block_size = 4096,
    .optimal_io_size = 65536,
    .discard_granularity = 4096,
    .can_discard = true,
    .can_write_zeroes = true,
    .write_cache = true,
};

const struct virtio_blk_config blk_guest_config = {
    .name = "disk0",
    .serial = "ringlet-disk",
    .queues = 1,
    .queue_size = 64,
    .writeback = true,
};

uint8_t blk_guest_pattern(uint64_t offset)
{
    return (uint8_t)(offset ^ offset >> 8 ^ offset >> 16);
}

void blk_guest_create(struct blk_guest *blk, const struct virtio_blk_config *config,
                      const struct block_info *info)
{
    struct virtio_device *device;

    *blk = (struct blk_guest){ .guest = guest_driver_create() };
    memory_block_init(&blk->disk, info ? info : &blk_guest_info);
    for (uint64_t i = 0; i < blk->disk.backend.info.capacity; i++)
        blk->disk.bytes[i] = blk_guest_pattern(i);
    assert_int_equal(virtio_blk_create(config ? config : &blk_guest_config, &blk->disk.backend,
                                       blk->guest->memory, &device),
                     0);
    guest_driver_plug(blk->guest, device);
}

void blk_guest_destroy(struct blk_guest *blk)
{
    blk_guest_complete_all(blk);
    guest_driver_destroy(blk->guest);
    assert_true(blk->disk.destroyed);
    memory_block_finish(&blk->disk);
}

/* --- requests --- */

static bool device_reads_data(uint32_t type)
{
    return type == VIRTIO_BLK_T_OUT || type == VIRTIO_BLK_T_DISCARD || type == VIRTIO_BLK_T_WRITE_ZEROES;
}

static struct blk_io add(struct blk_guest *blk, unsigned queue, uint32_t type, uint64_t sector,
                         const void *data, uint32_t length)
{
    struct guest_driver *guest = blk->guest;
    struct virtio_blk_outhdr header = { .type = htole32(type), .sector = htole64(sector) };
    uint64_t header_address = guest_alloc(guest, sizeof(header), 16);
    struct blk_io io = { .queue = queue, .length = length };
    struct guest_segment segments[3];
    unsigned count = 0;

    io.status = guest_alloc(guest, 1, 1);
    guest_write(guest, header_address, &header, sizeof(header));
    guest_write(guest, io.status, "\xff", 1);
    segments[count++] = (struct guest_segment){ header_address, sizeof(header), false };
    if (length) {
        io.data = guest_alloc(guest, length, 512);
        if (data)
            guest_write(guest, io.data, data, length);
        segments[count++] = (struct guest_segment){ io.data, length, !device_reads_data(type) };
    }
    segments[count++] = (struct guest_segment){ io.status, 1, true };
    if (blk->direct)
        io.head = guest_queue_add(&guest->queues[queue], segments, count);
    else
        io.head = guest_queue_add_indirect(&guest->queues[queue], segments, count, 0);
    return io;
}

struct blk_io blk_guest_add(struct blk_guest *blk, unsigned queue, uint32_t type, uint64_t sector,
                            uint32_t length)
{
    return add(blk, queue, type, sector, NULL, length);
}

struct blk_io blk_guest_send(struct blk_guest *blk, unsigned queue, uint32_t type, uint64_t sector,
                             uint32_t length)
{
    return blk_guest_send_data(blk, queue, type, sector, NULL, length);
}

struct blk_io blk_guest_send_data(struct blk_guest *blk, unsigned queue, uint32_t type, uint64_t sector,
                                  const void *data, uint32_t length)
{
    struct blk_io io = add(blk, queue, type, sector, data, length);

    guest_queue_kick(&blk->guest->queues[queue]);
    return io;
}

void blk_guest_complete(struct blk_guest *blk, unsigned index)
{
    assert_true(index < blk->disk.pending_count);
    guest_driver_enter(blk->guest);
    memory_block_complete(&blk->disk, index);
    guest_driver_leave(blk->guest);
}

void blk_guest_complete_all(struct blk_guest *blk)
{
    guest_driver_enter(blk->guest);
    memory_block_complete_all(&blk->disk);
    guest_driver_leave(blk->guest);
}

void blk_guest_fail(struct blk_guest *blk, unsigned index, int error)
{
    assert_true(index < blk->disk.pending_count);
    guest_driver_enter(blk->guest);
    memory_block_fail(&blk->disk, index, error);
    guest_driver_leave(blk->guest);
}

/* --- what comes back --- */

uint8_t blk_guest_status(struct blk_guest *blk, const struct blk_io *io)
{
    uint8_t status;

    guest_read(blk->guest, io->status, &status, 1);
    return status;
}

void blk_guest_expect(struct blk_guest *blk, const struct blk_io *io, uint8_t status, uint32_t written)
{
    struct guest_used used;

    assert_true(guest_queue_take_used(&blk->guest->queues[io->queue], &used));
    assert_int_equal(used.head, io->head);
    assert_int_equal(blk_guest_status(blk, io), status);
    assert_int_equal(used.length, written);
}

void blk_guest_expect_nothing(struct blk_guest *blk, unsigned queue)
{
    struct guest_used used;

    assert_false(guest_queue_take_used(&blk->guest->queues[queue], &used));
}

void blk_guest_expect_service(struct blk_guest *blk)
{
    struct blk_io io;

    guest_driver_start(blk->guest, GUEST_ALL_FEATURES, 0);
    io = blk_guest_send(blk, 0, VIRTIO_BLK_T_IN, 0, 512);
    assert_int_equal(blk->disk.pending_count, 1);
    blk_guest_complete(blk, 0);
    blk_guest_expect(blk, &io, VIRTIO_BLK_S_OK, 513);
    assert_memory_equal(guest_at(blk->guest, io.data, 512), blk->disk.bytes, 512);
}
