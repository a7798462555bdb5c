/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h - the command lines of `ringlet run` and `ringlet exec`: the option table, and what a command line
 * means.
 *
 * The fixed options stand in one table (option_table.c); one more per device comes from
 * src/devices/device_table.c. The command line, --config files, --print-config, --help, the man page and the
 * shell's completion all read the same rows.
 */
#ifndef RINGLET_OPTIONS_H
#define RINGLET_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "command.h"
#include "ringlet/console.h"
#include "ringlet/device_type.h"
#include "ringlet/log.h"
#include "ringlet/loop.h"

struct error;
struct run_options;

#define RUN_DEFAULT_MEMORY_MIB 512
#define RUN_MINIMUM_MEMORY_MIB 32
#define RUN_MAXIMUM_CPUS       32

/* A device as asked for, in the order of the command line; what --image asks for comes first. */
struct device_request {
    const struct device_type *type;
    struct device_argument argument;
    char name[24]; /* "disk0" */
    char *storage; /* owned; what the argument's texts point into */
};

/* What `ringlet exec` is to run in the guest. Texts point into run_options.words, or the process's environment. */
struct exec_options {
    const char **arguments; /* owned; the command, argument_count of them */
    unsigned argument_count;
    const char **environment; /* owned; "NAME=VALUE" in the order given; the last of a NAME counts */
    unsigned environment_count;
    const char *workdir; /* NULL: "/" */
    const char *user;    /* NULL: root */
    bool terminal;       /* -t */
    bool image;          /* devices[0] is --image's disk, the root file system */
};

/* An option as it was given, on the command line or in a --config file; or a word of exec's command. */
struct option_word {
    const char *name; /* long, of the table; OPTION_COMMAND for a word of the command */
    char *argument;   /* owned; NULL for an option that takes none */
};

#define OPTION_COMMAND "command"

static inline bool device_request_is(const struct device_request *request, const char *type)
{
    return strcmp(request->type->name, type) == 0;
}

/* Was the key `name` given? False also for a type that has none of that name. */
static inline bool device_request_has(const struct device_request *request, const char *name)
{
    for (unsigned i = 0; i < request->type->key_count; i++) {
        if (strcmp(request->type->keys[i].name, name) == 0)
            return request->argument.keys[i].given;
    }
    return false;
}

struct run_options {
    enum command command;
    const char *kernel; /* NULL, with exec: the default guest's */
    const char *initrd; /* NULL: none */
    char *append;       /* owned; the user's words, "" without any */
    unsigned cpus;
    uint64_t memory; /* bytes */
    enum console_kind console;
    bool console_given; /* else exec keeps the console to itself */
    const char *console_path;
    uint64_t timeout; /* nanoseconds; 0: none */
    enum loop_engine engine;
    bool debug_exit;
    enum log_level verbosity;
    const char *dump_dtb;  /* file */
    const char *dump_acpi; /* folder */
    const char *name;      /* of the VM: NULL without */
    const char *pidfile;
    const char *events; /* where JSON lines go: a path or "fd=N" */
    const char *config; /* the file that words were read from as well */
    bool print_config;
    bool help;
    struct device_request *devices;
    unsigned device_count;
    struct exec_options exec;
    struct option_word *words; /* owned; all that counts, the file's first, without what is line_only */
    unsigned word_count;
};

/*
 * Parse argv[1..] (argv[0] is the subcommand), and the --config file that it names. Texts point into argv or
 * *ret_options. 0, or -errno with *err: -EINVAL for a mistake. In both cases run_options_finish() releases what
 * *ret_options holds. After --help nothing else counts. getopt's state is the process's: the main thread alone.
 */
int run_options_parse(enum command command, int argc, char **argv, struct run_options *ret_options,
                      struct error *err);
void run_options_finish(struct run_options *options);

/* One row as shown to a person. */
struct option_row {
    const char *name;    /* without dashes */
    char short_name;     /* or 0 */
    const char *metavar; /* NULL: no argument */
    const char *help;
    unsigned commands; /* enum command, of those that it is for */
    int (*parse)(struct run_options *options, const char *argument, struct error *err); /* 0 or -EINVAL */
    bool repeatable; /* may be given again */
    bool line_only;  /* about the command line itself: not for a --config file */
    const char
        *complete; /* optional, for a shell: words that the argument may begin with, or one of these: */
};

#define COMPLETE_FILES       "<files>"
#define COMPLETE_DIRECTORIES "<directories>"
#define COMPLETE_VARIABLES   "<variables>"

/*
 * The fixed options; *ret_count gets their number. Where a name means a little else to each command it has a row
 * for each.
 */
const struct option_row *run_option_rows(unsigned *ret_count);

#endif
