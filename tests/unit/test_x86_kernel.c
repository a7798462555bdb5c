/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels that load: every payload format, both ELF entries, what they occupy, and what the boot protocol is
 * told. What is refused, and why: test_x86_kernel_refusals.c.
 */
#include "ringlet/x86_kernel.h"

#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "kernel_builder.h"
#include "ringlet/error.h"
#include "ringlet/guest_memory.h"
#include "ringlet/util.h"

#define RAM_SIZE (32 * MIB)

static int create_memory(void **state)
{
    struct guest_memory *memory;

    if (guest_memory_create(&memory) || guest_memory_add_ram(memory, 0, RAM_SIZE))
        return -1;
    /* RAM is dirty: a loader that counts on zeros shows. */
    memset(guest_memory_range(memory, 0x1000000, MIB), 0xee, MIB);
    *state = memory;
    return 0;
}

static int destroy_memory(void **state)
{
    guest_memory_destroy(*state);
    return 0;
}

static struct x86_kernel load(const struct guest_memory *memory, struct kernel_image image)
{
    struct x86_kernel kernel;
    struct error err = { 0 };

    if (x86_kernel_load(image.data, image.size, "vmlinuz", memory, &kernel, &err))
        fail_msg("%s", err.text);
    kernel_image_finish(&image);
    return kernel;
}

/* All segments where they belong, their rest zero, and not a byte before or behind. */
static void expect_segments(const struct guest_memory *memory, const struct elf_builder *builder)
{
    for (unsigned i = 0; i < builder->segment_count; i++) {
        const struct elf_builder_segment *segment = &builder->segments[i];
        const uint8_t *at = guest_memory_range(memory, segment->paddr - 1, segment->memsz + 2);

        assert_non_null(at);
        assert_int_equal(at[0], 0xee);
        for (uint64_t j = 0; j < segment->memsz; j++)
            assert_int_equal(at[1 + j], j < segment->filesz ? elf_builder_byte(i, j) : 0);
        assert_int_equal(at[1 + segment->memsz], 0xee);
    }
}

static void test_bzimage_of_every_format_lands_at_its_addresses(void **state)
{
    static const char *const names[PAYLOAD_FORMAT_COUNT] = { "none", "gzip", "xz", "lz4", "zstd" };
    struct guest_memory *memory = *state;
    struct elf_builder builder = elf_builder_default();

    /* A gap between the segments, which stays as it was. */
    builder.segments[1].paddr += 0x1000;
    for (int format = 0; format < PAYLOAD_FORMAT_COUNT; format++) {
        struct x86_kernel kernel;

        memset(guest_memory_range(memory, 0x1000000, MIB), 0xee, MIB);
        memset(guest_memory_range(memory, 0x1000000 - 1, 1), 0xee, 1);
        kernel = load(memory, bzimage_build_elf((enum payload_format)format, &builder));
        expect_segments(memory, &builder);
        assert_string_equal(kernel.compression, names[format]);
        assert_int_equal(kernel.protocol, BOOT_PROTOCOL_LINUX64);
        assert_int_equal(kernel.entry, 0x1000040);
        assert_true(kernel.has_setup_header);
    }
}

static void test_bzimage_occupies_init_size_from_its_preferred_address(void **state)
{
    struct elf_builder builder = elf_builder_default();
    struct x86_kernel kernel = load(*state, bzimage_build_elf(PAYLOAD_GZIP, &builder));

    assert_int_equal(kernel.start, BZIMAGE_BUILDER_PREF_ADDRESS);
    assert_int_equal(kernel.end, BZIMAGE_BUILDER_PREF_ADDRESS + BZIMAGE_BUILDER_INIT_SIZE);
}

static void test_bzimage_occupies_its_segments_where_they_reach_further(void **state)
{
    struct elf_builder builder = elf_builder_default();
    struct x86_kernel kernel;

    builder.segments[1].memsz = 3 * MIB;
    kernel = load(*state, bzimage_build_elf(PAYLOAD_GZIP, &builder));
    assert_int_equal(kernel.start, BZIMAGE_BUILDER_PREF_ADDRESS);
    assert_int_equal(kernel.end, builder.segments[1].paddr + 3 * MIB);
}

static void test_bzimage_occupies_what_lies_between_its_preferred_address_and_its_segments(void **state)
{
    struct elf_builder builder = elf_builder_default();
    struct kernel_image image = bzimage_build_elf(PAYLOAD_GZIP, &builder);
    struct x86_kernel kernel;

    kernel_image_poke(&image, PREF_ADDRESS, 0xf00000, 8);
    kernel = load(*state, image);
    assert_int_equal(kernel.start, 0xf00000);
    assert_int_equal(kernel.end, 0xf00000 + BZIMAGE_BUILDER_INIT_SIZE);
}

static void test_bzimage_hands_on_its_setup_header(void **state)
{
    struct elf_builder builder = elf_builder_default();
    struct kernel_image image = bzimage_build_elf(PAYLOAD_LZ4, &builder);
    uint8_t header[X86_SETUP_HEADER_MAX] = { 0 };
    struct x86_kernel kernel;

    kernel_image_poke(&image, INITRD_ADDR_MAX, 0x37ffffff, 4);
    kernel_image_poke(&image, CMDLINE_SIZE, 1234, 4);
    memcpy(header, image.data + SETUP_SECTS, SETUP_HEADER_END - SETUP_SECTS);
    kernel = load(*state, image);
    assert_memory_equal(kernel.setup_header, header, sizeof(header)); /* zero from its end on */
    assert_int_equal(kernel.initrd_max, 0x37ffffff);
    assert_int_equal(kernel.command_line_max, 1234);
}

static void test_bzimage_header_longer_than_boot_params_has_room_for_is_cut(void **state)
{
    struct elf_builder builder = elf_builder_default();
    struct kernel_image image = bzimage_build_elf(PAYLOAD_LZ4, &builder);
    uint8_t header[X86_SETUP_HEADER_MAX];
    struct x86_kernel kernel;

    kernel_image_poke(&image, JUMP + 1, 0xff, 1);
    memcpy(header, image.data + SETUP_SECTS, sizeof(header));
    kernel = load(*state, image);
    assert_memory_equal(kernel.setup_header, header, sizeof(header));
}

static void test_bzimage_command_line_is_bounded_by_the_room_there_is(void **state)
{
    struct elf_builder builder = elf_builder_default();
    struct kernel_image image = bzimage_build_elf(PAYLOAD_LZ4, &builder);

    kernel_image_poke(&image, CMDLINE_SIZE, 0xffffffff, 4);
    assert_int_equal(load(*state, image).command_line_max, 0xffff);
}

static void test_bzimage_setup_sects_of_zero_means_four(void **state)
{
    struct elf_builder builder = elf_builder_default();
    struct kernel_image image = bzimage_build_elf(PAYLOAD_ZSTD, &builder);

    kernel_image_poke(&image, SETUP_SECTS, 0, 1);
    assert_int_equal(load(*state, image).entry, 0x1000040);
}

static void test_bzimage_with_a_signature_behind_it_loads(void **state)
{
    struct elf_builder builder = elf_builder_default();
    struct kernel_image image = bzimage_build_elf(PAYLOAD_XZ, &builder);
    struct kernel_image signed_image = kernel_image_copy(image.data, image.size, image.size + 1500);

    kernel_image_finish(&image);
    assert_int_equal(load(*state, signed_image).entry, 0x1000040);
}

static void test_bzimage_is_entered_by_e_entry_even_with_a_pvh_note(void **state)
{
    struct elf_builder builder = elf_builder_default();
    struct x86_kernel kernel;

    builder.pvh_size = 8;
    builder.pvh_entry = 0x1000100;
    kernel = load(*state, bzimage_build_elf(PAYLOAD_GZIP, &builder));
    assert_int_equal(kernel.protocol, BOOT_PROTOCOL_LINUX64);
    assert_int_equal(kernel.entry, 0x1000040);
}

static void test_vmlinux_lands_at_its_addresses(void **state)
{
    struct elf_builder builder = elf_builder_default();
    struct x86_kernel kernel;

    builder.segments[1].paddr += 0x1000;
    memset(guest_memory_range(*state, 0x1000000 - 1, 1), 0xee, 1);
    kernel = load(*state, elf_build(&builder));
    expect_segments(*state, &builder);
    assert_int_equal(kernel.protocol, BOOT_PROTOCOL_LINUX64);
    assert_int_equal(kernel.entry, 0x1000040);
    assert_int_equal(kernel.start, 0x1000000);
    assert_int_equal(kernel.end, 0x100a000);
    assert_int_equal(kernel.initrd_max, 0x7fffffff);
    assert_int_equal(kernel.command_line_max, 2047);
    assert_false(kernel.has_setup_header);
    assert_string_equal(kernel.compression, "none");
}

static void test_vmlinux_with_pvh_note_is_entered_there(void **state)
{
    for (unsigned size = 4; size <= 8; size += 4) {
        struct elf_builder builder = elf_builder_default();
        struct x86_kernel kernel;

        builder.pvh_size = size;
        builder.pvh_entry = 0x1002fff; /* the last byte that the file gives */
        kernel = load(*state, elf_build(&builder));
        assert_int_equal(kernel.protocol, BOOT_PROTOCOL_PVH);
        assert_int_equal(kernel.entry, 0x1002fff);
    }
}

static void test_vmlinux_notes_aligned_to_8_are_walked_so(void **state)
{
    struct elf_builder builder = elf_builder_default();
    struct kernel_image image;
    size_t note = elf_builder_note_offset(&builder);

    builder.pvh_size = 8;
    builder.pvh_entry = 0x1000100;
    note = elf_builder_note_offset(&builder);
    image = elf_build(&builder);
    /* The first note: 12 bytes, name of 5 (to 20, aligned 24), description of 4 (to 28, aligned 32). */
    memset(image.data + note, 0, 28);
    kernel_image_poke(&image, note, 5, 4);
    kernel_image_poke(&image, note + 4, 4, 4);
    memmove(image.data + note + 32, image.data + note + 28, 12 + 4 + 8);
    memset(image.data + note + 28, 0, 4);
    kernel_image_poke(&image, elf_builder_header_offset(&builder, 2) + offsetof(Elf64_Phdr, p_filesz), 56, 8);
    kernel_image_poke(&image, elf_builder_header_offset(&builder, 2) + offsetof(Elf64_Phdr, p_align), 8, 8);
    assert_int_equal(load(*state, image).protocol, BOOT_PROTOCOL_PVH);
}

static void test_vmlinux_notes_that_do_not_add_up_end_the_walk(void **state)
{
    static const uint32_t sizes[] = { 0x1000, 0x7ffffffc, 0xffffffff };

    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        for (unsigned field = 0; field < 8; field += 4) {
            struct elf_builder builder = elf_builder_default();
            struct kernel_image image;

            builder.pvh_size = 8;
            builder.pvh_entry = 0x1000100;
            image = elf_build(&builder);
            kernel_image_poke(&image, elf_builder_note_offset(&builder) + field, sizes[i], 4);
            assert_int_equal(load(*state, image).protocol, BOOT_PROTOCOL_LINUX64);
        }
    }
}

static void test_vmlinux_pvh_note_cut_by_its_segment_is_no_note(void **state)
{
    for (size_t cut = 1; cut <= 24; cut++) {
        struct elf_builder builder = elf_builder_default();
        struct kernel_image image;
        size_t filesz;

        builder.pvh_size = 8;
        builder.pvh_entry = 0x1000100;
        image = elf_build(&builder);
        filesz = elf_builder_header_offset(&builder, 2) + offsetof(Elf64_Phdr, p_filesz);
        kernel_image_poke(&image, filesz, kernel_image_peek(&image, filesz, 8) - cut, 8);
        assert_int_equal(load(*state, image).protocol, BOOT_PROTOCOL_LINUX64);
    }
}

static void test_vmlinux_of_32_bits_is_entered_by_its_pvh_note(void **state)
{
    struct elf_builder builder = elf_builder_default();
    struct x86_kernel kernel;

    builder.is_32bit = true;
    builder.machine = EM_386;
    builder.segments[0].vaddr = 0xc1000000;
    builder.segments[1].vaddr = 0xc1004000;
    builder.segments[1].paddr += 0x1000;
    builder.pvh_size = 4;
    builder.pvh_entry = 0x1000123;
    memset(guest_memory_range(*state, 0x1000000 - 1, 1), 0xee, 1);
    kernel = load(*state, elf_build(&builder));
    expect_segments(*state, &builder);
    assert_int_equal(kernel.protocol, BOOT_PROTOCOL_PVH);
    assert_int_equal(kernel.entry, 0x1000123);
}

static void test_vmlinux_virtual_entry_is_translated(void **state)
{
    struct elf_builder builder = elf_builder_default();

    builder.entry = 0xffffffff81004010;
    assert_int_equal(load(*state, elf_build(&builder)).entry, 0x1004010);
}

static void test_vmlinux_may_begin_at_1_mib_and_end_with_ram(void **state)
{
    struct elf_builder builder = elf_builder_default();
    struct x86_kernel kernel;

    builder.segments[0].paddr = MIB;
    builder.entry = MIB;
    builder.segments[1].paddr = RAM_SIZE - builder.segments[1].memsz;
    kernel = load(*state, elf_build(&builder));
    assert_int_equal(kernel.start, MIB);
    assert_int_equal(kernel.end, RAM_SIZE);
}

static void test_vmlinux_empty_segments_mean_nothing(void **state)
{
    struct elf_builder builder = elf_builder_default();
    struct x86_kernel kernel;

    builder.segments[2] = (struct elf_builder_segment){ .paddr = 0 };
    builder.segment_count = 3;
    kernel = load(*state, elf_build(&builder));
    assert_int_equal(kernel.start, 0x1000000);
}

/* A segment of zeros only may claim any offset: nothing of the file is meant. */
static void test_vmlinux_bss_segment_may_stand_past_the_end_of_the_file(void **state)
{
    struct elf_builder builder = elf_builder_default();
    struct kernel_image image;

    builder.segments[2] = (struct elf_builder_segment){ .paddr = 0x1010000, .memsz = 0x1000 };
    builder.segment_count = 3;
    image = elf_build(&builder);
    kernel_image_poke(&image, elf_builder_header_offset(&builder, 2) + offsetof(Elf64_Phdr, p_offset),
                      ~UINT64_C(0), 8);
    assert_int_equal(load(*state, image).end, 0x1011000);
    assert_int_equal(*(uint8_t *)guest_memory_range(*state, 0x1010000, 1), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, create_memory, destroy_memory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bzimage_of_every_format_lands_at_its_addresses),
        TEST(test_bzimage_occupies_init_size_from_its_preferred_address),
        TEST(test_bzimage_occupies_its_segments_where_they_reach_further),
        TEST(test_bzimage_occupies_what_lies_between_its_preferred_address_and_its_segments),
        TEST(test_bzimage_hands_on_its_setup_header),
        TEST(test_bzimage_header_longer_than_boot_params_has_room_for_is_cut),
        TEST(test_bzimage_command_line_is_bounded_by_the_room_there_is),
        TEST(test_bzimage_setup_sects_of_zero_means_four),
        TEST(test_bzimage_with_a_signature_behind_it_loads),
        TEST(test_bzimage_is_entered_by_e_entry_even_with_a_pvh_note),
        TEST(test_vmlinux_lands_at_its_addresses),
        TEST(test_vmlinux_with_pvh_note_is_entered_there),
        TEST(test_vmlinux_notes_aligned_to_8_are_walked_so),
        TEST(test_vmlinux_notes_that_do_not_add_up_end_the_walk),
        TEST(test_vmlinux_pvh_note_cut_by_its_segment_is_no_note),
        TEST(test_vmlinux_of_32_bits_is_entered_by_its_pvh_note),
        TEST(test_vmlinux_virtual_entry_is_translated),
        TEST(test_vmlinux_may_begin_at_1_mib_and_end_with_ram),
        TEST(test_vmlinux_empty_segments_mean_nothing),
        TEST(test_vmlinux_bss_segment_may_stand_past_the_end_of_the_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
