/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pidfile.h - `--pidfile`: our process id in a file, for as long as the machine runs.
 */
#ifndef RINGLET_PIDFILE_H
#define RINGLET_PIDFILE_H

struct error;
struct pidfile;

/*
 * Write it, all at once; a file that is there already is replaced (one that was left by a SIGKILL says nothing).
 * "fd=N" is written to, and stays as it is. 0 or -errno with *err.
 */
int pidfile_write(const char *path, struct pidfile **ret_pidfile, struct error *err);

/* Remove it, unless it has become another's. NULL is fine. */
void pidfile_remove(struct pidfile *pidfile);

#endif
