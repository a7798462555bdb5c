/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_guest_run.c - a command from its start to its end without a guest: the init's loop in a process of its
 * own, socket pairs in place of the ports, and the test as the host.
 */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "accounts.h"
#include "frames.h"
#include "ringlet/error.h"
#include "ringlet/util.h"
#include "settings.h"

#define LARGE (1u << 20)

/* execve() has its words writable, and leaves them alone. */
#define WORD(text) ((char *)(text))

/* How the init's process ends, when the command did not. */
enum { INIT_FINE, INIT_PROTOCOL, INIT_ALONE, INIT_FAILED };

enum { CONTROL, INPUT, OUTPUT, ERROR, PORT_COUNT };

struct guest {
    pid_t pid;
    int ports[PORT_COUNT]; /* the host's ends */
};

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* --- the guest's side --- */

static __attribute__((noreturn)) void be_init(const int ports[PORT_COUNT], const struct settings *settings,
                                              bool reaper)
{
    struct session_ports inner = { ports[CONTROL], ports[INPUT], ports[OUTPUT], ports[ERROR] };
    gid_t group = getgid();
    struct account account = { .uid = getuid(), .gid = group, .groups = &group, .group_count = 1 };
    struct frame_reader reader = { 0 };
    struct guest_exit end;
    struct error err = { "" };
    int result;

    account.name = account.home = account.shell = WORD("x");
    if (reaper)
        prctl(PR_SET_CHILD_SUBREAPER, 1);
    result = session_run(&inner, &reader, settings, &account, &end, &err);
    if (result == 0 && (inner.input >= 0 || inner.output >= 0 || inner.error >= 0))
        result = -EINVAL;
    if (result == 0)
        result = frame_send(inner.control, GUEST_EXIT, &end, sizeof(end), 10000);
    if (result < 0)
        fprintf(stderr, "init: %s %s\n", strerror(-result), err.text);
    _exit(result == 0         ? INIT_FINE
          : result == -EPROTO ? INIT_PROTOCOL
          : result == -EPIPE  ? INIT_ALONE
                              : INIT_FAILED);
}

static struct guest start_settings(struct settings *settings, bool reaper)
{
    struct guest guest;
    int inner[PORT_COUNT];

    settings->workdir = settings->workdir ? settings->workdir : "/";
    for (int i = 0; i < PORT_COUNT; i++) {
        int ends[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        guest.ports[i] = ends[0];
        inner[i] = ends[1];
        assert_int_equal(fcntl(inner[i], F_SETFL, O_NONBLOCK), 0);
    }
    guest.pid = fork();
    assert_true(guest.pid >= 0);
    if (guest.pid == 0) {
        for (int i = 0; i < PORT_COUNT; i++)
            close(guest.ports[i]);
        be_init(inner, settings, reaper);
    }
    for (int i = 0; i < PORT_COUNT; i++)
        close(inner[i]);
    return guest;
}

static struct guest start_shell(const char *script, bool tty)
{
    char *arguments[] = { WORD("sh"), WORD("-c"), WORD(script), NULL };
    struct settings settings = {
        .arguments = arguments, .argument_count = 3, .tty = tty, .rows = 24, .columns = 80
    };

    return start_settings(&settings, true);
}

static struct guest start(const char *script)
{
    return start_shell(script, false);
}

/* --- the host's side --- */

static void receive(int fd, void *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t count = read(fd, (char *)bytes + at, size - at);

        if (count <= 0)
            fail_msg("%zu of %zu bytes came", at, size);
        at += (size_t)count;
    }
}

static void expect_frame(const struct guest *guest, enum guest_frame_type type, void *body, size_t length)
{
    struct guest_frame head;

    receive(guest->ports[CONTROL], &head, sizeof(head));
    assert_int_equal(head.type, type);
    assert_int_equal(head.length, length);
    receive(guest->ports[CONTROL], body, length);
}

static void expect_started(const struct guest *guest)
{
    expect_frame(guest, GUEST_STARTED, NULL, 0);
}

static void expect_init_ends(struct guest *guest, int how)
{
    int status;

    assert_int_equal(waitpid(guest->pid, &status, 0), guest->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), how);
    for (int i = 0; i < PORT_COUNT; i++)
        close_end(&guest->ports[i]);
}

static void expect_exit(struct guest *guest, enum guest_exit_kind kind, uint32_t value)
{
    struct guest_exit end;

    expect_frame(guest, GUEST_EXIT, &end, sizeof(end));
    assert_int_equal(end.kind, kind);
    assert_int_equal(end.value, value);
    expect_init_ends(guest, INIT_FINE);
}

/* All that comes until the port is closed; to be freed. */
static char *read_all(int fd, size_t *ret_size)
{
    size_t size = 0, room = 2 * LARGE;
    char *bytes = malloc(room);

    assert_non_null(bytes);
    for (ssize_t count; (count = read(fd, bytes + size, room - size - 1)) > 0; size += (size_t)count)
        assert_true(size + 1 < room);
    bytes[size] = '\0';
    if (ret_size)
        *ret_size = size;
    return bytes;
}

static void expect_text(int fd, const char *text)
{
    char *all = read_all(fd, NULL);

    assert_string_equal(all, text);
    free(all);
}

static void expect_line(int fd, const char *line)
{
    char text[64] = "";

    assert_true(strlen(line) < sizeof(text));
    receive(fd, text, strlen(line));
    assert_string_equal(text, line);
}

static void send_frame(const struct guest *guest, uint32_t type, const void *body, uint32_t length)
{
    struct guest_frame head = { .type = type, .length = length };

    assert_int_equal(write(guest->ports[CONTROL], &head, sizeof(head)), sizeof(head));
    assert_int_equal(write(guest->ports[CONTROL], body, length), length);
}

static void send_signal(const struct guest *guest, uint32_t number)
{
    send_frame(guest, GUEST_SIGNAL, &number, sizeof(number));
}

/* --- the tests --- */

static void test_output_and_error_are_apart_and_the_status_is_the_commands(void **state)
{
    struct guest guest = start("echo out; echo err >&2; exit 7");

    (void)state;
    expect_started(&guest);
    expect_text(guest.ports[OUTPUT], "out\n");
    expect_text(guest.ports[ERROR], "err\n");
    expect_exit(&guest, GUEST_EXITED, 7);
}

struct feed {
    int fd;
    const char *bytes;
    size_t size;
};

static void *feed(void *argument)
{
    struct feed *fed = argument;

    for (size_t at = 0; at < fed->size;) {
        ssize_t count = write(fed->fd, fed->bytes + at, fed->size - at);

        assert_true(count > 0);
        at += (size_t)count;
    }
    shutdown(fed->fd, SHUT_WR);
    return NULL;
}

static void test_a_mebibyte_goes_in_and_comes_out_as_it_was(void **state)
{
    struct guest guest = start("cat");
    char *bytes = malloc(LARGE), *back;
    struct feed fed = { guest.ports[INPUT], bytes, LARGE };
    pthread_t thread;
    uint32_t seed = 7;
    size_t size;

    (void)state;
    assert_non_null(bytes);
    for (size_t i = 0; i < LARGE; i++) {
        seed = seed * 1103515245 + 12345;
        bytes[i] = (char)(seed >> 16);
    }
    expect_started(&guest);
    assert_int_equal(pthread_create(&thread, NULL, feed, &fed), 0);
    back = read_all(guest.ports[OUTPUT], &size);
    pthread_join(thread, NULL);
    assert_int_equal(size, LARGE);
    assert_memory_equal(back, bytes, LARGE);
    free(back);
    free(bytes);
    expect_exit(&guest, GUEST_EXITED, 0);
}

static void test_what_is_not_read_yet_outlives_the_command(void **state)
{
    struct guest guest = start("head -c 1000000 /dev/zero; kill -USR1 $PPID");
    size_t size;
    char *bytes;

    (void)state;
    expect_started(&guest);
    bytes = read_all(guest.ports[OUTPUT], &size);
    assert_int_equal(size, 1000000);
    free(bytes);
    expect_exit(&guest, GUEST_EXITED, 0); /* and the init does not die of signals */
}

static void test_a_command_may_leave_its_input_alone(void **state)
{
    struct guest guest = start("exec <&-; echo closed; exec sleep 1000");
    char byte;

    (void)state;
    expect_started(&guest);
    expect_line(guest.ports[OUTPUT], "closed\n");
    /* The port is closed, so that the host need not feed it. */
    assert_int_equal(read(guest.ports[INPUT], &byte, 1), 0);
    send_signal(&guest, SIGTERM);
    expect_exit(&guest, GUEST_KILLED, SIGTERM);
}

static void test_the_commands_own_death_has_its_signal(void **state)
{
    struct guest guest = start("kill -KILL $$");

    (void)state;
    expect_started(&guest);
    expect_exit(&guest, GUEST_KILLED, SIGKILL);
}

static void test_a_signal_reaches_the_command_and_what_it_runs(void **state)
{
    struct guest guest = start("trap 'echo caught; exit 9' USR1; sh -c 'echo ready; exec sleep 1000'");

    (void)state;
    expect_started(&guest);
    expect_line(guest.ports[OUTPUT], "ready\n");
    send_signal(&guest, SIGUSR1);
    expect_text(guest.ports[OUTPUT], "caught\n");
    expect_exit(&guest, GUEST_EXITED, 9);
}

static void test_a_signal_cut_into_bytes_is_one(void **state)
{
    struct guest guest = start("exec sleep 1000");
    unsigned char bytes[12] = { GUEST_SIGNAL, 0, 0, 0, 4, 0, 0, 0, SIGHUP, 0, 0, 0 };

    (void)state;
    expect_started(&guest);
    for (size_t i = 0; i < sizeof(bytes); i++)
        assert_int_equal(write(guest.ports[CONTROL], bytes + i, 1), 1);
    expect_exit(&guest, GUEST_KILLED, SIGHUP);
}

static void test_a_command_whose_output_nobody_reads_gets_sigpipe(void **state)
{
    struct guest guest = start("exec yes");

    (void)state;
    expect_started(&guest);
    expect_line(guest.ports[OUTPUT], "y\ny\n");
    close_end(&guest.ports[OUTPUT]);
    expect_exit(&guest, GUEST_KILLED, SIGPIPE);
}

static void test_signals_are_at_their_defaults(void **state)
{
    struct guest guest = start("exec grep -E 'Sig(Blk|Ign)' /proc/self/status");

    (void)state;
    expect_started(&guest);
    expect_text(guest.ports[OUTPUT], "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    expect_exit(&guest, GUEST_EXITED, 0);
}

static void test_what_the_command_leaves_behind_is_killed(void **state)
{
    struct guest guest = start("sleep 1000 & echo $!");
    char *text;
    pid_t left;

    (void)state;
    expect_started(&guest);
    text = read_all(guest.ports[OUTPUT], NULL);
    left = (pid_t)atoi(text);
    free(text);
    expect_exit(&guest, GUEST_EXITED, 0);
    assert_true(left > 0);
    assert_int_equal(kill(left, 0), -1);
    assert_int_equal(errno, ESRCH);
}

static void test_one_that_cannot_be_killed_is_not_waited_for(void **state)
{
    /* Here everything but the command's group is out of reach, and it still has the output open. */
    char *arguments[] = { WORD("sh"), WORD("-c"), WORD("setsid sh -c 'echo $$; exec sleep 1000' & wait"),
                          NULL };
    struct settings settings = { .arguments = arguments, .argument_count = 3 };
    struct guest guest = start_settings(&settings, false);
    char line[32] = "";

    (void)state;
    expect_started(&guest);
    assert_true(read(guest.ports[OUTPUT], line, sizeof(line) - 1) > 1);
    send_signal(&guest, SIGTERM);
    expect_text(guest.ports[OUTPUT], "");
    expect_exit(&guest, GUEST_KILLED, SIGTERM);
    assert_int_equal(kill((pid_t)atoi(line), SIGKILL), 0);
}

static void expect_no_start(const char *command, const char *workdir, enum guest_exit_kind kind,
                            uint32_t value)
{
    char *arguments[] = { WORD(command), NULL };
    struct settings settings = { .arguments = arguments, .argument_count = 1, .workdir = workdir };
    struct guest guest = start_settings(&settings, true);

    expect_text(guest.ports[OUTPUT], "");
    expect_text(guest.ports[ERROR], "");
    expect_exit(&guest, kind, value);
}

static void test_what_cannot_be_executed_never_starts(void **state)
{
    (void)state;
    expect_no_start("no-such-command-anywhere", "/", GUEST_NOT_FOUND, ENOENT);
    expect_no_start("/no/such/file", "/", GUEST_NOT_FOUND, ENOENT);
    expect_no_start("/etc/passwd", "/", GUEST_NOT_EXECUTABLE, EACCES);
    expect_no_start("/etc/passwd/x", "/", GUEST_NOT_EXECUTABLE, ENOTDIR);
    expect_no_start("/", "/", GUEST_NOT_EXECUTABLE, EACCES);
    expect_no_start("true", "/no/such/directory", GUEST_NOT_EXECUTABLE, ENOENT);
}

static void test_a_host_that_breaks_a_rule_ends_it(void **state)
{
    static const struct {
        struct guest_frame head;
        uint32_t value;
    } bad[] = {
        { { GUEST_SIGNAL, 4 }, 0 },
        { { GUEST_SIGNAL, 4 }, 65 },
        { { GUEST_SIGNAL, 4 }, UINT32_MAX },
        { { GUEST_RUN, 4 }, 0x003d61 }, /* a second one */
        { { GUEST_EXIT, 4 }, 0 },
        { { 0, 0 }, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct guest guest = start("echo $$; exec sleep 1000");
        char line[32] = "";

        expect_started(&guest);
        assert_true(read(guest.ports[OUTPUT], line, sizeof(line) - 1) > 1);
        assert_int_equal(write(guest.ports[CONTROL], &bad[i], sizeof(bad[i])), sizeof(bad[i]));
        expect_text(guest.ports[OUTPUT], "");
        expect_init_ends(&guest, INIT_PROTOCOL);
        assert_int_equal(kill((pid_t)atoi(line), 0), -1);
    }
}

static void test_a_host_that_has_gone_ends_it(void **state)
{
    struct guest guest = start("exec sleep 1000");

    (void)state;
    expect_started(&guest);
    close_end(&guest.ports[CONTROL]);
    expect_text(guest.ports[OUTPUT], "");
    expect_init_ends(&guest, INIT_ALONE);
}

/* --- with a terminal --- */

static void test_a_terminal_is_one_and_has_its_size(void **state)
{
    struct guest guest =
        start_shell("test -t 0 && test -t 1 && test -t 2 && stty size && ps -o tty= -p $$ >&2", true);
    char *text;

    (void)state;
    expect_started(&guest);
    text = read_all(guest.ports[OUTPUT], NULL);
    assert_int_equal(strncmp(text, "24 80\r\n", 7), 0);
    free(text);
    expect_text(guest.ports[ERROR], "");
    expect_exit(&guest, GUEST_EXITED, 0);
}

static void test_a_new_size_is_told_to_the_terminal(void **state)
{
    struct guest guest =
        start_shell("trap 'stty size; exit 4' WINCH; echo ready; while :; do sleep 0.1; done", true);
    struct guest_window window = { .rows = 50, .columns = 132 };

    (void)state;
    expect_started(&guest);
    expect_line(guest.ports[OUTPUT], "ready\r\n");
    send_frame(&guest, GUEST_WINDOW, &window, sizeof(window));
    expect_text(guest.ports[OUTPUT], "50 132\r\n");
    expect_exit(&guest, GUEST_EXITED, 4);
}

static void test_the_end_of_the_input_is_typed_where_lines_are_gathered(void **state)
{
    static const struct {
        const char *typed, *shown;
    } rows[] = { { "", "" }, { "line\n", "line\r\n" }, { "part", "part" } };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct guest guest = start_shell("stty -echo; echo; exec cat", true);

        expect_started(&guest);
        expect_line(guest.ports[OUTPUT], "\r\n");
        assert_int_equal(write(guest.ports[INPUT], rows[i].typed, strlen(rows[i].typed)),
                         strlen(rows[i].typed));
        shutdown(guest.ports[INPUT], SHUT_WR);
        expect_text(guest.ports[OUTPUT], rows[i].shown);
        expect_exit(&guest, GUEST_EXITED, 0);
    }
}

static void test_the_end_of_the_input_is_nothing_to_a_program_that_reads_keys(void **state)
{
    struct guest guest = start_shell("stty raw -echo; echo ready; head -c 3; kill -9 $$", true);

    (void)state;
    expect_started(&guest);
    expect_line(guest.ports[OUTPUT], "ready\n");
    assert_int_equal(write(guest.ports[INPUT], "abc", 3), 3);
    shutdown(guest.ports[INPUT], SHUT_WR);
    expect_text(guest.ports[OUTPUT], "abc");
    expect_exit(&guest, GUEST_KILLED, SIGKILL);
}

static void test_an_interrupt_goes_to_the_foreground(void **state)
{
    /* The shell's job is in a group of its own, which has the terminal. */
    struct guest guest =
        start_shell("set -m; sh -c 'trap \"exit 6\" INT; sh -c \"echo ready; exec sleep 1000\"'; "
                    "echo $?; exit 2",
                    true);

    (void)state;
    expect_started(&guest);
    expect_line(guest.ports[OUTPUT], "ready\r\n");
    send_signal(&guest, SIGINT);
    expect_text(guest.ports[OUTPUT], "6\r\n");
    expect_exit(&guest, GUEST_EXITED, 2);
}

static void test_a_terminal_that_nobody_looks_at_is_hung_up(void **state)
{
    struct guest guest = start_shell("echo ready; exec sleep 1000", true);

    (void)state;
    expect_started(&guest);
    expect_line(guest.ports[OUTPUT], "ready\r\n");
    close_end(&guest.ports[OUTPUT]);
    expect_exit(&guest, GUEST_KILLED, SIGHUP);
}

static void test_the_last_words_on_a_terminal_are_not_lost(void **state)
{
    struct guest guest = start_shell("seq 30000", true);
    size_t size;
    char *text;

    (void)state;
    expect_started(&guest);
    text = read_all(guest.ports[OUTPUT], &size);
    assert_true(size > 7);
    assert_string_equal(text + size - 7, "30000\r\n");
    assert_int_equal(size, 9 * 3 + 90 * 4 + 900 * 5 + 9000 * 6 + 20001 * 7);
    free(text);
    expect_exit(&guest, GUEST_EXITED, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_and_error_are_apart_and_the_status_is_the_commands),
        cmocka_unit_test(test_a_mebibyte_goes_in_and_comes_out_as_it_was),
        cmocka_unit_test(test_what_is_not_read_yet_outlives_the_command),
        cmocka_unit_test(test_a_command_may_leave_its_input_alone),
        cmocka_unit_test(test_the_commands_own_death_has_its_signal),
        cmocka_unit_test(test_a_signal_reaches_the_command_and_what_it_runs),
        cmocka_unit_test(test_a_signal_cut_into_bytes_is_one),
        cmocka_unit_test(test_a_command_whose_output_nobody_reads_gets_sigpipe),
        cmocka_unit_test(test_signals_are_at_their_defaults),
        cmocka_unit_test(test_what_the_command_leaves_behind_is_killed),
        cmocka_unit_test(test_one_that_cannot_be_killed_is_not_waited_for),
        cmocka_unit_test(test_what_cannot_be_executed_never_starts),
        cmocka_unit_test(test_a_host_that_breaks_a_rule_ends_it),
        cmocka_unit_test(test_a_host_that_has_gone_ends_it),
        cmocka_unit_test(test_a_terminal_is_one_and_has_its_size),
        cmocka_unit_test(test_a_new_size_is_told_to_the_terminal),
        cmocka_unit_test(test_the_end_of_the_input_is_typed_where_lines_are_gathered),
        cmocka_unit_test(test_the_end_of_the_input_is_nothing_to_a_program_that_reads_keys),
        cmocka_unit_test(test_an_interrupt_goes_to_the_foreground),
        cmocka_unit_test(test_a_terminal_that_nobody_looks_at_is_hung_up),
        cmocka_unit_test(test_the_last_words_on_a_terminal_are_not_lost),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
