/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parse.c - see ringlet/parse.h.
 */
#include "ringlet/parse.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ringlet/util.h"

/* The digits at the start; *ret_rest is what follows them. strtoull alone would take blanks and signs, too.
 */
static bool parse_digits(const char *text, uint64_t *ret_number, const char **ret_rest)
{
    unsigned long long number;
    char *rest;

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    number = strtoull(text, &rest, 10);
    if (errno)
        return false;
    *ret_number = number;
    *ret_rest = rest;
    return true;
}

bool parse_number(const char *text, uint64_t *ret_number)
{
    const char *rest;
    uint64_t number;

    if (!parse_digits(text, &number, &rest) || *rest)
        return false;
    *ret_number = number;
    return true;
}

bool parse_size(const char *text, uint64_t *ret_bytes)
{
    static const struct {
        char letter;
        uint64_t factor;
    } units[] = { { 'k', KIB }, { 'm', MIB }, { 'g', GIB }, { 't', GIB * 1024 } };
    uint64_t number, factor = MIB;
    const char *rest;

    if (!parse_digits(text, &number, &rest))
        return false;
    if (*rest) {
        factor = 0;
        for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
            if (tolower((unsigned char)*rest) == units[i].letter)
                factor = units[i].factor;
        }
        rest++;
        if (!factor || (*rest && strcasecmp(rest, "b") != 0 && strcasecmp(rest, "ib") != 0))
            return false;
    }
    return checked_mul(number, factor, ret_bytes);
}

bool parse_duration(const char *text, uint64_t *ret_nanoseconds)
{
    static const struct {
        const char *unit;
        uint64_t nanoseconds;
    } units[] = {
        { "", UINT64_C(1000000000) },   { "s", UINT64_C(1000000000) },           { "ms", UINT64_C(1000000) },
        { "m", UINT64_C(60000000000) }, { "h", UINT64_C(60) * 60 * 1000000000 },
    };
    uint64_t number, product;
    const char *rest;

    if (!parse_digits(text, &number, &rest) || !number)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (strcmp(rest, units[i].unit) != 0)
            continue;
        /* what a timer takes: signed 64 bits of nanoseconds */
        if (!checked_mul(number, units[i].nanoseconds, &product) || product > INT64_MAX)
            return false;
        *ret_nanoseconds = product;
        return true;
    }
    return false;
}
