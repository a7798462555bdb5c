/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_virtio_blk_config.c - the block device before its first request: creation, features, configuration
 * space, cache modes (virtio 1.2, 5.2.3 to 5.2.5, and what 5.2.6.2 makes of them).
 */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "blk_guest.h"
#include "ringlet/util.h"

#define FEATURE(bit) (UINT64_C(1) << (bit))
#define WRITEBACK    offsetof(struct virtio_blk_config_space, wce)

/* 60 bytes, up to and with unused1. Newer kernel headers go on from there. */
#define CONFIG_SIZE (offsetof(struct virtio_blk_config_space, unused1) + 3)

static struct blk_guest blk;

static int setup(void **state)
{
    (void)state;
    blk_guest_create(&blk, NULL, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    blk_guest_destroy(&blk);
    return 0;
}

static void create_with(const struct virtio_blk_config *config, const struct block_info *info)
{
    blk_guest_destroy(&blk);
    blk_guest_create(&blk, config, info);
}

static struct virtio_blk_config_space read_config(void)
{
    struct virtio_blk_config_space config = { 0 };

    guest_config_read(blk.guest, 0, &config, CONFIG_SIZE);
    return config;
}

static bool offers(unsigned bit)
{
    return guest_offered_features(blk.guest) >> bit & 1;
}

/* --- creation --- */

static void expect_refusal(const struct virtio_blk_config *config, const struct block_info *info)
{
    struct guest_driver *guest = guest_driver_create();
    struct virtio_device *device = NULL;
    struct memory_block disk;

    memory_block_init(&disk, &blk_guest_info);
    disk.backend.info = *info;
    assert_int_equal(virtio_blk_create(config, &disk.backend, guest->memory, &device), -EINVAL);
    /* The backend stays the caller's, untouched. */
    assert_null(device);
    assert_null(disk.client);
    assert_false(disk.destroyed);
    memory_block_finish(&disk);
    guest_driver_destroy(guest);
}

static void test_blk_create_refuses_queues_out_of_range(void **state)
{
    static const uint16_t queues[] = { 0, VIRTIO_BLK_MAX_QUEUES + 1, UINT16_MAX };
    static const uint16_t sizes[] = { 0, 1, 3, 100, VIRTIO_BLK_MAX_QUEUE_SIZE * 2, UINT16_MAX };
    struct virtio_blk_config config;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(queues); i++) {
        config = blk_guest_config;
        config.queues = queues[i];
        expect_refusal(&config, &blk_guest_info);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        config = blk_guest_config;
        config.queue_size = sizes[i];
        expect_refusal(&config, &blk_guest_info);
    }
}

static void test_blk_create_refuses_a_backend_whose_sizes_make_no_sense(void **state)
{
    struct block_info info;

    (void)state;
    info = blk_guest_info;
    info.capacity = 1000;
    expect_refusal(&blk_guest_config, &info);
    info = blk_guest_info;
    info.logical_block_size = 0;
    expect_refusal(&blk_guest_config, &info);
    info.logical_block_size = 256;
    expect_refusal(&blk_guest_config, &info);
    info.logical_block_size = 1536;
    expect_refusal(&blk_guest_config, &info);
    info = blk_guest_info;
    info.physical_block_size = 0;
    expect_refusal(&blk_guest_config, &info);
    info.physical_block_size = 3072;
    expect_refusal(&blk_guest_config, &info);
    info.physical_block_size = 4096;
    info.logical_block_size = 8192;
    expect_refusal(&blk_guest_config, &info);
}

static void test_blk_create_attaches_the_backend_to_the_device_and_destroys_it_with_it(void **state)
{
    (void)state;
    assert_ptr_equal(blk.disk.client, &blk.guest->device->client);
    assert_false(blk.disk.destroyed);
    guest_driver_destroy(blk.guest);
    assert_true(blk.disk.destroyed);
    memory_block_finish(&blk.disk);
    blk_guest_create(&blk, NULL, NULL);
}

static void test_blk_device_id_is_2(void **state)
{
    (void)state;
    assert_int_equal(guest_register_read(blk.guest, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_BLOCK);
    assert_int_equal(VIRTIO_ID_BLOCK, 2);
}

/* --- features (5.2.3) --- */

static void test_blk_features_are_those_of_the_disk(void **state)
{
    static const uint64_t always = FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_BLK_F_SEG_MAX) |
                                   FEATURE(VIRTIO_BLK_F_BLK_SIZE) | FEATURE(VIRTIO_BLK_F_TOPOLOGY) |
                                   FEATURE(VIRTIO_BLK_F_FLUSH) | FEATURE(VIRTIO_BLK_F_CONFIG_WCE);
    static const uint64_t ring = FEATURE(28) | FEATURE(29); /* INDIRECT_DESC, EVENT_IDX: the core's */
    struct virtio_blk_config config = blk_guest_config;
    struct block_info info = blk_guest_info;

    (void)state;
    info.can_discard = info.can_write_zeroes = info.write_cache = false;
    create_with(NULL, &info);
    assert_int_equal(guest_offered_features(blk.guest) & ~ring, always);
    info.can_discard = true;
    create_with(NULL, &info);
    assert_int_equal(guest_offered_features(blk.guest) & ~ring, always | FEATURE(VIRTIO_BLK_F_DISCARD));
    info.can_discard = false;
    info.can_write_zeroes = true;
    create_with(NULL, &info);
    assert_int_equal(guest_offered_features(blk.guest) & ~ring, always | FEATURE(VIRTIO_BLK_F_WRITE_ZEROES));
    info.can_discard = info.read_only = true;
    create_with(NULL, &info);
    assert_int_equal(guest_offered_features(blk.guest) & ~ring, always | FEATURE(VIRTIO_BLK_F_RO));
    config.queues = 2;
    create_with(&config, &info);
    assert_int_equal(guest_offered_features(blk.guest) & ~ring,
                     always | FEATURE(VIRTIO_BLK_F_RO) | FEATURE(VIRTIO_BLK_F_MQ));
}

static void test_blk_flush_is_offered_wherever_config_wce_is(void **state)
{
    struct block_info info = blk_guest_info;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        info.write_cache = i & 1;
        info.read_only = i & 2;
        create_with(NULL, &info);
        assert_true(!offers(VIRTIO_BLK_F_CONFIG_WCE) || offers(VIRTIO_BLK_F_FLUSH));
    }
}

static void test_blk_any_subset_of_the_features_is_accepted_again_and_again(void **state)
{
    uint64_t offered = guest_offered_features(blk.guest);

    (void)state;
    for (unsigned bit = 0; bit < 64; bit++) {
        if (bit != VIRTIO_F_VERSION_1)
            assert_true(guest_negotiate(blk.guest, offered & ~FEATURE(bit)));
        assert_true(guest_negotiate(blk.guest, FEATURE(VIRTIO_F_VERSION_1) | (offered & FEATURE(bit))));
    }
    assert_true(guest_negotiate(blk.guest, offered));
}

/* --- configuration space (5.2.4) --- */

static void test_blk_config_describes_the_disk_and_can_be_read_before_features_ok(void **state)
{
    struct virtio_blk_config_space config = read_config();

    (void)state;
    assert_int_equal(guest_status(blk.guest), 0);
    assert_int_equal(le64toh(config.capacity), BLK_GUEST_CAPACITY / 512);
    assert_int_equal(le32toh(config.seg_max), 62);
    assert_int_equal(le32toh(config.blk_size), 512);
    assert_int_equal(config.physical_block_exp, 3);
    assert_int_equal(config.alignment_offset, 0);
    assert_int_equal(le16toh(config.min_io_size), 8);
    assert_int_equal(le32toh(config.opt_io_size), 128);
    assert_int_equal(config.wce, 1);
    assert_true(le32toh(config.max_discard_sectors) > 0);
    assert_true(le32toh(config.max_discard_seg) > 1);
    assert_int_equal(le32toh(config.discard_sector_alignment), 8);
    assert_true(le32toh(config.max_write_zeroes_sectors) > 0);
    assert_true(le32toh(config.max_write_zeroes_seg) > 1);
    assert_int_equal(config.write_zeroes_may_unmap, 1);
}

static void test_blk_config_is_zero_where_a_feature_is_missing_and_in_the_padding(void **state)
{
    struct virtio_blk_config_space config = read_config();
    struct block_info info = blk_guest_info;

    (void)state;
    assert_int_equal(config.size_max, 0);
    assert_int_equal(config.geometry.cylinders, 0);
    assert_int_equal(config.geometry.heads, 0);
    assert_int_equal(config.geometry.sectors, 0);
    assert_int_equal(config.unused, 0);
    assert_int_equal(config.num_queues, 0); /* no MQ */
    assert_memory_equal(config.unused1, "\0\0\0", 3);

    info.can_discard = info.can_write_zeroes = false;
    create_with(NULL, &info);
    config = read_config();
    assert_int_equal(config.max_discard_sectors, 0);
    assert_int_equal(config.max_discard_seg, 0);
    assert_int_equal(config.discard_sector_alignment, 0);
    assert_int_equal(config.max_write_zeroes_sectors, 0);
    assert_int_equal(config.max_write_zeroes_seg, 0);
    assert_int_equal(config.write_zeroes_may_unmap, 0);
}

static void test_blk_write_zeroes_may_unmap_only_on_a_disk_that_can_give_space_back(void **state)
{
    struct block_info info = blk_guest_info;

    (void)state;
    info.can_discard = false;
    create_with(NULL, &info);
    assert_int_equal(read_config().write_zeroes_may_unmap, 0);
}

static void test_blk_config_of_a_disk_with_large_blocks_counts_in_them(void **state)
{
    struct block_info info = blk_guest_info;
    struct virtio_blk_config_space config;

    (void)state;
    info.logical_block_size = 4096;
    info.physical_block_size = 4096;
    info.optimal_io_size = 0;
    info.discard_granularity = 0;
    create_with(NULL, &info);
    config = read_config();
    assert_int_equal(le64toh(config.capacity), BLK_GUEST_CAPACITY / 512);
    assert_int_equal(le32toh(config.blk_size), 4096);
    assert_int_equal(config.physical_block_exp, 0);
    assert_int_equal(le16toh(config.min_io_size), 1);
    assert_int_equal(le32toh(config.opt_io_size), 0);
    assert_int_equal(le32toh(config.discard_sector_alignment), 8);
}

static void test_blk_num_queues_and_seg_max_follow_the_queues(void **state)
{
    static const struct {
        uint16_t queue_size;
        uint32_t seg_max;
    } rows[] = { { 2, 1 }, { 4, 2 }, { 64, 62 }, { 128, 126 }, { 256, 126 }, { 1024, 126 } };
    struct virtio_blk_config config = blk_guest_config;

    (void)state;
    config.queues = 3;
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        config.queue_size = rows[i].queue_size;
        create_with(&config, NULL);
        assert_int_equal(le16toh(read_config().num_queues), 3);
        assert_int_equal(le32toh(read_config().seg_max), rows[i].seg_max);
        guest_register_write(blk.guest, VIRTIO_MMIO_QUEUE_SEL, 2);
        assert_int_equal(guest_register_read(blk.guest, VIRTIO_MMIO_QUEUE_NUM_MAX), rows[i].queue_size);
    }
}

static void test_blk_config_is_read_only_but_for_writeback(void **state)
{
    struct virtio_blk_config_space before, after;

    (void)state;
    guest_driver_start(blk.guest, GUEST_ALL_FEATURES, 0);
    before = read_config();
    for (uint32_t offset = 0; offset < CONFIG_SIZE + 8; offset++) {
        if (offset != WRITEBACK)
            guest_config_write(blk.guest, offset, 0xa5, 1);
    }
    after = read_config();
    assert_memory_equal(&before, &after, CONFIG_SIZE);
    /* A wider write takes effect on the one byte only. */
    guest_config_write(blk.guest, WRITEBACK, 0xa5a5a500, 4);
    after = read_config();
    assert_int_equal(after.wce, 0);
    after.wce = before.wce;
    assert_memory_equal(&before, &after, CONFIG_SIZE);
}

/* --- cache modes (5.2.5, 5.2.6.2) --- */

/* Is a write stable once it is done? */
static bool write_is_stable(void)
{
    unsigned fua = blk.disk.fua_submits;
    uint8_t data[512];
    struct blk_io io;
    bool stable;

    blk.direct = true;
    memset(blk.disk.stable, 0, BLK_GUEST_CAPACITY);
    memset(data, 0x77, sizeof(data));
    io = blk_guest_send_data(&blk, 0, VIRTIO_BLK_T_OUT, 4, data, sizeof(data));
    blk_guest_complete(&blk, 0);
    blk_guest_expect(&blk, &io, VIRTIO_BLK_S_OK, 1);
    stable = !memcmp(blk.disk.stable + 4 * 512, data, sizeof(data));
    assert_int_equal(blk.disk.fua_submits - fua, stable);
    return stable;
}

static void start_without(uint64_t features)
{
    guest_driver_start(blk.guest, guest_offered_features(blk.guest) & ~features, 0);
}

static void test_blk_writes_are_stable_when_neither_flush_nor_config_wce_is_negotiated(void **state)
{
    (void)state;
    start_without(FEATURE(VIRTIO_BLK_F_FLUSH) | FEATURE(VIRTIO_BLK_F_CONFIG_WCE));
    assert_true(write_is_stable());
}

static void test_blk_writeback_is_0_with_config_wce_but_without_flush(void **state)
{
    (void)state;
    start_without(FEATURE(VIRTIO_BLK_F_FLUSH));
    assert_int_equal(read_config().wce, 0);
    assert_true(write_is_stable());
}

static void test_blk_cache_is_write_back_with_flush_but_without_config_wce(void **state)
{
    struct virtio_blk_config config = blk_guest_config;

    (void)state;
    config.writeback = false;
    create_with(&config, NULL);
    start_without(FEATURE(VIRTIO_BLK_F_CONFIG_WCE));
    assert_false(write_is_stable());
}

static void test_blk_writeback_starts_as_configured_with_both(void **state)
{
    struct virtio_blk_config config = blk_guest_config;

    (void)state;
    start_without(0);
    assert_int_equal(read_config().wce, 1);
    assert_false(write_is_stable());

    config.writeback = false;
    create_with(&config, NULL);
    start_without(0);
    assert_int_equal(read_config().wce, 0);
    assert_true(write_is_stable());
}

static void test_blk_writeback_switches_the_cache_and_a_reset_switches_it_back(void **state)
{
    (void)state;
    start_without(0);
    guest_config_write(blk.guest, WRITEBACK, 0, 1);
    assert_int_equal(read_config().wce, 0);
    assert_true(write_is_stable());
    guest_config_write(blk.guest, WRITEBACK, 1, 1);
    assert_int_equal(read_config().wce, 1);
    assert_false(write_is_stable());
    /* What is not 0 is "on", and reads as 1. */
    guest_config_write(blk.guest, WRITEBACK, 0x80, 1);
    assert_int_equal(read_config().wce, 1);

    guest_config_write(blk.guest, WRITEBACK, 0, 1);
    guest_reset(blk.guest);
    assert_int_equal(read_config().wce, 1);
    start_without(0);
    assert_false(write_is_stable());
}

static void test_blk_writeback_cannot_be_written_without_config_wce(void **state)
{
    (void)state;
    start_without(FEATURE(VIRTIO_BLK_F_CONFIG_WCE));
    guest_config_write(blk.guest, WRITEBACK, 0, 1);
    assert_false(write_is_stable());

    start_without(FEATURE(VIRTIO_BLK_F_CONFIG_WCE) | FEATURE(VIRTIO_BLK_F_FLUSH));
    guest_config_write(blk.guest, WRITEBACK, 1, 1);
    assert_true(write_is_stable());
}

static void test_blk_writeback_cannot_be_written_before_features_ok(void **state)
{
    (void)state;
    guest_reset(blk.guest);
    guest_add_status(blk.guest, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    guest_write_features(blk.guest, guest_offered_features(blk.guest));
    guest_config_write(blk.guest, WRITEBACK, 0, 1);
    assert_int_equal(read_config().wce, 1);
}

static void test_blk_write_through_holds_for_discard_and_write_zeroes_and_asks_nothing_of_reads(void **state)
{
    struct virtio_blk_discard_write_zeroes segments[2] = { { .num_sectors = htole32(8) },
                                                           { .num_sectors = htole32(8) } };

    (void)state;
    start_without(0);
    guest_config_write(blk.guest, WRITEBACK, 0, 1);
    blk_guest_send_data(&blk, 0, VIRTIO_BLK_T_DISCARD, 0, segments, sizeof(segments));
    assert_int_equal(memory_block_pending(&blk.disk, 0)->flags, BLOCK_FUA);
    blk_guest_complete(&blk, 0);
    assert_int_equal(memory_block_pending(&blk.disk, 0)->flags, BLOCK_FUA);
    blk_guest_complete(&blk, 0);
    segments[0].flags = htole32(VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
    blk_guest_send_data(&blk, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, segments, sizeof(segments[0]));
    assert_int_equal(memory_block_pending(&blk.disk, 0)->flags, BLOCK_FUA | BLOCK_MAY_UNMAP);
    blk_guest_complete(&blk, 0);
    blk_guest_send(&blk, 0, VIRTIO_BLK_T_IN, 0, 512);
    assert_int_equal(memory_block_pending(&blk.disk, 0)->flags, 0);
    blk_guest_complete(&blk, 0);
    blk_guest_send(&blk, 0, VIRTIO_BLK_T_FLUSH, 0, 0);
    assert_int_equal(memory_block_pending(&blk.disk, 0)->flags, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blk_create_refuses_queues_out_of_range),
        cmocka_unit_test(test_blk_create_refuses_a_backend_whose_sizes_make_no_sense),
        TEST(test_blk_create_attaches_the_backend_to_the_device_and_destroys_it_with_it),
        TEST(test_blk_device_id_is_2),
        TEST(test_blk_features_are_those_of_the_disk),
        TEST(test_blk_flush_is_offered_wherever_config_wce_is),
        TEST(test_blk_any_subset_of_the_features_is_accepted_again_and_again),
        TEST(test_blk_config_describes_the_disk_and_can_be_read_before_features_ok),
        TEST(test_blk_config_is_zero_where_a_feature_is_missing_and_in_the_padding),
        TEST(test_blk_write_zeroes_may_unmap_only_on_a_disk_that_can_give_space_back),
        TEST(test_blk_config_of_a_disk_with_large_blocks_counts_in_them),
        TEST(test_blk_num_queues_and_seg_max_follow_the_queues),
        TEST(test_blk_config_is_read_only_but_for_writeback),
        TEST(test_blk_writes_are_stable_when_neither_flush_nor_config_wce_is_negotiated),
        TEST(test_blk_writeback_is_0_with_config_wce_but_without_flush),
        TEST(test_blk_cache_is_write_back_with_flush_but_without_config_wce),
        TEST(test_blk_writeback_starts_as_configured_with_both),
        TEST(test_blk_writeback_switches_the_cache_and_a_reset_switches_it_back),
        TEST(test_blk_writeback_cannot_be_written_without_config_wce),
        TEST(test_blk_writeback_cannot_be_written_before_features_ok),
        TEST(test_blk_write_through_holds_for_discard_and_write_zeroes_and_asks_nothing_of_reads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
