/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_device.c - see fake_device.h.
 */
#include "fake_device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ringlet/iov.h"
#include "ringlet/util.h"

static struct fake_device *from(struct virtio_device *device)
{
    return container_of(device, struct fake_device, device);
}

static void config_read(struct virtio_device *device, uint32_t offset, void *to, uint32_t length)
{
    assert_true(range_within(offset, length, 0, FAKE_DEVICE_CONFIG_SIZE));
    memcpy(to, from(device)->config + offset, length);
}

static void config_write(struct virtio_device *device, uint32_t offset, const void *bytes, uint32_t length)
{
    assert_true(range_within(offset, length, 0, FAKE_DEVICE_CONFIG_SIZE));
    memcpy(from(device)->config + offset, bytes, length);
}

static bool features_valid(const struct virtio_device *device, uint64_t features)
{
    return !(features & container_of(device, const struct fake_device, device)->refuses);
}

static void features_accepted(struct virtio_device *device)
{
    from(device)->features_accepted++;
}

static void activate(struct virtio_device *device)
{
    from(device)->activated++;
}

static void serve(struct fake_device *fake, unsigned index)
{
    struct iovec iov[16];
    struct virtqueue_chain chain = { .iov = iov, .iov_max = ARRAY_SIZE(iov) };

    while (fake->held_count < fake->room && virtio_device_pop(&fake->device, index, &chain) > 0) {
        struct iov_cursor out = iov_cursor_make(chain.iov, chain.out_count);
        struct iov_cursor in = iov_cursor_make(chain.iov + chain.out_count, chain.in_count);

        fake->popped++;
        iov_cursor_copy_out(&out, fake->last_out, sizeof(fake->last_out));
        iov_cursor_fill(&in, FAKE_DEVICE_FILL, chain.in_length);
        if (fake->hold) {
            virtio_device_request_begin(&fake->device);
            fake->held[fake->held_count++] = (struct fake_held){ .queue = index,
                                                                 .head = chain.head,
                                                                 .written = (uint32_t)chain.in_length };
        } else {
            virtio_device_push(&fake->device, index, chain.head, (uint32_t)chain.in_length);
        }
    }
}

static void queue_notify(struct virtio_device *device, unsigned index)
{
    from(device)->notified[index]++;
    serve(from(device), index);
}

static void cancel(struct virtio_device *device)
{
    from(device)->cancelled++;
    sem_post(&from(device)->cancel_called);
}

static void queue_disabled(struct virtio_device *device, unsigned index)
{
    assert_int_equal(device->in_flight, 0);
    assert_false(device->queues[index].ready);
    from(device)->disabled[index]++;
}

static void reset(struct virtio_device *device)
{
    assert_int_equal(device->in_flight, 0);
    from(device)->resets++;
}

static void destroy(struct virtio_device *device)
{
    struct fake_device *fake = from(device);

    if (fake->destroyed)
        *fake->destroyed = true;
    sem_destroy(&fake->cancel_called);
    virtio_device_finish(device);
    free(fake);
}

static const struct virtio_device_ops ops = {
    .config_read = config_read,
    .config_write = config_write,
    .features_valid = features_valid,
    .features_accepted = features_accepted,
    .activate = activate,
    .queue_notify = queue_notify,
    .cancel = cancel,
    .queue_disabled = queue_disabled,
    .reset = reset,
    .destroy = destroy,
};

struct fake_device *fake_device_create(const struct guest_memory *memory, unsigned queues,
                                       uint16_t queue_size)
{
    struct fake_device *fake = calloc(1, sizeof(*fake));
    struct virtio_device_setup setup = {
        .ops = &ops,
        .name = "fake0",
        .device_id = FAKE_DEVICE_ID,
        .device_features = UINT64_C(1) << FAKE_DEVICE_FEATURE,
        .config_size = FAKE_DEVICE_CONFIG_SIZE,
        .queue_count = queues,
        .queue_size = queue_size,
        .memory = memory,
    };

    assert_non_null(fake);
    assert_int_equal(virtio_device_init(&fake->device, &setup), 0);
    for (unsigned i = 0; i < FAKE_DEVICE_CONFIG_SIZE; i++)
        fake->config[i] = (uint8_t)(0x10 + i);
    fake->room = FAKE_DEVICE_MAX_HELD;
    sem_init(&fake->cancel_called, 0, 0);
    return fake;
}

bool fake_device_complete(struct fake_device *fake)
{
    struct fake_held held;

    if (!fake->held_count)
        return false;
    held = fake->held[0];
    fake->held_count--;
    memmove(fake->held, fake->held + 1, fake->held_count * sizeof(held));
    virtio_device_push(&fake->device, held.queue, held.head, held.written);
    virtio_device_request_end(&fake->device);
    serve(fake, held.queue);
    return true;
}
