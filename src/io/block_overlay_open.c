/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block_overlay_open.c - the two sides of an ephemeral disk; see ringlet/block_overlay.h.
 */
#include "ringlet/block_overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ringlet/block_backend.h"
#include "ringlet/block_file.h"
#include "ringlet/cleanup.h"
#include "ringlet/error.h"
#include "ringlet/open_path.h"
#include "ringlet/util.h"

/* A file in `folder` that has no name, or loses it at once. Its descriptor or -errno. */
static int make_nameless(const char *folder, bool may_be_named)
{
    CLEANUP_FREE char *name = NULL;
    /* O_EXCL: it can never get a name */
    int fd = open(folder, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0)
        return fd;
    /* What a file system or a kernel without O_TMPFILE says. */
    if (!may_be_named || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
        return -errno;
    if (asprintf(&name, "%s/ringlet-XXXXXX", folder) < 0) {
        name = NULL;
        return -ENOMEM;
    }
    fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    unlink(name);
    return fd;
}

/* The same, of `size` bytes that take no space yet. */
static int make_sparse(const char *folder, bool may_be_named, uint64_t size)
{
    CLEANUP_CLOSE int fd = make_nameless(folder, may_be_named);

    if (fd < 0)
        return fd;
    return ftruncate(fd, (off_t)size) < 0 ? -errno : steal_fd(&fd);
}

/* The folder of an image file; NULL for what is in none, or in one that is none for files: devices, descriptors. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    struct stat status;
    int unused;

    if (path_is_fd(path, &unused) || stat_path(path, &status) < 0 || !S_ISREG(status.st_mode))
        return NULL;
    if (!slash)
        return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* *ret_folder: where it is, for sentences; borrowed from `beside` or the environment. */
static int make_top_file(const char *path, const char *beside, uint64_t size, const char **ret_folder,
                         struct error *err)
{
    const char *temporary = getenv("TMPDIR");
    const char *folders[] = { beside, temporary && *temporary ? temporary : NULL, "/var/tmp" };
    int fd = -ENOENT;

    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        if (!folders[i])
            continue;
        fd = make_sparse(folders[i], i > 0, size);
        if (fd >= 0) {
            *ret_folder = folders[i];
            return fd;
        }
    }
    return error_set(
        err, fd,
        "no place for what is written to the ephemeral disk %s, neither beside it nor in $TMPDIR "
        "or /var/tmp: %s; name a folder that takes files of that size in TMPDIR",
        path, strerror(-fd));
}

static int open_top(struct loop *loop, const struct block_file_options *options, uint64_t size,
                    struct block_backend **ret_top, struct error *err)
{
    CLEANUP_FREE char *beside = folder_of(options->path);
    CLEANUP_CLOSE int fd = -1;
    const char *folder = NULL;
    char name[16];
    struct block_file_options top = {
        .path = name,
        .direct = options->direct,
        .cache = BLOCK_CACHE_UNSAFE, /* stable storage is for what outlives the VM */
        .no_lock = true,             /* nobody else can open it */
    };
    int result;

    fd = make_top_file(options->path, beside, size, &folder, err);
    if (fd < 0)
        return fd;
    snprintf(name, sizeof(name), "fd=%d", fd);
    result = block_file_open(loop, &top, ret_top, err);
    if (result < 0)
        error_prefix(err, "the file in %s for what is written to the ephemeral disk %s", folder,
                     options->path);
    return result;
}

int block_overlay_open(struct loop *loop, const struct block_file_options *options,
                       struct block_backend **ret_backend, struct error *err)
{
    struct block_file_options below = *options;
    struct block_backend *base, *top;
    int result;

    below.read_only = true;
    result = block_file_open(loop, &below, &base, err);
    if (result < 0)
        return result;
    result = open_top(loop, options, base->info.capacity, &top, err);
    if (result < 0) {
        block_backend_destroy(base);
        return result;
    }
    result = block_overlay_create(base, top, ret_backend);
    if (result < 0) {
        block_backend_destroy(top);
        block_backend_destroy(base);
        return error_set(err, result, "cannot make an ephemeral disk of %s: %s", options->path,
                         strerror(-result));
    }
    return 0;
}
