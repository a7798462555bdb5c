/* SPDX-License-Identifier: Apache-2.0 */
/*
 * option_words.h - options as they were given (struct option_word), gathered from a command line or a --config file
 * before anything is made of them.
 */
#ifndef RINGLET_OPTION_WORDS_H
#define RINGLET_OPTION_WORDS_H

#include <stdbool.h>

#include "options.h"

struct error;

/* {0} is an empty one. */
struct option_words {
    struct option_word *words;
    unsigned count;
};

/* `name` is borrowed for good, `argument` is copied and may be NULL. 0, or -ENOMEM with *err. */
int option_words_add(struct option_words *words, const char *name, const char *argument, struct error *err);
bool option_words_have(const struct option_words *words, const char *name);
void option_words_finish(struct option_words *words);

#endif
