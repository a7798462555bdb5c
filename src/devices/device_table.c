/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device_table.c - the devices a person can ask for, a row each (see ringlet/device_type.h).
 *
 * To add one: write its keys and its create(), and a row in the table at the end.
 */
#include "ringlet/device_type.h"

#include <assert.h>
#include <string.h>

#include "ringlet/backend_provider.h"
#include "ringlet/block_backend.h"
#include "ringlet/entropy_backend.h"
#include "ringlet/error.h"
#include "ringlet/util.h"
#include "ringlet/virtio_blk.h"
#include "ringlet/virtio_rng.h"

/* --- disk --- */

#define DISK_DEFAULT_QUEUE_SIZE 256
#define DISK_SERIAL_LENGTH      20 /* virtio 1.2, 5.2.6: GET_ID */

enum disk_key { DISK_RO, DISK_DIRECT, DISK_SERIAL, DISK_CACHE, DISK_QUEUES, DISK_QUEUE_SIZE, DISK_KEY_COUNT };

enum disk_cache { DISK_CACHE_WRITEBACK, DISK_CACHE_WRITETHROUGH, DISK_CACHE_UNSAFE, DISK_CACHE_COUNT };

static const char *const disk_cache_names[] = { "writeback", "writethrough", "unsafe", NULL };
static_assert(ARRAY_SIZE(disk_cache_names) == DISK_CACHE_COUNT + 1, "a name for each cache mode");

static const struct device_key disk_keys[] = {
    [DISK_RO] = { .name = "ro", .kind = DEVICE_KEY_FLAG, .help = "read-only" },
    [DISK_DIRECT] = { .name = "direct",
                      .kind = DEVICE_KEY_FLAG,
                      .help = "past the host's page cache (O_DIRECT)" },
    [DISK_SERIAL] = { .name = "serial",
                      .kind = DEVICE_KEY_TEXT,
                      .minimum = 1,
                      .maximum = DISK_SERIAL_LENGTH,
                      .metavar = "TEXT",
                      .help = "shown in the guest as /dev/disk/by-id/virtio-TEXT" },
    [DISK_CACHE] = { .name = "cache",
                     .kind = DEVICE_KEY_CHOICE,
                     .choices = disk_cache_names,
                     .help = "when a write is safe: after the guest's flush (default), at once, never" },
    [DISK_QUEUES] = { .name = "queues",
                      .kind = DEVICE_KEY_NUMBER,
                      .minimum = 1,
                      .maximum = VIRTIO_BLK_MAX_QUEUES,
                      .metavar = "N",
                      .help = "virtqueues, 1 to 16 (default 1)" },
    [DISK_QUEUE_SIZE] = { .name = "queue-size",
                          .kind = DEVICE_KEY_NUMBER,
                          .minimum = 4,
                          .maximum = VIRTIO_BLK_MAX_QUEUE_SIZE,
                          .power_of_two = true,
                          .metavar = "N",
                          .help = "entries of each, a power of two, 4 to 1024 (default 256)" },
};
static_assert(ARRAY_SIZE(disk_keys) == DISK_KEY_COUNT && DISK_KEY_COUNT <= DEVICE_KEY_MAX,
              "a row for each key");

static int disk_create(const struct device_argument *argument, const struct device_environment *environment,
                       struct virtio_device **ret_device, struct error *err)
{
    uint64_t cache =
        argument->keys[DISK_CACHE].given ? argument->keys[DISK_CACHE].number : DISK_CACHE_WRITEBACK;
    struct disk_options options = {
        .path = argument->value,
        .read_only = argument->keys[DISK_RO].given,
        .direct = argument->keys[DISK_DIRECT].given,
        .unsafe = cache == DISK_CACHE_UNSAFE,
    };
    struct virtio_blk_config config = {
        .name = environment->name,
        .serial = argument->keys[DISK_SERIAL].given ? argument->keys[DISK_SERIAL].text : environment->name,
        .queues = argument->keys[DISK_QUEUES].given ? (uint16_t)argument->keys[DISK_QUEUES].number : 1,
        .queue_size = argument->keys[DISK_QUEUE_SIZE].given ? (uint16_t)argument->keys[DISK_QUEUE_SIZE].number
                                                            : DISK_DEFAULT_QUEUE_SIZE,
        .writeback = cache != DISK_CACHE_WRITETHROUGH,
    };
    struct block_backend *backend;
    int result = environment->backends->ops->open_disk(environment->backends, &options, &backend, err);

    if (result < 0)
        return result;
    result = virtio_blk_create(&config, backend, environment->memory, ret_device);
    if (result < 0) {
        block_backend_destroy(backend);
        return error_set(err, result, "cannot make a disk of %s: %s", argument->value, strerror(-result));
    }
    return 0;
}

/* --- rng --- */

static int rng_create(const struct device_argument *argument, const struct device_environment *environment,
                      struct virtio_device **ret_device, struct error *err)
{
    struct entropy_backend *backend;
    int result = environment->backends->ops->open_entropy(environment->backends, &backend, err);

    (void)argument;
    if (result < 0)
        return result;
    result = virtio_rng_create(environment->name, backend, environment->memory, ret_device);
    if (result < 0) {
        entropy_backend_destroy(backend);
        return error_set(err, result, "cannot make an entropy device: %s", strerror(-result));
    }
    return 0;
}

/* --- the table --- */

static const struct device_type types[] = {
    {
        .name = "disk",
        .short_name = 'd',
        .metavar = "FILE",
        .help = "a disk from a raw image or a block device; the first is /dev/vda",
        .keys = disk_keys,
        .key_count = ARRAY_SIZE(disk_keys),
        .repeatable = true,
        .create = disk_create,
    },
    {
        .name = "rng",
        .help = "a source of random numbers",
        .create = rng_create,
    },
};

const struct device_type *device_types(unsigned *ret_count)
{
    *ret_count = ARRAY_SIZE(types);
    return types;
}
