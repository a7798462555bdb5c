/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decompress.c - see decompress.h. Each format is one call of its library from buffer to buffer: no window to
 * allocate, the output bounded by its buffer, and no loop of ours that a stream could keep turning (LZ4's
 * loop over blocks consumes input in every round).
 */
#include "decompress.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <lz4.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "ringlet/error.h"
#include "ringlet/util.h"

#define SIZE_TRAILER 4 /* bytes of the unpacked size at a payload's end */

/* The xz dictionary is allocated on the word of the file: the kernel build asks for at most 128 MiB. */
#define XZ_MEMORY_LIMIT (256 * MIB)

#define LZ4_LEGACY_MAGIC      UINT32_C(0x184c2102)
#define LZ4_LEGACY_BLOCK_SIZE (8 * MIB) /* unpacked; only the last block is shorter */

struct span {
    const uint8_t *data;
    size_t size;
};

struct buffer {
    uint8_t *data;
    size_t size;
};

struct format {
    const char *name;
    uint8_t magic[9];
    size_t magic_size; /* 0: has none */
    /* NULL: not supported. The span includes the trailer. */
    int (*unpack)(struct span in, struct buffer out, size_t *ret_size, struct error *err);
};

static uint32_t read_le32(const uint8_t *from)
{
    uint32_t value;

    memcpy(&value, from, sizeof(value)); /* an x86 host is little-endian */
    return value;
}

static int too_large(const char *name, size_t limit, struct error *err)
{
    return error_set(err, -EINVAL,
                     "the %s payload unpacks to more than the %zu bytes that the kernel's header allows for",
                     name, limit);
}

static int damaged(const char *name, const char *why, struct error *err)
{
    return error_set(err, -EINVAL, "the %s payload is damaged (%s)", name, why);
}

static int out_of_memory(const char *name, struct error *err)
{
    return error_set(err, -ENOMEM, "not enough memory to unpack the %s payload", name);
}

static int unpack_gzip(struct span in, struct buffer out, size_t *ret_size, struct error *err)
{
    z_stream stream = { .next_in = (uint8_t *)in.data,
                        .avail_in = (uInt)in.size,
                        .next_out = out.data,
                        .avail_out = (uInt)out.size };
    int result;

    if (in.size > UINT_MAX || out.size > UINT_MAX)
        return too_large("gzip", UINT_MAX, err);
    result = inflateInit2(&stream, 16 + MAX_WBITS); /* 16: a gzip header, not a zlib one */
    if (result != Z_OK)
        return out_of_memory("gzip", err);
    result = inflate(&stream, Z_FINISH);
    inflateEnd(&stream);

    switch (result) {
    case Z_STREAM_END:
        *ret_size = stream.total_out;
        return 0;
    case Z_MEM_ERROR:
        return out_of_memory("gzip", err);
    case Z_BUF_ERROR:
        if (!stream.avail_out)
            return too_large("gzip", out.size, err);
        return damaged("gzip", "it ends in the middle", err);
    default:
        return damaged("gzip", stream.msg ? stream.msg : "its data is invalid", err);
    }
}

/* Not lzma_stream_buffer_decode(): liblzma 5.4's calls a payload that ends early one that is too large. */
static int unpack_xz(struct span in, struct buffer out, size_t *ret_size, struct error *err)
{
    lzma_stream stream = LZMA_STREAM_INIT;
    lzma_ret result;

    if (lzma_stream_decoder(&stream, XZ_MEMORY_LIMIT, 0) != LZMA_OK)
        return out_of_memory("xz", err);
    stream.next_in = in.data;
    stream.avail_in = in.size;
    stream.next_out = out.data;
    stream.avail_out = out.size;
    result = lzma_code(&stream, LZMA_FINISH);
    lzma_end(&stream);

    switch (result) {
    case LZMA_STREAM_END:
        *ret_size = stream.total_out;
        return 0;
    case LZMA_OK:
    case LZMA_BUF_ERROR:
        if (!stream.avail_out)
            return too_large("xz", out.size, err);
        return damaged("xz", "it ends in the middle", err);
    case LZMA_MEM_ERROR:
        return out_of_memory("xz", err);
    case LZMA_MEMLIMIT_ERROR:
        return error_set(err, -EINVAL,
                         "the xz payload wants a dictionary that takes more than %" PRIu64 " MiB",
                         XZ_MEMORY_LIMIT / MIB);
    case LZMA_OPTIONS_ERROR:
        return damaged("xz", "it uses filters or options that liblzma does not know", err);
    default:
        return damaged("xz", "its data is invalid", err);
    }
}

static int unpack_lz4(struct span in, struct buffer out, size_t *ret_size, struct error *err)
{
    size_t in_at = 0, out_at = 0;

    if (in.size < SIZE_TRAILER)
        return damaged("lz4", "it ends in the middle", err);
    in.size -= SIZE_TRAILER; /* nothing marks the last block: without this the size would pass for another */
    while (in_at < in.size) {
        uint32_t block_size;
        size_t room;
        int produced;

        if (in.size - in_at < sizeof(block_size))
            return damaged("lz4", "it ends in the middle of a block's size", err);
        block_size = read_le32(in.data + in_at);
        in_at += sizeof(block_size);
        if (block_size == LZ4_LEGACY_MAGIC) /* also where a second frame begins */
            continue;
        if (!block_size || block_size > in.size - in_at || block_size > INT_MAX)
            return damaged("lz4", "a block's size is wrong", err);
        room = out.size - out_at < LZ4_LEGACY_BLOCK_SIZE ? out.size - out_at : LZ4_LEGACY_BLOCK_SIZE;
        produced = LZ4_decompress_safe((const char *)in.data + in_at, (char *)out.data + out_at,
                                       (int)block_size, (int)room);
        if (produced < 0) {
            if (room == LZ4_LEGACY_BLOCK_SIZE)
                return damaged("lz4", "a block's data is invalid", err);
            return error_set(
                err, -EINVAL, /* liblz4 does not tell which */
                "the lz4 payload is damaged, or unpacks to more than the %zu bytes that the kernel's "
                "header allows for",
                out.size);
        }
        in_at += block_size;
        out_at += (size_t)produced;
    }
    *ret_size = out_at;
    return 0;
}

static int unpack_zstd(struct span in, struct buffer out, size_t *ret_size, struct error *err)
{
    size_t frame_size, produced;

    /* One frame; what follows it (the trailer) would pass for a second one that is broken. */
    frame_size = ZSTD_findFrameCompressedSize(in.data, in.size);
    if (ZSTD_isError(frame_size))
        return damaged("zstd", ZSTD_getErrorName(frame_size), err);
    produced = ZSTD_decompress(out.data, out.size, in.data, frame_size);
    if (ZSTD_isError(produced)) {
        switch (ZSTD_getErrorCode(produced)) {
        case ZSTD_error_dstSize_tooSmall:
            return too_large("zstd", out.size, err);
        case ZSTD_error_memory_allocation:
            return out_of_memory("zstd", err);
        default:
            return damaged("zstd", ZSTD_getErrorName(produced), err);
        }
    }
    *ret_size = produced;
    return 0;
}

static const struct format formats[] = {
    [COMPRESSION_NONE] = { "none", { 0x7f, 'E', 'L', 'F' }, 4, NULL },
    [COMPRESSION_GZIP] = { "gzip", { 0x1f, 0x8b, 0x08 }, 3, unpack_gzip },
    [COMPRESSION_XZ] = { "xz", { 0xfd, '7', 'z', 'X', 'Z', 0 }, 6, unpack_xz },
    [COMPRESSION_LZ4] = { "lz4", { 0x02, 0x21, 0x4c, 0x18 }, 4, unpack_lz4 },
    [COMPRESSION_ZSTD] = { "zstd", { 0x28, 0xb5, 0x2f, 0xfd }, 4, unpack_zstd },
    [COMPRESSION_BZIP2] = { "bzip2", { 'B', 'Z', 'h' }, 3, NULL },
    [COMPRESSION_LZMA] = { "lzma", { 0x5d, 0, 0 }, 3, NULL },
    [COMPRESSION_LZO] = { "lzo", { 0x89, 'L', 'Z', 'O', 0, '\r', '\n', 0x1a, '\n' }, 9, NULL },
    [COMPRESSION_UNKNOWN] = { "unknown", { 0 }, 0, NULL },
};
static_assert(ARRAY_SIZE(formats) == COMPRESSION_COUNT, "one row per format");

enum compression compression_detect(const void *data, size_t size)
{
    for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
        const struct format *format = &formats[i];

        if (format->magic_size && size >= format->magic_size &&
            !memcmp(data, format->magic, format->magic_size))
            return (enum compression)i;
    }
    return COMPRESSION_UNKNOWN;
}

const char *compression_name(enum compression compression)
{
    return formats[compression].name;
}

int decompress(enum compression compression, const void *in, size_t in_size, void *out, size_t out_size,
               size_t *ret_size, struct error *err)
{
    const struct format *format = &formats[compression];
    uint32_t announced;
    size_t produced;
    int result;

    if (!format->unpack)
        return error_set(
            err, -ENOEXEC,
            "its payload's compression (%s) is not supported: use a kernel built with gzip, xz, lz4 or zstd",
            format->name);
    result = format->unpack((struct span){ in, in_size }, (struct buffer){ out, out_size }, &produced, err);
    if (result)
        return result;
    announced = in_size < SIZE_TRAILER ? 0 : read_le32((const uint8_t *)in + in_size - SIZE_TRAILER);
    if (produced != announced)
        return error_set(err, -EINVAL, "the %s payload unpacks to %zu bytes, but says that it holds %" PRIu32,
                         format->name, produced, announced);
    *ret_size = produced;
    return 0;
}
