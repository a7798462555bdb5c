/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ephemeral_player.c - see ephemeral_player.h.
 */
#include "ephemeral_player.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>

#include "ringlet/block_overlay.h"
#include "ringlet/error.h"

uint8_t ephemeral_image_byte(uint64_t at)
{
    return (uint8_t)(at * 31 ^ at >> 9);
}

static int set_up(void **state, enum loop_engine engine)
{
    struct ephemeral_fixture *fixture = calloc(1, sizeof(*fixture));
    const char *base = getenv("TMPDIR");

    if (!fixture || disk_player_init(&fixture->player, engine) < 0)
        return -1;
    fixture->tmpdir = base ? strdup(base) : NULL;
    base = base && strlen(base) < 32 ? base : "/var/tmp";
    snprintf(fixture->directory, sizeof(fixture->directory), "%s/ringlet-XXXXXX", base);
    snprintf(fixture->temporary, sizeof(fixture->temporary), "%s/ringlet-XXXXXX", base);
    if (!mkdtemp(fixture->directory) || !mkdtemp(fixture->temporary))
        return -1;
    snprintf(fixture->path, sizeof(fixture->path), "%s/disk.img", fixture->directory);
    setenv("TMPDIR", fixture->temporary, 1);
    *state = fixture;
    return 0;
}

int ephemeral_set_up_io_uring(void **state)
{
    return set_up(state, LOOP_ENGINE_IO_URING);
}

int ephemeral_set_up_threads(void **state)
{
    return set_up(state, LOOP_ENGINE_THREADS);
}

unsigned ephemeral_count_names(const char *folder)
{
    DIR *directory = opendir(folder);
    unsigned count = 0;

    assert_non_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count - 2; /* . and .. */
}

int ephemeral_tear_down(void **state)
{
    struct ephemeral_fixture *fixture = *state;

    disk_player_finish(&fixture->player);
    loop_device_detach(fixture->device);
    unlink(fixture->path);
    assert_int_equal(ephemeral_count_names(fixture->directory), 0);
    assert_int_equal(ephemeral_count_names(fixture->temporary), 0);
    if (fixture->mounted)
        umount2(fixture->directory, MNT_DETACH);
    assert_int_equal(rmdir(fixture->directory), 0);
    assert_int_equal(rmdir(fixture->temporary), 0);
    if (fixture->tmpdir)
        setenv("TMPDIR", fixture->tmpdir, 1);
    else
        unsetenv("TMPDIR");
    free(fixture->tmpdir);
    free(fixture);
    return 0;
}

void ephemeral_make_image(struct ephemeral_fixture *fixture)
{
    uint8_t *bytes = malloc(EPHEMERAL_SIZE);
    int fd = open(fixture->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    for (uint64_t at = 0; at < EPHEMERAL_SIZE; at++)
        bytes[at] = ephemeral_image_byte(at);
    assert_int_equal(pwrite(fd, bytes, EPHEMERAL_SIZE, 0), EPHEMERAL_SIZE);
    close(fd);
    free(bytes);
}

void ephemeral_assert_image_untouched(const struct ephemeral_fixture *fixture)
{
    uint8_t *bytes = malloc(EPHEMERAL_SIZE);
    int fd = open(fixture->path, O_RDONLY | O_CLOEXEC);

    assert_int_equal(pread(fd, bytes, EPHEMERAL_SIZE, 0), EPHEMERAL_SIZE);
    for (uint64_t at = 0; at < EPHEMERAL_SIZE; at++)
        assert_int_equal(bytes[at], ephemeral_image_byte(at));
    close(fd);
    free(bytes);
}

void ephemeral_open(struct ephemeral_fixture *fixture, struct block_file_options options)
{
    struct error err = { 0 };

    disk_player_close(&fixture->player);
    options.path = options.path ? options.path : fixture->path;
    if (block_overlay_open(fixture->player.loop, &options, &fixture->player.disk, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(err.text, "");
    fixture->player.disk->ops->attach(fixture->player.disk, &fixture->player.client);
}

int ephemeral_file_in(const char *folder)
{
    char real[256], link[64], target[256];

    assert_non_null(realpath(folder, real));
    for (int fd = 0; fd < 256; fd++) {
        ssize_t length;

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        length = readlink(link, target, sizeof(target) - 1);
        if (length <= 0)
            continue;
        target[length] = '\0';
        if (strncmp(target, real, strlen(real)) == 0 && strstr(target, "(deleted)"))
            return fd;
    }
    return -1;
}

void ephemeral_assert_reads(struct ephemeral_fixture *fixture, uint64_t offset, uint64_t length, int byte)
{
    uint8_t *bytes = malloc(length);

    assert_int_equal(disk_player_read(&fixture->player, offset, bytes, length), 0);
    for (uint64_t i = 0; i < length; i++)
        assert_int_equal(bytes[i], byte < 0 ? ephemeral_image_byte(offset + i) : byte);
    free(bytes);
}

void ephemeral_write(struct ephemeral_fixture *fixture, uint64_t offset, uint64_t length, uint8_t byte)
{
    uint8_t *bytes = malloc(length);

    memset(bytes, byte, length);
    assert_int_equal(disk_player_write(&fixture->player, offset, bytes, length), 0);
    free(bytes);
}
