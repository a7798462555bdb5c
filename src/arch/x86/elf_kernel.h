/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elf_kernel.h - an ELF vmlinux: which bytes of the file go where, and where to enter.
 *
 * Parsing is pure and complete: once elf_kernel_parse() succeeds, every segment lies inside the file, no two
 * overlap in guest RAM, and the entry is a byte that came from the file. Whether the kernel fits RAM is the
 * caller's question, between the two calls.
 */
#ifndef RINGLET_ARCH_X86_ELF_KERNEL_H
#define RINGLET_ARCH_X86_ELF_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct guest_memory;

#define ELF_KERNEL_MAX_SEGMENTS 32 /* Linux has five */

struct elf_segment {
    uint64_t offset; /* in the file */
    uint64_t filesz; /* bytes from the file, at most memsz; what memsz has more is zero */
    uint64_t paddr;  /* guest-physical */
    uint64_t vaddr;  /* where the kernel maps it for itself */
    uint64_t memsz;  /* never 0 */
};

struct elf_kernel {
    struct elf_segment segments[ELF_KERNEL_MAX_SEGMENTS];
    unsigned segment_count; /* never 0 */
    uint64_t start;         /* lowest byte of all segments, guest-physical */
    uint64_t end;           /* first byte after all segments */
    bool has_pvh_entry;     /* a XEN_ELFNOTE_PHYS32_ENTRY note; always so if is_32bit */
    uint64_t pvh_entry;     /* guest-physical, below 4 GiB */
    bool is_32bit;          /* an ELF32 file: enterable by its PVH note only */
    uint64_t entry;         /* e_entry, guest-physical; 0 for a 32-bit file or one with a PVH entry */
};

bool elf_kernel_probe(const uint8_t *file, size_t size);

/*
 * For a file that elf_kernel_probe() knows. With `want_pvh` the PVH note is looked for and, if found, takes
 * the place of e_entry. 0, or with *err: -ENOEXEC for what is no x86 kernel, -EINVAL for a file that ends
 * early or contradicts itself.
 */
int elf_kernel_parse(const uint8_t *file, size_t size, bool want_pvh, struct elf_kernel *ret_kernel,
                     struct error *err);

/* Copy all segments and zero their rest. The caller has seen that [start, end) is RAM. 0 or -EFAULT. */
int elf_kernel_copy(const uint8_t *file, const struct elf_kernel *kernel, const struct guest_memory *memory);

/* "aarch64" for EM_AARCH64; NULL for a machine without a row in the table. */
const char *elf_machine_name(unsigned machine);

#endif
