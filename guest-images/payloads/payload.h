/* SPDX-License-Identifier: Apache-2.0 */
/*
 * payload.h - what a payload has instead of a C library: ports, MMIO, the serial port, the debug-exit port.
 *
 * Payloads are freestanding programs of our own that run as a guest's whole software. They use few and plain
 * instructions, so that they run on every /dev/kvm, however it executes a guest.
 */
#ifndef RINGLET_PAYLOAD_H
#define RINGLET_PAYLOAD_H

#include <stddef.h>
#include <stdint.h>

#define PORT_SERIAL     0x3f8
#define PORT_I8042      0x64
#define PORT_DEBUG_EXIT 0xf4
#define PORT_ACPI_PM    0x600

/* The program; what it returns is the exit status (--debug-exit). */
int payload_main(void *boot_params);

static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t in8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline uint32_t mmio_read32(uintptr_t address)
{
    uint32_t value;

    __asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(address) : "memory");
    return value;
}

static inline void mmio_write32(uintptr_t address, uint32_t value)
{
    __asm__ volatile("movl %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

/* Ends the machine, if it was started with --debug-exit. */
static inline _Noreturn void debug_exit(uint8_t status)
{
    out8(PORT_DEBUG_EXIT, status);
    for (;;)
        __asm__ volatile("hlt");
}

/* Wait for the transmitter, then send. */
static inline void serial_put(char c)
{
    while (!(in8(PORT_SERIAL + 5) & 0x20))
        ;
    out8(PORT_SERIAL, (uint8_t)c);
}

static inline void serial_puts(const char *text)
{
    while (*text)
        serial_put(*text++);
}

#endif
