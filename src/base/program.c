/* SPDX-License-Identifier: Apache-2.0 */
/*
 * program.c - see ringlet/program.h.
 */
#include "ringlet/program.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool program_in_path(const char *name)
{
    const char *folder = getenv("PATH");
    char path[PATH_MAX];

    while (folder) {
        int length = (int)strcspn(folder, ":");

        /* An empty one is the working directory. */
        if (snprintf(path, sizeof(path), "%.*s/%s", length ? length : 1, length ? folder : ".", name) <
                (int)sizeof(path) &&
            access(path, X_OK) == 0)
            return true;
        folder = folder[length] ? folder + length + 1 : NULL;
    }
    return false;
}
