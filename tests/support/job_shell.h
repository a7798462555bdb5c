/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job_shell.h - a shell with job control, in a session of its own: it has a terminal and one job, which it takes to the
 * foreground and to the background, and it types. For what is to be seen by a process in the background.
 */
#ifndef RINGLET_TESTS_JOB_SHELL_H
#define RINGLET_TESTS_JOB_SHELL_H

#include <stdbool.h>

/* What the job tells the shell to do. */
enum job_shell_order { JOB_FOREGROUND = 'f', JOB_BACKGROUND = 'b', JOB_TYPE = 't' };

/* The job's two ends of the talk. */
struct job_shell_link {
    int to_shell, from_shell;
};

struct job_shell {
    int master, slave; /* a pty; the slave becomes the session's terminal */
    const char *typed; /* at JOB_TYPE */
    /* In a process of its own, in the background at first. 0, or what tells the line that failed: JOB_CHECK(). */
    int (*job)(void *argument, const struct job_shell_link *link);
    void *argument;
};

/* Run the job to its end; fails the test unless it gave 0. */
void job_shell_run(const struct job_shell *shell);

/* For the job: have the shell do something, and wait until it has. */
bool job_shell_ask(const struct job_shell_link *link, enum job_shell_order order);

#define JOB_CHECK(condition)                                                                                 \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            return __LINE__ % 255 + 1;                                                                       \
    } while (0)

#endif
