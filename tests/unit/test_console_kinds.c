/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_console_kinds.c - the console that is kept in memory, and descriptors in place of paths, on both engines.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "console_pipes.h"

#define RING 65536

/* --- what is kept in memory --- */

static void test_memory_keeps_the_last_of_the_output(void **state)
{
    struct fixture *f = console_fixture(state);
    char *kept = (char *)f->got;

    player_open(&f->player, (struct console_options){ .kind = CONSOLE_MEMORY });
    wait_a_while(f);
    player_send(&f->player, f->pattern, sizeof(f->pattern));
    assert_int_equal(f->player.to_send_count, 0);
    player_send(&f->player, "the end", 7);
    player_finish(&f->player);
    assert_int_equal(console_memory(f->player.backend, kept, sizeof(f->got)), RING);
    assert_memory_equal(kept + RING - 7, "the end", 7);
    assert_memory_equal(kept, f->pattern + sizeof(f->pattern) - (RING - 7), RING - 7);
    assert_int_equal(console_memory(f->player.backend, kept, 3), 3);
    assert_memory_equal(kept, "end", 3);
    assert_int_equal(console_dropped(f->player.backend), 0);
    assert_int_equal(f->player.input_ends, 0);
    assert_int_equal(f->player.output_losses, 0);
    assert_null(console_path(f->player.backend));
}

/* More than the ring before the loop's first turn: the front end's rest is asked for, and nothing hangs. */
static void test_memory_takes_what_was_written_before_the_loop_ran(void **state)
{
    struct fixture *f = console_fixture(state);

    player_open(&f->player, (struct console_options){ .kind = CONSOLE_MEMORY });
    player_send(&f->player, f->pattern, sizeof(f->pattern));
    player_finish(&f->player);
    assert_int_equal(f->player.to_send_count, 0);
    assert_int_equal(console_memory(f->player.backend, (char *)f->got, sizeof(f->got)), RING);
    assert_memory_equal(f->got, f->pattern + sizeof(f->pattern) - RING, RING);
}

static void test_memory_without_output_is_empty_and_other_kinds_have_none(void **state)
{
    struct fixture *f = console_fixture(state);
    char byte;

    player_open(&f->player, (struct console_options){ .kind = CONSOLE_MEMORY });
    player_finish(&f->player);
    assert_int_equal(console_memory(f->player.backend, &byte, 1), 0);
    char_backend_destroy(f->player.backend);

    f->player.drained_calls = 0;
    player_open(&f->player, (struct console_options){ .kind = CONSOLE_NULL });
    player_finish(&f->player);
    assert_int_equal(console_memory(f->player.backend, &byte, 1), 0);
}

/* --- descriptors in place of paths --- */

static void test_a_file_by_descriptor_is_carried_on_where_it_stands(void **state)
{
    struct fixture *f = console_fixture(state);
    char name[16];

    f->file = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(f->file >= 0);
    assert_int_equal(write(f->file, "old ", 4), 4);
    snprintf(name, sizeof(name), "fd=%d", f->file);
    player_open(&f->player, (struct console_options){ .kind = CONSOLE_FILE, .path = name });
    player_send(&f->player, "new", 3);
    player_finish(&f->player);
    assert_int_equal(write(f->file, " more", 5), 5);
    assert_int_equal(pread(f->file, f->got, sizeof(f->got), 0), 12);
    assert_memory_equal(f->got, "old new more", 12);
}

static void test_a_pipe_by_descriptor_stays_blocking_and_holds_nobody_up(void **state)
{
    struct fixture *f = console_fixture(state);
    size_t in_pipe = (size_t)fcntl(f->output[1], F_GETPIPE_SZ);
    char name[16];

    snprintf(name, sizeof(name), "fd=%d", f->output[1]);
    player_open(&f->player,
                (struct console_options){ .kind = CONSOLE_FILE, .path = name, .drain_timeout = 1000000 });
    player_send(&f->player, f->pattern, in_pipe + 5000);
    player_run(&f->player, player_has_sent, NULL);
    player_finish(&f->player);
    assert_int_equal(fcntl(f->output[1], F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(read(f->output[0], f->got, in_pipe), in_pipe);
    assert_memory_equal(f->got, f->pattern, in_pipe);
    assert_int_equal(console_dropped(f->player.backend), 5000);
}

static void test_a_descriptor_that_will_not_do_is_refused_by_its_name(void **state)
{
    struct fixture *f = console_fixture(state);
    struct console_options options = { .kind = CONSOLE_FILE, .path = "fd=1000" };
    struct error err = { 0 };
    char name[16];

    assert_int_equal(console_open(f->player.loop, &options, &f->player.backend, &err), -EBADF);
    assert_non_null(strstr(err.text, "fd=1000"));
    options.kind = CONSOLE_SOCKET;
    assert_int_equal(console_open(f->player.loop, &options, &f->player.backend, &err), -EBADF);
    assert_non_null(strstr(err.text, "fd=1000"));

    snprintf(name, sizeof(name), "fd=%d", f->input[0]);
    options.path = name;
    options.kind = CONSOLE_FILE;
    assert_int_equal(console_open(f->player.loop, &options, &f->player.backend, &err), -EACCES);
    assert_non_null(strstr(err.text, name));

    f->file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); /* it does not listen */
    snprintf(name, sizeof(name), "fd=%d", f->file);
    options.kind = CONSOLE_SOCKET;
    assert_int_equal(console_open(f->player.loop, &options, &f->player.backend, &err), -EINVAL);
    assert_non_null(strstr(err.text, "listens"));
    assert_null(f->player.backend);
}

static void test_a_listening_socket_by_descriptor_is_served_and_left_in_place(void **state)
{
    struct fixture *f = console_fixture(state);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t wanted = 5;
    struct stat status;
    char name[16];
    int client;

    strcpy(address.sun_path, f->path);
    f->file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->file, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(f->file, 1), 0);
    snprintf(name, sizeof(name), "fd=%d", f->file);
    player_open(&f->player, (struct console_options){ .kind = CONSOLE_SOCKET, .path = name });
    client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(write(client, "hello", 5), 5);
    player_run(&f->player, player_has_received, &wanted);
    assert_int_equal(shutdown(client, SHUT_WR), 0);
    player_send(&f->player, "world", 5);
    player_run(&f->player, player_has_sent, NULL);
    wait_a_while(f);
    assert_int_equal(f->player.input_ends, 0); /* another client may come */
    player_finish(&f->player);
    assert_int_equal(read(client, f->got, sizeof(f->got)), 5);
    close(client);
    player_destroy(&f->player);
    assert_int_equal(stat(f->path, &status), 0);
    assert_true(player_init(&f->player, LOOP_ENGINE_THREADS)); /* for teardown() */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH_ENGINES(test_memory_keeps_the_last_of_the_output),
        ON_BOTH_ENGINES(test_memory_takes_what_was_written_before_the_loop_ran),
        ON_BOTH_ENGINES(test_memory_without_output_is_empty_and_other_kinds_have_none),
        ON_BOTH_ENGINES(test_a_file_by_descriptor_is_carried_on_where_it_stands),
        ON_BOTH_ENGINES(test_a_pipe_by_descriptor_stays_blocking_and_holds_nobody_up),
        ON_BOTH_ENGINES(test_a_descriptor_that_will_not_do_is_refused_by_its_name),
        ON_BOTH_ENGINES(test_a_listening_socket_by_descriptor_is_served_and_left_in_place),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
