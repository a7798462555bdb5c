/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backends.c - see backends.h.
 */
#include "backends.h"

#include "ringlet/block_file.h"
#include "ringlet/entropy_file.h"
#include "ringlet/util.h"

static struct loop *loop_of(const struct backend_provider *provider)
{
    return container_of(provider, struct loop_backends, provider)->loop;
}
