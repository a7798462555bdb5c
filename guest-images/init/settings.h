/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings.h - what RUN asks for (ringlet/guest_protocol.h), taken apart.
 */
#ifndef RINGLET_GUEST_SETTINGS_H
#define RINGLET_GUEST_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

enum root_kind { ROOT_INITRD, ROOT_DISK, ROOT_SHARE };

struct settings_mount {
    const char *tag, *directory;
    bool read_only;
};

/* Strings lie in the bytes that were parsed. */
struct settings {
    char **arguments; /* argument_count >= 1, and a NULL behind them */
    unsigned argument_count;
    char **environment; /* NAME=VALUE; a NAME may be there more than once */
    unsigned environment_count;
    struct settings_mount *mounts;
    unsigned mount_count;
    const char *workdir;  /* absolute */
    const char *user;     /* NAME[:GROUP] */
    const char *hostname; /* NULL: as it is */
    enum root_kind root;
    const char *root_name; /* the device, or the tag */
    bool root_read_only;
    bool network;
    bool tty;
    uint16_t rows, columns; /* 0: not said */
};

/*
 * `bytes` are changed, and must outlive *ret_settings. 0, -EINVAL or -ENOMEM with *err. Of a key that is to be
 * given once the last one counts.
 */
int settings_parse(char *bytes, size_t size, struct settings *ret_settings, struct error *err);
void settings_finish(struct settings *settings);

#endif
