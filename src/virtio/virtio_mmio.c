/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_mmio.c - see ringlet/virtio_mmio.h. The transport holds two selectors for features, two for queues
 * and the interrupt bits; all else is the device's.
 *
 * The bus calls in with the device's lock held. Control registers are 32 bits wide and are accessed as such
 * (4.2.2.2); any other access to them reads 0 and writes nothing.
 */
#include "ringlet/virtio_mmio.h"

#include <errno.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>

#include "ringlet/bus.h"
#include "ringlet/irq_line.h"
#include "ringlet/virtio_device.h"

#define MAGIC_VALUE    0x74726976 /* "virt" */
#define LAYOUT_VERSION 2

/* 4.2.2: the length of a shared memory region that does not exist, and we have none. */
#define NO_SHARED_MEMORY UINT32_MAX

struct virtio_mmio {
    struct virtio_device *device;
    struct irq_line *line;
    const struct doorbell_ops *doorbell;
    void *doorbell_opaque;

    /* under the device's lock */
    uint32_t device_features_sel, driver_features_sel, queue_sel;
    uint32_t interrupt_status;
};

/* --- what the device asks of its transport --- */

/*
 * An edge for every event, also when its bit stands already: the driver's handler may have read
 * InterruptStatus before this event and still be at work.
 */
static void interrupt(struct virtio_device *device, uint32_t bit)
{
    struct virtio_mmio *transport = device->transport;

    transport->interrupt_status |= bit;
    irq_line_raise(transport->line);
}

static void queue_interrupts(struct virtio_device *device, uint64_t queues)
{
    /* 4.2.3.4: one bit serves all queues. */
    (void)queues;
    interrupt(device, VIRTIO_MMIO_INT_VRING);
}

static void config_interrupt(struct virtio_device *device)
{
    interrupt(device, VIRTIO_MMIO_INT_CONFIG);
}

static void ring_doorbell(struct virtio_device *device, unsigned index)
{
    struct virtio_mmio *transport = device->transport;

    transport->doorbell->ring(transport->doorbell_opaque, index);
}

static void reset(struct virtio_device *device)
{
    struct virtio_mmio *transport = device->transport;

    transport->interrupt_status = 0;
    transport->device_features_sel = transport->driver_features_sel = transport->queue_sel = 0;
}

static const struct virtio_transport_ops transport_ops = {
    .queue_interrupts = queue_interrupts,
    .config_interrupt = config_interrupt,
    .ring_doorbell = ring_doorbell,
    .reset = reset,
};

/* --- registers --- */

/* The queue that QueueSel names, or NULL: any number may stand there. */
static struct virtqueue *selected_queue(const struct virtio_mmio *transport)
{
    if (transport->queue_sel >= transport->device->queue_count)
        return NULL;
    return &transport->device->queues[transport->queue_sel];
}

static uint32_t register_read(const struct virtio_mmio *transport, uint64_t offset)
{
    const struct virtio_device *device = transport->device;
    const struct virtqueue *queue = selected_queue(transport);
    uint64_t features = virtio_device_offered_features(device);

    switch (offset) {
    case VIRTIO_MMIO_MAGIC_VALUE:
        return MAGIC_VALUE;
    case VIRTIO_MMIO_VERSION:
        return LAYOUT_VERSION;
    case VIRTIO_MMIO_DEVICE_ID:
        return device->device_id;
    case VIRTIO_MMIO_VENDOR_ID:
        return VIRTIO_MMIO_VENDOR;
    case VIRTIO_MMIO_DEVICE_FEATURES:
        return transport->device_features_sel > 1
                   ? 0
                   : (uint32_t)(features >> 32 * transport->device_features_sel);
    case VIRTIO_MMIO_QUEUE_NUM_MAX:
        return queue ? queue->max_size : 0;
    case VIRTIO_MMIO_QUEUE_READY:
        return queue && queue->ready;
    case VIRTIO_MMIO_INTERRUPT_STATUS:
        return transport->interrupt_status;
    case VIRTIO_MMIO_STATUS:
        return device->status;
    case VIRTIO_MMIO_SHM_LEN_LOW:
    case VIRTIO_MMIO_SHM_LEN_HIGH:
    case VIRTIO_MMIO_SHM_BASE_LOW:
    case VIRTIO_MMIO_SHM_BASE_HIGH:
        return NO_SHARED_MEMORY;
    case VIRTIO_MMIO_CONFIG_GENERATION:
        return device->config_generation;
    default:
        /* Write-only, of the legacy layout, or unknown. */
        return 0;
    }
}

static void set_low(uint64_t *address, uint32_t value)
{
    *address = (*address & ~(uint64_t)UINT32_MAX) | value;
}

static void set_high(uint64_t *address, uint32_t value)
{
    *address = (*address & UINT32_MAX) | (uint64_t)value << 32;
}

/* The registers that describe the selected queue; it takes them until it is ready. */
static void queue_register_write(struct virtio_mmio *transport, uint64_t offset, uint32_t value)
{
    struct virtqueue *queue = selected_queue(transport);

    if (!queue || !virtio_device_queue_configurable(transport->device, transport->queue_sel))
        return;
    switch (offset) {
    case VIRTIO_MMIO_QUEUE_NUM:
        /* A size that is not allowed must not leave an older one in force: 0 makes QueueReady fail. */
        queue->size = value <= queue->max_size ? (uint16_t)value : 0;
        break;
    case VIRTIO_MMIO_QUEUE_DESC_LOW:
        set_low(&queue->desc_address, value);
        break;
    case VIRTIO_MMIO_QUEUE_DESC_HIGH:
        set_high(&queue->desc_address, value);
        break;
    case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
        set_low(&queue->avail_address, value);
        break;
    case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
        set_high(&queue->avail_address, value);
        break;
    case VIRTIO_MMIO_QUEUE_USED_LOW:
        set_low(&queue->used_address, value);
        break;
    case VIRTIO_MMIO_QUEUE_USED_HIGH:
        set_high(&queue->used_address, value);
        break;
    }
}

static void queue_ready_write(struct virtio_mmio *transport, uint32_t value)
{
    if (!selected_queue(transport))
        return;
    if (value == 1)
        virtio_device_enable_queue(transport->device, transport->queue_sel);
    else if (value == 0)
        virtio_device_disable_queue(transport->device, transport->queue_sel);
}

static void driver_features_write(struct virtio_mmio *transport, uint32_t value)
{
    uint64_t features = transport->device->accepted_features;

    if (transport->driver_features_sel > 1)
        return;
    if (transport->driver_features_sel)
        set_high(&features, value);
    else
        set_low(&features, value);
    virtio_device_set_driver_features(transport->device, features);
}

static void register_write(struct virtio_mmio *transport, uint64_t offset, uint32_t value)
{
    struct virtio_device *device = transport->device;

    switch (offset) {
    case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        transport->device_features_sel = value;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES:
        driver_features_write(transport, value);
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        transport->driver_features_sel = value;
        break;
    case VIRTIO_MMIO_QUEUE_SEL:
        transport->queue_sel = value;
        break;
    case VIRTIO_MMIO_QUEUE_NUM:
    case VIRTIO_MMIO_QUEUE_DESC_LOW:
    case VIRTIO_MMIO_QUEUE_DESC_HIGH:
    case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
    case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
    case VIRTIO_MMIO_QUEUE_USED_LOW:
    case VIRTIO_MMIO_QUEUE_USED_HIGH:
        queue_register_write(transport, offset, value);
        break;
    case VIRTIO_MMIO_QUEUE_READY:
        queue_ready_write(transport, value);
        break;
    case VIRTIO_MMIO_QUEUE_NOTIFY:
        if (value < device->queue_count)
            ring_doorbell(device, value);
        break;
    case VIRTIO_MMIO_INTERRUPT_ACK:
        transport->interrupt_status &= ~value;
        break;
    case VIRTIO_MMIO_STATUS:
        /* Bits above the status byte do not exist; a write of nothing but such bits is not a reset. */
        if (!value || (uint8_t)value)
            virtio_device_set_status(device, (uint8_t)value);
        break;
    default:
        /* Read-only, of the legacy layout, or unknown. */
        break;
    }
}

/* --- the window --- */

static uint64_t window_read(void *opaque, uint64_t offset, unsigned size)
{
    struct virtio_mmio *transport = opaque;
    uint64_t value = 0;

    if (offset >= VIRTIO_MMIO_CONFIG)
        virtio_device_config_read(transport->device, (uint32_t)(offset - VIRTIO_MMIO_CONFIG), &value, size);
    else if (size == 4)
        value = register_read(transport, offset);
    return value;
}

static void window_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct virtio_mmio *transport = opaque;

    if (offset >= VIRTIO_MMIO_CONFIG)
        virtio_device_config_write(transport->device, (uint32_t)(offset - VIRTIO_MMIO_CONFIG), &value, size);
    else if (size == 4)
        register_write(transport, offset, (uint32_t)value);
}

static const struct bus_region_ops window_ops = {
    .read = window_read,
    .write = window_write,
};

/* --- life --- */

int virtio_mmio_create(struct virtio_device *device, struct irq_line *line,
                       const struct doorbell_ops *doorbell, void *doorbell_opaque,
                       struct virtio_mmio **ret_transport)
{
    struct virtio_mmio *transport = calloc(1, sizeof(*transport));

    if (!transport)
        return -ENOMEM;
    transport->device = device;
    transport->line = line;
    transport->doorbell = doorbell;
    transport->doorbell_opaque = doorbell_opaque;
    device->transport_ops = &transport_ops;
    device->transport = transport;
    *ret_transport = transport;
    return 0;
}

void virtio_mmio_destroy(struct virtio_mmio *transport)
{
    if (!transport)
        return;
    transport->device->transport_ops = NULL;
    transport->device->transport = NULL;
    free(transport);
}

struct bus_region virtio_mmio_region(struct virtio_mmio *transport, uint64_t base)
{
    return (struct bus_region){
        .name = transport->device->name,
        .base = base,
        .size = VIRTIO_MMIO_WINDOW_SIZE,
        .ops = &window_ops,
        .opaque = transport,
        .lock = &transport->device->lock,
    };
}
