/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm_build.c - the machine, whole: vm_build() lists every part in the order it is made, vm_destroy() takes them
 * apart in reverse.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arch/x86/layout.h"
#include "boot.h"
#include "events.h"
#include "guest_channel.h"
#include "mmio_slot.h"
#include "named_files.h"
#include "pidfile.h"
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
#include "vm_parts.h"

#define KVM_DEVICE   "/dev/kvm"
#define LOOP_ENTRIES 1024

/* An initrd with the init of guest-images/init/, in builtin_guest_init.S. */
extern const char guest_init_archive[], guest_init_archive_end[];

static int open_events(struct vm *vm, struct error *err)
{
    const struct event_member members[] = {
        { .name = "version", .text = RINGLET_VERSION },
        { .name = "pid", .number = getpid() },
        { .name = "command", .text = vm->options->command == COMMAND_EXEC ? "exec" : "run" },
        { .name = "name", .text = vm->options->name },
    };
    int result;

    if (!vm->options->events)
        return 0;
    result = events_open(vm->options->events, &vm->events, err);
    if (result == 0)
        events_say(vm->events, EVENT_STARTED, members, ARRAY_SIZE(members) - !vm->options->name);
    return result;
}

static int open_loop(struct vm *vm, struct error *err)
{
    struct error reason = { 0 };
    int result = loop_create(vm->options->engine, LOOP_ENTRIES, &vm->loop, &reason);

    if (result < 0)
        return error_set(err, result, "%s", reason.text);
    if (*reason.text)
        log_warning("%s; using threads instead", reason.text);
    vm->end.loop = vm->loop;
    vm->backends = loop_backends_make(vm->loop, &vm->end.sink, vm->end.interrupt_fd);
    events_attach(vm->events, vm->loop);
    return 0;
}

/* With exec the console is nobody's business until the guest dies; then its last lines are told. */
static int open_console_of(struct vm *vm, struct error *err)
{
    struct console_options options = {
        .kind = vm->options->console,
        .path = vm->options->console_path,
        .stop = &vm->end.sink,
    };

    if (vm->options->command == COMMAND_EXEC && !vm->options->console_given) {
        options.kind = CONSOLE_MEMORY;
        if (vm->options->verbosity >= LOG_LEVEL_INFO)
            return console_open_streams(vm->loop, &options, -1, STDERR_FILENO, &vm->console, err);
    }
    return console_open(vm->loop, &options, &vm->console, err);
}

static int open_console(struct vm *vm, struct error *err)
{
    int result = open_console_of(vm, err);

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

static int open_channel(struct vm *vm, struct error *err)
{
    int result;

    if (vm->options->command != COMMAND_EXEC)
        return 0;
    result = guest_channel_open(vm->loop, vm->options, &vm->end.sink, vm->events, &vm->channel, err);
    vm->end.channel = vm->channel;
    return result;
}

/* Does another process work on guest RAM? */
static bool shares_memory(const struct run_options *options)
{
    for (unsigned i = 0; i < options->device_count; i++) {
        if (options->devices[i].type->shares_memory)
            return true;
    }
    return false;
}

static int create_memory(struct vm *vm, struct error *err)
{
    int result = shares_memory(vm->options) ? guest_memory_create_shared(&vm->memory)
                                            : guest_memory_create(&vm->memory);

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

/* Device `index` of the plan as the options ask for it, or the last one, exec's own. */
static int create_device(struct vm *vm, unsigned index, struct virtio_device **ret_device, struct error *err)
{
    const struct device_request *request = &vm->options->devices[index];
    struct device_environment environment = { .memory = vm->memory, .backends = &vm->backends.provider };

    if (index == vm->options->device_count)
        return guest_channel_create_device(vm->channel, vm->memory, ret_device, err);
    environment.name = request->name;
    return request->type->create(&request->argument, &environment, ret_device, err);
}

static int create_devices(struct vm *vm, struct error *err)
{
    for (unsigned i = 0; i < vm->plan.virtio_count; i++) {
        struct virtio_device *device;
        int result = create_device(vm, i, &device, err);

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
    struct boot_images images = { .kernel = vm->options->kernel, .initrd = vm->options->initrd };
    struct x86_boot_state state = { 0 };
    int result = vcpu_get_sregs(vm->vcpus[0], &state.sregs);

    if (result < 0)
        return error_set(err, result, "KVM does not tell a vCPU's registers: %s", strerror(-result));
    if (!images.kernel) {
        images.kernel = vm->guest.kernel;
        images.initrd = images.initrd ? images.initrd : vm->guest.initrd;
    }
    if (vm->options->command == COMMAND_EXEC) {
        images.prefix = guest_init_archive;
        images.prefix_size = (size_t)(guest_init_archive_end - guest_init_archive);
    }
    result = boot_load(vm->options, &images, &vm->plan, vm->memory, &state, err);
    if (result < 0)
        return result;
    events_say(vm->events, EVENT_KERNEL_LOADED,
               &(struct event_member){ .name = "kernel", .text = images.kernel }, 1);
    result = vcpu_set_registers(vm->vcpus[0], &state.regs, &state.sregs);
    return result < 0 ? error_set(err, result, "KVM refuses the boot CPU's registers: %s", strerror(-result))
                      : 0;
}

static int write_pidfile(struct vm *vm, struct error *err)
{
    return vm->options->pidfile ? pidfile_write(vm->options->pidfile, &vm->pidfile, err) : 0;
}

int vm_prepare(struct vm *vm, struct error *err)
{
    int result = machine_plan_make(vm->options, &vm->plan, err);

    /* What can be seen to be wrong without opening anything. */
    if (result == 0)
        result = named_files_check(vm->options, err);
    if (result == 0 && !vm->options->kernel)
        result = default_guest_find(RINGLET_DATADIR "/guest-images/default", vm->options->timeout, &vm->guest,
                                    err);
    return result;
}

int vm_build(struct vm *vm, struct error *err)
{
    static const struct {
        int (*make)(struct vm *vm, struct error *err);
    } steps[] = {
        { open_events },       /* from here on whoever listens hears of a failure */
        { open_loop },         /* everything below does its I/O there */
        { create_memory },     /* devices reach into it */
        { create_hypervisor }, /* memory, doorbells and lines are bound to it */
        { open_console },      /* the serial port writes to it */
        { open_channel },      /* a console device stands before it */
        { create_board },      { create_devices }, { create_vcpus },
        { load_guest },    /* late: everything it describes exists, and a mistake before cost no unpacking */
        { write_pidfile }, /* last: whoever sees it can count on the machine */
    };
    int result = 0;

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

void vm_destroy(struct vm *vm)
{
    /* First of all: it may run the loop once more, for a reader that is slow. */
    events_close(vm->events);
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        vcpu_destroy(vm->vcpus[i]);
    for (unsigned i = 0; i < vm->slot_count; i++)
        mmio_slot_destroy(vm->slots[i]);
    serial_destroy(vm->serial);
    bus_destroy(vm->mmio);
    bus_destroy(vm->ports);
    guest_channel_destroy(vm->channel);
    char_backend_destroy(vm->console);
    if (vm->hypervisor)
        vm->hypervisor->ops->destroy(vm->hypervisor);
    guest_memory_destroy(vm->memory);
    loop_destroy(vm->loop);
    vm_end_finish(&vm->end);
    pidfile_remove(vm->pidfile);
    default_guest_finish(&vm->guest);
}
