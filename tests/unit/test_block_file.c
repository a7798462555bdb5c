/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_block_file.c - requests to a disk image: every test on both engines of the loop, with failures that
 * the kernel really makes (a full file system, RLIMIT_FSIZE, a file cut short).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "disk_player.h"
#include "ringlet/error.h"
#include "ringlet/util.h"

#define IMAGE_SIZE (2 * MIB)

/* Where images are made; main() sets it up before the first test. */
struct places {
    char directory[64];
    char tiny[96]; /* a tmpfs of TINY_SIZE bytes; empty if we may not mount one */
    char bare[96]; /* a ramfs, which knows nothing but read and write; empty likewise */
};

#define TINY_SIZE (64 * KIB)

static struct places places;

struct fixture {
    struct disk_player player;
    char path[128];
    int fd; /* the image, behind the backend's back */
};

static int set_up(void **state, enum loop_engine engine)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    if (!fixture || disk_player_init(&fixture->player, engine) < 0) {
        free(fixture);
        return -1;
    }
    fixture->fd = -1;
    *state = fixture;
    return 0;
}

static int set_up_io_uring(void **state)
{
    return set_up(state, LOOP_ENGINE_IO_URING);
}

static int set_up_threads(void **state)
{
    return set_up(state, LOOP_ENGINE_THREADS);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    disk_player_finish(&fixture->player);
    if (fixture->fd >= 0) {
        close(fixture->fd);
        unlink(fixture->path);
    }
    free(fixture);
    return 0;
}

/* A sparse image of `size` bytes in `directory`. */
static void make_image(struct fixture *fixture, const char *directory, uint64_t size)
{
    if (fixture->fd >= 0) {
        close(fixture->fd);
        unlink(fixture->path);
    }
    snprintf(fixture->path, sizeof(fixture->path), "%s/disk-XXXXXX", directory);
    fixture->fd = mkostemp(fixture->path, O_CLOEXEC);
    assert_true(fixture->fd >= 0);
    assert_int_equal(ftruncate(fixture->fd, (off_t)size), 0);
}

static void open_image(struct fixture *fixture, struct block_file_options options)
{
    make_image(fixture, places.directory, IMAGE_SIZE);
    options.path = fixture->path;
    disk_player_open(&fixture->player, &options);
}

/* Bytes that tell where they belong. */
static void fill_pattern(unsigned char *bytes, uint64_t length, uint64_t seed)
{
    for (uint64_t i = 0; i < length; i++)
        bytes[i] = (unsigned char)((i + seed) * 31 ^ (i + seed) >> 8);
}

static void assert_image(const struct fixture *fixture, uint64_t offset, const void *bytes, uint64_t length)
{
    unsigned char *there = malloc(length);

    assert_int_equal(pread(fixture->fd, there, length, (off_t)offset), length);
    assert_memory_equal(there, bytes, length);
    free(there);
}

static void assert_zeroes(const struct fixture *fixture, uint64_t offset, uint64_t length)
{
    unsigned char *zeroes = calloc(1, length);

    assert_image(fixture, offset, zeroes, length);
    free(zeroes);
}

static uint64_t allocated(const struct fixture *fixture)
{
    struct stat status;

    assert_int_equal(fsync(fixture->fd), 0);
    assert_int_equal(fstat(fixture->fd, &status), 0);
    return (uint64_t)status.st_blocks * 512;
}

/* --- reads and writes --- */

static void test_scattered_write_reaches_the_file_and_reads_back(void **state)
{
    struct fixture *fixture = *state;
    unsigned char out[4096], in[4096];
    struct iovec written[] = { { out, 1 }, { out + 1, 0 }, { out + 1, 1000 }, { out + 1001, 3095 } };
    struct iovec read[] = { { in, 0 }, { in, 4000 }, { in + 4000, 96 }, { in, 0 } };

    open_image(fixture, (struct block_file_options){ 0 });
    assert_int_equal(fixture->player.disk->info.capacity, IMAGE_SIZE);
    assert_int_equal(fixture->player.disk->info.logical_block_size, 512);
    assert_true(fixture->player.disk->info.write_cache);
    assert_false(fixture->player.disk->info.read_only);
    fill_pattern(out, sizeof(out), 7);
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_WRITE, 0, 512, 4096, written, 4), 0);
    assert_image(fixture, 512, out, 4096);
    assert_zeroes(fixture, 0, 512);
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_READ, 0, 512, 4096, read, 4), 0);
    assert_memory_equal(in, out, 4096);
}

static void test_more_vectors_than_iov_max_are_served(void **state)
{
    enum { COUNT = IOV_MAX * 2 + 100, SIZE = COUNT * 512 };
    struct fixture *fixture = *state;
    unsigned char *out = malloc(SIZE), *in = calloc(1, SIZE);
    struct iovec *written = calloc(COUNT, sizeof(*written)), *read = calloc(COUNT, sizeof(*read));

    open_image(fixture, (struct block_file_options){ 0 });
    fill_pattern(out, SIZE, 1);
    for (unsigned i = 0; i < COUNT; i++) {
        written[i] = (struct iovec){ out + i * 512, 512 };
        read[i] = (struct iovec){ in + i * 512, 512 };
    }
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_WRITE, 0, 4096, SIZE, written, COUNT), 0);
    assert_image(fixture, 4096, out, SIZE);
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_READ, 0, 4096, SIZE, read, COUNT), 0);
    assert_memory_equal(in, out, SIZE);
    free(out);
    free(in);
    free(written);
    free(read);
}

static void test_many_requests_in_flight_are_each_done_once(void **state)
{
    enum { COUNT = 200 };
    struct fixture *fixture = *state;
    struct disk_request *requests = calloc(COUNT, sizeof(*requests));
    struct iovec *iov = calloc(COUNT, sizeof(*iov));
    unsigned char *bytes = malloc(COUNT * 4096);

    open_image(fixture, (struct block_file_options){ 0 });
    fill_pattern(bytes, COUNT * 4096, 3);
    for (unsigned i = 0; i < COUNT; i++) {
        iov[i] = (struct iovec){ bytes + i * 4096, 4096 };
        requests[i].request = (struct block_request){
            .op = BLOCK_WRITE, .offset = i * 4096, .length = 4096, .iov = &iov[i], .iov_count = 1
        };
        disk_player_submit(&fixture->player, &requests[i]);
    }
    disk_player_wait(&fixture->player, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(requests[i].dones, 1);
        assert_int_equal(requests[i].res, 0);
    }
    assert_image(fixture, 0, bytes, COUNT * 4096);
    free(bytes);
    free(iov);
    free(requests);
}

static void test_empty_request_is_a_success_and_too_few_bytes_are_not(void **state)
{
    struct fixture *fixture = *state;
    unsigned char bytes[512];
    struct iovec iov = { bytes, 512 };

    open_image(fixture, (struct block_file_options){ 0 });
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_READ, 0, 0, 0, NULL, 0), 0);
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_READ, 0, 0, 1024, &iov, 1), -EINVAL);
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_OP_COUNT, 0, 0, 512, &iov, 1), -EINVAL);
}

/* --- caches --- */

static void test_flush_and_stable_writes_succeed_in_every_cache_mode(void **state)
{
    struct fixture *fixture = *state;
    unsigned char bytes[512] = { 1 };
    struct iovec iov = { bytes, 512 };

    for (int cache = 0; cache < BLOCK_CACHE_COUNT; cache++) {
        open_image(fixture, (struct block_file_options){ .cache = (enum block_cache)cache });
        assert_int_equal(fixture->player.disk->info.write_cache, cache != BLOCK_CACHE_WRITETHROUGH);
        assert_int_equal(disk_player_do(&fixture->player, BLOCK_WRITE, BLOCK_FUA, 0, 512, &iov, 1), 0);
        assert_int_equal(disk_player_do(&fixture->player, BLOCK_FLUSH, 0, 0, 0, NULL, 0), 0);
        assert_int_equal(disk_player_do(&fixture->player, BLOCK_DISCARD, BLOCK_FUA, 4096, 4096, NULL, 0), 0);
        assert_int_equal(disk_player_do(&fixture->player, BLOCK_WRITE_ZEROES, BLOCK_FUA, 8192, 4096, NULL, 0),
                         0);
        assert_image(fixture, 0, bytes, 512);
    }
}

static void test_read_only_disk_reads_flushes_and_writes_nothing(void **state)
{
    struct fixture *fixture = *state;
    unsigned char bytes[512] = { 0 };

    open_image(fixture, (struct block_file_options){ .read_only = true });
    assert_true(fixture->player.disk->info.read_only);
    assert_false(fixture->player.disk->info.can_discard);
    assert_false(fixture->player.disk->info.can_write_zeroes);
    assert_int_equal(disk_player_read(&fixture->player, 0, bytes, 512), 0);
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_FLUSH, 0, 0, 0, NULL, 0), 0);
    assert_int_equal(disk_player_write(&fixture->player, 0, bytes, 512), -EROFS);
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_DISCARD, 0, 0, 512, NULL, 0), -EROFS);
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_WRITE_ZEROES, 0, 0, 512, NULL, 0), -EROFS);
}

/* --- discard and write zeroes --- */

static void check_discard_and_zeroes(struct fixture *fixture)
{
    const uint64_t size = 1 * MIB;
    unsigned char *bytes = malloc(size);
    uint64_t full;

    fill_pattern(bytes, size, 9);
    bytes[0] = bytes[512] = bytes[size - 1] = 0xee;
    assert_int_equal(disk_player_write(&fixture->player, 0, bytes, size), 0);
    full = allocated(fixture);

    /* Zeroes in place: not a byte beside them, and the space stays. */
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_WRITE_ZEROES, 0, 512, 600 * KIB, NULL, 0), 0);
    assert_image(fixture, 0, bytes, 512);
    assert_zeroes(fixture, 512, 600 * KIB);
    assert_image(fixture, 512 + 600 * KIB, bytes + 512 + 600 * KIB, size - 512 - 600 * KIB);
    assert_true(allocated(fixture) >= full);

    /* Zeroes that may give space back do. */
    assert_int_equal(disk_player_write(&fixture->player, 0, bytes, size), 0);
    assert_int_equal(
        disk_player_do(&fixture->player, BLOCK_WRITE_ZEROES, BLOCK_MAY_UNMAP, 256 * KIB, 512 * KIB, NULL, 0),
        0);
    assert_zeroes(fixture, 256 * KIB, 512 * KIB);
    assert_image(fixture, 0, bytes, 256 * KIB);
    assert_image(fixture, 768 * KIB, bytes + 768 * KIB, 256 * KIB);
    assert_true(allocated(fixture) <= full - 512 * KIB);

    /* So does a discard. */
    assert_true(fixture->player.disk->info.can_discard);
    assert_int_equal(disk_player_write(&fixture->player, 0, bytes, size), 0);
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_DISCARD, 0, 256 * KIB, 512 * KIB, NULL, 0), 0);
    assert_image(fixture, 0, bytes, 256 * KIB);
    assert_image(fixture, 768 * KIB, bytes + 768 * KIB, 256 * KIB);
    assert_true(allocated(fixture) <= full - 512 * KIB);
    free(bytes);
}

static void test_discard_and_write_zeroes_do_what_they_say(void **state)
{
    struct fixture *fixture = *state;

    open_image(fixture, (struct block_file_options){ 0 });
    check_discard_and_zeroes(fixture);
}

/* tmpfs punches holes but cannot zero a range: zeroes are written. */
static void test_write_zeroes_without_help_of_the_file_system_writes_them(void **state)
{
    struct fixture *fixture = *state;
    struct block_file_options options = { .path = fixture->path };

    make_image(fixture, "/dev/shm", IMAGE_SIZE);
    disk_player_open(&fixture->player, &options);
    assert_int_equal(fallocate(fixture->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, 512), -1);
    check_discard_and_zeroes(fixture);
}

static void test_file_system_without_holes_ignores_discards_and_writes_zeroes(void **state)
{
    struct fixture *fixture = *state;
    struct block_file_options options = { .path = fixture->path };
    static unsigned char bytes[64 * KIB];

    if (!places.bare[0]) {
        print_message("no ramfs: we may not mount one\n");
        skip();
    }
    make_image(fixture, places.bare, IMAGE_SIZE);
    disk_player_open(&fixture->player, &options);
    assert_false(fixture->player.disk->info.can_discard);
    assert_true(fixture->player.disk->info.can_write_zeroes);
    fill_pattern(bytes, sizeof(bytes), 4);
    assert_int_equal(disk_player_write(&fixture->player, 0, bytes, sizeof(bytes)), 0);
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_DISCARD, 0, 0, 4096, NULL, 0), 0);
    assert_image(fixture, 0, bytes, sizeof(bytes));
    assert_int_equal(
        disk_player_do(&fixture->player, BLOCK_WRITE_ZEROES, BLOCK_MAY_UNMAP, 4096, 8192, NULL, 0), 0);
    assert_zeroes(fixture, 4096, 8192);
    assert_image(fixture, 0, bytes, 4096);
    assert_image(fixture, 12288, bytes + 12288, sizeof(bytes) - 12288);
}

/* --- direct I/O --- */

static void check_direct(struct fixture *fixture, const char *directory)
{
    enum { COUNT = 5 };
    const uint64_t size = 640 * KIB; /* more than two pieces of the bounce buffer */
    struct block_file_options options = { .path = fixture->path, .direct = true };
    unsigned char *out = aligned_alloc(4096, size + 4096), *in = aligned_alloc(4096, size + 4096);
    struct disk_request requests[COUNT] = { 0 };
    struct iovec iov[COUNT];
    struct error err = { 0 };

    make_image(fixture, directory, IMAGE_SIZE);
    disk_player_close(&fixture->player);
    if (block_file_open(fixture->player.loop, &options, &fixture->player.disk, &err) == -EINVAL) {
        print_message("no direct I/O in %s: %s\n", directory, err.text);
        skip();
    }
    disk_player_open(&fixture->player, &options);
    assert_int_equal(fixture->player.disk->info.logical_block_size, 512);
    for (unsigned misaligned = 0; misaligned <= 520; misaligned += 4 + 512 * (misaligned == 4)) {
        /* whole blocks, from memory that is and is not aligned */
        fill_pattern(out, size + 4096, misaligned);
        assert_int_equal(disk_player_write(&fixture->player, 0, out + misaligned, size), 0);
        assert_image(fixture, 0, out + misaligned, size);
        memset(in, 0, size + 4096);
        assert_int_equal(disk_player_read(&fixture->player, 0, in + misaligned, size), 0);
        assert_memory_equal(in + misaligned, out + misaligned, size);

        /* ranges that start and end inside a page */
        fill_pattern(out, size, misaligned + 1);
        assert_int_equal(disk_player_write(&fixture->player, 512, out + misaligned, 1024), 0);
        assert_image(fixture, 512, out + misaligned, 1024);
        assert_int_equal(disk_player_read(&fixture->player, 512, in + misaligned, 1024), 0);
        assert_memory_equal(in + misaligned, out + misaligned, 1024);

        /* both, odd vectors */
        iov[0] = (struct iovec){ in + 1, 1 };
        iov[1] = (struct iovec){ in + 8, 4095 };
        memset(in, 0, 8192);
        assert_int_equal(disk_player_do(&fixture->player, BLOCK_READ, 0, 0, 4096, iov, 2), 0);
        assert_image(fixture, 0, in + 1, 1);
        assert_image(fixture, 1, in + 8, 4095);
    }
    /* Many that need the bounce buffer at once wait for each other. */
    for (unsigned i = 0; i < COUNT; i++) {
        iov[i] = (struct iovec){ out + 1 + i * 128 * KIB, 128 * KIB };
        requests[i].request = (struct block_request){
            .op = BLOCK_WRITE, .offset = i * 128 * KIB, .length = 128 * KIB, .iov = &iov[i], .iov_count = 1
        };
        disk_player_submit(&fixture->player, &requests[i]);
    }
    disk_player_wait(&fixture->player, COUNT);
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(requests[i].res, 0);
    assert_image(fixture, 0, out + 1, size);
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_WRITE_ZEROES, 0, 512, 300 * KIB, NULL, 0), 0);
    assert_zeroes(fixture, 512, 300 * KIB);
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_FLUSH, 0, 0, 0, NULL, 0), 0);

    /* A direct read across the new end of a file cut short. */
    assert_int_equal(ftruncate(fixture->fd, 8192 + 512), 0);
    assert_int_equal(disk_player_read(&fixture->player, 0, in, 16384), -EIO);
    assert_int_equal(disk_player_read(&fixture->player, 0, in + 1, 16384), -EIO);
    free(in);
    free(out);
}

static void test_direct_io_takes_any_memory_and_any_sector(void **state)
{
    check_direct(*state, places.directory);
}

/* A file system that does not say what direct I/O wants. */
static void test_direct_io_on_tmpfs_takes_any_memory_and_any_sector(void **state)
{
    check_direct(*state, "/dev/shm");
}

/* --- failures --- */

static void test_read_of_a_file_cut_short_fails_with_eio(void **state)
{
    struct fixture *fixture = *state;
    unsigned char bytes[8192];

    open_image(fixture, (struct block_file_options){ 0 });
    assert_int_equal(ftruncate(fixture->fd, 4096 + 100), 0);
    assert_int_equal(disk_player_read(&fixture->player, 0, bytes, 4096), 0);
    assert_int_equal(disk_player_read(&fixture->player, 0, bytes, 8192), -EIO);
    assert_int_equal(disk_player_read(&fixture->player, 8192, bytes, 512), -EIO);
}

/* The part below the limit is written, the rest carried on, and refused. */
static void test_write_beyond_the_file_size_limit_fails_with_efbig(void **state)
{
    struct fixture *fixture = *state;
    const struct rlimit limit = { 64 * KIB, RLIM_INFINITY }, none = { RLIM_INFINITY, RLIM_INFINITY };
    static unsigned char bytes[128 * KIB];
    struct iovec iov[] = { { bytes, 5000 }, { bytes + 5000, sizeof(bytes) - 5000 } };

    open_image(fixture, (struct block_file_options){ 0 });
    fill_pattern(bytes, sizeof(bytes), 2);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_WRITE, 0, 0, sizeof(bytes), iov, 2), -EFBIG);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    assert_image(fixture, 0, bytes, 64 * KIB);
    assert_zeroes(fixture, 64 * KIB, 64 * KIB);
    assert_int_equal(disk_player_write(&fixture->player, 0, bytes, sizeof(bytes)), 0);
}

/* The limit cuts a write short in the middle of a vector, and is gone when the rest is carried on. */
static void test_short_write_is_carried_on_inside_a_vector(void **state)
{
    struct fixture *fixture = *state;
    const struct rlimit limit = { 6000, RLIM_INFINITY }, none = { RLIM_INFINITY, RLIM_INFINITY };
    struct block_file_options options = { .path = fixture->path };
    unsigned char bytes[8192];
    struct iovec iov[] = { { bytes, 1000 }, { bytes + 1000, 6000 }, { bytes + 7000, 1192 } };
    struct disk_request request = {
        .request = { .op = BLOCK_WRITE, .length = sizeof(bytes), .iov = iov, .iov_count = 3 },
    };
    struct stat status = { 0 };

    make_image(fixture, places.directory, 512);
    disk_player_open(&fixture->player, &options);
    fill_pattern(bytes, sizeof(bytes), 6);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    disk_player_submit(&fixture->player, &request);
    /* io_uring submits in a turn; the pool's threads have the request already, and a turn would carry it on.
     */
    if (strcmp(loop_engine_name(fixture->player.loop), "io_uring") == 0)
        disk_player_turn(&fixture->player);
    while (status.st_size < 6000) {
        sched_yield();
        assert_int_equal(fstat(fixture->fd, &status), 0);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    assert_int_equal(request.dones, 0);
    disk_player_wait(&fixture->player, 1);
    assert_int_equal(request.res, 0);
    assert_image(fixture, 0, bytes, sizeof(bytes));
}

static void test_write_to_a_full_file_system_fails_with_enospc_until_there_is_room(void **state)
{
    struct fixture *fixture = *state;
    struct block_file_options options = { .path = fixture->path };
    static unsigned char bytes[2 * TINY_SIZE];

    if (!places.tiny[0]) {
        print_message("no tmpfs of our own: we may not mount one\n");
        skip();
    }
    make_image(fixture, places.tiny, IMAGE_SIZE);
    disk_player_open(&fixture->player, &options);
    fill_pattern(bytes, sizeof(bytes), 5);
    assert_int_equal(disk_player_write(&fixture->player, 0, bytes, sizeof(bytes)), -ENOSPC);
    assert_int_equal(disk_player_write(&fixture->player, 1 * MIB, bytes, 4096), -ENOSPC);
    /* zeroes have to be written here, too */
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_WRITE_ZEROES, 0, 1 * MIB, 4096, NULL, 0),
                     -ENOSPC);
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_DISCARD, 0, 0, sizeof(bytes), NULL, 0), 0);
    assert_int_equal(disk_player_write(&fixture->player, 1 * MIB, bytes, 4096), 0);
    assert_image(fixture, 1 * MIB, bytes, 4096);
}

/* --- main --- */

/* Before the first thread: a mount namespace of our own with a tiny tmpfs in it. */
static void make_places(void)
{
    const char *base = getenv("TMPDIR");
    char options[32];

    snprintf(places.directory, sizeof(places.directory), "%s/ringlet-XXXXXX",
             base && strlen(base) < 32 ? base : "/var/tmp");
    if (!mkdtemp(places.directory))
        abort();
    snprintf(places.tiny, sizeof(places.tiny), "%s/tiny", places.directory);
    snprintf(options, sizeof(options), "size=%u", (unsigned)TINY_SIZE);
    snprintf(places.bare, sizeof(places.bare), "%s/bare", places.directory);
    if (mkdir(places.tiny, 0700) < 0 || mkdir(places.bare, 0700) < 0)
        abort();
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tiny", places.tiny, "tmpfs", 0, options) < 0) {
        rmdir(places.tiny);
        places.tiny[0] = '\0';
    }
    if (!places.tiny[0] || mount("bare", places.bare, "ramfs", 0, NULL) < 0) {
        rmdir(places.bare);
        places.bare[0] = '\0';
    }
}

static void remove_places(void)
{
    if (places.tiny[0]) {
        umount(places.tiny);
        rmdir(places.tiny);
    }
    if (places.bare[0]) {
        umount(places.bare);
        rmdir(places.bare);
    }
    rmdir(places.directory);
}

#define ON_BOTH(test)                                                                                        \
    { #test " [io_uring]", test, set_up_io_uring, tear_down, NULL },                                         \
    {                                                                                                        \
#test " [threads]", test, set_up_threads, tear_down, NULL                                            \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(test_scattered_write_reaches_the_file_and_reads_back),
        ON_BOTH(test_more_vectors_than_iov_max_are_served),
        ON_BOTH(test_many_requests_in_flight_are_each_done_once),
        ON_BOTH(test_empty_request_is_a_success_and_too_few_bytes_are_not),
        ON_BOTH(test_flush_and_stable_writes_succeed_in_every_cache_mode),
        ON_BOTH(test_read_only_disk_reads_flushes_and_writes_nothing),
        ON_BOTH(test_discard_and_write_zeroes_do_what_they_say),
        ON_BOTH(test_write_zeroes_without_help_of_the_file_system_writes_them),
        ON_BOTH(test_file_system_without_holes_ignores_discards_and_writes_zeroes),
        ON_BOTH(test_direct_io_takes_any_memory_and_any_sector),
        ON_BOTH(test_direct_io_on_tmpfs_takes_any_memory_and_any_sector),
        ON_BOTH(test_read_of_a_file_cut_short_fails_with_eio),
        ON_BOTH(test_write_beyond_the_file_size_limit_fails_with_efbig),
        ON_BOTH(test_short_write_is_carried_on_inside_a_vector),
        ON_BOTH(test_write_to_a_full_file_system_fails_with_enospc_until_there_is_room),
    };
    int failed;

    signal(SIGXFSZ, SIG_IGN);
    make_places();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove_places();
    return failed;
}
