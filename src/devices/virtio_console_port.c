/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_console_port.c - the bytes of one port of the console device (virtio 1.2, 5.3.6), both ways.
 *
 * To the driver: what the backend offers is copied into as many of the driver's buffers as it takes, at once.
 * Refused bytes stay with the backend until the doorbell of the receive queue, or the driver's opening of the
 * port, makes receive_ready() worth it.
 *
 * From the driver: one chain at a time goes to the backend. When the backend is full the chain stays here with
 * a cursor at what is left; later ones wait in the ring. A port that the driver has not opened takes its chains
 * and drops their bytes: so a driver never waits for a host that is not listening.
 */
#include <assert.h>

#include "ringlet/util.h"
#include "virtio_console_device.h"

static void set_open(struct console_port *port, bool open)
{
    struct virtio_console_listener *listener = port->console->listener;

    port->open = open;
    port->closing = false;
    if (listener)
        listener->ops->port_opened(listener, port->index, open);
}

/* --- to the driver --- */

static bool takes_input(const struct console_port *port)
{
    return port->open && !port->closing;
}

/* Fill the next buffer; returns how many of the bytes it took, 0 when there is none. */
static size_t fill_buffer(struct console_port *port, const uint8_t *bytes, size_t count)
{
    struct virtio_console *console = port->console;
    struct virtqueue_chain chain = { .iov = console->vectors, .iov_max = ARRAY_SIZE(console->vectors) };
    struct iov_cursor cursor;
    size_t taken;

    if (virtio_device_pop(&console->device, console_receiveq(port->index), &chain) <= 0)
        return 0;
    if (!chain.in_length) {
        /* 5.3.6.1 forbids it; and given back empty it would be taken for the end of the stream. */
        virtio_device_needs_reset(&console->device);
        return 0;
    }
    cursor = iov_cursor_make(chain.iov + chain.out_count, chain.in_count);
    taken = iov_cursor_copy_in(&cursor, bytes, count);
    virtio_device_push(&console->device, console_receiveq(port->index), chain.head, (uint32_t)taken);
    console->to_driver += taken;
    return taken;
}

static size_t port_receive(struct char_frontend *frontend, const uint8_t *bytes, size_t count)
{
    struct console_port *port = container_of(frontend, struct console_port, frontend);
    size_t taken = 0, here;

    /* Linux throws away what comes before a program has opened the port. */
    if (takes_input(port)) {
        while (taken < count && (here = fill_buffer(port, bytes + taken, count - taken)))
            taken += here;
    }
    if (taken < count)
        port->starved = true;
    return taken;
}

void console_port_refilled(struct console_port *port)
{
    if (!port->starved || !takes_input(port))
        return;
    port->starved = false;
    port->backend->ops->receive_ready(port->backend);
}

/* --- from the driver --- */

static bool take_chain(struct console_port *port)
{
    struct virtqueue_chain chain = { .iov = port->vectors, .iov_max = ARRAY_SIZE(port->vectors) };

    if (virtio_device_pop(&port->console->device, console_transmitq(port->index), &chain) <= 0)
        return false;
    port->holding = true;
    port->head = chain.head;
    port->rest = iov_cursor_make(chain.iov, chain.out_count);
    return true;
}

/* Write what is left of the chain; false when the backend is full. */
static bool write_chain(struct console_port *port)
{
    struct virtio_console *console = port->console;
    struct iov_cursor *rest = &port->rest;

    if (!port->open || port->output_lost) {
        console->dropped += iov_cursor_remaining(rest);
        return true;
    }
    while (rest->count) {
        size_t length = rest->iov->iov_len - rest->offset, taken;

        taken = port->backend->ops->write(port->backend, (const uint8_t *)rest->iov->iov_base + rest->offset,
                                          length);
        assert(taken <= length);
        console->from_driver += taken;
        if (taken < length) {
            rest->offset += taken;
            return false;
        }
        *rest = iov_cursor_make(rest->iov + 1, rest->count - 1);
    }
    return true;
}

/* Was everything popped that the driver had put there? A queue that is not ready has nothing. */
static bool nothing_is_left(const struct console_port *port)
{
    const struct virtio_device *device = &port->console->device;

    return virtio_device_is_live(device) && !(device->hungry_queues >> console_transmitq(port->index) & 1);
}

void console_port_transmit(struct console_port *port)
{
    while (port->holding || take_chain(port)) {
        if (!write_chain(port))
            return;
        port->holding = false;
        virtio_device_push(&port->console->device, console_transmitq(port->index), port->head, 0);
    }
    if (port->closing && nothing_is_left(port))
        set_open(port, false);
}

static void port_writable(struct char_frontend *frontend)
{
    struct console_port *port = container_of(frontend, struct console_port, frontend);
    const struct virtio_device *device = &port->console->device;

    /*
     * Also when the machine has stopped: what it said last is to be heard. While a queue is taken away nothing
     * moves; bells follow.
     */
    if (port->holding && (virtio_device_is_live(device) || device->stopped))
        console_port_transmit(port);
}

/* --- ends --- */

void console_port_opened(struct console_port *port)
{
    /* Opened again before the close was told: for the listener it was never closed. */
    port->closing = false;
    if (!port->open)
        set_open(port, true);
    console_port_refilled(port);
}

void console_port_closed(struct console_port *port)
{
    if (!port->open)
        return;
    port->closing = true;
    /* The doorbell for what was written before may be behind the one for this message. */
    console_port_transmit(port);
}

static void close_host_side(struct console_port *port)
{
    port->host_closed = true;
    if (port->ready)
        port->pending |= 1u << CONSOLE_MESSAGE_OPEN;
    console_control_flush(port->console);
}

static void port_input_ended(struct char_frontend *frontend)
{
    close_host_side(container_of(frontend, struct console_port, frontend));
}

static void port_output_lost(struct char_frontend *frontend)
{
    struct console_port *port = container_of(frontend, struct console_port, frontend);

    port->output_lost = true;
    close_host_side(port);
    port_writable(frontend);
}

static const struct char_frontend_ops frontend_ops = {
    .receive = port_receive,
    .writable = port_writable,
    .input_ended = port_input_ended,
    .output_lost = port_output_lost,
};

/* --- life --- */

void console_port_forget_transmit(struct console_port *port)
{
    port->holding = false;
    if (port->closing)
        set_open(port, false);
}

void console_port_reset(struct console_port *port)
{
    port->holding = false;
    port->added = port->ready = false;
    port->pending = 0;
    if (port->open)
        set_open(port, false);
}

void console_port_init(struct console_port *port, struct virtio_console *console, unsigned index,
                       const struct virtio_console_port *options)
{
    port->console = console;
    port->index = index;
    port->name = options->name;
    port->backend = options->backend;
    port->frontend = (struct char_frontend){ .ops = &frontend_ops, .client = &console->device.client };
    port->backend->ops->attach(port->backend, &port->frontend);
}
