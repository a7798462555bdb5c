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
};

/*
 * A provider whose backends work on `loop`; `stop` is told when the host takes something away without which the
 * VM cannot go on. Both are borrowed and outlive the backends.
 */
struct loop_backends loop_backends_make(struct loop *loop, struct stop_sink *stop);

#endif
