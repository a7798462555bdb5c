/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_player.c - see disk_player.h.
 */
#include "disk_player.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ringlet/error.h"
#include "ringlet/util.h"

int disk_player_init(struct disk_player *player, enum loop_engine engine)
{
    struct error err = { 0 };

    *player = (struct disk_player){ .client = { .lock = &player->lock } };
    pthread_mutex_init(&player->lock, NULL);
    return loop_create(engine, 32, &player->loop, &err);
}

void disk_player_finish(struct disk_player *player)
{
    disk_player_close(player);
    loop_destroy(player->loop);
    pthread_mutex_destroy(&player->lock);
}

void disk_player_open(struct disk_player *player, const struct block_file_options *options)
{
    struct error err = { 0 };

    disk_player_close(player);
    if (block_file_open(player->loop, options, &player->disk, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(err.text, "");
    player->disk->ops->attach(player->disk, &player->client);
}

void disk_player_close(struct disk_player *player)
{
    block_backend_destroy(player->disk);
    player->disk = NULL;
}

static void request_done(struct block_request *request, int res)
{
    struct disk_request *own = container_of(request, struct disk_request, request);
    struct disk_player *player = own->player;

    assert_int_equal(pthread_mutex_trylock(&player->lock), EBUSY);
    assert_true(res <= 0);
    own->res = res;
    own->dones++;
    assert_int_equal(own->dones, 1);
    assert_int_not_equal(player->awaited, 0);
    if (--player->awaited == 0)
        loop_stop(player->loop);
}

void disk_player_submit(struct disk_player *player, struct disk_request *request)
{
    request->player = player;
    request->dones = 0;
    request->request.done = request_done;
    pthread_mutex_lock(&player->lock);
    player->disk->ops->submit(player->disk, &request->request);
    assert_int_equal(request->dones, 0);
    pthread_mutex_unlock(&player->lock);
}

void disk_player_wait(struct disk_player *player, unsigned count)
{
    player->awaited = count;
    assert_int_equal(loop_run(player->loop), 0);
    assert_int_equal(player->awaited, 0);
    assert_int_equal(loop_in_flight(player->loop), 0);
}

void disk_player_turn(struct disk_player *player)
{
    player->awaited = UINT32_MAX;
    loop_stop(player->loop);
    assert_int_equal(loop_run(player->loop), 0);
}

int disk_player_do(struct disk_player *player, enum block_op op, unsigned flags, uint64_t offset,
                   uint64_t length, const struct iovec *iov, unsigned iov_count)
{
    struct disk_request request = {
        .request = { .op = op,
                     .flags = flags,
                     .offset = offset,
                     .length = length,
                     .iov = iov,
                     .iov_count = iov_count },
    };

    disk_player_submit(player, &request);
    disk_player_wait(player, 1);
    return request.res;
}

int disk_player_read(struct disk_player *player, uint64_t offset, void *buffer, uint64_t length)
{
    struct iovec iov = { buffer, length };

    return disk_player_do(player, BLOCK_READ, 0, offset, length, &iov, 1);
}

int disk_player_write(struct disk_player *player, uint64_t offset, const void *buffer, uint64_t length)
{
    struct iovec iov = { (void *)(uintptr_t)buffer, length };

    return disk_player_do(player, BLOCK_WRITE, 0, offset, length, &iov, 1);
}
