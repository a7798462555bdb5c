/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_file.c - see config_file.h. The JSON is jansson's; what stands in it are the words of a command line, so
 * that no option is known here.
 */
#include "config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "option_table.h"
#include "option_words.h"
#include "ringlet/cleanup.h"
#include "ringlet/error.h"
#include "ringlet/open_path.h"

/* --- reading --- */

static const char *name_of(const char *path)
{
    return strcmp(path, "-") == 0 ? "standard input" : path;
}

/* The whole file, *ret_text of *ret_size bytes, to be freed; "-" is standard input, as everywhere. */
static int read_whole(const char *path, char **ret_text, size_t *ret_size, struct error *err)
{
    CLEANUP_CLOSE int fd = open_path(strcmp(path, "-") == 0 ? "fd=0" : path, O_RDONLY, 0);
    CLEANUP_FREE char *text = malloc(CONFIG_FILE_MAX_SIZE + 1);
    size_t size = 0;
    ssize_t got = 1;

    if (fd < 0)
        return error_set(err, fd, "cannot open the --config file %s: %s", name_of(path), strerror(-fd));
    if (!text)
        return error_set(err, -ENOMEM, "out of memory");
    while (got != 0 && size <= CONFIG_FILE_MAX_SIZE) {
        got = read(fd, text + size, CONFIG_FILE_MAX_SIZE + 1 - size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int result = -errno;

            return error_set(err, result, "cannot read the --config file %s: %s", name_of(path),
                             strerror(-result));
        }
        size += (size_t)got;
    }
    if (size > CONFIG_FILE_MAX_SIZE)
        return error_set(err, -EINVAL, "the --config file %s is larger than %u KiB", name_of(path),
                         CONFIG_FILE_MAX_SIZE / 1024);
    *ret_text = steal_pointer(&text);
    *ret_size = size;
    return 0;
}

/* A string or a whole number, as a word; anything else is refused with `expected`. */
static int add_scalar(struct option_words *words, const char *name, const json_t *value, const char *expected,
                      struct error *err)
{
    char number[32];

    if (json_is_string(value))
        return option_words_add(words, name, json_string_value(value), err);
    if (!json_is_integer(value))
        return error_set(err, -EINVAL, "\"%s\" takes %s", name, expected);
    snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return option_words_add(words, name, number, err);
}

static int add_array(struct option_words *words, const char *name, const json_t *array, const char *expected,
                     struct error *err)
{
    int result = 0;

    for (size_t i = 0; i < json_array_size(array) && result == 0; i++)
        result = add_scalar(words, name, json_array_get(array, i), expected, err);
    return result;
}

static int add_member(enum command command, struct option_words *words, const char *name, const json_t *value,
                      struct error *err)
{
    enum command other = command == COMMAND_RUN ? COMMAND_EXEC : COMMAND_RUN;
    struct option_entry entry;

    if (strcmp(name, OPTION_COMMAND) == 0 && command == COMMAND_EXEC) {
        if (!json_is_array(value))
            return error_set(err, -EINVAL, "\"%s\" takes an array of words", name);
        return add_array(words, OPTION_COMMAND, value, "an array of words", err);
    }
    if (!option_entry_find(command, name, &entry)) {
        if (option_entry_find(other, name, &entry) || strcmp(name, OPTION_COMMAND) == 0)
            return error_set(err, -EINVAL, "\"%s\" is for `ringlet %s`, not for %s", name,
                             command_name(other), command_name(command));
        return error_set(err, -EINVAL, "\"%s\" is no option; see `ringlet %s --help`", name,
                         command_name(command));
    }
    if (entry.line_only)
        return error_set(err, -EINVAL, "\"%s\" is for the command line alone", name);
    if (!entry.metavar) {
        if (!json_is_boolean(value))
            return error_set(err, -EINVAL, "\"%s\" takes true or false", name);
        return json_is_true(value) ? option_words_add(words, entry.name, NULL, err) : 0;
    }
    if (!entry.repeatable)
        return add_scalar(words, entry.name, value, "a string or a whole number", err);
    if (json_is_array(value))
        return add_array(words, entry.name, value, "strings or whole numbers", err);
    return add_scalar(words, entry.name, value, "a string or a whole number, or an array of them", err);
}

int config_file_read(enum command command, const char *path, struct option_words *words, struct error *err)
{
    CLEANUP_FREE char *text = NULL;
    json_error_t mistake;
    const char *name;
    json_t *root, *value;
    size_t size = 0;
    int result = read_whole(path, &text, &size, err);

    if (result < 0)
        return result;
    if (!size)
        return error_set(err, -EINVAL, "%s is empty, where --config wants a JSON object", name_of(path));
    root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &mistake);
    if (!root)
        return error_set(err, -EINVAL, "%s, line %d, column %d: %s", name_of(path), mistake.line,
                         mistake.column, mistake.text);
    if (!json_is_object(root))
        result = error_set(err, -EINVAL, "%s: not an object, { \"OPTION\": VALUE, ... }", name_of(path));
    json_object_foreach(root, name, value)
    {
        result = add_member(command, words, name, value, err);
        if (result < 0) {
            error_prefix(err, "%s", name_of(path));
            break;
        }
    }
    json_decref(root);
    return result;
}

/* --- writing --- */

/* Of flags that take each other back the one that came last. */
static bool counts(const struct run_options *options, const struct option_entry *entry)
{
    if (strcmp(entry->name, "verbose") == 0)
        return options->verbosity == LOG_LEVEL_INFO;
    if (strcmp(entry->name, "quiet") == 0)
        return options->verbosity == LOG_LEVEL_ERROR;
    return true;
}

/* jansson takes UTF-8 alone, and so does JSON. */
static int refuse_text(const char *name, const char *text, struct error *err)
{
    json_t *whole = json_string(text);

    if (whole || !text) {
        json_decref(whole);
        return error_set(err, -ENOMEM, "out of memory");
    }
    return error_set(err, -EINVAL, "what is given with \"%s\" is not UTF-8, so no JSON file can hold it",
                     name);
}

/* Put what was said with `name` into `root`. */
static int put_words(json_t *root, const struct run_options *options, const char *name, bool is_array,
                     struct error *err)
{
    json_t *array = NULL;

    for (unsigned i = 0; i < options->word_count; i++) {
        const struct option_word *word = &options->words[i];
        json_t *value;

        if (strcmp(word->name, name) != 0)
            continue;
        if (is_array && !array) {
            array = json_array();
            if (json_object_set_new(root, name, array) < 0)
                return error_set(err, -ENOMEM, "out of memory");
        }
        value = word->argument ? json_string(word->argument) : json_true();
        if ((is_array ? json_array_append_new(array, value) : json_object_set_new(root, name, value)) < 0)
            return refuse_text(name, word->argument, err);
    }
    return 0;
}

int config_file_print(const struct run_options *options, FILE *to, struct error *err)
{
    json_t *root = json_object();
    char *text = NULL;
    int result = root ? 0 : error_set(err, -ENOMEM, "out of memory");

    for (unsigned i = 0; i < option_entry_count() && result == 0; i++) {
        struct option_entry entry = option_entry_get(i);

        if ((entry.commands & (unsigned)options->command) && counts(options, &entry))
            result = put_words(root, options, entry.name, entry.metavar && entry.repeatable, err);
    }
    if (result == 0)
        result = put_words(root, options, OPTION_COMMAND, true, err);
    if (result == 0) {
        text = json_dumps(root, JSON_INDENT(4));
        if (text)
            fprintf(to, "%s\n", text);
        else
            result = error_set(err, -ENOMEM, "out of memory");
    }
    free(text);
    json_decref(root);
    return result;
}
