/* SPDX-License-Identifier: Apache-2.0 */
/*
 * named_files.c - see named_files.h.
 *
 * This is for the sentence, and for what is never locked (kernel, initrd): that a disk in use is not opened
 * again, by whatever name and by whomever, the locks of block_file.h and console.h see to.
 */
#include "named_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "options.h"
#include "ringlet/error.h"
#include "ringlet/open_path.h"
#include "ringlet/util.h"

/* The same file, or two nodes of the same device. */
static bool is_same(const char *path, const char *other)
{
    struct stat status, other_status;

    if (strcmp(path, other) == 0)
        return true;
    if (stat_path(path, &status) < 0 || stat_path(other, &other_status) < 0)
        return false;
    if (S_ISBLK(status.st_mode) && S_ISBLK(other_status.st_mode))
        return status.st_rdev == other_status.st_rdev;
    return status.st_dev == other_status.st_dev && status.st_ino == other_status.st_ino;
}

/* What is written to an ephemeral disk goes elsewhere. */
static bool is_read_only(const struct device_request *request)
{
    return device_request_has(request, "ro") || device_request_has(request, "ephemeral");
}

/* --- descriptors --- */

/*
 * A descriptor that nobody passed to us may still be open: something of our own may have that number by now. All of
 * ours close on exec, and none that came through exec does.
 */
static int check_passed(const char *what, const char *path, struct error *err)
{
    int fd, flags;

    if (!path || !path_is_fd(path, &fd))
        return 0;
    flags = fcntl(fd, F_GETFD);
    if (flags >= 0 && !(flags & FD_CLOEXEC))
        return 0;
    return error_set(err, -EINVAL, "cannot open the %s %s: %s", what, path, open_path_reason(path, -EBADF));
}

static int check_all_passed(const struct run_options *options, struct error *err)
{
    const struct {
        const char *what;
        const char *path;
    } named[] = {
        { "kernel", options->kernel },
        { "initrd", options->initrd },
        { "console file", options->console == CONSOLE_FILE ? options->console_path : NULL },
        { "events file", options->events },
        { "pid file", options->pidfile },
    };
    int result = 0;

    for (size_t i = 0; i < ARRAY_SIZE(named) && result == 0; i++)
        result = check_passed(named[i].what, named[i].path, err);
    for (unsigned i = 0; i < options->device_count && result == 0; i++) {
        if (device_request_is(&options->devices[i], "disk"))
            result = check_passed("disk", options->devices[i].argument.value, err);
    }
    return result;
}

/* --- files that are written --- */

static int refuse_overwriting(const char *whose, const char *path, const char *what, struct error *err)
{
    return error_set(err, -EINVAL, "the %s file %s is the %s as well, and would overwrite it", whose, path,
                     what);
}

static int check_written(const struct run_options *options, const char *whose, const char *path,
                         struct error *err)
{
    if (options->kernel && is_same(path, options->kernel))
        return refuse_overwriting(whose, path, "kernel", err);
    if (options->initrd && is_same(path, options->initrd))
        return refuse_overwriting(whose, path, "initrd", err);
    for (unsigned i = 0; i < options->device_count; i++) {
        const struct device_request *request = &options->devices[i];

        if (device_request_is(request, "disk") && is_same(path, request->argument.value))
            return refuse_overwriting(whose, path, request->name, err);
    }
    return 0;
}

static int check_all_written(const struct run_options *options, struct error *err)
{
    const struct {
        const char *whose;
        const char *path;
    } written[] = {
        { "console's", options->console == CONSOLE_FILE ? options->console_path : NULL },
        { "events'", options->events },
        { "pid", options->pidfile },
    };
    int result = 0;

    for (size_t i = 0; i < ARRAY_SIZE(written) && result == 0; i++) {
        if (written[i].path)
            result = check_written(options, written[i].whose, written[i].path, err);
    }
    return result;
}

/* --- disks --- */

/* Disk `index` against those before it. */
static int check_disk(const struct run_options *options, unsigned index, struct error *err)
{
    const struct device_request *request = &options->devices[index];

    for (unsigned i = 0; i < index; i++) {
        const struct device_request *other = &options->devices[i];

        if (!device_request_is(other, "disk") || !is_same(request->argument.value, other->argument.value) ||
            (is_read_only(request) && is_read_only(other)))
            continue;
        return error_set(err, -EINVAL,
                         "the disk %s is given twice; only with ro or ephemeral both times can it be shared",
                         request->argument.value);
    }
    return 0;
}

/* --- taps --- */

/* The descriptors of --net fd=N:N, or NULL. They are numbers: the device's check has seen to that. */
static const char *descriptors_of(const struct device_request *request)
{
    const struct device_argument *argument = &request->argument;

    if (!device_request_is(request, "net") || argument->choice >= request->type->value_count ||
        strcmp(request->type->values[argument->choice].name, "fd") != 0)
        return NULL;
    return argument->value;
}

/* How often `number` is in a list like "5:6:7". */
static unsigned count_in(const char *list, unsigned long number)
{
    unsigned count = 0;

    for (const char *part = list; part; part = strchr(part, ':')) {
        part += *part == ':';
        count += strtoul(part, NULL, 10) == number;
    }
    return count;
}

/* A tap's descriptor is one queue of it: frames that two read would go to either. */
static int check_net(const struct run_options *options, unsigned index, struct error *err)
{
    const char *own = descriptors_of(&options->devices[index]);

    for (const char *part = own; part; part = strchr(part, ':')) {
        unsigned long number;
        unsigned count;

        part += *part == ':';
        number = strtoul(part, NULL, 10);
        count = count_in(own, number);
        for (unsigned i = 0; i < index; i++) {
            const char *others = descriptors_of(&options->devices[i]);

            count += others ? count_in(others, number) : 0;
        }
        if (count > 1)
            return error_set(err, -EINVAL,
                             "--net: descriptor %lu is given twice; each queue needs one of its own", number);
    }
    return 0;
}

int named_files_check(const struct run_options *options, struct error *err)
{
    int result = check_all_passed(options, err);

    if (result == 0)
        result = check_all_written(options, err);
    for (unsigned i = 0; i < options->device_count && result == 0; i++) {
        if (device_request_is(&options->devices[i], "disk"))
            result = check_disk(options, i, err);
        else
            result = check_net(options, i, err);
    }
    return result;
}
