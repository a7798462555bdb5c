/* SPDX-License-Identifier: Apache-2.0 */
/*
 * error.h - a sentence for the person, beside the -errno for the code.
 *
 * Functions that fail for reasons a user can mend (a file, a flag, a permission) take a `struct error *`
 * and leave one sentence in it that names the thing and the mend. Nothing is printed here: the caller that
 * may end the process does that.
 */
#ifndef RINGLET_ERROR_H
#define RINGLET_ERROR_H

#define ERROR_TEXT_SIZE 512

struct error {
    char text[ERROR_TEXT_SIZE]; /* always terminated; empty while nothing failed; no final newline */
};

/*
 * Write the sentence (printf-like) and return `code` (a negative errno), so that a failing function ends in
 * `return error_set(err, -EINVAL, "...")`. `err` may be NULL. A text too long is cut.
 */
int error_set(struct error *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Put "PREFIX: " before the sentence that is there already. */
void error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
