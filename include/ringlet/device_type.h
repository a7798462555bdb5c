/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device_type.h - a kind of device that a person can ask for, as a row of a table.
 *
 * A row says what the option is called, which keys it takes, and how the device is made. The command line,
 * --help and the man page are all written from it (src/devices/device_table.c), so that adding a device
 * touches neither of them.
 *
 * A device's argument reads VALUE,key,key=value,...; a comma inside a value is doubled. Where a type lists
 * `values`, VALUE is one of them, spelled as a key is: "user", "tap=NAME".
 */
#ifndef RINGLET_DEVICE_TYPE_H
#define RINGLET_DEVICE_TYPE_H

#include <stdbool.h>
#include <stdint.h>

struct backend_provider;
struct error;
struct guest_memory;
struct virtio_device;

enum device_key_kind {
    DEVICE_KEY_FLAG, /* present or not */
    DEVICE_KEY_TEXT,
    DEVICE_KEY_NUMBER, /* minimum .. maximum */
    DEVICE_KEY_CHOICE, /* one of choices; its number is its place there */
};

struct device_key {
    const char *name;
    enum device_key_kind kind;
    uint64_t minimum, maximum;  /* of a number; of a text's length when maximum is not 0 */
    bool power_of_two;          /* of a number */
    const char *const *choices; /* ends in NULL */
    bool repeatable;            /* of a text: may be given again; see device_argument.repeated */
    const char *metavar;        /* "TEXT", "N" */
    const char *help;
};

#define DEVICE_KEY_MAX      12
#define DEVICE_REPEATED_MAX 64

/* One option as given: value and the keys, at the same index as in the type's table. */
struct device_argument {
    const char *value; /* what stands before the first comma; NULL where the type takes none */
    unsigned choice;   /* with `values`: which; `value` is then what stands behind its '=', or NULL */
    struct {
        bool given;
        const char *text; /* TEXT, CHOICE */
        uint64_t number;  /* NUMBER, CHOICE */
    } keys[DEVICE_KEY_MAX];
    struct {
        unsigned key;
        const char *text;
    } repeated[DEVICE_REPEATED_MAX]; /* of repeatable keys, as they came */
    unsigned repeated_count;
};

/* What a device may be made of. Borrowed; outlives the device. */
struct device_environment {
    const char *name; /* "disk0" */
    const struct guest_memory *memory;
    const struct backend_provider *backends;
};

struct device_type {
    const char *name;    /* the long option, and the stem of device names */
    char short_name;     /* the short option, or 0 */
    const char *metavar; /* of the value, "FILE"; NULL: the option takes no argument at all */
    const char *help;
    const struct device_key *values; /* optional: FLAGs and TEXTs, of which VALUE is one */
    unsigned value_count;
    const char *none; /* optional: a VALUE that stands for no device at all */
    const struct device_key *keys;
    unsigned key_count;
    bool repeatable;
    bool shares_memory; /* another process works on guest RAM, which must then be a memfd */

    /* optional: what the keys' kinds do not say. Opens nothing. 0 or -EINVAL with *err. */
    int (*check)(const struct device_argument *argument, struct error *err);
    /* required: make one. 0 or -errno with *err. */
    int (*create)(const struct device_argument *argument, const struct device_environment *environment,
                  struct virtio_device **ret_device, struct error *err);
};

/* All kinds. *ret_count gets their number. */
const struct device_type *device_types(unsigned *ret_count);

#endif
