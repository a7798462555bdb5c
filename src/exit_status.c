/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exit_status.c - see exit_status.h.
 */
#include "exit_status.h"

#include <assert.h>
#include <signal.h>

#include "ringlet/util.h"

#define BOTH (COMMAND_RUN | COMMAND_EXEC)

static const struct exit_status_row rows[] = {
    { "0", "the guest powered off", COMMAND_RUN },
    { "N", "with --debug-exit: the byte that the guest wrote to port 0xf4, as it is", COMMAND_RUN },
    { "N", "the command's own status", COMMAND_EXEC },
    { "120", "the guest asked for a reset (a kernel panic ends so, too: panic=-1)", COMMAND_RUN },
    { "121", "the guest crashed (triple fault)", COMMAND_RUN },
    { "122", "KVM reported an internal error", BOTH },
    { "123", "the guest ended before the command did (a panic, a crash, a power-off), or before it answered",
      COMMAND_EXEC },
    { "124", "the --timeout ran out", BOTH },
    { "125", "ringlet could not do what was asked; one line on stderr says why", COMMAND_RUN },
    { "125",
      "ringlet could not do what was asked, or the guest could not be set up; one line on stderr says why",
      COMMAND_EXEC },
    { "126", "the command cannot be executed, or its working directory not be entered", COMMAND_EXEC },
    { "127", "there is no such command in the guest", COMMAND_EXEC },
    { "128+N", "signal N ended it; 130 for Ctrl-C (where it is not the guest's) and for Ctrl-A x",
      COMMAND_RUN },
    { "128+N", "signal N killed the command, or ended ringlet (130 for Ctrl-C)", COMMAND_EXEC },
};

const struct exit_status_row *exit_status_rows(unsigned *ret_count)
{
    *ret_count = ARRAY_SIZE(rows);
    return rows;
}

int exit_status_of(enum stop_reason reason, int value)
{
    switch (reason) {
    case STOP_POWEROFF:
        return EXIT_STATUS_POWEROFF;
    case STOP_DEBUG_EXIT:
        return value & 0xff;
    case STOP_RESET:
        return EXIT_STATUS_RESET;
    case STOP_TRIPLE_FAULT:
        return EXIT_STATUS_CRASH;
    case STOP_INTERNAL_ERROR:
        return EXIT_STATUS_INTERNAL_ERROR;
    case STOP_TIMEOUT:
        return EXIT_STATUS_TIMEOUT;
    case STOP_SIGNAL:
        return EXIT_STATUS_SIGNAL_BASE + value;
    case STOP_CONSOLE_QUIT:
        return EXIT_STATUS_SIGNAL_BASE + SIGINT;
    case STOP_COMMAND:
        return value & 0xff;
    case STOP_GUEST_FAILURE:
    case STOP_HOST_FAILURE:
        return EXIT_STATUS_FAILURE;
    case STOP_REASON_COUNT:
        break;
    }
    assert(!"a stop reason without an exit status");
    return EXIT_STATUS_FAILURE;
}

int exit_status_of_exec(enum stop_reason reason, int value)
{
    switch (reason) {
    case STOP_POWEROFF:
    case STOP_DEBUG_EXIT:
    case STOP_RESET:
    case STOP_TRIPLE_FAULT:
        return EXIT_STATUS_GUEST_DIED;
    default:
        return exit_status_of(reason, value);
    }
}
