/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The payload formats: what the kernel's build writes comes out again, what is damaged, cut short, too large
 * or lies about its size is refused, and nothing is read or written outside the two buffers.
 */
#include "../../src/arch/x86/decompress.h"

#include <errno.h>
#include <lzma.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel_builder.h"
#include "ringlet/error.h"
#include "ringlet/util.h"

#define PLAIN_SIZE 100000

static const enum compression compressions[PAYLOAD_FORMAT_COUNT] = {
    [PAYLOAD_NONE] = COMPRESSION_NONE, [PAYLOAD_GZIP] = COMPRESSION_GZIP, [PAYLOAD_XZ] = COMPRESSION_XZ,
    [PAYLOAD_LZ4] = COMPRESSION_LZ4,   [PAYLOAD_ZSTD] = COMPRESSION_ZSTD,
};

static struct kernel_image plain_image(size_t size)
{
    struct kernel_image image = kernel_image_copy(NULL, 0, size);

    for (size_t i = 0; i < size; i++)
        image.data[i] = elf_builder_byte(0, i);
    return image;
}

/* Unpack into a guarded buffer of `room` bytes; the result, and the bytes if asked for. */
static int unpack(enum compression compression, const struct kernel_image *payload, size_t room,
                  struct kernel_image *ret_plain, size_t *ret_size, struct error *err)
{
    struct kernel_image out = kernel_image_copy(NULL, 0, room);
    int result;

    err->text[0] = '\0';
    result = decompress(compression, payload->data, payload->size, out.data, room, ret_size, err);
    if (ret_plain)
        *ret_plain = out;
    else
        kernel_image_finish(&out);
    return result;
}

static void expect_failure(enum compression compression, const struct kernel_image *payload, size_t room,
                           int code, const char *words)
{
    struct error err;
    size_t size = 12345;

    assert_int_equal(unpack(compression, payload, room, NULL, &size, &err), code);
    assert_int_equal(size, 12345);
    if (!strstr(err.text, words))
        fail_msg("expected \"%s\" in: %s", words, err.text);
    assert_non_null(strstr(err.text, compression_name(compression)));
}

static void test_decompress_returns_what_was_packed(void **state)
{
    (void)state;
    for (int format = PAYLOAD_GZIP; format < PAYLOAD_FORMAT_COUNT; format++) {
        struct kernel_image plain = plain_image(PLAIN_SIZE), out;
        struct kernel_image payload = payload_build((enum payload_format)format, plain.data, plain.size);
        struct error err;
        size_t size;

        assert_int_equal(compression_detect(payload.data, payload.size), compressions[format]);
        assert_int_equal(unpack(compressions[format], &payload, PLAIN_SIZE + 1000, &out, &size, &err), 0);
        assert_int_equal(size, PLAIN_SIZE);
        assert_memory_equal(out.data, plain.data, PLAIN_SIZE);
        kernel_image_finish(&out);
        kernel_image_finish(&payload);
        kernel_image_finish(&plain);
    }
}

static void test_decompress_fills_a_buffer_of_exactly_the_size(void **state)
{
    (void)state;
    for (int format = PAYLOAD_GZIP; format < PAYLOAD_FORMAT_COUNT; format++) {
        struct kernel_image plain = plain_image(PLAIN_SIZE);
        struct kernel_image payload = payload_build((enum payload_format)format, plain.data, plain.size);
        struct error err;
        size_t size;

        assert_int_equal(unpack(compressions[format], &payload, PLAIN_SIZE, NULL, &size, &err), 0);
        assert_int_equal(size, PLAIN_SIZE);
        kernel_image_finish(&payload);
        kernel_image_finish(&plain);
    }
}

static void test_decompress_refuses_what_does_not_fit(void **state)
{
    (void)state;
    for (int format = PAYLOAD_GZIP; format < PAYLOAD_FORMAT_COUNT; format++) {
        struct kernel_image plain = plain_image(PLAIN_SIZE);
        struct kernel_image payload = payload_build((enum payload_format)format, plain.data, plain.size);

        expect_failure(compressions[format], &payload, PLAIN_SIZE - 1, -EINVAL,
                       "unpacks to more than the 99999");
        kernel_image_finish(&payload);
        kernel_image_finish(&plain);
    }
}

static void test_decompress_refuses_a_bomb(void **state)
{
    struct kernel_image zeros = kernel_image_copy(NULL, 0, 64 * MIB);

    (void)state;
    for (int format = PAYLOAD_GZIP; format < PAYLOAD_FORMAT_COUNT; format++) {
        struct kernel_image payload = payload_build((enum payload_format)format, zeros.data, zeros.size);

        assert_true(payload.size < MIB);
        expect_failure(compressions[format], &payload, MIB, -EINVAL, "unpacks to more than");
        kernel_image_finish(&payload);
    }
    kernel_image_finish(&zeros);
}

/* Cut anywhere, it is an error: none of these lengths may pass, nor read beyond the end. */
static void test_decompress_refuses_a_payload_cut_short(void **state)
{
    struct kernel_image plain = plain_image(3000);

    (void)state;
    for (int format = PAYLOAD_GZIP; format < PAYLOAD_FORMAT_COUNT; format++) {
        struct kernel_image payload = payload_build((enum payload_format)format, plain.data, plain.size);

        for (size_t size = 0; size < payload.size; size++) {
            struct kernel_image cut = kernel_image_copy(payload.data, payload.size, size);

            struct error err;
            size_t unpacked;

            assert_int_equal(unpack(compressions[format], &cut, 16 * MIB, NULL, &unpacked, &err), -EINVAL);
            assert_non_null(strstr(err.text, compression_name(compressions[format])));
            assert_null(strstr(err.text, "more than")); /* there was more than enough room */
            kernel_image_finish(&cut);
        }
        kernel_image_finish(&payload);
    }
    kernel_image_finish(&plain);
}

static void test_decompress_refuses_a_wrong_size_at_the_end(void **state)
{
    struct kernel_image plain = plain_image(PLAIN_SIZE);

    (void)state;
    for (int format = PAYLOAD_XZ; format < PAYLOAD_FORMAT_COUNT; format++) {
        struct kernel_image payload = payload_build((enum payload_format)format, plain.data, plain.size);

        kernel_image_poke(&payload, payload.size - 4, PLAIN_SIZE + 1, 4);
        expect_failure(compressions[format], &payload, 2 * PLAIN_SIZE, -EINVAL, "says that it holds 100001");
        kernel_image_finish(&payload);
    }
    kernel_image_finish(&plain);
}

static void test_decompress_refuses_damaged_data(void **state)
{
    struct kernel_image plain = plain_image(PLAIN_SIZE);

    (void)state;
    for (int format = PAYLOAD_GZIP; format < PAYLOAD_FORMAT_COUNT; format++) {
        struct kernel_image payload = payload_build((enum payload_format)format, plain.data, plain.size);

        memset(payload.data + 8, 0xff, 40);
        expect_failure(compressions[format], &payload, 2 * PLAIN_SIZE, -EINVAL, "damaged");
        kernel_image_finish(&payload);
    }
    kernel_image_finish(&plain);
}

/* More than one 8 MiB block, the last one short, and a second frame after the first: lz4 -l concatenated. */
static void test_decompress_lz4_reads_all_blocks_and_frames(void **state)
{
    size_t half = 9 * MIB;
    struct kernel_image plain = plain_image(2 * half), out, both;
    struct kernel_image first = payload_build(PAYLOAD_LZ4, plain.data, half);
    struct kernel_image second = payload_build(PAYLOAD_LZ4, plain.data + half, half);
    struct error err;
    size_t size;

    (void)state;
    both = kernel_image_copy(first.data, first.size - 4, first.size - 4 + second.size);
    memcpy(both.data + first.size - 4, second.data, second.size);
    kernel_image_poke(&both, both.size - 4, 2 * half, 4);
    assert_int_equal(unpack(COMPRESSION_LZ4, &both, 2 * half, &out, &size, &err), 0);
    assert_int_equal(size, 2 * half);
    assert_memory_equal(out.data, plain.data, 2 * half);

    kernel_image_finish(&out);
    kernel_image_finish(&both);
    kernel_image_finish(&second);
    kernel_image_finish(&first);
    kernel_image_finish(&plain);
}

static void test_decompress_lz4_refuses_block_sizes_that_lie(void **state)
{
    static const uint32_t sizes[] = { 0, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff };
    struct kernel_image plain = plain_image(3000);

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct kernel_image payload = payload_build(PAYLOAD_LZ4, plain.data, plain.size);

        kernel_image_poke(&payload, 4, sizes[i], 4);
        expect_failure(COMPRESSION_LZ4, &payload, 3000, -EINVAL, "a block's size is wrong");
        kernel_image_finish(&payload);
    }
    kernel_image_finish(&plain);
}

static void test_decompress_xz_refuses_a_dictionary_beyond_the_limit(void **state)
{
    /* Block header of the first block, after 12 bytes of stream header (xz format 1.0.4, 3.1); its CRC is
     * redone. */
    struct kernel_image plain = plain_image(3000);
    struct kernel_image payload = payload_build(PAYLOAD_XZ, plain.data, plain.size);
    size_t header = 12, header_size = (payload.data[header] + 1) * 4u, at;

    (void)state;
    for (at = header; at < header + header_size && payload.data[at] != 0x21; at++) /* LZMA2's filter id */
        continue;
    assert_true(at + 2 < header + header_size);
    payload.data[at + 2] = 38; /* dictionary size code: 2 GiB */
    kernel_image_poke(&payload, header + header_size - 4,
                      lzma_crc32(payload.data + header, header_size - 4, 0), 4);
    expect_failure(COMPRESSION_XZ, &payload, 3000, -EINVAL, "dictionary");
    kernel_image_finish(&payload);
    kernel_image_finish(&plain);
}

static void test_decompress_names_the_formats_it_does_not_support(void **state)
{
    static const struct {
        const char *magic;
        size_t size;
        enum compression compression;
        const char *name;
    } rows[] = {
        { "BZh91AY&SY", 10, COMPRESSION_BZIP2, "bzip2" },
        { "\x5d\0\0\x80\0\xff\xff", 7, COMPRESSION_LZMA, "lzma" },
        { "\x89LZO\0\r\n\x1a\n", 9, COMPRESSION_LZO, "lzo" },
        { "\x04\x22\x4d\x18zzzz", 8, COMPRESSION_UNKNOWN,
          "unknown" }, /* lz4's newer frame: no kernel uses it */
        { "\0\0\0\0\0\0\0\0", 8, COMPRESSION_UNKNOWN, "unknown" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        struct kernel_image payload = kernel_image_copy(rows[i].magic, rows[i].size, rows[i].size);

        assert_int_equal(compression_detect(payload.data, payload.size), rows[i].compression);
        assert_string_equal(compression_name(rows[i].compression), rows[i].name);
        expect_failure(rows[i].compression, &payload, 100, -ENOEXEC, "not supported");
        kernel_image_finish(&payload);
    }
}

static void test_compression_detect_does_not_read_past_a_short_file(void **state)
{
    static const uint8_t xz[] = { 0xfd, '7', 'z', 'X', 'Z', 0 };

    (void)state;
    for (size_t size = 0; size < sizeof(xz); size++) {
        struct kernel_image cut = kernel_image_copy(xz, size, size);

        assert_int_equal(compression_detect(cut.data, size), COMPRESSION_UNKNOWN);
        kernel_image_finish(&cut);
    }
    assert_int_equal(compression_detect(xz, sizeof(xz)), COMPRESSION_XZ);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decompress_returns_what_was_packed),
        cmocka_unit_test(test_decompress_fills_a_buffer_of_exactly_the_size),
        cmocka_unit_test(test_decompress_refuses_what_does_not_fit),
        cmocka_unit_test(test_decompress_refuses_a_bomb),
        cmocka_unit_test(test_decompress_refuses_a_payload_cut_short),
        cmocka_unit_test(test_decompress_refuses_a_wrong_size_at_the_end),
        cmocka_unit_test(test_decompress_refuses_damaged_data),
        cmocka_unit_test(test_decompress_lz4_reads_all_blocks_and_frames),
        cmocka_unit_test(test_decompress_lz4_refuses_block_sizes_that_lie),
        cmocka_unit_test(test_decompress_xz_refuses_a_dictionary_beyond_the_limit),
        cmocka_unit_test(test_decompress_names_the_formats_it_does_not_support),
        cmocka_unit_test(test_compression_detect_does_not_read_past_a_short_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
