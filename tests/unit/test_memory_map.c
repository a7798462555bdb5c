/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_memory_map.c - where RAM lies, what the guest hears of it, and where the initrd goes.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/arch/x86/layout.h"
#include "ringlet/error.h"
#include "ringlet/guest_memory.h"
#include "ringlet/util.h"
#include "ringlet/x86_boot.h"

#define PAGE UINT64_C(4096)

static struct guest_memory *memory_of(uint64_t bytes)
{
    struct guest_memory *memory;

    assert_int_equal(guest_memory_create(&memory), 0);
    assert_int_equal(x86_add_ram(memory, bytes), 0);
    return memory;
}

static void assert_region(const struct guest_memory *memory, unsigned index, uint64_t base, uint64_t size)
{
    assert_int_equal(guest_memory_region_at(memory, index)->base, base);
    assert_int_equal(guest_memory_region_at(memory, index)->size, size);
}

static void test_ram_up_to_three_gib_is_one_piece(void **state)
{
    const uint64_t sizes[] = { X86_RAM_MIN, 32 * MIB, 1 * GIB + PAGE, LAYOUT_HOLE_START };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct guest_memory *memory = memory_of(sizes[i]);

        assert_int_equal(guest_memory_region_count(memory), 1);
        assert_region(memory, 0, 0, sizes[i]);
        guest_memory_destroy(memory);
    }
}

static void test_ram_above_three_gib_continues_at_four(void **state)
{
    struct guest_memory *memory = memory_of(LAYOUT_HOLE_START + PAGE);

    (void)state;
    assert_int_equal(guest_memory_region_count(memory), 2);
    assert_region(memory, 0, 0, LAYOUT_HOLE_START);
    assert_region(memory, 1, LAYOUT_HOLE_END, PAGE);
    guest_memory_destroy(memory);
}

static void test_ram_too_small_or_unaligned_is_refused(void **state)
{
    const uint64_t sizes[] = { 0, PAGE, X86_RAM_MIN - PAGE, X86_RAM_MIN + 1 };
    struct guest_memory *memory;

    (void)state;
    assert_int_equal(guest_memory_create(&memory), 0);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        assert_int_equal(x86_add_ram(memory, sizes[i]), -EINVAL);
    assert_int_equal(guest_memory_region_count(memory), 0);
    guest_memory_destroy(memory);
}

static void test_ram_unaligned_above_the_hole_is_refused(void **state)
{
    struct guest_memory *memory;

    (void)state;
    assert_int_equal(guest_memory_create(&memory), 0);
    assert_int_equal(x86_add_ram(memory, LAYOUT_HOLE_START + 1), -EINVAL);
    guest_memory_destroy(memory);
}

static void assert_entry(const struct x86_memory_map_entry *entry, uint64_t start, uint64_t end,
                         enum x86_memory_type type)
{
    assert_int_equal(entry->base, start);
    assert_int_equal(entry->size, end - start);
    assert_int_equal(entry->type, type);
}

static void test_map_reserves_the_end_of_the_first_mib_and_kvms_pages(void **state)
{
    struct x86_memory_map_entry map[X86_MEMORY_MAP_MAX];
    struct guest_memory *memory = memory_of(64 * MIB);

    (void)state;
    assert_int_equal(x86_memory_map(memory, map), 4);
    assert_entry(&map[0], 0, LAYOUT_LOW_RAM_END, X86_MEMORY_RAM);
    assert_entry(&map[1], LAYOUT_LOW_RAM_END, LAYOUT_HIGH_RAM_START, X86_MEMORY_RESERVED);
    assert_entry(&map[2], LAYOUT_HIGH_RAM_START, 64 * MIB, X86_MEMORY_RAM);
    assert_entry(&map[3], LAYOUT_KVM_IDENTITY_MAP, LAYOUT_KVM_TSS + 3 * PAGE, X86_MEMORY_RESERVED);
    guest_memory_destroy(memory);
}

static void test_map_lists_ram_on_both_sides_of_the_hole(void **state)
{
    struct x86_memory_map_entry map[X86_MEMORY_MAP_MAX];
    struct guest_memory *memory = memory_of(5 * GIB);

    (void)state;
    assert_int_equal(x86_memory_map(memory, map), 5);
    assert_entry(&map[2], LAYOUT_HIGH_RAM_START, LAYOUT_HOLE_START, X86_MEMORY_RAM);
    assert_entry(&map[3], LAYOUT_HOLE_END, LAYOUT_HOLE_END + 2 * GIB, X86_MEMORY_RAM);
    guest_memory_destroy(memory);
}

/* Usable RAM plus the reserved kilobytes is all RAM there is: nothing lost, nothing told twice. */
static void test_map_accounts_for_every_byte_of_ram(void **state)
{
    const uint64_t sizes[] = { X86_RAM_MIN, 48 * MIB, LAYOUT_HOLE_START, LAYOUT_HOLE_START + PAGE, 6 * GIB };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct x86_memory_map_entry map[X86_MEMORY_MAP_MAX];
        struct guest_memory *memory = memory_of(sizes[i]);
        unsigned count = x86_memory_map(memory, map);
        uint64_t usable = 0;

        for (unsigned j = 0; j < count; j++)
            if (map[j].type == X86_MEMORY_RAM) {
                assert_non_null(guest_memory_range(memory, map[j].base, map[j].size));
                usable += map[j].size;
            }
        assert_int_equal(usable + (LAYOUT_HIGH_RAM_START - LAYOUT_LOW_RAM_END), sizes[i]);
        guest_memory_destroy(memory);
    }
}

static const struct x86_kernel ordinary_kernel = {
    .start = 16 * MIB,
    .end = 48 * MIB + 123,
    .initrd_max = UINT64_MAX,
};

static void test_initrd_goes_to_the_top_of_low_ram(void **state)
{
    struct guest_memory *memory = memory_of(6 * GIB);
    uint64_t address;

    (void)state;
    assert_int_equal(x86_place_initrd(memory, &ordinary_kernel, 5000, 0, &address, NULL), 0);
    assert_int_equal(address, LAYOUT_HOLE_START - 2 * PAGE);
    guest_memory_destroy(memory);
}

static void test_initrd_leaves_the_reserved_top_alone(void **state)
{
    struct guest_memory *memory = memory_of(128 * MIB);
    uint64_t address;

    (void)state;
    assert_int_equal(x86_place_initrd(memory, &ordinary_kernel, PAGE, 1 * MIB + 1, &address, NULL), 0);
    assert_int_equal(address, 128 * MIB - 1 * MIB - 2 * PAGE);
    guest_memory_destroy(memory);
}

/* initrd_max is the address of the last byte that may be used, not of the first that may not. */
static void test_initrd_ends_at_the_kernels_limit(void **state)
{
    struct x86_kernel kernel = ordinary_kernel;
    struct guest_memory *memory = memory_of(512 * MIB);
    uint64_t address;

    (void)state;
    kernel.initrd_max = 0x0fffffff;
    assert_int_equal(x86_place_initrd(memory, &kernel, 3 * PAGE, 0, &address, NULL), 0);
    assert_int_equal(address, 256 * MIB - 3 * PAGE);
    guest_memory_destroy(memory);
}

static void test_initrd_that_just_fits_above_the_kernel_does(void **state)
{
    struct guest_memory *memory = memory_of(64 * MIB);
    uint64_t room = 16 * MIB - PAGE, address;

    (void)state;
    assert_int_equal(x86_place_initrd(memory, &ordinary_kernel, room, 0, &address, NULL), 0);
    assert_int_equal(address, 48 * MIB + PAGE);
    guest_memory_destroy(memory);
}

static void test_initrd_without_room_above_the_kernel_goes_below(void **state)
{
    struct guest_memory *memory = memory_of(50 * MIB);
    uint64_t address;

    (void)state;
    assert_int_equal(x86_place_initrd(memory, &ordinary_kernel, 10 * MIB, 0, &address, NULL), 0);
    assert_int_equal(address, 6 * MIB);
    assert_int_equal(x86_place_initrd(memory, &ordinary_kernel, 15 * MIB, 0, &address, NULL), 0);
    assert_int_equal(address, 1 * MIB);
    guest_memory_destroy(memory);
}

static void test_initrd_too_large_fails_with_a_sentence(void **state)
{
    const uint64_t sizes[] = { 15 * MIB + 1, 50 * MIB, 1 * GIB, UINT64_MAX };
    struct guest_memory *memory = memory_of(50 * MIB);

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct error err = { { 0 } };
        uint64_t address = 77;

        assert_int_equal(x86_place_initrd(memory, &ordinary_kernel, sizes[i], 0, &address, &err), -ENOMEM);
        assert_non_null(strstr(err.text, "memory"));
        assert_int_equal(address, 77);
    }
    guest_memory_destroy(memory);
}

static void test_initrd_with_more_reserved_than_ram_fails(void **state)
{
    struct guest_memory *memory = memory_of(64 * MIB);
    uint64_t address;

    (void)state;
    assert_int_equal(x86_place_initrd(memory, &ordinary_kernel, PAGE, 65 * MIB, &address, NULL), -ENOMEM);
    guest_memory_destroy(memory);
}

static void test_initrd_of_no_bytes_is_refused(void **state)
{
    struct guest_memory *memory = memory_of(64 * MIB);
    struct error err = { { 0 } };
    uint64_t address;

    (void)state;
    assert_int_equal(x86_place_initrd(memory, &ordinary_kernel, 0, 0, &address, &err), -EINVAL);
    assert_non_null(strstr(err.text, "empty"));
    guest_memory_destroy(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ram_up_to_three_gib_is_one_piece),
        cmocka_unit_test(test_ram_above_three_gib_continues_at_four),
        cmocka_unit_test(test_ram_too_small_or_unaligned_is_refused),
        cmocka_unit_test(test_ram_unaligned_above_the_hole_is_refused),
        cmocka_unit_test(test_map_reserves_the_end_of_the_first_mib_and_kvms_pages),
        cmocka_unit_test(test_map_lists_ram_on_both_sides_of_the_hole),
        cmocka_unit_test(test_map_accounts_for_every_byte_of_ram),
        cmocka_unit_test(test_initrd_goes_to_the_top_of_low_ram),
        cmocka_unit_test(test_initrd_leaves_the_reserved_top_alone),
        cmocka_unit_test(test_initrd_ends_at_the_kernels_limit),
        cmocka_unit_test(test_initrd_that_just_fits_above_the_kernel_does),
        cmocka_unit_test(test_initrd_without_room_above_the_kernel_goes_below),
        cmocka_unit_test(test_initrd_too_large_fails_with_a_sentence),
        cmocka_unit_test(test_initrd_with_more_reserved_than_ram_fails),
        cmocka_unit_test(test_initrd_of_no_bytes_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
