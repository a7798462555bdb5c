/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory_block.h - a disk in memory that finishes its requests when the test says so.
 *
 * Requests gather in the order submitted. The test finishes them, in any order, well or with an error; the
 * bytes move at that moment. A second array of bytes holds what is on "stable storage": FLUSH and BLOCK_FUA
 * bring it up to date, so that a test can ask what a power failure would leave.
 *
 * The functions that finish a request call the device's done(), so the test holds the device's lock around
 * them (guest_driver_enter() and _leave()).
 */
#ifndef RINGLET_TEST_MEMORY_BLOCK_H
#define RINGLET_TEST_MEMORY_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "ringlet/block_backend.h"

#define MEMORY_BLOCK_MAX_PENDING 4096

struct memory_block {
    struct block_backend backend;
    uint8_t *bytes;  /* info.capacity of them, as reads see them */
    uint8_t *stable; /* likewise: what survives a power failure */

    struct io_client *client; /* from attach() */
    bool destroyed;           /* the device let go of it; the storage stays until memory_block_finish() */
    unsigned submits[BLOCK_OP_COUNT];
    unsigned fua_submits;

    struct block_request *pending[MEMORY_BLOCK_MAX_PENDING];
    unsigned pending_count;
};

/* Borrowed storage; `bytes` and `stable` are allocated, zero. */
void memory_block_init(struct memory_block *disk, const struct block_info *info);
void memory_block_finish(struct memory_block *disk);

/* Submits so far, of all kinds. */
unsigned memory_block_submit_count(const struct memory_block *disk);

/* The request in place `index` of those pending, oldest first. */
const struct block_request *memory_block_pending(const struct memory_block *disk, unsigned index);
/* Do it and report success. */
void memory_block_complete(struct memory_block *disk, unsigned index);
void memory_block_complete_all(struct memory_block *disk);
/* Report `error` (negative), nothing done. */
void memory_block_fail(struct memory_block *disk, unsigned index, int error);

#endif
