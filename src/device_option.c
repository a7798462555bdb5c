/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device_option.c - see device_option.h. A comma in a value is doubled.
 */
#include "device_option.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "ringlet/device_type.h"
#include "ringlet/error.h"
#include "ringlet/parse.h"
#include "ringlet/util.h"

/* Cut the next field out of *cursor, in place. NULL when there is none. */
static char *next_field(char **cursor)
{
    char *field = *cursor, *to = field;

    if (!field)
        return NULL;
    for (const char *from = field;; from++) {
        if (*from == ',' && from[1] == ',') {
            *to++ = *from++;
        } else if (*from == ',' || !*from) {
            *cursor = *from ? field + (from - field) + 1 : NULL;
            *to = '\0';
            return field;
        } else {
            *to++ = *from;
        }
    }
}

/* `option`: what the sentences call it, without dashes. */
static int parse_key_value(const char *option, const struct device_key *key, const char *value,
                           struct device_argument *argument, unsigned index, struct error *err)
{
    uint64_t number;

    switch (key->kind) {
    case DEVICE_KEY_FLAG:
        if (value)
            return error_set(err, -EINVAL, "--%s: '%s' takes no value", option, key->name);
        return 0;
    case DEVICE_KEY_TEXT:
        number = value ? strlen(value) : 0;
        if (!value || number < key->minimum || (key->maximum && number > key->maximum))
            return error_set(err, -EINVAL, "--%s: '%s' takes a text of %llu to %llu characters", option,
                             key->name, (unsigned long long)key->minimum, (unsigned long long)key->maximum);
        if (!key->repeatable) {
            argument->keys[index].text = value;
        } else if (argument->repeated_count == DEVICE_REPEATED_MAX) {
            return error_set(err, -EINVAL, "--%s: '%s' is given more than %d times", option, key->name,
                             DEVICE_REPEATED_MAX);
        } else {
            argument->repeated[argument->repeated_count].key = index;
            argument->repeated[argument->repeated_count++].text = value;
        }
        return 0;
    case DEVICE_KEY_NUMBER:
        if (!value || !parse_number(value, &number) || number < key->minimum || number > key->maximum ||
            (key->power_of_two && !is_power_of_two(number)))
            return error_set(err, -EINVAL, "--%s: '%s' takes a %s from %llu to %llu", option, key->name,
                             key->power_of_two ? "power of two" : "number", (unsigned long long)key->minimum,
                             (unsigned long long)key->maximum);
        argument->keys[index].number = number;
        return 0;
    case DEVICE_KEY_CHOICE:
        for (unsigned i = 0; value && key->choices[i]; i++) {
            if (strcmp(value, key->choices[i]) == 0) {
                argument->keys[index].text = value;
                argument->keys[index].number = i;
                return 0;
            }
        }
        char list[128] = "";
        for (unsigned i = 0; key->choices[i]; i++) {
            size_t length = strlen(list);

            snprintf(list + length, sizeof(list) - length, "%s%s", i ? ", " : "", key->choices[i]);
        }
        return error_set(err, -EINVAL, "--%s: '%s' is one of %s", option, key->name, list);
    }
    return -EINVAL;
}

/* Which of `count` keys is called so; `count` if none. */
static unsigned find_key(const struct device_key *keys, unsigned count, const char *name)
{
    unsigned i = 0;

    while (i < count && strcmp(keys[i].name, name) != 0)
        i++;
    return i;
}

/* What stands before the first comma, where the type says what may. */
static int parse_listed_value(const struct device_type *type, char *field, struct device_argument *argument,
                              struct error *err)
{
    char *value = strchr(field, '='), list[128] = "";
    unsigned i;

    if (value)
        *value++ = '\0';
    i = find_key(type->values, type->value_count, field);
    if (i < type->value_count) {
        const struct device_key *key = &type->values[i];

        if (key->kind == DEVICE_KEY_FLAG && value)
            return error_set(err, -EINVAL, "--%s %s takes no '=%s'", type->name, field, value);
        if (key->kind == DEVICE_KEY_TEXT && (!value || !*value))
            return error_set(err, -EINVAL, "--%s %s needs a %s: --%s %s=%s", type->name, field, key->metavar,
                             type->name, field, key->metavar);
        argument->choice = i;
        argument->value = value;
        return 0;
    }
    for (i = 0; i < type->value_count; i++) {
        const struct device_key *key = &type->values[i];
        size_t length = strlen(list);
        bool last = !type->none && i + 1 == type->value_count;

        snprintf(list + length, sizeof(list) - length, "%s%s%s%s",
                 !i     ? ""
                 : last ? " or "
                        : ", ",
                 key->name, key->kind == DEVICE_KEY_TEXT ? "=" : "",
                 key->kind == DEVICE_KEY_TEXT ? key->metavar : "");
    }
    return error_set(err, -EINVAL, "--%s takes %s%s%s, not '%s'", type->name, list, type->none ? " or " : "",
                     type->none ? type->none : "", field);
}

static int parse_device_fields(const char *option, const struct device_type *type, char *text,
                               struct device_argument *argument, struct error *err)
{
    char *cursor = text, *field = next_field(&cursor);

    if (!*field)
        return error_set(err, -EINVAL, "--%s needs a %s before the first comma", option, type->metavar);
    argument->value = field;
    if (type->values) {
        int result = parse_listed_value(type, field, argument, err);

        if (result < 0)
            return result;
    }
    while ((field = next_field(&cursor))) {
        char *value = strchr(field, '=');
        unsigned i;
        int result;

        if (value)
            *value++ = '\0';
        i = find_key(type->keys, type->key_count, field);
        if (i == type->key_count)
            return error_set(err, -EINVAL, "--%s knows no '%s' (a comma in a file name is written twice)",
                             option, field);
        if (argument->keys[i].given && !type->keys[i].repeatable)
            return error_set(err, -EINVAL, "--%s: '%s' is given twice", option, field);
        result = parse_key_value(option, &type->keys[i], value, argument, i, err);
        if (result < 0)
            return result;
        argument->keys[i].given = true;
    }
    return type->check ? type->check(argument, err) : 0;
}

/* Make room for one at `index`, and take its argument apart. It counts even if that fails. */
static int insert_device(struct run_options *options, unsigned index, const char *option,
                         const struct device_request *request, const char *text, struct error *err)
{
    struct device_request *grown =
        reallocarray(options->devices, options->device_count + 1, sizeof(options->devices[0]));
    char *storage = text ? strdup(text) : NULL;

    if (grown)
        options->devices = grown;
    if (!grown || (text && !storage)) {
        free(storage);
        return error_set(err, -ENOMEM, "out of memory");
    }
    memmove(grown + index + 1, grown + index, (options->device_count - index) * sizeof(*grown));
    options->device_count++;
    grown[index] = *request;
    grown[index].storage = storage;
    return text ? parse_device_fields(option, request->type, storage, &grown[index].argument, err) : 0;
}

int device_option_add(struct run_options *options, const struct device_type *type, const char *text,
                      struct error *err)
{
    struct device_request request = { .type = type };
    unsigned number = 0;

    if (type->none && strcmp(text, type->none) == 0)
        return 0;
    for (unsigned i = options->exec.image ? 1 : 0; i < options->device_count; i++)
        number += options->devices[i].type == type;
    if (number && !type->repeatable)
        return error_set(err, -EINVAL, "--%s is given twice", type->name);
    snprintf(request.name, sizeof(request.name), "%s%u", type->name, number);
    return insert_device(options, options->device_count, type->name, &request, text, err);
}

const struct device_type *device_option_image_type(void)
{
    unsigned count;
    const struct device_type *types = device_types(&count);

    for (unsigned i = 0; i < count; i++) {
        if (strcmp(types[i].name, "disk") == 0)
            return &types[i];
    }
    assert(!"there are no disks");
    return NULL;
}

int device_option_add_image(struct run_options *options, const char *text, struct error *err)
{
    struct device_request request = { .type = device_option_image_type(), .name = "image0" };

    options->exec.image = true;
    return insert_device(options, 0, "image", &request, text, err);
}
