/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost_user.h - vhost_backend.h over a socket to the process that works the queues.
 */
#ifndef RINGLET_IO_VHOST_USER_H
#define RINGLET_IO_VHOST_USER_H

struct loop;
struct vhost_backend;
struct vhost_user_owner;

/* Who started the process. */
struct vhost_user_owner {
    /*
     * required: the connection is over; `reason` says why, as the predicate of a sentence ("has closed the
     * connection"). To see to it that the process ends. Loop thread, no lock held; once.
     */
    void (*ended)(struct vhost_user_owner *owner, const char *reason);
    /* required: the backend was destroyed, its descriptors are closed */
    void (*destroyed)(struct vhost_user_owner *owner);
};

struct vhost_user_options {
    int fd;                         /* a connected stream socket; the backend's if it succeeds */
    int pidfd;                      /* of the process, borrowed, as long as the backend lives; -1: unknown */
    int timeout_ms;                 /* for the handshake */
    int interrupt_fd;               /* ends the handshake when it becomes readable; borrowed; 0: none */
    struct vhost_user_owner *owner; /* borrowed, outlives the backend */
};

/*
 * Shake hands; blocks. 0, -ETIMEDOUT, -ECONNRESET (it has closed the connection, or ended), -EPROTO (its answer
 * is none, or lacks what we need: protocol features), -EINTR (interrupt_fd), or another -errno of the host's.
 */
int vhost_user_create(struct loop *loop, const struct vhost_user_options *options,
                      struct vhost_backend **ret_backend);

#endif
