/* SPDX-License-Identifier: Apache-2.0 */
/* spin.c - says that it runs, then never ends and never exits: what a timeout and a signal must cope with. */
#include "payload.h"

int payload_main(void *boot_params)
{
    (void)boot_params;
    serial_puts("spinning\r\n");
    for (;;)
        __asm__ volatile("" : : : "memory");
}
