/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scratch.h - a folder of a test's own, and other people's tools run in it: a second opinion on what we emit.
 */
#ifndef RINGLET_TESTS_SCRATCH_H
#define RINGLET_TESTS_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>

#define SCRATCH_PATH_SIZE 256

struct scratch {
    char path[SCRATCH_PATH_SIZE];
};

/* For cmocka_unit_test_setup_teardown(): *state is a struct scratch, gone afterwards with all files in it. */
int scratch_set_up(void **state);
int scratch_tear_down(void **state);

/* Each fails the test when the host refuses. */
void scratch_write(const struct scratch *scratch, const char *name, const void *bytes, size_t length);
/* malloc'ed, with a terminator behind the *ret_length bytes (ret_length may be NULL). */
void *scratch_read(const struct scratch *scratch, const char *name, size_t *ret_length);

/* Is there such a program on PATH? */
bool tool_present(const char *name);

/*
 * Run `arguments` (NULL-terminated) in the folder. Its stdout and stderr go to `output` (malloc'ed,
 * terminated, never NULL). Returns the exit status, or 128 + signal.
 */
int tool_run(const struct scratch *scratch, const char *const arguments[], char **ret_output);

#endif
