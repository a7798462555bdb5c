/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_virtio_console.c - the console device (virtio 1.2, 5.3): what it offers, and the messages by which ports
 * are made known, opened and closed.
 */
#include <errno.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
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
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    console_guest_destroy(&console);
    return 0;
}

/* --- what it is --- */

static void test_console_offers_multiport_and_says_how_many_ports(void **state)
{
    struct virtio_console_config config;

    (void)state;
    assert_int_equal(guest_register_read(console.guest, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_CONSOLE);
    assert_int_equal(VIRTIO_ID_CONSOLE, 3);
    assert_int_equal(guest_offered_features(console.guest) & 0xffffff, 1 << VIRTIO_CONSOLE_F_MULTIPORT);
    assert_int_equal(console.device->queue_count, 2 * (PORTS + 1));
    guest_config_read(console.guest, 0, &config, sizeof(config));
    assert_int_equal(config.cols, 0);
    assert_int_equal(config.rows, 0);
    assert_int_equal(config.max_nr_ports, PORTS);
}

static void test_console_configuration_is_not_the_drivers_to_write(void **state)
{
    struct virtio_console_config config;

    (void)state;
    console_guest_start(&console);
    for (uint32_t offset = 0; offset < sizeof(config); offset += 4)
        guest_config_write(console.guest, offset, 0x55555555, 4);
    guest_config_read(console.guest, 0, &config, sizeof(config));
    assert_int_equal(config.cols, 0);
    assert_int_equal(config.max_nr_ports, PORTS);
    assert_int_equal(config.emerg_wr, 0);
}

static void test_console_emergency_write_to_a_device_not_set_up_does_nothing(void **state)
{
    (void)state;
    guest_config_write(console.guest, offsetof(struct virtio_console_config, emerg_wr), 'x', 4);
    assert_false(console_guest_needs_reset(&console));
    for (unsigned i = 0; i < PORTS; i++)
        console_guest_expect_output(&console, i, "");
}

static void test_console_options_out_of_range_are_refused(void **state)
{
    static const char name_of_65[] = "a name of as many bytes as there may not be, which is one more...";
    struct fake_char host;
    struct virtio_console_port ports[VIRTIO_CONSOLE_MAX_PORTS + 1];
    struct virtio_console_options options = { .name = "console0", .ports = ports };
    struct virtio_device *device = NULL;

    (void)state;
    fake_char_init(&host);
    for (unsigned i = 0; i < ARRAY_SIZE(ports); i++)
        ports[i] = (struct virtio_console_port){ "port", &host.backend };
    assert_int_equal(virtio_console_create(&options, console.guest->memory, &device), -EINVAL);
    options.port_count = VIRTIO_CONSOLE_MAX_PORTS + 1;
    assert_int_equal(virtio_console_create(&options, console.guest->memory, &device), -EINVAL);
    options.port_count = 2;
    ports[1].name = name_of_65;
    assert_int_equal(strlen(name_of_65), 65);
    assert_int_equal(virtio_console_create(&options, console.guest->memory, &device), -EINVAL);
    ports[1] = (struct virtio_console_port){ .name = "port" };
    assert_int_equal(virtio_console_create(&options, console.guest->memory, &device), -EINVAL);
    assert_null(device);
    assert_null(host.frontend);
}

static void test_console_takes_from_one_to_eight_ports(void **state)
{
    (void)state;
    for (unsigned count = 1; count <= VIRTIO_CONSOLE_MAX_PORTS; count += VIRTIO_CONSOLE_MAX_PORTS - 1) {
        struct console_guest other;

        console_guest_create(&other, count);
        console_guest_expect_service(&other, count - 1);
        console_guest_destroy(&other);
    }
}

/* --- making ports known --- */

static void test_console_ports_are_added_opened_and_named_in_this_order(void **state)
{
    (void)state;
    console_guest_bring_up(&console); /* asserts it */
    console_guest_expect_heard(&console, "");
}

static void test_console_says_nothing_before_the_driver_is_ready(void **state)
{
    (void)state;
    console_guest_start(&console);
    console_guest_post_control(&console, 8, 128);
    console_guest_expect_no_message(&console);
    console_host_end_input(&console, 0);
    console_host_lose_output(&console, 1);
    console_guest_expect_no_message(&console);
    console_guest_say(&console, VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 0);
    console_guest_expect_no_message(&console);
}

static void test_console_says_only_that_it_exists_of_a_port_that_is_not_ready(void **state)
{
    (void)state;
    console_guest_start(&console);
    console_guest_post_control(&console, 20, 128);
    console_guest_say(&console, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    for (unsigned i = 0; i < PORTS; i++)
        console_guest_expect_message(&console, i, VIRTIO_CONSOLE_PORT_ADD, 1, NULL);
    console_host_end_input(&console, 1);
    console_guest_say(&console, 1, VIRTIO_CONSOLE_PORT_READY, 0);
    console_guest_expect_no_message(&console);
    console_guest_say(&console, 1, VIRTIO_CONSOLE_PORT_READY, 1);
    console_guest_expect_message(&console, 1, VIRTIO_CONSOLE_PORT_OPEN, 0, NULL);
    console_guest_expect_message(&console, 1, VIRTIO_CONSOLE_PORT_NAME, 1, console_guest_port_name(1));
    console_guest_expect_no_message(&console);
}

static void test_console_adds_no_port_twice(void **state)
{
    (void)state;
    console_guest_bring_up(&console);
    console_guest_say(&console, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    console_guest_say(&console, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    console_guest_expect_no_message(&console);
}

static void test_console_driver_that_comes_back_from_sleep_need_not_be_told_of_its_ports(void **state)
{
    (void)state;
    console_guest_start(&console);
    console_guest_post_control(&console, 8, 128);
    console_guest_say(&console, 2, VIRTIO_CONSOLE_PORT_READY, 1);
    console_guest_expect_message(&console, 2, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
    console_guest_expect_message(&console, 2, VIRTIO_CONSOLE_PORT_NAME, 1, console_guest_port_name(2));
    console_guest_say(&console, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    console_guest_expect_message(&console, 0, VIRTIO_CONSOLE_PORT_ADD, 1, NULL);
    console_guest_expect_message(&console, 1, VIRTIO_CONSOLE_PORT_ADD, 1, NULL);
    console_guest_expect_no_message(&console);
}

static void test_console_messages_wait_for_buffers(void **state)
{
    (void)state;
    console_guest_start(&console);
    console_guest_say(&console, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    for (unsigned i = 0; i < PORTS; i++) {
        console_guest_expect_no_message(&console);
        console_guest_post_control(&console, 1, 8);
        console_guest_expect_message(&console, i, VIRTIO_CONSOLE_PORT_ADD, 1, NULL);
    }
    console_guest_post_control(&console, 1, 128);
    console_guest_expect_no_message(&console);
    console_guest_say(&console, 0, VIRTIO_CONSOLE_PORT_READY, 1);
    console_guest_expect_message(&console, 0, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
    console_guest_post_control(&console, 2, 128);
    console_guest_expect_message(&console, 0, VIRTIO_CONSOLE_PORT_NAME, 1, console_guest_port_name(0));
    console_guest_expect_no_message(&console);
}

static void test_console_message_says_how_it_is_when_it_finds_a_buffer(void **state)
{
    (void)state;
    console_guest_start(&console);
    for (unsigned i = 0; i < 100; i++)
        console_guest_say(&console, 0, VIRTIO_CONSOLE_PORT_READY, 1);
    console_host_lose_output(&console, 0);
    console_guest_post_control(&console, 8, 128);
    console_guest_expect_message(&console, 0, VIRTIO_CONSOLE_PORT_OPEN, 0, NULL);
    console_guest_expect_message(&console, 0, VIRTIO_CONSOLE_PORT_NAME, 1, console_guest_port_name(0));
    console_guest_expect_no_message(&console);
}

static void test_console_end_of_input_and_of_output_close_the_port_once_each(void **state)
{
    (void)state;
    console_guest_bring_up(&console);
    console_host_end_input(&console, 1);
    console_guest_expect_message(&console, 1, VIRTIO_CONSOLE_PORT_OPEN, 0, NULL);
    console_host_lose_output(&console, 2);
    console_guest_expect_message(&console, 2, VIRTIO_CONSOLE_PORT_OPEN, 0, NULL);
    console_guest_expect_no_message(&console);
}

static void test_console_listener_is_told_when_the_driver_opens_and_closes(void **state)
{
    (void)state;
    console_guest_bring_up(&console);
    console_guest_open(&console, 1);
    console_guest_open(&console, 1);
    console_guest_open(&console, 0);
    console_guest_expect_heard(&console, "+1+0");
    console_guest_close(&console, 1);
    console_guest_close(&console, 1);
    console_guest_close(&console, 2);
    console_guest_expect_heard(&console, "-1");
    console_guest_open(&console, 1);
    console_guest_expect_heard(&console, "+1");
}

static void test_console_without_a_listener_does_as_well(void **state)
{
    struct fake_char host;
    const struct virtio_console_port port = { "port", &host.backend };
    const struct virtio_console_options options = { .name = "console0", .ports = &port, .port_count = 1 };
    struct guest_driver *guest = guest_driver_create();
    struct virtio_device *device;
    struct guest_segment segment = { guest_alloc(guest, 4, 4), 4, false };

    (void)state;
    fake_char_init(&host);
    assert_int_equal(virtio_console_create(&options, guest->memory, &device), 0);
    guest_driver_plug(guest, device);
    guest_driver_start(guest, guest_offered_features(guest) & ~(UINT64_C(1) << VIRTIO_CONSOLE_F_MULTIPORT),
                       0);
    guest_write(guest, segment.address, "text", 4);
    guest_queue_add(&guest->queues[1], &segment, 1);
    guest_queue_kick(&guest->queues[1]);
    assert_string_equal(host.output, "text");
    guest_reset(guest);
    guest_driver_destroy(guest);
}

static void test_console_report_counts_bytes(void **state)
{
    char report[200];

    (void)state;
    console_guest_expect_service(&console, 0);
    console_guest_write(&console, 2, "nobody");
    assert_int_equal(virtio_device_report(console.device, report, sizeof(report)), VIRTIO_REPORT_DONE);
    assert_string_equal(report, "2 bytes to the guest; 3 bytes from it (6 more dropped)");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_console_offers_multiport_and_says_how_many_ports),
        TEST(test_console_configuration_is_not_the_drivers_to_write),
        TEST(test_console_emergency_write_to_a_device_not_set_up_does_nothing),
        TEST(test_console_options_out_of_range_are_refused),
        TEST(test_console_takes_from_one_to_eight_ports),
        TEST(test_console_ports_are_added_opened_and_named_in_this_order),
        TEST(test_console_says_nothing_before_the_driver_is_ready),
        TEST(test_console_says_only_that_it_exists_of_a_port_that_is_not_ready),
        TEST(test_console_adds_no_port_twice),
        TEST(test_console_driver_that_comes_back_from_sleep_need_not_be_told_of_its_ports),
        TEST(test_console_messages_wait_for_buffers),
        TEST(test_console_message_says_how_it_is_when_it_finds_a_buffer),
        TEST(test_console_end_of_input_and_of_output_close_the_port_once_each),
        TEST(test_console_listener_is_told_when_the_driver_opens_and_closes),
        TEST(test_console_without_a_listener_does_as_well),
        TEST(test_console_report_counts_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
