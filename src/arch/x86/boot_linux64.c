/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_linux64.c - the 64-bit boot protocol (Linux's Documentation/arch/x86/boot.rst, "64-bit Boot
 * Protocol"): boot_params in RSI, long mode, and a map in which every address below 4 GiB means itself.
 */
#include <asm/bootparam.h>
#include <asm/processor-flags.h>
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "boot_state.h"
#include "layout.h"
#include "ringlet/guest_memory.h"
#include "ringlet/util.h"

/* EFER (SDM volume 3, 2.2.1). */
#define EFER_LME (UINT64_C(1) << 8)
#define EFER_LMA (UINT64_C(1) << 10)

/* Page table entries (SDM volume 3, 4.5). */
#define PTE_PRESENT   (UINT64_C(1) << 0)
#define PTE_WRITE     (UINT64_C(1) << 1)
#define PTE_PAGE_SIZE (UINT64_C(1) << 7)

#define PAGE_SIZE          UINT64_C(4096)
#define TABLE_ENTRIES      UINT64_C(512)
#define DIRECTORY_COUNT    4 /* a page directory maps 1 GiB */
#define LARGE_PAGE_SIZE    (UINT64_C(2) << 20)
#define PAGE_TABLES_SIZE   ((2 + DIRECTORY_COUNT) * PAGE_SIZE)
#define BOOT_FLAG          0xaa55
#define HEADER_MAGIC       0x53726448 /* "HdrS" */
#define PROTOCOL_VERSION   0x020f
#define LOADER_UNDEFINED   0xff /* type_of_loader of one without an assigned number */
#define SETUP_HEADER_START 0x1f1
#define SETUP_HEADER_END   0x290 /* what follows in the zero page is not the header's */

static_assert(sizeof(struct boot_params) == PAGE_SIZE, "the zero page is a page");
static_assert(offsetof(struct boot_params, hdr) == SETUP_HEADER_START,
              "setup_header sits where the file has it");
static_assert(SETUP_HEADER_START + X86_SETUP_HEADER_MAX <= SETUP_HEADER_END, "a longer header still fits");
static_assert(sizeof(struct x86_memory_map_entry) == sizeof(struct boot_e820_entry), "same layout as e820");
static_assert(X86_MEMORY_MAP_MAX <= E820_MAX_ENTRIES_ZEROPAGE, "the map fits the zero page");
static_assert(LAYOUT_BOOT_PARAMS + PAGE_SIZE <= LAYOUT_PAGE_TABLES,
              "the zero page ends before the page tables");
static_assert(LAYOUT_PAGE_TABLES + PAGE_TABLES_SIZE < LAYOUT_BOOT_STACK,
              "the stack has room above the tables");
static_assert(LAYOUT_COMMAND_LINE + LAYOUT_COMMAND_LINE_SIZE <= LAYOUT_LOW_RAM_END,
              "all of it is usable RAM");

static int write_page_tables(const struct guest_memory *memory)
{
    uint64_t *tables = guest_memory_range(memory, LAYOUT_PAGE_TABLES, PAGE_TABLES_SIZE);
    uint64_t directories = LAYOUT_PAGE_TABLES + 2 * PAGE_SIZE;

    if (!tables)
        return -EFAULT;
    memset(tables, 0, PAGE_TABLES_SIZE);
    tables[0] = (LAYOUT_PAGE_TABLES + PAGE_SIZE) | PTE_PRESENT | PTE_WRITE;
    for (uint64_t i = 0; i < DIRECTORY_COUNT; i++)
        tables[TABLE_ENTRIES + i] = (directories + i * PAGE_SIZE) | PTE_PRESENT | PTE_WRITE;
    for (uint64_t i = 0; i < DIRECTORY_COUNT * TABLE_ENTRIES; i++)
        tables[2 * TABLE_ENTRIES + i] = (i * LARGE_PAGE_SIZE) | PTE_PRESENT | PTE_WRITE | PTE_PAGE_SIZE;
    return 0;
}

/* A bzImage brings its header; for a bare ELF kernel this is what its own would say. */
static void fill_setup_header(const struct x86_kernel *kernel, struct boot_params *params)
{
    if (kernel->has_setup_header) {
        memcpy((uint8_t *)params + SETUP_HEADER_START, kernel->setup_header, sizeof(kernel->setup_header));
        return;
    }
    params->hdr.boot_flag = BOOT_FLAG;
    params->hdr.header = HEADER_MAGIC;
    params->hdr.version = PROTOCOL_VERSION;
    params->hdr.xloadflags = XLF_KERNEL_64;
    params->hdr.cmdline_size = kernel->command_line_max;
    params->hdr.initrd_addr_max = kernel->initrd_max < UINT32_MAX ? (uint32_t)kernel->initrd_max : UINT32_MAX;
    params->hdr.pref_address = kernel->start;
    params->hdr.init_size = (uint32_t)(kernel->end - kernel->start);
}

static int write_boot_params(const struct guest_memory *memory, const struct x86_boot *boot)
{
    struct boot_params params;
    struct x86_memory_map_entry map[X86_MEMORY_MAP_MAX];
    unsigned count = x86_memory_map(memory, map);

    memset(&params, 0, sizeof(params));
    fill_setup_header(boot->kernel, &params);
    params.hdr.type_of_loader = LOADER_UNDEFINED;
    params.hdr.ext_loader_type = 0;
    params.hdr.ext_loader_ver = 0;
    /* No heap below the real-mode code, no segments to keep, and nobody randomised the address. */
    params.hdr.loadflags |= LOADED_HIGH;
    params.hdr.loadflags &= (uint8_t) ~(KASLR_FLAG | KEEP_SEGMENTS | CAN_USE_HEAP);
    params.hdr.cmd_line_ptr = LAYOUT_COMMAND_LINE;
    params.hdr.ramdisk_image = (uint32_t)boot->initrd_address;
    params.hdr.ramdisk_size = (uint32_t)boot->initrd_size;
    params.ext_ramdisk_image = (uint32_t)(boot->initrd_address >> 32);
    params.ext_ramdisk_size = (uint32_t)(boot->initrd_size >> 32);
    params.hdr.setup_data = boot->fdt_address;
    params.acpi_rsdp_addr = boot->rsdp_address;
    params.e820_entries = (uint8_t)count;
    memcpy(params.e820_table, map, count * sizeof(map[0]));
    return guest_memory_write(memory, LAYOUT_BOOT_PARAMS, &params, sizeof(params));
}

int boot_write_linux64(const struct guest_memory *memory, const struct x86_boot *boot,
                       struct x86_boot_state *state)
{
    struct kvm_sregs sregs = state->sregs;
    int result = write_boot_params(memory, boot);

    if (result == 0)
        result = write_page_tables(memory);
    if (result == 0)
        result = boot_set_segments(memory, BOOT_CODE_64, &sregs);
    if (result < 0)
        return result;
    sregs.cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE | X86_CR0_PG;
    sregs.cr3 = LAYOUT_PAGE_TABLES;
    sregs.cr4 = X86_CR4_PAE;
    sregs.efer = EFER_LME | EFER_LMA;
    state->sregs = sregs;
    state->regs = (struct kvm_regs){
        .rip = boot->kernel->entry,
        .rsi = LAYOUT_BOOT_PARAMS,
        .rsp = LAYOUT_BOOT_STACK,
        .rflags = X86_EFLAGS_FIXED, /* interrupts off */
    };
    return 0;
}
