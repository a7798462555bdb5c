/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overlay_player.c - see overlay_player.h.
 */
#include "overlay_player.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ringlet/block_overlay.h"
#include "ringlet/util.h"

uint8_t overlay_base_byte(uint64_t at)
{
    return (uint8_t)(at / OVERLAY_SECTOR * 7 ^ at);
}

int overlay_set_up(void **state)
{
    const struct block_info base = { .capacity = OVERLAY_CAPACITY,
                                     .logical_block_size = 512,
                                     .physical_block_size = 4096,
                                     .optimal_io_size = 65536,
                                     .discard_granularity = 512,
                                     .read_only = true };
    const struct block_info top = { .capacity = OVERLAY_CAPACITY,
                                    .logical_block_size = 512,
                                    .physical_block_size = 512,
                                    .discard_granularity = 1024,
                                    .can_discard = true,
                                    .can_write_zeroes = true,
                                    .write_cache = true };
    struct overlay_fixture *fixture = calloc(1, sizeof(*fixture));

    if (!fixture)
        return -1;
    memory_block_init(&fixture->base, &base);
    memory_block_init(&fixture->top, &top);
    for (uint64_t at = 0; at < OVERLAY_CAPACITY; at++)
        fixture->base.bytes[at] = overlay_base_byte(at);
    memset(fixture->top.bytes, OVERLAY_GARBAGE, OVERLAY_CAPACITY);
    if (block_overlay_create(&fixture->base.backend, &fixture->top.backend, &fixture->disk) < 0)
        return -1;
    fixture->disk->ops->attach(fixture->disk, &fixture->client);
    *state = fixture;
    return 0;
}

int overlay_tear_down(void **state)
{
    struct overlay_fixture *fixture = *state;

    block_backend_destroy(fixture->disk);
    assert_true(fixture->base.destroyed && fixture->top.destroyed);
    memory_block_finish(&fixture->base);
    memory_block_finish(&fixture->top);
    free(fixture);
    return 0;
}

static void player_done(struct block_request *request, int res)
{
    struct overlay_player *player = container_of(request, struct overlay_player, request);
    struct block_backend *again = player->again;

    player->dones++;
    player->res = res;
    if (again) {
        player->again = NULL;
        again->ops->submit(again, request);
    }
}

void overlay_submit(struct overlay_fixture *fixture, struct overlay_player *player)
{
    unsigned dones = player->dones;

    player->request.done = player_done;
    fixture->disk->ops->submit(fixture->disk, &player->request);
    assert_int_equal(player->dones, dones);
}

void overlay_start(struct overlay_fixture *fixture, struct overlay_player *player, enum block_op op,
                   uint64_t offset, uint64_t length, void *bytes)
{
    *player = (struct overlay_player){
        .request = { .op = op,
                     .offset = offset * OVERLAY_SECTOR,
                     .length = op == BLOCK_FLUSH ? 0 : length * OVERLAY_SECTOR,
                     .iov = bytes ? player->iov : NULL,
                     .iov_count = bytes ? 1 : 0 },
        .iov = { { bytes, length * OVERLAY_SECTOR } },
    };
    overlay_submit(fixture, player);
}

void overlay_complete_all(struct overlay_fixture *fixture)
{
    while (fixture->base.pending_count || fixture->top.pending_count) {
        memory_block_complete_all(&fixture->base);
        memory_block_complete_all(&fixture->top);
    }
}

int overlay_perform(struct overlay_fixture *fixture, enum block_op op, uint64_t offset, uint64_t length,
                    void *bytes)
{
    struct overlay_player player;

    overlay_start(fixture, &player, op, offset, length, bytes);
    overlay_complete_all(fixture);
    assert_int_equal(player.dones, 1);
    return player.res;
}

void overlay_write_byte(struct overlay_fixture *fixture, uint64_t offset, uint64_t length, uint8_t byte)
{
    uint8_t *bytes = malloc(length * OVERLAY_SECTOR);

    memset(bytes, byte, length * OVERLAY_SECTOR);
    assert_int_equal(overlay_perform(fixture, BLOCK_WRITE, offset, length, bytes), 0);
    free(bytes);
}

void assert_byte(const uint8_t *bytes, uint64_t offset, uint64_t length, uint8_t byte)
{
    for (uint64_t i = offset * OVERLAY_SECTOR; i < (offset + length) * OVERLAY_SECTOR; i++)
        assert_int_equal(bytes[i], byte);
}

void assert_base(const uint8_t *bytes, uint64_t offset, uint64_t length)
{
    for (uint64_t i = offset * OVERLAY_SECTOR; i < (offset + length) * OVERLAY_SECTOR; i++)
        assert_int_equal(bytes[i], overlay_base_byte(i));
}

uint8_t *overlay_read_disk(struct overlay_fixture *fixture)
{
    uint8_t *bytes = malloc(OVERLAY_CAPACITY);

    memset(bytes, 0x11, OVERLAY_CAPACITY);
    assert_int_equal(overlay_perform(fixture, BLOCK_READ, 0, OVERLAY_SECTORS, bytes), 0);
    return bytes;
}
