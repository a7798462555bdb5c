/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pit.c - has the PIT tick at 100 Hz and sleeps through five ticks that come by the PIC, as a kernel does
 * that has neither ACPI nor MP tables to tell it of an IOAPIC.
 */
#include "interrupts.h"
#include "payload.h"

#define PIT_CHANNEL_0 0x40
#define PIT_COMMAND   0x43
#define PIT_DIVISOR   11932 /* 1193182 Hz / 100 */

int payload_main(void *boot_params)
{
    (void)boot_params;
    interrupts_enable_pic_line(0);
    out8(PIT_COMMAND, 0x34); /* channel 0, low then high byte, rate generator */
    out8(PIT_CHANNEL_0, PIT_DIVISOR & 0xff);
    out8(PIT_CHANNEL_0, PIT_DIVISOR >> 8);
    for (uint32_t i = 0; i < 5; i++)
        interrupts_wait(i);
    serial_puts("five ticks\r\n");
    return 0;
}
