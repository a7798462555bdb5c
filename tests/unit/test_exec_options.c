/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_exec_options.c - `ringlet exec`'s command line: what its own options set, where the command begins, and the
 * sentence for each mistake.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "options.h"
#include "ringlet/error.h"
#include "ringlet/util.h"

#define ARGUMENTS_MAX 24
#define NO_COMMAND    "no command: it is `ringlet exec [OPTION]... -- COMMAND [ARGUMENT]...`"

static int parse(enum command command, const char *const *words, struct run_options *ret_options,
                 struct error *err)
{
    char *argv[ARGUMENTS_MAX + 2] = { (char[]){ "exec" } };
    int count = 1;

    while (*words) {
        assert_true(count < ARGUMENTS_MAX);
        argv[count++] = (char *)(uintptr_t)*words++;
    }
    *err = (struct error){ 0 };
    return run_options_parse(command, count, argv, ret_options, err);
}

static struct run_options accept_words(const char *const *words)
{
    struct run_options options;
    struct error err;

    if (parse(COMMAND_EXEC, words, &options, &err) != 0)
        fail_msg("refused: %s", err.text);
    assert_string_equal(err.text, "");
    return options;
}

static void refuse_words(enum command command, const char *sentence, const char *const *words)
{
    struct run_options options;
    struct error err;

    assert_int_equal(parse(command, words, &options, &err), -EINVAL);
    assert_string_equal(err.text, sentence);
    run_options_finish(&options);
}

/* The words end in NULL. */
#define accept(...)               accept_words((const char *const[]){ __VA_ARGS__ })
#define refuse(sentence, ...)     refuse_words(COMMAND_EXEC, sentence, (const char *const[]){ __VA_ARGS__ })
#define refuse_run(sentence, ...) refuse_words(COMMAND_RUN, sentence, (const char *const[]){ __VA_ARGS__ })

/* --- the command --- */

static void check_command(const struct run_options *options, const char *const *words)
{
    unsigned count = 0;

    for (; words[count]; count++) {
        assert_true(count < options->exec.argument_count);
        assert_string_equal(options->exec.arguments[count], words[count]);
    }
    assert_int_equal(options->exec.argument_count, count);
}

static void test_the_command_begins_at_the_first_word_that_is_no_option(void **state)
{
    struct run_options options = accept("-m", "1G", "ls", "-m", "x", "--", "-v", NULL);

    (void)state;
    check_command(&options, (const char *const[]){ "ls", "-m", "x", "--", "-v", NULL });
    assert_true(options.memory == GIB);
    assert_int_equal(options.verbosity, LOG_LEVEL_WARNING);
    run_options_finish(&options);
}

static void test_two_dashes_end_the_options_and_are_none_of_the_command(void **state)
{
    struct run_options options = accept("-v", "--", "--strange", "--help", "", NULL);

    (void)state;
    check_command(&options, (const char *const[]){ "--strange", "--help", "", NULL });
    assert_false(options.help);
    run_options_finish(&options);
    options = accept("--", "--", "x", NULL); /* and only the first two */
    check_command(&options, (const char *const[]){ "--", "x", NULL });
    run_options_finish(&options);
}

static void test_a_line_without_a_command_is_told_the_form(void **state)
{
    (void)state;
    refuse(NO_COMMAND, NULL);
    refuse(NO_COMMAND, "--", NULL);
    refuse(NO_COMMAND, "-k", "x", NULL);
    refuse(NO_COMMAND, "-k", "x", "--print-config", NULL);
    refuse("the command has an empty name", "", NULL);
    refuse("the command has an empty name", "--", "", "x", NULL);
}

static void test_the_defaults_of_exec(void **state)
{
    struct run_options options = accept("true", NULL);

    (void)state;
    assert_int_equal(options.command, COMMAND_EXEC);
    assert_null(options.kernel);
    assert_null(options.initrd);
    assert_false(options.console_given);
    assert_int_not_equal(options.console, CONSOLE_STDIO);
    assert_int_equal(options.exec.environment_count, 0);
    assert_null(options.exec.workdir);
    assert_null(options.exec.user);
    assert_false(options.exec.terminal);
    assert_false(options.exec.image);
    assert_null(options.name);
    assert_null(options.pidfile);
    assert_null(options.events);
    assert_null(options.config);
    assert_int_equal(options.device_count, 0);
    run_options_finish(&options);
}

static void test_help_wins_over_a_missing_command(void **state)
{
    struct run_options options = accept("--help", NULL);

    (void)state;
    assert_true(options.help);
    run_options_finish(&options);
}

/* --- exec's options --- */

static void test_each_option_of_execs_in_both_forms(void **state)
{
    struct run_options options = accept("--env=A=1", "-e", "B=", "--env", "A=2=3", "--workdir=/src",
                                        "--user=1000:users", "--tty", "id", NULL);

    (void)state;
    assert_int_equal(options.exec.environment_count, 3);
    assert_string_equal(options.exec.environment[0], "A=1");
    assert_string_equal(options.exec.environment[1], "B=");
    assert_string_equal(options.exec.environment[2], "A=2=3");
    assert_string_equal(options.exec.workdir, "/src");
    assert_string_equal(options.exec.user, "1000:users");
    assert_true(options.exec.terminal);
    run_options_finish(&options);
    options = accept("-w", "/", "-u", "nobody", "-t", "-t", "id", NULL);
    assert_string_equal(options.exec.workdir, "/");
    assert_string_equal(options.exec.user, "nobody");
    assert_true(options.exec.terminal);
    run_options_finish(&options);
}

static void test_a_variable_without_a_value_is_the_callers(void **state)
{
    struct run_options options;

    (void)state;
    assert_int_equal(setenv("RINGLET_TEST", "a value=1", 1), 0);
    assert_int_equal(setenv("RINGLET_TEST_EMPTY", "", 1), 0);
    assert_int_equal(unsetenv("RINGLET_TES"), 0);
    options = accept("-e", "RINGLET_TEST", "-e", "RINGLET_TEST_EMPTY", "x", NULL);
    assert_string_equal(options.exec.environment[0], "RINGLET_TEST=a value=1");
    assert_string_equal(options.exec.environment[1], "RINGLET_TEST_EMPTY=");
    run_options_finish(&options);
    /* the beginning of one that is set is none */
    refuse("--env RINGLET_TES: there is no such variable here; --env RINGLET_TES=VALUE gives it one", "-e",
           "RINGLET_TES", "x", NULL);
}

static void test_what_env_workdir_and_user_refuse(void **state)
{
    static const char *const users[] = { "", ":", "a:", ":b", "a:b:c", "a::b" };

    (void)state;
    refuse("--env takes NAME=VALUE, or the NAME of a variable that is set, not ''", "-e", "", "x", NULL);
    refuse("--env takes NAME=VALUE, or the NAME of a variable that is set, not '=x'", "-e", "=x", "x", NULL);
    refuse("--workdir takes an absolute path of the guest's, not 'src'", "-w", "src", "x", NULL);
    refuse("--workdir takes an absolute path of the guest's, not ''", "-w", "", "x", NULL);
    refuse("--workdir is given twice", "-w", "/a", "-w", "/b", "x", NULL);
    refuse("option '-e' needs an argument; see `ringlet exec --help`", "-e", NULL);
    refuse("option '--tty=1' takes no argument", "--tty=1", "x", NULL);
    for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
        char sentence[128];

        snprintf(sentence, sizeof(sentence), "--user takes NAME, NAME:GROUP or numbers, not '%s'", users[i]);
        refuse(sentence, "-u", users[i], "x", NULL);
    }
}

/* --- the image --- */

static void test_the_image_is_the_first_device_wherever_it_stands(void **state)
{
    struct run_options options =
        accept("-d", "a", "--rng", "--image", "root,,1.img,ro,serial=top", "-d", "b", "x", NULL);

    (void)state;
    assert_true(options.exec.image);
    assert_int_equal(options.device_count, 4);
    assert_string_equal(options.devices[0].name, "image0");
    assert_string_equal(options.devices[0].type->name, "disk");
    assert_string_equal(options.devices[0].argument.value, "root,1.img");
    assert_true(options.devices[0].argument.keys[0].given);
    assert_string_equal(options.devices[1].name, "disk0");
    assert_string_equal(options.devices[1].argument.value, "a");
    assert_string_equal(options.devices[2].name, "rng0");
    assert_string_equal(options.devices[3].name, "disk1");
    assert_string_equal(options.devices[3].argument.value, "b");
    run_options_finish(&options);
    options = accept("--image=a", "-d", "b", "x", NULL); /* counted apart */
    assert_string_equal(options.devices[0].name, "image0");
    assert_string_equal(options.devices[1].name, "disk0");
    run_options_finish(&options);
}

static void test_what_is_wrong_with_an_image_is_said_of_the_image(void **state)
{
    (void)state;
    refuse("--image is given twice", "--image", "a", "--image", "b", "x", NULL);
    refuse("--image knows no 'nonsense' (a comma in a file name is written twice)", "--image", "a,nonsense",
           "x", NULL);
    refuse("--image: 'ro' takes no value", "--image", "a,ro=1", "x", NULL);
    refuse("--image: 'ro' is given twice", "--image", "a,ro,ro", "x", NULL);
    refuse("--image: 'queues' takes a number from 1 to 16", "--image", "a,queues=0", "x", NULL);
    refuse("--image: 'cache' is one of writeback, writethrough, unsafe", "--image", "a,cache=no", "x", NULL);
    refuse("--image needs a FILE before the first comma", "--image", "", "x", NULL);
}

static void test_there_is_one_root_file_system(void **state)
{
    struct run_options options = accept("--root", "/", "--disk", "a", "x", NULL);

    (void)state;
    assert_false(options.exec.image);
    assert_string_equal(options.devices[0].name, "root0");
    run_options_finish(&options);
    refuse("--image and --root are both the root file system: give one of them", "--image", "a", "--root",
           "/", "x", NULL);
    refuse("--image and --root are both the root file system: give one of them", "--root", "/", "--image",
           "a", "x", NULL);
}

/* --- both commands' --- */

static void test_the_names_that_a_vm_may_have(void **state)
{
    static const char longest[] = "a23456789012345678901234567890123456789012345678901234567890123";
    static const char *const good[] = { "a", "7", "web-1", "a.b_c-", "A", longest };
    static const char *const bad[] = {
        "",    "-a",  ".a",       "_a",  "a b",
        "a/b", "a:b", "\xc3\xa4", "a\n", "a234567890123456789012345678901234567890123456789012345678901234"
    };

    (void)state;
    assert_int_equal(strlen(longest), 63);
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct run_options options = accept("--name", good[i], "x", NULL);

        assert_string_equal(options.name, good[i]);
        run_options_finish(&options);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char sentence[256];

        snprintf(
            sentence, sizeof(sentence),
            "--name takes at most 63 letters, digits, '.', '_' and '-', the first a letter or a digit, not '%s'",
            bad[i]);
        refuse(sentence, "--name", bad[i], "x", NULL);
        refuse_run(sentence, "-k", "x", "--name", bad[i], NULL);
    }
}

static void test_where_the_pid_and_the_events_go(void **state)
{
    struct run_options options = accept("--pidfile=/run/x.pid", "--events", "fd=3", "x", NULL);

    (void)state;
    assert_string_equal(options.pidfile, "/run/x.pid");
    assert_string_equal(options.events, "fd=3");
    run_options_finish(&options);
    refuse("--pidfile is given an empty name", "--pidfile=", "x", NULL);
    refuse("--events is given an empty name", "--events", "", "x", NULL);
    refuse("--config is given an empty name", "--config", "", "x", NULL);
    refuse("--events is given twice", "--events=a", "--events=b", "x", NULL);
}

static void test_the_console_of_exec_is_anything_but_the_commands_streams(void **state)
{
    struct run_options options = accept("--console", "file=log", "x", NULL);

    (void)state;
    assert_true(options.console_given);
    assert_int_equal(options.console, CONSOLE_FILE);
    assert_string_equal(options.console_path, "log");
    run_options_finish(&options);
    refuse(
        "--console stdio is not for exec, whose standard streams are the command's; file=PATH keeps the console",
        "--console", "stdio", "x", NULL);
}

static void test_an_option_of_the_other_command_is_said_to_be_so(void **state)
{
    (void)state;
    refuse("option '--debug-exit' is for `ringlet run`, not for exec", "--debug-exit", "x", NULL);
    refuse("option '--dump-dtb' is for `ringlet run`, not for exec", "--dump-dtb", "x", NULL);
    refuse_run("option '--env' is for `ringlet exec`, not for run", "-k", "x", "--env", "A=1", NULL);
    refuse_run("option '--image' is for `ringlet exec`, not for run", "-k", "x", "--image", "a", NULL);
    refuse_run("unknown option '-t'; see `ringlet run --help`", "-k", "x", "-t", NULL);
    refuse("unknown option '--kernal'; see `ringlet exec --help`", "--kernal", "x", NULL);
}

/* --- what was given --- */

static void test_the_words_are_kept_as_they_were_given(void **state)
{
    static const struct {
        const char *name, *argument;
    } expected[] = {
        { "disk", "a,,b,ro" }, { "memory", "1g" },  { "verbose", NULL },
        { "append", "quiet" }, { "command", "ls" }, { "command", "-l" },
    };
    struct run_options options =
        accept("-d", "a,,b,ro", "-m1g", "-v", "--print-config", "--app", "quiet", "--", "ls", "-l", NULL);

    (void)state;
    assert_true(options.print_config);
    assert_int_equal(options.word_count, ARRAY_SIZE(expected));
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
        assert_string_equal(options.words[i].name, expected[i].name);
        if (expected[i].argument)
            assert_string_equal(options.words[i].argument, expected[i].argument);
        else
            assert_null(options.words[i].argument);
    }
    run_options_finish(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_command_begins_at_the_first_word_that_is_no_option),
        cmocka_unit_test(test_two_dashes_end_the_options_and_are_none_of_the_command),
        cmocka_unit_test(test_a_line_without_a_command_is_told_the_form),
        cmocka_unit_test(test_the_defaults_of_exec),
        cmocka_unit_test(test_help_wins_over_a_missing_command),
        cmocka_unit_test(test_each_option_of_execs_in_both_forms),
        cmocka_unit_test(test_a_variable_without_a_value_is_the_callers),
        cmocka_unit_test(test_what_env_workdir_and_user_refuse),
        cmocka_unit_test(test_the_image_is_the_first_device_wherever_it_stands),
        cmocka_unit_test(test_what_is_wrong_with_an_image_is_said_of_the_image),
        cmocka_unit_test(test_there_is_one_root_file_system),
        cmocka_unit_test(test_the_names_that_a_vm_may_have),
        cmocka_unit_test(test_where_the_pid_and_the_events_go),
        cmocka_unit_test(test_the_console_of_exec_is_anything_but_the_commands_streams),
        cmocka_unit_test(test_an_option_of_the_other_command_is_said_to_be_so),
        cmocka_unit_test(test_the_words_are_kept_as_they_were_given),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
