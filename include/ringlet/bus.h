/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus.h - dispatch of guest accesses to devices, by address.
 *
 * There are two: port I/O and MMIO. Regions are added while the VM is built; bus_freeze() sorts them; from
 * then on the table does not change and look-ups take no lock. The bus takes a region's mutex around each
 * call into it, so that a device is never entered twice at once.
 */
#ifndef RINGLET_BUS_H
#define RINGLET_BUS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct bus;

/*
 * `offset` counts from the region's base; `size` is 1, 2, 4 or 8 and the access lies inside the region.
 * Values are little-endian numbers in the low `size` bytes. Both slots are required.
 */
struct bus_region_ops {
    uint64_t (*read)(void *opaque, uint64_t offset, unsigned size);
    void (*write)(void *opaque, uint64_t offset, uint64_t value, unsigned size);
};

struct bus_region {
    const char *name; /* for --verbose and error texts */
    uint64_t base;
    uint64_t size; /* bytes, not 0 */
    const struct bus_region_ops *ops;
    void *opaque;
    pthread_mutex_t *lock; /* held around ops; NULL when the region needs none */
};

int bus_create(struct bus **ret_bus);
void bus_destroy(struct bus *bus);

/* Copies *region. -EEXIST on overlap, -EINVAL for an empty or wrapping range, -EBUSY once frozen, -ENOMEM. */
int bus_add(struct bus *bus, const struct bus_region *region);
void bus_freeze(struct bus *bus);

/*
 * vCPU threads. Where nobody answers, a read gives all ones, as on a PC's bus, a write is dropped, and the
 * result is false. An access that straddles a region's end is nobody's.
 */
bool bus_read(struct bus *bus, uint64_t address, uint64_t *ret_value, unsigned size);
bool bus_write(struct bus *bus, uint64_t address, uint64_t value, unsigned size);

#endif
