/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleanup.h - scope-bound release of local descriptors and memory.
 *
 * A local marked CLEANUP_FREE or CLEANUP_CLOSE is released on every way out of its scope. The successful way
 * hands it over with steal_pointer() or steal_fd(), which leave nothing behind to release.
 */
#ifndef RINGLET_CLEANUP_H
#define RINGLET_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}

static inline void cleanup_close(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

#define CLEANUP_FREE  __attribute__((cleanup(cleanup_free)))
#define CLEANUP_CLOSE __attribute__((cleanup(cleanup_close)))

/* Take the descriptor out of a CLEANUP_CLOSE variable. */
static inline int steal_fd(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

/* Take the pointer out of a CLEANUP_FREE variable. */
#define steal_pointer(pointer)                                                                               \
    __extension__({                                                                                          \
        __typeof__(*(pointer)) taken_ = *(pointer);                                                          \
        *(pointer) = NULL;                                                                                   \
        taken_;                                                                                              \
    })

#endif
