/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fdt.c - the machine without ACPI: the device tree as Linux's arch/x86/kernel/devicetree.c reads it,
 * its setup_data node, and the virtio_mmio.device= words.
 */
#include <asm/bootparam.h>
#include <errno.h>
#include <libfdt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/arch/x86/layout.h"
#include "ringlet/guest_memory.h"
#include "ringlet/util.h"
#include "ringlet/x86_boot.h"
#include "ringlet/x86_tables.h"
#include "scratch.h"

#define IOAPIC_EDGE_RISING 3 /* of_ioapic_type[3] */

static const struct device_info ordinary_devices[] = {
    { DEVICE_SERIAL, LAYOUT_PORT_SERIAL, 8, LAYOUT_GSI_SERIAL },
    { DEVICE_VIRTIO_MMIO, LAYOUT_VIRTIO_MMIO, 0x1000, 5 },
    { DEVICE_VIRTIO_MMIO, LAYOUT_VIRTIO_MMIO + 0x1000, 0x200000, 16 },
    { DEVICE_VIRTIO_MMIO, UINT64_C(0x4000000000), 0x201, 6 },
};

static const struct machine_info ordinary_machine = {
    .cpu_count = 3,
    .devices = ordinary_devices,
    .device_count = ARRAY_SIZE(ordinary_devices),
    .command_line = "console=ttyS0 panic=-1",
    .initrd_address = 0x3000000,
    .initrd_size = 0x1234,
};

static void *build(const struct machine_info *machine, size_t *ret_size)
{
    void *blob;

    assert_int_equal(x86_fdt_build(machine, &blob, ret_size), 0);
    assert_int_equal(fdt_check_full(blob, *ret_size), 0);
    return blob;
}

static int node_at(const void *blob, const char *path)
{
    int node = fdt_path_offset(blob, path);

    if (node < 0)
        fail_msg("no node %s", path);
    return node;
}

static void assert_string(const void *blob, const char *path, const char *name, const char *expected)
{
    const char *value = fdt_getprop(blob, node_at(blob, path), name, NULL);

    assert_non_null(value);
    assert_string_equal(value, expected);
}

static void assert_cells(const void *blob, const char *path, const char *name, const uint32_t *expected,
                         int count)
{
    int length;
    const fdt32_t *cells = fdt_getprop(blob, node_at(blob, path), name, &length);

    assert_non_null(cells);
    assert_int_equal(length, count * 4);
    for (int i = 0; i < count; i++)
        assert_int_equal(fdt32_to_cpu(cells[i]), expected[i]);
}

#define ASSERT_CELLS(blob, path, name, ...)                                                                  \
    assert_cells((blob), (path), (name), (const uint32_t[]){ __VA_ARGS__ },                                  \
                 sizeof((const uint32_t[]){ __VA_ARGS__ }) / 4)

static void test_cpus_are_known_by_their_apic_ids(void **state)
{
    size_t size;
    void *blob = build(&ordinary_machine, &size);

    (void)state;
    for (uint32_t id = 0; id < 3; id++) {
        char path[] = "/cpus/cpu@0";

        path[sizeof(path) - 2] = (char)('0' + id);
        assert_string(blob, path, "device_type", "cpu");
        ASSERT_CELLS(blob, path, "reg", id);
    }
    assert_true(fdt_path_offset(blob, "/cpus/cpu@3") < 0);
    free(blob);
}

static void test_apics_bear_the_names_that_linux_looks_for(void **state)
{
    size_t size;
    void *blob = build(&ordinary_machine, &size);
    uint32_t phandle;

    (void)state;
    assert_string(blob, "/soc/interrupt-controller@fec00000", "compatible", "intel,ce4100-ioapic");
    ASSERT_CELLS(blob, "/soc/interrupt-controller@fec00000", "#interrupt-cells", 2);
    ASSERT_CELLS(blob, "/soc/interrupt-controller@fec00000", "reg", 0, (uint32_t)LAYOUT_IOAPIC, 0, 0x1000);
    phandle = fdt_get_phandle(blob, node_at(blob, "/soc/interrupt-controller@fec00000"));
    assert_int_not_equal(phandle, 0);
    ASSERT_CELLS(blob, "/", "interrupt-parent", phandle);
    assert_string(blob, "/soc/lapic@fee00000", "compatible", "intel,ce4100-lapic");
    ASSERT_CELLS(blob, "/soc/lapic@fee00000", "reg", 0, (uint32_t)LAYOUT_LOCAL_APIC, 0, 0x1000);
    free(blob);
}

static void test_virtio_devices_sit_below_a_bus_that_linux_probes(void **state)
{
    size_t size;
    void *blob = build(&ordinary_machine, &size);

    (void)state;
    assert_string(blob, "/soc", "compatible", "simple-bus");
    assert_non_null(fdt_getprop(blob, node_at(blob, "/soc"), "ranges", NULL));
    assert_string(blob, "/soc/virtio@d0000000", "compatible", "virtio,mmio");
    ASSERT_CELLS(blob, "/soc/virtio@d0000000", "reg", 0, 0xd0000000, 0, 0x1000);
    ASSERT_CELLS(blob, "/soc/virtio@d0000000", "interrupts", 5, IOAPIC_EDGE_RISING);
    ASSERT_CELLS(blob, "/soc/virtio@d0001000", "interrupts", 16, IOAPIC_EDGE_RISING);
    ASSERT_CELLS(blob, "/soc/virtio@4000000000", "reg", 0x40, 0, 0, 0x201);
    free(blob);
}

static void test_serial_port_keeps_its_number_through_the_isa_bus(void **state)
{
    size_t size;
    void *blob = build(&ordinary_machine, &size);

    (void)state;
    assert_string(blob, "/isa@0", "compatible", "isa");
    ASSERT_CELLS(blob, "/isa@0", "ranges", 1, 0, 0, 0, 0x10000);
    assert_string(blob, "/isa@0/serial@3f8", "compatible", "ns16550a");
    ASSERT_CELLS(blob, "/isa@0/serial@3f8", "reg", 1, LAYOUT_PORT_SERIAL, 8);
    ASSERT_CELLS(blob, "/isa@0/serial@3f8", "interrupts", LAYOUT_GSI_SERIAL, IOAPIC_EDGE_RISING);
    free(blob);
}

static void test_chosen_has_the_command_line_and_the_initrd(void **state)
{
    size_t size;
    void *blob = build(&ordinary_machine, &size);

    (void)state;
    assert_string(blob, "/chosen", "bootargs", "console=ttyS0 panic=-1");
    ASSERT_CELLS(blob, "/chosen", "linux,initrd-start", 0, 0x3000000);
    ASSERT_CELLS(blob, "/chosen", "linux,initrd-end", 0, 0x3001234);
    free(blob);
}

static void test_chosen_is_silent_about_what_there_is_not(void **state)
{
    const struct machine_info machine = { .cpu_count = 1 };
    size_t size;
    void *blob = build(&machine, &size);

    (void)state;
    assert_int_equal(fdt_first_property_offset(blob, node_at(blob, "/chosen")), -FDT_ERR_NOTFOUND);
    free(blob);
}

static void test_a_tree_larger_than_a_page_is_built(void **state)
{
    struct device_info devices[200];
    const struct machine_info machine = { .cpu_count = 32,
                                          .devices = devices,
                                          .device_count = ARRAY_SIZE(devices) };
    size_t size;
    void *blob;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(devices); i++)
        devices[i] = (struct device_info){ DEVICE_VIRTIO_MMIO, LAYOUT_VIRTIO_MMIO + i * 0x1000, 0x1000, 5 };
    blob = build(&machine, &size);
    assert_true(size > 16384);
    node_at(blob, "/soc/virtio@d00c7000");
    free(blob);
}

static void test_a_tree_that_linux_could_not_map_fails(void **state)
{
    char *command_line = malloc(300 * KIB);
    struct machine_info machine = { .cpu_count = 1, .command_line = command_line };
    void *blob;
    size_t size;

    (void)state;
    assert_non_null(command_line);
    memset(command_line, 'x', 300 * KIB);
    command_line[300 * KIB - 1] = '\0';
    assert_int_equal(x86_fdt_build(&machine, &blob, &size), -ENOSPC);
    free(command_line);
}

static void test_node_is_setup_data_with_the_tree_behind(void **state)
{
    const uint64_t address = 1 * MIB + 4;
    struct guest_memory *memory;
    struct setup_data node;
    size_t size;
    void *blob = build(&ordinary_machine, &size);

    (void)state;
    assert_int_equal(guest_memory_create(&memory), 0);
    assert_int_equal(x86_add_ram(memory, X86_RAM_MIN), 0);
    assert_int_equal(x86_fdt_node_size(size), sizeof(node) + size);
    assert_int_equal(x86_fdt_write_node(memory, address, blob, size), 0);
    assert_int_equal(guest_memory_read(memory, address, &node, sizeof(node)), 0);
    assert_int_equal(node.next, 0);
    assert_int_equal(node.type, SETUP_DTB);
    assert_int_equal(node.len, size);
    assert_memory_equal(guest_memory_range(memory, address + sizeof(node), size), blob, size);

    assert_int_equal(x86_fdt_write_node(memory, X86_RAM_MIN, blob, size), -EFAULT);
    assert_int_equal(x86_fdt_write_node(memory, X86_RAM_MIN - 64, blob, size), -EFAULT);
    guest_memory_destroy(memory);
    free(blob);
}

static void test_words_create_each_virtio_device(void **state)
{
    const char expected[] = " virtio_mmio.device=4K@0xd0000000:5 virtio_mmio.device=2M@0xd0001000:16"
                            " virtio_mmio.device=513@0x4000000000:6";
    char words[256];

    (void)state;
    assert_int_equal(x86_virtio_mmio_words(&ordinary_machine, words, sizeof(words)), strlen(expected));
    assert_string_equal(words, expected);
}

static void test_words_of_no_devices_are_empty(void **state)
{
    const struct machine_info machine = { .cpu_count = 1, .devices = ordinary_devices, .device_count = 1 };
    char words[4] = "xyz";

    (void)state;
    assert_int_equal(x86_virtio_mmio_words(&machine, words, sizeof(words)), 0);
    assert_string_equal(words, "");
}

static void test_words_that_do_not_fit_fail(void **state)
{
    char words[256];
    int full = x86_virtio_mmio_words(&ordinary_machine, words, sizeof(words));

    (void)state;
    assert_true(full > 0);
    for (size_t size = 0; size <= (size_t)full; size++)
        assert_int_equal(x86_virtio_mmio_words(&ordinary_machine, words, size), -E2BIG);
    assert_int_equal(x86_virtio_mmio_words(&ordinary_machine, words, (size_t)full + 1), full);
}

/* A second opinion: dtc's checks, which print to stderr and do not fail. */
static void test_dtc_has_nothing_to_say(void **state)
{
    const struct scratch *scratch = *state;
    const char *const arguments[] = { "dtc", "-I", "dtb", "-O", "dts", "-o", "tree.dts", "tree.dtb", NULL };
    size_t size;
    char *output;
    void *blob;

    if (!tool_present("dtc")) {
        print_message("dtc (package device-tree-compiler) is not installed\n");
        skip();
    }
    blob = build(&ordinary_machine, &size);
    scratch_write(scratch, "tree.dtb", blob, size);
    assert_int_equal(tool_run(scratch, arguments, &output), 0);
    assert_string_equal(output, "");
    free(output);
    free(blob);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cpus_are_known_by_their_apic_ids),
        cmocka_unit_test(test_apics_bear_the_names_that_linux_looks_for),
        cmocka_unit_test(test_virtio_devices_sit_below_a_bus_that_linux_probes),
        cmocka_unit_test(test_serial_port_keeps_its_number_through_the_isa_bus),
        cmocka_unit_test(test_chosen_has_the_command_line_and_the_initrd),
        cmocka_unit_test(test_chosen_is_silent_about_what_there_is_not),
        cmocka_unit_test(test_a_tree_larger_than_a_page_is_built),
        cmocka_unit_test(test_a_tree_that_linux_could_not_map_fails),
        cmocka_unit_test(test_node_is_setup_data_with_the_tree_behind),
        cmocka_unit_test(test_words_create_each_virtio_device),
        cmocka_unit_test(test_words_of_no_devices_are_empty),
        cmocka_unit_test(test_words_that_do_not_fit_fail),
        cmocka_unit_test_setup_teardown(test_dtc_has_nothing_to_say, scratch_set_up, scratch_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
