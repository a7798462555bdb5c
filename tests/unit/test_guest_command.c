/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_guest_command.c - what the guest's command gets as its environment, and what its end is in the protocol.
 */
#include "command.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "accounts.h"
#include "ringlet/util.h"
#include "settings.h"

static char name[] = "joe", home[] = "/home/joe", shell[] = "/bin/zsh";
static const struct account joe = { .name = name, .home = home, .shell = shell };

static const char *value_of(char **environment, const char *variable)
{
    const char *found = NULL;

    for (; *environment; environment++) {
        if (strncmp(*environment, variable, strlen(variable)) != 0 || (*environment)[strlen(variable)] != '=')
            continue;
        if (found)
            fail_msg("%s is there twice", variable);
        found = *environment + strlen(variable) + 1;
    }
    return found;
}

static void test_the_environment_is_the_accounts_and_nothing_else(void **state)
{
    struct settings settings = { .environment = NULL };
    char **environment = command_environment(&settings, &joe);
    unsigned count = 0;

    (void)state;
    assert_non_null(environment);
    assert_string_equal(value_of(environment, "HOME"), "/home/joe");
    assert_string_equal(value_of(environment, "USER"), "joe");
    assert_string_equal(value_of(environment, "SHELL"), "/bin/zsh");
    assert_non_null(strstr(value_of(environment, "PATH"), "/usr/bin"));
    while (environment[count])
        count++;
    assert_int_equal(count, 4);
    command_environment_free(environment, &settings);
}

static void test_a_terminal_has_a_type(void **state)
{
    struct settings settings = { .tty = true };
    char **environment = command_environment(&settings, &joe);

    (void)state;
    assert_string_equal(value_of(environment, "TERM"), "linux");
    command_environment_free(environment, &settings);
}

static void test_given_variables_count_and_of_each_the_last(void **state)
{
    static const char *const given[] = {
        "A=1", "HOME=/elsewhere", "A=2", "AB=3", "TERM=xterm", "PATH=", "A="
    };
    struct settings settings = { .environment = (char **)given,
                                 .environment_count = ARRAY_SIZE(given),
                                 .tty = true };
    char **environment = command_environment(&settings, &joe);

    (void)state;
    assert_string_equal(value_of(environment, "A"), "");
    assert_string_equal(value_of(environment, "AB"), "3");
    assert_string_equal(value_of(environment, "HOME"), "/elsewhere");
    assert_string_equal(value_of(environment, "TERM"), "xterm");
    assert_string_equal(value_of(environment, "PATH"), "");
    assert_string_equal(value_of(environment, "USER"), "joe");
    command_environment_free(environment, &settings);
}

static int wait_status_of(int exit_status, int signal_number)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        if (signal_number) {
            signal(signal_number, SIG_DFL);
            kill(getpid(), signal_number);
        }
        _exit(exit_status);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_a_wait_status_is_a_kind_and_a_value(void **state)
{
    static const int statuses[] = { 0, 1, 126, 255 };
    static const int signals[] = { SIGKILL, SIGTERM, SIGPIPE };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
        struct guest_exit end = command_exit_of_status(wait_status_of(statuses[i], 0));

        assert_int_equal(end.kind, GUEST_EXITED);
        assert_int_equal(end.value, statuses[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        struct guest_exit end = command_exit_of_status(wait_status_of(0, signals[i]));

        assert_int_equal(end.kind, GUEST_KILLED);
        assert_int_equal(end.value, signals[i]);
    }
}

static void test_a_failed_exec_is_not_found_or_not_executable(void **state)
{
    static const struct {
        int error;
        bool searched;
        enum guest_exit_kind kind;
        int value;
    } rows[] = {
        { ENOENT, true, GUEST_NOT_FOUND, ENOENT },         { ENOENT, false, GUEST_NOT_FOUND, ENOENT },
        { ENOTDIR, true, GUEST_NOT_FOUND, ENOENT }, /* a part of PATH */
        { ENOTDIR, false, GUEST_NOT_EXECUTABLE, ENOTDIR }, { EACCES, true, GUEST_NOT_EXECUTABLE, EACCES },
        { ENOEXEC, false, GUEST_NOT_EXECUTABLE, ENOEXEC }, { E2BIG, true, GUEST_NOT_EXECUTABLE, E2BIG },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct guest_exit end = command_exit_of_failure(rows[i].error, rows[i].searched);

        assert_int_equal(end.kind, rows[i].kind);
        assert_int_equal(end.value, rows[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_environment_is_the_accounts_and_nothing_else),
        cmocka_unit_test(test_a_terminal_has_a_type),
        cmocka_unit_test(test_given_variables_count_and_of_each_the_last),
        cmocka_unit_test(test_a_wait_status_is_a_kind_and_a_value),
        cmocka_unit_test(test_a_failed_exec_is_not_found_or_not_executable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
