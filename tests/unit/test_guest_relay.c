/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_guest_relay.c - bytes carried from one descriptor to another: all of them, their end, and what happens when
 * either side goes away or is slow.
 */
#include "relay.h"

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
#include <unistd.h>

#include <cmocka.h>

#define LARGE (3u << 20)

/* The outer ends of two pipes, with a relay between the inner ones. */
struct pipes {
    int source, sink;
    struct relay relay;
};

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int set_up(void **state)
{
    static struct pipes pipes;
    int in[2], out[2];

    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe2(in, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
    pipes = (struct pipes){ .source = in[1], .sink = out[0] };
    assert_int_equal(relay_init(&pipes.relay, in[0], out[1]), 0);
    *state = &pipes;
    return 0;
}

static int tear_down(void **state)
{
    struct pipes *pipes = *state;

    close_end(&pipes->source);
    close_end(&pipes->sink);
    relay_finish(&pipes->relay);
    return 0;
}

/* One turn of a loop that finds what there is and does not wait. Is there anything that it would act upon? */
static bool turn(struct relay *relay)
{
    struct pollfd polls[RELAY_POLLS];
    int found;

    relay_poll(relay, polls);
    found = poll(polls, RELAY_POLLS, 0);
    assert_true(found >= 0);
    relay_work(relay, polls);
    return found > 0;
}

static void put(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void assert_gets(int fd, const char *text)
{
    char bytes[64];
    ssize_t count = read(fd, bytes, sizeof(bytes));

    assert_int_equal(count, strlen(text));
    assert_memory_equal(bytes, text, strlen(text));
}

static void assert_ended(int fd)
{
    char byte;

    assert_int_equal(read(fd, &byte, 1), 0);
}

static void assert_silent(int fd)
{
    char byte;

    assert_int_equal(read(fd, &byte, 1), -1);
    assert_int_equal(errno, EAGAIN);
}

static void test_bytes_are_passed_on_in_the_turn_in_which_they_come(void **state)
{
    struct pipes *pipes = *state;

    turn(&pipes->relay);
    assert_silent(pipes->sink);
    put(pipes->source, "one");
    turn(&pipes->relay);
    assert_gets(pipes->sink, "one");
    put(pipes->source, "two");
    turn(&pipes->relay);
    assert_gets(pipes->sink, "two");
    assert_false(relay_is_done(&pipes->relay));
}

static void test_nothing_to_do_means_nothing_to_wake_for(void **state)
{
    struct pipes *pipes = *state;

    assert_false(turn(&pipes->relay));
    put(pipes->source, "x");
    assert_true(turn(&pipes->relay));
    assert_false(turn(&pipes->relay));
}

static void test_the_end_comes_behind_the_last_byte(void **state)
{
    struct pipes *pipes = *state;

    put(pipes->source, "last");
    close_end(&pipes->source);
    turn(&pipes->relay);
    assert_gets(pipes->sink, "last");
    turn(&pipes->relay);
    assert_ended(pipes->sink);
    assert_true(relay_is_done(&pipes->relay));
    assert_false(pipes->relay.lost);
    /* Done is done. */
    assert_false(turn(&pipes->relay));
}

static void test_three_mebibytes_arrive_as_they_were_through_a_slow_reader(void **state)
{
    struct pipes *pipes = *state;
    unsigned char *sent = malloc(LARGE), *received = malloc(LARGE);
    size_t put_in = 0, taken = 0;
    uint32_t seed = 1;

    assert_non_null(sent);
    assert_non_null(received);
    for (size_t i = 0; i < LARGE; i++) {
        seed = seed * 1103515245 + 12345;
        sent[i] = (unsigned char)(seed >> 16);
    }
    while (taken < LARGE) {
        ssize_t count = pipes->source < 0 ? 0 : write(pipes->source, sent + put_in, LARGE - put_in);

        put_in += count > 0 ? (size_t)count : 0;
        if (put_in == LARGE)
            close_end(&pipes->source);
        turn(&pipes->relay);
        count = read(pipes->sink, received + taken, LARGE - taken < 7001 ? LARGE - taken : 7001);
        taken += count > 0 ? (size_t)count : 0;
    }
    assert_memory_equal(received, sent, LARGE);
    while (!relay_is_done(&pipes->relay))
        turn(&pipes->relay);
    assert_ended(pipes->sink);
    free(sent);
    free(received);
}

static void test_a_reader_that_does_not_read_stops_the_writer(void **state)
{
    struct pipes *pipes = *state;
    static const char page[4096];
    size_t sent = 0, bound = RELAY_SIZE;
    int idle = 0;

    bound += (size_t)fcntl(pipes->source, F_GETPIPE_SZ) + (size_t)fcntl(pipes->sink, F_GETPIPE_SZ);
    /* Until nothing moves any more. */
    while (idle < 3) {
        ssize_t count = write(pipes->source, page, sizeof(page));

        idle = count > 0 ? 0 : idle + 1;
        sent += count > 0 ? (size_t)count : 0;
        turn(&pipes->relay);
        assert_true(sent <= bound);
    }
    assert_true(sent > RELAY_SIZE);
    /* And a loop would sleep. */
    assert_false(turn(&pipes->relay));
}

static void test_a_reader_that_goes_away_is_told_to_the_writer(void **state)
{
    struct pipes *pipes = *state;

    put(pipes->source, "unread");
    close_end(&pipes->sink);
    assert_true(turn(&pipes->relay));
    assert_true(relay_is_done(&pipes->relay));
    assert_true(pipes->relay.lost);
    assert_int_equal(write(pipes->source, "x", 1), -1);
    assert_int_equal(errno, EPIPE);
}

static void test_a_reader_is_missed_before_there_is_anything_for_it(void **state)
{
    struct pipes *pipes = *state;

    close_end(&pipes->sink);
    assert_true(turn(&pipes->relay));
    assert_true(pipes->relay.lost);
}

static void test_a_full_relay_notices_that_its_reader_goes(void **state)
{
    struct pipes *pipes = *state;
    static const char page[4096];
    int idle = 0;

    while (idle < 3) {
        idle = write(pipes->source, page, sizeof(page)) > 0 ? 0 : idle + 1;
        turn(&pipes->relay);
    }
    close_end(&pipes->sink);
    assert_true(turn(&pipes->relay));
    assert_true(pipes->relay.lost);
}

static void test_emptying_ends_with_what_is_there_although_a_writer_is_left(void **state)
{
    struct pipes *pipes = *state;

    put(pipes->source, "rest");
    pipes->relay.emptying = true;
    turn(&pipes->relay);
    assert_gets(pipes->sink, "rest");
    assert_ended(pipes->sink);
    assert_true(relay_is_done(&pipes->relay));
}

static void test_emptying_waits_for_a_slow_reader(void **state)
{
    struct pipes *pipes = *state;
    static char page[4096];
    size_t sent = 0, received = 0;
    int idle = 0;

    while (idle < 3) {
        ssize_t count = write(pipes->source, page, sizeof(page));

        idle = count > 0 ? 0 : idle + 1;
        sent += count > 0 ? (size_t)count : 0;
        turn(&pipes->relay);
    }
    pipes->relay.emptying = true;
    turn(&pipes->relay);
    assert_false(relay_is_done(&pipes->relay));
    while (!relay_is_done(&pipes->relay)) {
        ssize_t count = read(pipes->sink, page, sizeof(page));

        received += count > 0 ? (size_t)count : 0;
        turn(&pipes->relay);
    }
    for (ssize_t count; (count = read(pipes->sink, page, sizeof(page))) > 0;)
        received += (size_t)count;
    assert_int_equal(received, sent);
}

static size_t tail_of_two(void *argument, unsigned char last, unsigned char tail[RELAY_TAIL_MAX])
{
    *(unsigned char *)argument = last;
    tail[0] = '<';
    tail[1] = '>';
    return 2;
}

static void test_a_tail_is_put_behind_the_last_byte(void **state)
{
    struct pipes *pipes = *state;
    unsigned char last = 0;

    pipes->relay.tail = tail_of_two;
    pipes->relay.tail_argument = &last;
    put(pipes->source, "abc");
    close_end(&pipes->source);
    while (!relay_is_done(&pipes->relay))
        turn(&pipes->relay);
    assert_int_equal(last, 'c');
    assert_gets(pipes->sink, "abc<>");
    assert_ended(pipes->sink);
}

static void test_an_empty_input_ends_as_a_line_does(void **state)
{
    struct pipes *pipes = *state;
    unsigned char last = 0;

    pipes->relay.tail = tail_of_two;
    pipes->relay.tail_argument = &last;
    close_end(&pipes->source);
    turn(&pipes->relay);
    assert_int_equal(last, '\n');
    assert_gets(pipes->sink, "<>");
}

static void test_a_relay_of_nothing_is_done(void **state)
{
    struct relay relay;

    (void)state;
    assert_int_equal(relay_init(&relay, -1, -1), 0);
    assert_true(relay_is_done(&relay));
    assert_false(turn(&relay));
    relay_finish(&relay);
}

int main(void)
{
#define WITH_PIPES(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_PIPES(test_bytes_are_passed_on_in_the_turn_in_which_they_come),
        WITH_PIPES(test_nothing_to_do_means_nothing_to_wake_for),
        WITH_PIPES(test_the_end_comes_behind_the_last_byte),
        WITH_PIPES(test_three_mebibytes_arrive_as_they_were_through_a_slow_reader),
        WITH_PIPES(test_a_reader_that_does_not_read_stops_the_writer),
        WITH_PIPES(test_a_reader_that_goes_away_is_told_to_the_writer),
        WITH_PIPES(test_a_reader_is_missed_before_there_is_anything_for_it),
        WITH_PIPES(test_a_full_relay_notices_that_its_reader_goes),
        WITH_PIPES(test_emptying_ends_with_what_is_there_although_a_writer_is_left),
        WITH_PIPES(test_emptying_waits_for_a_slow_reader),
        WITH_PIPES(test_a_tail_is_put_behind_the_last_byte),
        WITH_PIPES(test_an_empty_input_ends_as_a_line_does),
        cmocka_unit_test(test_a_relay_of_nothing_is_done),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
