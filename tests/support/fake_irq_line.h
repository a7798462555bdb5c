/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_irq_line.h - an interrupt line that counts.
 */
#ifndef RINGLET_TEST_FAKE_IRQ_LINE_H
#define RINGLET_TEST_FAKE_IRQ_LINE_H

#include <stdatomic.h>

#include "ringlet/irq_line.h"

struct fake_irq_line {
    struct irq_line line;
    atomic_uint raised; /* edges since the test last set it to 0 */
};

void fake_irq_line_init(struct fake_irq_line *fake);

#endif
