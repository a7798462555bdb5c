/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_memory.c - see ringlet/guest_memory.h. Regions are kept sorted by base; there are a handful, so a
 * look-up walks them.
 */
#include "ringlet/guest_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "ringlet/util.h"

#define PAGE_SIZE 4096

struct guest_memory {
    struct guest_memory_region regions[GUEST_MEMORY_MAX_REGIONS];
    unsigned count;
};

int guest_memory_create(struct guest_memory **ret_memory)
{
    struct guest_memory *memory = calloc(1, sizeof(*memory));

    if (!memory)
        return -ENOMEM;
    *ret_memory = memory;
    return 0;
}

void guest_memory_destroy(struct guest_memory *memory)
{
    if (!memory)
        return;
    for (unsigned i = 0; i < memory->count; i++)
        munmap(memory->regions[i].host, memory->regions[i].size);
    free(memory);
}

int guest_memory_add_ram(struct guest_memory *memory, uint64_t base, uint64_t size)
{
    uint64_t end;
    unsigned at = 0;
    void *host;

    if (!size || base % PAGE_SIZE || size % PAGE_SIZE || size > SIZE_MAX || !checked_add(base, size, &end))
        return -EINVAL;
    for (unsigned i = 0; i < memory->count; i++) {
        const struct guest_memory_region *other = &memory->regions[i];

        if (base < other->base + other->size && other->base < end)
            return -EEXIST;
        if (other->base < base)
            at = i + 1;
    }
    if (memory->count == GUEST_MEMORY_MAX_REGIONS)
        return -ENOSPC;

    /* NORESERVE: what the guest never touches costs nothing, so a VM may be larger than what is free now. */
    host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (host == MAP_FAILED)
        return -errno;
    /* Best effort: huge pages make the second-level page walks short; a core dump has no use for a guest's
     * RAM. */
    (void)madvise(host, size, MADV_HUGEPAGE);
    (void)madvise(host, size, MADV_DONTDUMP);

    memmove(&memory->regions[at + 1], &memory->regions[at],
            (memory->count - at) * sizeof(memory->regions[0]));
    memory->regions[at] = (struct guest_memory_region){ .base = base, .size = size, .host = host };
    memory->count++;
    return 0;
}

unsigned guest_memory_region_count(const struct guest_memory *memory)
{
    return memory->count;
}

const struct guest_memory_region *guest_memory_region_at(const struct guest_memory *memory, unsigned index)
{
    return &memory->regions[index];
}

uint64_t guest_memory_size(const struct guest_memory *memory)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < memory->count; i++)
        total += memory->regions[i].size;
    return total;
}

static const struct guest_memory_region *region_of(const struct guest_memory *memory, uint64_t address)
{
    for (unsigned i = 0; i < memory->count; i++) {
        const struct guest_memory_region *region = &memory->regions[i];

        if (address >= region->base && address - region->base < region->size)
            return region;
    }
    return NULL;
}

void *guest_memory_range(const struct guest_memory *memory, uint64_t address, uint64_t length)
{
    const struct guest_memory_region *region = region_of(memory, address);

    if (!region || !length || !range_within(address, length, region->base, region->size))
        return NULL;
    return (uint8_t *)region->host + (address - region->base);
}

int guest_memory_iovec(const struct guest_memory *memory, uint64_t address, uint64_t length,
                       struct iovec *iov, unsigned max)
{
    unsigned count = 0;

    if (!length)
        return -EFAULT;
    while (length) {
        const struct guest_memory_region *region = region_of(memory, address);
        uint64_t offset, here;

        if (!region)
            return -EFAULT;
        if (count == max)
            return -E2BIG;
        offset = address - region->base;
        here = region->size - offset < length ? region->size - offset : length;
        iov[count++] = (struct iovec){ .iov_base = (uint8_t *)region->host + offset, .iov_len = here };
        address += here;
        length -= here;
    }
    return (int)count;
}

int guest_memory_read(const struct guest_memory *memory, uint64_t address, void *to, size_t length)
{
    struct iovec iov[GUEST_MEMORY_MAX_REGIONS];
    uint8_t *out = to;
    int count;

    if (!length)
        return 0;
    count = guest_memory_iovec(memory, address, length, iov, ARRAY_SIZE(iov));
    if (count < 0)
        return -EFAULT;
    for (int i = 0; i < count; i++) {
        memcpy(out, iov[i].iov_base, iov[i].iov_len);
        out += iov[i].iov_len;
    }
    return 0;
}

int guest_memory_write(const struct guest_memory *memory, uint64_t address, const void *from, size_t length)
{
    struct iovec iov[GUEST_MEMORY_MAX_REGIONS];
    const uint8_t *in = from;
    int count;

    if (!length)
        return 0;
    count = guest_memory_iovec(memory, address, length, iov, ARRAY_SIZE(iov));
    if (count < 0)
        return -EFAULT;
    for (int i = 0; i < count; i++) {
        memcpy(iov[i].iov_base, in, iov[i].iov_len);
        in += iov[i].iov_len;
    }
    return 0;
}
