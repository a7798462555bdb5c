/* SPDX-License-Identifier: Apache-2.0 */
/*
 * program.h - programs of other people's that we start.
 */
#ifndef RINGLET_PROGRAM_H
#define RINGLET_PROGRAM_H

#include <stdbool.h>

/* Does PATH lead to a program of this name that we may run? Any thread that does not change the environment. */
bool program_in_path(const char *name);

#endif
