/* SPDX-License-Identifier: Apache-2.0 */
/*
 * not_a_kernel.c - see not_a_kernel.h, and x86_check_initrd() in ringlet/x86_kernel.h. Magic numbers are looked up in order, the more telling ones first: an
 * arm64 Image may also begin like a PE file.
 */
#include "not_a_kernel.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "decompress.h"
#include "ringlet/error.h"
#include "ringlet/util.h"
#include "ringlet/x86_kernel.h"

#define PE_OFFSET_FIELD 0x3c /* e_lfanew: where the PE header stands */

struct magic {
    size_t offset;
    const char *bytes;
    size_t size;
    const char *sentence;
};

#define MAGIC(offset, bytes, sentence)                                                                       \
    {                                                                                                        \
        offset, bytes, sizeof(bytes) - 1, sentence                                                           \
    }

static const struct magic magics[] = {
    MAGIC(0x38, "ARM\x64", "it is an arm64 kernel Image, and this machine is x86-64"),
    MAGIC(0x38, "RSC\x05", "it is a riscv kernel Image, and this machine is x86-64"),
    MAGIC(0x30, "RISCV\0\0\0", "it is a riscv kernel Image, and this machine is x86-64"),
    MAGIC(0x24, "\x18\x28\x6f\x01", "it is a 32-bit arm zImage, and this machine is x86-64"),
    MAGIC(4, "zimg",
          "it is an EFI zboot image, which only EFI firmware can start: use a bzImage or an ELF vmlinux"),
    MAGIC(0, "\x27\x05\x19\x56", "it is a U-Boot uImage: use a bzImage or an ELF vmlinux"),
    MAGIC(0, "\xd0\x0d\xfe\xed",
          "it is a U-Boot FIT image or a device tree: use a bzImage or an ELF vmlinux"),
    MAGIC(0, "ANDROID!", "it is an Android boot image: use the bzImage inside"),
    MAGIC(0, "070701", "it is an initramfs (cpio archive): use --initrd for it, and --kernel for a kernel"),
    MAGIC(0, "070702", "it is an initramfs (cpio archive): use --initrd for it, and --kernel for a kernel"),
    MAGIC(0, "QFI\xfb", "it is a qcow2 disk image, not a kernel"),
    MAGIC(0, "!<arch>\n", "it is an archive (a .deb package or a library): use the kernel file inside"),
    MAGIC(0, "\xed\xab\xee\xdb", "it is an RPM package: use the kernel file inside"),
    MAGIC(0, "hsqs", "it is a squashfs file system: use --disk for it"),
    MAGIC(0x8001, "CD001", "it is a CD image: use the kernel file inside"),
    MAGIC(0x438, "\x53\xef", "it is an ext4 file system: use --disk for it, and --kernel for a kernel"),
};

/* Linux knows an initrd by its beginning, and panics over one that it does not know; these it never will. */
static const struct magic never_an_initrd[] = {
    MAGIC(0x202, "HdrS", "it is a kernel (bzImage): use --kernel for it"),
    MAGIC(0,
          "\x7f"
          "ELF",
          "it is an ELF file, as a vmlinux is: use --kernel for that, and --initrd for a cpio archive"),
    MAGIC(0, "MZ", "it is an EFI program, not a cpio archive"),
    MAGIC(0, "QFI\xfb", "it is a qcow2 disk image, not a cpio archive"),
    MAGIC(0, "!<arch>\n", "it is an archive (a .deb package or a library), but not a cpio archive"),
    MAGIC(0, "\xed\xab\xee\xdb", "it is an RPM package, not a cpio archive"),
    MAGIC(0x101, "ustar", "it is a tar archive, and a kernel wants a cpio archive: `cpio -o -H newc`"),
    MAGIC(0, "PK\x03\x04", "it is a zip archive, and a kernel wants a cpio archive: `cpio -o -H newc`"),
};

static const struct {
    uint16_t machine;
    const char *name;
} pe_machines[] = {
    { 0x8664, "x86-64" },  { 0x014c, "i386" },    { 0xaa64, "aarch64" },
    { 0x01c0, "arm" },     { 0x01c2, "arm" },     { 0x01c4, "arm" },
    { 0x5064, "riscv64" }, { 0x5032, "riscv32" }, { 0x6264, "loongarch64" },
};

static bool has_bytes(const uint8_t *file, size_t size, size_t offset, const char *bytes, size_t length)
{
    return range_within(offset, length, 0, size) && !memcmp(file + offset, bytes, length);
}

/* UEFI programs: a boot loader, a unified kernel image, a kernel of another machine with an EFI stub. */
static int refuse_pe(const uint8_t *file, size_t size, struct error *err)
{
    uint32_t pe_at;
    uint16_t machine;

    if (size < PE_OFFSET_FIELD + sizeof(pe_at))
        return error_set(err, -ENOEXEC, "it is a DOS program, not a kernel");
    memcpy(&pe_at, file + PE_OFFSET_FIELD, sizeof(pe_at));
    if (!has_bytes(file, size, pe_at, "PE\0\0", 4) ||
        !range_within((uint64_t)pe_at + 4, sizeof(machine), 0, size))
        return error_set(err, -ENOEXEC, "it is a DOS program, not a kernel");
    memcpy(&machine, file + pe_at + 4, sizeof(machine));
    for (unsigned i = 0; i < ARRAY_SIZE(pe_machines); i++) {
        if (pe_machines[i].machine == machine)
            return error_set(
                err, -ENOEXEC,
                "it is an EFI program for %s, without a Linux setup header: use a bzImage or an ELF "
                "vmlinux for x86-64 (a unified kernel image has one inside)",
                pe_machines[i].name);
    }
    return error_set(err, -ENOEXEC,
                     "it is an EFI program for another machine: use a bzImage or an ELF vmlinux");
}

static bool is_text(const uint8_t *file, size_t size)
{
    for (size_t i = 0; i < size && i < 512; i++) {
        if ((file[i] < ' ' && !strchr("\t\n\r\f", file[i])) || !file[i] || file[i] == 0x7f)
            return false;
    }
    return true;
}

/* What the first of them to fit says of the file, or NULL. */
static const char *find_magic(const struct magic *table, size_t count, const uint8_t *file, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        if (has_bytes(file, size, table[i].offset, table[i].bytes, table[i].size))
            return table[i].sentence;
    }
    return NULL;
}

int x86_check_initrd(const uint8_t *file, size_t size, struct error *err)
{
    const char *sentence;

    /* Whatever its files are and are called. */
    if (has_bytes(file, size, 0, "070701", 6) || has_bytes(file, size, 0, "070702", 6))
        return 0;
    sentence = find_magic(never_an_initrd, ARRAY_SIZE(never_an_initrd), file, size);
    if (!sentence && is_text(file, size))
        sentence = "it is a text file, not a cpio archive";
    return sentence ? error_set(err, -ENOEXEC, "%s", sentence) : 0;
}

int not_a_kernel(const uint8_t *file, size_t size, struct error *err)
{
    enum compression compression;
    const char *sentence;

    if (!size)
        return error_set(err, -ENOEXEC, "it is empty");
    sentence = find_magic(magics, ARRAY_SIZE(magics), file, size);
    if (sentence)
        return error_set(err, -ENOEXEC, "%s", sentence);
    if (has_bytes(file, size, 0, "MZ", 2))
        return refuse_pe(file, size, err);
    compression = compression_detect(file, size);
    if (compression != COMPRESSION_UNKNOWN)
        return error_set(
            err, -ENOEXEC,
            "it is a file compressed with %s: unpack it first (or use --initrd if it is an initramfs)",
            compression_name(compression));
    if (has_bytes(file, size, 0x1fe, "\x55\xaa", 2))
        return error_set(err, -ENOEXEC,
                         "it is a disk image or a boot sector, not a kernel: use --disk for it");
    if (is_text(file, size))
        return error_set(err, -ENOEXEC, "it is a text file, not a kernel");
    return error_set(err, -ENOEXEC, "it is neither a bzImage nor an ELF file");
}
