/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.h - one virtual machine, from options to exit status.
 */
#ifndef RINGLET_VM_H
#define RINGLET_VM_H

struct error;
struct run_options;

/*
 * Build the machine, run it to its end, take it apart. Returns the process's exit status (exit_status.h), or
 * a -errno with *err when it could not be built.
 */
int vm_run(const struct run_options *options, struct error *err);

#endif
