/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory_map.c - where RAM lies, what the guest is told about it, and where the initrd goes in it. Every
 * address comes from layout.h.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include "layout.h"
#include "ringlet/error.h"
#include "ringlet/guest_memory.h"
#include "ringlet/util.h"
#include "ringlet/x86_boot.h"

#define PAGE_SIZE UINT64_C(4096)

#define KVM_PAGES_END (LAYOUT_KVM_TSS + 3 * PAGE_SIZE)

/* Only the region at 0 can be cut, into three; one entry more for KVM's pages. */
static_assert(GUEST_MEMORY_MAX_REGIONS + 3 <= X86_MEMORY_MAP_MAX, "every region finds room in the map");

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

int x86_add_ram(struct guest_memory *memory, uint64_t bytes)
{
    uint64_t low = min_u64(bytes, LAYOUT_HOLE_START);
    int result;

    if (bytes < X86_RAM_MIN)
        return -EINVAL;
    result = guest_memory_add_ram(memory, 0, low);
    if (result < 0 || bytes == low)
        return result;
    return guest_memory_add_ram(memory, LAYOUT_HOLE_END, bytes - low);
}

static void map_add(struct x86_memory_map_entry *map, unsigned *count, uint64_t start, uint64_t end,
                    enum x86_memory_type type)
{
    if (start >= end)
        return;
    assert(*count < X86_MEMORY_MAP_MAX);
    map[(*count)++] = (struct x86_memory_map_entry){ .base = start, .size = end - start, .type = type };
}

unsigned x86_memory_map(const struct guest_memory *memory,
                        struct x86_memory_map_entry map[X86_MEMORY_MAP_MAX])
{
    unsigned count = 0;

    for (unsigned i = 0; i < guest_memory_region_count(memory); i++) {
        const struct guest_memory_region *region = guest_memory_region_at(memory, i);
        uint64_t start = region->base, end = region->base + region->size;

        map_add(map, &count, start, min_u64(end, LAYOUT_LOW_RAM_END), X86_MEMORY_RAM);
        map_add(map, &count, max_u64(start, LAYOUT_LOW_RAM_END), min_u64(end, LAYOUT_HIGH_RAM_START),
                X86_MEMORY_RESERVED);
        map_add(map, &count, max_u64(start, LAYOUT_HIGH_RAM_START), end, X86_MEMORY_RAM);
    }
    /*
     * KVM puts pages of its own behind these addresses; a guest that looks for room for a device must not
     * choose them. The map need not be sorted: every reader sorts it.
     */
    map_add(map, &count, LAYOUT_KVM_IDENTITY_MAP, KVM_PAGES_END, X86_MEMORY_RESERVED);
    return count;
}

/* The highest page-aligned place for `size` bytes in [start, end), or 0. */
static uint64_t place_below(uint64_t start, uint64_t end, uint64_t size)
{
    uint64_t address;

    if (end <= start || end - start < size)
        return 0;
    address = align_down(end - size, PAGE_SIZE);
    return address >= start ? address : 0;
}

int x86_place_initrd(const struct guest_memory *memory, const struct x86_kernel *kernel, uint64_t size,
                     uint64_t reserved_top, uint64_t *ret_address, struct error *err)
{
    const struct guest_memory_region *low = guest_memory_region_at(memory, 0);
    uint64_t top = min_u64(low->base + low->size, LAYOUT_HOLE_START);
    uint64_t address;

    if (!size)
        return error_set(err, -EINVAL, "the initrd is empty");
    top -= min_u64(top, reserved_top);
    if (kernel->initrd_max < top)
        top = kernel->initrd_max + 1;
    address = place_below(max_u64(kernel->end, LAYOUT_HIGH_RAM_START), top, size);
    if (!address)
        address = place_below(LAYOUT_HIGH_RAM_START, min_u64(kernel->start, top), size);
    if (!address)
        return error_set(err, -ENOMEM,
                         "the initrd (%" PRIu64
                         " KiB) does not fit beside the kernel: give the VM more memory",
                         (size + KIB - 1) / KIB);
    *ret_address = address;
    return 0;
}
