/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child_process.h - a program that works for this process and for as long as it: a helper such as passt.
 *
 * The child gets the descriptors that it is meant to have and no others, signals as a shell would give them,
 * /dev/null as standard input and output, a session of its own, and SIGKILL when the thread that started it
 * ends. (A program that changes its user or namespace loses that one; in a sandbox it cannot, and takes all of
 * its children along. Without, give it a socket whose end it takes for its own.)
 */
#ifndef RINGLET_IO_CHILD_PROCESS_H
#define RINGLET_IO_CHILD_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

struct child_sandbox;

struct child_process {
    pid_t pid; /* 0: none, or reaped */
    int pidfd; /* becomes readable when it ends */
};

#define CHILD_PROCESS_FIRST_FD 3

struct child_process_options {
    const char *const *argv;             /* argv[0] is looked up in PATH; ends in NULL */
    const int *fds;                      /* fds[i] becomes its descriptor CHILD_PROCESS_FIRST_FD + i */
    unsigned fd_count;                   /* 8 at most */
    int stderr_fd;                       /* becomes its standard error */
    const struct child_sandbox *sandbox; /* prepared; NULL: none */
    bool many_files;                     /* as many open files as are allowed at all */
};

/* What a start fails at. */
enum child_step {
    CHILD_STEP_PROCESS,    /* making a process, its descriptors */
    CHILD_STEP_NAMESPACES, /* the sandbox: the system refuses namespaces */
    CHILD_STEP_DIRECTORY,  /* the sandbox: this directory cannot be shown in it */
    CHILD_STEP_PROGRAM,    /* execve(); -ENOENT also where a folder of PATH may not be entered */
    CHILD_STEP_COUNT,
};

/* 0, or -errno and the step that failed (ret_step may be NULL). */
int child_process_start(const struct child_process_options *options, struct child_process *ret_child,
                        enum child_step *ret_step);

/* SIGKILL; fine for one that has ended. To be reaped nonetheless. */
void child_process_kill(struct child_process *child);

/* Has it ended? It is then reaped, and *ret_status is waitpid()'s. Once only. Does not block. */
bool child_process_reap(struct child_process *child, int *ret_status);

/* How long one that has closed its socket, and so has nothing more to do, is waited for. */
#define CHILD_PROCESS_LINGER_MS 1000

/* Likewise, and wait for it, `timeout_ms` at most (less than 0: not at all). */
bool child_process_wait(struct child_process *child, int timeout_ms, int *ret_status);

/* End it, wait for that, release everything. Fine for one that is zero or reaped. */
void child_process_finish(struct child_process *child);

#endif
