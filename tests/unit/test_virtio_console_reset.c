/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_virtio_console_reset.c - the console device taken away from under its ports: resets, queues taken away and
 * the machine's end, with bytes on their way. Meant to be run under ThreadSanitizer as well.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <pthread.h>
#include <sched.h>
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
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    console_guest_destroy(&console);
    return 0;
}

/* Port 1 is open and told so; its backend has taken "he" of "held", and "more" waits in the ring. */
static void hold_a_chain(void)
{
    console_guest_open(&console, 1);
    console.chars[1].room = 2;
    console_guest_write(&console, 1, "held");
    console_guest_write(&console, 1, "more");
    console_guest_expect_output(&console, 1, "he");
    console_guest_expect_heard(&console, "+1");
}

static void take_queue_away(struct guest_queue *queue)
{
    guest_register_write(console.guest, VIRTIO_MMIO_QUEUE_SEL, queue->index);
    guest_register_write(console.guest, VIRTIO_MMIO_QUEUE_READY, 0);
    assert_int_equal(guest_register_read(console.guest, VIRTIO_MMIO_QUEUE_READY), 0);
}

static void bring_back(struct guest_queue *queue)
{
    guest_queue_place(console.guest, queue->index, queue->size);
    assert_true(guest_queue_enable(queue));
}

static void test_console_reset_closes_ports_which_work_again_afterwards(void **state)
{
    (void)state;
    console_guest_open(&console, 0);
    console_guest_open(&console, 2);
    console_guest_expect_heard(&console, "+0+2");
    guest_reset(console.guest);
    console_guest_expect_heard(&console, "-0-2");
    guest_reset(console.guest);
    console_guest_expect_heard(&console, "");
    for (unsigned i = 0; i < PORTS; i++) {
        console_guest_expect_service(&console, i);
        guest_reset(console.guest);
    }
    console_guest_expect_heard(&console, "+0-0+1-1+2-2");
}

static void test_console_ends_of_streams_outlast_a_reset(void **state)
{
    (void)state;
    console_host_end_input(&console, 0);
    console_host_lose_output(&console, 1);
    console_guest_bring_up(&console); /* expects 0 and 1 closed, 2 open */
    console_guest_open(&console, 1);
    console_guest_expect_taken(&console, 1, console_guest_write(&console, 1, "nobody"));
    console_guest_expect_output(&console, 1, "");
    assert_int_equal(console.chars[1].lost_count, 0);
}

static void test_console_reset_does_not_wait_for_a_full_backend(void **state)
{
    (void)state;
    hold_a_chain();
    console_guest_close(&console, 1); /* that cannot be told yet */
    guest_reset(console.guest);
    assert_int_equal(guest_status(console.guest), 0);
    console_guest_expect_heard(&console, "-1");
    console_host_make_room(&console, 1, 100);
    console_guest_expect_output(&console, 1, "he");
    console_guest_expect_service(&console, 1);
}

static void test_console_reset_forgets_messages_that_waited(void **state)
{
    (void)state;
    console_guest_start(&console);
    console_guest_say(&console, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    console_guest_say(&console, 0, VIRTIO_CONSOLE_PORT_READY, 1);
    console_guest_start(&console);
    console_guest_post_control(&console, 8, 128);
    console_host_end_input(&console, 0);
    console_guest_expect_no_message(&console);
}

static void test_console_input_that_was_refused_comes_after_the_reset(void **state)
{
    (void)state;
    console_guest_open(&console, 0);
    console_host_type(&console, 0, "patience");
    console_guest_bring_up(&console);
    console_guest_post(&console, 0, 1, 16);
    assert_int_equal(console.chars[0].receive_ready_calls, 0);
    console_guest_open(&console, 0);
    assert_int_equal(console.chars[0].receive_ready_calls, 1);
    console_host_deliver(&console, 0);
    console_guest_expect_received(&console, 0, "patience");
}

static void test_console_input_between_reset_and_driver_ok_is_refused(void **state)
{
    (void)state;
    guest_reset(console.guest);
    console_host_type(&console, 0, "early");
    console_host_end_input(&console, 1);
    assert_false(console.chars[0].may_offer);
    console_guest_bring_up(&console);
}

static void test_console_chain_that_is_held_survives_another_queue_being_taken_away(void **state)
{
    (void)state;
    hold_a_chain();
    take_queue_away(console_guest_receiveq(&console, 1));
    console_guest_expect_output(&console, 1, "he");
    console_host_make_room(&console, 1, 100);
    console_guest_expect_output(&console, 1, "heldmore");
    console_guest_close(&console, 1);
    console_guest_expect_heard(&console, "-1");
}

static void test_console_transmit_queue_taken_away_leaves_nothing_behind(void **state)
{
    (void)state;
    hold_a_chain();
    take_queue_away(console_guest_transmitq(&console, 1));
    console_host_make_room(&console, 1, 100);
    console_guest_expect_output(&console, 1, "he");
    console_guest_expect_heard(&console, "");
    bring_back(console_guest_transmitq(&console, 1));
    console_guest_expect_taken(&console, 1, console_guest_write(&console, 1, "llo"));
    console_guest_expect_output(&console, 1, "hello");
    console_guest_close(&console, 1);
    console_guest_expect_heard(&console, "-1");
}

static void test_console_close_is_told_when_what_it_waits_for_is_taken_away(void **state)
{
    (void)state;
    hold_a_chain();
    console_guest_close(&console, 1);
    take_queue_away(console_guest_transmitq(&console, 1));
    console_guest_expect_heard(&console, "-1");
}

static void test_console_receive_queue_that_comes_back_is_used_again(void **state)
{
    (void)state;
    console_guest_open(&console, 2);
    console_guest_post(&console, 2, 2, 16);
    take_queue_away(console_guest_receiveq(&console, 2));
    console_host_type(&console, 2, "wait");
    bring_back(console_guest_receiveq(&console, 2));
    console_guest_post(&console, 2, 1, 16);
    console_host_deliver(&console, 2);
    console_guest_expect_received(&console, 2, "wait");
}

static void test_console_control_queues_may_be_taken_away(void **state)
{
    (void)state;
    console_guest_open(&console, 1);
    take_queue_away(&console.guest->queues[2]);
    take_queue_away(&console.guest->queues[3]);
    console_guest_expect_taken(&console, 1, console_guest_write(&console, 1, "still"));
    console_guest_expect_output(&console, 1, "still");
    console_host_end_input(&console, 0);
    bring_back(&console.guest->queues[2]);
    console_guest_post_control(&console, 1, 128);
    console_guest_expect_message(&console, 0, VIRTIO_CONSOLE_PORT_OPEN, 0, NULL);
}

static void test_console_stopped_machine_has_what_is_held_written_and_nothing_more(void **state)
{
    (void)state;
    hold_a_chain();
    console_guest_post(&console, 1, 1, 16);
    virtio_device_stop(console.device);
    assert_int_equal(console.device->in_flight, 0);
    console_host_make_room(&console, 1, 1);
    console_guest_expect_output(&console, 1, "hel");
    console_host_make_room(&console, 1, 100);
    console_guest_expect_output(&console, 1, "held");
    assert_int_equal(console.device->in_flight, 0);
    console_host_type(&console, 1, "unheard");
    console_host_end_input(&console, 0);
    console_host_lose_output(&console, 1);
    console_guest_expect_nothing_received(&console, 1);
    console_guest_expect_no_message(&console);
}

/* --- the loop on a thread of its own, and a driver that resets all the time --- */

static void *loop_thread(void *argument)
{
    atomic_bool *over = argument;

    for (unsigned i = 0; !atomic_load(over); i++) {
        struct fake_char *host = &console.chars[i % PORTS];

        guest_driver_turn(console.guest);
        guest_driver_enter(console.guest);
        host->output_count = 0;
        if (host->input_start == host->input_end)
            host->input_start = host->input_end = 0;
        if (i % 2)
            fake_char_type(host, "some bytes");
        else
            fake_char_deliver(host);
        host->room = i % 5;
        fake_char_make_room(host, i % 3);
        guest_driver_leave(console.guest);
        sched_yield();
    }
    return NULL;
}

/* RAM from `mark` on is nobody's again, and zero. The device has been reset: it knows none of it. */
static void release(uint64_t mark)
{
    static const uint8_t zeroes[4096];

    for (uint64_t at = mark; at < console.guest->next_free; at += sizeof(zeroes))
        guest_write(console.guest, at, zeroes, sizeof(zeroes));
    console.guest->next_free = mark;
}

static unsigned count_of(const char *text, char wanted)
{
    unsigned count = 0;

    while (*text)
        count += *text++ == wanted;
    return count;
}

static void test_console_many_resets_beside_a_busy_loop_end_well(void **state)
{
    atomic_bool over = false;
    uint64_t mark;
    pthread_t loop;

    (void)state;
    guest_reset(console.guest);
    mark = console.guest->next_free;
    console.guest->hold_doorbells = true;
    assert_int_equal(pthread_create(&loop, NULL, loop_thread, &over), 0);
    for (unsigned round = 0; round < 200; round++) {
        console_guest_start(&console);
        console_guest_post_control(&console, 8, 128);
        console_guest_say(&console, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
        for (unsigned i = 0; i < PORTS; i++) {
            console_guest_say(&console, i, VIRTIO_CONSOLE_PORT_READY, 1);
            console_guest_open(&console, i);
            console_guest_post(&console, i, 4, 8);
            for (unsigned n = 0; n < 4; n++)
                console_guest_write(&console, i, "a few bytes");
            if (round % 2)
                console_guest_close(&console, i);
        }
        while (round % 4 == 0 && !guest_queue_used_idx(console_guest_transmitq(&console, 1)))
            sched_yield();
        if (round % 5 == 0) {
            guest_register_write(console.guest, VIRTIO_MMIO_QUEUE_SEL, round % 8);
            guest_register_write(console.guest, VIRTIO_MMIO_QUEUE_READY, 0);
        }
        guest_reset(console.guest);
        pthread_mutex_lock(&console.device->lock);
        assert_int_equal(count_of(console.heard, '+'), count_of(console.heard, '-'));
        console.heard[0] = '\0';
        pthread_mutex_unlock(&console.device->lock);
        release(mark);
    }
    atomic_store(&over, true);
    assert_int_equal(pthread_join(loop, NULL), 0);
    assert_int_equal(console.device->in_flight, 0);
    console.guest->hold_doorbells = false;
    atomic_store(&console.guest->bells, 0);
    console_guest_expect_service(&console, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_console_reset_closes_ports_which_work_again_afterwards),
        TEST(test_console_ends_of_streams_outlast_a_reset),
        TEST(test_console_reset_does_not_wait_for_a_full_backend),
        TEST(test_console_reset_forgets_messages_that_waited),
        TEST(test_console_input_that_was_refused_comes_after_the_reset),
        TEST(test_console_input_between_reset_and_driver_ok_is_refused),
        TEST(test_console_chain_that_is_held_survives_another_queue_being_taken_away),
        TEST(test_console_transmit_queue_taken_away_leaves_nothing_behind),
        TEST(test_console_close_is_told_when_what_it_waits_for_is_taken_away),
        TEST(test_console_receive_queue_that_comes_back_is_used_again),
        TEST(test_console_control_queues_may_be_taken_away),
        TEST(test_console_stopped_machine_has_what_is_held_written_and_nothing_more),
        TEST(test_console_many_resets_beside_a_busy_loop_end_well),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
