/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exit_status.h - what the shell gets for each way a run can end: the one table behind the exit status,
 * --help and the man page.
 */
#ifndef RINGLET_EXIT_STATUS_H
#define RINGLET_EXIT_STATUS_H

#include "command.h"
#include "ringlet/stop.h"

enum exit_status {
    EXIT_STATUS_POWEROFF = 0,
    EXIT_STATUS_RESET = 120,
    EXIT_STATUS_CRASH = 121,
    EXIT_STATUS_INTERNAL_ERROR = 122,
    EXIT_STATUS_GUEST_DIED = 123, /* exec: before the command ended */
    EXIT_STATUS_TIMEOUT = 124,
    EXIT_STATUS_FAILURE = 125,
    EXIT_STATUS_NOT_EXECUTABLE = 126, /* exec's command, as a shell has it */
    EXIT_STATUS_NOT_FOUND = 127,
    EXIT_STATUS_SIGNAL_BASE = 128, /* + the signal's number */
};

struct exit_status_row {
    const char *status; /* "0", "128+N" */
    const char *meaning;
    unsigned commands; /* enum command, of those that can end so */
};

const struct exit_status_row *exit_status_rows(unsigned *ret_count);

/* The process's exit status for a reason and its value (ringlet/stop.h). Pure, as is the next. */
int exit_status_of(enum stop_reason reason, int value);

/* Likewise for exec, where a guest that ends by itself before its command has died, however it did that. */
int exit_status_of_exec(enum stop_reason reason, int value);

#endif
