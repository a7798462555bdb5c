/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_machine.c - the plan of the machine: who sits where, on which line, and how many fit.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "machine.h"
#include "options.h"
#include "ringlet/error.h"
#include "ringlet/util.h"

static struct machine_plan plan_of(unsigned devices)
{
    struct run_options options = { .device_count = devices };
    struct machine_plan plan;
    struct error err = { 0 };

    assert_int_equal(machine_plan_make(&options, &plan, &err), 0);
    assert_string_equal(err.text, "");
    return plan;
}

static void test_a_machine_without_devices_has_a_serial_port(void **state)
{
    struct machine_plan plan = plan_of(0);

    (void)state;
    assert_int_equal(plan.virtio_count, 0);
    assert_int_equal(plan.device_count, 1);
    assert_int_equal(plan.devices[0].kind, DEVICE_SERIAL);
    /* COM1, as every kernel expects it */
    assert_int_equal(plan.serial.base, 0x3f8);
    assert_int_equal(plan.serial.size, 8);
    assert_int_equal(plan.serial.gsi, 4);
}

static void test_devices_come_in_the_order_of_the_options_and_the_serial_port_last(void **state)
{
    struct machine_plan plan = plan_of(3);

    (void)state;
    assert_int_equal(plan.virtio_count, 3);
    assert_int_equal(plan.device_count, 4);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(plan.devices[i].kind, DEVICE_VIRTIO_MMIO);
        assert_int_equal(plan.devices[i].size, 0x1000);
        assert_true(plan.devices[i].base == 0xd0000000 + i * 0x1000);
    }
    assert_memory_equal(&plan.devices[3], &plan.serial, sizeof(plan.serial));
}

static void test_as_many_devices_as_there_are_lines_fit(void **state)
{
    struct machine_plan plan = plan_of(MACHINE_MAX_VIRTIO);

    (void)state;
    assert_int_equal(plan.virtio_count, MACHINE_MAX_VIRTIO);
    assert_int_equal(plan.device_count, MACHINE_MAX_DEVICES);
}

static void test_one_device_more_is_refused_with_the_number_that_fits(void **state)
{
    struct run_options options = { .device_count = MACHINE_MAX_VIRTIO + 1 };
    struct machine_plan plan = { .device_count = 99 };
    struct error err = { 0 };

    (void)state;
    assert_int_equal(machine_plan_make(&options, &plan, &err), -ENOSPC);
    assert_non_null(strstr(err.text, "17 devices"));
    assert_non_null(strstr(err.text, "16"));
    assert_int_equal(plan.device_count, 99);
}

static void test_no_two_devices_share_a_line_or_an_address(void **state)
{
    struct machine_plan plan = plan_of(MACHINE_MAX_VIRTIO);

    (void)state;
    for (unsigned i = 0; i < plan.device_count; i++) {
        for (unsigned j = i + 1; j < plan.device_count; j++) {
            const struct device_info *a = &plan.devices[i], *b = &plan.devices[j];

            assert_int_not_equal(a->gsi, b->gsi);
            assert_false(a->kind == b->kind && a->base < b->base + b->size && b->base < a->base + a->size);
        }
    }
}

static void test_no_device_sits_on_a_line_that_a_pc_has_given_away(void **state)
{
    /* timer, keyboard, cascade, COM2, COM1, RTC, mouse, FPU */
    static const uint32_t taken[] = { 0, 1, 2, 3, 4, 8, 12, 13 };
    struct machine_plan plan = plan_of(MACHINE_MAX_VIRTIO);

    (void)state;
    for (unsigned i = 0; i < plan.virtio_count; i++) {
        assert_in_range(plan.devices[i].gsi, 0, 23); /* pins of one IOAPIC */
        for (size_t j = 0; j < ARRAY_SIZE(taken); j++)
            assert_int_not_equal(plan.devices[i].gsi, taken[j]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_machine_without_devices_has_a_serial_port),
        cmocka_unit_test(test_devices_come_in_the_order_of_the_options_and_the_serial_port_last),
        cmocka_unit_test(test_as_many_devices_as_there_are_lines_fit),
        cmocka_unit_test(test_one_device_more_is_refused_with_the_number_that_fits),
        cmocka_unit_test(test_no_two_devices_share_a_line_or_an_address),
        cmocka_unit_test(test_no_device_sits_on_a_line_that_a_pc_has_given_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
