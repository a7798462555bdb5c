/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child_sandbox.h - namespaces for a child that is to see one directory: between fork() and execve(), system
 * calls only.
 *
 * A PID namespace, so that all of its processes end when the first does, whatever has become of them; a mount
 * namespace in which everything is read-only but, if wanted, the directory, which is found at a path of its
 * own, without device files; and for those who are not root a user namespace where root is the caller and
 * nobody else exists.
 */
#ifndef RINGLET_IO_CHILD_SANDBOX_H
#define RINGLET_IO_CHILD_SANDBOX_H

#include <stdbool.h>

#include "child_process.h"

struct child_sandbox {
    int directory_fd; /* borrowed; open for reading, on a mount of ours */
    bool read_only;   /* the directory and all that is mounted below it */
    bool user_namespace;

    /* child_sandbox_prepare() fills these in */
    const char *path; /* where the child finds the directory */
    char uid_map[40], gid_map[40];
};

/*
 * In the parent, before the fork: what needs to be looked up. -ENOENT when there is no place to show the
 * directory at.
 */
int child_sandbox_prepare(struct child_sandbox *sandbox);

/* clone(2)'s flags of the child that is to enter. */
unsigned long child_sandbox_clone_flags(const struct child_sandbox *sandbox);

/* In that child. 0, or -errno with the step that failed. */
int child_sandbox_enter(const struct child_sandbox *sandbox, enum child_step *ret_step);

#endif
