/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child_words.c - see child_words.h.
 */
#include "child_words.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ringlet/harmless.h"

#define LOOKED_AT 2048 /* as many of the last bytes count */

int child_words_pipe(int *ret_read, int *ret_write)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    *ret_read = ends[0];
    *ret_write = ends[1];
    return 0;
}

static bool is_noise(const char *line, const char *const *noise)
{
    if (!*line)
        return true;
    for (; noise && *noise; noise++) {
        if (strncmp(line, *noise, strlen(*noise)) == 0)
            return true;
    }
    return false;
}

void child_words_read_last(int fd, const char *const *noise, char *words, size_t size)
{
    char text[LOOKED_AT + 1], *next = text;
    size_t length = 0;
    ssize_t got;

    while ((got = read(fd, text + length, LOOKED_AT - length)) > 0) {
        length += (size_t)got;
        if (length == LOOKED_AT) {
            memmove(text, text + LOOKED_AT / 2, LOOKED_AT / 2);
            length = LOOKED_AT / 2;
        }
    }
    text[length] = '\0';
    *words = '\0';
    while (next) {
        const char *line = strsep(&next, "\n");

        if (!is_noise(line, noise))
            snprintf(words, size, "%s", line);
    }
    make_harmless(words);
}

void child_words_describe_end(int status, const char *words, char *text, size_t size)
{
    if (*words)
        snprintf(text, size, ": %s", words);
    else if (WIFSIGNALED(status))
        snprintf(text, size, " (signal %d)", WTERMSIG(status));
    else if (WEXITSTATUS(status))
        snprintf(text, size, " (status %d)", WEXITSTATUS(status));
    else
        *text = '\0';
}
