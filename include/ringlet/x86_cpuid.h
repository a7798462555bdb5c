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
    unsigned cpu_count; /* 1 .. 32: one socket, one thread a core */
    bool tsc_deadline;  /* KVM_CAP_TSC_DEADLINE_TIMER */
};

/*
 * Adjust, in place, the leaves that KVM_GET_SUPPORTED_CPUID leaves to us: 1 (APIC id, logical processor count,
 * hypervisor bit, x2APIC, TSC deadline), 4 and 0x8000001d (cache sharing), 0xb and 0x1f (x2APIC topology),
 * 0x80000008 (core count), 0x8000001e (AMD topology). Leaves that are missing and needed (0xb) are added; `cpuid` has room for
 * `capacity` entries. 0 or -E2BIG.
 */
int x86_cpuid_adjust(struct kvm_cpuid2 *cpuid, unsigned capacity, const struct x86_cpuid_config *config);

#endif
