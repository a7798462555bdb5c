/* SPDX-License-Identifier: Apache-2.0 */
/*
 * man_page.c - ringlet(1), in roff's man macros, for the build to install.
 */
#include "exit_status.h"
#include "help.h"
#include "help_text.h"
#include "option_table.h"
#include "ringlet/device_type.h"

#define BOTH (COMMAND_RUN | COMMAND_EXEC)

/* roff wants its hyphens and backslashes told, and takes a line that begins with . or ' for itself. */
static void print_roff(FILE *to, const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", to);
    for (; *text; text++) {
        if (*text == '-' || *text == '\\')
            fputc('\\', to);
        fputc(*text, to);
    }
}

static void print_paragraph(FILE *to, const char *text)
{
    print_roff(to, text);
    fputc('\n', to);
}

static void print_tagged(FILE *to, const char *tag, const char *text)
{
    while (*tag == ' ')
        tag++;
    fputs(".TP\n.B ", to);
    print_roff(to, tag);
    fputc('\n', to);
    print_paragraph(to, text);
}

static void print_keys(FILE *to, const struct device_key *keys, unsigned count)
{
    char spelling[128];

    for (unsigned i = 0; i < count; i++) {
        help_spell_key(spelling, sizeof(spelling), &keys[i]);
        print_tagged(to, spelling, keys[i].help);
    }
}

/* Those that are for exactly these commands. */
static void print_options(FILE *to, const char *heading, unsigned commands)
{
    char spelling[128];

    fprintf(to, ".SH %s\n", heading);
    for (unsigned i = 0; i < option_entry_count(); i++) {
        struct option_entry entry = option_entry_get(i);

        if (entry.commands != commands)
            continue;
        help_spell_option(spelling, sizeof(spelling), &entry);
        print_tagged(to, spelling, entry.help);
        if (!entry.type || !(entry.type->key_count + entry.type->value_count))
            continue;
        fputs(".RS\n", to);
        print_keys(to, entry.type->values, entry.type->value_count);
        print_keys(to, entry.type->keys, entry.type->key_count);
        fputs(".RE\n", to);
    }
}

static void print_statuses(FILE *to, enum command command)
{
    unsigned count;
    const struct exit_status_row *rows = exit_status_rows(&count);

    fprintf(to, ".SS Of ringlet %s\n", command_name(command));
    for (unsigned i = 0; i < count; i++) {
        if (rows[i].commands & (unsigned)command)
            print_tagged(to, rows[i].status, rows[i].meaning);
    }
}

void help_print_man_page(FILE *to)
{
    unsigned form_count, note_count, example_count;
    const struct help_form *forms = help_forms(&form_count);
    const char *const *notes = help_option_notes(&note_count);
    const struct help_example *examples = help_examples(&example_count);

    fputs(
        ".TH RINGLET 1 \"\" \"Ringlet\" \"User Commands\"\n.SH NAME\nringlet \\- boot one small virtual machine, "
        "or run a command in one\n.SH SYNOPSIS\n",
        to);
    for (unsigned i = 0; i < form_count; i++) {
        fputs(i ? ".br\n.B ringlet " : ".B ringlet ", to);
        print_paragraph(to, forms[i].synopsis);
    }
    fputs(".SH DESCRIPTION\n.B ringlet run\n", to);
    print_paragraph(to, help_run_text);
    fputs(".PP\n.B ringlet exec\n", to);
    print_paragraph(to, help_exec_text);
    fputs(".PP\n.B ringlet doctor\n", to);
    print_paragraph(to, help_doctor_text);
    print_options(to, "OPTIONS OF RUN AND EXEC", BOTH);
    for (unsigned i = 0; i < note_count; i++) {
        fputs(".PP\n", to);
        print_paragraph(to, notes[i]);
    }
    print_options(to, "OPTIONS OF RUN", COMMAND_RUN);
    print_options(to, "OPTIONS OF EXEC", COMMAND_EXEC);
    fputs(".SH CONFIGURATION FILE\n", to);
    print_paragraph(to, help_config_text);
    fputs(".SH CONSOLE\nOn a terminal, ", to);
    print_paragraph(to, help_console_text);
    fputs(".SH EXIT STATUS\n", to);
    print_statuses(to, COMMAND_RUN);
    print_statuses(to, COMMAND_EXEC);
    fputs(
        ".SH ENVIRONMENT\n.TP\n.B RINGLET_GUEST\na directory with the files kernel and initrd, which exec uses in "
        "place of the default guest\n.TP\n.B RINGLET_CACHE\nwhere the default guest is made and kept "
        "(~/.cache/ringlet)\n.TP\n.B TMPDIR\nwhere an ephemeral disk is written that cannot be beside its image\n",
        to);
    fputs(".SH EXAMPLES\n.nf\n", to);
    for (unsigned i = 0; i < example_count; i++) {
        fputs("# ", to);
        print_paragraph(to, examples[i].purpose);
        print_paragraph(to, examples[i].line);
    }
    fputs(".fi\n", to);
}
