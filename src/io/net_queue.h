/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_queue.h - the requests that a network backend holds, in the order posted.
 *
 * Frames must not overtake each other, so that a backend's requests stand in line: one line for each
 * direction of each queue pair. What is cancelled is always the front of a line, because all that stood in
 * it were marked at once; the mark, not the moment, tells a request that is to end from one that came later.
 *
 * Threads: the client's lock is held.
 */
#ifndef RINGLET_IO_NET_QUEUE_H
#define RINGLET_IO_NET_QUEUE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

#include "ringlet/loop.h"
#include "ringlet/net_backend.h"
#include "ringlet/util.h"

/* In net_request.backend_private. */
struct net_own {
    struct loop_op op; /* a write of its own, or the news that the request was refused */
    struct net_own *next;
    void *owner; /* what the backend needs to know when op is done */
    bool cancelled;
    unsigned char prefix[4]; /* what goes before the frame on a stream */
};
static_assert(sizeof(struct net_own) <= NET_REQUEST_BACKEND_SIZE, "no request is allocated");

/* Zero is empty. */
struct net_queue {
    struct net_own *head;
    struct net_own *last; /* meaningless while head is NULL */
};

static inline struct net_own *net_own_of(struct net_request *request)
{
    return (struct net_own *)(void *)request->backend_private;
}

static inline struct net_request *net_request_of(struct net_own *own)
{
    return container_of((unsigned char *)own, struct net_request, backend_private);
}

static inline void net_queue_append(struct net_queue *queue, struct net_own *own)
{
    own->next = NULL;
    if (queue->head)
        queue->last->next = own;
    else
        queue->head = own;
    queue->last = own;
}

/* The front, which is there. */
static inline struct net_own *net_queue_pop(struct net_queue *queue)
{
    struct net_own *own = queue->head;

    queue->head = own->next;
    return own;
}

/* Writes end in the order they began, nearly always: then it is the front. */
static inline void net_queue_remove(struct net_queue *queue, struct net_own *own)
{
    struct net_own *before = NULL;

    for (struct net_own *at = queue->head; at != own; at = at->next)
        before = at;
    if (before)
        before->next = own->next;
    else
        queue->head = own->next;
    if (queue->last == own)
        queue->last = before;
}

/* Is there anything to end? */
static inline bool net_queue_mark_cancelled(struct net_queue *queue)
{
    for (struct net_own *own = queue->head; own; own = own->next)
        own->cancelled = true;
    return queue->head != NULL;
}

static inline bool net_queue_is_ending(const struct net_queue *queue)
{
    return queue->head && queue->head->cancelled;
}

#endif
