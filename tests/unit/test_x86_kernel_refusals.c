/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels that are refused: each with its own sentence, each before guest RAM is written, and (mutations of
 * good files, from a fixed seed) none of them ever with a crash or a kernel outside RAM.
 */
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
#include "ringlet/x86_kernel.h"

#define RAM_SIZE (32 * MIB)

static int create_memory(void **state)
{
    struct guest_memory *memory;

    if (guest_memory_create(&memory) || guest_memory_add_ram(memory, 0, RAM_SIZE))
        return -1;
    *state = memory;
    return 0;
}

static int destroy_memory(void **state)
{
    guest_memory_destroy(*state);
    return 0;
}

static void expect_untouched(const struct guest_memory *memory)
{
    const uint8_t *at = guest_memory_range(memory, 0x1000000, 0x10000);

    for (unsigned i = 0; i < 0x10000; i++)
        assert_int_equal(at[i], 0);
}

/* Takes the image. Outputs and RAM stay as they were, and the sentence starts with the file's name. */
static void refuse(const struct guest_memory *memory, struct kernel_image image, int code, const char *words)
{
    struct x86_kernel kernel, before;
    struct error err = { 0 };

    memset(&kernel, 0x5a, sizeof(kernel));
    before = kernel;
    assert_int_equal(x86_kernel_load(image.data, image.size, "my-kernel", memory, &kernel, &err), code);
    assert_memory_equal(&kernel, &before, sizeof(kernel));
    if (strncmp(err.text, "my-kernel: ", 11) != 0 || !strstr(err.text, words))
        fail_msg("expected \"%s\" in: %s", words, err.text);
    expect_untouched(memory);
    kernel_image_finish(&image);
}

/* --- bzImage --- */

static struct kernel_image good_bzimage(void)
{
    struct elf_builder builder = elf_builder_default();

    return bzimage_build_elf(PAYLOAD_LZ4, &builder);
}

static void test_bzimage_fields_that_lie_are_refused(void **state)
{
    static const struct {
        size_t offset;
        uint64_t value;
        size_t bytes;
        int code;
        const char *words;
    } rows[] = {
        { VERSION, 0x0203, 2, -ENOEXEC, "no 64-bit entry point (version 2.03 of the Linux boot protocol" },
        { VERSION, 0x020b, 2, -ENOEXEC, "no 64-bit entry point (version 2.11" },
        { XLOADFLAGS, 0x7e, 2, -ENOEXEC, "no 64-bit entry point (a 32-bit kernel?)" },
        { JUMP + 1, 0x61, 1, -EINVAL, "it ends at byte 0x263, before fields" },
        { JUMP + 1, 0x00, 1, -EINVAL, "it ends at byte 0x202, before fields" },
        { INIT_SIZE, 0, 4, -EINVAL, "needs no memory" },
        { PAYLOAD_LENGTH, 0, 4, -ENOEXEC, "announces no payload" },
        { PAYLOAD_LENGTH, 0xffffffff, 4, -EINVAL, "contradicts itself: the payload ends at byte 4294967359" },
        { PAYLOAD_OFFSET, 0xffffffff, 4, -EINVAL, "contradicts itself: the payload ends" },
        { SYSSIZE, 4, 4, -EINVAL, "of 64 bytes of code" },
        { SETUP_SECTS, 200, 1, -EINVAL, "truncated: at least " },
        { PREF_ADDRESS, 0xfffffffffff00000, 8, -EINVAL, "addresses wrap around" },
        { PREF_ADDRESS, 0, 8, -EINVAL, "below 1 MiB" },
        { PREF_ADDRESS, 0xbff00000, 8, -EINVAL, "a kernel's RAM ends at 0xc0000000" },
        { PREF_ADDRESS, 0x100000000, 8, -EINVAL, "a kernel's RAM ends at 0xc0000000" },
        { PREF_ADDRESS, 0x1f00000, 8, -ENOMEM,
          "it needs 33 MiB of RAM, and the VM has 32 MiB: use --memory" },
        { INIT_SIZE, 0x1000001, 4, -ENOMEM, "it needs 33 MiB of RAM, and the VM has 32 MiB: use --memory" },
        { INIT_SIZE, 0x1000, 4, -EINVAL, "unpacks to more than the 4096 bytes" },
        { BZIMAGE_BUILDER_PAYLOAD, 0x685a42, 3, -ENOEXEC, "compression (bzip2) is not supported" },
        { BZIMAGE_BUILDER_PAYLOAD, 0x5d, 4, -ENOEXEC, "compression (lzma) is not supported" },
        { BZIMAGE_BUILDER_PAYLOAD, 0x000a0d004f5a4c89, 8, -ENOEXEC,
          "compression (unknown) is not supported" },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        struct kernel_image image = good_bzimage();

        kernel_image_poke(&image, rows[i].offset, rows[i].value, rows[i].bytes);
        refuse(*state, image, rows[i].code, rows[i].words);
    }
}

static void test_bzimage_cut_short_says_how_much_is_missing(void **state)
{
    struct kernel_image image = good_bzimage();
    size_t end = BZIMAGE_BUILDER_PAYLOAD + kernel_image_peek(&image, PAYLOAD_LENGTH, 4);

    refuse(*state, kernel_image_copy(image.data, image.size, end - 1), -EINVAL,
           "truncated: at least 1 bytes are");
    refuse(*state, kernel_image_copy(image.data, image.size, end - 700), -EINVAL,
           "truncated: at least 700 bytes");
    refuse(*state, kernel_image_copy(image.data, image.size, SETUP_HEADER_END - 1), -EINVAL, "truncated");
    kernel_image_finish(&image);
}

static void test_bzimage_cut_anywhere_is_refused_without_reading_past_its_end(void **state)
{
    struct kernel_image image = good_bzimage();
    size_t end = BZIMAGE_BUILDER_PAYLOAD + kernel_image_peek(&image, PAYLOAD_LENGTH, 4);

    for (size_t size = 0; size < end; size++) {
        struct kernel_image cut = kernel_image_copy(image.data, image.size, size);
        struct x86_kernel kernel;
        struct error err = { 0 };

        assert_true(x86_kernel_load(cut.data, cut.size, "vmlinuz", *state, &kernel, &err) < 0);
        assert_true(err.text[0]);
        kernel_image_finish(&cut);
    }
    kernel_image_finish(&image);
}

static void test_bzimage_that_does_not_fit_is_not_even_unpacked(void **state)
{
    struct kernel_image image = good_bzimage();

    kernel_image_poke(&image, BZIMAGE_BUILDER_PAYLOAD + 4, 0,
                      4); /* damaged, which would be another sentence */
    kernel_image_poke(&image, PREF_ADDRESS, 0x1f00000, 8);
    refuse(*state, image, -ENOMEM, "it needs 33 MiB of RAM");
}

static void test_bzimage_with_a_bomb_inside_is_refused(void **state)
{
    struct kernel_image zeros = kernel_image_copy(NULL, 0, 64 * MIB);

    for (int format = PAYLOAD_GZIP; format < PAYLOAD_FORMAT_COUNT; format++) {
        struct kernel_image payload = payload_build((enum payload_format)format, zeros.data, zeros.size);

        refuse(*state, bzimage_build(payload.data, payload.size, BZIMAGE_BUILDER_INIT_SIZE), -EINVAL,
               "unpacks to more than the 2097152 bytes that the kernel's header allows for");
        kernel_image_finish(&payload);
    }
    kernel_image_finish(&zeros);
}

static void test_bzimage_whose_payload_is_no_elf_is_refused(void **state)
{
    struct kernel_image payload = payload_build(PAYLOAD_GZIP, "not an ELF file", 15);

    refuse(*state, bzimage_build(payload.data, payload.size, BZIMAGE_BUILDER_INIT_SIZE), -ENOEXEC,
           "its payload: it is not an ELF file");
    kernel_image_finish(&payload);
}

static void test_bzimage_whose_payload_is_for_another_machine_is_refused(void **state)
{
    struct elf_builder builder = elf_builder_default();

    builder.machine = EM_AARCH64;
    refuse(*state, bzimage_build_elf(PAYLOAD_GZIP, &builder), -ENOEXEC, "its payload: it is for aarch64");
}

static void test_bzimage_whose_segments_leave_ram_is_refused(void **state)
{
    struct elf_builder builder = elf_builder_default();

    builder.segments[1].memsz = 17 * MIB;
    refuse(*state, bzimage_build_elf(PAYLOAD_GZIP, &builder), -ENOMEM, "it needs 34 MiB of RAM");
}

/* --- ELF --- */

static void test_vmlinux_header_fields_that_lie_are_refused(void **state)
{
    static const struct {
        size_t offset;
        uint64_t value;
        size_t bytes;
        int code;
        const char *words;
    } rows[] = {
        { EI_CLASS, 3, 1, -EINVAL, "ELF header is invalid" },
        { EI_DATA, 0, 1, -EINVAL, "ELF header is invalid" },
        { EI_VERSION, 0, 1, -EINVAL, "ELF header is invalid" },
        { offsetof(Elf64_Ehdr, e_machine), EM_AARCH64, 2, -ENOEXEC, "it is for aarch64" },
        { offsetof(Elf64_Ehdr, e_machine), EM_RISCV, 2, -ENOEXEC, "it is for riscv" },
        { offsetof(Elf64_Ehdr, e_machine), EM_PPC64, 2, -ENOEXEC, "it is for powerpc64" },
        { offsetof(Elf64_Ehdr, e_machine), 0xbeef, 2, -ENOEXEC, "another machine (ELF number 48879)" },
        { offsetof(Elf64_Ehdr, e_type), ET_REL, 2, -ENOEXEC, "object file" },
        { offsetof(Elf64_Ehdr, e_type), ET_DYN, 2, -ENOEXEC, "position-independent" },
        { offsetof(Elf64_Ehdr, e_type), ET_CORE, 2, -ENOEXEC, "core dump" },
        { offsetof(Elf64_Ehdr, e_type), 0x7777, 2, -ENOEXEC, "unknown type" },
        { offsetof(Elf64_Ehdr, e_phnum), 0, 2, -ENOEXEC, "without program headers" },
        { offsetof(Elf64_Ehdr, e_phnum), 0xffff, 2, -EINVAL, "truncated: its program headers" },
        { offsetof(Elf64_Ehdr, e_phentsize), 32, 2, -EINVAL, "program headers of 32 bytes, not 56" },
        { offsetof(Elf64_Ehdr, e_phoff), 0x100000, 8, -EINVAL, "truncated: its program headers" },
        { offsetof(Elf64_Ehdr, e_phoff), ~UINT64_C(0), 8, -EINVAL, "wrap around" },
        { offsetof(Elf64_Ehdr, e_entry), 0, 8, -EINVAL, "entry point 0x0 lies outside" },
        { offsetof(Elf64_Ehdr, e_entry), 0x1003000, 8, -EINVAL, "entry point 0x1003000 lies outside" },
        { offsetof(Elf64_Ehdr, e_entry), 0x1005000, 8, -EINVAL,
          "entry point 0x1005000 lies outside" }, /* .bss */
        { offsetof(Elf64_Ehdr, e_entry), 0xffffffff80000000, 8, -EINVAL, "0xffffffff80000000 lies outside" },
    };
    struct elf_builder builder = elf_builder_default();

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        struct kernel_image image = elf_build(&builder);

        kernel_image_poke(&image, rows[i].offset, rows[i].value, rows[i].bytes);
        refuse(*state, image, rows[i].code, rows[i].words);
    }
}

static void test_vmlinux_segments_that_lie_are_refused(void **state)
{
    static const struct {
        unsigned index;
        size_t offset;
        uint64_t value;
        int code;
        const char *words;
    } rows[] = {
        { 0, offsetof(Elf64_Phdr, p_filesz), 0x3001, -EINVAL, "header 0 is invalid: more bytes in the file" },
        { 1, offsetof(Elf64_Phdr, p_filesz), 0x5000, -EINVAL,
          "truncated: 16384 bytes of segment 1 are missing" },
        { 0, offsetof(Elf64_Phdr, p_offset), ~UINT64_C(0), -EINVAL, "header 0 is invalid: the offset wraps" },
        { 0, offsetof(Elf64_Phdr, p_offset), 0x100000, -EINVAL, "bytes of segment 0 are missing" },
        { 1, offsetof(Elf64_Phdr, p_paddr), 0xfffffffffffff000, -EINVAL,
          "header 1 is invalid: the address wraps" },
        { 1, offsetof(Elf64_Phdr, p_paddr), 0x1002fff, -EINVAL, "overlap at guest address 0x1002fff" },
        { 1, offsetof(Elf64_Phdr, p_paddr), 0xffb001, -EINVAL, "overlap at guest address 0x1000000" },
        { 1, offsetof(Elf64_Phdr, p_paddr), 0x0, -EINVAL, "wants to be loaded at guest address 0x0" },
        { 1, offsetof(Elf64_Phdr, p_paddr), 0xfffff, -EINVAL, "0xfffff, but what lies below 1 MiB" },
        { 1, offsetof(Elf64_Phdr, p_paddr), 0xbffff000, -EINVAL, "a kernel's RAM ends at 0xc0000000" },
        { 1, offsetof(Elf64_Phdr, p_paddr), 0x100000000, -EINVAL, "a kernel's RAM ends at 0xc0000000" },
        { 1, offsetof(Elf64_Phdr, p_paddr), 0x1ffc000, -ENOMEM,
          "it needs 33 MiB of RAM, and the VM has 32 MiB" },
        { 1, offsetof(Elf64_Phdr, p_memsz), 0x40000000, -ENOMEM, "it needs 1041 MiB of RAM" },
    };
    struct elf_builder builder = elf_builder_default();

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        struct kernel_image image = elf_build(&builder);

        kernel_image_poke(&image, elf_builder_header_offset(&builder, rows[i].index) + rows[i].offset,
                          rows[i].value, 8);
        refuse(*state, image, rows[i].code, rows[i].words);
    }
}

static void test_vmlinux_big_endian_is_refused_by_name(void **state)
{
    struct elf_builder builder = elf_builder_default();

    for (unsigned known = 0; known < 2; known++) {
        struct kernel_image image;

        builder.machine = known ? EM_PPC64 << 8 : 0xbeef;
        image = elf_build(&builder);
        kernel_image_poke(&image, EI_DATA, ELFDATA2MSB, 1);
        refuse(*state, image, -ENOEXEC,
               known ? "big-endian ELF file (powerpc64)" : "(of an unknown machine)");
    }
}

static void test_vmlinux_32_bit_without_pvh_note_is_refused(void **state)
{
    struct elf_builder builder = elf_builder_default();

    builder.is_32bit = true;
    builder.machine = EM_386;
    refuse(*state, elf_build(&builder), -ENOEXEC, "32-bit ELF file without a PVH entry note");
    builder.machine = EM_ARM;
    refuse(*state, elf_build(&builder), -ENOEXEC, "it is for arm,");
}

static void test_vmlinux_pvh_note_that_lies_is_refused(void **state)
{
    static const struct {
        unsigned size;
        uint64_t entry;
        const char *words;
    } rows[] = {
        { 4, 0xfffff0, "PVH entry point 0xfffff0 lies outside" },
        { 8, 0x1005000, "PVH entry point 0x1005000 lies outside" }, /* .bss */
        { 8, 0x101000040, "PVH entry point 0x101000040 lies outside" },
        { 2, 0x1000040, "PVH note is invalid: an address of 2 bytes" },
        { 16, 0x1000040, "PVH note is invalid: an address of 16 bytes" },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        struct elf_builder builder = elf_builder_default();

        builder.pvh_size = rows[i].size;
        builder.pvh_entry = rows[i].entry;
        refuse(*state, elf_build(&builder), -EINVAL, rows[i].words);
    }
}

static void test_vmlinux_pvh_entry_beyond_32_bits_is_refused(void **state)
{
    struct elf_builder builder = elf_builder_default();

    builder.segments[0].paddr = 0x100000000;
    builder.pvh_size = 8;
    builder.pvh_entry = 0x100000040;
    refuse(*state, elf_build(&builder), -EINVAL, "PVH entry point 0x100000040 lies outside");
}

static void test_vmlinux_note_segment_outside_the_file_is_refused(void **state)
{
    struct elf_builder builder = elf_builder_default();
    struct kernel_image image;

    builder.pvh_size = 4;
    builder.pvh_entry = 0x1000040;
    image = elf_build(&builder);
    kernel_image_poke(&image, elf_builder_header_offset(&builder, 2) + offsetof(Elf64_Phdr, p_offset),
                      0x100000, 8);
    refuse(*state, image, -EINVAL, "bytes of segment 2 are missing");
}

static void test_vmlinux_with_nothing_or_too_much_to_load_is_refused(void **state)
{
    struct elf_builder builder = elf_builder_default();

    builder.segment_count = 0;
    builder.extra_header = PT_NULL + 0x60000000;
    refuse(*state, elf_build(&builder), -ENOEXEC, "without a segment to load");
    builder = elf_builder_default();
    for (builder.segment_count = 0; builder.segment_count < 33; builder.segment_count++)
        builder.segments[builder.segment_count] = (struct elf_builder_segment){
            .paddr = 0x1000000 + builder.segment_count * 16, .filesz = 16, .memsz = 16
        };
    refuse(*state, elf_build(&builder), -EINVAL, "more than 32 segments");
}

static void test_programs_for_user_space_are_refused(void **state)
{
    struct elf_builder builder = elf_builder_default();

    builder.extra_header = PT_INTERP;
    refuse(*state, elf_build(&builder), -ENOEXEC, "asks for an interpreter");
    builder.extra_header = PT_TLS;
    refuse(*state, elf_build(&builder), -ENOEXEC, "thread-local storage");
}

static void test_vmlinux_cut_anywhere_is_refused_without_reading_past_its_end(void **state)
{
    struct elf_builder builder = elf_builder_default();
    struct kernel_image image;

    builder.segments[0].filesz = builder.segments[0].memsz = 0x200;
    builder.segments[1].filesz = 0x100;
    for (unsigned is_32bit = 0; is_32bit < 2; is_32bit++) {
        builder.is_32bit = is_32bit;
        builder.pvh_size = 4;
        builder.pvh_entry = 0x1000040;
        image = elf_build(&builder);
        for (size_t size = 0; size < image.size; size++) {
            struct kernel_image cut = kernel_image_copy(image.data, image.size, size);
            struct x86_kernel kernel;
            struct error err = { 0 };

            assert_true(x86_kernel_load(cut.data, cut.size, "vmlinux", *state, &kernel, &err) < 0);
            assert_true(err.text[0]);
            kernel_image_finish(&cut);
        }
        kernel_image_finish(&image);
    }
}

static void test_vmlinux_program_headers_cut_by_a_byte_are_refused(void **state)
{
    struct elf_builder builder = elf_builder_default();
    struct kernel_image image = elf_build(&builder);
    size_t table = 2 * sizeof(Elf64_Phdr), at = image.size;
    struct kernel_image moved = kernel_image_copy(image.data, image.size, image.size + table);

    memcpy(moved.data + at, image.data + elf_builder_header_offset(&builder, 0), table);
    kernel_image_poke(&moved, offsetof(Elf64_Ehdr, e_phoff), at, 8);
    refuse(*state, kernel_image_copy(moved.data, moved.size, moved.size - 1), -EINVAL,
           "headers end 1 bytes after");
    kernel_image_finish(&moved);
    kernel_image_finish(&image);
}

static void test_errors_are_not_required(void **state)
{
    struct x86_kernel kernel;

    assert_int_equal(x86_kernel_load("text", 4, "t", *state, &kernel, NULL), -ENOEXEC);
}

/* --- mutations --- */

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/*
 * Values at which arithmetic goes wrong, of one to eight bytes, half of them in the headers: a bzImage's
 * setup header, or the first bytes of an ELF file.
 */
static void mutate(struct kernel_image *image, uint64_t *seed)
{
    static const uint64_t values[] = {
        0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, INT64_MAX, 1ull << 63, UINT64_MAX
    };
    bool is_elf = image->data[0] == 0x7f;
    unsigned changes = 1 + (unsigned)(next_random(seed) % 4);

    while (changes--) {
        size_t from = is_elf ? 0 : SETUP_SECTS, to = is_elf ? 0x120 : SETUP_HEADER_END;
        size_t bytes = (size_t)1 << next_random(seed) % 4;
        uint64_t value =
            next_random(seed) % 2 ? values[next_random(seed) % ARRAY_SIZE(values)] : next_random(seed);

        if (next_random(seed) % 2) {
            from = is_elf ? 0 : BZIMAGE_BUILDER_PAYLOAD;
            to = image->size;
        }
        kernel_image_poke(image, from + next_random(seed) % (to - from - bytes), value, bytes);
    }
}

static void test_mutated_kernels_load_inside_ram_or_are_refused(void **state)
{
    const struct guest_memory *memory = *state;
    struct elf_builder builder = elf_builder_default();
    struct kernel_image good[PAYLOAD_FORMAT_COUNT + 2];
    unsigned loaded = 0, refused = 0;
    uint64_t seed = 0x5eed0fa11c0de;

    builder.segments[0].filesz = builder.segments[0].memsz = 0x400;
    builder.segments[1].filesz = 0x100;
    builder.pvh_size = 4;
    builder.pvh_entry = 0x1000044;
    for (int format = 0; format < PAYLOAD_FORMAT_COUNT; format++)
        good[format] = bzimage_build_elf((enum payload_format)format, &builder);
    good[PAYLOAD_FORMAT_COUNT] = elf_build(&builder);
    builder.is_32bit = true;
    good[PAYLOAD_FORMAT_COUNT + 1] = elf_build(&builder);

    for (unsigned i = 0; i < 4000; i++) {
        const struct kernel_image *from = &good[i % ARRAY_SIZE(good)];
        struct kernel_image image = kernel_image_copy(from->data, from->size, from->size);
        struct x86_kernel kernel;
        struct error err = { 0 };
        int result;

        mutate(&image, &seed);
        result = x86_kernel_load(image.data, image.size, "mutant", memory, &kernel, &err);
        if (result) {
            assert_true(result == -ENOEXEC || result == -EINVAL || result == -ENOMEM);
            assert_true(strlen(err.text) > strlen("mutant: "));
            refused++;
        } else {
            assert_true(kernel.protocol < BOOT_PROTOCOL_COUNT);
            assert_true(kernel.start >= MIB && kernel.end <= RAM_SIZE);
            assert_true(kernel.entry >= kernel.start && kernel.entry < kernel.end);
            loaded++;
        }
        kernel_image_finish(&image);
    }
    /* Both ways were walked, or the mutations are not worth their time. */
    assert_true(loaded > 100 && refused > 1000);
    for (unsigned i = 0; i < ARRAY_SIZE(good); i++)
        kernel_image_finish(&good[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, create_memory, destroy_memory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bzimage_fields_that_lie_are_refused),
        TEST(test_bzimage_cut_short_says_how_much_is_missing),
        TEST(test_bzimage_cut_anywhere_is_refused_without_reading_past_its_end),
        TEST(test_bzimage_that_does_not_fit_is_not_even_unpacked),
        TEST(test_bzimage_with_a_bomb_inside_is_refused),
        TEST(test_bzimage_whose_payload_is_no_elf_is_refused),
        TEST(test_bzimage_whose_payload_is_for_another_machine_is_refused),
        TEST(test_bzimage_whose_segments_leave_ram_is_refused),
        TEST(test_vmlinux_header_fields_that_lie_are_refused),
        TEST(test_vmlinux_segments_that_lie_are_refused),
        TEST(test_vmlinux_big_endian_is_refused_by_name),
        TEST(test_vmlinux_32_bit_without_pvh_note_is_refused),
        TEST(test_vmlinux_pvh_note_that_lies_is_refused),
        TEST(test_vmlinux_pvh_entry_beyond_32_bits_is_refused),
        TEST(test_vmlinux_note_segment_outside_the_file_is_refused),
        TEST(test_vmlinux_with_nothing_or_too_much_to_load_is_refused),
        TEST(test_programs_for_user_space_are_refused),
        TEST(test_vmlinux_cut_anywhere_is_refused_without_reading_past_its_end),
        TEST(test_vmlinux_program_headers_cut_by_a_byte_are_refused),
        TEST(test_errors_are_not_required),
        TEST(test_mutated_kernels_load_inside_ram_or_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
