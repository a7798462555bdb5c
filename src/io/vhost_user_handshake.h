/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost_user_handshake.h - the first questions of a vhost-user connection, asked while the VM is built and so waited for.
 */
#ifndef RINGLET_IO_VHOST_USER_HANDSHAKE_H
#define RINGLET_IO_VHOST_USER_HANDSHAKE_H

#include <stdint.h>

struct vhost_user_options;

/* What the process has said of itself. */
struct vhost_user_process {
    uint64_t features;          /* of the device */
    uint64_t protocol_features; /* of those that we know */
    unsigned queue_max;         /* that it has, VHOST_MAX_QUEUES at most */
};

/* Blocks. 0 or -errno as vhost_user_create() has them; *ret_process is untouched then. */
int vhost_user_shake_hands(const struct vhost_user_options *options, struct vhost_user_process *ret_process);

#endif
