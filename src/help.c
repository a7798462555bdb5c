/* SPDX-License-Identifier: Apache-2.0 */
/*
 * help.c - see help.h: what --help prints. The man page is man_page.c's.
 */
#include "help.h"

#include <string.h>

#include "exit_status.h"
#include "help_text.h"
#include "option_table.h"
#include "ringlet/device_type.h"

#define OPTION_COLUMN 26
#define RIGHT_MARGIN  100

static void print_wrapped(FILE *to, const char *text, int column)
{
    int at = column;

    while (*text) {
        int length = (int)strcspn(text, " ");

        if (at > column && at + 1 + length > RIGHT_MARGIN) {
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

static void print_keys(FILE *to, int indent, const struct device_key *keys, unsigned count)
{
    char spelling[128];

    for (unsigned i = 0; i < count; i++) {
        help_spell_key(spelling, sizeof(spelling), &keys[i]);
        print_option(to, indent, spelling, keys[i].help);
    }
}

/* The fixed options of `command`, or its devices. */
static void print_options(FILE *to, enum command command, bool devices)
{
    char spelling[128];

    for (unsigned i = 0; i < option_entry_count(); i++) {
        struct option_entry entry = option_entry_get(i);

        if (!(entry.commands & (unsigned)command) || devices != (entry.type != NULL))
            continue;
        help_spell_option(spelling, sizeof(spelling), &entry);
        print_option(to, 2, spelling, entry.help);
        if (entry.type) {
            print_keys(to, 6, entry.type->values, entry.type->value_count);
            print_keys(to, 8, entry.type->keys, entry.type->key_count);
        }
    }
}

static void print_statuses(FILE *to, enum command command)
{
    unsigned count;
    const struct exit_status_row *rows = exit_status_rows(&count);

    fprintf(to, "\nExit status of `ringlet %s`:\n", command_name(command));
    for (unsigned i = 0; i < count; i++) {
        if (!(rows[i].commands & (unsigned)command))
            continue;
        int at = fprintf(to, "  %s", rows[i].status);

        fprintf(to, "%*s", 10 - at, "");
        print_wrapped(to, rows[i].meaning, 10);
    }
}

static void print_examples(FILE *to, unsigned commands)
{
    unsigned count;
    const struct help_example *examples = help_examples(&count);

    fputs("\nTry:\n", to);
    for (unsigned i = 0; i < count; i++) {
        if (examples[i].commands & commands)
            fprintf(to, "  # %s\n  %s\n", examples[i].purpose, examples[i].line);
    }
}

void help_print_usage(FILE *to)
{
    unsigned count;
    const struct help_form *forms = help_forms(&count);

    fputs("Ringlet boots one small virtual machine, now.\n\nUsage:\n", to);
    for (unsigned i = 0; i < count; i++) {
        if (forms[i].help)
            fprintf(to, "  ringlet %-32s %s\n", forms[i].synopsis, forms[i].help);
        else
            fprintf(to, "  ringlet %s\n", forms[i].synopsis);
    }
    print_examples(to, COMMAND_RUN | COMMAND_EXEC);
    fputs(
        "\n`ringlet run --help` and `ringlet exec --help` list every option. `ringlet doctor` ends with 0 when\n"
        "guests run here.\n",
        to);
    print_statuses(to, COMMAND_RUN);
    print_statuses(to, COMMAND_EXEC);
}

void help_print_doctor(FILE *to)
{
    fputs("Usage: ringlet doctor\n\nIt ", to);
    print_wrapped(to, help_doctor_text, 0);
}

void help_print_command(enum command command, FILE *to)
{
    unsigned note_count;
    const char *const *notes = help_option_notes(&note_count);

    if (command == COMMAND_EXEC) {
        fputs("Usage: ringlet exec [OPTION]... [--] COMMAND [ARGUMENT]...\n\nIt ", to);
        print_wrapped(to, help_exec_text, 0);
    } else {
        fputs("Usage: ringlet run --kernel FILE [OPTION]...\n", to);
    }
    fputs("\nOptions:\n", to);
    print_options(to, command, false);
    fputs("\nDevices:\n", to);
    print_options(to, command, true);
    fputc('\n', to);
    for (unsigned i = 0; i < note_count; i++)
        print_wrapped(to, notes[i], 0);
    fputc('\n', to);
    print_wrapped(to, help_config_text, 0);
    if (command == COMMAND_RUN)
        fprintf(to, "\nOn a terminal, %s\n", help_console_text);
    else
        print_examples(to, COMMAND_EXEC);
    print_statuses(to, command);
}
