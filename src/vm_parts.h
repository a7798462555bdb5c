/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm_parts.h - every part of a machine, shared by the files that build it (vm_build.c), run it (vm.c) and say how it
 * ended (vm_report.c). Nothing else sees struct vm.
 */
#ifndef RINGLET_VM_PARTS_H
#define RINGLET_VM_PARTS_H

#include <time.h>

#include "backends.h"
#include "default_guest.h"
#include "machine.h"
#include "options.h"
#include "vm_end.h"

struct error;

struct vm {
    const struct run_options *options;
    struct default_guest guest; /* of exec without --kernel */
    struct machine_plan plan;
    struct vm_end end;
    struct timespec began; /* CLOCK_MONOTONIC: --timeout counts from here */
    struct events *events;
    struct pidfile *pidfile;
    struct loop_task booted_task; /* a device's doorbell rang */
    bool has_booted;
    struct loop *loop;
    struct loop_backends backends;
    struct char_backend *console;
    struct guest_channel *channel; /* of exec, else NULL */
    struct guest_memory *memory;
    struct kvm *kvm;
    struct hypervisor *hypervisor; /* the same, as the rest of the machine sees it */
    struct bus *ports, *mmio;
    struct serial *serial;
    struct mmio_slot *slots[MACHINE_MAX_VIRTIO];
    struct vcpu *vcpus[RUN_MAXIMUM_CPUS];
    unsigned slot_count, vcpu_count;
};

/*
 * What comes before anything is opened and while signals still do what they do: the plan, and with exec the default
 * guest, which may have to be made first. 0, -ETIMEDOUT if that took all of --timeout, or another -errno; with *err.
 */
int vm_prepare(struct vm *vm, struct error *err);

/*
 * Make every part, in order. 0, or -errno with *err. In both cases vm_destroy() takes apart what is there.
 */
int vm_build(struct vm *vm, struct error *err);
void vm_destroy(struct vm *vm);

/* The machine has run to its end, or its making was ended: say what no exit status can, and return the exit status. */
int vm_report(const struct vm *vm);

/* The process is about to be ended on the spot, from inside the loop: what can still be said without waiting. */
void vm_report_leaving(const struct vm *vm);

/* The last of the events. `failed`: it could not be built or started. */
void vm_report_exit(const struct vm *vm, bool failed, int status);

#endif
