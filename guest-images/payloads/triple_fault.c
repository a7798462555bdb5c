/* SPDX-License-Identifier: Apache-2.0 */
/* triple_fault.c - takes an exception without having any handler: the CPU gives up. */
#include "payload.h"

int payload_main(void *boot_params)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) empty = { 0, 0 };

    (void)boot_params;
    __asm__ volatile("lidt %0\n\tud2" : : "m"(empty));
    return 1;
}
