/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_loop_create.c - which engine one gets, what is said when io_uring is refused, and how a loop does that
 * gets no threads. Refusals are real ones: a seccomp filter in a child process.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop_player.h"
#include "ringlet/error.h"
#include "ringlet/util.h"

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

/* The value of `expression`, computed in a process of its own; -1 if that dies. */
#define in_child(expression)                                                                                 \
    __extension__({                                                                                          \
        pid_t child_ = fork();                                                                               \
        int status_ = -1;                                                                                    \
                                                                                                             \
        if (child_ == 0)                                                                                     \
            _exit(expression);                                                                               \
        assert_int_equal(waitpid(child_, &status_, 0), child_);                                              \
        WIFEXITED(status_) ? WEXITSTATUS(status_) : -1;                                                      \
    })

/* In a child: 0 when all is as it should be, else the number of the check that was not. */
static int check_refusal(int code, const char *word)
{
    struct error err = { 0 };
    struct loop *loop = NULL;

    if (forbid(SYS_io_uring_setup, code) < 0)
        return 1;
    if (loop_create(LOOP_ENGINE_IO_URING, 8, &loop, &err) != -code || loop)
        return 2;
    if (!strstr(err.text, "io_uring") || !strstr(err.text, word))
        return 3;
    err.text[0] = '\0';
    if (loop_create(LOOP_ENGINE_AUTO, 8, &loop, &err) != 0)
        return 4;
    if (strcmp(loop_engine_name(loop), "threads") != 0 || !strstr(err.text, word))
        return 5;
    loop_destroy(loop);
    return 0;
}

static void test_auto_falls_back_to_threads_and_says_why(void **state)
{
    static const struct {
        int code;
        const char *word;
    } refusals[] = {
        { EPERM, "seccomp" },
        { ENOSYS, "seccomp" },
        { ENOMEM, "ulimit -l" },
        { EINVAL, "Invalid argument" }, /* whichever flags are left out */
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(refusals); i++)
        assert_int_equal(in_child(check_refusal(refusals[i].code, refusals[i].word)), 0);
}

static int remember_thread(void *argument)
{
    *(pthread_t *)argument = pthread_self();
    return 42;
}

/* A pool that gets no thread fails the operation, and only that. */
static int check_no_threads(enum loop_engine engine)
{
    struct loop_fixture fixture = { 0 };
    struct error err = { 0 };
    struct loop_player player = make_player(&fixture);

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
    assert_int_equal(in_child(check_no_threads(LOOP_ENGINE_IO_URING)), 0);
    assert_int_equal(in_child(check_no_threads(LOOP_ENGINE_THREADS)), 0);
}

/* The only thread there can be is stuck, work waits behind it, and cancelling the first costs the thread. */
static int check_last_thread_lost(void)
{
    struct loop_fixture fixture = { 0 };
    struct loop_player stuck = make_player(&fixture), behind = make_player(&fixture);
    static const char flood[1 << 20];
    struct pollfd output;
    int master, slave;

    if (loop_create(LOOP_ENGINE_THREADS, 8, &fixture.loop, NULL) < 0)
        return 1;
    open_terminal(0, &master, &slave);
    loop_write(fixture.loop, &stuck.op, slave, flood, sizeof(flood), LOOP_NO_OFFSET);
    run_one_turn(&fixture);
    if (forbid(SYS_clone3, EPERM) < 0 || forbid(SYS_clone, EPERM) < 0)
        return 2;
    loop_call(fixture.loop, &behind.op, remember_thread, &behind.thread);
    /* Something comes out of the terminal: the thread is inside its write. */
    output = (struct pollfd){ .fd = master, .events = POLLIN };
    if (poll(&output, 1, -1) != 1)
        return 3;
    loop_cancel(fixture.loop, &stuck.op);
    run_until(&fixture, 2);
    if (stuck.res != -ECANCELED || behind.res != -EAGAIN)
        return 4;
    loop_destroy(fixture.loop);
    return 0;
}

static void test_work_behind_the_last_thread_fails_when_that_is_lost(void **state)
{
    (void)state;
    assert_int_equal(in_child(check_last_thread_lost()), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engines_name_themselves),
        cmocka_unit_test(test_auto_falls_back_to_threads_and_says_why),
        cmocka_unit_test(test_call_without_any_thread_fails_with_eagain),
        cmocka_unit_test(test_work_behind_the_last_thread_fails_when_that_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
