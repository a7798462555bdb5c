/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_x86_boot.c - what a kernel finds in RAM and registers at its first instruction, for both boot
 * protocols.
 */
#include <asm/bootparam.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/arch/x86/layout.h"
#include "ringlet/error.h"
#include "ringlet/guest_memory.h"
#include "ringlet/util.h"
#include "ringlet/x86_boot.h"

#define CR0_PE    (UINT64_C(1) << 0)
#define CR0_ET    (UINT64_C(1) << 4)
#define CR0_PG    (UINT64_C(1) << 31)
#define CR0_CACHE (UINT64_C(3) << 29) /* CD, NW */
#define CR4_PAE   (UINT64_C(1) << 5)
#define EFER_LME  (UINT64_C(1) << 8)
#define EFER_LMA  (UINT64_C(1) << 10)
#define FLAGS_ONE 2 /* bit 1 reads as one; all else, interrupts included, off */

#define PTE_PRESENT   (UINT64_C(1) << 0)
#define PTE_WRITE     (UINT64_C(1) << 1)
#define PTE_PAGE_SIZE (UINT64_C(1) << 7)
#define PTE_ADDRESS   UINT64_C(0x000ffffffffff000)

#define BOOT_CS 0x10
#define BOOT_DS 0x18

#define APIC_BASE UINT64_C(0xfee00900)

/* include/xen/interface/hvm/start_info.h */
enum {
    START_INFO_MAGIC = 0,
    START_INFO_VERSION = 4,
    START_INFO_NR_MODULES = 12,
    START_INFO_MODLIST = 16,
    START_INFO_CMDLINE = 24,
    START_INFO_RSDP = 32,
    START_INFO_MEMMAP = 40,
    START_INFO_MEMMAP_ENTRIES = 48,
    START_INFO_SIZE = 56,
};

static const struct x86_kernel elf_kernel = {
    .protocol = BOOT_PROTOCOL_LINUX64,
    .entry = 0x1000040,
    .start = 0x1000000,
    .end = 0x2345678,
    .initrd_max = 0x7fffffff,
    .command_line_max = 2047,
};

struct fixture {
    struct guest_memory *memory;
    struct x86_kernel kernel;
    struct x86_boot boot;
    struct x86_boot_state state;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    assert_int_equal(guest_memory_create(&fixture->memory), 0);
    assert_int_equal(x86_add_ram(fixture->memory, 5 * GIB), 0);
    fixture->kernel = elf_kernel;
    fixture->boot = (struct x86_boot){
        .kernel = &fixture->kernel,
        .command_line = "console=ttyS0",
        .initrd_address = 0x70000000,
        .initrd_size = 0x12345,
        .rsdp_address = LAYOUT_ACPI,
        .fdt_address = 0xa0000000,
    };
    /* What KVM_GET_SREGS says: not ours to change where no protocol speaks of it. */
    fixture->state.sregs.apic_base = APIC_BASE;
    fixture->state.sregs.cr0 = CR0_CACHE | CR0_ET;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    guest_memory_destroy(fixture->memory);
    free(fixture);
    return 0;
}

static void write_boot(struct fixture *fixture)
{
    assert_int_equal(x86_boot_write(fixture->memory, &fixture->boot, &fixture->state, NULL), 0);
}

static struct boot_params params_of(const struct fixture *fixture)
{
    struct boot_params params;

    assert_int_equal(guest_memory_read(fixture->memory, LAYOUT_BOOT_PARAMS, &params, sizeof(params)), 0);
    return params;
}

static uint64_t read64(const struct fixture *fixture, uint64_t address)
{
    uint64_t value;

    assert_int_equal(guest_memory_read(fixture->memory, address, &value, sizeof(value)), 0);
    return value;
}

static uint32_t read32(const struct fixture *fixture, uint64_t address)
{
    return (uint32_t)read64(fixture, address);
}

/* What the CPU would load from the GDT for a selector must be what the hidden part says already. */
static void assert_in_gdt(const struct fixture *fixture, const struct kvm_segment *segment)
{
    const struct kvm_dtable *gdt = &fixture->state.sregs.gdt;
    uint64_t descriptor;
    uint32_t limit;

    assert_true(segment->selector + 7u <= gdt->limit);
    descriptor = read64(fixture, gdt->base + segment->selector);
    limit = (uint32_t)((descriptor & 0xffff) | (descriptor >> 32 & 0xf0000));
    assert_int_equal(descriptor >> 55 & 1, segment->g);
    assert_int_equal(segment->g ? limit << 12 | 0xfff : limit, segment->limit);
    assert_int_equal((descriptor >> 16 & 0xffffff) | (descriptor >> 32 & 0xff000000), segment->base);
    assert_int_equal(descriptor >> 40 & 0xf, segment->type);
    assert_int_equal(descriptor >> 44 & 1, segment->s);
    assert_int_equal(descriptor >> 45 & 3, segment->dpl);
    assert_int_equal(descriptor >> 47 & 1, segment->present);
    assert_int_equal(descriptor >> 53 & 1, segment->l);
    assert_int_equal(descriptor >> 54 & 1, segment->db);
}

static void assert_segments(const struct fixture *fixture, bool long_mode)
{
    const struct kvm_sregs *sregs = &fixture->state.sregs;
    const struct kvm_segment *data[] = { &sregs->ds, &sregs->es, &sregs->fs, &sregs->gs, &sregs->ss };

    assert_int_equal(sregs->cs.selector, BOOT_CS);
    assert_int_equal(sregs->cs.l, long_mode);
    assert_int_equal(sregs->cs.db, !long_mode);
    assert_int_equal(sregs->cs.type, 0xb);
    assert_int_equal(sregs->cs.limit, 0xffffffff);
    assert_in_gdt(fixture, &sregs->cs);
    for (size_t i = 0; i < ARRAY_SIZE(data); i++) {
        assert_int_equal(data[i]->selector, BOOT_DS);
        assert_int_equal(data[i]->type, 0x3);
        assert_int_equal(data[i]->limit, 0xffffffff);
        assert_int_equal(data[i]->base, 0);
        assert_in_gdt(fixture, data[i]);
    }
    assert_int_equal(sregs->tr.type, 0xb);
    assert_int_equal(sregs->tr.limit, 0x67);
    assert_int_equal(sregs->tr.s, 0);
    assert_in_gdt(fixture, &sregs->tr);
    assert_int_equal(sregs->ldt.unusable, 1);
    assert_int_equal(read64(fixture, sregs->gdt.base), 0);
}

static void test_linux64_enters_long_mode(void **state)
{
    struct fixture *fixture = *state;
    const struct kvm_sregs *sregs = &fixture->state.sregs;

    write_boot(fixture);
    assert_segments(fixture, true);
    assert_int_equal(sregs->cr0 & (CR0_PE | CR0_PG), CR0_PE | CR0_PG);
    assert_int_equal(sregs->cr0 & CR0_CACHE, 0);
    assert_int_equal(sregs->cr4, CR4_PAE);
    assert_int_equal(sregs->efer, EFER_LME | EFER_LMA);
    assert_int_equal(sregs->apic_base, APIC_BASE);
    assert_int_equal(fixture->state.regs.rip, fixture->kernel.entry);
    assert_int_equal(fixture->state.regs.rsi, LAYOUT_BOOT_PARAMS);
    assert_int_equal(fixture->state.regs.rflags, FLAGS_ONE);
}

/* Walks the tables as the MMU does. */
static uint64_t translate(const struct fixture *fixture, uint64_t address)
{
    uint64_t entry = fixture->state.sregs.cr3;

    for (int shift = 39; shift >= 21; shift -= 9) {
        entry = read64(fixture, (entry & PTE_ADDRESS) + (address >> shift & 511) * 8);
        assert_int_equal(entry & (PTE_PRESENT | PTE_WRITE), PTE_PRESENT | PTE_WRITE);
        assert_int_equal(!!(entry & PTE_PAGE_SIZE), shift == 21);
    }
    return (entry & PTE_ADDRESS) + (address & 0x1fffff);
}

static void test_linux64_maps_the_first_four_gib_to_themselves(void **state)
{
    struct fixture *fixture = *state;
    uint64_t pml4;

    write_boot(fixture);
    for (uint64_t address = 0; address < 4 * GIB; address += 2 * MIB)
        assert_int_equal(translate(fixture, address), address);
    assert_int_equal(translate(fixture, 4 * GIB - 1), 4 * GIB - 1);
    /* And nothing else, whatever was in RAM before. */
    pml4 = fixture->state.sregs.cr3;
    assert_int_equal(read64(fixture, pml4 + 8), 0);
    assert_int_equal(read64(fixture, (read64(fixture, pml4) & PTE_ADDRESS) + 4 * 8), 0);
}

static void test_linux64_page_tables_overwrite_what_was_there(void **state)
{
    struct fixture *fixture = *state;

    memset(guest_memory_range(fixture->memory, LAYOUT_PAGE_TABLES, 6 * 4096), 0xff, 6 * 4096);
    test_linux64_maps_the_first_four_gib_to_themselves(state);
}

static void test_linux64_params_say_where_everything_is(void **state)
{
    struct fixture *fixture = *state;
    struct boot_params params;
    char command_line[16];

    write_boot(fixture);
    params = params_of(fixture);
    assert_int_equal(params.hdr.type_of_loader, 0xff);
    assert_int_equal(params.hdr.cmd_line_ptr, LAYOUT_COMMAND_LINE);
    assert_int_equal(params.ext_cmd_line_ptr, 0);
    assert_int_equal(params.hdr.ramdisk_image, 0x70000000);
    assert_int_equal(params.hdr.ramdisk_size, 0x12345);
    assert_int_equal(params.ext_ramdisk_image, 0);
    assert_int_equal(params.ext_ramdisk_size, 0);
    assert_int_equal(params.acpi_rsdp_addr, LAYOUT_ACPI);
    assert_int_equal(params.hdr.setup_data, 0xa0000000);
    assert_int_equal(guest_memory_read(fixture->memory, LAYOUT_COMMAND_LINE, command_line, 14), 0);
    assert_string_equal(command_line, "console=ttyS0");
}

static void test_linux64_params_without_extras_name_none(void **state)
{
    struct fixture *fixture = *state;
    struct boot_params params;

    fixture->boot = (struct x86_boot){ .kernel = &fixture->kernel };
    write_boot(fixture);
    params = params_of(fixture);
    assert_int_equal(params.hdr.ramdisk_image, 0);
    assert_int_equal(params.hdr.ramdisk_size, 0);
    assert_int_equal(params.acpi_rsdp_addr, 0);
    assert_int_equal(params.hdr.setup_data, 0);
    assert_int_equal(read64(fixture, LAYOUT_COMMAND_LINE) & 0xff, '\0');
}

static void test_linux64_initrd_above_four_gib_uses_the_extended_fields(void **state)
{
    struct fixture *fixture = *state;
    struct boot_params params;

    fixture->boot.initrd_address = UINT64_C(0x123456000);
    fixture->boot.initrd_size = UINT64_C(0x200000010);
    write_boot(fixture);
    params = params_of(fixture);
    assert_int_equal(params.hdr.ramdisk_image, 0x23456000);
    assert_int_equal(params.ext_ramdisk_image, 1);
    assert_int_equal(params.hdr.ramdisk_size, 0x10);
    assert_int_equal(params.ext_ramdisk_size, 2);
}

static void test_linux64_params_carry_the_memory_map(void **state)
{
    struct fixture *fixture = *state;
    struct x86_memory_map_entry map[X86_MEMORY_MAP_MAX];
    unsigned count = x86_memory_map(fixture->memory, map);
    struct boot_params params;

    write_boot(fixture);
    params = params_of(fixture);
    assert_int_equal(params.e820_entries, count);
    assert_memory_equal(params.e820_table, map, count * sizeof(map[0]));
}

static void test_linux64_elf_kernel_gets_a_header(void **state)
{
    struct fixture *fixture = *state;
    struct boot_params params;

    write_boot(fixture);
    params = params_of(fixture);
    assert_int_equal(params.hdr.boot_flag, 0xaa55);
    assert_memory_equal(&params.hdr.header, "HdrS", 4);
    assert_int_equal(params.hdr.version, 0x20f);
    assert_int_equal(params.hdr.loadflags, LOADED_HIGH);
    assert_int_equal(params.hdr.cmdline_size, 2047);
    assert_int_equal(params.hdr.initrd_addr_max, 0x7fffffff);
    assert_int_equal(params.sentinel, 0);
}

/* The kernel's own header comes through, except where the loader speaks; nothing of the file around it does.
 */
static void test_linux64_bzimage_header_is_kept(void **state)
{
    struct fixture *fixture = *state;
    struct boot_params before = { 0 }, params;

    memset(&before.hdr, 0x5a, sizeof(before.hdr));
    before.hdr.loadflags = QUIET_FLAG | KASLR_FLAG | CAN_USE_HEAP | KEEP_SEGMENTS;
    memcpy(fixture->kernel.setup_header, &before.hdr, sizeof(before.hdr));
    fixture->kernel.setup_header[X86_SETUP_HEADER_MAX - 1] = 0x77; /* of a longer header than we know */
    fixture->kernel.has_setup_header = true;
    write_boot(fixture);
    params = params_of(fixture);
    assert_int_equal(params.hdr.version, 0x5a5a);
    assert_int_equal(params.hdr.xloadflags, 0x5a5a);
    assert_int_equal(params.hdr.init_size, 0x5a5a5a5a);
    assert_int_equal(params.hdr.loadflags, LOADED_HIGH | QUIET_FLAG);
    assert_int_equal(params.hdr.type_of_loader, 0xff);
    assert_int_equal(params.hdr.ext_loader_type, 0);
    assert_int_equal(params.hdr.setup_data, 0xa0000000);
    assert_int_equal(((const uint8_t *)&params)[0x1f1 + X86_SETUP_HEADER_MAX - 1], 0x77);
    assert_int_equal(params.sentinel, 0);
}

static void test_pvh_enters_protected_mode_without_paging(void **state)
{
    struct fixture *fixture = *state;
    const struct kvm_sregs *sregs = &fixture->state.sregs;

    fixture->kernel.protocol = BOOT_PROTOCOL_PVH;
    write_boot(fixture);
    assert_segments(fixture, false);
    assert_int_equal(sregs->cr0, CR0_PE | CR0_ET);
    assert_int_equal(sregs->cr4, 0);
    assert_int_equal(sregs->efer, 0);
    assert_int_equal(sregs->apic_base, APIC_BASE);
    assert_int_equal(fixture->state.regs.rip, fixture->kernel.entry);
    assert_int_equal(fixture->state.regs.rbx, LAYOUT_START_INFO);
    assert_int_equal(fixture->state.regs.rflags, FLAGS_ONE);
}

static void test_pvh_start_info_says_where_everything_is(void **state)
{
    struct fixture *fixture = *state;
    struct x86_memory_map_entry map[X86_MEMORY_MAP_MAX];
    unsigned count = x86_memory_map(fixture->memory, map);
    uint64_t modules, entries;

    fixture->kernel.protocol = BOOT_PROTOCOL_PVH;
    write_boot(fixture);
    assert_int_equal(read32(fixture, LAYOUT_START_INFO + START_INFO_MAGIC), 0x336ec578);
    assert_int_equal(read32(fixture, LAYOUT_START_INFO + START_INFO_VERSION), 1);
    assert_int_equal(read64(fixture, LAYOUT_START_INFO + START_INFO_CMDLINE), LAYOUT_COMMAND_LINE);
    assert_int_equal(read64(fixture, LAYOUT_START_INFO + START_INFO_RSDP), LAYOUT_ACPI);
    assert_memory_equal(guest_memory_range(fixture->memory, LAYOUT_COMMAND_LINE, 14), "console=ttyS0", 14);

    assert_int_equal(read32(fixture, LAYOUT_START_INFO + START_INFO_NR_MODULES), 1);
    modules = read64(fixture, LAYOUT_START_INFO + START_INFO_MODLIST);
    assert_true(modules >= LAYOUT_START_INFO + START_INFO_SIZE && modules + 32 <= LAYOUT_BOOT_PARAMS);
    assert_int_equal(read64(fixture, modules), 0x70000000);
    assert_int_equal(read64(fixture, modules + 8), 0x12345);
    assert_int_equal(read64(fixture, modules + 16), 0);

    assert_int_equal(read32(fixture, LAYOUT_START_INFO + START_INFO_MEMMAP_ENTRIES), count);
    entries = read64(fixture, LAYOUT_START_INFO + START_INFO_MEMMAP);
    assert_true(entries >= modules + 32 && entries + count * 24 <= LAYOUT_BOOT_PARAMS);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(read64(fixture, entries + i * 24), map[i].base);
        assert_int_equal(read64(fixture, entries + i * 24 + 8), map[i].size);
        assert_int_equal(read64(fixture, entries + i * 24 + 16), map[i].type);
    }
}

static void test_pvh_without_initrd_has_no_modules(void **state)
{
    struct fixture *fixture = *state;

    fixture->kernel.protocol = BOOT_PROTOCOL_PVH;
    fixture->boot.initrd_size = 0;
    write_boot(fixture);
    assert_int_equal(read32(fixture, LAYOUT_START_INFO + START_INFO_NR_MODULES), 0);
    assert_int_equal(read64(fixture, LAYOUT_START_INFO + START_INFO_MODLIST), 0);
}

static void fill_command_line(char *text, size_t length)
{
    memset(text, 'x', length);
    text[length] = '\0';
}

static void test_command_line_as_long_as_the_kernel_reads_is_taken(void **state)
{
    struct fixture *fixture = *state;
    char text[2048];

    fill_command_line(text, 2047);
    fixture->boot.command_line = text;
    write_boot(fixture);
    assert_memory_equal(guest_memory_range(fixture->memory, LAYOUT_COMMAND_LINE, 2048), text, 2048);
}

static void assert_too_long(struct fixture *fixture, const char *limit)
{
    const struct x86_boot_state before = fixture->state;
    struct error err = { { 0 } };

    assert_int_equal(x86_boot_write(fixture->memory, &fixture->boot, &fixture->state, &err), -E2BIG);
    assert_non_null(strstr(err.text, limit));
    assert_memory_equal(&fixture->state, &before, sizeof(before));
}

static void test_command_line_longer_than_the_kernel_reads_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char text[2049];

    fill_command_line(text, 2048);
    fixture->boot.command_line = text;
    assert_too_long(fixture, "2047");
}

static void test_command_line_longer_than_its_place_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char *text = malloc(LAYOUT_COMMAND_LINE_SIZE + 1);

    assert_non_null(text);
    fill_command_line(text, LAYOUT_COMMAND_LINE_SIZE);
    fixture->boot.command_line = text;
    fixture->kernel.command_line_max = UINT32_MAX;
    assert_too_long(fixture, "65535");
    free(text);
}

/* Only a caller that skips x86_add_ram() gets here; it still must not get half a state. */
static void test_a_page_missing_below_one_mib_fails_and_leaves_the_state(void **state)
{
    const struct {
        enum boot_protocol protocol;
        uint64_t page;
    } cases[] = {
        { BOOT_PROTOCOL_LINUX64, LAYOUT_GDT },
        { BOOT_PROTOCOL_LINUX64, LAYOUT_BOOT_PARAMS },
        { BOOT_PROTOCOL_LINUX64, LAYOUT_PAGE_TABLES },
        { BOOT_PROTOCOL_LINUX64, LAYOUT_PAGE_TABLES + 5 * 4096 },
        { BOOT_PROTOCOL_LINUX64, LAYOUT_COMMAND_LINE },
        { BOOT_PROTOCOL_PVH, LAYOUT_GDT }, /* the start info is in the same page */
        { BOOT_PROTOCOL_PVH, LAYOUT_COMMAND_LINE },
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct x86_boot_state before = fixture->state;
        struct error err = { { 0 } };
        struct guest_memory *holed;

        fixture->kernel.protocol = cases[i].protocol;
        assert_int_equal(guest_memory_create(&holed), 0);
        assert_int_equal(guest_memory_add_ram(holed, 0, cases[i].page), 0);
        assert_int_equal(guest_memory_add_ram(holed, cases[i].page + 4096, 1 * MIB), 0);
        assert_int_equal(x86_boot_write(holed, &fixture->boot, &fixture->state, &err), -EFAULT);
        assert_non_null(strstr(err.text, "memory"));
        assert_memory_equal(&fixture->state, &before, sizeof(before));
        guest_memory_destroy(holed);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_linux64_enters_long_mode),
        TEST(test_linux64_maps_the_first_four_gib_to_themselves),
        TEST(test_linux64_page_tables_overwrite_what_was_there),
        TEST(test_linux64_params_say_where_everything_is),
        TEST(test_linux64_params_without_extras_name_none),
        TEST(test_linux64_initrd_above_four_gib_uses_the_extended_fields),
        TEST(test_linux64_params_carry_the_memory_map),
        TEST(test_linux64_elf_kernel_gets_a_header),
        TEST(test_linux64_bzimage_header_is_kept),
        TEST(test_pvh_enters_protected_mode_without_paging),
        TEST(test_pvh_start_info_says_where_everything_is),
        TEST(test_pvh_without_initrd_has_no_modules),
        TEST(test_command_line_as_long_as_the_kernel_reads_is_taken),
        TEST(test_command_line_longer_than_the_kernel_reads_is_refused),
        TEST(test_command_line_longer_than_its_place_is_refused),
        TEST(test_a_page_missing_below_one_mib_fails_and_leaves_the_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
