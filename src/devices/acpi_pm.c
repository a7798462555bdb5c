/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acpi_pm.c - see ringlet/pc_ports.h. The registers of hardware-reduced ACPI that a guest switches itself off
 * and resets itself by. The machine has no sleep state but S5, so sleep status never has its wake bit set.
 */
#include "ringlet/pc_ports.h"

#include <assert.h>

#include "ringlet/bus.h"
#include "ringlet/stop.h"

enum acpi_pm_register {
    SLEEP_CONTROL,
    SLEEP_STATUS,
    RESET,
    REGISTER_COUNT,
};

static_assert(REGISTER_COUNT == ACPI_PM_PORT_COUNT, "one port a register");

/* ACPI 6.5, table 4.17 */
#define SLP_TYP_SHIFT 2
#define SLP_TYP_MASK  0x7
#define SLP_EN        (1 << 5)

static uint64_t acpi_pm_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)size;
    return 0;
}

static void write_register(struct stop_sink *sink, uint64_t index, uint8_t value)
{
    switch (index) {
    case SLEEP_CONTROL:
        if ((value & SLP_EN) && ((value >> SLP_TYP_SHIFT) & SLP_TYP_MASK) == ACPI_SLEEP_TYPE_S5)
            stop_request(sink, STOP_POWEROFF, 0);
        break;
    case RESET:
        if (value == ACPI_RESET_VALUE)
            stop_request(sink, STOP_RESET, 0);
        break;
    }
}

/* Registers of a byte each; a wider access, which ACPI never makes, is so many byte accesses. */
static void acpi_pm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        write_register(opaque, offset + i, (uint8_t)(value >> (8 * i)));
}

static const struct bus_region_ops acpi_pm_ops = {
    .read = acpi_pm_read,
    .write = acpi_pm_write,
};

struct bus_region acpi_pm_region(struct stop_sink *sink, uint64_t base)
{
    return (struct bus_region){
        .name = "acpi-pm",
        .base = base,
        .size = ACPI_PM_PORT_COUNT,
        .ops = &acpi_pm_ops,
        .opaque = sink,
    };
}
