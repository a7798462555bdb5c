/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entropy_file.c - see ringlet/entropy_file.h.
 */
#include "ringlet/entropy_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "ringlet/cleanup.h"
#include "ringlet/entropy_backend.h"
#include "ringlet/error.h"
#include "ringlet/loop.h"
#include "ringlet/util.h"

#define SLICE_MAX 4

struct entropy_file {
    struct entropy_backend backend;
    struct loop *loop;
    struct io_client *client;
    int fd;
};

/* In entropy_request.backend_private. */
struct file_request {
    struct loop_op op;
    struct iovec slice[SLICE_MAX]; /* the start of the request's buffers */
};
static_assert(sizeof(struct file_request) <= ENTROPY_REQUEST_BACKEND_SIZE, "no request is allocated");

static struct entropy_file *entropy_file(struct entropy_backend *backend)
{
    return container_of(backend, struct entropy_file, backend);
}

static void read_done(struct loop_op *op, int res)
{
    struct file_request *own = container_of(op, struct file_request, op);
    struct entropy_request *request =
        container_of((unsigned char *)own, struct entropy_request, backend_private);

    request->done(request, res ? res : -EIO);
}

/* The first buffers, cut to ENTROPY_FILE_MAX_BYTES. */
static unsigned cut(const struct entropy_request *request, struct iovec slice[SLICE_MAX])
{
    size_t left = ENTROPY_FILE_MAX_BYTES;
    unsigned count = 0;

    for (unsigned i = 0; i < request->iov_count && count < SLICE_MAX && left; i++) {
        size_t length = request->iov[i].iov_len < left ? request->iov[i].iov_len : left;

        if (!length)
            continue;
        slice[count++] = (struct iovec){ request->iov[i].iov_base, length };
        left -= length;
    }
    return count;
}

static void attach(struct entropy_backend *backend, struct io_client *client)
{
    entropy_file(backend)->client = client;
}

static void submit(struct entropy_backend *backend, struct entropy_request *request)
{
    struct entropy_file *file = entropy_file(backend);
    struct file_request *own = (struct file_request *)(void *)request->backend_private;
    unsigned count;

    *own = (struct file_request){ .op = { .done = read_done, .client = file->client } };
    count = cut(request, own->slice);
    /* The offset means nothing to the device; it says that there is no readiness to wait for. */
    if (count)
        loop_readv(file->loop, &own->op, file->fd, own->slice, count, 0);
    else
        loop_complete(file->loop, &own->op, -EINVAL);
}

static void destroy(struct entropy_backend *backend)
{
    struct entropy_file *file = entropy_file(backend);

    close(file->fd);
    free(file);
}

static const struct entropy_backend_ops file_ops = { .attach = attach, .submit = submit, .destroy = destroy };

int entropy_file_open(struct loop *loop, const char *path, struct entropy_backend **ret_backend,
                      struct error *err)
{
    /* O_NONBLOCK: a FIFO is to be refused, not waited for. */
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct entropy_file *file;
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(err, -errno, "cannot open %s, the source of the guest's random numbers: %s", path,
                         strerror(errno));
    if (!S_ISCHR(status.st_mode))
        return error_set(err, -EINVAL, "%s is no source of random numbers; use a device like /dev/urandom",
                         path);
    if (fcntl(fd, F_SETFL, O_RDONLY) < 0)
        return error_set(err, -errno, "cannot use %s: %s", path, strerror(errno));
    file = calloc(1, sizeof(*file));
    if (!file)
        return error_set(err, -ENOMEM, "out of memory");
    file->backend.ops = &file_ops;
    file->loop = loop;
    file->fd = steal_fd(&fd);
    *ret_backend = &file->backend;
    return 0;
}
