/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serial.h - a 16550A UART on eight ports.
 *
 * Transmission is instant as far as the char backend takes bytes; a backend that is full shows as a
 * transmitter that stays busy (LSR.THRE clear), so the guest waits or gives up as with a real wire.
 *
 * Input stays with the backend until the guest is ready to receive, so that probing does not eat it. The
 * guest is ready while
 *  - its driver can be interrupted by input: IER.RDI and MCR.OUT2 set, not in loopback. Both, because Linux's
 *    probe sets every bit of IER for a moment and drains the FIFOs afterwards, but sets OUT2 only in earnest;
 * or
 *  - it polls: it has read LSR (or IIR) SERIAL_POLL_READS times in a row, with no other register in between
 * and nothing to report. This lasts until it reprograms the port (IER, FCR, LCR or MCR). While it is not
 * ready, LSR.DR is clear and RBR reads 0, even if a few bytes did get into the FIFO. And since what the guest
 * has not read is held to be still on the wire, no FIFO reset discards it; nor does one recall bytes given to
 * the transmitter. Only what looped back is discarded.
 *
 * A guest that has raised MCR.RTS and lowers it asks for silence, and gets it: with CRTSCTS nothing
 * overflows.
 */
#ifndef RINGLET_SERIAL_H
#define RINGLET_SERIAL_H

#include <stdint.h>

struct bus_region;
struct char_backend;
struct irq_line;
struct serial;

#define SERIAL_PORT_COUNT 8
#define SERIAL_POLL_READS 16

/* Attaches itself to backend. Borrows backend and line, which outlive it. 0 or -ENOMEM. */
int serial_create(struct char_backend *backend, struct irq_line *line, struct serial **ret_serial);
void serial_destroy(struct serial *serial);

/* The eight ports at `base`, with ops, opaque and lock. */
struct bus_region serial_region(struct serial *serial, uint64_t base);

#endif
