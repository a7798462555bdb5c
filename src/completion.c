/* SPDX-License-Identifier: Apache-2.0 */
/*
 * completion.c - see completion.h.
 *
 * The script stands alone: it needs no functions of the bash-completion package, which only finds it. Two of its
 * functions are written from the tables: which options a command has, and what may stand behind one. The rest is
 * the text below. Nothing of the tables is quoted, because they hold no blanks, quotes or dollar signs where the
 * script takes them from (a unit test sees to that).
 */
#include "completion.h"

#include <string.h>

#include "device_option.h"
#include "option_table.h"
#include "ringlet/device_type.h"
#include "ringlet/util.h"

static const enum command commands[] = { COMMAND_RUN, COMMAND_EXEC };

static const char *const head =
    "# bash completion for ringlet, written by `ringlet --bash-completion`\n"
    "# shellcheck shell=bash\n"
    "\n"
    "# Bash cuts words at = and : as well. `cut` is what it has cut off the front of `current`, the whole word; a\n"
    "# reply is without it. `stem` is what of `current` stays as it is whatever comes.\n"
    "\n"
    "# _ringlet_words WORD...: those that go on as the rest of `current` does\n"
    "_ringlet_words() {\n"
    "\tlocal word reply\n"
    "\tfor word; do\n"
    "\t\treply=$stem$word\n"
    "\t\t[[ $reply == \"$current\"* ]] || continue\n"
    "\t\tCOMPREPLY+=(\"${reply#\"$cut\"}\")\n"
    "\t\t[[ $word != *= ]] || compopt -o nospace 2>/dev/null\n"
    "\tdone\n"
    "}\n"
    "\n"
    "# _ringlet_names COMPGEN_ACTION: likewise of what compgen finds\n"
    "_ringlet_names() {\n"
    "\tlocal names=()\n"
    "\tmapfile -t names < <(compgen \"$1\" -- \"${current#\"$stem\"}\")\n"
    "\t[[ $1 == -e ]] || compopt -o filenames 2>/dev/null\n"
    "\t_ringlet_words \"${names[@]}\"\n"
    "}\n"
    "\n"
    "# _ringlet_choice WORD...: one of these, or the file behind its =\n"
    "_ringlet_choice() {\n"
    "\tlocal value=${current#\"$stem\"}\n"
    "\tif [[ $value == *=* ]]; then\n"
    "\t\tstem=$stem${value%%=*}=\n"
    "\t\t_ringlet_names -f\n"
    "\telse\n"
    "\t\t_ringlet_words \"$@\"\n"
    "\tfi\n"
    "}\n"
    "\n"
    "# _ringlet_device KEYS: behind a comma\n"
    "_ringlet_device() {\n"
    "\tlocal value=${current#\"$stem\"}\n"
    "\t[[ $value == *,* ]] || return 1\n"
    "\tstem=$stem${value%,*},\n"
    "\t# shellcheck disable=SC2086  # several words\n"
    "\t_ringlet_words $1\n"
    "\treturn 0\n"
    "}\n";

static const char *const tail =
    "\n"
    "_ringlet() {\n"
    "\tlocal words=() command='' option='' rest=$COMP_LINE current='' cut='' stem='' word i\n"
    "\tCOMPREPLY=()\n"
    "\t# the words as they were written: without blanks between them two are one\n"
    "\tfor ((i = 0; i <= COMP_CWORD; i++)); do\n"
    "\t\tword=${COMP_WORDS[i]}\n"
    "\t\tif ((${#words[@]} == 0)) || [[ $rest == [[:blank:]]* ]]; then\n"
    "\t\t\twords+=('')\n"
    "\t\tfi\n"
    "\t\trest=${rest#\"${rest%%[![:blank:]]*}\"}\n"
    "\t\twords[${#words[@]} - 1]+=$word\n"
    "\t\trest=${rest#\"$word\"}\n"
    "\tdone\n"
    "\t# without the quotes, which bash puts back\n"
    "\tword=${2#[\\\"\\']} current=${words[-1]#[\\\"\\']}\n"
    "\tcut=${current%\"$word\"}\n"
    "\tcut=${cut//\\\\/} current=${current//\\\\/}\n"
    "\tunset 'words[-1]'\n"
    "\n"
    "\tif ((${#words[@]} < 2)); then\n"
    "\t\t_ringlet_words run exec doctor help version --help --version\n"
    "\t\treturn\n"
    "\tfi\n"
    "\tcommand=${words[1]}\n"
    "\tcase $command in\n"
    "\trun | exec) ;;\n"
    "\tdoctor)\n"
    "\t\t_ringlet_words --help\n"
    "\t\treturn\n"
    "\t\t;;\n"
    "\t*) return ;;\n"
    "\tesac\n"
    "\tfor word in \"${words[@]:2}\"; do\n"
    "\t\tif [[ $option ]]; then\n"
    "\t\t\toption=''\n"
    "\t\telif [[ $word == -- || $word != -* ]]; then\n"
    "\t\t\t# exec's command, of which the shell knows as much as of any other\n"
    "\t\t\t[[ $command == run ]] || compopt -o bashdefault -o default 2>/dev/null\n"
    "\t\t\treturn\n"
    "\t\telif _ringlet_takes_argument \"$command\" \"$word\"; then\n"
    "\t\t\toption=$word\n"
    "\t\tfi\n"
    "\tdone\n"
    "\tif [[ ! $option && $current == --*=* ]]; then\n"
    "\t\toption=${current%%=*}\n"
    "\t\tstem=$option=\n"
    "\tfi\n"
    "\tif [[ $option ]]; then\n"
    "\t\t_ringlet_argument \"$command\" \"$option\"\n"
    "\telif [[ $current == -* || ! $current ]]; then\n"
    "\t\t# shellcheck disable=SC2046  # several words\n"
    "\t\t_ringlet_words $(_ringlet_options \"$command\")\n"
    "\telif [[ $command == exec ]]; then\n"
    "\t\tcompopt -o bashdefault -o default 2>/dev/null\n"
    "\tfi\n"
    "}\n"
    "\n"
    "complete -F _ringlet ringlet\n";

/* "run--kernel | run-k": the pattern of a case for one option. */
static void print_pattern(FILE *to, enum command command, const struct option_entry *entry)
{
    fprintf(to, "%s--%s", command_name(command), entry->name);
    if (entry->short_name)
        fprintf(to, " | %s-%c", command_name(command), entry->short_name);
}

static void print_options(FILE *to)
{
    fputs("\n# _ringlet_options COMMAND: what it has\n_ringlet_options() {\n\tcase $1 in\n", to);
    for (size_t c = 0; c < ARRAY_SIZE(commands); c++) {
        fprintf(to, "\t%s)\n\t\techo", command_name(commands[c]));
        for (unsigned i = 0; i < option_entry_count(); i++) {
            struct option_entry entry = option_entry_get(i);

            if (entry.commands & (unsigned)commands[c])
                fprintf(to, " --%s", entry.name);
        }
        fprintf(to, "%s\n\t\t;;\n", commands[c] == COMMAND_EXEC ? " --" : "");
    }
    fputs("\tesac\n}\n", to);
}

static void print_takes_argument(FILE *to)
{
    fputs("\n# _ringlet_takes_argument COMMAND OPTION: is the next word its argument?\n"
          "_ringlet_takes_argument() {\n\tcase $1$2 in\n",
          to);
    for (size_t c = 0; c < ARRAY_SIZE(commands); c++) {
        for (unsigned i = 0; i < option_entry_count(); i++) {
            struct option_entry entry = option_entry_get(i);

            if (!(entry.commands & (unsigned)commands[c]) || !entry.metavar)
                continue;
            fputc('\t', to);
            print_pattern(to, commands[c], &entry);
            fputs(") ;;\n", to);
        }
    }
    fputs("\t*) return 1 ;;\n\tesac\n}\n", to);
}

/* "ro cache=writeback cache=unsafe queues=" */
static void print_keys(FILE *to, const struct device_key *keys, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const char *blank = i ? " " : "";

        if (keys[i].kind != DEVICE_KEY_CHOICE)
            fprintf(to, "%s%s%s", blank, keys[i].name, keys[i].kind == DEVICE_KEY_FLAG ? "" : "=");
        for (unsigned j = 0; keys[i].kind == DEVICE_KEY_CHOICE && keys[i].choices[j]; j++)
            fprintf(to, "%s%s=%s", j ? " " : blank, keys[i].name, keys[i].choices[j]);
    }
}

/* The shell's words for what an option takes, COMPLETE_... or words of its own; NULL: nobody knows. */
static void print_value(FILE *to, const struct option_entry *entry)
{
    const char *complete = entry->row ? entry->row->complete : NULL;

    if (entry->type && strstr(entry->metavar, "FILE"))
        complete = COMPLETE_FILES;
    if (entry->type && strstr(entry->metavar, "DIR"))
        complete = COMPLETE_DIRECTORIES;
    if (entry->type && entry->type->values) {
        fputs("_ringlet_words ", to);
        print_keys(to, entry->type->values, entry->type->value_count);
        fprintf(to, " %s", entry->type->none ? entry->type->none : "");
    } else if (!complete) {
        fputs(":", to);
    } else if (strcmp(complete, COMPLETE_FILES) == 0) {
        fputs("_ringlet_names -f", to);
    } else if (strcmp(complete, COMPLETE_DIRECTORIES) == 0) {
        fputs("_ringlet_names -d", to);
    } else if (strcmp(complete, COMPLETE_VARIABLES) == 0) {
        fputs("_ringlet_names -e", to);
    } else {
        fprintf(to, "_ringlet_choice %s", complete);
    }
}

static void print_argument(FILE *to, enum command command, const struct option_entry *entry)
{
    const struct device_type *type = entry->type;

    if (entry->row && strcmp(entry->name, "image") == 0)
        type = device_option_image_type();
    fputc('\t', to);
    print_pattern(to, command, entry);
    fputs(") ", to);
    if (type && type->key_count) {
        fputs("_ringlet_device '", to);
        print_keys(to, type->keys, type->key_count);
        fputs("' || ", to);
    }
    print_value(to, entry);
    fputs(" ;;\n", to);
}

void completion_print_bash(FILE *to)
{
    fputs(head, to);
    print_options(to);
    print_takes_argument(to);
    fputs(
        "\n# _ringlet_argument COMMAND OPTION: what may stand behind it\n_ringlet_argument() {\n\tcase $1$2 in\n",
        to);
    for (size_t c = 0; c < ARRAY_SIZE(commands); c++) {
        for (unsigned i = 0; i < option_entry_count(); i++) {
            struct option_entry entry = option_entry_get(i);

            if ((entry.commands & (unsigned)commands[c]) && entry.metavar)
                print_argument(to, commands[c], &entry);
        }
    }
    fputs("\tesac\n}\n", to);
    fputs(tail, to);
}
