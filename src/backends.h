/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backends.h - opens the outside for devices: the provider of ringlet/backend_provider.h over src/io/.
 */
#ifndef RINGLET_BACKENDS_H
#define RINGLET_BACKENDS_H

#include "ringlet/backend_provider.h"

struct loop;
struct stop_sink;

struct loop_backends {
    struct backend_provider provider;
    struct loop *loop;
    struct stop_sink *stop;
    int interrupt_fd;
};

/*
 * A provider whose backends work on `loop`; `stop` is told when the host takes something away without which the
 * VM cannot go on. Both are borrowed and outlive the backends. To open one may mean to wait for a program:
 * `interrupt_fd`, when it becomes readable, ends that with -EINTR; borrowed until nothing more is opened.
 */
struct loop_backends loop_backends_make(struct loop *loop, struct stop_sink *stop, int interrupt_fd);

#endif
