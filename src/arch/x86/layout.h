/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout.h - every guest-physical address, port and interrupt line of the x86 machine, in one place.
 *
 *   0x0000_0000  RAM          boot structures below 640 KiB (from 0x6000 on), the guest's to reuse
 *   0x0009_fc00  RAM          reported reserved up to 1 MiB; ACPI tables at 0x000e_0000
 *   0x0010_0000  RAM          kernel, initrd, device tree
 *   0xc000_0000  hole         virtio-mmio windows at 0xd000_0000, IOAPIC, local APIC, KVM's own pages
 *   0x1_0000_0000 RAM         what is left
 */
#ifndef RINGLET_ARCH_X86_LAYOUT_H
#define RINGLET_ARCH_X86_LAYOUT_H

#include <stdint.h>

/* --- RAM --- */
#define LAYOUT_HOLE_START     UINT64_C(0xc0000000) /* RAM below ends here at the latest */
#define LAYOUT_HOLE_END       UINT64_C(0x100000000)
#define LAYOUT_LOW_RAM_END    UINT64_C(0x9fc00) /* usable; from here to 1 MiB reserved */
#define LAYOUT_HIGH_RAM_START UINT64_C(0x100000)

/* --- boot structures, all below LAYOUT_LOW_RAM_END --- */
#define LAYOUT_GDT               UINT64_C(0x6000)
#define LAYOUT_START_INFO        UINT64_C(0x6800) /* PVH: hvm_start_info, module list, memory map: up to 0x7000 */
#define LAYOUT_BOOT_PARAMS       UINT64_C(0x7000)  /* the "zero page", 4 KiB */
#define LAYOUT_PAGE_TABLES       UINT64_C(0x9000)  /* PML4, PDPT, four page directories: 6 pages */
#define LAYOUT_BOOT_STACK        UINT64_C(0x10000) /* grows down */
#define LAYOUT_COMMAND_LINE      UINT64_C(0x20000)
#define LAYOUT_COMMAND_LINE_SIZE UINT64_C(0x10000) /* bytes, terminator included */

/* --- firmware tables, in the reserved part below 1 MiB --- */
#define LAYOUT_ACPI      UINT64_C(0xe0000)
#define LAYOUT_ACPI_SIZE UINT64_C(0x20000)

/* --- the hole --- */
#define LAYOUT_VIRTIO_MMIO        UINT64_C(0xd0000000)
#define LAYOUT_VIRTIO_MMIO_STRIDE UINT64_C(0x1000)
#define LAYOUT_IOAPIC             UINT64_C(0xfec00000)
#define LAYOUT_LOCAL_APIC         UINT64_C(0xfee00000)
#define LAYOUT_KVM_IDENTITY_MAP   UINT64_C(0xfffbc000) /* one page (Intel, for real mode) */
#define LAYOUT_KVM_TSS            UINT64_C(0xfffbd000) /* three pages, right after it */

/* --- ports --- */
#define LAYOUT_PORT_I8042      0x64
#define LAYOUT_PORT_DEBUG_EXIT 0xf4
#define LAYOUT_PORT_SERIAL     0x3f8
#define LAYOUT_PORT_ACPI_PM    0x600

/* --- interrupt lines (IOAPIC pins) --- */
#define LAYOUT_GSI_SERIAL 4
#define LAYOUT_GSI_COUNT  24

/*
 * Pins for virtio-mmio devices, in the order in which they are given out. Left out: 0 (timer), 1 and 12
 * (keyboard, mouse), 2 (cascade), 3 and 4 (serial ports), 8 (RTC), 13 (FPU). Those below 16 come first:
 * without ACPI and a device tree only the PICs' lines reach the guest.
 */
#define LAYOUT_VIRTIO_GSIS                                                                                   \
    {                                                                                                        \
        5, 6, 7, 9, 10, 11, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23                                           \
    }

#endif
