/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h - `ringlet run`'s command line: the option table, and what a command line means.
 *
 * The fixed options stand in one table here; one more per device comes from src/devices/device_table.c.
 * Parsing, --help and the man page all read the same rows.
 */
#ifndef RINGLET_OPTIONS_H
#define RINGLET_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "ringlet/console.h"
#include "ringlet/device_type.h"
#include "ringlet/log.h"
#include "ringlet/loop.h"

struct error;
struct run_options;

#define RUN_DEFAULT_MEMORY_MIB 512
#define RUN_MINIMUM_MEMORY_MIB 32
#define RUN_MAXIMUM_CPUS       32

/* A device as asked for, in the order of the command line. */
struct device_request {
    const struct device_type *type;
    struct device_argument argument;
    char name[24]; /* "disk0" */
    char *storage; /* owned; what the argument's texts point into */
};

struct run_options {
    const char *kernel;
    const char *initrd; /* NULL: none */
    char *append;       /* owned; the user's words, "" without any */
    unsigned cpus;
    uint64_t memory; /* bytes */
    enum console_kind console;
    const char *console_path;
    uint64_t timeout; /* nanoseconds; 0: none */
    enum loop_engine engine;
    bool debug_exit;
    enum log_level verbosity;
    const char *dump_dtb;  /* file */
    const char *dump_acpi; /* folder */
    bool help;
    struct device_request *devices;
    unsigned device_count;
};

/*
 * Parse argv[1..] (argv[0] is the subcommand). Texts point into argv. 0, or -EINVAL with *err. In both cases
 * run_options_finish() releases what *ret_options holds.
 */
int run_options_parse(int argc, char **argv, struct run_options *ret_options, struct error *err);
void run_options_finish(struct run_options *options);

/* One row as shown to a person. */
struct option_row {
    const char *name;    /* without dashes */
    char short_name;     /* or 0 */
    const char *metavar; /* NULL: no argument */
    const char *help;
    int (*parse)(struct run_options *options, const char *argument, struct error *err); /* 0 or -EINVAL */
    bool repeatable; /* may be given again */
};

/* The fixed options; *ret_count gets their number. */
const struct option_row *run_option_rows(unsigned *ret_count);

#endif
