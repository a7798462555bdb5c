/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.c - see options.h. glibc's getopt_long does the splitting, from a table put together out of ours.
 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "ringlet/cleanup.h"
#include "ringlet/error.h"
#include "ringlet/parse.h"
#include "ringlet/util.h"

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

static const struct option_row rows[] = {
    { "kernel", 'k', "FILE", "the kernel: a distribution's bzImage (vmlinuz) or an ELF vmlinux", parse_kernel,
      false },
    { "initrd", 'i', "FILE", "an initial RAM disk for it", parse_initrd, false },
    { "append", 'a', "STRING", "words for the kernel's command line, after our own; may be given again",
      parse_append, true },
    { "cpus", 'c', "N", "virtual CPUs, 1 to 32 (default 1)", parse_cpus, false },
    { "memory", 'm', "SIZE", "guest memory, at least 32M: 512M, 2G, ...; a bare number is MiB (default 512M)",
      parse_memory, false },
    { "console", 0, "WHERE", "the serial port: stdio (default), file=PATH, pty, socket=PATH, null",
      parse_console, false },
    { "timeout", 0, "DURATION", "end the VM after 30s, 500ms, 5m, 2h; a bare number is seconds",
      parse_timeout, false },
    { "io-engine", 0, "NAME", "auto (default), io_uring, or threads", parse_engine, false },
    { "debug-exit", 0, NULL, "let the guest end the VM with a status of its own, a byte written to port 0xf4",
      parse_debug_exit, true },
    { "dump-dtb", 0, "FILE", "write the machine's device tree instead of running it", parse_dump_dtb, false },
    { "dump-acpi", 0, "DIR", "write the machine's ACPI tables instead of running it", parse_dump_acpi,
      false },
    { "verbose", 'v', NULL, "say more on stderr", parse_verbose, true },
    { "quiet", 'q', NULL, "say nothing on stderr but errors, and the name of --console pty", parse_quiet,
      true },
    { "help", 'h', NULL, "show this", parse_help, true },
};

const struct option_row *run_option_rows(unsigned *ret_count)
{
    *ret_count = ARRAY_SIZE(rows);
    return rows;
}

/* --- devices: VALUE,key,key=value with a doubled comma for a comma --- */

/* Cut the next field out of *cursor, in place. NULL when there is none. */
static char *next_field(char **cursor)
{
    char *field = *cursor, *to = field;

    if (!field)
        return NULL;
    for (const char *from = field;; from++) {
        if (*from == ',' && from[1] == ',') {
            *to++ = *from++;
        } else if (*from == ',' || !*from) {
            *cursor = *from ? field + (from - field) + 1 : NULL;
            *to = '\0';
            return field;
        } else {
            *to++ = *from;
        }
    }
}

static int parse_key_value(const struct device_type *type, const struct device_key *key, const char *value,
                           struct device_argument *argument, unsigned index, struct error *err)
{
    uint64_t number;

    switch (key->kind) {
    case DEVICE_KEY_FLAG:
        if (value)
            return error_set(err, -EINVAL, "--%s: '%s' takes no value", type->name, key->name);
        return 0;
    case DEVICE_KEY_TEXT:
        number = value ? strlen(value) : 0;
        if (!value || number < key->minimum || (key->maximum && number > key->maximum))
            return error_set(err, -EINVAL, "--%s: '%s' takes a text of %llu to %llu characters", type->name,
                             key->name, (unsigned long long)key->minimum, (unsigned long long)key->maximum);
        if (!key->repeatable) {
            argument->keys[index].text = value;
        } else if (argument->repeated_count == DEVICE_REPEATED_MAX) {
            return error_set(err, -EINVAL, "--%s: '%s' is given more than %d times", type->name, key->name,
                             DEVICE_REPEATED_MAX);
        } else {
            argument->repeated[argument->repeated_count].key = index;
            argument->repeated[argument->repeated_count++].text = value;
        }
        return 0;
    case DEVICE_KEY_NUMBER:
        if (!value || !parse_number(value, &number) || number < key->minimum || number > key->maximum ||
            (key->power_of_two && !is_power_of_two(number)))
            return error_set(err, -EINVAL, "--%s: '%s' takes a %s from %llu to %llu", type->name, key->name,
                             key->power_of_two ? "power of two" : "number", (unsigned long long)key->minimum,
                             (unsigned long long)key->maximum);
        argument->keys[index].number = number;
        return 0;
    case DEVICE_KEY_CHOICE:
        for (unsigned i = 0; value && key->choices[i]; i++) {
            if (strcmp(value, key->choices[i]) == 0) {
                argument->keys[index].text = value;
                argument->keys[index].number = i;
                return 0;
            }
        }
        char list[128] = "";
        for (unsigned i = 0; key->choices[i]; i++) {
            size_t length = strlen(list);

            snprintf(list + length, sizeof(list) - length, "%s%s", i ? ", " : "", key->choices[i]);
        }
        return error_set(err, -EINVAL, "--%s: '%s' is one of %s", type->name, key->name, list);
    }
    return -EINVAL;
}

/* Which of `count` keys is called so; `count` if none. */
static unsigned find_key(const struct device_key *keys, unsigned count, const char *name)
{
    unsigned i = 0;

    while (i < count && strcmp(keys[i].name, name) != 0)
        i++;
    return i;
}

/* What stands before the first comma, where the type says what may. */
static int parse_listed_value(const struct device_type *type, char *field, struct device_argument *argument,
                              struct error *err)
{
    char *value = strchr(field, '='), list[128] = "";
    unsigned i;

    if (value)
        *value++ = '\0';
    i = find_key(type->values, type->value_count, field);
    if (i < type->value_count) {
        const struct device_key *key = &type->values[i];

        if (key->kind == DEVICE_KEY_FLAG && value)
            return error_set(err, -EINVAL, "--%s %s takes no '=%s'", type->name, field, value);
        if (key->kind == DEVICE_KEY_TEXT && (!value || !*value))
            return error_set(err, -EINVAL, "--%s %s needs a %s: --%s %s=%s", type->name, field, key->metavar,
                             type->name, field, key->metavar);
        argument->choice = i;
        argument->value = value;
        return 0;
    }
    for (i = 0; i < type->value_count; i++) {
        const struct device_key *key = &type->values[i];
        size_t length = strlen(list);
        bool last = !type->none && i + 1 == type->value_count;

        snprintf(list + length, sizeof(list) - length, "%s%s%s%s",
                 !i     ? ""
                 : last ? " or "
                        : ", ",
                 key->name, key->kind == DEVICE_KEY_TEXT ? "=" : "",
                 key->kind == DEVICE_KEY_TEXT ? key->metavar : "");
    }
    return error_set(err, -EINVAL, "--%s takes %s%s%s, not '%s'", type->name, list, type->none ? " or " : "",
                     type->none ? type->none : "", field);
}

static int parse_device_fields(const struct device_type *type, char *text, struct device_argument *argument,
                               struct error *err)
{
    char *cursor = text, *field = next_field(&cursor);

    if (!*field)
        return error_set(err, -EINVAL, "--%s needs a %s before the first comma", type->name, type->metavar);
    argument->value = field;
    if (type->values) {
        int result = parse_listed_value(type, field, argument, err);

        if (result < 0)
            return result;
    }
    while ((field = next_field(&cursor))) {
        char *value = strchr(field, '=');
        unsigned i;
        int result;

        if (value)
            *value++ = '\0';
        i = find_key(type->keys, type->key_count, field);
        if (i == type->key_count)
            return error_set(err, -EINVAL, "--%s knows no '%s' (a comma in a file name is written twice)",
                             type->name, field);
        if (argument->keys[i].given && !type->keys[i].repeatable)
            return error_set(err, -EINVAL, "--%s: '%s' is given twice", type->name, field);
        result = parse_key_value(type, &type->keys[i], value, argument, i, err);
        if (result < 0)
            return result;
        argument->keys[i].given = true;
    }
    return type->check ? type->check(argument, err) : 0;
}

static int add_device(struct run_options *options, const struct device_type *type, const char *text,
                      struct error *err)
{
    struct device_request *grown =
        reallocarray(options->devices, options->device_count + 1, sizeof(options->devices[0]));
    struct device_request *request;
    unsigned number = 0;

    if (!grown)
        return error_set(err, -ENOMEM, "out of memory");
    options->devices = grown;
    if (type->none && strcmp(text, type->none) == 0)
        return 0;
    for (unsigned i = 0; i < options->device_count; i++)
        number += grown[i].type == type;
    if (number && !type->repeatable)
        return error_set(err, -EINVAL, "--%s is given twice", type->name);
    request = &grown[options->device_count];
    *request = (struct device_request){ .type = type };
    snprintf(request->name, sizeof(request->name), "%s%u", type->name, number);
    if (text) {
        request->storage = strdup(text);
        if (!request->storage)
            return error_set(err, -ENOMEM, "out of memory");
    }
    options->device_count++;
    return text ? parse_device_fields(type, request->storage, &request->argument, err) : 0;
}

/* --- the whole line --- */

#define FIRST_ROW_CODE                                                                                       \
    1000 /* getopt_long's return value of row n is this plus n; device n comes after the rows */

static void add_getopt_entry(struct option *option, char *shorts, const char *name, char short_name,
                             bool argument, int code)
{
    size_t length = strlen(shorts);

    *option =
        (struct option){ .name = name, .has_arg = argument ? required_argument : no_argument, .val = code };
    if (short_name)
        snprintf(shorts + length, 3, "%c%s", short_name, argument ? ":" : "");
}

static int find_short(const struct device_type *types, unsigned type_count, int letter)
{
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].short_name == letter)
            return FIRST_ROW_CODE + (int)i;
    }
    for (unsigned i = 0; i < type_count; i++) {
        if (types[i].short_name == letter)
            return FIRST_ROW_CODE + (int)(ARRAY_SIZE(rows) + i);
    }
    return -1;
}

int run_options_parse(int argc, char **argv, struct run_options *ret_options, struct error *err)
{
    unsigned type_count;
    const struct device_type *types = device_types(&type_count);
    unsigned count = ARRAY_SIZE(rows) + type_count;
    CLEANUP_FREE struct option *longs = calloc(count + 1, sizeof(*longs));
    CLEANUP_FREE char *shorts = calloc(count + 1, 3);
    bool given[ARRAY_SIZE(rows)] = { false };
    int code;

    *ret_options = (struct run_options){
        .cpus = 1,
        .memory = RUN_DEFAULT_MEMORY_MIB * MIB,
        .console = CONSOLE_STDIO,
        .verbosity = LOG_LEVEL_WARNING,
        .append = strdup(""),
    };
    if (!longs || !shorts || !ret_options->append)
        return error_set(err, -ENOMEM, "out of memory");
    /* Stop at the first word that is no option; tell a missing argument from a bad option. */
    memcpy(shorts, "+:", sizeof("+:"));
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
        add_getopt_entry(&longs[i], shorts, rows[i].name, rows[i].short_name, rows[i].metavar,
                         FIRST_ROW_CODE + (int)i);
    for (unsigned i = 0; i < type_count; i++)
        add_getopt_entry(&longs[ARRAY_SIZE(rows) + i], shorts, types[i].name, types[i].short_name,
                         types[i].metavar, FIRST_ROW_CODE + (int)(ARRAY_SIZE(rows) + i));

    opterr = 0;
    optind = 0;
    while ((code = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        const char *word = argv[optind > 0 ? optind - 1 : 0];
        unsigned index;
        int result;

        if (code == ':')
            return error_set(err, -EINVAL, "option '%s' needs an argument; see `ringlet run --help`", word);
        if (code != '?' && code < FIRST_ROW_CODE)
            code = find_short(types, type_count, code);
        if (code < FIRST_ROW_CODE) {
            if (optopt >= FIRST_ROW_CODE)
                return error_set(err, -EINVAL, "option '%s' takes no argument", word);
            if (optopt)
                return error_set(err, -EINVAL, "unknown option '-%c'; see `ringlet run --help`", optopt);
            return error_set(err, -EINVAL, "unknown option '%s'; see `ringlet run --help`", word);
        }
        index = (unsigned)(code - FIRST_ROW_CODE);
        if (index < ARRAY_SIZE(rows) && !rows[index].repeatable && given[index])
            return error_set(err, -EINVAL, "--%s is given twice", rows[index].name);
        if (index < ARRAY_SIZE(rows))
            given[index] = true;
        result = index < ARRAY_SIZE(rows)
                     ? rows[index].parse(ret_options, optarg, err)
                     : add_device(ret_options, &types[index - ARRAY_SIZE(rows)], optarg, err);
        if (result < 0)
            return result;
        if (ret_options->help)
            return 0;
    }
    if (optind < argc)
        return error_set(err, -EINVAL,
                         "'%s' is no option; a disk is given with --disk, a kernel with --kernel",
                         argv[optind]);
    if (!ret_options->kernel && !ret_options->dump_dtb && !ret_options->dump_acpi)
        return error_set(err, -EINVAL, "no kernel: give one with --kernel FILE");
    return 0;
}

void run_options_finish(struct run_options *options)
{
    for (unsigned i = 0; i < options->device_count; i++)
        free(options->devices[i].storage);
    free(options->devices);
    free(options->append);
}
