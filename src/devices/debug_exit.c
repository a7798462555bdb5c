/* SPDX-License-Identifier: Apache-2.0 */
/*
 * debug_exit.c - see ringlet/pc_ports.h. For test payloads, which want to say how they went without an
 * operating system to say it through.
 */
#include "ringlet/pc_ports.h"

#include "ringlet/bus.h"
#include "ringlet/stop.h"

static uint64_t debug_exit_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)size;
    return 0;
}

static void debug_exit_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)offset;
    (void)size;
    stop_request(opaque, STOP_DEBUG_EXIT, (uint8_t)value);
}

static const struct bus_region_ops debug_exit_ops = {
    .read = debug_exit_read,
    .write = debug_exit_write,
};

struct bus_region debug_exit_region(struct stop_sink *sink, uint64_t base)
{
    return (struct bus_region){
        .name = "debug-exit",
        .base = base,
        .size = 1,
        .ops = &debug_exit_ops,
        .opaque = sink,
    };
}
