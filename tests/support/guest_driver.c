/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_driver.c - see guest_driver.h: the machine, its registers and the initialization sequence. The rings
 * are in guest_queue.c.
 */
#include "guest_driver.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ringlet/bus.h"
#include "ringlet/guest_memory.h"
#include "ringlet/util.h"
#include "ringlet/virtio_mmio.h"

/* Low RAM below this is left alone, so that a stray 0 is never a valid buffer by accident of allocation. */
#define FIRST_ALLOCATION UINT64_C(0x1000)

/* --- the loop's part --- */

/* What the eventfd is in the real machine: noted now, answered when the loop comes round. */
static void note_bell(void *opaque, unsigned queue_index)
{
    struct guest_driver *guest = opaque;

    assert_true(queue_index < guest->device->queue_count);
    atomic_fetch_or(&guest->bells, UINT64_C(1) << queue_index);
    atomic_fetch_add(&guest->doorbell_count, 1);
}

static const struct doorbell_ops doorbell_ops = {
    .ring = note_bell,
};

void guest_driver_turn(struct guest_driver *guest)
{
    uint64_t bells;

    while ((bells = atomic_exchange(&guest->bells, 0))) {
        pthread_mutex_lock(&guest->device->lock);
        for (unsigned i = 0; i < guest->device->queue_count; i++) {
            if (bells >> i & 1)
                virtio_device_notify(guest->device, i);
        }
        guest->device->client.batch_end(&guest->device->client);
        pthread_mutex_unlock(&guest->device->lock);
    }
}

static void answer_bells(struct guest_driver *guest)
{
    if (!guest->hold_doorbells)
        guest_driver_turn(guest);
}

void guest_driver_enter(struct guest_driver *guest)
{
    pthread_mutex_lock(&guest->device->lock);
}

void guest_driver_leave(struct guest_driver *guest)
{
    guest->device->client.batch_end(&guest->device->client);
    pthread_mutex_unlock(&guest->device->lock);
    answer_bells(guest);
}

/* --- the machine --- */

struct guest_driver *guest_driver_create(void)
{
    struct guest_driver *guest = calloc(1, sizeof(*guest));

    assert_non_null(guest);
    assert_int_equal(guest_memory_create(&guest->memory), 0);
    assert_int_equal(guest_memory_add_ram(guest->memory, 0, GUEST_RAM_SEAM), 0);
    assert_int_equal(guest_memory_add_ram(guest->memory, GUEST_RAM_SEAM, GUEST_RAM_LOW_END - GUEST_RAM_SEAM),
                     0);
    assert_int_equal(guest_memory_add_ram(guest->memory, GUEST_RAM_HIGH, GUEST_RAM_HIGH_END - GUEST_RAM_HIGH),
                     0);
    assert_int_equal(bus_create(&guest->bus), 0);
    fake_irq_line_init(&guest->line);
    guest->next_free = FIRST_ALLOCATION;
    guest->next_free_high = GUEST_RAM_HIGH;
    return guest;
}

static void forget_queue(struct guest_queue *queue)
{
    free(queue->free_next);
    free(queue->chain_length);
    *queue = (struct guest_queue){ 0 };
}

void guest_driver_destroy(struct guest_driver *guest)
{
    if (!guest)
        return;
    virtio_mmio_destroy(guest->transport);
    virtio_device_destroy(guest->device);
    bus_destroy(guest->bus);
    guest_memory_destroy(guest->memory);
    for (unsigned i = 0; i < ARRAY_SIZE(guest->queues); i++)
        forget_queue(&guest->queues[i]);
    free(guest);
}

void guest_driver_plug(struct guest_driver *guest, struct virtio_device *device)
{
    struct bus_region region;

    guest->device = device;
    assert_int_equal(virtio_mmio_create(device, &guest->line.line, &doorbell_ops, guest, &guest->transport),
                     0);
    region = virtio_mmio_region(guest->transport, GUEST_MMIO_BASE);
    assert_int_equal(bus_add(guest->bus, &region), 0);
    bus_freeze(guest->bus);
}

static uint64_t take(uint64_t *next, uint64_t size, uint64_t align, uint64_t end)
{
    uint64_t address = align_up(*next, align);

    assert_true(address + size <= end);
    *next = address + size;
    return address;
}

uint64_t guest_alloc(struct guest_driver *guest, uint64_t size, uint64_t align)
{
    uint64_t at = align_up(guest->next_free, align);

    /* What is allocated never lies across the seam; who wants that names the address. */
    if (at < GUEST_RAM_SEAM && at + size > GUEST_RAM_SEAM)
        guest->next_free = GUEST_RAM_SEAM;
    return take(&guest->next_free, size, align, GUEST_RAM_LOW_END);
}

uint64_t guest_alloc_high(struct guest_driver *guest, uint64_t size, uint64_t align)
{
    return take(&guest->next_free_high, size, align, GUEST_RAM_HIGH_END);
}

void guest_write(struct guest_driver *guest, uint64_t address, const void *from, size_t length)
{
    assert_int_equal(guest_memory_write(guest->memory, address, from, length), 0);
}

void guest_read(struct guest_driver *guest, uint64_t address, void *to, size_t length)
{
    assert_int_equal(guest_memory_read(guest->memory, address, to, length), 0);
}

void *guest_at(struct guest_driver *guest, uint64_t address, uint64_t length)
{
    void *host = guest_memory_range(guest->memory, address, length);

    assert_non_null(host);
    return host;
}

/* --- registers --- */

uint64_t guest_window_read(struct guest_driver *guest, uint64_t offset, unsigned size)
{
    uint64_t value;

    assert_true(bus_read(guest->bus, GUEST_MMIO_BASE + offset, &value, size));
    return value;
}

void guest_window_write(struct guest_driver *guest, uint64_t offset, uint64_t value, unsigned size)
{
    assert_true(bus_write(guest->bus, GUEST_MMIO_BASE + offset, value, size));
    answer_bells(guest);
}

uint32_t guest_register_read(struct guest_driver *guest, uint64_t offset)
{
    return (uint32_t)guest_window_read(guest, offset, 4);
}

void guest_register_write(struct guest_driver *guest, uint64_t offset, uint32_t value)
{
    guest_window_write(guest, offset, value, 4);
}

void guest_config_read(struct guest_driver *guest, uint32_t offset, void *to, size_t length)
{
    uint8_t *bytes = to;

    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)guest_window_read(guest, VIRTIO_MMIO_CONFIG + offset + i, 1);
}

void guest_config_write(struct guest_driver *guest, uint32_t offset, uint64_t value, unsigned size)
{
    guest_window_write(guest, VIRTIO_MMIO_CONFIG + offset, value, size);
}

/* --- initialization --- */

uint8_t guest_status(struct guest_driver *guest)
{
    return (uint8_t)guest_register_read(guest, VIRTIO_MMIO_STATUS);
}

void guest_add_status(struct guest_driver *guest, uint8_t bits)
{
    guest_register_write(guest, VIRTIO_MMIO_STATUS, guest_status(guest) | bits);
}

void guest_reset(struct guest_driver *guest)
{
    guest_register_write(guest, VIRTIO_MMIO_STATUS, 0);
}

uint64_t guest_offered_features(struct guest_driver *guest)
{
    uint64_t features;

    guest_register_write(guest, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    features = (uint64_t)guest_register_read(guest, VIRTIO_MMIO_DEVICE_FEATURES) << 32;
    guest_register_write(guest, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
    return features | guest_register_read(guest, VIRTIO_MMIO_DEVICE_FEATURES);
}

void guest_write_features(struct guest_driver *guest, uint64_t features)
{
    guest_register_write(guest, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    guest_register_write(guest, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
    guest_register_write(guest, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    guest_register_write(guest, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
}

bool guest_negotiate(struct guest_driver *guest, uint64_t features)
{
    guest_reset(guest);
    guest_add_status(guest, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    guest_add_status(guest, VIRTIO_CONFIG_S_DRIVER);
    if (features == GUEST_ALL_FEATURES)
        features = guest_offered_features(guest);
    guest_write_features(guest, features);
    guest->features = features;
    guest_add_status(guest, VIRTIO_CONFIG_S_FEATURES_OK);
    return guest_status(guest) & VIRTIO_CONFIG_S_FEATURES_OK;
}

void guest_queue_place(struct guest_driver *guest, unsigned index, uint16_t size)
{
    struct guest_queue *queue = &guest->queues[index];

    assert_true(size > 0);
    forget_queue(queue);
    *queue = (struct guest_queue){
        .guest = guest,
        .index = index,
        .size = size,
        .free_count = size,
        .free_next = calloc(size, sizeof(uint16_t)),
        .chain_length = calloc(size, sizeof(uint16_t)),
    };
    assert_non_null(queue->free_next);
    assert_non_null(queue->chain_length);
    for (unsigned i = 0; i < size; i++)
        queue->free_next[i] = (uint16_t)(i + 1);
    queue->desc = guest_alloc(guest, (uint64_t)16 * size, 16);
    queue->avail = guest_alloc(guest, 6 + (uint64_t)2 * size, 2);
    queue->used = guest_alloc(guest, 6 + (uint64_t)8 * size, 4);
}

static void write_address(struct guest_driver *guest, uint64_t low, uint64_t high, uint64_t address)
{
    guest_register_write(guest, low, (uint32_t)address);
    guest_register_write(guest, high, (uint32_t)(address >> 32));
}

bool guest_queue_enable(struct guest_queue *queue)
{
    struct guest_driver *guest = queue->guest;

    guest_register_write(guest, VIRTIO_MMIO_QUEUE_SEL, queue->index);
    guest_register_write(guest, VIRTIO_MMIO_QUEUE_NUM, queue->size);
    write_address(guest, VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_MMIO_QUEUE_DESC_HIGH, queue->desc);
    write_address(guest, VIRTIO_MMIO_QUEUE_AVAIL_LOW, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, queue->avail);
    write_address(guest, VIRTIO_MMIO_QUEUE_USED_LOW, VIRTIO_MMIO_QUEUE_USED_HIGH, queue->used);
    guest_register_write(guest, VIRTIO_MMIO_QUEUE_READY, 1);
    return guest_register_read(guest, VIRTIO_MMIO_QUEUE_READY) == 1;
}

void guest_driver_ok(struct guest_driver *guest)
{
    guest_add_status(guest, VIRTIO_CONFIG_S_DRIVER_OK);
}

void guest_driver_start(struct guest_driver *guest, uint64_t features, uint16_t queue_size)
{
    assert_true(guest_negotiate(guest, features));
    for (unsigned i = 0; i < guest->device->queue_count; i++) {
        uint32_t most;

        guest_register_write(guest, VIRTIO_MMIO_QUEUE_SEL, i);
        most = guest_register_read(guest, VIRTIO_MMIO_QUEUE_NUM_MAX);
        assert_int_equal(guest_register_read(guest, VIRTIO_MMIO_QUEUE_READY), 0);
        assert_true(most > 0 && most >= queue_size);
        guest_queue_place(guest, i, queue_size ? queue_size : (uint16_t)most);
        assert_true(guest_queue_enable(&guest->queues[i]));
    }
    guest_driver_ok(guest);
    assert_true(guest_status(guest) & VIRTIO_CONFIG_S_DRIVER_OK);
}

/* --- interrupts --- */

unsigned guest_take_interrupts(struct guest_driver *guest)
{
    return atomic_exchange(&guest->line.raised, 0);
}

uint32_t guest_acknowledge(struct guest_driver *guest)
{
    uint32_t status = guest_register_read(guest, VIRTIO_MMIO_INTERRUPT_STATUS);

    guest_register_write(guest, VIRTIO_MMIO_INTERRUPT_ACK, status);
    return status;
}
