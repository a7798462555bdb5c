/* SPDX-License-Identifier: Apache-2.0 */
/*
 * platform.h - for tiny programs that prove what we rely on in the kernel and the C library. Each proves one
 * thing; when a host is different, its line says how, before anything of ours is suspected.
 */
#ifndef RINGLET_TESTS_PLATFORM_H
#define RINGLET_TESTS_PLATFORM_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SKIP_STATUS 77 /* meson's */

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: not so: %s (errno: %s)\n", __FILE__, __LINE__, #condition,               \
                    strerror(errno));                                                                        \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

#define SKIP(...)                                                                                            \
    do {                                                                                                     \
        printf(__VA_ARGS__);                                                                                 \
        putchar('\n');                                                                                       \
        exit(SKIP_STATUS);                                                                                   \
    } while (0)

#endif
