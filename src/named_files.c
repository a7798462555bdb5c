/* SPDX-License-Identifier: Apache-2.0 */
/*
 * named_files.c - see named_files.h.
 *
 * This is for the sentence, and for what is never locked (kernel, initrd): that a disk in use is not opened
 * again, by whatever name and by whomever, the locks of block_file.h and console.h see to.
 */
#include "named_files.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "options.h"
#include "ringlet/error.h"

/* The same file, or two nodes of the same device. */
static bool is_same(const char *path, const char *other)
{
    struct stat status, other_status;

    if (strcmp(path, other) == 0)
        return true;
    if (stat(path, &status) < 0 || stat(other, &other_status) < 0)
        return false;
    if (S_ISBLK(status.st_mode) && S_ISBLK(other_status.st_mode))
        return status.st_rdev == other_status.st_rdev;
    return status.st_dev == other_status.st_dev && status.st_ino == other_status.st_ino;
}

static bool is_disk(const struct device_request *request)
{
    return strcmp(request->type->name, "disk") == 0;
}

static bool is_read_only(const struct device_request *request)
{
    for (unsigned i = 0; i < request->type->key_count; i++) {
        if (strcmp(request->type->keys[i].name, "ro") == 0)
            return request->argument.keys[i].given;
    }
    return false;
}

static int refuse_overwriting(const char *path, const char *what, struct error *err)
{
    return error_set(err, -EINVAL, "the console's file %s is the %s as well, and would overwrite it", path,
                     what);
}

static int check_console(const struct run_options *options, const char *path, struct error *err)
{
    if (options->kernel && is_same(path, options->kernel))
        return refuse_overwriting(path, "kernel", err);
    if (options->initrd && is_same(path, options->initrd))
        return refuse_overwriting(path, "initrd", err);
    for (unsigned i = 0; i < options->device_count; i++) {
        const struct device_request *request = &options->devices[i];

        if (is_disk(request) && is_same(path, request->argument.value))
            return refuse_overwriting(path, request->name, err);
    }
    return 0;
}

/* Disk `index` against those before it. */
static int check_disk(const struct run_options *options, unsigned index, struct error *err)
{
    const struct device_request *request = &options->devices[index];

    for (unsigned i = 0; i < index; i++) {
        const struct device_request *other = &options->devices[i];

        if (!is_disk(other) || !is_same(request->argument.value, other->argument.value) ||
            (is_read_only(request) && is_read_only(other)))
            continue;
        return error_set(err, -EINVAL, "the disk %s is given twice; only with ro both times can it be shared",
                         request->argument.value);
    }
    return 0;
}

int named_files_check(const struct run_options *options, struct error *err)
{
    int result = 0;

    if (options->console == CONSOLE_FILE)
        result = check_console(options, options->console_path, err);
    for (unsigned i = 0; i < options->device_count && result == 0; i++) {
        if (is_disk(&options->devices[i]))
            result = check_disk(options, i, err);
    }
    return result;
}
