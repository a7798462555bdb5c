/* SPDX-License-Identifier: Apache-2.0 */
/*
 * irq_line.h - an interrupt line as a device sees it.
 *
 * Lines are edge-triggered: raising one is an event, not a state. A device never learns its number, nor
 * whether an irqfd or a test's counter stands behind it. (A level-triggered line would need a resample
 * eventfd; no device here wants one.)
 */
#ifndef RINGLET_IRQ_LINE_H
#define RINGLET_IRQ_LINE_H

struct irq_line;

struct irq_line_ops {
    void (*raise)(struct irq_line *line); /* required; any thread; never blocks */
};

struct irq_line {
    const struct irq_line_ops *ops;
};

static inline void irq_line_raise(struct irq_line *line)
{
    line->ops->raise(line);
}

#endif
