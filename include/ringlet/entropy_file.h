/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entropy_file.h - the host's random numbers: entropy_backend.h on the event loop.
 */
#ifndef RINGLET_ENTROPY_FILE_H
#define RINGLET_ENTROPY_FILE_H

struct entropy_backend;
struct error;
struct loop;

/* A request is answered with at most so many bytes, so that a greedy guest does not keep a host CPU. */
#define ENTROPY_FILE_MAX_BYTES 65536

/*
 * `path` is /dev/urandom or another character device that never ends. The loop is borrowed and outlives the
 * backend. 0 or -errno with a sentence in *err.
 */
int entropy_file_open(struct loop *loop, const char *path, struct entropy_backend **ret_backend,
                      struct error *err);

#endif
