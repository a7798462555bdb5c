/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device_option.h - a device as it is asked for: VALUE,key,key=value,... taken apart by the rows of its type
 * (ringlet/device_type.h).
 */
#ifndef RINGLET_DEVICE_OPTION_H
#define RINGLET_DEVICE_OPTION_H

struct device_type;
struct error;
struct run_options;

/* Add one behind the others. `text` is NULL for a type without metavar. 0, or -EINVAL or -ENOMEM with *err. */
int device_option_add(struct run_options *options, const struct device_type *type, const char *text,
                      struct error *err);

/* What --image is: a disk. Its keys are those of --image. */
const struct device_type *device_option_image_type(void);

/* Add --image's disk, before all others; sets exec.image. To be called once. Errors as above. */
int device_option_add_image(struct run_options *options, const char *text, struct error *err);

#endif
