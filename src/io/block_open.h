/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block_open.h - from a path to descriptors that are known to be a disk, and what is to know about it.
 */
#ifndef RINGLET_IO_BLOCK_OPEN_H
#define RINGLET_IO_BLOCK_OPEN_H

#include <stdbool.h>
#include <stdint.h>

#include "ringlet/block_backend.h"

struct block_file_options;
struct error;

/* Direct I/O in coarser units than these bytes is treated as none. */
#define DISK_MAX_ALIGNMENT 65536

struct opened_disk {
    int fd;          /* what requests go to; O_DIRECT if asked for */
    int buffered_fd; /* the same file without O_DIRECT; equal to fd if that has none */
    bool is_device;
    struct block_info info;
    /* Direct I/O: what offset and length of a request, and its memory, must be multiples of. 1 without it. */
    uint32_t offset_alignment;
    uint32_t memory_alignment;
};

/* 0, or -errno with a sentence in *err. The descriptors are the caller's to close with close_disk(). */
int open_disk(const struct block_file_options *options, struct opened_disk *ret_disk, struct error *err);
void close_disk(const struct opened_disk *disk);

#endif
