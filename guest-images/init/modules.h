/* SPDX-License-Identifier: Apache-2.0 */
/*
 * modules.h - loads the drivers that the initrd brought for a kernel that has them as modules.
 */
#ifndef RINGLET_GUEST_MODULES_H
#define RINGLET_GUEST_MODULES_H

struct report;

/*
 * /modules/NAME.ko one after the other, in the order of their names, as guest-images/stock/initrd arranges them; and
 * by modprobe, where there is one, what Ringlet's devices and the usual file systems need. A module that does not
 * load is complained of and left out: perhaps it is not needed.
 */
void modules_load(const struct report *report);

#endif
