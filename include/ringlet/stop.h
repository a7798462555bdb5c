/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stop.h - how any part says that the machine is to end, and why.
 *
 * The first request wins; later ones are ignored. What a reason means to the shell (the exit status) stands
 * in one table in src/exit_status.c.
 */
#ifndef RINGLET_STOP_H
#define RINGLET_STOP_H

enum stop_reason {
    STOP_POWEROFF,       /* the guest switched itself off (ACPI S5) */
    STOP_DEBUG_EXIT,     /* the guest wrote `value` to the debug-exit port */
    STOP_RESET,          /* the guest asked for a reset (i8042, ACPI reset register) */
    STOP_TRIPLE_FAULT,   /* the guest crashed */
    STOP_INTERNAL_ERROR, /* KVM could not go on */
    STOP_TIMEOUT,        /* --timeout fired */
    STOP_SIGNAL,         /* signal number `value` arrived */
    STOP_CONSOLE_QUIT,   /* Ctrl-A x */
    STOP_COMMAND,        /* the command of `ringlet exec` ended with status `value` */
    STOP_GUEST_FAILURE,  /* the guest's init could not run the command, or broke the protocol */
    STOP_HOST_FAILURE, /* something of the host's failed so that the VM cannot go on: `value` is a -errno, or 0
                          where the person has been told why */
    STOP_REASON_COUNT,
};

struct stop_sink;

struct stop_sink_ops {
    void (*request)(struct stop_sink *sink, enum stop_reason reason,
                    int value); /* any thread; never blocks */
};

/* Embedded by whoever ends the machine (src/vm_end.c; a recorder in tests). */
struct stop_sink {
    const struct stop_sink_ops *ops;
};

static inline void stop_request(struct stop_sink *sink, enum stop_reason reason, int value)
{
    sink->ops->request(sink, reason, value);
}

#endif
