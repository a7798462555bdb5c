/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job_shell.c - see job_shell.h. The shell is a child of the test's, because only a process that leads nothing yet
 * can begin a session; the job is a child of the shell's.
 */
#include "job_shell.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

bool job_shell_ask(const struct job_shell_link *link, enum job_shell_order order)
{
    char what = (char)order;

    return write(link->to_shell, &what, 1) == 1 && read(link->from_shell, &what, 1) == 1;
}

static int obey(const struct job_shell *shell, pid_t child, int from_job, int to_job)
{
    size_t length = strlen(shell->typed);
    char what;

    while (read(from_job, &what, 1) == 1) {
        if (what == JOB_TYPE)
            JOB_CHECK(write(shell->master, shell->typed, length) == (ssize_t)length);
        else
            JOB_CHECK(tcsetpgrp(shell->slave, what == JOB_FOREGROUND ? child : getpgrp()) == 0);
        JOB_CHECK(write(to_job, "k", 1) == 1);
    }
    return 0;
}

static int be_shell(const struct job_shell *shell)
{
    int up[2], down[2], status, result;
    pid_t child;

    signal(SIGTTOU, SIG_IGN);
    JOB_CHECK(setsid() >= 0);
    JOB_CHECK(ioctl(shell->slave, TIOCSCTTY, 0) == 0);
    JOB_CHECK(pipe(up) == 0 && pipe(down) == 0);
    child = fork();
    JOB_CHECK(child >= 0);
    if (child == 0) {
        const struct job_shell_link link = { .to_shell = up[1], .from_shell = down[0] };

        signal(SIGTTOU, SIG_DFL);
        signal(SIGTTIN, SIG_DFL);
        setpgid(0, 0);
        close(up[0]);
        close(down[1]);
        _exit(shell->job(shell->argument, &link));
    }
    setpgid(child, child);
    close(up[1]);
    close(down[0]);
    result = obey(shell, child, up[0], down[1]);
    /* A job that still asks hears that nobody is there any more. */
    close(up[0]);
    close(down[1]);
    JOB_CHECK(waitpid(child, &status, WUNTRACED) == child);
    JOB_CHECK(WIFEXITED(status));
    return result ? result : WEXITSTATUS(status);
}

void job_shell_run(const struct job_shell *shell)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0)
        _exit(be_shell(shell));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}
