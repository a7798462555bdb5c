/* SPDX-License-Identifier: Apache-2.0 */
/*
 * write_now.h - a write that does not wait, on a descriptor that cannot be made non-blocking because others hold it too.
 */
#ifndef RINGLET_WRITE_NOW_H
#define RINGLET_WRITE_NOW_H

#include <stddef.h>
#include <sys/types.h>

/*
 * As write(2), but -errno; -EAGAIN if there is no room now. Of a pipe's room others may take their part at any time, and
 * the kernel is asked not to wait for it then (pipes since Linux 6.4, and sockets). Where it cannot be asked, a terminal
 * for one, what poll(2) says just before counts: for a pipe, up to PIPE_BUF bytes. A file is written however long that
 * takes. Any thread.
 */
ssize_t write_now(int fd, const void *bytes, size_t length);

#endif
