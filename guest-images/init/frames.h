/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frames.h - the frames of ringlet/guest_protocol.h on the control port: put together from what arrives in any
 * pieces, and sent.
 */
#ifndef RINGLET_GUEST_FRAMES_H
#define RINGLET_GUEST_FRAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "ringlet/guest_protocol.h"

struct frame_reader {
    struct guest_frame head;
    unsigned char *body; /* owned; head.length bytes */
    size_t received;     /* of the head and then the body */
};

/*
 * Read on, never past the end of the frame. 0 with *ret_complete: if that is true, head and body are a frame that
 * keeps the rules, until frame_reader_next(); if not, there is nothing to read now. -EPROTO: type or length
 * break a rule. -EPIPE: the other side has gone. -ENOMEM, or what read() said. A zeroed reader is a fresh one.
 */
int frame_reader_read(struct frame_reader *reader, int fd, bool *ret_complete);

/* Forget the frame; ready for another. Also how a reader is put away. */
void frame_reader_next(struct frame_reader *reader);

/*
 * Send a frame whole, waiting where the descriptor does not block. `length` is at most
 * GUEST_FRAME_TO_HOST_MAX. 0, -EPIPE when the other side has gone, -ETIMEDOUT when it did not take the frame
 * within `milliseconds`, or what write() said.
 */
int frame_send(int fd, enum guest_frame_type type, const void *body, size_t length, int milliseconds);

#endif
