/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86_boot.h - everything a kernel finds in RAM and registers at its first instruction.
 *
 * Boot order, each step reading what those before left: kernel loaded (x86_kernel.h), initrd placed, firmware
 * tables written (x86_tables.h), then x86_boot_write() with the lot. Pure functions over guest RAM; KVM's
 * types are used, its ioctls are not.
 */
#ifndef RINGLET_X86_BOOT_H
#define RINGLET_X86_BOOT_H

#include <linux/kvm.h>
#include <stdint.h>

#include "ringlet/x86_kernel.h"

struct error;
struct guest_memory;

/* Below this there is no room above the first MiB to boot anything. */
#define X86_RAM_MIN (UINT64_C(2) << 20)

/*
 * Split `bytes` of RAM (a multiple of 4 KiB) around the hole below 4 GiB. 0, -EINVAL for less than
 * X86_RAM_MIN, or guest_memory_add_ram()'s error.
 */
int x86_add_ram(struct guest_memory *memory, uint64_t bytes);

/* Address range types (ACPI 6.5, table 15.4). */
enum x86_memory_type {
    X86_MEMORY_RAM = 1,
    X86_MEMORY_RESERVED = 2,
};

/* Entries of the e820 map (boot.rst; Linux's struct boot_e820_entry has the same layout). */
struct x86_memory_map_entry {
    uint64_t base;
    uint64_t size;
    uint32_t type; /* enum x86_memory_type */
} __attribute__((packed));

#define X86_MEMORY_MAP_MAX 16

/*
 * The map that matches `memory` and layout.h: RAM, the reserved end of the first MiB, and the pages inside
 * the hole that KVM keeps for itself. Returns the number of entries.
 */
unsigned x86_memory_map(const struct guest_memory *memory,
                        struct x86_memory_map_entry map[X86_MEMORY_MAP_MAX]);

/*
 * Where an initrd of `size` bytes goes: as high as the kernel's initrd_max, RAM below 4 GiB and
 * `reserved_top` bytes at the end of that RAM allow, page-aligned, clear of the kernel (below it, above 1
 * MiB, if there is no room above it). -ENOMEM with *err when it fits nowhere, -EINVAL with *err for size 0.
 */
int x86_place_initrd(const struct guest_memory *memory, const struct x86_kernel *kernel, uint64_t size,
                     uint64_t reserved_top, uint64_t *ret_address, struct error *err);

struct x86_boot {
    const struct x86_kernel *kernel;
    const char *command_line;
    uint64_t initrd_address, initrd_size; /* size 0: none */
    uint64_t rsdp_address;                /* 0: none (acpi=off needs none) */
    uint64_t fdt_address;                 /* setup_data node (SETUP_DTB) written by x86_fdt; 0: none */
};

/* The boot CPU's registers. */
struct x86_boot_state {
    struct kvm_regs regs;
    struct kvm_sregs
        sregs; /* the caller starts from KVM_GET_SREGS and passes it in, for apic_base and the like */
};

/*
 * Write command line, boot_params or hvm_start_info, GDT and page tables; set *state (in state->sregs only
 * what the protocol names; the rest, such as apic_base, stays). -E2BIG for a command line that is too long,
 * -EFAULT when RAM does not even cover the first MiB, both with *err and without *state touched.
 *
 * PVH has no place for setup_data: with BOOT_PROTOCOL_PVH the tree at fdt_address does not reach the kernel.
 */
int x86_boot_write(const struct guest_memory *memory, const struct x86_boot *boot,
                   struct x86_boot_state *state, struct error *err);

#endif
