/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child_process.h - a program that works for this process and for as long as it: a helper such as passt.
 *
 * The child gets the descriptors that it is meant to have and no others, signals as a shell would give them,
 * /dev/null as standard input and output, a session of its own, and SIGKILL when the thread that started it
 * ends. (A program that changes its user or namespace loses that one; give it a socket whose end it takes for
 * its own.)
 */
#ifndef RINGLET_IO_CHILD_PROCESS_H
#define RINGLET_IO_CHILD_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

struct child_process {
    pid_t pid; /* 0: none, or reaped */
    int pidfd; /* becomes readable when it ends */
};

#define CHILD_PROCESS_FIRST_FD 3

/*
 * Start argv[0], looked up in PATH, with argv, which ends in NULL. fds[i] becomes its descriptor
 * CHILD_PROCESS_FIRST_FD + i, `stderr_fd` its standard error. 0, or -errno, which may be execve()'s.
 */
int child_process_start(const char *const *argv, const int *fds, unsigned fd_count, int stderr_fd,
                        struct child_process *ret_child);

/* SIGKILL; fine for one that has ended. To be reaped nonetheless. */
void child_process_kill(struct child_process *child);

/* Has it ended? It is then reaped, and *ret_status is waitpid()'s. Once only. Does not block. */
bool child_process_reap(struct child_process *child, int *ret_status);

/* End it, wait for that, release everything. Fine for one that is zero or reaped. */
void child_process_finish(struct child_process *child);

#endif
