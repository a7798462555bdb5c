/* SPDX-License-Identifier: Apache-2.0 */
/* reset.c - resets the machine through the keyboard controller, as Linux does with reboot=k. */
#include "payload.h"

int payload_main(void *boot_params)
{
    (void)boot_params;
    while (in8(PORT_I8042) & 2)
        ;
    out8(PORT_I8042, 0xfe);
    return 1;
}
