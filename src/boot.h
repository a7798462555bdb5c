/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.h - from files to a machine that can take its first step: kernel, initrd, firmware tables and command
 * line into guest RAM, in the one order in which each knows where the others lie.
 */
#ifndef RINGLET_BOOT_H
#define RINGLET_BOOT_H

#include <stddef.h>

struct error;
struct guest_memory;
struct machine_plan;
struct run_options;
struct x86_boot_state;

/* What goes into guest RAM beside what we describe. Borrowed. */
struct boot_images {
    const char *kernel, *initrd; /* a path or "fd=N"; initrd may be NULL */
    const void *prefix;          /* an initrd of ours that comes before it (initrds concatenate) */
    size_t prefix_size;          /* 0: none */
};

/* *state comes with the reset state's special registers in it. 0 or -errno with *err. */
int boot_load(const struct run_options *options, const struct boot_images *images,
              const struct machine_plan *plan, const struct guest_memory *memory,
              struct x86_boot_state *state, struct error *err);

/* --dump-dtb and --dump-acpi: write the description of the machine. 0 or -errno with *err. */
int boot_dump(const struct run_options *options, const struct machine_plan *plan, struct error *err);

#endif
