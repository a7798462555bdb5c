/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_open_path.c - files by name and by descriptor: what is taken for which, and what is shared with whoever
 * passed it in.
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
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ringlet/open_path.h"
#include "ringlet/util.h"

#define UNTOUCHED (-77)

struct fixture {
    char directory[64];
    char path[96];
    char name[16]; /* "fd=N" */
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    const char *base = getenv("TMPDIR");

    if (!fixture)
        return -1;
    snprintf(fixture->directory, sizeof(fixture->directory), "%s/ringlet-XXXXXX",
             base && strlen(base) < 32 ? base : "/var/tmp");
    if (!mkdtemp(fixture->directory))
        return -1;
    snprintf(fixture->path, sizeof(fixture->path), "%s/file", fixture->directory);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    unlink(fixture->path);
    rmdir(fixture->directory);
    free(fixture);
    return 0;
}

static const char *name_of(struct fixture *fixture, int fd)
{
    snprintf(fixture->name, sizeof(fixture->name), "fd=%d", fd);
    return fixture->name;
}

/* A descriptor of the fixture's file, which holds "contents". */
static int open_file(struct fixture *fixture, int flags)
{
    int fd = open(fixture->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "contents", 8), 8);
    close(fd);
    fd = open(fixture->path, flags | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* A number that nobody has. */
static int closed_descriptor(void)
{
    int fd = dup(STDERR_FILENO);

    assert_true(fd >= 0);
    close(fd);
    return fd;
}

static void test_descriptors_are_told_from_paths(void **state)
{
    static const struct {
        const char *path;
        int fd;
    } descriptors[] = { { "fd=0", 0 }, { "fd=3", 3 }, { "fd=123", 123 }, { "fd=2147483647", 2147483647 } };
    static const char *const paths[] = {
        "",      "fd",    "fd=",    "fd=-1", "fd=+1",         "fd= 1",
        "fd=1 ", "fd=1x", "fd=0x1", "FD=1",  "./fd=3",        "fd=3/",
        "/fd=3", "afd=3", "fd=1.0", "fd3",   "fd=2147483648", "fd=99999999999999999999",
        " fd=1"
    };
    int fd;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(descriptors); i++) {
        fd = UNTOUCHED;
        assert_true(path_is_fd(descriptors[i].path, &fd));
        assert_int_equal(fd, descriptors[i].fd);
    }
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        fd = UNTOUCHED;
        if (path_is_fd(paths[i], &fd))
            fail_msg("'%s' is taken for a descriptor", paths[i]);
        assert_int_equal(fd, UNTOUCHED);
    }
}

static void test_path_is_opened_as_open_does_and_closed_on_exec(void **state)
{
    struct fixture *fixture = *state;
    struct stat status;
    int fd;

    assert_int_equal(open_path(fixture->path, O_RDONLY, 0), -ENOENT);
    fd = open_path(fixture->path, O_RDWR | O_CREAT | O_EXCL, 0640);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_mode & 0700, 0600);
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
    assert_int_equal(open_path(fixture->path, O_RDWR | O_CREAT | O_EXCL, 0640), -EEXIST);
    assert_int_equal(open_path(fixture->directory, O_WRONLY, 0), -EISDIR);
}

static void test_file_called_like_a_descriptor_has_a_path(void **state)
{
    struct fixture *fixture = *state;
    int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd;

    assert_int_equal(chdir(fixture->directory), 0);
    fd = open_path("./fd=0", O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(unlink("fd=0"), 0);
    close(fd);
    assert_int_equal(fchdir(here), 0);
    close(here);
}

static void test_duplicate_shares_the_open_file_and_leaves_the_callers_open(void **state)
{
    struct fixture *fixture = *state;
    int given = open_file(fixture, O_RDWR);
    int fd = open_path(name_of(fixture, given), O_RDWR, 0);
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    char byte;

    assert_true(fd > STDERR_FILENO);
    assert_int_not_equal(fd, given);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    /* the position */
    assert_int_equal(lseek(given, 3, SEEK_SET), 3);
    assert_int_equal(read(fd, &byte, 1), 1);
    assert_int_equal(byte, 't');
    assert_int_equal(lseek(given, 0, SEEK_CUR), 4);
    /* and the locks: what one has locked the other may lock again */
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
    assert_int_equal(fcntl(given, F_OFD_SETLK, &lock), 0);
    close(fd);
    assert_int_equal(pread(given, &byte, 1, 0), 1);
    close(given);
}

static void test_duplicate_is_never_a_standard_stream(void **state)
{
    struct fixture *fixture = *state;
    int given = open_file(fixture, O_RDONLY);
    int kept = dup(STDIN_FILENO);
    int fd;

    close(STDIN_FILENO);
    fd = open_path(name_of(fixture, given), O_RDONLY, 0);
    if (kept >= 0) {
        dup2(kept, STDIN_FILENO);
        close(kept);
    }
    assert_true(fd > STDERR_FILENO);
    close(fd);
    close(given);
}

static void test_descriptor_that_is_not_open_is_refused(void **state)
{
    struct fixture *fixture = *state;
    int fd = closed_descriptor();
    struct stat status = { .st_size = UNTOUCHED };
    int name_only;

    assert_int_equal(open_path(name_of(fixture, fd), O_RDONLY, 0), -EBADF);
    assert_int_equal(stat_path(name_of(fixture, fd), &status), -EBADF);
    assert_int_equal(status.st_size, UNTOUCHED);
    name_only = open(fixture->directory, O_PATH | O_CLOEXEC);
    assert_true(name_only >= 0);
    assert_int_equal(open_path(name_of(fixture, name_only), O_RDONLY, 0), -EBADF);
    close(name_only);
}

static void test_access_mode_must_allow_what_is_asked_for(void **state)
{
    static const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR };
    static const int expected[3][3] = {
        /* a row per mode that the file has, a column per mode asked for */
        { 0, -EACCES, -EACCES },
        { -EACCES, 0, -EACCES },
        { 0, 0, 0 },
    };
    struct fixture *fixture = *state;

    for (size_t have = 0; have < ARRAY_SIZE(modes); have++) {
        int given = open_file(fixture, modes[have]);

        for (size_t wanted = 0; wanted < ARRAY_SIZE(modes); wanted++) {
            int fd = open_path(name_of(fixture, given), modes[wanted], 0);

            assert_int_equal(fd < 0 ? fd : 0, expected[have][wanted]);
            if (fd >= 0)
                close(fd);
        }
        close(given);
    }
}

static void test_descriptor_is_used_as_it_was_opened(void **state)
{
    struct fixture *fixture = *state;
    int given = open_file(fixture, O_RDWR);
    int before = fcntl(given, F_GETFL);
    int fd =
        open_path(name_of(fixture, given), O_RDWR | O_CREAT | O_TRUNC | O_EXCL | O_NONBLOCK | O_APPEND, 0600);
    struct stat status;

    assert_true(fd >= 0);
    assert_int_equal(fcntl(given, F_GETFL), before);
    assert_int_equal(fstat(given, &status), 0);
    assert_int_equal(status.st_size, 8);
    close(fd);
    close(given);
}

static void test_direct_is_set_on_the_open_file_or_refused(void **state)
{
    struct fixture *fixture = *state;
    int given = open_file(fixture, O_RDWR), ends[2], direct, fd;

    direct = open(fixture->path, O_RDWR | O_DIRECT | O_CLOEXEC);
    fd = open_path(name_of(fixture, given), O_RDWR | O_DIRECT, 0);
    /* An overlay of Linux 6.1 lets fcntl(2) set what open(2) refuses, but the other way round it never is. */
    if (fd < 0) {
        assert_int_equal(fd, -EINVAL);
        assert_true(direct < 0);
    } else {
        assert_int_equal(fcntl(given, F_GETFL) & O_DIRECT, O_DIRECT);
        close(fd);
    }
    if (direct >= 0)
        close(direct);
    close(given);

    /* A directory never can. */
    given = open(fixture->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(open_path(name_of(fixture, given), O_RDONLY | O_DIRECT, 0), -EINVAL);
    assert_int_equal(fcntl(given, F_GETFL) & O_DIRECT, 0);
    close(given);

    /* Without being asked for it is neither set nor taken away. */
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_DIRECT), 0);
    fd = open_path(name_of(fixture, ends[1]), O_WRONLY, 0);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFL) & O_DIRECT, O_DIRECT);
    close(fd);
    close(ends[0]);
    close(ends[1]);
}

static void test_no_number_left_for_the_duplicate_is_told(void **state)
{
    struct fixture *fixture = *state;
    int given = open_file(fixture, O_RDONLY);
    struct rlimit limit, few;
    int result;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    for (rlim_t count = 3; count <= 4; count++) {
        few = (struct rlimit){ .rlim_cur = count, .rlim_max = limit.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        result = open_path(name_of(fixture, given), O_RDONLY, 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        assert_int_equal(result, -EMFILE);
    }
    close(given);
}

static void test_stat_is_the_same_by_path_and_by_descriptor(void **state)
{
    struct fixture *fixture = *state;
    int given = open_file(fixture, O_WRONLY);
    struct stat by_path, by_fd;

    assert_int_equal(stat_path(fixture->path, &by_path), 0);
    assert_int_equal(stat_path(name_of(fixture, given), &by_fd), 0);
    assert_int_equal(by_path.st_ino, by_fd.st_ino);
    assert_int_equal(by_path.st_dev, by_fd.st_dev);
    assert_int_equal(by_fd.st_size, 8);
    close(given);
    assert_int_equal(stat_path("/nowhere/at/all", &by_path), -ENOENT);
}

static void test_reason_says_what_to_do_about_a_descriptor(void **state)
{
    (void)state;
    assert_non_null(strstr(open_path_reason("fd=5", -EBADF), "not open"));
    assert_non_null(strstr(open_path_reason("fd=5", -EACCES), "3<>FILE"));
    assert_string_equal(open_path_reason("fd=5", -EMFILE), strerror(EMFILE));
    assert_string_equal(open_path_reason("file", -EACCES), strerror(EACCES));
    assert_string_equal(open_path_reason("file", -EBADF), strerror(EBADF));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_descriptors_are_told_from_paths),
        TEST(test_path_is_opened_as_open_does_and_closed_on_exec),
        TEST(test_file_called_like_a_descriptor_has_a_path),
        TEST(test_duplicate_shares_the_open_file_and_leaves_the_callers_open),
        TEST(test_duplicate_is_never_a_standard_stream),
        TEST(test_descriptor_that_is_not_open_is_refused),
        TEST(test_access_mode_must_allow_what_is_asked_for),
        TEST(test_descriptor_is_used_as_it_was_opened),
        TEST(test_direct_is_set_on_the_open_file_or_refused),
        TEST(test_no_number_left_for_the_duplicate_is_told),
        TEST(test_stat_is_the_same_by_path_and_by_descriptor),
        TEST(test_reason_says_what_to_do_about_a_descriptor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
