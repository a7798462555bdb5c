/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_acpi.c - the ACPI tables: as a kernel finds them (RSDP to XSDT to FADT and MADT to DSDT), and as the
 * ACPI Component Architecture's own compiler reads them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/arch/x86/layout.h"
#include "ringlet/guest_memory.h"
#include "ringlet/pc_ports.h"
#include "ringlet/util.h"
#include "ringlet/x86_boot.h"
#include "ringlet/x86_tables.h"
#include "scratch.h"

/* Offsets of ACPI 6.5: 5.2.5.3, 5.2.6, 5.2.9, 5.2.12. */
enum {
    HEADER_LENGTH = 4,
    HEADER_REVISION = 8,
    HEADER_SIZE = 36,
    RSDP_FIRST_PART = 20,
    RSDP_REVISION = 15,
    RSDP_RSDT = 16,
    RSDP_LENGTH = 20,
    RSDP_XSDT = 24,
    FADT_DSDT = 40,
    FADT_SCI_INT = 46,
    FADT_IAPC_BOOT_ARCH = 109,
    FADT_FLAGS = 112,
    FADT_RESET_REG = 116,
    FADT_RESET_VALUE = 128,
    FADT_MINOR_VERSION = 131,
    FADT_X_DSDT = 140,
    FADT_X_PM_TIMER = 208,
    FADT_SLEEP_CONTROL = 244,
    FADT_SLEEP_STATUS = 256,
    FADT_SIZE = 276,
    GAS_SIZE = 12,
    GAS_ADDRESS = 4,
    MADT_LOCAL_APIC_ADDRESS = 36,
    MADT_ENTRIES = 44,
};

#define FADT_RESET_REG_SUP        (1u << 10)
#define FADT_HW_REDUCED_ACPI      (1u << 20)
#define IAPC_LEGACY_DEVICES       (1u << 0)
#define IAPC_8042                 (1u << 1)
#define IAPC_VGA_NOT_PRESENT      (1u << 2)
#define IAPC_CMOS_RTC_NOT_PRESENT (1u << 5)

static const struct device_info ordinary_devices[] = {
    { DEVICE_SERIAL, LAYOUT_PORT_SERIAL, 8, LAYOUT_GSI_SERIAL },
    { DEVICE_VIRTIO_MMIO, LAYOUT_VIRTIO_MMIO, LAYOUT_VIRTIO_MMIO_STRIDE, 5 },
    { DEVICE_VIRTIO_MMIO, LAYOUT_VIRTIO_MMIO + LAYOUT_VIRTIO_MMIO_STRIDE, LAYOUT_VIRTIO_MMIO_STRIDE, 23 },
};

static const struct machine_info ordinary_machine = {
    .cpu_count = 3,
    .devices = ordinary_devices,
    .device_count = ARRAY_SIZE(ordinary_devices),
};

static uint16_t get16(const uint8_t *at)
{
    uint16_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

static uint32_t get32(const uint8_t *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

static uint64_t get64(const uint8_t *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

static uint8_t sum(const uint8_t *bytes, size_t length)
{
    uint8_t total = 0;

    for (size_t i = 0; i < length; i++)
        total = (uint8_t)(total + bytes[i]);
    return total;
}

static struct acpi_tables build(const struct machine_info *machine)
{
    struct acpi_tables tables;

    assert_int_equal(acpi_tables_build(machine, &tables), 0);
    return tables;
}

static const uint8_t *at_address(const struct acpi_tables *tables, uint64_t address, size_t length)
{
    assert_true(range_within(address, length, LAYOUT_ACPI, tables->size));
    return tables->blob + (address - LAYOUT_ACPI);
}

/* The table at an address as a kernel takes it: signature, length, checksum. */
static const uint8_t *table_at(const struct acpi_tables *tables, uint64_t address, const char *signature)
{
    const uint8_t *table = at_address(tables, address, HEADER_SIZE);
    uint32_t length = get32(table + HEADER_LENGTH);

    assert_memory_equal(table, signature, 4);
    at_address(tables, address, length);
    assert_int_equal(sum(table, length), 0);
    return table;
}

static const uint8_t *walk_to(const struct acpi_tables *tables, const char *signature)
{
    const uint8_t *rsdp = at_address(tables, tables->rsdp_address, HEADER_SIZE);
    const uint8_t *xsdt = table_at(tables, get64(rsdp + RSDP_XSDT), "XSDT");

    for (uint32_t at = HEADER_SIZE; at < get32(xsdt + HEADER_LENGTH); at += 8) {
        uint64_t address = get64(xsdt + at);

        if (!memcmp(at_address(tables, address, 4), signature, 4))
            return table_at(tables, address, signature);
    }
    fail_msg("no %s", signature);
    return NULL;
}

static void test_rsdp_of_revision_two_leads_to_an_xsdt_only(void **state)
{
    struct acpi_tables tables = build(&ordinary_machine);
    const uint8_t *rsdp = at_address(&tables, tables.rsdp_address, 36);

    (void)state;
    assert_memory_equal(rsdp, "RSD PTR ", 8);
    assert_int_equal(rsdp[RSDP_REVISION], 2);
    assert_int_equal(sum(rsdp, RSDP_FIRST_PART), 0);
    assert_int_equal(get32(rsdp + RSDP_LENGTH), 36);
    assert_int_equal(sum(rsdp, 36), 0);
    assert_int_equal(get32(rsdp + RSDP_RSDT), 0);
    table_at(&tables, get64(rsdp + RSDP_XSDT), "XSDT");
    acpi_tables_finish(&tables);
}

static void test_fadt_is_of_hardware_reduced_acpi(void **state)
{
    struct acpi_tables tables = build(&ordinary_machine);
    const uint8_t *fadt = walk_to(&tables, "FACP");
    uint16_t boot_arch = get16(fadt + FADT_IAPC_BOOT_ARCH);

    (void)state;
    assert_int_equal(get32(fadt + HEADER_LENGTH), FADT_SIZE);
    assert_int_equal(fadt[HEADER_REVISION], 6);
    assert_int_equal(fadt[FADT_MINOR_VERSION], 5);
    assert_true(get32(fadt + FADT_FLAGS) & FADT_HW_REDUCED_ACPI);
    assert_int_equal(get16(fadt + FADT_SCI_INT), 0);
    assert_int_equal(get64(fadt + FADT_X_PM_TIMER + GAS_ADDRESS), 0);
    assert_int_equal(boot_arch, IAPC_VGA_NOT_PRESENT | IAPC_CMOS_RTC_NOT_PRESENT);
    assert_false(boot_arch & (IAPC_LEGACY_DEVICES | IAPC_8042));
    acpi_tables_finish(&tables);
}

static void assert_byte_port(const uint8_t *gas, uint64_t port)
{
    const uint8_t head[GAS_ADDRESS] = { 1 /* system I/O */, 8 /* bits */, 0, 1 /* byte access */ };

    assert_memory_equal(gas, head, sizeof(head));
    assert_int_equal(get64(gas + GAS_ADDRESS), port);
}

static void test_fadt_names_the_sleep_and_reset_ports(void **state)
{
    struct acpi_tables tables = build(&ordinary_machine);
    const uint8_t *fadt = walk_to(&tables, "FACP");

    (void)state;
    assert_byte_port(fadt + FADT_SLEEP_CONTROL, LAYOUT_PORT_ACPI_PM);
    assert_byte_port(fadt + FADT_SLEEP_STATUS, LAYOUT_PORT_ACPI_PM + 1);
    assert_byte_port(fadt + FADT_RESET_REG, LAYOUT_PORT_ACPI_PM + 2);
    assert_true(get32(fadt + FADT_FLAGS) & FADT_RESET_REG_SUP);
    assert_int_equal(fadt[FADT_RESET_VALUE], ACPI_RESET_VALUE);
    acpi_tables_finish(&tables);
}

static void test_fadt_leads_to_the_dsdt_by_both_pointers(void **state)
{
    struct acpi_tables tables = build(&ordinary_machine);
    const uint8_t *fadt = walk_to(&tables, "FACP");
    const uint8_t *dsdt = table_at(&tables, get64(fadt + FADT_X_DSDT), "DSDT");

    (void)state;
    assert_int_equal(get32(fadt + FADT_DSDT), get64(fadt + FADT_X_DSDT));
    assert_int_equal(dsdt[HEADER_REVISION], 2);
    acpi_tables_finish(&tables);
}

static void test_madt_lists_every_cpu_and_the_ioapic(void **state)
{
    struct machine_info machine = ordinary_machine;

    (void)state;
    for (machine.cpu_count = 1; machine.cpu_count <= 32; machine.cpu_count += 31) {
        struct acpi_tables tables = build(&machine);
        const uint8_t *madt = walk_to(&tables, "APIC"), *entry = madt + MADT_ENTRIES;

        assert_int_equal(get32(madt + MADT_LOCAL_APIC_ADDRESS), LAYOUT_LOCAL_APIC);
        for (unsigned id = 0; id < machine.cpu_count; id++, entry += 8) {
            const uint8_t expected[8] = { 0 /* local APIC */, 8, (uint8_t)id, (uint8_t)id, 1 /* enabled */ };

            assert_memory_equal(entry, expected, sizeof(expected));
        }
        assert_int_equal(entry[0], 1); /* IOAPIC */
        assert_int_equal(entry[1], 12);
        assert_int_equal(get32(entry + 4), LAYOUT_IOAPIC);
        assert_int_equal(get32(entry + 8), 0);
        assert_ptr_equal(entry + 12, madt + get32(madt + HEADER_LENGTH));
        acpi_tables_finish(&tables);
    }
}

static void test_madt_has_x2apic_entries_from_id_255_on(void **state)
{
    struct machine_info machine = ordinary_machine;
    struct acpi_tables tables;
    const uint8_t *entry;

    (void)state;
    machine.cpu_count = 257;
    tables = build(&machine);
    entry = walk_to(&tables, "APIC") + MADT_ENTRIES + 255 * 8;
    for (unsigned id = 255; id < 257; id++, entry += 16) {
        assert_int_equal(entry[0], 9); /* local x2APIC */
        assert_int_equal(entry[1], 16);
        assert_int_equal(get32(entry + 4), id);
        assert_int_equal(get32(entry + 8), 1);
        assert_int_equal(get32(entry + 12), id);
    }
    assert_int_equal(entry[0], 1);
    acpi_tables_finish(&tables);
}

static void test_list_of_tables_matches_the_blob(void **state)
{
    const char *const signatures[] = { "RSDP", "XSDT", "FACP", "APIC", "DSDT" };
    struct acpi_tables tables = build(&ordinary_machine);

    (void)state;
    assert_int_equal(tables.count, ARRAY_SIZE(signatures));
    for (unsigned i = 0; i < tables.count; i++) {
        const struct acpi_table *table = &tables.tables[i];

        assert_string_equal(table->signature, signatures[i]);
        assert_true(range_within(table->offset, table->length, 0, tables.size));
        assert_int_equal(sum(tables.blob + table->offset, table->length), 0);
        if (i > 0)
            assert_int_equal(get32(tables.blob + table->offset + HEADER_LENGTH), table->length);
    }
    acpi_tables_finish(&tables);
}

static void test_tables_are_written_where_the_rsdp_says(void **state)
{
    struct acpi_tables tables = build(&ordinary_machine);
    struct guest_memory *memory;

    (void)state;
    assert_int_equal(guest_memory_create(&memory), 0);
    assert_int_equal(acpi_tables_write(&tables, memory), -EFAULT);
    assert_int_equal(x86_add_ram(memory, X86_RAM_MIN), 0);
    assert_int_equal(acpi_tables_write(&tables, memory), 0);
    assert_memory_equal(guest_memory_range(memory, tables.rsdp_address, 8), "RSD PTR ", 8);
    assert_memory_equal(guest_memory_range(memory, LAYOUT_ACPI, tables.size), tables.blob, tables.size);
    guest_memory_destroy(memory);
    acpi_tables_finish(&tables);
}

static void test_more_than_the_space_holds_fails(void **state)
{
    struct device_info *devices = calloc(4000, sizeof(*devices));
    struct machine_info machine = { .cpu_count = 1, .devices = devices, .device_count = 4000 };
    struct acpi_tables tables;

    (void)state;
    assert_non_null(devices);
    for (unsigned i = 0; i < machine.device_count; i++)
        devices[i] = (struct device_info){ DEVICE_VIRTIO_MMIO, LAYOUT_VIRTIO_MMIO + i * 0x1000, 0x1000, 5 };
    assert_int_equal(acpi_tables_build(&machine, &tables), -ENOSPC);

    machine = (struct machine_info){ .cpu_count = 100000 };
    assert_int_equal(acpi_tables_build(&machine, &tables), -ENOSPC);
    /* CPUs fit, but nothing is left of the DSDT's room for its header. */
    machine.cpu_count = (unsigned)(LAYOUT_ACPI_SIZE - 1024) / 16;
    machine.devices = devices;
    machine.device_count = 400;
    assert_int_equal(acpi_tables_build(&machine, &tables), -ENOSPC);
    free(devices);
}

/* --- a second opinion: iasl --- */

static char *run_iasl(const struct scratch *scratch, const char *option, const char *file)
{
    const char *const with_option[] = { "iasl", option, file, NULL };
    const char *const without[] = { "iasl", file, NULL };
    char *output;

    if (tool_run(scratch, option ? with_option : without, &output) != 0)
        fail_msg("iasl %s: %s", file, output);
    return output;
}

/* ACPICA says "Warning" and "Error" of everything it dislikes, and sums up with "0 Errors, 0 Warnings". */
static void assert_no_complaint(char *output, const char *file)
{
    if (strstr(output, "Warning ") || strstr(output, "Error ") || strstr(output, "Invalid"))
        fail_msg("iasl %s: %s", file, output);
    free(output);
}

/*
 * Take a table apart, put it together again, and compare: what is behind the header must come out byte for
 * byte, so each of our lengths and encodings is also the compiler's. (The header then names the compiler.)
 */
static void assert_survives_iasl(const struct scratch *scratch, const char *name, const uint8_t *bytes,
                                 size_t length)
{
    char dat[16], dsl[16], aml[16], *output;
    size_t again_length;
    uint8_t *again;

    snprintf(dat, sizeof(dat), "%s.dat", name);
    snprintf(dsl, sizeof(dsl), "%s.dsl", name);
    snprintf(aml, sizeof(aml), "%s.aml", name);
    scratch_write(scratch, dat, bytes, length);
    assert_no_complaint(run_iasl(scratch, "-d", dat), dat);
    output = run_iasl(scratch, NULL, dsl);
    assert_non_null(strstr(output, "0 Errors, 0 Warnings"));
    free(output);
    again = scratch_read(scratch, aml, &again_length);
    assert_int_equal(again_length, length);
    assert_memory_equal(again + HEADER_SIZE, bytes + HEADER_SIZE, length - HEADER_SIZE);
    free(again);
}

static void test_every_table_survives_iasl(void **state)
{
    const struct scratch *scratch = *state;
    struct acpi_tables tables;

    if (!tool_present("iasl")) {
        print_message("iasl (package acpica-tools) is not installed\n");
        skip();
    }
    tables = build(&ordinary_machine);
    /* From 1: the RSDP has no table header, and alone is no file that iasl knows. */
    for (unsigned i = 1; i < tables.count; i++)
        assert_survives_iasl(scratch, tables.tables[i].signature, tables.blob + tables.tables[i].offset,
                             tables.tables[i].length);
    acpi_tables_finish(&tables);
}

/* Enough devices for a scope of three length bytes, one of them above 4 GiB. */
static void test_a_large_dsdt_survives_iasl(void **state)
{
    const struct scratch *scratch = *state;
    struct device_info devices[100];
    struct machine_info machine = { .cpu_count = 32,
                                    .devices = devices,
                                    .device_count = ARRAY_SIZE(devices) };
    struct acpi_tables tables;
    const struct acpi_table *dsdt;

    if (!tool_present("iasl")) {
        print_message("iasl (package acpica-tools) is not installed\n");
        skip();
    }
    for (unsigned i = 0; i < ARRAY_SIZE(devices); i++)
        devices[i] = (struct device_info){ DEVICE_VIRTIO_MMIO, LAYOUT_VIRTIO_MMIO + i * 0x1000, 0x1000, i };
    devices[50].base = UINT64_C(0x4000000000);
    tables = build(&machine);
    dsdt = &tables.tables[tables.count - 1];
    assert_true(dsdt->length > 4096);
    assert_survives_iasl(scratch, dsdt->signature, tables.blob + dsdt->offset, dsdt->length);
    acpi_tables_finish(&tables);
}

static void assert_says(const char *text, const char *what)
{
    if (!strstr(text, what))
        fail_msg("the disassembled DSDT does not say \"%s\"", what);
}

/* The disassembly, so that a wrong but well-formed table is found out too. */
static void test_dsdt_describes_the_devices(void **state)
{
    const struct scratch *scratch = *state;
    struct acpi_tables tables;
    const struct acpi_table *dsdt;
    char *text;

    if (!tool_present("iasl")) {
        print_message("iasl (package acpica-tools) is not installed\n");
        skip();
    }
    tables = build(&ordinary_machine);
    dsdt = &tables.tables[tables.count - 1];
    scratch_write(scratch, "DSDT.dat", tables.blob + dsdt->offset, dsdt->length);
    free(run_iasl(scratch, "-d", "DSDT.dat"));
    text = scratch_read(scratch, "DSDT.dsl", NULL);
    assert_says(text, "Device (COM1)");
    assert_says(text, "EisaId (\"PNP0501\")");
    assert_says(text, "IO (Decode16,");
    assert_says(text, "0x03F8,             // Range Minimum");
    assert_says(text, "Device (V000)");
    assert_says(text, "Device (V001)");
    assert_says(text, "Name (_HID, \"LNRO0005\")");
    assert_says(text, "Memory32Fixed (ReadWrite,");
    assert_says(text, "0xD0001000,         // Address Base");
    assert_says(text, "Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive, ,, )");
    assert_says(text, "0x00000017,");
    assert_says(text, "Name (_S5, Package (0x04)");
    free(text);
    acpi_tables_finish(&tables);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rsdp_of_revision_two_leads_to_an_xsdt_only),
        cmocka_unit_test(test_fadt_is_of_hardware_reduced_acpi),
        cmocka_unit_test(test_fadt_names_the_sleep_and_reset_ports),
        cmocka_unit_test(test_fadt_leads_to_the_dsdt_by_both_pointers),
        cmocka_unit_test(test_madt_lists_every_cpu_and_the_ioapic),
        cmocka_unit_test(test_madt_has_x2apic_entries_from_id_255_on),
        cmocka_unit_test(test_list_of_tables_matches_the_blob),
        cmocka_unit_test(test_tables_are_written_where_the_rsdp_says),
        cmocka_unit_test(test_more_than_the_space_holds_fails),
        cmocka_unit_test_setup_teardown(test_every_table_survives_iasl, scratch_set_up, scratch_tear_down),
        cmocka_unit_test_setup_teardown(test_a_large_dsdt_survives_iasl, scratch_set_up, scratch_tear_down),
        cmocka_unit_test_setup_teardown(test_dsdt_describes_the_devices, scratch_set_up, scratch_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
