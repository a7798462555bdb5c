/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_virtio_blk.c - requests to the block device (virtio 1.2, 5.2.6), from a driver's ring to the backend
 * and back. Negotiation and configuration space: test_virtio_blk_config.c; guests that break the rules:
 * test_virtio_blk_hostile.c.
 */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "blk_guest.h"
#include "ringlet/util.h"

static struct blk_guest blk;

static int setup(void **state)
{
    (void)state;
    blk_guest_create(&blk, NULL, NULL);
    guest_driver_start(blk.guest, GUEST_ALL_FEATURES, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    blk_guest_destroy(&blk);
    return 0;
}

/* For tests that want another disk than setup()'s. */
static void start_with(const struct virtio_blk_config *config, const struct block_info *info)
{
    blk_guest_destroy(&blk);
    blk_guest_create(&blk, config, info);
    guest_driver_start(blk.guest, GUEST_ALL_FEATURES, 0);
}

static void fill(uint8_t *bytes, size_t length, unsigned seed)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(i * 31 + seed);
}

/* --- reads, writes, flushes --- */

static void test_blk_read_brings_the_sectors_and_ends_when_the_backend_is_done(void **state)
{
    struct blk_io io = blk_guest_send(&blk, 0, VIRTIO_BLK_T_IN, 5, 1536);

    (void)state;
    assert_int_equal(blk.disk.pending_count, 1);
    blk_guest_expect_nothing(&blk, 0);
    assert_int_equal(blk_guest_status(&blk, &io), 0xff);
    blk_guest_complete(&blk, 0);
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_OK, 1537);
    blk_guest_expect_nothing(&blk, 0);
    assert_memory_equal(guest_at(blk.guest, io.data, 1536), blk.disk.bytes + 5 * 512, 1536);
}

static void test_blk_write_reaches_its_sectors_and_no_others(void **state)
{
    uint8_t data[1024];
    struct blk_io io;

    (void)state;
    fill(data, sizeof(data), 1);
    io = blk_guest_send_data(&blk, 0, VIRTIO_BLK_T_OUT, 9, data, sizeof(data));
    blk_guest_complete(&blk, 0);
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_OK, 1);
    for (uint64_t i = 0; i < BLK_GUEST_CAPACITY; i++) {
        bool written = i >= 9 * 512 && i < 11 * 512;

        assert_int_equal(blk.disk.bytes[i], written ? data[i - 9 * 512] : blk_guest_pattern(i));
    }
}

static void test_blk_data_goes_straight_between_backend_and_guest_ram(void **state)
{
    struct blk_io io = blk_guest_send(&blk, 0, VIRTIO_BLK_T_IN, 0, 4096);
    const struct block_request *request = memory_block_pending(&blk.disk, 0);

    (void)state;
    assert_int_equal(request->iov_count, 1);
    assert_ptr_equal(request->iov[0].iov_base, guest_at(blk.guest, io.data, 4096));
}

static void test_blk_flush_makes_stable_what_was_written_before(void **state)
{
    uint8_t data[512];
    struct blk_io io;

    (void)state;
    fill(data, sizeof(data), 2);
    io = blk_guest_send_data(&blk, 0, VIRTIO_BLK_T_OUT, 3, data, sizeof(data));
    blk_guest_complete(&blk, 0);
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_OK, 1);
    assert_memory_not_equal(blk.disk.stable + 3 * 512, data, sizeof(data));

    io = blk_guest_send(&blk, 0, VIRTIO_BLK_T_FLUSH, 0, 0);
    assert_int_equal(blk.disk.submits[BLOCK_FLUSH], 1);
    blk_guest_expect_nothing(&blk, 0);
    blk_guest_complete(&blk, 0);
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_OK, 1);
    assert_memory_equal(blk.disk.stable + 3 * 512, data, sizeof(data));
}

static void test_blk_transfer_without_data_needs_no_backend(void **state)
{
    struct blk_io io = blk_guest_send(&blk, 0, VIRTIO_BLK_T_OUT, 0, 0);

    (void)state;
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_OK, 1);
    assert_int_equal(memory_block_submit_count(&blk.disk), 0);
}

static void test_blk_read_past_end_fails_with_ioerr(void **state)
{
    struct blk_io io = blk_guest_send(&blk, 0, VIRTIO_BLK_T_IN, BLK_GUEST_CAPACITY / 512 - 1, 1024);

    (void)state;
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_IOERR, 0);
    assert_int_equal(memory_block_submit_count(&blk.disk), 0);
}

static void test_blk_write_past_end_fails_with_ioerr_and_writes_nothing(void **state)
{
    struct blk_io io = blk_guest_send(&blk, 0, VIRTIO_BLK_T_OUT, BLK_GUEST_CAPACITY / 512 - 1, 1024);

    (void)state;
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_IOERR, 1);
    assert_int_equal(memory_block_submit_count(&blk.disk), 0);
}

/* --- the host fails --- */

static void test_blk_host_errors_reach_the_driver_as_ioerr(void **state)
{
    static const int errors[] = { -EIO, -ENOSPC, -EINVAL, -ECANCELED, -ENOMEM };
    struct virtio_blk_discard_write_zeroes segment = { .num_sectors = htole32(8) };
    char text[128];

    (void)state;
    assert_int_equal(virtio_device_report(blk.guest->device, text, sizeof(text)), VIRTIO_REPORT_NONE);
    for (unsigned i = 0; i < ARRAY_SIZE(errors); i++) {
        struct blk_io io = blk_guest_send(&blk, 0, VIRTIO_BLK_T_IN, 0, 512);

        blk_guest_fail(&blk, 0, errors[i]);
        blk_guest_expect(&blk, &io, VIRTIO_BLK_S_IOERR, 0);
        io = blk_guest_send(&blk, 0, VIRTIO_BLK_T_OUT, 0, 512);
        blk_guest_fail(&blk, 0, errors[i]);
        blk_guest_expect(&blk, &io, VIRTIO_BLK_S_IOERR, 1);
        io = blk_guest_send(&blk, 0, VIRTIO_BLK_T_FLUSH, 0, 0);
        blk_guest_fail(&blk, 0, errors[i]);
        blk_guest_expect(&blk, &io, VIRTIO_BLK_S_IOERR, 1);
        io = blk_guest_send_data(&blk, 0, VIRTIO_BLK_T_DISCARD, 0, &segment, sizeof(segment));
        blk_guest_fail(&blk, 0, errors[i]);
        blk_guest_expect(&blk, &io, VIRTIO_BLK_S_IOERR, 1);
        io = blk_guest_send_data(&blk, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, &segment, sizeof(segment));
        blk_guest_fail(&blk, 0, errors[i]);
        blk_guest_expect(&blk, &io, VIRTIO_BLK_S_IOERR, 1);
    }
    assert_int_equal(virtio_device_report(blk.guest->device, text, sizeof(text)), VIRTIO_REPORT_TROUBLE);
    /* what was cancelled did not fail */
    assert_string_equal(
        text, "20 of the guest's requests failed on the host, the first one with: Input/output error");
    /* And the disk goes on. */
    assert_int_equal(blk.disk.pending_count, 0);
    blk_guest_send(&blk, 0, VIRTIO_BLK_T_IN, 0, 512);
    assert_int_equal(blk.disk.pending_count, 1);
}

static void test_blk_what_the_host_cannot_do_is_unsupported(void **state)
{
    struct virtio_blk_discard_write_zeroes segment = { .num_sectors = htole32(8) };
    struct blk_io io = blk_guest_send_data(&blk, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, &segment, sizeof(segment));

    (void)state;
    blk_guest_fail(&blk, 0, -EOPNOTSUPP);
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_UNSUPP, 1);
}

/* --- GET_ID --- */

static void expect_id(const char *serial, const char expected[VIRTIO_BLK_ID_BYTES])
{
    struct virtio_blk_config config = blk_guest_config;
    struct blk_io io;

    config.serial = serial;
    start_with(&config, NULL);
    io = blk_guest_send(&blk, 0, VIRTIO_BLK_T_GET_ID, 0, VIRTIO_BLK_ID_BYTES);
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_OK, VIRTIO_BLK_ID_BYTES + 1);
    assert_memory_equal(guest_at(blk.guest, io.data, VIRTIO_BLK_ID_BYTES), expected, VIRTIO_BLK_ID_BYTES);
    assert_int_equal(memory_block_submit_count(&blk.disk), 0);
}

static void test_blk_id_is_padded_with_zeroes_and_ends_without_one_at_20_bytes(void **state)
{
    (void)state;
    expect_id(NULL, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    expect_id("abc", "abc\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    expect_id("12345678901234567890", "12345678901234567890");
    expect_id("12345678901234567890123", "12345678901234567890");
}

static void test_blk_id_is_not_cut_to_fit_a_short_buffer(void **state)
{
    struct blk_io io = blk_guest_send(&blk, 0, VIRTIO_BLK_T_GET_ID, 0, 19);
    uint8_t zeroes[19] = { 0 };

    (void)state;
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_IOERR, 0);
    assert_memory_equal(guest_at(blk.guest, io.data, 19), zeroes, 19);
}

static void test_blk_unknown_request_type_is_unsupported(void **state)
{
    struct blk_io io = blk_guest_send(&blk, 0, VIRTIO_BLK_T_SECURE_ERASE, 0, 0);

    (void)state;
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_UNSUPP, 1);
}

/* --- read-only --- */

static void test_blk_write_to_a_read_only_disk_fails_with_ioerr_and_writes_nothing(void **state)
{
    struct virtio_blk_discard_write_zeroes segment = { .num_sectors = htole32(8) };
    struct block_info info = blk_guest_info;
    struct blk_io io;

    (void)state;
    info.read_only = true;
    start_with(NULL, &info);
    io = blk_guest_send(&blk, 0, VIRTIO_BLK_T_OUT, 0, 512);
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_IOERR, 1);
    /* Not offered, so not supported; and not done. */
    io = blk_guest_send_data(&blk, 0, VIRTIO_BLK_T_DISCARD, 0, &segment, sizeof(segment));
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_UNSUPP, 1);
    io = blk_guest_send_data(&blk, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, &segment, sizeof(segment));
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_UNSUPP, 1);
    assert_int_equal(memory_block_submit_count(&blk.disk), 0);

    io = blk_guest_send(&blk, 0, VIRTIO_BLK_T_IN, 0, 512);
    blk_guest_complete(&blk, 0);
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_OK, 513);
}

static void test_blk_read_only_holds_for_a_driver_that_did_not_accept_the_feature(void **state)
{
    struct block_info info = blk_guest_info;
    struct blk_io io;

    (void)state;
    info.read_only = true;
    blk_guest_destroy(&blk);
    blk_guest_create(&blk, NULL, &info);
    guest_driver_start(blk.guest, UINT64_C(1) << VIRTIO_F_VERSION_1, 0);
    blk.direct = true;
    io = blk_guest_send(&blk, 0, VIRTIO_BLK_T_OUT, 0, 512);
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_IOERR, 1);
    assert_int_equal(memory_block_submit_count(&blk.disk), 0);
}

/* --- discard and write zeroes --- */

static void test_blk_discard_of_many_segments_completes_once_after_the_last(void **state)
{
    struct virtio_blk_discard_write_zeroes segments[3];
    struct blk_io io;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(segments); i++)
        segments[i] =
            (struct virtio_blk_discard_write_zeroes){ .sector = htole64(16 * i), .num_sectors = htole32(8) };
    io = blk_guest_send_data(&blk, 0, VIRTIO_BLK_T_DISCARD, 0, segments, sizeof(segments));
    for (unsigned i = 0; i < ARRAY_SIZE(segments); i++) {
        blk_guest_expect_nothing(&blk, 0);
        assert_int_equal(blk.disk.pending_count, 1);
        assert_int_equal(memory_block_pending(&blk.disk, 0)->op, BLOCK_DISCARD);
        assert_int_equal(memory_block_pending(&blk.disk, 0)->offset, 16 * i * 512);
        assert_int_equal(memory_block_pending(&blk.disk, 0)->length, 8 * 512);
        blk_guest_complete(&blk, 0);
    }
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_OK, 1);
    blk_guest_expect_nothing(&blk, 0);
    assert_int_equal(blk.disk.pending_count, 0);
    assert_int_equal(blk.guest->device->in_flight, 0);
}

static void test_blk_discard_stops_at_the_first_segment_that_fails(void **state)
{
    struct virtio_blk_discard_write_zeroes segments[3];
    struct blk_io io;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(segments); i++)
        segments[i] =
            (struct virtio_blk_discard_write_zeroes){ .sector = htole64(16 * i), .num_sectors = htole32(8) };
    io = blk_guest_send_data(&blk, 0, VIRTIO_BLK_T_DISCARD, 0, segments, sizeof(segments));
    blk_guest_complete(&blk, 0);
    blk_guest_fail(&blk, 0, -EIO);
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_IOERR, 1);
    assert_int_equal(blk.disk.pending_count, 0);
    assert_int_equal(blk.disk.submits[BLOCK_DISCARD], 2);
}

static void test_blk_write_zeroes_reads_as_zeroes_with_and_without_unmap(void **state)
{
    uint8_t zeroes[8 * 512] = { 0 };

    (void)state;
    for (uint32_t flags = 0; flags <= VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP; flags++) {
        struct virtio_blk_discard_write_zeroes segment = { .sector = htole64(8 + 16 * flags),
                                                           .num_sectors = htole32(8),
                                                           .flags = htole32(flags) };
        struct blk_io io =
            blk_guest_send_data(&blk, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, &segment, sizeof(segment));

        assert_int_equal(memory_block_pending(&blk.disk, 0)->flags, flags ? BLOCK_MAY_UNMAP : 0);
        blk_guest_complete(&blk, 0);
        blk_guest_expect(&blk, &io, VIRTIO_BLK_S_OK, 1);

        io = blk_guest_send(&blk, 0, VIRTIO_BLK_T_IN, 8 + 16 * flags, sizeof(zeroes));
        blk_guest_complete(&blk, 0);
        blk_guest_expect(&blk, &io, VIRTIO_BLK_S_OK, sizeof(zeroes) + 1);
        assert_memory_equal(guest_at(blk.guest, io.data, sizeof(zeroes)), zeroes, sizeof(zeroes));
    }
}

static void test_blk_discard_with_unmap_or_an_unknown_flag_is_unsupported(void **state)
{
    (void)state;
    for (uint32_t flags = 1; flags <= 2; flags++) {
        struct virtio_blk_discard_write_zeroes segment = { .num_sectors = htole32(8),
                                                           .flags = htole32(flags) };
        struct blk_io io = blk_guest_send_data(&blk, 0, VIRTIO_BLK_T_DISCARD, 0, &segment, sizeof(segment));

        blk_guest_expect(&blk, &io, VIRTIO_BLK_S_UNSUPP, 1);
    }
    assert_int_equal(memory_block_submit_count(&blk.disk), 0);
}

static void test_blk_discard_that_was_not_negotiated_is_unsupported(void **state)
{
    struct virtio_blk_discard_write_zeroes segment = { .num_sectors = htole32(8) };
    struct blk_io io;

    (void)state;
    blk_guest_destroy(&blk);
    blk_guest_create(&blk, NULL, NULL);
    guest_driver_start(blk.guest, UINT64_C(1) << VIRTIO_F_VERSION_1, 0);
    blk.direct = true;
    io = blk_guest_send_data(&blk, 0, VIRTIO_BLK_T_DISCARD, 0, &segment, sizeof(segment));
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_UNSUPP, 1);
    io = blk_guest_send_data(&blk, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, &segment, sizeof(segment));
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_UNSUPP, 1);
}

/* --- many at once --- */

static void test_blk_requests_may_end_in_any_order(void **state)
{
    static const unsigned places[] = { 5, 0, 3, 0, 1, 0 }; /* each among those still pending */
    struct blk_io ios[6];
    unsigned order[6], left[6] = { 0, 1, 2, 3, 4, 5 };

    (void)state;
    for (unsigned i = 0; i < 6; i++)
        ios[i] = blk_guest_add(&blk, 0, VIRTIO_BLK_T_IN, i * 10, 512);
    guest_queue_kick(&blk.guest->queues[0]);
    assert_int_equal(blk.disk.pending_count, 6);
    for (unsigned i = 0; i < 6; i++) {
        order[i] = left[places[i]];
        memmove(&left[places[i]], &left[places[i] + 1], (5 - places[i]) * sizeof(left[0]));
        blk_guest_complete(&blk, places[i]);
    }
    for (unsigned i = 0; i < 6; i++) {
        const struct blk_io *io = &ios[order[i]];

        blk_guest_expect(&blk, io, VIRTIO_BLK_S_OK, 513);
        assert_memory_equal(guest_at(blk.guest, io->data, 512), blk.disk.bytes + order[i] * 10 * 512, 512);
    }
    blk_guest_expect_nothing(&blk, 0);
}

static void test_blk_a_whole_queue_may_be_in_flight_and_the_bell_works_afterwards(void **state)
{
    struct guest_queue *queue = &blk.guest->queues[0];
    struct blk_io ios[64], one_more;

    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 64; i++)
            ios[i] = blk_guest_add(&blk, 0, VIRTIO_BLK_T_IN, i, 512);
        guest_queue_kick_if_wanted(queue);
        assert_int_equal(blk.disk.pending_count, 64);

        blk_guest_complete(&blk, 7);
        blk_guest_expect(&blk, &ios[7], VIRTIO_BLK_S_OK, 513);
        one_more = blk_guest_add(&blk, 0, VIRTIO_BLK_T_IN, 100, 512);
        assert_true(guest_queue_kick_if_wanted(queue));
        assert_int_equal(blk.disk.pending_count, 64);

        blk_guest_complete_all(&blk);
        for (unsigned i = 0; i < 64; i++) {
            if (i != 7)
                blk_guest_expect(&blk, &ios[i], VIRTIO_BLK_S_OK, 513);
        }
        blk_guest_expect(&blk, &one_more, VIRTIO_BLK_S_OK, 513);
    }
}

static void test_blk_completions_of_one_turn_raise_one_interrupt(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10; i++)
        blk_guest_add(&blk, 0, VIRTIO_BLK_T_IN, i, 512);
    guest_queue_kick(&blk.guest->queues[0]);
    guest_take_interrupts(blk.guest);
    blk_guest_complete_all(&blk);
    assert_int_equal(guest_take_interrupts(blk.guest), 1);
}

static void test_blk_queues_are_served_each_for_itself(void **state)
{
    struct virtio_blk_config config = blk_guest_config;
    struct blk_io ios[VIRTIO_BLK_MAX_QUEUES];

    (void)state;
    config.queues = VIRTIO_BLK_MAX_QUEUES;
    config.queue_size = 4;
    start_with(&config, NULL);
    for (unsigned i = 0; i < VIRTIO_BLK_MAX_QUEUES; i++)
        ios[i] = blk_guest_send(&blk, i, VIRTIO_BLK_T_IN, i, 512);
    assert_int_equal(blk.disk.pending_count, VIRTIO_BLK_MAX_QUEUES);
    while (blk.disk.pending_count)
        blk_guest_complete(&blk, blk.disk.pending_count - 1);
    for (unsigned i = 0; i < VIRTIO_BLK_MAX_QUEUES; i++) {
        blk_guest_expect(&blk, &ios[i], VIRTIO_BLK_S_OK, 513);
        blk_guest_expect_nothing(&blk, i);
        assert_memory_equal(guest_at(blk.guest, ios[i].data, 512), blk.disk.bytes + i * 512, 512);
    }
}

/* --- framing (2.7.4) --- */

static void test_blk_request_cut_into_odd_pieces_and_across_a_border_of_ram_is_served(void **state)
{
    struct guest_driver *guest = blk.guest;
    struct virtio_blk_outhdr header = { .type = htole32(VIRTIO_BLK_T_IN), .sector = htole64(2) };
    uint64_t at = guest_alloc(guest, sizeof(header), 16);
    uint64_t high = guest_alloc_high(guest, 301, 1);
    /* 1024 bytes: 100 around the seam, 624 in low RAM, 300 above 4 GiB, and the status after these */
    const uint64_t seam = GUEST_RAM_SEAM - 50, low = guest_alloc(guest, 624, 1);
    const struct guest_segment segments[] = {
        { at, 3, false },    { at + 3, 1, false }, { at + 4, 12, false },
        { seam, 100, true }, { low, 624, true },   { high, 301, true },
    };
    struct guest_used used;
    uint8_t read[1024], status = 0xff;
    uint16_t head;

    (void)state;
    guest_write(guest, at, &header, sizeof(header));
    guest_write(guest, high + 300, &status, 1);
    for (unsigned direct = 0; direct <= ARRAY_SIZE(segments); direct += 3) {
        if (direct < ARRAY_SIZE(segments))
            head = guest_queue_add_indirect(&guest->queues[0], segments, ARRAY_SIZE(segments), direct);
        else
            head = guest_queue_add(&guest->queues[0], segments, ARRAY_SIZE(segments));
        guest_queue_kick(&guest->queues[0]);
        assert_int_equal(blk.disk.pending_count, 1);
        blk_guest_complete(&blk, 0);
        assert_true(guest_queue_take_used(&guest->queues[0], &used));
        assert_int_equal(used.head, head);
        assert_int_equal(used.length, 1025);
        guest_read(guest, seam, read, 100);
        guest_read(guest, low, read + 100, 624);
        guest_read(guest, high, read + 724, 300);
        assert_memory_equal(read, blk.disk.bytes + 2 * 512, 1024);
        guest_read(guest, high + 300, &status, 1);
        assert_int_equal(status, VIRTIO_BLK_S_OK);
    }
}

static void test_blk_request_with_seg_max_segments_is_served_even_across_borders_of_ram(void **state)
{
    struct guest_driver *guest = blk.guest;
    struct virtio_blk_outhdr header = { .type = htole32(VIRTIO_BLK_T_OUT) };
    struct guest_segment segments[62 + 2];
    uint32_t seg_max;
    uint64_t at;

    (void)state;
    guest_config_read(guest, offsetof(struct virtio_blk_config_space, seg_max), &seg_max, sizeof(seg_max));
    assert_int_equal(le32toh(seg_max), 62);
    at = guest_alloc(guest, 17 + 512, 16);
    guest_write(guest, at, &header, sizeof(header));
    segments[0] = (struct guest_segment){ at, 16, false };
    for (unsigned i = 1; i <= 62; i++)
        segments[i] = (struct guest_segment){ at + 17, 512, false };
    segments[30].address = GUEST_RAM_SEAM - 1;
    segments[63] = (struct guest_segment){ at + 16, 1, true };
    guest_queue_add(&guest->queues[0], segments, ARRAY_SIZE(segments));
    guest_queue_kick(&guest->queues[0]);
    assert_int_equal(blk.disk.pending_count, 1);
    assert_int_equal(memory_block_pending(&blk.disk, 0)->length, 62 * 512);
    assert_int_equal(memory_block_pending(&blk.disk, 0)->iov_count, 63);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_blk_read_brings_the_sectors_and_ends_when_the_backend_is_done),
        TEST(test_blk_write_reaches_its_sectors_and_no_others),
        TEST(test_blk_data_goes_straight_between_backend_and_guest_ram),
        TEST(test_blk_flush_makes_stable_what_was_written_before),
        TEST(test_blk_transfer_without_data_needs_no_backend),
        TEST(test_blk_read_past_end_fails_with_ioerr),
        TEST(test_blk_write_past_end_fails_with_ioerr_and_writes_nothing),
        TEST(test_blk_host_errors_reach_the_driver_as_ioerr),
        TEST(test_blk_what_the_host_cannot_do_is_unsupported),
        TEST(test_blk_id_is_padded_with_zeroes_and_ends_without_one_at_20_bytes),
        TEST(test_blk_id_is_not_cut_to_fit_a_short_buffer),
        TEST(test_blk_unknown_request_type_is_unsupported),
        TEST(test_blk_write_to_a_read_only_disk_fails_with_ioerr_and_writes_nothing),
        TEST(test_blk_read_only_holds_for_a_driver_that_did_not_accept_the_feature),
        TEST(test_blk_discard_of_many_segments_completes_once_after_the_last),
        TEST(test_blk_discard_stops_at_the_first_segment_that_fails),
        TEST(test_blk_write_zeroes_reads_as_zeroes_with_and_without_unmap),
        TEST(test_blk_discard_with_unmap_or_an_unknown_flag_is_unsupported),
        TEST(test_blk_discard_that_was_not_negotiated_is_unsupported),
        TEST(test_blk_requests_may_end_in_any_order),
        TEST(test_blk_a_whole_queue_may_be_in_flight_and_the_bell_works_afterwards),
        TEST(test_blk_completions_of_one_turn_raise_one_interrupt),
        TEST(test_blk_queues_are_served_each_for_itself),
        TEST(test_blk_request_cut_into_odd_pieces_and_across_a_border_of_ram_is_served),
        TEST(test_blk_request_with_seg_max_segments_is_served_even_across_borders_of_ram),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
