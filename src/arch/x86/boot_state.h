/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_state.h - what the two boot protocols share: flat segments, the GDT that holds them, and the task
 * register.
 */
#ifndef RINGLET_ARCH_X86_BOOT_STATE_H
#define RINGLET_ARCH_X86_BOOT_STATE_H

#include <linux/kvm.h>

#include "ringlet/x86_boot.h"

/* Selectors, the same for both protocols; boot.rst names the first two __BOOT_CS and __BOOT_DS. */
enum boot_selector {
    BOOT_CS = 0x10,
    BOOT_DS = 0x18,
    BOOT_TSS = 0x20, /* two slots: a 64-bit TSS descriptor is 16 bytes */
    BOOT_GDT_SIZE = 0x30,
};

enum boot_code_size {
    BOOT_CODE_32,
    BOOT_CODE_64,
};

/*
 * Flat segments, a busy TSS, no LDT and no IDT in *sregs, and the GDT to match at LAYOUT_GDT. Control
 * registers and EFER are the protocol's. 0 or -EFAULT.
 */
int boot_set_segments(const struct guest_memory *memory, enum boot_code_size code_size,
                      struct kvm_sregs *sregs);

/* The protocols: both expect the command line at LAYOUT_COMMAND_LINE. 0 or -EFAULT, *state untouched on
 * failure. */
int boot_write_linux64(const struct guest_memory *memory, const struct x86_boot *boot,
                       struct x86_boot_state *state);
int boot_write_pvh(const struct guest_memory *memory, const struct x86_boot *boot,
                   struct x86_boot_state *state);

#endif
