/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine.h - the plan of a machine: which device sits at which address, on which interrupt line. Made from
 * the options alone, before anything is opened; the VM, the ACPI tables, the device tree and the command line
 * all follow it.
 */
#ifndef RINGLET_MACHINE_H
#define RINGLET_MACHINE_H

#include "ringlet/device_info.h"

struct error;
struct run_options;

#define MACHINE_MAX_VIRTIO  16
#define MACHINE_MAX_DEVICES (MACHINE_MAX_VIRTIO + 1)

struct machine_plan {
    /* virtio devices first, in the order of the options; with exec the channel's own comes behind them */
    struct device_info devices[MACHINE_MAX_DEVICES];
    unsigned device_count;
    unsigned virtio_count;
    struct device_info serial; /* also the last of devices */
};

/* 0, or -ENOSPC with *err when there are more devices than interrupt lines. */
int machine_plan_make(const struct run_options *options, struct machine_plan *ret_plan, struct error *err);

#endif
