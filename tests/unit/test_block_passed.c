/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_block_passed.c - disks that whoever started us has opened: "fd=N". What is shared with them, and what stays
 * theirs.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "disk_player.h"
#include "ringlet/error.h"
#include "ringlet/util.h"

#define IMAGE_SIZE (1 * MIB)
#define NOBODY     65534

struct fixture {
    struct disk_player player;
    char directory[64];
    char path[96];
    int given;
    char name[16]; /* "fd=N" of it */
};

static int set_up(void **state, enum loop_engine engine)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    const char *base = getenv("TMPDIR");
    int fd;

    if (!fixture || disk_player_init(&fixture->player, engine) < 0)
        return -1;
    fixture->given = -1;
    snprintf(fixture->directory, sizeof(fixture->directory), "%s/ringlet-XXXXXX",
             base && strlen(base) < 32 ? base : "/var/tmp");
    if (!mkdtemp(fixture->directory))
        return -1;
    snprintf(fixture->path, sizeof(fixture->path), "%s/disk.img", fixture->directory);
    fd = open(fixture->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, IMAGE_SIZE) < 0)
        return -1;
    close(fd);
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
    if (fixture->given >= 0)
        close(fixture->given);
    unlink(fixture->path);
    rmdir(fixture->directory);
    free(fixture);
    return 0;
}

/* As whoever starts us does. */
static void give(struct fixture *fixture, int flags)
{
    if (fixture->given >= 0)
        close(fixture->given);
    fixture->given = open(fixture->path, flags | O_CLOEXEC);
    assert_true(fixture->given >= 0);
    snprintf(fixture->name, sizeof(fixture->name), "fd=%d", fixture->given);
}

static void open_given(struct fixture *fixture, struct block_file_options options)
{
    options.path = fixture->name;
    disk_player_open(&fixture->player, &options);
}

static void assert_refused(struct fixture *fixture, struct block_file_options options, int code,
                           const char *trouble, const char *mend)
{
    struct block_backend *disk = NULL;
    struct error err = { 0 };

    options.path = options.path ? options.path : fixture->name;
    assert_int_equal(block_file_open(fixture->player.loop, &options, &disk, &err), code);
    assert_null(disk);
    assert_non_null(strstr(err.text, options.path));
    assert_non_null(strstr(err.text, trouble));
    assert_non_null(strstr(err.text, mend));
}

static const struct block_file_options plain;
static const struct block_file_options reader = { .read_only = true };

static void test_descriptor_is_a_disk_and_stays_the_callers(void **state)
{
    struct fixture *fixture = *state;
    char bytes[1024], there[1024];

    memset(bytes, 0x5a, sizeof(bytes));
    give(fixture, O_RDWR);
    assert_int_equal(lseek(fixture->given, 100, SEEK_SET), 100);
    open_given(fixture, plain);
    assert_int_equal(fixture->player.disk->info.capacity, IMAGE_SIZE);
    assert_int_equal(disk_player_write(&fixture->player, 4096, bytes, sizeof(bytes)), 0);
    assert_int_equal(disk_player_read(&fixture->player, 4096, there, sizeof(there)), 0);
    assert_memory_equal(there, bytes, sizeof(bytes));
    disk_player_close(&fixture->player);
    /* open still, and where it was */
    assert_int_equal(lseek(fixture->given, 0, SEEK_CUR), 100);
    assert_int_equal(pread(fixture->given, there, sizeof(there), 4096), sizeof(there));
    assert_memory_equal(there, bytes, sizeof(bytes));
}

static void test_descriptor_that_is_not_open_is_refused_with_the_mend(void **state)
{
    struct fixture *fixture = *state;

    give(fixture, O_RDWR);
    close(fixture->given);
    fixture->given = -1;
    assert_refused(fixture, plain, -EBADF, "not open", "<>FILE");
}

static void test_access_mode_must_be_the_disks(void **state)
{
    struct fixture *fixture = *state;

    give(fixture, O_RDONLY);
    assert_refused(fixture, plain, -EACCES, "not open for reading and writing", "read-only");
    open_given(fixture, reader);
    assert_true(fixture->player.disk->info.read_only);
    disk_player_close(&fixture->player);
    give(fixture, O_WRONLY);
    assert_refused(fixture, plain, -EACCES, "not open for reading and writing", "<>FILE");
    assert_refused(fixture, reader, -EACCES, "not open for reading", "<FILE");
}

static void test_what_is_no_disk_is_none_by_descriptor_either(void **state)
{
    struct fixture *fixture = *state;
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    snprintf(fixture->name, sizeof(fixture->name), "fd=%d", ends[0]);
    assert_refused(fixture, reader, -EINVAL, "is a pipe", "image file");
    close(ends[0]);
    close(ends[1]);
}

static void test_descriptor_that_appends_is_refused_as_a_disk_to_write(void **state)
{
    struct fixture *fixture = *state;

    give(fixture, O_RDWR | O_APPEND);
    assert_refused(fixture, plain, -EINVAL, "appending", "<>FILE");
    open_given(fixture, reader);
}

static void test_descriptor_that_does_not_block_waits_for_storage_all_the_same(void **state)
{
    struct fixture *fixture = *state;

    give(fixture, O_RDWR | O_NONBLOCK);
    open_given(fixture, plain);
    assert_int_equal(fcntl(fixture->given, F_GETFL) & O_NONBLOCK, 0);
}

static void test_lock_keeps_others_out_by_path(void **state)
{
    struct fixture *fixture = *state;
    struct block_backend *second = NULL;

    give(fixture, O_RDWR);
    open_given(fixture, plain);
    assert_refused(fixture, (struct block_file_options){ .path = fixture->path }, -EBUSY, "in use", "copy");
    assert_refused(fixture, (struct block_file_options){ .path = fixture->path, .read_only = true }, -EBUSY,
                   "in use", "copy");
    /* The lock is the open file's, which others have, too: it ends when the last of them closes it. */
    disk_player_close(&fixture->player);
    assert_refused(fixture, (struct block_file_options){ .path = fixture->path }, -EBUSY, "in use", "copy");
    close(fixture->given);
    fixture->given = -1;
    assert_int_equal(block_file_open(fixture->player.loop,
                                     &(struct block_file_options){ .path = fixture->path }, &second, NULL),
                     0);
    block_backend_destroy(second);
}

static void test_lock_of_another_keeps_a_descriptor_out(void **state)
{
    struct fixture *fixture = *state;

    give(fixture, O_RDWR);
    disk_player_open(&fixture->player, &(struct block_file_options){ .path = fixture->path });
    assert_refused(fixture, plain, -EBUSY, "in use", "copy");
}

/* Requests in every alignment reach a direct disk. */
static void check_direct(struct fixture *fixture)
{
    unsigned char *bytes = aligned_alloc(4096, 16384), *there = aligned_alloc(4096, 16384);

    for (unsigned i = 0; i < 16384; i++)
        bytes[i] = (unsigned char)(i * 7 ^ i >> 8);
    assert_int_equal(disk_player_write(&fixture->player, 8192, bytes, 8192), 0);
    assert_int_equal(disk_player_write(&fixture->player, 16384, bytes + 8192 + 1, 512), 0);
    assert_int_equal(disk_player_read(&fixture->player, 8192, there, 8192), 0);
    assert_memory_equal(there, bytes, 8192);
    assert_int_equal(disk_player_read(&fixture->player, 16384, there + 3, 512), 0);
    assert_memory_equal(there + 3, bytes + 8192 + 1, 512);
    free(bytes);
    free(there);
}

static bool has_direct_io(const struct fixture *fixture)
{
    int fd = open(fixture->path, O_RDWR | O_DIRECT | O_CLOEXEC);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void test_direct_io_leaves_the_callers_flags_alone(void **state)
{
    struct fixture *fixture = *state;

    if (!has_direct_io(fixture)) {
        print_message("no direct I/O on this file system\n");
        skip();
    }
    give(fixture, O_RDWR);
    open_given(fixture, (struct block_file_options){ .direct = true });
    assert_int_equal(fcntl(fixture->given, F_GETFL) & O_DIRECT, 0);
    check_direct(fixture);
}

static void test_descriptor_that_is_direct_already_takes_every_request(void **state)
{
    struct fixture *fixture = *state;

    if (!has_direct_io(fixture)) {
        print_message("no direct I/O on this file system\n");
        skip();
    }
    give(fixture, O_RDWR | O_DIRECT);
    open_given(fixture, plain);
    check_direct(fixture);
    disk_player_close(&fixture->player);
    open_given(fixture, (struct block_file_options){ .direct = true });
    check_direct(fixture);
    assert_int_equal(fcntl(fixture->given, F_GETFL) & O_DIRECT, O_DIRECT);
}

static void test_direct_io_on_what_may_not_be_opened_again_is_refused_with_the_mend(void **state)
{
    struct fixture *fixture = *state;

    if (geteuid() != 0) {
        print_message("only root gives away what others may not open\n");
        skip();
    }
    give(fixture, O_RDWR);
    assert_int_equal(seteuid(NOBODY), 0);
    assert_refused(fixture, (struct block_file_options){ .direct = true }, -EACCES, "second time",
                   "use it without");
    open_given(fixture, plain);
    assert_int_equal(seteuid(0), 0);
}

#define ON_BOTH(test)                                                                                        \
    { #test " [io_uring]", test, set_up_io_uring, tear_down, NULL },                                         \
    {                                                                                                        \
#test " [threads]", test, set_up_threads, tear_down, NULL                                            \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(test_descriptor_is_a_disk_and_stays_the_callers),
        ON_BOTH(test_direct_io_leaves_the_callers_flags_alone),
        ON_BOTH(test_descriptor_that_is_direct_already_takes_every_request),
        cmocka_unit_test_setup_teardown(test_descriptor_that_is_not_open_is_refused_with_the_mend,
                                        set_up_threads, tear_down),
        cmocka_unit_test_setup_teardown(test_access_mode_must_be_the_disks, set_up_threads, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_no_disk_is_none_by_descriptor_either, set_up_threads,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_descriptor_that_appends_is_refused_as_a_disk_to_write,
                                        set_up_threads, tear_down),
        cmocka_unit_test_setup_teardown(test_descriptor_that_does_not_block_waits_for_storage_all_the_same,
                                        set_up_threads, tear_down),
        cmocka_unit_test_setup_teardown(test_lock_keeps_others_out_by_path, set_up_threads, tear_down),
        cmocka_unit_test_setup_teardown(test_lock_of_another_keeps_a_descriptor_out, set_up_threads,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            test_direct_io_on_what_may_not_be_opened_again_is_refused_with_the_mend, set_up_threads,
            tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
