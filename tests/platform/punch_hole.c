/* SPDX-License-Identifier: Apache-2.0 */
/*
 * punch_hole.c - discard: a hole reads as zeroes, its borders need not be blocks, the size stays; a hole
 * behind the end changes nothing, which is how we ask whether a file system can.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform.h"

static int punch(int fd, off_t offset, off_t length)
{
    return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
}

int main(void)
{
    char path[] = "/var/tmp/ringlet-XXXXXX", bytes[16384];
    int fd = mkostemp(path, O_CLOEXEC);
    struct stat status;

    CHECK(fd >= 0);
    unlink(path);
    memset(bytes, 1, sizeof(bytes));
    CHECK(pwrite(fd, bytes, sizeof(bytes), 0) == sizeof(bytes));
    if (punch(fd, sizeof(bytes), 4096) < 0 && errno == EOPNOTSUPP)
        SKIP("no holes on the file system of /var/tmp");
    CHECK(punch(fd, sizeof(bytes), 4096) == 0);
    CHECK(fstat(fd, &status) == 0 && status.st_size == sizeof(bytes));
    CHECK(punch(fd, 512, 8192) == 0);
    CHECK(fstat(fd, &status) == 0 && status.st_size == sizeof(bytes));
    CHECK(pread(fd, bytes, sizeof(bytes), 0) == sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        CHECK(bytes[i] == (i < 512 || i >= 512 + 8192));
    return 0;
}
