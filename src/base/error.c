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
    int length;

    if (!err)
        return;
    memcpy(old, err->text, sizeof(old));
    va_start(arguments, format);
    length = vsnprintf(err->text, sizeof(err->text), format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof(err->text))
        return;
    snprintf(err->text + length, sizeof(err->text) - (size_t)length, ": %s", old);
}
