/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_file.h - a command line as a JSON file: what --config reads and --print-config writes.
 *
 * One object. Its members are the long options of the subcommand, without dashes: a string or a whole number for
 * one that takes an argument, an array of those for one that may be given again, true or false for one that takes
 * none. For exec "command" is an array, the words of the command.
 */
#ifndef RINGLET_CONFIG_FILE_H
#define RINGLET_CONFIG_FILE_H

#include <stdio.h>

#include "command.h"

struct error;
struct option_words;
struct run_options;

#define CONFIG_FILE_MAX_SIZE (1u << 20) /* bytes */

/*
 * Add the words of the file `path` (or "fd=N", or "-" for standard input) to *words, to be finished by the caller
 * in any case. Whether their arguments are right is not looked at. 0, or -errno with *err: -EINVAL for a mistake in
 * the file.
 */
int config_file_read(enum command command, const char *path, struct option_words *words, struct error *err);

/*
 * Write what `options` were parsed from: in the order of the table, then the command. 0, or -errno with *err:
 * -EINVAL for a text that is not UTF-8. Whether `to` took it is the caller's to look at.
 */
int config_file_print(const struct run_options *options, FILE *to, struct error *err);

#endif
