/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_hypervisor.h - a hypervisor that runs nothing: it notes what is asked of it, and fails when told to.
 *
 * A test plays the guest by writing to a doorbell's eventfd, as KVM would, and reads off the lines how often
 * they were raised. It belongs to the test: destroy() is only noted.
 */
#ifndef RINGLET_TEST_FAKE_HYPERVISOR_H
#define RINGLET_TEST_FAKE_HYPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "fake_irq_line.h"
#include "ringlet/hypervisor.h"

#define FAKE_HYPERVISOR_MAX_MEMORY    8
#define FAKE_HYPERVISOR_MAX_LINES     24
#define FAKE_HYPERVISOR_MAX_DOORBELLS 64

struct fake_hypervisor {
    struct hypervisor hypervisor;

    /* how it behaves; set by the test */
    bool without_doorbells; /* bind_doorbell() is -ENOSYS, as without KVM_CAP_IOEVENTFD */
    int memory_error;       /* what map_memory() returns instead of 0 */
    int line_error;         /* likewise create_irq_line() */
    int doorbell_error;     /* likewise bind_doorbell(), from call number doorbell_error_at on */
    unsigned doorbell_error_at;

    /* what was asked of it */
    struct {
        uint64_t base, size;
        void *host;
    } memory[FAKE_HYPERVISOR_MAX_MEMORY];
    unsigned memory_count;

    struct fake_irq_line lines[FAKE_HYPERVISOR_MAX_LINES]; /* by GSI */
    bool line_created[FAKE_HYPERVISOR_MAX_LINES];

    struct {
        uint64_t address;
        uint32_t value;
        int eventfd; /* borrowed */
    } doorbells[FAKE_HYPERVISOR_MAX_DOORBELLS];
    unsigned doorbell_count;
    bool destroyed;
};

void fake_hypervisor_init(struct fake_hypervisor *fake);

/*
 * The guest writes `value` to `address`: signals the eventfd bound to both. False where none is, i.e. where
 * the write would exit to the bus.
 */
bool fake_hypervisor_guest_write(struct fake_hypervisor *fake, uint64_t address, uint32_t value);

#endif
