/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_default_guest.c - where the default guest is looked for, and the script that makes it: what it is given, what
 * is said when it fails, how it is ended. Shell scripts stand in for the real one, in a home of the test's own.
 */
#include "default_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ringlet/error.h"
#include "ringlet/util.h"

#define OTHER_FD 77

/* What a script does that works: a guest, and its directory's name. */
#define MAKE  "mkdir -p $HOME/made; echo k >$HOME/made/kernel; echo i >$HOME/made/initrd\n"
#define PRINT "echo $HOME/made\n"
/* Something that a script leaves running, with its number in a file. */
#define LEAVE "sleep 1000 & echo $! >$HOME/left\n"

struct home {
    char path[40], script[80];
};

static int set_up(void **state)
{
    struct home *home = calloc(1, sizeof(*home));

    if (!home)
        return -1;
    strcpy(home->path, "/tmp/ringlet-default-guest-XXXXXX");
    assert_non_null(mkdtemp(home->path));
    snprintf(home->script, sizeof(home->script), "%s/script", home->path);
    setenv("HOME", home->path, 1);
    unsetenv("XDG_CACHE_HOME");
    unsetenv("RINGLET_CACHE");
    unsetenv("RINGLET_GUEST");
    *state = home;
    return 0;
}

static int tear_down(void **state)
{
    struct home *home = *state;
    char command[64];

    snprintf(command, sizeof(command), "rm -r %s", home->path);
    assert_int_equal(system(command), 0);
    free(home);
    return 0;
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void write_script(const struct home *home, const char *body)
{
    char text[1024];

    snprintf(text, sizeof(text), "#!/bin/sh\n%s", body);
    write_file(home->script, text, 0700);
}

/* A guest in HOME/`below`, as a script would have left it. */
static void put_guest(const struct home *home, const char *below)
{
    char command[256];

    snprintf(command, sizeof(command), "d=%s/%s; mkdir -p $d && : >$d/kernel && : >$d/initrd", home->path,
             below);
    assert_int_equal(system(command), 0);
}

static void assert_guest_below(const struct home *home, const char *below, struct default_guest *guest)
{
    char expected[128];

    snprintf(expected, sizeof(expected), "%s/%s/kernel", home->path, below);
    assert_string_equal(guest->kernel, expected);
    snprintf(expected, sizeof(expected), "%s/%s/initrd", home->path, below);
    assert_string_equal(guest->initrd, expected);
    default_guest_finish(guest);
}

static void assert_found(const struct home *home, const char *below)
{
    struct default_guest guest = { 0 };
    struct error err = { 0 };

    assert_int_equal(default_guest_find_or_make(home->script, 0, &guest, &err), 0);
    assert_guest_below(home, below, &guest);
}

static void assert_fails(const struct home *home, int code, const char *words)
{
    struct default_guest guest = { 0 };
    struct error err = { 0 };

    assert_int_equal(default_guest_find_or_make(home->script, 0, &guest, &err), code);
    if (!strstr(err.text, words))
        fail_msg("'%s' is not in: %s", words, err.text);
    assert_null(guest.kernel);
    assert_null(guest.initrd);
}

/* A number that a script wrote; waits for the file to be whole. */
static pid_t written_pid(const struct home *home, const char *name)
{
    char path[80];
    int pid = 0;

    snprintf(path, sizeof(path), "%s/%s", home->path, name);
    for (;;) {
        FILE *file = fopen(path, "re");
        char end = 0;
        int fields = file ? fscanf(file, "%d%c", &pid, &end) : 0;

        if (file)
            fclose(file);
        if (fields == 2 && end == '\n')
            return pid;
        poll(NULL, 0, 1);
    }
}

/* It was a child's child: when it is gone, or a zombie that init has yet to reap, it runs no more. */
static void assert_ends(pid_t pid)
{
    int pidfd = pidfd_open(pid, 0);
    struct pollfd ended = { .fd = pidfd, .events = POLLIN };

    if (pidfd < 0)
        return;
    assert_int_equal(poll(&ended, 1, 30000), 1);
    close(pidfd);
}

static void test_what_is_in_the_cache_is_used_and_no_script_is_run(void **state)
{
    struct home *home = *state;

    put_guest(home, ".cache/ringlet/default-guest");
    assert_found(home, ".cache/ringlet/default-guest");
}

static void test_the_cache_may_be_elsewhere(void **state)
{
    struct home *home = *state;
    char path[80];

    put_guest(home, ".cache/ringlet/default-guest");
    put_guest(home, "xdg/ringlet/default-guest");
    put_guest(home, "own/default-guest");
    setenv("XDG_CACHE_HOME", "", 1);
    assert_found(home, ".cache/ringlet/default-guest");
    snprintf(path, sizeof(path), "%s/xdg", home->path);
    setenv("XDG_CACHE_HOME", path, 1);
    assert_found(home, "xdg/ringlet/default-guest");
    snprintf(path, sizeof(path), "%s/own", home->path);
    setenv("RINGLET_CACHE", path, 1);
    assert_found(home, "own/default-guest");
}

static void test_a_guest_of_ones_own_goes_before_the_cache(void **state)
{
    struct home *home = *state;
    char path[80];

    put_guest(home, ".cache/ringlet/default-guest");
    put_guest(home, "mine");
    snprintf(path, sizeof(path), "%s/mine", home->path);
    setenv("RINGLET_GUEST", path, 1);
    assert_found(home, "mine");
}

static void test_a_guest_of_ones_own_that_is_not_whole_is_refused(void **state)
{
    struct home *home = *state;
    char path[80];

    write_script(home, MAKE PRINT);
    put_guest(home, "mine");
    snprintf(path, sizeof(path), "%s/mine/initrd", home->path);
    unlink(path);
    *strrchr(path, '/') = '\0';
    setenv("RINGLET_GUEST", path, 1);
    assert_fails(home, -ENOENT, "RINGLET_GUEST");
}

static void test_without_a_home_there_is_a_sentence(void **state)
{
    struct home *home = *state;

    write_script(home, MAKE PRINT);
    unsetenv("HOME");
    assert_fails(home, -ENOENT, "HOME is not set");
}

static void test_a_cache_that_cannot_be_read_is_said_so(void **state)
{
    struct home *home = *state;
    char path[80];

    write_script(home, MAKE PRINT);
    write_file(home->script, "#!/bin/sh\n", 0700);
    snprintf(path, sizeof(path), "%s/.cache", home->path);
    write_file(path, "", 0600);
    assert_fails(home, -ENOTDIR, "cannot be read");
}

static void test_a_missing_guest_is_made_by_the_script(void **state)
{
    struct home *home = *state;

    write_script(home, MAKE PRINT);
    assert_found(home, "made");
}

static void test_the_person_is_told_once_and_hears_the_script(void **state)
{
    struct home *home = *state;
    char path[80], text[512] = "";
    int ours = dup(STDERR_FILENO), file;

    write_script(home, MAKE "echo the script speaks >&2\n" PRINT);
    snprintf(path, sizeof(path), "%s/said", home->path);
    file = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_true(ours >= 0 && file >= 0);
    dup2(file, STDERR_FILENO);
    assert_found(home, "made");
    dup2(ours, STDERR_FILENO);
    assert_true(pread(file, text, sizeof(text) - 1, 0) > 0);
    close(file);
    close(ours);
    assert_ptr_equal(strstr(text, "ringlet: preparing the default guest, once: "), text);
    assert_string_equal(strchr(text, '\n'), "\nthe script speaks\n");
}

static void test_the_script_has_an_empty_input_and_none_of_our_files(void **state)
{
    struct home *home = *state;
    int ends[2], input = dup(STDIN_FILENO);

    write_script(home, "[ -z \"$(cat)\" ] || exit 3; [ ! -e /proc/self/fd/77 ] || exit 4\n" MAKE PRINT);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "ours\n", 5), 5);
    dup2(ends[0], STDIN_FILENO);
    dup2(ends[0], OTHER_FD);
    assert_found(home, "made");
    dup2(input, STDIN_FILENO);
    close(OTHER_FD);
    close(input);
    close(ends[0]);
    close(ends[1]);
}

static void test_a_script_that_fails_is_named_with_its_status(void **state)
{
    struct home *home = *state;

    write_script(home, MAKE PRINT "exit 3\n");
    assert_fails(home, -ECHILD, "status 3");
    assert_fails(home, -ECHILD, home->script);
    assert_fails(home, -ECHILD, "give --kernel");
}

static void test_the_status_is_seen_where_sigchld_is_ignored(void **state)
{
    struct home *home = *state;

    write_script(home, "exit 3\n");
    signal(SIGCHLD, SIG_IGN);
    assert_fails(home, -ECHILD, "status 3");
    assert_ptr_equal(signal(SIGCHLD, SIG_DFL), SIG_IGN);
}

static void test_a_script_that_is_killed_is_said_so(void **state)
{
    struct home *home = *state;

    write_script(home, "kill -9 $$\n");
    assert_fails(home, -ECHILD, "signal 9");
}

static void test_a_script_that_is_missing_or_not_executable_is_named(void **state)
{
    struct home *home = *state;

    assert_fails(home, -ENOENT, home->script);
    write_script(home, MAKE PRINT);
    chmod(home->script, 0600);
    assert_fails(home, -EACCES, home->script);
}

static void test_a_script_without_its_interpreter_fails(void **state)
{
    struct home *home = *state;

    write_file(home->script, "#!/nonexistent/sh\n", 0700);
    assert_fails(home, -ECHILD, "status 127");
}

static void test_a_script_that_prints_no_directory_is_refused(void **state)
{
    struct home *home = *state;

    write_script(home, MAKE);
    assert_fails(home, -EPROTO, "did not print");
    write_script(home, MAKE "printf %s $HOME/made\n");
    assert_fails(home, -EPROTO, "did not print");
    write_script(home, MAKE PRINT PRINT);
    assert_fails(home, -EPROTO, "did not print");
    write_script(home, MAKE "echo\n");
    assert_fails(home, -EPROTO, "did not print");
}

static void test_a_script_that_prints_much_is_read_to_its_end_and_refused(void **state)
{
    struct home *home = *state;

    write_script(home, "head -c 300000 /dev/zero | tr '\\0' x; echo\n");
    assert_fails(home, -EPROTO, "did not print");
}

static void test_a_directory_without_a_guest_is_refused(void **state)
{
    struct home *home = *state;

    write_script(home, MAKE "rm $HOME/made/initrd\n" PRINT);
    assert_fails(home, -ENOENT, "no 'kernel' and 'initrd'");
}

static void test_what_the_script_leaves_running_does_not_hold_us_up(void **state)
{
    struct home *home = *state;

    /* It has the script's output open. */
    write_script(home, MAKE LEAVE PRINT);
    assert_found(home, "made");
    kill(written_pid(home, "left"), SIGKILL);
}

static void test_a_closed_output_is_not_taken_for_the_end(void **state)
{
    struct home *home = *state;

    write_script(home, PRINT "exec >&-\n" MAKE);
    assert_found(home, "made");
}

static void test_a_signal_ends_the_script_and_all_that_it_started(void **state)
{
    struct home *home = *state;
    sigset_t term, before, pending;

    write_script(home, LEAVE "kill -TERM $PPID; wait\n");
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, &before);
    assert_fails(home, -EINTR, "signal 15");
    assert_ends(written_pid(home, "left"));

    /* It is there for the caller. */
    sigpending(&pending);
    assert_true(sigismember(&pending, SIGTERM));
    assert_int_equal(sigwaitinfo(&term, NULL), SIGTERM);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static void test_patience_that_runs_out_ends_the_script_and_all_that_it_started(void **state)
{
    struct home *home = *state;
    struct default_guest guest = { 0 };
    struct error err = { 0 };

    write_script(home, "trap '' INT; exec sleep 1000\n");
    assert_int_equal(default_guest_find_or_make(home->script, 1000000, &guest, &err), -ETIMEDOUT);
    assert_non_null(strstr(err.text, "--timeout"));
    assert_null(guest.kernel);
    /* And one that is faster is not touched. */
    write_script(home, MAKE PRINT);
    assert_int_equal(default_guest_find_or_make(home->script, UINT64_C(600000000000), &guest, &err), 0);
    assert_guest_below(home, "made", &guest);
}

static void test_a_script_that_does_not_listen_to_signals_is_killed(void **state)
{
    struct home *home = *state;
    sigset_t term, before;

    write_script(home, "trap '' TERM\n" LEAVE "kill -TERM $PPID; wait\n");
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, &before);
    assert_fails(home, -EINTR, "signal 15");
    assert_ends(written_pid(home, "left"));
    assert_int_equal(sigwaitinfo(&term, NULL), SIGTERM);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

/* What the real program does: no mask, no handlers. waitpid()'s status of such a process. */
static int status_of_a_process_that_finds_it(const struct home *home, int ignored)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        struct default_guest guest = { 0 };
        struct error err = { 0 };
        int result;

        /* cmocka catches some of these. */
        for (int number = 1; number < NSIG; number++)
            signal(number, SIG_DFL);
        if (ignored)
            signal(ignored, SIG_IGN);
        result = default_guest_find_or_make(home->script, 0, &guest, &err);
        default_guest_finish(&guest);
        _exit(result == 0 ? 0 : 99);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_ctrl_c_ends_a_program_that_does_nothing_about_it(void **state)
{
    struct home *home = *state;
    int status;

    write_script(home, LEAVE "kill -INT $PPID; wait\n");
    status = status_of_a_process_that_finds_it(home, 0);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGINT);
    assert_ends(written_pid(home, "left"));
}

static void test_a_signal_that_is_ignored_changes_nothing(void **state)
{
    struct home *home = *state;

    write_script(home, "kill -HUP $PPID; kill -HUP $$\n" MAKE PRINT);
    assert_int_equal(status_of_a_process_that_finds_it(home, SIGHUP), 0);
}

static void test_the_script_ends_when_we_are_killed(void **state)
{
    struct home *home = *state;
    int status;

    write_script(home, "echo $$ >$HOME/left; kill -KILL $PPID; while :; do sleep 0.1; done\n");
    status = status_of_a_process_that_finds_it(home, 0);
    assert_int_equal(WTERMSIG(status), SIGKILL);
    assert_ends(written_pid(home, "left"));
}

static void test_a_program_that_is_not_in_a_build_has_the_installed_script(void **state)
{
    struct default_guest guest = { 0 };
    struct error err = { 0 };

    (void)state;
    assert_int_equal(default_guest_find("/nonexistent/guest-images/default", 0, &guest, &err), -ENOENT);
    assert_non_null(strstr(err.text, "no /nonexistent/guest-images/default"));
}

static void test_finishing_nothing_is_fine(void **state)
{
    struct default_guest guest = { 0 };

    (void)state;
    default_guest_finish(&guest);
    assert_null(guest.kernel);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_in_the_cache_is_used_and_no_script_is_run),
        TEST(test_the_cache_may_be_elsewhere),
        TEST(test_a_guest_of_ones_own_goes_before_the_cache),
        TEST(test_a_guest_of_ones_own_that_is_not_whole_is_refused),
        TEST(test_without_a_home_there_is_a_sentence),
        TEST(test_a_cache_that_cannot_be_read_is_said_so),
        TEST(test_a_missing_guest_is_made_by_the_script),
        TEST(test_the_person_is_told_once_and_hears_the_script),
        TEST(test_the_script_has_an_empty_input_and_none_of_our_files),
        TEST(test_a_script_that_fails_is_named_with_its_status),
        TEST(test_the_status_is_seen_where_sigchld_is_ignored),
        TEST(test_a_script_that_is_killed_is_said_so),
        TEST(test_a_script_that_is_missing_or_not_executable_is_named),
        TEST(test_a_script_without_its_interpreter_fails),
        TEST(test_a_script_that_prints_no_directory_is_refused),
        TEST(test_a_script_that_prints_much_is_read_to_its_end_and_refused),
        TEST(test_a_directory_without_a_guest_is_refused),
        TEST(test_what_the_script_leaves_running_does_not_hold_us_up),
        TEST(test_a_closed_output_is_not_taken_for_the_end),
        TEST(test_a_signal_ends_the_script_and_all_that_it_started),
        TEST(test_patience_that_runs_out_ends_the_script_and_all_that_it_started),
        TEST(test_a_script_that_does_not_listen_to_signals_is_killed),
        TEST(test_ctrl_c_ends_a_program_that_does_nothing_about_it),
        TEST(test_a_signal_that_is_ignored_changes_nothing),
        TEST(test_the_script_ends_when_we_are_killed),
        TEST(test_a_program_that_is_not_in_a_build_has_the_installed_script),
        TEST(test_finishing_nothing_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
