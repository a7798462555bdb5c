/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.c - see events.h.
 *
 * Lines queue in `pending`. While the loop runs it writes them, one write in flight, the next started by the end
 * of the one before or by a task. Before it runs, and after, whoever says something writes at once what the
 * reader has room for: so a VM that cannot be built is told of as well, and the end needs no loop whose other
 * users are gone already.
 *
 * A write is whole lines, at most PIPE_BUF bytes of them, so that neither in a pipe nor at the end of a file do the
 * lines of several VMs mix.
 */
#include "events.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ringlet/error.h"
#include "ringlet/loop.h"
#include "ringlet/open_path.h"
#include "ringlet/util.h"
#include "ringlet/write_now.h"

#define PENDING_SIZE  65536
#define LAST_LINE     1024 /* bytes kept for EVENT_EXIT: how it ended is what everybody waits for */
#define LAST_PATIENCE 2000 /* ms that events_close() waits for a reader */

static const char *const names[] = {
    [EVENT_STARTED] = "started",
    [EVENT_KERNEL_LOADED] = "kernel-loaded",
    [EVENT_GUEST_BOOTED] = "guest-booted",
    [EVENT_GUEST_READY] = "guest-ready",
    [EVENT_CONSOLE_CLOSED] = "console-closed",
    [EVENT_EXIT] = "exit",
};
static_assert(ARRAY_SIZE(names) == EVENT_KIND_COUNT, "a name for each event");

struct events {
    int fd;
    struct timespec opened; /* CLOCK_MONOTONIC */
    struct loop *loop;      /* NULL before events_attach() */
    struct loop_task task;
    struct loop_op write_op; /* loop thread */

    pthread_mutex_t lock; /* guards what follows; may be taken with a device's lock held */
    bool loop_runs;       /* writing is the loop's business now */
    bool writing;         /* write_op is in flight: what it writes stays where it is */
    bool closing;
    bool gone;     /* nobody reads any more */
    uint64_t lost; /* lines left out since the last that was not */
    size_t count;
    char pending[PENDING_SIZE];
};

/* --- lines --- */

/* A path may be any bytes, JSON is UTF-8 alone: in a text that is not, U+FFFD takes the place of each byte above 127.
 */
static json_t *text_value(const char *text)
{
    static const char replacement[] = "\xef\xbf\xbd";
    json_t *value = json_string(text);
    size_t used = 0;
    char *mended;

    if (value)
        return value;
    mended = malloc(strlen(text) * strlen(replacement) + 1);
    if (!mended)
        return NULL;
    for (; *text; text++) {
        if ((unsigned char)*text < 0x80)
            mended[used++] = *text;
        else
            used = (size_t)(stpcpy(mended + used, replacement) - mended);
    }
    mended[used] = '\0';
    value = json_string(mended);
    free(mended);
    return value;
}

static uint64_t microseconds_since(const struct timespec *start)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)((now.tv_sec - start->tv_sec) * 1000000 + (now.tv_nsec - start->tv_nsec) / 1000);
}

/* The line without its newline, to be freed; NULL if there is no memory. Lock held, so that times ascend. */
static char *format_line(const struct events *events, enum event_kind kind,
                         const struct event_member *members, unsigned count)
{
    json_t *object = json_object();
    char *line = NULL;
    int failed;

    failed = json_object_set_new(object, "event", json_string(names[kind]));
    failed |=
        json_object_set_new(object, "us", json_integer((json_int_t)microseconds_since(&events->opened)));
    for (unsigned i = 0; i < count; i++) {
        const struct event_member *member = &members[i];

        failed |= json_object_set_new(object, member->name,
                                      member->text ? text_value(member->text) : json_integer(member->number));
    }
    if (events->lost)
        failed |= json_object_set_new(object, "lost", json_integer((json_int_t)events->lost));
    if (!failed)
        line = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    return line;
}

static void append_line(struct events *events, const char *line, size_t limit)
{
    size_t length = line ? strlen(line) : 0;

    if (!line || events->count + length + 1 > limit) {
        events->lost++;
        return;
    }
    memcpy(events->pending + events->count, line, length);
    events->pending[events->count + length] = '\n';
    events->count += length + 1;
    events->lost = 0;
}

/* --- writing --- */

/* How many bytes to write next: the lines that fit into PIPE_BUF, or as much of one that is longer. Not 0. */
static size_t next_piece(const struct events *events)
{
    size_t most = events->count < PIPE_BUF ? events->count : PIPE_BUF;
    const char *newline = memrchr(events->pending, '\n', most);

    return newline ? (size_t)(newline - events->pending) + 1 : most;
}

/* A write of ours gave `result`: bytes, or -errno. */
static void wrote(struct events *events, ssize_t result)
{
    if (result > 0) {
        events->count -= (size_t)result;
        memmove(events->pending, events->pending + result, events->count);
    } else if (result != -ECANCELED) {
        /* Also when the disk is full: after half a line none that follows could be read. */
        events->gone = true;
        events->count = 0;
    }
}

/* Write until nothing is left or the reader has had no room for `patience` milliseconds in all. Lock held. */
static void write_here(struct events *events, uint64_t patience)
{
    struct timespec start;

    clock_gettime(CLOCK_MONOTONIC, &start);
    while (events->count) {
        struct pollfd polled = { .fd = events->fd, .events = POLLOUT };
        uint64_t waited = microseconds_since(&start) / 1000;
        int ready = poll(&polled, 1, waited < patience ? (int)(patience - waited) : 0);
        ssize_t result;

        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return;
        result = write_now(events->fd, events->pending, next_piece(events));
        if (result == -EAGAIN && waited >= patience)
            return;
        if (result != -EINTR && result != -EAGAIN)
            wrote(events, result);
    }
}

static void start_write(struct events *events)
{
    if (events->writing || events->closing || !events->count)
        return;
    events->writing = true;
    loop_write(events->loop, &events->write_op, events->fd, events->pending, next_piece(events),
               LOOP_NO_OFFSET);
}

static void write_done(struct loop_op *op, int res)
{
    struct events *events = container_of(op, struct events, write_op);

    pthread_mutex_lock(&events->lock);
    events->writing = false;
    wrote(events, res);
    start_write(events);
    if (events->closing)
        loop_stop(events->loop);
    pthread_mutex_unlock(&events->lock);
}

static void loop_turned(struct loop_task *task)
{
    struct events *events = container_of(task, struct events, task);

    pthread_mutex_lock(&events->lock);
    events->loop_runs = true;
    start_write(events);
    pthread_mutex_unlock(&events->lock);
}

/* --- for the caller --- */

int events_open(const char *path, struct events **ret_events, struct error *err)
{
    struct events *events = calloc(1, sizeof(*events));
    int result;

    if (!events)
        return error_set(err, -ENOMEM, "out of memory");
    clock_gettime(CLOCK_MONOTONIC, &events->opened);
    /* NONBLOCK: a FIFO without a reader is to fail here, not to wait. */
    events->fd = open_path(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY, 0644);
    if (events->fd < 0) {
        result = events->fd;
        free(events);
        if (result == -ENXIO)
            return error_set(err, result,
                             "cannot write events to %s: nobody reads it; start its reader first", path);
        return error_set(err, result, "cannot write events to %s: %s", path, open_path_reason(path, result));
    }
    pthread_mutex_init(&events->lock, NULL);
    events->task.run = loop_turned;
    events->write_op.done = write_done;
    *ret_events = events;
    return 0;
}

void events_attach(struct events *events, struct loop *loop)
{
    if (!events)
        return;
    events->loop = loop;
    loop_post(loop, &events->task);
}

void events_say(struct events *events, enum event_kind kind, const struct event_member *members,
                unsigned count)
{
    char *line;

    if (!events)
        return;
    pthread_mutex_lock(&events->lock);
    if (!events->gone) {
        line = format_line(events, kind, members, count);
        append_line(events, line, kind == EVENT_EXIT ? PENDING_SIZE : PENDING_SIZE - LAST_LINE);
        free(line);
        if (!events->loop_runs)
            write_here(events, 0);
        else if (!events->writing)
            loop_post(events->loop, &events->task);
    }
    pthread_mutex_unlock(&events->lock);
}

void events_leave(struct events *events)
{
    if (!events)
        return;
    pthread_mutex_lock(&events->lock);
    if (!events->writing)
        write_here(events, 0);
    events->gone = true;
    pthread_mutex_unlock(&events->lock);
}

void events_close(struct events *events)
{
    if (!events)
        return;
    events->closing = true;
    /* The reader is slow, or the loop was stopped with the write's end unseen: the write has to end first. */
    if (events->writing) {
        loop_cancel(events->loop, &events->write_op);
        while (events->writing && loop_run(events->loop) == 0)
            continue;
    }
    if (events->writing)
        return; /* the kernel may still read from it */
    write_here(events, LAST_PATIENCE);
    close(events->fd);
    pthread_mutex_destroy(&events->lock);
    free(events);
}
