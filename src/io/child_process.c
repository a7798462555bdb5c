/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child_process.c - see child_process.h.
 *
 * Between fork() and execve() the child only makes system calls. What goes wrong there it writes into a pipe
 * that execve() closes, so that the parent learns of either.
 */
#include "child_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child_sandbox.h"
#include "ringlet/cleanup.h"
#include "ringlet/program.h"

#define CHILD_FDS_MAX 8

/* Everything that a signal handler or a mask of ours would mean to another program. */
static void reset_signals(void)
{
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL); /* fails for SIGKILL and its like, which need it not */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child: the descriptors, in their places. `report` comes behind them. */
static int place_descriptors(const int *fds, unsigned fd_count, int stderr_fd, int *report)
{
    int behind = CHILD_PROCESS_FIRST_FD + (int)fd_count + 1, high[CHILD_FDS_MAX], report_fd, error_fd,
        null_fd;

    /* Out of the way first, so that no place is taken while it is somebody's source. */
    report_fd = fcntl(*report, F_DUPFD_CLOEXEC, behind);
    if (report_fd < 0)
        return -errno; /* which can still be reported */
    *report = report_fd;
    error_fd = fcntl(stderr_fd, F_DUPFD_CLOEXEC, behind);
    if (error_fd < 0)
        return -errno;
    for (unsigned i = 0; i < fd_count; i++) {
        high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, behind);
        if (high[i] < 0)
            return -errno;
    }
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 ||
        dup2(error_fd, STDERR_FILENO) < 0)
        return -errno;
    for (unsigned i = 0; i < fd_count; i++) {
        if (dup2(high[i], CHILD_PROCESS_FIRST_FD + (int)i) < 0)
            return -errno;
    }
    if (dup3(*report, behind - 1, O_CLOEXEC) < 0)
        return -errno;
    *report = behind - 1;
    return close_range((unsigned)behind, ~0U, 0) < 0 ? -errno : 0;
}

/* Has who started us ended? Nobody else has the other end of this pipe. */
static bool is_orphan(int report)
{
    struct pollfd polled = { .fd = report };

    return poll(&polled, 1, 0) == 1;
}

static void allow_many_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Returns only when it fails. */
static int become(const struct child_process_options *options, int *report, enum child_step *step)
{
    int result;

    if (options->sandbox) {
        result = child_sandbox_enter(options->sandbox, step);
        if (result < 0)
            return result;
    }
    *step = CHILD_STEP_PROCESS;
    /* Behind the sandbox, which makes new credentials: with them this is forgotten. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return -errno;
    if (is_orphan(*report))
        return -ECHILD; /* It ended before we asked for the signal. */
    /*
     * A session of its own: signals that a terminal or a supervisor sends to our process group are ours to
     * judge, and we may have been told to ignore them (nohup). A child of fork() leads no group, so that
     * this cannot fail.
     */
    setsid();
    reset_signals();
    if (options->many_files)
        allow_many_files();
    result = place_descriptors(options->fds, options->fd_count, options->stderr_fd, report);
    if (result < 0)
        return result;
    *step = CHILD_STEP_PROGRAM;
    execvp(options->argv[0], (char *const *)(void *)(uintptr_t)options->argv);
    return -errno;
}

/* What a child that failed writes into the pipe. */
struct report {
    int result;
    enum child_step step;
};

static _Noreturn void be_child(const struct child_process_options *options, int report)
{
    struct report words = { .step = CHILD_STEP_PROCESS };

    words.result = become(options, &report, &words.step);
    if (write(report, &words, sizeof(words)) < 0)
        _exit(2);
    _exit(1);
}

/* fork(), with namespaces. The C library has no call for it, and knows of the child as little as of vfork()'s. */
static pid_t fork_into(const struct child_sandbox *sandbox)
{
    if (!sandbox)
        return fork();
    return (pid_t)syscall(SYS_clone, child_sandbox_clone_flags(sandbox) | SIGCHLD, NULL, NULL, NULL, NULL);
}

/* What the child wrote, or 0 when its end of the pipe closed: it is the other program now. */
static struct report read_report(int fd)
{
    struct report report = { 0 };
    ssize_t length;

    do
        length = read(fd, &report, sizeof(report));
    while (length < 0 && errno == EINTR);
    return length == sizeof(report) ? report : (struct report){ 0 };
}

int child_process_start(const struct child_process_options *options, struct child_process *ret_child,
                        enum child_step *ret_step)
{
    CLEANUP_CLOSE int report_read = -1;
    CLEANUP_CLOSE int report_write = -1;
    struct child_process child = { .pidfd = -1 };
    struct report report = { .step = CHILD_STEP_PROCESS };
    enum child_step unused;
    int ends[2];

    if (!ret_step)
        ret_step = &unused;
    *ret_step = CHILD_STEP_PROCESS;
    if (options->fd_count > CHILD_FDS_MAX)
        return -EINVAL;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    report_read = ends[0];
    report_write = ends[1];
    child.pid = fork_into(options->sandbox);
    if (child.pid < 0) {
        if (options->sandbox && errno != EAGAIN && errno != ENOMEM)
            *ret_step = CHILD_STEP_NAMESPACES;
        return -errno;
    }
    if (child.pid == 0) {
        close(report_read);
        be_child(options, report_write);
    }
    close(steal_fd(&report_write));

    /* A child that is not reaped yet keeps its number; where SIGCHLD is ignored this may fail (-ESRCH). */
    child.pidfd = pidfd_open(child.pid, 0);
    if (child.pidfd < 0)
        report.result = -errno;
    else
        report = read_report(report_read);
    /* A folder of PATH that we may not enter says EACCES too, and the program is as little there. */
    if (report.result == -EACCES && report.step == CHILD_STEP_PROGRAM && !strchr(options->argv[0], '/') &&
        !program_in_path(options->argv[0]))
        report.result = -ENOENT;
    if (report.result < 0) {
        *ret_step = report.step;
        child_process_finish(&child);
        return report.result;
    }
    *ret_child = child;
    return 0;
}

static bool reap(struct child_process *child, int options, int *ret_status)
{
    pid_t pid;

    if (!child->pid)
        return false;
    do
        pid = waitpid(child->pid, ret_status, options);
    while (pid < 0 && errno == EINTR);
    /* Whatever else it says (somebody ignores SIGCHLD), there is no such child any more. */
    if (pid == 0)
        return false;
    child->pid = 0;
    return true;
}

void child_process_kill(struct child_process *child)
{
    if (!child->pid)
        return;
    /* Not by number if it can be had otherwise: where SIGCHLD is ignored it may be another's by now. */
    if (child->pidfd >= 0)
        pidfd_send_signal(child->pidfd, SIGKILL, NULL, 0);
    else
        kill(child->pid, SIGKILL);
}

bool child_process_reap(struct child_process *child, int *ret_status)
{
    *ret_status = 0;
    return reap(child, WNOHANG, ret_status);
}

bool child_process_wait(struct child_process *child, int timeout_ms, int *ret_status)
{
    struct pollfd polled = { .fd = child->pidfd, .events = POLLIN };

    if (child->pid)
        poll(&polled, 1, timeout_ms > 0 ? timeout_ms : 0);
    return child_process_reap(child, ret_status);
}

void child_process_finish(struct child_process *child)
{
    int status;

    if (child->pid) {
        child_process_kill(child);
        reap(child, 0, &status);
    }
    if (child->pidfd > 0)
        close(child->pidfd);
    *child = (struct child_process){ .pidfd = -1 };
}
