/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse_client.h - the guest of a virtio-fs device, without the device: a few FUSE requests over a vhost backend,
 * one at a time, on queue 1.
 */
#ifndef RINGLET_FUSE_CLIENT_H
#define RINGLET_FUSE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fuse_client;
struct loop;
struct vhost_backend;

#define FUSE_CLIENT_ROOT 1 /* the node of the shared directory itself */

/* Takes the backend over; starts it and says FUSE_INIT. The loop is borrowed. */
struct fuse_client *fuse_client_create(struct loop *loop, struct vhost_backend *backend);
/* Stops it, if it has not ended. */
void fuse_client_destroy(struct fuse_client *client);

/* Each: 0 or -errno, as root of the guest. -EPIPE when the backend has ended. */
int fuse_client_lookup(struct fuse_client *client, uint64_t parent, const char *name, uint64_t *ret_node);
int fuse_client_mkdir(struct fuse_client *client, uint64_t parent, const char *name);
int fuse_client_create_file(struct fuse_client *client, uint64_t parent, const char *name, const char *text);
int fuse_client_unlink(struct fuse_client *client, uint64_t parent, const char *name);
/* The first bytes of a file, terminated. */
int fuse_client_read_file(struct fuse_client *client, uint64_t node, char *text, size_t size);

/* Stop the queues and start them again where they were. */
void fuse_client_pause(struct fuse_client *client);
/* Serve the loop until the backend has ended. */
void fuse_client_wait_for_end(struct fuse_client *client);

#endif
