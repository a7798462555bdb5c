/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_blk_request.c - the block device's request parser alone: plain iovecs in, a verdict out. Framing,
 * transfers, and the length for the used ring; discard and write zeroes are in test_blk_ranges.c.
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

static void parse(struct blk_chain *chain)
{
    assert_int_equal(blk_chain_parse(chain, &blk_chain_disk), 0);
}

static void assert_answer(const struct blk_chain *chain, uint8_t status)
{
    assert_int_equal(chain->request.action, BLK_ANSWER);
    assert_int_equal(chain->request.status, status);
}

/* --- framing --- */

static void test_blk_request_without_any_writable_byte_cannot_be_answered(void **state)
{
    struct virtio_blk_outhdr header = blk_header(VIRTIO_BLK_T_OUT, 0);
    struct blk_chain chain = { 0 };
    char data[512];

    (void)state;
    blk_chain_add_out(&chain, &header, sizeof(header));
    blk_chain_add_out(&chain, data, sizeof(data));
    assert_int_equal(blk_chain_parse(&chain, &blk_chain_disk), -EINVAL);
}

static void test_blk_request_whose_writable_vectors_are_empty_cannot_be_answered(void **state)
{
    struct virtio_blk_outhdr header = blk_header(VIRTIO_BLK_T_IN, 0);
    struct blk_chain chain = { 0 };

    (void)state;
    blk_chain_add_out(&chain, &header, sizeof(header));
    blk_chain_add_in(&chain, &header, 0);
    assert_int_equal(blk_chain_parse(&chain, &blk_chain_disk), -EINVAL);
}

static void test_blk_request_with_a_short_header_is_an_ioerr(void **state)
{
    struct virtio_blk_outhdr header = blk_header(VIRTIO_BLK_T_FLUSH, 0);

    (void)state;
    for (size_t length = 0; length < sizeof(header); length++) {
        struct blk_chain chain = { 0 };
        uint8_t status;

        blk_chain_add_out(&chain, &header, length);
        blk_chain_add_in(&chain, &status, 1);
        parse(&chain);
        assert_answer(&chain, VIRTIO_BLK_S_IOERR);
        assert_ptr_equal(chain.request.status_byte, &status);
    }
}

static void test_blk_request_with_no_readable_part_at_all_is_an_ioerr(void **state)
{
    struct blk_chain chain = { 0 };
    uint8_t status;

    (void)state;
    blk_chain_add_in(&chain, &status, 1);
    parse(&chain);
    assert_answer(&chain, VIRTIO_BLK_S_IOERR);
}

static void test_blk_request_is_understood_wherever_its_readable_part_is_cut(void **state)
{
    uint8_t readable[sizeof(struct virtio_blk_outhdr) + 1024];
    struct virtio_blk_outhdr header = blk_header(VIRTIO_BLK_T_OUT, 7);

    (void)state;
    for (size_t i = 0; i < sizeof(readable); i++)
        readable[i] = (uint8_t)(i * 7);
    memcpy(readable, &header, sizeof(header));

    for (size_t first = 0; first <= 40; first++) {
        for (size_t second = 0; second <= 40; second++) {
            struct blk_chain chain = { 0 };
            uint8_t status, data[1024];
            struct iov_cursor cursor;

            blk_chain_add_out(&chain, readable, first);
            blk_chain_add_out(&chain, readable + first, second);
            blk_chain_add_out(&chain, readable + first + second, sizeof(readable) - first - second);
            blk_chain_add_in(&chain, &status, 1);
            parse(&chain);

            assert_int_equal(chain.request.action, BLK_SUBMIT);
            assert_int_equal(chain.request.op, BLOCK_WRITE);
            assert_int_equal(chain.request.range_count, 1);
            assert_int_equal(chain.request.ranges[0].offset, 7 * 512);
            assert_int_equal(chain.request.ranges[0].length, 1024);
            assert_int_equal(iov_length(chain.request.iov, chain.request.iov_count), 1024);
            cursor = iov_cursor_make(chain.request.iov, chain.request.iov_count);
            assert_int_equal(iov_cursor_copy_out(&cursor, data, sizeof(data)), sizeof(data));
            assert_memory_equal(data, readable + sizeof(header), sizeof(data));
        }
    }
}

static void test_blk_request_status_is_the_last_writable_byte_wherever_the_part_is_cut(void **state)
{
    struct virtio_blk_outhdr header = blk_header(VIRTIO_BLK_T_IN, 3);
    uint8_t writable[1025];

    (void)state;
    for (size_t cut = 0; cut <= sizeof(writable); cut++) {
        struct blk_chain chain = { 0 };
        const uint8_t *next = writable;

        blk_chain_add_out(&chain, &header, sizeof(header));
        blk_chain_add_in(&chain, writable, cut);
        blk_chain_add_in(&chain, writable + cut, sizeof(writable) - cut);
        parse(&chain);

        assert_int_equal(chain.request.action, BLK_SUBMIT);
        assert_int_equal(chain.request.op, BLOCK_READ);
        assert_ptr_equal(chain.request.status_byte, &writable[1024]);
        assert_int_equal(chain.request.room, 1024);
        assert_int_equal(chain.request.ranges[0].length, 1024);
        for (unsigned i = 0; i < chain.request.iov_count; i++) {
            if (!chain.request.iov[i].iov_len)
                continue;
            assert_ptr_equal(chain.request.iov[i].iov_base, next);
            next += chain.request.iov[i].iov_len;
        }
        assert_ptr_equal(next, &writable[1024]);
    }
}

static void test_blk_request_empty_vectors_around_the_status_byte_are_passed_over(void **state)
{
    struct virtio_blk_outhdr header = blk_header(VIRTIO_BLK_T_IN, 0);
    struct blk_chain chain = { 0 };
    uint8_t data[512], status;

    (void)state;
    blk_chain_add_out(&chain, &header, sizeof(header));
    blk_chain_add_in(&chain, data, sizeof(data));
    blk_chain_add_in(&chain, data, 0);
    blk_chain_add_in(&chain, &status, 1);
    blk_chain_add_in(&chain, data, 0);
    parse(&chain);
    assert_int_equal(chain.request.action, BLK_SUBMIT);
    assert_ptr_equal(chain.request.status_byte, &status);
    assert_int_equal(chain.request.iov_count, 1);
    assert_ptr_equal(chain.request.iov[0].iov_base, data);
    assert_int_equal(chain.request.iov[0].iov_len, sizeof(data));
}

/* --- reads and writes --- */

/* The verdict on a transfer of `length` bytes at `sector`. */
static struct blk_request transfer(const struct blk_disk *disk, uint32_t type, uint64_t sector, size_t length)
{
    struct virtio_blk_outhdr header = blk_header(type, sector);
    struct blk_chain chain = { 0 };
    uint8_t status;
    /* Never touched: the parser looks at lengths only. */
    static uint8_t data[(BLK_CHAIN_CAPACITY + 1) * 512];

    assert_true(length <= sizeof(data));
    blk_chain_add_out(&chain, &header, sizeof(header));
    if (type == VIRTIO_BLK_T_OUT)
        blk_chain_add_out(&chain, data, length);
    else
        blk_chain_add_in(&chain, data, length);
    blk_chain_add_in(&chain, &status, 1);
    assert_int_equal(blk_chain_parse(&chain, disk), 0);
    return chain.request;
}

static void assert_transfer(uint32_t type, uint64_t sector, size_t length, enum blk_action action,
                            uint8_t status)
{
    struct blk_request request = transfer(&blk_chain_disk, type, sector, length);

    assert_int_equal(request.action, action);
    if (action == BLK_ANSWER)
        assert_int_equal(request.status, status);
}

static void test_blk_request_accepts_transfers_up_to_the_last_sector(void **state)
{
    (void)state;
    for (uint32_t type = VIRTIO_BLK_T_IN; type <= VIRTIO_BLK_T_OUT; type++) {
        assert_transfer(type, 0, 512, BLK_SUBMIT, 0);
        assert_transfer(type, BLK_CHAIN_CAPACITY - 1, 512, BLK_SUBMIT, 0);
        assert_transfer(type, 0, BLK_CHAIN_CAPACITY * 512, BLK_SUBMIT, 0);
    }
}

static void test_blk_request_past_the_end_is_an_ioerr(void **state)
{
    (void)state;
    for (uint32_t type = VIRTIO_BLK_T_IN; type <= VIRTIO_BLK_T_OUT; type++) {
        assert_transfer(type, BLK_CHAIN_CAPACITY, 512, BLK_ANSWER, VIRTIO_BLK_S_IOERR);
        assert_transfer(type, BLK_CHAIN_CAPACITY - 1, 1024, BLK_ANSWER, VIRTIO_BLK_S_IOERR);
        assert_transfer(type, 0, (BLK_CHAIN_CAPACITY + 1) * 512, BLK_ANSWER, VIRTIO_BLK_S_IOERR);
        assert_transfer(type, BLK_CHAIN_CAPACITY + 1, 0, BLK_ANSWER, VIRTIO_BLK_S_IOERR);
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
    struct blk_disk disk = blk_chain_disk;

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
    assert_int_equal(transfer(&blk_chain_disk, VIRTIO_BLK_T_FLUSH, 0, 0).op, BLOCK_FLUSH);
    /* "MUST set sector to 0" and "SHOULD NOT include any data" bind the driver; the command is clear anyhow.
     */
    assert_int_equal(transfer(&blk_chain_disk, VIRTIO_BLK_T_FLUSH, UINT64_MAX, 100).action, BLK_SUBMIT);
    assert_int_equal(transfer(&blk_chain_disk, VIRTIO_BLK_T_FLUSH, UINT64_MAX, 100).range_count, 1);
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

/* --- the length in the used ring --- */

static void test_blk_written_counts_data_and_status_of_a_read_that_went_well(void **state)
{
    struct blk_request request = transfer(&blk_chain_disk, VIRTIO_BLK_T_IN, 0, 1024);

    (void)state;
    assert_int_equal(blk_request_written(&request, VIRTIO_BLK_S_OK), 1025);
}

static void test_blk_written_of_a_failed_read_is_0_because_nothing_reaches_from_the_start(void **state)
{
    struct blk_request request = transfer(&blk_chain_disk, VIRTIO_BLK_T_IN, 0, 1024);

    (void)state;
    assert_int_equal(blk_request_written(&request, VIRTIO_BLK_S_IOERR), 0);
    request = transfer(&blk_chain_disk, VIRTIO_BLK_T_IN, BLK_CHAIN_CAPACITY, 1024);
    assert_int_equal(blk_request_written(&request, request.status), 0);
}

static void test_blk_written_is_the_status_byte_where_nothing_stands_before_it(void **state)
{
    struct blk_request request = transfer(&blk_chain_disk, VIRTIO_BLK_T_OUT, 0, 512);

    (void)state;
    assert_int_equal(blk_request_written(&request, VIRTIO_BLK_S_OK), 1);
    assert_int_equal(blk_request_written(&request, VIRTIO_BLK_S_IOERR), 1);
    request = transfer(&blk_chain_disk, VIRTIO_BLK_T_IN, 0, 0);
    assert_int_equal(blk_request_written(&request, VIRTIO_BLK_S_OK), 1);
    /* A flush with room for data that nobody writes. */
    request = transfer(&blk_chain_disk, VIRTIO_BLK_T_FLUSH, 0, 4);
    assert_int_equal(blk_request_written(&request, VIRTIO_BLK_S_OK), 0);
}

static void test_blk_written_of_get_id_stops_at_the_id_when_the_buffer_is_longer(void **state)
{
    struct blk_request request = transfer(&blk_chain_disk, VIRTIO_BLK_T_GET_ID, 0, 20);

    (void)state;
    assert_int_equal(blk_request_written(&request, VIRTIO_BLK_S_OK), 21);
    request = transfer(&blk_chain_disk, VIRTIO_BLK_T_GET_ID, 0, 30);
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
        cmocka_unit_test(test_blk_written_counts_data_and_status_of_a_read_that_went_well),
        cmocka_unit_test(test_blk_written_of_a_failed_read_is_0_because_nothing_reaches_from_the_start),
        cmocka_unit_test(test_blk_written_is_the_status_byte_where_nothing_stands_before_it),
        cmocka_unit_test(test_blk_written_of_get_id_stops_at_the_id_when_the_buffer_is_longer),
        cmocka_unit_test(test_blk_written_saturates_at_32_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
