/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_block_overlay_file.c - ephemeral disks over real files, on both engines of the loop: what is read back, and what
 * the kernel really says when there is no room.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ephemeral_player.h"
#include "ringlet/util.h"

#define TINY_SIZE (64 * KIB)

static const struct block_file_options plain;

/* --- what it does --- */

static void test_writes_vanish_with_the_disk_and_the_image_stays_as_it_was(void **state)
{
    struct ephemeral_fixture *fixture = *state;

    ephemeral_make_image(fixture);
    ephemeral_open(fixture, plain);
    assert_false(fixture->player.disk->info.read_only);
    assert_int_equal(fixture->player.disk->info.capacity, EPHEMERAL_SIZE);
    ephemeral_write(fixture, 512, 512, 0xaa);
    ephemeral_write(fixture, 100 * 512, 300 * 512, 0xbb);
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_FLUSH, 0, 0, 0, NULL, 0), 0);
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_WRITE_ZEROES, 0, 90 * 512, 20 * 512, NULL, 0), 0);
    ephemeral_assert_reads(fixture, 0, 512, -1);
    ephemeral_assert_reads(fixture, 512, 512, 0xaa);
    ephemeral_assert_reads(fixture, 1024, 88 * 512, -1);
    ephemeral_assert_reads(fixture, 90 * 512, 20 * 512, 0);
    ephemeral_assert_reads(fixture, 110 * 512, 290 * 512, 0xbb);
    ephemeral_assert_reads(fixture, 400 * 512, EPHEMERAL_SIZE - 400 * 512, -1);
    ephemeral_assert_image_untouched(fixture);
    ephemeral_open(fixture, plain);
    ephemeral_assert_reads(fixture, 0, EPHEMERAL_SIZE, -1);
}

static void test_discard_gives_space_back(void **state)
{
    struct ephemeral_fixture *fixture = *state;
    struct stat status;
    int top;

    ephemeral_make_image(fixture);
    ephemeral_open(fixture, plain);
    if (!fixture->player.disk->info.can_discard) {
        print_message("no holes on this file system\n");
        skip();
    }
    top = ephemeral_file_in(fixture->directory);
    top = top >= 0 ? top : ephemeral_file_in(fixture->temporary);
    assert_true(top >= 0);
    ephemeral_write(fixture, 0, 512 * KIB, 0xaa);
    assert_int_equal(fsync(top), 0);
    assert_int_equal(fstat(top, &status), 0);
    assert_true(status.st_blocks * 512 >= 512 * (off_t)KIB);
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_DISCARD, 0, 0, EPHEMERAL_SIZE, NULL, 0), 0);
    assert_int_equal(fsync(top), 0);
    assert_int_equal(fstat(top, &status), 0);
    assert_true(status.st_blocks * 512 < 64 * (off_t)KIB);
    ephemeral_assert_reads(fixture, 0, 512 * KIB, 0);
    ephemeral_assert_reads(fixture, 512 * KIB, 512 * KIB, -1);
    ephemeral_assert_image_untouched(fixture);
}

static void test_direct_io_takes_every_alignment(void **state)
{
    struct ephemeral_fixture *fixture = *state;
    uint8_t *bytes = aligned_alloc(4096, 16384);
    int fd;

    ephemeral_make_image(fixture);
    fd = open(fixture->path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (fd < 0) {
        free(bytes);
        print_message("no direct I/O on this file system\n");
        skip();
    }
    close(fd);
    ephemeral_open(fixture, (struct block_file_options){ .direct = true });
    ephemeral_write(fixture, 4096, 4096, 1);
    ephemeral_write(fixture, 3 * 512, 3 * 512, 2);
    memset(bytes, 3, 16384);
    assert_int_equal(disk_player_write(&fixture->player, 16384, bytes, 8192), 0);
    assert_int_equal(disk_player_write(&fixture->player, 32768, bytes + 1, 512), 0);
    free(bytes);
    ephemeral_assert_reads(fixture, 0, 3 * 512, -1);
    ephemeral_assert_reads(fixture, 3 * 512, 3 * 512, 2);
    ephemeral_assert_reads(fixture, 6 * 512, 1024, -1);
    ephemeral_assert_reads(fixture, 4096, 4096, 1);
    ephemeral_assert_reads(fixture, 16384, 8192, 3);
    ephemeral_assert_reads(fixture, 32768, 512, 3);
    ephemeral_assert_reads(fixture, 32768 + 512, 4096, -1);
    ephemeral_assert_image_untouched(fixture);
}

/* --- the host fails --- */

static void test_host_without_space_fails_the_write_and_nothing_else(void **state)
{
    struct ephemeral_fixture *fixture = *state;
    static uint8_t bytes[4 * TINY_SIZE];

    if (mount("tiny", fixture->directory, "tmpfs", 0, "size=65536") < 0) {
        print_message("we may not mount a file system\n");
        skip();
    }
    fixture->mounted = true;
    assert_int_equal(close(open(fixture->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)), 0);
    assert_int_equal(truncate(fixture->path, EPHEMERAL_SIZE), 0);
    ephemeral_open(fixture, plain);
    assert_true(ephemeral_file_in(fixture->directory) >= 0);
    memset(bytes, 1, sizeof(bytes));
    ephemeral_write(fixture, 0, 4096, 7);
    assert_int_equal(disk_player_write(&fixture->player, 8192, bytes, sizeof(bytes)), -ENOSPC);
    ephemeral_assert_reads(fixture, 0, 4096, 7);
    ephemeral_assert_reads(fixture, 8192, sizeof(bytes), 0); /* as before */
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_FLUSH, 0, 0, 0, NULL, 0), 0);
}

static void test_image_that_was_cut_fails_the_read(void **state)
{
    struct ephemeral_fixture *fixture = *state;
    uint8_t bytes[4096];

    ephemeral_make_image(fixture);
    ephemeral_open(fixture, plain);
    ephemeral_write(fixture, EPHEMERAL_SIZE - 2048, 512, 7);
    assert_int_equal(truncate(fixture->path, EPHEMERAL_SIZE / 2), 0);
    assert_int_equal(disk_player_read(&fixture->player, EPHEMERAL_SIZE - 4096, bytes, 4096), -EIO);
    ephemeral_assert_reads(fixture, EPHEMERAL_SIZE - 2048, 512, 7);
    ephemeral_assert_reads(fixture, 0, 4096, -1);
}

/* --- large, and busy --- */

static uint64_t resident_bytes(void)
{
    unsigned long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &size, &resident), 2);
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void test_large_sparse_disk_costs_next_to_nothing(void **state)
{
    const uint64_t size = 4096 * GIB;
    struct ephemeral_fixture *fixture = *state;
    uint64_t before;
    int fd = open(fixture->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    if (ftruncate(fd, (off_t)size) < 0) {
        close(fd);
        print_message("no files of 4 TiB here\n");
        skip();
    }
    close(fd);
    before = resident_bytes();
    ephemeral_open(fixture, plain);
    ephemeral_write(fixture, size - 512, 512, 5);
    ephemeral_write(fixture, size / 2, 4096, 6);
    ephemeral_assert_reads(fixture, size - 1024, 512, 0);
    ephemeral_assert_reads(fixture, size - 512, 512, 5);
    ephemeral_assert_reads(fixture, size / 2, 4096, 6);
    /* its bitmap is 1 GiB */
    assert_true(resident_bytes() < before + 64 * MIB);
}

static uint32_t random_number(uint32_t *seed, uint32_t below)
{
    *seed = *seed * 1664525 + 1013904223;
    return (*seed >> 8) % below;
}

static void test_random_requests_agree_with_a_plain_array(void **state)
{
    enum { ROUNDS = 60, LANES = 32, SECTORS = EPHEMERAL_SIZE / 512, LANE = SECTORS / LANES };
    struct ephemeral_fixture *fixture = *state;
    struct disk_request *requests = calloc(LANES, sizeof(*requests));
    static uint8_t model[EPHEMERAL_SIZE], buffers[LANES][LANE * 512];
    struct iovec iov[LANES][2];
    uint32_t seed = 4711;

    ephemeral_make_image(fixture);
    ephemeral_open(fixture, plain);
    for (uint64_t at = 0; at < EPHEMERAL_SIZE; at++)
        model[at] = ephemeral_image_byte(at);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < LANES; i++) {
            static const enum block_op ops[] = { BLOCK_READ, BLOCK_READ, BLOCK_WRITE, BLOCK_WRITE_ZEROES };
            enum block_op op = ops[random_number(&seed, ARRAY_SIZE(ops))];
            unsigned first = random_number(&seed, LANE), length = 1 + random_number(&seed, 9);
            size_t split;

            length = first + length > LANE ? LANE - first : length;
            length = op == BLOCK_READ && round % 4 == 0 ? LANE - first : length;
            memset(buffers[i], (int)random_number(&seed, 256), sizeof(buffers[i]));
            split = random_number(&seed, length * 512);
            iov[i][0] = (struct iovec){ buffers[i], split };
            iov[i][1] = (struct iovec){ buffers[i] + split, length * 512 - split };
            requests[i].request = (struct block_request){ .op = op,
                                                          .offset = ((uint64_t)i * LANE + first) * 512,
                                                          .length = (uint64_t)length * 512,
                                                          .iov = iov[i],
                                                          .iov_count = 2 };
            disk_player_submit(&fixture->player, &requests[i]);
        }
        disk_player_wait(&fixture->player, LANES);
        for (unsigned i = 0; i < LANES; i++) {
            const struct block_request *request = &requests[i].request;

            assert_int_equal(requests[i].res, 0);
            if (request->op == BLOCK_READ)
                assert_memory_equal(buffers[i], model + request->offset, request->length);
            else if (request->op == BLOCK_WRITE)
                memcpy(model + request->offset, buffers[i], request->length);
            else
                memset(model + request->offset, 0, request->length);
        }
    }
    free(requests);
    ephemeral_assert_image_untouched(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(test_writes_vanish_with_the_disk_and_the_image_stays_as_it_was),
        ON_BOTH(test_discard_gives_space_back),
        ON_BOTH(test_direct_io_takes_every_alignment),
        ON_BOTH(test_host_without_space_fails_the_write_and_nothing_else),
        ON_BOTH(test_image_that_was_cut_fails_the_read),
        ON_BOTH(test_large_sparse_disk_costs_next_to_nothing),
        ON_BOTH(test_random_requests_agree_with_a_plain_array),
    };

    /* Before the first thread: what is mounted here is nobody else's. Without the right to, mounting fails
     * later. */
    if (unshare(CLONE_NEWNS) == 0)
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
