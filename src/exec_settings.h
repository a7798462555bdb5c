/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec_settings.h - from the options of `ringlet exec` to the settings that the guest's init is told
 * (ringlet/guest_protocol.h: RUN).
 */
#ifndef RINGLET_EXEC_SETTINGS_H
#define RINGLET_EXEC_SETTINGS_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct run_options;

/* The caller's terminal, as far as the guest's is to be like it; zero and NULL where unknown. */
struct exec_terminal {
    uint16_t rows, columns;
    const char *type; /* TERM */
};

/*
 * *ret_settings is the caller's to free; its texts end in NULs. `terminal` matters with -t only. 0, or -EINVAL,
 * -E2BIG, -ENOMEM with *err.
 */
int exec_settings_make(const struct run_options *options, const struct exec_terminal *terminal,
                       char **ret_settings, size_t *ret_size, struct error *err);

#endif
