/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console_guest.h - a guest with a virtio-console device: what Linux's driver says to it and what it is told,
 * with a fake_char behind every port and a listener that takes notes.
 *
 * A test names these sources in its row: console_guest.c, fake_char.c, guest_driver.c, guest_queue.c,
 * fake_irq_line.c.
 */
#ifndef RINGLET_TEST_CONSOLE_GUEST_H
#define RINGLET_TEST_CONSOLE_GUEST_H

#include <linux/virtio_console.h>

#include "fake_char.h"
#include "guest_driver.h"
#include "ringlet/virtio_console.h"

struct console_guest {
    struct guest_driver *guest;
    struct virtio_device *device;
    unsigned port_count;
    struct fake_char chars[VIRTIO_CONSOLE_MAX_PORTS];
    struct virtio_console_listener listener;
    char heard[1024]; /* what the listener was told: "+1-1" is that port 1 was opened, then closed */
};

/* The device exists and is plugged in; the driver has done nothing. */
void console_guest_create(struct console_guest *console, unsigned port_count);
void console_guest_destroy(struct console_guest *console);
const char *console_guest_port_name(unsigned port);

/* All features, all queues, no buffer anywhere. */
void console_guest_start(struct console_guest *console);
/*
 * console_guest_start(), buffers for control messages, and the whole conversation up to where programs see the
 * ports; each is asserted.
 */
void console_guest_bring_up(struct console_guest *console);

/* --- control messages --- */

void console_guest_post_control(struct console_guest *console, unsigned count, uint32_t length);
/* Say something and see it used. */
void console_guest_say(struct console_guest *console, uint32_t id, uint16_t event, uint16_t value);
void console_guest_open(struct console_guest *console, unsigned port);
void console_guest_close(struct console_guest *console, unsigned port);
/* The next thing that the device said is this; `name` with PORT_NAME only. */
void console_guest_expect_message(struct console_guest *console, unsigned port, uint16_t event,
                                  uint16_t value, const char *name);
void console_guest_expect_no_message(struct console_guest *console);

/* The listener was told this since the last call. */
void console_guest_expect_heard(struct console_guest *console, const char *heard);

/* --- bytes --- */

struct guest_queue *console_guest_receiveq(struct console_guest *console, unsigned port);
struct guest_queue *console_guest_transmitq(struct console_guest *console, unsigned port);
/* Post empty buffers, and kick. */
void console_guest_post(struct console_guest *console, unsigned port, unsigned count, uint32_t length);
/* The next buffer holds this and no more. */
void console_guest_expect_received(struct console_guest *console, unsigned port, const char *text);
void console_guest_expect_nothing_received(struct console_guest *console, unsigned port);

/* Write, in one descriptor, and kick. Returns the head. */
uint16_t console_guest_write(struct console_guest *console, unsigned port, const char *text);
/* The next chain that was given back is this one. */
void console_guest_expect_taken(struct console_guest *console, unsigned port, uint16_t head);
void console_guest_expect_nothing_taken(struct console_guest *console, unsigned port);
/* What the host has been given at this port so far. */
void console_guest_expect_output(struct console_guest *console, unsigned port, const char *text);

bool console_guest_needs_reset(struct console_guest *console);
/* Data both ways at a port, after a fresh start and the whole conversation. */
void console_guest_expect_service(struct console_guest *console, unsigned port);

/* --- the host, in a turn of the loop of its own each --- */

void console_host_type(struct console_guest *console, unsigned port, const char *text);
void console_host_deliver(struct console_guest *console, unsigned port);
void console_host_make_room(struct console_guest *console, unsigned port, size_t more);
void console_host_end_input(struct console_guest *console, unsigned port);
void console_host_lose_output(struct console_guest *console, unsigned port);

#endif
