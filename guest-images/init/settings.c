/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings.c - see settings.h. A table maps each key to the function that takes its value.
 */
#include "settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ringlet/error.h"
#include "ringlet/util.h"

#define HOSTNAME_MAX 64 /* __NEW_UTS_LEN */

typedef int set_function(struct settings *settings, char *value, struct error *err);

static int set_argument(struct settings *settings, char *value, struct error *err)
{
    (void)err;
    settings->arguments[settings->argument_count++] = value;
    return 0;
}

static int set_variable(struct settings *settings, char *value, struct error *err)
{
    if (*value == '=' || !strchr(value, '='))
        return error_set(err, -EINVAL, "env=%s is not NAME=VALUE", value);
    settings->environment[settings->environment_count++] = value;
    return 0;
}

static int set_workdir(struct settings *settings, char *value, struct error *err)
{
    if (*value != '/')
        return error_set(err, -EINVAL, "the working directory '%s' is not absolute", value);
    settings->workdir = value;
    return 0;
}

static int set_user(struct settings *settings, char *value, struct error *err)
{
    if (!*value || *value == ':')
        return error_set(err, -EINVAL, "the user '%s' has no name", value);
    settings->user = value;
    return 0;
}

static int set_hostname(struct settings *settings, char *value, struct error *err)
{
    if (!*value || strlen(value) > HOSTNAME_MAX)
        return error_set(err, -EINVAL, "the host name '%s' does not have 1 to %d characters", value,
                         HOSTNAME_MAX);
    settings->hostname = value;
    return 0;
}

static int set_root(struct settings *settings, char *value, struct error *err)
{
    static const struct {
        const char *prefix;
        enum root_kind kind;
    } kinds[] = { { "disk:", ROOT_DISK }, { "share:", ROOT_SHARE } };

    if (strcmp(value, "initrd") == 0) {
        settings->root = ROOT_INITRD;
        settings->root_name = NULL;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        size_t length = strlen(kinds[i].prefix);

        if (strncmp(value, kinds[i].prefix, length) != 0 || !value[length])
            continue;
        if (kinds[i].kind == ROOT_DISK && value[length] != '/')
            break;
        settings->root = kinds[i].kind;
        settings->root_name = value + length;
        return 0;
    }
    return error_set(err, -EINVAL, "root=%s is not initrd, disk:/DEVICE or share:TAG", value);
}

static int set_mount(struct settings *settings, char *value, struct error *err)
{
    struct settings_mount mount = { .tag = value };
    char *flags = strchr(value, ':');
    char *directory = flags ? strchr(flags + 1, ':') : NULL;

    if (!directory || flags == value || directory[1] != '/')
        return error_set(err, -EINVAL, "mount=%s is not TAG:FLAGS:/DIR", value);
    *flags++ = '\0';
    *directory++ = '\0';
    if (strcmp(flags, "ro") != 0 && strcmp(flags, "rw") != 0)
        return error_set(err, -EINVAL, "mount=%s:%s:%s has other flags than ro or rw", value, flags,
                         directory);
    mount.read_only = flags[1] == 'o';
    mount.directory = directory;
    settings->mounts[settings->mount_count++] = mount;
    return 0;
}

static int parse_switch(const char *key, const char *value, bool *ret_on, struct error *err)
{
    if ((*value != '0' && *value != '1') || value[1])
        return error_set(err, -EINVAL, "%s=%s is neither 0 nor 1", key, value);
    *ret_on = *value == '1';
    return 0;
}

static int set_read_only(struct settings *settings, char *value, struct error *err)
{
    return parse_switch("readonly", value, &settings->root_read_only, err);
}

static int set_network(struct settings *settings, char *value, struct error *err)
{
    return parse_switch("network", value, &settings->network, err);
}

static int set_tty(struct settings *settings, char *value, struct error *err)
{
    return parse_switch("tty", value, &settings->tty, err);
}

static int parse_size(const char *key, const char *value, uint16_t *ret_size, struct error *err)
{
    unsigned number = 0;
    const char *at = value;

    for (; *at >= '0' && *at <= '9' && number <= UINT16_MAX; at++)
        number = number * 10 + (unsigned)(*at - '0');
    if (at == value || *at || number > UINT16_MAX)
        return error_set(err, -EINVAL, "%s=%s is not a number from 0 to %u", key, value, UINT16_MAX);
    *ret_size = (uint16_t)number;
    return 0;
}

static int set_rows(struct settings *settings, char *value, struct error *err)
{
    return parse_size("rows", value, &settings->rows, err);
}

static int set_columns(struct settings *settings, char *value, struct error *err)
{
    return parse_size("cols", value, &settings->columns, err);
}

static const struct {
    const char *name; /* with its "=" */
    set_function *set;
} keys[] = {
    { "arg=", set_argument }, { "env=", set_variable },       { "workdir=", set_workdir },
    { "user=", set_user },    { "hostname=", set_hostname },  { "root=", set_root },
    { "mount=", set_mount },  { "readonly=", set_read_only }, { "network=", set_network },
    { "tty=", set_tty },      { "rows=", set_rows },          { "cols=", set_columns },
};

static int set(struct settings *settings, char *string, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        size_t length = strlen(keys[i].name);

        if (strncmp(string, keys[i].name, length) == 0)
            return keys[i].set(settings, string + length, err);
    }
    return error_set(err, -EINVAL, "the guest's init does not know the setting '%s'", string);
}

/* Room for as many of each as there are strings with its key. */
static int make_room(struct settings *settings, const char *bytes, size_t size)
{
    size_t arguments = 1, variables = 1, mounts = 1;

    for (const char *string = bytes; string < bytes + size; string += strlen(string) + 1) {
        arguments += strncmp(string, "arg=", 4) == 0;
        variables += strncmp(string, "env=", 4) == 0;
        mounts += strncmp(string, "mount=", 6) == 0;
    }
    settings->arguments = calloc(arguments, sizeof(*settings->arguments));
    settings->environment = calloc(variables, sizeof(*settings->environment));
    settings->mounts = calloc(mounts, sizeof(*settings->mounts));
    return settings->arguments && settings->environment && settings->mounts ? 0 : -ENOMEM;
}

static int parse(char *bytes, size_t size, struct settings *settings, struct error *err)
{
    int result;

    if (!size || bytes[size - 1])
        return error_set(err, -EINVAL, "the settings do not end with a NUL");
    result = make_room(settings, bytes, size);
    if (result < 0)
        return error_set(err, result, "no memory for %zu bytes of settings", size);
    for (size_t at = 0, length; at < size; at += length) {
        /* Before its value is cut into pieces. */
        length = strlen(bytes + at) + 1;
        result = set(settings, bytes + at, err);
        if (result < 0)
            return result;
    }
    if (!settings->argument_count)
        return error_set(err, -EINVAL, "the settings have no command");
    return 0;
}

int settings_parse(char *bytes, size_t size, struct settings *ret_settings, struct error *err)
{
    struct settings settings = { .workdir = "/", .user = "root" };
    int result = parse(bytes, size, &settings, err);

    if (result < 0)
        settings_finish(&settings);
    else
        *ret_settings = settings;
    return result;
}

void settings_finish(struct settings *settings)
{
    free(settings->arguments);
    free(settings->environment);
    free(settings->mounts);
    *settings = (struct settings){ 0 };
}
