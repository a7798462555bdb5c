/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_terminal.c - raw mode on pseudo-terminals, and that it is undone on every way out: each way is taken
 * by a child that dies of it. The pty is nobody's controlling terminal unless a test says so, because the
 * death of a session's leader would have the kernel reset it, and the test could not fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "console_player.h"
#include "job_shell.h"
#include "ringlet/log.h"
#include "ringlet/terminal.h"
#include "ringlet/util.h"

/* Address sanitizer takes these signals for itself, after which they are not at their default any more. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "handle_segv=0:handle_sigbus=0:handle_abort=0:handle_sigill=0:handle_sigfpe=0:handle_sigtrap=0";
}

struct fixture {
    int master, slave;
    struct termios original;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char name[64];

    assert_non_null(f);
    f->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(f->master >= 0);
    assert_int_equal(grantpt(f->master), 0);
    assert_int_equal(unlockpt(f->master), 0);
    assert_int_equal(ptsname_r(f->master, name, sizeof(name)), 0);
    f->slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(f->slave >= 0);
    assert_int_equal(tcgetattr(f->slave, &f->original), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    terminal_restore();
    if (f->master >= 0)
        close(f->master);
    close(f->slave);
    free(f);
    return 0;
}

static bool is_raw(const struct fixture *f)
{
    struct termios settings;

    assert_int_equal(tcgetattr(f->slave, &settings), 0);
    return !(settings.c_lflag & (ICANON | ECHO | ISIG));
}

static bool is_original(const struct fixture *f)
{
    struct termios settings;

    assert_int_equal(tcgetattr(f->slave, &settings), 0);
    return settings.c_lflag == f->original.c_lflag && settings.c_iflag == f->original.c_iflag &&
           settings.c_oflag == f->original.c_oflag && settings.c_cflag == f->original.c_cflag &&
           memcmp(settings.c_cc, f->original.c_cc, sizeof(settings.c_cc)) == 0;
}

static void test_raw_and_back(void **state)
{
    struct fixture *f = *state;
    struct termios settings;

    assert_int_equal(terminal_make_raw(f->slave, true), 0);
    assert_true(is_raw(f));
    assert_int_equal(tcgetattr(f->slave, &settings), 0);
    assert_int_equal(settings.c_oflag & OPOST, 0);
    assert_int_equal(settings.c_iflag & (ICRNL | IXON), 0);
    assert_int_equal(terminal_make_raw(f->slave, true), -EBUSY);
    terminal_restore();
    assert_true(is_original(f));
    terminal_restore();
    assert_true(is_original(f));
}

static void test_output_elsewhere_leaves_newlines_alone(void **state)
{
    struct fixture *f = *state;
    struct termios settings;

    assert_int_equal(terminal_make_raw(f->slave, false), 0);
    assert_true(is_raw(f));
    assert_int_equal(tcgetattr(f->slave, &settings), 0);
    assert_int_equal(settings.c_oflag, f->original.c_oflag);
}

static void test_reapply_makes_it_raw_again_and_restore_still_knows_the_original(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(terminal_make_raw(f->slave, true), 0);
    assert_int_equal(tcsetattr(f->slave, TCSANOW, &f->original), 0); /* as a shell does when we are stopped */
    assert_int_equal(terminal_reapply(), 0);
    assert_true(is_raw(f));
    terminal_restore();
    assert_true(is_original(f));
}

static void test_what_is_no_terminal_is_refused(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(terminal_make_raw(fds[0], true), -ENOTTY);
    assert_int_equal(terminal_make_raw(1000, true), -ENOTTY);
    close(fds[0]);
    close(fds[1]);
}

static void test_same_terminal_is_recognized_by_device(void **state)
{
    struct fixture *f = *state;
    int other = posix_openpt(O_RDWR | O_NOCTTY), copy = dup(f->slave), null = open("/dev/null", O_RDWR);

    assert_true(terminal_same(f->slave, copy));
    assert_false(terminal_same(f->slave, other));
    assert_false(terminal_same(f->slave, null));
    assert_false(terminal_same(null, null));
    close(other);
    close(copy);
    close(null);
}

/* While the terminal is raw a log line has to return the carriage by itself. */
static void test_log_lines_return_the_carriage_while_raw(void **state)
{
    struct fixture *f = *state;
    int saved = dup(STDERR_FILENO);
    char line[64];
    ssize_t count;

    assert_int_equal(dup2(f->slave, STDERR_FILENO), STDERR_FILENO);
    assert_int_equal(terminal_make_raw(f->slave, true), 0);
    log_error("x");
    assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    close(saved);
    count = read(f->master, line, sizeof(line));
    assert_int_equal(count, strlen("ringlet: x\r\n"));
    assert_memory_equal(line, "ringlet: x\r\n", (size_t)count);
}

/* --- ways out --- */

/* Run `way_out` in a child that has made the terminal raw; returns wait()'s status. */
static int die(struct fixture *f, void (*way_out)(int argument), int argument)
{
    int ready[2], go[2], status;
    char byte;
    pid_t child;

    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit no_core = { 0 };

        setrlimit(RLIMIT_CORE, &no_core);
        for (int i = 1; i < _NSIG; i++)
            signal(i, SIG_DFL);
        if (terminal_make_raw(f->slave, true) < 0)
            _exit(99);
        if (write(ready[1], "r", 1) != 1 || read(go[0], &byte, 1) != 1)
            _exit(98);
        way_out(argument);
        _exit(97);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_true(is_raw(f));
    assert_int_equal(write(go[1], "g", 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    for (unsigned i = 0; i < 2; i++) {
        close(ready[i]);
        close(go[i]);
    }
    return status;
}

static void send_to_self(int signal_number)
{
    kill(getpid(), signal_number);
    pause();
}

static void test_every_fatal_signal_restores_and_still_kills(void **state)
{
    struct fixture *f = *state;
    static const int signals[] = { SIGHUP,    SIGINT,  SIGQUIT, SIGILL,  SIGTRAP,   SIGABRT, SIGBUS,  SIGFPE,
                                   SIGUSR1,   SIGSEGV, SIGUSR2, SIGPIPE, SIGALRM,   SIGTERM, SIGXCPU, SIGXFSZ,
                                   SIGVTALRM, SIGPROF, SIGPOLL, SIGPWR,  SIGSTKFLT, SIGSYS };

    for (size_t i = 0; i < ARRAY_SIZE(signals) + 2; i++) {
        int signal_number = i < ARRAY_SIZE(signals)    ? signals[i]
                            : i == ARRAY_SIZE(signals) ? SIGRTMIN
                                                       : SIGRTMAX;
        int status = die(f, send_to_self, signal_number);

        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), signal_number);
        assert_true(is_original(f));
    }
}

static void touch_forbidden_page(int unused)
{
    volatile char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)unused;
    *page = 1;
}

static void test_a_real_fault_restores(void **state)
{
    struct fixture *f = *state;
    int status = die(f, touch_forbidden_page, 0);

    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
    assert_true(is_original(f));
}

static void call_abort(int unused)
{
    (void)unused;
    abort();
}

static void test_abort_restores(void **state)
{
    struct fixture *f = *state;
    int status = die(f, call_abort, 0);

    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_true(is_original(f));
}

static void test_exit_restores(void **state)
{
    struct fixture *f = *state;
    int status = die(f, exit, 7);

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
    assert_true(is_original(f));
}

static void handle(int signal_number)
{
    (void)signal_number;
}

static void handle_and_leave(int signal_number)
{
    signal(signal_number, handle);
    raise(signal_number);
    _exit(5); /* past atexit: what is found afterwards is how the handler left it */
}

/* Somebody else's later handler is theirs. And this shows that the tests above see a terminal left raw. */
static void test_a_signal_handled_elsewhere_is_left_to_them(void **state)
{
    struct fixture *f = *state;
    int status = die(f, handle_and_leave, SIGTERM);

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 5);
    assert_true(is_raw(f));
}

static void test_ignored_signals_stay_ignored(void **state)
{
    struct fixture *f = *state;
    struct sigaction action;

    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(terminal_make_raw(f->slave, true), 0);
    assert_int_equal(sigaction(SIGPIPE, NULL, &action), 0);
    assert_true(action.sa_handler == SIG_IGN);
}

/* --- as a console --- */

static void type(struct fixture *f, const char *text)
{
    assert_int_equal(write(f->master, text, strlen(text)), strlen(text));
}

static void test_console_on_a_terminal_has_escape_keys_and_passes_the_rest(void **state)
{
    struct fixture *f = *state;
    struct console_player player;
    size_t wanted = 6;
    char seen[16];

    assert_true(player_init(&player, LOOP_ENGINE_AUTO));
    player_open_streams(&player, f->slave, f->slave, 0);
    assert_true(is_original(f)); /* Ctrl-C still ends a program that is not up yet */
    player_run(&player, player_has_waited, NULL);
    assert_true(is_raw(f));
    type(f, "\003\032\001\001\001e\r");
    player_run(&player, player_has_received, &wanted);
    assert_memory_equal(player.received, "\003\032\001\001e\r", 6);
    assert_int_equal(player.quits, 0);
    player_send(&player, "a\r\n", 3);
    player_finish(&player);
    assert_int_equal(read(f->master, seen, sizeof(seen)), 3);
    assert_memory_equal(seen, "a\r\n", 3);
    player_destroy(&player);
    assert_true(is_original(f));
}

static bool has_quit(struct console_player *player, void *unused)
{
    (void)unused;
    return player->quits;
}

static void test_shell_prompt_starts_a_line_after_the_escape_key(void **state)
{
    struct fixture *f = *state;
    struct console_player player;
    char seen[16];

    assert_true(player_init(&player, LOOP_ENGINE_AUTO));
    player_open_streams(&player, f->slave, f->slave, 0);
    player_run(&player, player_has_waited, NULL);
    player_send(&player, "login: ", 7);
    type(f, "\001x");
    player_run(&player, has_quit, NULL);
    player_finish(&player);
    player_destroy(&player);
    assert_true(is_original(f));
    /* It was written in two pieces, and may come so. */
    for (size_t got = 0; got < 9;) {
        ssize_t count = read(f->master, seen + got, sizeof(seen) - got);

        assert_true(count > 0);
        got += (size_t)count;
    }
    assert_memory_equal(seen, "login: \r\n", 9);
}

static void test_escape_key_adds_nothing_to_output_that_is_elsewhere(void **state)
{
    struct fixture *f = *state;
    struct console_player player;
    int output[2];
    char seen[16];

    assert_int_equal(pipe2(output, O_CLOEXEC), 0);
    assert_true(player_init(&player, LOOP_ENGINE_AUTO));
    player_open_streams(&player, f->slave, output[1], 0);
    player_send(&player, "login: ", 7);
    type(f, "\001x");
    player_run(&player, has_quit, NULL);
    player_finish(&player);
    player_destroy(&player);
    assert_int_equal(read(output[0], seen, sizeof(seen)), 7);
    close(output[0]);
    close(output[1]);
}

/* A guest that hangs takes no input; that must not keep the escape key from us. */
static void test_escape_key_works_while_the_guest_takes_no_input(void **state)
{
    struct fixture *f = *state;
    struct console_player player;

    assert_true(player_init(&player, LOOP_ENGINE_AUTO));
    player.appetite = 0;
    player_open_streams(&player, f->slave, f->slave, 0);
    for (unsigned i = 0; i < 10; i++) {
        type(f, "is anybody there?");
        player_run(&player, player_has_waited, NULL);
    }
    type(f, "\001x");
    player_run(&player, has_quit, NULL);
    player_finish(&player);
    player_destroy(&player);
}

/* Whoever reads our stderr has stalled, so that a write to it would not return. */
static void test_escape_help_that_nobody_reads_holds_nothing_up(void **state)
{
    struct fixture *f = *state;
    struct console_player player;
    int saved_stderr = dup(STDERR_FILENO), ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    while (write(ends[1], "x", 1) == 1)
        continue;
    assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0);
    assert_true(player_init(&player, LOOP_ENGINE_AUTO));
    player_open_streams(&player, f->slave, f->slave, 0);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    alarm(30); /* ends a test that hangs */
    type(f, "\001h\001x");
    player_run(&player, has_quit, NULL);
    alarm(0);
    assert_int_equal(dup2(saved_stderr, STDERR_FILENO), STDERR_FILENO);
    player_finish(&player);
    player_destroy(&player);
    close(saved_stderr);
    close(ends[0]);
    close(ends[1]);
}

static void test_a_terminal_that_hangs_up_is_the_end_of_input(void **state)
{
    struct fixture *f = *state;
    struct console_player player;

    assert_true(player_init(&player, LOOP_ENGINE_AUTO));
    player_open_streams(&player, f->slave, f->slave, 0);
    player_run(&player, player_has_waited, NULL);
    close(f->master);
    f->master = -1;
    player_run(&player, player_has_waited, NULL);
    assert_int_equal(loop_in_flight(player.loop), 0);
    player_send(&player, "x", 1);
    player_finish(&player);
    assert_int_equal(console_dropped(player.backend), 1);
    player_destroy(&player);
}

/* --- job control: a session with this pty as its controlling terminal --- */

static int job(void *argument, const struct job_shell_link *link)
{
    struct fixture *f = argument;
    struct console_player player;
    size_t wanted = 5;

    JOB_CHECK(terminal_is_background(f->slave));
    JOB_CHECK(player_init(&player, LOOP_ENGINE_AUTO));
    player_open_streams(&player, f->slave, f->slave, 0);
    JOB_CHECK(is_original(f));
    /* In the background: output appears, input is left alone, and none of it stops us. */
    JOB_CHECK(job_shell_ask(link, JOB_TYPE)); /* type "hello" */
    player_send(&player, "output\r\n", 8);
    player_run(&player, player_has_sent, NULL);
    for (unsigned i = 0; i < 3; i++)
        player_run(&player, player_has_waited, NULL);
    JOB_CHECK(player.received_count == 0);
    JOB_CHECK(is_original(f));

    JOB_CHECK(job_shell_ask(link, JOB_FOREGROUND)); /* fg, without a SIGCONT */
    player_run(&player, player_has_received, &wanted);
    JOB_CHECK(is_raw(f));

    /* Stopped and continued in the foreground: the shell has put its own settings in between. */
    JOB_CHECK(tcsetattr(f->slave, TCSANOW, &f->original) == 0);
    console_continue(player.backend);
    player_run(&player, player_has_waited, NULL);
    JOB_CHECK(is_raw(f));

    JOB_CHECK(job_shell_ask(link, JOB_BACKGROUND)); /* and back again: the shell has its settings in force */
    player_finish(&player);
    player_destroy(&player);
    JOB_CHECK(is_raw(f)); /* for the shell said nothing, and we must not touch what is not ours now */
    return 0;
}

static void test_a_background_job_leaves_the_terminal_alone_until_it_is_in_front(void **state)
{
    struct fixture *f = *state;

    job_shell_run(&(struct job_shell){
        .master = f->master, .slave = f->slave, .typed = "hello\r", .job = job, .argument = f });
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        /* first: they want a process whose signals nobody has touched */
        TEST(test_every_fatal_signal_restores_and_still_kills),
        TEST(test_a_real_fault_restores),
        TEST(test_abort_restores),
        TEST(test_exit_restores),
        TEST(test_a_signal_handled_elsewhere_is_left_to_them),
        TEST(test_a_background_job_leaves_the_terminal_alone_until_it_is_in_front),
        TEST(test_raw_and_back),
        TEST(test_output_elsewhere_leaves_newlines_alone),
        TEST(test_reapply_makes_it_raw_again_and_restore_still_knows_the_original),
        TEST(test_what_is_no_terminal_is_refused),
        TEST(test_same_terminal_is_recognized_by_device),
        TEST(test_log_lines_return_the_carriage_while_raw),
        TEST(test_ignored_signals_stay_ignored),
        TEST(test_console_on_a_terminal_has_escape_keys_and_passes_the_rest),
        TEST(test_shell_prompt_starts_a_line_after_the_escape_key),
        TEST(test_escape_key_adds_nothing_to_output_that_is_elsewhere),
        TEST(test_escape_key_works_while_the_guest_takes_no_input),
        TEST(test_escape_help_that_nobody_reads_holds_nothing_up),
        TEST(test_a_terminal_that_hangs_up_is_the_end_of_input),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
