/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.h - the subcommands that run a machine. A row of a table (options, exit statuses) says for which of
 * them it is, as a set of these bits.
 */
#ifndef RINGLET_COMMAND_H
#define RINGLET_COMMAND_H

enum command {
    COMMAND_RUN = 1 << 0,
    COMMAND_EXEC = 1 << 1,
};

#endif
