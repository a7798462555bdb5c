/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.c - the machine, whole: vm_build() lists every part in the order it is made, vm_destroy() takes them
 * apart in reverse. Nothing below src/ ever sees struct vm.
 *
 * Threads: this thread becomes the loop's; one more per vCPU.
 */
#include "vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arch/x86/layout.h"
#include "backends.h"
#include "boot.h"
#include "exit_status.h"
#include "machine.h"
#include "mmio_slot.h"
#include "named_files.h"
#include "options.h"
#include "ringlet/bus.h"
#include "ringlet/char_backend.h"
#include "ringlet/cleanup.h"
#include "ringlet/console.h"
#include "ringlet/error.h"
#include "ringlet/guest_memory.h"
#include "ringlet/hypervisor.h"
#include "ringlet/kvm.h"
#include "ringlet/log.h"
#include "ringlet/loop.h"
#include "ringlet/pc_ports.h"
#include "ringlet/serial.h"
#include "ringlet/util.h"
#include "ringlet/vcpu.h"
#include "ringlet/virtio_device.h"
#include "ringlet/x86_boot.h"
#include "ringlet/x86_cpuid.h"
#include "vm_end.h"

#define KVM_DEVICE   "/dev/kvm"
#define LOOP_ENTRIES 1024

struct vm {
    const struct run_options *options;
    struct machine_plan plan;
    struct vm_end end;
    struct loop *loop;
    struct loop_backends backends;
    struct char_backend *console;
    struct guest_memory *memory;
    struct kvm *kvm;
    struct hypervisor *hypervisor; /* the same, as the rest of the machine sees it */
    struct bus *ports, *mmio;
    struct serial *serial;
    struct mmio_slot *slots[MACHINE_MAX_VIRTIO];
    struct vcpu *vcpus[RUN_MAXIMUM_CPUS];
    unsigned slot_count, vcpu_count;
};

static int open_loop(struct vm *vm, struct error *err)
{
    struct error reason = { 0 };
    int result = loop_create(vm->options->engine, LOOP_ENTRIES, &vm->loop, &reason);

    if (result < 0)
        return error_set(err, result, "%s", reason.text);
    if (*reason.text)
        log_warning("%s; using threads instead", reason.text);
    vm->end.loop = vm->loop;
    vm->backends = loop_backends_make(vm->loop);
    return 0;
}

static int open_console(struct vm *vm, struct error *err)
{
    struct console_options options = {
        .kind = vm->options->console,
        .path = vm->options->console_path,
        .stop = &vm->end.sink,
    };
    int result = console_open(vm->loop, &options, &vm->console, err);

    if (result < 0)
        return result;
    vm->end.console = vm->console;
    /* Of a pty, the name is what was asked for. */
    if (vm->options->console == CONSOLE_PTY)
        log_always("the console is at %s", console_path(vm->console));
    else if (console_path(vm->console))
        log_warning("the console is at %s", console_path(vm->console));
    return 0;
}

static int create_memory(struct vm *vm, struct error *err)
{
    int result = guest_memory_create(&vm->memory);

    if (result == 0)
        result = x86_add_ram(vm->memory, vm->options->memory);
    if (result < 0)
        return error_set(err, result, "cannot set aside %llu MiB for the guest: %s",
                         (unsigned long long)(vm->options->memory / MIB), strerror(-result));
    return 0;
}

static int create_hypervisor(struct vm *vm, struct error *err)
{
    const struct kvm_own_pages pages = { .identity_map = LAYOUT_KVM_IDENTITY_MAP, .tss = LAYOUT_KVM_TSS };
    CLEANUP_CLOSE int fd = kvm_open_device(KVM_DEVICE, err);
    int result;

    if (fd < 0)
        return fd;
    result = kvm_create(fd, &pages, &vm->kvm, err);
    if (result < 0)
        return result;
    steal_fd(&fd);
    vm->hypervisor = kvm_hypervisor(vm->kvm);
    for (unsigned i = 0; i < guest_memory_region_count(vm->memory); i++) {
        const struct guest_memory_region *region = guest_memory_region_at(vm->memory, i);

        result = vm->hypervisor->ops->map_memory(vm->hypervisor, region->base, region->host, region->size);
        if (result < 0)
            return error_set(err, result, "KVM refuses %llu MiB of guest memory: %s",
                             (unsigned long long)(region->size / MIB), strerror(-result));
    }
    return 0;
}

static int add_region(struct bus *bus, struct bus_region region, struct error *err)
{
    int result = bus_add(bus, &region);

    return result < 0
               ? error_set(err, result, "no room on the bus for %s: %s", region.name, strerror(-result))
               : 0;
}

/* What stands at fixed ports: the serial port, and the registers that end the machine. */
static int create_board(struct vm *vm, struct error *err)
{
    struct stop_sink *sink = &vm->end.sink;
    struct irq_line *line;
    int result = bus_create(&vm->ports);

    if (result == 0)
        result = bus_create(&vm->mmio);
    if (result < 0)
        return error_set(err, result, "out of memory");
    result = vm->hypervisor->ops->create_irq_line(vm->hypervisor, vm->plan.serial.gsi, &line);
    if (result == 0)
        result = serial_create(vm->console, line, &vm->serial);
    if (result < 0)
        return error_set(err, result, "cannot make the serial port: %s", strerror(-result));
    result = add_region(vm->ports, serial_region(vm->serial, vm->plan.serial.base), err);
    if (result == 0)
        result = add_region(vm->ports, i8042_region(sink, LAYOUT_PORT_I8042), err);
    if (result == 0)
        result = add_region(vm->ports, acpi_pm_region(sink, LAYOUT_PORT_ACPI_PM), err);
    if (result == 0 && vm->options->debug_exit)
        result = add_region(vm->ports, debug_exit_region(sink, LAYOUT_PORT_DEBUG_EXIT), err);
    return result;
}

static int create_devices(struct vm *vm, struct error *err)
{
    for (unsigned i = 0; i < vm->plan.virtio_count; i++) {
        const struct device_request *request = &vm->options->devices[i];
        struct device_environment environment = { .name = request->name,
                                                  .memory = vm->memory,
                                                  .backends = &vm->backends.provider };
        struct virtio_device *device;
        int result = request->type->create(&request->argument, &environment, &device, err);

        if (result < 0)
            return result;
        result = mmio_slot_create(device, &vm->plan.devices[i], vm->hypervisor, vm->mmio, vm->loop,
                                  &vm->slots[i], err);
        if (result < 0) {
            virtio_device_destroy(device);
            return result;
        }
        vm->slot_count++;
    }
    return 0;
}

static int create_vcpu(struct vm *vm, unsigned index, struct kvm_cpuid2 *cpuid, unsigned capacity,
                       struct error *err)
{
    struct vcpu_config config = {
        .index = index,
        .ports = vm->ports,
        .mmio = vm->mmio,
        .sink = &vm->end.sink,
        .exited = vm_end_vcpu_exited,
        .argument = &vm->end,
    };
    struct x86_cpuid_config cpuid_config = { .cpu_index = index,
                                             .cpu_count = vm->options->cpus,
                                             .tsc_deadline = kvm_has_tsc_deadline(vm->kvm) };
    int result = vcpu_create(vm->kvm, &config, &vm->vcpus[index], err);

    if (result < 0)
        return result;
    vm->vcpu_count++;
    result = x86_cpuid_adjust(cpuid, capacity, &cpuid_config);
    if (result == 0)
        result = vcpu_set_cpuid(vm->vcpus[index], cpuid);
    if (result < 0)
        return error_set(err, result, "KVM refuses vCPU %u's CPUID: %s", index, strerror(-result));
    return vcpu_set_power_on_state(vm->vcpus[index], err);
}

static int create_vcpus(struct vm *vm, struct error *err)
{
    CLEANUP_FREE struct kvm_cpuid2 *cpuid = NULL;
    unsigned capacity;
    int result;

    if (vm->options->cpus > kvm_max_vcpus(vm->kvm))
        return error_set(err, -EINVAL, "--cpus %u is more than this host's KVM allows (%u)",
                         vm->options->cpus, kvm_max_vcpus(vm->kvm));
    result = kvm_supported_cpuid(vm->kvm, &cpuid, &capacity);
    if (result < 0)
        return error_set(err, result, "KVM does not say which CPUID it supports: %s", strerror(-result));
    /* One table serves all: each adjustment overwrites what the one before set. */
    for (unsigned i = 0; i < vm->options->cpus; i++) {
        result = create_vcpu(vm, i, cpuid, capacity, err);
        if (result < 0)
            return result;
    }
    vm->end.vcpus = vm->vcpus;
    vm->end.vcpu_count = vm->vcpu_count;
    return 0;
}

static int load_guest(struct vm *vm, struct error *err)
{
    struct x86_boot_state state = { 0 };
    int result = vcpu_get_sregs(vm->vcpus[0], &state.sregs);

    if (result < 0)
        return error_set(err, result, "KVM does not tell a vCPU's registers: %s", strerror(-result));
    result = boot_load(vm->options, &vm->plan, vm->memory, &state, err);
    if (result < 0)
        return result;
    result = vcpu_set_registers(vm->vcpus[0], &state.regs, &state.sregs);
    return result < 0 ? error_set(err, result, "KVM refuses the boot CPU's registers: %s", strerror(-result))
                      : 0;
}

static int vm_build(struct vm *vm, struct error *err)
{
    static const struct {
        int (*make)(struct vm *vm, struct error *err);
    } steps[] = {
        { open_loop },         /* everything below does its I/O there */
        { create_memory },     /* devices reach into it */
        { create_hypervisor }, /* memory, doorbells and lines are bound to it */
        { open_console },      /* the serial port writes to it */
        { create_board },      { create_devices }, { create_vcpus },
        { load_guest }, /* last: everything it describes exists, and a mistake before cost no unpacking */
    };
    int result = machine_plan_make(vm->options, &vm->plan, err);

    if (result == 0)
        result = named_files_check(vm->options, err);
    for (size_t i = 0; i < ARRAY_SIZE(steps) && result == 0; i++)
        result = steps[i].make(vm, err);
    if (result < 0)
        return result;
    bus_freeze(vm->ports);
    bus_freeze(vm->mmio);
    vm->end.slots = vm->slots;
    vm->end.slot_count = vm->slot_count;
    return 0;
}

static void vm_destroy(struct vm *vm)
{
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        vcpu_destroy(vm->vcpus[i]);
    for (unsigned i = 0; i < vm->slot_count; i++)
        mmio_slot_destroy(vm->slots[i]);
    serial_destroy(vm->serial);
    bus_destroy(vm->mmio);
    bus_destroy(vm->ports);
    char_backend_destroy(vm->console);
    if (vm->hypervisor)
        vm->hypervisor->ops->destroy(vm->hypervisor);
    guest_memory_destroy(vm->memory);
    loop_destroy(vm->loop);
    vm_end_finish(&vm->end);
}

static void report_lost_output(const struct char_backend *console)
{
    unsigned long long lost = console_dropped(console);
    int reason = console_write_error(console);

    if (!lost)
        return;
    if (reason && reason != -EPIPE)
        log_warning("%llu bytes of console output are lost: %s", lost, strerror(-reason));
    else
        log_warning("%llu bytes of console output found no reader", lost);
}

static void report_device(struct mmio_slot *slot)
{
    char text[256];

    if (mmio_slot_report(slot, text, sizeof(text)))
        log_info("%s", text);
}

/* Say what no exit status can. */
static void report_end(const struct vm *vm)
{
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        if (*vcpu_last_words(vm->vcpus[i]))
            log_error("%s", vcpu_last_words(vm->vcpus[i]));
    }
    report_lost_output(vm->console);
    for (unsigned i = 0; i < vm->slot_count; i++)
        report_device(vm->slots[i]);
    switch (vm->end.reason) {
    case STOP_TIMEOUT:
        log_warning("the time given with --timeout ran out");
        break;
    case STOP_RESET:
        log_info("the guest asked for a reset");
        break;
    case STOP_HOST_FAILURE:
        log_error("the host failed the VM: %s", strerror(-vm->end.value));
        break;
    default:
        break;
    }
}

static int vm_start(struct vm *vm, struct error *err)
{
    vm_end_start(&vm->end, vm->options->timeout);
    for (unsigned i = 0; i < vm->slot_count; i++)
        mmio_slot_start(vm->slots[i]);
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
    int status;

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
            report_end(&vm);
    }
    status = result < 0 ? result : exit_status_of(vm.end.reason, vm.end.value);
    vm_destroy(&vm);
    return status;
}
