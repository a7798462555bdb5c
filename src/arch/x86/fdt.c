/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fdt.c - the machine for kernels that run without ACPI: a flattened device tree, and the words that create
 * virtio-mmio devices from the kernel command line.
 *
 * The tree speaks the dialect that Linux's arch/x86/kernel/devicetree.c understands, which is that of the one
 * x86 platform that ever had trees, Intel's CE4100: it looks for the APICs by that chip's compatible strings
 * and takes CPUs by their APIC ids. RAM is not in the tree: x86 takes it from e820 only.
 *
 * The buses are "simple-bus" and "isa" because the generic code (drivers/of/platform.c) descends into these.
 * It runs before the CE4100's own probe and claims every node at the root, so that a bus known to the latter
 * alone would be left without children.
 *
 * The local APIC has no "intel,virtual-wire-mode": Linux then leaves LINT0 open to the 8259s beside the
 * IOAPIC. A kernel without CONFIG_SERIAL_OF_PLATFORM finds the serial port by its legacy table, with ISA
 * interrupt 4 of the 8259, and would never see that interrupt otherwise.
 */
#include <asm/bootparam.h>
#include <errno.h>
#include <inttypes.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "ringlet/cleanup.h"
#include "ringlet/guest_memory.h"
#include "ringlet/util.h"
#include "ringlet/x86_tables.h"

#define FDT_SIZE_START 4096
#define FDT_SIZE_MAX   (256 * KIB) /* what Linux's early_memremap() can map at once */

#define PHANDLE_IOAPIC 1

/* Second cell of an interrupt: an index into of_ioapic_type[] of devicetree.c. */
#define IOAPIC_EDGE_RISING 3

#define ISA_ADDRESS_IO 1 /* first cell of an ISA address: the I/O space */
#define ISA_IO_SIZE    0x10000
#define APIC_REG_SIZE  0x1000
#define UART_CLOCK     1843200 /* Hz */

/* The sequential-write interface of libfdt, with the first failure kept. */
struct tree {
    void *blob;
    int error; /* 0 or -FDT_ERR_* */
};

static void keep(struct tree *tree, int result)
{
    if (!tree->error && result < 0)
        tree->error = result;
}

static void begin_node(struct tree *tree, const char *name)
{
    keep(tree, fdt_begin_node(tree->blob, name));
}

static void begin_node_at(struct tree *tree, const char *name, uint64_t address)
{
    char text[48];

    snprintf(text, sizeof(text), "%s@%" PRIx64, name, address);
    begin_node(tree, text);
}

static void end_node(struct tree *tree)
{
    keep(tree, fdt_end_node(tree->blob));
}

static void property_string(struct tree *tree, const char *name, const char *value)
{
    keep(tree, fdt_property_string(tree->blob, name, value));
}

static void property_flag(struct tree *tree, const char *name)
{
    keep(tree, fdt_property(tree->blob, name, NULL, 0));
}

static void property_u32(struct tree *tree, const char *name, uint32_t value)
{
    keep(tree, fdt_property_u32(tree->blob, name, value));
}

static void property_u64(struct tree *tree, const char *name, uint64_t value)
{
    keep(tree, fdt_property_u64(tree->blob, name, value));
}

/* Address and size of two cells each, as below the root and the soc. */
static void property_reg(struct tree *tree, uint64_t address, uint64_t size)
{
    const fdt64_t cells[] = { cpu_to_fdt64(address), cpu_to_fdt64(size) };

    keep(tree, fdt_property(tree->blob, "reg", cells, sizeof(cells)));
}

static void property_cells(struct tree *tree, const char *name, const uint32_t *values, unsigned count)
{
    fdt32_t cells[8];

    for (unsigned i = 0; i < count; i++)
        cells[i] = cpu_to_fdt32(values[i]);
    keep(tree, fdt_property(tree->blob, name, cells, (int)(count * sizeof(cells[0]))));
}

static void property_interrupt(struct tree *tree, uint32_t gsi)
{
    property_cells(tree, "interrupts", (const uint32_t[]){ gsi, IOAPIC_EDGE_RISING }, 2);
}

static void add_chosen(struct tree *tree, const struct machine_info *machine)
{
    begin_node(tree, "chosen");
    if (machine->command_line)
        property_string(tree, "bootargs", machine->command_line);
    if (machine->initrd_size) {
        property_u64(tree, "linux,initrd-start", machine->initrd_address);
        property_u64(tree, "linux,initrd-end", machine->initrd_address + machine->initrd_size);
    }
    end_node(tree);
}

static void add_cpus(struct tree *tree, unsigned count)
{
    begin_node(tree, "cpus");
    property_u32(tree, "#address-cells", 1);
    property_u32(tree, "#size-cells", 0);
    for (unsigned id = 0; id < count; id++) {
        begin_node_at(tree, "cpu", id);
        property_string(tree, "device_type", "cpu");
        property_u32(tree, "reg", id);
        end_node(tree);
    }
    end_node(tree);
}

static void add_apics(struct tree *tree)
{
    begin_node_at(tree, "interrupt-controller", LAYOUT_IOAPIC);
    property_string(tree, "compatible", "intel,ce4100-ioapic");
    property_flag(tree, "interrupt-controller");
    property_u32(tree, "#interrupt-cells", 2);
    property_u32(tree, "#address-cells", 0);
    property_reg(tree, LAYOUT_IOAPIC, APIC_REG_SIZE);
    property_u32(tree, "phandle", PHANDLE_IOAPIC);
    end_node(tree);

    begin_node_at(tree, "lapic", LAYOUT_LOCAL_APIC);
    property_string(tree, "compatible", "intel,ce4100-lapic");
    property_reg(tree, LAYOUT_LOCAL_APIC, APIC_REG_SIZE);
    end_node(tree);
}

static void add_virtio_mmio(struct tree *tree, const struct device_info *info)
{
    begin_node_at(tree, "virtio", info->base);
    property_string(tree, "compatible", "virtio,mmio");
    property_reg(tree, info->base, info->size);
    property_interrupt(tree, info->gsi);
    end_node(tree);
}

static void add_serial(struct tree *tree, const struct device_info *info)
{
    begin_node_at(tree, "serial", info->base);
    property_string(tree, "compatible", "ns16550a");
    property_cells(tree, "reg",
                   (const uint32_t[]){ ISA_ADDRESS_IO, (uint32_t)info->base, (uint32_t)info->size }, 3);
    property_u32(tree, "clock-frequency", UART_CLOCK);
    property_interrupt(tree, info->gsi);
    end_node(tree);
}

static void begin_bus(struct tree *tree, const char *name, const char *compatible, unsigned size_cells)
{
    begin_node(tree, name);
    property_string(tree, "compatible", compatible);
    property_u32(tree, "#address-cells", 2);
    property_u32(tree, "#size-cells", size_cells);
}

static void add_devices(struct tree *tree, const struct machine_info *machine)
{
    begin_bus(tree, "soc", "simple-bus", 2);
    property_flag(tree, "ranges");
    add_apics(tree);
    for (unsigned i = 0; i < machine->device_count; i++)
        if (machine->devices[i].kind == DEVICE_VIRTIO_MMIO)
            add_virtio_mmio(tree, &machine->devices[i]);
    end_node(tree);

    /* Ports are mapped one to one: x86 Linux takes the translated address for the port's number. */
    begin_bus(tree, "isa@0", "isa", 1);
    property_cells(tree, "ranges", (const uint32_t[]){ ISA_ADDRESS_IO, 0, 0, 0, ISA_IO_SIZE }, 5);
    for (unsigned i = 0; i < machine->device_count; i++)
        if (machine->devices[i].kind == DEVICE_SERIAL)
            add_serial(tree, &machine->devices[i]);
    end_node(tree);
}

/* The whole tree into `size` bytes. Returns 0 or -FDT_ERR_*. */
static int build(const struct machine_info *machine, void *blob, size_t size)
{
    struct tree tree = { .blob = blob, .error = fdt_create(blob, (int)size) };

    keep(&tree, fdt_finish_reservemap(blob));
    begin_node(&tree, "");
    property_string(&tree, "compatible", "ringlet,x86");
    property_string(&tree, "model", "Ringlet");
    property_u32(&tree, "#address-cells", 2);
    property_u32(&tree, "#size-cells", 2);
    property_u32(&tree, "interrupt-parent", PHANDLE_IOAPIC);
    add_chosen(&tree, machine);
    add_cpus(&tree, machine->cpu_count);
    add_devices(&tree, machine);
    end_node(&tree);
    keep(&tree, fdt_finish(blob));
    return tree.error;
}

int x86_fdt_build(const struct machine_info *machine, void **ret_blob, size_t *ret_size)
{
    for (size_t size = FDT_SIZE_START; size <= FDT_SIZE_MAX; size *= 2) {
        CLEANUP_FREE void *blob = malloc(size);

        if (!blob)
            return -ENOMEM;
        /* Out of room is the one thing that can go wrong; any other error would not get better with more. */
        if (build(machine, blob, size) < 0)
            continue;
        *ret_size = fdt_totalsize(blob);
        *ret_blob = steal_pointer(&blob);
        return 0;
    }
    return -ENOSPC;
}

uint64_t x86_fdt_node_size(size_t size)
{
    return sizeof(struct setup_data) + size;
}

int x86_fdt_write_node(const struct guest_memory *memory, uint64_t address, const void *blob, size_t size)
{
    struct setup_data node = { .next = 0, .type = SETUP_DTB, .len = (uint32_t)size };
    int result = guest_memory_write(memory, address, &node, sizeof(node));

    if (result < 0)
        return result;
    return guest_memory_write(memory, address + sizeof(node), blob, size);
}

/* memparse() knows K and M; the shortest exact form keeps the command line short. */
static int format_word(const struct device_info *info, char *to, size_t size)
{
    uint64_t number = info->size;
    const char *unit = "";

    if (number && number % MIB == 0) {
        number /= MIB;
        unit = "M";
    } else if (number && number % KIB == 0) {
        number /= KIB;
        unit = "K";
    }
    return snprintf(to, size, " virtio_mmio.device=%" PRIu64 "%s@0x%" PRIx64 ":%" PRIu32, number, unit,
                    info->base, info->gsi);
}

int x86_virtio_mmio_words(const struct machine_info *machine, char *to, size_t size)
{
    size_t length = 0;

    if (!size)
        return -E2BIG;
    *to = '\0';
    for (unsigned i = 0; i < machine->device_count; i++) {
        int written;

        if (machine->devices[i].kind != DEVICE_VIRTIO_MMIO)
            continue;
        written = format_word(&machine->devices[i], to + length, size - length);
        if (written < 0 || (size_t)written >= size - length)
            return -E2BIG;
        length += (size_t)written;
    }
    return (int)length;
}
