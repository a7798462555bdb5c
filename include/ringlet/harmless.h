/* SPDX-License-Identifier: Apache-2.0 */
/*
 * harmless.h - words that come from the guest, or from a process that it may have got hold of, before they are shown
 * on a terminal, which obeys what it is shown.
 */
#ifndef RINGLET_HARMLESS_H
#define RINGLET_HARMLESS_H

/*
 * Put '?' in the place of every byte that is not printable ASCII: control characters, and the bytes above 127, of which
 * some terminals make control characters as well (C1).
 */
static inline void make_harmless(char *text)
{
    for (; *text; text++) {
        if (*text < ' ' || *text > '~')
            *text = '?';
    }
}

#endif
