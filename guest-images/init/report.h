/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.h - what goes wrong is said: to the host by frames once there is a control port, to the console before.
 * And the machine's end, which is also that of process 1: it never returns.
 */
#ifndef RINGLET_GUEST_REPORT_H
#define RINGLET_GUEST_REPORT_H

#include <stdbool.h>

struct error;
struct guest_exit;

struct report {
    int console;        /* -1: there is none */
    int control;        /* -1: not yet */
    bool can_power_off; /* the kernel has a way */
};

/* One sentence, printf-like: what is done without. */
void report_warning(const struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Say why it cannot go on; the machine ends. */
void report_failure(const struct report *report, const struct error *err) __attribute__((noreturn));

/*
 * Say how the command ended. The host then ends the machine, once its own readers have all that the command wrote:
 * that is in the host's time, so it is waited for until the host lets go of the port.
 */
void report_exit(const struct report *report, const struct guest_exit *end) __attribute__((noreturn));

/* Without a word. */
void report_power_off(const struct report *report) __attribute__((noreturn));

#endif
