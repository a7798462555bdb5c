/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_loop.c - the event loop; every test runs on both engines, which must not differ.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "ringlet/error.h"
#include "ringlet/io_client.h"
#include "ringlet/loop.h"
#include "ringlet/util.h"

#define QUEUE_ENTRIES 8 /* small, so that tests overfill it */

/* --- a player: an op that records what came of it, and a loop that runs until enough came --- */

struct fixture {
    struct loop *loop;
    unsigned awaited; /* done()s until the loop stops */
    unsigned posts_run;
};

struct player {
    struct loop_op op;
    struct fixture *fixture;
    int res;
    unsigned dones;
    pthread_t thread;
};

static void player_done(struct loop_op *op, int res)
{
    struct player *player = container_of(op, struct player, op);

    assert_false(op->pending);
    player->res = res;
    player->dones++;
    player->thread = pthread_self();
    assert_int_not_equal(player->fixture->awaited, 0);
    if (--player->fixture->awaited == 0)
        loop_stop(player->fixture->loop);
}

static struct player make_player(struct fixture *fixture)
{
    return (struct player){ .op.done = player_done, .fixture = fixture };
}

static void run_until(struct fixture *fixture, unsigned dones)
{
    fixture->awaited = dones;
    assert_int_equal(loop_run(fixture->loop), 0);
    assert_int_equal(fixture->awaited, 0);
}

/* One turn that finds things as they are and does not wait. */
static void run_one_turn(struct fixture *fixture)
{
    fixture->awaited = UINT32_MAX;
    loop_stop(fixture->loop);
    assert_int_equal(loop_run(fixture->loop), 0);
}

static int set_up(void **state, enum loop_engine engine)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct error err = { 0 };

    if (!fixture)
        return -1;
    if (loop_create(engine, QUEUE_ENTRIES, &fixture->loop, &err) < 0) {
        print_error("%s\n", err.text);
        free(fixture);
        return -1;
    }
    *state = fixture;
    return 0;
}

static int set_up_io_uring(void **state)
{
    return set_up(state, LOOP_ENGINE_IO_URING);
}

static int set_up_threads(void **state)
{
    return set_up(state, LOOP_ENGINE_THREADS);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    loop_destroy(fixture->loop);
    free(fixture);
    return 0;
}

static int temporary_file(uint64_t size)
{
    int fd = memfd_create("loop-test", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    return fd;
}

/* --- files --- */

static void test_file_write_then_read_at_offsets_gives_the_same_bytes(void **state)
{
    struct fixture *fixture = *state;
    struct player player = make_player(fixture);
    char in[2][4] = { "" }, out[] = "ringlet";
    struct iovec written[] = { { out, 3 }, { out + 3, 5 } };
    struct iovec read[] = { { in[0], 4 }, { in[1], 4 } };
    int fd = temporary_file(8192);

    loop_writev(fixture->loop, &player.op, fd, written, 2, 4096, 0);
    assert_int_equal(player.dones, 0);
    run_until(fixture, 1);
    assert_int_equal(player.res, 8);
    loop_readv(fixture->loop, &player.op, fd, read, 2, 4096);
    run_until(fixture, 1);
    assert_int_equal(player.res, 8);
    assert_memory_equal(in[0], "ring", 4);
    assert_memory_equal(in[1], "let", 4);
    loop_write(fixture->loop, &player.op, fd, "RING", 4, 4096);
    run_until(fixture, 1);
    assert_int_equal(player.res, 4);
    loop_read(fixture->loop, &player.op, fd, in[0], 4, 4096);
    run_until(fixture, 1);
    assert_int_equal(player.res, 4);
    assert_memory_equal(in[0], "RING", 4);
    assert_int_equal(player.dones, 4);
    close(fd);
}

static void test_read_at_end_of_file_gives_zero(void **state)
{
    struct fixture *fixture = *state;
    struct player player = make_player(fixture);
    char byte;
    int fd = temporary_file(512);

    loop_read(fixture->loop, &player.op, fd, &byte, 1, 512);
    run_until(fixture, 1);
    assert_int_equal(player.res, 0);
    close(fd);
}

static void test_dsync_write_fdatasync_and_fallocate_do_their_work(void **state)
{
    struct fixture *fixture = *state;
    struct player players[3];
    char byte = 1, out[4096];
    struct iovec iov = { out, sizeof(out) };
    int fd = temporary_file(16384);

    memset(out, 0xff, sizeof(out));
    for (unsigned i = 0; i < 3; i++)
        players[i] = make_player(fixture);
    loop_writev(fixture->loop, &players[0].op, fd, &iov, 1, 0, RWF_DSYNC);
    loop_fdatasync(fixture->loop, &players[1].op, fd);
    run_until(fixture, 2);
    loop_fallocate(fixture->loop, &players[2].op, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096);
    run_until(fixture, 1);
    assert_int_equal(players[0].res, 4096);
    assert_int_equal(players[1].res, 0);
    assert_int_equal(players[2].res, 0);
    assert_int_equal(pread(fd, &byte, 1, 0), 1);
    assert_int_equal(byte, 0);
    close(fd);
}

static void test_failures_are_results(void **state)
{
    struct fixture *fixture = *state;
    struct player read = make_player(fixture), write = make_player(fixture), sync = make_player(fixture),
                  allocate = make_player(fixture), poll = make_player(fixture), stream = make_player(fixture);
    char byte = 0;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    loop_read(fixture->loop, &read.op, 1000000, &byte, 1, 0);
    loop_write(fixture->loop, &write.op, fd, &byte, 1, 0);
    loop_fdatasync(fixture->loop, &sync.op, fd);
    loop_fallocate(fixture->loop, &allocate.op, fd, 0, 0, 1);
    loop_poll(fixture->loop, &poll.op, 1000000, POLLIN);
    loop_read(fixture->loop, &stream.op, 1000000, &byte, 1, LOOP_NO_OFFSET);
    run_until(fixture, 6);
    assert_int_equal(read.res, -EBADF);
    assert_int_equal(write.res, -EBADF);
    assert_int_equal(sync.res, -EINVAL);
    assert_int_equal(allocate.res, -EBADF);
    assert_int_equal(poll.res, -EBADF);
    assert_int_equal(stream.res, -EBADF);
    close(fd);
}

static void test_file_without_offset_is_read_from_its_own_position(void **state)
{
    struct fixture *fixture = *state;
    struct player player = make_player(fixture);
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
    struct fixture *fixture = *state;
    struct player player = make_player(fixture);
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

static void test_more_operations_than_queue_entries_all_complete(void **state)
{
    enum { COUNT = QUEUE_ENTRIES * 40 };
    struct fixture *fixture = *state;
    struct player *players = calloc(COUNT, sizeof(*players));
    uint32_t *numbers = calloc(COUNT, sizeof(*numbers));
    int fd = temporary_file(0);

    for (uint32_t i = 0; i < COUNT; i++)
        assert_int_equal(pwrite(fd, &i, sizeof(i), i * sizeof(i)), sizeof(i));
    for (unsigned i = 0; i < COUNT; i++) {
        players[i] = make_player(fixture);
        loop_read(fixture->loop, &players[i].op, fd, &numbers[i], sizeof(numbers[i]), i * sizeof(uint32_t));
    }
    assert_int_equal(loop_in_flight(fixture->loop), COUNT);
    run_until(fixture, COUNT);
    assert_int_equal(loop_in_flight(fixture->loop), 0);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(players[i].dones, 1);
        assert_int_equal(players[i].res, sizeof(uint32_t));
        assert_int_equal(numbers[i], i);
    }
    close(fd);
    free(numbers);
    free(players);
}

/* --- streams --- */

static void check_eventfd(struct fixture *fixture, int flags)
{
    struct player player = make_player(fixture);
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
    struct fixture *fixture = *state;
    struct player first = make_player(fixture), second = make_player(fixture);
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
    struct fixture *fixture = *state;
    struct player player = make_player(fixture);
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

static void check_full_pipe(struct fixture *fixture, int flags)
{
    struct player player = make_player(fixture);
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

/* A raw pseudo-terminal, as a console's: reads and writes on its slave side. */
static void open_terminal(int *ret_master, int *ret_slave)
{
    struct termios attributes;

    *ret_master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(*ret_master >= 0);
    assert_int_equal(grantpt(*ret_master), 0);
    assert_int_equal(unlockpt(*ret_master), 0);
    *ret_slave = open(ptsname(*ret_master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(*ret_slave >= 0);
    assert_int_equal(tcgetattr(*ret_slave, &attributes), 0);
    cfmakeraw(&attributes);
    assert_int_equal(tcsetattr(*ret_slave, TCSANOW, &attributes), 0);
}

static void test_terminal_read_waits_for_a_key(void **state)
{
    struct fixture *fixture = *state;
    struct player player = make_player(fixture);
    char bytes[16];
    int master, slave;

    open_terminal(&master, &slave);
    loop_read(fixture->loop, &player.op, slave, bytes, sizeof(bytes), LOOP_NO_OFFSET);
    run_one_turn(fixture);
    assert_int_equal(player.dones, 0);
    assert_int_equal(write(master, "k", 1), 1);
    run_until(fixture, 1);
    assert_int_equal(player.res, 1);
    assert_int_equal(bytes[0], 'k');
    close(slave);
    close(master);
}

/* More than a terminal that nobody reads takes: the loop goes on, and the write can be cancelled. */
static void test_write_to_stuck_terminal_holds_up_nothing_and_can_be_cancelled(void **state)
{
    struct fixture *fixture = *state;
    struct player player = make_player(fixture), other = make_player(fixture);
    static const char flood[1 << 20];
    int master, slave;

    open_terminal(&master, &slave);
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

static void test_poll_reports_readiness_once(void **state)
{
    struct fixture *fixture = *state;
    struct player player = make_player(fixture);
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

static void check_accept(struct fixture *fixture, int flags)
{
    struct player player = make_player(fixture);
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

/* --- timers --- */

static void test_timeouts_fire_in_order_and_not_early(void **state)
{
    static const uint64_t delays[] = { 30000000, 10000000, 20000000, 0 };
    struct fixture *fixture = *state;
    struct player players[ARRAY_SIZE(delays)];
    struct timespec start, end;

    clock_gettime(CLOCK_MONOTONIC, &start);
    for (unsigned i = 0; i < ARRAY_SIZE(delays); i++) {
        players[i] = make_player(fixture);
        loop_timeout(fixture->loop, &players[i].op, delays[i]);
    }
    run_until(fixture, 3);
    assert_int_equal(players[0].dones, 0);
    run_until(fixture, 1);
    clock_gettime(CLOCK_MONOTONIC, &end);
    for (unsigned i = 0; i < ARRAY_SIZE(delays); i++)
        assert_int_equal(players[i].res, 0);
    assert_true((end.tv_sec - start.tv_sec) * 1000000000 + end.tv_nsec - start.tv_nsec >= 30000000);
}

/* --- cancellation --- */

static void test_cancel_ends_everything_that_waits(void **state)
{
    struct fixture *fixture = *state;
    struct player players[6];
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int ends[2], event = eventfd(0, EFD_CLOEXEC), nonblocking = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), master, slave;
    uint64_t count;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
    assert_int_equal(listen(listener, 1), 0);
    open_terminal(&master, &slave);
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

static void test_cancel_of_one_that_is_done_is_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct player player = make_player(fixture);

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
    struct player *player = container_of(op, struct player, op);

    loop_cancel(player->fixture->loop, &player[1].op);
    loop_cancel(player->fixture->loop, &player[-1].op);
    player_done(op, res);
}

static void test_cancel_of_a_neighbour_in_the_batch_keeps_its_result(void **state)
{
    struct fixture *fixture = *state;
    struct player players[3];

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

/* --- results without the kernel, and calls --- */

struct restarter {
    struct player player;
    int left;
};

static void restart(struct loop_op *op, int res)
{
    struct restarter *restarter = container_of(op, struct restarter, player.op);
    struct loop *loop = restarter->player.fixture->loop;

    if (restarter->left-- > 0)
        loop_complete(loop, op, res + 1);
    else
        player_done(op, res);
}

static void test_complete_is_never_delivered_by_the_call_itself_and_may_restart(void **state)
{
    struct fixture *fixture = *state;
    struct restarter restarter = { .player = make_player(fixture), .left = 5 };

    restarter.player.op.done = restart;
    loop_complete(fixture->loop, &restarter.player.op, 10);
    assert_int_equal(restarter.left, 5);
    /* Each restart waits for a turn of its own. */
    run_one_turn(fixture);
    assert_int_equal(restarter.left, 4);
    run_until(fixture, 1);
    assert_int_equal(restarter.player.res, 15);
}

static int remember_thread(void *argument)
{
    *(pthread_t *)argument = pthread_self();
    return 42;
}

static void test_call_works_on_another_thread_and_is_done_on_the_loops(void **state)
{
    struct fixture *fixture = *state;
    struct player player = make_player(fixture);
    pthread_t worker = pthread_self();

    loop_call(fixture->loop, &player.op, remember_thread, &worker);
    run_until(fixture, 1);
    assert_int_equal(player.res, 42);
    assert_false(pthread_equal(worker, pthread_self()));
    assert_true(pthread_equal(player.thread, pthread_self()));
}

static int wait_for_event(void *argument)
{
    uint64_t count;

    return read(*(int *)argument, &count, sizeof(count)) == sizeof(count) ? 0 : -errno;
}

static void test_calls_beyond_the_pool_wait_and_can_be_cancelled(void **state)
{
    enum { COUNT = 12 };
    struct fixture *fixture = *state;
    struct player players[COUNT];
    int event = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
    unsigned cancelled = 0;

    for (unsigned i = 0; i < COUNT; i++) {
        players[i] = make_player(fixture);
        loop_call(fixture->loop, &players[i].op, wait_for_event, &event);
    }
    /* The last ones are beyond the pool's threads, hence not begun. */
    loop_cancel(fixture->loop, &players[COUNT - 1].op);
    loop_cancel(fixture->loop, &players[COUNT - 3].op);
    run_until(fixture, 2);
    assert_int_equal(eventfd_write(event, COUNT - 2), 0);
    run_until(fixture, COUNT - 2);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(players[i].dones, 1);
        cancelled += players[i].res == -ECANCELED;
    }
    assert_int_equal(cancelled, 2);
    assert_int_equal(players[COUNT - 1].res, -ECANCELED);
    assert_int_equal(players[COUNT - 3].res, -ECANCELED);
    close(event);
}

/* --- clients --- */

struct fake_client {
    struct io_client client;
    pthread_mutex_t lock;
    unsigned batches;
    unsigned dones; /* since the last batch_end() */
    unsigned last_batch;
};

static void assert_locked(struct fake_client *fake)
{
    assert_int_equal(pthread_mutex_trylock(&fake->lock), EBUSY);
}

static void fake_batch_end(struct io_client *client)
{
    struct fake_client *fake = container_of(client, struct fake_client, client);

    assert_locked(fake);
    fake->batches++;
    fake->last_batch = fake->dones;
    fake->dones = 0;
}

static void init_fake(struct fake_client *fake)
{
    *fake = (struct fake_client){ .client = { .lock = &fake->lock, .batch_end = fake_batch_end } };
    pthread_mutex_init(&fake->lock, NULL);
}

static void client_done(struct loop_op *op, int res)
{
    struct fake_client *fake = container_of(op->client, struct fake_client, client);

    assert_locked(fake);
    fake->dones++;
    player_done(op, res);
}

static void test_client_lock_is_held_and_batch_end_comes_once_a_turn(void **state)
{
    struct fixture *fixture = *state;
    struct fake_client a, b;
    struct player players[7];

    init_fake(&a);
    init_fake(&b);
    for (unsigned i = 0; i < ARRAY_SIZE(players); i++) {
        players[i] = make_player(fixture);
        if (i == 6)
            continue;
        players[i].op.client = i < 4 && i != 1 ? &a.client : &b.client;
        players[i].op.done = client_done;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(players); i++)
        loop_complete(fixture->loop, &players[i].op, 0);
    run_until(fixture, ARRAY_SIZE(players));
    assert_int_equal(a.batches, 1);
    assert_int_equal(a.last_batch, 3);
    assert_int_equal(b.batches, 1);
    assert_int_equal(b.last_batch, 3);
    assert_int_equal(pthread_mutex_trylock(&a.lock), 0);
    assert_int_equal(pthread_mutex_trylock(&b.lock), 0);
    pthread_mutex_unlock(&a.lock);
    pthread_mutex_unlock(&b.lock);
    /* A turn without completions of theirs is none of their business. */
    loop_complete(fixture->loop, &players[6].op, 0);
    run_until(fixture, 1);
    assert_int_equal(a.batches, 1);
    /* And without a batch_end() there is nothing to call. */
    a.client.batch_end = NULL;
    loop_complete(fixture->loop, &players[0].op, 0);
    run_until(fixture, 1);
    assert_int_equal(a.batches, 1);
    assert_int_equal(players[0].dones, 2);
}

static void test_operations_start_with_the_clients_lock_held(void **state)
{
    struct fixture *fixture = *state;
    struct fake_client fake;
    struct player players[3];
    char byte;
    int fd = temporary_file(1);

    init_fake(&fake);
    pthread_mutex_lock(&fake.lock);
    for (unsigned i = 0; i < 3; i++) {
        players[i] = make_player(fixture);
        players[i].op.client = &fake.client;
        players[i].op.done = client_done;
    }
    loop_read(fixture->loop, &players[0].op, fd, &byte, 1, 0);
    loop_complete(fixture->loop, &players[1].op, 0);
    loop_timeout(fixture->loop, &players[2].op, 0);
    pthread_mutex_unlock(&fake.lock);
    run_until(fixture, 3);
    close(fd);
}

/* --- other threads --- */

struct poster {
    struct loop_task task;
    struct fixture *fixture;
    unsigned runs;
    unsigned order;
};

static void poster_run(struct loop_task *task)
{
    struct poster *poster = container_of(task, struct poster, task);

    poster->order = poster->fixture->posts_run++;
    poster->runs++;
    if (--poster->fixture->awaited == 0)
        loop_stop(poster->fixture->loop);
}

static void test_posted_tasks_run_in_order_and_once_however_often_posted(void **state)
{
    struct fixture *fixture = *state;
    struct poster posters[3];

    for (unsigned i = 0; i < 3; i++)
        posters[i] = (struct poster){ .task.run = poster_run, .fixture = fixture };
    for (unsigned i = 0; i < 3; i++) {
        loop_post(fixture->loop, &posters[i].task);
        loop_post(fixture->loop, &posters[0].task);
    }
    run_until(fixture, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(posters[i].runs, 1);
        assert_int_equal(posters[i].order, i);
    }
    /* It may be posted again, and again. */
    loop_post(fixture->loop, &posters[1].task);
    run_until(fixture, 1);
    assert_int_equal(posters[1].runs, 2);
}

enum { STORM_THREADS = 4, STORM_POSTS = 2000 };

static void *post_storm(void *argument)
{
    struct poster *posters = argument;

    for (unsigned i = 0; i < STORM_POSTS; i++)
        loop_post(posters[i].fixture->loop, &posters[i].task);
    return NULL;
}

static void test_posts_of_many_threads_all_arrive(void **state)
{
    struct fixture *fixture = *state;
    struct poster *posters = calloc(STORM_THREADS * STORM_POSTS, sizeof(*posters));
    pthread_t threads[STORM_THREADS];

    for (unsigned i = 0; i < STORM_THREADS * STORM_POSTS; i++)
        posters[i] = (struct poster){ .task.run = poster_run, .fixture = fixture };
    for (unsigned i = 0; i < STORM_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, post_storm, posters + i * STORM_POSTS), 0);
    run_until(fixture, STORM_THREADS * STORM_POSTS);
    for (unsigned i = 0; i < STORM_THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < STORM_THREADS * STORM_POSTS; i++)
        assert_int_equal(posters[i].runs, 1);
    free(posters);
}

static void *stop_it(void *argument)
{
    loop_stop(argument);
    return NULL;
}

static void test_stop_from_another_thread_ends_a_waiting_loop(void **state)
{
    struct fixture *fixture = *state;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, stop_it, fixture->loop), 0);
    assert_int_equal(loop_run(fixture->loop), 0);
    pthread_join(thread, NULL);
}

static struct loop *loop_of_handler;

static void stop_in_handler(int number)
{
    (void)number;
    loop_stop(loop_of_handler);
}

static void raise_alarm(struct loop_task *task)
{
    (void)task;
    raise(SIGALRM);
}

static void test_stop_in_a_signal_handler_ends_the_loop(void **state)
{
    struct fixture *fixture = *state;
    struct sigaction action = { .sa_handler = stop_in_handler }, previous;
    struct loop_task task = { .run = raise_alarm };

    loop_of_handler = fixture->loop;
    assert_int_equal(sigaction(SIGALRM, &action, &previous), 0);
    loop_post(fixture->loop, &task);
    assert_int_equal(loop_run(fixture->loop), 0);
    assert_int_equal(sigaction(SIGALRM, &previous, NULL), 0);
}

static void *interrupt_and_complete(void *argument)
{
    pthread_t *loop_thread = argument;

    for (unsigned i = 0; i < 100; i++)
        pthread_kill(*loop_thread, SIGALRM);
    return NULL;
}

static void ignore_in_handler(int number)
{
    (void)number;
}

static void test_signals_without_meaning_disturb_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct sigaction action = { .sa_handler = ignore_in_handler }, previous;
    struct player timer = make_player(fixture);
    pthread_t thread, self = pthread_self();

    assert_int_equal(sigaction(SIGALRM, &action, &previous), 0);
    loop_timeout(fixture->loop, &timer.op, 30000000);
    assert_int_equal(pthread_create(&thread, NULL, interrupt_and_complete, &self), 0);
    run_until(fixture, 1);
    assert_int_equal(timer.res, 0);
    pthread_join(thread, NULL);
    assert_int_equal(sigaction(SIGALRM, &previous, NULL), 0);
}

static void *run_the_loop(void *argument)
{
    struct fixture *fixture = argument;

    run_until(fixture, fixture->awaited);
    return NULL;
}

static void test_operations_queued_by_the_creator_run_on_the_loop_thread(void **state)
{
    enum { COUNT = QUEUE_ENTRIES * 3 };
    struct fixture *fixture = *state;
    struct player players[COUNT];
    char byte;
    pthread_t thread;
    int fd = temporary_file(1);

    for (unsigned i = 0; i < COUNT; i++) {
        players[i] = make_player(fixture);
        loop_read(fixture->loop, &players[i].op, fd, &byte, 1, 0);
    }
    fixture->awaited = COUNT;
    assert_int_equal(pthread_create(&thread, NULL, run_the_loop, fixture), 0);
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(players[i].dones, 1);
        assert_int_equal(players[i].res, 1);
        assert_true(pthread_equal(players[i].thread, thread));
    }
    close(fd);
}

/* --- creation --- */

static void test_engines_name_themselves(void **state)
{
    struct loop *loop;
    struct error err = { 0 };

    (void)state;
    assert_int_equal(loop_create(LOOP_ENGINE_THREADS, 8, &loop, &err), 0);
    assert_string_equal(loop_engine_name(loop), "threads");
    loop_destroy(loop);
    loop_destroy(NULL);
    assert_int_equal(loop_create(LOOP_ENGINE_IO_URING, 8, &loop, &err), 0);
    assert_string_equal(loop_engine_name(loop), "io_uring");
    loop_destroy(loop);
    assert_int_equal(loop_create(LOOP_ENGINE_AUTO, 8, &loop, &err), 0);
    assert_string_equal(loop_engine_name(loop), "io_uring");
    loop_destroy(loop);
    assert_string_equal(err.text, "");
}

/* Make a system call fail as a container's seccomp filter does. */
static int forbid(int number, int code)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)code),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = ARRAY_SIZE(filter), .filter = filter };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

/* Exit status of the child: 0 when all is as it should be, else the number of the check that was not. */
static int check_refusal(int code)
{
    struct error err = { 0 };
    struct loop *loop = NULL;

    if (forbid(SYS_io_uring_setup, code) < 0)
        return 1;
    if (loop_create(LOOP_ENGINE_IO_URING, 8, &loop, &err) != -code || loop)
        return 2;
    if (!strstr(err.text, "io_uring") || !strstr(err.text, "seccomp"))
        return 3;
    err.text[0] = '\0';
    if (loop_create(LOOP_ENGINE_AUTO, 8, &loop, &err) != 0)
        return 4;
    if (strcmp(loop_engine_name(loop), "threads") != 0 || !strstr(err.text, "seccomp"))
        return 5;
    loop_destroy(loop);
    return 0;
}

static void test_auto_falls_back_to_threads_and_says_why(void **state)
{
    static const int codes[] = { EPERM, ENOSYS };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(codes); i++) {
        pid_t child = fork();
        int status;

        assert_true(child >= 0);
        if (child == 0)
            _exit(check_refusal(codes[i]));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

/* A pool that gets no thread fails the operation, and only that. */
static int check_no_threads(enum loop_engine engine)
{
    struct fixture fixture = { 0 };
    struct error err = { 0 };
    struct player player = make_player(&fixture);

    if (loop_create(engine, 8, &fixture.loop, &err) < 0)
        return 1;
    if (forbid(SYS_clone3, EPERM) < 0 || forbid(SYS_clone, EPERM) < 0)
        return 2;
    loop_call(fixture.loop, &player.op, remember_thread, &player.thread);
    fixture.awaited = 1;
    if (loop_run(fixture.loop) < 0 || player.res != -EAGAIN)
        return 3;
    loop_destroy(fixture.loop);
    return 0;
}

static void test_call_without_any_thread_fails_with_eagain(void **state)
{
    (void)state;
    for (int engine = LOOP_ENGINE_IO_URING; engine <= LOOP_ENGINE_THREADS; engine++) {
        pid_t child = fork();
        int status;

        assert_true(child >= 0);
        if (child == 0)
            _exit(check_no_threads((enum loop_engine)engine));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

#define ON_BOTH(test)                                                                                        \
    { #test " [io_uring]", test, set_up_io_uring, tear_down, NULL },                                         \
    {                                                                                                        \
#test " [threads]", test, set_up_threads, tear_down, NULL                                            \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(test_file_write_then_read_at_offsets_gives_the_same_bytes),
        ON_BOTH(test_read_at_end_of_file_gives_zero),
        ON_BOTH(test_dsync_write_fdatasync_and_fallocate_do_their_work),
        ON_BOTH(test_failures_are_results),
        ON_BOTH(test_file_without_offset_is_read_from_its_own_position),
        ON_BOTH(test_dev_null_as_stdin_reads_as_its_end),
        ON_BOTH(test_more_operations_than_queue_entries_all_complete),
        ON_BOTH(test_blocking_eventfd_read_waits_and_consumes),
        ON_BOTH(test_nonblocking_eventfd_read_waits_and_consumes),
        ON_BOTH(test_two_reads_of_one_pipe_each_get_a_message),
        ON_BOTH(test_closed_pipe_ends_reads_with_zero_and_writes_with_epipe),
        ON_BOTH(test_write_to_full_pipe_waits_for_room),
        ON_BOTH(test_write_to_full_nonblocking_pipe_waits_for_room),
        ON_BOTH(test_terminal_read_waits_for_a_key),
        ON_BOTH(test_write_to_stuck_terminal_holds_up_nothing_and_can_be_cancelled),
        ON_BOTH(test_poll_reports_readiness_once),
        ON_BOTH(test_accept_waits_for_a_caller),
        ON_BOTH(test_accept_on_nonblocking_socket_waits_for_a_caller),
        ON_BOTH(test_timeouts_fire_in_order_and_not_early),
        ON_BOTH(test_cancel_ends_everything_that_waits),
        ON_BOTH(test_cancel_of_one_that_is_done_is_nothing),
        ON_BOTH(test_cancel_of_a_neighbour_in_the_batch_keeps_its_result),
        ON_BOTH(test_complete_is_never_delivered_by_the_call_itself_and_may_restart),
        ON_BOTH(test_call_works_on_another_thread_and_is_done_on_the_loops),
        ON_BOTH(test_calls_beyond_the_pool_wait_and_can_be_cancelled),
        ON_BOTH(test_client_lock_is_held_and_batch_end_comes_once_a_turn),
        ON_BOTH(test_operations_start_with_the_clients_lock_held),
        ON_BOTH(test_posted_tasks_run_in_order_and_once_however_often_posted),
        ON_BOTH(test_posts_of_many_threads_all_arrive),
        ON_BOTH(test_stop_from_another_thread_ends_a_waiting_loop),
        ON_BOTH(test_stop_in_a_signal_handler_ends_the_loop),
        ON_BOTH(test_signals_without_meaning_disturb_nothing),
        ON_BOTH(test_operations_queued_by_the_creator_run_on_the_loop_thread),
        cmocka_unit_test(test_engines_name_themselves),
        cmocka_unit_test(test_auto_falls_back_to_threads_and_says_why),
        cmocka_unit_test(test_call_without_any_thread_fails_with_eagain),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
