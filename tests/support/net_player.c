/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_player.c - see net_player.h.
 */
#include "net_player.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ringlet/error.h"
#include "ringlet/util.h"

#define ENTRIES     64
#define QUIET_TURNS 20 /* a completion may take a turn or two to come around */

static void link_changed(struct net_listener *listener, bool up)
{
    struct net_player *player = container_of(listener, struct net_player, listener);

    assert_int_not_equal(pthread_mutex_trylock(&player->lock), 0);
    player->link_changes++;
    player->link_up = up;
    assert_int_equal(player->backend->link_up, up);
}

static const struct net_listener_ops listener_ops = { .link_changed = link_changed };

static int set_up(void **state, enum loop_engine engine)
{
    struct net_player *player = calloc(1, sizeof(*player));
    struct error err = { 0 };

    if (!player)
        return -1;
    signal(SIGPIPE, SIG_IGN);
    if (loop_create(engine, ENTRIES, &player->loop, &err) < 0) {
        print_error("%s\n", err.text);
        free(player);
        return -1;
    }
    pthread_mutex_init(&player->lock, NULL);
    player->client.lock = &player->lock;
    player->listener.ops = &listener_ops;
    *state = player;
    return 0;
}

int net_set_up_io_uring(void **state)
{
    return set_up(state, LOOP_ENGINE_IO_URING);
}

int net_set_up_threads(void **state)
{
    return set_up(state, LOOP_ENGINE_THREADS);
}

int net_tear_down(void **state)
{
    struct net_player *player = *state;

    if (player->backend) {
        net_player_cancel(player);
        net_player_settle(player);
    }
    assert_int_equal(loop_in_flight(player->loop), 0);
    net_backend_destroy(player->backend);
    loop_destroy(player->loop);
    pthread_mutex_destroy(&player->lock);
    free(player);
    return 0;
}

void net_player_attach(struct net_player *player, struct net_backend *backend)
{
    player->backend = backend;
    player->link_up = backend->link_up;
    backend->ops->attach(backend, &player->client, &player->listener);
}

void net_player_run(struct net_player *player, unsigned dones)
{
    player->awaited = dones;
    assert_int_equal(loop_run(player->loop), 0);
    assert_int_equal(player->awaited, 0);
}

void net_player_settle(struct net_player *player)
{
    player->awaited = UINT32_MAX;
    for (unsigned quiet = 0; quiet < QUIET_TURNS; quiet++) {
        unsigned before = player->order;

        loop_stop(player->loop);
        assert_int_equal(loop_run(player->loop), 0);
        if (player->order != before)
            quiet = 0;
    }
}

void net_player_cancel(struct net_player *player)
{
    pthread_mutex_lock(&player->lock);
    player->backend->ops->cancel(player->backend);
    pthread_mutex_unlock(&player->lock);
}

static void play_done(struct net_request *request, int res)
{
    struct net_play *play = container_of(request, struct net_play, request);
    struct net_player *player = play->player;

    assert_int_not_equal(pthread_mutex_trylock(&player->lock), 0);
    assert_int_equal(play->res, NET_PLAYER_UNDONE);
    assert_int_not_equal(res, NET_PLAYER_UNDONE);
    play->res = res;
    play->order = player->order++;
    /* A turn may bring more than was waited for. */
    if (player->awaited && --player->awaited == 0)
        loop_stop(player->loop);
}

struct net_play *net_plays(struct net_player *player, unsigned count)
{
    struct net_play *plays = aligned_alloc(alignof(struct net_play), count * sizeof(*plays));

    assert_non_null(plays);
    memset(plays, 0, count * sizeof(*plays));
    for (unsigned i = 0; i < count; i++) {
        plays[i].player = player;
        plays[i].res = NET_PLAYER_UNDONE;
    }
    return plays;
}

static void post(struct net_play *play, unsigned pair, unsigned count,
                 void (*how)(struct net_backend *backend, unsigned pair, struct net_request *request))
{
    play->res = NET_PLAYER_UNDONE;
    play->request.iov = play->iov;
    play->request.iov_count = count;
    play->request.done = play_done;
    pthread_mutex_lock(&play->player->lock);
    how(play->player->backend, pair, &play->request);
    pthread_mutex_unlock(&play->player->lock);
    assert_int_equal(play->res, NET_PLAYER_UNDONE);
}

void net_play_receive_vectors(struct net_play *play, unsigned pair, unsigned count)
{
    memset(play->bytes, 0xa5, sizeof(play->bytes));
    post(play, pair, count, play->player->backend->ops->receive);
}

void net_play_receive(struct net_play *play, unsigned pair, size_t size)
{
    play->iov[0] = (struct iovec){ play->bytes, NET_HEADER_SIZE + size };
    net_play_receive_vectors(play, pair, 1);
}

void net_frame_make(unsigned char *frame, uint16_t number, size_t length)
{
    memset(frame, 0xff, 12);
    frame[12] = 0x88;
    frame[13] = 0xb5;
    for (size_t i = 14; i < length; i++)
        frame[i] = (unsigned char)(number + i * 7);
    if (length >= 18) {
        frame[14] = (unsigned char)(number >> 8);
        frame[15] = (unsigned char)number;
        frame[16] = (unsigned char)(length >> 8);
        frame[17] = (unsigned char)length;
    }
}

void net_play_transmit(struct net_play *play, unsigned pair, uint16_t number, size_t length)
{
    unsigned char *frame = play->bytes + NET_HEADER_SIZE;

    memset(play->bytes, 0, NET_HEADER_SIZE);
    net_frame_make(frame, number, length);
    play->iov[0] = (struct iovec){ play->bytes, NET_HEADER_SIZE };
    play->iov[1] = (struct iovec){ frame, length / 2 };
    play->iov[2] = (struct iovec){ frame + length / 2, length - length / 2 };
    post(play, pair, 3, play->player->backend->ops->transmit);
}

void net_play_check(const struct net_play *play, uint16_t number, size_t length)
{
    static const unsigned char zeroes[10];
    unsigned char *frame = malloc(length);

    assert_non_null(frame);
    net_frame_make(frame, number, length);
    assert_int_equal(play->res, NET_HEADER_SIZE + length);
    assert_memory_equal(play->bytes, zeroes, sizeof(zeroes));
    assert_memory_equal(play->bytes + NET_HEADER_SIZE, frame, length);
    free(frame);
}
