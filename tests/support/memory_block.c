/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory_block.c - see memory_block.h. What block_backend.h asks of a device is asserted here, where every
 * test of a device passes.
 */
#include "memory_block.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ringlet/iov.h"
#include "ringlet/util.h"

static struct memory_block *from_backend(struct block_backend *backend)
{
    return container_of(backend, struct memory_block, backend);
}

static void memory_block_attach(struct block_backend *backend, struct io_client *client)
{
    struct memory_block *disk = from_backend(backend);

    assert(!disk->client && client);
    disk->client = client;
}

static void check_request(const struct memory_block *disk, const struct block_request *request)
{
    assert(disk->client && !disk->destroyed);
    assert(request->op < BLOCK_OP_COUNT && request->done);
    if (request->op == BLOCK_FLUSH)
        return;
    assert(request->length && request->length % 512 == 0 && request->offset % 512 == 0);
    assert(range_within(request->offset, request->length, 0, disk->backend.info.capacity));
    if (request->op == BLOCK_READ || request->op == BLOCK_WRITE)
        assert(iov_length(request->iov, request->iov_count) == request->length);
    if (request->op != BLOCK_READ)
        assert(!disk->backend.info.read_only);
    if (request->flags & BLOCK_MAY_UNMAP)
        assert(request->op == BLOCK_WRITE_ZEROES);
    for (unsigned i = 0; i < disk->pending_count; i++)
        assert(disk->pending[i] != request);
}

static void memory_block_submit(struct block_backend *backend, struct block_request *request)
{
    struct memory_block *disk = from_backend(backend);

    check_request(disk, request);
    assert(disk->pending_count < MEMORY_BLOCK_MAX_PENDING);
    /* The backend's own part is the backend's: nothing of the device's may depend on it. */
    memset(request->backend_private, 0xa5, sizeof(request->backend_private));
    disk->submits[request->op]++;
    if (request->flags & BLOCK_FUA)
        disk->fua_submits++;
    disk->pending[disk->pending_count++] = request;
}

static void memory_block_destroy(struct block_backend *backend)
{
    struct memory_block *disk = from_backend(backend);

    assert(!disk->destroyed && !disk->pending_count);
    disk->destroyed = true;
}

static const struct block_backend_ops memory_block_ops = {
    .attach = memory_block_attach,
    .submit = memory_block_submit,
    .destroy = memory_block_destroy,
};

void memory_block_init(struct memory_block *disk, const struct block_info *info)
{
    *disk = (struct memory_block){ .backend = { .ops = &memory_block_ops, .info = *info } };
    disk->bytes = calloc(1, info->capacity ? info->capacity : 1);
    disk->stable = calloc(1, info->capacity ? info->capacity : 1);
    assert(disk->bytes && disk->stable);
}

void memory_block_finish(struct memory_block *disk)
{
    free(disk->bytes);
    free(disk->stable);
}

unsigned memory_block_submit_count(const struct memory_block *disk)
{
    unsigned count = 0;

    for (unsigned op = 0; op < BLOCK_OP_COUNT; op++)
        count += disk->submits[op];
    return count;
}

const struct block_request *memory_block_pending(const struct memory_block *disk, unsigned index)
{
    assert(index < disk->pending_count);
    return disk->pending[index];
}

static struct block_request *take(struct memory_block *disk, unsigned index)
{
    struct block_request *request;

    assert(index < disk->pending_count);
    request = disk->pending[index];
    disk->pending_count--;
    memmove(&disk->pending[index], &disk->pending[index + 1],
            (disk->pending_count - index) * sizeof(disk->pending[0]));
    return request;
}

static void carry_out(struct memory_block *disk, const struct block_request *request)
{
    struct iov_cursor cursor;
    uint8_t *bytes = disk->bytes + request->offset;

    switch (request->op) {
    case BLOCK_READ:
        cursor = iov_cursor_make(request->iov, request->iov_count);
        iov_cursor_copy_in(&cursor, bytes, request->length);
        break;
    case BLOCK_WRITE:
        cursor = iov_cursor_make(request->iov, request->iov_count);
        iov_cursor_copy_out(&cursor, bytes, request->length);
        break;
    case BLOCK_FLUSH:
        memcpy(disk->stable, disk->bytes, disk->backend.info.capacity);
        break;
    case BLOCK_DISCARD:
        /* "contents no longer matter": something that no test wrote */
        memset(bytes, 0xdd, request->length);
        break;
    default:
        memset(bytes, 0, request->length);
        break;
    }
    if (request->flags & BLOCK_FUA)
        memcpy(disk->stable + request->offset, bytes, request->length);
}

void memory_block_complete(struct memory_block *disk, unsigned index)
{
    struct block_request *request = take(disk, index);

    carry_out(disk, request);
    request->done(request, 0);
}

void memory_block_complete_all(struct memory_block *disk)
{
    while (disk->pending_count)
        memory_block_complete(disk, 0);
}

void memory_block_fail(struct memory_block *disk, unsigned index, int error)
{
    struct block_request *request = take(disk, index);

    assert(error < 0);
    request->done(request, error);
}
