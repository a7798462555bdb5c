/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console.h - the places that a serial port's bytes can come from and go to: --console KIND[=PATH].
 *
 * All kinds keep at most 64 KiB a direction. Output that a present reader is slow to take waits, then shows
 * to the guest as a busy transmitter; a reader that has gone (closed pipe, full disk) has its output
 * discarded and the VM goes on. Input waits here until the guest takes it. Of stdio and file the front end is
 * told when input has ended and when output is lost (char_backend.h).
 *
 *   stdio   Input from descriptor 0, output to 1. A terminal on 0 is made raw (terminal.h) when the loop runs,
 *           and has an escape key, Ctrl-A: then x ends the VM, Ctrl-A sends one Ctrl-A, h or ? shows a line of help, and
 *           anything else is sent together with the Ctrl-A. A descriptor that is not open gives no input;
 *           output to it is lost (EBADF). Input that is no terminal passes as it is, byte for byte. While we are a background
 *           job of that terminal, it is neither touched nor read.
 *   file    Output only, to PATH, which starts empty each time: it is emptied when the loop runs, not by
 *           opening it. Locked as a disk is (block_file.h), and refused where somebody else has it so.
 *           "fd=N" (open_path.h) is written as it is: whatever it is, wherever it stands.
 *   pty     A new pseudo-terminal; console_path() is its name. While nobody has it open the last 64 KiB of
 *           output are kept for whoever comes next.
 *   socket  A UNIX stream socket at PATH, mode 0600, for one client at a time; the next is served when the
 *           one before has left. Without a client, as with pty. A socket file that nobody listens on any
 *           more is replaced; ours is removed at the end. "fd=N" is a UNIX stream socket that listens.
 *   null    No input, output discarded.
 *   memory  No input; the last 64 KiB of output are kept, for console_memory(). Not for the command line.
 */
#ifndef RINGLET_CONSOLE_H
#define RINGLET_CONSOLE_H

#include <stddef.h>
#include <stdint.h>

struct char_backend;
struct error;
struct loop;
struct stop_sink;

enum console_kind {
    CONSOLE_STDIO,
    CONSOLE_FILE,
    CONSOLE_PTY,
    CONSOLE_SOCKET,
    CONSOLE_NULL,
    CONSOLE_MEMORY,
    CONSOLE_KIND_COUNT,
};

struct console_options {
    enum console_kind kind;
    const char *path; /* FILE and SOCKET; borrowed until the console is destroyed */
    struct stop_sink
        *stop; /* told STOP_CONSOLE_QUIT at Ctrl-A x; borrowed; may be NULL for other than STDIO */
    uint64_t drain_timeout; /* ns without progress until finish() gives up; 0 means 2 s, UINT64_MAX never */
};

/*
 * Open descriptors 0, 1 and 2 on /dev/null where they are closed, so that no file opened later takes their
 * place: stdin is then empty, a write to stdout fails with EBADF, and stderr takes everything. Call first in main().
 * 0 or -errno.
 */
int console_reserve_stdio(void);

/*
 * 0 or -errno with *err. Starts nothing before the loop runs. SIGPIPE has to be ignored by the caller. The
 * backend is destroyed with char_backend_destroy(): after finish() has drained, or at once if the loop never
 * ran. Destroying puts the terminal back.
 */
int console_open(struct loop *loop, const struct console_options *options, struct char_backend **ret_backend,
                 struct error *err);

/*
 * What console_open() does for CONSOLE_STDIO, over any two descriptors; both are borrowed. -1 means that there
 * is no such direction: no input, whose end is then not told either, or output that is discarded without being
 * lost. (A descriptor that is not open is input that ends at once.) A terminal is made raw, and has an escape
 * key, only where there is an output as well; else it gives its lines as they are typed, and the end of the file
 * after Ctrl-D. While we are in its background it is not read.
 */
int console_open_streams(struct loop *loop, const struct console_options *options, int input_fd,
                         int output_fd, struct char_backend **ret_backend, struct error *err);

/* Of a backend that console_open() made: the name to connect to (pty, socket), else NULL. Any thread. */
const char *console_path(const struct char_backend *backend);

/* Of CONSOLE_MEMORY: copy the last bytes of output, at most `size`, and return how many. After finish(). */
size_t console_memory(const struct char_backend *backend, char *to, size_t size);

/* Bytes of output that were taken from the guest and could not be delivered. Any thread. */
uint64_t console_dropped(const struct char_backend *backend);

/* Why: -errno of the last write that failed, 0 if none has. Any thread. */
int console_write_error(const struct char_backend *backend);

/*
 * SIGCONT arrived: if we are the terminal's foreground job, make it raw again and read on. Any thread; not
 * from a signal handler.
 */
void console_continue(struct char_backend *backend);

#endif
