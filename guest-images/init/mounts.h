/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mounts.h - the guest's file systems: the kernel's own, the root that was asked for, the shares, and how all of
 * them are put away in the end.
 */
#ifndef RINGLET_GUEST_MOUNTS_H
#define RINGLET_GUEST_MOUNTS_H

struct error;
struct report;
struct settings;

/* /proc, /sys, /dev with /dev/pts and /dev/shm, /run. 0 or -errno with *err. */
int mounts_begin(struct error *err);

/*
 * Make the root what the settings want, and be in it; /tmp is fresh where the root itself is not for writing.
 * 0 or -errno with *err.
 */
int mounts_enter_root(const struct settings *settings, const struct report *report, struct error *err);

/* The mount= settings, in their order. 0 or -errno with *err. */
int mounts_add_shares(const struct settings *settings, struct error *err);

/*
 * Nothing runs any more: what was written is brought to the disks, and each file system is unmounted, or made
 * read-only where that cannot be.
 */
void mounts_end(void);

#endif
