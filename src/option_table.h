/* SPDX-License-Identifier: Apache-2.0 */
/*
 * option_table.h - one view of everything that a command line may hold: the fixed rows (option_table.c) and,
 * after them, a row for each kind of device.
 */
#ifndef RINGLET_OPTION_TABLE_H
#define RINGLET_OPTION_TABLE_H

#include <stdbool.h>

#include "options.h"

struct option_entry {
    const char *name;
    char short_name;     /* or 0 */
    const char *metavar; /* NULL: no argument */
    const char *help;
    unsigned commands;
    bool repeatable;
    bool line_only;
    const struct option_row *row;   /* one of these two, */
    const struct device_type *type; /* the other is NULL */
};

unsigned option_entry_count(void);
struct option_entry option_entry_get(unsigned index);

/* By its long name, in full. False if the command has none such. */
bool option_entry_find(enum command command, const char *name, struct option_entry *ret_entry);

/* "run", "exec" */
const char *command_name(enum command command);

#endif
