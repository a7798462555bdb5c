/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_pvh.c - the PVH boot protocol (Xen's docs/misc/pvh.pandoc; the structures are Linux's
 * include/xen/interface/hvm/start_info.h): 32-bit protected mode without paging, flat segments, and EBX
 * pointing at an hvm_start_info.
 */
#include <asm/processor-flags.h>
#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "boot_state.h"
#include "layout.h"
#include "ringlet/guest_memory.h"
#include "ringlet/util.h"

#define XEN_HVM_START_MAGIC_VALUE 0x336ec578
#define START_INFO_VERSION        1 /* the first with a memory map */

struct hvm_start_info {
    uint32_t magic;
    uint32_t version;
    uint32_t flags;
    uint32_t nr_modules;
    uint64_t modlist_paddr;
    uint64_t cmdline_paddr;
    uint64_t rsdp_paddr;
    uint64_t memmap_paddr;
    uint32_t memmap_entries;
    uint32_t reserved;
};

struct hvm_modlist_entry {
    uint64_t paddr;
    uint64_t size;
    uint64_t cmdline_paddr;
    uint64_t reserved;
};

struct hvm_memmap_table_entry {
    uint64_t addr;
    uint64_t size;
    uint32_t type; /* XEN_HVM_MEMMAP_TYPE_*, the numbers of enum x86_memory_type */
    uint32_t reserved;
};

/* The three of them side by side, so that one write places them all. */
struct start_info_page {
    struct hvm_start_info info;
    struct hvm_modlist_entry initrd;
    struct hvm_memmap_table_entry map[X86_MEMORY_MAP_MAX];
};

static_assert(sizeof(struct hvm_start_info) == 56, "version 1 of the structure has 56 bytes");
static_assert(sizeof(struct hvm_modlist_entry) == 32, "a module is described in 32 bytes");
static_assert(sizeof(struct hvm_memmap_table_entry) == 24, "an entry of the map has 24 bytes");
static_assert(LAYOUT_START_INFO + sizeof(struct start_info_page) <= LAYOUT_BOOT_PARAMS,
              "it fits where layout.h says");

static int write_start_info(const struct guest_memory *memory, const struct x86_boot *boot)
{
    struct x86_memory_map_entry map[X86_MEMORY_MAP_MAX];
    unsigned count = x86_memory_map(memory, map);
    struct start_info_page page = {
        .info = {
            .magic = XEN_HVM_START_MAGIC_VALUE,
            .version = START_INFO_VERSION,
            .cmdline_paddr = LAYOUT_COMMAND_LINE,
            .rsdp_paddr = boot->rsdp_address,
            .memmap_paddr = LAYOUT_START_INFO + offsetof(struct start_info_page, map),
            .memmap_entries = count,
        },
    };

    /* The first module is the initrd. */
    if (boot->initrd_size) {
        page.info.nr_modules = 1;
        page.info.modlist_paddr = LAYOUT_START_INFO + offsetof(struct start_info_page, initrd);
        page.initrd.paddr = boot->initrd_address;
        page.initrd.size = boot->initrd_size;
    }
    for (unsigned i = 0; i < count; i++)
        page.map[i] = (struct hvm_memmap_table_entry){
            .addr = map[i].base,
            .size = map[i].size,
            .type = map[i].type,
        };
    return guest_memory_write(memory, LAYOUT_START_INFO, &page, sizeof(page));
}

int boot_write_pvh(const struct guest_memory *memory, const struct x86_boot *boot,
                   struct x86_boot_state *state)
{
    struct kvm_sregs sregs = state->sregs;
    int result = write_start_info(memory, boot);

    if (result == 0)
        result = boot_set_segments(memory, BOOT_CODE_32, &sregs);
    if (result < 0)
        return result;
    sregs.cr0 = X86_CR0_PE | X86_CR0_ET;
    sregs.cr3 = 0;
    sregs.cr4 = 0;
    sregs.efer = 0;
    state->sregs = sregs;
    state->regs = (struct kvm_regs){
        .rip = boot->kernel->entry,
        .rbx = LAYOUT_START_INFO,
        .rsp = LAYOUT_BOOT_STACK,   /* the protocol promises none; a guest that relies on one gets RAM */
        .rflags = X86_EFLAGS_FIXED, /* interrupts off */
    };
    return 0;
}
