/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_write_now.c - a write that does not wait where another one of the same file would.
 */
#include "ringlet/write_now.h"

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
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

/* Both ends block, as a shell's pipes do. */
static void fill(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    assert_int_equal(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
    while (write(fd, "xxxxxxxx", 8) > 0)
        continue;
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(fcntl(fd, F_SETFL, flags), 0);
}

static void assert_full_then_free(int writer, int reader)
{
    char bytes[65536];

    alarm(30); /* ends a test that hangs */
    assert_int_equal(write_now(writer, "more", 4), -EAGAIN);
    assert_true(read(reader, bytes, sizeof(bytes)) > 0);
    assert_int_equal(write_now(writer, "more", 4), 4);
    alarm(0);
}

static void test_a_full_pipe_is_not_waited_for(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fill(ends[1]);
    assert_full_then_free(ends[1], ends[0]);
    close(ends[0]);
    assert_int_equal(write_now(ends[1], "more", 4), -EPIPE);
    close(ends[1]);
}

static void test_a_full_socket_is_not_waited_for(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    fill(ends[1]);
    assert_full_then_free(ends[1], ends[0]);
    close(ends[0]);
    close(ends[1]);
}

/*
 * poll(2) says that there is room, and there is, for less than this: a plain write would wait for the rest. (Where the
 * kernel cannot be asked not to wait this would hang, as the header says.)
 */
static void test_room_for_a_part_takes_a_part(void **state)
{
    static char much[1 << 20];
    const struct iovec probe = { much, 1 };
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    if (pwritev2(ends[1], &probe, 1, -1, RWF_NOWAIT) < 0)
        skip(); /* Linux before 6.4 */
    alarm(30);
    assert_in_range(write_now(ends[1], much, sizeof(much)), 1, sizeof(much) - 1);
    alarm(0);
    close(ends[0]);
    close(ends[1]);
}

static void test_files_are_written_where_they_stand(void **state)
{
    char path[] = "/tmp/ringlet-write-XXXXXX", text[16] = "";
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(write_now(fd, "one", 3), 3);
    assert_int_equal(write_now(fd, "two", 3), 3);
    assert_int_equal(pread(fd, text, sizeof(text) - 1, 0), 6);
    assert_string_equal(text, "onetwo");
    close(fd);
    assert_int_equal(write_now(fd, "three", 5), -EBADF);
    fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_int_equal(write_now(fd, "x", 1), -ENOSPC);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_full_pipe_is_not_waited_for),
        cmocka_unit_test(test_a_full_socket_is_not_waited_for),
        cmocka_unit_test(test_room_for_a_part_takes_a_part),
        cmocka_unit_test(test_files_are_written_where_they_stand),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
