/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parse.h - numbers as people write them: counts, sizes, durations.
 */
#ifndef RINGLET_PARSE_H
#define RINGLET_PARSE_H

#include <stdbool.h>
#include <stdint.h>

/* A whole decimal number, nothing before or after it, that fits. False leaves *ret_number alone. */
bool parse_number(const char *text, uint64_t *ret_number);

/* "512" or "512M" (MiB), "64K", "2G", "1T"; upper or lower case, an "iB" or "B" may follow. In bytes. */
bool parse_size(const char *text, uint64_t *ret_bytes);

/* "90" or "90s", "500ms", "5m", "2h". More than 0. In nanoseconds. */
bool parse_duration(const char *text, uint64_t *ret_nanoseconds);

#endif
