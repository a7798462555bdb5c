/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console.c - see ringlet/console.h. The choice of kind, and the kinds that are a fixed pair of descriptors:
 * stdio, file and null.
 *
 * Descriptors 0 and 1 are shared with whoever started us, so O_NONBLOCK is never set on them. Where output is
 * a terminal or a pipe it is opened a second time through /proc, which gives a description of our own that
 * can be non-blocking; where that is not allowed, writes are kept so small that a pipe which polled writable
 * takes them whole.
 */
#include "ringlet/console.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "char_stream.h"
#include "console_escape.h"
#include "console_kinds.h"
#include "ringlet/cleanup.h"
#include "ringlet/error.h"
#include "ringlet/open_path.h"
#include "ringlet/stop.h"
#include "ringlet/terminal.h"
#include "ringlet/util.h"
#include "ringlet/write_now.h"

struct console {
    struct char_stream stream;
    struct stop_sink *stop;
    struct console_escape escape;
    bool is_raw;             /* input is a terminal, raw while we are in its foreground */
    bool in_background;      /* it was not ours when last looked at */
    bool quit;               /* Ctrl-A x */
    int input_fd, output_fd; /* as they will be connected; borrowed unless owned_output_fd */
    int owned_output_fd;     /* or -1 */
};

static struct console *console_of(struct char_stream *stream)
{
    return container_of(stream, struct console, stream);
}

static void start(struct char_stream *stream)
{
    struct console *console = console_of(stream);

    char_stream_connect(stream, console->input_fd, console->output_fd);
}

/* The guest was left in the middle of a line; the shell's prompt begins one. */
static void end_line(const struct console *console)
{
    if (terminal_same(console->input_fd, console->output_fd))
        (void)write_now(console->output_fd, "\n", 1);
}

static void release(struct char_stream *stream)
{
    struct console *console = console_of(stream);

    if (console->is_raw)
        terminal_restore();
    if (console->quit)
        end_line(console);
    if (console->owned_output_fd >= 0)
        close(console->owned_output_fd);
    free(console);
}

/* --- a terminal --- */

static void look_who_has_the_terminal(struct console *console)
{
    console->in_background = terminal_is_background(console->input_fd);
    if (!console->in_background && console->is_raw)
        (void)terminal_reapply();
}

/* The shell has the terminal: its input is not ours to read, and reading it is an error. Look again later. */
static bool terminal_may_read(struct char_stream *stream)
{
    struct console *console = console_of(stream);

    if (!console->in_background && terminal_is_background(console->input_fd))
        console->in_background = true;
    if (console->in_background)
        char_stream_watch(stream);
    return !console->in_background;
}

static void terminal_watch(struct char_stream *stream)
{
    look_who_has_the_terminal(console_of(stream));
}

static void show_help(void)
{
    static const char help[] =
        "\r\nringlet: Ctrl-A x ends the VM, Ctrl-A Ctrl-A sends Ctrl-A to the guest\r\n";

    /* The loop waits for nobody, least of all with the front end's lock held. */
    (void)write_now(STDERR_FILENO, help, sizeof(help) - 1);
}

static size_t terminal_filter(struct char_stream *stream, const uint8_t *in, size_t count, uint8_t *out)
{
    struct console *console = console_of(stream);
    unsigned actions;
    size_t kept = console_escape_filter(&console->escape, in, count, out, &actions);

    if (actions & CONSOLE_ESCAPE_HELP)
        show_help();
    if (actions & CONSOLE_ESCAPE_QUIT) {
        console->quit = true;
        if (console->stop)
            stop_request(console->stop, STOP_CONSOLE_QUIT, 0);
    }
    return kept;
}

/* Between the look and the read the shell may have taken the terminal: then that is why reading failed. */
static void terminal_read_ended(struct char_stream *stream, int res)
{
    struct console *console = console_of(stream);

    if (res == -EIO && terminal_is_background(console->input_fd))
        console->in_background = true;
    else
        stream->input_ended = true;
}

/* Only now that its keys are looked at: before, Ctrl-C is a signal, as in any program that starts. */
static void start_terminal(struct char_stream *stream)
{
    struct console *console = console_of(stream);
    int result = terminal_make_raw(console->input_fd, terminal_same(console->input_fd, console->output_fd));

    /* One that cannot be set has hung up, and will be read as ended. */
    console->is_raw = result == 0 || result == -EAGAIN;
    console->in_background = result == -EAGAIN;
    start(stream);
}

static const struct char_stream_ops terminal_ops = {
    .start = start_terminal,
    .may_read = terminal_may_read,
    .filter = terminal_filter,
    .read_ended = terminal_read_ended,
    .watch = terminal_watch,
    .resumed = terminal_watch,
    .release = release,
};

/* One that keeps its line editing and its signals. */
static const struct char_stream_ops cooked_ops = {
    .start = start,
    .may_read = terminal_may_read,
    .read_ended = terminal_read_ended,
    .watch = terminal_watch,
    .resumed = terminal_watch,
    .release = release,
};

static const struct char_stream_ops plain_ops = {
    .start = start,
    .release = release,
};

/* --- a file --- */

/*
 * Only now that the machine stands is what the file held let go. One that will not be emptied (chattr +a) is
 * carried on.
 */
static void start_file(struct char_stream *stream)
{
    struct console *console = console_of(stream);
    struct stat status;

    if (fstat(console->output_fd, &status) == 0 && S_ISREG(status.st_mode))
        (void)!ftruncate(console->output_fd, 0);
    start(stream);
}

static const struct char_stream_ops file_ops = {
    .start = start_file,
    .release = release,
};

/*
 * The lock that a disk has (block_file.h), so that neither ever is the other's. Where there are no locks, or
 * the target is none that has contents, there is nothing to protect by them.
 */
static int lock_file(const char *path, int fd, struct error *err)
{
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    if (fcntl(fd, F_OFD_SETLK, &whole) == 0 || (errno != EAGAIN && errno != EACCES))
        return 0;
    return error_set(err, -EBUSY, "the console file %s is in use by another process; give another name",
                     path);
}

/* --- making --- */

static struct console *create(struct loop *loop, const struct char_stream_ops *ops,
                              const struct console_options *options)
{
    struct console *console = calloc(1, sizeof(*console));

    if (!console)
        return NULL;
    char_stream_init(&console->stream, loop, ops, options->drain_timeout);
    console->stop = options->stop;
    console->input_fd = console->output_fd = console->owned_output_fd = -1;
    return console;
}

static bool is_open_for(int fd, int unwanted_mode)
{
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && (flags & O_ACCMODE) != unwanted_mode;
}

/* A non-blocking description of our own of what output_fd is, or -1. */
static int open_again(int output_fd)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", output_fd);
    return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static void set_output(struct console *console, int output_fd)
{
    struct stat status;

    console->stream.keeps_no_count = output_fd < 0;
    console->output_fd = output_fd;
    /* One that cannot be written is an error as soon as something is. */
    if (output_fd < 0 || !is_open_for(output_fd, O_RDONLY) || fstat(output_fd, &status) < 0)
        return;
    if (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode))
        return; /* opened again it would start at the front, and it never blocks for long */
    if (S_ISFIFO(status.st_mode) || isatty(output_fd))
        console->owned_output_fd = open_again(output_fd);
    if (console->owned_output_fd >= 0)
        console->output_fd = console->owned_output_fd;
    else
        console->stream.write_limit = PIPE_BUF;
}

static void set_up_terminal(struct console *console, bool raw)
{
    console->stream.ops = raw ? &terminal_ops : &cooked_ops;
    console->stream.polls_first = true;
    if (raw)
        return;
    console->in_background = terminal_is_background(console->input_fd);
    /* Between the look and the read the terminal may become another's: then reading is to fail, not stop us. */
    signal(SIGTTIN, SIG_IGN);
}

int console_open_streams(struct loop *loop, const struct console_options *options, int input_fd,
                         int output_fd, struct char_backend **ret_backend, struct error *err)
{
    struct console *console = create(loop, &plain_ops, options);

    if (!console)
        return error_set(err, -ENOMEM, "out of memory");
    set_output(console, output_fd);
    if (is_open_for(input_fd, O_WRONLY))
        console->input_fd = input_fd;
    console->stream.tells_end = input_fd >= 0;
    console->stream.tells_loss = output_fd >= 0;
    if (isatty(console->input_fd))
        set_up_terminal(console, output_fd >= 0);
    *ret_backend = &console->stream.backend;
    return 0;
}

/* For a path. */
static int open_emptied_file(const char *path, struct error *err)
{
    /*
     * NONBLOCK: a FIFO without a reader is to fail here, not to wait. APPEND: so that truncating it works. No
     * TRUNC: the machine may yet prove impossible.
     */
    int fd = open_path(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY, 0644);

    if (fd == -ENXIO)
        return error_set(err, fd, "cannot open console file %s: nobody reads it; start its reader first",
                         path);
    if (fd < 0)
        return error_set(err, fd, "cannot open console file %s: %s", path, open_path_reason(path, fd));
    return fd;
}

static int open_file(struct loop *loop, const struct console_options *options,
                     struct char_backend **ret_backend, struct error *err)
{
    CLEANUP_CLOSE int fd = open_emptied_file(options->path, err);
    int result, given;
    bool is_given = path_is_fd(options->path, &given);
    struct console *console;

    if (fd < 0)
        return fd;
    result = lock_file(options->path, fd, err);
    if (result < 0)
        return result;
    console = create(loop, is_given ? &plain_ops : &file_ops, options);
    if (!console)
        return error_set(err, -ENOMEM, "out of memory");
    if (is_given)
        set_output(console, fd); /* it may be blocking, and shared */
    else
        console->output_fd = fd;
    if (console->owned_output_fd < 0)
        console->owned_output_fd = steal_fd(&fd);
    console->stream.tells_loss = true;
    *ret_backend = &console->stream.backend;
    return 0;
}

static int open_null(struct loop *loop, const struct console_options *options,
                     struct char_backend **ret_backend, struct error *err)
{
    struct console *console = create(loop, &plain_ops, options);

    if (!console)
        return error_set(err, -ENOMEM, "out of memory");
    console->stream.keeps_no_count = true;
    *ret_backend = &console->stream.backend;
    return 0;
}

int console_open(struct loop *loop, const struct console_options *options, struct char_backend **ret_backend,
                 struct error *err)
{
    bool wants_path = options->kind == CONSOLE_FILE || options->kind == CONSOLE_SOCKET;

    if (wants_path && (!options->path || !*options->path))
        return error_set(err, -EINVAL, "the console needs a path: --console %s=PATH",
                         options->kind == CONSOLE_FILE ? "file" : "socket");
    switch (options->kind) {
    case CONSOLE_STDIO:
        return console_open_streams(loop, options, STDIN_FILENO, STDOUT_FILENO, ret_backend, err);
    case CONSOLE_FILE:
        return open_file(loop, options, ret_backend, err);
    case CONSOLE_PTY:
        return console_open_pty(loop, options, ret_backend, err);
    case CONSOLE_SOCKET:
        return console_open_socket(loop, options, ret_backend, err);
    case CONSOLE_NULL:
        return open_null(loop, options, ret_backend, err);
    case CONSOLE_MEMORY:
        return console_open_memory(loop, options, ret_backend, err);
    case CONSOLE_KIND_COUNT:
        break;
    }
    return error_set(err, -EINVAL, "no such kind of console");
}

const char *console_path(const struct char_backend *backend)
{
    return char_stream_of(backend)->path;
}

uint64_t console_dropped(const struct char_backend *backend)
{
    return atomic_load(&char_stream_of(backend)->dropped);
}

int console_write_error(const struct char_backend *backend)
{
    return atomic_load(&char_stream_of(backend)->write_error);
}

void console_continue(struct char_backend *backend)
{
    struct char_stream *stream = char_stream_of(backend);

    char_stream_lock(stream);
    if (!stream->finishing) {
        stream->continued = true;
        char_stream_kick(stream);
    }
    char_stream_unlock(stream);
}

int console_reserve_stdio(void)
{
    /* What is written to a closed stdout is an error, as everywhere: a command's output is not to vanish unsaid. */
    static const int modes[] = {
        [STDIN_FILENO] = O_RDONLY, [STDOUT_FILENO] = O_RDONLY, [STDERR_FILENO] = O_WRONLY
    };

    /* open() takes the lowest number that is free. */
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", modes[fd] | O_CLOEXEC) < 0)
            return -errno;
    }
    return 0;
}
