/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_virtio_console_hostile.c - drivers that mean the console device no good: messages, buffers and rings that
 * no driver should send.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "console_guest.h"
#include "ringlet/util.h"

#define PORTS 3

#define CONTROL_TRANSMITQ 3

static struct console_guest console;

static int set_up(void **state)
{
    (void)state;
    console_guest_create(&console, PORTS);
    console_guest_bring_up(&console);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    guest_reset(console.guest);
    console_guest_destroy(&console);
    return 0;
}

/* --- messages --- */

static void test_console_messages_about_ports_that_do_not_exist_are_ignored(void **state)
{
    static const uint32_t ids[] = { PORTS, VIRTIO_CONSOLE_MAX_PORTS, 0x80000000, UINT32_MAX };
    static const uint16_t events[] = { VIRTIO_CONSOLE_PORT_READY, VIRTIO_CONSOLE_PORT_OPEN };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(ids); i++) {
        for (unsigned event = 0; event < ARRAY_SIZE(events); event++) {
            console_guest_say(&console, ids[i], events[event], 1);
            console_guest_say(&console, ids[i], events[event], 0);
        }
    }
    console_guest_expect_no_message(&console);
    console_guest_expect_heard(&console, "");
    console_guest_expect_service(&console, 0);
}

static void test_console_messages_that_are_not_the_drivers_to_send_are_ignored(void **state)
{
    static const uint16_t events[] = { VIRTIO_CONSOLE_PORT_ADD,
                                       VIRTIO_CONSOLE_PORT_REMOVE,
                                       VIRTIO_CONSOLE_CONSOLE_PORT,
                                       VIRTIO_CONSOLE_RESIZE,
                                       VIRTIO_CONSOLE_PORT_NAME,
                                       VIRTIO_CONSOLE_PORT_NAME + 1,
                                       0x8000,
                                       UINT16_MAX };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(events); i++)
        console_guest_say(&console, 0, events[i], 1);
    console_guest_expect_no_message(&console);
    console_guest_expect_heard(&console, "");
    console_guest_expect_service(&console, 0);
}

static void test_console_port_may_be_opened_before_it_is_ready(void **state)
{
    (void)state;
    console_guest_start(&console);
    console_guest_open(&console, 1);
    console_guest_expect_heard(&console, "+1");
    console_guest_expect_taken(&console, 1, console_guest_write(&console, 1, "well"));
    console_guest_expect_output(&console, 1, "well");
}

/* A chain of the control transmit queue, which is given back with nothing in it. */
static void send_raw(const struct guest_segment *segments, unsigned count)
{
    struct guest_queue *queue = &console.guest->queues[CONTROL_TRANSMITQ];
    struct guest_used used;

    guest_queue_add(queue, segments, count);
    guest_queue_kick(queue);
    assert_true(guest_queue_take_used(queue, &used));
    assert_int_equal(used.length, 0);
}

static void test_console_message_of_a_wrong_length_or_direction_is_ignored(void **state)
{
    const struct virtio_console_control control = { .id = 1, .event = VIRTIO_CONSOLE_PORT_OPEN, .value = 1 };
    uint64_t at = guest_alloc(console.guest, 16, 4);
    uint8_t kept[sizeof(control)];

    (void)state;
    guest_write(console.guest, at, &control, sizeof(control));
    for (uint32_t length = 0; length < sizeof(control); length++)
        send_raw(&(struct guest_segment){ at, length, false }, 1);
    send_raw(&(struct guest_segment){ at, sizeof(control), true }, 1);
    guest_read(console.guest, at, kept, sizeof(kept));
    assert_memory_equal(kept, &control, sizeof(kept));
    console_guest_expect_heard(&console, "");
    /* in pieces, with more behind it, and with a writable part */
    send_raw((const struct guest_segment[]){ { at, 3, false }, { at + 3, 13, false }, { at, 8, true } }, 3);
    guest_read(console.guest, at, kept, sizeof(kept));
    assert_memory_equal(kept, &control, sizeof(kept));
    console_guest_expect_heard(&console, "+1");
}

static void test_console_any_value_but_0_is_open(void **state)
{
    (void)state;
    console_guest_say(&console, 1, VIRTIO_CONSOLE_PORT_OPEN, 0x100);
    console_guest_expect_heard(&console, "+1");
}

static void test_console_buffer_too_short_for_a_message_sets_needs_reset(void **state)
{
    uint32_t name_length = (uint32_t)strlen(console_guest_port_name(0));

    (void)state;
    console_guest_start(&console);
    console_guest_post_control(&console, 1, 7);
    assert_false(console_guest_needs_reset(&console));
    console_guest_say(&console, 0, VIRTIO_CONSOLE_PORT_READY, 1);
    assert_true(console_guest_needs_reset(&console));
    console_guest_expect_no_message(&console);

    console_guest_start(&console);
    console_guest_post_control(&console, 2, 8 + name_length - 1);
    console_guest_say(&console, 0, VIRTIO_CONSOLE_PORT_READY, 1);
    console_guest_expect_message(&console, 0, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
    assert_true(console_guest_needs_reset(&console));
    console_guest_expect_no_message(&console);

    console_guest_start(&console);
    console_guest_post_control(&console, 2, 8 + name_length);
    console_guest_say(&console, 0, VIRTIO_CONSOLE_PORT_READY, 1);
    console_guest_expect_message(&console, 0, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
    console_guest_expect_message(&console, 0, VIRTIO_CONSOLE_PORT_NAME, 1, console_guest_port_name(0));
    assert_false(console_guest_needs_reset(&console));
}

/* --- buffers --- */

static void test_console_receive_buffer_without_a_writable_byte_sets_needs_reset(void **state)
{
    const struct guest_segment useless[] = { { 0x100, 64, false }, { 0x200, 0, true } };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(useless); i++) {
        console_guest_start(&console);
        console_guest_open(&console, 0);
        guest_queue_add(console_guest_receiveq(&console, 0), &useless[i], 1);
        guest_queue_kick(console_guest_receiveq(&console, 0));
        console_host_type(&console, 0, "x");
        console_host_deliver(&console, 0);
        assert_true(console_guest_needs_reset(&console));
        console_guest_expect_nothing_received(&console, 0);
    }
    console_guest_expect_service(&console, 1);
}

static void test_console_readable_part_of_a_receive_buffer_is_never_written(void **state)
{
    uint64_t at = guest_alloc(console.guest, 16, 16);
    struct guest_used used;
    char bytes[12];

    (void)state;
    guest_write(console.guest, at, "do not touch", 12);
    console_guest_open(&console, 0);
    guest_queue_add(console_guest_receiveq(&console, 0),
                    (const struct guest_segment[]){ { at, 8, false }, { at + 8, 4, true } }, 2);
    guest_queue_kick(console_guest_receiveq(&console, 0));
    console_host_type(&console, 0, "TEXT");
    assert_true(guest_queue_take_used(console_guest_receiveq(&console, 0), &used));
    assert_int_equal(used.length, 4);
    guest_read(console.guest, at, bytes, sizeof(bytes));
    assert_memory_equal(bytes, "do not tTEXT", 12);
}

static void test_console_chain_with_nothing_to_send_is_given_back(void **state)
{
    uint64_t at = guest_alloc(console.guest, 16, 16);
    const struct guest_segment empty[] = { { at, 0, false }, { at, 16, true }, { UINT64_MAX, 0, true } };
    uint8_t bytes[16], zeroes[16] = { 0 };

    (void)state;
    console_guest_open(&console, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(empty); i++) {
        uint16_t head = guest_queue_add(console_guest_transmitq(&console, 0), &empty[i], 1);

        guest_queue_kick(console_guest_transmitq(&console, 0));
        console_guest_expect_taken(&console, 0, head);
    }
    guest_read(console.guest, at, bytes, sizeof(bytes));
    assert_memory_equal(bytes, zeroes, sizeof(bytes));
    console_guest_expect_output(&console, 0, "");
    assert_false(console_guest_needs_reset(&console));
}

static void test_console_writable_part_of_a_transmit_chain_is_not_sent(void **state)
{
    uint64_t at = guest_alloc(console.guest, 16, 16);
    uint16_t head;

    (void)state;
    guest_write(console.guest, at, "sayquiet", 8);
    console_guest_open(&console, 0);
    head = guest_queue_add(console_guest_transmitq(&console, 0),
                           (const struct guest_segment[]){ { at, 3, false }, { at + 3, 5, true } }, 2);
    guest_queue_kick(console_guest_transmitq(&console, 0));
    console_guest_expect_taken(&console, 0, head);
    console_guest_expect_output(&console, 0, "say");
}

static void test_console_buffer_outside_ram_sets_needs_reset(void **state)
{
    static const struct guest_segment nowhere[] = { { GUEST_RAM_LOW_END, 1, false },
                                                    { GUEST_RAM_LOW_END - 1, 2, false },
                                                    { UINT64_MAX, 1, false } };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(nowhere); i++) {
        console_guest_start(&console);
        console_guest_open(&console, 0);
        guest_queue_add(console_guest_transmitq(&console, 0), &nowhere[i], 1);
        guest_queue_kick(console_guest_transmitq(&console, 0));
        assert_true(console_guest_needs_reset(&console));
        /* The ports stay as they are, and silent, until the reset. */
        console_host_type(&console, 0, "x");
        console_host_make_room(&console, 0, 0);
    }
    guest_reset(console.guest);
    console_guest_expect_heard(&console, "+0-0+0-0+0-0");
    console_guest_expect_service(&console, 0);
}

static void test_console_broken_ring_leaves_ports_as_they_are_until_the_reset(void **state)
{
    const struct guest_segment nowhere = { GUEST_RAM_LOW_END, 1, false };

    (void)state;
    console_guest_open(&console, 0);
    console_guest_open(&console, 1);
    console.chars[1].room = 2;
    console_guest_write(&console, 1, "held");
    guest_queue_add(console_guest_transmitq(&console, 0), &nowhere, 1);
    console_guest_close(&console, 0);
    assert_true(console_guest_needs_reset(&console));
    console_host_make_room(&console, 1, 100);
    console_guest_expect_output(&console, 1, "he");
    console_guest_expect_heard(&console, "+0+1");
    guest_reset(console.guest);
    console_guest_expect_heard(&console, "-0-1");
}

static void test_console_chain_of_more_pieces_than_a_pipe_has_sets_needs_reset(void **state)
{
    struct guest_segment segments[300];

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(segments); i++)
        segments[i] = (struct guest_segment){ 0x100, 1, false };
    console_guest_open(&console, 0);
    guest_queue_add_indirect(console_guest_transmitq(&console, 0), segments, ARRAY_SIZE(segments), 0);
    guest_queue_kick(console_guest_transmitq(&console, 0));
    assert_true(console_guest_needs_reset(&console));
    console_guest_expect_service(&console, 0);
}

static void test_console_chain_that_is_held_and_offered_again_is_two(void **state)
{
    struct guest_queue *queue = console_guest_transmitq(&console, 0);
    uint64_t at = guest_alloc(console.guest, 16, 16);

    (void)state;
    console_guest_open(&console, 0);
    console.chars[0].room = 1;
    guest_write(console.guest, at, "abc", 3);
    guest_queue_write_desc(queue, 5, at, 3, 0, 0);
    guest_queue_offer(queue, 5);
    guest_queue_offer(queue, 5);
    guest_queue_kick(queue);
    /* Its bytes are the guest's to change all the while. */
    guest_write(console.guest, at, "xyz", 3);
    console_host_make_room(&console, 0, 100);
    console_guest_expect_output(&console, 0, "ayzxyz");
    console_guest_expect_taken(&console, 0, 5);
    console_guest_expect_taken(&console, 0, 5);
}

/* --- anything at all --- */

static uint32_t next_random(uint32_t *random)
{
    *random = *random * 1664525 + 1013904223;
    return *random >> 8;
}

/* RAM from `mark` on is nobody's again, and zero. */
static void release(uint64_t mark)
{
    static const uint8_t zeroes[4096];

    for (uint64_t at = mark; at < console.guest->next_free; at += sizeof(zeroes))
        guest_write(console.guest, at, zeroes, sizeof(zeroes));
    console.guest->next_free = mark;
}

static void play_host(uint32_t *random)
{
    struct fake_char *host = &console.chars[next_random(random) % PORTS];

    guest_driver_enter(console.guest);
    if (host->input_start == host->input_end)
        host->input_start = host->input_end = 0;
    host->output_count = 0;
    host->room = 0;
    switch (next_random(random) % 3) {
    case 0:
        fake_char_type(host, "some bytes of input");
        break;
    case 1:
        fake_char_deliver(host);
        break;
    default:
        fake_char_make_room(host, next_random(random) % 100);
        break;
    }
    guest_driver_leave(console.guest);
}

/* Descriptors, rings and messages of any content, and bytes both ways all the while. */
static void play_wildly(uint32_t seed)
{
    uint32_t random = seed;
    uint64_t area = guest_alloc(console.guest, 4096, 4096), mark = console.guest->next_free;

    for (unsigned round = 0; round < 30; round++) {
        guest_reset(console.guest);
        release(mark);
        console.heard[0] = '\0';
        guest_driver_start(console.guest, GUEST_ALL_FEATURES, 16);
        for (unsigned step = 0; step < 80; step++) {
            struct guest_queue *queue =
                &console.guest->queues[next_random(&random) % console.device->queue_count];
            struct virtio_console_control control = { .id = next_random(&random) % (PORTS + 1),
                                                      .event = (uint16_t)(next_random(&random) % 8),
                                                      .value = (uint16_t)(next_random(&random) % 2) };

            switch (next_random(&random) % 8) {
            case 0: /* seldom a sane address */
                guest_queue_write_desc(
                    queue, (uint16_t)(next_random(&random) % 16),
                    next_random(&random) % 64 ? area + next_random(&random) % 4000 : UINT64_C(0x1fff00),
                    next_random(&random) % 8 ? next_random(&random) % 90 : next_random(&random),
                    (uint16_t)(next_random(&random) % 4), (uint16_t)(next_random(&random) % 17));
                break;
            case 1:
                guest_write(console.guest, area + next_random(&random) % 4000, &control, sizeof(control));
                break;
            case 2:
                if (next_random(&random) % 20 == 0)
                    guest_queue_set_avail_idx(queue, (uint16_t)next_random(&random));
                break;
            case 3:
            case 4:
                play_host(&random);
                break;
            case 5: { /* a message as it should be, so that ports do get opened */
                struct guest_queue *transmit = &console.guest->queues[CONTROL_TRANSMITQ];
                uint64_t at = area + 4096 - sizeof(control);

                guest_write(console.guest, at, &control, sizeof(control));
                guest_queue_write_desc(transmit, 15, at, sizeof(control), 0, 0);
                guest_queue_offer(transmit, 15);
                guest_queue_kick(transmit);
                break;
            }
            default:
                guest_queue_offer(queue, (uint16_t)(next_random(&random) % 16));
                guest_queue_kick(queue);
                break;
            }
        }
    }
}

static void test_console_random_drivers_do_no_harm(void **state)
{
    uint64_t mark = console.guest->next_free;

    (void)state;
    for (uint32_t seed = 1; seed <= 50; seed++) {
        play_wildly(seed);
        guest_reset(console.guest);
        release(mark);
    }
    console.heard[0] = '\0';
    console_guest_expect_service(&console, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_console_messages_about_ports_that_do_not_exist_are_ignored),
        TEST(test_console_messages_that_are_not_the_drivers_to_send_are_ignored),
        TEST(test_console_port_may_be_opened_before_it_is_ready),
        TEST(test_console_message_of_a_wrong_length_or_direction_is_ignored),
        TEST(test_console_any_value_but_0_is_open),
        TEST(test_console_buffer_too_short_for_a_message_sets_needs_reset),
        TEST(test_console_receive_buffer_without_a_writable_byte_sets_needs_reset),
        TEST(test_console_readable_part_of_a_receive_buffer_is_never_written),
        TEST(test_console_chain_with_nothing_to_send_is_given_back),
        TEST(test_console_writable_part_of_a_transmit_chain_is_not_sent),
        TEST(test_console_buffer_outside_ram_sets_needs_reset),
        TEST(test_console_broken_ring_leaves_ports_as_they_are_until_the_reset),
        TEST(test_console_chain_of_more_pieces_than_a_pipe_has_sets_needs_reset),
        TEST(test_console_chain_that_is_held_and_offered_again_is_two),
        TEST(test_console_random_drivers_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
