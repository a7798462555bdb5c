/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open_path.c - see ringlet/open_path.h.
 */
#include "ringlet/open_path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ringlet/cleanup.h"
#include "ringlet/parse.h"

#define FD_PREFIX "fd="

bool path_is_fd(const char *path, int *ret_fd)
{
    uint64_t number;

    if (strncmp(path, FD_PREFIX, strlen(FD_PREFIX)) != 0 ||
        !parse_number(path + strlen(FD_PREFIX), &number) || number > INT_MAX)
        return false;
    *ret_fd = (int)number;
    return true;
}

/* Does a file opened for `have` allow all that `wanted` does? Both are F_GETFL's and open()'s access modes. */
static bool mode_allows(int have, int wanted)
{
    return have == O_RDWR || have == wanted;
}

static int duplicate(int given, int flags)
{
    int have = fcntl(given, F_GETFL);
    CLEANUP_CLOSE int fd = -1;

    /* O_PATH: a name that was looked up, and no open file. */
    if (have < 0 || have & O_PATH)
        return -EBADF;
    if (!mode_allows(have & O_ACCMODE, flags & O_ACCMODE))
        return -EACCES;
    /* Never one of the three that a program takes for its own. */
    fd = fcntl(given, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (fd < 0)
        return errno == EINVAL ? -EMFILE : -errno; /* a limit below that number */
    if (flags & O_DIRECT && !(have & O_DIRECT) && fcntl(fd, F_SETFL, have | O_DIRECT) < 0)
        return -errno;
    return steal_fd(&fd);
}

int open_path(const char *path, int flags, mode_t mode)
{
    int fd;

    if (path_is_fd(path, &fd))
        return duplicate(fd, flags);
    fd = open(path, flags | O_CLOEXEC, mode);
    return fd < 0 ? -errno : fd;
}

int stat_path(const char *path, struct stat *ret_status)
{
    struct stat status;
    int fd;

    if ((path_is_fd(path, &fd) ? fstat(fd, &status) : stat(path, &status)) < 0)
        return -errno;
    *ret_status = status;
    return 0;
}

const char *open_path_reason(const char *path, int code)
{
    int fd;

    if (path_is_fd(path, &fd) && code == -EBADF)
        return "that descriptor is not open; whoever starts us has to open it, as a shell does with 3<FILE to read and 3>FILE to write";
    if (path_is_fd(path, &fd) && code == -EACCES)
        return "that descriptor is open for something else; a shell opens one to read with 3<FILE, to write "
               "with 3>FILE, for both with 3<>FILE";
    return strerror(-code);
}
