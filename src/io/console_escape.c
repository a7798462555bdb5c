/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console_escape.c - see console_escape.h.
 */
#include "console_escape.h"

#define CTRL_A 0x01

size_t console_escape_filter(struct console_escape *escape, const uint8_t *in, size_t count, uint8_t *out,
                             unsigned *ret_actions)
{
    size_t kept = 0;

    *ret_actions = 0;
    for (size_t i = 0; i < count; i++) {
        if (!escape->after_prefix) {
            if (in[i] == CTRL_A)
                escape->after_prefix = true;
            else
                out[kept++] = in[i];
            continue;
        }
        escape->after_prefix = false;
        switch (in[i]) {
        case 'x':
            *ret_actions |= CONSOLE_ESCAPE_QUIT;
            return kept;
        case 'h':
        case '?':
            *ret_actions |= CONSOLE_ESCAPE_HELP;
            break;
        case CTRL_A:
            out[kept++] = CTRL_A;
            break;
        default:
            out[kept++] = CTRL_A;
            out[kept++] = in[i];
            break;
        }
    }
    return kept;
}
