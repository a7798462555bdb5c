/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interrupts.h - just enough interrupt handling for a payload: an IDT, the local APIC, and edge-triggered
 * lines routed through the IOAPIC to handlers that count.
 */
#ifndef RINGLET_PAYLOAD_INTERRUPTS_H
#define RINGLET_PAYLOAD_INTERRUPTS_H

#include <stdint.h>

#define LINE_VECTOR 0x40

/* How many interrupts have arrived on the line. Written by the handler. */
extern volatile uint32_t interrupt_count;

/*
 * Let line `irq` of the primary PIC through, by way of the local APIC's LINT0 as it is after power-on, and
 * switch interrupts on.
 */
void interrupts_enable_pic_line(unsigned irq);

/* Route IOAPIC pin `gsi` here, edge-triggered, and switch interrupts on. */
void interrupts_enable_line(unsigned gsi);

/* Sleep until interrupt_count differs from `seen`. */
void interrupts_wait(uint32_t seen);

#endif
