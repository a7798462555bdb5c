/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flood.c - 256 KiB of known text, then power-off at once: at its end nothing may be lost, and a reader that
 * does not read must not stop the guest for ever.
 */
#include "payload.h"

int payload_main(void *boot_params)
{
    (void)boot_params;
    for (unsigned line = 0; line < 4096; line++) {
        for (unsigned i = 0; i < 63; i++)
            serial_put((char)('!' + (line + i) % 94));
        serial_put('\n');
    }
    out8(PORT_ACPI_PM, 0x20 | 5 << 2);
    return 1;
}
