/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people pass as a kernel by mistake is named for what it is.
 */
#include "../../src/arch/x86/not_a_kernel.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "kernel_builder.h"
#include "ringlet/error.h"
#include "ringlet/util.h"
#include "ringlet/x86_kernel.h"

/* Takes the image. */
static void refuse(struct kernel_image image, const char *words)
{
    struct error err = { 0 };

    assert_int_equal(not_a_kernel(image.data, image.size, &err), -ENOEXEC);
    if (!strstr(err.text, words))
        fail_msg("expected \"%s\" in: %s", words, err.text);
    kernel_image_finish(&image);
}

static void test_files_that_are_no_kernel_are_named(void **state)
{
    static const struct {
        size_t offset;
        const char *bytes;
        size_t size;
        const char *words;
    } rows[] = {
        { 0x38, "ARM\x64", 4, "arm64 kernel Image" },
        { 0x38, "RSC\x05", 4, "riscv kernel Image" },
        { 0x24, "\x18\x28\x6f\x01", 4, "arm zImage" },
        { 0, "MZ\0\0zimg", 8, "EFI zboot image" },
        { 0, "MZ", 2, "DOS program" },
        { 0, "\x27\x05\x19\x56", 4, "uImage" },
        { 0, "\xd0\x0d\xfe\xed", 4, "device tree" },
        { 0, "070701", 6, "use --initrd" },
        { 0, "QFI\xfb", 4, "qcow2" },
        { 0, "\x1f\x8b\x08", 3, "compressed with gzip" },
        { 0, "\3757zXZ\0", 6, "compressed with xz" },
        { 0, "\x28\xb5\x2f\xfd", 4, "compressed with zstd" },
        { 0, "BZh", 3, "compressed with bzip2" },
        { 0x1fe, "\x55\xaa", 2, "disk image or a boot sector" },
        { 0x438, "\x53\xef", 2, "ext4 file system" },
        { 0x8001, "CD001", 5, "CD image" },
        { 0, "", 0, "neither a bzImage nor an ELF file" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        struct kernel_image image = kernel_image_copy(NULL, 0, 0x9000);

        memcpy(image.data + rows[i].offset, rows[i].bytes, rows[i].size);
        refuse(image, rows[i].words);
    }
}

static void test_an_empty_file_and_text_are_named(void **state)
{
    static const char text[] = "#!/bin/sh\n\techo hello\n";

    (void)state;
    refuse(kernel_image_copy(NULL, 0, 0), "it is empty");
    refuse(kernel_image_copy(text, sizeof(text) - 1, sizeof(text) - 1), "text file");
    refuse(kernel_image_copy("\x7f", 1, 1), "neither");
}

static void test_efi_programs_are_named_by_machine(void **state)
{
    static const struct {
        uint64_t pe_at;
        uint16_t machine;
        const char *words;
    } rows[] = {
        { 0x80, 0x8664, "an EFI program for x86-64" },
        { 0x80, 0xaa64, "an EFI program for aarch64" },
        { 0x80, 0x1234, "an EFI program for another machine" },
        { 0xfa, 0x8664, "an EFI program for x86-64" }, /* the machine's last byte is the file's */
        { 0xfb, 0x8664, "DOS program" },
        { 0xffffffff, 0x8664, "DOS program" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        struct kernel_image image = kernel_image_copy("MZ", 2, 0x100);

        kernel_image_poke(&image, 0x3c, rows[i].pe_at, 4);
        if (rows[i].pe_at <= 0xfc)
            memcpy(image.data + rows[i].pe_at, "PE\0\0", 4);
        if (rows[i].pe_at <= 0xfa)
            kernel_image_poke(&image, rows[i].pe_at + 4, rows[i].machine, 2);
        refuse(image, rows[i].words);
    }
    refuse(kernel_image_copy("MZ", 2, 0x3f), "DOS program");
}

static void check_initrd(struct kernel_image image, const char *words)
{
    struct error err = { 0 };

    assert_int_equal(x86_check_initrd(image.data, image.size, &err), words ? -ENOEXEC : 0);
    if (words && !strstr(err.text, words))
        fail_msg("expected \"%s\" in: %s", words, err.text);
    kernel_image_finish(&image);
}

static void test_what_is_no_initrd_is_named_and_all_else_passes(void **state)
{
    static const struct {
        size_t offset;
        const char *bytes;
        size_t size;
        const char *words;
    } rows[] = {
        { 0x202, "HdrS", 4, "a kernel (bzImage)" },
        { 0,
          "\x7f"
          "ELF",
          4, "ELF file" },
        { 0, "MZ", 2, "EFI program" },
        { 0, "QFI\xfb", 4, "qcow2" },
        { 0, "!<arch>\n", 8, ".deb" },
        { 0x101, "ustar", 5, "tar archive" },
        { 0, "PK\x03\x04", 4, "zip archive" },
        { 0, "070701", 6, NULL },
        { 0, "070702", 6, NULL },
        { 0, "\x1f\x8b\x08", 3, NULL },
        { 0, "\x28\xb5\x2f\xfd", 4, NULL },
        { 0x438, "\x53\xef", 2, NULL },
        { 0, "", 0, NULL },
    };
    static const char text[] = "#!/bin/sh\n\techo hello\n";

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        struct kernel_image image = kernel_image_copy(NULL, 0, 0x1000);

        memcpy(image.data + rows[i].offset, rows[i].bytes, rows[i].size);
        check_initrd(image, rows[i].words);
    }
    check_initrd(kernel_image_copy(text, sizeof(text) - 1, sizeof(text) - 1), "text file");
    check_initrd(kernel_image_copy("\x7f", 1, 1), NULL);
}

static void test_a_cpio_archive_may_hold_anything(void **state)
{
    struct kernel_image image = kernel_image_copy("070701", 6, 0x1000),
                        text = kernel_image_copy("070701", 6, 600);

    (void)state;
    memcpy(image.data + 0x101, "ustar", 5);
    memcpy(image.data + 0x202, "HdrS", 4);
    check_initrd(image, NULL);
    memset(text.data + 6, 'n', 594);
    check_initrd(text, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_that_are_no_kernel_are_named),
        cmocka_unit_test(test_an_empty_file_and_text_are_named),
        cmocka_unit_test(test_efi_programs_are_named_by_machine),
        cmocka_unit_test(test_what_is_no_initrd_is_named_and_all_else_passes),
        cmocka_unit_test(test_a_cpio_archive_may_hold_anything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
