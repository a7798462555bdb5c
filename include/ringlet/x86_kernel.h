/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86_kernel.h - from a kernel file to a kernel in guest RAM and the address to enter it at.
 *
 * A bzImage (Documentation/arch/x86/boot.rst, protocol 2.12 or newer) has its payload unpacked on the host,
 * where it is fast, and the ELF vmlinux inside is entered directly: at its link address, so without KASLR,
 * which is the decompressor's work. An ELF vmlinux is entered by its PVH note (XEN_ELFNOTE_PHYS32_ENTRY),
 * else by the 64-bit boot protocol. PVH's entry is 32-bit code by definition, so a 32-bit ELF file with such
 * a note will do as well.
 *
 * The file is untrusted: every offset and size in it is checked, unpacking is bounded by what the kernel's
 * header claims of guest RAM (init_size), and what is wrong is said in *err.
 */
#ifndef RINGLET_X86_KERNEL_H
#define RINGLET_X86_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct guest_memory;

enum boot_protocol {
    BOOT_PROTOCOL_LINUX64, /* long mode, RSI = boot_params */
    BOOT_PROTOCOL_PVH,     /* 32-bit protected mode without paging, EBX = hvm_start_info */
    BOOT_PROTOCOL_COUNT,
};

#define X86_SETUP_HEADER_MAX 0x90 /* room for struct setup_header (0x1f1 .. at most 0x280) */

struct x86_kernel {
    enum boot_protocol protocol;
    uint64_t entry;            /* guest-physical; below 4 GiB, as are start and end */
    uint64_t start;            /* lowest byte of RAM the kernel occupies */
    uint64_t end;              /* first byte after what it occupies, .bss and init_size included */
    uint64_t initrd_max;       /* the initrd's last byte lies at or below this address */
    uint32_t command_line_max; /* bytes without terminator */
    bool has_setup_header;     /* setup_header came from a bzImage */
    uint8_t setup_header[X86_SETUP_HEADER_MAX]; /* from file offset 0x1f1; zero beyond its end */
    char compression[8];                        /* "gzip", "xz", "lz4", "zstd", or "none": for --verbose */
};

/*
 * Load the kernel `file` (its whole content, borrowed for the call). `name` starts the sentence in *err. All
 * of [start, end) lies in RAM between 1 MiB and the hole below 4 GiB. 0 or -errno with *err set: -ENOEXEC for
 * a file that is not a kernel we can enter, -ENOMEM when it does not fit guest RAM, -EINVAL for one that ends
 * early or contradicts itself. Guest RAM is not touched unless the kernel loads. Other guest RAM than the
 * kernel's segments keeps what it holds; their .bss is zeroed.
 */
int x86_kernel_load(const void *file, size_t size, const char *name, const struct guest_memory *memory,
                    struct x86_kernel *ret_kernel, struct error *err);

/*
 * 0, or -ENOEXEC with a sentence that names what the file looks like if it is certainly no initrd. What nobody knows
 * passes: the formats are the guest kernel's business. `file`: its content, 4 KiB of it at least if it has as many.
 */
int x86_check_initrd(const uint8_t *file, size_t size, struct error *err);

#endif
