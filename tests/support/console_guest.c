/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console_guest.c - see console_guest.h.
 */
#include "console_guest.h"

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ringlet/util.h"

#define CONTROL_RECEIVEQ  2
#define CONTROL_TRANSMITQ 3

static const char *const names[VIRTIO_CONSOLE_MAX_PORTS] = {
    "org.example.first",
    "",
    "a name of as many bytes as there may be, which are sixty-four...",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
};

const char *console_guest_port_name(unsigned port)
{
    return names[port];
}

static void port_opened(struct virtio_console_listener *listener, unsigned index, bool open)
{
    struct console_guest *console = container_of(listener, struct console_guest, listener);
    size_t length = strlen(console->heard);

    assert_true(length + 3 < sizeof(console->heard));
    snprintf(console->heard + length, sizeof(console->heard) - length, "%c%u", open ? '+' : '-', index);
}

static const struct virtio_console_listener_ops listener_ops = { .port_opened = port_opened };

void console_guest_create(struct console_guest *console, unsigned port_count)
{
    struct virtio_console_port ports[VIRTIO_CONSOLE_MAX_PORTS];
    const struct virtio_console_options options = {
        .name = "console0",
        .ports = ports,
        .port_count = port_count,
        .listener = &console->listener,
    };

    *console = (struct console_guest){ .port_count = port_count, .listener.ops = &listener_ops };
    for (unsigned i = 0; i < port_count; i++) {
        fake_char_init(&console->chars[i]);
        ports[i] = (struct virtio_console_port){ names[i], &console->chars[i].backend };
    }
    console->guest = guest_driver_create();
    assert_int_equal(virtio_console_create(&options, console->guest->memory, &console->device), 0);
    guest_driver_plug(console->guest, console->device);
}

void console_guest_destroy(struct console_guest *console)
{
    guest_driver_destroy(console->guest);
}

void console_guest_start(struct console_guest *console)
{
    guest_driver_start(console->guest, GUEST_ALL_FEATURES, 0);
}

void console_guest_bring_up(struct console_guest *console)
{
    console_guest_start(console);
    console_guest_post_control(console, 60, 128);
    console_guest_say(console, VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
    for (unsigned i = 0; i < console->port_count; i++)
        console_guest_expect_message(console, i, VIRTIO_CONSOLE_PORT_ADD, 1, NULL);
    for (unsigned i = 0; i < console->port_count; i++) {
        const struct fake_char *host = &console->chars[i];

        console_guest_say(console, i, VIRTIO_CONSOLE_PORT_READY, 1);
        console_guest_expect_message(console, i, VIRTIO_CONSOLE_PORT_OPEN, !host->end_told && !host->lost,
                                     NULL);
        console_guest_expect_message(console, i, VIRTIO_CONSOLE_PORT_NAME, 1, names[i]);
    }
    console_guest_expect_no_message(console);
}

bool console_guest_needs_reset(struct console_guest *console)
{
    return guest_status(console->guest) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

/* --- control messages --- */

static void post(struct console_guest *console, struct guest_queue *queue, unsigned count, uint32_t length)
{
    for (unsigned i = 0; i < count; i++) {
        struct guest_segment segment = { guest_alloc(console->guest, length, 16), length, true };

        guest_queue_add(queue, &segment, 1);
    }
    guest_queue_kick(queue);
}

void console_guest_post_control(struct console_guest *console, unsigned count, uint32_t length)
{
    post(console, &console->guest->queues[CONTROL_RECEIVEQ], count, length);
}

void console_guest_say(struct console_guest *console, uint32_t id, uint16_t event, uint16_t value)
{
    const struct virtio_console_control control = { .id = id, .event = event, .value = value };
    struct guest_queue *queue = &console->guest->queues[CONTROL_TRANSMITQ];
    struct guest_segment segment = { guest_alloc(console->guest, sizeof(control), 4), sizeof(control),
                                     false };
    struct guest_used used;
    uint16_t head;

    guest_write(console->guest, segment.address, &control, sizeof(control));
    head = guest_queue_add(queue, &segment, 1);
    guest_queue_kick(queue);
    if (console->guest->hold_doorbells)
        return;
    assert_true(guest_queue_take_used(queue, &used));
    assert_int_equal(used.head, head);
    assert_int_equal(used.length, 0);
}

void console_guest_open(struct console_guest *console, unsigned port)
{
    console_guest_say(console, port, VIRTIO_CONSOLE_PORT_OPEN, 1);
}

void console_guest_close(struct console_guest *console, unsigned port)
{
    console_guest_say(console, port, VIRTIO_CONSOLE_PORT_OPEN, 0);
}

/* The bytes that the device put into the buffer at `head`, which was posted as one descriptor. */
static void read_buffer(struct console_guest *console, const struct guest_queue *queue,
                        const struct guest_used *used, void *to, size_t size)
{
    struct vring_desc desc;

    guest_read(console->guest, queue->desc + sizeof(desc) * used->head, &desc, sizeof(desc));
    assert_true(used->length <= desc.len && used->length <= size);
    guest_read(console->guest, desc.addr, to, used->length);
}

void console_guest_expect_message(struct console_guest *console, unsigned port, uint16_t event,
                                  uint16_t value, const char *name)
{
    struct guest_queue *queue = &console->guest->queues[CONTROL_RECEIVEQ];
    struct {
        struct virtio_console_control control;
        char name[120];
    } message;
    struct guest_used used;

    assert_true(guest_queue_take_used(queue, &used));
    assert_int_equal(used.length, sizeof(message.control) + (name ? strlen(name) : 0));
    read_buffer(console, queue, &used, &message, sizeof(message));
    assert_int_equal(message.control.id, port);
    assert_int_equal(message.control.event, event);
    assert_int_equal(message.control.value, value);
    if (name)
        assert_memory_equal(message.name, name, strlen(name));
}

void console_guest_expect_no_message(struct console_guest *console)
{
    struct guest_used used;

    assert_false(guest_queue_take_used(&console->guest->queues[CONTROL_RECEIVEQ], &used));
}

void console_guest_expect_heard(struct console_guest *console, const char *heard)
{
    assert_string_equal(console->heard, heard);
    console->heard[0] = '\0';
}

/* --- bytes --- */

struct guest_queue *console_guest_receiveq(struct console_guest *console, unsigned port)
{
    static const unsigned queues[] = { 0, 4, 6, 8, 10, 12, 14, 16 };

    return &console->guest->queues[queues[port]];
}

struct guest_queue *console_guest_transmitq(struct console_guest *console, unsigned port)
{
    return console_guest_receiveq(console, port) + 1;
}

void console_guest_post(struct console_guest *console, unsigned port, unsigned count, uint32_t length)
{
    post(console, console_guest_receiveq(console, port), count, length);
}

void console_guest_expect_received(struct console_guest *console, unsigned port, const char *text)
{
    struct guest_queue *queue = console_guest_receiveq(console, port);
    struct guest_used used;
    char bytes[4096];

    assert_true(guest_queue_take_used(queue, &used));
    assert_int_equal(used.length, strlen(text));
    read_buffer(console, queue, &used, bytes, sizeof(bytes));
    assert_memory_equal(bytes, text, used.length);
}

void console_guest_expect_nothing_received(struct console_guest *console, unsigned port)
{
    struct guest_used used;

    assert_false(guest_queue_take_used(console_guest_receiveq(console, port), &used));
}

uint16_t console_guest_write(struct console_guest *console, unsigned port, const char *text)
{
    struct guest_queue *queue = console_guest_transmitq(console, port);
    uint32_t length = (uint32_t)strlen(text);
    struct guest_segment segment = { guest_alloc(console->guest, length, 1), length, false };
    uint16_t head;

    guest_write(console->guest, segment.address, text, length);
    head = guest_queue_add(queue, &segment, 1);
    guest_queue_kick(queue);
    return head;
}

void console_guest_expect_taken(struct console_guest *console, unsigned port, uint16_t head)
{
    struct guest_used used;

    assert_true(guest_queue_take_used(console_guest_transmitq(console, port), &used));
    assert_int_equal(used.head, head);
    assert_int_equal(used.length, 0);
}

void console_guest_expect_nothing_taken(struct console_guest *console, unsigned port)
{
    struct guest_used used;

    assert_false(guest_queue_take_used(console_guest_transmitq(console, port), &used));
}

void console_guest_expect_output(struct console_guest *console, unsigned port, const char *text)
{
    assert_string_equal(console->chars[port].output, text);
}

void console_guest_expect_service(struct console_guest *console, unsigned port)
{
    struct fake_char *host = &console->chars[port];

    console_guest_bring_up(console);
    host->output_count = 0;
    host->input_start = host->input_end = 0;
    host->room = SIZE_MAX;
    console_guest_post(console, port, 1, 64);
    console_guest_open(console, port);
    console_host_deliver(console, port);
    console_guest_expect_taken(console, port, console_guest_write(console, port, "out"));
    console_guest_expect_output(console, port, "out");
    console_host_type(console, port, "in");
    console_guest_expect_received(console, port, "in");
}

/* --- the host --- */

void console_host_type(struct console_guest *console, unsigned port, const char *text)
{
    guest_driver_enter(console->guest);
    fake_char_type(&console->chars[port], text);
    guest_driver_leave(console->guest);
}

void console_host_deliver(struct console_guest *console, unsigned port)
{
    guest_driver_enter(console->guest);
    fake_char_deliver(&console->chars[port]);
    guest_driver_leave(console->guest);
}

void console_host_make_room(struct console_guest *console, unsigned port, size_t more)
{
    guest_driver_enter(console->guest);
    fake_char_make_room(&console->chars[port], more);
    guest_driver_leave(console->guest);
}

void console_host_end_input(struct console_guest *console, unsigned port)
{
    guest_driver_enter(console->guest);
    fake_char_end_input(&console->chars[port]);
    guest_driver_leave(console->guest);
}

void console_host_lose_output(struct console_guest *console, unsigned port)
{
    guest_driver_enter(console->guest);
    fake_char_lose_output(&console->chars[port]);
    guest_driver_leave(console->guest);
}
