/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block_file.h - a disk that is a raw image file or a block device: block_backend.h on the event loop.
 *
 * How requests map to the file:
 *   read, write    preadv and pwritev, carried on after short transfers; with BLOCK_FUA a write is RWF_DSYNC
 *   flush          fdatasync. Once one has failed every later one fails too: the kernel reports lost pages to
 *                  one fdatasync only and then forgets them, so that a success after it would be a lie. (One
 *                  that could not even begin, -EAGAIN, is no such failure)
 *   discard        punches a hole (file) or BLKDISCARD (device). It is advice: where the storage cannot,
 *                  and for ends of the range that are no whole blocks of a device, nothing happens and
 *                  that is a success
 *   write zeroes   punches a hole if BLOCK_MAY_UNMAP, else zeroes the range in place; where the storage
 *                  can do neither, zeroes are written
 *
 * Neither discard nor write zeroes waits for stable storage unless BLOCK_FUA says so; then an fdatasync
 * follows.
 *
 * Direct I/O is never the guest's concern: what the file's alignment does not allow goes through a second,
 * buffered descriptor (a range that is no whole blocks) or a bounce buffer (memory that is not aligned, one
 * such request at a time). A regular file always shows 512-byte logical blocks, because partition tables
 * count in them; a device shows its own.
 *
 * The process ignores SIGXFSZ: RLIMIT_FSIZE is then -EFBIG of one request.
 */
#ifndef RINGLET_BLOCK_FILE_H
#define RINGLET_BLOCK_FILE_H

#include <stdbool.h>

struct block_backend;
struct error;
struct loop;

enum block_cache {
    BLOCK_CACHE_WRITEBACK,    /* the host's page cache is the disk's write cache; FLUSH empties it */
    BLOCK_CACHE_WRITETHROUGH, /* every write is as if BLOCK_FUA were set; info.write_cache is false */
    BLOCK_CACHE_UNSAFE,       /* FLUSH and BLOCK_FUA do nothing: for disks that nobody will miss */
    BLOCK_CACHE_COUNT,
};

struct block_file_options {
    const char *path; /* or "fd=N" (open_path.h); copied where it is needed */
    bool read_only;
    bool direct; /* O_DIRECT: past the host's page cache; as to flushing, `cache` still counts */
    enum block_cache cache;
    bool no_lock; /* let other processes write the same file: only for file systems that cannot lock */
};

/*
 * Open a disk. The loop is borrowed and outlives it. The whole file is locked (fcntl OFD lock: exclusive,
 * shared if read-only), a device is claimed as well, so that a mounted one is refused. A descriptor that was
 * passed to us has its lock on the description that it shares, for as long as anybody has that open, and a
 * device is claimed by whoever opened it; O_DIRECT on it counts as `direct`. 0 or -errno with a sentence in
 * *err: -EISDIR or -EINVAL for what is no disk (directory, FIFO, character device, socket; empty; not a
 * multiple of 512 bytes; no direct I/O; opened to append), -EBUSY for one in use, else what open_path() or the
 * lock said. May block.
 */
int block_file_open(struct loop *loop, const struct block_file_options *options,
                    struct block_backend **ret_backend, struct error *err);

#endif
