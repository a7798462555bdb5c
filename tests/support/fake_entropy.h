/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_entropy.h - a source of "random" bytes that answers when the test says so, with bytes the test
 * chooses.
 *
 * fake_entropy_complete() and _fail() call the device's done(), so the test holds the device's lock around
 * them (guest_driver_enter() and _leave()).
 */
#ifndef RINGLET_TEST_FAKE_ENTROPY_H
#define RINGLET_TEST_FAKE_ENTROPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ringlet/entropy_backend.h"

struct fake_entropy {
    struct entropy_backend backend;
    struct io_client *client; /* from attach() */
    bool destroyed;
    unsigned submits;
    struct entropy_request *pending; /* NULL: none */
};

void fake_entropy_init(struct fake_entropy *entropy);

/* Bytes that the pending request asks for. */
size_t fake_entropy_wanted(const struct fake_entropy *entropy);
/* Fill up to `length` bytes with `byte` and report how many. */
void fake_entropy_complete(struct fake_entropy *entropy, uint8_t byte, size_t length);
/* Report `error` (negative), nothing filled. */
void fake_entropy_fail(struct fake_entropy *entropy, int error);

#endif
