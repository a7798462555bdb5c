/* SPDX-License-Identifier: Apache-2.0 */
/*
 * option_words.c - see option_words.h.
 */
#include "option_words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ringlet/error.h"

int option_words_add(struct option_words *words, const char *name, const char *argument, struct error *err)
{
    struct option_word *grown = reallocarray(words->words, words->count + 1, sizeof(*grown));
    char *copy = argument ? strdup(argument) : NULL;

    if (grown)
        words->words = grown;
    if (!grown || (argument && !copy)) {
        free(copy);
        return error_set(err, -ENOMEM, "out of memory");
    }
    grown[words->count++] = (struct option_word){ .name = name, .argument = copy };
    return 0;
}

bool option_words_have(const struct option_words *words, const char *name)
{
    for (unsigned i = 0; i < words->count; i++) {
        if (strcmp(words->words[i].name, name) == 0)
            return true;
    }
    return false;
}

void option_words_finish(struct option_words *words)
{
    for (unsigned i = 0; i < words->count; i++)
        free(words->words[i].argument);
    free(words->words);
    *words = (struct option_words){ 0 };
}
