/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_config_file.c - --config and --print-config: what a file means beside a command line, that what is printed
 * means the same again, and the sentence for each mistake.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "config_file.h"
#include "options.h"
#include "ringlet/error.h"
#include "ringlet/util.h"

#define ARGUMENTS_MAX 64
#define PATH_SIZE     64

static int parse(enum command command, const char *const *words, struct run_options *ret_options,
                 struct error *err)
{
    char *argv[ARGUMENTS_MAX + 2] = { (char[]){ "command" } };
    int count = 1;

    while (*words) {
        assert_true(count < ARGUMENTS_MAX);
        argv[count++] = (char *)(uintptr_t)*words++;
    }
    *err = (struct error){ 0 };
    return run_options_parse(command, count, argv, ret_options, err);
}

static struct run_options accept_words(enum command command, const char *const *words)
{
    struct run_options options;
    struct error err;

    if (parse(command, words, &options, &err) != 0)
        fail_msg("refused: %s", err.text);
    return options;
}

#define accept(command, ...) accept_words(command, (const char *const[]){ __VA_ARGS__, NULL })

/* A file of its own, its name to be given to remove_file(). */
static void write_file(char *path, const void *bytes, size_t size)
{
    int fd;

    strcpy(path, "/tmp/ringlet-config-XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

static void write_text(char *path, const char *text)
{
    write_file(path, text, strlen(text));
}

static void remove_file(const char *path)
{
    assert_int_equal(unlink(path), 0);
}

/* What --print-config writes for these options, to be freed. */
static char *print_options(const struct run_options *options)
{
    FILE *to = tmpfile();
    struct error err = { 0 };
    char *text;
    long size;

    assert_non_null(to);
    if (config_file_print(options, to, &err) != 0)
        fail_msg("not printed: %s", err.text);
    size = ftell(to);
    assert_true(size > 1);
    text = calloc(1, (size_t)size + 1);
    assert_non_null(text);
    rewind(to);
    assert_int_equal(fread(text, 1, (size_t)size, to), size);
    fclose(to);
    return text;
}

/* --- what a file means --- */

static void test_a_file_says_what_a_line_says(void **state)
{
    char path[PATH_SIZE];
    struct run_options options;

    (void)state;
    write_text(path,
               "{ \"kernel\": \"vmlinuz\", \"cpus\": 4, \"memory\": \"1G\", \"debug-exit\": true,"
               "  \"verbose\": false, \"rng\": true, \"append\": [\"a b\", 7],"
               "  \"disk\": [\"a,ro\", \"b,,c,serial=x\"], \"console\": \"file=log\", \"timeout\": 90 }");
    options = accept(COMMAND_RUN, "--config", path);
    assert_string_equal(options.config, path);
    assert_string_equal(options.kernel, "vmlinuz");
    assert_int_equal(options.cpus, 4);
    assert_true(options.memory == GIB);
    assert_true(options.debug_exit);
    assert_int_equal(options.verbosity, LOG_LEVEL_WARNING);
    assert_string_equal(options.append, "a b 7");
    assert_int_equal(options.console, CONSOLE_FILE);
    assert_string_equal(options.console_path, "log");
    assert_true(options.timeout == UINT64_C(90000000000));
    assert_int_equal(options.device_count, 3);
    assert_string_equal(options.devices[0].name, "rng0");
    assert_string_equal(options.devices[1].argument.value, "a");
    assert_string_equal(options.devices[2].argument.value, "b,c");
    run_options_finish(&options);
    remove_file(path);
}

static void test_a_file_may_hold_execs_command(void **state)
{
    char path[PATH_SIZE];
    struct run_options options;

    (void)state;
    write_text(path, "{\"command\": [\"sh\", \"-c\", \"exit 3\", \"\"], \"env\": [\"A=1\"], \"tty\": true}");
    options = accept(COMMAND_EXEC, "--config", path);
    assert_int_equal(options.exec.argument_count, 4);
    assert_string_equal(options.exec.arguments[0], "sh");
    assert_string_equal(options.exec.arguments[2], "exit 3");
    assert_string_equal(options.exec.arguments[3], "");
    assert_string_equal(options.exec.environment[0], "A=1");
    assert_true(options.exec.terminal);
    run_options_finish(&options);
    /* the line's command is in its place, not behind it */
    options = accept(COMMAND_EXEC, "--config", path, "--", "true");
    assert_int_equal(options.exec.argument_count, 1);
    assert_string_equal(options.exec.arguments[0], "true");
    run_options_finish(&options);
    remove_file(path);
}

static void test_the_line_beats_the_file_and_adds_to_it(void **state)
{
    char path[PATH_SIZE];
    struct run_options options;

    (void)state;
    write_text(path,
               "{\"kernel\": \"old\", \"cpus\": 2, \"append\": \"first\", \"disk\": [\"a\"], \"rng\": true,"
               " \"quiet\": true}");
    for (int last = 0; last < 2; last++) { /* wherever --config stands */
        options = last ? accept(COMMAND_RUN, "-k", "new", "-a", "second", "-d", "b", "--rng", "-v",
                                "--config", path)
                       : accept(COMMAND_RUN, "--config", path, "-k", "new", "-a", "second", "-d", "b",
                                "--rng", "-v");
        assert_string_equal(options.kernel, "new");
        assert_int_equal(options.cpus, 2);
        assert_string_equal(options.append, "first second");
        assert_int_equal(options.verbosity, LOG_LEVEL_INFO);
        assert_int_equal(options.device_count, 3);
        assert_string_equal(options.devices[0].argument.value, "a");
        assert_string_equal(options.devices[1].argument.value, "b");
        assert_string_equal(options.devices[1].name, "disk1");
        assert_string_equal(options.devices[2].name, "rng0");
        run_options_finish(&options);
    }
    remove_file(path);
}

/* A value that the line replaces is not even looked at. */
static void test_what_the_line_replaces_may_be_wrong_in_the_file(void **state)
{
    char path[PATH_SIZE];
    struct run_options options;

    (void)state;
    write_text(path, "{\"cpus\": 0}");
    options = accept(COMMAND_RUN, "--config", path, "-k", "x", "-c", "3");
    assert_int_equal(options.cpus, 3);
    run_options_finish(&options);
    remove_file(path);
}

static void test_an_empty_object_and_empty_arrays_say_nothing(void **state)
{
    char path[PATH_SIZE];
    struct run_options options;

    (void)state;
    write_text(path, "{\"disk\": [], \"append\": []}");
    options = accept(COMMAND_RUN, "--config", path, "-k", "x");
    assert_int_equal(options.device_count, 0);
    assert_int_equal(options.word_count, 1);
    run_options_finish(&options);
    remove_file(path);
    write_text(path, " {} \n");
    options = accept(COMMAND_RUN, "--config", path, "-k", "x");
    assert_int_equal(options.word_count, 1);
    run_options_finish(&options);
    remove_file(path);
}

static void test_a_file_may_be_a_descriptor(void **state)
{
    char path[PATH_SIZE], name[32];
    struct run_options options;
    int fd;

    (void)state;
    write_text(path, "{\"kernel\": \"x\"}");
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    snprintf(name, sizeof(name), "fd=%d", fd);
    options = accept(COMMAND_RUN, "--config", name);
    assert_string_equal(options.kernel, "x");
    run_options_finish(&options);
    close(fd);
    remove_file(path);
}

static void test_help_does_not_read_the_file(void **state)
{
    struct run_options options = accept(COMMAND_RUN, "--config", "/nonexistent", "--help");

    (void)state;
    assert_true(options.help);
    run_options_finish(&options);
}

/* --- mistakes --- */

static void refuse_file(enum command command, const char *path, const char *sentence)
{
    struct run_options options;
    struct error err;

    assert_int_not_equal(parse(command, (const char *const[]){ "--config", path, NULL }, &options, &err), 0);
    assert_string_equal(err.text, sentence);
    run_options_finish(&options);
}

/* `sentence`: what comes after the file's name. */
static void refuse_text(enum command command, const char *text, const char *sentence)
{
    char path[PATH_SIZE], whole[512];

    write_text(path, text);
    snprintf(whole, sizeof(whole), "%s%s", path, sentence);
    refuse_file(command, path, whole);
    remove_file(path);
}

static void test_a_file_that_is_no_json_has_its_line_and_column_told(void **state)
{
    static const struct {
        const char *text;
        const char *begin;
    } samples[] = {
        { "{ \"kernel\": \"x\",\n  \"cpus\" 4 }", ", line 2, column 10: " },
        { "kernel=x\n", ", line 1, column " },
        { "", " is empty" },
        { "{\"kernel\": \"x\"} more", ", line 1, column " },
        { "{\"kernel\": \"x\", \"kernel\": \"y\"}", ", line 1, column " },
        { "{\"kernel\": \"a\\u0000b\"}", ", line 1, column " },
        { "{\"kernel\": \"\xff\"}", ", line 1, column " },
        { "{\"cpus\": 99999999999999999999}", ", line 1, column " },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        char path[PATH_SIZE];
        struct run_options options;
        struct error err;

        write_text(path, samples[i].text);
        assert_int_equal(parse(COMMAND_RUN, (const char *const[]){ "--config", path, NULL }, &options, &err),
                         -EINVAL);
        if (strncmp(err.text, path, strlen(path)) != 0 ||
            strncmp(err.text + strlen(path), samples[i].begin, strlen(samples[i].begin)) != 0)
            fail_msg("'%s' is refused so: %s", samples[i].text, err.text);
        run_options_finish(&options);
        remove_file(path);
    }
}

static void test_members_that_are_no_options(void **state)
{
    (void)state;
    refuse_text(COMMAND_RUN, "{\"kernal\": \"x\"}", ": \"kernal\" is no option; see `ringlet run --help`");
    refuse_text(COMMAND_RUN, "{\"k\": \"x\"}", ": \"k\" is no option; see `ringlet run --help`");
    refuse_text(COMMAND_EXEC, "{\"--env\": \"x\"}", ": \"--env\" is no option; see `ringlet exec --help`");
    refuse_text(COMMAND_RUN, "{\"env\": [\"A=1\"]}", ": \"env\" is for `ringlet exec`, not for run");
    refuse_text(COMMAND_RUN, "{\"command\": [\"ls\"]}", ": \"command\" is for `ringlet exec`, not for run");
    refuse_text(COMMAND_EXEC, "{\"dump-dtb\": \"x\"}", ": \"dump-dtb\" is for `ringlet run`, not for exec");
    refuse_text(COMMAND_RUN, "{\"config\": \"other\"}", ": \"config\" is for the command line alone");
    refuse_text(COMMAND_RUN, "{\"print-config\": true}", ": \"print-config\" is for the command line alone");
    refuse_text(COMMAND_RUN, "{\"help\": true}", ": \"help\" is for the command line alone");
}

static void test_values_of_the_wrong_kind(void **state)
{
    static const char *const scalars[] = { "true", "null", "1.5", "[\"x\"]", "[]", "{}", "{\"a\": 1}" };
    static const char *const flags[] = { "1", "\"true\"", "null", "[]", "[true]", "{}" };
    static const char *const elements[] = { "true", "null", "1.5", "[]", "[\"x\"]", "{}" };
    char text[128];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(scalars); i++) {
        snprintf(text, sizeof(text), "{\"kernel\": %s}", scalars[i]);
        refuse_text(COMMAND_RUN, text, ": \"kernel\" takes a string or a whole number");
    }
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        snprintf(text, sizeof(text), "{\"verbose\": %s}", flags[i]);
        refuse_text(COMMAND_RUN, text, ": \"verbose\" takes true or false");
        snprintf(text, sizeof(text), "{\"rng\": %s}", flags[i]);
        refuse_text(COMMAND_RUN, text, ": \"rng\" takes true or false");
    }
    for (size_t i = 0; i < ARRAY_SIZE(elements); i++) {
        snprintf(text, sizeof(text), "{\"disk\": [\"a\", %s]}", elements[i]);
        refuse_text(COMMAND_RUN, text, ": \"disk\" takes strings or whole numbers");
        snprintf(text, sizeof(text), "{\"command\": [\"a\", %s]}", elements[i]);
        refuse_text(COMMAND_EXEC, text, ": \"command\" takes an array of words");
    }
    refuse_text(COMMAND_RUN, "{\"disk\": {}}",
                ": \"disk\" takes a string or a whole number, or an array of them");
    refuse_text(COMMAND_RUN, "{\"disk\": null}",
                ": \"disk\" takes a string or a whole number, or an array of them");
    refuse_text(COMMAND_EXEC, "{\"command\": \"ls\"}", ": \"command\" takes an array of words");
    refuse_text(COMMAND_RUN, "[]", ": not an object, { \"OPTION\": VALUE, ... }");
    refuse_text(COMMAND_RUN, "[[\"kernel\", \"x\"]]", ": not an object, { \"OPTION\": VALUE, ... }");
}

static void test_what_an_option_refuses_names_the_file_that_said_it(void **state)
{
    (void)state;
    refuse_text(COMMAND_RUN, "{\"cpus\": -1}", ": --cpus takes a number from 1 to 32, not '-1'");
    refuse_text(COMMAND_RUN, "{\"disk\": [\"a\", \"b,queues=0\"]}",
                ": --disk: 'queues' takes a number from 1 to 16");
    refuse_text(COMMAND_RUN, "{\"kernel\": \"\"}", ": --kernel is given an empty name");
}

static void test_what_the_line_alone_is_guilty_of_does_not_name_the_file(void **state)
{
    char path[PATH_SIZE];
    struct run_options options;
    struct error err;

    (void)state;
    write_text(path, "{\"kernel\": \"x\"}");
    assert_int_equal(
        parse(COMMAND_RUN, (const char *const[]){ "--config", path, "-c", "0", NULL }, &options, &err),
        -EINVAL);
    assert_string_equal(err.text, "--cpus takes a number from 1 to 32, not '0'");
    run_options_finish(&options);
    assert_int_equal(
        parse(COMMAND_RUN, (const char *const[]){ "--config", path, "--config", path, NULL }, &options, &err),
        -EINVAL);
    assert_string_equal(err.text, "--config is given twice");
    run_options_finish(&options);
    remove_file(path);
}

static void test_files_that_cannot_be_read(void **state)
{
    (void)state;
    refuse_file(COMMAND_RUN, "/nonexistent/file",
                "cannot open the --config file /nonexistent/file: No such file or directory");
    refuse_file(COMMAND_RUN, "/tmp", "cannot read the --config file /tmp: Is a directory");
    refuse_file(COMMAND_RUN, "fd=999", "cannot open the --config file fd=999: Bad file descriptor");
}

static void test_a_file_has_at_most_a_mebibyte(void **state)
{
    char path[PATH_SIZE], sentence[128];
    char *bytes = malloc(CONFIG_FILE_MAX_SIZE + 1);
    struct run_options options;

    (void)state;
    assert_non_null(bytes);
    memset(bytes, ' ', CONFIG_FILE_MAX_SIZE + 1);
    memcpy(bytes, "{\"kernel\": \"x\"}", 15);
    write_file(path, bytes, CONFIG_FILE_MAX_SIZE);
    options = accept(COMMAND_RUN, "--config", path);
    assert_string_equal(options.kernel, "x");
    run_options_finish(&options);
    remove_file(path);
    write_file(path, bytes, CONFIG_FILE_MAX_SIZE + 1);
    snprintf(sentence, sizeof(sentence), "the --config file %s is larger than 1024 KiB", path);
    refuse_file(COMMAND_RUN, path, sentence);
    remove_file(path);
    /* and one without an end is no different */
    refuse_file(COMMAND_RUN, "/dev/zero", "the --config file /dev/zero is larger than 1024 KiB");
    free(bytes);
}

/* --- what is printed --- */

static void test_a_line_is_printed_in_the_order_of_the_table(void **state)
{
    struct run_options options =
        accept(COMMAND_EXEC, "--rng", "-d", "b,ro", "-e", "A=1", "-m1g", "-d", "a\"\\", "-k", "x", "-e",
               "B=\n", "-t", "--", "echo", "--config", "\xc3\xa4");
    char *text = print_options(&options);

    (void)state;
    assert_string_equal(text, "{\n"
                              "    \"kernel\": \"x\",\n"
                              "    \"memory\": \"1g\",\n"
                              "    \"env\": [\n"
                              "        \"A=1\",\n"
                              "        \"B=\\n\"\n"
                              "    ],\n"
                              "    \"tty\": true,\n"
                              "    \"disk\": [\n"
                              "        \"b,ro\",\n"
                              "        \"a\\\"\\\\\"\n"
                              "    ],\n"
                              "    \"rng\": true,\n"
                              "    \"command\": [\n"
                              "        \"echo\",\n"
                              "        \"--config\",\n"
                              "        \"\xc3\xa4\"\n"
                              "    ]\n"
                              "}\n");
    free(text);
    run_options_finish(&options);
}

static void test_of_verbose_and_quiet_the_last_is_printed(void **state)
{
    static const char *const lines[][3] = { { "-v", "-q", "quiet" }, { "-q", "-v", "verbose" } };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        struct run_options options = accept(COMMAND_RUN, "-k", "x", lines[i][0], lines[i][1]);
        char *text = print_options(&options), expected[64];

        snprintf(expected, sizeof(expected), "{\n    \"kernel\": \"x\",\n    \"%s\": true\n}\n", lines[i][2]);
        assert_string_equal(text, expected);
        free(text);
        run_options_finish(&options);
    }
}

static void test_what_is_no_utf_8_cannot_be_printed(void **state)
{
    struct run_options options = accept(COMMAND_EXEC, "--", "ls", "\xff");
    struct error err = { 0 };
    FILE *to = tmpfile();

    (void)state;
    assert_non_null(to);
    assert_int_equal(config_file_print(&options, to, &err), -EINVAL);
    assert_string_equal(err.text, "what is given with \"command\" is not UTF-8, so no JSON file can hold it");
    assert_int_equal(ftell(to), 0);
    fclose(to);
    run_options_finish(&options);
}

/* --- the round trip --- */

/* As a person sees the two: all that a machine is made of, but for where devices of different kinds stand. */
static void check_same_meaning(const struct run_options *a, const struct run_options *b)
{
    assert_int_equal(a->command, b->command);
    assert_int_equal(!a->kernel, !b->kernel);
    assert_true(!a->kernel || strcmp(a->kernel, b->kernel) == 0);
    assert_string_equal(a->append, b->append);
    assert_int_equal(a->cpus, b->cpus);
    assert_true(a->memory == b->memory);
    assert_int_equal(a->console, b->console);
    assert_int_equal(a->console_given, b->console_given);
    assert_true(a->timeout == b->timeout);
    assert_int_equal(a->engine, b->engine);
    assert_int_equal(a->debug_exit, b->debug_exit);
    assert_int_equal(a->verbosity, b->verbosity);
    assert_int_equal(a->exec.terminal, b->exec.terminal);
    assert_int_equal(a->exec.image, b->exec.image);
    assert_int_equal(a->exec.argument_count, b->exec.argument_count);
    for (unsigned i = 0; i < a->exec.argument_count; i++)
        assert_string_equal(a->exec.arguments[i], b->exec.arguments[i]);
    assert_int_equal(a->exec.environment_count, b->exec.environment_count);
    for (unsigned i = 0; i < a->exec.environment_count; i++)
        assert_string_equal(a->exec.environment[i], b->exec.environment[i]);
    assert_int_equal(a->device_count, b->device_count);
    for (unsigned i = 0; i < a->device_count; i++) {
        unsigned j = 0;

        while (j < b->device_count && strcmp(a->devices[i].name, b->devices[j].name) != 0)
            j++;
        assert_true(j < b->device_count);
        assert_int_equal(!a->devices[i].argument.value, !b->devices[j].argument.value);
        if (a->devices[i].argument.value)
            assert_string_equal(a->devices[i].argument.value, b->devices[j].argument.value);
    }
}

static void check_round_trip(enum command command, const char *const *words)
{
    struct run_options options = accept_words(command, words), again;
    char *text = print_options(&options), *text_again;
    char path[PATH_SIZE];

    write_text(path, text);
    again = accept(command, "--config", path);
    check_same_meaning(&options, &again);
    text_again = print_options(&again);
    assert_string_equal(text, text_again);
    assert_int_equal(text[strlen(text) - 1], '\n');
    free(text);
    free(text_again);
    run_options_finish(&options);
    run_options_finish(&again);
    remove_file(path);
}

/* A small generator of our own, so that each run of the test sees the same lines. */
static uint32_t next_number(uint32_t *seed, uint32_t below)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % below;
}

static void test_what_is_printed_means_the_same_and_is_printed_the_same(void **state)
{
    /* of one group at most one, if the option may not be repeated */
    static const struct {
        unsigned commands;
        bool repeatable;
        const char *name;
        const char *arguments[5]; /* none: it takes none */
    } pool[] = {
        { 3, false, "--initrd", { "initrd", "a b", "fd=3", "\xe2\x82\xac" } },
        { 3, true, "--append", { "quiet", "", "x=\"y z\"", "\\", "\t" } },
        { 3, false, "--cpus", { "1", "32", "4" } },
        { 3, false, "--memory", { "512", "64M", "128mib" } },
        { 3, false, "--console", { "file=a=b", "pty", "null", "socket=/run/x" } },
        { 3, false, "--timeout", { "1", "500ms", "2h" } },
        { 3, false, "--io-engine", { "auto", "threads", "io_uring" } },
        { 3, false, "--name", { "vm", "a.b-c_d" } },
        { 3, false, "--pidfile", { "pid" } },
        { 3, false, "--events", { "fd=7", "events" } },
        { 3, true, "--verbose", { NULL } },
        { 3, true, "--quiet", { NULL } },
        { 3, true, "--disk", { "a", "b,,c,ro", "d,cache=unsafe,queues=2", "e,serial=f,,g" } },
        { 3, true, "--net", { "none", "user,hostfwd=1:2,hostfwd=3:4", "tap=x,queues=2", "fd=3:4" } },
        { 3, false, "--rng", { NULL } },
        { 1, true, "--debug-exit", { NULL } },
        { 1, false, "--dump-dtb", { "dtb" } },
        { 2, false, "--image", { "root.img", "root,,1,ro" } },
        { 2, true, "--env", { "A=1", "B=", "A=2=3", "PATH" } },
        { 2, false, "--workdir", { "/", "/a b" } },
        { 2, false, "--user", { "0:0", "nobody" } },
        { 2, true, "--tty", { NULL } },
    };
    static const char *const command_words[] = { "sh", "-c", "", "--", "--config", "a b", "\"", "\n" };
    uint32_t seed = 4711;

    (void)state;
    for (int round = 0; round < 500; round++) {
        enum command command = round & 1 ? COMMAND_EXEC : COMMAND_RUN;
        const char *words[ARGUMENTS_MAX + 1];
        bool given[ARRAY_SIZE(pool)] = { false };
        unsigned count = 0;

        words[count++] = "--kernel";
        words[count++] = "vmlinuz";
        for (uint32_t i = next_number(&seed, 16); i > 0; i--) {
            uint32_t at = next_number(&seed, ARRAY_SIZE(pool)), choices = 0;

            if (!(pool[at].commands & (unsigned)command) || (given[at] && !pool[at].repeatable))
                continue;
            given[at] = true;
            words[count++] = pool[at].name;
            while (choices < ARRAY_SIZE(pool[at].arguments) && pool[at].arguments[choices])
                choices++;
            if (choices)
                words[count++] = pool[at].arguments[next_number(&seed, choices)];
        }
        if (command == COMMAND_EXEC) {
            words[count++] = "--";
            words[count++] = "run";
            for (uint32_t i = next_number(&seed, 6); i > 0; i--)
                words[count++] = command_words[next_number(&seed, ARRAY_SIZE(command_words))];
        }
        words[count] = NULL;
        check_round_trip(command, words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_says_what_a_line_says),
        cmocka_unit_test(test_a_file_may_hold_execs_command),
        cmocka_unit_test(test_the_line_beats_the_file_and_adds_to_it),
        cmocka_unit_test(test_what_the_line_replaces_may_be_wrong_in_the_file),
        cmocka_unit_test(test_an_empty_object_and_empty_arrays_say_nothing),
        cmocka_unit_test(test_a_file_may_be_a_descriptor),
        cmocka_unit_test(test_help_does_not_read_the_file),
        cmocka_unit_test(test_a_file_that_is_no_json_has_its_line_and_column_told),
        cmocka_unit_test(test_members_that_are_no_options),
        cmocka_unit_test(test_values_of_the_wrong_kind),
        cmocka_unit_test(test_what_an_option_refuses_names_the_file_that_said_it),
        cmocka_unit_test(test_what_the_line_alone_is_guilty_of_does_not_name_the_file),
        cmocka_unit_test(test_files_that_cannot_be_read),
        cmocka_unit_test(test_a_file_has_at_most_a_mebibyte),
        cmocka_unit_test(test_a_line_is_printed_in_the_order_of_the_table),
        cmocka_unit_test(test_of_verbose_and_quiet_the_last_is_printed),
        cmocka_unit_test(test_what_is_no_utf_8_cannot_be_printed),
        cmocka_unit_test(test_what_is_printed_means_the_same_and_is_printed_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
