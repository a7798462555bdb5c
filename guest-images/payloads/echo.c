/* SPDX-License-Identifier: Apache-2.0 */
/*
 * echo.c - sends back what the serial port receives, byte for byte, until a zero byte; the status is then the
 * number of bytes, modulo 256. It polls, after enabling receive interrupts as a driver would.
 */
#include "payload.h"

#define IER 1
#define LSR 5

int payload_main(void *boot_params)
{
    unsigned count = 0;

    (void)boot_params;
    out8(PORT_SERIAL + IER, 1);
    for (;;) {
        char c;

        while (!(in8(PORT_SERIAL + LSR) & 1))
            ;
        c = (char)in8(PORT_SERIAL);
        if (!c)
            return (int)(count & 0xff);
        serial_put(c);
        count++;
    }
}
