/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtiofsd.h - a directory of the host, served by a virtiofsd of our own: started as our child, in a sandbox,
 * ended with us however we end. vhost_backend.h over the vhost-user protocol.
 *
 * Which virtiofsd: Debian 12's (QEMU's, /usr/lib/qemu/virtiofsd) or the later one in Rust
 * (/usr/libexec/virtiofsd, or in PATH); their options differ, the first found is used.
 *
 * As root it works as root does, and what it creates has the guest's numbers. Without rights it runs as root of
 * a user namespace that maps root to the caller, and nobody else: what the guest's root creates is the caller's,
 * and other owners cannot be given.
 *
 * Its sandbox is made before it runs: PID and mount namespaces in which all is read-only but the directory (and
 * with `read_only` that too, mounts below it included), and no device file opens; all of its processes end with
 * the first of them, which ends with us. Inside it virtiofsd makes its own. Where a system refuses namespaces
 * (a container) root goes without, unless read-only is asked for, and for others there is no sharing.
 *
 * Mounts below the directory are part of it, as of now.
 */
#ifndef RINGLET_VIRTIOFSD_H
#define RINGLET_VIRTIOFSD_H

#include <stdbool.h>

struct error;
struct loop;
struct vhost_backend;

struct virtiofsd_options {
    const char *directory; /* a path, or "fd=N" (see ringlet/open_path.h) */
    bool read_only;
    /*
     * The guest keeps what it has once seen, names and contents, for as long as it has room. Without, it asks anew at
     * each open() and after a second, so that it sees what the host changes.
     */
    bool at_rest;
    const char *program; /* NULL: as above; a test's stand-in */
    /* it has gone, once: loop thread, no lock; `sentence` for the person. May be NULL */
    void (*ended)(void *argument, const char *name, const char *sentence);
    void *argument;
    const char *name; /* for ended(); outlives the backend */
    int interrupt_fd; /* ends the wait for it when it becomes readable: -EINTR; borrowed; 0: none */
};

/* Where a virtiofsd lies outside of PATH, or NULL. Any thread. */
const char *virtiofsd_find(void);

/*
 * Start it and shake hands; blocks until it serves, ten seconds at most. The thread that calls is to live as long
 * as the backend: with it, virtiofsd ends. 0, or -errno with a sentence in *err that names the mend (not installed,
 * no such directory, no user namespaces).
 */
int virtiofsd_open(struct loop *loop, const struct virtiofsd_options *options,
                   struct vhost_backend **ret_backend, struct error *err);

#endif
