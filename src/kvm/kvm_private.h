/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvm_private.h - what kvm.c and vcpu.c share: the descriptors of one VM.
 */
#ifndef RINGLET_KVM_PRIVATE_H
#define RINGLET_KVM_PRIVATE_H

#include <stddef.h>

#include "ringlet/hypervisor.h"
#include "ringlet/irq_line.h"

struct kvm_irq_line {
    struct irq_line line;
    int irqfd; /* -1: not created */
};

#define KVM_IRQ_LINE_COUNT 24 /* the IOAPIC's pins */

struct kvm {
    struct hypervisor hypervisor;
    int device_fd;
    int vm_fd;
    size_t run_size; /* bytes of a vCPU's kvm_run mapping */
    unsigned memory_slots;
    struct kvm_irq_line lines[KVM_IRQ_LINE_COUNT];
};

/* ioctl(2) as 0-or-positive, or -errno; EINTR is tried again. */
int kvm_ioctl(int fd, unsigned long request, const void *argument);
int kvm_ioctl_number(int fd, unsigned long request, unsigned long number);

#endif
