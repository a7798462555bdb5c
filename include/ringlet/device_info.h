/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device_info.h - where a device sits: the one table from which the ACPI tables, the device tree and the
 * virtio_mmio.device= words are all written.
 */
#ifndef RINGLET_DEVICE_INFO_H
#define RINGLET_DEVICE_INFO_H

#include <stdint.h>

enum device_kind {
    DEVICE_SERIAL,      /* 16550A on ports */
    DEVICE_VIRTIO_MMIO, /* a virtio-mmio window */
    DEVICE_KIND_COUNT,
};

struct device_info {
    enum device_kind kind;
    uint64_t base; /* first port, or guest-physical address */
    uint64_t size; /* ports, or bytes */
    uint32_t gsi;  /* edge-triggered interrupt line */
};

#endif
