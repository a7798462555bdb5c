/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console_pipes.h - a fixture for tests of consoles on both engines: a player, a pipe each way, a name for a file.
 */
#ifndef RINGLET_TEST_CONSOLE_PIPES_H
#define RINGLET_TEST_CONSOLE_PIPES_H

#include <stdint.h>

#include "console_player.h"

#define NOT_OPEN 1000 /* a descriptor that is not */

struct fixture {
    struct console_player player;
    int input[2], output[2]; /* pipes: input[1] is ours to write, output[0] ours to read */
    int file;                /* or -1 */
    char folder[32];
    char path[64];
    uint8_t pattern[200000];
    uint8_t got[300000];
};

/* A row of a test table for each engine. */
#define ON_BOTH_ENGINES(test)                                                                                \
    { #test " (io_uring)", test, console_pipes_set_up, console_pipes_tear_down,                              \
      (void *)&console_engines[0] },                                                                         \
    {                                                                                                        \
#test " (threads)", test, console_pipes_set_up, console_pipes_tear_down, (void *)&console_engines[1] \
    }

extern const enum loop_engine console_engines[2];

/* For cmocka: *state is one of the engines before, the fixture after; NULL where the engine is not to be had. */
int console_pipes_set_up(void **state);
int console_pipes_tear_down(void **state);

/* The fixture, or skip where the engine is not to be had. */
struct fixture *console_fixture(void **state);

void close_end(int *fd);
void wait_a_while(struct fixture *f);

#endif
