/* SPDX-License-Identifier: Apache-2.0 */
/* poweroff.c - switches the machine off as ACPI says: SLP_EN with S5's sleep type in the sleep control
 * register. */
#include "payload.h"

#define SLP_EN     0x20
#define SLP_TYP_S5 (5 << 2)

int payload_main(void *boot_params)
{
    (void)boot_params;
    out8(PORT_ACPI_PM, SLP_EN | SLP_TYP_S5);
    return 1;
}
