/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_entropy.c - see fake_entropy.h.
 */
#include "fake_entropy.h"

#include <assert.h>
#include <string.h>

#include "ringlet/iov.h"
#include "ringlet/util.h"

static void fake_entropy_attach(struct entropy_backend *backend, struct io_client *client)
{
    struct fake_entropy *entropy = container_of(backend, struct fake_entropy, backend);

    assert(!entropy->client && client);
    entropy->client = client;
}

static void fake_entropy_submit(struct entropy_backend *backend, struct entropy_request *request)
{
    struct fake_entropy *entropy = container_of(backend, struct fake_entropy, backend);

    assert(entropy->client && !entropy->destroyed && !entropy->pending);
    assert(request->done && iov_length(request->iov, request->iov_count));
    memset(request->backend_private, 0xa5, sizeof(request->backend_private));
    entropy->submits++;
    entropy->pending = request;
}

static void fake_entropy_destroy(struct entropy_backend *backend)
{
    struct fake_entropy *entropy = container_of(backend, struct fake_entropy, backend);

    assert(!entropy->destroyed && !entropy->pending);
    entropy->destroyed = true;
}

static const struct entropy_backend_ops fake_entropy_ops = {
    .attach = fake_entropy_attach,
    .submit = fake_entropy_submit,
    .destroy = fake_entropy_destroy,
};

void fake_entropy_init(struct fake_entropy *entropy)
{
    *entropy = (struct fake_entropy){ .backend = { .ops = &fake_entropy_ops } };
}

size_t fake_entropy_wanted(const struct fake_entropy *entropy)
{
    assert(entropy->pending);
    return iov_length(entropy->pending->iov, entropy->pending->iov_count);
}

static struct entropy_request *take(struct fake_entropy *entropy)
{
    struct entropy_request *request = entropy->pending;

    assert(request);
    entropy->pending = NULL;
    return request;
}

void fake_entropy_complete(struct fake_entropy *entropy, uint8_t byte, size_t length)
{
    struct entropy_request *request = take(entropy);
    struct iov_cursor cursor = iov_cursor_make(request->iov, request->iov_count);

    request->done(request, (int)iov_cursor_fill(&cursor, byte, length));
}

void fake_entropy_fail(struct fake_entropy *entropy, int error)
{
    struct entropy_request *request = take(entropy);

    assert(error < 0);
    request->done(request, error);
}
