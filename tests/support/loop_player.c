/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_player.c - see loop_player.h.
 */
#include "loop_player.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "ringlet/error.h"
#include "ringlet/util.h"

void player_done(struct loop_op *op, int res)
{
    struct loop_player *player = container_of(op, struct loop_player, op);

    assert_false(op->pending);
    player->res = res;
    player->dones++;
    player->thread = pthread_self();
    player->order = player->fixture->order++;
    assert_int_not_equal(player->fixture->awaited, 0);
    if (--player->fixture->awaited == 0)
        loop_stop(player->fixture->loop);
}

struct loop_player make_player(struct loop_fixture *fixture)
{
    return (struct loop_player){ .op.done = player_done, .fixture = fixture };
}

void run_until(struct loop_fixture *fixture, unsigned dones)
{
    fixture->awaited = dones;
    assert_int_equal(loop_run(fixture->loop), 0);
    assert_int_equal(fixture->awaited, 0);
}

void run_one_turn(struct loop_fixture *fixture)
{
    fixture->awaited = UINT32_MAX;
    loop_stop(fixture->loop);
    assert_int_equal(loop_run(fixture->loop), 0);
}

static int set_up(void **state, enum loop_engine engine)
{
    struct loop_fixture *fixture = calloc(1, sizeof(*fixture));
    struct error err = { 0 };

    if (!fixture)
        return -1;
    if (loop_create(engine, LOOP_PLAYER_ENTRIES, &fixture->loop, &err) < 0) {
        print_error("%s\n", err.text);
        free(fixture);
        return -1;
    }
    *state = fixture;
    return 0;
}

int loop_set_up_io_uring(void **state)
{
    return set_up(state, LOOP_ENGINE_IO_URING);
}

int loop_set_up_threads(void **state)
{
    return set_up(state, LOOP_ENGINE_THREADS);
}

int loop_tear_down(void **state)
{
    struct loop_fixture *fixture = *state;

    loop_destroy(fixture->loop);
    free(fixture);
    return 0;
}

int temporary_file(uint64_t size)
{
    int fd = memfd_create("loop-test", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    return fd;
}

void open_terminal(int flags, int *ret_master, int *ret_slave)
{
    struct termios attributes;

    *ret_master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(*ret_master >= 0);
    assert_int_equal(grantpt(*ret_master), 0);
    assert_int_equal(unlockpt(*ret_master), 0);
    *ret_slave = open(ptsname(*ret_master), O_RDWR | O_NOCTTY | O_CLOEXEC | flags);
    assert_true(*ret_slave >= 0);
    assert_int_equal(tcgetattr(*ret_slave, &attributes), 0);
    cfmakeraw(&attributes);
    assert_int_equal(tcsetattr(*ret_slave, TCSANOW, &attributes), 0);
}
