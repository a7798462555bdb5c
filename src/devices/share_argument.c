/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share_argument.c - see ringlet/share_argument.h.
 */
#include "ringlet/share_argument.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "ringlet/error.h"

#define READ_ONLY "ro"

/*
 * Copy the next part of *cursor to `to`, doubled colons made single, and move on to the part behind it; NULL
 * behind the last. False if it does not fit.
 */
static bool next_part(const char **cursor, char *to, size_t size)
{
    const char *from = *cursor;
    size_t length = 0;

    for (; *from && (*from != ':' || from[1] == ':'); from++) {
        if (*from == ':')
            from++;
        if (length + 1 == size)
            return false;
        to[length++] = *from;
    }
    to[length] = '\0';
    *cursor = *from ? from + 1 : NULL;
    return true;
}

static int check_guest_directory(const char *directory, struct error *err)
{
    if (*directory != '/')
        return error_set(
            err, -EINVAL,
            "--share: '%s' is neither 'ro' nor a directory of the guest, which begins with '/' (a "
            "colon in a name is written twice)",
            directory);
    if (!directory[strspn(directory, "/")])
        return error_set(err, -EINVAL,
                         "--share: '%s' would hide the whole guest; --root makes a directory its root",
                         directory);
    return 0;
}

int share_argument_parse(const char *text, struct share_argument *ret_argument, struct error *err)
{
    struct share_argument argument = { 0 };
    const char *cursor = text;
    char part[PATH_MAX];
    bool fits = next_part(&cursor, argument.host_directory, sizeof(argument.host_directory));
    int result;

    if (fits && !*argument.host_directory)
        return error_set(err, -EINVAL, "--share needs a directory of the host before the first colon");
    while (fits && cursor) {
        fits = next_part(&cursor, part, sizeof(part));
        if (!fits)
            break;
        if (argument.read_only)
            return error_set(err, -EINVAL,
                             "--share: nothing comes after 'ro' (a colon in a name is written twice)");
        if (strcmp(part, READ_ONLY) == 0) {
            argument.read_only = true;
            continue;
        }
        if (*argument.guest_directory)
            return error_set(err, -EINVAL,
                             "--share: '%s' comes after the guest's directory, where only 'ro' can stand (a "
                             "colon in a name is written twice)",
                             part);
        result = check_guest_directory(part, err);
        if (result < 0)
            return result;
        memcpy(argument.guest_directory, part, sizeof(part));
    }
    if (!fits)
        return error_set(err, -EINVAL, "--share: a name is longer than %d bytes", PATH_MAX - 1);
    *ret_argument = argument;
    return 0;
}
