/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse_client.c - see fuse_client.h. The rings are laid out by hand (virtio 1.2, 2.7): a request is a chain of two
 * descriptors, what is asked and room for the answer.
 */
#include "fuse_client.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "ringlet/guest_memory.h"
#include "ringlet/io_client.h"
#include "ringlet/loop.h"
#include "ringlet/util.h"
#include "ringlet/vhost_backend.h"

#define VERSION_1  (UINT64_C(1) << 32)
#define QUEUE      1 /* queue 0 is for requests that cannot wait */
#define QUEUE_SIZE 16
#define RAM_BASE   MIB
#define RAM_SIZE   MIB
#define ASKED_AT   0x10000 /* in RAM */
#define ANSWER_AT  0x40000
#define ROOM       0x20000 /* of either */

struct fuse_client {
    struct loop *loop;
    struct vhost_backend *backend;
    struct guest_memory *memory;
    uint8_t *ram;
    struct vhost_listener listener;
    struct io_client client;
    pthread_mutex_t lock;
    struct vhost_queue queues[2];
    uint16_t avail_idx;
    uint64_t unique;
    unsigned used, stopped;
    bool ended;
};

static struct fuse_client *client_of(struct vhost_listener *listener)
{
    struct fuse_client *client = container_of(listener, struct fuse_client, listener);

    loop_stop(client->loop);
    return client;
}

static void used(struct vhost_listener *listener, unsigned index)
{
    (void)index;
    client_of(listener)->used++;
}

static void stopped(struct vhost_listener *listener)
{
    client_of(listener)->stopped++;
}

static void ended(struct vhost_listener *listener)
{
    client_of(listener)->ended = true;
}

static const struct vhost_listener_ops listener_ops = { .used = used, .stopped = stopped, .ended = ended };

static struct vring_desc *descriptors(struct fuse_client *client)
{
    return (struct vring_desc *)(void *)(client->ram + 0x4000);
}

static struct vring_avail *available(struct fuse_client *client)
{
    return (struct vring_avail *)(void *)(client->ram + 0x5000);
}

static volatile struct vring_used *used_ring(struct fuse_client *client)
{
    return (volatile struct vring_used *)(void *)(client->ram + 0x6000);
}

static void start(struct fuse_client *client)
{
    int result;

    pthread_mutex_lock(&client->lock);
    result = client->backend->ops->start(client->backend, VERSION_1, client->queues, 2);
    pthread_mutex_unlock(&client->lock);
    assert_int_equal(result, 0);
}

static void stop(struct fuse_client *client)
{
    unsigned before = client->stopped;

    pthread_mutex_lock(&client->lock);
    client->backend->ops->stop(client->backend);
    pthread_mutex_unlock(&client->lock);
    while (client->stopped == before)
        assert_int_equal(loop_run(client->loop), 0);
}

/* 0 with `answer_size` bytes of the answer, or -errno. */
static int request(struct fuse_client *client, uint32_t opcode, uint64_t node, const void *body,
                   size_t body_size, const char *name, const char *text, void *answer, size_t answer_size)
{
    struct fuse_in_header asked = { .opcode = opcode, .unique = ++client->unique, .nodeid = node };
    struct fuse_out_header answered;
    uint8_t *to = client->ram + ASKED_AT + sizeof(asked);
    size_t name_size = name ? strlen(name) + 1 : 0, text_size = text ? strlen(text) : 0;

    asked.len = (uint32_t)(sizeof(asked) + body_size + name_size + text_size);
    assert_true(asked.len <= ROOM);
    memcpy(client->ram + ASKED_AT, &asked, sizeof(asked));
    if (body_size)
        memcpy(to, body, body_size);
    if (name)
        memcpy(to + body_size, name, name_size);
    if (text)
        memcpy(to + body_size + name_size, text, text_size);
    descriptors(client)[0] = (struct vring_desc){
        .addr = RAM_BASE + ASKED_AT, .len = asked.len, .flags = VRING_DESC_F_NEXT, .next = 1
    };
    descriptors(client)[1] =
        (struct vring_desc){ .addr = RAM_BASE + ANSWER_AT,
                             .len = (uint32_t)(sizeof(answered) + (answer_size ? answer_size : 16)),
                             .flags = VRING_DESC_F_WRITE };
    available(client)->ring[client->avail_idx % QUEUE_SIZE] = 0;
    __atomic_store_n(&available(client)->idx, ++client->avail_idx, __ATOMIC_RELEASE);
    assert_int_equal(eventfd_write(client->backend->ops->doorbell(client->backend, QUEUE), 1), 0);
    while (__atomic_load_n(&used_ring(client)->idx, __ATOMIC_ACQUIRE) != client->avail_idx && !client->ended)
        assert_int_equal(loop_run(client->loop), 0);
    if (client->ended)
        return -EPIPE;
    memcpy(&answered, client->ram + ANSWER_AT, sizeof(answered));
    assert_int_equal(answered.unique, client->unique);
    if (answered.error == 0 && answer_size) {
        memset(answer, 0, answer_size);
        memcpy(answer, client->ram + ANSWER_AT + sizeof(answered),
               answered.len - sizeof(answered) < answer_size ? answered.len - sizeof(answered) : answer_size);
    }
    return answered.error;
}

struct fuse_client *fuse_client_create(struct loop *loop, struct vhost_backend *backend)
{
    struct fuse_client *client = calloc(1, sizeof(*client));
    struct fuse_init_in init = { .major = FUSE_KERNEL_VERSION, .minor = 31, .max_readahead = 4096 };
    struct fuse_init_out answer;
    struct vhost_region region = { .base = RAM_BASE, .size = RAM_SIZE };

    assert_non_null(client);
    client->loop = loop;
    client->backend = backend;
    client->listener.ops = &listener_ops;
    pthread_mutex_init(&client->lock, NULL);
    client->client.lock = &client->lock;
    assert_int_equal(guest_memory_create_shared(&client->memory), 0);
    assert_int_equal(guest_memory_add_ram(client->memory, RAM_BASE, RAM_SIZE), 0);
    region.host = guest_memory_region_at(client->memory, 0)->host;
    region.fd = guest_memory_region_at(client->memory, 0)->fd;
    client->ram = region.host;
    for (unsigned i = 0; i < 2; i++) {
        uint8_t *ring = client->ram + (size_t)i * 0x4000;

        client->queues[i] = (struct vhost_queue){
            .index = i, .size = QUEUE_SIZE, .desc = ring, .avail = ring + 0x1000, .used = ring + 0x2000
        };
    }
    assert_int_equal(backend->ops->attach(backend, &client->client, &client->listener, &region, 1), 0);
    start(client);
    assert_int_equal(request(client, FUSE_INIT, 0, &init, sizeof(init), NULL, NULL, &answer, sizeof(answer)),
                     0);
    assert_int_equal(answer.major, FUSE_KERNEL_VERSION);
    return client;
}

void fuse_client_destroy(struct fuse_client *client)
{
    if (!client->ended)
        stop(client);
    vhost_backend_destroy(client->backend);
    guest_memory_destroy(client->memory);
    pthread_mutex_destroy(&client->lock);
    free(client);
}

int fuse_client_lookup(struct fuse_client *client, uint64_t parent, const char *name, uint64_t *ret_node)
{
    struct fuse_entry_out entry;
    int result = request(client, FUSE_LOOKUP, parent, NULL, 0, name, NULL, &entry, sizeof(entry));

    if (result == 0)
        *ret_node = entry.nodeid;
    return result;
}

int fuse_client_mkdir(struct fuse_client *client, uint64_t parent, const char *name)
{
    const struct fuse_mkdir_in in = { .mode = 0755 };
    struct fuse_entry_out entry;

    return request(client, FUSE_MKDIR, parent, &in, sizeof(in), name, NULL, &entry, sizeof(entry));
}

int fuse_client_create_file(struct fuse_client *client, uint64_t parent, const char *name, const char *text)
{
    const struct fuse_create_in in = { .flags = O_RDWR | O_CREAT, .mode = S_IFREG | 0644 };
    struct {
        struct fuse_entry_out entry;
        struct fuse_open_out open;
    } created;
    struct fuse_write_in write_in = { .size = (uint32_t)strlen(text) };
    struct fuse_release_in release = { .flags = O_RDWR };
    struct fuse_write_out written;
    int result = request(client, FUSE_CREATE, parent, &in, sizeof(in), name, NULL, &created, sizeof(created));

    if (result < 0)
        return result;
    write_in.fh = release.fh = created.open.fh;
    result = request(client, FUSE_WRITE, created.entry.nodeid, &write_in, sizeof(write_in), NULL, text,
                     &written, sizeof(written));
    assert_true(result < 0 || written.size == strlen(text));
    request(client, FUSE_RELEASE, created.entry.nodeid, &release, sizeof(release), NULL, NULL, NULL, 0);
    return result;
}

int fuse_client_unlink(struct fuse_client *client, uint64_t parent, const char *name)
{
    return request(client, FUSE_UNLINK, parent, NULL, 0, name, NULL, NULL, 0);
}

int fuse_client_read_file(struct fuse_client *client, uint64_t node, char *text, size_t size)
{
    struct fuse_open_in open_in = { .flags = O_RDONLY };
    struct fuse_open_out opened;
    struct fuse_read_in in = { .size = (uint32_t)size - 1 };
    struct fuse_release_in release = { .flags = O_RDONLY };
    int result =
        request(client, FUSE_OPEN, node, &open_in, sizeof(open_in), NULL, NULL, &opened, sizeof(opened));

    if (result < 0)
        return result;
    in.fh = release.fh = opened.fh;
    result = request(client, FUSE_READ, node, &in, sizeof(in), NULL, NULL, text, size - 1);
    text[size - 1] = '\0';
    request(client, FUSE_RELEASE, node, &release, sizeof(release), NULL, NULL, NULL, 0);
    return result;
}

void fuse_client_pause(struct fuse_client *client)
{
    stop(client);
    for (unsigned i = 0; i < 2; i++)
        client->queues[i].resume = true;
    start(client);
}

void fuse_client_wait_for_end(struct fuse_client *client)
{
    while (!client->ended)
        assert_int_equal(loop_run(client->loop), 0);
}
