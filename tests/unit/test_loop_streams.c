/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_loop_streams.c - the event loop on what one has to wait for: eventfds, pipes, terminals, sockets; and
 * how waiting is ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop_player.h"
#include "ringlet/util.h"

/* --- streams --- */

static void check_eventfd(struct loop_fixture *fixture, int flags)
{
    struct loop_player player = make_player(fixture);
    uint64_t count = 0;
    int fd = eventfd(0, EFD_CLOEXEC | flags);

    loop_read(fixture->loop, &player.op, fd, &count, sizeof(count), LOOP_NO_OFFSET);
    run_one_turn(fixture);
    assert_int_equal(player.dones, 0);
    assert_int_equal(eventfd_write(fd, 3), 0);
    run_until(fixture, 1);
    assert_int_equal(player.res, 8);
    assert_int_equal(count, 3);
    /* It was emptied: the next read waits again. */
    loop_read(fixture->loop, &player.op, fd, &count, sizeof(count), LOOP_NO_OFFSET);
    run_one_turn(fixture);
    assert_int_equal(player.dones, 1);
    assert_int_equal(eventfd_write(fd, 1), 0);
    run_until(fixture, 1);
    assert_int_equal(count, 1);
    close(fd);
}

static void test_blocking_eventfd_read_waits_and_consumes(void **state)
{
    check_eventfd(*state, 0);
}

static void test_nonblocking_eventfd_read_waits_and_consumes(void **state)
{
    check_eventfd(*state, EFD_NONBLOCK);
}

static void test_two_reads_of_one_pipe_each_get_a_message(void **state)
{
    struct loop_fixture *fixture = *state;
    struct loop_player first = make_player(fixture), second = make_player(fixture);
    char a = 0, b = 0;
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    loop_read(fixture->loop, &first.op, ends[0], &a, 1, LOOP_NO_OFFSET);
    loop_read(fixture->loop, &second.op, ends[0], &b, 1, LOOP_NO_OFFSET);
    run_one_turn(fixture);
    assert_int_equal(write(ends[1], "x", 1), 1);
    run_until(fixture, 1);
    assert_int_equal(first.dones + second.dones, 1);
    assert_int_equal(write(ends[1], "x", 1), 1);
    run_until(fixture, 1);
    assert_int_equal(first.dones, 1);
    assert_int_equal(second.dones, 1);
    assert_int_equal(a, 'x');
    assert_int_equal(b, 'x');
    close(ends[0]);
    close(ends[1]);
}

static void test_closed_pipe_ends_reads_with_zero_and_writes_with_epipe(void **state)
{
    struct loop_fixture *fixture = *state;
    struct loop_player player = make_player(fixture);
    char byte = 0;
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    loop_read(fixture->loop, &player.op, ends[0], &byte, 1, LOOP_NO_OFFSET);
    run_one_turn(fixture);
    close(ends[1]);
    run_until(fixture, 1);
    assert_int_equal(player.res, 0);
    close(ends[0]);

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    close(ends[0]);
    loop_write(fixture->loop, &player.op, ends[1], &byte, 1, LOOP_NO_OFFSET);
    run_until(fixture, 1);
    assert_int_equal(player.res, -EPIPE);
    close(ends[1]);
}

static void check_full_pipe(struct loop_fixture *fixture, int flags)
{
    struct loop_player player = make_player(fixture);
    static const char page[4096];
    char sink[4096];
    int ends[2], size;

    assert_int_equal(pipe2(ends, O_CLOEXEC | flags), 0);
    size = fcntl(ends[0], F_GETPIPE_SZ);
    for (int filled = 0; filled < size; filled += 4096)
        assert_int_equal(write(ends[1], page, 4096), 4096);
    loop_write(fixture->loop, &player.op, ends[1], page, 1, LOOP_NO_OFFSET);
    run_one_turn(fixture);
    assert_int_equal(player.dones, 0);
    assert_int_equal(read(ends[0], sink, sizeof(sink)), 4096);
    run_until(fixture, 1);
    assert_int_equal(player.res, 1);
    close(ends[0]);
    close(ends[1]);
}

static void test_write_to_full_pipe_waits_for_room(void **state)
{
    check_full_pipe(*state, 0);
}

static void test_write_to_full_nonblocking_pipe_waits_for_room(void **state)
{
    check_full_pipe(*state, O_NONBLOCK);
}

static void check_terminal_read(struct loop_fixture *fixture, int flags)
{
    struct loop_player player = make_player(fixture);
    char bytes[16];
    int master, slave;

    open_terminal(flags, &master, &slave);
    loop_read(fixture->loop, &player.op, slave, bytes, sizeof(bytes), LOOP_NO_OFFSET);
    run_one_turn(fixture);
    run_one_turn(fixture);
    assert_int_equal(player.dones, 0);
    assert_int_equal(write(master, "k", 1), 1);
    run_until(fixture, 1);
    assert_int_equal(player.res, 1);
    assert_int_equal(bytes[0], 'k');
    /* Cancelled when it has just come to wait, and when it is about to. */
    for (int turns = 0; turns < 3; turns++) {
        loop_read(fixture->loop, &player.op, slave, bytes, sizeof(bytes), LOOP_NO_OFFSET);
        for (int i = 0; i < turns; i++)
            run_one_turn(fixture);
        loop_cancel(fixture->loop, &player.op);
        run_until(fixture, 1);
        assert_int_equal(player.res, -ECANCELED);
    }
    close(slave);
    close(master);
}

static void test_terminal_read_waits_for_a_key(void **state)
{
    check_terminal_read(*state, 0);
}

static void test_nonblocking_terminal_read_waits_for_a_key(void **state)
{
    check_terminal_read(*state, O_NONBLOCK);
}

/* More than a terminal that nobody reads takes: the loop goes on, and the write can be cancelled. */
static void test_write_to_stuck_terminal_holds_up_nothing_and_can_be_cancelled(void **state)
{
    struct loop_fixture *fixture = *state;
    struct loop_player player = make_player(fixture), other = make_player(fixture);
    static const char flood[1 << 20];
    int master, slave;

    open_terminal(0, &master, &slave);
    loop_write(fixture->loop, &player.op, slave, flood, sizeof(flood), LOOP_NO_OFFSET);
    loop_timeout(fixture->loop, &other.op, 20000000);
    run_until(fixture, 1);
    assert_int_equal(other.dones, 1);
    assert_int_equal(player.dones, 0);
    loop_cancel(fixture->loop, &player.op);
    run_until(fixture, 1);
    assert_int_equal(player.dones, 1);
    /* Cancelled, or told how far it came before that. */
    assert_true(player.res == -ECANCELED || (player.res > 0 && player.res < (int)sizeof(flood)));
    /* The loop is as good as new. */
    loop_write(fixture->loop, &other.op, STDERR_FILENO, "", 0, 0);
    run_until(fixture, 1);
    close(slave);
    close(master);
}

static void test_file_without_offset_is_read_from_its_own_position(void **state)
{
    struct loop_fixture *fixture = *state;
    struct loop_player player = make_player(fixture);
    char bytes[4];
    int fd = temporary_file(0);

    assert_int_equal(write(fd, "abcdef", 6), 6);
    assert_int_equal(lseek(fd, 2, SEEK_SET), 2);
    loop_read(fixture->loop, &player.op, fd, bytes, 2, LOOP_NO_OFFSET);
    run_until(fixture, 1);
    assert_int_equal(player.res, 2);
    loop_read(fixture->loop, &player.op, fd, bytes + 2, 2, LOOP_NO_OFFSET);
    run_until(fixture, 1);
    assert_int_equal(player.res, 2);
    assert_memory_equal(bytes, "cdef", 4);
    loop_read(fixture->loop, &player.op, fd, bytes, 2, LOOP_NO_OFFSET);
    run_until(fixture, 1);
    assert_int_equal(player.res, 0);
    close(fd);
}

static void test_dev_null_as_stdin_reads_as_its_end(void **state)
{
    struct loop_fixture *fixture = *state;
    struct loop_player player = make_player(fixture);
    char byte;
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    loop_read(fixture->loop, &player.op, fd, &byte, 1, LOOP_NO_OFFSET);
    run_until(fixture, 1);
    assert_int_equal(player.res, 0);
    loop_write(fixture->loop, &player.op, fd, "x", 1, LOOP_NO_OFFSET);
    run_until(fixture, 1);
    assert_int_equal(player.res, 1);
    close(fd);
}

static void test_poll_reports_readiness_once(void **state)
{
    struct loop_fixture *fixture = *state;
    struct loop_player player = make_player(fixture);
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    loop_poll(fixture->loop, &player.op, ends[0], POLLIN);
    run_one_turn(fixture);
    assert_int_equal(player.dones, 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    run_until(fixture, 1);
    assert_int_equal(player.res, POLLIN);
    run_one_turn(fixture);
    assert_int_equal(player.dones, 1);
    close(ends[1]);
    loop_poll(fixture->loop, &player.op, ends[0], POLLIN);
    run_until(fixture, 1);
    assert_int_equal(player.res, POLLIN | POLLHUP);
    close(ends[0]);
}

static void test_many_descriptors_are_waited_for_at_once(void **state)
{
    enum { COUNT = 100 };
    struct loop_fixture *fixture = *state;
    struct loop_player players[COUNT];
    uint64_t counts[COUNT];
    int events[COUNT];

    for (unsigned i = 0; i < COUNT; i++) {
        players[i] = make_player(fixture);
        events[i] = eventfd(0, EFD_CLOEXEC);
        assert_true(events[i] >= 0);
        loop_read(fixture->loop, &players[i].op, events[i], &counts[i], sizeof(counts[i]), LOOP_NO_OFFSET);
    }
    run_one_turn(fixture);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(players[i].dones, 0);
        assert_int_equal(eventfd_write(events[i], i + 1), 0);
    }
    run_until(fixture, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(players[i].res, 8);
        assert_int_equal(counts[i], i + 1);
        close(events[i]);
    }
}

static void check_accept(struct loop_fixture *fixture, int flags)
{
    struct loop_player player = make_player(fixture);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    socklen_t length = sizeof(sa_family_t);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    int caller = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(listener, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(listener, 1), 0);
    loop_accept(fixture->loop, &player.op, listener);
    run_one_turn(fixture);
    assert_int_equal(player.dones, 0);
    length = sizeof(address);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(connect(caller, (struct sockaddr *)&address, length), 0);
    run_until(fixture, 1);
    assert_true(player.res >= 0);
    assert_true(fcntl(player.res, F_GETFD) & FD_CLOEXEC);
    close(player.res);
    close(caller);
    close(listener);
}

static void test_accept_waits_for_a_caller(void **state)
{
    check_accept(*state, 0);
}

static void test_accept_on_nonblocking_socket_waits_for_a_caller(void **state)
{
    check_accept(*state, SOCK_NONBLOCK);
}

/* --- cancellation --- */

static void test_cancel_ends_everything_that_waits(void **state)
{
    struct loop_fixture *fixture = *state;
    struct loop_player players[6];
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int ends[2], event = eventfd(0, EFD_CLOEXEC), nonblocking = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), master, slave;
    uint64_t count;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
    assert_int_equal(listen(listener, 1), 0);
    open_terminal(0, &master, &slave);
    for (int submitted = 0; submitted <= 1; submitted++) {
        for (unsigned i = 0; i < ARRAY_SIZE(players); i++)
            players[i] = make_player(fixture);
        loop_read(fixture->loop, &players[0].op, event, &count, sizeof(count), LOOP_NO_OFFSET);
        loop_read(fixture->loop, &players[1].op, nonblocking, &count, sizeof(count), LOOP_NO_OFFSET);
        loop_poll(fixture->loop, &players[2].op, ends[0], POLLIN);
        loop_timeout(fixture->loop, &players[3].op, UINT64_C(3600) * 1000000000);
        loop_accept(fixture->loop, &players[4].op, listener);
        loop_read(fixture->loop, &players[5].op, slave, &count, sizeof(count), LOOP_NO_OFFSET);
        if (submitted) {
            run_one_turn(fixture);
            run_one_turn(fixture);
        }
        for (unsigned i = 0; i < ARRAY_SIZE(players); i++) {
            loop_cancel(fixture->loop, &players[i].op);
            loop_cancel(fixture->loop, &players[i].op);
            assert_int_equal(players[i].dones, 0);
        }
        run_until(fixture, ARRAY_SIZE(players));
        for (unsigned i = 0; i < ARRAY_SIZE(players); i++) {
            assert_int_equal(players[i].res, -ECANCELED);
            assert_int_equal(players[i].dones, 1);
        }
        assert_int_equal(loop_in_flight(fixture->loop), 0);
    }
    close(master);
    close(slave);
    close(listener);
    close(nonblocking);
    close(event);
    close(ends[0]);
    close(ends[1]);
}

static void test_cancelled_timer_does_not_fire_later(void **state)
{
    struct loop_fixture *fixture = *state;
    struct loop_player cancelled = make_player(fixture), later = make_player(fixture);

    loop_timeout(fixture->loop, &later.op, 20000000);
    loop_timeout(fixture->loop, &cancelled.op, 10000000);
    run_one_turn(fixture);
    loop_cancel(fixture->loop, &cancelled.op);
    run_until(fixture, 2);
    run_one_turn(fixture);
    assert_int_equal(cancelled.dones, 1);
    assert_int_equal(later.dones, 1);
    assert_int_equal(later.res, 0);
}

static void test_cancel_of_one_that_is_done_is_nothing(void **state)
{
    struct loop_fixture *fixture = *state;
    struct loop_player player = make_player(fixture);

    loop_cancel(fixture->loop, &player.op);
    loop_complete(fixture->loop, &player.op, 7);
    loop_cancel(fixture->loop, &player.op);
    run_until(fixture, 1);
    assert_int_equal(player.res, 7);
    loop_cancel(fixture->loop, &player.op);
    run_one_turn(fixture);
    assert_int_equal(player.dones, 1);
}

/* Cancelled by the callback of another in the same batch, after its own result had come. */
static void cancel_other(struct loop_op *op, int res)
{
    struct loop_player *player = container_of(op, struct loop_player, op);

    loop_cancel(player->fixture->loop, &player[1].op);
    loop_cancel(player->fixture->loop, &player[-1].op);
    player_done(op, res);
}

static void test_cancel_of_a_neighbour_in_the_batch_keeps_its_result(void **state)
{
    struct loop_fixture *fixture = *state;
    struct loop_player players[3];

    for (unsigned i = 0; i < 3; i++)
        players[i] = make_player(fixture);
    players[1].op.done = cancel_other;
    for (int i = 0; i < 3; i++)
        loop_complete(fixture->loop, &players[i].op, i);
    run_until(fixture, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(players[i].res, i);
        assert_int_equal(players[i].dones, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH_ENGINES(test_blocking_eventfd_read_waits_and_consumes),
        ON_BOTH_ENGINES(test_nonblocking_eventfd_read_waits_and_consumes),
        ON_BOTH_ENGINES(test_two_reads_of_one_pipe_each_get_a_message),
        ON_BOTH_ENGINES(test_closed_pipe_ends_reads_with_zero_and_writes_with_epipe),
        ON_BOTH_ENGINES(test_write_to_full_pipe_waits_for_room),
        ON_BOTH_ENGINES(test_write_to_full_nonblocking_pipe_waits_for_room),
        ON_BOTH_ENGINES(test_terminal_read_waits_for_a_key),
        ON_BOTH_ENGINES(test_nonblocking_terminal_read_waits_for_a_key),
        ON_BOTH_ENGINES(test_write_to_stuck_terminal_holds_up_nothing_and_can_be_cancelled),
        ON_BOTH_ENGINES(test_file_without_offset_is_read_from_its_own_position),
        ON_BOTH_ENGINES(test_dev_null_as_stdin_reads_as_its_end),
        ON_BOTH_ENGINES(test_poll_reports_readiness_once),
        ON_BOTH_ENGINES(test_many_descriptors_are_waited_for_at_once),
        ON_BOTH_ENGINES(test_accept_waits_for_a_caller),
        ON_BOTH_ENGINES(test_accept_on_nonblocking_socket_waits_for_a_caller),
        ON_BOTH_ENGINES(test_cancel_ends_everything_that_waits),
        ON_BOTH_ENGINES(test_cancelled_timer_does_not_fire_later),
        ON_BOTH_ENGINES(test_cancel_of_one_that_is_done_is_nothing),
        ON_BOTH_ENGINES(test_cancel_of_a_neighbour_in_the_batch_keeps_its_result),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
