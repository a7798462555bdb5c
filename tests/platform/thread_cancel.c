/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thread_cancel.c - the loop without io_uring: pthread_cancel() ends a thread that is inside pwritev2() on a
 * terminal that nobody reads, and runs its clean-up.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#include "platform.h"

struct writer {
    int terminal;
    int cleaned_up;
};

static void clean_up(void *argument)
{
    ((struct writer *)argument)->cleaned_up = 1;
}

static void *write_for_ever(void *argument)
{
    struct writer *writer = argument;
    char bytes[4096] = "";
    struct iovec iov = { bytes, sizeof(bytes) };

    pthread_cleanup_push(clean_up, writer);
    while (pwritev2(writer->terminal, &iov, 1, -1, 0) >= 0)
        continue;
    pthread_cleanup_pop(0);
    return NULL;
}

int main(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios attributes;
    struct writer writer = { 0 };
    pthread_t thread;
    void *result;

    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
        SKIP("no pseudo-terminals here");
    writer.terminal = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(writer.terminal >= 0);
    CHECK(tcgetattr(writer.terminal, &attributes) == 0);
    cfmakeraw(&attributes);
    CHECK(tcsetattr(writer.terminal, TCSANOW, &attributes) == 0);
    CHECK(pthread_create(&thread, NULL, write_for_ever, &writer) == 0);
    CHECK(pthread_cancel(thread) == 0);
    CHECK(pthread_join(thread, &result) == 0);
    CHECK(result == PTHREAD_CANCELED);
    CHECK(writer.cleaned_up);
    return 0;
}
