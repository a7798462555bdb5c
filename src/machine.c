/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine.c - see machine.h.
 */
#include "machine.h"

#include <assert.h>
#include <errno.h>

#include "arch/x86/layout.h"
#include "options.h"
#include "ringlet/error.h"
#include "ringlet/serial.h"
#include "ringlet/util.h"

static const uint32_t virtio_gsis[] = LAYOUT_VIRTIO_GSIS;
static_assert(ARRAY_SIZE(virtio_gsis) == MACHINE_MAX_VIRTIO, "a line for each virtio device");

int machine_plan_make(const struct run_options *options, struct machine_plan *ret_plan, struct error *err)
{
    unsigned own = options->command == COMMAND_EXEC; /* the channel to the guest's init */
    struct machine_plan plan = { .virtio_count = options->device_count + own };

    if (plan.virtio_count > MACHINE_MAX_VIRTIO)
        return error_set(err, -ENOSPC, "%u devices are too many: a VM has interrupt lines for %u",
                         options->device_count, MACHINE_MAX_VIRTIO - own);
    for (unsigned i = 0; i < plan.virtio_count; i++) {
        plan.devices[i] = (struct device_info){
            .kind = DEVICE_VIRTIO_MMIO,
            .base = LAYOUT_VIRTIO_MMIO + i * LAYOUT_VIRTIO_MMIO_STRIDE,
            .size = LAYOUT_VIRTIO_MMIO_STRIDE,
            .gsi = virtio_gsis[i],
        };
    }
    plan.serial = (struct device_info){
        .kind = DEVICE_SERIAL, .base = LAYOUT_PORT_SERIAL, .size = SERIAL_PORT_COUNT, .gsi = LAYOUT_GSI_SERIAL
    };
    plan.devices[plan.virtio_count] = plan.serial;
    plan.device_count = plan.virtio_count + 1;
    *ret_plan = plan;
    return 0;
}
