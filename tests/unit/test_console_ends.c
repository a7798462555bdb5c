/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_console_ends.c - what a front end is told of the ends of its streams, and streams of one direction, on
 * both engines.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "console_pipes.h"

#define PLENTY ((size_t)24 << 20) /* bytes through one stream */

/* --- the end of input --- */

static void test_the_end_of_a_pipe_is_told_once_behind_its_last_byte(void **state)
{
    struct fixture *f = console_fixture(state);

    player_open_streams(&f->player, f->input[0], -1, 0);
    assert_int_equal(write(f->input[1], f->pattern, 60000), 60000);
    close_end(&f->input[1]);
    player_run(&f->player, player_input_has_ended, NULL);
    assert_int_equal(f->player.received_at_end, 60000);
    assert_memory_equal(f->player.received, f->pattern, 60000);
    wait_a_while(f);
    assert_int_equal(f->player.input_ends, 1);
    assert_int_equal(loop_in_flight(f->player.loop), 0);
    player_finish(&f->player);
    assert_int_equal(f->player.input_ends, 1);
}

/* The guest is slow: the end waits behind the bytes that it has not taken yet. */
static void test_the_end_waits_for_a_front_end_that_is_full(void **state)
{
    struct fixture *f = console_fixture(state);

    f->player.appetite = 10;
    player_open_streams(&f->player, f->input[0], -1, 0);
    assert_int_equal(write(f->input[1], f->pattern, 30), 30);
    close_end(&f->input[1]);
    wait_a_while(f);
    assert_int_equal(f->player.received_count, 10);
    assert_int_equal(f->player.input_ends, 0);
    player_feed(&f->player, 20);
    player_run(&f->player, player_input_has_ended, NULL);
    assert_int_equal(f->player.received_at_end, 30);
    player_finish(&f->player);
}

static void test_a_front_end_that_does_not_care_is_told_nothing(void **state)
{
    struct fixture *f = console_fixture(state);
    size_t wanted = 3;

    f->player.deaf = true;
    player_open_streams(&f->player, f->input[0], f->output[1], 0);
    assert_int_equal(write(f->input[1], "end", 3), 3);
    close_end(&f->input[1]);
    close_end(&f->output[0]);
    player_run(&f->player, player_has_received, &wanted);
    player_send(&f->player, f->pattern, sizeof(f->pattern));
    player_run(&f->player, player_has_sent, NULL);
    wait_a_while(f);
    assert_int_equal(loop_in_flight(f->player.loop), 0);
    player_finish(&f->player);
}

/* as after "<&-" where nobody has put /dev/null in its place */
static void test_a_descriptor_that_is_not_open_is_input_that_ends_at_once(void **state)
{
    struct fixture *f = console_fixture(state);

    player_open_streams(&f->player, NOT_OPEN, -1, 0);
    player_run(&f->player, player_input_has_ended, NULL);
    assert_int_equal(f->player.received_count, 0);
    player_finish(&f->player);
    assert_int_equal(f->player.input_ends, 1);
}

static void test_dev_null_is_input_that_ends_at_once(void **state)
{
    struct fixture *f = console_fixture(state);

    f->file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(f->file >= 0);
    player_open_streams(&f->player, f->file, -1, 0);
    player_run(&f->player, player_input_has_ended, NULL);
    assert_int_equal(f->player.received_count, 0);
    player_finish(&f->player);
}

static void test_a_regular_file_ends_where_it_ends(void **state)
{
    struct fixture *f = console_fixture(state);

    f->file = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(f->file >= 0);
    assert_int_equal(write(f->file, f->pattern, sizeof(f->pattern)), sizeof(f->pattern));
    assert_int_equal(lseek(f->file, 100, SEEK_SET), 100);
    player_open_streams(&f->player, f->file, -1, 0);
    player_run(&f->player, player_input_has_ended, NULL);
    assert_int_equal(f->player.received_at_end, sizeof(f->pattern) - 100);
    assert_memory_equal(f->player.received, f->pattern + 100, sizeof(f->pattern) - 100);
    player_finish(&f->player);
}

/* Reading a directory gives EISDIR. */
static void test_a_read_that_fails_ends_the_input(void **state)
{
    struct fixture *f = console_fixture(state);

    f->file = open(f->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(f->file >= 0);
    player_open_streams(&f->player, f->file, -1, 0);
    player_run(&f->player, player_input_has_ended, NULL);
    assert_int_equal(f->player.received_count, 0);
    player_finish(&f->player);
}

static void test_a_pipe_that_is_never_closed_does_not_delay_the_end(void **state)
{
    struct fixture *f = console_fixture(state);

    player_open_streams(&f->player, f->input[0], -1, UINT64_MAX);
    wait_a_while(f);
    assert_int_equal(loop_in_flight(f->player.loop), 1); /* the read */
    player_finish(&f->player);
    assert_int_equal(f->player.input_ends, 0);
}

static void test_input_that_nobody_took_does_not_delay_the_end(void **state)
{
    struct fixture *f = console_fixture(state);

    f->player.appetite = 5;
    player_open_streams(&f->player, f->input[0], -1, UINT64_MAX);
    assert_int_equal(write(f->input[1], f->pattern, 60000), 60000);
    wait_a_while(f);
    player_finish(&f->player);
    assert_int_equal(f->player.received_count, 5);
    assert_int_equal(f->player.input_ends, 0);
}

/* --- the loss of output --- */

static void test_a_reader_that_leaves_is_told_of_once(void **state)
{
    struct fixture *f = console_fixture(state);

    player_open_streams(&f->player, -1, f->output[1], 0);
    player_send(&f->player, "a", 1);
    player_run(&f->player, player_has_sent, NULL);
    wait_a_while(f);
    assert_int_equal(f->player.output_losses, 0);
    close_end(&f->output[0]);
    player_send(&f->player, "b", 1);
    player_run(&f->player, player_output_is_lost, NULL);
    assert_int_equal(console_write_error(f->player.backend), -EPIPE);
    player_send(&f->player, f->pattern, sizeof(f->pattern));
    player_run(&f->player, player_has_sent, NULL);
    wait_a_while(f);
    assert_int_equal(f->player.output_losses, 1);
    assert_int_equal(console_dropped(f->player.backend), 1 + sizeof(f->pattern));
    player_finish(&f->player);
}

static void test_a_full_disk_is_a_loss_of_output(void **state)
{
    struct fixture *f = console_fixture(state);

    f->file = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(f->file >= 0);
    player_open_streams(&f->player, -1, f->file, 0);
    player_send(&f->player, "a", 1);
    player_run(&f->player, player_output_is_lost, NULL);
    assert_int_equal(console_write_error(f->player.backend), -ENOSPC);
    player_finish(&f->player);
    assert_int_equal(f->player.output_losses, 1);
}

/* Who is not told, and so goes on writing, gets what fits into the file once there is room again. */
static void test_a_log_goes_on_when_the_disk_has_room_again(void **state)
{
    struct fixture *f = console_fixture(state);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    assert_true(full >= 0);
    f->file = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    f->player.deaf = true;
    player_open_streams(&f->player, -1, full, 0);
    player_send(&f->player, "lost", 4);
    for (unsigned i = 0; i < 10 && !console_write_error(f->player.backend); i++)
        wait_a_while(f);
    assert_int_equal(console_write_error(f->player.backend), -ENOSPC);
    assert_int_equal(dup2(f->file, full), full);
    player_send(&f->player, "kept", 4);
    player_finish(&f->player);
    close(full);
    assert_int_equal(pread(f->file, f->got, sizeof(f->got), 0), 4);
    assert_memory_equal(f->got, "kept", 4);
    assert_int_equal(console_dropped(f->player.backend), 4);
}

static void test_no_output_takes_everything_and_loses_nothing(void **state)
{
    struct fixture *f = console_fixture(state);

    player_open_streams(&f->player, f->input[0], -1, 0);
    player_send(&f->player, f->pattern, sizeof(f->pattern));
    player_run(&f->player, player_has_sent, NULL);
    player_finish(&f->player);
    assert_int_equal(console_dropped(f->player.backend), 0);
    assert_int_equal(f->player.output_losses, 0);
}

static void test_no_input_has_no_end(void **state)
{
    struct fixture *f = console_fixture(state);

    player_open_streams(&f->player, -1, f->output[1], 0);
    player_send(&f->player, "out", 3);
    wait_a_while(f);
    player_finish(&f->player);
    assert_int_equal(f->player.input_ends, 0);
    assert_int_equal(read(f->output[0], f->got, sizeof(f->got)), 3);
}

/* --- patience --- */

/* Condition: after a while during which nothing was given up, read the pipe empty; is it all over? */
static bool reads_late(struct console_player *player, void *total)
{
    struct fixture *f = (struct fixture *)(void *)player; /* its first member */
    size_t *count = total;
    int available;

    if (player->ticks < 300)
        return false;
    assert_int_equal(ioctl(f->output[0], FIONREAD, &available), 0);
    if (available > 0) {
        ssize_t got = read(f->output[0], f->got + *count, sizeof(f->got) - *count);

        assert_true(got > 0);
        *count += (size_t)got;
    }
    return player->drained;
}

static void drained(void *argument)
{
    struct console_player *player = argument;

    player->drained = true;
}

static void test_a_stream_that_never_gives_up_waits_for_its_reader(void **state)
{
    struct fixture *f = console_fixture(state);
    size_t in_pipe = (size_t)fcntl(f->output[1], F_GETPIPE_SZ), count = 0;

    player_open_streams(&f->player, -1, f->output[1], UINT64_MAX);
    player_send(&f->player, f->pattern, in_pipe + 5000);
    player_run(&f->player, player_has_sent, NULL);
    f->player.backend->ops->finish(f->player.backend, drained, &f->player);
    player_run(&f->player, reads_late, &count);
    while (count < in_pipe + 5000) {
        ssize_t got = read(f->output[0], f->got + count, sizeof(f->got) - count);

        assert_true(got > 0);
        count += (size_t)got;
    }
    assert_memory_equal(f->got, f->pattern, in_pipe + 5000);
    assert_int_equal(console_dropped(f->player.backend), 0);
}

static void test_a_stream_that_never_gives_up_is_done_when_its_reader_leaves(void **state)
{
    struct fixture *f = console_fixture(state);
    size_t in_pipe = (size_t)fcntl(f->output[1], F_GETPIPE_SZ);

    player_open_streams(&f->player, -1, f->output[1], UINT64_MAX);
    player_send(&f->player, f->pattern, in_pipe + 5000);
    player_run(&f->player, player_has_sent, NULL);
    f->player.backend->ops->finish(f->player.backend, drained, &f->player);
    wait_a_while(f);
    assert_false(f->player.drained);
    close_end(&f->output[0]);
    player_run(&f->player, player_is_drained, NULL);
    assert_int_equal(console_dropped(f->player.backend), 5000);
}

/* --- much --- */

/* Byte number `at` of a long stream: no two stretches of a page are the same. */
static uint8_t byte_at(size_t at)
{
    return (uint8_t)(at ^ (at >> 8) ^ (at >> 16) ^ (at >> 23));
}

static void *write_plenty(void *argument)
{
    struct fixture *f = argument;
    uint8_t bytes[50000];

    for (size_t at = 0; at < PLENTY;) {
        size_t count = PLENTY - at < sizeof(bytes) ? PLENTY - at : sizeof(bytes);

        for (size_t i = 0; i < count; i++)
            bytes[i] = byte_at(at + i);
        for (size_t done = 0; done < count;) {
            ssize_t written = write(f->input[1], bytes + done, count - done);

            if (written < 0)
                return f; /* the reader says what is missing */
            done += (size_t)written;
        }
        at += count;
    }
    close_end(&f->input[1]);
    return NULL;
}

static void check_bytes(struct console_player *player, const uint8_t *bytes, size_t count, size_t at)
{
    size_t wrong = 0;

    (void)player;
    for (size_t i = 0; i < count; i++)
        wrong += bytes[i] != byte_at(at + i);
    assert_int_equal(wrong, 0);
}

static void test_much_input_arrives_complete_and_in_order(void **state)
{
    struct fixture *f = console_fixture(state);
    pthread_t writer;
    void *failed;

    f->player.look_at = check_bytes;
    player_open_streams(&f->player, f->input[0], -1, 0);
    assert_int_equal(pthread_create(&writer, NULL, write_plenty, f), 0);
    player_run(&f->player, player_input_has_ended, NULL);
    assert_int_equal(pthread_join(writer, &failed), 0);
    assert_null(failed);
    assert_int_equal(f->player.received_at_end, PLENTY);
    player_finish(&f->player);
}

static void *read_plenty(void *argument)
{
    struct fixture *f = argument;
    uint8_t bytes[50000];
    size_t at = 0, wrong = 0;
    ssize_t count;

    while (at < PLENTY && (count = read(f->output[0], bytes, sizeof(bytes))) > 0) {
        for (ssize_t i = 0; i < count; i++)
            wrong += bytes[i] != byte_at(at + (size_t)i);
        at += (size_t)count;
    }
    return at == PLENTY && !wrong ? NULL : f;
}

static void test_much_output_arrives_complete_and_in_order(void **state)
{
    struct fixture *f = console_fixture(state);
    uint8_t *bytes = malloc(PLENTY);
    pthread_t reader;
    void *failed;

    assert_non_null(bytes);
    for (size_t i = 0; i < PLENTY; i++)
        bytes[i] = byte_at(i);
    player_open_streams(&f->player, -1, f->output[1], UINT64_MAX);
    assert_int_equal(pthread_create(&reader, NULL, read_plenty, f), 0);
    player_send(&f->player, bytes, PLENTY);
    player_run(&f->player, player_has_sent, NULL);
    player_finish(&f->player);
    assert_int_equal(pthread_join(reader, &failed), 0);
    assert_null(failed);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH_ENGINES(test_the_end_of_a_pipe_is_told_once_behind_its_last_byte),
        ON_BOTH_ENGINES(test_the_end_waits_for_a_front_end_that_is_full),
        ON_BOTH_ENGINES(test_a_front_end_that_does_not_care_is_told_nothing),
        ON_BOTH_ENGINES(test_a_descriptor_that_is_not_open_is_input_that_ends_at_once),
        ON_BOTH_ENGINES(test_dev_null_is_input_that_ends_at_once),
        ON_BOTH_ENGINES(test_a_regular_file_ends_where_it_ends),
        ON_BOTH_ENGINES(test_a_read_that_fails_ends_the_input),
        ON_BOTH_ENGINES(test_a_pipe_that_is_never_closed_does_not_delay_the_end),
        ON_BOTH_ENGINES(test_input_that_nobody_took_does_not_delay_the_end),
        ON_BOTH_ENGINES(test_a_reader_that_leaves_is_told_of_once),
        ON_BOTH_ENGINES(test_a_full_disk_is_a_loss_of_output),
        ON_BOTH_ENGINES(test_a_log_goes_on_when_the_disk_has_room_again),
        ON_BOTH_ENGINES(test_no_output_takes_everything_and_loses_nothing),
        ON_BOTH_ENGINES(test_no_input_has_no_end),
        ON_BOTH_ENGINES(test_a_stream_that_never_gives_up_waits_for_its_reader),
        ON_BOTH_ENGINES(test_a_stream_that_never_gives_up_is_done_when_its_reader_leaves),
        ON_BOTH_ENGINES(test_much_input_arrives_complete_and_in_order),
        ON_BOTH_ENGINES(test_much_output_arrives_complete_and_in_order),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
