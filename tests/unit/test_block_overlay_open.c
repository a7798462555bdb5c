/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_block_overlay_open.c - ephemeral disks over real files and devices: who may share them, and where the file for
 * what is written is.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ephemeral_player.h"
#include "ringlet/block_overlay.h"
#include "ringlet/error.h"
#include "ringlet/util.h"

#define NOBODY 65534

static void assert_refused(struct ephemeral_fixture *fixture, const char *path, int code, const char *trouble,
                           const char *mend)
{
    struct block_backend *disk = NULL;
    struct error err = { 0 };

    assert_int_equal(
        block_overlay_open(fixture->player.loop, &(struct block_file_options){ .path = path }, &disk, &err),
        code);
    assert_null(disk);
    if (!strstr(err.text, path) || !strstr(err.text, trouble) || !strstr(err.text, mend))
        fail_msg("'%s', '%s' and '%s' are not all in: %s", path, trouble, mend, err.text);
}

static const struct block_file_options plain;

/* --- the image --- */

static void test_image_that_may_only_be_read_is_enough(void **state)
{
    struct ephemeral_fixture *fixture = *state;
    bool root = geteuid() == 0;

    ephemeral_make_image(fixture);
    assert_int_equal(chmod(fixture->directory, 0755), 0);
    assert_int_equal(chmod(fixture->temporary, 0777), 0);
    assert_int_equal(chmod(fixture->path, 0444), 0);
    /* nor is its folder then one to write to */
    if (root)
        assert_int_equal(seteuid(NOBODY), 0);
    else
        assert_int_equal(chmod(fixture->directory, 0555), 0);
    ephemeral_open(fixture, plain);
    if (root)
        assert_int_equal(seteuid(0), 0);
    else
        assert_int_equal(chmod(fixture->directory, 0755), 0);
    assert_true(ephemeral_file_in(fixture->temporary) >= 0);
    ephemeral_write(fixture, 0, 512, 0xaa);
    ephemeral_assert_reads(fixture, 0, 512, 0xaa);
}

static void test_many_share_an_image_that_nobody_may_write_meanwhile(void **state)
{
    struct ephemeral_fixture *fixture = *state;
    struct block_backend *others[3];
    struct block_backend *writer = NULL;
    struct error err = { 0 };

    ephemeral_make_image(fixture);
    ephemeral_open(fixture, plain);
    ephemeral_write(fixture, 0, 4096, 0xaa);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        assert_int_equal(block_overlay_open(fixture->player.loop,
                                            &(struct block_file_options){ .path = fixture->path }, &others[i],
                                            NULL),
                         0);
    assert_int_equal(block_file_open(fixture->player.loop,
                                     &(struct block_file_options){ .path = fixture->path }, &writer, &err),
                     -EBUSY);
    for (size_t i = 1; i < ARRAY_SIZE(others); i++)
        block_backend_destroy(others[i]);
    disk_player_close(&fixture->player);
    fixture->player.disk = others[0];
    others[0]->ops->attach(others[0], &fixture->player.client);
    ephemeral_assert_reads(fixture, 0, 4096, -1);
    disk_player_close(&fixture->player);
    disk_player_open(&fixture->player, &(struct block_file_options){ .path = fixture->path });
    assert_refused(fixture, fixture->path, -EBUSY, "in use", "copy");
}

/* --- where its file is --- */

static void test_file_is_beside_the_image(void **state)
{
    struct ephemeral_fixture *fixture = *state;
    int fd = open(fixture->directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0) {
        print_message("no O_TMPFILE on this file system\n");
        skip();
    }
    close(fd);
    ephemeral_make_image(fixture);
    ephemeral_open(fixture, plain);
    assert_true(ephemeral_file_in(fixture->directory) >= 0);
    assert_int_equal(ephemeral_file_in(fixture->temporary), -1);
    assert_int_equal(ephemeral_count_names(fixture->directory), 1);
}

static void test_descriptor_has_its_file_in_the_temporary_folder(void **state)
{
    struct ephemeral_fixture *fixture = *state;
    char name[16];
    int fd;

    ephemeral_make_image(fixture);
    fd = open(fixture->path, O_RDONLY | O_CLOEXEC);
    snprintf(name, sizeof(name), "fd=%d", fd);
    ephemeral_open(fixture, (struct block_file_options){ .path = name });
    assert_true(ephemeral_file_in(fixture->temporary) >= 0);
    ephemeral_write(fixture, 0, 512, 9);
    ephemeral_assert_reads(fixture, 0, 512, 9);
    ephemeral_assert_reads(fixture, 512, 512, -1);
    close(fd);
    ephemeral_assert_image_untouched(fixture);
}

static void test_bare_name_is_in_the_current_folder(void **state)
{
    struct ephemeral_fixture *fixture = *state;
    int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    ephemeral_make_image(fixture);
    assert_int_equal(chdir(fixture->directory), 0);
    ephemeral_open(fixture, (struct block_file_options){ .path = "disk.img" });
    assert_int_equal(fchdir(here), 0);
    close(here);
    ephemeral_write(fixture, 0, 512, 9);
    ephemeral_assert_reads(fixture, 0, 512, 9);
}

static void test_no_room_for_its_file_anywhere_is_refused_with_the_mend(void **state)
{
    struct ephemeral_fixture *fixture = *state;
    struct rlimit limit, low;
    struct block_backend *disk = NULL;
    struct error err = { 0 };

    ephemeral_make_image(fixture);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    low = (struct rlimit){ .rlim_cur = EPHEMERAL_SIZE - 512, .rlim_max = limit.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    assert_int_equal(block_overlay_open(fixture->player.loop,
                                        &(struct block_file_options){ .path = fixture->path }, &disk, &err),
                     -EFBIG);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_null(disk);
    assert_non_null(strstr(err.text, fixture->path));
    assert_non_null(strstr(err.text, "TMPDIR"));
    /* the image's lock is let go of */
    disk_player_open(&fixture->player, &(struct block_file_options){ .path = fixture->path });
}

static void test_what_is_no_disk_is_no_ephemeral_one(void **state)
{
    struct ephemeral_fixture *fixture = *state;

    assert_refused(fixture, fixture->path, -ENOENT, "no disk image", "check the name");
    assert_refused(fixture, fixture->directory, -EISDIR, "is a directory", "image file");
    assert_refused(fixture, "fd=2000000000", -EBADF, "not open", "<>FILE");
}

/* --- devices --- */

/* A loop device on the image, in blocks of `block_size` bytes; the test is skipped where there is none. */
static void attach_device(struct ephemeral_fixture *fixture, uint32_t block_size)
{
    if (!loop_device_attach(fixture->path, block_size, fixture->device)) {
        print_message("we may not make a loop device\n");
        skip();
    }
}

static void test_block_device_is_a_base_and_keeps_its_blocks(void **state)
{
    struct ephemeral_fixture *fixture = *state;
    struct block_backend *other;

    ephemeral_make_image(fixture);
    attach_device(fixture, 4096);
    ephemeral_open(fixture, (struct block_file_options){ .path = fixture->device });
    assert_int_equal(fixture->player.disk->info.logical_block_size, 4096);
    assert_int_equal(fixture->player.disk->info.capacity, EPHEMERAL_SIZE);
    /* beside it is no place for files */
    assert_true(ephemeral_file_in(fixture->temporary) >= 0);
    assert_int_equal(block_overlay_open(fixture->player.loop,
                                        &(struct block_file_options){ .path = fixture->device }, &other,
                                        NULL),
                     0);
    ephemeral_write(fixture, 4096, 8192, 0xaa);
    /* a guest that keeps to no blocks */
    ephemeral_write(fixture, 20480 + 512, 512, 0xbb);
    ephemeral_assert_reads(fixture, 0, 4096, -1);
    ephemeral_assert_reads(fixture, 4096, 8192, 0xaa);
    ephemeral_assert_reads(fixture, 20480, 512, -1);
    ephemeral_assert_reads(fixture, 20480 + 512, 512, 0xbb);
    ephemeral_assert_reads(fixture, 20480 + 1024, 4096, -1);
    block_backend_destroy(other);
    disk_player_close(&fixture->player);
    loop_device_detach(fixture->device);
    fixture->device[0] = '\0';
    ephemeral_assert_image_untouched(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_ONE(test_image_that_may_only_be_read_is_enough),
        ON_BOTH(test_many_share_an_image_that_nobody_may_write_meanwhile),
        ON_ONE(test_file_is_beside_the_image),
        ON_ONE(test_descriptor_has_its_file_in_the_temporary_folder),
        ON_ONE(test_bare_name_is_in_the_current_folder),
        ON_ONE(test_no_room_for_its_file_anywhere_is_refused_with_the_mend),
        ON_ONE(test_what_is_no_disk_is_no_ephemeral_one),
        ON_BOTH(test_block_device_is_a_base_and_keeps_its_blocks),
    };

    signal(SIGXFSZ, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
