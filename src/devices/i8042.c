/* SPDX-License-Identifier: Apache-2.0 */
/*
 * i8042.c - see ringlet/pc_ports.h. No keyboard, no mouse: only the line from the keyboard controller to the
 * CPU's reset pin, which is what Linux's reboot=k pulls.
 */
#include "ringlet/pc_ports.h"

#include "ringlet/bus.h"
#include "ringlet/stop.h"

#define COMMAND_PULSE_RESET 0xfe

static uint64_t i8042_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)size;
    /* Both buffers empty: ready for a command, nothing to read. */
    return 0;
}

static void i8042_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)offset;
    (void)size;
    if ((uint8_t)value == COMMAND_PULSE_RESET)
        stop_request(opaque, STOP_RESET, 0);
}

static const struct bus_region_ops i8042_ops = {
    .read = i8042_read,
    .write = i8042_write,
};

struct bus_region i8042_region(struct stop_sink *sink, uint64_t base)
{
    return (struct bus_region){ .name = "i8042", .base = base, .size = 1, .ops = &i8042_ops, .opaque = sink };
}
