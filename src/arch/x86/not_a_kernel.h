/* SPDX-License-Identifier: Apache-2.0 */
/*
 * not_a_kernel.h - what a file is that is neither a bzImage nor ELF, so that the refusal helps: people pass
 * kernels of other machines, initrds, disk images and packages where a kernel is wanted. (And the other way round:
 * x86_check_initrd() in ringlet/x86_kernel.h.)
 */
#ifndef RINGLET_ARCH_X86_NOT_A_KERNEL_H
#define RINGLET_ARCH_X86_NOT_A_KERNEL_H

#include <stddef.h>
#include <stdint.h>

struct error;

/* Always -ENOEXEC, with a sentence that names what the file looks like. */
int not_a_kernel(const uint8_t *file, size_t size, struct error *err);

#endif
