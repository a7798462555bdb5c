/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_console_streams.c - consoles over pipes and files, on both engines: nothing is lost or changed on the
 * way, nobody is blocked by a reader that stops, and every end is an end.
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
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "console_player.h"

#define NOT_OPEN 1000

struct fixture {
    struct console_player player;
    int input[2], output[2]; /* pipes: input[1] is ours to write, output[0] ours to read */
    char folder[32];
    char path[64];
    uint8_t pattern[300000];
    uint8_t got[400000];
    size_t got_count;
};

static const enum loop_engine engines[] = { LOOP_ENGINE_IO_URING, LOOP_ENGINE_THREADS };

static int setup(void **state)
{
    const enum loop_engine *engine = *state;
    struct fixture *f = calloc(1, sizeof(*f));
    uint32_t random = 1;

    assert_non_null(f);
    if (!player_init(&f->player, *engine)) {
        free(f);
        *state = NULL;
        return 0;
    }
    assert_int_equal(pipe2(f->input, O_CLOEXEC), 0);
    assert_int_equal(pipe2(f->output, O_CLOEXEC), 0);
    strcpy(f->folder, "/tmp/ringlet-test-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof(f->path), "%s/file", f->folder);
    for (size_t i = 0; i < sizeof(f->pattern); i++) {
        random = random * 1103515245 + 12345;
        f->pattern[i] = (uint8_t)(random >> 16);
    }
    *state = f;
    return 0;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (!f)
        return 0;
    player_destroy(&f->player);
    for (unsigned i = 0; i < 2; i++) {
        close_end(&f->input[i]);
        close_end(&f->output[i]);
    }
    unlink(f->path);
    rmdir(f->folder);
    free(f);
    return 0;
}

/* The fixture, or skip where the engine is not to be had. */
static struct fixture *fixture(void **state)
{
    if (!*state)
        skip();
    return *state;
}

static void open_pipes(struct fixture *f)
{
    player_open_streams(&f->player, f->input[0], f->output[1], 0);
}

/* Condition: read what is in the output pipe; have we got as much as *wanted? */
static bool got_bytes(struct console_player *player, void *wanted)
{
    struct fixture *f = (struct fixture *)(void *)player; /* its first member */
    int available;

    assert_int_equal(ioctl(f->output[0], FIONREAD, &available), 0);
    if (available > 0) {
        ssize_t count = read(f->output[0], f->got + f->got_count, sizeof(f->got) - f->got_count);

        assert_true(count > 0);
        f->got_count += (size_t)count;
    }
    return f->got_count >= *(size_t *)wanted;
}

/* Condition: is the output pipe full, and the console no further than that? */
static bool pipe_is_full(struct console_player *player, void *unused)
{
    struct fixture *f = (struct fixture *)(void *)player;
    int available;

    (void)unused;
    assert_int_equal(ioctl(f->output[0], FIONREAD, &available), 0);
    return available == fcntl(f->output[0], F_GETPIPE_SZ);
}

static void test_output_arrives_in_order(void **state)
{
    struct fixture *f = fixture(state);
    size_t wanted = 10;

    open_pipes(f);
    player_send(&f->player, "hello", 5);
    player_send(&f->player, "world", 5);
    player_run(&f->player, got_bytes, &wanted);
    assert_memory_equal(f->got, "helloworld", 10);
    player_finish(&f->player);
    assert_int_equal(console_dropped(f->player.backend), 0);
}

static void test_more_than_the_ring_arrives_complete(void **state)
{
    struct fixture *f = fixture(state);
    size_t wanted = sizeof(f->pattern);

    open_pipes(f);
    player_send(&f->player, f->pattern, sizeof(f->pattern));
    assert_int_equal(f->player.to_send_count, sizeof(f->pattern) - 65536);
    player_run(&f->player, got_bytes, &wanted);
    assert_int_equal(f->got_count, wanted);
    assert_memory_equal(f->got, f->pattern, wanted);
    assert_true(f->player.writable_calls > 0);
    player_finish(&f->player);
}

static void test_a_reader_that_stops_holds_back_output_and_loses_none(void **state)
{
    struct fixture *f = fixture(state);
    size_t wanted = sizeof(f->pattern);

    open_pipes(f);
    player_send(&f->player, f->pattern, sizeof(f->pattern));
    player_run(&f->player, pipe_is_full, NULL);
    player_run(&f->player, player_has_waited, NULL);
    /* The pipe and the ring are full; the rest waits in the guest. */
    assert_true(f->player.to_send_count >=
                sizeof(f->pattern) - 65536 - (size_t)fcntl(f->output[0], F_GETPIPE_SZ));
    player_run(&f->player, got_bytes, &wanted);
    assert_memory_equal(f->got, f->pattern, wanted);
    player_finish(&f->player);
    assert_int_equal(console_dropped(f->player.backend), 0);
}

static void test_finish_writes_everything_that_was_taken(void **state)
{
    struct fixture *f = fixture(state);

    assert_true(fcntl(f->output[1], F_SETPIPE_SZ, 1 << 17) > 65536);
    open_pipes(f);
    player_send(&f->player, f->pattern, 60000);
    player_finish(&f->player);
    assert_int_equal(read(f->output[0], f->got, sizeof(f->got)), 60000);
    assert_memory_equal(f->got, f->pattern, 60000);
}

/* What the serial port's own FIFO held back is asked for at the end, too. */
static void test_finish_asks_the_front_end_for_its_rest(void **state)
{
    struct fixture *f = fixture(state);

    assert_true(fcntl(f->output[1], F_SETPIPE_SZ, 1 << 17) > 70000);
    open_pipes(f);
    player_send(&f->player, f->pattern, 65536 + 16);
    assert_int_equal(f->player.to_send_count, 16);
    player_finish(&f->player);
    assert_int_equal(read(f->output[0], f->got, sizeof(f->got)), 65536 + 16);
    assert_memory_equal(f->got, f->pattern, 65536 + 16);
}

static void test_finish_gives_up_on_a_reader_that_does_not_read(void **state)
{
    struct fixture *f = fixture(state);
    size_t in_pipe = (size_t)fcntl(f->output[1], F_GETPIPE_SZ);

    player_open_streams(&f->player, f->input[0], f->output[1], 1000000);
    player_send(&f->player, f->pattern, in_pipe + 5000);
    player_run(&f->player, player_has_sent, NULL);
    player_run(&f->player, pipe_is_full, NULL);
    player_finish(&f->player);
    assert_int_equal(console_dropped(f->player.backend), 5000);
}

static void test_a_reader_that_left_does_not_stop_the_guest(void **state)
{
    struct fixture *f = fixture(state);

    open_pipes(f);
    close_end(&f->output[0]);
    player_send(&f->player, f->pattern, sizeof(f->pattern));
    player_run(&f->player, player_has_sent, NULL);
    player_finish(&f->player);
    assert_int_equal(console_dropped(f->player.backend), sizeof(f->pattern));
}

static void test_a_reader_that_leaves_while_output_waits_does_not_stop_the_guest(void **state)
{
    struct fixture *f = fixture(state);

    open_pipes(f);
    player_send(&f->player, f->pattern, sizeof(f->pattern));
    player_run(&f->player, pipe_is_full, NULL);
    close_end(&f->output[0]);
    player_run(&f->player, player_has_sent, NULL);
    player_finish(&f->player);
    assert_true(console_dropped(f->player.backend) > 0);
}

static void test_piped_input_passes_unchanged_escape_keys_included(void **state)
{
    struct fixture *f = fixture(state);
    uint8_t all[256 + 2];
    size_t wanted = sizeof(all);

    for (unsigned i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    memcpy(all + 256, "\001x", 2);
    open_pipes(f);
    assert_int_equal(write(f->input[1], all, sizeof(all)), sizeof(all));
    player_run(&f->player, player_has_received, &wanted);
    assert_memory_equal(f->player.received, all, sizeof(all));
    assert_int_equal(f->player.quits, 0);
    player_finish(&f->player);
}

static void test_refused_input_is_offered_again_when_asked_for(void **state)
{
    struct fixture *f = fixture(state);
    size_t wanted = 3;

    f->player.appetite = 3;
    open_pipes(f);
    assert_int_equal(write(f->input[1], "abcdefgh", 8), 8);
    player_run(&f->player, player_has_received, &wanted);
    player_run(&f->player, player_has_waited, NULL);
    assert_int_equal(f->player.received_count, 3);
    player_feed(&f->player, 2);
    wanted = 5;
    player_run(&f->player, player_has_received, &wanted);
    player_feed(&f->player, 100);
    wanted = 8;
    player_run(&f->player, player_has_received, &wanted);
    assert_memory_equal(f->player.received, "abcdefgh", 8);
    player_finish(&f->player);
}

/* Condition: keep the input pipe full of pattern until it takes no more. *sent counts. */
static bool input_is_stuck(struct console_player *player, void *sent)
{
    struct fixture *f = (struct fixture *)(void *)player;
    size_t *count = sent;
    ssize_t written;

    while (*count < sizeof(f->pattern) &&
           (written = write(f->input[1], f->pattern + *count, sizeof(f->pattern) - *count)) > 0)
        *count += (size_t)written;
    return player_has_waited(player, NULL);
}

static void test_input_nobody_takes_stays_in_the_pipe_and_is_not_lost(void **state)
{
    struct fixture *f = fixture(state);
    size_t sent = 0;

    f->player.appetite = 0;
    assert_int_equal(fcntl(f->input[1], F_SETFL, O_NONBLOCK), 0);
    open_pipes(f);
    player_run(&f->player, input_is_stuck, &sent);
    assert_true(sent <= 65536 + (size_t)fcntl(f->input[1], F_GETPIPE_SZ));
    player_feed(&f->player, SIZE_MAX);
    player_run(&f->player, player_has_received, &sent);
    assert_int_equal(f->player.received_count, sent);
    assert_memory_equal(f->player.received, f->pattern, sent);
    player_finish(&f->player);
}

static void test_end_of_input_leaves_output_working(void **state)
{
    struct fixture *f = fixture(state);
    size_t wanted = 3;

    open_pipes(f);
    assert_int_equal(write(f->input[1], "end", 3), 3);
    close_end(&f->input[1]);
    player_run(&f->player, player_has_received, &wanted);
    player_run(&f->player, player_has_waited, NULL);
    /* The timer of this look apart, nothing is going on: nobody spins on the end of the file. */
    assert_int_equal(loop_in_flight(f->player.loop), 0);
    player_send(&f->player, "out", 3);
    player_run(&f->player, got_bytes, &wanted);
    assert_memory_equal(f->got, "out", 3);
    player_finish(&f->player);
}

static void test_a_file_as_input_is_read_to_its_end(void **state)
{
    struct fixture *f = fixture(state);
    int fd = open(f->path, O_RDWR | O_CREAT, 0600);
    size_t wanted = sizeof(f->pattern);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, f->pattern, sizeof(f->pattern)), sizeof(f->pattern));
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    player_open_streams(&f->player, fd, f->output[1], 0);
    player_run(&f->player, player_has_received, &wanted);
    assert_int_equal(f->player.received_count, wanted);
    assert_memory_equal(f->player.received, f->pattern, wanted);
    player_finish(&f->player);
    close(fd);
}

static void test_dev_null_is_input_that_has_ended(void **state)
{
    struct fixture *f = fixture(state);
    int fd = open("/dev/null", O_RDWR);
    size_t wanted = 2;

    assert_true(fd >= 0);
    player_open_streams(&f->player, fd, f->output[1], 0);
    player_run(&f->player, player_has_waited, NULL);
    assert_int_equal(loop_in_flight(f->player.loop), 0);
    player_send(&f->player, "ok", 2);
    player_run(&f->player, got_bytes, &wanted);
    assert_int_equal(f->player.received_count, 0);
    player_finish(&f->player);
    close(fd);
}

static void test_descriptors_that_are_not_open_are_no_input_and_lose_output(void **state)
{
    struct fixture *f = fixture(state);

    player_open_streams(&f->player, NOT_OPEN, NOT_OPEN, 0);
    player_send(&f->player, f->pattern, sizeof(f->pattern));
    player_run(&f->player, player_has_sent, NULL);
    player_finish(&f->player);
    assert_int_equal(f->player.received_count, 0);
    assert_int_equal(console_dropped(f->player.backend), sizeof(f->pattern));
    assert_int_equal(console_write_error(f->player.backend), -EBADF);
    assert_int_equal(f->player.output_losses, 1);
}

/* As stdout is where it was closed: console_reserve_stdio(). */
static void test_output_that_may_only_be_read_is_lost(void **state)
{
    struct fixture *f = fixture(state);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    player_open_streams(&f->player, -1, fd, 0);
    assert_int_equal(console_write_error(f->player.backend), 0);
    player_send(&f->player, "x", 1);
    player_run(&f->player, player_has_sent, NULL);
    player_finish(&f->player);
    assert_int_equal(console_write_error(f->player.backend), -EBADF);
    close(fd);
}

static void test_output_to_a_file_follows_what_is_in_it(void **state)
{
    struct fixture *f = fixture(state);
    int fd = open(f->path, O_RDWR | O_CREAT, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "before ", 7), 7);
    player_open_streams(&f->player, f->input[0], fd, 0);
    player_send(&f->player, "after", 5);
    player_finish(&f->player);
    assert_int_equal(pread(fd, f->got, sizeof(f->got), 0), 12);
    assert_memory_equal(f->got, "before after", 12);
    close(fd);
}

/* The descriptors are shared with our parent: their flags are none of our business. */
static void test_shared_descriptors_stay_blocking(void **state)
{
    struct fixture *f = fixture(state);

    open_pipes(f);
    player_send(&f->player, f->pattern, 1000);
    player_finish(&f->player);
    assert_int_equal(fcntl(f->input[0], F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(fcntl(f->output[1], F_GETFL) & O_NONBLOCK, 0);
}

static void test_file_starts_empty_and_gets_everything(void **state)
{
    struct fixture *f = fixture(state);
    int fd = open(f->path, O_RDWR | O_CREAT, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "old", 3), 3);
    player_open(&f->player, (struct console_options){ .kind = CONSOLE_FILE, .path = f->path });
    player_send(&f->player, f->pattern, sizeof(f->pattern));
    player_run(&f->player, player_has_sent, NULL);
    player_finish(&f->player);
    assert_int_equal(pread(fd, f->got, sizeof(f->got), 0), sizeof(f->pattern));
    assert_memory_equal(f->got, f->pattern, sizeof(f->pattern));
    close(fd);
}

static void test_file_keeps_what_it_holds_until_the_loop_runs(void **state)
{
    struct fixture *f = fixture(state);
    int fd = open(f->path, O_RDWR | O_CREAT, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "old", 3), 3);
    player_open(&f->player, (struct console_options){ .kind = CONSOLE_FILE, .path = f->path });
    char_backend_destroy(f->player.backend);
    f->player.backend = NULL;
    assert_int_equal(pread(fd, f->got, sizeof(f->got), 0), 3);
    assert_memory_equal(f->got, "old", 3);
    close(fd);
}

/* as a disk is by the VM whose it is */
static void test_file_that_is_locked_is_refused_and_left_alone(void **state)
{
    struct fixture *f = fixture(state);
    struct console_options options = { .kind = CONSOLE_FILE, .path = f->path };
    struct flock reader = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
    struct error err = { 0 };
    int fd = open(f->path, O_RDWR | O_CREAT, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "old", 3), 3);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &reader), 0);
    assert_int_equal(console_open(f->player.loop, &options, &f->player.backend, &err), -EBUSY);
    assert_null(f->player.backend);
    assert_non_null(strstr(err.text, f->path));
    assert_non_null(strstr(err.text, "in use"));
    assert_int_equal(pread(fd, f->got, sizeof(f->got), 0), 3);
    close(fd);

    player_open(&f->player, options);
    fd = open(f->path, O_RDWR);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &reader), -1);
    close(fd);
}

static void test_a_full_disk_costs_output_and_not_the_guest(void **state)
{
    struct fixture *f = fixture(state);

    player_open(&f->player, (struct console_options){ .kind = CONSOLE_FILE, .path = "/dev/full" });
    player_send(&f->player, f->pattern, sizeof(f->pattern));
    player_run(&f->player, player_has_sent, NULL);
    player_finish(&f->player);
    assert_int_equal(console_dropped(f->player.backend), sizeof(f->pattern));
    assert_int_equal(console_write_error(f->player.backend), -ENOSPC);
}

static void test_null_takes_everything(void **state)
{
    struct fixture *f = fixture(state);

    player_open(&f->player, (struct console_options){ .kind = CONSOLE_NULL });
    player_send(&f->player, f->pattern, sizeof(f->pattern));
    player_run(&f->player, player_has_sent, NULL);
    assert_null(console_path(f->player.backend));
    player_finish(&f->player);
    assert_int_equal(console_dropped(f->player.backend), 0);
    assert_int_equal(console_write_error(f->player.backend), 0);
}

static void test_a_console_that_never_ran_can_be_destroyed(void **state)
{
    struct fixture *f = fixture(state);

    player_open(&f->player, (struct console_options){ .kind = CONSOLE_NULL });
}

static void test_a_console_nobody_attached_to_can_be_finished(void **state)
{
    struct fixture *f = fixture(state);
    struct console_options options = { .kind = CONSOLE_NULL };

    assert_int_equal(console_open(f->player.loop, &options, &f->player.backend, NULL), 0);
    player_finish(&f->player);
}

static void test_opening_failures_name_the_path_and_the_mend(void **state)
{
    struct fixture *f = fixture(state);
    struct error err = { 0 };
    struct console_options options = { .kind = CONSOLE_FILE, .path = "/nonexistent/console.log" };

    assert_int_equal(console_open(f->player.loop, &options, &f->player.backend, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nonexistent/console.log"));

    options.path = NULL;
    assert_int_equal(console_open(f->player.loop, &options, &f->player.backend, &err), -EINVAL);
    assert_non_null(strstr(err.text, "file=PATH"));

    assert_int_equal(mkfifo(f->path, 0600), 0);
    options.path = f->path;
    assert_int_equal(console_open(f->player.loop, &options, &f->player.backend, &err), -ENXIO);
    assert_non_null(strstr(err.text, "reader"));
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
        TEST(test_output_arrives_in_order),
        TEST(test_more_than_the_ring_arrives_complete),
        TEST(test_a_reader_that_stops_holds_back_output_and_loses_none),
        TEST(test_finish_writes_everything_that_was_taken),
        TEST(test_finish_asks_the_front_end_for_its_rest),
        TEST(test_finish_gives_up_on_a_reader_that_does_not_read),
        TEST(test_a_reader_that_left_does_not_stop_the_guest),
        TEST(test_a_reader_that_leaves_while_output_waits_does_not_stop_the_guest),
        TEST(test_piped_input_passes_unchanged_escape_keys_included),
        TEST(test_refused_input_is_offered_again_when_asked_for),
        TEST(test_input_nobody_takes_stays_in_the_pipe_and_is_not_lost),
        TEST(test_end_of_input_leaves_output_working),
        TEST(test_a_file_as_input_is_read_to_its_end),
        TEST(test_dev_null_is_input_that_has_ended),
        TEST(test_descriptors_that_are_not_open_are_no_input_and_lose_output),
        TEST(test_output_that_may_only_be_read_is_lost),
        TEST(test_output_to_a_file_follows_what_is_in_it),
        TEST(test_shared_descriptors_stay_blocking),
        TEST(test_file_starts_empty_and_gets_everything),
        TEST(test_file_keeps_what_it_holds_until_the_loop_runs),
        TEST(test_file_that_is_locked_is_refused_and_left_alone),
        TEST(test_a_full_disk_costs_output_and_not_the_guest),
        TEST(test_null_takes_everything),
        TEST(test_a_console_that_never_ran_can_be_destroyed),
        TEST(test_a_console_nobody_attached_to_can_be_finished),
        TEST(test_opening_failures_name_the_path_and_the_mend),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
