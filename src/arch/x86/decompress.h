/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decompress.h - the payload formats of the kernel build, unpacked in one go into a buffer that is large
 * enough or refused.
 *
 * A payload is what scripts/Makefile.lib's *_with_size rules write: the compressed stream, then the unpacked
 * size as a little-endian u32. Gzip's own last field (ISIZE, RFC 1952 2.3.1) already is that number, so
 * nothing follows it. Every payload thus ends in its unpacked size; it is checked, for LZ4's legacy format
 * has neither checksum nor end mark.
 */
#ifndef RINGLET_ARCH_X86_DECOMPRESS_H
#define RINGLET_ARCH_X86_DECOMPRESS_H

#include <stddef.h>

struct error;

enum compression {
    COMPRESSION_NONE, /* an ELF file as it is; the only one without a size at its end */
    COMPRESSION_GZIP,
    COMPRESSION_XZ,
    COMPRESSION_LZ4, /* the legacy frame, which is the one that the kernel build writes */
    COMPRESSION_ZSTD,
    COMPRESSION_BZIP2, /* known by name only, as are those that follow */
    COMPRESSION_LZMA,
    COMPRESSION_LZO,
    COMPRESSION_UNKNOWN,
    COMPRESSION_COUNT,
};

/* By magic number, from the first bytes. */
enum compression compression_detect(const void *data, size_t size);

/* As the kernel's configuration calls it, in lower case: "gzip", "none". */
const char *compression_name(enum compression compression);

/*
 * Unpack a payload of `in_size` bytes into `out`, which has room for `out_size`. Not for COMPRESSION_NONE,
 * which needs no copy. 0, or with *err: -ENOEXEC for a format that is not supported, -EINVAL for a damaged
 * payload or one that does not fit, -ENOMEM. What `out` holds after a failure is undefined.
 */
int decompress(enum compression compression, const void *in, size_t in_size, void *out, size_t out_size,
               size_t *ret_size, struct error *err);

#endif
