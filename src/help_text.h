/* SPDX-License-Identifier: Apache-2.0 */
/*
 * help_text.h - what --help (help.c) and ringlet(1) (man_page.c) both say, and how options are spelled in them.
 */
#ifndef RINGLET_HELP_TEXT_H
#define RINGLET_HELP_TEXT_H

#include <stddef.h>

#include "command.h"
#include "option_table.h"

/* A form of the command line; `help` NULL: it speaks for itself. */
struct help_form {
    const char *synopsis; /* after "ringlet" */
    const char *help;
};

struct help_example {
    unsigned commands; /* enum command, of those that it shows */
    const char *purpose;
    const char *line;
};

/* *ret_count gets how many; as with every table here. */
const struct help_form *help_forms(unsigned *ret_count);
const struct help_example *help_examples(unsigned *ret_count);

/* Paragraphs of text, for the options of one command or of both. */
const char *const *help_option_notes(unsigned *ret_count);

extern const char help_run_text[];    /* "boots ..." */
extern const char help_exec_text[];   /* "runs ..." */
extern const char help_doctor_text[]; /* "tries ..." */
extern const char help_config_text[]; /* what a --config file is */
extern const char help_console_text[];

/* "-d, --disk FILE[,...]", the letter's place left blank where there is none. A text too long is cut. */
void help_spell_option(char *to, size_t size, const struct option_entry *entry);

/* "cache=writeback|writethrough|unsafe", "queues=N", "ro" */
void help_spell_key(char *to, size_t size, const struct device_key *key);

#endif
