/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block_file.c - see ringlet/block_file.h.
 *
 * A request is a small program of loop operations, one in flight at a time, whose state is in the request
 * itself. Each step has a done() of its own that starts the next step or finishes the request; finish() is
 * called from the loop only, never on the way of submit(), so that no request is done before submit()
 * returns.
 */
#include "ringlet/block_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "block_open.h"
#include "ringlet/block_backend.h"
#include "ringlet/error.h"
#include "ringlet/iov.h"
#include "ringlet/loop.h"
#include "ringlet/util.h"

#define PIECE_SIZE   (256 * KIB) /* of bounce buffer and zeroes; a multiple of DISK_MAX_ALIGNMENT */
#define RETRY_MAX    100         /* EAGAIN in a row: a host out of some resource */
#define RETRY_PAUSE  1000000     /* nanoseconds */
#define BUFFER_ALIGN 4096

struct block_file {
    struct block_backend backend;
    struct loop *loop;
    struct io_client *client;
    enum block_cache cache;
    struct opened_disk disk;
    int sync_error;    /* what the first failed fdatasync said; 0 so far */
    bool cannot_punch; /* fallocate() said so, for this file */
    bool cannot_zero;
    const void *zeroes; /* PIECE_SIZE of them */
    void *bounce;       /* PIECE_SIZE, made when first needed */
    struct file_request *bounce_owner;
    struct file_request *bounce_queue; /* requests that wait for it, first come first */
};

/* In block_request.backend_private. */
struct file_request {
    struct loop_op op;
    struct block_file *file;
    struct file_request *next_waiting;
    uint64_t offset, length; /* what is left to do */
    struct iov_cursor left;  /* reads and writes: where it goes */
    struct iovec slice;      /* what an operation gets when it does not get the request's own vectors */
    void (*resume)(struct file_request *own); /* after a pause */
    unsigned retries;
};
static_assert(sizeof(struct file_request) <= BLOCK_REQUEST_BACKEND_SIZE, "no request is allocated");

static struct block_file *block_file(struct block_backend *backend)
{
    return container_of(backend, struct block_file, backend);
}

static struct block_request *request_of(struct file_request *own)
{
    return container_of((unsigned char *)own, struct block_request, backend_private);
}

static struct file_request *own_of(struct loop_op *op)
{
    return container_of(op, struct file_request, op);
}

static bool must_be_stable(struct file_request *own)
{
    enum block_cache cache = own->file->cache;

    return cache == BLOCK_CACHE_WRITETHROUGH ||
           (cache == BLOCK_CACHE_WRITEBACK && request_of(own)->flags & BLOCK_FUA);
}

/* --- ends --- */

static void release_bounce(struct file_request *own);

static void finish(struct file_request *own, int res)
{
    struct block_request *request = request_of(own);

    release_bounce(own);
    request->done(request, res);
}

static void result_known(struct loop_op *op, int res)
{
    finish(own_of(op), res);
}

/* Finish in the next turn. */
static void finish_soon(struct file_request *own, int res)
{
    own->op.done = result_known;
    loop_complete(own->file->loop, &own->op, res);
}

static void pause_over(struct loop_op *op, int res)
{
    struct file_request *own = own_of(op);

    if (res < 0)
        finish(own, res);
    else
        own->resume(own);
}

/* The host lacks something just now. True: `resume` is called in a moment. */
static bool retry_later(struct file_request *own, int res, void (*resume)(struct file_request *own))
{
    if (res != -EAGAIN || own->retries == RETRY_MAX)
        return false;
    own->retries++;
    own->resume = resume;
    own->op.done = pause_over;
    loop_timeout(own->file->loop, &own->op, RETRY_PAUSE);
    return true;
}

static void advance(struct file_request *own, int bytes)
{
    own->retries = 0;
    own->offset += (unsigned)bytes;
    own->length -= (unsigned)bytes;
}

/* --- flush --- */

static void sync(struct file_request *own);

static void sync_done(struct loop_op *op, int res)
{
    struct file_request *own = own_of(op);

    if (retry_later(own, res, sync))
        return;
    /* EAGAIN is the loop's word for one that never began: no page was lost, and the next may succeed. */
    if (res < 0 && res != -EAGAIN)
        own->file->sync_error = res;
    finish(own, own->file->sync_error ? own->file->sync_error : res);
}

static void sync(struct file_request *own)
{
    struct block_file *file = own->file;

    if (file->sync_error || file->cache == BLOCK_CACHE_UNSAFE || file->backend.info.read_only) {
        finish_soon(own, file->sync_error);
        return;
    }
    own->op.done = sync_done;
    loop_fdatasync(file->loop, &own->op, file->disk.fd);
}

/* The last step of discard and write zeroes. */
static void finish_stably(struct file_request *own, int res)
{
    if (res == 0 && must_be_stable(own))
        sync(own);
    else
        finish(own, res);
}

/* --- read and write --- */

static void transfer(struct file_request *own);

static bool is_aligned(const struct file_request *own)
{
    return !((own->offset | own->length) & (own->file->disk.offset_alignment - 1));
}

static bool is_memory_aligned(const struct file_request *own)
{
    const struct opened_disk *disk = &own->file->disk;
    size_t offset = own->left.offset;

    for (unsigned i = 0; i < own->left.count; i++) {
        const struct iovec *iov = &own->left.iov[i];

        if (((uintptr_t)iov->iov_base + offset) & (disk->memory_alignment - 1) ||
            (iov->iov_len - offset) & (disk->offset_alignment - 1))
            return false;
        offset = 0;
    }
    return true;
}

/* True: the request has the bounce buffer. False: it will be resumed once it has, or finished. */
static bool acquire_bounce(struct file_request *own)
{
    struct block_file *file = own->file;
    struct file_request **last = &file->bounce_queue;

    if (file->bounce_owner == own)
        return true;
    if (file->bounce_owner) {
        while (*last)
            last = &(*last)->next_waiting;
        own->next_waiting = NULL;
        *last = own;
        return false;
    }
    if (!file->bounce)
        file->bounce = aligned_alloc(BUFFER_ALIGN, PIECE_SIZE);
    if (!file->bounce) {
        finish_soon(own, -ENOMEM);
        return false;
    }
    file->bounce_owner = own;
    return true;
}

static void release_bounce(struct file_request *own)
{
    struct block_file *file = own->file;
    struct file_request *next = file->bounce_queue;

    if (file->bounce_owner != own)
        return;
    file->bounce_owner = NULL;
    if (next) {
        file->bounce_queue = next->next_waiting;
        transfer(next);
    }
}

static void transfer_done(struct loop_op *op, int res)
{
    struct file_request *own = own_of(op);
    struct block_file *file = own->file;

    if (retry_later(own, res, transfer))
        return;
    if (res <= 0) {
        /* The file has become shorter than the disk, or takes no more and does not say why. */
        finish(own, res ? res : -EIO);
        return;
    }
    if (file->bounce_owner == own && own->slice.iov_base == file->bounce && request_of(own)->op == BLOCK_READ)
        iov_cursor_copy_in(&own->left, file->bounce, (size_t)res);
    else
        iov_cursor_skip(&own->left, (size_t)res);
    advance(own, res);
    if (own->length)
        transfer(own);
    else
        finish(own, 0);
}

static void start_transfer(struct file_request *own, int fd, const struct iovec *iov, unsigned count)
{
    struct loop *loop = own->file->loop;

    own->op.done = transfer_done;
    if (request_of(own)->op == BLOCK_READ)
        loop_readv(loop, &own->op, fd, iov, count, own->offset);
    else
        loop_writev(loop, &own->op, fd, iov, count, own->offset, must_be_stable(own) ? RWF_DSYNC : 0);
}

static void transfer_bounced(struct file_request *own)
{
    struct block_file *file = own->file;
    struct iov_cursor source = own->left;

    if (!acquire_bounce(own))
        return;
    own->slice = (struct iovec){ file->bounce, own->length < PIECE_SIZE ? own->length : PIECE_SIZE };
    if (request_of(own)->op == BLOCK_WRITE)
        iov_cursor_copy_out(&source, file->bounce, own->slice.iov_len);
    start_transfer(own, file->disk.fd, &own->slice, 1);
}

/* The next operation of a read or write. */
static void transfer(struct file_request *own)
{
    struct opened_disk *disk = &own->file->disk;
    struct iov_cursor *left = &own->left;

    while (left->count && left->offset == left->iov->iov_len)
        *left = iov_cursor_make(left->iov + 1, left->count - 1);
    if (!left->count) {
        finish_soon(own, -EINVAL); /* vectors that hold less than the request says */
        return;
    }
    if (disk->offset_alignment > 1 && is_aligned(own) && !is_memory_aligned(own)) {
        transfer_bounced(own);
        return;
    }
    own->slice = (struct iovec){ 0 };
    if (left->offset) {
        /* Inside a vector: its rest alone, then whole vectors again. */
        own->slice.iov_base = (char *)left->iov->iov_base + left->offset;
        own->slice.iov_len = left->iov->iov_len - left->offset;
        start_transfer(own, is_aligned(own) ? disk->fd : disk->buffered_fd, &own->slice, 1);
    } else {
        start_transfer(own, is_aligned(own) ? disk->fd : disk->buffered_fd, left->iov,
                       left->count < IOV_MAX ? left->count : IOV_MAX);
    }
}

/* --- discard --- */

static bool is_unsupported(int res)
{
    return res == -EOPNOTSUPP || res == -ENOSYS;
}

static void discard(struct file_request *own);

static void discard_done(struct loop_op *op, int res)
{
    struct file_request *own = own_of(op);

    if (!retry_later(own, res, discard))
        finish_stably(own, is_unsupported(res) ? 0 : res);
}

static int discard_on_device(void *argument)
{
    struct file_request *own = argument;
    uint64_t range[2] = { own->offset, own->length };

    return ioctl(own->file->disk.fd, BLKDISCARD, range) < 0 ? -errno : 0;
}

static void discard(struct file_request *own)
{
    struct block_file *file = own->file;

    own->op.done = discard_done;
    if (own->length == 0)
        loop_complete(file->loop, &own->op, 0);
    else if (file->disk.is_device)
        loop_call(file->loop, &own->op, discard_on_device, own);
    else
        loop_fallocate(file->loop, &own->op, file->disk.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                       own->offset, own->length);
}

static void begin_discard(struct file_request *own)
{
    const struct block_info *info = &own->file->backend.info;
    uint64_t start = align_up(own->offset, info->logical_block_size);
    uint64_t end = align_down(own->offset + own->length, info->logical_block_size);

    /* A device discards whole blocks only; what is left of the ends keeps its contents. */
    own->offset = start;
    own->length = info->can_discard && end > start ? end - start : 0;
    discard(own);
}

/* --- write zeroes --- */

static void zero(struct file_request *own);

static void zeroes_written(struct loop_op *op, int res)
{
    struct file_request *own = own_of(op);

    if (retry_later(own, res, zero))
        return;
    if (res <= 0) {
        finish(own, res ? res : -EIO);
        return;
    }
    advance(own, res);
    if (own->length)
        zero(own);
    else
        finish_stably(own, 0);
}

static void punched(struct loop_op *op, int res)
{
    struct file_request *own = own_of(op);

    if (retry_later(own, res, zero))
        return;
    if (is_unsupported(res)) {
        own->file->cannot_punch = true;
        zero(own);
    } else {
        finish_stably(own, res);
    }
}

static void zeroed(struct loop_op *op, int res)
{
    struct file_request *own = own_of(op);

    if (retry_later(own, res, zero))
        return;
    if (is_unsupported(res)) {
        own->file->cannot_zero = true;
        zero(own);
    } else {
        finish_stably(own, res);
    }
}

/* The next operation: the best that this file has not refused yet. */
static void zero(struct file_request *own)
{
    struct block_file *file = own->file;
    struct opened_disk *disk = &file->disk;
    bool whole_blocks = !((own->offset | own->length) & (file->backend.info.logical_block_size - 1));

    if (whole_blocks && request_of(own)->flags & BLOCK_MAY_UNMAP && !file->cannot_punch) {
        own->op.done = punched;
        loop_fallocate(file->loop, &own->op, disk->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                       own->offset, own->length);
    } else if (whole_blocks && !file->cannot_zero) {
        own->op.done = zeroed;
        loop_fallocate(file->loop, &own->op, disk->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
                       own->offset, own->length);
    } else {
        own->op.done = zeroes_written;
        loop_write(file->loop, &own->op, is_aligned(own) ? disk->fd : disk->buffered_fd, file->zeroes,
                   own->length < PIECE_SIZE ? own->length : PIECE_SIZE, own->offset);
    }
}

/* --- the backend --- */

static void attach(struct block_backend *backend, struct io_client *client)
{
    block_file(backend)->client = client;
}

static void submit(struct block_backend *backend, struct block_request *request)
{
    struct block_file *file = block_file(backend);
    struct file_request *own = (struct file_request *)(void *)request->backend_private;

    *own = (struct file_request){
        .op.client = file->client,
        .file = file,
        .offset = request->offset,
        .length = request->length,
    };
    if (request->op == BLOCK_FLUSH) {
        sync(own);
        return;
    }
    if (request->op != BLOCK_READ && backend->info.read_only) {
        finish_soon(own, -EROFS);
        return;
    }
    if (request->length == 0) {
        finish_soon(own, 0);
        return;
    }
    switch (request->op) {
    case BLOCK_READ:
    case BLOCK_WRITE:
        own->left = iov_cursor_make(request->iov, request->iov_count);
        transfer(own);
        break;
    case BLOCK_DISCARD:
        begin_discard(own);
        break;
    case BLOCK_WRITE_ZEROES:
        zero(own);
        break;
    case BLOCK_FLUSH:
    case BLOCK_OP_COUNT:
        finish_soon(own, -EINVAL);
    }
}

static void destroy(struct block_backend *backend)
{
    struct block_file *file = block_file(backend);

    close_disk(&file->disk);
    munmap((void *)(uintptr_t)file->zeroes, PIECE_SIZE);
    free(file->bounce);
    free(file);
}

static const struct block_backend_ops file_ops = { .attach = attach, .submit = submit, .destroy = destroy };

int block_file_open(struct loop *loop, const struct block_file_options *options,
                    struct block_backend **ret_backend, struct error *err)
{
    struct block_file *file = calloc(1, sizeof(*file));
    void *zeroes;
    int result;

    if (!file)
        return error_set(err, -ENOMEM, "out of memory");
    /* Never written, so this is the kernel's one page of zeroes many times over. */
    zeroes = mmap(NULL, PIECE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (zeroes == MAP_FAILED) {
        free(file);
        return error_set(err, -ENOMEM, "out of memory");
    }
    result = open_disk(options, &file->disk, err);
    if (result < 0) {
        munmap(zeroes, PIECE_SIZE);
        free(file);
        return result;
    }
    file->backend = (struct block_backend){ .ops = &file_ops, .info = file->disk.info };
    file->loop = loop;
    file->cache = options->cache;
    file->zeroes = zeroes;
    *ret_backend = &file->backend;
    return 0;
}
