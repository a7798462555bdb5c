/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvm.h - the hypervisor that /dev/kvm offers.
 *
 * What a host can do is asked of /dev/kvm, capability by capability, never of CPU flags. kvm_requirements()
 * is the list that kvm_create() insists on and that `ringlet doctor` shows.
 *
 * The interrupt controllers are KVM's (PICs, IOAPIC, local APICs), and so is the PIT, which a kernel without
 * kvm-clock or a TSC deadline timer calibrates against.
 */
#ifndef RINGLET_KVM_H
#define RINGLET_KVM_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

struct error;
struct hypervisor;
struct kvm;

struct kvm_requirement {
    int capability;      /* KVM_CAP_... */
    const char *name;    /* "KVM_CAP_IRQFD" */
    const char *purpose; /* what for, in a few words */
    bool required;       /* false: made use of when present */
};

/* All capabilities that this program uses; *ret_count gets their number. */
const struct kvm_requirement *kvm_requirements(unsigned *ret_count);

/*
 * Open the KVM device and check its API version. Returns the descriptor or -errno, with a sentence in *err
 * that names the mend (module not loaded, group kvm).
 */
int kvm_open_device(const char *path, struct error *err);

/* KVM_CHECK_EXTENSION: 0 when absent, else KVM's number. */
int kvm_capability(int device_fd, int capability);

/*
 * Where KVM may put the four pages of its own that it needs in the guest's address space on Intel hosts,
 * below 4 GiB and clear of RAM (api.rst: KVM_SET_IDENTITY_MAP_ADDR, KVM_SET_TSS_ADDR).
 */
struct kvm_own_pages {
    uint64_t identity_map; /* one page */
    uint64_t tss;          /* three */
};

/* A VM with its interrupt controllers. Takes over `device_fd` when it succeeds. */
int kvm_create(int device_fd, const struct kvm_own_pages *pages, struct kvm **ret_kvm, struct error *err);

/* The same as the contract (ringlet/hypervisor.h); ops->destroy ends it, after every vCPU is destroyed. */
struct hypervisor *kvm_hypervisor(struct kvm *kvm);

/* The most vCPUs one VM can have. */
unsigned kvm_max_vcpus(const struct kvm *kvm);

/* KVM_GET_SUPPORTED_CPUID into a table with room for *ret_capacity entries, malloc'ed. 0 or -errno. */
int kvm_supported_cpuid(const struct kvm *kvm, struct kvm_cpuid2 **ret_cpuid, unsigned *ret_capacity);

bool kvm_has_tsc_deadline(const struct kvm *kvm);

#endif
