/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm_end.c - see vm_end.h.
 */
#include "vm_end.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "exit_status.h"
#include "guest_channel.h"
#include "guest_session.h"
#include "mmio_slot.h"
#include "ringlet/char_backend.h"
#include "ringlet/console.h"
#include "ringlet/error.h"
#include "ringlet/log.h"
#include "ringlet/terminal.h"
#include "ringlet/util.h"
#include "ringlet/vcpu.h"

#define SECOND UINT64_C(1000000000)

#define END_DEADLINE  (10 * SECOND)   /* from the request to nothing in flight */
#define SETTLE_PERIOD (SECOND / 1000) /* how often quiet is looked for; requests end within a disk's time */

static_assert(sizeof(struct signalfd_siginfo) == sizeof(((struct vm_end *)0)->signal_info),
              "room for one signal");

static const int ending_signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

static void request(struct stop_sink *sink, enum stop_reason reason, int value)
{
    struct vm_end *end = container_of(sink, struct vm_end, sink);

    if (atomic_flag_test_and_set(&end->claimed))
        return;
    end->reason = reason;
    end->value = value;
    loop_post(end->loop, &end->request_task); /* publishes the two */
}

static const struct stop_sink_ops sink_ops = { .request = request };

int vm_end_status(const struct vm_end *end)
{
    int status, command;

    if (!end->channel)
        return exit_status_of(end->reason, end->value);
    status = exit_status_of_exec(end->reason, end->value);
    /* A guest that goes after it has said how the command ended has not died; the host's reasons count always. */
    if (status == EXIT_STATUS_GUEST_DIED &&
        guest_session_ended(guest_channel_session(end->channel), &command))
        return command;
    return status;
}

/* The end takes too long, or the person has asked twice. */
static _Noreturn void end_process_now(const struct vm_end *end)
{
    terminal_restore();
    if (end->leaving)
        end->leaving(end->leaving_argument);
    _exit(vm_end_status(end));
}

/* What still is to come to its end, as a person would call it; NULL when nothing is. Signals do not count. */
static const char *what_is_missing(const struct vm_end *end)
{
    if (atomic_load(&end->vcpus_running))
        return "a vCPU";
    for (unsigned i = 0; i < end->slot_count; i++) {
        if (!mmio_slot_is_quiet(end->slots[i]))
            return "a device's request";
    }
    if (!end->console_drained)
        return "the reader of the console's output";
    if (!end->channel_drained)
        return "the reader of the command's output";
    return end->timeout_op.pending ? "a timer" : NULL;
}

static void deadline_passed(struct loop_op *op, int res)
{
    struct vm_end *end = container_of(op, struct vm_end, deadline_op);
    const char *missing = what_is_missing(end);

    if (res == -ECANCELED) {
        loop_stop(end->loop);
        return;
    }
    if (missing)
        log_error("%s does not come to its end; leaving without it", missing);
    end_process_now(end);
}

static void cancel_if_pending(struct loop *loop, struct loop_op *op)
{
    if (op->pending)
        loop_cancel(loop, op);
}

/*
 * Signals are listened to until nothing else is left: it is while a disk or a reader keeps us waiting that a
 * person sends the second one.
 */
static void look_for_quiet(struct loop_op *op, int res)
{
    struct vm_end *end = container_of(op, struct vm_end, settle_op);
    bool quiet = !what_is_missing(end);

    (void)res;
    if (quiet)
        cancel_if_pending(end->loop, &end->signal_op);
    if (quiet && !end->signal_op.pending)
        loop_cancel(end->loop, &end->deadline_op); /* whose end is the loop's */
    else
        loop_timeout(end->loop, &end->settle_op, SETTLE_PERIOD);
}

static void console_is_drained(void *argument)
{
    struct vm_end *end = argument;

    end->console_drained = true;
}

static void channel_is_drained(void *argument)
{
    struct vm_end *end = argument;

    end->channel_drained = true;
}

/* No CPU runs: nothing new can begin. */
static void vcpus_gone(struct loop_task *task)
{
    struct vm_end *end = container_of(task, struct vm_end, vcpus_gone_task);

    for (unsigned i = 0; i < end->slot_count; i++)
        mmio_slot_stop(end->slots[i]);
    cancel_if_pending(end->loop, &end->timeout_op);
    end->console->ops->finish(end->console, console_is_drained, end);
    if (end->channel)
        guest_session_finish(guest_channel_session(end->channel), channel_is_drained, end);
    else
        end->channel_drained = true;
    loop_complete(end->loop, &end->settle_op, 0);
}

static void begin(struct loop_task *task)
{
    struct vm_end *end = container_of(task, struct vm_end, request_task);

    end->stopping = true;
    loop_timeout(end->loop, &end->deadline_op, end->deadline ? end->deadline : END_DEADLINE);
    for (unsigned i = 0; i < end->vcpu_count; i++)
        vcpu_stop(end->vcpus[i]);
}

void vm_end_vcpu_exited(void *argument)
{
    struct vm_end *end = argument;

    if (atomic_fetch_sub(&end->vcpus_running, 1) == 1)
        loop_post(end->loop, &end->vcpus_gone_task);
}

static void read_signal(struct vm_end *end)
{
    loop_read(end->loop, &end->signal_op, end->signal_fd, end->signal_info, sizeof(end->signal_info),
              LOOP_NO_OFFSET);
}

/* The first of these goes to the command, if there is one. */
static void take_signal(struct vm_end *end, int number)
{
    switch (number) {
    case SIGCONT:
        console_continue(end->channel ? guest_channel_input(end->channel) : end->console);
        break;
    case SIGWINCH:
        if (end->channel)
            guest_channel_window_changed(end->channel);
        break;
    default:
        if (end->stopping)
            end_process_now(end);
        if (!end->channel || !guest_session_signal(guest_channel_session(end->channel), number))
            stop_request(&end->sink, STOP_SIGNAL, number);
    }
}

static void signal_arrived(struct loop_op *op, int res)
{
    struct vm_end *end = container_of(op, struct vm_end, signal_op);
    struct signalfd_siginfo info;

    if (res == -ECANCELED)
        return;
    if (res == sizeof(info)) {
        memcpy(&info, end->signal_info, sizeof(info));
        take_signal(end, (int)info.ssi_signo);
    }
    read_signal(end);
}

static void timed_out(struct loop_op *op, int res)
{
    struct vm_end *end = container_of(op, struct vm_end, timeout_op);

    if (res == 0)
        stop_request(&end->sink, STOP_TIMEOUT, 0);
    else if (res != -ECANCELED)
        stop_request(&end->sink, STOP_HOST_FAILURE, res); /* without it nothing may ever end the VM */
}

/* Those of them that were not ignored when we were started, into *set. */
static void take_ending_signals(sigset_t *set)
{
    sigemptyset(set);
    for (size_t i = 0; i < ARRAY_SIZE(ending_signals); i++) {
        struct sigaction action;

        if (sigaction(ending_signals[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(set, ending_signals[i]);
    }
}

static int watch_early(struct vm_end *end, int fd)
{
    struct epoll_event event = { .events = EPOLLIN };

    return epoll_ctl(end->interrupt_fd, EPOLL_CTL_ADD, fd, &event);
}

/* Make interrupt_fd, with the signals of *set. 0 or -errno */
static int open_interrupt(struct vm_end *end, const sigset_t *set, uint64_t timeout)
{
    struct itimerspec time = { .it_value = { .tv_sec = (time_t)(timeout / SECOND),
                                             .tv_nsec = (long)(timeout % SECOND) } };

    end->interrupt_fd = epoll_create1(EPOLL_CLOEXEC);
    end->early_signal_fd = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
    end->early_timeout_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (end->interrupt_fd < 0 || end->early_signal_fd < 0 || end->early_timeout_fd < 0 ||
        timerfd_settime(end->early_timeout_fd, 0, &time, NULL) < 0 ||
        watch_early(end, end->early_signal_fd) < 0 || watch_early(end, end->early_timeout_fd) < 0)
        return -errno;
    return 0;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void close_interrupt(struct vm_end *end)
{
    close_fd(&end->interrupt_fd);
    close_fd(&end->early_signal_fd);
    close_fd(&end->early_timeout_fd);
}

int vm_end_init(struct vm_end *end, uint64_t timeout, struct error *err)
{
    sigset_t set;
    int result;

    *end = (struct vm_end)VM_END_NONE;
    end->sink.ops = &sink_ops;
    atomic_flag_clear(&end->claimed);
    end->request_task.run = begin;
    end->vcpus_gone_task.run = vcpus_gone;
    end->signal_op.done = signal_arrived;
    end->timeout_op.done = timed_out;
    end->settle_op.done = look_for_quiet;
    end->deadline_op.done = deadline_passed;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    /* Ignored, as some parents leave it, it would reap our children before we look. */
    signal(SIGCHLD, SIG_DFL);
    take_ending_signals(&set);
    result = open_interrupt(end, &set, timeout);
    if (result < 0)
        return error_set(err, result, "cannot listen to signals and time: %s", strerror(-result));
    sigaddset(&set, SIGCONT);
    sigaddset(&set, SIGWINCH);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    end->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
    if (end->signal_fd < 0)
        return error_set(err, -errno, "cannot listen to signals: %s", strerror(errno));
    return 0;
}

void vm_end_finish(struct vm_end *end)
{
    close_fd(&end->signal_fd);
    close_interrupt(end);
}

bool vm_end_interrupted(struct vm_end *end)
{
    struct signalfd_siginfo info;
    uint64_t expirations;

    if (read(end->early_signal_fd, &info, sizeof(info)) == sizeof(info)) {
        end->reason = STOP_SIGNAL;
        end->value = (int)info.ssi_signo;
        return true;
    }
    if (read(end->early_timeout_fd, &expirations, sizeof(expirations)) == sizeof(expirations)) {
        end->reason = STOP_TIMEOUT;
        return true;
    }
    return false;
}

void vm_end_start(struct vm_end *end, uint64_t timeout)
{
    close_interrupt(end);
    atomic_store(&end->vcpus_running, end->vcpu_count);
    read_signal(end);
    if (timeout)
        loop_timeout(end->loop, &end->timeout_op, timeout);
}

void vm_end_without_loop(int result)
{
    log_error("the event loop failed: %s", strerror(-result));
    terminal_restore();
    _exit(EXIT_STATUS_FAILURE);
}
