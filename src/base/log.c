/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.c - see ringlet/log.h. One write() a line, so that lines of several threads do not mix.
 *
 * Standard error may be a pipe whose reader has stalled, and a write to it would then never return; but a VM
 * has to end whatever becomes of what is said about it. So there is a wait for room, a bounded one, and of
 * the lines of one stall only the first has it. Room that was there may have gone to a command's own words, which
 * `exec` writes to the same pipe: the write itself does not wait either, where the kernel knows how (pipes since
 * Linux 6.4, sockets; not terminals).
 */
#include "ringlet/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define PATIENCE 1000 /* milliseconds */
#define ATTEMPTS 16   /* to use room that somebody else was always faster to use */

/* What there is to know of our stderr: how much the person wants, is its terminal raw, was it stalled. */
static _Atomic int current_level = LOG_LEVEL_WARNING;
static _Atomic int terminal_is_raw;
static _Atomic int is_stalled;

void log_set_level(enum log_level level)
{
    atomic_store(&current_level, (int)level);
}

void log_set_raw_terminal(int raw)
{
    atomic_store(&terminal_is_raw, raw);
}

/* Nobody reads a file, so that a write to it, however slow, comes to its end. */
static bool may_stall(void)
{
    struct stat status;

    return fstat(STDERR_FILENO, &status) == 0 && (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode));
}

/* False if there was no room after all. There is nobody to tell that stderr cannot be written. */
static bool write_now(char *line, size_t length)
{
    const struct iovec whole = { line, length };
    ssize_t written = pwritev2(STDERR_FILENO, &whole, 1, -1, may_stall() ? RWF_NOWAIT : 0);

    if (written < 0 && errno == EOPNOTSUPP)
        written = write(STDERR_FILENO, line, length);
    return written >= 0 || errno != EAGAIN;
}

/* Is there room for a line? A pipe that says so has it for PIPE_BUF bytes. */
static bool wait_for_room(void)
{
    struct pollfd polled = { .fd = STDERR_FILENO, .events = POLLOUT };
    int ready;

    do
        ready = poll(&polled, 1, atomic_load(&is_stalled) ? 0 : PATIENCE);
    while (ready < 0 && errno == EINTR);
    atomic_store(&is_stalled, ready == 0);
    return ready != 0;
}

__attribute__((format(printf, 2, 0))) static void log_line(enum log_level level, const char *format,
                                                           va_list arguments)
{
    static const char prefix[] = "ringlet: ";
    char line[1024];
    size_t length = sizeof(prefix) - 1;
    size_t room = sizeof(line) - length - 2;
    int printed;

    if ((int)level > atomic_load(&current_level))
        return;
    __builtin_memcpy(line, prefix, length);
    printed = vsnprintf(line + length, room, format, arguments);
    if (printed < 0)
        return;
    length += (size_t)printed < room ? (size_t)printed : room - 1;
    if (atomic_load(&terminal_is_raw))
        line[length++] = '\r';
    line[length++] = '\n';
    for (unsigned i = 0; i < ATTEMPTS && wait_for_room(); i++) {
        if (write_now(line, length))
            return;
    }
}

#define DEFINE_LOG(name, level)                                                                              \
    void name(const char *format, ...)                                                                       \
    {                                                                                                        \
        va_list arguments;                                                                                   \
                                                                                                             \
        va_start(arguments, format);                                                                         \
        log_line(level, format, arguments);                                                                  \
        va_end(arguments);                                                                                   \
    }

DEFINE_LOG(log_error, LOG_LEVEL_ERROR)
DEFINE_LOG(log_always, LOG_LEVEL_ERROR)
DEFINE_LOG(log_warning, LOG_LEVEL_WARNING)
DEFINE_LOG(log_info, LOG_LEVEL_INFO)
