/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_events.c - every line is JSON by a real parser's word and holds what docs/events.md says; what a slow reader
 * misses is counted, and no reader holds anybody up. On both engines.
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
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "events.h"
#include "ringlet/error.h"
#include "ringlet/loop.h"
#include "ringlet/util.h"

#define MAX_LINES 8000
#define TICK_NS   UINT64_C(1000000)
#define MAX_TICKS 20000

struct fixture {
    struct loop *loop;
    struct events *events;
    int pipe[2]; /* ours to read, the events' to write */
    char fd_name[16];
    char folder[32], path[64];
    size_t got_count;
    char got[1 << 20];
    json_t *lines[MAX_LINES];
    size_t line_count;

    size_t wanted;
    struct loop_op tick;
    unsigned ticks;
};

static const enum loop_engine engines[] = { LOOP_ENGINE_IO_URING, LOOP_ENGINE_THREADS };

static int setup(void **state)
{
    const enum loop_engine *engine = *state;
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    if (loop_create(*engine, 16, &f->loop, NULL) < 0) {
        free(f);
        *state = NULL;
        return 0;
    }
    assert_int_equal(pipe2(f->pipe, O_CLOEXEC), 0);
    snprintf(f->fd_name, sizeof(f->fd_name), "fd=%d", f->pipe[1]);
    strcpy(f->folder, "/tmp/ringlet-test-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof(f->path), "%s/events", f->folder);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (!f)
        return 0;
    for (size_t i = 0; i < f->line_count; i++)
        json_decref(f->lines[i]);
    if (!loop_in_flight(f->loop))
        loop_destroy(f->loop);
    for (unsigned i = 0; i < 2; i++) {
        if (f->pipe[i] >= 0)
            close(f->pipe[i]);
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

static void open_pipe(struct fixture *f)
{
    struct error err = { 0 };

    assert_int_equal(events_open(f->fd_name, &f->events, &err), 0);
}

/* Read what is there; true if there was something. */
static bool read_some(struct fixture *f, int fd)
{
    ssize_t count = read(fd, f->got + f->got_count, sizeof(f->got) - f->got_count);

    assert_true(count >= 0 || errno == EAGAIN);
    if (count > 0)
        f->got_count += (size_t)count;
    return count > 0;
}

static void read_what_is_there(struct fixture *f)
{
    assert_int_equal(fcntl(f->pipe[0], F_SETFL, O_NONBLOCK), 0);
    while (read_some(f, f->pipe[0]))
        continue;
}

/* All that was read is whole lines, each an object. */
static void parse_lines(struct fixture *f)
{
    char *at = f->got;

    assert_true(f->got_count < sizeof(f->got));
    f->got[f->got_count] = '\0';
    assert_int_equal(strlen(f->got), f->got_count);
    while (*at) {
        char *newline = strchr(at, '\n');
        json_error_t error;

        assert_non_null(newline);
        *newline = '\0';
        assert_true(f->line_count < MAX_LINES);
        f->lines[f->line_count] = json_loads(at, JSON_REJECT_DUPLICATES, &error);
        assert_true(json_is_object(f->lines[f->line_count]));
        f->line_count++;
        at = newline + 1;
    }
    f->got_count = 0;
}

static const char *text_of(const struct fixture *f, size_t line, const char *member)
{
    const char *text;

    assert_true(line < f->line_count);
    text = json_string_value(json_object_get(f->lines[line], member));
    assert_non_null(text);
    return text;
}

static json_int_t number_of(const struct fixture *f, size_t line, const char *member)
{
    json_t *value;

    assert_true(line < f->line_count);
    value = json_object_get(f->lines[line], member);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

/* of run_until_read() */
static void tick_done(struct loop_op *op, int res)
{
    struct fixture *f = container_of(op, struct fixture, tick);

    assert_int_equal(res, 0);
    read_what_is_there(f);
    if (f->got_count >= f->wanted) {
        loop_stop(f->loop);
        return;
    }
    assert_true(++f->ticks < MAX_TICKS);
    loop_timeout(f->loop, &f->tick, TICK_NS);
}

static void run_until_read(struct fixture *f, size_t wanted)
{
    f->wanted = wanted;
    f->ticks = 0;
    f->tick.done = tick_done;
    loop_timeout(f->loop, &f->tick, TICK_NS);
    assert_int_equal(loop_run(f->loop), 0);
}

static void stop_loop(struct loop_op *op, int res)
{
    (void)res;
    loop_stop(container_of(op, struct fixture, tick)->loop);
}

/* A few turns: tasks run, writes start. */
static void run_a_while(struct fixture *f)
{
    f->tick.done = stop_loop;
    loop_timeout(f->loop, &f->tick, 20 * TICK_NS);
    assert_int_equal(loop_run(f->loop), 0);
}

/* Events that the loop writes. */
static void open_pipe_on_loop(struct fixture *f)
{
    open_pipe(f);
    events_attach(f->events, f->loop);
    run_a_while(f);
}

static void say_plainly(struct fixture *f, enum event_kind kind)
{
    events_say(f->events, kind, NULL, 0);
}

static void say_exit(struct fixture *f)
{
    const struct event_member members[] = { { .name = "reason", .text = "poweroff" },
                                            { .name = "status", .number = 0 } };

    events_say(f->events, EVENT_EXIT, members, ARRAY_SIZE(members));
}

/* --- */

static void test_lines_have_a_name_a_time_and_their_members(void **state)
{
    static const char *const names[] = { "started",     "kernel-loaded",  "guest-booted",
                                         "guest-ready", "console-closed", "exit" };
    struct fixture *f = fixture(state);
    const struct event_member members[] = { { .name = "text", .text = "a \"quoted\" \\ word\n\x01" },
                                            { .name = "negative", .number = -5 },
                                            { .name = "great", .number = INT64_MAX },
                                            { .name = "empty", .text = "" } };
    json_int_t before = 0;

    open_pipe(f);
    for (unsigned i = 0; i < EVENT_KIND_COUNT; i++)
        events_say(f->events, (enum event_kind)i, members, i < 4 ? i : 4);
    events_close(f->events);
    read_what_is_there(f);
    parse_lines(f);
    assert_int_equal(f->line_count, EVENT_KIND_COUNT);
    assert_int_equal(ARRAY_SIZE(names), EVENT_KIND_COUNT);
    for (unsigned i = 0; i < EVENT_KIND_COUNT; i++) {
        assert_string_equal(text_of(f, i, "event"), names[i]);
        assert_true(number_of(f, i, "us") >= before);
        before = number_of(f, i, "us");
        assert_int_equal(json_object_size(f->lines[i]), 2 + (i < 4 ? i : 4));
    }
    assert_string_equal(text_of(f, 4, "text"), "a \"quoted\" \\ word\n\x01");
    assert_int_equal(number_of(f, 4, "negative"), -5);
    assert_int_equal(number_of(f, 4, "great"), INT64_MAX);
    assert_string_equal(text_of(f, 4, "empty"), "");
    assert_true(before < 60 * 1000000);
}

static void test_a_path_that_is_no_utf8_still_gives_json(void **state)
{
    struct fixture *f = fixture(state);
    const struct event_member members[] = { { .name = "kernel", .text = "/k\xff\xfe/b\xc3\xa4r" },
                                            { .name = "name", .text = "b\xc3\xa4r" } };

    open_pipe(f);
    events_say(f->events, EVENT_KERNEL_LOADED, members, 2);
    events_close(f->events);
    read_what_is_there(f);
    parse_lines(f);
    assert_string_equal(text_of(f, 0, "kernel"), "/k\xef\xbf\xbd\xef\xbf\xbd/b\xef\xbf\xbd\xef\xbf\xbdr");
    assert_string_equal(text_of(f, 0, "name"), "b\xc3\xa4r");
}

static void test_lines_come_at_once_before_the_loop_runs(void **state)
{
    struct fixture *f = fixture(state);

    open_pipe(f);
    say_plainly(f, EVENT_STARTED);
    read_what_is_there(f);
    parse_lines(f);
    assert_int_equal(f->line_count, 1);
    events_attach(f->events, f->loop);
    say_plainly(f, EVENT_KERNEL_LOADED);
    read_what_is_there(f);
    parse_lines(f);
    assert_int_equal(f->line_count, 2);
    events_close(f->events); /* the VM could not be built */
}

static void test_lines_come_while_the_loop_runs_and_after_it(void **state)
{
    struct fixture *f = fixture(state);

    open_pipe_on_loop(f);
    say_plainly(f, EVENT_GUEST_BOOTED);
    say_plainly(f, EVENT_GUEST_READY);
    run_until_read(f,
                   strlen("{\"event\":\"guest-booted\",\"us\":1}\n{\"event\":\"guest-ready\",\"us\":1}\n"));
    say_exit(f);
    events_close(f->events);
    read_what_is_there(f);
    parse_lines(f);
    assert_int_equal(f->line_count, 3);
    assert_string_equal(text_of(f, 0, "event"), "guest-booted");
    assert_string_equal(text_of(f, 1, "event"), "guest-ready");
    assert_string_equal(text_of(f, 2, "reason"), "poweroff");
    assert_int_equal(number_of(f, 2, "status"), 0);
    assert_int_equal(loop_in_flight(f->loop), 0);
    /* The descriptor stays the caller's, as it was. */
    assert_int_equal(fcntl(f->pipe[1], F_GETFL) & O_NONBLOCK, 0);
}

/* Lines of differing lengths, as many as are left out and more. */
static size_t say_too_much(struct fixture *f)
{
    char text[200];
    size_t said = 0;

    memset(text, 'x', sizeof(text));
    for (; said < 3000; said++) {
        struct event_member member = { .name = "kernel", .text = text };

        text[said % 150 + 20] = '\0';
        events_say(f->events, EVENT_KERNEL_LOADED, &member, 1);
        text[said % 150 + 20] = 'x';
    }
    /* The shortest of all fill what gap is left. */
    for (unsigned i = 0; i < 100; i++, said++)
        say_plainly(f, EVENT_STARTED);
    return said;
}

/* Whole lines come, in order, and with what is said to be lost they are all that were. */
static void check_that_all_are_accounted_for(struct fixture *f, size_t said)
{
    size_t lost = 0;
    json_int_t before = 0;

    parse_lines(f);
    for (size_t i = 0; i < f->line_count; i++) {
        lost += (size_t)json_integer_value(json_object_get(f->lines[i], "lost"));
        assert_true(number_of(f, i, "us") >= before);
        before = number_of(f, i, "us");
    }
    assert_true(lost > 0);
    assert_int_equal(f->line_count + lost, said);
    assert_string_equal(text_of(f, f->line_count - 1, "event"), "exit");
}

static void test_what_a_slow_reader_misses_is_counted_before_the_loop_runs(void **state)
{
    struct fixture *f = fixture(state);
    size_t said;

    open_pipe(f);
    said = say_too_much(f);
    read_what_is_there(f);
    say_plainly(f, EVENT_GUEST_BOOTED); /* finds the room, and says what was lost */
    read_what_is_there(f);
    say_exit(f);
    events_close(f->events);
    read_what_is_there(f);
    check_that_all_are_accounted_for(f, said + 2);
}

static void test_there_is_always_room_for_exit(void **state)
{
    struct fixture *f = fixture(state);
    size_t said;

    open_pipe(f);
    said = say_too_much(f);
    say_exit(f);
    read_what_is_there(f);
    assert_true(fcntl(f->pipe[1], F_SETPIPE_SZ, 1 << 18) > 0); /* for all that is left */
    events_close(f->events);
    read_what_is_there(f);
    check_that_all_are_accounted_for(f, said + 1);
}

static void test_what_a_slow_reader_misses_is_counted_while_the_loop_runs(void **state)
{
    struct fixture *f = fixture(state);
    size_t said;

    open_pipe_on_loop(f);
    said = say_too_much(f);
    run_a_while(f);
    said += say_too_much(f);
    run_until_read(f, 60000);
    say_exit(f);
    run_a_while(f);
    read_what_is_there(f);
    assert_true(fcntl(f->pipe[1], F_SETPIPE_SZ, 1 << 18) > 0); /* for all that is left */
    events_close(f->events);
    read_what_is_there(f);
    check_that_all_are_accounted_for(f, said + 1);
}

static void *read_to_the_end(void *argument)
{
    struct fixture *f = argument;

    while (read_some(f, f->pipe[0]))
        continue;
    return NULL;
}

/* The reader had no time while the VM ran, and a write waits for it; the last lines wait a little, too. */
static void test_closing_waits_for_a_reader_that_comes(void **state)
{
    struct fixture *f = fixture(state);
    pthread_t reader;
    size_t said;

    open_pipe(f);
    close(f->pipe[1]); /* so that the pipe has an end once the events are closed */
    f->pipe[1] = -1;
    events_attach(f->events, f->loop);
    run_a_while(f);
    said = say_too_much(f);
    run_a_while(f);
    say_exit(f);
    assert_true(loop_in_flight(f->loop) > 0);
    assert_int_equal(pthread_create(&reader, NULL, read_to_the_end, f), 0);
    events_close(f->events);
    assert_int_equal(pthread_join(reader, NULL), 0);
    assert_int_equal(loop_in_flight(f->loop), 0);
    check_that_all_are_accounted_for(f, said + 1);
}

static void test_closing_does_not_wait_for_ever(void **state)
{
    struct fixture *f = fixture(state);

    open_pipe_on_loop(f);
    say_too_much(f);
    run_a_while(f);
    events_close(f->events);
    assert_int_equal(loop_in_flight(f->loop), 0);
    /* What came is whole lines all the same. */
    read_what_is_there(f);
    parse_lines(f);
    assert_true(f->line_count > 0);
}

static void test_a_reader_that_is_gone_is_no_trouble(void **state)
{
    struct fixture *f = fixture(state);

    open_pipe(f);
    events_attach(f->events, f->loop);
    say_plainly(f, EVENT_STARTED);
    run_a_while(f);
    close(f->pipe[0]);
    f->pipe[0] = -1;
    say_too_much(f);
    run_a_while(f);
    assert_int_equal(loop_in_flight(f->loop), 0);
    say_exit(f);
    events_close(f->events);
}

static void test_a_full_disk_is_no_trouble(void **state)
{
    struct fixture *f = fixture(state);

    assert_int_equal(events_open("/dev/full", &f->events, NULL), 0);
    say_plainly(f, EVENT_STARTED);
    events_attach(f->events, f->loop);
    run_a_while(f);
    say_exit(f);
    run_a_while(f);
    assert_int_equal(loop_in_flight(f->loop), 0);
    events_close(f->events);
}

/* Two VMs may share a file; what is in it stays. */
static void test_a_file_is_appended_to_by_whole_lines(void **state)
{
    struct fixture *f = fixture(state);
    struct events *other;
    int fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "{}\n", 3), 3);
    assert_int_equal(events_open(f->path, &f->events, NULL), 0);
    assert_int_equal(events_open(f->path, &other, NULL), 0);
    events_attach(f->events, f->loop);
    run_a_while(f);
    for (unsigned i = 0; i < 5; i++) {
        say_plainly(f, EVENT_GUEST_BOOTED);
        events_say(other, EVENT_GUEST_READY, NULL, 0);
        run_a_while(f);
    }
    events_close(f->events);
    events_close(other);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    while (read_some(f, fd))
        continue;
    close(fd);
    parse_lines(f);
    assert_int_equal(f->line_count, 11);
    assert_int_equal(json_object_size(f->lines[0]), 0);
}

static void test_what_cannot_be_opened_is_named(void **state)
{
    struct fixture *f = fixture(state);
    struct error err = { 0 };
    char name[16];

    assert_int_equal(events_open("/nonexistent/events", &f->events, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nonexistent/events"));
    assert_int_equal(events_open("fd=1000", &f->events, &err), -EBADF);
    assert_non_null(strstr(err.text, "fd=1000"));
    snprintf(name, sizeof(name), "fd=%d", f->pipe[0]);
    assert_int_equal(events_open(name, &f->events, &err), -EACCES);
    assert_non_null(strstr(err.text, name));
    assert_int_equal(mkfifo(f->path, 0600), 0);
    assert_int_equal(events_open(f->path, &f->events, &err), -ENXIO);
    assert_non_null(strstr(err.text, "reader"));
    assert_null(f->events);
}

static void test_nobody_listens(void **state)
{
    struct fixture *f = fixture(state);

    events_attach(NULL, f->loop);
    events_say(NULL, EVENT_STARTED, NULL, 0);
    events_close(NULL);
}

#define LINES_A_THREAD 200

static void *say_often(void *argument)
{
    struct fixture *f = argument;

    for (unsigned i = 0; i < LINES_A_THREAD; i++)
        say_plainly(f, EVENT_CONSOLE_CLOSED);
    return NULL;
}

/* vCPU threads and the loop's speak at once. */
static void test_lines_of_several_threads_do_not_mix(void **state)
{
    struct fixture *f = fixture(state);
    const size_t shortest = strlen("{\"event\":\"console-closed\",\"us\":1}\n");
    pthread_t threads[3];

    open_pipe(f);
    events_attach(f->events, f->loop);
    for (unsigned i = 0; i < ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, say_often, f), 0);
    run_until_read(f, LINES_A_THREAD * shortest);
    for (unsigned i = 0; i < ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    run_until_read(f, ARRAY_SIZE(threads) * LINES_A_THREAD * shortest);
    events_close(f->events);
    read_what_is_there(f);
    parse_lines(f);
    assert_int_equal(f->line_count, ARRAY_SIZE(threads) * LINES_A_THREAD);
}

int main(void)
{
#define TEST(name)                                                                                           \
    { #name " (io_uring)", name, setup, teardown, (void *)&engines[0] },                                     \
    {                                                                                                        \
#name " (threads)", name, setup, teardown, (void *)&engines[1]                                       \
    }
    const struct CMUnitTest tests[] = {
        TEST(test_lines_have_a_name_a_time_and_their_members),
        TEST(test_a_path_that_is_no_utf8_still_gives_json),
        TEST(test_lines_come_at_once_before_the_loop_runs),
        TEST(test_lines_come_while_the_loop_runs_and_after_it),
        TEST(test_what_a_slow_reader_misses_is_counted_before_the_loop_runs),
        TEST(test_there_is_always_room_for_exit),
        TEST(test_what_a_slow_reader_misses_is_counted_while_the_loop_runs),
        TEST(test_closing_waits_for_a_reader_that_comes),
        TEST(test_closing_does_not_wait_for_ever),
        TEST(test_a_reader_that_is_gone_is_no_trouble),
        TEST(test_a_full_disk_is_no_trouble),
        TEST(test_a_file_is_appended_to_by_whole_lines),
        TEST(test_what_cannot_be_opened_is_named),
        TEST(test_nobody_listens),
        TEST(test_lines_of_several_threads_do_not_mix),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
