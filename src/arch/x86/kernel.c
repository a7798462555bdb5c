/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel.c - see ringlet/x86_kernel.h: which kind of file it is, whether the kernel fits, and what the boot
 * protocol needs to know about it.
 *
 * The way through: recognize → parse the headers → check that the memory it claims is RAM → (bzImage) unpack
 * the payload into a scratch mapping and parse that → copy the segments. Guest RAM is touched by the last
 * step only.
 */
#include "ringlet/x86_kernel.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "bzimage.h"
#include "decompress.h"
#include "elf_kernel.h"
#include "layout.h"
#include "not_a_kernel.h"
#include "ringlet/error.h"
#include "ringlet/guest_memory.h"
#include "ringlet/util.h"

/* What Linux on x86 takes when no header says so: COMMAND_LINE_SIZE - 1, and initrd_addr_max in header.S. */
#define LINUX_COMMAND_LINE_MAX 2047
#define LINUX_INITRD_MAX       UINT64_C(0x7fffffff)

/* Guest-physical, end excluded. */
struct extent {
    uint64_t start, end;
};

/* Is all of it RAM that a kernel may have, in one piece? */
static int check_fits(struct extent extent, const struct guest_memory *memory, struct error *err)
{
    if (extent.start < LAYOUT_HIGH_RAM_START)
        return error_set(err, -EINVAL,
                         "it wants to be loaded at guest address 0x%" PRIx64
                         ", but what lies below 1 MiB is for boot data: link it at 1 MiB or above",
                         extent.start);
    if (extent.end > LAYOUT_HOLE_START)
        return error_set(err, -EINVAL,
                         "it occupies guest addresses up to 0x%" PRIx64
                         ", but a kernel's RAM ends at 0x%" PRIx64,
                         extent.end, LAYOUT_HOLE_START);
    if (!guest_memory_range(memory, extent.start, extent.end - extent.start))
        return error_set(err, -ENOMEM,
                         "it needs %" PRIu64 " MiB of RAM, and the VM has %" PRIu64 " MiB: use --memory",
                         (extent.end + MIB - 1) / MIB, guest_memory_size(memory) / MIB);
    return 0;
}

/* Place a parsed ELF kernel; `claimed` is what it needs besides its segments (empty: nothing). */
static int load_segments(const uint8_t *file, const struct elf_kernel *elf, struct extent claimed,
                         const struct guest_memory *memory, struct x86_kernel *kernel, struct error *err)
{
    struct extent extent = { elf->start, elf->end };
    int result;

    if (claimed.start < claimed.end) {
        extent.start = claimed.start < extent.start ? claimed.start : extent.start;
        extent.end = claimed.end > extent.end ? claimed.end : extent.end;
    }
    result = check_fits(extent, memory, err);
    if (result)
        return result;
    result = elf_kernel_copy(file, elf, memory);
    if (result)
        return error_set(err, result, "its segments do not fit RAM");

    kernel->protocol = elf->has_pvh_entry ? BOOT_PROTOCOL_PVH : BOOT_PROTOCOL_LINUX64;
    kernel->entry = elf->has_pvh_entry ? elf->pvh_entry : elf->entry;
    kernel->start = extent.start;
    kernel->end = extent.end;
    return 0;
}

static int load_elf(const uint8_t *file, size_t size, const struct guest_memory *memory,
                    struct x86_kernel *kernel, struct error *err)
{
    struct elf_kernel elf;
    int result;

    result = elf_kernel_parse(file, size, true, &elf, err);
    if (result)
        return result;
    kernel->initrd_max = LINUX_INITRD_MAX;
    kernel->command_line_max = LINUX_COMMAND_LINE_MAX;
    snprintf(kernel->compression, sizeof(kernel->compression), "%s", compression_name(COMPRESSION_NONE));
    return load_segments(file, &elf, (struct extent){ 0 }, memory, kernel, err);
}

static int load_payload(const uint8_t *payload, size_t size, struct extent claimed,
                        const struct guest_memory *memory, struct x86_kernel *kernel, struct error *err)
{
    struct elf_kernel elf;
    int result = -ENOEXEC;

    if (!elf_kernel_probe(payload, size))
        error_set(err, result, "it is not an ELF file");
    else
        result = elf_kernel_parse(payload, size, false, &elf, err);
    if (result)
        error_prefix(err, "its payload");
    else
        result = load_segments(payload, &elf, claimed, memory, kernel, err);
    return result;
}

/*
 * Unpack into scratch memory that is unmapped again, not into guest RAM: the ELF file's parts belong at other
 * distances from each other than they have in the file, and what is left between them would stay behind.
 */
static int load_compressed(enum compression compression, const struct bzimage *image, struct extent claimed,
                           const struct guest_memory *memory, struct x86_kernel *kernel, struct error *err)
{
    /*
     * A payload never unpacks to more than init_size (header.S computes it from the unpacked size), and that
     * much is RAM of the guest: a bomb ends there. Pages not written cost nothing.
     */
    size_t scratch_size = image->init_size, payload_size;
    void *scratch;
    int result;

    scratch =
        mmap(NULL, scratch_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (scratch == MAP_FAILED)
        return error_set(err, -ENOMEM, "cannot map %zu MiB to unpack it", scratch_size / MIB);
    (void)madvise(scratch, scratch_size, MADV_HUGEPAGE); /* best effort: a fault per 2 MiB, not per 4 KiB */

    result = decompress(compression, image->payload, image->payload_size, scratch, scratch_size,
                        &payload_size, err);
    if (!result)
        result = load_payload(scratch, payload_size, claimed, memory, kernel, err);
    munmap(scratch, scratch_size);
    return result;
}

static int load_bzimage(const uint8_t *file, size_t size, const struct guest_memory *memory,
                        struct x86_kernel *kernel, struct error *err)
{
    struct bzimage image;
    struct extent claimed;
    enum compression compression;
    size_t header_size;
    int result;

    result = bzimage_parse(file, size, &image, err);
    if (result)
        return result;
    claimed.start = image.pref_address;
    if (!checked_add(image.pref_address, image.init_size, &claimed.end))
        return error_set(err, -EINVAL, "its setup header contradicts itself: its addresses wrap around");
    result = check_fits(claimed, memory, err); /* before the work of unpacking, and to bound it */
    if (result)
        return result;

    compression = compression_detect(image.payload, image.payload_size);
    snprintf(kernel->compression, sizeof(kernel->compression), "%s", compression_name(compression));
    if (compression == COMPRESSION_NONE)
        result = load_payload(image.payload, image.payload_size, claimed, memory, kernel, err);
    else
        result = load_compressed(compression, &image, claimed, memory, kernel, err);
    if (result)
        return result;

    header_size = image.header_size < X86_SETUP_HEADER_MAX ? image.header_size : X86_SETUP_HEADER_MAX;
    memcpy(kernel->setup_header, image.header, header_size);
    kernel->has_setup_header = true;
    kernel->initrd_max = image.initrd_addr_max;
    kernel->command_line_max =
        image.cmdline_size < LAYOUT_COMMAND_LINE_SIZE ? image.cmdline_size : LAYOUT_COMMAND_LINE_SIZE - 1;
    return 0;
}

int x86_kernel_load(const void *file, size_t size, const char *name, const struct guest_memory *memory,
                    struct x86_kernel *ret_kernel, struct error *err)
{
    struct x86_kernel kernel = { 0 };
    int result;

    if (elf_kernel_probe(file, size))
        result = load_elf(file, size, memory, &kernel, err);
    else if (bzimage_probe(file, size))
        result = load_bzimage(file, size, memory, &kernel, err);
    else
        result = not_a_kernel(file, size, err);
    if (result) {
        error_prefix(err, "%s", name);
        return result;
    }
    *ret_kernel = kernel;
    return 0;
}
