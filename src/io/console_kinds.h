/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console_kinds.h - how console.c makes each kind of console. All: 0 or -errno with *err; what is returned is
 * a char_stream's backend.
 */
#ifndef RINGLET_IO_CONSOLE_KINDS_H
#define RINGLET_IO_CONSOLE_KINDS_H

struct char_backend;
struct console_options;
struct error;
struct loop;

int console_open_pty(struct loop *loop, const struct console_options *options,
                     struct char_backend **ret_backend, struct error *err);
int console_open_memory(struct loop *loop, const struct console_options *options,
                        struct char_backend **ret_backend, struct error *err);
int console_open_socket(struct loop *loop, const struct console_options *options,
                        struct char_backend **ret_backend, struct error *err);

#endif
