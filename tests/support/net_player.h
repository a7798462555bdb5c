/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_player.h - stands where a network device stands: posts requests to a net_backend, writes down what came
 * of them and in what order, and runs the loop until enough have. And frames to play with: each has a number
 * and a length, from which all its bytes follow.
 */
#ifndef RINGLET_NET_PLAYER_H
#define RINGLET_NET_PLAYER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "ringlet/io_client.h"
#include "ringlet/loop.h"
#include "ringlet/net_backend.h"

#define NET_PLAYER_BUFFER 70000
#define NET_PLAYER_UNDONE INT32_MIN

struct net_player {
    struct loop *loop;
    struct net_backend *backend;
    pthread_mutex_t lock;
    struct io_client client;
    struct net_listener listener;
    unsigned awaited; /* done()s until the loop stops */
    unsigned order;   /* done()s so far */
    unsigned link_changes;
    bool link_up; /* as last heard */
};

struct net_play {
    struct net_request request;
    struct net_player *player;
    struct iovec iov[4];
    int res;
    unsigned order; /* how many were done before */
    unsigned char bytes[NET_PLAYER_BUFFER];
};

/* For cmocka: *state is a struct net_player without a backend. */
int net_set_up_io_uring(void **state);
int net_set_up_threads(void **state);
/* Ends what is in flight, destroys the backend if there is one, and the loop. */
int net_tear_down(void **state);

#define NET_ON_BOTH_ENGINES(test)                                                                            \
    { #test " [io_uring]", test, net_set_up_io_uring, net_tear_down, NULL },                                 \
    {                                                                                                        \
#test " [threads]", test, net_set_up_threads, net_tear_down, NULL                                    \
    }

void net_player_attach(struct net_player *player, struct net_backend *backend);
void net_player_run(struct net_player *player, unsigned dones);
/* Turns until nothing happens any more that is not waited for. */
void net_player_settle(struct net_player *player);
void net_player_cancel(struct net_player *player);

/* `count` plays, in one piece; to be freed. */
struct net_play *net_plays(struct net_player *player, unsigned count);
/* `size` bytes behind the header, in one vector with it. */
void net_play_receive(struct net_play *play, unsigned pair, size_t size);
/* The vectors as the play has them. */
void net_play_receive_vectors(struct net_play *play, unsigned pair, unsigned count);
/* Frame `number` of `length` bytes, cut in the middle, behind a header of zeroes. */
void net_play_transmit(struct net_play *play, unsigned pair, uint16_t number, size_t length);

/* The bytes of a frame: all addresses broadcast, an ethertype that nobody answers, its number, its length. */
void net_frame_make(unsigned char *frame, uint16_t number, size_t length);
/* `play` holds this frame, behind a header of zeroes. */
void net_play_check(const struct net_play *play, uint16_t number, size_t length);

#endif
