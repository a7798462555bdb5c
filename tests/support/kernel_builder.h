/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel_builder.h - kernels built in memory, for the loader's tests: well formed as they come; a test that
 * wants a malformed one changes the specification, or pokes a field of the file.
 */
#ifndef RINGLET_TESTS_KERNEL_BUILDER_H
#define RINGLET_TESTS_KERNEL_BUILDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A file in memory. `data` is followed by an unmapped page, so that a read past its end is noticed. */
struct kernel_image {
    uint8_t *data;
    size_t size;
    size_t mapped; /* private: bytes from the mapping's start to the guard page */
};

void kernel_image_finish(struct kernel_image *image);

/* Copy into a new image: `size` may be less or more (zeros) than the original's. */
struct kernel_image kernel_image_copy(const void *data, size_t data_size, size_t size);

/* Little-endian fields at a byte offset; inside the image, or the test aborts. */
void kernel_image_poke(struct kernel_image *image, size_t offset, uint64_t value, size_t bytes);
uint64_t kernel_image_peek(const struct kernel_image *image, size_t offset, size_t bytes);

/* --- ELF --- */

struct elf_builder_segment {
    uint64_t vaddr, paddr;
    uint64_t filesz, memsz;
};

#define ELF_BUILDER_MAX_SEGMENTS 40

struct elf_builder {
    bool is_32bit;
    uint16_t machine; /* as given */
    uint16_t type;
    uint64_t entry;
    struct elf_builder_segment segments[ELF_BUILDER_MAX_SEGMENTS];
    unsigned segment_count;
    unsigned pvh_size; /* bytes of the PVH note's address; 0: no such note */
    uint64_t pvh_entry;
    uint32_t extra_header; /* p_type of one more, empty, program header; 0: none */
};

/*
 * As Linux comes: ELF64, code at 16 MiB, data behind it with a .bss, e_entry physical, mapped at the top; no
 * PVH note.
 */
struct elf_builder elf_builder_default(void);

/* Segment i's byte b. No two segments look alike, none is zero, and it compresses. */
uint8_t elf_builder_byte(unsigned segment, uint64_t at);

/* Program headers stand behind the ELF header: the PT_LOADs in order, then PT_NOTE, then the extra one. */
struct kernel_image elf_build(const struct elf_builder *builder);

/* Offset in the file of a program header, or of the note segment's bytes. */
size_t elf_builder_header_offset(const struct elf_builder *builder, unsigned index);
size_t elf_builder_note_offset(const struct elf_builder *builder);

/* --- bzImage --- */

/* Offsets of the setup header's fields in the file, by their names in boot.rst. */
enum {
    SETUP_SECTS = 0x1f1,
    SYSSIZE = 0x1f4,
    BOOT_FLAG = 0x1fe,
    JUMP = 0x200,
    HEADER = 0x202,
    VERSION = 0x206,
    INITRD_ADDR_MAX = 0x22c,
    XLOADFLAGS = 0x236,
    CMDLINE_SIZE = 0x238,
    PAYLOAD_OFFSET = 0x248,
    PAYLOAD_LENGTH = 0x24c,
    PREF_ADDRESS = 0x258,
    INIT_SIZE = 0x260,
    SETUP_HEADER_END = 0x26c,
};

enum payload_format {
    PAYLOAD_NONE,
    PAYLOAD_GZIP,
    PAYLOAD_XZ, /* with the x86 BCJ filter and CRC32, as xz_wrap.sh has it */
    PAYLOAD_LZ4,
    PAYLOAD_ZSTD, /* without content size in the frame, as from a pipe */
    PAYLOAD_FORMAT_COUNT,
};

/* Compress as the kernel's build does, unpacked size at the end included. */
struct kernel_image payload_build(enum payload_format format, const void *data, size_t size);

/* A bzImage of protocol 2.15 around any bytes: pref_address 16 MiB, init_size as given. */
struct kernel_image bzimage_build(const void *payload, size_t payload_size, uint32_t init_size);

/* The same around an ELF file. */
struct kernel_image bzimage_build_elf(enum payload_format format, const struct elf_builder *builder);

#define BZIMAGE_BUILDER_PREF_ADDRESS UINT64_C(0x1000000)
#define BZIMAGE_BUILDER_INIT_SIZE    UINT32_C(0x200000)
#define BZIMAGE_BUILDER_PAYLOAD      (5 * 512 + 64) /* where in the file the payload stands */

#endif
