/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_memory.c - see ringlet/guest_memory.h. Regions are kept sorted by base; there are a handful, so a
 * look-up walks them.
 */
#include "ringlet/guest_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "ringlet/cleanup.h"
#include "ringlet/util.h"

#define PAGE_SIZE 4096

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x8U /* Linux 6.3 */
#endif

struct guest_memory {
    struct guest_memory_region regions[GUEST_MEMORY_MAX_REGIONS];
    unsigned count;
    bool shared;
};

static int create(bool shared, struct guest_memory **ret_memory)
{
    struct guest_memory *memory = calloc(1, sizeof(*memory));

    if (!memory)
        return -ENOMEM;
    memory->shared = shared;
    *ret_memory = memory;
    return 0;
}

int guest_memory_create(struct guest_memory **ret_memory)
{
    return create(false, ret_memory);
}

int guest_memory_create_shared(struct guest_memory **ret_memory)
{
    return create(true, ret_memory);
}

void guest_memory_destroy(struct guest_memory *memory)
{
    if (!memory)
        return;
    for (unsigned i = 0; i < memory->count; i++) {
        munmap(memory->regions[i].host, memory->regions[i].size);
        if (memory->regions[i].fd >= 0)
            close(memory->regions[i].fd);
    }
    free(memory);
}

/*
 * A memfd of that size for good: were it cut, whoever has it mapped would die of SIGBUS, and who that may be is
 * not ours to choose once another process has the descriptor. Returns the descriptor or -errno.
 */
static int create_memfd(uint64_t size)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    CLEANUP_CLOSE int fd = memfd_create("ringlet-guest-ram", flags | MFD_NOEXEC_SEAL);

    /* An older kernel; newer ones may be set up to refuse memfds that could be executed. */
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("ringlet-guest-ram", flags);
    if (fd < 0)
        return -errno;
    if (size > INT64_MAX)
        return -EFBIG;
    if (ftruncate(fd, (off_t)size) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -errno;
    return steal_fd(&fd);
}

int guest_memory_add_ram(struct guest_memory *memory, uint64_t base, uint64_t size)
{
    CLEANUP_CLOSE int fd = -1;
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

    if (memory->shared) {
        fd = create_memfd(size);
        if (fd < 0)
            return fd;
    }
    /* NORESERVE: what the guest never touches costs nothing, so a VM may be larger than what is free now. */
    host = mmap(NULL, size, PROT_READ | PROT_WRITE,
                MAP_NORESERVE | (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED), fd, 0);
    if (host == MAP_FAILED)
        return -errno;
    /* Best effort: huge pages make the second-level page walks short; a core dump has no use for a guest's
     * RAM. */
    (void)madvise(host, size, MADV_HUGEPAGE);
    (void)madvise(host, size, MADV_DONTDUMP);

    memmove(&memory->regions[at + 1], &memory->regions[at],
            (memory->count - at) * sizeof(memory->regions[0]));
    memory->regions[at] =
        (struct guest_memory_region){ .base = base, .size = size, .host = host, .fd = steal_fd(&fd) };
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
