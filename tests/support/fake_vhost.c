/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_vhost.c - see fake_vhost.h.
 */
#include "fake_vhost.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "ringlet/io_client.h"
#include "ringlet/util.h"

static struct fake_vhost *from(struct vhost_backend *backend)
{
    return container_of(backend, struct fake_vhost, backend);
}

static void assert_locked(const struct fake_vhost *vhost)
{
    assert_int_equal(pthread_mutex_trylock(vhost->client->lock), EBUSY);
}

static int fake_vhost_attach(struct vhost_backend *backend, struct io_client *client,
                             struct vhost_listener *listener, const struct vhost_region *regions,
                             unsigned region_count)
{
    struct fake_vhost *vhost = from(backend);

    assert_null(vhost->client);
    assert_non_null(client);
    assert_true(listener->ops->used && listener->ops->stopped && listener->ops->ended);
    assert_true(region_count > 0 && region_count <= VHOST_MAX_REGIONS);
    if (vhost->attach_error)
        return vhost->attach_error;
    vhost->client = client;
    vhost->listener = listener;
    memcpy(vhost->regions, regions, region_count * sizeof(*regions));
    vhost->region_count = region_count;
    return 0;
}

static int fake_vhost_doorbell(struct vhost_backend *backend, unsigned index)
{
    assert_true(index < VHOST_MAX_QUEUES);
    return from(backend)->doorbell_error ? from(backend)->doorbell_error : from(backend)->eventfds[index];
}

static int fake_vhost_start(struct vhost_backend *backend, uint64_t features,
                            const struct vhost_queue *queues, unsigned count)
{
    struct fake_vhost *vhost = from(backend);

    assert_locked(vhost);
    assert_false(vhost->working || vhost->stopping || vhost->ended);
    assert_true(count > 0 && count <= VHOST_MAX_QUEUES);
    assert_true((features & ~backend->features) == 0);
    for (unsigned i = 0; i < count; i++) {
        assert_true(queues[i].index < VHOST_MAX_QUEUES && is_power_of_two(queues[i].size));
        assert_true(queues[i].desc && queues[i].avail && queues[i].used);
    }
    if (vhost->start_error)
        return vhost->start_error;
    vhost->features = features;
    memcpy(vhost->queues, queues, count * sizeof(*queues));
    vhost->queue_count = count;
    vhost->starts++;
    vhost->working = true;
    return 0;
}

static void fake_vhost_asked_to_stop(struct vhost_backend *backend)
{
    struct fake_vhost *vhost = from(backend);

    assert_locked(vhost);
    assert_true(vhost->working && !vhost->stopping && !vhost->ended);
    vhost->stopping = true;
    vhost->stops++;
    sem_post(&vhost->stop_called);
}

static void fake_vhost_destroy(struct vhost_backend *backend)
{
    struct fake_vhost *vhost = from(backend);

    assert_false(vhost->working || vhost->destroyed);
    vhost->destroyed = true;
}

static const struct vhost_backend_ops fake_vhost_ops = {
    .attach = fake_vhost_attach,
    .doorbell = fake_vhost_doorbell,
    .start = fake_vhost_start,
    .stop = fake_vhost_asked_to_stop,
    .destroy = fake_vhost_destroy,
};

void fake_vhost_init(struct fake_vhost *vhost, uint64_t features)
{
    *vhost = (struct fake_vhost){ .backend = { .ops = &fake_vhost_ops, .features = features } };
    sem_init(&vhost->stop_called, 0, 0);
    for (unsigned i = 0; i < VHOST_MAX_QUEUES; i++) {
        vhost->eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        assert_true(vhost->eventfds[i] >= 0);
    }
}

void fake_vhost_finish(struct fake_vhost *vhost)
{
    for (unsigned i = 0; i < VHOST_MAX_QUEUES; i++)
        assert_int_equal(close(vhost->eventfds[i]), 0); /* nobody else closed it */
    sem_destroy(&vhost->stop_called);
}

void fake_vhost_used(struct fake_vhost *vhost, unsigned index)
{
    vhost->listener->ops->used(vhost->listener, index);
}

void fake_vhost_stop(struct fake_vhost *vhost)
{
    assert_true(vhost->stopping);
    vhost->working = vhost->stopping = false;
    vhost->listener->ops->stopped(vhost->listener);
}

void fake_vhost_end(struct fake_vhost *vhost)
{
    assert_false(vhost->ended);
    vhost->ended = true;
    if (!vhost->stopping)
        vhost->working = false;
    vhost->listener->ops->ended(vhost->listener);
}

uint64_t fake_vhost_take_rings(struct fake_vhost *vhost, unsigned index)
{
    uint64_t rings;

    if (read(vhost->eventfds[index], &rings, sizeof(rings)) != sizeof(rings)) {
        assert_int_equal(errno, EAGAIN);
        return 0;
    }
    return rings;
}
