/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mmio_slot.h - a virtio device plugged into the machine: its MMIO window, interrupt line, and one doorbell
 * eventfd per queue, which the loop waits on; or another process, which then brought it.
 */
#ifndef RINGLET_MMIO_SLOT_H
#define RINGLET_MMIO_SLOT_H

#include <stdbool.h>
#include <stddef.h>

#include "ringlet/virtio_device.h"

struct bus;
struct device_info;
struct error;
struct hypervisor;
struct loop;
struct loop_task;
struct mmio_slot;

/* Takes over `device` when it succeeds; borrows the rest. 0 or -errno with *err. */
int mmio_slot_create(struct virtio_device *device, const struct device_info *where,
                     struct hypervisor *hypervisor, struct bus *mmio, struct loop *loop,
                     struct mmio_slot **ret_slot, struct error *err);

/*
 * Begin to listen to the doorbells. `first_ring` (may be NULL) is posted when one rings for the first time: the guest's
 * driver is at work. Before the loop runs.
 */
void mmio_slot_start(struct mmio_slot *slot, struct loop_task *first_ring);

/* No vCPU runs any more: stop listening, and ask what is in flight to end. Loop thread. */
void mmio_slot_stop(struct mmio_slot *slot);

/* After mmio_slot_stop(): no doorbell read and no request of the device is left in flight. Loop thread. */
bool mmio_slot_is_quiet(struct mmio_slot *slot);

/* "net0: ...", what the device has to tell. */
enum virtio_report mmio_slot_report(struct mmio_slot *slot, char *to, size_t size);

/* Quiet, or never started. NULL is fine. */
void mmio_slot_destroy(struct mmio_slot *slot);

#endif
