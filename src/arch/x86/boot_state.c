/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_state.c - the first instruction's surroundings, as far as the boot protocols agree on them: the
 * command line, a GDT of flat segments, and the hidden parts of the segment registers, which must say what
 * the GDT says.
 */
#include "boot_state.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "layout.h"
#include "ringlet/error.h"
#include "ringlet/guest_memory.h"
#include "ringlet/util.h"

/* Segment types (SDM volume 3, 3.4.5.1 and 3.5). */
enum {
    SEGMENT_CODE_READ_ACCESSED = 0xb,
    SEGMENT_DATA_WRITE_ACCESSED = 0x3,
    SEGMENT_TSS_BUSY = 0xb, /* a system segment; VM entry wants it busy */
    SEGMENT_LDT = 0x2,
};

#define FLAT_LIMIT 0xffffffffu /* bytes */
#define TSS_LIMIT  0x67        /* the smallest TSS; nobody switches to it */

/* Bit positions in a segment descriptor (SDM volume 3, figure 3-8). */
enum descriptor_bit {
    DESCRIPTOR_LIMIT_LOW = 0,
    DESCRIPTOR_BASE_LOW = 16,
    DESCRIPTOR_TYPE = 40,
    DESCRIPTOR_S = 44,
    DESCRIPTOR_DPL = 45,
    DESCRIPTOR_P = 47,
    DESCRIPTOR_LIMIT_HIGH = 48,
    DESCRIPTOR_AVL = 52,
    DESCRIPTOR_L = 53,
    DESCRIPTOR_DB = 54,
    DESCRIPTOR_G = 55,
    DESCRIPTOR_BASE_HIGH = 56,
};

static_assert(LAYOUT_GDT + BOOT_GDT_SIZE <= LAYOUT_START_INFO, "the GDT ends before the start info");

static uint64_t descriptor_of(const struct kvm_segment *segment)
{
    uint64_t limit = segment->g ? segment->limit >> 12 : segment->limit;
    uint64_t base = segment->base;

    return (limit & 0xffff) << DESCRIPTOR_LIMIT_LOW | (base & 0xffffff) << DESCRIPTOR_BASE_LOW |
           (uint64_t)segment->type << DESCRIPTOR_TYPE | (uint64_t)segment->s << DESCRIPTOR_S |
           (uint64_t)segment->dpl << DESCRIPTOR_DPL | (uint64_t)segment->present << DESCRIPTOR_P |
           (limit >> 16 & 0xf) << DESCRIPTOR_LIMIT_HIGH | (uint64_t)segment->avl << DESCRIPTOR_AVL |
           (uint64_t)segment->l << DESCRIPTOR_L | (uint64_t)segment->db << DESCRIPTOR_DB |
           (uint64_t)segment->g << DESCRIPTOR_G | (base >> 24 & 0xff) << DESCRIPTOR_BASE_HIGH;
}

int boot_set_segments(const struct guest_memory *memory, enum boot_code_size code_size,
                      struct kvm_sregs *sregs)
{
    bool long_mode = code_size == BOOT_CODE_64;
    const struct kvm_segment code = {
        .limit = FLAT_LIMIT,
        .selector = BOOT_CS,
        .type = SEGMENT_CODE_READ_ACCESSED,
        .present = 1,
        .db = !long_mode,
        .s = 1,
        .l = long_mode,
        .g = 1,
    };
    const struct kvm_segment data = {
        .limit = FLAT_LIMIT,
        .selector = BOOT_DS,
        .type = SEGMENT_DATA_WRITE_ACCESSED,
        .present = 1,
        .db = 1,
        .s = 1,
        .g = 1,
    };
    const struct kvm_segment task = {
        .limit = TSS_LIMIT,
        .selector = BOOT_TSS,
        .type = SEGMENT_TSS_BUSY,
        .present = 1,
    };
    uint64_t gdt[BOOT_GDT_SIZE / sizeof(uint64_t)] = {
        [BOOT_CS / sizeof(uint64_t)] = descriptor_of(&code),
        [BOOT_DS / sizeof(uint64_t)] = descriptor_of(&data),
        [BOOT_TSS / sizeof(uint64_t)] = descriptor_of(&task),
    };
    int result = guest_memory_write(memory, LAYOUT_GDT, gdt, sizeof(gdt));

    if (result < 0)
        return result;
    sregs->cs = code;
    sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
    sregs->tr = task;
    sregs->ldt = (struct kvm_segment){ .type = SEGMENT_LDT, .unusable = 1 };
    sregs->gdt = (struct kvm_dtable){ .base = LAYOUT_GDT, .limit = sizeof(gdt) - 1 };
    /* No handlers yet: an exception before the kernel has its own table is a triple fault, and ends the
     * machine. */
    sregs->idt = (struct kvm_dtable){ .base = 0, .limit = 0 };
    return 0;
}

int x86_boot_write(const struct guest_memory *memory, const struct x86_boot *boot,
                   struct x86_boot_state *state, struct error *err)
{
    const struct x86_kernel *kernel = boot->kernel;
    const char *command_line = boot->command_line ? boot->command_line : "";
    size_t length = strlen(command_line), max = LAYOUT_COMMAND_LINE_SIZE - 1;
    int result;

    /* Ours, not the user's: whoever placed these had the kernel's extent at hand. */
    assert(!boot->initrd_size || boot->initrd_address >= kernel->end ||
           boot->initrd_address + boot->initrd_size <= kernel->start);
    assert(!boot->fdt_address || boot->fdt_address >= kernel->end || boot->fdt_address < kernel->start);

    if (kernel->command_line_max < max)
        max = kernel->command_line_max;
    if (length > max)
        return error_set(err, -E2BIG, "the kernel command line has %zu bytes, but this kernel reads only %zu",
                         length, max);
    result = guest_memory_write(memory, LAYOUT_COMMAND_LINE, command_line, length + 1);
    if (result == 0 && kernel->protocol == BOOT_PROTOCOL_PVH)
        result = boot_write_pvh(memory, boot, state);
    else if (result == 0)
        result = boot_write_linux64(memory, boot, state);
    if (result < 0)
        return error_set(err, result,
                         "the VM's memory is too small for the boot structures in its first MiB");
    return 0;
}
