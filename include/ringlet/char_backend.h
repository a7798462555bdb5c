/* SPDX-License-Identifier: Apache-2.0 */
/*
 * char_backend.h - a stream of bytes both ways: the contract between a serial port and a terminal.
 *
 * Both directions have flow control and neither buffers without bound. Out: write() takes what fits and says
 * how much; after a short write the front end is told by writable() when there is room again. In: receive()
 * takes what fits and says how much; the backend keeps the rest, stops reading, and offers it again after
 * receive_ready().
 *
 * Threads: the front end's lock (frontend->client->lock) is held around every call of write(),
 * receive_ready(), receive() and writable(), so a backend may guard its own state with it. write() and
 * receive_ready() come from vCPU threads as well as the loop's; the front end's functions come on the loop
 * thread only, and never from inside write() or receive_ready().
 *
 * Implementations: src/io/char_stream.c, which the kinds of console (console*.c) share, and tests/support/fake_char.c.
 */
#ifndef RINGLET_CHAR_BACKEND_H
#define RINGLET_CHAR_BACKEND_H

#include <stddef.h>
#include <stdint.h>

struct char_backend;
struct char_frontend;
struct io_client;

struct char_frontend_ops {
    /* required: returns how many of the bytes were taken */
    size_t (*receive)(struct char_frontend *frontend, const uint8_t *bytes, size_t count);
    /* required */
    void (*writable)(struct char_frontend *frontend);
    /*
     * This and the next: optional; once, and not once finish() has taken effect; never of a pty or a socket,
     * whose readers come and go.
     *
     * No input will come any more, and all that came has been taken: the end of a file, or a read that failed.
     */
    void (*input_ended)(struct char_frontend *frontend);
    /* Whoever read the output has gone, or it cannot be written; what is written from here on is dropped. */
    void (*output_lost)(struct char_frontend *frontend);
};

struct char_frontend {
    const struct char_frontend_ops *ops;
    struct io_client *client;
};

struct char_backend_ops {
    /* required: called once while the VM is built; no input is offered before the loop runs */
    void (*attach)(struct char_backend *backend, struct char_frontend *frontend);
    /* required: returns how many of the bytes were taken; never blocks */
    size_t (*write)(struct char_backend *backend, const uint8_t *bytes, size_t count);
    /* required: the front end can take input again; never blocks */
    void (*receive_ready)(struct char_backend *backend);
    /*
     * required: the machine has stopped: no more receive_ready(), and write() only from inside writable(),
     * for what the front end still holds. Stop reading and call `drained` on the loop thread once everything
     * taken has been written, or has proved unwritable for a bounded time. Any thread, without the front
     * end's lock; `drained` runs without it too, never from inside finish().
     */
    void (*finish)(struct char_backend *backend, void (*drained)(void *argument), void *argument);
    /* required; after drained() */
    void (*destroy)(struct char_backend *backend);
};

struct char_backend {
    const struct char_backend_ops *ops;
};

static inline void char_backend_destroy(struct char_backend *backend)
{
    if (backend)
        backend->ops->destroy(backend);
}

#endif
