/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open_path.h - what a person names as a file: a path, or "fd=N" for a descriptor that whoever started us has
 * opened. Every file that an option names is opened here.
 *
 * A descriptor named so stays the caller's to close; what is returned is a duplicate of it, so that position
 * and locks are shared with it. It is used as it was opened: nothing is truncated or created by it.
 * A file that really is called "fd=3" is "./fd=3". That N was passed to us, and is no number of ours, has been
 * seen to before anything is opened (src/named_files.h).
 */
#ifndef RINGLET_OPEN_PATH_H
#define RINGLET_OPEN_PATH_H

#include <stdbool.h>
#include <sys/types.h>

struct stat;

/* Is it "fd=N"? *ret_fd gets N. Anything else, malformed numbers included, is a path. */
bool path_is_fd(const char *path, int *ret_fd);

/*
 * As open(2) with O_CLOEXEC. For "fd=N": -EBADF if it is not open, -EACCES if its access mode does not
 * allow that of `flags`; O_NONBLOCK, O_CREAT, O_TRUNC and O_EXCL mean nothing then, O_DIRECT is set on the open
 * file or -EINVAL. Returns a descriptor or -errno. Any thread.
 */
int open_path(const char *path, int flags, mode_t mode);

/* As stat(2). 0 or -errno, *ret_status then untouched. */
int stat_path(const char *path, struct stat *ret_status);

/*
 * Why either failed with `code`, for the sentence "cannot open PATH: ...": strerror(), or what is to be done about
 * the descriptor. Constant or strerror()'s own, not to be kept.
 */
const char *open_path_reason(const char *path, int code);

#endif
