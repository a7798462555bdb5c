/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pidfile.c - see pidfile.h.
 *
 * The file appears whole: it is written beside its place and renamed, so that a script that waits for it never reads
 * half a number. It is known again by its inode.
 */
#include "pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ringlet/cleanup.h"
#include "ringlet/error.h"
#include "ringlet/open_path.h"

struct pidfile {
    char *path; /* NULL: a descriptor, nothing to remove */
    dev_t device;
    ino_t inode;
};

static int write_number(int fd)
{
    char text[16];
    int length = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    ssize_t written = write(fd, text, (size_t)length);

    return written == length ? 0 : written < 0 ? -errno : -EIO;
}

/* What is at `path`, if anything is, may be replaced: an older VM's number, or nothing. */
static bool may_replace(const char *path)
{
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat status;
    char text[32];
    ssize_t length;

    if (fd < 0)
        return errno == ENOENT;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return false;
    length = read(fd, text, sizeof(text));
    if (length < 0 || length == sizeof(text))
        return false;
    for (ssize_t i = 0; i < length; i++) {
        if ((text[i] < '0' || text[i] > '9') && text[i] != '\n')
            return false;
    }
    return true;
}

static int write_beside(struct pidfile *pidfile, const char *path)
{
    CLEANUP_FREE char *beside = NULL;
    CLEANUP_CLOSE int fd = -1;
    struct stat status = { 0 };
    int result;

    pidfile->path = strdup(path);
    if (!pidfile->path || asprintf(&beside, "%s.%d", path, (int)getpid()) < 0) {
        beside = NULL;
        return -ENOMEM;
    }
    fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    result = write_number(fd);
    if (result == 0 && (fstat(fd, &status) < 0 || rename(beside, path) < 0))
        result = -errno;
    if (result < 0) {
        unlink(beside);
        return result;
    }
    pidfile->device = status.st_dev;
    pidfile->inode = status.st_ino;
    return 0;
}

static int write_to_descriptor(const char *path)
{
    CLEANUP_CLOSE int fd = open_path(path, O_WRONLY, 0);

    return fd < 0 ? fd : write_number(fd);
}

static void release(struct pidfile *pidfile)
{
    free(pidfile->path);
    free(pidfile);
}

int pidfile_write(const char *path, struct pidfile **ret_pidfile, struct error *err)
{
    struct pidfile *pidfile = calloc(1, sizeof(*pidfile));
    int fd, result;

    if (!pidfile)
        return error_set(err, -ENOMEM, "out of memory");
    if (path_is_fd(path, &fd))
        result = write_to_descriptor(path);
    else
        result = may_replace(path) ? write_beside(pidfile, path) : -EEXIST;
    if (result == -EEXIST) {
        release(pidfile);
        return error_set(err, result,
                         "cannot write the process id to %s: it is there and is no pidfile; remove it, or "
                         "give another name",
                         path);
    }
    if (result < 0) {
        release(pidfile);
        return error_set(err, result, "cannot write the process id to %s: %s", path, strerror(-result));
    }
    *ret_pidfile = pidfile;
    return 0;
}

void pidfile_remove(struct pidfile *pidfile)
{
    struct stat status;

    if (!pidfile)
        return;
    if (pidfile->path && stat(pidfile->path, &status) == 0 && status.st_dev == pidfile->device &&
        status.st_ino == pidfile->inode)
        unlink(pidfile->path);
    release(pidfile);
}
