/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.c - see options.h. A command line is split by glibc's getopt_long into words, those of the --config file
 * are put before them, and then each is looked at by its row.
 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_file.h"
#include "device_option.h"
#include "option_table.h"
#include "option_words.h"
#include "ringlet/cleanup.h"
#include "ringlet/error.h"
#include "ringlet/util.h"

/* getopt_long's return value of entry n is this plus n. */
#define FIRST_ENTRY_CODE 1000

static void add_getopt_entry(struct option *option, char *shorts, const struct option_entry *entry, int code)
{
    size_t length = strlen(shorts);

    *option = (struct option){ .name = entry->name,
                               .has_arg = entry->metavar ? required_argument : no_argument,
                               .val = code };
    if (entry->short_name)
        snprintf(shorts + length, 3, "%c%s", entry->short_name, entry->metavar ? ":" : "");
}

/* Which entry getopt_long found; -1 for none. */
static int find_index(enum command command, int code)
{
    if (code >= FIRST_ENTRY_CODE)
        return code - FIRST_ENTRY_CODE;
    for (unsigned i = 0; code != '?' && i < option_entry_count(); i++) {
        struct option_entry entry = option_entry_get(i);

        if ((entry.commands & (unsigned)command) && entry.short_name == code)
            return (int)i;
    }
    return -1;
}

/* `word`: where getopt_long stopped. */
static int refuse_option(enum command command, const char *word, struct error *err)
{
    enum command other = command == COMMAND_RUN ? COMMAND_EXEC : COMMAND_RUN;
    struct option_entry entry;

    if (optopt >= FIRST_ENTRY_CODE)
        return error_set(err, -EINVAL, "option '%s' takes no argument", word);
    if (optopt)
        return error_set(err, -EINVAL, "unknown option '-%c'; see `ringlet %s --help`", optopt,
                         command_name(command));
    if (strncmp(word, "--", 2) == 0 && option_entry_find(other, word + 2, &entry))
        return error_set(err, -EINVAL, "option '%s' is for `ringlet %s`, not for %s", word,
                         command_name(other), command_name(command));
    return error_set(err, -EINVAL, "unknown option '%s'; see `ringlet %s --help`", word,
                     command_name(command));
}

/* Cut the line into words. What is line_only is done here: it says how to read the rest. */
static int split_line(struct run_options *options, int argc, char **argv, struct option_words *words,
                      struct error *err)
{
    unsigned count = option_entry_count(), listed = 0;
    CLEANUP_FREE struct option *longs = calloc(count + 1, sizeof(*longs));
    CLEANUP_FREE char *shorts = calloc(count + 1, 3);
    CLEANUP_FREE bool *given = calloc(count, sizeof(*given));
    int code, result = 0;

    if (!longs || !shorts || !given)
        return error_set(err, -ENOMEM, "out of memory");
    /* Stop at the first word that is no option; tell a missing argument from a bad option. */
    memcpy(shorts, "+:", sizeof("+:"));
    for (unsigned i = 0; i < count; i++) {
        struct option_entry entry = option_entry_get(i);

        if (entry.commands & (unsigned)options->command)
            add_getopt_entry(&longs[listed++], shorts, &entry, FIRST_ENTRY_CODE + (int)i);
    }

    opterr = 0;
    optind = 0;
    while (result == 0 && !options->help && (code = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        const char *word = argv[optind > 0 ? optind - 1 : 0];
        int index = find_index(options->command, code);
        struct option_entry entry;

        if (code == ':')
            return error_set(err, -EINVAL, "option '%s' needs an argument; see `ringlet %s --help`", word,
                             command_name(options->command));
        if (index < 0)
            return refuse_option(options->command, word, err);
        entry = option_entry_get((unsigned)index);
        if (given[index] && !entry.repeatable)
            return error_set(err, -EINVAL, "--%s is given twice", entry.name);
        given[index] = true;
        result = entry.line_only ? entry.row->parse(options, optarg, err)
                                 : option_words_add(words, entry.name, optarg, err);
    }
    if (options->help || result < 0)
        return result;
    if (optind < argc && options->command != COMMAND_EXEC)
        return error_set(err, -EINVAL,
                         "'%s' is no option; a disk is given with --disk, a kernel with --kernel",
                         argv[optind]);
    for (int i = optind; i < argc && result == 0; i++)
        result = option_words_add(words, OPTION_COMMAND, argv[i], err);
    return result;
}

/*
 * The file's words, without those that the line has instead, and then the line's: into options->words. *ret_count:
 * how many are the file's.
 */
static int merge_words(struct run_options *options, const struct option_words *file,
                       const struct option_words *line, unsigned *ret_count, struct error *err)
{
    struct option_words all = { 0 };
    struct option_entry entry;
    int result = 0;

    for (unsigned i = 0; i < file->count && result == 0; i++) {
        const struct option_word *word = &file->words[i];

        if ((option_entry_find(options->command, word->name, &entry) && entry.repeatable) ||
            !option_words_have(line, word->name))
            result = option_words_add(&all, word->name, word->argument, err);
    }
    *ret_count = all.count;
    for (unsigned i = 0; i < line->count && result == 0; i++)
        result = option_words_add(&all, line->words[i].name, line->words[i].argument, err);
    options->words = all.words;
    options->word_count = all.count;
    return result;
}

static int apply_command_word(struct exec_options *exec, const char *word, struct error *err)
{
    const char **grown = reallocarray(exec->arguments, exec->argument_count + 1, sizeof(*grown));

    if (!grown)
        return error_set(err, -ENOMEM, "out of memory");
    exec->arguments = grown;
    grown[exec->argument_count++] = word;
    return 0;
}

static int apply_word(struct run_options *options, const struct option_word *word, struct error *err)
{
    struct option_entry entry;

    if (strcmp(word->name, OPTION_COMMAND) == 0)
        return apply_command_word(&options->exec, word->argument, err);
    if (!option_entry_find(options->command, word->name, &entry))
        return error_set(err, -EINVAL, "unknown option '--%s'", word->name);
    return entry.row ? entry.row->parse(options, word->argument, err)
                     : device_option_add(options, entry.type, word->argument, err);
}

/* What one option alone cannot know. */
static int check_together(const struct run_options *options, struct error *err)
{
    if (options->command == COMMAND_RUN) {
        if (!options->kernel && !options->dump_dtb && !options->dump_acpi)
            return error_set(err, -EINVAL, "no kernel: give one with --kernel FILE");
        return 0;
    }
    if (!options->exec.argument_count)
        return error_set(err, -EINVAL,
                         "no command: it is `ringlet exec [OPTION]... -- COMMAND [ARGUMENT]...`");
    if (!*options->exec.arguments[0])
        return error_set(err, -EINVAL, "the command has an empty name");
    if (options->console_given && options->console == CONSOLE_STDIO)
        return error_set(err, -EINVAL,
                         "--console stdio is not for exec, whose standard streams are the command's; "
                         "file=PATH keeps the console");
    for (unsigned i = 0; options->exec.image && i < options->device_count; i++) {
        if (strcmp(options->devices[i].type->name, "root") == 0)
            return error_set(err, -EINVAL,
                             "--image and --root are both the root file system: give one of them");
    }
    return 0;
}

int run_options_parse(enum command command, int argc, char **argv, struct run_options *ret_options,
                      struct error *err)
{
    struct option_words file = { 0 }, line = { 0 };
    unsigned file_count = 0;
    int result;

    *ret_options = (struct run_options){
        .command = command,
        .cpus = 1,
        .memory = RUN_DEFAULT_MEMORY_MIB * MIB,
        .console = command == COMMAND_EXEC ? CONSOLE_NULL : CONSOLE_STDIO,
        .verbosity = LOG_LEVEL_WARNING,
        .append = strdup(""),
    };
    if (!ret_options->append)
        return error_set(err, -ENOMEM, "out of memory");
    result = split_line(ret_options, argc, argv, &line, err);
    if (result == 0 && ret_options->config && !ret_options->help)
        result = config_file_read(command, ret_options->config, &file, err);
    if (result == 0 && !ret_options->help) {
        result = merge_words(ret_options, &file, &line, &file_count, err);
        for (unsigned i = 0; i < ret_options->word_count && result == 0; i++) {
            result = apply_word(ret_options, &ret_options->words[i], err);
            if (result < 0 && i < file_count)
                error_prefix(err, "%s", ret_options->config);
        }
        if (result == 0)
            result = check_together(ret_options, err);
    }
    option_words_finish(&file);
    option_words_finish(&line);
    return result;
}

void run_options_finish(struct run_options *options)
{
    struct option_words words = { options->words, options->word_count };

    for (unsigned i = 0; i < options->device_count; i++)
        free(options->devices[i].storage);
    free(options->devices);
    free(options->append);
    free(options->exec.arguments);
    free(options->exec.environment);
    option_words_finish(&words);
}
