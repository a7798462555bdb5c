/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_player.h - ops that record what came of them, and a loop that runs until enough of them are done.
 * Tests of the loop run on both of its engines, which must not differ.
 */
#ifndef RINGLET_LOOP_PLAYER_H
#define RINGLET_LOOP_PLAYER_H

#include <pthread.h>
#include <stdint.h>

#include "ringlet/loop.h"

#define LOOP_PLAYER_ENTRIES 8 /* of the submission queue: few, so that tests overfill it */

struct loop_fixture {
    struct loop *loop;
    unsigned awaited; /* done()s until the loop stops */
    unsigned order;   /* done()s and tasks so far */
};

struct loop_player {
    struct loop_op op;
    struct loop_fixture *fixture;
    int res;
    unsigned dones;
    unsigned order; /* how many were done before */
    pthread_t thread;
};

/* For cmocka: *state is a struct loop_fixture. */
int loop_set_up_io_uring(void **state);
int loop_set_up_threads(void **state);
int loop_tear_down(void **state);

/* A row of a test table for each engine. */
#define ON_BOTH_ENGINES(test)                                                                                \
    { #test " [io_uring]", test, loop_set_up_io_uring, loop_tear_down, NULL },                               \
    {                                                                                                        \
#test " [threads]", test, loop_set_up_threads, loop_tear_down, NULL                                  \
    }

/* A player to start an op of; its done() is player_done(), which others may end in. */
struct loop_player make_player(struct loop_fixture *fixture);
void player_done(struct loop_op *op, int res);

void run_until(struct loop_fixture *fixture, unsigned dones);
/* One turn that finds things as they are and does not wait. */
void run_one_turn(struct loop_fixture *fixture);

/* A nameless file of `size` zeroes. */
int temporary_file(uint64_t size);
/* A raw pseudo-terminal, as a console's: the slave side is opened with `flags`. */
void open_terminal(int flags, int *ret_master, int *ret_slave);

#endif
