/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console_pty.c - a console on a pseudo-terminal of our own (see ringlet/console.h).
 *
 * The master says POLLHUP while nobody has the slave open, and reads give EIO; nothing wakes us when somebody
 * opens it. So while alone we look every 100 ms. For the master to tell at all, the slave has to have been
 * opened and closed once, which making it raw does.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "char_stream.h"
#include "console_kinds.h"
#include "ringlet/cleanup.h"
#include "ringlet/console.h"
#include "ringlet/error.h"
#include "ringlet/util.h"

struct pty_console {
    struct char_stream stream;
    int master;
    char slave_name[64];
};

static struct pty_console *pty_of(struct char_stream *stream)
{
    return container_of(stream, struct pty_console, stream);
}

static void look_for_somebody(struct char_stream *stream)
{
    struct pty_console *pty = pty_of(stream);
    struct pollfd polled = { .fd = pty->master, .events = POLLIN };

    if (poll(&polled, 1, 0) >= 0 && !(polled.revents & POLLHUP))
        char_stream_connect(stream, pty->master, pty->master);
    else
        char_stream_watch(stream);
}

static void they_left(struct char_stream *stream, int res)
{
    (void)res;
    char_stream_disconnect(stream);
    char_stream_watch(stream);
}

static void release(struct char_stream *stream)
{
    struct pty_console *pty = pty_of(stream);

    close(pty->master);
    free(pty);
}

static const struct char_stream_ops pty_ops = {
    .start = look_for_somebody,
    .read_ended = they_left,
    .write_failed = they_left,
    .watch = look_for_somebody,
    .release = release,
};

/* Raw, as a serial line is that nobody has set up: the guest does the echoing. */
static int make_slave_raw(const char *name)
{
    CLEANUP_CLOSE int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios settings;

    if (slave < 0 || tcgetattr(slave, &settings) < 0)
        return -errno;
    cfmakeraw(&settings);
    return tcsetattr(slave, TCSANOW, &settings) < 0 ? -errno : 0;
}

static int open_pair(int *ret_master, char *slave_name, size_t size)
{
    CLEANUP_CLOSE int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    int result;

    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
        return -errno;
    result = ptsname_r(master, slave_name, size);
    if (result)
        return -result;
    result = make_slave_raw(slave_name);
    if (result == 0)
        *ret_master = steal_fd(&master);
    return result;
}

int console_open_pty(struct loop *loop, const struct console_options *options,
                     struct char_backend **ret_backend, struct error *err)
{
    struct pty_console *pty = calloc(1, sizeof(*pty));
    int result;

    if (!pty)
        return error_set(err, -ENOMEM, "out of memory");
    result = open_pair(&pty->master, pty->slave_name, sizeof(pty->slave_name));
    if (result < 0) {
        free(pty);
        return error_set(err, result, "cannot make a pseudo-terminal for the console: %s", strerror(-result));
    }
    char_stream_init(&pty->stream, loop, &pty_ops, options->drain_timeout);
    pty->stream.path = pty->slave_name;
    *ret_backend = &pty->stream.backend;
    return 0;
}
