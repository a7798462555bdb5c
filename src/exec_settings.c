/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec_settings.c - see exec_settings.h.
 */
#include "exec_settings.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "ringlet/error.h"
#include "ringlet/guest_protocol.h"
#include "ringlet/share_argument.h"

#define DEFAULT_HOSTNAME "ringlet"
#define END              0 /* of a setting, as a %c */

static int put_devices(FILE *to, const struct run_options *options, struct error *err)
{
    bool network = false;

    for (unsigned i = 0; i < options->device_count; i++) {
        const struct device_request *request = &options->devices[i];
        struct share_argument share;
        int result;

        if (options->exec.image && i == 0) {
            fprintf(to, "root=disk:/dev/vda%c", END);
            if (device_request_has(request, "ro"))
                fprintf(to, "readonly=1%c", END);
        } else if (device_request_is(request, "root")) {
            fprintf(to, "root=share:%s%c", request->name, END);
        } else if (device_request_is(request, "share")) {
            result = share_argument_parse(request->argument.value, &share, err);
            if (result < 0)
                return result;
            if (!*share.guest_directory)
                return error_set(err, -EINVAL,
                                 "--share %s does not say where in the guest: --share HOSTDIR:GUESTDIR",
                                 request->argument.value);
            fprintf(to, "mount=%s:%s:%s%c", request->name, share.read_only ? "ro" : "rw",
                    share.guest_directory, END);
        } else if (device_request_is(request, "net")) {
            network = true;
        }
    }
    if (network)
        fprintf(to, "network=1%c", END);
    return 0;
}

static int put_all(FILE *to, const struct run_options *options, const struct exec_terminal *terminal,
                   struct error *err)
{
    const struct exec_options *exec = &options->exec;

    for (unsigned i = 0; i < exec->argument_count; i++)
        fprintf(to, "arg=%s%c", exec->arguments[i], END);
    if (exec->terminal) {
        fprintf(to, "tty=1%c", END);
        if (terminal->type)
            fprintf(to, "env=TERM=%s%c", terminal->type, END);
        if (terminal->rows && terminal->columns) {
            fprintf(to, "rows=%u%c", terminal->rows, END);
            fprintf(to, "cols=%u%c", terminal->columns, END);
        }
    }
    for (unsigned i = 0; i < exec->environment_count; i++)
        fprintf(to, "env=%s%c", exec->environment[i], END);
    if (exec->workdir)
        fprintf(to, "workdir=%s%c", exec->workdir, END);
    if (exec->user)
        fprintf(to, "user=%s%c", exec->user, END);
    fprintf(to, "hostname=%s%c", options->name ? options->name : DEFAULT_HOSTNAME, END);
    return put_devices(to, options, err);
}

int exec_settings_make(const struct run_options *options, const struct exec_terminal *terminal,
                       char **ret_settings, size_t *ret_size, struct error *err)
{
    char *settings = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&settings, &size);
    int result;

    if (!to)
        return error_set(err, -ENOMEM, "out of memory");
    result = put_all(to, options, terminal, err);
    if (fclose(to) != 0 && result == 0)
        result = error_set(err, -ENOMEM, "out of memory");
    if (result == 0 && size > GUEST_FRAME_TO_GUEST_MAX)
        result = error_set(err, -E2BIG, "the command and its environment have more than %u MiB together",
                           GUEST_FRAME_TO_GUEST_MAX >> 20);
    if (result < 0) {
        free(settings);
        return result;
    }
    *ret_settings = settings;
    *ret_size = size;
    return 0;
}
