/* SPDX-License-Identifier: Apache-2.0 */
/*
 * option_table.c - the options that are no devices, a row each: what a person reads of it, and what it sets.
 */
#include "option_table.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "device_option.h"
#include "ringlet/error.h"
#include "ringlet/parse.h"
#include "ringlet/util.h"

#define NAME_MAX_LENGTH 63 /* of a host name's label, which it becomes in the guest */

/* `name`: the option. */
static int take_path(const char **to, const char *name, const char *argument, struct error *err)
{
    if (!*argument)
        return error_set(err, -EINVAL, "--%s is given an empty name", name);
    *to = argument;
    return 0;
}

static int parse_kernel(struct run_options *options, const char *argument, struct error *err)
{
    return take_path(&options->kernel, "kernel", argument, err);
}

static int parse_initrd(struct run_options *options, const char *argument, struct error *err)
{
    return take_path(&options->initrd, "initrd", argument, err);
}

static int parse_append(struct run_options *options, const char *argument, struct error *err)
{
    char *joined;

    if (asprintf(&joined, "%s%s%s", options->append, *options->append ? " " : "", argument) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    free(options->append);
    options->append = joined;
    return 0;
}

static int parse_cpus(struct run_options *options, const char *argument, struct error *err)
{
    uint64_t number;

    if (!parse_number(argument, &number) || number < 1 || number > RUN_MAXIMUM_CPUS)
        return error_set(err, -EINVAL, "--cpus takes a number from 1 to %d, not '%s'", RUN_MAXIMUM_CPUS,
                         argument);
    options->cpus = (unsigned)number;
    return 0;
}

static int parse_memory(struct run_options *options, const char *argument, struct error *err)
{
    uint64_t bytes;
    struct sysinfo host;

    if (!parse_size(argument, &bytes))
        return error_set(err, -EINVAL, "--memory takes a size such as 512M or 2G, not '%s'", argument);
    if (bytes < RUN_MINIMUM_MEMORY_MIB * MIB)
        return error_set(err, -EINVAL, "--memory %s is too little: a VM has at least %d MiB", argument,
                         RUN_MINIMUM_MEMORY_MIB);
    if (sysinfo(&host) == 0 && bytes > (uint64_t)host.totalram * host.mem_unit)
        return error_set(err, -EINVAL, "--memory %s is more than this host has (%llu MiB)", argument,
                         (unsigned long long)((uint64_t)host.totalram * host.mem_unit / MIB));
    options->memory = align_up(bytes, 4096);
    return 0;
}

static int parse_console(struct run_options *options, const char *argument, struct error *err)
{
    static const struct {
        const char *word;
        enum console_kind kind;
        bool takes_path;
    } kinds[] = {
        { "stdio", CONSOLE_STDIO, false },  { "file", CONSOLE_FILE, true },  { "pty", CONSOLE_PTY, false },
        { "socket", CONSOLE_SOCKET, true }, { "null", CONSOLE_NULL, false },
    };
    size_t length = strcspn(argument, "=");
    const char *path = argument[length] ? argument + length + 1 : NULL;

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (strlen(kinds[i].word) != length || strncmp(argument, kinds[i].word, length) != 0)
            continue;
        if (kinds[i].takes_path && (!path || !*path))
            return error_set(err, -EINVAL, "--console %s needs a path: --console %s=PATH", kinds[i].word,
                             kinds[i].word);
        if (!kinds[i].takes_path && path)
            return error_set(err, -EINVAL, "--console %s takes no '=%s'", kinds[i].word, path);
        options->console = kinds[i].kind;
        options->console_given = true;
        options->console_path = path;
        return 0;
    }
    return error_set(err, -EINVAL, "--console takes stdio, file=PATH, pty, socket=PATH or null, not '%s'",
                     argument);
}

static int parse_timeout(struct run_options *options, const char *argument, struct error *err)
{
    if (!parse_duration(argument, &options->timeout))
        return error_set(err, -EINVAL, "--timeout takes a duration such as 30s, 500ms, 5m or 2h, not '%s'",
                         argument);
    return 0;
}

static int parse_engine(struct run_options *options, const char *argument, struct error *err)
{
    static const char *const names[] = {
        [LOOP_ENGINE_AUTO] = "auto", [LOOP_ENGINE_IO_URING] = "io_uring", [LOOP_ENGINE_THREADS] = "threads"
    };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcmp(argument, names[i]) == 0) {
            options->engine = (enum loop_engine)i;
            return 0;
        }
    }
    return error_set(err, -EINVAL, "--io-engine takes auto, io_uring or threads, not '%s'", argument);
}

static int parse_debug_exit(struct run_options *options, const char *argument, struct error *err)
{
    (void)argument, (void)err;
    options->debug_exit = true;
    return 0;
}

static int parse_dump_dtb(struct run_options *options, const char *argument, struct error *err)
{
    return take_path(&options->dump_dtb, "dump-dtb", argument, err);
}

static int parse_dump_acpi(struct run_options *options, const char *argument, struct error *err)
{
    return take_path(&options->dump_acpi, "dump-acpi", argument, err);
}

static int parse_name(struct run_options *options, const char *argument, struct error *err)
{
    size_t length = strlen(argument);
    bool good = length >= 1 && length <= NAME_MAX_LENGTH && isalnum((unsigned char)argument[0]);

    for (size_t i = 0; i < length; i++)
        good &= isalnum((unsigned char)argument[i]) || strchr("._-", argument[i]) != NULL;
    if (!good)
        return error_set(err, -EINVAL,
                         "--name takes at most %d letters, digits, '.', '_' and '-', the first a letter or a "
                         "digit, not '%s'",
                         NAME_MAX_LENGTH, argument);
    options->name = argument;
    return 0;
}

static int parse_pidfile(struct run_options *options, const char *argument, struct error *err)
{
    return take_path(&options->pidfile, "pidfile", argument, err);
}

static int parse_events(struct run_options *options, const char *argument, struct error *err)
{
    return take_path(&options->events, "events", argument, err);
}

static int parse_config(struct run_options *options, const char *argument, struct error *err)
{
    return take_path(&options->config, "config", argument, err);
}

static int parse_print_config(struct run_options *options, const char *argument, struct error *err)
{
    (void)argument, (void)err;
    options->print_config = true;
    return 0;
}

/* --- exec's own --- */

/* The caller's variable, "NAME=VALUE". */
static const char *find_variable(const char *name)
{
    size_t length = strlen(name);

    for (char **variable = environ; variable && *variable; variable++) {
        if (strncmp(*variable, name, length) == 0 && (*variable)[length] == '=')
            return *variable;
    }
    return NULL;
}

static int parse_env(struct run_options *options, const char *argument, struct error *err)
{
    struct exec_options *exec = &options->exec;
    const char *variable = strchr(argument, '=') ? argument : find_variable(argument);
    const char **grown;

    if (!*argument || *argument == '=')
        return error_set(err, -EINVAL,
                         "--env takes NAME=VALUE, or the NAME of a variable that is set, not '%s'", argument);
    if (!variable)
        return error_set(err, -EINVAL,
                         "--env %s: there is no such variable here; --env %s=VALUE gives it one", argument,
                         argument);
    grown = reallocarray(exec->environment, exec->environment_count + 1, sizeof(*grown));
    if (!grown)
        return error_set(err, -ENOMEM, "out of memory");
    exec->environment = grown;
    grown[exec->environment_count++] = variable;
    return 0;
}

static int parse_workdir(struct run_options *options, const char *argument, struct error *err)
{
    if (*argument != '/')
        return error_set(err, -EINVAL, "--workdir takes an absolute path of the guest's, not '%s'", argument);
    options->exec.workdir = argument;
    return 0;
}

static int parse_user(struct run_options *options, const char *argument, struct error *err)
{
    const char *colon = strchr(argument, ':');

    if (!*argument || colon == argument || (colon && (!colon[1] || strchr(colon + 1, ':'))))
        return error_set(err, -EINVAL, "--user takes NAME, NAME:GROUP or numbers, not '%s'", argument);
    options->exec.user = argument;
    return 0;
}

static int parse_image(struct run_options *options, const char *argument, struct error *err)
{
    return device_option_add_image(options, argument, err);
}

static int parse_tty(struct run_options *options, const char *argument, struct error *err)
{
    (void)argument, (void)err;
    options->exec.terminal = true;
    return 0;
}

/* --- both's --- */

static int parse_verbose(struct run_options *options, const char *argument, struct error *err)
{
    (void)argument, (void)err;
    options->verbosity = LOG_LEVEL_INFO;
    return 0;
}

static int parse_quiet(struct run_options *options, const char *argument, struct error *err)
{
    (void)argument, (void)err;
    options->verbosity = LOG_LEVEL_ERROR;
    return 0;
}

static int parse_help(struct run_options *options, const char *argument, struct error *err)
{
    (void)argument, (void)err;
    options->help = true;
    return 0;
}

#define BOTH (COMMAND_RUN | COMMAND_EXEC)

/* In the order in which --help shows them and --print-config writes them. */
static const struct option_row rows[] = {
    { .name = "kernel",
      .short_name = 'k',
      .metavar = "FILE",
      .help = "the kernel: a distribution's bzImage (vmlinuz) or an ELF vmlinux",
      .commands = COMMAND_RUN,
      .parse = parse_kernel,
      .complete = COMPLETE_FILES },
    { .name = "kernel",
      .short_name = 'k',
      .metavar = "FILE",
      .help = "the kernel: a bzImage (vmlinuz) or an ELF vmlinux (default: the default guest's)",
      .commands = COMMAND_EXEC,
      .parse = parse_kernel,
      .complete = COMPLETE_FILES },
    { .name = "initrd",
      .short_name = 'i',
      .metavar = "FILE",
      .help = "an initial RAM disk for it",
      .commands = BOTH,
      .parse = parse_initrd,
      .complete = COMPLETE_FILES },
    { .name = "append",
      .short_name = 'a',
      .metavar = "STRING",
      .help = "words for the kernel's command line, after our own; may be given again",
      .commands = BOTH,
      .parse = parse_append,
      .repeatable = true },
    { .name = "cpus",
      .short_name = 'c',
      .metavar = "N",
      .help = "virtual CPUs, 1 to 32 (default 1)",
      .commands = BOTH,
      .parse = parse_cpus },
    { .name = "memory",
      .short_name = 'm',
      .metavar = "SIZE",
      .help = "guest memory, at least 32M: 512M, 2G, ...; a bare number is MiB (default 512M)",
      .commands = BOTH,
      .parse = parse_memory },
    { .name = "image",
      .metavar = "DISK[,...]",
      .help =
          "a disk with the root file system, /dev/vda; its keys are --disk's (default: what the initrd holds)",
      .commands = COMMAND_EXEC,
      .parse = parse_image,
      .complete = COMPLETE_FILES },
    { .name = "env",
      .short_name = 'e',
      .metavar = "NAME[=VALUE]",
      .help = "a variable for the command; without a value, as it is here; may be given again",
      .commands = COMMAND_EXEC,
      .parse = parse_env,
      .repeatable = true,
      .complete = COMPLETE_VARIABLES },
    { .name = "workdir",
      .short_name = 'w',
      .metavar = "DIR",
      .help = "where in the guest the command starts (default /)",
      .commands = COMMAND_EXEC,
      .parse = parse_workdir,
      .complete = COMPLETE_DIRECTORIES },
    { .name = "user",
      .short_name = 'u',
      .metavar = "USER[:GROUP]",
      .help = "who runs it, by the guest's names or by numbers (default root)",
      .commands = COMMAND_EXEC,
      .parse = parse_user },
    { .name = "tty",
      .short_name = 't',
      .help = "give it a terminal, of the size of this one",
      .commands = COMMAND_EXEC,
      .parse = parse_tty,
      .repeatable = true },
    { .name = "console",
      .metavar = "WHERE",
      .help = "the serial port: stdio (default), file=PATH, pty, socket=PATH, null",
      .commands = COMMAND_RUN,
      .parse = parse_console,
      .complete = "stdio file= pty socket= null" },
    { .name = "console",
      .metavar = "WHERE",
      .help =
          "where the kernel's messages go as well: file=PATH, pty, socket=PATH, null (default: they are shown when the guest fails)",
      .commands = COMMAND_EXEC,
      .parse = parse_console,
      .complete = "file= pty socket= null" },
    { .name = "timeout",
      .metavar = "DURATION",
      .help = "end the VM after 30s, 500ms, 5m, 2h; a bare number is seconds",
      .commands = BOTH,
      .parse = parse_timeout },
    { .name = "name",
      .metavar = "NAME",
      .help = "what the VM is called; in the guest of exec its host name",
      .commands = BOTH,
      .parse = parse_name },
    { .name = "pidfile",
      .metavar = "FILE",
      .help = "holds ringlet's process number while the VM runs",
      .commands = BOTH,
      .parse = parse_pidfile,
      .complete = COMPLETE_FILES },
    { .name = "events",
      .metavar = "WHERE",
      .help = "tell what happens, a JSON object a line: fd=N, or a file to append to",
      .commands = BOTH,
      .parse = parse_events,
      .complete = COMPLETE_FILES },
    { .name = "io-engine",
      .metavar = "NAME",
      .help = "auto (default), io_uring, or threads",
      .commands = BOTH,
      .parse = parse_engine,
      .complete = "auto io_uring threads" },
    { .name = "debug-exit",
      .help = "let the guest end the VM with a status of its own, a byte written to port 0xf4",
      .commands = COMMAND_RUN,
      .parse = parse_debug_exit,
      .repeatable = true },
    { .name = "dump-dtb",
      .metavar = "FILE",
      .help = "write the machine's device tree instead of running it",
      .commands = COMMAND_RUN,
      .parse = parse_dump_dtb,
      .complete = COMPLETE_FILES },
    { .name = "dump-acpi",
      .metavar = "DIR",
      .help = "write the machine's ACPI tables instead of running it",
      .commands = COMMAND_RUN,
      .parse = parse_dump_acpi,
      .complete = COMPLETE_DIRECTORIES },
    { .name = "verbose",
      .short_name = 'v',
      .help = "say more on stderr; with exec also what the guest's kernel says",
      .commands = BOTH,
      .parse = parse_verbose,
      .repeatable = true },
    { .name = "quiet",
      .short_name = 'q',
      .help = "say nothing on stderr but errors, and the name of --console pty",
      .commands = BOTH,
      .parse = parse_quiet,
      .repeatable = true },
    { .name = "config",
      .metavar = "FILE",
      .help =
          "options from a JSON file, - for standard input; those of the command line count before its own",
      .commands = BOTH,
      .parse = parse_config,
      .line_only = true,
      .complete = COMPLETE_FILES },
    { .name = "print-config",
      .help = "write what this command line means as such a file, and run nothing",
      .commands = BOTH,
      .parse = parse_print_config,
      .repeatable = true,
      .line_only = true },
    { .name = "help",
      .short_name = 'h',
      .help = "show this",
      .commands = BOTH,
      .parse = parse_help,
      .repeatable = true,
      .line_only = true },
};

const struct option_row *run_option_rows(unsigned *ret_count)
{
    *ret_count = ARRAY_SIZE(rows);
    return rows;
}

/* --- rows and devices in one --- */

unsigned option_entry_count(void)
{
    unsigned type_count;

    device_types(&type_count);
    return ARRAY_SIZE(rows) + type_count;
}

struct option_entry option_entry_get(unsigned index)
{
    unsigned type_count;
    const struct device_type *types = device_types(&type_count);

    assert(index < ARRAY_SIZE(rows) + type_count);
    if (index < ARRAY_SIZE(rows)) {
        const struct option_row *row = &rows[index];

        return (struct option_entry){ .name = row->name,
                                      .short_name = row->short_name,
                                      .metavar = row->metavar,
                                      .help = row->help,
                                      .commands = row->commands,
                                      .repeatable = row->repeatable,
                                      .line_only = row->line_only,
                                      .row = row };
    }
    const struct device_type *type = &types[index - ARRAY_SIZE(rows)];

    return (struct option_entry){ .name = type->name,
                                  .short_name = type->short_name,
                                  .metavar = type->metavar,
                                  .help = type->help,
                                  .commands = BOTH,
                                  .repeatable = type->repeatable,
                                  .type = type };
}

bool option_entry_find(enum command command, const char *name, struct option_entry *ret_entry)
{
    for (unsigned i = 0; i < option_entry_count(); i++) {
        struct option_entry entry = option_entry_get(i);

        if ((entry.commands & (unsigned)command) && strcmp(entry.name, name) == 0) {
            *ret_entry = entry;
            return true;
        }
    }
    return false;
}

const char *command_name(enum command command)
{
    return command == COMMAND_EXEC ? "exec" : "run";
}
