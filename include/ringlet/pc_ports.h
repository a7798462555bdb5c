/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pc_ports.h - the few one-register devices that end a machine: i8042 reset, ACPI sleep and reset registers,
 * the debug-exit port.
 */
#ifndef RINGLET_PC_PORTS_H
#define RINGLET_PC_PORTS_H

#include <stdint.h>

struct bus_region;
struct stop_sink;

/*
 * Each returns the region to add to the PIO bus; `sink` is borrowed and serves as the opaque. They keep no
 * state, so there is nothing to destroy.
 */

/* i8042 command/status port (0x64): command 0xFE pulses the reset line; status reads "ready for input". */
struct bus_region i8042_region(struct stop_sink *sink, uint64_t base);

/*
 * ACPI 6.5, 4.8.3.7: sleep control (offset 0) and sleep status (offset 1) registers; SLP_EN with SLP_TYP
 * ACPI_SLEEP_TYPE_S5 powers off. ACPI 6.5, 4.8.3.6: the reset register (offset 2); ACPI_RESET_VALUE resets.
 */
#define ACPI_PM_PORT_COUNT 3
#define ACPI_SLEEP_TYPE_S5 5
#define ACPI_RESET_VALUE   1
struct bus_region acpi_pm_region(struct stop_sink *sink, uint64_t base);

/* --debug-exit: a byte written is the exit status. */
struct bus_region debug_exit_region(struct stop_sink *sink, uint64_t base);

#endif
