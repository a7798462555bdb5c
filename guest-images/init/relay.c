/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.c - see relay.h.
 */
#include "relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int relay_init(struct relay *relay, int from, int to)
{
    *relay = (struct relay){ .from = from, .to = to, .last = '\n' };
    if (from < 0 && to < 0)
        return 0;
    relay->buffer = malloc(RELAY_SIZE + RELAY_TAIL_MAX);
    if (relay->buffer)
        return 0;
    relay_finish(relay);
    return -ENOMEM;
}

static bool has_room(const struct relay *relay)
{
    return relay->end < RELAY_SIZE;
}

void relay_poll(const struct relay *relay, struct pollfd polls[RELAY_POLLS])
{
    bool waiting = relay->begin < relay->end;

    polls[0] = (struct pollfd){ .fd = relay->ended || !has_room(relay) ? -1 : relay->from, .events = POLLIN };
    /* Without bytes for it too: that its reader has gone is told at any time. */
    polls[1] = (struct pollfd){ .fd = relay->to, .events = waiting ? POLLOUT : 0 };
}

static void come_to_end(struct relay *relay)
{
    relay->ended = true;
    close_end(&relay->from);
    if (relay->tail)
        relay->end += relay->tail(relay->tail_argument, relay->last, relay->buffer + relay->end);
}

/* Until there is no more, or no room: a port gives no more than a page at a time. */
static void fill(struct relay *relay)
{
    while (!relay->ended && has_room(relay)) {
        ssize_t count = read(relay->from, relay->buffer + relay->end, RELAY_SIZE - relay->end);

        if (count > 0) {
            relay->end += (size_t)count;
            relay->last = relay->buffer[relay->end - 1];
        } else if (count < 0 && errno == EINTR) {
            continue;
        } else if (count < 0 && errno == EAGAIN && !relay->emptying) {
            return;
        } else {
            /* A terminal that nobody has open any more answers with EIO. */
            come_to_end(relay);
        }
    }
}

static void drain(struct relay *relay)
{
    while (relay->begin < relay->end) {
        ssize_t count = write(relay->to, relay->buffer + relay->begin, relay->end - relay->begin);

        if (count > 0) {
            relay->begin += (size_t)count;
        } else if (count < 0 && errno != EAGAIN && errno != EINTR && errno != ENOMEM) {
            relay->lost = true;
            relay_finish(relay);
            return;
        } else {
            /* Full. A port has no memory for its copy while there is none, and says 0 where its ring is full. */
            return;
        }
    }
    relay->begin = relay->end = 0;
}

void relay_work(struct relay *relay, const struct pollfd polls[RELAY_POLLS])
{
    if (relay_is_done(relay))
        return;
    if (polls[1].fd >= 0 && (polls[1].revents & (POLLERR | POLLHUP | POLLNVAL))) {
        relay->lost = true;
        relay_finish(relay);
        return;
    }
    if (relay->emptying || (polls[0].fd >= 0 && polls[0].revents))
        fill(relay);
    drain(relay);
    if (relay->ended && relay->begin == relay->end)
        relay_finish(relay);
}

bool relay_is_done(const struct relay *relay)
{
    return relay->from < 0 && relay->to < 0;
}

void relay_finish(struct relay *relay)
{
    close_end(&relay->from);
    close_end(&relay->to);
    free(relay->buffer);
    relay->buffer = NULL;
    relay->begin = relay->end = 0;
}
