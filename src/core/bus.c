/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus.c - see ringlet/bus.h. A sorted array, searched by halves.
 */
#include "ringlet/bus.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "ringlet/util.h"

struct bus {
    struct bus_region *regions;
    size_t count;
    bool frozen;
};

int bus_create(struct bus **ret_bus)
{
    struct bus *bus = calloc(1, sizeof(*bus));

    if (!bus)
        return -ENOMEM;
    *ret_bus = bus;
    return 0;
}

void bus_destroy(struct bus *bus)
{
    if (!bus)
        return;
    free(bus->regions);
    free(bus);
}

int bus_add(struct bus *bus, const struct bus_region *region)
{
    struct bus_region *grown;
    uint64_t end;

    if (bus->frozen)
        return -EBUSY;
    if (!region->size || !checked_add(region->base, region->size, &end))
        return -EINVAL;
    for (size_t i = 0; i < bus->count; i++) {
        const struct bus_region *other = &bus->regions[i];

        if (region->base < other->base + other->size && other->base < end)
            return -EEXIST;
    }
    grown = reallocarray(bus->regions, bus->count + 1, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    bus->regions = grown;
    bus->regions[bus->count++] = *region;
    return 0;
}

static int compare_bases(const void *a, const void *b)
{
    const struct bus_region *left = a, *right = b;

    return (left->base > right->base) - (left->base < right->base);
}

void bus_freeze(struct bus *bus)
{
    if (bus->count)
        qsort(bus->regions, bus->count, sizeof(bus->regions[0]), compare_bases);
    bus->frozen = true;
}

static const struct bus_region *find(const struct bus *bus, uint64_t address, unsigned size)
{
    size_t low = 0, high = bus->count;

    assert(bus->frozen);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct bus_region *region = &bus->regions[middle];

        if (address < region->base)
            high = middle;
        else if (address - region->base >= region->size)
            low = middle + 1;
        else
            return range_within(address, size, region->base, region->size) ? region : NULL;
    }
    return NULL;
}

static uint64_t value_mask(unsigned size)
{
    return size >= 8 ? UINT64_MAX : (UINT64_C(1) << (size * 8)) - 1;
}

bool bus_read(struct bus *bus, uint64_t address, uint64_t *ret_value, unsigned size)
{
    const struct bus_region *region = find(bus, address, size);

    *ret_value = value_mask(size);
    if (!region)
        return false;
    if (region->lock)
        pthread_mutex_lock(region->lock);
    *ret_value = region->ops->read(region->opaque, address - region->base, size) & value_mask(size);
    if (region->lock)
        pthread_mutex_unlock(region->lock);
    return true;
}

bool bus_write(struct bus *bus, uint64_t address, uint64_t value, unsigned size)
{
    const struct bus_region *region = find(bus, address, size);

    if (!region)
        return false;
    if (region->lock)
        pthread_mutex_lock(region->lock);
    region->ops->write(region->opaque, address - region->base, value & value_mask(size), size);
    if (region->lock)
        pthread_mutex_unlock(region->lock);
    return true;
}
