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
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ringlet/cleanup.h"

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

static _Noreturn void become(const char *const *argv, const int *fds, unsigned fd_count, int stderr_fd,
                             int report, pid_t parent)
{
    int result;

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) {
        result = -errno;
    } else if (getppid() != parent) {
        /* It ended before we asked for the signal. */
        _exit(1);
    } else {
        /*
         * A session of its own: signals that a terminal or a supervisor sends to our process group are ours to
         * judge, and we may have been told to ignore them (nohup). A child of fork() leads no group, so that
         * this cannot fail.
         */
        setsid();
        reset_signals();
        result = place_descriptors(fds, fd_count, stderr_fd, &report);
        if (result == 0) {
            execvp(argv[0], (char *const *)(void *)(uintptr_t)argv);
            result = -errno;
        }
    }
    if (write(report, &result, sizeof(result)) < 0)
        _exit(2);
    _exit(1);
}

/* What the child wrote, or 0 when its end of the pipe closed: it is the other program now. */
static int read_report(int fd)
{
    int code = 0;
    ssize_t length;

    do
        length = read(fd, &code, sizeof(code));
    while (length < 0 && errno == EINTR);
    return length == sizeof(code) ? code : 0;
}

int child_process_start(const char *const *argv, const int *fds, unsigned fd_count, int stderr_fd,
                        struct child_process *ret_child)
{
    CLEANUP_CLOSE int report_read = -1;
    CLEANUP_CLOSE int report_write = -1;
    struct child_process child = { .pidfd = -1 };
    pid_t parent = getpid();
    int ends[2], result;

    if (fd_count > CHILD_FDS_MAX)
        return -EINVAL;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    report_read = ends[0];
    report_write = ends[1];
    child.pid = fork();
    if (child.pid < 0)
        return -errno;
    if (child.pid == 0)
        become(argv, fds, fd_count, stderr_fd, report_write, parent);
    close(steal_fd(&report_write));

    /* A child that is not reaped yet keeps its number; where SIGCHLD is ignored this may fail (-ESRCH). */
    child.pidfd = pidfd_open(child.pid, 0);
    result = child.pidfd < 0 ? -errno : read_report(report_read);
    if (result < 0) {
        child_process_finish(&child);
        return result;
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
