/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_device.c - see ringlet/virtio_device.h: status, features, reset, configuration space, and when an
 * interrupt is sent.
 */
#include "ringlet/virtio_device.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "ringlet/util.h"

#define FEATURE(bit) (UINT64_C(1) << (bit))

/* What virtqueue.c and this file do for every device. */
#define CORE_FEATURES                                                                                        \
    (FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | FEATURE(VIRTIO_RING_F_EVENT_IDX))

/* Those of them that a device may go without. */
#define OPTIONAL_FEATURES (FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | FEATURE(VIRTIO_RING_F_EVENT_IDX))

/* 2.2: bits 24 to 40 are for queues and negotiation, 41 to 49 for the future; none is a device type's. */
#define RESERVED_FEATURES (FEATURE(50) - FEATURE(24))

/* The bits that are the driver's to set; NEEDS_RESET is ours. */
#define DRIVER_STATUS                                                                                        \
    (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK |                      \
     VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_FAILED)

static uint64_t queue_bit(unsigned index)
{
    return UINT64_C(1) << index;
}

bool virtio_device_is_live(const struct virtio_device *device)
{
    return (device->status & VIRTIO_CONFIG_S_DRIVER_OK) && !(device->status & VIRTIO_CONFIG_S_NEEDS_RESET) &&
           !device->resetting && !device->stopping && !device->stopped;
}

void virtio_device_ring_ready_queues(struct virtio_device *device)
{
    if (!virtio_device_is_live(device))
        return;
    for (unsigned i = 0; i < device->queue_count; i++) {
        if (device->queues[i].ready)
            device->transport_ops->ring_doorbell(device, i);
    }
}

/*
 * The end of a batch of completions and doorbells: one decision on interrupts for all that was pushed in it,
 * and another turn for queues that had more than their share.
 */
static void batch_end(struct io_client *self)
{
    struct virtio_device *device = container_of(self, struct virtio_device, client);
    uint64_t used = device->used_queues, hungry = device->hungry_queues, wanted = device->called_queues;

    device->used_queues = device->hungry_queues = device->called_queues = 0;
    device->pops_left = VIRTIO_DEVICE_POPS_PER_BATCH;
    if (device->resetting)
        return;
    for (unsigned i = 0; i < device->queue_count; i++) {
        if ((used & queue_bit(i)) && virtqueue_should_notify(&device->queues[i]))
            wanted |= queue_bit(i);
        if (hungry & queue_bit(i))
            device->transport_ops->ring_doorbell(device, i);
    }
    if (wanted)
        device->transport_ops->queue_interrupts(device, wanted);
}

/* --- life --- */

int virtio_device_init(struct virtio_device *device, const struct virtio_device_setup *setup)
{
    if (!setup->queue_count || setup->queue_count > VIRTIO_DEVICE_MAX_QUEUES ||
        !is_power_of_two(setup->queue_size) || setup->queue_size > VIRTQUEUE_MAX_SIZE ||
        (setup->device_features & RESERVED_FEATURES) || (setup->withheld_features & ~OPTIONAL_FEATURES))
        return -EINVAL;
    device->queues = calloc(setup->queue_count, sizeof(device->queues[0]));
    if (!device->queues)
        return -ENOMEM;
    for (unsigned i = 0; i < setup->queue_count; i++)
        virtqueue_init(&device->queues[i], setup->memory, setup->queue_size);
    device->ops = setup->ops;
    device->name = setup->name;
    device->device_id = setup->device_id;
    device->offered_features = setup->device_features | (CORE_FEATURES & ~setup->withheld_features);
    device->config_size = setup->config_size;
    device->queue_count = setup->queue_count;
    device->pops_left = VIRTIO_DEVICE_POPS_PER_BATCH;
    /* With default attributes neither can fail on Linux. */
    pthread_mutex_init(&device->lock, NULL);
    pthread_cond_init(&device->idle, NULL);
    device->client = (struct io_client){ .lock = &device->lock, .batch_end = batch_end };
    return 0;
}

void virtio_device_finish(struct virtio_device *device)
{
    assert(!device->in_flight);
    pthread_cond_destroy(&device->idle);
    pthread_mutex_destroy(&device->lock);
    free(device->queues);
    device->queues = NULL;
}

void virtio_device_destroy(struct virtio_device *device)
{
    if (device)
        device->ops->destroy(device);
}

/* --- for concrete devices --- */

int virtio_device_pop(struct virtio_device *device, unsigned index, struct virtqueue_chain *chain)
{
    struct virtqueue *queue = &device->queues[index];
    int result;

    if (!virtio_device_is_live(device) || !queue->ready)
        return 0;
    if (!device->pops_left) {
        device->hungry_queues |= queue_bit(index);
        return 0;
    }
    result = virtqueue_pop(queue, chain);
    /* Empty: from now on the driver has to ring, except for what it added a moment ago. */
    if (!result && virtqueue_enable_doorbell(queue))
        result = virtqueue_pop(queue, chain);
    if (result < 0) {
        virtio_device_needs_reset(device);
        return 0;
    }
    device->pops_left -= (unsigned)result;
    return result;
}

void virtio_device_push_many(struct virtio_device *device, unsigned index, const struct virtqueue_used *used,
                             unsigned count)
{
    if (device->resetting)
        return;
    virtqueue_push_many(&device->queues[index], used, count);
    device->used_queues |= queue_bit(index);
}

void virtio_device_push(struct virtio_device *device, unsigned index, uint16_t head, uint32_t written)
{
    const struct virtqueue_used used = { .head = head, .written = written };

    virtio_device_push_many(device, index, &used, 1);
}

void virtio_device_used_elsewhere(struct virtio_device *device, unsigned index)
{
    assert(index < device->queue_count);
    if ((device->status & VIRTIO_CONFIG_S_DRIVER_OK) && !device->resetting)
        device->called_queues |= queue_bit(index);
}

void virtio_device_request_begin(struct virtio_device *device)
{
    device->in_flight++;
}

void virtio_device_request_end(struct virtio_device *device)
{
    assert(device->in_flight);
    if (!--device->in_flight && (device->resetting || device->stopping))
        pthread_cond_broadcast(&device->idle);
}

/* 2.3: nobody listens before DRIVER_OK, and nothing may be sent during and after a reset. */
static void config_interrupt(struct virtio_device *device)
{
    if ((device->status & VIRTIO_CONFIG_S_DRIVER_OK) && !device->resetting)
        device->transport_ops->config_interrupt(device);
}

void virtio_device_config_changed(struct virtio_device *device)
{
    device->config_generation++;
    config_interrupt(device);
}

void virtio_device_needs_reset(struct virtio_device *device)
{
    if (device->resetting || (device->status & VIRTIO_CONFIG_S_NEEDS_RESET))
        return;
    device->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    config_interrupt(device);
}

/* --- reset, taking a queue away, and the end --- */

/* Some requests would last for ever: whoever waits for the last one asks first. */
static void cancel(struct virtio_device *device)
{
    if (device->in_flight && device->ops->cancel)
        device->ops->cancel(device);
}

void virtio_device_stop(struct virtio_device *device)
{
    pthread_mutex_lock(&device->lock);
    device->stopped = true;
    cancel(device);
    pthread_mutex_unlock(&device->lock);
}

/* Someone else's reset is under way: until it is complete there is nothing to do but wait. */
static void wait_for_reset(struct virtio_device *device)
{
    uint32_t count = device->reset_count;

    while (device->resetting && device->reset_count == count)
        pthread_cond_wait(&device->idle, &device->lock);
}

static void reset(struct virtio_device *device)
{
    if (device->resetting) {
        wait_for_reset(device);
        return;
    }
    device->resetting = true;
    cancel(device);
    /* The kernel may be writing into the driver's buffers until the last request is done. */
    while (device->in_flight)
        pthread_cond_wait(&device->idle, &device->lock);

    for (unsigned i = 0; i < device->queue_count; i++)
        virtqueue_reset(&device->queues[i]);
    device->used_queues = device->hungry_queues = device->called_queues = 0;
    device->accepted_features = 0;
    if (device->ops->reset)
        device->ops->reset(device);
    device->transport_ops->reset(device);
    device->status = 0;
    device->resetting = false;
    device->reset_count++;
    pthread_cond_broadcast(&device->idle);
}

void virtio_device_disable_queue(struct virtio_device *device, unsigned index)
{
    uint32_t count = device->reset_count;

    if (device->resetting) {
        wait_for_reset(device);
        return;
    }
    if (!device->queues[index].ready)
        return;
    /* A reset that begins meanwhile does all this and more; then the queue is no longer ours to touch. */
    device->stopping++;
    cancel(device);
    while (device->in_flight && !device->resetting && device->reset_count == count)
        pthread_cond_wait(&device->idle, &device->lock);
    device->stopping--;
    if (device->resetting)
        wait_for_reset(device);
    if (device->reset_count == count) {
        virtqueue_reset(&device->queues[index]);
        if (device->ops->queue_disabled)
            device->ops->queue_disabled(device, index);
    }
    /* Whoever leaves last makes up for the kicks dropped while the device stood still. */
    virtio_device_ring_ready_queues(device);
}

void virtio_device_enable_queue(struct virtio_device *device, unsigned index)
{
    if (!virtio_device_queue_configurable(device, index) || !(device->status & VIRTIO_CONFIG_S_FEATURES_OK) ||
        (device->status & VIRTIO_CONFIG_S_NEEDS_RESET))
        return;
    if (virtqueue_enable(&device->queues[index], device->accepted_features) < 0)
        virtio_device_needs_reset(device);
    else if (virtio_device_is_live(device) && device->ops->queue_enabled)
        device->ops->queue_enabled(device, index);
}

bool virtio_device_queue_configurable(const struct virtio_device *device, unsigned index)
{
    return !device->resetting && !device->queues[index].ready;
}

/* --- status and features --- */

/*
 * 2.2.2: any subset of what was offered will do, if it is the interface of version 1 or later (6.1, 6.2) and
 * the device has nothing against it.
 */
static bool features_acceptable(const struct virtio_device *device)
{
    return !(device->accepted_features & ~device->offered_features) &&
           virtio_device_has_feature(device, VIRTIO_F_VERSION_1) &&
           (!device->ops->features_valid || device->ops->features_valid(device, device->accepted_features));
}

void virtio_device_set_status(struct virtio_device *device, uint8_t status)
{
    uint8_t added = status & DRIVER_STATUS & ~device->status;

    if (!status) {
        reset(device);
        return;
    }
    if (device->resetting)
        return;
    if ((added & VIRTIO_CONFIG_S_FEATURES_OK) && !features_acceptable(device))
        added &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
    if (!((device->status | added) & VIRTIO_CONFIG_S_FEATURES_OK))
        added &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
    device->status |= added;
    if ((added & VIRTIO_CONFIG_S_FEATURES_OK) && device->ops->features_accepted)
        device->ops->features_accepted(device);
    if (!(added & VIRTIO_CONFIG_S_DRIVER_OK))
        return;
    if (device->status & VIRTIO_CONFIG_S_NEEDS_RESET) {
        /* Broken while it was set up (2.1.2): now is the first moment at which the driver can be told. */
        config_interrupt(device);
        return;
    }
    if (device->ops->activate)
        device->ops->activate(device);
    virtio_device_ring_ready_queues(device);
}

uint64_t virtio_device_offered_features(const struct virtio_device *device)
{
    return device->offered_features;
}

void virtio_device_set_driver_features(struct virtio_device *device, uint64_t features)
{
    if (!device->resetting && !(device->status & VIRTIO_CONFIG_S_FEATURES_OK))
        device->accepted_features = features;
}

/* --- configuration space --- */

enum virtio_report virtio_device_report(struct virtio_device *device, char *to, size_t size)
{
    if (!device->ops->report)
        return VIRTIO_REPORT_NONE;
    return device->ops->report(device, to, size);
}

void virtio_device_config_read(struct virtio_device *device, uint32_t offset, void *to, uint32_t length)
{
    memset(to, 0, length);
    if (!length || offset >= device->config_size)
        return;
    if (length > device->config_size - offset)
        length = device->config_size - offset;
    device->ops->config_read(device, offset, to, length);
}

void virtio_device_config_write(struct virtio_device *device, uint32_t offset, const void *from,
                                uint32_t length)
{
    if (!device->ops->config_write || device->resetting || !(device->status & VIRTIO_CONFIG_S_FEATURES_OK))
        return;
    if (!length || offset >= device->config_size)
        return;
    if (length > device->config_size - offset)
        length = device->config_size - offset;
    device->ops->config_write(device, offset, from, length);
}

/* --- doorbells --- */

void virtio_device_notify(struct virtio_device *device, uint32_t index)
{
    if (device->ops->doorbell || index >= device->queue_count || !virtio_device_is_live(device) ||
        !device->queues[index].ready)
        return;
    virtqueue_disable_doorbell(&device->queues[index]);
    device->ops->queue_notify(device, index);
}
