/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_vm_end.c - how a machine ends: in order, at the second signal, at the deadline.
 *
 * Each end is played in a child process, because it blocks signals and may end the process on the spot. The
 * machine is a loop, a console that the test drains or does not, and one CPU that leaves when it is told to,
 * or does not. What the child says on stderr is read back: an end on the spot by a signal says nothing, one
 * by the deadline says what was missing.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "exit_status.h"
#include "ringlet/char_backend.h"
#include "ringlet/error.h"
#include "ringlet/loop.h"
#include "ringlet/stop.h"
#include "ringlet/util.h"
#include "vm_end.h"

#define IN_ORDER      99 /* the child's status when loop_run() came back with nothing in flight */
#define OUT_OF_ORDER  98
#define MILLISECOND   UINT64_C(1000000)
#define SHORT         (20 * MILLISECOND)
#define SIGNAL_STATUS EXIT_STATUS_SIGNAL_BASE

struct machine {
    struct vm_end end;
    struct loop *loop;
    struct char_backend console;
    struct loop_op cpu; /* looks, as a CPU between two exits does, whether it is to stop */

    /* how it behaves */
    bool cpu_hangs, console_hangs;
    bool cpu_has_left;    /* before the loop ran */
    int signal_at_stop;   /* sent when the CPU is told to stop; 0: none */
    int signal_at_finish; /* sent when the console is to drain */
};

/* Names a way to ask for the end. */
typedef void way_to_ask(struct machine *machine);

static struct machine *machine_of(struct char_backend *console)
{
    return container_of(console, struct machine, console);
}

static void console_finish(struct char_backend *console, void (*drained)(void *argument), void *argument)
{
    struct machine *machine = machine_of(console);

    if (machine->signal_at_finish)
        kill(getpid(), machine->signal_at_finish);
    if (!machine->console_hangs)
        drained(argument);
}

static const struct char_backend_ops console_ops = { .finish = console_finish };

static void cpu_looks(struct loop_op *op, int res)
{
    struct machine *machine = container_of(op, struct machine, cpu);

    (void)res;
    if (!machine->end.stopping) {
        loop_timeout(machine->loop, op, MILLISECOND);
        return;
    }
    if (machine->signal_at_stop)
        kill(getpid(), machine->signal_at_stop);
    if (!machine->cpu_hangs)
        vm_end_vcpu_exited(&machine->end);
}

/* The child: its exit status is the machine's, or IN_ORDER. */
static _Noreturn void play(struct machine *machine, way_to_ask *ask, uint64_t timeout)
{
    uint64_t deadline = machine->end.deadline;
    struct error err = { 0 };

    if (vm_end_init(&machine->end, 0, &err) < 0 ||
        loop_create(LOOP_ENGINE_THREADS, 64, &machine->loop, &err) < 0)
        _exit(OUT_OF_ORDER);
    machine->console.ops = &console_ops;
    machine->cpu.done = cpu_looks;
    machine->end.loop = machine->loop;
    machine->end.console = &machine->console;
    machine->end.deadline = deadline;
    vm_end_start(&machine->end, timeout);
    atomic_store(&machine->end.vcpus_running, 1); /* the one played here */
    if (ask)
        ask(machine);
    if (!machine->cpu_has_left)
        loop_timeout(machine->loop, &machine->cpu, MILLISECOND);
    if (loop_run(machine->loop) < 0 || loop_in_flight(machine->loop))
        _exit(OUT_OF_ORDER);
    loop_destroy(machine->loop);
    vm_end_finish(&machine->end);
    _exit(IN_ORDER);
}

static int play_in_child(struct machine *machine, way_to_ask *ask, uint64_t timeout, char *said, size_t size)
{
    int status, ends[2];
    size_t length = 0;
    ssize_t count;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (dup2(ends[1], STDERR_FILENO) < 0)
            _exit(OUT_OF_ORDER);
        close(ends[0]);
        close(ends[1]);
        play(machine, ask, timeout);
    }
    close(ends[1]);
    while (length < size - 1 && (count = read(ends[0], said + length, size - 1 - length)) > 0)
        length += (size_t)count;
    said[length] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void expect_silent_end(struct machine *machine, way_to_ask *ask, int status)
{
    char said[1024];

    assert_int_equal(play_in_child(machine, ask, 0, said, sizeof(said)), status);
    assert_string_equal(said, "");
}

static void power_off(struct machine *machine)
{
    stop_request(&machine->end.sink, STOP_POWEROFF, 0);
}

static void terminate(struct machine *machine)
{
    (void)machine;
    kill(getpid(), SIGTERM);
}

/* --- in order --- */

static void test_end_comes_when_cpu_and_console_are_done(void **state)
{
    struct machine machine = { 0 };

    (void)state;
    expect_silent_end(&machine, power_off, IN_ORDER);
}

static void test_one_signal_is_an_orderly_end(void **state)
{
    struct machine machine = { 0 };

    (void)state;
    expect_silent_end(&machine, terminate, IN_ORDER);
}

static void leave_before_the_request(struct machine *machine)
{
    vm_end_vcpu_exited(&machine->end);
    power_off(machine);
    machine->cpu_has_left = true;
}

static void test_cpu_that_leaves_before_the_end_has_begun_does_no_harm(void **state)
{
    struct machine machine = { 0 };

    (void)state;
    expect_silent_end(&machine, leave_before_the_request, IN_ORDER);
}

static void test_timeout_ends_the_machine(void **state)
{
    struct machine machine = { 0 };
    char said[1024];

    (void)state;
    assert_int_equal(play_in_child(&machine, NULL, SHORT, said, sizeof(said)), IN_ORDER);
    assert_string_equal(said, "");
}

/* The reason shows when the deadline ends the process with its status. */
static void reset_then_power_off(struct machine *machine)
{
    stop_request(&machine->end.sink, STOP_RESET, 0);
    power_off(machine);
}

static void test_first_request_names_the_reason(void **state)
{
    struct machine machine = { .cpu_hangs = true, .end.deadline = SHORT };
    char said[1024];

    (void)state;
    assert_int_equal(play_in_child(&machine, reset_then_power_off, 0, said, sizeof(said)), EXIT_STATUS_RESET);
}

static void be_ignored_then_power_off(struct machine *machine)
{
    kill(getpid(), SIGHUP);
    power_off(machine);
}

static void test_signal_that_was_ignored_when_we_were_started_stays_so(void **state)
{
    struct machine machine = { .signal_at_finish = SIGHUP };

    (void)state;
    signal(SIGHUP, SIG_IGN);
    expect_silent_end(&machine, be_ignored_then_power_off, IN_ORDER);
    signal(SIGHUP, SIG_DFL);
}

/* --- on the spot --- */

static void test_second_signal_ends_the_process_while_a_cpu_hangs(void **state)
{
    struct machine machine = { .cpu_hangs = true, .signal_at_stop = SIGINT };

    (void)state;
    expect_silent_end(&machine, terminate, SIGNAL_STATUS + SIGTERM);
}

static void test_second_signal_ends_the_process_while_the_console_drains(void **state)
{
    struct machine machine = { .console_hangs = true, .signal_at_finish = SIGINT };

    (void)state;
    expect_silent_end(&machine, terminate, SIGNAL_STATUS + SIGTERM);
}

/* A program is waited for that does not come up; a window's size ends nothing. */
static _Noreturn void interrupted_wait(void)
{
    struct vm_end end;
    struct error err = { 0 };
    struct pollfd polled = { .events = POLLIN };

    if (vm_end_init(&end, 0, &err) < 0)
        _exit(OUT_OF_ORDER);
    polled.fd = end.interrupt_fd;
    kill(getpid(), SIGWINCH);
    if (poll(&polled, 1, 0) != 0 || vm_end_interrupted(&end))
        _exit(OUT_OF_ORDER);
    kill(getpid(), SIGTERM);
    if (poll(&polled, 1, 0) != 1 || !vm_end_interrupted(&end))
        _exit(OUT_OF_ORDER);
    _exit(vm_end_status(&end));
}

static void test_signal_before_the_loop_runs_ends_what_is_waited_for(void **state)
{
    struct vm_end none = VM_END_NONE;
    int status;
    pid_t child = fork();

    (void)state;
    assert_true(child >= 0);
    if (child == 0)
        interrupted_wait();
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), SIGNAL_STATUS + SIGTERM);
    assert_false(vm_end_interrupted(&none));
}

static void test_timeout_before_the_loop_runs_ends_what_is_waited_for(void **state)
{
    struct vm_end end;
    struct error err = { 0 };
    sigset_t before;
    struct pollfd polled = { .events = POLLIN };

    (void)state;
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &before), 0);
    assert_int_equal(vm_end_init(&end, SHORT, &err), 0);
    polled.fd = end.interrupt_fd;
    assert_int_equal(poll(&polled, 1, -1), 1);
    assert_true(vm_end_interrupted(&end));
    assert_int_equal(vm_end_status(&end), EXIT_STATUS_TIMEOUT);
    vm_end_finish(&end);
    assert_int_equal(vm_end_init(&end, 0, &err), 0);
    polled.fd = end.interrupt_fd;
    assert_int_equal(poll(&polled, 1, 0), 0);
    assert_false(vm_end_interrupted(&end));
    vm_end_finish(&end);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
}

static void test_deadline_says_that_a_cpu_is_missing(void **state)
{
    struct machine machine = { .cpu_hangs = true, .end.deadline = SHORT };
    char said[1024];

    (void)state;
    assert_int_equal(play_in_child(&machine, power_off, 0, said, sizeof(said)), EXIT_STATUS_POWEROFF);
    assert_non_null(strstr(said, "vCPU"));
}

static void test_deadline_says_that_the_console_is_missing(void **state)
{
    struct machine machine = { .console_hangs = true, .end.deadline = SHORT };
    char said[1024];

    (void)state;
    assert_int_equal(play_in_child(&machine, power_off, 0, said, sizeof(said)), EXIT_STATUS_POWEROFF);
    assert_non_null(strstr(said, "console"));
    assert_null(strstr(said, "vCPU"));
}

static void lose_the_loop(struct machine *machine)
{
    (void)machine;
    vm_end_without_loop(-EINVAL);
}

static void test_failed_loop_is_said_and_ends_the_process(void **state)
{
    struct machine machine = { 0 };
    char said[1024];

    (void)state;
    assert_int_equal(play_in_child(&machine, lose_the_loop, 0, said, sizeof(said)), EXIT_STATUS_FAILURE);
    assert_non_null(strstr(said, "event loop failed: Invalid argument"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_end_comes_when_cpu_and_console_are_done),
        cmocka_unit_test(test_one_signal_is_an_orderly_end),
        cmocka_unit_test(test_cpu_that_leaves_before_the_end_has_begun_does_no_harm),
        cmocka_unit_test(test_timeout_ends_the_machine),
        cmocka_unit_test(test_first_request_names_the_reason),
        cmocka_unit_test(test_signal_that_was_ignored_when_we_were_started_stays_so),
        cmocka_unit_test(test_second_signal_ends_the_process_while_a_cpu_hangs),
        cmocka_unit_test(test_second_signal_ends_the_process_while_the_console_drains),
        cmocka_unit_test(test_signal_before_the_loop_runs_ends_what_is_waited_for),
        cmocka_unit_test(test_timeout_before_the_loop_runs_ends_what_is_waited_for),
        cmocka_unit_test(test_deadline_says_that_a_cpu_is_missing),
        cmocka_unit_test(test_deadline_says_that_the_console_is_missing),
        cmocka_unit_test(test_failed_loop_is_said_and_ends_the_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
