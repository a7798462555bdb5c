/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_fs.c - the file system device (virtio 1.2, 5.11): see ringlet/virtio_fs.h. No request passes through
 * here; this file decides when the other process has the queues.
 *
 * It has them, or is giving them back, while `phase` is not RESTING; the core counts that as one request in
 * flight, so that a reset returns only when the process has let go of guest RAM. Whatever happens (DRIVER_OK, a
 * queue that comes or goes, a reset, the machine's end, the process at rest), follow() compares what the process
 * has with what it should have, and takes the one step that there is to take:
 *
 *              queues ready, live                other queues than these, or not live
 *     RESTING --------------------> WORKING ------------------------------------------> STOPPING
 *        ^   start()                   | the process ended                    stop()       |
 *        +-----------------------------+---------------------------------------------------+ stopped()
 *
 * A queue that is there before and after such a pause goes on where it was. DAX windows and notifications are
 * not offered.
 */
#include "ringlet/virtio_fs.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ringlet/cleanup.h"
#include "ringlet/guest_memory.h"
#include "ringlet/util.h"
#include "ringlet/vhost_backend.h"
#include "ringlet/virtio_device.h"

#define FEATURE(bit) (UINT64_C(1) << (bit))

#define REQUEST_QUEUES 1
#define QUEUE_COUNT    (1 + REQUEST_QUEUES) /* 5.11.2: hiprio is queue 0 */

/* Linux puts at most as many pages as this, less 4, into a request, and never more than 256. */
#define QUEUE_SIZE 512

static_assert(VIRTIO_FS_TAG_SIZE == sizeof(((struct virtio_fs_config *)0)->tag), "5.11.4");
static_assert(QUEUE_COUNT <= VHOST_MAX_QUEUES, "a doorbell for each queue");
static_assert(GUEST_MEMORY_MAX_REGIONS <= VHOST_MAX_REGIONS, "all of guest RAM can be shared");

enum phase { RESTING, WORKING, STOPPING };

struct virtio_fs {
    struct virtio_device device;
    struct vhost_backend *backend;
    struct vhost_listener listener;
    struct virtio_fs_config config;

    enum phase phase;
    bool ended;         /* the process has gone */
    uint64_t working;   /* bit per queue that was started; while WORKING */
    uint64_t resumable; /* bit per queue that was started and neither taken away nor reset since */
};

static struct virtio_fs *fs_of(struct virtio_device *device)
{
    return container_of(device, struct virtio_fs, device);
}

static struct virtio_fs *listening(struct vhost_listener *listener)
{
    return container_of(listener, struct virtio_fs, listener);
}

/* --- who has the queues --- */

static uint64_t ready_queues(const struct virtio_fs *fs)
{
    uint64_t ready = 0;

    for (unsigned i = 0; i < QUEUE_COUNT; i++) {
        if (fs->device.queues[i].ready)
            ready |= FEATURE(i);
    }
    return ready;
}

/* Hand the queues of the set over; there is at least one. A process that does not take them is out of order. */
static void start(struct virtio_fs *fs, uint64_t set)
{
    struct vhost_queue queues[QUEUE_COUNT];
    unsigned count = 0;

    for (unsigned i = 0; i < QUEUE_COUNT; i++) {
        const struct virtqueue *queue = &fs->device.queues[i];

        if (set & FEATURE(i))
            queues[count++] = (struct vhost_queue){
                .index = i,
                .resume = fs->resumable & FEATURE(i),
                .size = queue->size,
                .desc = queue->desc,
                .avail = queue->avail,
                .used = queue->used,
            };
    }
    if (fs->backend->ops->start(fs->backend, fs->device.accepted_features, queues, count) < 0) {
        virtio_device_needs_reset(&fs->device);
        return;
    }
    fs->phase = WORKING;
    fs->working = set;
    fs->resumable |= set;
    virtio_device_request_begin(&fs->device);
}

static void follow(struct virtio_fs *fs)
{
    bool live = virtio_device_is_live(&fs->device);
    uint64_t ready = ready_queues(fs);

    if (fs->phase == WORKING && (!live || ready != fs->working)) {
        fs->phase = STOPPING;
        fs->backend->ops->stop(fs->backend);
    } else if (fs->phase == RESTING && live && ready) {
        start(fs, ready);
    }
}

/* The process has let go of guest RAM. */
static void rest(struct virtio_fs *fs)
{
    fs->phase = RESTING;
    virtio_device_request_end(&fs->device);
}

/* --- what the process says; loop thread --- */

static void used(struct vhost_listener *listener, unsigned index)
{
    virtio_device_used_elsewhere(&listening(listener)->device, index);
}

static void stopped(struct vhost_listener *listener)
{
    struct virtio_fs *fs = listening(listener);

    assert(fs->phase == STOPPING);
    rest(fs);
    follow(fs);
    /* What was kicked during the pause may have been heard by nobody. */
    if (fs->phase == WORKING)
        virtio_device_ring_ready_queues(&fs->device);
}

static void ended(struct vhost_listener *listener)
{
    struct virtio_fs *fs = listening(listener);

    fs->ended = true;
    virtio_device_needs_reset(&fs->device);
    if (fs->phase == WORKING)
        rest(fs);
}

static const struct vhost_listener_ops listener_ops = { .used = used, .stopped = stopped, .ended = ended };

/* --- what the driver does --- */

static void virtio_fs_config_read(struct virtio_device *device, uint32_t offset, void *to, uint32_t length)
{
    memcpy(to, (const uint8_t *)&fs_of(device)->config + offset, length);
}

static void virtio_fs_activate(struct virtio_device *device)
{
    /* Without the process there is nobody to answer, ever. */
    if (fs_of(device)->ended)
        virtio_device_needs_reset(device);
    follow(fs_of(device));
}

static int virtio_fs_doorbell(struct virtio_device *device, unsigned index)
{
    struct vhost_backend *backend = fs_of(device)->backend;

    return backend->ops->doorbell(backend, index);
}

/* The core is not live now: what this comes to is stop(). */
static void virtio_fs_cancel(struct virtio_device *device)
{
    follow(fs_of(device));
}

static void virtio_fs_queue_enabled(struct virtio_device *device, unsigned index)
{
    (void)index;
    follow(fs_of(device));
}

static void virtio_fs_queue_disabled(struct virtio_device *device, unsigned index)
{
    fs_of(device)->resumable &= ~FEATURE(index);
    follow(fs_of(device));
}

static void virtio_fs_reset(struct virtio_device *device)
{
    fs_of(device)->resumable = 0;
}

static void virtio_fs_destroy(struct virtio_device *device)
{
    struct virtio_fs *fs = fs_of(device);

    vhost_backend_destroy(fs->backend);
    virtio_device_finish(device);
    free(fs);
}

static const struct virtio_device_ops virtio_fs_ops = {
    .config_read = virtio_fs_config_read,
    .activate = virtio_fs_activate,
    .doorbell = virtio_fs_doorbell,
    .cancel = virtio_fs_cancel,
    .queue_enabled = virtio_fs_queue_enabled,
    .queue_disabled = virtio_fs_queue_disabled,
    .reset = virtio_fs_reset,
    .destroy = virtio_fs_destroy,
};

/* --- making one --- */

static int attach(struct virtio_fs *fs, const struct guest_memory *memory)
{
    struct vhost_region regions[GUEST_MEMORY_MAX_REGIONS];
    unsigned count = guest_memory_region_count(memory);

    for (unsigned i = 0; i < count; i++) {
        const struct guest_memory_region *region = guest_memory_region_at(memory, i);

        if (region->fd < 0)
            return -EINVAL;
        regions[i] = (struct vhost_region){
            .base = region->base, .size = region->size, .host = region->host, .fd = region->fd
        };
    }
    return fs->backend->ops->attach(fs->backend, &fs->device.client, &fs->listener, regions, count);
}

int virtio_fs_create(const char *name, struct vhost_backend *backend, const struct guest_memory *memory,
                     struct virtio_device **ret_device)
{
    const struct virtio_device_setup setup = {
        .ops = &virtio_fs_ops,
        .name = name,
        .device_id = VIRTIO_ID_FS,
        .withheld_features =
            ~backend->features & (FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | FEATURE(VIRTIO_RING_F_EVENT_IDX)),
        .config_size = sizeof(struct virtio_fs_config),
        .queue_count = QUEUE_COUNT,
        .queue_size = QUEUE_SIZE,
        .memory = memory,
    };
    size_t length = strlen(name);
    CLEANUP_FREE struct virtio_fs *fs = NULL;
    int result;

    if (!length || length > VIRTIO_FS_TAG_SIZE || !(backend->features & FEATURE(VIRTIO_F_VERSION_1)))
        return -EINVAL;
    fs = calloc(1, sizeof(*fs));
    if (!fs)
        return -ENOMEM;
    fs->backend = backend;
    fs->listener.ops = &listener_ops;
    memcpy(fs->config.tag, name, length);
    fs->config.num_request_queues = REQUEST_QUEUES;
    result = virtio_device_init(&fs->device, &setup);
    if (result < 0)
        return result;
    result = attach(fs, memory);
    if (result < 0) {
        virtio_device_finish(&fs->device);
        return result;
    }
    *ret_device = &steal_pointer(&fs)->device;
    return 0;
}
