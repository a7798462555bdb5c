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
    result = path_is_fd(path, &fd) ? write_to_descriptor(path) : write_beside(pidfile, path);
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
