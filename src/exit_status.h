/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exit_status.h - what the shell gets for each way a run can end: the one table behind the exit status,
 * --help and the man page.
 */
#ifndef RINGLET_EXIT_STATUS_H
#define RINGLET_EXIT_STATUS_H

#include "ringlet/stop.h"

enum exit_status {
    EXIT_STATUS_POWEROFF = 0,
    EXIT_STATUS_RESET = 120,
    EXIT_STATUS_CRASH = 121,
    EXIT_STATUS_INTERNAL_ERROR = 122,
    EXIT_STATUS_TIMEOUT = 124,
    EXIT_STATUS_FAILURE = 125,
    EXIT_STATUS_SIGNAL_BASE = 128, /* + the signal's number */
};

struct exit_status_row {
    const char *status; /* "0", "128+N" */
    const char *meaning;
};

const struct exit_status_row *exit_status_rows(unsigned *ret_count);

/* The process's exit status for a reason and its value (ringlet/stop.h). */
int exit_status_of(enum stop_reason reason, int value);

#endif
