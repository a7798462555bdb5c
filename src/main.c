/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - the first word of the command line chooses what to do. Only this layer prints and ends the
 * process.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "boot.h"
#include "completion.h"
#include "config_file.h"
#include "doctor.h"
#include "exit_status.h"
#include "help.h"
#include "machine.h"
#include "options.h"
#include "ringlet/console.h"
#include "ringlet/error.h"
#include "ringlet/log.h"
#include "ringlet/util.h"
#include "vm.h"

static int fail(const struct error *err)
{
    log_error("%s", err->text);
    return EXIT_STATUS_FAILURE;
}

static int dump(const struct run_options *options, struct error *err)
{
    struct machine_plan plan;
    int result = machine_plan_make(options, &plan, err);

    return result < 0 ? result : boot_dump(options, &plan, err);
}

static int run_machine(enum command command, int argc, char **argv)
{
    struct run_options options;
    struct error err = { 0 };
    int result = run_options_parse(command, argc, argv, &options, &err);

    if (result == 0) {
        log_set_level(options.verbosity);
        if (options.help)
            help_print_command(command, stdout);
        else if (options.print_config)
            result = config_file_print(&options, stdout, &err);
        else if (options.dump_dtb || options.dump_acpi)
            result = dump(&options, &err);
        else
            result = vm_run(&options, &err);
    }
    run_options_finish(&options);
    return result < 0 ? fail(&err) : result;
}

static int command_run(int argc, char **argv)
{
    return run_machine(COMMAND_RUN, argc, argv);
}

static int command_exec(int argc, char **argv)
{
    return run_machine(COMMAND_EXEC, argc, argv);
}

static int command_doctor(int argc, char **argv)
{
    struct error err = { 0 };

    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        help_print_doctor(stdout);
        return 0;
    }
    if (argc > 1) {
        error_set(&err, -1, "doctor takes no arguments, not even '%s'", argv[1]);
        return fail(&err);
    }
    return doctor_run(stdout);
}

static int command_help(int argc, char **argv)
{
    (void)argc, (void)argv;
    help_print_usage(stdout);
    return 0;
}

static int command_version(int argc, char **argv)
{
    (void)argc, (void)argv;
    puts("ringlet " RINGLET_VERSION);
    return 0;
}

/* For the build, which installs the page as ringlet.1. */
static int command_man(int argc, char **argv)
{
    (void)argc, (void)argv;
    help_print_man_page(stdout);
    return 0;
}

/* Likewise, for bash. */
static int command_completion(int argc, char **argv)
{
    (void)argc, (void)argv;
    completion_print_bash(stdout);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    { "run", command_run },         { "exec", command_exec },
    { "doctor", command_doctor },   { "help", command_help },
    { "--help", command_help },     { "-h", command_help },
    { "version", command_version }, { "--version", command_version },
    { "--man-page", command_man },  { "--bash-completion", command_completion },
};

/* What a command printed is its work, so to lose it is to fail. A guest's console does not come this way. */
static int written(int status)
{
    struct error err = { 0 };

    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    error_set(&err, -1, "cannot write to standard output: %s", strerror(errno));
    return fail(&err);
}

int main(int argc, char **argv)
{
    struct error err = { 0 };

    if (console_reserve_stdio() < 0) {
        error_set(&err, -1, "standard input, output or error is closed and /dev/null cannot take its place");
        return fail(&err);
    }
    if (argc < 2) {
        error_set(&err, -1, "no command given");
        fail(&err);
        fputc('\n', stderr);
        help_print_usage(stderr);
        return EXIT_STATUS_FAILURE;
    }
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return written(commands[i].run(argc - 1, argv + 1));
    }
    error_set(
        &err, -1,
        "unknown command '%s'; it is `ringlet run --kernel FILE` or `ringlet exec -- COMMAND`, see `ringlet --help`",
        argv[1]);
    return fail(&err);
}
