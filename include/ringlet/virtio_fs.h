/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_fs.h - the file system device (virtio 1.2, 5.11): a directory of the host in the guest. Its queues are
 * worked on by another process (ringlet/vhost_backend.h); here are its features, its configuration and its life.
 */
#ifndef RINGLET_VIRTIO_FS_H
#define RINGLET_VIRTIO_FS_H

struct guest_memory;
struct vhost_backend;
struct virtio_device;

#define VIRTIO_FS_TAG_SIZE 36 /* 5.11.4: bytes, no NUL needed when all are used */

/*
 * `name` (borrowed) is also the tag by which the guest mounts it. `memory` has to be shareable
 * (guest_memory_create_shared()). Takes the backend over when it succeeds. 0, -EINVAL, -ENOMEM, or attach()'s
 * -errno.
 */
int virtio_fs_create(const char *name, struct vhost_backend *backend, const struct guest_memory *memory,
                     struct virtio_device **ret_device);

#endif
