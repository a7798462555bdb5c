/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.c - see ringlet/log.h. One write() a line, so that lines of several threads do not mix.
 *
 * Standard error may be a pipe whose reader has stalled, and a write to it would then never return; but a VM
 * has to end whatever becomes of what is said about it. So there is a wait for room, a bounded one, and of
 * the lines of one stall only the first has it. Room that was there may have gone to a command's own words, which
 * `exec` writes to the same pipe: the write itself does not wait either.
 */
#include "ringlet/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "ringlet/monotonic.h"
#include "ringlet/write_now.h"

#define PATIENCE 1000 /* milliseconds */

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

static void write_line(const char *line, size_t length)
{
    struct pollfd polled = { .fd = STDERR_FILENO, .events = POLLOUT };
    int64_t now = monotonic_ms(), deadline = now + (atomic_load(&is_stalled) ? 0 : PATIENCE);
    ssize_t written;

    do {
        poll(&polled, 1, (int)(deadline - now));
        written = write_now(STDERR_FILENO, line, length);
        now = monotonic_ms();
    } while (written == -EAGAIN && now < deadline);
    /* Any other failure there is nobody to tell. */
    atomic_store(&is_stalled, written == -EAGAIN);
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
    write_line(line, length);
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
