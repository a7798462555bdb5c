/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.h - `--events`: what happens to a VM, one JSON object a line, for programs (docs/events.md).
 *
 * Lines are written as they come, once the loop runs by the loop. A reader that is slow or gone never holds the
 * VM up: what does not fit into 64 KiB is left out, and the next line that fits says how many were ("lost": N).
 * NULL is fine wherever a struct events is taken: nobody listens.
 *
 * SIGPIPE has to be ignored by the caller.
 *
 * Threads: events_say() any; all else the main thread.
 */
#ifndef RINGLET_EVENTS_H
#define RINGLET_EVENTS_H

#include <stdint.h>

struct error;
struct events;
struct loop;

enum event_kind {
    EVENT_STARTED, /* the process began; "pid", "version", "name" if it has one, "command": run or exec */
    EVENT_KERNEL_LOADED,  /* kernel and initrd are in guest RAM; "kernel" as it was named */
    EVENT_GUEST_BOOTED,   /* the guest drives its first virtio device */
    EVENT_GUEST_READY,    /* exec: the command runs */
    EVENT_CONSOLE_CLOSED, /* the console is written to its end, or as far as can be: "reason" */
    EVENT_EXIT,           /* the last line: "reason" (a word of docs/events.md), "status" */
    EVENT_KIND_COUNT,
};

/* A member of the line beside "event" and "us" (microseconds since the process began). */
struct event_member {
    const char *name;
    const char *text; /* a string; NULL: `number` */
    int64_t number;
};

/* Open `path` (or "fd=N"; appended to): the process began, times count from here. 0 or -errno with *err. */
int events_open(const char *path, struct events **ret_events, struct error *err);

/* From its first turn on the loop writes; borrowed. Before loop_run(). */
void events_attach(struct events *events, struct loop *loop);

void events_say(struct events *events, enum event_kind kind, const struct event_member *members,
                unsigned count);

/*
 * The process is about to be ended from inside the loop: write what can be written without waiting, unless the loop is
 * writing, and take no more. Loop thread.
 */
void events_leave(struct events *events);

/*
 * Write what is left, waiting at most two seconds for a reader, and release everything. The loop does not run
 * any more, but is not destroyed yet; when the reader is slow it is run once more, to see a write off, so that
 * whatever has an operation or a task there must still exist. NULL is fine.
 */
void events_close(struct events *events);

#endif
