/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_options.c - `ringlet run`'s command line: what each option sets, and the sentence for each mistake.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "option_table.h"
#include "options.h"
#include "ringlet/error.h"
#include "ringlet/util.h"

#define ARGUMENTS_MAX 24

/* One parsed command line. The words come after `run` and end in NULL. */
struct parsed {
    char *words[ARGUMENTS_MAX + 1];
    struct run_options options;
    struct error err;
    int result;
};

static void parse(struct parsed *parsed, const char *const *words)
{
    static char command[] = "run";
    int count = 0;

    memset(parsed, 0, sizeof(*parsed));
    parsed->words[count++] = command;
    while (*words) {
        assert_true(count < ARGUMENTS_MAX);
        parsed->words[count++] = (char *)(uintptr_t)*words++;
    }
    parsed->result = run_options_parse(COMMAND_RUN, count, parsed->words, &parsed->options, &parsed->err);
}

/* Parse, or end the test. To be finished with run_options_finish(). */
static struct run_options accept_words(const char *const *words)
{
    struct parsed parsed;

    parse(&parsed, words);
    if (parsed.result != 0)
        fail_msg("refused: %s", parsed.err.text);
    assert_string_equal(parsed.err.text, "");
    return parsed.options;
}

/* The line is a mistake, and this is its sentence. */
static void refuse_words(const char *sentence, const char *const *words)
{
    struct parsed parsed;

    parse(&parsed, words);
    assert_int_equal(parsed.result, -EINVAL);
    assert_string_equal(parsed.err.text, sentence);
    run_options_finish(&parsed.options);
}

/* The words end in NULL. */
#define accept(...)           accept_words((const char *const[]){ __VA_ARGS__ })
#define refuse(sentence, ...) refuse_words(sentence, (const char *const[]){ __VA_ARGS__ })

/* What key `name` of device `index` was given. */
static bool key_given(const struct run_options *options, unsigned index, const char *name,
                      const char **ret_text, uint64_t *ret_number)
{
    const struct device_request *request = &options->devices[index];

    for (unsigned i = 0; i < request->type->key_count; i++) {
        if (strcmp(request->type->keys[i].name, name) != 0)
            continue;
        *ret_text = request->argument.keys[i].text;
        *ret_number = request->argument.keys[i].number;
        return request->argument.keys[i].given;
    }
    fail_msg("no key '%s'", name);
    return false;
}

static bool flag_given(const struct run_options *options, unsigned index, const char *name)
{
    const char *text;
    uint64_t number;

    return key_given(options, index, name, &text, &number);
}

/* --- what a line without mistakes means --- */

static void test_options_have_their_documented_defaults(void **state)
{
    struct run_options options = accept("--kernel", "vmlinuz", NULL);

    (void)state;
    assert_string_equal(options.kernel, "vmlinuz");
    assert_null(options.initrd);
    assert_string_equal(options.append, "");
    assert_int_equal(options.cpus, 1);
    assert_true(options.memory == 512 * MIB);
    assert_int_equal(options.console, CONSOLE_STDIO);
    assert_null(options.console_path);
    assert_int_equal(options.timeout, 0);
    assert_int_equal(options.engine, LOOP_ENGINE_AUTO);
    assert_false(options.debug_exit);
    assert_int_equal(options.verbosity, LOG_LEVEL_WARNING);
    assert_null(options.dump_dtb);
    assert_null(options.dump_acpi);
    assert_false(options.help);
    assert_int_equal(options.device_count, 0);
    run_options_finish(&options);
}

static void test_options_in_their_long_form(void **state)
{
    struct run_options options =
        accept("--kernel=vmlinuz", "--initrd=initrd.img", "--append=quiet", "--cpus=4", "--memory=64M",
               "--console=file=/tmp/log", "--timeout=90s", "--io-engine=threads", "--debug-exit",
               "--dump-dtb=a.dtb", "--dump-acpi=tables", "--verbose", "--disk=root.img", "--rng", NULL);

    (void)state;
    assert_string_equal(options.kernel, "vmlinuz");
    assert_string_equal(options.initrd, "initrd.img");
    assert_string_equal(options.append, "quiet");
    assert_int_equal(options.cpus, 4);
    assert_true(options.memory == 64 * MIB);
    assert_int_equal(options.console, CONSOLE_FILE);
    assert_string_equal(options.console_path, "/tmp/log");
    assert_true(options.timeout == UINT64_C(90000000000));
    assert_int_equal(options.engine, LOOP_ENGINE_THREADS);
    assert_true(options.debug_exit);
    assert_string_equal(options.dump_dtb, "a.dtb");
    assert_string_equal(options.dump_acpi, "tables");
    assert_int_equal(options.verbosity, LOG_LEVEL_INFO);
    assert_int_equal(options.device_count, 2);
    run_options_finish(&options);
}

static void test_options_in_their_short_form(void **state)
{
    struct run_options options = accept("-kvmlinuz", "-i", "initrd.img", "-a", "quiet", "-c", "2", "-m", "1G",
                                        "-q", "-d", "root.img", NULL);

    (void)state;
    assert_string_equal(options.kernel, "vmlinuz");
    assert_string_equal(options.initrd, "initrd.img");
    assert_string_equal(options.append, "quiet");
    assert_int_equal(options.cpus, 2);
    assert_true(options.memory == GIB);
    assert_int_equal(options.verbosity, LOG_LEVEL_ERROR);
    assert_int_equal(options.device_count, 1);
    assert_string_equal(options.devices[0].argument.value, "root.img");
    run_options_finish(&options);
}

static void test_appended_words_add_up_and_flags_may_come_again(void **state)
{
    struct run_options options = accept("-k", "a", "-a", "quiet", "--append", "root=/dev/vda rw",
                                        "--debug-exit", "--debug-exit", "-q", "-q", "-v", "-v", NULL);

    (void)state;
    assert_string_equal(options.append, "quiet root=/dev/vda rw");
    assert_true(options.debug_exit);
    assert_int_equal(options.verbosity, LOG_LEVEL_INFO);
    run_options_finish(&options);
}

static void test_options_with_one_value_are_not_given_twice(void **state)
{
    (void)state;
    refuse("--kernel is given twice", "-k", "a", "--kernel", "b", NULL);
    refuse("--kernel is given twice", "-k", "a", "-k", "a", NULL);
    refuse("--initrd is given twice", "-k", "a", "-i", "a", "-i", "b", NULL);
    refuse("--cpus is given twice", "-k", "a", "-c", "2", "-c", "3", NULL);
    refuse("--memory is given twice", "-k", "a", "-m", "1G", "-m", "2G", NULL);
    refuse("--console is given twice", "-k", "a", "--console", "pty", "--console", "null", NULL);
    refuse("--timeout is given twice", "-k", "a", "--timeout", "1s", "--timeout", "2s", NULL);
    refuse("--io-engine is given twice", "-k", "a", "--io-engine", "auto", "--io-engine", "threads", NULL);
    refuse("--dump-dtb is given twice", "--dump-dtb", "a", "--dump-dtb", "b", NULL);
    refuse("--dump-acpi is given twice", "--dump-acpi", "a", "--dump-acpi", "b", NULL);
}

static void test_names_that_are_empty(void **state)
{
    (void)state;
    refuse("--kernel is given an empty name", "--kernel=", NULL);
    refuse("--initrd is given an empty name", "-k", "a", "-i", "", NULL);
    refuse("--dump-dtb is given an empty name", "--dump-dtb=", NULL);
    refuse("--dump-acpi is given an empty name", "--dump-acpi=", NULL);
}

static void test_every_console_kind(void **state)
{
    static const struct {
        const char *argument;
        enum console_kind kind;
        const char *path;
    } kinds[] = {
        { "stdio", CONSOLE_STDIO, NULL }, { "file=a=b", CONSOLE_FILE, "a=b" },
        { "pty", CONSOLE_PTY, NULL },     { "socket=/run/vm", CONSOLE_SOCKET, "/run/vm" },
        { "null", CONSOLE_NULL, NULL },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct run_options options = accept("-k", "x", "--console", kinds[i].argument, NULL);

        assert_int_equal(options.console, kinds[i].kind);
        if (kinds[i].path)
            assert_string_equal(options.console_path, kinds[i].path);
        else
            assert_null(options.console_path);
        run_options_finish(&options);
    }
}

static void test_every_io_engine(void **state)
{
    static const struct {
        const char *argument;
        enum loop_engine engine;
    } engines[] = {
        { "auto", LOOP_ENGINE_AUTO },
        { "io_uring", LOOP_ENGINE_IO_URING },
        { "threads", LOOP_ENGINE_THREADS },
    };

    (void)state;
    assert_int_equal(ARRAY_SIZE(engines), LOOP_ENGINE_COUNT);
    for (size_t i = 0; i < ARRAY_SIZE(engines); i++) {
        struct run_options options = accept("-k", "x", "--io-engine", engines[i].argument, NULL);

        assert_int_equal(options.engine, engines[i].engine);
        run_options_finish(&options);
    }
}

static void test_the_edges_of_cpus_and_memory_are_inside(void **state)
{
    struct run_options least = accept("-k", "x", "-c", "1", "-m", "32M", NULL);
    struct run_options most = accept("-k", "x", "-c", "32", "-m", "32769K", NULL);

    (void)state;
    assert_int_equal(least.cpus, 1);
    assert_true(least.memory == 32 * MIB);
    assert_int_equal(most.cpus, 32);
    assert_true(most.memory == 32 * MIB + 4 * KIB); /* rounded up to whole pages */
    run_options_finish(&least);
    run_options_finish(&most);
}

static void test_help_wins_over_whatever_follows(void **state)
{
    struct run_options options = accept("--help", "--nonsense", "stray", NULL);

    (void)state;
    assert_true(options.help);
    run_options_finish(&options);
    options = accept("-h", NULL);
    assert_true(options.help);
    run_options_finish(&options);
}

static void test_a_dump_needs_no_kernel(void **state)
{
    struct run_options options = accept("--dump-dtb", "out", NULL);

    (void)state;
    assert_null(options.kernel);
    assert_string_equal(options.dump_dtb, "out");
    run_options_finish(&options);
    options = accept("--dump-acpi", "out", NULL);
    assert_string_equal(options.dump_acpi, "out");
    run_options_finish(&options);
}

static void test_a_second_line_is_parsed_like_the_first(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct run_options options = accept("-vk", "x", "-d", "a", NULL);

        assert_string_equal(options.kernel, "x");
        assert_int_equal(options.device_count, 1);
        run_options_finish(&options);
        refuse("unknown option '-Z'; see `ringlet run --help`", "-vZ", NULL);
    }
}

/* --- mistakes --- */

static void test_words_that_are_no_options(void **state)
{
    (void)state;
    refuse("no kernel: give one with --kernel FILE", NULL);
    refuse("no kernel: give one with --kernel FILE", "-v", NULL);
    refuse("unknown option '--kernal'; see `ringlet run --help`", "--kernal", "x", NULL);
    refuse("unknown option '-x'; see `ringlet run --help`", "-x", NULL);
    refuse("unknown option '-?'; see `ringlet run --help`", "-?", NULL);
    refuse("unknown option '--d'; see `ringlet run --help`", "--d", NULL); /* the start of several */
    refuse("'stray' is no option; a disk is given with --disk, a kernel with --kernel", "stray", NULL);
    refuse("'stray' is no option; a disk is given with --disk, a kernel with --kernel", "-k", "x", "stray",
           "-v", NULL);
    refuse("'-v' is no option; a disk is given with --disk, a kernel with --kernel", "-k", "x", "--", "-v",
           NULL);
}

static void test_arguments_missing_and_unwanted(void **state)
{
    (void)state;
    refuse("option '--kernel' needs an argument; see `ringlet run --help`", "--kernel", NULL);
    refuse("option '-k' needs an argument; see `ringlet run --help`", "-k", NULL);
    refuse("option '--disk' needs an argument; see `ringlet run --help`", "-k", "x", "--disk", NULL);
    refuse("option '--verbose=3' takes no argument", "--verbose=3", NULL);
    refuse("option '--rng=x' takes no argument", "-k", "x", "--rng=x", NULL);
}

static void test_numbers_out_of_range(void **state)
{
    static const char *const cpus[] = { "0", "33", "four", "-1", "", "4294967297" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cpus); i++) {
        char sentence[128];

        snprintf(sentence, sizeof(sentence), "--cpus takes a number from 1 to 32, not '%s'", cpus[i]);
        refuse(sentence, "--cpus", cpus[i], NULL);
    }
    refuse("--memory takes a size such as 512M or 2G, not 'lots'", "-m", "lots", NULL);
    refuse("--memory takes a size such as 512M or 2G, not ''", "-m", "", NULL);
    refuse("--memory takes a size such as 512M or 2G, not '16777216T'", "-m", "16777216T", NULL);
    refuse("--memory 31M is too little: a VM has at least 32 MiB", "-m", "31M", NULL);
    refuse("--memory 0 is too little: a VM has at least 32 MiB", "-m", "0", NULL);
    refuse("--timeout takes a duration such as 30s, 500ms, 5m or 2h, not '0'", "--timeout", "0", NULL);
    refuse("--timeout takes a duration such as 30s, 500ms, 5m or 2h, not 'soon'", "--timeout", "soon", NULL);
}

static void test_more_memory_than_the_host_has_is_refused_with_the_hosts_size(void **state)
{
    struct run_options options;
    struct error err = { 0 };
    char *words[] = { (char[]){ "run" }, (char[]){ "-m" }, (char[]){ "900T" }, NULL };

    (void)state;
    assert_int_equal(run_options_parse(COMMAND_RUN, 3, words, &options, &err), -EINVAL);
    assert_non_null(strstr(err.text, "--memory 900T is more than this host has ("));
    assert_non_null(strstr(err.text, " MiB)"));
    run_options_finish(&options);
}

static void test_choices_that_are_none(void **state)
{
    (void)state;
    refuse("--io-engine takes auto, io_uring or threads, not 'aio'", "--io-engine", "aio", NULL);
    refuse("--console takes stdio, file=PATH, pty, socket=PATH or null, not 'screen'", "--console", "screen",
           NULL);
    refuse("--console takes stdio, file=PATH, pty, socket=PATH or null, not ''", "--console", "", NULL);
    refuse("--console takes stdio, file=PATH, pty, socket=PATH or null, not 'pt'", "--console", "pt", NULL);
    refuse("--console file needs a path: --console file=PATH", "--console", "file", NULL);
    refuse("--console socket needs a path: --console socket=PATH", "--console", "socket=", NULL);
    refuse("--console pty takes no '=x'", "--console", "pty=x", NULL);
    refuse("--console null takes no '='", "--console", "null=", NULL);
}

/* --- devices --- */

static void test_devices_are_named_by_kind_and_number_in_the_order_of_the_line(void **state)
{
    struct run_options options = accept("-k", "x", "-d", "a", "--rng", "--disk", "b", NULL);

    (void)state;
    assert_int_equal(options.device_count, 3);
    assert_string_equal(options.devices[0].name, "disk0");
    assert_string_equal(options.devices[0].argument.value, "a");
    assert_string_equal(options.devices[1].name, "rng0");
    assert_null(options.devices[1].argument.value);
    assert_string_equal(options.devices[2].name, "disk1");
    assert_string_equal(options.devices[2].argument.value, "b");
    run_options_finish(&options);
}

static void test_device_keys_of_every_kind(void **state)
{
    struct run_options options =
        accept("-k", "x", "-d", "a,ro,serial=top=1,cache=unsafe,queues=16,queue-size=1024", "-d", "b", NULL);
    const char *text;
    uint64_t number;

    (void)state;
    assert_string_equal(options.devices[0].argument.value, "a");
    assert_true(flag_given(&options, 0, "ro"));
    assert_false(flag_given(&options, 0, "direct"));
    assert_true(key_given(&options, 0, "serial", &text, &number));
    assert_string_equal(text, "top=1");
    assert_true(key_given(&options, 0, "cache", &text, &number));
    assert_string_equal(text, "unsafe");
    assert_int_equal(number, 2); /* its place among the choices */
    assert_true(key_given(&options, 0, "queues", &text, &number));
    assert_int_equal(number, 16);
    assert_true(key_given(&options, 0, "queue-size", &text, &number));
    assert_int_equal(number, 1024);
    for (unsigned i = 0; i < options.devices[1].type->key_count; i++)
        assert_false(options.devices[1].argument.keys[i].given);
    run_options_finish(&options);
}

static void test_a_comma_in_a_value_is_written_twice(void **state)
{
    static const struct {
        const char *argument;
        const char *value;
        bool read_only;
    } samples[] = {
        { "a,,b", "a,b", false },   { "a,,,ro", "a,", true }, { ",,a", ",a", false },
        { "a,,ro", "a,ro", false }, { ",,", ",", false },     { ",,,,,ro", ",,", true },
    };
    struct run_options options;
    const char *text;
    uint64_t number;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        options = accept("-k", "x", "-d", samples[i].argument, NULL);
        assert_string_equal(options.devices[0].argument.value, samples[i].value);
        assert_int_equal(flag_given(&options, 0, "ro"), samples[i].read_only);
        run_options_finish(&options);
    }
    options = accept("-k", "x", "-d", "a,serial=1,,2,ro", NULL);
    assert_true(key_given(&options, 0, "serial", &text, &number));
    assert_string_equal(text, "1,2");
    assert_true(flag_given(&options, 0, "ro"));
    run_options_finish(&options);
}

static void test_device_without_its_value(void **state)
{
    (void)state;
    refuse("--disk needs a FILE before the first comma", "-d", "", NULL);
    refuse("--disk needs a FILE before the first comma", "-d", ",ro", NULL);
}

static void test_device_keys_that_do_not_exist_or_come_twice(void **state)
{
    (void)state;
    refuse("--disk knows no 'nonsense' (a comma in a file name is written twice)", "-d", "a,nonsense", NULL);
    refuse("--disk knows no 'nonsense' (a comma in a file name is written twice)", "-d", "a,nonsense=1",
           NULL);
    refuse("--disk knows no '' (a comma in a file name is written twice)", "-d", "a,", NULL);
    refuse("--disk: 'ro' is given twice", "-d", "a,ro,ro", NULL);
    refuse("--disk: 'queues' is given twice", "-d", "a,queues=1,queues=1", NULL);
    refuse("--rng is given twice", "--rng", "--rng", NULL);
}

static void test_device_key_values_that_are_wrong(void **state)
{
    static const char *const sizes[] = { "a,queue-size=100", "a,queue-size=2", "a,queue-size=2048",
                                         "a,queue-size", "a,queue-size=" };
    static const char *const queues[] = { "a,queues=0", "a,queues=17", "a,queues=two", "a,queues",
                                          "a,queues=-1" };
    static const char *const caches[] = { "a,cache=never", "a,cache", "a,cache=" };
    static const char *const serials[] = { "a,serial", "a,serial=", "a,serial=123456789012345678901" };

    (void)state;
    refuse("--disk: 'ro' takes no value", "-d", "a,ro=1", NULL);
    refuse("--disk: 'ro' takes no value", "-d", "a,ro=", NULL);
    refuse("--disk: what is 'ro' is never written, and 'ephemeral' forgets what was; leave one out", "-d",
           "a,ephemeral,direct,ro", NULL);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        refuse("--disk: 'queue-size' takes a power of two from 4 to 1024", "-d", sizes[i], NULL);
    for (size_t i = 0; i < ARRAY_SIZE(queues); i++)
        refuse("--disk: 'queues' takes a number from 1 to 16", "-d", queues[i], NULL);
    for (size_t i = 0; i < ARRAY_SIZE(caches); i++)
        refuse("--disk: 'cache' is one of writeback, writethrough, unsafe", "-d", caches[i], NULL);
    for (size_t i = 0; i < ARRAY_SIZE(serials); i++)
        refuse("--disk: 'serial' takes a text of 1 to 20 characters", "-d", serials[i], NULL);
}

static void test_the_longest_serial_is_taken(void **state)
{
    struct run_options options = accept("-k", "x", "-d", "a,serial=12345678901234567890", NULL);

    (void)state;
    assert_true(flag_given(&options, 0, "serial"));
    run_options_finish(&options);
}

/* --- the table --- */

static void test_no_two_options_of_a_command_share_a_name_or_a_letter(void **state)
{
    unsigned count = option_entry_count();

    (void)state;
    for (unsigned i = 0; i < count; i++) {
        struct option_entry entry = option_entry_get(i);

        assert_true(strlen(entry.help) > 0);
        assert_true(entry.commands != 0);
        assert_true(!entry.row != !entry.type);
        if (entry.type)
            assert_true(entry.type->key_count <= DEVICE_KEY_MAX);
        for (unsigned j = i + 1; j < count; j++) {
            struct option_entry other = option_entry_get(j);

            if (!(entry.commands & other.commands))
                continue;
            assert_string_not_equal(entry.name, other.name);
            assert_false(entry.short_name && entry.short_name == other.short_name);
        }
    }
}

static void test_an_option_is_found_by_its_whole_name_and_its_command(void **state)
{
    struct option_entry entry;

    (void)state;
    assert_true(option_entry_find(COMMAND_RUN, "debug-exit", &entry));
    assert_string_equal(entry.name, "debug-exit");
    assert_false(option_entry_find(COMMAND_EXEC, "debug-exit", &entry));
    assert_true(option_entry_find(COMMAND_EXEC, "env", &entry));
    assert_false(option_entry_find(COMMAND_RUN, "env", &entry));
    assert_true(option_entry_find(COMMAND_EXEC, "disk", &entry));
    assert_non_null(entry.type);
    assert_false(option_entry_find(COMMAND_RUN, "kern", &entry));
    assert_false(option_entry_find(COMMAND_RUN, "", &entry));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_have_their_documented_defaults),
        cmocka_unit_test(test_options_in_their_long_form),
        cmocka_unit_test(test_options_in_their_short_form),
        cmocka_unit_test(test_appended_words_add_up_and_flags_may_come_again),
        cmocka_unit_test(test_options_with_one_value_are_not_given_twice),
        cmocka_unit_test(test_names_that_are_empty),
        cmocka_unit_test(test_every_console_kind),
        cmocka_unit_test(test_every_io_engine),
        cmocka_unit_test(test_the_edges_of_cpus_and_memory_are_inside),
        cmocka_unit_test(test_help_wins_over_whatever_follows),
        cmocka_unit_test(test_a_dump_needs_no_kernel),
        cmocka_unit_test(test_a_second_line_is_parsed_like_the_first),
        cmocka_unit_test(test_words_that_are_no_options),
        cmocka_unit_test(test_arguments_missing_and_unwanted),
        cmocka_unit_test(test_numbers_out_of_range),
        cmocka_unit_test(test_more_memory_than_the_host_has_is_refused_with_the_hosts_size),
        cmocka_unit_test(test_choices_that_are_none),
        cmocka_unit_test(test_devices_are_named_by_kind_and_number_in_the_order_of_the_line),
        cmocka_unit_test(test_device_keys_of_every_kind),
        cmocka_unit_test(test_a_comma_in_a_value_is_written_twice),
        cmocka_unit_test(test_device_without_its_value),
        cmocka_unit_test(test_device_keys_that_do_not_exist_or_come_twice),
        cmocka_unit_test(test_device_key_values_that_are_wrong),
        cmocka_unit_test(test_the_longest_serial_is_taken),
        cmocka_unit_test(test_no_two_options_of_a_command_share_a_name_or_a_letter),
        cmocka_unit_test(test_an_option_is_found_by_its_whole_name_and_its_command),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
