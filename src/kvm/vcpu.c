/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu.c - see ringlet/vcpu.h.
 *
 * Stopping without a race: vcpu_stop() sets kvm_run.immediate_exit and then sends the thread a signal whose
 * handler does nothing. If the thread is in the guest the signal brings it out; if it is about to enter, the
 * flag turns KVM_RUN around (api.rst, KVM_CAP_IMMEDIATE_EXIT). Either way `stopping` is seen before the next
 * entry.
 */
#include "ringlet/vcpu.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm_private.h"
#include "ringlet/bus.h"
#include "ringlet/error.h"
#include "ringlet/kvm.h"
#include "ringlet/stop.h"
#include "ringlet/util.h"

struct vcpu {
    struct vcpu_config config;
    int fd;
    struct kvm_run *run;
    size_t run_size;
    pthread_t thread;
    bool started;
    atomic_bool stopping;
    char last_words[256]; /* written by the thread, read after the join */
};

/* SDM 4.1: what a BIOS leaves in these registers */
#define MSR_IA32_MISC_ENABLE    0x1a0
#define MISC_ENABLE_FAST_STRING UINT64_C(1)
#define MSR_MTRR_DEF_TYPE       0x2ff
#define MTRR_DEF_TYPE_ENABLE    (UINT64_C(1) << 11)
#define MTRR_TYPE_WRITE_BACK    UINT64_C(6)

/* SDM 11.5.1: the local vector table */
#define APIC_LVT_LINT0   0x350
#define APIC_LVT_LINT1   0x360
#define APIC_MODE_MASK   0x700u
#define APIC_MODE_NMI    0x400u
#define APIC_MODE_EXTINT 0x700u
#define APIC_LVT_MASKED  0x10000u

static void kick_signal_handler(int signal)
{
    (void)signal; /* it only has to interrupt KVM_RUN */
}

/* A real-time signal that no library of ours uses. */
static int kick_signal(void)
{
    return SIGRTMIN;
}

int vcpu_create(struct kvm *kvm, const struct vcpu_config *config, struct vcpu **ret_vcpu, struct error *err)
{
    struct sigaction action = { .sa_handler = kick_signal_handler };
    struct vcpu *vcpu = calloc(1, sizeof(*vcpu));
    void *run;

    if (!vcpu)
        return error_set(err, -ENOMEM, "out of memory");
    vcpu->config = *config;
    vcpu->fd = kvm_ioctl_number(kvm->vm_fd, KVM_CREATE_VCPU, config->index);
    if (vcpu->fd < 0) {
        int code = vcpu->fd;

        free(vcpu);
        return error_set(err, code, "KVM refuses to create vCPU %u: %s", config->index, strerror(-code));
    }
    run = mmap(NULL, kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
    if (run == MAP_FAILED || sigaction(kick_signal(), &action, NULL) < 0) {
        int code = -errno;

        if (run != MAP_FAILED)
            munmap(run, kvm->run_size);
        close(vcpu->fd);
        free(vcpu);
        return error_set(err, code, "cannot set up vCPU %u: %s", config->index, strerror(-code));
    }
    vcpu->run = run;
    vcpu->run_size = kvm->run_size;
    *ret_vcpu = vcpu;
    return 0;
}

void vcpu_destroy(struct vcpu *vcpu)
{
    if (!vcpu)
        return;
    munmap(vcpu->run, vcpu->run_size);
    close(vcpu->fd);
    free(vcpu);
}

int vcpu_set_cpuid(struct vcpu *vcpu, const struct kvm_cpuid2 *cpuid)
{
    return kvm_ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
}

int vcpu_get_sregs(struct vcpu *vcpu, struct kvm_sregs *ret_sregs)
{
    return kvm_ioctl(vcpu->fd, KVM_GET_SREGS, ret_sregs);
}

int vcpu_set_registers(struct vcpu *vcpu, const struct kvm_regs *regs, const struct kvm_sregs *sregs)
{
    int result = kvm_ioctl(vcpu->fd, KVM_SET_SREGS, sregs);

    return result < 0 ? result : kvm_ioctl(vcpu->fd, KVM_SET_REGS, regs);
}

static void set_local_vector(struct kvm_lapic_state *lapic, unsigned offset, uint32_t mode)
{
    uint32_t value;

    memcpy(&value, lapic->regs + offset, sizeof(value));
    value = (value & ~(APIC_MODE_MASK | APIC_LVT_MASKED)) | mode;
    memcpy(lapic->regs + offset, &value, sizeof(value));
}

int vcpu_set_power_on_state(struct vcpu *vcpu, struct error *err)
{
    struct {
        struct kvm_msrs header;
        struct kvm_msr_entry entries[2];
    } msrs = {
        .header.nmsrs = 2,
        .entries = {
            { .index = MSR_IA32_MISC_ENABLE, .data = MISC_ENABLE_FAST_STRING },
            { .index = MSR_MTRR_DEF_TYPE, .data = MTRR_DEF_TYPE_ENABLE | MTRR_TYPE_WRITE_BACK },
        },
    };
    struct kvm_lapic_state lapic;
    int result;

    /* Returns how many were taken; a host without one of them has nothing to set there. */
    result = kvm_ioctl(vcpu->fd, KVM_SET_MSRS, &msrs);
    if (result < 0)
        return error_set(err, result, "KVM refuses the power-on MSRs: %s", strerror(-result));
    result = kvm_ioctl(vcpu->fd, KVM_GET_LAPIC, &lapic);
    if (result == 0) {
        set_local_vector(&lapic, APIC_LVT_LINT0, APIC_MODE_EXTINT);
        set_local_vector(&lapic, APIC_LVT_LINT1, APIC_MODE_NMI);
        result = kvm_ioctl(vcpu->fd, KVM_SET_LAPIC, &lapic);
    }
    if (result < 0)
        return error_set(err, result, "KVM refuses the local APIC's state: %s", strerror(-result));
    return 0;
}

/* An IN or OUT, perhaps with a REP prefix: `count` accesses of `size` bytes to one port. */
static void serve_port(struct vcpu *vcpu)
{
    const struct kvm_run *run = vcpu->run;
    unsigned size = run->io.size;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;

    for (uint32_t i = 0; i < run->io.count; i++, data += size) {
        uint64_t value = 0;

        if (run->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&value, data, size);
            bus_write(vcpu->config.ports, run->io.port, value, size);
        } else {
            bus_read(vcpu->config.ports, run->io.port, &value, size);
            memcpy(data, &value, size);
        }
    }
}

/*
 * An access that no memory slot takes. KVM cuts it into pieces of at most 8 bytes; a piece that is not a
 * power of two long (a page border inside it) is nobody's register.
 */
static void serve_mmio(struct vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;
    unsigned size = run->mmio.len;
    uint64_t value = 0;

    if (size > sizeof(run->mmio.data))
        return;
    if (run->mmio.is_write) {
        memcpy(&value, run->mmio.data, size);
        if (is_power_of_two(size))
            bus_write(vcpu->config.mmio, run->mmio.phys_addr, value, size);
        return;
    }
    if (is_power_of_two(size))
        bus_read(vcpu->config.mmio, run->mmio.phys_addr, &value, size);
    else
        value = UINT64_MAX;
    memcpy(run->mmio.data, &value, size);
}

__attribute__((format(printf, 4, 5))) static bool end_machine(struct vcpu *vcpu, enum stop_reason reason,
                                                              int value, const char *format, ...)
{
    struct kvm_regs regs = { 0 };
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(vcpu->last_words, sizeof(vcpu->last_words), format, arguments);
    va_end(arguments);
    if (length > 0 && (size_t)length < sizeof(vcpu->last_words) &&
        kvm_ioctl(vcpu->fd, KVM_GET_REGS, &regs) == 0)
        snprintf(vcpu->last_words + length, sizeof(vcpu->last_words) - (size_t)length,
                 " (vCPU %u at RIP 0x%llx, RSP 0x%llx)", vcpu->config.index, (unsigned long long)regs.rip,
                 (unsigned long long)regs.rsp);
    stop_request(vcpu->config.sink, reason, value);
    return false;
}

static bool serve_system_event(struct vcpu *vcpu)
{
    switch (vcpu->run->system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
        stop_request(vcpu->config.sink, STOP_POWEROFF, 0);
        return false;
    case KVM_SYSTEM_EVENT_RESET:
        stop_request(vcpu->config.sink, STOP_RESET, 0);
        return false;
    default:
        return end_machine(vcpu, STOP_TRIPLE_FAULT, 0, "the guest reported a crash");
    }
}

/* Serve one exit. False: this vCPU runs no more. */
static bool serve_exit(struct vcpu *vcpu)
{
    const struct kvm_run *run = vcpu->run;

    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        serve_port(vcpu);
        return true;
    case KVM_EXIT_MMIO:
        serve_mmio(vcpu);
        return true;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        return true;
    case KVM_EXIT_SHUTDOWN:
        return end_machine(vcpu, STOP_TRIPLE_FAULT, 0, "the guest crashed: triple fault");
    case KVM_EXIT_SYSTEM_EVENT:
        return serve_system_event(vcpu);
    case KVM_EXIT_FAIL_ENTRY:
        return end_machine(vcpu, STOP_INTERNAL_ERROR, 0, "KVM cannot enter the guest: hardware reason 0x%llx",
                           (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
    case KVM_EXIT_INTERNAL_ERROR:
        return end_machine(vcpu, STOP_INTERNAL_ERROR, 0, "KVM reports an internal error: %s (suberror %u)",
                           run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION
                               ? "an instruction it cannot emulate"
                               : "no more detail",
                           run->internal.suberror);
    default:
        return end_machine(vcpu, STOP_INTERNAL_ERROR, 0, "KVM reports exit %u, which means nothing to us",
                           run->exit_reason);
    }
}

static void *run_thread(void *argument)
{
    struct vcpu *vcpu = argument;
    char name[16];
    sigset_t kick;

    snprintf(name, sizeof(name), "vcpu%u", vcpu->config.index);
    pthread_setname_np(pthread_self(), name);
    sigemptyset(&kick);
    sigaddset(&kick, kick_signal());
    pthread_sigmask(SIG_UNBLOCK, &kick, NULL);

    while (!atomic_load_explicit(&vcpu->stopping, memory_order_acquire)) {
        if (ioctl(vcpu->fd, KVM_RUN, 0) < 0) {
            /* EAGAIN: an application processor that has not had its SIPI yet was interrupted. */
            if (errno == EINTR || errno == EAGAIN)
                continue;
            end_machine(vcpu, STOP_INTERNAL_ERROR, 0, "KVM_RUN fails: %s", strerror(errno));
            break;
        }
        if (!serve_exit(vcpu))
            break;
    }
    vcpu->config.exited(vcpu->config.argument);
    return NULL;
}

int vcpu_start(struct vcpu *vcpu)
{
    int result = pthread_create(&vcpu->thread, NULL, run_thread, vcpu);

    if (result)
        return -result;
    vcpu->started = true;
    return 0;
}

void vcpu_stop(struct vcpu *vcpu)
{
    atomic_store_explicit(&vcpu->stopping, true, memory_order_release);
    __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_RELEASE);
    if (vcpu->started)
        pthread_kill(vcpu->thread, kick_signal());
}

void vcpu_join(struct vcpu *vcpu)
{
    if (vcpu->started)
        pthread_join(vcpu->thread, NULL);
    vcpu->started = false;
}

const char *vcpu_last_words(const struct vcpu *vcpu)
{
    return vcpu->last_words;
}
