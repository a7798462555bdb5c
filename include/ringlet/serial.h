/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serial.h - a 16550A UART on eight ports.
 *
 * Transmission is instant as far as the char backend takes bytes; a backend that is full shows as a
 * transmitter that stays busy (LSR.THRE clear), so the guest waits or gives up as with a real wire. Input is
 * left with the backend until the driver enables receive interrupts, so that probing does not eat it.
 */
#ifndef RINGLET_SERIAL_H
#define RINGLET_SERIAL_H

#include <stdint.h>

struct bus_region;
struct char_backend;
struct irq_line;
struct serial;

#define SERIAL_PORT_COUNT 8

/* Borrows backend and line. 0 or -ENOMEM. */
int serial_create(struct char_backend *backend, struct irq_line *line, struct serial **ret_serial);
void serial_destroy(struct serial *serial);

/* The eight ports at `base`, with ops, opaque and lock. */
struct bus_region serial_region(struct serial *serial, uint64_t base);

#endif
