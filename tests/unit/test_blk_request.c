/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_blk_request.c - the block device's request parser alone: plain iovecs in, a verdict out.
 */
#include "../../src/devices/blk_request.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/devices/blk_wire.h"
#include "ringlet/iov.h"
#include "ringlet/util.h"
#include "ringlet/virtqueue.h"

#define CAPACITY 1000 /* sectors */

static const struct blk_disk ordinary_disk = {
    .capacity = CAPACITY,
    .can_discard = true,
    .can_write_zeroes = true,
};

/* A chain built vector by vector: the readable ones first. */
struct builder {
    struct iovec iov[64];
    struct virtqueue_chain chain;
    struct blk_request request;
};

static void add_out(struct builder *builder, void *bytes, size_t length)
{
    assert_int_equal(builder->chain.in_count, 0);
    builder->iov[builder->chain.out_count++] = (struct iovec){ bytes, length };
    builder->chain.out_length += length;
}

static void add_in(struct builder *builder, void *bytes, size_t length)
{
    builder->iov[builder->chain.out_count + builder->chain.in_count++] = (struct iovec){ bytes, length };
    builder->chain.in_length += length;
}

static int parse_for(struct builder *builder, const struct blk_disk *disk)
{
    builder->chain.iov = builder->iov;
    builder->chain.iov_max = ARRAY_SIZE(builder->iov);
    return blk_request_parse(&builder->chain, disk, &builder->request);
}

static void parse(struct builder *builder)
{
    assert_int_equal(parse_for(builder, &ordinary_disk), 0);
}

static struct virtio_blk_outhdr header_of(uint32_t type, uint64_t sector)
{
    return (struct virtio_blk_outhdr){ .type = htole32(type), .sector = htole64(sector) };
}

static void assert_answer(const struct builder *builder, uint8_t status)
{
    assert_int_equal(builder->request.action, BLK_ANSWER);
    assert_int_equal(builder->request.status, status);
}

/* --- framing --- */

static void test_blk_request_without_any_writable_byte_cannot_be_answered(void **state)
{
    struct virtio_blk_outhdr header = header_of(VIRTIO_BLK_T_OUT, 0);
    struct builder builder = { 0 };
    char data[512];

    (void)state;
    add_out(&builder, &header, sizeof(header));
    add_out(&builder, data, sizeof(data));
    assert_int_equal(parse_for(&builder, &ordinary_disk), -EINVAL);
}

static void test_blk_request_whose_writable_vectors_are_empty_cannot_be_answered(void **state)
{
    struct virtio_blk_outhdr header = header_of(VIRTIO_BLK_T_IN, 0);
    struct builder builder = { 0 };

    (void)state;
    add_out(&builder, &header, sizeof(header));
    add_in(&builder, &header, 0);
    assert_int_equal(parse_for(&builder, &ordinary_disk), -EINVAL);
}

static void test_blk_request_with_a_short_header_is_an_ioerr(void **state)
{
    struct virtio_blk_outhdr header = header_of(VIRTIO_BLK_T_FLUSH, 0);

    (void)state;
    for (size_t length = 0; length < sizeof(header); length++) {
        struct builder builder = { 0 };
        uint8_t status;

        add_out(&builder, &header, length);
        add_in(&builder, &status, 1);
        parse(&builder);
        assert_answer(&builder, VIRTIO_BLK_S_IOERR);
        assert_ptr_equal(builder.request.status_byte, &status);
    }
}

static void test_blk_request_with_no_readable_part_at_all_is_an_ioerr(void **state)
{
    struct builder builder = { 0 };
    uint8_t status;

    (void)state;
    add_in(&builder, &status, 1);
    parse(&builder);
    assert_answer(&builder, VIRTIO_BLK_S_IOERR);
}

static void test_blk_request_is_understood_wherever_its_readable_part_is_cut(void **state)
{
    uint8_t readable[sizeof(struct virtio_blk_outhdr) + 1024];
    struct virtio_blk_outhdr header = header_of(VIRTIO_BLK_T_OUT, 7);

    (void)state;
    for (size_t i = 0; i < sizeof(readable); i++)
        readable[i] = (uint8_t)(i * 7);
    memcpy(readable, &header, sizeof(header));

    for (size_t first = 0; first <= 40; first++) {
        for (size_t second = 0; second <= 40; second++) {
            struct builder builder = { 0 };
            uint8_t status, data[1024];
            struct iov_cursor cursor;

            add_out(&builder, readable, first);
            add_out(&builder, readable + first, second);
            add_out(&builder, readable + first + second, sizeof(readable) - first - second);
            add_in(&builder, &status, 1);
            parse(&builder);

            assert_int_equal(builder.request.action, BLK_SUBMIT);
            assert_int_equal(builder.request.op, BLOCK_WRITE);
            assert_int_equal(builder.request.range_count, 1);
            assert_int_equal(builder.request.ranges[0].offset, 7 * 512);
            assert_int_equal(builder.request.ranges[0].length, 1024);
            assert_int_equal(iov_length(builder.request.iov, builder.request.iov_count), 1024);
            cursor = iov_cursor_make(builder.request.iov, builder.request.iov_count);
            assert_int_equal(iov_cursor_copy_out(&cursor, data, sizeof(data)), sizeof(data));
            assert_memory_equal(data, readable + sizeof(header), sizeof(data));
        }
    }
}

static void test_blk_request_status_is_the_last_writable_byte_wherever_the_part_is_cut(void **state)
{
    struct virtio_blk_outhdr header = header_of(VIRTIO_BLK_T_IN, 3);
    uint8_t writable[1025];

    (void)state;
    for (size_t cut = 0; cut <= sizeof(writable); cut++) {
        struct builder builder = { 0 };
        const uint8_t *next = writable;

        add_out(&builder, &header, sizeof(header));
        add_in(&builder, writable, cut);
        add_in(&builder, writable + cut, sizeof(writable) - cut);
        parse(&builder);

        assert_int_equal(builder.request.action, BLK_SUBMIT);
        assert_int_equal(builder.request.op, BLOCK_READ);
        assert_ptr_equal(builder.request.status_byte, &writable[1024]);
        assert_int_equal(builder.request.room, 1024);
        assert_int_equal(builder.request.ranges[0].length, 1024);
        for (unsigned i = 0; i < builder.request.iov_count; i++) {
            if (!builder.request.iov[i].iov_len)
                continue;
            assert_ptr_equal(builder.request.iov[i].iov_base, next);
            next += builder.request.iov[i].iov_len;
        }
        assert_ptr_equal(next, &writable[1024]);
    }
}

static void test_blk_request_empty_vectors_around_the_status_byte_are_passed_over(void **state)
{
    struct virtio_blk_outhdr header = header_of(VIRTIO_BLK_T_IN, 0);
    struct builder builder = { 0 };
    uint8_t data[512], status;

    (void)state;
    add_out(&builder, &header, sizeof(header));
    add_in(&builder, data, sizeof(data));
    add_in(&builder, data, 0);
    add_in(&builder, &status, 1);
    add_in(&builder, data, 0);
    parse(&builder);
    assert_int_equal(builder.request.action, BLK_SUBMIT);
    assert_ptr_equal(builder.request.status_byte, &status);
    assert_int_equal(builder.request.iov_count, 1);
    assert_ptr_equal(builder.request.iov[0].iov_base, data);
    assert_int_equal(builder.request.iov[0].iov_len, sizeof(data));
}

/* --- reads and writes --- */

/* The verdict on a transfer of `length` bytes at `sector`. */
static struct blk_request transfer(const struct blk_disk *disk, uint32_t type, uint64_t sector, size_t length)
{
    struct virtio_blk_outhdr header = header_of(type, sector);
    struct builder builder = { 0 };
    uint8_t status;
    /* Never touched: the parser looks at lengths only. */
    static uint8_t data[(CAPACITY + 1) * 512];

    assert_true(length <= sizeof(data));
    add_out(&builder, &header, sizeof(header));
    if (type == VIRTIO_BLK_T_OUT)
        add_out(&builder, data, length);
    else
        add_in(&builder, data, length);
    add_in(&builder, &status, 1);
    assert_int_equal(parse_for(&builder, disk), 0);
    return builder.request;
}

static void assert_transfer(uint32_t type, uint64_t sector, size_t length, enum blk_action action,
                            uint8_t status)
{
    struct blk_request request = transfer(&ordinary_disk, type, sector, length);

    assert_int_equal(request.action, action);
    if (action == BLK_ANSWER)
        assert_int_equal(request.status, status);
}

static void test_blk_request_accepts_transfers_up_to_the_last_sector(void **state)
{
    (void)state;
    for (uint32_t type = VIRTIO_BLK_T_IN; type <= VIRTIO_BLK_T_OUT; type++) {
        assert_transfer(type, 0, 512, BLK_SUBMIT, 0);
        assert_transfer(type, CAPACITY - 1, 512, BLK_SUBMIT, 0);
        assert_transfer(type, 0, CAPACITY * 512, BLK_SUBMIT, 0);
    }
}

static void test_blk_request_past_the_end_is_an_ioerr(void **state)
{
    (void)state;
    for (uint32_t type = VIRTIO_BLK_T_IN; type <= VIRTIO_BLK_T_OUT; type++) {
        assert_transfer(type, CAPACITY, 512, BLK_ANSWER, VIRTIO_BLK_S_IOERR);
        assert_transfer(type, CAPACITY - 1, 1024, BLK_ANSWER, VIRTIO_BLK_S_IOERR);
        assert_transfer(type, 0, (CAPACITY + 1) * 512, BLK_ANSWER, VIRTIO_BLK_S_IOERR);
        assert_transfer(type, CAPACITY + 1, 0, BLK_ANSWER, VIRTIO_BLK_S_IOERR);
    }
}

static void test_blk_request_whose_byte_offset_does_not_fit_64_bits_is_an_ioerr(void **state)
{
    static const uint64_t sectors[] = { UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 55,
                                        (UINT64_C(1) << 55) + 1, UINT64_C(1) << 63 };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(sectors); i++) {
        assert_transfer(VIRTIO_BLK_T_IN, sectors[i], 512, BLK_ANSWER, VIRTIO_BLK_S_IOERR);
        assert_transfer(VIRTIO_BLK_T_OUT, sectors[i], 512, BLK_ANSWER, VIRTIO_BLK_S_IOERR);
        assert_transfer(VIRTIO_BLK_T_IN, sectors[i], 1024, BLK_ANSWER, VIRTIO_BLK_S_IOERR);
    }
}

static void test_blk_request_of_part_of_a_sector_is_an_ioerr(void **state)
{
    static const size_t lengths[] = { 1, 511, 513, 1023 };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
        assert_transfer(VIRTIO_BLK_T_IN, 0, lengths[i], BLK_ANSWER, VIRTIO_BLK_S_IOERR);
        assert_transfer(VIRTIO_BLK_T_OUT, 0, lengths[i], BLK_ANSWER, VIRTIO_BLK_S_IOERR);
    }
}

static void test_blk_request_without_data_is_done_at_once(void **state)
{
    (void)state;
    assert_transfer(VIRTIO_BLK_T_IN, 0, 0, BLK_ANSWER, VIRTIO_BLK_S_OK);
    assert_transfer(VIRTIO_BLK_T_OUT, 0, 0, BLK_ANSWER, VIRTIO_BLK_S_OK);
}

static void test_blk_request_writing_a_read_only_disk_is_an_ioerr(void **state)
{
    struct blk_disk disk = ordinary_disk;

    (void)state;
    disk.read_only = true;
    assert_int_equal(transfer(&disk, VIRTIO_BLK_T_OUT, 0, 512).action, BLK_ANSWER);
    assert_int_equal(transfer(&disk, VIRTIO_BLK_T_OUT, 0, 512).status, VIRTIO_BLK_S_IOERR);
    assert_int_equal(transfer(&disk, VIRTIO_BLK_T_OUT, 0, 0).status, VIRTIO_BLK_S_IOERR);
    assert_int_equal(transfer(&disk, VIRTIO_BLK_T_IN, 0, 512).action, BLK_SUBMIT);
}

/* --- commands without ranges --- */

static void test_blk_request_flush_needs_neither_data_nor_sector(void **state)
{
    (void)state;
    assert_int_equal(transfer(&ordinary_disk, VIRTIO_BLK_T_FLUSH, 0, 0).op, BLOCK_FLUSH);
    /* "MUST set sector to 0" and "SHOULD NOT include any data" bind the driver; the command is clear anyhow.
     */
    assert_int_equal(transfer(&ordinary_disk, VIRTIO_BLK_T_FLUSH, UINT64_MAX, 100).action, BLK_SUBMIT);
    assert_int_equal(transfer(&ordinary_disk, VIRTIO_BLK_T_FLUSH, UINT64_MAX, 100).range_count, 1);
}

static void test_blk_request_get_id_wants_room_for_20_bytes(void **state)
{
    (void)state;
    assert_transfer(VIRTIO_BLK_T_GET_ID, 0, 0, BLK_ANSWER, VIRTIO_BLK_S_IOERR);
    assert_transfer(VIRTIO_BLK_T_GET_ID, 0, 19, BLK_ANSWER, VIRTIO_BLK_S_IOERR);
    assert_transfer(VIRTIO_BLK_T_GET_ID, 0, 20, BLK_GET_ID, 0);
    assert_transfer(VIRTIO_BLK_T_GET_ID, 0, 21, BLK_GET_ID, 0);
}

static void test_blk_request_of_an_unknown_type_is_unsupported(void **state)
{
    (void)state;
    for (uint32_t type = 0; type < 64; type++) {
        if (type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_OUT || type == VIRTIO_BLK_T_FLUSH ||
            type == VIRTIO_BLK_T_GET_ID || type == VIRTIO_BLK_T_DISCARD || type == VIRTIO_BLK_T_WRITE_ZEROES)
            continue;
        assert_transfer(type, 0, 512, BLK_ANSWER, VIRTIO_BLK_S_UNSUPP);
    }
    assert_transfer(VIRTIO_BLK_T_BARRIER | VIRTIO_BLK_T_FLUSH, 0, 512, BLK_ANSWER, VIRTIO_BLK_S_UNSUPP);
    assert_transfer(UINT32_MAX, 0, 512, BLK_ANSWER, VIRTIO_BLK_S_UNSUPP);
}

/* --- discard and write zeroes --- */

static struct virtio_blk_discard_write_zeroes segment_of(uint64_t sector, uint32_t count, uint32_t flags)
{
    return (struct virtio_blk_discard_write_zeroes){ .sector = htole64(sector),
                                                     .num_sectors = htole32(count),
                                                     .flags = htole32(flags) };
}

/* A command with `length` bytes of segments, cut in the middle of the first. */
static struct blk_request command(const struct blk_disk *disk, uint32_t type,
                                  struct virtio_blk_discard_write_zeroes *segments, size_t length)
{
    struct virtio_blk_outhdr header = header_of(type, 0);
    struct builder builder = { 0 };
    size_t first = length < 5 ? length : 5;
    uint8_t status;

    add_out(&builder, &header, sizeof(header));
    add_out(&builder, segments, first);
    add_out(&builder, (uint8_t *)segments + first, length - first);
    add_in(&builder, &status, 1);
    assert_int_equal(parse_for(&builder, disk), 0);
    return builder.request;
}

static void assert_command_fails(uint32_t type, struct virtio_blk_discard_write_zeroes *segments,
                                 size_t length, uint8_t status)
{
    struct blk_request request = command(&ordinary_disk, type, segments, length);

    assert_int_equal(request.action, BLK_ANSWER);
    assert_int_equal(request.status, status);
}

static const uint32_t range_commands[] = { VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES };

static void test_blk_request_discard_yields_each_segment_in_order(void **state)
{
    struct virtio_blk_discard_write_zeroes segments[BLK_MAX_SEGMENTS];
    struct blk_request request;

    (void)state;
    for (unsigned i = 0; i < BLK_MAX_SEGMENTS; i++)
        segments[i] = segment_of(i * 10, i + 1, 0);
    request = command(&ordinary_disk, VIRTIO_BLK_T_DISCARD, segments, sizeof(segments));
    assert_int_equal(request.action, BLK_SUBMIT);
    assert_int_equal(request.op, BLOCK_DISCARD);
    assert_int_equal(request.range_count, BLK_MAX_SEGMENTS);
    for (unsigned i = 0; i < BLK_MAX_SEGMENTS; i++) {
        assert_int_equal(request.ranges[i].offset, i * 10 * 512);
        assert_int_equal(request.ranges[i].length, (i + 1) * 512);
        assert_int_equal(request.ranges[i].flags, 0);
    }
}

static void test_blk_request_write_zeroes_may_unmap_only_where_its_segment_says_so(void **state)
{
    struct virtio_blk_discard_write_zeroes segments[] = {
        segment_of(0, 8, 0),
        segment_of(8, 8, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP),
    };
    struct blk_request request;

    (void)state;
    request = command(&ordinary_disk, VIRTIO_BLK_T_WRITE_ZEROES, segments, sizeof(segments));
    assert_int_equal(request.action, BLK_SUBMIT);
    assert_int_equal(request.op, BLOCK_WRITE_ZEROES);
    assert_int_equal(request.range_count, 2);
    assert_int_equal(request.ranges[0].flags, 0);
    assert_int_equal(request.ranges[1].flags, BLOCK_MAY_UNMAP);
}

static void test_blk_request_discard_with_the_unmap_flag_is_unsupported(void **state)
{
    struct virtio_blk_discard_write_zeroes segment = segment_of(0, 8, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);

    (void)state;
    assert_command_fails(VIRTIO_BLK_T_DISCARD, &segment, sizeof(segment), VIRTIO_BLK_S_UNSUPP);
}

static void test_blk_request_with_an_unknown_flag_is_unsupported_whatever_else_is_wrong(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(range_commands); i++) {
        for (unsigned bit = 1; bit < 32; bit++) {
            struct virtio_blk_discard_write_zeroes segments[] = {
                segment_of(CAPACITY, 8, 0), /* past the end */
                segment_of(0, 8, UINT32_C(1) << bit),
            };

            assert_command_fails(range_commands[i], segments, sizeof(segments), VIRTIO_BLK_S_UNSUPP);
        }
    }
}

static void test_blk_request_segment_past_the_end_is_an_ioerr(void **state)
{
    static const struct {
        uint64_t sector;
        uint32_t count;
    } ranges[] = {
        { CAPACITY, 1 }, { CAPACITY - 1, 2 }, { UINT64_MAX, 1 }, { UINT64_C(1) << 55, 1 }, { CAPACITY + 1, 0 }
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(range_commands); i++) {
        for (unsigned j = 0; j < ARRAY_SIZE(ranges); j++) {
            struct virtio_blk_discard_write_zeroes segments[] = {
                segment_of(0, 8, 0),
                segment_of(ranges[j].sector, ranges[j].count, 0),
            };

            assert_command_fails(range_commands[i], segments, sizeof(segments), VIRTIO_BLK_S_IOERR);
        }
    }
}

static void test_blk_request_segment_longer_than_the_maximum_is_an_ioerr(void **state)
{
    struct blk_disk disk = ordinary_disk;

    (void)state;
    disk.capacity = UINT64_C(1) << 40;
    for (unsigned i = 0; i < ARRAY_SIZE(range_commands); i++) {
        struct virtio_blk_discard_write_zeroes segment = segment_of(5, BLK_MAX_SEGMENT_SECTORS, 0);
        struct blk_request request = command(&disk, range_commands[i], &segment, sizeof(segment));

        assert_int_equal(request.action, BLK_SUBMIT);
        assert_int_equal(request.ranges[0].length, (uint64_t)BLK_MAX_SEGMENT_SECTORS * 512);

        segment = segment_of(5, BLK_MAX_SEGMENT_SECTORS + 1, 0);
        request = command(&disk, range_commands[i], &segment, sizeof(segment));
        assert_int_equal(request.action, BLK_ANSWER);
        assert_int_equal(request.status, VIRTIO_BLK_S_IOERR);
    }
}

static void test_blk_request_segments_of_a_wrong_total_length_are_an_ioerr(void **state)
{
    struct virtio_blk_discard_write_zeroes segments[BLK_MAX_SEGMENTS + 1];

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(segments); i++)
        segments[i] = segment_of(i, 1, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(range_commands); i++) {
        assert_command_fails(range_commands[i], segments, 0, VIRTIO_BLK_S_IOERR);
        assert_command_fails(range_commands[i], segments, 1, VIRTIO_BLK_S_IOERR);
        assert_command_fails(range_commands[i], segments, 15, VIRTIO_BLK_S_IOERR);
        assert_command_fails(range_commands[i], segments, 17, VIRTIO_BLK_S_IOERR);
        assert_command_fails(range_commands[i], segments, sizeof(segments), VIRTIO_BLK_S_IOERR);
    }
}

static void test_blk_request_empty_segments_leave_nothing_to_do(void **state)
{
    struct virtio_blk_discard_write_zeroes segments[] = {
        segment_of(0, 0, 0),
        segment_of(3, 2, 0),
        segment_of(CAPACITY, 0, 0),
    };
    struct blk_request request;

    (void)state;
    request = command(&ordinary_disk, VIRTIO_BLK_T_DISCARD, segments, sizeof(segments));
    assert_int_equal(request.action, BLK_SUBMIT);
    assert_int_equal(request.range_count, 1);
    assert_int_equal(request.ranges[0].offset, 3 * 512);

    request = command(&ordinary_disk, VIRTIO_BLK_T_DISCARD, segments, sizeof(segments[0]));
    assert_int_equal(request.action, BLK_ANSWER);
    assert_int_equal(request.status, VIRTIO_BLK_S_OK);
}

static void test_blk_request_range_commands_not_negotiated_are_unsupported(void **state)
{
    struct virtio_blk_discard_write_zeroes segment = segment_of(0, 8, 0);
    struct blk_disk disk = ordinary_disk;

    (void)state;
    disk.can_discard = false;
    assert_int_equal(command(&disk, VIRTIO_BLK_T_DISCARD, &segment, sizeof(segment)).status,
                     VIRTIO_BLK_S_UNSUPP);
    assert_int_equal(command(&disk, VIRTIO_BLK_T_WRITE_ZEROES, &segment, sizeof(segment)).action, BLK_SUBMIT);
    disk.can_discard = true;
    disk.can_write_zeroes = false;
    assert_int_equal(command(&disk, VIRTIO_BLK_T_WRITE_ZEROES, &segment, sizeof(segment)).status,
                     VIRTIO_BLK_S_UNSUPP);
    assert_int_equal(command(&disk, VIRTIO_BLK_T_DISCARD, &segment, sizeof(segment)).action, BLK_SUBMIT);
}

static void test_blk_request_range_commands_on_a_read_only_disk_are_an_ioerr(void **state)
{
    struct virtio_blk_discard_write_zeroes segment = segment_of(0, 8, 0);
    struct blk_disk disk = ordinary_disk;

    (void)state;
    disk.read_only = true;
    for (unsigned i = 0; i < ARRAY_SIZE(range_commands); i++) {
        struct blk_request request = command(&disk, range_commands[i], &segment, sizeof(segment));

        assert_int_equal(request.action, BLK_ANSWER);
        assert_int_equal(request.status, VIRTIO_BLK_S_IOERR);
    }
}

/* --- the length in the used ring --- */

static void test_blk_written_counts_data_and_status_of_a_read_that_went_well(void **state)
{
    struct blk_request request = transfer(&ordinary_disk, VIRTIO_BLK_T_IN, 0, 1024);

    (void)state;
    assert_int_equal(blk_request_written(&request, VIRTIO_BLK_S_OK), 1025);
}

static void test_blk_written_of_a_failed_read_is_0_because_nothing_reaches_from_the_start(void **state)
{
    struct blk_request request = transfer(&ordinary_disk, VIRTIO_BLK_T_IN, 0, 1024);

    (void)state;
    assert_int_equal(blk_request_written(&request, VIRTIO_BLK_S_IOERR), 0);
    request = transfer(&ordinary_disk, VIRTIO_BLK_T_IN, CAPACITY, 1024);
    assert_int_equal(blk_request_written(&request, request.status), 0);
}

static void test_blk_written_is_the_status_byte_where_nothing_stands_before_it(void **state)
{
    struct blk_request request = transfer(&ordinary_disk, VIRTIO_BLK_T_OUT, 0, 512);

    (void)state;
    assert_int_equal(blk_request_written(&request, VIRTIO_BLK_S_OK), 1);
    assert_int_equal(blk_request_written(&request, VIRTIO_BLK_S_IOERR), 1);
    request = transfer(&ordinary_disk, VIRTIO_BLK_T_IN, 0, 0);
    assert_int_equal(blk_request_written(&request, VIRTIO_BLK_S_OK), 1);
    /* A flush with room for data that nobody writes. */
    request = transfer(&ordinary_disk, VIRTIO_BLK_T_FLUSH, 0, 4);
    assert_int_equal(blk_request_written(&request, VIRTIO_BLK_S_OK), 0);
}

static void test_blk_written_of_get_id_stops_at_the_id_when_the_buffer_is_longer(void **state)
{
    struct blk_request request = transfer(&ordinary_disk, VIRTIO_BLK_T_GET_ID, 0, 20);

    (void)state;
    assert_int_equal(blk_request_written(&request, VIRTIO_BLK_S_OK), 21);
    request = transfer(&ordinary_disk, VIRTIO_BLK_T_GET_ID, 0, 30);
    assert_int_equal(blk_request_written(&request, VIRTIO_BLK_S_OK), 20);
}

static void test_blk_written_saturates_at_32_bits(void **state)
{
    struct blk_request request = { .action = BLK_SUBMIT, .op = BLOCK_READ, .room = UINT64_C(1) << 33 };

    (void)state;
    assert_int_equal(blk_request_written(&request, VIRTIO_BLK_S_OK), UINT32_MAX);
    request.room = UINT32_MAX;
    assert_int_equal(blk_request_written(&request, VIRTIO_BLK_S_OK), UINT32_MAX);
}

/* --- noise --- */

/* What must hold of every verdict, however odd the chain. */
static void check_verdict(const struct builder *builder, const struct blk_disk *disk)
{
    const struct blk_request *request = &builder->request;
    uint64_t total = 0;

    assert_non_null(request->status_byte);
    assert_true(request->action < BLK_ACTION_COUNT);
    assert_int_equal(request->room, builder->chain.in_length - 1);
    if (request->action != BLK_SUBMIT || request->op == BLOCK_FLUSH)
        return;
    assert_in_range(request->range_count, 1, BLK_MAX_SEGMENTS);
    for (unsigned i = 0; i < request->range_count; i++) {
        assert_int_equal(request->ranges[i].offset % 512, 0);
        assert_int_equal(request->ranges[i].length % 512, 0);
        assert_true(request->ranges[i].length > 0);
        assert_true(
            range_within(request->ranges[i].offset, request->ranges[i].length, 0, disk->capacity * 512));
        total += request->ranges[i].length;
    }
    if (request->op == BLOCK_READ || request->op == BLOCK_WRITE) {
        assert_int_equal(request->range_count, 1);
        assert_int_equal(iov_length(request->iov, request->iov_count), total);
    }
    if (request->op != BLOCK_READ)
        assert_false(disk->read_only);
}

static void test_blk_request_noise_never_yields_a_range_outside_the_disk(void **state)
{
    static const uint32_t types[] = { VIRTIO_BLK_T_IN,      VIRTIO_BLK_T_OUT,     VIRTIO_BLK_T_FLUSH,
                                      VIRTIO_BLK_T_GET_ID,  VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES,
                                      VIRTIO_BLK_T_SCSI_CMD };
    unsigned verdicts[BLK_ACTION_COUNT] = { 0 };
    unsigned unanswerable = 0;
    unsigned short seed[3] = { 1, 2, 3 };
    static uint8_t pool[8192];

    (void)state;
    for (unsigned round = 0; round < 200000; round++) {
        struct blk_disk disk = {
            .capacity = (uint64_t)nrand48(seed) % 64,
            .read_only = nrand48(seed) % 8 == 0,
            .can_discard = nrand48(seed) % 2,
            .can_write_zeroes = nrand48(seed) % 2,
        };
        struct builder builder = { 0 };
        struct virtio_blk_outhdr header =
            header_of(types[(unsigned long)nrand48(seed) % ARRAY_SIZE(types)], (uint64_t)nrand48(seed) % 64);
        unsigned out_count = (unsigned)nrand48(seed) % 4, in_count = (unsigned)nrand48(seed) % 4;

        for (unsigned i = 0; i < 256; i++)
            pool[i] = nrand48(seed) % 4 ? 0 : (uint8_t)nrand48(seed);
        if (nrand48(seed) % 16)
            add_out(&builder, &header, sizeof(header));
        for (unsigned i = 0; i < out_count; i++)
            add_out(&builder, pool,
                    (size_t)(nrand48(seed) % 3 ? nrand48(seed) % 5 * 512 : nrand48(seed) % 70));
        for (unsigned i = 0; i < in_count; i++)
            add_in(&builder, pool,
                   (size_t)(nrand48(seed) % 3 ? nrand48(seed) % 5 * 512 : nrand48(seed) % 40));
        if (nrand48(seed) % 2)
            add_in(&builder, pool, 1);
        if (parse_for(&builder, &disk) < 0) {
            unanswerable++;
            assert_int_equal(builder.chain.in_length, 0);
            continue;
        }
        verdicts[builder.request.action]++;
        check_verdict(&builder, &disk);
    }
    /* The noise reached every outcome. */
    assert_true(unanswerable > 0);
    for (unsigned i = 0; i < BLK_ACTION_COUNT; i++)
        assert_true(verdicts[i] > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blk_request_without_any_writable_byte_cannot_be_answered),
        cmocka_unit_test(test_blk_request_whose_writable_vectors_are_empty_cannot_be_answered),
        cmocka_unit_test(test_blk_request_with_a_short_header_is_an_ioerr),
        cmocka_unit_test(test_blk_request_with_no_readable_part_at_all_is_an_ioerr),
        cmocka_unit_test(test_blk_request_is_understood_wherever_its_readable_part_is_cut),
        cmocka_unit_test(test_blk_request_status_is_the_last_writable_byte_wherever_the_part_is_cut),
        cmocka_unit_test(test_blk_request_empty_vectors_around_the_status_byte_are_passed_over),
        cmocka_unit_test(test_blk_request_accepts_transfers_up_to_the_last_sector),
        cmocka_unit_test(test_blk_request_past_the_end_is_an_ioerr),
        cmocka_unit_test(test_blk_request_whose_byte_offset_does_not_fit_64_bits_is_an_ioerr),
        cmocka_unit_test(test_blk_request_of_part_of_a_sector_is_an_ioerr),
        cmocka_unit_test(test_blk_request_without_data_is_done_at_once),
        cmocka_unit_test(test_blk_request_writing_a_read_only_disk_is_an_ioerr),
        cmocka_unit_test(test_blk_request_flush_needs_neither_data_nor_sector),
        cmocka_unit_test(test_blk_request_get_id_wants_room_for_20_bytes),
        cmocka_unit_test(test_blk_request_of_an_unknown_type_is_unsupported),
        cmocka_unit_test(test_blk_request_discard_yields_each_segment_in_order),
        cmocka_unit_test(test_blk_request_write_zeroes_may_unmap_only_where_its_segment_says_so),
        cmocka_unit_test(test_blk_request_discard_with_the_unmap_flag_is_unsupported),
        cmocka_unit_test(test_blk_request_with_an_unknown_flag_is_unsupported_whatever_else_is_wrong),
        cmocka_unit_test(test_blk_request_segment_past_the_end_is_an_ioerr),
        cmocka_unit_test(test_blk_request_segment_longer_than_the_maximum_is_an_ioerr),
        cmocka_unit_test(test_blk_request_segments_of_a_wrong_total_length_are_an_ioerr),
        cmocka_unit_test(test_blk_request_empty_segments_leave_nothing_to_do),
        cmocka_unit_test(test_blk_request_range_commands_not_negotiated_are_unsupported),
        cmocka_unit_test(test_blk_request_range_commands_on_a_read_only_disk_are_an_ioerr),
        cmocka_unit_test(test_blk_written_counts_data_and_status_of_a_read_that_went_well),
        cmocka_unit_test(test_blk_written_of_a_failed_read_is_0_because_nothing_reaches_from_the_start),
        cmocka_unit_test(test_blk_written_is_the_status_byte_where_nothing_stands_before_it),
        cmocka_unit_test(test_blk_written_of_get_id_stops_at_the_id_when_the_buffer_is_longer),
        cmocka_unit_test(test_blk_written_saturates_at_32_bits),
        cmocka_unit_test(test_blk_request_noise_never_yields_a_range_outside_the_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
