/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_guest_session.c - the host's half of `ringlet exec` against a guest that the test plays: in turn, out of turn,
 * byte by byte, and hostile. The loop is real, the streams only say when they were asked to finish.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "exit_status.h"
#include "guest_session.h"
#include "ringlet/char_backend.h"
#include "ringlet/guest_protocol.h"
#include "ringlet/io_client.h"
#include "ringlet/loop.h"
#include "ringlet/stop.h"
#include "ringlet/util.h"
#include "ringlet/virtio_console.h"

#define SETTINGS "arg=true\0hostname=ringlet"

struct fake_stream {
    struct char_backend backend;
    bool holds_on; /* does not drain by itself */
    unsigned finishes;
    void (*drained)(void *argument);
    void *argument;
};

struct fixture {
    struct loop *loop;
    struct guest_session *session;
    struct fake_stream streams[GUEST_STREAM_COUNT];
    pthread_mutex_t lock;
    struct io_client client;
    struct char_frontend frontend;
    size_t room; /* bytes that the guest takes */
    size_t told; /* bytes that were there when a batch ended: the guest is told then */
    uint8_t sent[4096];
    size_t sent_size;
    struct stop_sink sink;
    unsigned stops;
    enum stop_reason reason;
    int value;
};

static void stream_finish(struct char_backend *backend, void (*drained)(void *argument), void *argument)
{
    struct fake_stream *stream = container_of(backend, struct fake_stream, backend);

    stream->finishes++;
    stream->drained = drained;
    stream->argument = argument;
    if (!stream->holds_on)
        drained(argument);
}

static const struct char_backend_ops stream_ops = { .finish = stream_finish };

static size_t guest_receives(struct char_frontend *frontend, const uint8_t *bytes, size_t count)
{
    struct fixture *fixture = container_of(frontend, struct fixture, frontend);

    if (count > fixture->room)
        count = fixture->room;
    assert_in_range(fixture->sent_size + count, 0, sizeof(fixture->sent));
    memcpy(fixture->sent + fixture->sent_size, bytes, count);
    fixture->sent_size += count;
    fixture->room -= count;
    return count;
}

static void batch_ended(struct io_client *client)
{
    struct fixture *fixture = container_of(client, struct fixture, client);

    fixture->told = fixture->sent_size;
}

static const struct char_frontend_ops frontend_ops = { .receive = guest_receives };

static void stop_asked(struct stop_sink *sink, enum stop_reason reason, int value)
{
    struct fixture *fixture = container_of(sink, struct fixture, sink);

    fixture->stops++;
    fixture->reason = reason;
    fixture->value = value;
}

static const struct stop_sink_ops sink_ops = { .request = stop_asked };

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct guest_session_options options = { .settings = SETTINGS, .settings_size = sizeof(SETTINGS) };

    fixture->room = sizeof(fixture->sent);
    fixture->sink.ops = &sink_ops;
    pthread_mutex_init(&fixture->lock, NULL);
    fixture->client = (struct io_client){ .lock = &fixture->lock, .batch_end = batch_ended };
    fixture->frontend = (struct char_frontend){ .ops = &frontend_ops, .client = &fixture->client };
    for (unsigned i = GUEST_STREAM_STDIN; i < GUEST_STREAM_COUNT; i++) {
        fixture->streams[i].backend.ops = &stream_ops;
        options.streams[i] = &fixture->streams[i].backend;
    }
    options.stop = &fixture->sink;
    assert_int_equal(loop_create(LOOP_ENGINE_THREADS, 8, &fixture->loop, NULL), 0);
    assert_int_equal(guest_session_create(fixture->loop, &options, &fixture->session), 0);
    guest_session_control(fixture->session)
        ->ops->attach(guest_session_control(fixture->session), &fixture->frontend);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    guest_session_destroy(fixture->session);
    loop_destroy(fixture->loop);
    pthread_mutex_destroy(&fixture->lock);
    free(fixture);
    return 0;
}

/* Let the loop do what is posted. */
static void turn(struct fixture *fixture)
{
    loop_stop(fixture->loop);
    assert_int_equal(loop_run(fixture->loop), 0);
    assert_int_equal(fixture->told, fixture->sent_size);
}

static void guest_writes(struct fixture *fixture, const void *bytes, size_t count)
{
    struct char_backend *control = guest_session_control(fixture->session);

    pthread_mutex_lock(&fixture->lock);
    assert_int_equal(control->ops->write(control, bytes, count), count);
    pthread_mutex_unlock(&fixture->lock);
    turn(fixture);
}

static void guest_says(struct fixture *fixture, enum guest_frame_type type, const void *payload, size_t size)
{
    uint8_t bytes[sizeof(struct guest_frame) + GUEST_FRAME_TO_HOST_MAX];
    struct guest_frame frame = { .type = type, .length = (uint32_t)size };

    memcpy(bytes, &frame, sizeof(frame));
    if (size)
        memcpy(bytes + sizeof(frame), payload, size);
    guest_writes(fixture, bytes, sizeof(frame) + size);
}

static void guest_says_hello(struct fixture *fixture)
{
    uint32_t version = GUEST_PROTOCOL_VERSION;

    guest_says(fixture, GUEST_HELLO, &version, sizeof(version));
}

static void guest_starts(struct fixture *fixture)
{
    guest_says_hello(fixture);
    guest_says(fixture, GUEST_STARTED, NULL, 0);
}

static void guest_ends(struct fixture *fixture, uint32_t kind, uint32_t value)
{
    struct guest_exit end = { .kind = kind, .value = value };

    guest_says(fixture, GUEST_EXIT, &end, sizeof(end));
}

static void guest_port(struct fixture *fixture, enum guest_stream port, bool open)
{
    struct virtio_console_listener *listener = guest_session_listener(fixture->session);

    pthread_mutex_lock(&fixture->lock);
    listener->ops->port_opened(listener, port, open);
    pthread_mutex_unlock(&fixture->lock);
    turn(fixture);
}

/* Cut the next frame out of what the guest was sent. */
static const uint8_t *next_frame(struct fixture *fixture, size_t *at, struct guest_frame *ret_frame)
{
    const uint8_t *payload;

    assert_in_range(*at + sizeof(*ret_frame), 0, fixture->sent_size);
    memcpy(ret_frame, fixture->sent + *at, sizeof(*ret_frame));
    payload = fixture->sent + *at + sizeof(*ret_frame);
    *at += sizeof(*ret_frame) + ret_frame->length;
    assert_in_range(*at, 0, fixture->sent_size);
    return payload;
}

static void assert_ends_with(struct fixture *fixture, enum stop_reason reason, int value)
{
    assert_int_equal(fixture->stops, 1);
    assert_int_equal(fixture->reason, reason);
    assert_int_equal(fixture->value, value);
}

/* --- in turn --- */

static void test_hello_is_answered_by_the_settings(void **state)
{
    struct fixture *fixture = *state;
    struct guest_frame frame;
    size_t at = 0;

    turn(fixture);
    assert_int_equal(fixture->sent_size, 0);
    guest_says_hello(fixture);
    assert_memory_equal(next_frame(fixture, &at, &frame), SETTINGS, sizeof(SETTINGS));
    assert_int_equal(frame.type, GUEST_RUN);
    assert_int_equal(frame.length, sizeof(SETTINGS));
    assert_int_equal(at, fixture->sent_size);
    assert_int_equal(fixture->stops, 0);
}

static void test_a_guest_that_takes_few_bytes_gets_all_in_order(void **state)
{
    struct fixture *fixture = *state;
    struct char_backend *control = guest_session_control(fixture->session);
    struct guest_frame frame;
    size_t at = 0;

    fixture->room = 0;
    guest_says_hello(fixture);
    guest_says(fixture, GUEST_STARTED, NULL, 0);
    assert_true(guest_session_signal(fixture->session, SIGTERM));
    for (unsigned i = 0; i < sizeof(SETTINGS) + 64; i++) {
        fixture->room = 1;
        pthread_mutex_lock(&fixture->lock);
        control->ops->receive_ready(control);
        pthread_mutex_unlock(&fixture->lock);
        turn(fixture);
    }
    assert_memory_equal(next_frame(fixture, &at, &frame), SETTINGS, sizeof(SETTINGS));
    next_frame(fixture, &at, &frame);
    assert_int_equal(frame.type, GUEST_SIGNAL);
    assert_int_equal(at, fixture->sent_size);
}

static void test_exit_ends_the_machine_once_outputs_are_closed_and_drained(void **state)
{
    struct fixture *fixture = *state;
    int status;

    fixture->streams[GUEST_STREAM_STDOUT].holds_on = true;
    guest_port(fixture, GUEST_STREAM_STDOUT, true);
    guest_port(fixture, GUEST_STREAM_STDERR, true);
    guest_starts(fixture);
    guest_port(fixture, GUEST_STREAM_STDERR, false);
    guest_ends(fixture, GUEST_EXITED, 7);
    assert_int_equal(fixture->streams[GUEST_STREAM_STDOUT].finishes, 0);
    guest_port(fixture, GUEST_STREAM_STDOUT, false);
    assert_int_equal(fixture->streams[GUEST_STREAM_STDOUT].finishes, 1);
    assert_int_equal(fixture->stops, 0);
    fixture->streams[GUEST_STREAM_STDOUT].drained(fixture->streams[GUEST_STREAM_STDOUT].argument);
    assert_ends_with(fixture, STOP_COMMAND, 7);
    assert_true(guest_session_ended(fixture->session, &status));
    assert_int_equal(status, 7);
    assert_null(guest_session_failure(fixture->session));
}

static void test_outputs_that_the_guest_never_opened_are_not_waited_for(void **state)
{
    struct fixture *fixture = *state;

    guest_starts(fixture);
    guest_ends(fixture, GUEST_EXITED, 0);
    assert_ends_with(fixture, STOP_COMMAND, 0);
}

static void test_each_kind_of_end_has_its_status(void **state)
{
    static const struct {
        uint32_t kind, value;
        bool started;
        int status;
    } ends[] = {
        { GUEST_EXITED, 0, true, 0 },
        { GUEST_EXITED, 255, true, 255 },
        { GUEST_KILLED, SIGKILL, true, EXIT_STATUS_SIGNAL_BASE + SIGKILL },
        { GUEST_NOT_EXECUTABLE, EACCES, false, EXIT_STATUS_NOT_EXECUTABLE },
        { GUEST_NOT_FOUND, ENOENT, false, EXIT_STATUS_NOT_FOUND },
    };

    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        struct fixture *fixture;

        tear_down(state);
        set_up(state);
        fixture = *state;
        guest_says_hello(fixture);
        if (ends[i].started)
            guest_says(fixture, GUEST_STARTED, NULL, 0);
        guest_ends(fixture, ends[i].kind, ends[i].value);
        assert_ends_with(fixture, STOP_COMMAND, ends[i].status);
        assert_int_equal(guest_session_failure(fixture->session) != NULL, !ends[i].started);
    }
}

static void test_frames_may_come_byte_by_byte(void **state)
{
    struct fixture *fixture = *state;
    uint8_t bytes[] = { GUEST_HELLO,
                        0,
                        0,
                        0,
                        4,
                        0,
                        0,
                        0,
                        GUEST_PROTOCOL_VERSION,
                        0,
                        0,
                        0,
                        GUEST_STARTED,
                        0,
                        0,
                        0,
                        0,
                        0,
                        0,
                        0,
                        GUEST_EXIT,
                        0,
                        0,
                        0,
                        8,
                        0,
                        0,
                        0,
                        GUEST_EXITED,
                        0,
                        0,
                        0,
                        3,
                        0,
                        0,
                        0 };

    for (size_t i = 0; i < sizeof(bytes); i++)
        guest_writes(fixture, &bytes[i], 1);
    assert_ends_with(fixture, STOP_COMMAND, 3);
}

/* --- signals and windows --- */

static void test_one_signal_goes_to_a_running_command_and_no_more(void **state)
{
    struct fixture *fixture = *state;
    struct guest_frame frame;
    uint32_t number;
    size_t at = 0;

    assert_false(guest_session_signal(fixture->session, SIGINT));
    guest_says_hello(fixture);
    assert_false(guest_session_signal(fixture->session, SIGINT));
    guest_says(fixture, GUEST_STARTED, NULL, 0);
    assert_true(guest_session_signal(fixture->session, SIGINT));
    assert_false(guest_session_signal(fixture->session, SIGINT));
    turn(fixture);
    next_frame(fixture, &at, &frame);
    memcpy(&number, next_frame(fixture, &at, &frame), sizeof(number));
    assert_int_equal(frame.type, GUEST_SIGNAL);
    assert_int_equal(number, SIGINT);
    assert_int_equal(at, fixture->sent_size);
}

static void test_signals_after_the_end_are_ours(void **state)
{
    struct fixture *fixture = *state;

    guest_starts(fixture);
    guest_ends(fixture, GUEST_EXITED, 0);
    assert_false(guest_session_signal(fixture->session, SIGINT));
}

static void test_of_many_windows_a_busy_guest_gets_the_last(void **state)
{
    struct fixture *fixture = *state;
    struct char_backend *control = guest_session_control(fixture->session);
    struct guest_window window;
    struct guest_frame frame;
    size_t at = 0;

    fixture->room = 0;
    guest_starts(fixture);
    for (uint16_t i = 0; i < 1000; i++)
        guest_session_window(fixture->session, i, 80);
    fixture->room = sizeof(fixture->sent);
    pthread_mutex_lock(&fixture->lock);
    control->ops->receive_ready(control);
    pthread_mutex_unlock(&fixture->lock);
    turn(fixture);
    next_frame(fixture, &at, &frame);
    memcpy(&window, next_frame(fixture, &at, &frame), sizeof(window));
    assert_int_equal(frame.type, GUEST_WINDOW);
    assert_int_equal(frame.length, sizeof(window));
    assert_int_equal(window.rows, 999);
    assert_int_equal(at, fixture->sent_size);
}

/* --- failures and hostility --- */

static void test_failed_ends_the_machine_with_its_sentence(void **state)
{
    struct fixture *fixture = *state;

    guest_says(fixture, GUEST_FAILED, "no root\x1b[2J\n", 12);
    assert_ends_with(fixture, STOP_GUEST_FAILURE, 0);
    assert_string_equal(guest_session_failure(fixture->session), "no root?[2J?");
}

static void test_what_is_out_of_turn_ends_the_machine(void **state)
{
    static const struct {
        bool hello, started;
        uint32_t type, length;
        struct guest_exit end;
    } frames[] = {
        { false, false, GUEST_STARTED, 0, { 0 } },
        { false, false, GUEST_EXIT, 8, { GUEST_EXITED, 0 } },
        { false, false, GUEST_HELLO, 4, { GUEST_PROTOCOL_VERSION + 1, 0 } },
        { false, false, GUEST_HELLO, 3, { 0 } },
        { false, false, GUEST_HELLO, 0, { 0 } },
        { true, false, GUEST_HELLO, 4, { GUEST_PROTOCOL_VERSION, 0 } },
        { true, false, GUEST_EXIT, 8, { GUEST_EXITED, 0 } },
        { true, false, GUEST_STARTED, 1, { 0 } },
        { true, true, GUEST_STARTED, 0, { 0 } },
        { true, true, GUEST_EXIT, 8, { GUEST_EXITED, 256 } },
        { true, true, GUEST_EXIT, 8, { GUEST_KILLED, 0 } },
        { true, true, GUEST_EXIT, 8, { GUEST_KILLED, 65 } },
        { true, true, GUEST_EXIT, 8, { 77, 0 } },
        { true, true, GUEST_EXIT, 4, { 0, 0 } },
        { true, true, GUEST_RUN, 0, { 0 } },
        { true, true, 0xffffffff, 0, { 0 } },
    };

    for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
        struct fixture *fixture;
        int status;

        tear_down(state);
        set_up(state);
        fixture = *state;
        if (frames[i].hello)
            guest_says_hello(fixture);
        if (frames[i].started)
            guest_says(fixture, GUEST_STARTED, NULL, 0);
        guest_says(fixture, frames[i].type, &frames[i].end, frames[i].length);
        assert_ends_with(fixture, STOP_GUEST_FAILURE, 0);
        assert_non_null(guest_session_failure(fixture->session));
        assert_false(guest_session_ended(fixture->session, &status));
    }
}

static void test_a_frame_that_is_too_long_is_not_taken_in(void **state)
{
    struct fixture *fixture = *state;
    struct guest_frame frame = { .type = GUEST_WARNING, .length = GUEST_FRAME_TO_HOST_MAX + 1 };
    uint8_t flood[8192] = { 0 };

    guest_starts(fixture);
    guest_writes(fixture, &frame, sizeof(frame));
    guest_writes(fixture, flood, sizeof(flood));
    assert_ends_with(fixture, STOP_GUEST_FAILURE, 0);
}

static void test_nothing_after_exit_changes_the_status(void **state)
{
    struct fixture *fixture = *state;
    int status;

    guest_starts(fixture);
    guest_ends(fixture, GUEST_EXITED, 5);
    guest_ends(fixture, GUEST_EXITED, 6);
    guest_says(fixture, GUEST_FAILED, "x", 1);
    assert_ends_with(fixture, STOP_COMMAND, 5);
    assert_true(guest_session_ended(fixture->session, &status));
    assert_int_equal(status, 5);
    assert_null(guest_session_failure(fixture->session));
}

/* --- the machine's end --- */

static void count(void *argument)
{
    ++*(unsigned *)argument;
}

static void test_finish_drains_each_stream_once(void **state)
{
    struct fixture *fixture = *state;
    unsigned drained = 0;

    fixture->streams[GUEST_STREAM_STDERR].holds_on = true;
    guest_starts(fixture);
    guest_session_finish(fixture->session, count, &drained);
    assert_int_equal(drained, 0);
    fixture->streams[GUEST_STREAM_STDERR].drained(fixture->streams[GUEST_STREAM_STDERR].argument);
    assert_int_equal(drained, 1);
    for (unsigned i = GUEST_STREAM_STDIN; i < GUEST_STREAM_COUNT; i++)
        assert_int_equal(fixture->streams[i].finishes, 1);
    assert_int_equal(fixture->stops, 0);
}

static void test_finish_after_the_command_has_nothing_left_to_do(void **state)
{
    struct fixture *fixture = *state;
    unsigned drained = 0;

    guest_starts(fixture);
    guest_ends(fixture, GUEST_EXITED, 0);
    guest_session_finish(fixture->session, count, &drained);
    assert_int_equal(drained, 1);
    assert_int_equal(fixture->streams[GUEST_STREAM_STDOUT].finishes, 1);
    assert_int_equal(fixture->stops, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_hello_is_answered_by_the_settings),
        TEST(test_a_guest_that_takes_few_bytes_gets_all_in_order),
        TEST(test_exit_ends_the_machine_once_outputs_are_closed_and_drained),
        TEST(test_outputs_that_the_guest_never_opened_are_not_waited_for),
        TEST(test_each_kind_of_end_has_its_status),
        TEST(test_frames_may_come_byte_by_byte),
        TEST(test_one_signal_goes_to_a_running_command_and_no_more),
        TEST(test_signals_after_the_end_are_ours),
        TEST(test_of_many_windows_a_busy_guest_gets_the_last),
        TEST(test_failed_ends_the_machine_with_its_sentence),
        TEST(test_what_is_out_of_turn_ends_the_machine),
        TEST(test_a_frame_that_is_too_long_is_not_taken_in),
        TEST(test_nothing_after_exit_changes_the_status),
        TEST(test_finish_drains_each_stream_once),
        TEST(test_finish_after_the_command_has_nothing_left_to_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
