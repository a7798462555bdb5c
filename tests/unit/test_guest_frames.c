/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_guest_frames.c - the frames between host and guest, however they are cut, and those that break the rules.
 */
#include "frames.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ringlet/util.h"

#define SOON 10000 /* ms; a bound, never waited for */

struct wire {
    int host, guest;
    struct frame_reader reader;
};

static int set_up(void **state)
{
    static struct wire wire;
    int ends[2];

    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    wire = (struct wire){ .host = ends[0], .guest = ends[1] };
    *state = &wire;
    return 0;
}

static int tear_down(void **state)
{
    struct wire *wire = *state;

    frame_reader_next(&wire->reader);
    if (wire->host >= 0)
        close(wire->host);
    close(wire->guest);
    return 0;
}

static size_t make(unsigned char *bytes, uint32_t type, const void *body, uint32_t length)
{
    struct guest_frame head = { .type = type, .length = length };

    memcpy(bytes, &head, sizeof(head));
    memcpy(bytes + sizeof(head), body, length);
    return sizeof(head) + length;
}

static void put(const struct wire *wire, const void *bytes, size_t size)
{
    assert_int_equal(write(wire->host, bytes, size), size);
}

static void test_a_frame_cut_at_every_byte_is_put_together(void **state)
{
    struct wire *wire = *state;
    const char body[] = "arg=true\0env=A=B";
    unsigned char bytes[64];
    size_t size = make(bytes, GUEST_RUN, body, sizeof(body));

    for (size_t i = 0; i < size; i++) {
        bool complete = true;

        assert_int_equal(frame_reader_read(&wire->reader, wire->guest, &complete), 0);
        assert_false(complete);
        put(wire, bytes + i, 1);
        assert_int_equal(frame_reader_read(&wire->reader, wire->guest, &complete), 0);
        assert_int_equal(complete, i == size - 1);
    }
    assert_int_equal(wire->reader.head.type, GUEST_RUN);
    assert_int_equal(wire->reader.head.length, sizeof(body));
    assert_memory_equal(wire->reader.body, body, sizeof(body));
}

static void test_frames_behind_each_other_are_read_one_by_one(void **state)
{
    struct wire *wire = *state;
    unsigned char bytes[64];
    struct guest_window window = { .rows = 40, .columns = 100 };
    uint32_t number = SIGTERM;
    size_t size = make(bytes, GUEST_SIGNAL, &number, sizeof(number));
    bool complete;

    size += make(bytes + size, GUEST_WINDOW, &window, sizeof(window));
    put(wire, bytes, size);
    assert_int_equal(frame_reader_read(&wire->reader, wire->guest, &complete), 0);
    assert_true(complete);
    assert_int_equal(wire->reader.head.type, GUEST_SIGNAL);
    assert_memory_equal(wire->reader.body, &number, sizeof(number));
    /* Asked once more, it is the same one. */
    assert_int_equal(frame_reader_read(&wire->reader, wire->guest, &complete), 0);
    assert_true(complete);
    assert_int_equal(wire->reader.head.type, GUEST_SIGNAL);
    frame_reader_next(&wire->reader);
    assert_int_equal(frame_reader_read(&wire->reader, wire->guest, &complete), 0);
    assert_true(complete);
    assert_int_equal(wire->reader.head.type, GUEST_WINDOW);
    assert_memory_equal(wire->reader.body, &window, sizeof(window));
    frame_reader_next(&wire->reader);
    assert_int_equal(frame_reader_read(&wire->reader, wire->guest, &complete), 0);
    assert_false(complete);
}

static void test_a_frame_that_breaks_a_rule_is_refused_by_its_head(void **state)
{
    static const struct guest_frame bad[] = {
        { 0, 0 },
        { 0, 4 },
        { GUEST_RUN, 0 },
        { GUEST_RUN, GUEST_FRAME_TO_GUEST_MAX + 1 },
        { GUEST_RUN, UINT32_MAX },
        { GUEST_SIGNAL, 0 },
        { GUEST_SIGNAL, 3 },
        { GUEST_SIGNAL, 5 },
        { GUEST_WINDOW, 3 },
        { GUEST_WINDOW, 8 },
        { GUEST_WINDOW + 1, 4 },
        { GUEST_HELLO, 4 }, /* ours, not the host's */
        { GUEST_EXIT, sizeof(struct guest_exit) },
        { UINT32_MAX, 4 },
    };
    struct wire *wire = *state;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        bool complete = false;

        put(wire, &bad[i], sizeof(bad[i]));
        assert_int_equal(frame_reader_read(&wire->reader, wire->guest, &complete), -EPROTO);
        assert_false(complete);
        frame_reader_next(&wire->reader);
    }
}

static void test_the_largest_frame_is_taken(void **state)
{
    struct wire *wire = *state;
    struct guest_frame head = { .type = GUEST_RUN, .length = GUEST_FRAME_TO_GUEST_MAX };
    char *body = malloc(GUEST_FRAME_TO_GUEST_MAX);
    size_t sent = 0;
    bool complete = false;

    assert_non_null(body);
    memset(body, 'x', GUEST_FRAME_TO_GUEST_MAX);
    put(wire, &head, sizeof(head));
    while (!complete) {
        ssize_t count = write(wire->host, body + sent, GUEST_FRAME_TO_GUEST_MAX - sent);

        sent += count > 0 ? (size_t)count : 0;
        assert_int_equal(frame_reader_read(&wire->reader, wire->guest, &complete), 0);
    }
    assert_int_equal(sent, GUEST_FRAME_TO_GUEST_MAX);
    assert_memory_equal(wire->reader.body, body, GUEST_FRAME_TO_GUEST_MAX);
    free(body);
}

static void test_the_end_of_the_host_is_no_frame_wherever_it_comes(void **state)
{
    struct wire *wire = *state;
    uint32_t number = SIGTERM;
    unsigned char bytes[16];
    bool complete = false;

    put(wire, bytes, make(bytes, GUEST_SIGNAL, &number, sizeof(number)) - 1);
    close(wire->host);
    wire->host = -1;
    assert_int_equal(frame_reader_read(&wire->reader, wire->guest, &complete), -EPIPE);
    assert_false(complete);
}

static void test_what_is_no_descriptor_gives_its_error(void **state)
{
    struct frame_reader reader = { 0 };
    bool complete;

    (void)state;
    assert_int_equal(frame_reader_read(&reader, -1, &complete), -EBADF);
    assert_int_equal(frame_send(-1, GUEST_STARTED, NULL, 0, SOON), -EBADF);
}

static void test_a_sent_frame_is_head_and_body(void **state)
{
    struct wire *wire = *state;
    struct guest_exit end = { .kind = GUEST_EXITED, .value = 7 };
    unsigned char expected[64], received[64];
    size_t size = make(expected, GUEST_EXIT, &end, sizeof(end));

    assert_int_equal(frame_send(wire->guest, GUEST_EXIT, &end, sizeof(end), SOON), 0);
    assert_int_equal(read(wire->host, received, sizeof(received)), size);
    assert_memory_equal(received, expected, size);
    assert_int_equal(frame_send(wire->guest, GUEST_STARTED, NULL, 0, SOON), 0);
    size = make(expected, GUEST_STARTED, "", 0);
    assert_int_equal(read(wire->host, received, sizeof(received)), size);
    assert_memory_equal(received, expected, size);
}

static void fill(int fd)
{
    char page[4096] = { 0 };

    for (size_t size = sizeof(page); size; size /= 2) {
        while (write(fd, page, size) > 0)
            ;
    }
    assert_int_equal(errno, EAGAIN);
}

static void test_a_host_that_takes_nothing_is_given_up(void **state)
{
    struct wire *wire = *state;

    fill(wire->guest);
    assert_int_equal(frame_send(wire->guest, GUEST_STARTED, NULL, 0, 1), -ETIMEDOUT);
}

static void test_a_host_that_has_gone_is_noticed_while_waiting(void **state)
{
    struct wire *wire = *state;
    int ends[2];

    close(wire->host);
    wire->host = -1;
    assert_int_equal(frame_send(wire->guest, GUEST_STARTED, NULL, 0, SOON), -EPIPE);

    /* Full as well, so that write() would not say. */
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    fill(ends[1]);
    close(ends[0]);
    assert_int_equal(frame_send(ends[1], GUEST_STARTED, NULL, 0, SOON), -EPIPE);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_frame_cut_at_every_byte_is_put_together, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_frames_behind_each_other_are_read_one_by_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_frame_that_breaks_a_rule_is_refused_by_its_head, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_the_largest_frame_is_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_end_of_the_host_is_no_frame_wherever_it_comes, set_up,
                                        tear_down),
        cmocka_unit_test(test_what_is_no_descriptor_gives_its_error),
        cmocka_unit_test_setup_teardown(test_a_sent_frame_is_head_and_body, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_host_that_takes_nothing_is_given_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_host_that_has_gone_is_noticed_while_waiting, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
