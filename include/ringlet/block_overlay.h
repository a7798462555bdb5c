/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block_overlay.h - an ephemeral disk: block_backend.h over two others. What is written goes to `top` and vanishes
 * with it; what was never written is read from `base`, which is only ever read.
 *
 * A bitmap, one bit for each sector of 512 bytes, says which sectors live on top. It takes memory for the parts of
 * the disk that are written, at most 1/4096 of the disk's size. How requests map:
 *   read          in runs of sectors that live on the same side, side by side
 *   write,        to top, whole; the sectors live there once it is done. One that failed may have written
 *   write zeroes  some of them, which still read as they did before, unless they lived on top already
 *   discard       to top: sectors that live there may give their space back, those of the base stay as they are
 *   flush         to top
 * The failure of any part is the failure of the request.
 */
#ifndef RINGLET_BLOCK_OVERLAY_H
#define RINGLET_BLOCK_OVERLAY_H

struct block_backend;
struct block_file_options;
struct error;
struct loop;

/*
 * Parts of requests that are at work at once; what is more waits, first come first. A request that needs one side
 * only is one part.
 */
#define BLOCK_OVERLAY_PARTS 256

/*
 * Put `top` over `base`. Both become the overlay's, which destroys them, if it succeeds; neither is attached yet.
 * The disk is as large as the base and has its block sizes; what it can do besides reading is what top can. What top
 * holds already does not count. 0; -EINVAL if top is read-only, smaller, or has larger blocks; -ENOMEM.
 */
int block_overlay_create(struct block_backend *base, struct block_backend *top,
                         struct block_backend **ret_backend);

/*
 * Open a disk as block_file_open() does, read-only whatever `options` say and so shared with other readers, under a
 * top of its own: a sparse file without a name, in the image's folder, or where that is none for files or does not
 * take one, in $TMPDIR or in /var/tmp. Nothing of it outlives the VM, so that flushes and BLOCK_FUA do nothing:
 * `cache` does not count. The loop is borrowed and outlives it. 0 or -errno with *err. May block.
 */
int block_overlay_open(struct loop *loop, const struct block_file_options *options,
                       struct block_backend **ret_backend, struct error *err);

#endif
