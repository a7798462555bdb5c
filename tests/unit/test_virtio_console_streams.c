/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_virtio_console_streams.c - the bytes of the console device's ports (virtio 1.2, 5.3.6): both ways, slowly,
 * to their ends, and without MULTIPORT.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "console_guest.h"
#include "ringlet/util.h"

#define PORTS 3

static struct console_guest console;

static int set_up(void **state)
{
    (void)state;
    console_guest_create(&console, PORTS);
    console_guest_bring_up(&console);
    console_guest_expect_heard(&console, "");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    guest_reset(console.guest);
    console_guest_destroy(&console);
    return 0;
}

/* --- to the guest --- */

static void test_console_input_fills_buffers_and_says_how_much(void **state)
{
    (void)state;
    console_guest_post(&console, 2, 3, 4);
    console_guest_open(&console, 2);
    console_host_type(&console, 2, "0123456789");
    console_guest_expect_received(&console, 2, "0123");
    console_guest_expect_received(&console, 2, "4567");
    console_guest_expect_received(&console, 2, "89");
    console_guest_expect_nothing_received(&console, 0);
}

static void test_console_input_waits_until_the_driver_has_opened_the_port(void **state)
{
    (void)state;
    console_guest_post(&console, 0, 2, 16);
    console_host_type(&console, 0, "early");
    guest_queue_kick(console_guest_receiveq(&console, 0));
    assert_false(console.chars[0].may_offer);
    console_guest_expect_nothing_received(&console, 0);
    console_guest_open(&console, 0);
    console_host_deliver(&console, 0);
    console_guest_expect_received(&console, 0, "early");
}

static void test_console_input_waits_for_buffers(void **state)
{
    (void)state;
    console_guest_open(&console, 1);
    console_guest_post(&console, 1, 1, 3);
    console_host_type(&console, 1, "abcdef");
    console_guest_expect_received(&console, 1, "abc");
    console_host_deliver(&console, 1);
    console_guest_expect_nothing_received(&console, 1);
    assert_int_equal(console.chars[1].receive_ready_calls, 0);
    console_guest_post(&console, 1, 2, 2);
    assert_int_equal(console.chars[1].receive_ready_calls, 1);
    console_host_deliver(&console, 1);
    console_guest_expect_received(&console, 1, "de");
    console_guest_expect_received(&console, 1, "f");
    console_guest_post(&console, 1, 1, 2);
    assert_int_equal(console.chars[1].receive_ready_calls, 1);
}

static void test_console_input_wants_a_kick_after_the_last_buffer(void **state)
{
    (void)state;
    console_guest_open(&console, 0);
    console_guest_post(&console, 0, 1, 4);
    console_host_type(&console, 0, "12345678");
    console_guest_expect_received(&console, 0, "1234");
    /* As Linux does: the doorbell is rung only if the device asks for it. */
    guest_queue_add(console_guest_receiveq(&console, 0),
                    &(struct guest_segment){ guest_alloc(console.guest, 4, 4), 4, true }, 1);
    assert_true(guest_queue_kick_if_wanted(console_guest_receiveq(&console, 0)));
    console_host_deliver(&console, 0);
    console_guest_expect_received(&console, 0, "5678");
}

static void test_console_input_stops_when_the_driver_closes_the_port(void **state)
{
    (void)state;
    console_guest_post(&console, 0, 2, 16);
    console_guest_open(&console, 0);
    console_guest_close(&console, 0);
    console_host_type(&console, 0, "late");
    console_guest_expect_nothing_received(&console, 0);
    console_guest_open(&console, 0);
    console_host_deliver(&console, 0);
    console_guest_expect_received(&console, 0, "late");
}

static void test_console_buffer_may_be_cut_anywhere_even_across_a_border_of_ram(void **state)
{
    const struct guest_segment segments[] = {
        { GUEST_RAM_SEAM - 2, 5, true },
        { GUEST_RAM_HIGH + 100, 0, true },
        { GUEST_RAM_HIGH + 7, 1, true },
        { GUEST_RAM_HIGH + 9, 50, true },
    };
    struct guest_used used;
    char bytes[10];

    (void)state;
    console_guest_open(&console, 1);
    guest_queue_add(console_guest_receiveq(&console, 1), segments, ARRAY_SIZE(segments));
    guest_queue_kick(console_guest_receiveq(&console, 1));
    console_host_type(&console, 1, "0123456789");
    assert_true(guest_queue_take_used(console_guest_receiveq(&console, 1), &used));
    assert_int_equal(used.length, 10);
    guest_read(console.guest, GUEST_RAM_SEAM - 2, bytes, 5);
    guest_read(console.guest, GUEST_RAM_HIGH + 7, bytes + 5, 1);
    guest_read(console.guest, GUEST_RAM_HIGH + 9, bytes + 6, 4);
    assert_memory_equal(bytes, "0123456789", 10);
}

static void test_console_end_of_input_comes_behind_the_last_byte(void **state)
{
    (void)state;
    console_guest_open(&console, 0);
    console_guest_post(&console, 0, 1, 4);
    console_host_type(&console, 0, "the end");
    console_host_end_input(&console, 0);
    console_guest_expect_received(&console, 0, "the ");
    console_guest_expect_no_message(&console);
    console_guest_post(&console, 0, 1, 4);
    console_host_deliver(&console, 0);
    console_guest_expect_received(&console, 0, "end");
    console_guest_expect_message(&console, 0, VIRTIO_CONSOLE_PORT_OPEN, 0, NULL);
    console_guest_expect_no_message(&console);
}

static void test_console_output_goes_on_when_input_has_ended(void **state)
{
    (void)state;
    console_guest_open(&console, 0);
    console_host_end_input(&console, 0);
    console_guest_expect_taken(&console, 0, console_guest_write(&console, 0, "still here"));
    console_guest_expect_output(&console, 0, "still here");
}

/* --- from the guest --- */

static void test_console_output_of_each_port_goes_to_its_backend(void **state)
{
    char name[] = "port 0";

    (void)state;
    for (unsigned i = 0; i < PORTS; i++) {
        name[5] = (char)('0' + i);
        console_guest_open(&console, i);
        console_guest_expect_taken(&console, i, console_guest_write(&console, i, name));
    }
    for (unsigned i = 0; i < PORTS; i++) {
        name[5] = (char)('0' + i);
        console_guest_expect_output(&console, i, name);
    }
}

static void test_console_output_may_be_cut_anywhere(void **state)
{
    uint64_t at = guest_alloc(console.guest, 16, 16);
    const struct guest_segment segments[] = {
        { at, 1, false },
        { at + 1, 0, false },
        { at + 1, 2, false },
        { at + 3, 7, false },
    };

    (void)state;
    console_guest_open(&console, 1);
    guest_write(console.guest, at, "0123456789", 10);
    for (unsigned direct = 0; direct < ARRAY_SIZE(segments); direct++) {
        guest_queue_add_indirect(console_guest_transmitq(&console, 1), segments, ARRAY_SIZE(segments),
                                 direct);
        guest_queue_kick(console_guest_transmitq(&console, 1));
    }
    console_guest_expect_output(&console, 1, "0123456789012345678901234567890123456789");
}

static void test_console_output_of_a_whole_pipe_in_one_chain_is_taken(void **state)
{
    struct guest_segment segments[256];
    uint64_t at = guest_alloc(console.guest, 1, 1);

    (void)state;
    console_guest_open(&console, 1);
    guest_write(console.guest, at, "x", 1);
    for (unsigned i = 0; i < ARRAY_SIZE(segments); i++)
        segments[i] = (struct guest_segment){ at, 1, false };
    guest_queue_add_indirect(console_guest_transmitq(&console, 1), segments, ARRAY_SIZE(segments), 0);
    guest_queue_kick(console_guest_transmitq(&console, 1));
    assert_int_equal(console.chars[1].output_count, ARRAY_SIZE(segments));
}

static void test_console_output_waits_while_the_backend_is_full(void **state)
{
    uint64_t at = guest_alloc(console.guest, 16, 16);
    const struct guest_segment segments[] = { { at, 3, false }, { at + 3, 4, false }, { at + 7, 3, false } };
    uint16_t first, second;

    (void)state;
    console_guest_open(&console, 0);
    guest_write(console.guest, at, "0123456789", 10);
    console.chars[0].room = 5;
    first = guest_queue_add(console_guest_transmitq(&console, 0), segments, ARRAY_SIZE(segments));
    second = console_guest_write(&console, 0, "abc");
    console_guest_expect_output(&console, 0, "01234");
    console_host_make_room(&console, 0, 2);
    console_guest_expect_output(&console, 0, "0123456");
    console_host_make_room(&console, 0, 0);
    console_guest_expect_nothing_taken(&console, 0);
    console_host_make_room(&console, 0, 3);
    console_guest_expect_output(&console, 0, "0123456789");
    console_guest_expect_taken(&console, 0, first);
    console_guest_expect_nothing_taken(&console, 0);
    console_host_make_room(&console, 0, 100);
    console_guest_expect_taken(&console, 0, second);
    console_guest_expect_output(&console, 0, "0123456789abc");
    /* and it listens again */
    console_guest_expect_taken(&console, 0, console_guest_write(&console, 0, "d"));
}

static void test_console_full_backend_holds_up_no_other_port(void **state)
{
    (void)state;
    console_guest_open(&console, 0);
    console_guest_open(&console, 1);
    console.chars[0].room = 0;
    console_guest_write(&console, 0, "slow");
    console_guest_expect_taken(&console, 1, console_guest_write(&console, 1, "fast"));
    console_guest_expect_output(&console, 1, "fast");
    console_guest_expect_output(&console, 0, "");
}

static void test_console_output_to_a_port_not_open_is_taken_and_dropped(void **state)
{
    (void)state;
    console_guest_expect_taken(&console, 1, console_guest_write(&console, 1, "nobody"));
    console_guest_open(&console, 1);
    console_guest_close(&console, 1);
    console_guest_expect_taken(&console, 1, console_guest_write(&console, 1, "nobody"));
    console_guest_expect_output(&console, 1, "");
}

static void test_console_output_counts_though_its_bell_comes_before_that_of_the_opening(void **state)
{
    (void)state;
    console.guest->hold_doorbells = true;
    console_guest_open(&console, 0);
    console_guest_write(&console, 0, "first words");
    /* The loop finds both bells, and asks queue 1 first. */
    assert_int_equal(atomic_load(&console.guest->bells), 1 << 1 | 1 << 3);
    guest_driver_turn(console.guest);
    console_guest_expect_heard(&console, "+0");
    console_guest_expect_output(&console, 0, "first words");
}

/* --- ends --- */

static void test_console_close_is_told_when_all_that_was_written_is_taken(void **state)
{
    (void)state;
    console_guest_open(&console, 1);
    console_guest_expect_heard(&console, "+1");
    console.chars[1].room = 2;
    console_guest_write(&console, 1, "last");
    console_guest_write(&console, 1, "words");
    console_guest_close(&console, 1);
    console_guest_expect_heard(&console, "");
    console_host_make_room(&console, 1, 6);
    console_guest_expect_heard(&console, "");
    console_host_make_room(&console, 1, 1);
    console_guest_expect_output(&console, 1, "lastwords");
    console_guest_expect_heard(&console, "-1");
}

static void test_console_close_whose_bell_comes_first_is_told_behind_the_bytes(void **state)
{
    (void)state;
    console_guest_open(&console, 1);
    console.guest->hold_doorbells = true;
    console_guest_write(&console, 1, "last words");
    console_guest_close(&console, 1);
    /* The loop finds both bells, and asks the control queue first. */
    assert_int_equal(atomic_load(&console.guest->bells), 1 << 3 | 1 << 5);
    guest_driver_turn(console.guest);
    console_guest_expect_output(&console, 1, "last words");
    console_guest_expect_heard(&console, "+1-1");
}

static void test_console_close_waits_for_chains_beyond_the_allowance_of_a_batch(void **state)
{
    (void)state;
    console_guest_open(&console, 1);
    console.guest->hold_doorbells = true;
    console_guest_write(&console, 1, "a");
    console_guest_write(&console, 1, "b");
    console_guest_close(&console, 1);
    pthread_mutex_lock(&console.device->lock);
    console.device->pops_left = 2;
    virtio_device_notify(console.device, 3);
    console.device->client.batch_end(&console.device->client);
    pthread_mutex_unlock(&console.device->lock);
    console_guest_expect_output(&console, 1, "a");
    console_guest_expect_heard(&console, "+1");
    guest_driver_turn(console.guest);
    console_guest_expect_output(&console, 1, "ab");
    console_guest_expect_heard(&console, "-1");
}

static void test_console_port_opened_again_before_its_close_was_told_was_not_closed(void **state)
{
    (void)state;
    console_guest_open(&console, 0);
    console_guest_post(&console, 0, 1, 16);
    console.chars[0].room = 0;
    console_guest_write(&console, 0, "slow");
    console_guest_close(&console, 0);
    console_host_type(&console, 0, "in");
    console_guest_expect_nothing_received(&console, 0);
    console_guest_open(&console, 0);
    console_host_deliver(&console, 0);
    console_guest_expect_received(&console, 0, "in");
    console_host_make_room(&console, 0, 100);
    console_guest_expect_output(&console, 0, "slow");
    console_guest_expect_heard(&console, "+0");
}

static void test_console_lost_output_is_taken_and_dropped(void **state)
{
    uint16_t head;

    (void)state;
    console_guest_open(&console, 1);
    console.chars[1].room = 2;
    head = console_guest_write(&console, 1, "held");
    console_guest_expect_nothing_taken(&console, 1);
    console_host_lose_output(&console, 1);
    console_guest_expect_message(&console, 1, VIRTIO_CONSOLE_PORT_OPEN, 0, NULL);
    console_guest_expect_taken(&console, 1, head);
    console_guest_expect_taken(&console, 1, console_guest_write(&console, 1, "more"));
    console_guest_expect_output(&console, 1, "he");
    assert_int_equal(console.chars[1].lost_count, 0);
    console_guest_close(&console, 1);
    console_guest_expect_heard(&console, "+1-1");
}

static void test_console_lost_output_lets_a_close_be_told(void **state)
{
    (void)state;
    console_guest_open(&console, 1);
    console.chars[1].room = 0;
    console_guest_write(&console, 1, "held");
    console_guest_write(&console, 1, "more");
    console_guest_close(&console, 1);
    console_guest_expect_heard(&console, "+1");
    console_host_lose_output(&console, 1);
    console_guest_expect_heard(&console, "-1");
}

static void test_console_input_goes_on_when_output_is_lost(void **state)
{
    (void)state;
    console_guest_open(&console, 0);
    console_guest_post(&console, 0, 1, 16);
    console_host_lose_output(&console, 0);
    console_host_type(&console, 0, "still");
    console_guest_expect_received(&console, 0, "still");
}

/* --- interrupts --- */

static void test_console_many_buffers_of_a_batch_are_one_interrupt(void **state)
{
    (void)state;
    console_guest_open(&console, 0);
    console_guest_post(&console, 0, 8, 4);
    for (unsigned i = 0; i < console.device->queue_count; i++)
        guest_queue_set_used_event(&console.guest->queues[i],
                                   guest_queue_used_idx(&console.guest->queues[i]));
    guest_take_interrupts(console.guest);
    guest_driver_enter(console.guest);
    fake_char_type(&console.chars[0], "0123456789abcdef");
    fake_char_end_input(&console.chars[0]);
    guest_driver_leave(console.guest);
    assert_int_equal(guest_take_interrupts(console.guest), 1);
    console_guest_expect_message(&console, 0, VIRTIO_CONSOLE_PORT_OPEN, 0, NULL);
}

/* --- without MULTIPORT (5.3.2) --- */

static void start_without_multiport(void)
{
    guest_driver_start(console.guest,
                       guest_offered_features(console.guest) & ~(UINT64_C(1) << VIRTIO_CONSOLE_F_MULTIPORT),
                       0);
}

static void test_console_without_multiport_port_0_is_open_from_driver_ok_to_reset(void **state)
{
    (void)state;
    start_without_multiport();
    console_guest_expect_heard(&console, "+0");
    console_guest_post(&console, 0, 1, 16);
    console_host_type(&console, 0, "in");
    console_guest_expect_received(&console, 0, "in");
    console_guest_expect_taken(&console, 0, console_guest_write(&console, 0, "out"));
    console_guest_expect_output(&console, 0, "out");
    guest_reset(console.guest);
    console_guest_expect_heard(&console, "-0");
}

static void test_console_without_multiport_no_other_queue_is_served(void **state)
{
    struct guest_segment segment = { guest_alloc(console.guest, 16, 16), 16, false };

    (void)state;
    start_without_multiport();
    console_guest_post_control(&console, 2, 128);
    for (unsigned i = 2; i < console.device->queue_count; i++) {
        guest_queue_add(&console.guest->queues[i], &segment, 1);
        guest_queue_kick(&console.guest->queues[i]);
    }
    console_host_end_input(&console, 0);
    console_host_type(&console, 1, "unheard");
    console_host_lose_output(&console, 2);
    for (unsigned i = 2; i < console.device->queue_count; i++)
        assert_int_equal(guest_queue_used_idx(&console.guest->queues[i]), 0);
    console_guest_expect_heard(&console, "+0");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_console_input_fills_buffers_and_says_how_much),
        TEST(test_console_input_waits_until_the_driver_has_opened_the_port),
        TEST(test_console_input_waits_for_buffers),
        TEST(test_console_input_wants_a_kick_after_the_last_buffer),
        TEST(test_console_input_stops_when_the_driver_closes_the_port),
        TEST(test_console_buffer_may_be_cut_anywhere_even_across_a_border_of_ram),
        TEST(test_console_end_of_input_comes_behind_the_last_byte),
        TEST(test_console_output_goes_on_when_input_has_ended),
        TEST(test_console_output_of_each_port_goes_to_its_backend),
        TEST(test_console_output_may_be_cut_anywhere),
        TEST(test_console_output_of_a_whole_pipe_in_one_chain_is_taken),
        TEST(test_console_output_waits_while_the_backend_is_full),
        TEST(test_console_full_backend_holds_up_no_other_port),
        TEST(test_console_output_to_a_port_not_open_is_taken_and_dropped),
        TEST(test_console_output_counts_though_its_bell_comes_before_that_of_the_opening),
        TEST(test_console_close_is_told_when_all_that_was_written_is_taken),
        TEST(test_console_close_whose_bell_comes_first_is_told_behind_the_bytes),
        TEST(test_console_close_waits_for_chains_beyond_the_allowance_of_a_batch),
        TEST(test_console_port_opened_again_before_its_close_was_told_was_not_closed),
        TEST(test_console_lost_output_is_taken_and_dropped),
        TEST(test_console_lost_output_lets_a_close_be_told),
        TEST(test_console_input_goes_on_when_output_is_lost),
        TEST(test_console_many_buffers_of_a_batch_are_one_interrupt),
        TEST(test_console_without_multiport_port_0_is_open_from_driver_ok_to_reset),
        TEST(test_console_without_multiport_no_other_queue_is_served),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
