/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_blk_ranges.c - the block device's request parser on discard and write zeroes commands, and on noise of
 * all kinds.
 */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "blk_chain.h"
#include "ringlet/iov.h"
#include "ringlet/util.h"

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
    struct virtio_blk_outhdr header = blk_header(type, 0);
    struct blk_chain chain = { 0 };
    size_t first = length < 5 ? length : 5;
    uint8_t status;

    blk_chain_add_out(&chain, &header, sizeof(header));
    blk_chain_add_out(&chain, segments, first);
    blk_chain_add_out(&chain, (uint8_t *)segments + first, length - first);
    blk_chain_add_in(&chain, &status, 1);
    assert_int_equal(blk_chain_parse(&chain, disk), 0);
    return chain.request;
}

static void assert_command_fails(uint32_t type, struct virtio_blk_discard_write_zeroes *segments,
                                 size_t length, uint8_t status)
{
    struct blk_request request = command(&blk_chain_disk, type, segments, length);

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
    request = command(&blk_chain_disk, VIRTIO_BLK_T_DISCARD, segments, sizeof(segments));
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
    request = command(&blk_chain_disk, VIRTIO_BLK_T_WRITE_ZEROES, segments, sizeof(segments));
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
                segment_of(BLK_CHAIN_CAPACITY, 8, 0), /* past the end */
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
    } ranges[] = { { BLK_CHAIN_CAPACITY, 1 },
                   { BLK_CHAIN_CAPACITY - 1, 2 },
                   { UINT64_MAX, 1 },
                   { UINT64_C(1) << 55, 1 },
                   { BLK_CHAIN_CAPACITY + 1, 0 } };

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
    struct blk_disk disk = blk_chain_disk;

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
        segment_of(BLK_CHAIN_CAPACITY, 0, 0),
    };
    struct blk_request request;

    (void)state;
    request = command(&blk_chain_disk, VIRTIO_BLK_T_DISCARD, segments, sizeof(segments));
    assert_int_equal(request.action, BLK_SUBMIT);
    assert_int_equal(request.range_count, 1);
    assert_int_equal(request.ranges[0].offset, 3 * 512);

    request = command(&blk_chain_disk, VIRTIO_BLK_T_DISCARD, segments, sizeof(segments[0]));
    assert_int_equal(request.action, BLK_ANSWER);
    assert_int_equal(request.status, VIRTIO_BLK_S_OK);
}

static void test_blk_request_range_commands_not_negotiated_are_unsupported(void **state)
{
    struct virtio_blk_discard_write_zeroes segment = segment_of(0, 8, 0);
    struct blk_disk disk = blk_chain_disk;

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
    struct blk_disk disk = blk_chain_disk;

    (void)state;
    disk.read_only = true;
    for (unsigned i = 0; i < ARRAY_SIZE(range_commands); i++) {
        struct blk_request request = command(&disk, range_commands[i], &segment, sizeof(segment));

        assert_int_equal(request.action, BLK_ANSWER);
        assert_int_equal(request.status, VIRTIO_BLK_S_IOERR);
    }
}

/* --- noise --- */

/* What must hold of every verdict, however odd the chain. */
static void check_verdict(const struct blk_chain *chain, const struct blk_disk *disk)
{
    const struct blk_request *request = &chain->request;
    uint64_t total = 0;

    assert_non_null(request->status_byte);
    assert_true(request->action < BLK_ACTION_COUNT);
    assert_int_equal(request->room, chain->chain.in_length - 1);
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
        struct blk_chain chain = { 0 };
        struct virtio_blk_outhdr header =
            blk_header(types[(unsigned long)nrand48(seed) % ARRAY_SIZE(types)], (uint64_t)nrand48(seed) % 64);
        unsigned out_count = (unsigned)nrand48(seed) % 4, in_count = (unsigned)nrand48(seed) % 4;

        for (unsigned i = 0; i < 256; i++)
            pool[i] = nrand48(seed) % 4 ? 0 : (uint8_t)nrand48(seed);
        if (nrand48(seed) % 16)
            blk_chain_add_out(&chain, &header, sizeof(header));
        for (unsigned i = 0; i < out_count; i++)
            blk_chain_add_out(&chain, pool,
                              (size_t)(nrand48(seed) % 3 ? nrand48(seed) % 5 * 512 : nrand48(seed) % 70));
        for (unsigned i = 0; i < in_count; i++)
            blk_chain_add_in(&chain, pool,
                             (size_t)(nrand48(seed) % 3 ? nrand48(seed) % 5 * 512 : nrand48(seed) % 40));
        if (nrand48(seed) % 2)
            blk_chain_add_in(&chain, pool, 1);
        if (blk_chain_parse(&chain, &disk) < 0) {
            unanswerable++;
            assert_int_equal(chain.chain.in_length, 0);
            continue;
        }
        verdicts[chain.request.action]++;
        check_verdict(&chain, &disk);
    }
    /* The noise reached every outcome. */
    assert_true(unanswerable > 0);
    for (unsigned i = 0; i < BLK_ACTION_COUNT; i++)
        assert_true(verdicts[i] > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
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
        cmocka_unit_test(test_blk_request_noise_never_yields_a_range_outside_the_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
