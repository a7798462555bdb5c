/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_char.c - see fake_char.h.
 */
#include "fake_char.h"

#include <stdint.h>
#include <string.h>

#include "ringlet/util.h"

static void fake_attach(struct char_backend *backend, struct char_frontend *frontend)
{
    container_of(backend, struct fake_char, backend)->frontend = frontend;
}

static size_t fake_write(struct char_backend *backend, const uint8_t *bytes, size_t count)
{
    struct fake_char *fake = container_of(backend, struct fake_char, backend);
    size_t space = sizeof(fake->output) - 1 - fake->output_count;
    size_t taken = count < fake->room ? count : fake->room;

    if (fake->lost) {
        fake->lost_count += count;
        return count;
    }
    if (taken > space)
        taken = space;
    memcpy(fake->output + fake->output_count, bytes, taken);
    fake->output_count += taken;
    fake->output[fake->output_count] = '\0';
    fake->room -= taken;
    return taken;
}

static void fake_receive_ready(struct char_backend *backend)
{
    struct fake_char *fake = container_of(backend, struct fake_char, backend);

    fake->may_offer = true;
    fake->receive_ready_calls++;
}

static void fake_finish(struct char_backend *backend, void (*drained)(void *argument), void *argument)
{
    (void)backend;
    drained(argument);
}

static void fake_destroy(struct char_backend *backend)
{
    (void)backend;
}

static const struct char_backend_ops fake_ops = {
    .attach = fake_attach,
    .write = fake_write,
    .receive_ready = fake_receive_ready,
    .finish = fake_finish,
    .destroy = fake_destroy,
};

void fake_char_init(struct fake_char *fake)
{
    *fake = (struct fake_char){ .backend.ops = &fake_ops, .room = SIZE_MAX, .may_offer = true };
}

static void tell_end(struct fake_char *fake)
{
    if (!fake->input_ends || fake->end_told || fake->input_start < fake->input_end)
        return;
    fake->end_told = true;
    fake->frontend->ops->input_ended(fake->frontend);
}

size_t fake_char_deliver(struct fake_char *fake)
{
    size_t waiting = fake->input_end - fake->input_start;
    size_t taken;

    if (!waiting || !fake->may_offer)
        return 0;
    taken = fake->frontend->ops->receive(fake->frontend, (const uint8_t *)fake->input + fake->input_start,
                                         waiting);
    fake->input_start += taken;
    if (taken < waiting)
        fake->may_offer = false;
    tell_end(fake);
    return taken;
}

void fake_char_type(struct fake_char *fake, const char *text)
{
    size_t length = strlen(text);

    if (length > sizeof(fake->input) - fake->input_end)
        length = sizeof(fake->input) - fake->input_end;
    memcpy(fake->input + fake->input_end, text, length);
    fake->input_end += length;
    fake_char_deliver(fake);
}

void fake_char_end_input(struct fake_char *fake)
{
    fake->input_ends = true;
    tell_end(fake);
}

void fake_char_lose_output(struct fake_char *fake)
{
    fake->lost = true;
    fake->frontend->ops->output_lost(fake->frontend);
}

void fake_char_make_room(struct fake_char *fake, size_t more)
{
    fake->room += more;
    fake->frontend->ops->writable(fake->frontend);
}
