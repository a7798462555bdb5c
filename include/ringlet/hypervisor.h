/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hypervisor.h - what the board needs of whatever runs the guest's instructions.
 *
 * Implementations: src/kvm/ and tests/support/fake_hypervisor.c. Everything here is called while the VM is
 * built, on one thread; vCPUs have their own header.
 */
#ifndef RINGLET_HYPERVISOR_H
#define RINGLET_HYPERVISOR_H

#include <stdint.h>

struct error;
struct hypervisor;
struct irq_line;

struct hypervisor_ops {
    /* required: guest-physical [base, base + size) is `host`; page-aligned; borrowed until destroy */
    int (*map_memory)(struct hypervisor *hypervisor, uint64_t base, void *host, uint64_t size);
    /* required: an edge-triggered line; owned by the hypervisor, lives until destroy */
    int (*create_irq_line)(struct hypervisor *hypervisor, uint32_t gsi, struct irq_line **ret_line);
    /*
     * required: a 4-byte write of `value` to MMIO `address` signals `eventfd` and does not exit. -ENOSYS
     * where that is not to be had: the write then arrives on the bus as any other.
     */
    int (*bind_doorbell)(struct hypervisor *hypervisor, uint64_t address, uint32_t value, int eventfd);
    /* required */
    void (*destroy)(struct hypervisor *hypervisor);
};

struct hypervisor {
    const struct hypervisor_ops *ops;
};

#endif
