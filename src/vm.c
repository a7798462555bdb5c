/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.c - see vm.h: build (vm_build.c), run until vm_end.c lets the loop go, report (vm_report.c), take apart.
 *
 * Threads: this thread becomes the loop's; one more per vCPU.
 */
#include "vm.h"

#include <string.h>

#include "events.h"
#include "exit_status.h"
#include "mmio_slot.h"
#include "ringlet/error.h"
#include "ringlet/loop.h"
#include "ringlet/util.h"
#include "ringlet/vcpu.h"
#include "vm_parts.h"

static void guest_booted(struct loop_task *task)
{
    struct vm *vm = container_of(task, struct vm, booted_task);

    if (!vm->has_booted)
        events_say(vm->events, EVENT_GUEST_BOOTED, NULL, 0);
    vm->has_booted = true;
}

static int vm_start(struct vm *vm, struct error *err)
{
    vm->booted_task.run = guest_booted;
    vm_end_start(&vm->end, vm->options->timeout);
    for (unsigned i = 0; i < vm->slot_count; i++)
        mmio_slot_start(vm->slots[i], &vm->booted_task);
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        int result = vcpu_start(vm->vcpus[i]);

        if (result == 0)
            continue;
        error_set(err, result, "cannot start a thread for vCPU %u: %s", i, strerror(-result));
        stop_request(&vm->end.sink, STOP_HOST_FAILURE, result);
        /* Those that never start have, for the end's count, already gone. */
        for (unsigned j = i; j < vm->vcpu_count; j++)
            vm_end_vcpu_exited(&vm->end);
        return result;
    }
    return 0;
}

int vm_run(const struct run_options *options, struct error *err)
{
    struct vm vm = { .options = options };
    int result = vm_end_init(&vm.end, err);
    int status = EXIT_STATUS_FAILURE;

    if (result == 0)
        result = vm_build(&vm, err);
    if (result == 0) {
        int started = vm_start(&vm, err);

        result = loop_run(vm.loop);
        if (result < 0)
            vm_end_without_loop(result);
        for (unsigned i = 0; i < vm.vcpu_count; i++) {
            vcpu_stop(vm.vcpus[i]);
            vcpu_join(vm.vcpus[i]);
        }
        result = started;
        if (result == 0)
            status = vm_report(&vm);
    }
    vm_report_exit(&vm, result < 0, status);
    vm_destroy(&vm);
    return result < 0 ? result : status;
}
