/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console_player.h - plays the serial port to a real console on a real loop, on one thread.
 */
#ifndef RINGLET_TEST_CONSOLE_PLAYER_H
#define RINGLET_TEST_CONSOLE_PLAYER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ringlet/char_backend.h"
#include "ringlet/console.h"
#include "ringlet/error.h"
#include "ringlet/io_client.h"
#include "ringlet/loop.h"
#include "ringlet/stop.h"

#define PLAYER_INPUT_SIZE (1024 * 1024)

struct console_player {
    struct loop *loop;
    struct char_backend *backend;
    pthread_mutex_t lock;
    struct io_client client;
    struct char_frontend frontend;

    uint8_t *received; /* PLAYER_INPUT_SIZE */
    size_t received_count;
    size_t appetite; /* bytes it will still take */
    /* instead of keeping what is received; called with the number of the first byte */
    void (*look_at)(struct console_player *player, const uint8_t *bytes, size_t count, size_t at);
    unsigned input_ends, output_losses; /* how often we were told */
    size_t received_at_end;             /* received_count when input_ended() came */
    bool deaf;                          /* set before opening: a front end without the optional ops */

    const uint8_t *to_send; /* what player_send() has not got rid of yet */
    size_t to_send_count;
    unsigned writable_calls;

    struct stop_sink stop;
    unsigned quits;
    bool drained;
    unsigned drained_calls;

    bool (*condition)(struct console_player *player, void *argument);
    void *argument;
    struct loop_op tick;
    unsigned ticks;
};

/* False when this machine does not let us have the engine. */
bool player_init(struct console_player *player, enum loop_engine engine);

/* Open a console as `options` say (stop is filled in) and attach to it; asserts that it works. */
void player_open(struct console_player *player, struct console_options options);
void player_open_streams(struct console_player *player, int input_fd, int output_fd, uint64_t drain_timeout);

/* Write as a serial port does: what is not taken follows as the console becomes writable. Bytes are borrowed.
 */
void player_send(struct console_player *player, const void *bytes, size_t count);

/* Take `more` bytes of input, telling the console. */
void player_feed(struct console_player *player, size_t more);

/* Run the loop until the condition holds; fails the test after some ten thousand looks. */
void player_run(struct console_player *player,
                bool (*condition)(struct console_player *player, void *argument), void *argument);

/* Conditions. */
bool player_is_drained(struct console_player *player, void *unused);
bool player_has_sent(struct console_player *player, void *unused);
bool player_input_has_ended(struct console_player *player, void *unused);
bool player_output_is_lost(struct console_player *player, void *unused);
bool player_has_received(struct console_player *player, void *count); /* size_t * */
/* True at the hundredth look: for "and nothing more happens". */
bool player_has_waited(struct console_player *player, void *unused);

/* finish() and run until drained. */
void player_finish(struct console_player *player);

/* Destroys the console, if any, and the loop. */
void player_destroy(struct console_player *player);

#endif
