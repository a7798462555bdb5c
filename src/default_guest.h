/* SPDX-License-Identifier: Apache-2.0 */
/*
 * default_guest.h - the kernel and the small root file system that `ringlet exec` uses when it is given none.
 *
 * They lie in a directory that `guest-images/default` makes: RINGLET_GUEST if set, else
 * ${XDG_CACHE_HOME:-~/.cache}/ringlet/default-guest. Where it is missing the script is run, once: found below the
 * installed data directory, or in the source tree that this program was built in.
 */
#ifndef RINGLET_DEFAULT_GUEST_H
#define RINGLET_DEFAULT_GUEST_H

struct error;

struct default_guest {
    char *kernel; /* owned: path of a bzImage or vmlinux */
    char *initrd; /* owned: an initrd with busybox and, where the kernel needs them, its modules */
};

/* Find it, or have it made: that may take minutes and says so on stderr. 0 or -errno with *err. */
int default_guest_find(struct default_guest *ret_guest, struct error *err);
void default_guest_finish(struct default_guest *guest);

#endif
