/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tap_host.h - the host's side of a tap, in a network namespace of the test's own: makes interfaces, takes
 * them up and down and away, and is the other end of their wire.
 */
#ifndef RINGLET_TAP_HOST_H
#define RINGLET_TAP_HOST_H

#include <stdbool.h>
#include <stddef.h>

/*
 * A network namespace of one's own, with a user namespace if it has to be. False, with a line on stdout,
 * where that or /dev/net/tun is not to be had. Before any thread exists.
 */
bool tap_host_enter(void);

/* A persistent tap (or, without IFF_TAP, a tun) that is up; `flags` are IFF_MULTI_QUEUE and its like. */
void tap_host_make(const char *name, unsigned flags);
void tap_host_delete(const char *name);
void tap_host_set_up(const char *name, bool up);
/* A descriptor of it, opened with just these flags. */
int tap_host_open(const char *name, unsigned flags);
unsigned tap_host_mtu(const char *name);

/* The wire: a packet socket that hears what comes out of the interface into the host, and nothing else. */
int tap_host_wire(const char *name);
void tap_host_send(int wire, const void *frame, size_t length);
/* Waits for the next frame of `net_frame_make()`'s ethertype; returns its length. */
size_t tap_host_receive(int wire, void *frame, size_t size);

#endif
