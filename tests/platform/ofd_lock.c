/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ofd_lock.c - disks in use: OFD locks conflict between two open()s, even of one process; readers share; and
 * unlike POSIX locks they outlive the closing of another descriptor of the same file.
 */
#include <fcntl.h>
#include <unistd.h>

#include "platform.h"

static int lock(int fd, short type)
{
    struct flock whole = { .l_type = type, .l_whence = SEEK_SET };

    return fcntl(fd, F_OFD_SETLK, &whole) == 0 ? 0 : -errno;
}

int main(void)
{
    char path[] = "/var/tmp/ringlet-XXXXXX";
    int first = mkostemp(path, O_CLOEXEC), second = open(path, O_RDWR | O_CLOEXEC),
        reader = open(path, O_RDONLY | O_CLOEXEC);

    unlink(path);
    CHECK(first >= 0 && second >= 0 && reader >= 0);
    CHECK(lock(first, F_WRLCK) == 0);
    CHECK(lock(second, F_WRLCK) == -EAGAIN);
    CHECK(lock(reader, F_RDLCK) == -EAGAIN);
    close(reader);
    CHECK(lock(second, F_WRLCK) == -EAGAIN);
    CHECK(lock(first, F_RDLCK) == 0);
    CHECK(lock(second, F_RDLCK) == 0);
    CHECK(lock(second, F_WRLCK) == -EAGAIN);
    close(first);
    CHECK(lock(second, F_WRLCK) == 0);
    return 0;
}
