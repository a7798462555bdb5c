/* SPDX-License-Identifier: Apache-2.0 */
/* hello.c - says hello on the serial port and ends with status 42. The smallest guest. */
#include "payload.h"

int payload_main(void *boot_params)
{
    (void)boot_params;
    serial_puts("hello from the guest\r\n");
    return 42;
}
