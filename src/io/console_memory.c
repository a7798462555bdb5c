/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console_memory.c - a console that nobody looks at, unless it turns out later that somebody should have (see
 * ringlet/console.h): a stream that never is connected, so that what is oldest makes room for what is new.
 */
#include <errno.h>
#include <stdlib.h>

#include "char_stream.h"
#include "console_kinds.h"
#include "ringlet/console.h"
#include "ringlet/error.h"

static void release(struct char_stream *stream)
{
    free(stream);
}

static const struct char_stream_ops memory_ops = { .release = release };

int console_open_memory(struct loop *loop, const struct console_options *options,
                        struct char_backend **ret_backend, struct error *err)
{
    struct char_stream *stream = calloc(1, sizeof(*stream));

    if (!stream)
        return error_set(err, -ENOMEM, "out of memory");
    char_stream_init(stream, loop, &memory_ops, options->drain_timeout);
    stream->keeps_output = true;
    stream->keeps_no_count = true;
    *ret_backend = &stream->backend;
    return 0;
}

size_t console_memory(const struct char_backend *backend, char *to, size_t size)
{
    const struct char_stream *stream = char_stream_of(backend);

    if (stream->ops != &memory_ops)
        return 0;
    return byte_ring_copy_latest(&stream->output, (uint8_t *)to, size);
}
