/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_console_peers.c - consoles that somebody comes to and leaves, pty and socket, on both engines.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "console_player.h"

#define RING 65536

struct fixture {
    struct console_player player;
    char folder[32];
    char path[64];
    int peer; /* what the test has connected by; -1: none */
    uint8_t pattern[200000];
    uint8_t got[200000];
    size_t got_count;
};

static const enum loop_engine engines[] = { LOOP_ENGINE_IO_URING, LOOP_ENGINE_THREADS };

static int setup(void **state)
{
    const enum loop_engine *engine = *state;
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    if (!player_init(&f->player, *engine)) {
        free(f);
        *state = NULL;
        return 0;
    }
    strcpy(f->folder, "/tmp/ringlet-test-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof(f->path), "%s/console", f->folder);
    for (size_t i = 0; i < sizeof(f->pattern); i++)
        f->pattern[i] = (uint8_t)(i * 13 + i / 256);
    f->peer = -1;
    *state = f;
    return 0;
}

static void hang_up(struct fixture *f)
{
    if (f->peer >= 0)
        close(f->peer);
    f->peer = -1;
    f->got_count = 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (!f)
        return 0;
    hang_up(f);
    player_destroy(&f->player);
    unlink(f->path);
    rmdir(f->folder);
    free(f);
    return 0;
}

static struct fixture *fixture(void **state)
{
    if (!*state)
        skip();
    return *state;
}

/* Condition: read what has come for the peer; is it as much as *wanted? */
static bool got_bytes(struct console_player *player, void *wanted)
{
    struct fixture *f = (struct fixture *)(void *)player;
    struct pollfd polled = { .fd = f->peer, .events = POLLIN };

    while (poll(&polled, 1, 0) == 1 && (polled.revents & POLLIN)) {
        ssize_t count = read(f->peer, f->got + f->got_count, sizeof(f->got) - f->got_count);

        if (count <= 0)
            break;
        f->got_count += (size_t)count;
    }
    return f->got_count >= *(size_t *)wanted;
}

static void expect_output(struct fixture *f, const void *bytes, size_t count)
{
    f->got_count = 0;
    player_run(&f->player, got_bytes, &count);
    assert_int_equal(f->got_count, count);
    assert_memory_equal(f->got, bytes, count);
}

static void expect_input(struct fixture *f, const char *text)
{
    size_t wanted = f->player.received_count + strlen(text);

    assert_int_equal(write(f->peer, text, strlen(text)), strlen(text));
    player_run(&f->player, player_has_received, &wanted);
    assert_memory_equal(f->player.received + wanted - strlen(text), text, strlen(text));
}

/* --- pty --- */

static void open_pty(struct fixture *f)
{
    player_open(&f->player, (struct console_options){ .kind = CONSOLE_PTY, .drain_timeout = 1000000 });
    assert_non_null(console_path(f->player.backend));
}

static void open_slave(struct fixture *f)
{
    f->peer = open(console_path(f->player.backend), O_RDWR | O_NOCTTY);
    assert_true(f->peer >= 0);
}

static void test_pty_carries_bytes_both_ways_unchanged(void **state)
{
    struct fixture *f = fixture(state);

    open_pty(f);
    open_slave(f);
    player_send(&f->player, "login:\n\001x\r", 10);
    expect_output(f, "login:\n\001x\r", 10);
    expect_input(f, "root\r\003\004");
    assert_int_equal(f->player.quits, 0);
    player_finish(&f->player);
}

static void test_pty_keeps_output_for_whoever_comes_first(void **state)
{
    struct fixture *f = fixture(state);

    open_pty(f);
    player_send(&f->player, "boot messages", 13);
    player_run(&f->player, player_has_waited, NULL);
    open_slave(f);
    expect_output(f, "boot messages", 13);
    player_finish(&f->player);
    assert_int_equal(console_dropped(f->player.backend), 0);
}

static void test_pty_without_a_peer_never_stalls_and_keeps_the_latest(void **state)
{
    struct fixture *f = fixture(state);

    open_pty(f);
    player_send(&f->player, f->pattern, sizeof(f->pattern));
    player_run(&f->player, player_has_sent, NULL);
    open_slave(f);
    expect_output(f, f->pattern + sizeof(f->pattern) - RING, RING);
    player_finish(&f->player);
    assert_int_equal(console_dropped(f->player.backend), sizeof(f->pattern) - RING);
}

static bool turns_counted(struct console_player *player, void *unused)
{
    (void)unused;
    return player->ticks >= 300;
}

static void test_pty_serves_one_peer_after_the_other(void **state)
{
    struct fixture *f = fixture(state);

    open_pty(f);
    for (unsigned i = 0; i < 3; i++) {
        open_slave(f);
        player_send(&f->player, "again", 5);
        expect_output(f, "again", 5);
        expect_input(f, "yes");
        hang_up(f);
        player_run(&f->player, turns_counted, NULL);
    }
    player_finish(&f->player);
}

/* The master reports a hang-up without end: one timer in flight, and no more than that, is what it may cost.
 */
static void test_pty_without_a_peer_does_not_spin(void **state)
{
    struct fixture *f = fixture(state);

    open_pty(f);
    player_run(&f->player, player_has_waited, NULL);
    assert_true(loop_in_flight(f->player.loop) <= 1);
    open_slave(f);
    player_send(&f->player, "x", 1);
    expect_output(f, "x", 1);
    hang_up(f);
    player_run(&f->player, player_has_waited, NULL);
    assert_true(loop_in_flight(f->player.loop) <= 1);
    player_finish(&f->player);
}

static void test_pty_peer_that_does_not_read_holds_back_output(void **state)
{
    struct fixture *f = fixture(state);

    open_pty(f);
    open_slave(f);
    expect_input(f, "x"); /* from here on it is known to be there */
    player_send(&f->player, f->pattern, sizeof(f->pattern));
    player_run(&f->player, player_has_waited, NULL);
    assert_true(f->player.to_send_count > 0);
    expect_output(f, f->pattern, sizeof(f->pattern));
    player_finish(&f->player);
    assert_int_equal(console_dropped(f->player.backend), 0);
}

static void test_pty_finish_with_a_peer_that_does_not_read_gives_up(void **state)
{
    struct fixture *f = fixture(state);

    open_pty(f);
    open_slave(f);
    expect_input(f, "x");
    player_send(&f->player, f->pattern, 60000);
    player_finish(&f->player);
    assert_true(console_dropped(f->player.backend) > 0);
}

/* --- socket --- */

static void open_socket(struct fixture *f)
{
    player_open(&f->player, (struct console_options){
                                .kind = CONSOLE_SOCKET, .path = f->path, .drain_timeout = 1000000 });
}

static int make_socket(const char *path, struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    strcpy(address->sun_path, path);
    return fd;
}

static int connect_to(const char *path)
{
    struct sockaddr_un address;
    int fd = make_socket(path, &address);

    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void test_socket_carries_bytes_both_ways_unchanged(void **state)
{
    struct fixture *f = fixture(state);

    open_socket(f);
    assert_string_equal(console_path(f->player.backend), f->path);
    f->peer = connect_to(f->path);
    expect_input(f, "root\r\001x"); /* from here on it is known to be there */
    player_send(&f->player, f->pattern, sizeof(f->pattern));
    expect_output(f, f->pattern, sizeof(f->pattern));
    assert_int_equal(f->player.quits, 0);
    player_finish(&f->player);
    assert_int_equal(console_dropped(f->player.backend), 0);
}

static void test_socket_keeps_the_latest_output_for_whoever_comes_first(void **state)
{
    struct fixture *f = fixture(state);

    open_socket(f);
    player_send(&f->player, f->pattern, sizeof(f->pattern));
    player_run(&f->player, player_has_sent, NULL);
    f->peer = connect_to(f->path);
    expect_output(f, f->pattern + sizeof(f->pattern) - RING, RING);
    player_finish(&f->player);
}

static void test_socket_serves_the_next_client_when_the_first_has_left(void **state)
{
    struct fixture *f = fixture(state);
    int second;

    open_socket(f);
    f->peer = connect_to(f->path);
    expect_input(f, "first");
    second = connect_to(f->path);
    player_send(&f->player, "to the first", 12);
    expect_output(f, "to the first", 12);
    hang_up(f);
    f->peer = second;
    expect_input(f, "second");
    player_send(&f->player, "to the second", 13);
    expect_output(f, "to the second", 13);
    player_finish(&f->player);
}

static void test_socket_client_that_has_sent_everything_still_gets_output(void **state)
{
    struct fixture *f = fixture(state);

    open_socket(f);
    f->peer = connect_to(f->path);
    expect_input(f, "poweroff\n");
    assert_int_equal(shutdown(f->peer, SHUT_WR), 0);
    player_run(&f->player, turns_counted, NULL);
    player_send(&f->player, "bye", 3);
    expect_output(f, "bye", 3);
    hang_up(f);
    /* and once it has gone for good, the next is served */
    f->peer = connect_to(f->path);
    expect_input(f, "next");
    player_finish(&f->player);
}

static void test_socket_client_that_vanishes_with_output_waiting_is_replaced(void **state)
{
    struct fixture *f = fixture(state);

    open_socket(f);
    f->peer = connect_to(f->path);
    expect_input(f, "x");
    player_send(&f->player, f->pattern, sizeof(f->pattern));
    player_run(&f->player, player_has_waited, NULL);
    hang_up(f);
    player_run(&f->player, player_has_sent, NULL);
    f->peer = connect_to(f->path);
    expect_input(f, "y");
    player_finish(&f->player);
}

static void test_socket_finish_reaches_a_client_that_reads(void **state)
{
    struct fixture *f = fixture(state);
    size_t wanted = 1000;

    open_socket(f);
    f->peer = connect_to(f->path);
    expect_input(f, "x");
    player_send(&f->player, f->pattern, 1000);
    player_finish(&f->player);
    assert_true(got_bytes(&f->player, &wanted));
    assert_memory_equal(f->got, f->pattern, 1000);
}

static void test_socket_file_is_private_and_removed_at_the_end(void **state)
{
    struct fixture *f = fixture(state);
    struct stat status;

    open_socket(f);
    assert_int_equal(stat(f->path, &status), 0);
    assert_true(S_ISSOCK(status.st_mode));
    assert_int_equal(status.st_mode & 0777, 0600);
    player_finish(&f->player);
    char_backend_destroy(f->player.backend);
    f->player.backend = NULL;
    assert_int_equal(stat(f->path, &status), -1);
}

static void test_socket_removes_no_file_but_its_own(void **state)
{
    struct fixture *f = fixture(state);
    struct stat status;
    int fd;

    open_socket(f);
    player_finish(&f->player);
    assert_int_equal(unlink(f->path), 0);
    fd = open(f->path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
    char_backend_destroy(f->player.backend);
    f->player.backend = NULL;
    assert_int_equal(stat(f->path, &status), 0);
}

static void test_stale_socket_file_is_replaced(void **state)
{
    struct fixture *f = fixture(state);
    struct sockaddr_un address;
    int fd = make_socket(f->path, &address);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
    open_socket(f);
    f->peer = connect_to(f->path);
    expect_input(f, "alive");
    player_finish(&f->player);
}

static int open_error(struct fixture *f, const char *path, struct error *err)
{
    struct console_options options = { .kind = CONSOLE_SOCKET, .path = path };

    return console_open(f->player.loop, &options, &f->player.backend, err);
}

static void test_socket_failures_name_the_path_and_harm_nobody(void **state)
{
    struct fixture *f = fixture(state);
    char long_path[200];
    struct sockaddr_un address;
    struct error err = { 0 };
    struct stat status;
    int fd;

    memset(long_path, 'a', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    assert_int_equal(open_error(f, long_path, &err), -ENAMETOOLONG);
    assert_non_null(strstr(err.text, "too long"));

    assert_int_equal(open_error(f, "/nonexistent/socket", &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nonexistent/socket"));

    fd = make_socket(f->path, &address);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(open_error(f, f->path, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, "another process listens"));
    assert_int_equal(stat(f->path, &status), 0);
    close(fd);
    assert_int_equal(unlink(f->path), 0);

    fd = open(f->path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(open_error(f, f->path, &err), -EEXIST);
    assert_int_equal(stat(f->path, &status), 0);
    assert_true(S_ISREG(status.st_mode));
    assert_null(f->player.backend);
}

int main(void)
{
#define TEST(name)                                                                                           \
    { #name " (io_uring)", name, setup, teardown, (void *)&engines[0] },                                     \
    {                                                                                                        \
#name " (threads)", name, setup, teardown, (void *)&engines[1]                                       \
    }
    const struct CMUnitTest tests[] = {
        TEST(test_pty_carries_bytes_both_ways_unchanged),
        TEST(test_pty_keeps_output_for_whoever_comes_first),
        TEST(test_pty_without_a_peer_never_stalls_and_keeps_the_latest),
        TEST(test_pty_serves_one_peer_after_the_other),
        TEST(test_pty_without_a_peer_does_not_spin),
        TEST(test_pty_peer_that_does_not_read_holds_back_output),
        TEST(test_pty_finish_with_a_peer_that_does_not_read_gives_up),
        TEST(test_socket_carries_bytes_both_ways_unchanged),
        TEST(test_socket_keeps_the_latest_output_for_whoever_comes_first),
        TEST(test_socket_serves_the_next_client_when_the_first_has_left),
        TEST(test_socket_client_that_has_sent_everything_still_gets_output),
        TEST(test_socket_client_that_vanishes_with_output_waiting_is_replaced),
        TEST(test_socket_finish_reaches_a_client_that_reads),
        TEST(test_socket_file_is_private_and_removed_at_the_end),
        TEST(test_socket_removes_no_file_but_its_own),
        TEST(test_stale_socket_file_is_replaced),
        TEST(test_socket_failures_name_the_path_and_harm_nobody),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
