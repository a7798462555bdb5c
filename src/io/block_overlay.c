/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block_overlay.c - see ringlet/block_overlay.h.
 *
 * A request is cut into parts, each a request of ours to one side. Parts come from a fixed pool, so that nothing is
 * allocated on the way; a request for which there is none waits in a queue, and goes on when one is given back. It
 * is done when it is cut to its end and all its parts are back. Both sides finish parts from the loop only, hence so
 * do we.
 *
 *   submit -> dispatch: part, part, .. --(side)--> part_done -> given back -> done
 *                   \-- none left: queue -> (another's part is given back) -> dispatch
 *
 * Only reads are ever cut: a read that has both sides gets a slice of the vectors for each run. Vectors too small to
 * hold one sector in a slice's number of them are read by way of a sector of the part's own.
 */
#include "ringlet/block_overlay.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "ringlet/block_backend.h"
#include "ringlet/iov.h"
#include "ringlet/util.h"

#define SECTOR_SHIFT 9
#define SECTOR_SIZE  (1U << SECTOR_SHIFT)
#define SLICE_MAX    16 /* vectors of a part */
#define WORD_BITS    64

struct part {
    struct overlay_request *owner;
    struct part *next_free;
    struct iovec slice[SLICE_MAX];
    bool bounced; /* slice is `sector`, which goes to `to` when it is read */
    struct iov_cursor to;
    struct block_request request; /* the side's */
    unsigned char sector[SECTOR_SIZE];
};

struct block_overlay {
    struct block_backend backend;
    struct block_backend *base, *top;
    uint64_t *on_top; /* a bit for each sector */
    size_t on_top_size;
    struct part *free;
    struct overlay_request *waiting; /* for parts, first come first; not empty only while `free` is */
    struct part parts[BLOCK_OVERLAY_PARTS];
};

/* In block_request.backend_private. */
struct overlay_request {
    struct block_overlay *overlay;
    struct overlay_request *next_waiting;
    bool is_waiting;
    bool uncut;            /* not begun */
    struct iov_cursor iov; /* a read's: where the rest goes */
    uint64_t offset, left; /* bytes: the rest, that is no part yet */
    unsigned parts;        /* at work */
    int result;            /* 0, or what the first part that failed said */
};
static_assert(sizeof(struct overlay_request) <= BLOCK_REQUEST_BACKEND_SIZE, "no request is allocated");

static struct block_overlay *block_overlay(struct block_backend *backend)
{
    return container_of(backend, struct block_overlay, backend);
}

static struct block_request *request_of(struct overlay_request *own)
{
    return container_of((unsigned char *)own, struct block_request, backend_private);
}

/* --- which sectors live on top --- */

/* The bits of a word from `first` on. */
static uint64_t bits_from(unsigned first)
{
    return ~UINT64_C(0) << first;
}

static bool is_on_top(const struct block_overlay *overlay, uint64_t sector)
{
    return overlay->on_top[sector / WORD_BITS] >> sector % WORD_BITS & 1;
}

/* How many of the `count` sectors from `sector` on live where the first does. */
static uint64_t run_length(const struct block_overlay *overlay, uint64_t sector, uint64_t count)
{
    uint64_t same = is_on_top(overlay, sector) ? 0 : ~UINT64_C(0);
    uint64_t end = sector + count, at = sector;

    while (at < end) {
        /* a set bit for each sector that lives elsewhere */
        uint64_t others = ~(overlay->on_top[at / WORD_BITS] ^ same) & bits_from(at % WORD_BITS);

        if (others) {
            at = align_down(at, WORD_BITS) + (unsigned)__builtin_ctzll(others);
            break;
        }
        at = align_down(at, WORD_BITS) + WORD_BITS;
    }
    return (at < end ? at : end) - sector;
}

static void move_to_top(struct block_overlay *overlay, uint64_t sector, uint64_t count)
{
    uint64_t end = sector + count;

    while (sector < end) {
        uint64_t next = align_down(sector, WORD_BITS) + WORD_BITS;
        uint64_t bits = bits_from(sector % WORD_BITS);

        if (next > end)
            bits &= ~bits_from(end % WORD_BITS);
        overlay->on_top[sector / WORD_BITS] |= bits;
        sector = next;
    }
}

/* --- parts --- */

static void part_done(struct block_request *request, int res);

/* The end of a request. It is the device's again, which may submit it at once. */
static void finish(struct overlay_request *own)
{
    struct block_request *request = request_of(own);

    request->done(request, own->result);
}

/* How many bytes the next `count` vectors hold. */
static uint64_t reach(struct iov_cursor cursor, unsigned count)
{
    uint64_t bytes = 0;

    while (cursor.count && count) {
        size_t length = cursor.iov->iov_len - cursor.offset;

        bytes += length;
        count -= length > 0;
        cursor = iov_cursor_make(cursor.iov + 1, cursor.count - 1);
    }
    return bytes;
}

/* The next part of a read: as many sectors as live on the same side and have their vectors in a slice. */
static struct block_backend *cut_read(struct overlay_request *own, struct part *part)
{
    struct block_overlay *overlay = own->overlay;
    uint64_t sector = own->offset >> SECTOR_SHIFT;
    uint64_t length = run_length(overlay, sector, own->left >> SECTOR_SHIFT) << SECTOR_SHIFT;
    struct block_request *request = &part->request;

    if (own->uncut && length == own->left) {
        request->iov = own->iov.iov;
        request->iov_count = own->iov.count;
    } else {
        uint64_t fitting = align_down(reach(own->iov, SLICE_MAX), SECTOR_SIZE);

        part->bounced = fitting == 0;
        if (part->bounced) {
            length = SECTOR_SIZE;
            part->slice[0] = (struct iovec){ part->sector, SECTOR_SIZE };
            part->to = own->iov;
            request->iov_count = 1;
            iov_cursor_skip(&own->iov, SECTOR_SIZE);
        } else {
            int count;

            length = length < fitting ? length : fitting;
            count = iov_cursor_slice(&own->iov, length, part->slice, SLICE_MAX);
            assert(count > 0);
            request->iov_count = (unsigned)count;
        }
        request->iov = part->slice;
    }
    request->length = length;
    return is_on_top(overlay, sector) ? overlay->top : overlay->base;
}

/* Everything else goes to the top as it is. Zeroes need no space of their own there. */
static struct block_backend *take_whole(struct overlay_request *own, struct part *part)
{
    if (part->request.op == BLOCK_WRITE_ZEROES)
        part->request.flags |= BLOCK_MAY_UNMAP;
    part->request.length = own->left;
    part->request.iov = request_of(own)->iov;
    part->request.iov_count = request_of(own)->iov_count;
    return own->overlay->top;
}

/* Put parts to work until there is nothing left to do, or (false) no part to do it with. */
static bool dispatch(struct overlay_request *own)
{
    struct block_overlay *overlay = own->overlay;
    const struct block_request *whole = request_of(own);

    while (own->uncut || own->left) {
        struct part *part = overlay->free;
        struct block_backend *side;

        if (!part)
            return false;
        overlay->free = part->next_free;
        part->owner = own;
        part->bounced = false;
        part->request.op = whole->op;
        part->request.flags = whole->flags;
        part->request.offset = own->offset;
        part->request.done = part_done;
        side = whole->op == BLOCK_READ && own->left ? cut_read(own, part) : take_whole(own, part);
        own->uncut = false;
        own->offset += part->request.length;
        own->left -= part->request.length;
        own->parts++;
        side->ops->submit(side, &part->request);
    }
    return true;
}

/* Parts were given back: those who wait go on. */
static void serve_waiting(struct block_overlay *overlay)
{
    struct overlay_request *own;

    while ((own = overlay->waiting) && overlay->free && dispatch(own)) {
        overlay->waiting = own->next_waiting;
        own->is_waiting = false;
        if (own->parts == 0) /* it failed while it waited */
            finish(own);
    }
}

static void part_done(struct block_request *request, int res)
{
    struct part *part = container_of(request, struct part, request);
    struct overlay_request *own = part->owner;
    struct block_overlay *overlay = own->overlay;

    if (res < 0) {
        if (own->result == 0)
            own->result = res;
        own->left = 0; /* the rest is in vain */
    } else if (part->bounced) {
        iov_cursor_copy_in(&part->to, part->sector, SECTOR_SIZE);
    } else if (request->op == BLOCK_WRITE || request->op == BLOCK_WRITE_ZEROES) {
        move_to_top(overlay, request->offset >> SECTOR_SHIFT, request->length >> SECTOR_SHIFT);
    }
    part->next_free = overlay->free;
    overlay->free = part;
    if (--own->parts == 0 && !own->is_waiting)
        finish(own);
    serve_waiting(overlay);
}

/* --- the backend --- */

static void attach(struct block_backend *backend, struct io_client *client)
{
    struct block_overlay *overlay = block_overlay(backend);

    overlay->base->ops->attach(overlay->base, client);
    overlay->top->ops->attach(overlay->top, client);
}

static void submit(struct block_backend *backend, struct block_request *request)
{
    struct block_overlay *overlay = block_overlay(backend);
    struct overlay_request *own = (struct overlay_request *)(void *)request->backend_private;
    struct overlay_request **last = &overlay->waiting;

    *own = (struct overlay_request){
        .overlay = overlay,
        .uncut = true,
        .iov = iov_cursor_make(request->iov, request->iov_count),
        .offset = request->offset,
        .left = request->op == BLOCK_FLUSH ? 0 : request->length,
    };
    /* While others wait the parts that come free are theirs. */
    if (!overlay->waiting && dispatch(own))
        return;
    own->is_waiting = true;
    while (*last)
        last = &(*last)->next_waiting;
    *last = own;
}

static void destroy(struct block_backend *backend)
{
    struct block_overlay *overlay = block_overlay(backend);

    block_backend_destroy(overlay->top);
    block_backend_destroy(overlay->base);
    munmap(overlay->on_top, overlay->on_top_size);
    free(overlay);
}

static const struct block_backend_ops overlay_ops = { .attach = attach,
                                                      .submit = submit,
                                                      .destroy = destroy };

/* A bitmap without a bit set. Nothing is reserved: it takes memory as it is written. */
static int make_bitmap(uint64_t sectors, uint64_t **ret_bitmap, size_t *ret_size)
{
    size_t size = (sectors + WORD_BITS - 1) / WORD_BITS * sizeof(uint64_t);
    void *bitmap =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (bitmap == MAP_FAILED)
        return -ENOMEM;
    *ret_bitmap = bitmap;
    *ret_size = size;
    return 0;
}

int block_overlay_create(struct block_backend *base, struct block_backend *top,
                         struct block_backend **ret_backend)
{
    struct block_overlay *overlay;

    if (top->info.read_only || base->info.capacity == 0 || top->info.capacity < base->info.capacity ||
        top->info.logical_block_size > base->info.logical_block_size)
        return -EINVAL;
    overlay = calloc(1, sizeof(*overlay));
    if (!overlay)
        return -ENOMEM;
    if (make_bitmap(base->info.capacity >> SECTOR_SHIFT, &overlay->on_top, &overlay->on_top_size) < 0) {
        free(overlay);
        return -ENOMEM;
    }
    overlay->backend = (struct block_backend){ .ops = &overlay_ops, .info = base->info };
    overlay->backend.info.read_only = false;
    overlay->backend.info.discard_granularity = top->info.discard_granularity;
    overlay->backend.info.can_discard = top->info.can_discard;
    overlay->backend.info.can_write_zeroes = top->info.can_write_zeroes;
    overlay->backend.info.write_cache = top->info.write_cache;
    overlay->base = base;
    overlay->top = top;
    for (size_t i = 0; i < ARRAY_SIZE(overlay->parts); i++) {
        overlay->parts[i].next_free = overlay->free;
        overlay->free = &overlay->parts[i];
    }
    *ret_backend = &overlay->backend;
    return 0;
}
