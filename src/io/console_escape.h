/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console_escape.h - the escape key of a console on a terminal, as a function over bytes.
 *
 * Ctrl-A, then: x quits; Ctrl-A is one Ctrl-A for the guest; h or ? asks for help; any other byte goes to the
 * guest with the Ctrl-A before it, so that a shell's Ctrl-A e works without thinking of us.
 */
#ifndef RINGLET_IO_CONSOLE_ESCAPE_H
#define RINGLET_IO_CONSOLE_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct console_escape {
    bool after_prefix; /* a Ctrl-A came and is still to be decided on */
};

enum console_escape_action {
    CONSOLE_ESCAPE_QUIT = 1 << 0, /* nothing after the x is looked at */
    CONSOLE_ESCAPE_HELP = 1 << 1,
};

/*
 * Take `count` bytes typed and write to `out`, which has room for count + 1, what is for the guest. Returns
 * how many those are; *ret_actions gets what was asked of us. State carries over from call to call.
 */
size_t console_escape_filter(struct console_escape *escape, const uint8_t *in, size_t count, uint8_t *out,
                             unsigned *ret_actions);

#endif
