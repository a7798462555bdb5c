/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mmio_slot.c - see mmio_slot.h.
 *
 * A doorbell is an eventfd with one read on the loop at all times: the guest's write to QueueNotify signals
 * it (KVM's ioeventfd, without an exit), the read completes with the device's lock held, the queue is worked,
 * and the read starts again. Where KVM has no ioeventfds the write arrives at the transport, which writes the
 * eventfd itself; so queues are always worked on the loop thread.
 *
 * A device whose queues another process works on brings that process's eventfds, which are bound and rung
 * likewise but neither read nor closed here.
 */
#include "mmio_slot.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ringlet/bus.h"
#include "ringlet/device_info.h"
#include "ringlet/error.h"
#include "ringlet/hypervisor.h"
#include "ringlet/irq_line.h"
#include "ringlet/loop.h"
#include "ringlet/util.h"
#include "ringlet/virtio_device.h"
#include "ringlet/virtio_mmio.h"

#define QUEUE_NOTIFY_OFFSET 0x50 /* virtio 1.2, 4.2.2 */

struct doorbell {
    struct loop_op op;
    struct mmio_slot *slot;
    unsigned queue;
    int eventfd;
    bool elsewhere; /* another process listens: the eventfd is the device's */
    uint64_t rings; /* where the read puts the eventfd's count */
};

struct mmio_slot {
    struct virtio_device *device;
    struct virtio_mmio *transport;
    struct loop *loop;
    bool stopping;                /* loop thread */
    struct loop_task *first_ring; /* until then; loop thread */
    unsigned doorbell_count;
    struct doorbell doorbells[];
};

static void listen(struct doorbell *doorbell)
{
    loop_read(doorbell->slot->loop, &doorbell->op, doorbell->eventfd, &doorbell->rings,
              sizeof(doorbell->rings), LOOP_NO_OFFSET);
}

static void doorbell_rang(struct loop_op *op, int res)
{
    struct doorbell *doorbell = container_of(op, struct doorbell, op);

    if (doorbell->slot->stopping)
        return;
    if (res > 0) {
        virtio_device_notify(doorbell->slot->device, doorbell->queue);
        if (doorbell->slot->first_ring)
            loop_post(doorbell->slot->loop, doorbell->slot->first_ring);
        doorbell->slot->first_ring = NULL;
    }
    listen(doorbell);
}

static void ring(void *opaque, unsigned queue_index)
{
    struct mmio_slot *slot = opaque;
    uint64_t one = 1;

    /* It fails only when the 64-bit counter is full: then the doorbell has rung already. */
    if (write(slot->doorbells[queue_index].eventfd, &one, sizeof(one)) < 0)
        return;
}

static const struct doorbell_ops doorbell_ops = { .ring = ring };

/* The device's eventfd, or a new one. 0 or -errno with *err. */
static int open_doorbell(struct doorbell *doorbell, struct error *err)
{
    struct virtio_device *device = doorbell->slot->device;
    int fd;

    if (device->ops->doorbell) {
        fd = device->ops->doorbell(device, doorbell->queue);
        if (fd < 0)
            return error_set(err, fd, "no doorbell for %s: %s", device->name, strerror(-fd));
        doorbell->elsewhere = true;
    } else {
        fd = eventfd(0, EFD_CLOEXEC);
        if (fd < 0)
            return error_set(err, -errno, "cannot create an eventfd for %s: %s", device->name,
                             strerror(errno));
    }
    doorbell->eventfd = fd;
    return 0;
}

static int create_doorbells(struct mmio_slot *slot, uint64_t base, struct hypervisor *hypervisor,
                            struct error *err)
{
    for (unsigned i = 0; i < slot->doorbell_count; i++) {
        struct doorbell *doorbell = &slot->doorbells[i];
        int result;

        doorbell->slot = slot;
        doorbell->queue = i;
        doorbell->op.done = doorbell_rang;
        doorbell->op.client = &slot->device->client;
        result = open_doorbell(doorbell, err);
        if (result < 0)
            return result;
        result = hypervisor->ops->bind_doorbell(hypervisor, base + QUEUE_NOTIFY_OFFSET, i, doorbell->eventfd);
        if (result < 0 && result != -ENOSYS)
            return error_set(err, result, "KVM refuses a doorbell for %s: %s", slot->device->name,
                             strerror(-result));
    }
    return 0;
}

int mmio_slot_create(struct virtio_device *device, const struct device_info *where,
                     struct hypervisor *hypervisor, struct bus *mmio, struct loop *loop,
                     struct mmio_slot **ret_slot, struct error *err)
{
    struct mmio_slot *slot = calloc(1, sizeof(*slot) + device->queue_count * sizeof(slot->doorbells[0]));
    struct bus_region region;
    struct irq_line *line;
    int result;

    if (!slot)
        return error_set(err, -ENOMEM, "out of memory");
    slot->device = device;
    slot->loop = loop;
    slot->doorbell_count = device->queue_count;
    for (unsigned i = 0; i < slot->doorbell_count; i++)
        slot->doorbells[i].eventfd = -1;

    result = hypervisor->ops->create_irq_line(hypervisor, where->gsi, &line);
    if (result < 0) {
        error_set(err, result, "KVM refuses interrupt line %u for %s: %s", where->gsi, device->name,
                  strerror(-result));
        goto fail;
    }
    result = virtio_mmio_create(device, line, &doorbell_ops, slot, &slot->transport);
    if (result < 0) {
        error_set(err, result, "cannot plug %s in: %s", device->name, strerror(-result));
        goto fail;
    }
    result = create_doorbells(slot, where->base, hypervisor, err);
    if (result < 0)
        goto fail;
    region = virtio_mmio_region(slot->transport, where->base);
    result = bus_add(mmio, &region);
    if (result < 0) {
        error_set(err, result, "no room for %s on the bus: %s", device->name, strerror(-result));
        goto fail;
    }
    *ret_slot = slot;
    return 0;

fail:
    slot->device = NULL; /* still the caller's */
    mmio_slot_destroy(slot);
    return result;
}

void mmio_slot_start(struct mmio_slot *slot, struct loop_task *first_ring)
{
    slot->first_ring = first_ring;
    for (unsigned i = 0; i < slot->doorbell_count; i++) {
        if (!slot->doorbells[i].elsewhere)
            listen(&slot->doorbells[i]);
    }
}

void mmio_slot_stop(struct mmio_slot *slot)
{
    slot->stopping = true;
    for (unsigned i = 0; i < slot->doorbell_count; i++) {
        if (slot->doorbells[i].op.pending)
            loop_cancel(slot->loop, &slot->doorbells[i].op);
    }
    virtio_device_stop(slot->device);
}

bool mmio_slot_is_quiet(struct mmio_slot *slot)
{
    bool quiet;

    for (unsigned i = 0; i < slot->doorbell_count; i++) {
        if (slot->doorbells[i].op.pending)
            return false;
    }
    pthread_mutex_lock(&slot->device->lock);
    quiet = slot->device->in_flight == 0;
    pthread_mutex_unlock(&slot->device->lock);
    return quiet;
}

enum virtio_report mmio_slot_report(struct mmio_slot *slot, char *to, size_t size)
{
    int length = snprintf(to, size, "%s: ", slot->device->name);

    if (length < 0 || (size_t)length >= size)
        return VIRTIO_REPORT_NONE;
    return virtio_device_report(slot->device, to + length, size - (size_t)length);
}

void mmio_slot_destroy(struct mmio_slot *slot)
{
    if (!slot)
        return;
    for (unsigned i = 0; i < slot->doorbell_count; i++) {
        if (slot->doorbells[i].eventfd >= 0 && !slot->doorbells[i].elsewhere)
            close(slot->doorbells[i].eventfd);
    }
    virtio_mmio_destroy(slot->transport);
    virtio_device_destroy(slot->device);
    free(slot);
}
