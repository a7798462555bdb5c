/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu.h - one virtual CPU: its KVM descriptor, its kvm_run page, its thread.
 *
 * The thread runs the guest and turns its exits into bus accesses. It ends when it is asked to, or after it
 * has asked the stop sink to end the machine; either way it then calls `exited`.
 *
 * create, the state setters, destroy: the building thread. vcpu_stop(): any thread.
 */
#ifndef RINGLET_VCPU_H
#define RINGLET_VCPU_H

#include <linux/kvm.h>
#include <stdbool.h>

struct bus;
struct error;
struct kvm;
struct stop_sink;
struct vcpu;

struct vcpu_config {
    unsigned index; /* = APIC id; 0 is the boot CPU, the others wait for its INIT and SIPI */
    struct bus *ports;
    struct bus *mmio;
    struct stop_sink *sink;
    void (*exited)(void *argument); /* vCPU thread, its last act */
    void *argument;
};

/* Borrows everything in *config. 0 or -errno with *err. */
int vcpu_create(struct kvm *kvm, const struct vcpu_config *config, struct vcpu **ret_vcpu, struct error *err);

/* The thread has been joined or never started. NULL is fine. */
void vcpu_destroy(struct vcpu *vcpu);

int vcpu_set_cpuid(struct vcpu *vcpu, const struct kvm_cpuid2 *cpuid);
int vcpu_get_sregs(struct vcpu *vcpu, struct kvm_sregs *ret_sregs);
int vcpu_set_registers(struct vcpu *vcpu, const struct kvm_regs *regs, const struct kvm_sregs *sregs);

/*
 * What firmware leaves behind in every CPU: MTRRs on with write-back as default, fast strings, the local
 * APIC's LINT0 as ExtINT (the PICs) and LINT1 as NMI. After vcpu_set_cpuid(). 0 or -errno with *err.
 */
int vcpu_set_power_on_state(struct vcpu *vcpu, struct error *err);

/* Start the thread. 0 or -errno. */
int vcpu_start(struct vcpu *vcpu);

/* Ask the thread to end, wherever it is in the guest. */
void vcpu_stop(struct vcpu *vcpu);

/* Wait for the thread's end; at once if it was never started. */
void vcpu_join(struct vcpu *vcpu);

/*
 * After vcpu_join(): what KVM said when it could not go on, or when the guest crashed; "" otherwise.
 */
const char *vcpu_last_words(const struct vcpu *vcpu);

#endif
