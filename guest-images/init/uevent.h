/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uevent.h - waiting for devices: the kernel says on a netlink socket when one appears or changes.
 */
#ifndef RINGLET_GUEST_UEVENT_H
#define RINGLET_GUEST_UEVENT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Wait until `is_there` says so. It is asked at once and after every event, and makes what it likes of `argument`.
 * False when the deadline (deadline.h) has passed. Where the kernel has no such socket, it is asked a few times a
 * second instead.
 */
bool uevent_wait(bool (*is_there)(void *argument), void *argument, int64_t deadline);

#endif
