/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ports.h - finds the four ports of the console device by their names and opens them.
 */
#ifndef RINGLET_GUEST_PORTS_H
#define RINGLET_GUEST_PORTS_H

struct error;
struct session_ports;

/*
 * Waits, ten seconds at most, for the ports and for the host to be at the other end of the control port. 0 with
 * all open and not blocking; -ENODEV and the like with *err.
 */
int ports_open(struct session_ports *ret_ports, struct error *err);

#endif
