/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86_cpuid.h - the CPUID answers of one vCPU: what KVM supports, made true for this machine.
 */
#ifndef RINGLET_X86_CPUID_H
#define RINGLET_X86_CPUID_H

#include <linux/kvm.h>
#include <stdbool.h>

struct x86_cpuid_config {
    unsigned cpu_index; /* = its x2APIC id */
    unsigned cpu_count; /* 1 .. X86_CPUID_CPU_MAX: one socket, one thread a core */
    bool tsc_deadline;  /* KVM_CAP_TSC_DEADLINE_TIMER */
    bool nested;        /* leave VMX and SVM to the guest as KVM offers them; else hide them */
};

#define X86_CPUID_CPU_MAX 32

/* Entries that x86_cpuid_adjust() may add: size `capacity` as KVM's count plus this. */
#define X86_CPUID_ADDED_MAX 7

/*
 * Adjust, in place, the leaves that KVM_GET_SUPPORTED_CPUID leaves to us: 1 (APIC id, logical processor
 * count, hypervisor bit, x2APIC, TSC deadline), 4 and 0x8000001d (cache sharing), 0xb and 0x1f (x2APIC
 * topology), 0x80000001, 0x80000008 and 0x8000001e (AMD topology). Leaves that are missing and needed (0xb,
 * with AMD 0x8000001e) are added, 0x80000026 is taken out; everything else, KVM's own leaves at 0x40000000
 * included, stays as KVM says. `cpuid` has room for `capacity` entries. 0; -E2BIG, or -EINVAL when leaf 0 or
 * 1 is missing, both with `cpuid` untouched.
 */
int x86_cpuid_adjust(struct kvm_cpuid2 *cpuid, unsigned capacity, const struct x86_cpuid_config *config);

#endif
