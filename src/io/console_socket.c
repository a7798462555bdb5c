/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console_socket.c - a console on a UNIX stream socket, for one client at a time (see ringlet/console.h).
 *
 *   accepting --client--> connected --read gives 0--> half closed --POLLHUP--> leaving --> accepting
 *                              `---- an error either way ---------------------^
 *
 * A client that has shut down its sending side (a script piped into it) still gets output; that it has gone
 * for good shows as POLLHUP, which is looked for every 100 ms, since waiting for it alone would also be
 * woken, at once, by the half close itself. Leaving lasts until no operation has the descriptor any more.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "char_stream.h"
#include "console_kinds.h"
#include "ringlet/cleanup.h"
#include "ringlet/console.h"
#include "ringlet/error.h"
#include "ringlet/open_path.h"
#include "ringlet/util.h"

struct socket_console {
    struct char_stream stream;
    int listener;
    int client; /* -1: none */
    bool leaving;
    bool accepting; /* accept_op is in flight */
    struct loop_op accept_op;
    dev_t device; /* of the socket's file, so that we remove no other */
    ino_t inode;
};

static struct socket_console *socket_of(struct char_stream *stream)
{
    return container_of(stream, struct socket_console, stream);
}

static void accept_done(struct loop_op *op, int res)
{
    struct socket_console *console = container_of(op, struct socket_console, accept_op);

    console->accepting = false;
    if (res >= 0 && console->stream.finishing) {
        close(res);
    } else if (res >= 0) {
        int flags = fcntl(res, F_GETFL);

        if (flags >= 0)
            (void)fcntl(res, F_SETFL, flags | O_NONBLOCK);
        console->client = res;
        char_stream_connect(&console->stream, res, res);
    } else if (res != -ECANCELED) {
        char_stream_watch(&console->stream); /* out of descriptors, say: try again later */
    }
    char_stream_op_end(&console->stream);
}

static void accept_next(struct char_stream *stream)
{
    struct socket_console *console = socket_of(stream);

    if (console->accepting || stream->finishing)
        return;
    console->accepting = true;
    char_stream_op_begin(stream, &console->accept_op, accept_done);
    loop_accept(stream->loop, &console->accept_op, console->listener);
}

static void leave(struct char_stream *stream)
{
    socket_of(stream)->leaving = true;
    char_stream_disconnect(stream);
}

static void read_ended(struct char_stream *stream, int res)
{
    if (res < 0) {
        leave(stream);
    } else {
        stream->input_ended = true;
        char_stream_watch(stream);
    }
}

static void write_failed(struct char_stream *stream, int res)
{
    (void)res;
    leave(stream);
}

/* Half closed, or without a client after accept() failed. */
static void watch(struct char_stream *stream)
{
    struct socket_console *console = socket_of(stream);
    struct pollfd polled = { .fd = console->client };

    if (console->client < 0)
        accept_next(stream);
    else if (console->leaving || !stream->input_ended)
        return; /* the client that was watched has been followed by another */
    else if (poll(&polled, 1, 0) > 0)
        leave(stream);
    else
        char_stream_watch(stream);
}

static void turned(struct char_stream *stream)
{
    struct socket_console *console = socket_of(stream);

    if (!console->leaving || stream->reading || stream->writing)
        return;
    close(console->client);
    console->client = -1;
    console->leaving = false;
    accept_next(stream);
}

static void stop(struct char_stream *stream)
{
    if (socket_of(stream)->accepting)
        loop_cancel(stream->loop, &socket_of(stream)->accept_op);
}

static void release(struct char_stream *stream)
{
    struct socket_console *console = socket_of(stream);
    struct stat status;

    if (console->client >= 0)
        close(console->client);
    if (console->inode && lstat(stream->path, &status) == 0 && status.st_dev == console->device &&
        status.st_ino == console->inode)
        unlink(stream->path);
    close(console->listener);
    free(console);
}

static const struct char_stream_ops socket_ops = {
    .start = accept_next,
    .read_ended = read_ended,
    .write_failed = write_failed,
    .watch = watch,
    .turned = turned,
    .stop = stop,
    .release = release,
};

/* --- making --- */

/* Something is at the path already. If it is a socket that nobody listens on, remove it. */
static int remove_stale(const struct sockaddr_un *address, struct error *err)
{
    CLEANUP_CLOSE int probe = -1;
    struct stat status;
    int code;

    if (lstat(address->sun_path, &status) == 0 && !S_ISSOCK(status.st_mode))
        return error_set(err, -EEXIST,
                         "cannot make console socket %s: there is a file of that name that is no socket",
                         address->sun_path);
    probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (probe < 0) {
        code = -errno;
        return error_set(err, code, "cannot make a socket: %s", strerror(-code));
    }
    if (connect(probe, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
        return error_set(err, -EADDRINUSE, "cannot make console socket %s: another process listens on it",
                         address->sun_path);
    if (errno != ECONNREFUSED && errno != ENOENT) {
        code = -errno;
        return error_set(err, code,
                         "cannot make console socket %s: it exists, and connecting to it fails: %s",
                         address->sun_path, strerror(-code));
    }
    if (unlink(address->sun_path) < 0 && errno != ENOENT) {
        code = -errno;
        return error_set(err, code, "cannot remove the stale console socket %s: %s", address->sun_path,
                         strerror(-code));
    }
    return 0;
}

static int bind_to(int listener, const struct sockaddr_un *address, struct error *err)
{
    int result;

    if (bind(listener, (const struct sockaddr *)address, sizeof(*address)) == 0)
        return 0;
    if (errno == EADDRINUSE) {
        result = remove_stale(address, err);
        if (result < 0)
            return result;
        if (bind(listener, (const struct sockaddr *)address, sizeof(*address)) == 0)
            return 0;
    }
    result = -errno;
    return error_set(err, result, "cannot make console socket %s: %s", address->sun_path, strerror(-result));
}

static int open_listener(const char *path, int *ret_listener, struct error *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    CLEANUP_CLOSE int listener = -1;
    int result;

    if (strlen(path) >= sizeof(address.sun_path))
        return error_set(err, -ENAMETOOLONG,
                         "console socket path %s is too long: at most %zu bytes are possible", path,
                         sizeof(address.sun_path) - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* Before bind(), which gives the file the socket's mode: at no time may another user connect. */
    if (listener < 0 || fchmod(listener, 0600) < 0) {
        result = -errno;
        return error_set(err, result, "cannot make a socket: %s", strerror(-result));
    }
    result = bind_to(listener, &address, err);
    if (result < 0)
        return result;
    if (listen(listener, 1) < 0) {
        result = -errno;
        unlink(path);
        return error_set(err, result, "cannot listen on console socket %s: %s", path, strerror(-result));
    }
    *ret_listener = steal_fd(&listener);
    return 0;
}

/* A socket that whoever started us has made and listens on; its file, if it has one, is theirs. */
static int take_listener(const char *path, int *ret_listener, struct error *err)
{
    CLEANUP_CLOSE int fd = open_path(path, O_RDWR, 0);
    int domain = -1, type = -1, listens = 0;
    socklen_t size = sizeof(int);

    if (fd < 0)
        return error_set(err, fd, "cannot use console socket %s: %s", path, open_path_reason(path, fd));
    (void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
    (void)getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
    (void)getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size);
    if (domain != AF_UNIX || type != SOCK_STREAM || !listens)
        return error_set(err, -EINVAL,
                         "cannot use console socket %s: it is no UNIX stream socket that listens for clients",
                         path);
    *ret_listener = steal_fd(&fd);
    return 0;
}

int console_open_socket(struct loop *loop, const struct console_options *options,
                        struct char_backend **ret_backend, struct error *err)
{
    struct socket_console *console = calloc(1, sizeof(*console));
    struct stat status;
    int result, given;
    bool is_given = path_is_fd(options->path, &given);

    if (!console)
        return error_set(err, -ENOMEM, "out of memory");
    result = is_given ? take_listener(options->path, &console->listener, err)
                      : open_listener(options->path, &console->listener, err);
    if (result < 0) {
        free(console);
        return result;
    }
    if (!is_given && lstat(options->path, &status) == 0) {
        console->device = status.st_dev;
        console->inode = status.st_ino;
    }
    console->client = -1;
    char_stream_init(&console->stream, loop, &socket_ops, options->drain_timeout);
    console->stream.path = options->path;
    *ret_backend = &console->stream.backend;
    return 0;
}
