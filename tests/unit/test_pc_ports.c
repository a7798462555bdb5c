/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_pc_ports.c - the ports that end a machine do so at exactly the values that ask for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ringlet/bus.h"
#include "ringlet/pc_ports.h"
#include "ringlet/stop.h"
#include "ringlet/util.h"

struct recorder {
    struct stop_sink sink;
    unsigned requests;
    enum stop_reason reason;
    int value;
};

static void record(struct stop_sink *sink, enum stop_reason reason, int value)
{
    struct recorder *recorder = container_of(sink, struct recorder, sink);

    recorder->requests++;
    recorder->reason = reason;
    recorder->value = value;
}

static const struct stop_sink_ops record_ops = { .request = record };

static struct recorder make_recorder(void)
{
    return (struct recorder){ .sink.ops = &record_ops };
}

static void out(const struct bus_region *region, uint64_t offset, uint64_t value, unsigned size)
{
    region->ops->write(region->opaque, offset, value, size);
}

static void test_i8042_resets_at_command_fe_alone(void **state)
{
    struct recorder recorder = make_recorder();
    struct bus_region region = i8042_region(&recorder.sink, 0x64);

    (void)state;
    assert_int_equal(region.base, 0x64);
    assert_int_equal(region.size, 1);
    for (unsigned command = 0; command < 0xfe; command++)
        out(&region, 0, command, 1);
    out(&region, 0, 0xff, 1);
    assert_int_equal(recorder.requests, 0);
    out(&region, 0, 0xfe, 1);
    assert_int_equal(recorder.requests, 1);
    assert_int_equal(recorder.reason, STOP_RESET);
}

/* Linux waits for bit 1 to clear before it pulls the line. */
static void test_i8042_is_always_ready_for_a_command(void **state)
{
    struct recorder recorder = make_recorder();
    struct bus_region region = i8042_region(&recorder.sink, 0x64);

    (void)state;
    assert_int_equal(region.ops->read(region.opaque, 0, 1), 0);
}

static void test_acpi_sleep_control_powers_off_for_s5_with_enable(void **state)
{
    struct recorder recorder = make_recorder();
    struct bus_region region = acpi_pm_region(&recorder.sink, 0x600);

    (void)state;
    assert_int_equal(region.size, ACPI_PM_PORT_COUNT);
    for (unsigned value = 0; value < 0x100; value++) {
        unsigned before = recorder.requests;

        out(&region, 0, value, 1);
        assert_int_equal(recorder.requests - before,
                         (value & 0x20) && ((value >> 2) & 7) == ACPI_SLEEP_TYPE_S5);
    }
    assert_int_equal(recorder.reason, STOP_POWEROFF);
}

static void test_acpi_reset_register_takes_one_value(void **state)
{
    struct recorder recorder = make_recorder();
    struct bus_region region = acpi_pm_region(&recorder.sink, 0x600);

    (void)state;
    for (unsigned value = 0; value < 0x100; value++) {
        if (value != ACPI_RESET_VALUE)
            out(&region, 2, value, 1);
    }
    assert_int_equal(recorder.requests, 0);
    out(&region, 2, ACPI_RESET_VALUE, 1);
    assert_int_equal(recorder.requests, 1);
    assert_int_equal(recorder.reason, STOP_RESET);
}

static void test_acpi_sleep_status_never_says_woken_and_ignores_writes(void **state)
{
    struct recorder recorder = make_recorder();
    struct bus_region region = acpi_pm_region(&recorder.sink, 0x600);

    (void)state;
    for (unsigned value = 0; value < 0x100; value++)
        out(&region, 1, value, 1);
    assert_int_equal(recorder.requests, 0);
    for (unsigned offset = 0; offset < ACPI_PM_PORT_COUNT; offset++)
        assert_int_equal(region.ops->read(region.opaque, offset, 1), 0);
}

static void test_acpi_wide_write_reaches_each_register(void **state)
{
    struct recorder recorder = make_recorder();
    struct bus_region region = acpi_pm_region(&recorder.sink, 0x600);

    (void)state;
    out(&region, 1, ACPI_RESET_VALUE << 8, 2);
    assert_int_equal(recorder.requests, 1);
    assert_int_equal(recorder.reason, STOP_RESET);
}

static void test_debug_exit_passes_the_low_byte(void **state)
{
    struct recorder recorder = make_recorder();
    struct bus_region region = debug_exit_region(&recorder.sink, 0xf4);

    (void)state;
    out(&region, 0, 0, 1);
    assert_int_equal(recorder.requests, 1);
    assert_int_equal(recorder.reason, STOP_DEBUG_EXIT);
    assert_int_equal(recorder.value, 0);
    out(&region, 0, 0xff, 1);
    assert_int_equal(recorder.value, 255);
    assert_int_equal(region.ops->read(region.opaque, 0, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_i8042_resets_at_command_fe_alone),
        cmocka_unit_test(test_i8042_is_always_ready_for_a_command),
        cmocka_unit_test(test_acpi_sleep_control_powers_off_for_s5_with_enable),
        cmocka_unit_test(test_acpi_reset_register_takes_one_value),
        cmocka_unit_test(test_acpi_sleep_status_never_says_woken_and_ignores_writes),
        cmocka_unit_test(test_acpi_wide_write_reaches_each_register),
        cmocka_unit_test(test_debug_exit_passes_the_low_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
