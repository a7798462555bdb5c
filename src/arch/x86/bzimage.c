/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bzimage.c - see bzimage.h.
 *
 * A bzImage is real-mode setup code in 512-byte sectors, then the protected-mode code: a decompressor with
 * the compressed ELF vmlinux (the "payload") inside. Only the header and the payload are of use here: the
 * host unpacks, and neither setup code nor decompressor ever runs.
 */
#include "bzimage.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "ringlet/error.h"
#include "ringlet/util.h"

#define SETUP_HEADER_OFFSET 0x1f1
#define BOOT_FLAG_OFFSET    0x1fe
#define BOOT_FLAG           0xaa55
#define JUMP_OFFSET         0x200
#define JUMP_END            0x202 /* the jump's displacement, its second byte, counts from here */
#define HEADER_MAGIC_OFFSET 0x202
#define HEADER_MAGIC        "HdrS"

#define SECTOR_SIZE         512
#define DEFAULT_SETUP_SECTS 4  /* what a setup_sects of 0 means */
#define PARAGRAPH_SIZE      16 /* the unit of syssize */

#define VERSION_XLOADFLAGS 0x020c /* 2.12, the first to say whether there is a 64-bit entry */

bool bzimage_probe(const uint8_t *file, size_t size)
{
    return size >= HEADER_MAGIC_OFFSET + strlen(HEADER_MAGIC) + sizeof(uint16_t) &&
           file[BOOT_FLAG_OFFSET] == (BOOT_FLAG & 0xff) && file[BOOT_FLAG_OFFSET + 1] == BOOT_FLAG >> 8 &&
           !memcmp(file + HEADER_MAGIC_OFFSET, HEADER_MAGIC, strlen(HEADER_MAGIC));
}

static int check_version(const struct setup_header *header, struct error *err)
{
    if (header->version < VERSION_XLOADFLAGS)
        return error_set(
            err, -ENOEXEC,
            "it has no 64-bit entry point (version %u.%02u of the Linux boot protocol; 2.12, of Linux 3.8, "
            "brought it): use a newer 64-bit kernel",
            header->version >> 8, header->version & 0xff);
    if (!(header->xloadflags & XLF_KERNEL_64))
        return error_set(err, -ENOEXEC,
                         "it has no 64-bit entry point (a 32-bit kernel?): use a 64-bit kernel");
    return 0;
}

static int find_payload(const uint8_t *file, size_t size, const struct setup_header *header,
                        struct bzimage *image, struct error *err)
{
    uint64_t setup_size =
        ((header->setup_sects ? header->setup_sects : DEFAULT_SETUP_SECTS) + UINT64_C(1)) * SECTOR_SIZE;
    uint64_t system_size = (uint64_t)header->syssize * PARAGRAPH_SIZE;
    uint64_t payload_end = (uint64_t)header->payload_offset + header->payload_length;

    if (!header->payload_length)
        return error_set(err, -ENOEXEC,
                         "its header announces no payload: not a Linux kernel, though it boots like one");
    if (payload_end > system_size)
        return error_set(err, -EINVAL,
                         "its setup header contradicts itself: the payload ends at byte %" PRIu64
                         " of %" PRIu64 " bytes of code",
                         payload_end, system_size);
    if (setup_size + payload_end > size)
        return error_set(err, -EINVAL,
                         "the file is truncated: at least %" PRIu64 " bytes are missing at its end",
                         setup_size + payload_end - size);
    image->payload = file + setup_size + header->payload_offset;
    image->payload_size = header->payload_length;
    return 0;
}

int bzimage_parse(const uint8_t *file, size_t size, struct bzimage *ret_image, struct error *err)
{
    size_t header_end = JUMP_END + file[JUMP_OFFSET + 1];
    struct setup_header header = { 0 };
    struct bzimage image = { 0 };
    size_t available = size - SETUP_HEADER_OFFSET;
    int result;

    /* The version comes first: an old header ends earlier, and what this reads beyond its end is not looked
     * at. */
    memcpy(&header, file + SETUP_HEADER_OFFSET, available < sizeof(header) ? available : sizeof(header));

    result = check_version(&header, err);
    if (result)
        return result;
    if (header_end <
        SETUP_HEADER_OFFSET + offsetof(struct setup_header, init_size) + sizeof(header.init_size))
        return error_set(
            err, -EINVAL,
            "its setup header contradicts itself: it ends at byte 0x%zx, before fields of its version",
            header_end);
    if (!header.init_size)
        return error_set(err, -EINVAL,
                         "its setup header contradicts itself: the kernel needs no memory (init_size 0)");
    result = find_payload(file, size, &header, &image, err);
    if (result)
        return result;

    /* All of it is in the file: a payload, and there is one, begins at byte 1024 at the earliest. */
    image.header = file + SETUP_HEADER_OFFSET;
    image.header_size = header_end - SETUP_HEADER_OFFSET;
    image.pref_address = header.pref_address;
    image.init_size = header.init_size;
    image.initrd_addr_max = header.initrd_addr_max;
    image.cmdline_size = header.cmdline_size;
    *ret_image = image;
    return 0;
}
