/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_size_limit.c - RLIMIT_FSIZE with SIGXFSZ ignored: a write across the limit is short, one beyond it is
 * EFBIG, and nobody dies.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "platform.h"

int main(void)
{
    char path[] = "/var/tmp/ringlet-XXXXXX", bytes[4096] = "";
    const struct rlimit limit = { 6000, RLIM_INFINITY };
    int fd = mkostemp(path, O_CLOEXEC);

    CHECK(fd >= 0);
    unlink(path);
    signal(SIGXFSZ, SIG_IGN);
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK(pwrite(fd, bytes, sizeof(bytes), 4096) == 6000 - 4096);
    CHECK(pwrite(fd, bytes, sizeof(bytes), 6000) == -1 && errno == EFBIG);
    return 0;
}
