/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_help.c - what --help, ringlet(1) and the shell's completion say: all of the tables, each to whom it is for.
 */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "completion.h"
#include "exit_status.h"
#include "help.h"
#include "help_text.h"
#include "option_table.h"

/* What was printed into it, to be freed. */
static char *take_text(FILE *from)
{
    long size = ftell(from);
    char *text;

    assert_true(size > 0);
    text = calloc(1, (size_t)size + 1);
    assert_non_null(text);
    rewind(from);
    assert_int_equal(fread(text, 1, (size_t)size, from), size);
    fclose(from);
    return text;
}

static char *help_of(enum command command)
{
    FILE *to = tmpfile();

    assert_non_null(to);
    help_print_command(command, to);
    return take_text(to);
}

static char *text_of(void (*print)(FILE *to))
{
    FILE *to = tmpfile();

    assert_non_null(to);
    print(to);
    return take_text(to);
}

/* Does the text have this option, not only the beginning of a longer one? */
static bool names_option(const char *text, const char *name)
{
    char word[64];
    size_t length;

    snprintf(word, sizeof(word), "--%s", name);
    length = strlen(word);
    for (const char *at = strstr(text, word); at; at = strstr(at + 1, word)) {
        if (!isalnum((unsigned char)at[length]) && at[length] != '-')
            return true;
    }
    return false;
}

static void check_help(enum command command)
{
    char *text = help_of(command);
    char *usage = strstr(text, "Options:");

    assert_non_null(usage);
    for (unsigned i = 0; i < option_entry_count(); i++) {
        struct option_entry entry = option_entry_get(i), same;

        if (option_entry_find(command, entry.name, &same) && !names_option(usage, entry.name))
            fail_msg("--%s is missing", entry.name);
    }
    free(text);
}

static void test_help_of_a_command_names_each_of_its_options(void **state)
{
    (void)state;
    check_help(COMMAND_RUN);
    check_help(COMMAND_EXEC);
}

static void test_help_of_a_command_leaves_the_others_options_out(void **state)
{
    char *run = help_of(COMMAND_RUN), *exec = help_of(COMMAND_EXEC);

    (void)state;
    assert_false(names_option(run, "workdir"));
    assert_false(names_option(run, "image"));
    assert_non_null(strstr(run, "port 0xf4"));
    assert_false(names_option(exec, "debug-exit"));
    assert_false(names_option(exec, "dump-dtb"));
    assert_null(strstr(exec, "stdio (default)"));
    assert_non_null(strstr(run, "stdio (default)"));
    free(run);
    free(exec);
}

static void test_help_keeps_its_lines_short_and_without_blanks_at_the_end(void **state)
{
    char *texts[] = { help_of(COMMAND_RUN), help_of(COMMAND_EXEC), text_of(help_print_usage),
                      text_of(help_print_doctor) };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_null(strstr(texts[i], " \n"));
        assert_null(strstr(texts[i], "\n\n\n"));
        for (char *line = strtok(texts[i], "\n"); line; line = strtok(NULL, "\n")) {
            if (strlen(line) > 110)
                fail_msg("too long: %s", line);
        }
        free(texts[i]);
    }
}

static void test_help_of_exec_shows_its_examples_and_its_statuses(void **state)
{
    char *text = help_of(COMMAND_EXEC);

    (void)state;
    assert_non_null(strstr(text, "ringlet exec -- uname -a"));
    assert_non_null(strstr(text, "git archive HEAD | ringlet exec -- tar tv"));
    assert_non_null(strstr(text, "\n  123 "));
    assert_null(strstr(text, "\n  120 "));
    free(text);
}

static void test_the_usage_shows_both_commands_and_their_statuses(void **state)
{
    char *text = text_of(help_print_usage);

    (void)state;
    assert_non_null(strstr(text, "ringlet run --kernel FILE"));
    assert_non_null(strstr(text, "ringlet exec [OPTION]... -- COMMAND..."));
    assert_non_null(strstr(text, "Exit status of `ringlet run`"));
    assert_non_null(strstr(text, "Exit status of `ringlet exec`"));
    free(text);
}

static void test_the_man_page_has_every_option_once_in_its_section(void **state)
{
    char *page = text_of(help_print_man_page);
    char *both = strstr(page, ".SH OPTIONS OF RUN AND EXEC\n"), *run = strstr(page, ".SH OPTIONS OF RUN\n"),
         *exec = strstr(page, ".SH OPTIONS OF EXEC\n"), *end = strstr(page, ".SH CONFIGURATION FILE\n");

    (void)state;
    assert_true(both && run && exec && end && both < run && run < exec && exec < end);
    *end = '\0';
    for (unsigned i = 0; i < option_entry_count(); i++) {
        struct option_entry entry = option_entry_get(i);
        const char *section = entry.commands == COMMAND_RUN    ? run
                              : entry.commands == COMMAND_EXEC ? exec
                                                               : both;
        char spelling[256], roff[512], *to = roff;
        char *at;

        help_spell_option(spelling, sizeof(spelling), &entry);
        to += sprintf(to, ".B ");
        for (const char *from = spelling + strspn(spelling, " "); *from; from++) {
            if (*from == '-')
                *to++ = '\\';
            *to++ = *from;
        }
        strcpy(to, "\n");
        at = strstr(section, roff);
        if (!at)
            fail_msg("not in its section: %s", roff);
    }
    free(page);
}

static void test_the_man_page_leaves_no_line_to_roff_that_is_text(void **state)
{
    static const char *const macros[] = { "TH", "SH", "SS", "PP", "TP", "B", "br", "nf", "fi", "RS", "RE" };
    char *page = text_of(help_print_man_page);

    (void)state;
    for (char *line = strtok(page, "\n"); line; line = strtok(NULL, "\n")) {
        size_t length = strcspn(line, " "), i = 0;

        assert_true(line[0] != '\'');
        if (line[0] != '.')
            continue;
        while (i < sizeof(macros) / sizeof(macros[0]) &&
               (strlen(macros[i]) != length - 1 || strncmp(macros[i], line + 1, length - 1) != 0))
            i++;
        if (i == sizeof(macros) / sizeof(macros[0]))
            fail_msg("no macro: %s", line);
    }
    free(page);
}

static void test_the_completion_names_every_option_of_every_command(void **state)
{
    char *script = text_of(completion_print_bash);
    char *run = strstr(script, "\trun)\n\t\techo "), *exec = strstr(script, "\texec)\n\t\techo ");

    (void)state;
    assert_true(run && exec && run < exec);
    *strstr(run, "\n\t\t;;") = '\0';
    *strstr(exec, "\n\t\t;;") = '\0';
    for (unsigned i = 0; i < option_entry_count(); i++) {
        struct option_entry entry = option_entry_get(i);

        assert_int_equal(names_option(run, entry.name), option_entry_find(COMMAND_RUN, entry.name, &entry));
        assert_int_equal(names_option(exec, entry.name), option_entry_find(COMMAND_EXEC, entry.name, &entry));
    }
    free(script);
}

/* completion.c puts these into the script as they are. */
static void check_plain(const char *word)
{
    assert_true(*word);
    assert_int_equal(strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"),
                     strlen(word));
}

static void check_plain_keys(const struct device_key *keys, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        check_plain(keys[i].name);
        for (unsigned j = 0; keys[i].kind == DEVICE_KEY_CHOICE && keys[i].choices[j]; j++)
            check_plain(keys[i].choices[j]);
    }
}

static void test_what_the_completion_takes_from_the_tables_needs_no_quotes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < option_entry_count(); i++) {
        struct option_entry entry = option_entry_get(i);

        check_plain(entry.name);
        assert_true(!entry.short_name || isalnum((unsigned char)entry.short_name));
        if (entry.row && entry.row->complete && entry.row->complete[0] != '<')
            assert_int_equal(strspn(entry.row->complete, "abcdefghijklmnopqrstuvwxyz_= "),
                             strlen(entry.row->complete));
        if (!entry.type)
            continue;
        check_plain_keys(entry.type->keys, entry.type->key_count);
        check_plain_keys(entry.type->values, entry.type->value_count);
        if (entry.type->none)
            check_plain(entry.type->none);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help_of_a_command_names_each_of_its_options),
        cmocka_unit_test(test_help_of_a_command_leaves_the_others_options_out),
        cmocka_unit_test(test_help_keeps_its_lines_short_and_without_blanks_at_the_end),
        cmocka_unit_test(test_help_of_exec_shows_its_examples_and_its_statuses),
        cmocka_unit_test(test_the_usage_shows_both_commands_and_their_statuses),
        cmocka_unit_test(test_the_man_page_has_every_option_once_in_its_section),
        cmocka_unit_test(test_the_man_page_leaves_no_line_to_roff_that_is_text),
        cmocka_unit_test(test_the_completion_names_every_option_of_every_command),
        cmocka_unit_test(test_what_the_completion_takes_from_the_tables_needs_no_quotes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
