/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_irq_line.c - see fake_irq_line.h.
 */
#include "fake_irq_line.h"

#include "ringlet/util.h"

static void fake_irq_line_raise(struct irq_line *line)
{
    atomic_fetch_add(&container_of(line, struct fake_irq_line, line)->raised, 1);
}

static const struct irq_line_ops fake_irq_line_ops = {
    .raise = fake_irq_line_raise,
};

void fake_irq_line_init(struct fake_irq_line *fake)
{
    fake->line.ops = &fake_irq_line_ops;
    atomic_store(&fake->raised, 0);
}
