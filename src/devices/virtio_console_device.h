/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_console_device.h - the console device from inside: what virtio_console.c (the device, its control
 * queues) and virtio_console_port.c (the bytes of a port) share.
 *
 * A port is in one of three states towards the driver: closed; open; open with a close that the listener has not
 * been told yet, because something written before it waits for the backend (`closing`). Without MULTIPORT, port
 * 0 is open from DRIVER_OK to the reset and there is no other.
 *
 * All of it is under the device's lock.
 */
#ifndef RINGLET_VIRTIO_CONSOLE_DEVICE_H
#define RINGLET_VIRTIO_CONSOLE_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "ringlet/char_backend.h"
#include "ringlet/guest_memory.h"
#include "ringlet/iov.h"
#include "ringlet/virtio_console.h"
#include "ringlet/virtio_device.h"

#define CONSOLE_QUEUE_SIZE 64

/*
 * A driver may splice a pipe's pages into one chain with an indirect table, longer than the queue: 256 of them
 * where a pipe has the 1 MiB that anybody may ask for. Each border inside RAM may cut a buffer in two.
 */
#define CONSOLE_CHAIN_VECTORS (256 + GUEST_MEMORY_MAX_REGIONS - 1)

/* 5.3.2: the control queues come behind those of port 0. */
#define CONSOLE_CONTROL_RECEIVEQ  2
#define CONSOLE_CONTROL_TRANSMITQ 3

static inline unsigned console_receiveq(unsigned port)
{
    return port ? 2 * port + 2 : 0;
}

static inline unsigned console_transmitq(unsigned port)
{
    return console_receiveq(port) + 1;
}

/*
 * What the driver is still to be told about a port, in the order of sending. The name is last: Linux shows the
 * port to programs by its name, and a program that reads before the port is open takes that for the end.
 */
enum console_message {
    CONSOLE_MESSAGE_ADD,
    CONSOLE_MESSAGE_OPEN, /* or closed: as it is when the message finds a buffer */
    CONSOLE_MESSAGE_NAME,
    CONSOLE_MESSAGE_COUNT,
};

struct console_port {
    struct virtio_console *console;
    unsigned index;
    const char *name;
    struct char_backend *backend;
    struct char_frontend frontend;

    /* the backend's side of the story, which no reset changes */
    bool host_closed; /* input_ended() or output_lost() */
    bool output_lost;
    bool starved; /* the backend was refused bytes, and waits for receive_ready() */

    /* the driver's side; forgotten on reset */
    bool added;       /* the driver knows the port, or is to be told of it */
    bool ready;       /* and has made it */
    unsigned pending; /* bit per enum console_message */
    bool open, closing;

    /*
     * A chain of the transmit queue that the backend has taken a part of, or nothing yet. It stays ours until the
     * backend has room, without counting as in flight: nobody touches its bytes but we, under the lock, so that
     * a reset need not wait, but just has it forgotten.
     */
    bool holding;
    uint16_t head;
    struct iov_cursor rest;
    struct iovec vectors[CONSOLE_CHAIN_VECTORS];
};

struct virtio_console {
    struct virtio_device device;
    struct virtio_console_listener *listener;    /* may be NULL */
    struct iovec vectors[CONSOLE_CHAIN_VECTORS]; /* of chains that are popped and given back at once */
    uint64_t to_driver, from_driver, dropped;    /* bytes, of all ports */
    unsigned port_count;
    struct console_port ports[];
};

/* --- virtio_console.c --- */

/* Send what is pending, as far as the driver has posted buffers. */
void console_control_flush(struct virtio_console *console);

/* --- virtio_console_port.c --- */

void console_port_init(struct console_port *port, struct virtio_console *console, unsigned index,
                       const struct virtio_console_port *options);
/* The driver opened or closed the port; without MULTIPORT: DRIVER_OK. */
void console_port_opened(struct console_port *port);
void console_port_closed(struct console_port *port);
/* Give the backend what the driver has sent, as far as it has room. Loop thread. */
void console_port_transmit(struct console_port *port);
/* The driver may have posted buffers. */
void console_port_refilled(struct console_port *port);
/* The transmit queue was taken away. */
void console_port_forget_transmit(struct console_port *port);
void console_port_reset(struct console_port *port);

#endif
