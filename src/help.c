/* SPDX-License-Identifier: Apache-2.0 */
/*
 * help.c - see help.h.
 */
#include "help.h"

#include <string.h>

#include "exit_status.h"
#include "options.h"
#include "ringlet/device_type.h"
#include "ringlet/util.h"

#define OPTION_COLUMN 26

struct command_form {
    const char *synopsis;
    const char *help;
};

static const struct command_form commands[] = {
    { "run --kernel FILE [OPTION]...", "boot a kernel; the console is this terminal" },
    { "doctor", "say what this machine offers, and how to mend what is missing" },
    { "--help, --version", NULL },
};

static const struct {
    const char *purpose;
    const char *line;
} examples[] = {
    { "a distribution's kernel, its initrd, and a root file system",
      "ringlet run -k vmlinuz -i initrd.img -d root.img -a root=/dev/vda" },
    { "a kernel that has its drivers built in needs no initrd",
      "ringlet run -k vmlinux -d root.img -m 2G -c 4" },
    { "a test, in a script", "ringlet run -k vmlinux -i test.cpio --debug-exit --timeout 60s </dev/null" },
};

static const char *const doctor_text =
    "tries what ringlet needs of this machine, from /dev/kvm to running two small guests, and says "
    "what is missing and how to mend it. Its status is 0 when guests run, even if only small ones do because "
    "this KVM does not run Linux, and 125 when none does.";

static const char *const comma_text = "A comma in a value, such as a file name, is written twice.";

static const char *const console_keys = "Ctrl-A x ends the VM, Ctrl-A Ctrl-A sends one Ctrl-A.";

static void print_wrapped(FILE *to, const char *text, int column)
{
    int at = column;

    while (*text) {
        int length = (int)strcspn(text, " ");

        if (at > column && at + 1 + length > 100) {
            fprintf(to, "\n%*s", column, "");
            at = column;
        }
        at += fprintf(to, "%s%.*s", at > column ? " " : "", length, text);
        text += length;
        text += strspn(text, " ");
    }
    fputc('\n', to);
}

/* "  -d, --disk FILE", padded or on a line of its own, then the help at its column. */
static void print_option(FILE *to, int indent, const char *spelling, const char *help)
{
    int at = fprintf(to, "%*s%s", indent, "", spelling);

    if (at + 2 > OPTION_COLUMN)
        fprintf(to, "\n%*s", OPTION_COLUMN, "");
    else
        fprintf(to, "%*s", OPTION_COLUMN - at, "");
    print_wrapped(to, help, OPTION_COLUMN);
}

static void spell_option(char *to, size_t size, const char *name, char short_name, const char *metavar,
                         bool keys)
{
    char letter[8] = "    ";

    if (short_name)
        snprintf(letter, sizeof(letter), "-%c, ", short_name);
    snprintf(to, size, "%s--%s%s%s%s", letter, name, metavar ? " " : "", metavar ? metavar : "",
             keys ? "[,...]" : "");
}

/* "cache=writeback|writethrough|unsafe", "queues=N", "ro" */
static void spell_key(char *to, size_t size, const struct device_key *key)
{
    size_t length = (size_t)snprintf(to, size, "%s%s", key->name, key->kind == DEVICE_KEY_FLAG ? "" : "=");

    if (key->kind == DEVICE_KEY_CHOICE) {
        for (unsigned i = 0; key->choices[i] && length < size; i++)
            length += (size_t)snprintf(to + length, size - length, "%s%s", i ? "|" : "", key->choices[i]);
    } else if (key->metavar && length < size) {
        snprintf(to + length, size - length, "%s", key->metavar);
    }
}

static void print_device_option(FILE *to, const struct device_type *type)
{
    char spelling[128];

    spell_option(spelling, sizeof(spelling), type->name, type->short_name, type->metavar, type->key_count);
    print_option(to, 2, spelling, type->help);
    for (unsigned i = 0; i < type->value_count; i++) {
        spell_key(spelling, sizeof(spelling), &type->values[i]);
        print_option(to, 6, spelling, type->values[i].help);
    }
    for (unsigned i = 0; i < type->key_count; i++) {
        spell_key(spelling, sizeof(spelling), &type->keys[i]);
        print_option(to, 8, spelling, type->keys[i].help);
    }
}

static void print_statuses(FILE *to)
{
    unsigned count;
    const struct exit_status_row *rows = exit_status_rows(&count);

    fputs("\nExit status:\n", to);
    for (unsigned i = 0; i < count; i++) {
        int at = fprintf(to, "  %s", rows[i].status);

        fprintf(to, "%*s", 10 - at, "");
        print_wrapped(to, rows[i].meaning, 10);
    }
}

void help_print_usage(FILE *to)
{
    fputs("Ringlet boots one small virtual machine, now.\n\nUsage:\n", to);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (commands[i].help)
            fprintf(to, "  ringlet %-32s %s\n", commands[i].synopsis, commands[i].help);
        else
            fprintf(to, "  ringlet %s\n", commands[i].synopsis);
    }
    fputs("\nTry:\n", to);
    for (size_t i = 0; i < ARRAY_SIZE(examples); i++)
        fprintf(to, "  # %s\n  %s\n", examples[i].purpose, examples[i].line);
    fputs("\n`ringlet run --help` lists every option. `ringlet doctor` ends with 0 when guests run here.\n",
          to);
    print_statuses(to);
}

void help_print_doctor(FILE *to)
{
    fputs("Usage: ringlet doctor\n\nIt ", to);
    print_wrapped(to, doctor_text, 0);
}

void help_print_options(enum command command, FILE *to)
{
    unsigned row_count, type_count;
    const struct option_row *rows = run_option_rows(&row_count);
    const struct device_type *types = device_types(&type_count);
    char spelling[128];

    fputs("Usage: ringlet run --kernel FILE [OPTION]...\n\nOptions:\n", to);
    for (unsigned i = 0; i < row_count; i++) {
        if (!(rows[i].commands & (unsigned)command))
            continue;
        spell_option(spelling, sizeof(spelling), rows[i].name, rows[i].short_name, rows[i].metavar, false);
        print_option(to, 2, spelling, rows[i].help);
    }
    fputs("\nDevices:\n", to);
    for (unsigned i = 0; i < type_count; i++)
        print_device_option(to, &types[i]);
    fprintf(to, "\n%s\n", comma_text);
    fprintf(to, "\nOn a terminal, %s\n", console_keys);
    print_statuses(to);
}

/* roff wants its hyphens and backslashes told */
static void print_roff(FILE *to, const char *text)
{
    for (; *text; text++) {
        if (*text == '-' || *text == '\\')
            fputc('\\', to);
        fputc(*text, to);
    }
}

static void print_roff_option(FILE *to, const char *spelling, const char *help)
{
    fputs(".TP\n.B ", to);
    print_roff(to, spelling + strspn(spelling, " "));
    fputc('\n', to);
    print_roff(to, help);
    fputc('\n', to);
}

void help_print_man_page(FILE *to)
{
    unsigned row_count, type_count, status_count;
    const struct option_row *rows = run_option_rows(&row_count);
    const struct device_type *types = device_types(&type_count);
    const struct exit_status_row *statuses = exit_status_rows(&status_count);
    char spelling[128];

    fputs(
        ".TH RINGLET 1 \"\" \"Ringlet\" \"User Commands\"\n.SH NAME\nringlet \\- boot one small virtual machine\n"
        ".SH SYNOPSIS\n",
        to);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        fputs(i ? ".br\n.B ringlet " : ".B ringlet ", to);
        print_roff(to, commands[i].synopsis);
        fputc('\n', to);
    }
    fputs(
        ".SH DESCRIPTION\n.B ringlet run\nboots a kernel in a virtual machine of its own, by way of KVM; the "
        "console is the terminal that it is started from. It ends when the guest does, with a status that says "
        "how.\n.PP\n.B ringlet doctor\n",
        to);
    print_roff(to, doctor_text);
    fputs("\n.SH OPTIONS OF RUN\n", to);
    for (unsigned i = 0; i < row_count; i++) {
        spell_option(spelling, sizeof(spelling), rows[i].name, rows[i].short_name, rows[i].metavar, false);
        print_roff_option(to, spelling, rows[i].help);
    }
    for (unsigned i = 0; i < type_count; i++) {
        spell_option(spelling, sizeof(spelling), types[i].name, types[i].short_name, types[i].metavar,
                     types[i].key_count);
        print_roff_option(to, spelling, types[i].help);
        if (types[i].key_count)
            fputs(".RS\n", to);
        for (unsigned j = 0; j < types[i].value_count; j++) {
            spell_key(spelling, sizeof(spelling), &types[i].values[j]);
            print_roff_option(to, spelling, types[i].values[j].help);
        }
        for (unsigned j = 0; j < types[i].key_count; j++) {
            spell_key(spelling, sizeof(spelling), &types[i].keys[j]);
            print_roff_option(to, spelling, types[i].keys[j].help);
        }
        if (types[i].key_count)
            fputs(".RE\n", to);
    }
    fputs(".PP\n", to);
    print_roff(to, comma_text);
    fputs("\n.SH CONSOLE\nOn a terminal, ", to);
    print_roff(to, console_keys);
    fputs("\n.SH EXIT STATUS\n", to);
    for (unsigned i = 0; i < status_count; i++)
        print_roff_option(to, statuses[i].status, statuses[i].meaning);
    fputs(".SH EXAMPLES\n.nf\n", to);
    for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
        fputs("# ", to);
        print_roff(to, examples[i].purpose);
        fputc('\n', to);
        print_roff(to, examples[i].line);
        fputc('\n', to);
    }
    fputs(".fi\n", to);
}
