/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child_words.h - what a child says on standard error: kept in a pipe that never blocks it, and looked at when
 * it has ended, because its last line is the reason.
 */
#ifndef RINGLET_IO_CHILD_WORDS_H
#define RINGLET_IO_CHILD_WORDS_H

#include <stddef.h>

#define CHILD_WORDS_SIZE 256                     /* enough for the last line */
#define CHILD_END_SIZE   (CHILD_WORDS_SIZE + 32) /* enough for child_words_describe_end() */

/* Both ends are close-on-exec and O_NONBLOCK: nobody reads while the child runs. 0 or -errno */
int child_words_pipe(int *ret_read, int *ret_write);

/*
 * The last line that says something, "" if there is none, with nothing in it that a terminal obeys. Lines that
 * begin with one of `noise` (ends in NULL; may be NULL) do not count. Empties the pipe.
 */
void child_words_read_last(int fd, const char *const *noise, char *words, size_t size);

/* ": WORDS"; without any " (signal N)" or " (status N)" of waitpid()'s `status`; "" for a silent 0. */
void child_words_describe_end(int status, const char *words, char *text, size_t size);

#endif
