/* SPDX-License-Identifier: Apache-2.0 */
/*
 * char_stream.h - what all consoles have in common: a char backend that moves bytes between a front end and a
 * pair of descriptors, with a ring of 64 KiB each way. A kind of console (console_*.c) embeds one and says by
 * its ops what is special about it.
 *
 * A stream is connected while there is somebody at the other end. Connected, output waits for the reader, and
 * a full ring is the front end's to wait for. Not connected, output displaces what is oldest in the ring.
 *
 * Threads and lock: everything here is guarded by the front end's lock. It is held in all functions below and
 * in all ops, except where noted; all but the backend's own write() and receive_ready() are the loop
 * thread's.
 */
#ifndef RINGLET_IO_CHAR_STREAM_H
#define RINGLET_IO_CHAR_STREAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/uio.h>

#include "byte_ring.h"
#include "ringlet/char_backend.h"
#include "ringlet/loop.h"

#define CHAR_STREAM_READ_SIZE 4096                /* with a filter; and how much room makes a read worth it */
#define CHAR_STREAM_NEVER     UINT64_MAX          /* as a drain_timeout */
#define CHAR_STREAM_WATCH_NS  UINT64_C(100000000) /* how often a kind looks for what cannot be waited for */

struct char_stream;

/* All optional. */
struct char_stream_ops {
    /* the loop runs: the first call of all */
    void (*start)(struct char_stream *stream);
    /* may the input be read now? Asked after a poll() said that there is some. */
    bool (*may_read)(struct char_stream *stream);
    /* bytes read, at most CHAR_STREAM_READ_SIZE, to be changed on their way in: `out` has room for count + 1. Returns how many it wrote. */
    size_t (*filter)(struct char_stream *stream, const uint8_t *in, size_t count, uint8_t *out);
    /* a read gave `res`: 0 for the end, or -errno. Default: no more input from here on. */
    void (*read_ended)(struct char_stream *stream, int res);
    /*
     * a write gave -errno. Default: what was to be written is dropped; and all that follows, after EPIPE, or when
     * there is a front end that wants to be told (a disk that was full may have room again, but who has been
     * told that output is lost is not to see more of it taken).
     */
    void (*write_failed)(struct char_stream *stream, int res);
    /* the timer of char_stream_watch() fired */
    void (*watch)(struct char_stream *stream);
    /* an operation ended, or the front end called; the stream has started again what it could */
    void (*turned)(struct char_stream *stream);
    /* SIGCONT */
    void (*resumed)(struct char_stream *stream);
    /* the machine has stopped: cancel the kind's own operations */
    void (*stop)(struct char_stream *stream);
    /* release what is the kind's, and the memory that holds `stream`; no lock, nothing in flight. Not
     * optional. */
    void (*release)(struct char_stream *stream);
};

struct char_stream {
    struct char_backend backend;
    const struct char_stream_ops *ops;
    struct loop *loop;
    struct char_frontend *frontend;
    uint64_t drain_timeout; /* ns */
    const char *path;       /* console_path() */

    /* for the kind to set, by char_stream_connect() once started */
    int input_fd, output_fd; /* -1: none */
    bool connected;
    bool polls_first;    /* ask may_read() before each read */
    bool keeps_no_count; /* output that nobody wanted is not "dropped" */
    bool keeps_output;   /* what is in the ring when all has ended stays there */
    bool tells_end;      /* the end of input is the front end's to know: nobody else will come */
    bool tells_loss;     /* likewise of output */
    bool input_ended;    /* no more reads until connected again */
    bool output_ended;   /* all output is discarded from here on */
    bool output_lost;    /* that is so because a write failed */
    size_t write_limit;  /* bytes a write: small where the descriptor might block, else SIZE_MAX */

    struct byte_ring output, input;
    atomic_ullong dropped;  /* bytes of output */
    atomic_int write_error; /* -errno of the last write that failed, or 0 */
    uint64_t written;       /* bytes of output, to see progress by */

    bool started;
    bool kicked;            /* kick_task is posted */
    bool pumping;           /* char_stream_pump() is at work, so nobody needs to kick */
    bool reading, writing;  /* the operation is in flight */
    bool watching, waiting; /* likewise: watch_op, drain_op */
    bool owes_writable;     /* a write() was short */
    bool frontend_is_full;  /* a receive() was short */
    bool continued;         /* SIGCONT, not yet told to the kind */
    bool end_told, loss_told;
    unsigned in_flight; /* operations, the kind's included */

    struct loop_op read_op, write_op, watch_op, drain_op;
    struct iovec write_iov[2];
    struct iovec read_iov[2];                   /* room in `input`; read_buffer when there is a filter */
    uint8_t read_buffer[CHAR_STREAM_READ_SIZE]; /* what a filter is given, and what it makes of it */
    uint8_t filtered[CHAR_STREAM_READ_SIZE + 1];
    struct loop_task kick_task;

    /* the end */
    bool finishing, gave_up, drain_told;
    uint64_t written_before; /* when the drain timer was last started */
    struct loop_task finish_task, drained_task;
    void (*drained)(void *argument);
    void *drained_argument;
};

/* Of zeroed memory. No lock. `drain_timeout` 0 means 2 s, UINT64_MAX never. */
void char_stream_init(struct char_stream *stream, struct loop *loop, const struct char_stream_ops *ops,
                      uint64_t drain_timeout);

/* The stream of a backend that char_stream_init() made. */
struct char_stream *char_stream_of(const struct char_backend *backend);

/* Somebody is there: serve these descriptors. */
void char_stream_connect(struct char_stream *stream, int input_fd, int output_fd);

/* Nobody is there any more. The descriptors are the kind's to close, once `reading` and `writing` are over.
 */
void char_stream_disconnect(struct char_stream *stream);

/* Have ops->watch called in CHAR_STREAM_WATCH_NS. No-op when that is coming anyway, or when finishing. */
void char_stream_watch(struct char_stream *stream);

/* Go on with whatever can be: for a kind whose may_read() would now say otherwise. */
void char_stream_pump(struct char_stream *stream);

/* Around an operation of the kind's own: before starting it; and at the end of its done(), which may free. */
void char_stream_op_begin(struct char_stream *stream, struct loop_op *op,
                          void (*done)(struct loop_op *op, int res));
void char_stream_op_end(struct char_stream *stream);

/* Take and release the front end's lock, if there is a front end: for calls from outside the loop. */
void char_stream_lock(struct char_stream *stream);
void char_stream_unlock(struct char_stream *stream);

/* Wake the loop to pump. Any thread. */
void char_stream_kick(struct char_stream *stream);

#endif
