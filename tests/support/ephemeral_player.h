/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ephemeral_player.h - an ephemeral disk over a real image, in a folder of its own, and another folder that is TMPDIR
 * meanwhile. When a test ends nothing may be left in either.
 */
#ifndef RINGLET_TEST_EPHEMERAL_PLAYER_H
#define RINGLET_TEST_EPHEMERAL_PLAYER_H

#include <stdbool.h>
#include <stdint.h>

#include "disk_player.h"
#include "loop_device.h"
#include "ringlet/util.h"

#define EPHEMERAL_SIZE (1 * MIB) /* of the image */

struct ephemeral_fixture {
    struct disk_player player;
    char directory[64];
    char temporary[64]; /* TMPDIR meanwhile */
    char path[96];
    char device[LOOP_DEVICE_NAME_SIZE]; /* a loop device on `path`; empty if there is none */
    bool mounted;                       /* `directory` is a tmpfs that the test has mounted */
    char *tmpdir;                       /* as it was */
};

/* For cmocka: *state is a struct ephemeral_fixture. */
int ephemeral_set_up_io_uring(void **state);
int ephemeral_set_up_threads(void **state);
int ephemeral_tear_down(void **state);

/* A row of a test table for each engine. */
#define ON_BOTH(test)                                                                                        \
    { #test " [io_uring]", test, ephemeral_set_up_io_uring, ephemeral_tear_down, NULL },                     \
    {                                                                                                        \
#test " [threads]", test, ephemeral_set_up_threads, ephemeral_tear_down, NULL                        \
    }
#define ON_ONE(test) cmocka_unit_test_setup_teardown(test, ephemeral_set_up_threads, ephemeral_tear_down)

/* An image of bytes that tell where they belong. */
void ephemeral_make_image(struct ephemeral_fixture *fixture);
uint8_t ephemeral_image_byte(uint64_t at);
void ephemeral_assert_image_untouched(const struct ephemeral_fixture *fixture);

/* Open and attach, `path` being the image's unless it is given, or fail the test with the sentence. */
void ephemeral_open(struct ephemeral_fixture *fixture, struct block_file_options options);

/* The descriptor of a nameless file of ours in `folder`, or -1. */
int ephemeral_file_in(const char *folder);

/* Fill a range; all of it is read as `byte`, or where that is negative as the image's. */
void ephemeral_write(struct ephemeral_fixture *fixture, uint64_t offset, uint64_t length, uint8_t byte);
void ephemeral_assert_reads(struct ephemeral_fixture *fixture, uint64_t offset, uint64_t length, int byte);

/* Names in `folder`. */
unsigned ephemeral_count_names(const char *folder);

#endif
