/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share_argument.h - what the text of a --share option means: HOSTDIR[:GUESTDIR][:ro].
 *
 * A colon that belongs to a name is doubled, as a comma of any device's value is. GUESTDIR is absolute, which is
 * what tells it from "ro"; a HOSTDIR may be any path, or "fd=N" (ringlet/open_path.h). Nothing is opened here.
 */
#ifndef RINGLET_SHARE_ARGUMENT_H
#define RINGLET_SHARE_ARGUMENT_H

#include <limits.h>
#include <stdbool.h>

struct error;

struct share_argument {
    char host_directory[PATH_MAX];
    char guest_directory[PATH_MAX]; /* "" where none is given */
    bool read_only;
};

/* `text` without the doubled commas of the command line. 0, or -EINVAL with *err. */
int share_argument_parse(const char *text, struct share_argument *ret_argument, struct error *err);

#endif
