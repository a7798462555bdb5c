/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_console.c - the console device (virtio 1.2, 5.3): features, configuration, and the control queues by
 * which ports are made known, opened and closed. The bytes are virtio_console_port.c's.
 *
 * What the driver is to be told is not queued: a port has a bit for each kind of message, and the message is
 * made from the port's state at the moment when the driver has a buffer for it. So whatever a driver asks for,
 * and however long it posts no buffer, there is nothing that grows.
 */
#include "ringlet/virtio_console.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ringlet/cleanup.h"
#include "ringlet/util.h"
#include "virtio_console_device.h"

#define NAME_MAX_LENGTH 64

/* Up to emerg_wr, which is there with its feature only (5.3.4). */
#define CONFIG_SIZE offsetof(struct virtio_console_config, emerg_wr)

static struct virtio_console *from_device(struct virtio_device *device)
{
    return container_of(device, struct virtio_console, device);
}

static bool is_multiport(const struct virtio_console *console)
{
    return virtio_device_has_feature(&console->device, VIRTIO_CONSOLE_F_MULTIPORT);
}

/* The port that queue `index` belongs to, which is none of the control queues. */
static struct console_port *port_of_queue(struct virtio_console *console, unsigned index)
{
    return &console->ports[index < CONSOLE_CONTROL_RECEIVEQ ? 0 : index / 2 - 1];
}

/* --- to the driver --- */

struct message {
    struct virtio_console_control control;
    char name[NAME_MAX_LENGTH]; /* with PORT_NAME only, without a NUL */
};

/* Returns its length. */
static size_t compose(const struct console_port *port, enum console_message kind, struct message *message)
{
    static const uint16_t events[] = {
        [CONSOLE_MESSAGE_ADD] = VIRTIO_CONSOLE_PORT_ADD,
        [CONSOLE_MESSAGE_OPEN] = VIRTIO_CONSOLE_PORT_OPEN,
        [CONSOLE_MESSAGE_NAME] = VIRTIO_CONSOLE_PORT_NAME,
    };
    size_t name_length = kind == CONSOLE_MESSAGE_NAME ? strlen(port->name) : 0;

    static_assert(ARRAY_SIZE(events) == CONSOLE_MESSAGE_COUNT, "an event for every message");
    message->control = (struct virtio_console_control){
        .id = htole32(port->index),
        .event = htole16(events[kind]),
        .value = htole16(kind == CONSOLE_MESSAGE_OPEN ? !port->host_closed : 1),
    };
    memcpy(message->name, port->name, name_length);
    return sizeof(message->control) + name_length;
}

static bool send_message(struct console_port *port, enum console_message kind)
{
    struct virtio_console *console = port->console;
    struct virtqueue_chain chain = { .iov = console->vectors, .iov_max = ARRAY_SIZE(console->vectors) };
    struct message message;
    size_t length = compose(port, kind, &message);
    struct iov_cursor cursor;

    if (virtio_device_pop(&console->device, CONSOLE_CONTROL_RECEIVEQ, &chain) <= 0)
        return false;
    if (chain.in_length < length) {
        /* Half a message means something else. */
        virtio_device_needs_reset(&console->device);
        return false;
    }
    cursor = iov_cursor_make(chain.iov + chain.out_count, chain.in_count);
    iov_cursor_copy_in(&cursor, &message, length);
    virtio_device_push(&console->device, CONSOLE_CONTROL_RECEIVEQ, chain.head, (uint32_t)length);
    port->pending &= ~(1u << kind);
    return true;
}

void console_control_flush(struct virtio_console *console)
{
    for (unsigned i = 0; i < console->port_count; i++) {
        struct console_port *port = &console->ports[i];

        for (unsigned kind = 0; kind < CONSOLE_MESSAGE_COUNT; kind++) {
            if ((port->pending >> kind & 1) && !send_message(port, kind))
                return;
        }
    }
}

/* --- from the driver --- */

/* 5.3.6.2.1: no port that exists is added. */
static void add_ports(struct virtio_console *console)
{
    for (unsigned i = 0; i < console->port_count; i++) {
        struct console_port *port = &console->ports[i];

        if (!port->added)
            port->pending |= 1u << CONSOLE_MESSAGE_ADD;
        port->added = true;
    }
}

/* The driver has made the port, or could not. A driver that comes back from sleep says so of ports it has. */
static void port_is_ready(struct console_port *port, bool ready)
{
    port->added = true;
    port->ready = ready;
    port->pending = ready ? 1u << CONSOLE_MESSAGE_OPEN | 1u << CONSOLE_MESSAGE_NAME : 0;
}

/* Ids, events and values are whatever the guest likes. */
static void obey(struct virtio_console *console, const struct virtio_console_control *control)
{
    uint32_t id = le32toh(control->id);
    bool value = control->value;

    switch (le16toh(control->event)) {
    case VIRTIO_CONSOLE_DEVICE_READY:
        if (value)
            add_ports(console);
        break;
    case VIRTIO_CONSOLE_PORT_READY:
        if (id < console->port_count)
            port_is_ready(&console->ports[id], value);
        break;
    case VIRTIO_CONSOLE_PORT_OPEN:
        if (id < console->port_count && value)
            console_port_opened(&console->ports[id]);
        else if (id < console->port_count)
            console_port_closed(&console->ports[id]);
        break;
    default:
        break;
    }
}

static void serve_control(struct virtio_console *console)
{
    struct virtio_device *device = &console->device;
    struct virtqueue_chain chain = { .iov = console->vectors, .iov_max = ARRAY_SIZE(console->vectors) };

    while (virtio_device_pop(device, CONSOLE_CONTROL_TRANSMITQ, &chain) > 0) {
        struct virtio_console_control control;
        struct iov_cursor cursor = iov_cursor_make(chain.iov, chain.out_count);

        if (iov_cursor_copy_out(&cursor, &control, sizeof(control)) == sizeof(control))
            obey(console, &control);
        virtio_device_push(device, CONSOLE_CONTROL_TRANSMITQ, chain.head, 0);
    }
    console_control_flush(console);
}

static void virtio_console_queue_notify(struct virtio_device *device, unsigned index)
{
    struct virtio_console *console = from_device(device);
    struct console_port *port;

    if (index >= CONSOLE_CONTROL_RECEIVEQ && !is_multiport(console))
        return;
    if (index == CONSOLE_CONTROL_RECEIVEQ) {
        console_control_flush(console);
        return;
    }
    if (index == CONSOLE_CONTROL_TRANSMITQ) {
        serve_control(console);
        return;
    }
    port = port_of_queue(console, index);
    if (index == console_receiveq(port->index)) {
        console_port_refilled(port);
        return;
    }
    /* The bell for the message that opens the port may be behind this one. */
    if (!port->open)
        serve_control(console);
    console_port_transmit(port);
}

/* --- the device --- */

static void virtio_console_config_read(struct virtio_device *device, uint32_t offset, void *to,
                                       uint32_t length)
{
    /* No port has a size: F_SIZE is not offered, and cols and rows are 0. */
    const struct virtio_console_config config = { .max_nr_ports = htole32(from_device(device)->port_count) };

    memcpy(to, (const uint8_t *)&config + offset, length);
}

static void virtio_console_activate(struct virtio_device *device)
{
    struct virtio_console *console = from_device(device);

    if (!is_multiport(console))
        console_port_opened(&console->ports[0]);
}

static void virtio_console_queue_disabled(struct virtio_device *device, unsigned index)
{
    struct virtio_console *console = from_device(device);
    struct console_port *port;

    if (index == CONSOLE_CONTROL_RECEIVEQ || index == CONSOLE_CONTROL_TRANSMITQ)
        return;
    port = port_of_queue(console, index);
    if (index == console_transmitq(port->index))
        console_port_forget_transmit(port);
}

static void virtio_console_reset(struct virtio_device *device)
{
    struct virtio_console *console = from_device(device);

    for (unsigned i = 0; i < console->port_count; i++)
        console_port_reset(&console->ports[i]);
}

static enum virtio_report virtio_console_report(struct virtio_device *device, char *to, size_t size)
{
    const struct virtio_console *console = from_device(device);

    pthread_mutex_lock(&device->lock);
    snprintf(to, size, "%" PRIu64 " bytes to the guest; %" PRIu64 " bytes from it (%" PRIu64 " more dropped)",
             console->to_driver, console->from_driver, console->dropped);
    pthread_mutex_unlock(&device->lock);
    return VIRTIO_REPORT_DONE;
}

static void virtio_console_destroy(struct virtio_device *device)
{
    virtio_device_finish(device);
    free(from_device(device));
}

static const struct virtio_device_ops virtio_console_ops = {
    .config_read = virtio_console_config_read,
    .activate = virtio_console_activate,
    .queue_notify = virtio_console_queue_notify,
    .queue_disabled = virtio_console_queue_disabled,
    .reset = virtio_console_reset,
    .report = virtio_console_report,
    .destroy = virtio_console_destroy,
};

static bool is_sane(const struct virtio_console_options *options)
{
    if (!options->port_count || options->port_count > VIRTIO_CONSOLE_MAX_PORTS)
        return false;
    for (unsigned i = 0; i < options->port_count; i++) {
        if (!options->ports[i].backend || strlen(options->ports[i].name) > NAME_MAX_LENGTH)
            return false;
    }
    return true;
}

int virtio_console_create(const struct virtio_console_options *options, const struct guest_memory *memory,
                          struct virtio_device **ret_device)
{
    const struct virtio_device_setup setup = {
        .ops = &virtio_console_ops,
        .name = options->name,
        .device_id = VIRTIO_ID_CONSOLE,
        .device_features = UINT64_C(1) << VIRTIO_CONSOLE_F_MULTIPORT,
        .config_size = CONFIG_SIZE,
        .queue_count = 2 * (options->port_count + 1),
        .queue_size = CONSOLE_QUEUE_SIZE,
        .memory = memory,
    };
    CLEANUP_FREE struct virtio_console *console = NULL;
    int result;

    if (!is_sane(options))
        return -EINVAL;
    console = calloc(1, sizeof(*console) + options->port_count * sizeof(console->ports[0]));
    if (!console)
        return -ENOMEM;
    result = virtio_device_init(&console->device, &setup);
    if (result)
        return result;
    console->listener = options->listener;
    console->port_count = options->port_count;
    for (unsigned i = 0; i < options->port_count; i++)
        console_port_init(&console->ports[i], console, i, &options->ports[i]);
    *ret_device = &steal_pointer(&console)->device;
    return 0;
}
