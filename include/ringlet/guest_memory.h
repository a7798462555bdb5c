/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_memory.h - guest RAM and the one way to reach it.
 *
 * Guest RAM is a few mappings in our address space, each at a guest-physical base. A guest address means
 * nothing without a length: every function takes both and fails rather than reach outside. A buffer may span
 * two mappings (RAM is split by the hole below 4 GiB); guest_memory_iovec() then yields two vectors.
 *
 * Mappings are added before the first vCPU runs and never change after, so look-ups take no lock and may come
 * from any thread. What the bytes mean may change under the reader at any moment: the guest runs. Copy once,
 * then parse the copy.
 */
#ifndef RINGLET_GUEST_MEMORY_H
#define RINGLET_GUEST_MEMORY_H

#include <stddef.h>
#include <stdint.h>

struct iovec;
struct guest_memory;

struct guest_memory_region {
    uint64_t base; /* guest-physical address, page-aligned */
    uint64_t size; /* bytes, page-aligned */
    void *host;    /* our mapping, owned by the guest_memory */
    int fd;        /* of shareable memory: the memfd behind it, owned by the guest_memory; else -1 */
};

#define GUEST_MEMORY_MAX_REGIONS 8

int guest_memory_create(struct guest_memory **ret_memory);

/*
 * Likewise, for RAM that another process is to map (vhost-user): every region is a memfd of its own, from offset 0,
 * sealed against changes of its size.
 */
int guest_memory_create_shared(struct guest_memory **ret_memory);

/* Unmaps everything. NULL is fine. */
void guest_memory_destroy(struct guest_memory *memory);

/*
 * Map `size` bytes of zeroed RAM at guest-physical `base` (both page-aligned, size not 0).
 * -EINVAL for alignment or overflow, -EEXIST on overlap, -ENOSPC when all regions are taken, or mmap's error.
 */
int guest_memory_add_ram(struct guest_memory *memory, uint64_t base, uint64_t size);

/* The regions, ordered by base. */
unsigned guest_memory_region_count(const struct guest_memory *memory);
const struct guest_memory_region *guest_memory_region_at(const struct guest_memory *memory, unsigned index);

/* Bytes of RAM in all regions together. */
uint64_t guest_memory_size(const struct guest_memory *memory);

/*
 * Pointer to [address, address + length), or NULL unless all of it lies in one mapping. Length 0 is NULL.
 */
void *guest_memory_range(const struct guest_memory *memory, uint64_t address, uint64_t length);

/*
 * Describe [address, address + length) as vectors, in order, across adjoining mappings. Returns how many,
 * -EFAULT if any byte is not RAM or length is 0, -E2BIG if `max` does not suffice.
 */
int guest_memory_iovec(const struct guest_memory *memory, uint64_t address, uint64_t length,
                       struct iovec *iov, unsigned max);

/* Copy, across mappings. 0, or -EFAULT with nothing copied. Length 0 succeeds. */
int guest_memory_read(const struct guest_memory *memory, uint64_t address, void *to, size_t length);
int guest_memory_write(const struct guest_memory *memory, uint64_t address, const void *from, size_t length);

#endif
