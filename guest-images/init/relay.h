/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.h - carries bytes from one descriptor to another, through a buffer of its own, in a poll() loop.
 *
 * Nothing is read while the buffer is full, so a slow reader slows the writer. The end of `from` closes `to`,
 * behind all bytes. A `to` whose reader has gone closes `from`, so that the writer learns of it, and what was
 * under way is dropped.
 */
#ifndef RINGLET_GUEST_RELAY_H
#define RINGLET_GUEST_RELAY_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

#define RELAY_SIZE     (64u << 10)
#define RELAY_TAIL_MAX 2
#define RELAY_POLLS    2 /* entries of a relay in the array for poll() */

struct relay {
    int from, to; /* owned, not blocking; -1: closed */
    unsigned char *buffer;
    size_t begin, end;  /* what waits in the buffer */
    bool ended;         /* `from` has come to its end */
    bool emptying;      /* nobody writes to `from` any more: when there is nothing to read, that is the end */
    bool lost;          /* the reader behind `to` went away before the end */
    unsigned char last; /* byte that was read; a newline at the start */

    /* optional: bytes to pass on behind the last one; returns how many, at most RELAY_TAIL_MAX */
    size_t (*tail)(void *argument, unsigned char last, unsigned char tail[RELAY_TAIL_MAX]);
    void *tail_argument;
};

/* Takes over both descriptors, and closes them if it fails: 0 or -ENOMEM. -1 for both is a relay that is done. */
int relay_init(struct relay *relay, int from, int to);

/* What to wait for. An entry that does not matter has the descriptor -1, which poll() passes over. */
void relay_poll(const struct relay *relay, struct pollfd polls[RELAY_POLLS]);

/* What poll() found is acted upon; never waits. */
void relay_work(struct relay *relay, const struct pollfd polls[RELAY_POLLS]);

/* Is there nothing more to carry? Then both descriptors are closed. */
bool relay_is_done(const struct relay *relay);

/* Close both, whatever is in the buffer. Safe on a relay that is done. */
void relay_finish(struct relay *relay);

#endif
