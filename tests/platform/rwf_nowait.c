/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rwf_nowait.c - the loop without io_uring: preadv2(RWF_NOWAIT) on blocking descriptors gives EAGAIN where it
 * works (eventfds, pipes since 6.4) and EOPNOTSUPP, rather than blocking, where not (terminals).
 */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "platform.h"

static int attempt(int fd)
{
    char bytes[8];
    struct iovec iov = { bytes, sizeof(bytes) };
    ssize_t result = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);

    return result < 0 ? -errno : (int)result;
}

int main(void)
{
    int event = eventfd(0, EFD_CLOEXEC), terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), ends[2];
    int result;

    CHECK(attempt(event) == -EAGAIN);
    CHECK(eventfd_write(event, 1) == 0);
    CHECK(attempt(event) == 8);
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    result = attempt(ends[0]);
    CHECK(result == -EAGAIN || result == -EOPNOTSUPP);
    if (terminal < 0)
        SKIP("no pseudo-terminals here");
    result = attempt(terminal);
    CHECK(result == -EAGAIN || result == -EOPNOTSUPP);
    return 0;
}
