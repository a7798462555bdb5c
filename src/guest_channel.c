/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_channel.c - see guest_channel.h.
 *
 * Input and outputs are streams of their own, because they are ends of different things in the guest. With -t the
 * first of them is given the output as well: that is what makes it raw, and where its escape key says its help.
 */
#include "guest_channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "exec_settings.h"
#include "guest_session.h"
#include "options.h"
#include "ringlet/char_backend.h"
#include "ringlet/console.h"
#include "ringlet/error.h"
#include "ringlet/guest_protocol.h"
#include "ringlet/virtio_console.h"

struct guest_channel {
    bool terminal; /* -t */
    char *settings;
    struct char_backend *streams[GUEST_STREAM_COUNT]; /* that of control is the session's */
    struct guest_session *session;
    struct virtio_console_port ports[GUEST_STREAM_COUNT];
};

static void window_size(uint16_t *ret_rows, uint16_t *ret_columns)
{
    struct winsize size = { 0 };

    /* Input may be a pipe while the output is a terminal. */
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
        size = (struct winsize){ 0 };
    *ret_rows = size.ws_row;
    *ret_columns = size.ws_col;
}

static int make_settings(struct guest_channel *channel, const struct run_options *options, size_t *ret_size,
                         struct error *err)
{
    struct exec_terminal terminal = { .type = getenv("TERM") };

    window_size(&terminal.rows, &terminal.columns);
    /* Where nobody has told a size, as under script(1): what programs then take to be there. */
    if (!terminal.rows || !terminal.columns)
        terminal = (struct exec_terminal){ .type = terminal.type, .rows = 24, .columns = 80 };
    return exec_settings_make(options, &terminal, &channel->settings, ret_size, err);
}

static int open_streams(struct guest_channel *channel, struct loop *loop, const struct run_options *options,
                        struct stop_sink *stop, struct error *err)
{
    /* Output is not cut short for a reader that takes its time: `ringlet exec -- ... | less`. */
    const struct console_options stream = { .kind = CONSOLE_STDIO,
                                            .stop = stop,
                                            .drain_timeout = UINT64_MAX };
    int result =
        console_open_streams(loop, &stream, STDIN_FILENO, options->exec.terminal ? STDOUT_FILENO : -1,
                             &channel->streams[GUEST_STREAM_STDIN], err);

    if (result == 0)
        result = console_open_streams(loop, &stream, -1, STDOUT_FILENO,
                                      &channel->streams[GUEST_STREAM_STDOUT], err);
    if (result == 0)
        result = console_open_streams(loop, &stream, -1, STDERR_FILENO,
                                      &channel->streams[GUEST_STREAM_STDERR], err);
    return result;
}

static int create_session(struct guest_channel *channel, struct loop *loop, size_t settings_size,
                          struct stop_sink *stop, struct events *events, struct error *err)
{
    struct guest_session_options options = {
        .settings = channel->settings,
        .settings_size = settings_size,
        .stop = stop,
        .events = events,
    };
    int result;

    memcpy(options.streams, channel->streams, sizeof(options.streams));
    result = guest_session_create(loop, &options, &channel->session);
    return result < 0 ? error_set(err, result, "out of memory") : 0;
}

int guest_channel_open(struct loop *loop, const struct run_options *options, struct stop_sink *stop,
                       struct events *events, struct guest_channel **ret_channel, struct error *err)
{
    struct guest_channel *channel = calloc(1, sizeof(*channel));
    size_t size = 0;
    int result;

    if (!channel)
        return error_set(err, -ENOMEM, "out of memory");
    channel->terminal = options->exec.terminal;
    result = make_settings(channel, options, &size, err);
    if (result == 0)
        result = open_streams(channel, loop, options, stop, err);
    if (result == 0)
        result = create_session(channel, loop, size, stop, events, err);
    if (result < 0) {
        guest_channel_destroy(channel);
        return result;
    }
    *ret_channel = channel;
    return 0;
}

int guest_channel_create_device(struct guest_channel *channel, const struct guest_memory *memory,
                                struct virtio_device **ret_device, struct error *err)
{
    static const char *const names[] = { [GUEST_STREAM_CONTROL] = GUEST_PORT_CONTROL,
                                         [GUEST_STREAM_STDIN] = GUEST_PORT_STDIN,
                                         [GUEST_STREAM_STDOUT] = GUEST_PORT_STDOUT,
                                         [GUEST_STREAM_STDERR] = GUEST_PORT_STDERR };
    struct virtio_console_options options = {
        .name = GUEST_CHANNEL_DEVICE,
        .ports = channel->ports,
        .port_count = GUEST_STREAM_COUNT,
        .listener = guest_session_listener(channel->session),
    };
    int result;

    for (unsigned i = 0; i < GUEST_STREAM_COUNT; i++)
        channel->ports[i] = (struct virtio_console_port){ .name = names[i], .backend = channel->streams[i] };
    channel->ports[GUEST_STREAM_CONTROL].backend = guest_session_control(channel->session);
    result = virtio_console_create(&options, memory, ret_device);
    return result < 0 ? error_set(err, result, "cannot make a console device: %s", strerror(-result)) : 0;
}

struct guest_session *guest_channel_session(struct guest_channel *channel)
{
    return channel->session;
}

struct char_backend *guest_channel_input(struct guest_channel *channel)
{
    return channel->streams[GUEST_STREAM_STDIN];
}

void guest_channel_window_changed(struct guest_channel *channel)
{
    uint16_t rows, columns;

    window_size(&rows, &columns);
    if (channel->terminal && rows && columns)
        guest_session_window(channel->session, rows, columns);
}

int guest_channel_output_error(const struct guest_channel *channel)
{
    for (unsigned i = GUEST_STREAM_STDOUT; i <= GUEST_STREAM_STDERR; i++) {
        int result = console_write_error(channel->streams[i]);

        if (result < 0 && result != -EPIPE)
            return result;
    }
    return 0;
}

void guest_channel_destroy(struct guest_channel *channel)
{
    if (!channel)
        return;
    guest_session_destroy(channel->session);
    for (unsigned i = 0; i < GUEST_STREAM_COUNT; i++)
        char_backend_destroy(channel->streams[i]);
    free(channel->settings);
    free(channel);
}
