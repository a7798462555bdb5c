/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_blk.c - the block device (virtio 1.2, 5.2): moves requests between its queues and a block backend.
 *
 * Each queue owns as many slots as it can have chains outstanding, and a slot holds all that a request needs
 * until it ends, the backend's part included: nothing is allocated once the VM runs. The vectors of a chain
 * point into guest RAM and go to the backend as they are.
 *
 *   pop -> slot -> blk_request_parse() --- the answer is known ---------------------> status, push, slot free
 *                                      \-- backend: range 0 -> done -> range 1 .. -/
 *
 * A slot is in exactly one of two places: on its queue's free list, or behind one block_request that the
 * backend holds. That is what makes a request complete exactly once, also through a reset: the core waits
 * until all slots behind the backend have come back, and what they push meanwhile is not published.
 */
#include "ringlet/virtio_blk.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <pthread.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blk_request.h"
#include "blk_wire.h"
#include "ringlet/block_backend.h"
#include "ringlet/guest_memory.h"
#include "ringlet/iov.h"
#include "ringlet/util.h"
#include "ringlet/virtio_device.h"

/* Data segments in a request, as SEG_MAX tells the driver; a queue too small for them lowers it. */
#define SEGMENTS_MAX 126

/*
 * A chain of the driver's has its data, a header and a status byte; and each border between adjoining
 * mappings of guest RAM cuts at most one of these in two.
 */
#define VECTORS_BESIDE_DATA (2 + GUEST_MEMORY_MAX_REGIONS - 1)

struct slot {
    struct blk_queue *queue;
    struct slot *next_free;
    struct virtqueue_chain chain;
    struct blk_request request;
    unsigned next_range; /* of request.ranges: the next for the backend */
    struct block_request backend_request;
};

struct blk_queue {
    struct virtio_blk *blk;
    unsigned index;
    struct slot *free;
};

struct virtio_blk {
    struct virtio_device device;
    struct block_backend *backend;
    uint8_t id[VIRTIO_BLK_ID_BYTES];
    bool initial_writeback;
    /* All but `writeback` stays as created. Little-endian, as the driver reads it. */
    struct virtio_blk_config_space config;

    /* What the host could not do; written with the lock held. */
    unsigned long long failures;
    int first_failure; /* -errno */

    struct blk_queue queues[VIRTIO_BLK_MAX_QUEUES];
    struct slot *slots;    /* queues * (queue_size + 1) */
    struct iovec *vectors; /* each slot's, one after the other */
};

/* What of the configuration space exists: up to and with unused1, the end of write zeroes' part. */
#define CONFIG_SIZE                                                                                          \
    (offsetof(struct virtio_blk_config_space, unused1) +                                                     \
     sizeof(((struct virtio_blk_config_space *)0)->unused1))

static struct virtio_blk *from_device(struct virtio_device *device)
{
    return container_of(device, struct virtio_blk, device);
}

/* --- requests --- */

static void slot_finish(struct slot *slot, uint8_t status)
{
    struct blk_queue *queue = slot->queue;
    uint16_t head = slot->chain.head;
    uint32_t written = blk_request_written(&slot->request, status);

    *slot->request.status_byte = status;
    slot->next_free = queue->free;
    queue->free = slot;
    virtio_device_push(&queue->blk->device, queue->index, head, written);
}

/* Hand the next range to the backend; done() follows. */
static void slot_submit(struct slot *slot)
{
    struct virtio_blk *blk = slot->queue->blk;
    struct block_request *backend_request = &slot->backend_request;
    const struct blk_range *range = &slot->request.ranges[slot->next_range++];

    backend_request->op = slot->request.op;
    backend_request->flags = range->flags;
    /*
     * 5.2.6.2: while the cache is write-through a write is on stable storage before its completion is
     * reported. `writeback` says so whatever was negotiated, see features_accepted().
     */
    if (!blk->config.wce && backend_request->op != BLOCK_READ && backend_request->op != BLOCK_FLUSH)
        backend_request->flags |= BLOCK_FUA;
    backend_request->offset = range->offset;
    backend_request->length = range->length;
    backend_request->iov = slot->request.iov;
    backend_request->iov_count = slot->request.iov_count;
    blk->backend->ops->submit(blk->backend, backend_request);
}

static uint8_t status_of(int result)
{
    switch (result) {
    case 0:
        return VIRTIO_BLK_S_OK;
    case -EOPNOTSUPP: /* a file system without holes, say: the driver has other means and will use them */
        return VIRTIO_BLK_S_UNSUPP;
    default:
        return VIRTIO_BLK_S_IOERR;
    }
}

/* The guest learns no more than that; the person wants to know why. */
static void count_failure(struct virtio_blk *blk, int result)
{
    if (!blk->failures++)
        blk->first_failure = result;
}

static void backend_done(struct block_request *backend_request, int result)
{
    struct slot *slot = container_of(backend_request, struct slot, backend_request);
    struct virtio_device *device = &slot->queue->blk->device;

    /* A reset waits for this request: segments that have not begun stay undone (5.2.6: indeterminate). */
    if (!result && slot->next_range < slot->request.range_count && !device->resetting) {
        slot_submit(slot);
        return;
    }
    if (status_of(result) == VIRTIO_BLK_S_IOERR && result != -ECANCELED)
        count_failure(slot->queue->blk, result);
    slot_finish(slot, status_of(result));
    virtio_device_request_end(device);
}

static void slot_start(struct slot *slot)
{
    struct virtio_blk *blk = slot->queue->blk;
    const struct blk_disk disk = {
        .capacity = blk->backend->info.capacity >> BLK_SECTOR_SHIFT,
        .read_only = blk->backend->info.read_only,
        .can_discard = virtio_device_has_feature(&blk->device, VIRTIO_BLK_F_DISCARD),
        .can_write_zeroes = virtio_device_has_feature(&blk->device, VIRTIO_BLK_F_WRITE_ZEROES),
    };
    struct iov_cursor cursor;

    if (blk_request_parse(&slot->chain, &disk, &slot->request) < 0) {
        /*
         * There is no byte to answer in. Given back as used it would look done, and kept it would be lost:
         * the driver is told that it has to start afresh (2.1.2).
         */
        slot->next_free = slot->queue->free;
        slot->queue->free = slot;
        virtio_device_needs_reset(&blk->device);
        return;
    }
    switch (slot->request.action) {
    case BLK_GET_ID:
        cursor = iov_cursor_make(slot->request.iov, slot->request.iov_count);
        iov_cursor_copy_in(&cursor, blk->id, sizeof(blk->id));
        slot_finish(slot, VIRTIO_BLK_S_OK);
        break;
    case BLK_SUBMIT:
        slot->next_range = 0;
        virtio_device_request_begin(&blk->device);
        slot_submit(slot);
        break;
    default:
        slot_finish(slot, slot->request.status);
        break;
    }
}

static void virtio_blk_queue_notify(struct virtio_device *device, unsigned index)
{
    struct blk_queue *queue = &from_device(device)->queues[index];

    for (;;) {
        struct slot *slot = queue->free;

        assert(slot);
        if (virtio_device_pop(device, index, &slot->chain) <= 0)
            return;
        queue->free = slot->next_free;
        slot_start(slot);
    }
}

/* --- configuration space --- */

static void virtio_blk_config_read(struct virtio_device *device, uint32_t offset, void *to, uint32_t length)
{
    memcpy(to, (const uint8_t *)&from_device(device)->config + offset, length);
}

/* The one field a driver writes is `writeback`, and that only when CONFIG_WCE is negotiated (5.2.5). */
static void virtio_blk_config_write(struct virtio_device *device, uint32_t offset, const void *from,
                                    uint32_t length)
{
    const uint32_t field = offsetof(struct virtio_blk_config_space, wce);

    if (!virtio_device_has_feature(device, VIRTIO_BLK_F_CONFIG_WCE) ||
        !range_within(field, 1, offset, length))
        return;
    from_device(device)->config.wce = ((const uint8_t *)from)[field - offset] != 0;
}

/*
 * 5.2.5, 5.2.6.2. Without FLUSH the driver cannot make a write stable by asking, so each is stable when done.
 * With FLUSH and without CONFIG_WCE it assumes a write-back cache and flushes. With both it reads what
 * `writeback` says.
 */
static void virtio_blk_features_accepted(struct virtio_device *device)
{
    struct virtio_blk *blk = from_device(device);

    if (!virtio_device_has_feature(device, VIRTIO_BLK_F_FLUSH))
        blk->config.wce = 0;
    else if (!virtio_device_has_feature(device, VIRTIO_BLK_F_CONFIG_WCE))
        blk->config.wce = 1;
}

static void virtio_blk_reset(struct virtio_device *device)
{
    struct virtio_blk *blk = from_device(device);

    blk->config.wce = blk->initial_writeback;
}

static uint64_t offered_features(const struct block_info *info, unsigned queues)
{
    uint64_t features = UINT64_C(1) << VIRTIO_BLK_F_SEG_MAX | UINT64_C(1) << VIRTIO_BLK_F_BLK_SIZE |
                        UINT64_C(1) << VIRTIO_BLK_F_TOPOLOGY | UINT64_C(1) << VIRTIO_BLK_F_FLUSH |
                        UINT64_C(1) << VIRTIO_BLK_F_CONFIG_WCE;

    if (queues > 1)
        features |= UINT64_C(1) << VIRTIO_BLK_F_MQ;
    if (info->read_only)
        features |= UINT64_C(1) << VIRTIO_BLK_F_RO;
    if (info->can_discard && !info->read_only)
        features |= UINT64_C(1) << VIRTIO_BLK_F_DISCARD;
    if (info->can_write_zeroes && !info->read_only)
        features |= UINT64_C(1) << VIRTIO_BLK_F_WRITE_ZEROES;
    return features;
}

/* 5.2.4: the fields of the features offered; all others are zero. */
static void fill_config(struct virtio_blk_config_space *config, const struct block_info *info,
                        uint64_t features, unsigned queues, unsigned segments)
{
    uint32_t blocks_per_physical = info->physical_block_size / info->logical_block_size;
    uint32_t discard_unit = info->discard_granularity > info->logical_block_size ? info->discard_granularity
                                                                                 : info->logical_block_size;

    config->capacity = htole64(info->capacity >> BLK_SECTOR_SHIFT);
    config->seg_max = htole32(segments);
    config->blk_size = htole32(info->logical_block_size);
    config->physical_block_exp = (uint8_t)__builtin_ctz(blocks_per_physical);
    config->min_io_size = htole16((uint16_t)(blocks_per_physical <= UINT16_MAX ? blocks_per_physical : 0));
    config->opt_io_size = htole32(info->optimal_io_size / info->logical_block_size);
    if (features >> VIRTIO_BLK_F_MQ & 1)
        config->num_queues = htole16((uint16_t)queues);
    if (features >> VIRTIO_BLK_F_DISCARD & 1) {
        config->max_discard_sectors = htole32(BLK_MAX_SEGMENT_SECTORS);
        config->max_discard_seg = htole32(BLK_MAX_SEGMENTS);
        config->discard_sector_alignment = htole32(discard_unit >> BLK_SECTOR_SHIFT);
    }
    if (features >> VIRTIO_BLK_F_WRITE_ZEROES & 1) {
        config->max_write_zeroes_sectors = htole32(BLK_MAX_SEGMENT_SECTORS);
        config->max_write_zeroes_seg = htole32(BLK_MAX_SEGMENTS);
        config->write_zeroes_may_unmap = info->can_discard;
    }
}

/* --- life --- */

static void virtio_blk_free(struct virtio_blk *blk)
{
    free(blk->vectors);
    free(blk->slots);
    free(blk);
}

static void virtio_blk_destroy(struct virtio_device *device)
{
    struct virtio_blk *blk = from_device(device);

    block_backend_destroy(blk->backend);
    virtio_device_finish(device);
    virtio_blk_free(blk);
}

static enum virtio_report virtio_blk_report(struct virtio_device *device, char *to, size_t size)
{
    struct virtio_blk *blk = from_device(device);
    unsigned long long failures;
    int reason;

    pthread_mutex_lock(&device->lock);
    failures = blk->failures;
    reason = blk->first_failure;
    pthread_mutex_unlock(&device->lock);
    if (!failures)
        return VIRTIO_REPORT_NONE;
    snprintf(to, size, "%llu of the guest's requests failed on the host, the first one with: %s", failures,
             strerror(-reason));
    return VIRTIO_REPORT_TROUBLE;
}

static const struct virtio_device_ops virtio_blk_ops = {
    .config_read = virtio_blk_config_read,
    .config_write = virtio_blk_config_write,
    .features_accepted = virtio_blk_features_accepted,
    .queue_notify = virtio_blk_queue_notify,
    .reset = virtio_blk_reset,
    .report = virtio_blk_report,
    .destroy = virtio_blk_destroy,
};

static bool is_sane(const struct virtio_blk_config *config, const struct block_info *info)
{
    return config->queues && config->queues <= VIRTIO_BLK_MAX_QUEUES && config->queue_size >= 2 &&
           config->queue_size <= VIRTIO_BLK_MAX_QUEUE_SIZE && is_power_of_two(config->queue_size) &&
           info->capacity % BLK_SECTOR_SIZE == 0 && info->logical_block_size >= BLK_SECTOR_SIZE &&
           is_power_of_two(info->logical_block_size) && is_power_of_two(info->physical_block_size) &&
           info->physical_block_size >= info->logical_block_size;
}

/* Give each queue its slots and each slot its vectors. */
static int make_slots(struct virtio_blk *blk, unsigned queues, unsigned slots_per_queue, unsigned vectors)
{
    size_t count = (size_t)queues * slots_per_queue;

    static_assert(alignof(struct slot) <= alignof(max_align_t), "calloc() aligns the backend's part");
    blk->slots = calloc(count, sizeof(*blk->slots));
    blk->vectors = calloc(count * vectors, sizeof(*blk->vectors));
    if (!blk->slots || !blk->vectors)
        return -ENOMEM;
    for (unsigned i = 0; i < queues; i++)
        blk->queues[i] = (struct blk_queue){ .blk = blk, .index = i };
    for (size_t i = 0; i < count; i++) {
        struct blk_queue *queue = &blk->queues[i / slots_per_queue];
        struct slot *slot = &blk->slots[i];

        slot->queue = queue;
        slot->chain.iov = &blk->vectors[i * vectors];
        slot->chain.iov_max = vectors;
        slot->backend_request.done = backend_done;
        slot->next_free = queue->free;
        queue->free = slot;
    }
    return 0;
}

int virtio_blk_create(const struct virtio_blk_config *config, struct block_backend *backend,
                      const struct guest_memory *memory, struct virtio_device **ret_device)
{
    unsigned segments;
    struct virtio_blk *blk;
    struct virtio_device_setup setup;
    int result;

    if (!is_sane(config, &backend->info))
        return -EINVAL;
    /* One at least: a driver can do nothing with none, and takes "0" for 1. */
    segments = config->queue_size > 2 ? config->queue_size - 2u : 1;
    if (segments > SEGMENTS_MAX)
        segments = SEGMENTS_MAX;

    blk = calloc(1, sizeof(*blk));
    if (!blk)
        return -ENOMEM;
    blk->backend = backend;
    blk->initial_writeback = config->writeback;
    if (config->serial)
        memcpy(blk->id, config->serial, strnlen(config->serial, sizeof(blk->id)));

    setup = (struct virtio_device_setup){
        .ops = &virtio_blk_ops,
        .name = config->name,
        .device_id = VIRTIO_ID_BLOCK,
        .device_features = offered_features(&backend->info, config->queues),
        .config_size = CONFIG_SIZE,
        .queue_count = config->queues,
        .queue_size = config->queue_size,
        .memory = memory,
    };
    fill_config(&blk->config, &backend->info, setup.device_features, config->queues, segments);
    blk->config.wce = blk->initial_writeback;

    result = make_slots(blk, config->queues, config->queue_size + 1u, segments + VECTORS_BESIDE_DATA);
    if (!result)
        result = virtio_device_init(&blk->device, &setup);
    if (result) {
        virtio_blk_free(blk);
        return result;
    }
    backend->ops->attach(backend, &blk->device.client);
    *ret_device = &blk->device;
    return 0;
}
