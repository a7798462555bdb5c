/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acpi.c - the machine in ACPI 6.5: RSDP, XSDT, FADT, MADT and a DSDT with one node a device.
 *
 * The platform is a hardware-reduced one (ACPI 6.5, 4.1): no SCI, no PM timer, no fixed events; sleep and
 * reset are three byte-wide ports (pc_ports.h). Linux then neither uses the 8259s nor programs the PIT, and
 * takes time from kvm-clock and the local APIC, whose frequency it measures against the TSC or does not need
 * (TSC deadline).
 *
 * The flags say that there is no VGA, no 8042 and no CMOS clock. Linux does not probe an 8042 that is not
 * announced, nor wait for its answers; its reset line at port 0x64 works all the same for who writes there.
 *
 * What is left out is left out because nothing reads it: processor objects (the MADT suffices without hotplug
 * and C-states), _CCA (x86 is coherent without saying so), a FACS (optional when hardware-reduced), interrupt
 * source overrides (ISA lines sit on the IOAPIC pins of the same number, edge-triggered and active-high: the
 * default).
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aml.h"
#include "layout.h"
#include "ringlet/guest_memory.h"
#include "ringlet/pc_ports.h"
#include "ringlet/util.h"
#include "ringlet/x86_tables.h"

#define TABLE_ALIGNMENT 16 /* what a scan for the RSDP steps by; the other tables need none */
#define OEM_ID          "RNGLET"
#define OEM_TABLE_ID    "RINGLET "
#define OEM_REVISION    1
#define CREATOR_ID      "RNGL"

/* Revisions as of ACPI 6.5. */
enum acpi_revision {
    RSDP_REVISION = 2,
    XSDT_REVISION = 1,
    FADT_REVISION = 6,
    FADT_MINOR_REVISION = 5,
    MADT_REVISION = 6,
    DSDT_REVISION = 2, /* 64-bit integers */
};

/* ACPI 6.5, 5.2.9, table 5.9: FADT flags. */
enum fadt_flag {
    FADT_WBINVD = 1u << 0,
    FADT_PROC_C1 = 1u << 2,
    FADT_PWR_BUTTON = 1u << 4, /* 1: not a fixed feature */
    FADT_SLP_BUTTON = 1u << 5, /* 1: not a fixed feature */
    FADT_RESET_REG_SUP = 1u << 10,
    FADT_HW_REDUCED_ACPI = 1u << 20,
};

/*
 * ACPI 6.5, 5.2.9.3: IAPC_BOOT_ARCH. LEGACY_DEVICES (bit 0) stays clear, as everything is in the namespace,
 * and so does 8042 (bit 1).
 */
enum iapc_boot_arch_flag {
    IAPC_VGA_NOT_PRESENT = 1u << 2,
    IAPC_CMOS_RTC_NOT_PRESENT = 1u << 5,
};

/* ACPI 6.5, 5.2.3.2. */
enum gas_address_space {
    GAS_SYSTEM_IO = 1,
};
enum gas_access_size {
    GAS_ACCESS_BYTE = 1,
};

/* ACPI 6.5, 5.2.12. */
enum madt_type {
    MADT_LOCAL_APIC = 0,
    MADT_IO_APIC = 1,
    MADT_LOCAL_X2APIC = 9,
};
enum madt_flag {
    MADT_PCAT_COMPAT = 1u << 0, /* there are 8259s, to be masked before the APICs are used */
};
enum madt_local_apic_flag {
    MADT_LOCAL_APIC_ENABLED = 1u << 0,
};
#define MADT_APIC_ID_MAX 254 /* 255 is the broadcast id; from there on only x2APIC entries will do */
#define MADT_IO_APIC_ID  0

struct acpi_header {
    char signature[4];
    uint32_t length;
    uint8_t revision;
    uint8_t checksum;
    char oem_id[6];
    char oem_table_id[8];
    uint32_t oem_revision;
    char creator_id[4];
    uint32_t creator_revision;
} __attribute__((packed));

struct acpi_rsdp {
    char signature[8];
    uint8_t checksum; /* of the first 20 bytes */
    char oem_id[6];
    uint8_t revision;
    uint32_t rsdt_address;
    uint32_t length;
    uint64_t xsdt_address;
    uint8_t extended_checksum;
    uint8_t reserved[3];
} __attribute__((packed));

struct acpi_xsdt {
    struct acpi_header header;
    uint64_t entries[2]; /* FADT, MADT; the FADT leads to the DSDT */
} __attribute__((packed));

struct acpi_generic_address {
    uint8_t address_space;
    uint8_t bit_width;
    uint8_t bit_offset;
    uint8_t access_size;
    uint64_t address;
} __attribute__((packed));

struct acpi_fadt {
    struct acpi_header header;
    uint32_t firmware_ctrl;
    uint32_t dsdt;
    uint8_t reserved0;
    uint8_t preferred_pm_profile;
    uint16_t sci_int;
    uint8_t fixed_hardware[60]; /* SMI_CMD to DAY_ALRM, MON_ALRM, CENTURY: all absent when hardware-reduced */
    uint8_t century;
    uint16_t iapc_boot_arch;
    uint8_t reserved1;
    uint32_t flags;
    struct acpi_generic_address reset_reg;
    uint8_t reset_value;
    uint16_t arm_boot_arch;
    uint8_t minor_version;
    uint64_t x_firmware_ctrl;
    uint64_t x_dsdt;
    struct acpi_generic_address x_fixed_hardware[8]; /* X_PM1a_EVT_BLK to X_GPE1_BLK */
    struct acpi_generic_address sleep_control_reg;
    struct acpi_generic_address sleep_status_reg;
    char hypervisor_vendor_identity[8];
} __attribute__((packed));

struct acpi_madt {
    struct acpi_header header;
    uint32_t local_apic_address;
    uint32_t flags;
} __attribute__((packed));

struct madt_local_apic {
    uint8_t type;
    uint8_t length;
    uint8_t processor_uid;
    uint8_t apic_id;
    uint32_t flags;
} __attribute__((packed));

struct madt_local_x2apic {
    uint8_t type;
    uint8_t length;
    uint16_t reserved;
    uint32_t x2apic_id;
    uint32_t flags;
    uint32_t processor_uid;
} __attribute__((packed));

struct madt_io_apic {
    uint8_t type;
    uint8_t length;
    uint8_t io_apic_id;
    uint8_t reserved;
    uint32_t address;
    uint32_t gsi_base;
} __attribute__((packed));

#define RSDP_FIRST_PART 20 /* bytes: all there was in revision 0 */

static_assert(sizeof(struct acpi_header) == 36, "ACPI 6.5, table 5.4");
static_assert(sizeof(struct acpi_rsdp) == 36, "ACPI 6.5, table 5.3");
static_assert(sizeof(struct acpi_fadt) == 276, "ACPI 6.5, table 5.9");
static_assert(offsetof(struct acpi_fadt, iapc_boot_arch) == 109, "ACPI 6.5, table 5.9");
static_assert(offsetof(struct acpi_fadt, reset_reg) == 116, "ACPI 6.5, table 5.9");
static_assert(offsetof(struct acpi_fadt, x_dsdt) == 140, "ACPI 6.5, table 5.9");
static_assert(offsetof(struct acpi_fadt, sleep_control_reg) == 244, "ACPI 6.5, table 5.9");
static_assert(sizeof(struct acpi_madt) == 44, "ACPI 6.5, table 5.19");
static_assert(LAYOUT_ACPI % TABLE_ALIGNMENT == 0, "a scan would find the RSDP too");

/* The byte that makes the sum of all bytes 0. */
static uint8_t checksum(const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    uint8_t sum = 0;

    for (size_t i = 0; i < length; i++)
        sum = (uint8_t)(sum + at[i]);
    return (uint8_t)-sum;
}

/* Room for `length` bytes behind what there is, entered in the list; NULL when it is used up. */
static void *add_table(struct acpi_tables *tables, const char *signature, size_t length)
{
    uint64_t offset = align_up(tables->size, TABLE_ALIGNMENT);
    struct acpi_table *table = &tables->tables[tables->count];

    assert(tables->count < ACPI_TABLE_MAX);
    if (!range_within(offset, length, 0, LAYOUT_ACPI_SIZE))
        return NULL;
    *table = (struct acpi_table){ .offset = (uint32_t)offset, .length = (uint32_t)length };
    snprintf(table->signature, sizeof(table->signature), "%s", signature);
    tables->count++;
    tables->size = (uint32_t)(offset + length);
    return tables->blob + offset;
}

static uint64_t address_of(const struct acpi_tables *tables, const void *table)
{
    return LAYOUT_ACPI + (uint64_t)((const uint8_t *)table - tables->blob);
}

/* To be called when the rest of the table is complete: it sums it up. */
static void seal(void *table, const char *signature, uint8_t revision, size_t length)
{
    struct acpi_header header = {
        .length = (uint32_t)length,
        .revision = revision,
        .oem_revision = OEM_REVISION,
        .creator_revision = 1,
    };

    memcpy(header.signature, signature, sizeof(header.signature));
    memcpy(header.oem_id, OEM_ID, sizeof(header.oem_id));
    memcpy(header.oem_table_id, OEM_TABLE_ID, sizeof(header.oem_table_id));
    memcpy(header.creator_id, CREATOR_ID, sizeof(header.creator_id));
    memcpy(table, &header, sizeof(header));
    header.checksum = checksum(table, length);
    memcpy(table, &header, sizeof(header));
}

static void fill_rsdp(struct acpi_rsdp *rsdp, uint64_t xsdt_address)
{
    *rsdp = (struct acpi_rsdp){
        .revision = RSDP_REVISION,
        .length = sizeof(*rsdp),
        .xsdt_address = xsdt_address,
    };
    memcpy(rsdp->signature, "RSD PTR ", sizeof(rsdp->signature));
    memcpy(rsdp->oem_id, OEM_ID, sizeof(rsdp->oem_id));
    rsdp->checksum = checksum(rsdp, RSDP_FIRST_PART);
    rsdp->extended_checksum = checksum(rsdp, sizeof(*rsdp));
}

static struct acpi_generic_address byte_port(uint16_t port)
{
    return (struct acpi_generic_address){
        .address_space = GAS_SYSTEM_IO,
        .bit_width = 8,
        .access_size = GAS_ACCESS_BYTE,
        .address = port,
    };
}

static void fill_fadt(struct acpi_fadt *fadt, uint64_t dsdt_address)
{
    *fadt = (struct acpi_fadt){
        .dsdt = (uint32_t)dsdt_address,
        .iapc_boot_arch = IAPC_VGA_NOT_PRESENT | IAPC_CMOS_RTC_NOT_PRESENT,
        .flags = FADT_WBINVD | FADT_PROC_C1 | FADT_PWR_BUTTON | FADT_SLP_BUTTON | FADT_RESET_REG_SUP |
                 FADT_HW_REDUCED_ACPI,
        .reset_reg = byte_port(LAYOUT_PORT_ACPI_PM + 2),
        .reset_value = ACPI_RESET_VALUE,
        .minor_version = FADT_MINOR_REVISION,
        .x_dsdt = dsdt_address,
        .sleep_control_reg = byte_port(LAYOUT_PORT_ACPI_PM),
        .sleep_status_reg = byte_port(LAYOUT_PORT_ACPI_PM + 1),
    };
    memcpy(fadt->hypervisor_vendor_identity, OEM_TABLE_ID, sizeof(fadt->hypervisor_vendor_identity));
    seal(fadt, "FACP", FADT_REVISION, sizeof(*fadt));
}

static size_t madt_cpu_size(unsigned apic_id)
{
    return apic_id <= MADT_APIC_ID_MAX ? sizeof(struct madt_local_apic) : sizeof(struct madt_local_x2apic);
}

static size_t madt_size(unsigned cpu_count)
{
    size_t size = sizeof(struct acpi_madt) + sizeof(struct madt_io_apic);

    for (unsigned id = 0; id < cpu_count; id++)
        size += madt_cpu_size(id);
    return size;
}

static void fill_madt_cpu(void *entry, unsigned id)
{
    if (id <= MADT_APIC_ID_MAX)
        *(struct madt_local_apic *)entry = (struct madt_local_apic){
            .type = MADT_LOCAL_APIC,
            .length = sizeof(struct madt_local_apic),
            .processor_uid = (uint8_t)id,
            .apic_id = (uint8_t)id,
            .flags = MADT_LOCAL_APIC_ENABLED,
        };
    else
        *(struct madt_local_x2apic *)entry = (struct madt_local_x2apic){
            .type = MADT_LOCAL_X2APIC,
            .length = sizeof(struct madt_local_x2apic),
            .x2apic_id = id,
            .flags = MADT_LOCAL_APIC_ENABLED,
            .processor_uid = id,
        };
}

static void fill_madt(void *table, unsigned cpu_count)
{
    uint8_t *at = table;

    *(struct acpi_madt *)table = (struct acpi_madt){
        .local_apic_address = LAYOUT_LOCAL_APIC,
        .flags = MADT_PCAT_COMPAT,
    };
    at += sizeof(struct acpi_madt);
    for (unsigned id = 0; id < cpu_count; id++) {
        fill_madt_cpu(at, id);
        at += madt_cpu_size(id);
    }
    *(struct madt_io_apic *)(void *)at = (struct madt_io_apic){
        .type = MADT_IO_APIC,
        .length = sizeof(struct madt_io_apic),
        .io_apic_id = MADT_IO_APIC_ID,
        .address = LAYOUT_IOAPIC,
        .gsi_base = 0,
    };
    seal(table, "APIC", MADT_REVISION, madt_size(cpu_count));
}

static void add_serial(struct aml *aml, const struct device_info *info, unsigned index)
{
    char name[16];

    assert(info->base + info->size <= UINT16_MAX + 1 && info->size <= UINT8_MAX);
    snprintf(name, sizeof(name), "COM%X", index + 1);
    aml_device(aml, name);
    aml_name(aml, "_HID");
    aml_eisa_id(aml, "PNP0501");
    aml_name_integer(aml, "_UID", index + 1);
    aml_name(aml, "_CRS");
    aml_resource_template(aml);
    aml_io(aml, (uint16_t)info->base, (uint8_t)info->size);
    aml_interrupt_edge(aml, info->gsi);
    aml_end(aml);
    aml_end(aml);
}

/* The id that Linux's virtio_mmio driver answers to. */
static void add_virtio_mmio(struct aml *aml, const struct device_info *info, unsigned index)
{
    char name[16];

    snprintf(name, sizeof(name), "V%03X", index);
    aml_device(aml, name);
    aml_name_string(aml, "_HID", "LNRO0005");
    aml_name_integer(aml, "_UID", index);
    aml_name(aml, "_CRS");
    aml_resource_template(aml);
    if (range_within(info->base, info->size, 0, UINT64_C(1) << 32))
        aml_memory32_fixed(aml, (uint32_t)info->base, (uint32_t)info->size);
    else
        aml_qword_memory(aml, info->base, info->size);
    aml_interrupt_edge(aml, info->gsi);
    aml_end(aml);
    aml_end(aml);
}

static void describe(struct aml *aml, const struct machine_info *machine)
{
    unsigned counts[DEVICE_KIND_COUNT] = { 0 };

    aml_scope(aml, "_SB");
    for (unsigned i = 0; i < machine->device_count; i++) {
        const struct device_info *info = &machine->devices[i];

        switch (info->kind) {
        case DEVICE_SERIAL:
            add_serial(aml, info, counts[info->kind]++);
            break;
        case DEVICE_VIRTIO_MMIO:
            add_virtio_mmio(aml, info, counts[info->kind]++);
            break;
        case DEVICE_KIND_COUNT:
            assert(false);
        }
    }
    aml_end(aml);

    /* SLP_TYP for the sleep control register; the other three are reserved. */
    aml_name(aml, "_S5");
    aml_package(aml, 4);
    aml_integer(aml, ACPI_SLEEP_TYPE_S5);
    for (unsigned i = 1; i < 4; i++)
        aml_integer(aml, 0);
    aml_end(aml);
}

/* Comes last: only writing it tells how long it is. NULL when it does not fit. */
static void *add_dsdt(struct acpi_tables *tables, const struct machine_info *machine)
{
    struct acpi_header *dsdt = add_table(tables, "DSDT", sizeof(*dsdt));
    size_t length = 0;
    struct aml aml;

    if (!dsdt)
        return NULL;
    aml_init(&aml, tables->blob + tables->size, LAYOUT_ACPI_SIZE - tables->size);
    describe(&aml, machine);
    if (aml_finish(&aml, &length) < 0)
        return NULL;
    tables->size += (uint32_t)length;
    tables->tables[tables->count - 1].length += (uint32_t)length;
    seal(dsdt, "DSDT", DSDT_REVISION, sizeof(*dsdt) + length);
    return dsdt;
}

int acpi_tables_build(const struct machine_info *machine, struct acpi_tables *ret_tables)
{
    struct acpi_tables tables = { .blob = calloc(1, LAYOUT_ACPI_SIZE) };
    struct acpi_rsdp *rsdp;
    struct acpi_xsdt *xsdt;
    struct acpi_fadt *fadt;
    void *madt, *dsdt;

    if (!tables.blob)
        return -ENOMEM;
    rsdp = add_table(&tables, "RSDP", sizeof(*rsdp));
    xsdt = add_table(&tables, "XSDT", sizeof(*xsdt));
    fadt = add_table(&tables, "FACP", sizeof(*fadt));
    madt = add_table(&tables, "APIC", madt_size(machine->cpu_count));
    dsdt = madt ? add_dsdt(&tables, machine) : NULL;
    if (!dsdt) {
        acpi_tables_finish(&tables);
        return -ENOSPC;
    }

    fill_madt(madt, machine->cpu_count);
    fill_fadt(fadt, address_of(&tables, dsdt));
    xsdt->entries[0] = address_of(&tables, fadt);
    xsdt->entries[1] = address_of(&tables, madt);
    seal(xsdt, "XSDT", XSDT_REVISION, sizeof(*xsdt));
    fill_rsdp(rsdp, address_of(&tables, xsdt));
    tables.rsdp_address = address_of(&tables, rsdp);
    *ret_tables = tables;
    return 0;
}

void acpi_tables_finish(struct acpi_tables *tables)
{
    free(tables->blob);
    *tables = (struct acpi_tables){ 0 };
}

int acpi_tables_write(const struct acpi_tables *tables, const struct guest_memory *memory)
{
    return guest_memory_write(memory, LAYOUT_ACPI, tables->blob, tables->size);
}
