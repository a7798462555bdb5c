/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.c - see vm.h: build (vm_build.c), run until vm_end.c lets the loop go, report (vm_report.c), take apart.
 *
 * Threads: this thread becomes the loop's; one more per vCPU.
 */
#include "vm.h"

#include <errno.h>
#include <string.h>

#include "events.h"
#include "exit_status.h"
#include "mmio_slot.h"
#include "pidfile.h"
#include "ringlet/error.h"
#include "ringlet/log.h"
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

/* What is left of --timeout, for vm_end_start(): 0 means that there is none. */
static uint64_t time_left(const struct vm *vm)
{
    struct timespec now;
    uint64_t gone;

    clock_gettime(CLOCK_MONOTONIC, &now);
    gone = (uint64_t)(now.tv_sec - vm->began.tv_sec) * 1000000000 + (uint64_t)now.tv_nsec -
           (uint64_t)vm->began.tv_nsec;
    if (!vm->options->timeout)
        return 0;
    return gone < vm->options->timeout ? vm->options->timeout - gone : 1;
}

static int vm_start(struct vm *vm, struct error *err)
{
    vm->booted_task.run = guest_booted;
    vm_end_start(&vm->end, time_left(vm));
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

/* The end comes on the spot: nothing is taken apart, but what others see is put in order. */
static void leave(void *argument)
{
    struct vm *vm = argument;

    vm_report_leaving(vm);
    pidfile_remove(vm->pidfile);
}

static int run_to_the_end(struct vm *vm, int *ret_status, struct error *err)
{
    int started = vm_start(vm, err), result = loop_run(vm->loop);

    if (result < 0)
        vm_end_without_loop(result);
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        vcpu_stop(vm->vcpus[i]);
        vcpu_join(vm->vcpus[i]);
    }
    if (started == 0)
        *ret_status = vm_report(vm);
    return started;
}

int vm_run(const struct run_options *options, struct error *err)
{
    struct vm vm = { .options = options, .end = VM_END_NONE };
    int status = EXIT_STATUS_FAILURE;
    int result;

    clock_gettime(CLOCK_MONOTONIC, &vm.began);
    result = vm_prepare(&vm, err);
    if (result == -ETIMEDOUT) {
        log_warning("%s", err->text);
        vm_destroy(&vm);
        return EXIT_STATUS_TIMEOUT;
    }
    if (result == 0)
        result = vm_end_init(&vm.end, time_left(&vm), err);
    vm.end.leaving = leave;
    vm.end.leaving_argument = &vm;
    if (result == 0)
        result = vm_build(&vm, err);
    if (result == 0) {
        result = run_to_the_end(&vm, &status, err);
    } else if (result == -EINTR && vm_end_interrupted(&vm.end)) {
        status = vm_report(&vm);
        result = 0;
    }
    vm_report_exit(&vm, result < 0, status);
    vm_destroy(&vm);
    return result < 0 ? result : status;
}
