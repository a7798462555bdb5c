/* SPDX-License-Identifier: Apache-2.0 */
/*
 * error.c - see ringlet/error.h.
 */
#include "ringlet/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *err, int code, const char *format, ...)
{
    va_list arguments;

    if (!err)
        return code;
    va_start(arguments, format);
    vsnprintf(err->text, sizeof(err->text), format, arguments);
    va_end(arguments);
    return code;
}

void error_prefix(struct error *err, const char *format, ...)
{
    char old[ERROR_TEXT_SIZE];
    va_list arguments;
    int length, room;

    if (!err)
        return;
    memcpy(old, err->text, sizeof(old));
    va_start(arguments, format);
    length = vsnprintf(err->text, sizeof(err->text), format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof(err->text))
        return;
    room = (int)sizeof(err->text) - length;
    snprintf(err->text + length, (size_t)room, ": %.*s", room, old);
}
