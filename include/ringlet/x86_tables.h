/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86_tables.h - the machine's description, three times over from one table of devices: ACPI, a flattened
 * device tree, and virtio_mmio.device= words for the kernel command line.
 */
#ifndef RINGLET_X86_TABLES_H
#define RINGLET_X86_TABLES_H

#include <stddef.h>
#include <stdint.h>

#include "ringlet/device_info.h"

struct error;
struct guest_memory;

struct machine_info {
    unsigned cpu_count; /* APIC ids 0 .. cpu_count - 1 */
    const struct device_info *devices;
    unsigned device_count;
    const struct guest_memory *memory;
    const char *command_line;             /* for the tree's /chosen; may be NULL */
    uint64_t initrd_address, initrd_size; /* likewise; size 0: none */
};

#define ACPI_TABLE_MAX 8

struct acpi_table {
    char signature[8]; /* "DSDT", "FACP", "APIC", "XSDT", "RSDP": the file name for a dump; terminated */
    uint32_t offset;   /* in blob; the guest-physical address is LAYOUT_ACPI + offset */
    uint32_t length;   /* bytes */
};

struct acpi_tables {
    uint8_t *blob; /* owned; to be copied to LAYOUT_ACPI */
    uint32_t size;
    uint64_t rsdp_address;
    struct acpi_table tables[ACPI_TABLE_MAX];
    unsigned count;
};

/* 0, -ENOSPC when the tables do not fit LAYOUT_ACPI_SIZE, -ENOMEM. */
int acpi_tables_build(const struct machine_info *machine, struct acpi_tables *ret_tables);
void acpi_tables_finish(struct acpi_tables *tables);
/* Copy them to LAYOUT_ACPI. 0 or -EFAULT. */
int acpi_tables_write(const struct acpi_tables *tables, const struct guest_memory *memory);

/*
 * A flattened tree as x86 Linux reads it (CONFIG_OF, acpi=off). *ret_blob is malloc'ed. 0, -ENOMEM, or
 * -ENOSPC for one that Linux could not map (256 KiB).
 */
int x86_fdt_build(const struct machine_info *machine, void **ret_blob, size_t *ret_size);

/* Bytes that x86_fdt_write_node() needs in guest RAM for a tree of `size` bytes. */
uint64_t x86_fdt_node_size(size_t size);
/* Write the tree as a setup_data node of type SETUP_DTB (2) at `address`. 0 or -EFAULT. */
int x86_fdt_write_node(const struct guest_memory *memory, uint64_t address, const void *blob, size_t size);

/*
 * The " virtio_mmio.device=4K@0xd0000000:5" words for all virtio-mmio devices, into `to` (terminated).
 * Returns the length, or -E2BIG.
 */
int x86_virtio_mmio_words(const struct machine_info *machine, char *to, size_t size);

#endif
