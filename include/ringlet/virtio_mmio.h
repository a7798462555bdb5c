/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_mmio.h - the MMIO transport, register layout version 2 (virtio 1.2, 4.2).
 *
 * Turns a 4 KiB window of guest addresses into calls on a struct virtio_device, and the device's
 * notifications into InterruptStatus bits and an edge on its interrupt line. Doorbells are not handled here
 * at all when the hypervisor binds them to eventfds; a write to QueueNotify that still arrives as an exit
 * writes the same eventfd, so that queues are always worked on the loop thread.
 */
#ifndef RINGLET_VIRTIO_MMIO_H
#define RINGLET_VIRTIO_MMIO_H

#include <stdint.h>

struct bus_region;
struct irq_line;
struct virtio_device;
struct virtio_mmio;

#define VIRTIO_MMIO_WINDOW_SIZE 0x1000

/* VendorID: "RLET", read as a little-endian number. */
#define VIRTIO_MMIO_VENDOR 0x54454c52

/* How a doorbell reaches the loop. Any thread; never blocks. */
struct doorbell_ops {
    void (*ring)(void *opaque, unsigned queue_index); /* required */
};

/* Borrows device, line and doorbell; the device outlives the transport. 0 or -ENOMEM. */
int virtio_mmio_create(struct virtio_device *device, struct irq_line *line,
                       const struct doorbell_ops *doorbell, void *doorbell_opaque,
                       struct virtio_mmio **ret_transport);
void virtio_mmio_destroy(struct virtio_mmio *transport);

/* The window to put on the MMIO bus: ops, opaque and lock filled in, at `base`. */
struct bus_region virtio_mmio_region(struct virtio_mmio *transport, uint64_t base);

#endif
