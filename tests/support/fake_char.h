/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_char.h - a char backend in memory: takes as many bytes as the test allows, and offers what it is told
 * to.
 *
 * Single-threaded; like a real backend it keeps what the front end refuses, and offers again only after
 * receive_ready(), when the test calls fake_char_deliver(). The functions that call the front end are the loop's
 * part: the caller holds the front end's lock if it has one.
 */
#ifndef RINGLET_TEST_FAKE_CHAR_H
#define RINGLET_TEST_FAKE_CHAR_H

#include <stdbool.h>

#include "ringlet/char_backend.h"

struct fake_char {
    struct char_backend backend;
    struct char_frontend *frontend;

    char output[4096]; /* what was taken, in order; terminated */
    size_t output_count;
    size_t room; /* bytes it still takes */

    char input[4096]; /* waiting to be received */
    size_t input_start, input_end;
    bool may_offer; /* nothing was refused since the last receive_ready() */
    unsigned receive_ready_calls;

    bool input_ends, end_told; /* by fake_char_end_input() */
    bool lost;                 /* by fake_char_lose_output() */
    size_t lost_count;         /* bytes written since */
};

/* With room for everything. */
void fake_char_init(struct fake_char *fake);

/* Type `text`: it is offered as a backend would. */
void fake_char_type(struct fake_char *fake, const char *text);

/* The loop's turn: offer what waits, if the front end asked. Returns how many bytes it took. */
size_t fake_char_deliver(struct fake_char *fake);

/* No input comes behind what was typed: the front end is told when it has taken that, now or by a delivery. */
void fake_char_end_input(struct fake_char *fake);

/* Whoever read the output has gone: the front end is told; what it still writes is taken and counted as lost. */
void fake_char_lose_output(struct fake_char *fake);

/* Make room for `more` bytes and say so. */
void fake_char_make_room(struct fake_char *fake, size_t more);

#endif
