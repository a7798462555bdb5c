/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bzimage.h - what the loader needs from a bzImage's setup header (Documentation/arch/x86/boot.rst), checked.
 */
#ifndef RINGLET_ARCH_X86_BZIMAGE_H
#define RINGLET_ARCH_X86_BZIMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

struct bzimage {
    const uint8_t *payload; /* inside the file */
    size_t payload_size;
    const uint8_t *header; /* inside the file, from offset 0x1f1 */
    size_t header_size;    /* as far as the header says that it goes */
    uint64_t pref_address; /* where it was linked to run: guest-physical */
    uint32_t
        init_size; /* bytes from there that must be RAM and free; never 0, never less than it unpacks to */
    uint32_t initrd_addr_max;
    uint32_t cmdline_size; /* bytes without terminator */
};

/* Does the file carry the boot flag and the header's signature? Then nothing else it could be matters. */
bool bzimage_probe(const uint8_t *file, size_t size);

/*
 * For a file that bzimage_probe() knows. 0, or with *err: -ENOEXEC for a kernel without the 64-bit entry or
 * without a payload, -EINVAL for a file that ends early or a header that contradicts itself.
 */
int bzimage_parse(const uint8_t *file, size_t size, struct bzimage *ret_image, struct error *err);

#endif
