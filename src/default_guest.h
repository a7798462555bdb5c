/* SPDX-License-Identifier: Apache-2.0 */
/*
 * default_guest.h - the kernel and the small root file system that `ringlet exec` uses when it is given none.
 *
 * They lie in a directory: RINGLET_GUEST if set, which is then the person's own, else "default-guest" in the
 * cache of `guest-images/`, ${RINGLET_CACHE:-${XDG_CACHE_HOME:-~/.cache}/ringlet}. Where that is missing
 * `guest-images/default` makes it, once: found below the installed data directory, or in the source tree that this
 * program was built in.
 */
#ifndef RINGLET_DEFAULT_GUEST_H
#define RINGLET_DEFAULT_GUEST_H

#include <stdint.h>

struct error;

struct default_guest {
    char *kernel; /* owned: path of a bzImage or vmlinux */
    char *initrd; /* owned: an initrd with busybox and, where the kernel needs them, its modules */
};

/*
 * Find it, or have it made: that may take minutes and says so on stderr, where the script's own words go as well.
 * SIGINT, SIGTERM, SIGHUP and SIGQUIT end the script with all that it started, and are then raised once more, to
 * do to this process what they would have done. `installed` is the script of a program that was not just built.
 * After `patience` nanoseconds (0: never) it is ended likewise. 0; -EINTR, where they did not end us; -ETIMEDOUT; or
 * another -errno; with *err. Blocks; to be called before there are threads, and with those signals not blocked.
 */
int default_guest_find(const char *installed, uint64_t patience, struct default_guest *ret_guest,
                       struct error *err);

/* The same with the script named; for tests. */
int default_guest_find_or_make(const char *script, uint64_t patience, struct default_guest *ret_guest,
                               struct error *err);

/* NULL pointers in it are fine. */
void default_guest_finish(struct default_guest *guest);

#endif
