/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_block_open.c - what is and is not a disk, what is said about it, and disks that are block devices
 * (loop devices, where the test may make them).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "disk_player.h"
#include "loop_device.h"
#include "ringlet/error.h"
#include "ringlet/util.h"

#define IMAGE_SIZE (1 * MIB)
#define TINY_SIZE  (64 * KIB)
#define NOBODY     65534

struct fixture {
    struct disk_player player;
    char directory[64];
    char path[96];
    char device[LOOP_DEVICE_NAME_SIZE]; /* a loop device on `path`; empty if there is none */
    bool mounted;                       /* `directory` is a tmpfs of TINY_SIZE */
};

static int set_up(void **state, enum loop_engine engine)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    const char *base = getenv("TMPDIR");

    if (!fixture || disk_player_init(&fixture->player, engine) < 0)
        return -1;
    snprintf(fixture->directory, sizeof(fixture->directory), "%s/ringlet-XXXXXX",
             base && strlen(base) < 32 ? base : "/var/tmp");
    if (!mkdtemp(fixture->directory))
        return -1;
    snprintf(fixture->path, sizeof(fixture->path), "%s/disk.img", fixture->directory);
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
    loop_device_detach(fixture->device);
    unlink(fixture->path);
    if (fixture->mounted)
        umount2(fixture->directory, MNT_DETACH);
    rmdir(fixture->directory);
    free(fixture);
    return 0;
}

static void make_image(struct fixture *fixture, uint64_t size)
{
    int fd = open(fixture->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    close(fd);
}

/* Opening fails with `code`, and the sentence names the path, the trouble and the mend. */
static void assert_refused(struct fixture *fixture, struct block_file_options options, int code,
                           const char *trouble, const char *mend)
{
    struct block_backend *disk = NULL;
    struct error err = { 0 };

    options.path = options.path ? options.path : fixture->path;
    assert_int_equal(block_file_open(fixture->player.loop, &options, &disk, &err), code);
    assert_null(disk);
    assert_non_null(strstr(err.text, options.path));
    assert_non_null(strstr(err.text, trouble));
    assert_non_null(strstr(err.text, mend));
}

static const struct block_file_options plain;

/* --- refusals --- */

static void test_what_is_no_disk_is_refused_by_name(void **state)
{
    struct fixture *fixture = *state;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_refused(fixture, plain, -ENOENT, "no disk image",
                   "check the name, or make one with truncate -s 1G");
    assert_refused(fixture, (struct block_file_options){ .path = fixture->directory }, -EISDIR,
                   "is a directory", "image file");
    assert_refused(fixture, (struct block_file_options){ .path = "/dev/null" }, -EINVAL, "character device",
                   "image file");
    assert_int_equal(mkfifo(fixture->path, 0600), 0);
    assert_refused(fixture, plain, -EINVAL, "is a pipe", "image file");
    assert_refused(fixture, (struct block_file_options){ .read_only = true }, -EINVAL, "is a pipe",
                   "image file");
    unlink(fixture->path);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", fixture->path);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_refused(fixture, plain, -EINVAL, "is a socket", "image file");
    close(listener);
}

static void test_odd_sizes_are_refused_with_the_mend(void **state)
{
    struct fixture *fixture = *state;

    make_image(fixture, 0);
    assert_refused(fixture, plain, -EINVAL, "is empty", "truncate -s 1G");
    make_image(fixture, 1000);
    assert_refused(fixture, plain, -EINVAL, "1000 bytes", "truncate -s %512");
    assert_refused(fixture, (struct block_file_options){ .read_only = true }, -EINVAL, "1000 bytes",
                   "is it a raw disk image");
    make_image(fixture, 512);
    disk_player_open(&fixture->player, &(struct block_file_options){ .path = fixture->path });
    assert_int_equal(fixture->player.disk->info.capacity, 512);
}

static void put_start(struct fixture *fixture, const void *bytes, size_t count)
{
    int fd = open(fixture->path, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, count, 0), count);
    close(fd);
}

static void test_packed_images_of_an_odd_size_are_refused_with_their_own_mend(void **state)
{
    static const struct {
        unsigned char magic[6];
        const char *mend;
    } rows[] = { { { 0x1f, 0x8b, 8, 0, 0, 0 }, "gunzip" },
                 { { 0xfd, '7', 'z', 'X', 'Z', 0 }, "unxz" },
                 { { 0x28, 0xb5, 0x2f, 0xfd, 0, 0 }, "unzstd" },
                 { { 'Q', 'F', 'I', 0xfb, 0, 0 }, "qemu-img convert" } };
    struct fixture *fixture = *state;

    make_image(fixture, 1000);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        put_start(fixture, rows[i].magic, sizeof(rows[i].magic));
        assert_refused(fixture, plain, -EINVAL, "1000 bytes", rows[i].mend);
        assert_refused(fixture, (struct block_file_options){ .read_only = true }, -EINVAL, "1000 bytes",
                       rows[i].mend);
    }
    /* Whole sectors are a raw disk, whatever they hold. */
    make_image(fixture, 1024);
    disk_player_open(&fixture->player, &(struct block_file_options){ .path = fixture->path });
    assert_int_equal(fixture->player.disk->info.capacity, 1024);
}

/* What permissions have nothing to do with: an image that is immutable (chattr +i), for one. */
static void test_opening_that_is_not_permitted_to_anybody_is_told_as_it_is(void **state)
{
    struct fixture *fixture = *state;
    int flags = 0, fd;

    make_image(fixture, IMAGE_SIZE);
    fd = open(fixture->path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0 ||
        ioctl(fd, FS_IOC_SETFLAGS, &(int){ flags | FS_IMMUTABLE_FL }) < 0) {
        close(fd);
        print_message("we may not make a file immutable here\n");
        skip();
    }
    assert_refused(fixture, plain, -EPERM, "cannot open", "Operation not permitted");
    assert_int_equal(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0);
    close(fd);
}

static void test_missing_permission_is_refused_with_the_mend(void **state)
{
    struct fixture *fixture = *state;
    bool root = geteuid() == 0;

    make_image(fixture, IMAGE_SIZE);
    assert_int_equal(chmod(fixture->directory, 0755), 0);
    assert_int_equal(chmod(fixture->path, 0444), 0);
    if (root)
        assert_int_equal(seteuid(NOBODY), 0);
    assert_refused(fixture, plain, -EACCES, "may not be written", "read-only");
    disk_player_open(&fixture->player,
                     &(struct block_file_options){ .path = fixture->path, .read_only = true });
    disk_player_close(&fixture->player);
    if (root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(chmod(fixture->path, 0), 0);
    if (root)
        assert_int_equal(seteuid(NOBODY), 0);
    assert_refused(fixture, (struct block_file_options){ .read_only = true }, -EACCES, "may not be read",
                   "change its permissions");
    if (root)
        assert_int_equal(seteuid(0), 0);
}

static void test_running_program_is_refused_as_a_disk_to_write(void **state)
{
    struct fixture *fixture = *state;

    if (access("/proc/self/exe", W_OK) < 0 && errno != ETXTBSY) {
        print_message("the test program may not be written by this user\n");
        skip();
    }
    assert_refused(fixture, (struct block_file_options){ .path = "/proc/self/exe" }, -ETXTBSY, "running",
                   "copy");
}

static void test_read_only_file_system_is_refused_with_the_mend(void **state)
{
    struct fixture *fixture = *state;

    if (mount("tiny", fixture->directory, "tmpfs", 0, "size=65536") < 0) {
        print_message("we may not mount a file system\n");
        skip();
    }
    fixture->mounted = true;
    make_image(fixture, IMAGE_SIZE);
    assert_int_equal(mount("tiny", fixture->directory, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL), 0);
    assert_refused(fixture, plain, -EROFS, "read-only file system", "use it read-only");
    disk_player_open(&fixture->player,
                     &(struct block_file_options){ .path = fixture->path, .read_only = true });
}

/* --- locks --- */

static void test_second_writer_is_refused_and_readers_share(void **state)
{
    struct fixture *fixture = *state;
    const struct block_file_options reader = { .path = fixture->path, .read_only = true };
    struct block_backend *second = NULL;

    make_image(fixture, IMAGE_SIZE);
    disk_player_open(&fixture->player, &(struct block_file_options){ .path = fixture->path });
    assert_refused(fixture, plain, -EBUSY, "in use by another process", "copy");
    assert_refused(fixture, reader, -EBUSY, "in use by another process", "copy");
    /* who asks for no lock gets none */
    assert_int_equal(block_file_open(fixture->player.loop,
                                     &(struct block_file_options){ .path = fixture->path, .no_lock = true },
                                     &second, NULL),
                     0);
    block_backend_destroy(second);
    disk_player_close(&fixture->player);

    disk_player_open(&fixture->player, &reader);
    assert_int_equal(block_file_open(fixture->player.loop, &reader, &second, NULL), 0);
    assert_refused(fixture, plain, -EBUSY, "in use by another process", "copy");
    block_backend_destroy(second);
    disk_player_close(&fixture->player);

    /* closing is all it takes, of a direct disk's two descriptors as well */
    disk_player_open(&fixture->player, &(struct block_file_options){ .path = fixture->path });
    disk_player_close(&fixture->player);
    if (block_file_open(fixture->player.loop,
                        &(struct block_file_options){ .path = fixture->path, .direct = true }, &second,
                        NULL) == 0) {
        assert_refused(fixture, plain, -EBUSY, "in use by another process", "copy");
        block_backend_destroy(second);
    }
    disk_player_open(&fixture->player, &(struct block_file_options){ .path = fixture->path });
}

static void test_file_system_without_direct_io_is_refused_with_the_mend(void **state)
{
    struct fixture *fixture = *state;

    /* A file of sysfs is a regular one of 4096 bytes that knows no O_DIRECT. */
    assert_refused(
        fixture,
        (struct block_file_options){
            .path = "/sys/kernel/uevent_seqnum", .read_only = true, .direct = true, .no_lock = true },
        -EINVAL, "direct I/O", "use it without");
}

/* --- block devices --- */

/* A loop device on the image, in blocks of `block_size` bytes; the test is skipped where there is none. */
static void attach_device(struct fixture *fixture, uint32_t block_size)
{
    if (!loop_device_attach(fixture->path, block_size, fixture->device)) {
        print_message("we may not make a loop device\n");
        skip();
    }
}

static void assert_image(const struct fixture *fixture, uint64_t offset, uint64_t length, unsigned char byte)
{
    unsigned char *bytes = malloc(length);
    int fd = open(fixture->path, O_RDONLY | O_CLOEXEC);

    assert_int_equal(pread(fd, bytes, length, (off_t)offset), length);
    for (uint64_t i = 0; i < length; i++)
        assert_int_equal(bytes[i], byte);
    free(bytes);
    close(fd);
}

static void flush(struct fixture *fixture)
{
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_FLUSH, 0, 0, 0, NULL, 0), 0);
}

static void check_device(struct fixture *fixture, bool direct)
{
    unsigned char *ones = aligned_alloc(4096, 64 * KIB);
    struct block_info info;

    memset(ones, 1, 64 * KIB);
    make_image(fixture, IMAGE_SIZE);
    attach_device(fixture, 4096);
    disk_player_open(&fixture->player,
                     &(struct block_file_options){ .path = fixture->device, .direct = direct });
    info = fixture->player.disk->info;
    assert_int_equal(info.capacity, IMAGE_SIZE);
    assert_int_equal(info.logical_block_size, 4096);
    assert_true(info.physical_block_size >= 4096);
    assert_true(info.can_discard);
    assert_true(info.discard_granularity >= 4096);

    assert_int_equal(disk_player_write(&fixture->player, 0, ones, 64 * KIB), 0);
    flush(fixture);
    assert_image(fixture, 0, 64 * KIB, 1);
    assert_image(fixture, 64 * KIB, 64 * KIB, 0);

    /* Only whole blocks are discarded; a range without one is not an error. */
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_DISCARD, 0, 512, 8192, NULL, 0), 0);
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_DISCARD, 0, 16384 + 512, 1024, NULL, 0), 0);
    flush(fixture);
    assert_image(fixture, 0, 4096, 1);
    assert_image(fixture, 4096, 4096, 0);
    assert_image(fixture, 8192, 64 * KIB - 8192, 1);

    /* Zeroes go everywhere they should, and nowhere else. */
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_WRITE_ZEROES, 0, 16384, 4096, NULL, 0), 0);
    assert_int_equal(
        disk_player_do(&fixture->player, BLOCK_WRITE_ZEROES, BLOCK_MAY_UNMAP, 24576, 4096, NULL, 0), 0);
    assert_int_equal(
        disk_player_do(&fixture->player, BLOCK_WRITE_ZEROES, BLOCK_MAY_UNMAP, 32768 + 512, 4096, NULL, 0), 0);
    flush(fixture);
    assert_image(fixture, 8192, 8192, 1);
    assert_image(fixture, 16384, 4096, 0);
    assert_image(fixture, 20480, 4096, 1);
    assert_image(fixture, 24576, 4096, 0);
    assert_image(fixture, 28672, 4096 + 512, 1);
    assert_image(fixture, 32768 + 512, 4096, 0);
    assert_image(fixture, 32768 + 512 + 4096, 4096, 1);
    free(ones);
}

static void test_block_device_is_a_disk(void **state)
{
    check_device(*state, false);
}

static void test_block_device_is_a_disk_with_direct_io(void **state)
{
    check_device(*state, true);
}

static void test_block_device_in_use_by_the_host_is_refused(void **state)
{
    struct fixture *fixture = *state;
    const struct block_file_options device = { .path = fixture->device };
    int fd;

    make_image(fixture, IMAGE_SIZE);
    attach_device(fixture, 512);
    /* as a mount does */
    fd = open(fixture->device, O_RDONLY | O_EXCL | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_refused(fixture, device, -EBUSY, "in use by the host", "unmount");
    close(fd);
    disk_player_open(&fixture->player, &device);
}

static void test_readers_share_a_block_device_with_each_other_alone(void **state)
{
    struct fixture *fixture = *state;
    const struct block_file_options reader = { .path = fixture->device, .read_only = true };
    struct block_backend *others[2] = { NULL, NULL };
    int fd;

    make_image(fixture, IMAGE_SIZE);
    attach_device(fixture, 512);
    fd = open(fixture->device, O_RDONLY | O_EXCL | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_refused(fixture, reader, -EBUSY, "in use by the host", "unmount");
    close(fd);

    disk_player_open(&fixture->player, &reader);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        assert_int_equal(block_file_open(fixture->player.loop, &reader, &others[i], NULL), 0);
    assert_refused(fixture, (struct block_file_options){ .path = fixture->device }, -EBUSY, "in use",
                   "unmount");
    /* The first has the claim, so that the host cannot mount it meanwhile. */
    fd = open(fixture->device, O_RDONLY | O_EXCL | O_CLOEXEC);
    assert_int_equal(fd, -1);
    assert_int_equal(errno, EBUSY);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        block_backend_destroy(others[i]);
    disk_player_close(&fixture->player);
    disk_player_open(&fixture->player, &(struct block_file_options){ .path = fixture->device });
}

/* The host loses what it had promised to write, says so once, and would forget it. */
static void test_flush_that_failed_stays_failed(void **state)
{
    struct fixture *fixture = *state;
    static unsigned char bytes[TINY_SIZE];
    int res;

    if (mount("tiny", fixture->directory, "tmpfs", 0, "size=65536") < 0) {
        print_message("we may not mount a file system\n");
        skip();
    }
    fixture->mounted = true;
    memset(bytes, 1, sizeof(bytes));
    make_image(fixture, IMAGE_SIZE);
    attach_device(fixture, 512);
    disk_player_open(&fixture->player, &(struct block_file_options){ .path = fixture->device });
    /* Fill the file system first: a loop device keeps quiet about a write that goes half-way. */
    assert_int_equal(disk_player_write(&fixture->player, 0, bytes, sizeof(bytes)), 0);
    flush(fixture);
    assert_int_equal(disk_player_write(&fixture->player, 4 * TINY_SIZE, bytes, sizeof(bytes)), 0);
    res = disk_player_do(&fixture->player, BLOCK_FLUSH, 0, 0, 0, NULL, 0);
    assert_true(res < 0);
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_FLUSH, 0, 0, 0, NULL, 0), res);
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_DISCARD, BLOCK_FUA, 0, 4096, NULL, 0), res);
}

/* A write that promises to be stable finds out at once; one that does not, succeeds in the page cache. */
static void test_stable_write_to_a_failing_device_fails(void **state)
{
    struct fixture *fixture = *state;
    static unsigned char bytes[TINY_SIZE];
    struct iovec iov = { bytes, sizeof(bytes) };

    if (mount("tiny", fixture->directory, "tmpfs", 0, "size=65536") < 0) {
        print_message("we may not mount a file system\n");
        skip();
    }
    fixture->mounted = true;
    memset(bytes, 1, sizeof(bytes));
    make_image(fixture, IMAGE_SIZE);
    attach_device(fixture, 512);
    disk_player_open(&fixture->player, &(struct block_file_options){ .path = fixture->device });
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_WRITE, BLOCK_FUA, 0, sizeof(bytes), &iov, 1), 0);
    assert_true(
        disk_player_do(&fixture->player, BLOCK_WRITE, BLOCK_FUA, 2 * TINY_SIZE, sizeof(bytes), &iov, 1) < 0);
    disk_player_open(&fixture->player, &(struct block_file_options){ .path = fixture->device,
                                                                     .cache = BLOCK_CACHE_WRITETHROUGH });
    assert_true(disk_player_write(&fixture->player, 4 * TINY_SIZE, bytes, sizeof(bytes)) < 0);
    disk_player_open(&fixture->player,
                     &(struct block_file_options){ .path = fixture->device, .cache = BLOCK_CACHE_UNSAFE });
    assert_int_equal(
        disk_player_do(&fixture->player, BLOCK_WRITE, BLOCK_FUA, 6 * TINY_SIZE, sizeof(bytes), &iov, 1), 0);
    assert_int_equal(disk_player_do(&fixture->player, BLOCK_FLUSH, 0, 0, 0, NULL, 0), 0);
}

#define ON_BOTH(test)                                                                                        \
    { #test " [io_uring]", test, set_up_io_uring, tear_down, NULL },                                         \
    {                                                                                                        \
#test " [threads]", test, set_up_threads, tear_down, NULL                                            \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_no_disk_is_refused_by_name, set_up_threads, tear_down),
        cmocka_unit_test_setup_teardown(test_odd_sizes_are_refused_with_the_mend, set_up_threads, tear_down),
        cmocka_unit_test_setup_teardown(test_packed_images_of_an_odd_size_are_refused_with_their_own_mend,
                                        set_up_threads, tear_down),
        cmocka_unit_test_setup_teardown(test_opening_that_is_not_permitted_to_anybody_is_told_as_it_is,
                                        set_up_threads, tear_down),
        cmocka_unit_test_setup_teardown(test_missing_permission_is_refused_with_the_mend, set_up_threads,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_running_program_is_refused_as_a_disk_to_write, set_up_threads,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_read_only_file_system_is_refused_with_the_mend, set_up_threads,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_second_writer_is_refused_and_readers_share, set_up_threads,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_file_system_without_direct_io_is_refused_with_the_mend,
                                        set_up_threads, tear_down),
        ON_BOTH(test_block_device_is_a_disk),
        ON_BOTH(test_block_device_is_a_disk_with_direct_io),
        ON_BOTH(test_block_device_in_use_by_the_host_is_refused),
        ON_BOTH(test_readers_share_a_block_device_with_each_other_alone),
        ON_BOTH(test_flush_that_failed_stays_failed),
        ON_BOTH(test_stable_write_to_a_failing_device_fails),
    };

    /* Before the first thread: what is mounted here is nobody else's. Without the right to, mounting fails
     * later. */
    if (unshare(CLONE_NEWNS) == 0)
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
