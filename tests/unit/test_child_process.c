/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_child_process.c - children: what a start that fails says about where, how an end is told, and what of their
 * last words is kept. What a child is given, test_net_passt.c and test_virtiofsd.c ask.
 */
#include "../../src/io/child_process.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../src/io/child_sandbox.h"
#include "../../src/io/child_words.h"
#include "ringlet/util.h"

#define FOREVER_MS 60000

static const char *const true_argv[] = { "true", NULL };
static const char *const false_argv[] = { "false", NULL };
static const char *const sleep_argv[] = { "sleep", "1000", NULL };
static const char *const missing_argv[] = { "/nonexistent/program", NULL };

static int start(const char *const *argv, const struct child_sandbox *sandbox, struct child_process *child,
                 enum child_step *step)
{
    const struct child_process_options options = { .argv = argv,
                                                   .stderr_fd = STDERR_FILENO,
                                                   .sandbox = sandbox };

    return child_process_start(&options, child, step);
}

static void assert_no_child(void)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void test_a_child_that_ends_is_reaped_once_with_its_status(void **state)
{
    struct child_process child;
    int status = -1;

    (void)state;
    assert_int_equal(start(false_argv, NULL, &child, NULL), 0);
    assert_true(child_process_wait(&child, FOREVER_MS, &status));
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_false(child_process_reap(&child, &status));
    child_process_kill(&child);
    child_process_finish(&child);
    child_process_finish(&child);
    assert_no_child();
}

static void test_a_child_that_does_not_end_is_not_waited_for(void **state)
{
    struct child_process child;
    int status;

    (void)state;
    assert_int_equal(start(sleep_argv, NULL, &child, NULL), 0);
    assert_false(child_process_wait(&child, 0, &status));
    assert_false(child_process_wait(&child, -5, &status));
    child_process_kill(&child);
    assert_true(child_process_wait(&child, FOREVER_MS, &status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    child_process_finish(&child);
    assert_no_child();
}

static void test_a_program_that_is_not_there_is_told_as_such(void **state)
{
    struct child_process child = { .pidfd = 7 };
    enum child_step step;

    (void)state;
    assert_int_equal(start(missing_argv, NULL, &child, &step), -ENOENT);
    assert_int_equal(step, CHILD_STEP_PROGRAM);
    assert_int_equal(child.pidfd, 7);
    assert_no_child();
}

/* As when a folder of PATH is root's alone: nobody can say what is in it. */
static void test_a_program_that_path_does_not_lead_to_is_not_there(void **state)
{
    static const char *const bare_argv[] = { "program", NULL };
    char folder[] = "/tmp/ringlet-child-XXXXXX", path[64];
    char *before = strdup(getenv("PATH"));
    struct child_process child;
    enum child_step step;
    int fd;

    (void)state;
    assert_non_null(before);
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/program", folder);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(setenv("PATH", folder, 1), 0);
    assert_int_equal(start(bare_argv, NULL, &child, &step), -ENOENT);
    assert_int_equal(step, CHILD_STEP_PROGRAM);
    /* the one that was named by its path is there, and cannot be run */
    assert_int_equal(start((const char *const[]){ path, NULL }, NULL, &child, &step), -EACCES);
    assert_int_equal(setenv("PATH", before, 1), 0);
    free(before);
    unlink(path);
    rmdir(folder);
    assert_no_child();
}

static void test_a_child_takes_so_many_descriptors_and_no_more(void **state)
{
    const int fds[9] = { 0 };
    struct child_process_options options = { .argv = true_argv, .fds = fds, .fd_count = 9, .stderr_fd = 2 };
    struct child_process child;
    enum child_step step;

    (void)state;
    assert_int_equal(child_process_start(&options, &child, &step), -EINVAL);
    assert_int_equal(step, CHILD_STEP_PROCESS);
    options.fd_count = 8;
    assert_int_equal(child_process_start(&options, &child, NULL), 0);
    child_process_finish(&child);
    options.stderr_fd = 999;
    assert_int_equal(child_process_start(&options, &child, &step), -EBADF);
    assert_int_equal(step, CHILD_STEP_PROCESS);
    assert_no_child();
}

static void test_a_sandbox_says_what_it_failed_at(void **state)
{
    struct child_sandbox sandbox = { .directory_fd = 999, .user_namespace = geteuid() != 0 };
    struct child_process child;
    enum child_step step;
    int result, fd;

    (void)state;
    assert_int_equal(child_sandbox_prepare(&sandbox), 0);
    result = start(true_argv, &sandbox, &child, &step);
    if (step == CHILD_STEP_NAMESPACES)
        skip(); /* a container */
    assert_int_equal(result, -EBADF);
    assert_int_equal(step, CHILD_STEP_DIRECTORY);
    fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    sandbox.directory_fd = fd;
    assert_int_equal(start(true_argv, &sandbox, &child, &step), -ENOTDIR);
    assert_int_equal(step, CHILD_STEP_DIRECTORY);
    close(fd);
    fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sandbox.directory_fd = fd;
    sandbox.path = "/nonexistent/place";
    assert_int_equal(start(true_argv, &sandbox, &child, &step), -ENOENT);
    assert_int_equal(step, CHILD_STEP_DIRECTORY);
    child_sandbox_prepare(&sandbox);
    assert_int_equal(start(missing_argv, &sandbox, &child, &step), -ENOENT);
    assert_int_equal(step, CHILD_STEP_PROGRAM);
    /* a map that is none: as where user namespaces give no rights */
    sandbox.user_namespace = true;
    memcpy(sandbox.uid_map, "none", sizeof("none"));
    assert_int_equal(start(true_argv, &sandbox, &child, &step), -EINVAL);
    assert_int_equal(step, CHILD_STEP_NAMESPACES);
    close(fd);
    assert_no_child();
}

static void read_words(const char *text, const char *const *noise, char *words)
{
    int ends[2];

    assert_int_equal(child_words_pipe(&ends[0], &ends[1]), 0);
    assert_int_equal(write(ends[1], text, strlen(text)), strlen(text));
    child_words_read_last(ends[0], noise, words, CHILD_WORDS_SIZE);
    close(ends[0]);
    close(ends[1]);
}

static void test_the_last_line_that_says_something_is_kept(void **state)
{
    static const char *const noise[] = { "[info]", NULL };
    char words[CHILD_WORDS_SIZE], longest[4000];

    (void)state;
    read_words("", NULL, words);
    assert_string_equal(words, "");
    read_words("first\nlast\n\n\n", NULL, words);
    assert_string_equal(words, "last");
    read_words("first\nlast\n[info] bye\n", noise, words);
    assert_string_equal(words, "last");
    read_words("\033[2Jred\talert", noise, words);
    assert_string_equal(words, "?[2Jred?alert");
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    read_words(longest, NULL, words);
    assert_int_equal(strlen(words), CHILD_WORDS_SIZE - 1);
    memcpy(longest + sizeof(longest) - 6, "\nend\n", 6);
    read_words(longest, NULL, words);
    assert_string_equal(words, "end");
}

/* Nobody reads while it runs: what does not fit is lost, and the child goes on. */
static void test_a_child_that_says_very_much_is_not_kept_waiting(void **state)
{
    char much[4096] = "";
    int ends[2];

    (void)state;
    assert_int_equal(child_words_pipe(&ends[0], &ends[1]), 0);
    while (write(ends[1], much, sizeof(much)) > 0)
        ;
    assert_int_equal(errno, EAGAIN);
    close(ends[0]);
    close(ends[1]);
}

static void test_an_end_is_described_by_words_or_else_by_its_status(void **state)
{
    static const struct {
        int status;
        const char *words, *text;
    } ends[] = {
        { 0, "", "" },
        { 1 << 8, "", " (status 1)" },
        { SIGKILL, "", " (signal 9)" },
        { 1 << 8, "no", ": no" },
    };
    char text[CHILD_END_SIZE];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        child_words_describe_end(ends[i].status, ends[i].words, text, sizeof(text));
        assert_string_equal(text, ends[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_child_that_ends_is_reaped_once_with_its_status),
        cmocka_unit_test(test_a_child_that_does_not_end_is_not_waited_for),
        cmocka_unit_test(test_a_program_that_is_not_there_is_told_as_such),
        cmocka_unit_test(test_a_program_that_path_does_not_lead_to_is_not_there),
        cmocka_unit_test(test_a_child_takes_so_many_descriptors_and_no_more),
        cmocka_unit_test(test_a_sandbox_says_what_it_failed_at),
        cmocka_unit_test(test_the_last_line_that_says_something_is_kept),
        cmocka_unit_test(test_a_child_that_says_very_much_is_not_kept_waiting),
        cmocka_unit_test(test_an_end_is_described_by_words_or_else_by_its_status),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
