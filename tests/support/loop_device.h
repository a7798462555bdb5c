/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_device.h - a block device made of a file, where the host lets us have one.
 */
#ifndef RINGLET_TEST_LOOP_DEVICE_H
#define RINGLET_TEST_LOOP_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#define LOOP_DEVICE_NAME_SIZE 32

/* Make one of `image`, in blocks of `block_size` bytes. False, and an empty name, where there is none to be had. */
bool loop_device_attach(const char *image, uint32_t block_size, char ret_device[LOOP_DEVICE_NAME_SIZE]);

/* Nothing to do for an empty name. */
void loop_device_detach(const char *device);

#endif
