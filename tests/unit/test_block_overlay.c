/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_block_overlay.c - an ephemeral disk: where its bytes come from and go, and whose failures are its own.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include <cmocka.h>

#include "overlay_player.h"
#include "ringlet/block_overlay.h"
#include "ringlet/util.h"

/* --- what it is --- */

static void test_disk_is_written_to_whatever_the_base_is(void **state)
{
    struct overlay_fixture *fixture = *state;
    const struct block_info *info = &fixture->disk->info;

    assert_int_equal(info->capacity, OVERLAY_CAPACITY);
    assert_int_equal(info->logical_block_size, 512);
    assert_int_equal(info->physical_block_size, 4096);
    assert_int_equal(info->optimal_io_size, 65536);
    assert_false(info->read_only);
    assert_true(info->can_discard);
    assert_true(info->can_write_zeroes);
    assert_int_equal(info->discard_granularity, 1024);
}

static void test_sides_that_do_not_fit_are_refused(void **state)
{
    struct block_info base_info = { .capacity = OVERLAY_CAPACITY, .logical_block_size = 512 },
                      top_info = base_info;
    struct block_backend *disk = NULL;
    struct memory_block base, top;

    (void)state;
    memory_block_init(&base, &base_info);
    memory_block_init(&top, &top_info);
    top.backend.info.read_only = true;
    assert_int_equal(block_overlay_create(&base.backend, &top.backend, &disk), -EINVAL);
    top.backend.info = top_info;
    top.backend.info.capacity -= OVERLAY_SECTOR;
    assert_int_equal(block_overlay_create(&base.backend, &top.backend, &disk), -EINVAL);
    top.backend.info = top_info;
    top.backend.info.logical_block_size = 4096;
    assert_int_equal(block_overlay_create(&base.backend, &top.backend, &disk), -EINVAL);
    base.backend.info.capacity = 0;
    assert_int_equal(block_overlay_create(&base.backend, &top.backend, &disk), -EINVAL);
    assert_null(disk);
    assert_false(base.destroyed || top.destroyed);
    memory_block_finish(&base);
    memory_block_finish(&top);
}

/* --- where bytes come from and go --- */

static void test_nothing_written_reads_as_the_base_in_one_piece(void **state)
{
    struct overlay_fixture *fixture = *state;
    uint8_t *bytes = overlay_read_disk(fixture);

    assert_base(bytes, 0, OVERLAY_SECTORS);
    assert_int_equal(fixture->base.submits[BLOCK_READ], 1);
    assert_int_equal(memory_block_submit_count(&fixture->top), 0);
    free(bytes);
}

static void test_write_goes_to_the_top_alone_and_reads_back(void **state)
{
    struct overlay_fixture *fixture = *state;
    uint8_t *bytes;

    overlay_write_byte(fixture, 10, 3, 0x55);
    assert_int_equal(memory_block_submit_count(&fixture->base), 0);
    bytes = overlay_read_disk(fixture);
    assert_base(bytes, 0, 10);
    assert_byte(bytes, 10, 3, 0x55);
    assert_base(bytes, 13, OVERLAY_SECTORS - 13);
    assert_base(fixture->base.bytes, 0, OVERLAY_SECTORS);
    /* base, top, base */
    assert_int_equal(fixture->base.submits[BLOCK_READ], 2);
    assert_int_equal(fixture->top.submits[BLOCK_READ], 1);
    free(bytes);
}

static void test_single_sectors_are_told_apart_at_every_place(void **state)
{
    static const uint64_t sectors[] = { 0, 1, 7, 62, 64, 66, 127, 128, 191, 300, OVERLAY_SECTORS - 1 };
    struct overlay_fixture *fixture = *state;
    uint64_t at = 0;
    uint8_t *bytes;

    for (size_t i = 0; i < ARRAY_SIZE(sectors); i++)
        overlay_write_byte(fixture, sectors[i], 1, (uint8_t)(0x80 + i));
    bytes = overlay_read_disk(fixture);
    for (size_t i = 0; i < ARRAY_SIZE(sectors); i++) {
        assert_base(bytes, at, sectors[i] - at);
        assert_byte(bytes, sectors[i], 1, (uint8_t)(0x80 + i));
        at = sectors[i] + 1;
    }
    assert_base(bytes, at, OVERLAY_SECTORS - at);
    free(bytes);
}

static void test_adjacent_writes_are_read_in_one_piece(void **state)
{
    struct overlay_fixture *fixture = *state;
    uint8_t bytes[200 * OVERLAY_SECTOR];

    overlay_write_byte(fixture, 50, 14, 1);
    overlay_write_byte(fixture, 64, 64, 2);
    overlay_write_byte(fixture, 128, 3, 3);
    overlay_write_byte(fixture, 49, 1, 4);
    assert_int_equal(overlay_perform(fixture, BLOCK_READ, 49, 82, bytes), 0);
    assert_byte(bytes, 0, 1, 4);
    assert_byte(bytes, 1, 14, 1);
    assert_byte(bytes, 15, 64, 2);
    assert_byte(bytes, 79, 3, 3);
    assert_int_equal(fixture->top.submits[BLOCK_READ], 1);
    assert_int_equal(fixture->base.submits[BLOCK_READ], 0);
    assert_int_equal(overlay_perform(fixture, BLOCK_READ, 48, 84, bytes), 0);
    assert_int_equal(fixture->top.submits[BLOCK_READ], 2);
    assert_int_equal(fixture->base.submits[BLOCK_READ], 2);
}

static void test_sides_of_a_read_may_finish_in_any_order(void **state)
{
    struct overlay_fixture *fixture = *state;
    uint8_t bytes[30 * OVERLAY_SECTOR];
    struct overlay_player player;

    for (unsigned i = 0; i < 30; i += 2)
        overlay_write_byte(fixture, i, 1, 0x99);
    overlay_start(fixture, &player, BLOCK_READ, 0, 30, bytes);
    assert_int_equal(fixture->top.pending_count, 15);
    assert_int_equal(fixture->base.pending_count, 15);
    while (fixture->top.pending_count)
        memory_block_complete(&fixture->top, fixture->top.pending_count / 2);
    while (fixture->base.pending_count) {
        assert_int_equal(player.dones, 0);
        memory_block_complete(&fixture->base, fixture->base.pending_count - 1);
    }
    assert_int_equal(player.dones, 1);
    assert_int_equal(player.res, 0);
    for (unsigned i = 0; i < 30; i += 2) {
        assert_byte(bytes, i, 1, 0x99);
        assert_base(bytes, i + 1, 1);
    }
}

/* Borders of vectors are anywhere: inside sectors, inside runs; some vectors are empty, some a byte long. */
static void test_vectors_are_cut_wherever_the_runs_are(void **state)
{
    static const size_t first_lengths[] = { 1, 511, 0, 700, 3, 321, 5000 };
    struct overlay_fixture *fixture = *state;
    static uint8_t bytes[40 * OVERLAY_SECTOR];
    struct iovec iov[2000];
    struct overlay_player player = { .request = { .op = BLOCK_READ, .length = sizeof(bytes), .iov = iov } };
    size_t at = 0;
    unsigned count = 0;

    for (unsigned i = 3; i < 40; i += 5)
        overlay_write_byte(fixture, i, 2, 0x77);
    for (size_t i = 0; i < ARRAY_SIZE(first_lengths); i++) {
        iov[count++] = (struct iovec){ bytes + at, first_lengths[i] };
        at += first_lengths[i];
    }
    /* three sectors and more of single bytes: no slice holds one of these sectors */
    for (unsigned i = 0; i < 1700; i++)
        iov[count++] = (struct iovec){ bytes + at++, 1 };
    iov[count++] = (struct iovec){ bytes + at, sizeof(bytes) - at };
    player.request.iov_count = count;
    overlay_submit(fixture, &player);
    overlay_complete_all(fixture);
    assert_int_equal(player.dones, 1);
    assert_int_equal(player.res, 0);
    for (unsigned i = 0; i < 40; i++) {
        if (i % 5 == 3 || (i % 5 == 4 && i > 3))
            assert_byte(bytes, i, 1, 0x77);
        else
            assert_base(bytes, i, 1);
    }
}

static void test_write_counts_once_it_is_done(void **state)
{
    struct overlay_fixture *fixture = *state;
    uint8_t out[OVERLAY_SECTOR], in[OVERLAY_SECTOR];
    struct overlay_player writer, reader;

    memset(out, 0x42, sizeof(out));
    overlay_start(fixture, &writer, BLOCK_WRITE, 5, 1, out);
    overlay_start(fixture, &reader, BLOCK_READ, 5, 1, in);
    assert_int_equal(fixture->base.pending_count, 1);
    overlay_complete_all(fixture);
    for (unsigned i = 0; i < OVERLAY_SECTOR; i++)
        assert_int_equal(in[i], overlay_base_byte(5 * OVERLAY_SECTOR + i));
    assert_int_equal(overlay_perform(fixture, BLOCK_READ, 5, 1, in), 0);
    assert_memory_equal(in, out, OVERLAY_SECTOR);
}

/* --- the other requests --- */

static void test_zeroes_are_read_after_write_zeroes_and_take_no_space(void **state)
{
    struct overlay_fixture *fixture = *state;
    struct overlay_player player;
    uint8_t *bytes;

    overlay_write_byte(fixture, 100, 4, 0x33);
    overlay_start(fixture, &player, BLOCK_WRITE_ZEROES, 98, 4, NULL);
    assert_true(memory_block_pending(&fixture->top, 0)->flags & BLOCK_MAY_UNMAP);
    overlay_complete_all(fixture);
    assert_int_equal(player.res, 0);
    bytes = overlay_read_disk(fixture);
    assert_base(bytes, 0, 98);
    assert_byte(bytes, 98, 4, 0);
    assert_byte(bytes, 102, 2, 0x33);
    assert_base(bytes, 104, OVERLAY_SECTORS - 104);
    assert_int_equal(memory_block_submit_count(&fixture->base), 2);
    free(bytes);
}

static void test_discard_gives_back_what_is_on_top_and_leaves_the_base(void **state)
{
    struct overlay_fixture *fixture = *state;
    uint8_t *bytes;

    overlay_write_byte(fixture, 20, 2, 0x33);
    assert_int_equal(overlay_perform(fixture, BLOCK_DISCARD, 19, 4, NULL), 0);
    assert_int_equal(fixture->top.submits[BLOCK_DISCARD], 1);
    bytes = overlay_read_disk(fixture);
    assert_base(bytes, 0, 20);
    assert_byte(bytes, 20, 2, 0xdd); /* as the top has it */
    assert_base(bytes, 22, OVERLAY_SECTORS - 22);
    free(bytes);
}

static void test_flush_and_stable_writes_are_the_tops(void **state)
{
    struct overlay_fixture *fixture = *state;
    uint8_t out[OVERLAY_SECTOR] = { 1 };
    struct overlay_player player = { .request = {
                                         .op = BLOCK_WRITE, .flags = BLOCK_FUA, .length = OVERLAY_SECTOR } };

    player.request.iov = player.iov;
    player.request.iov_count = 1;
    player.iov[0] = (struct iovec){ out, OVERLAY_SECTOR };
    overlay_submit(fixture, &player);
    overlay_complete_all(fixture);
    assert_int_equal(player.res, 0);
    assert_int_equal(fixture->top.fua_submits, 1);
    assert_int_equal(overlay_perform(fixture, BLOCK_FLUSH, 0, 0, NULL), 0);
    assert_int_equal(fixture->top.submits[BLOCK_FLUSH], 1);
    assert_int_equal(memory_block_submit_count(&fixture->base), 0);
}

/* --- failures --- */

static void test_failing_base_fails_the_read_once_when_all_parts_are_back(void **state)
{
    struct overlay_fixture *fixture = *state;
    uint8_t bytes[9 * OVERLAY_SECTOR];
    struct overlay_player player;

    overlay_write_byte(fixture, 3, 1, 0x10);
    overlay_write_byte(fixture, 6, 1, 0x10);
    overlay_start(fixture, &player, BLOCK_READ, 0, 9, bytes);
    memory_block_fail(&fixture->base, 1, -EIO);
    memory_block_fail(&fixture->base, 0, -ENOMEM);
    memory_block_complete(&fixture->base, 0);
    memory_block_complete(&fixture->top, 0);
    assert_int_equal(player.dones, 0);
    memory_block_complete(&fixture->top, 0);
    assert_int_equal(player.dones, 1);
    assert_int_equal(player.res, -EIO); /* the first */
    /* and what comes after is fine */
    assert_int_equal(overlay_perform(fixture, BLOCK_READ, 0, 9, bytes), 0);
    assert_base(bytes, 0, 3);
    assert_byte(bytes, 3, 1, 0x10);
}

static void test_failing_top_fails_the_request_and_changes_nothing(void **state)
{
    static const enum block_op ops[] = { BLOCK_WRITE, BLOCK_WRITE_ZEROES, BLOCK_DISCARD, BLOCK_FLUSH };
    struct overlay_fixture *fixture = *state;
    uint8_t out[4 * OVERLAY_SECTOR] = { 0 }, *bytes;
    struct overlay_player player;

    for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
        overlay_start(fixture, &player, ops[i], 40, 4, ops[i] == BLOCK_WRITE ? out : NULL);
        memory_block_fail(&fixture->top, 0, -ENOSPC);
        assert_int_equal(player.dones, 1);
        assert_int_equal(player.res, -ENOSPC);
    }
    bytes = overlay_read_disk(fixture);
    assert_base(bytes, 0, OVERLAY_SECTORS);
    free(bytes);
    overlay_write_byte(fixture, 40, 4, 0x21);
    overlay_start(fixture, &player, BLOCK_READ, 41, 2, out);
    memory_block_fail(&fixture->top, 0, -EIO);
    assert_int_equal(player.dones, 1);
    assert_int_equal(player.res, -EIO);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, overlay_set_up, overlay_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_disk_is_written_to_whatever_the_base_is),
        cmocka_unit_test(test_sides_that_do_not_fit_are_refused),
        TEST(test_nothing_written_reads_as_the_base_in_one_piece),
        TEST(test_write_goes_to_the_top_alone_and_reads_back),
        TEST(test_single_sectors_are_told_apart_at_every_place),
        TEST(test_adjacent_writes_are_read_in_one_piece),
        TEST(test_sides_of_a_read_may_finish_in_any_order),
        TEST(test_vectors_are_cut_wherever_the_runs_are),
        TEST(test_write_counts_once_it_is_done),
        TEST(test_zeroes_are_read_after_write_zeroes_and_take_no_space),
        TEST(test_discard_gives_back_what_is_on_top_and_leaves_the_base),
        TEST(test_flush_and_stable_writes_are_the_tops),
        TEST(test_failing_base_fails_the_read_once_when_all_parts_are_back),
        TEST(test_failing_top_fails_the_request_and_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
