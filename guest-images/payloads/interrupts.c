/* SPDX-License-Identifier: Apache-2.0 */
/* interrupts.c - see interrupts.h. */
#include "interrupts.h"

#include "payload.h"

#define IOAPIC               0xfec00000u
#define LOCAL_APIC           0xfee00000u
#define APIC_SPURIOUS        0xf0
#define PIC_PRIMARY          0x20
#define PIC_PRIMARY_MASK     0x21
#define PIC_SECONDARY_MASK   0xa1
#define APIC_SOFTWARE_ENABLE 0x100

struct gate {
    uint16_t offset_low, selector, attributes, offset_middle;
    uint32_t offset_high, reserved;
};

volatile uint32_t interrupt_count;

static struct gate idt[256];

void interrupt_entry(void);
__asm__(".globl interrupt_entry\n"
        "interrupt_entry:\n"
        "    push %rax\n"
        "    incl interrupt_count(%rip)\n"
        "    mov $0xfee000b0, %eax\n" /* the local APIC's end-of-interrupt register */
        "    movl $0, (%rax)\n"
        "    pop %rax\n"
        "    iretq\n");

static void set_gate(void)
{
    uintptr_t entry = (uintptr_t)interrupt_entry;
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) pointer = { sizeof(idt) - 1, (uintptr_t)idt };

    idt[LINE_VECTOR].offset_low = (uint16_t)entry;
    idt[LINE_VECTOR].selector = 0x10;
    idt[LINE_VECTOR].attributes = 0x8e00; /* present, interrupt gate */
    idt[LINE_VECTOR].offset_middle = (uint16_t)(entry >> 16);
    idt[LINE_VECTOR].offset_high = 0;
    __asm__ volatile("lidt %0" : : "m"(pointer));
}

void interrupts_enable_pic_line(unsigned irq)
{
    set_gate();
    out8(PIC_PRIMARY, 0x11); /* ICW1: edge, cascade, ICW4 follows */
    out8(PIC_PRIMARY_MASK, (uint8_t)(LINE_VECTOR - irq));
    out8(PIC_PRIMARY_MASK, 0x04); /* ICW3: a PIC on line 2 */
    out8(PIC_PRIMARY_MASK, 0x03); /* ICW4: 8086, automatic end of interrupt */
    out8(PIC_PRIMARY_MASK, (uint8_t) ~(1u << irq));
    out8(PIC_SECONDARY_MASK, 0xff);
    __asm__ volatile("sti");
}

void interrupts_enable_line(unsigned gsi)
{
    set_gate();
    /* The PICs hang on the local APIC's LINT0, with the PIT on their first line: quiet. */
    out8(PIC_PRIMARY_MASK, 0xff);
    out8(PIC_SECONDARY_MASK, 0xff);
    mmio_write32(LOCAL_APIC + APIC_SPURIOUS, APIC_SOFTWARE_ENABLE | 0xff);
    mmio_write32(IOAPIC, 0x10 + 2 * gsi + 1);
    mmio_write32(IOAPIC + 0x10, 0); /* to APIC id 0 */
    mmio_write32(IOAPIC, 0x10 + 2 * gsi);
    mmio_write32(IOAPIC + 0x10, LINE_VECTOR); /* fixed, edge, active high, unmasked */
    __asm__ volatile("sti");
}

void interrupts_wait(uint32_t seen)
{
    for (;;) {
        __asm__ volatile("cli" : : : "memory");
        if (interrupt_count != seen)
            break;
        __asm__ volatile("sti\n\thlt" : : : "memory"); /* nothing can come between the two */
    }
    __asm__ volatile("sti" : : : "memory");
}
