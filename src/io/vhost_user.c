/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost_user.c - see vhost_user.h.
 *
 * Telling. start() and stop() run on a vCPU's thread and must not block: what they say is sent at once or not
 * at all. A few kilobytes always fit into a socket that is read; one that is full belongs to a process that has
 * failed.
 *
 * Being told. Answers come in the order of the questions, which `asked` keeps; with them, and with the queues'
 * eventfds, the loop deals. It reads only from start() until stopped(), so that a backend at rest has nothing in
 * flight.
 *
 * Bells. start() does not wait until the process listens, and the guest may ring before. virtiofsd's library in
 * Rust watches the bell before the queue is ready, and until after it is not any more; a bell that rings then ends
 * its thread, unless the queue is disabled: then it is read and forgotten. So queues get their bells while they are
 * disabled and are disabled before they stop; a start ends with a question, and when that is answered, all bells
 * are rung.
 *
 * The end. Whatever goes wrong on the socket is the end of it (`over`), once: the owner is told, who kills the
 * process; when it has quite gone (so that nothing of guest RAM is touched any more) the listener is.
 */
#include "vhost_user.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ringlet/cleanup.h"
#include "ringlet/io_client.h"
#include "ringlet/loop.h"
#include "ringlet/util.h"
#include "vhost_user_handshake.h"
#include "vhost_user_wire.h"

/* For each queue the messages of start() and stop(); SET_MEM_TABLE, SET_FEATURES, GET_FEATURES. */
#define QUEUE_MESSAGES (6 + 2)
#define ASKED_MAX      (VHOST_MAX_QUEUES * QUEUE_MESSAGES + 3)

enum state { RESTING, WORKING, STOPPING };

struct vhost_user_queue {
    struct vhost_user *user;
    struct loop_op call_op;
    uint64_t calls; /* where the read puts the eventfd's count */
    int kick_fd, call_fd;
    bool started;
    uint32_t base; /* where it stopped: an index of the available ring */
};

struct vhost_user {
    struct vhost_backend backend;
    struct loop *loop;
    struct vhost_user_owner *owner;
    struct io_client *client;
    struct vhost_listener *listener;
    int fd, pidfd;
    uint64_t protocol_features;
    unsigned queue_max; /* that the process has */

    /* The client's lock. */
    enum state state;
    const char *over;         /* NULL, or why the connection is */
    uint8_t asked[ASKED_MAX]; /* enum vhost_user_request: what is not answered yet, oldest first */
    unsigned asked_count;
    struct vhost_user_queue queues[VHOST_MAX_QUEUES];
    struct loop_task follow_task;

    /* Loop thread. */
    struct loop_op read_op;
    unsigned have; /* bytes of `reply` */
    uint8_t reply[VHOST_USER_REPLY_SIZE];
    struct loop_op end_op; /* tells the owner, then waits for the process to go */
    bool ending, gone, told;
};

static struct vhost_user *vhost_user(struct vhost_backend *backend)
{
    return container_of(backend, struct vhost_user, backend);
}

/* --- telling --- */

static void ask(struct vhost_user *user, enum vhost_user_request request)
{
    assert(user->asked_count < ASKED_MAX);
    user->asked[user->asked_count++] = (uint8_t)request;
}

/* A question. False: it is not sent. */
static bool tell_and_ask(struct vhost_user *user, const struct vhost_user_message *message)
{
    if (vhost_user_send(user->fd, message) < 0)
        return false;
    ask(user, vhost_user_request_of(message));
    return true;
}

/* A message that is answered if the process can acknowledge. False: it is not sent. */
static bool tell(struct vhost_user *user, struct vhost_user_message message)
{
    bool acknowledged = user->protocol_features & VHOST_USER_PROTOCOL_F_REPLY_ACK;

    if (!acknowledged)
        return vhost_user_send(user->fd, &message) == 0;
    vhost_user_need_reply(&message);
    return tell_and_ask(user, &message);
}

/* Any thread; the rest is the loop's. */
static void fail(struct vhost_user *user, const char *reason)
{
    if (user->over)
        return;
    user->over = reason;
    user->asked_count = 0;
    shutdown(user->fd, SHUT_RDWR);
    loop_post(user->loop, &user->follow_task);
}

/* A message could not be sent. */
static void fail_to_tell(struct vhost_user *user)
{
    struct pollfd polled = { .fd = user->fd };

    poll(&polled, 1, 0);
    fail(user, polled.revents ? "has closed the connection" : "does not listen");
}

/* --- the loop's part: everything with the client's lock held, on the loop thread --- */

static void settle(struct vhost_user *user);

static void read_more(struct vhost_user *user)
{
    loop_read(user->loop, &user->read_op, user->fd, user->reply + user->have,
              VHOST_USER_REPLY_SIZE - user->have, LOOP_NO_OFFSET);
}

static void listen_to(struct vhost_user_queue *queue)
{
    loop_read(queue->user->loop, &queue->call_op, queue->call_fd, &queue->calls, sizeof(queue->calls),
              LOOP_NO_OFFSET);
}

/* Once more than the guest does is no harm. It fails only when a counter is full: then it has rung. */
static void ring_bells(const struct vhost_user *user)
{
    for (unsigned i = 0; i < VHOST_MAX_QUEUES; i++) {
        if (user->queues[i].started)
            eventfd_write(user->queues[i].kick_fd, 1);
    }
}

/* The oldest question has been answered; NULL, or what is wrong with it. */
static const char *take_answer(struct vhost_user *user)
{
    enum vhost_user_request request = (enum vhost_user_request)user->asked[0];
    uint32_t index, base;

    user->asked_count--;
    memmove(user->asked, user->asked + 1, user->asked_count);
    if (request == VHOST_USER_GET_FEATURES) {
        ring_bells(user);
        return NULL;
    }
    if (request != VHOST_USER_GET_VRING_BASE)
        return vhost_user_reply_u64(user->reply) == 0 ? NULL : "does not do what it is told";
    vhost_user_reply_state(user->reply, &index, &base);
    if (index >= VHOST_MAX_QUEUES || !user->queues[index].started || base > UINT16_MAX)
        return "has sent what is no answer";
    user->queues[index].started = false;
    user->queues[index].base = base;
    return NULL;
}

/* More of an answer has come. */
static void take_bytes(struct vhost_user *user)
{
    const char *wrong = NULL;

    if (!user->asked_count || (user->have >= VHOST_USER_HEADER_SIZE &&
                               !vhost_user_is_reply(user->reply, (enum vhost_user_request)user->asked[0])))
        wrong = "has sent what is no answer";
    else if (user->have == VHOST_USER_REPLY_SIZE) {
        user->have = 0;
        wrong = take_answer(user);
    }
    if (wrong)
        fail(user, wrong);
}

/* Is there still something to be read? A stopping process is heard until it has answered. */
static bool is_listening(const struct vhost_user *user)
{
    return !user->over && (user->state == WORKING || (user->state == STOPPING && user->asked_count));
}

static void read_done(struct loop_op *op, int res)
{
    struct vhost_user *user = container_of(op, struct vhost_user, read_op);

    if (res > 0) {
        user->have += (unsigned)res;
        if (!user->over)
            take_bytes(user);
    } else if (res != -ECANCELED) {
        bool closed = res == 0 || res == -ECONNRESET || res == -EPIPE;

        fail(user, closed ? "has closed the connection" : "cannot be heard any more");
    }
    settle(user);
}

static void call_done(struct loop_op *op, int res)
{
    struct vhost_user_queue *queue = container_of(op, struct vhost_user_queue, call_op);
    struct vhost_user *user = queue->user;

    if (res == sizeof(queue->calls) && !user->over)
        user->listener->ops->used(user->listener, (unsigned)(queue - user->queues));
    else if (res != -ECANCELED && res != sizeof(queue->calls))
        fail(user, "cannot be heard any more");
    settle(user);
}

static void process_gone(struct loop_op *op, int res)
{
    struct vhost_user *user = container_of(op, struct vhost_user, end_op);

    (void)res;
    user->gone = true;
    settle(user);
}

/* No lock held: whatever the owner does may take its time. */
static void tell_owner(struct loop_op *op, int res)
{
    struct vhost_user *user = container_of(op, struct vhost_user, end_op);

    (void)res;
    user->owner->ended(user->owner, user->over);
    op->done = process_gone;
    op->client = user->client;
    if (user->pidfd >= 0)
        loop_poll(user->loop, op, user->pidfd, POLLIN);
    else
        loop_complete(user->loop, op, 0);
}

/* Let go of everything that is in flight. True when nothing is. */
static bool cease(struct vhost_user *user)
{
    bool quiet = !user->read_op.pending;

    if (user->read_op.pending)
        loop_cancel(user->loop, &user->read_op);
    for (unsigned i = 0; i < VHOST_MAX_QUEUES; i++) {
        struct loop_op *op = &user->queues[i].call_op;

        if (op->pending) {
            loop_cancel(user->loop, op);
            quiet = false;
        }
    }
    return quiet;
}

static void keep_listening(struct vhost_user *user)
{
    if (!user->read_op.pending)
        read_more(user);
    for (unsigned i = 0; i < VHOST_MAX_QUEUES; i++) {
        if (user->queues[i].started && !user->queues[i].call_op.pending)
            listen_to(&user->queues[i]);
    }
}

/* Whatever has happened: go on, or come to the end that there is to come to. */
static void settle(struct vhost_user *user)
{
    bool stopping = user->state == STOPPING;

    if (is_listening(user)) {
        keep_listening(user);
        return;
    }
    if (user->over && !user->ending) {
        user->ending = true;
        user->end_op.done = tell_owner;
        user->end_op.client = NULL;
        loop_complete(user->loop, &user->end_op, 0);
    }
    if (!cease(user) || (user->over && !user->gone))
        return;
    for (unsigned i = 0; i < VHOST_MAX_QUEUES; i++)
        user->queues[i].started = false;
    user->have = 0;
    user->state = RESTING;
    if (user->over && !user->told) {
        user->told = true;
        user->listener->ops->ended(user->listener);
    }
    if (stopping)
        user->listener->ops->stopped(user->listener);
}

static void follow(struct loop_task *task)
{
    struct vhost_user *user = container_of(task, struct vhost_user, follow_task);

    pthread_mutex_lock(user->client->lock);
    settle(user);
    pthread_mutex_unlock(user->client->lock);
}

/* --- the backend --- */

static int attach(struct vhost_backend *backend, struct io_client *client, struct vhost_listener *listener,
                  const struct vhost_region *regions, unsigned region_count)
{
    struct vhost_user *user = vhost_user(backend);

    if (!region_count || region_count > VHOST_MAX_REGIONS)
        return -EINVAL;
    user->client = client;
    user->listener = listener;
    user->read_op.client = client;
    for (unsigned i = 0; i < VHOST_MAX_QUEUES; i++)
        user->queues[i].call_op.client = client;
    return tell(user, vhost_user_memory(regions, region_count)) ? 0 : -EPIPE;
}

static int doorbell(struct vhost_backend *backend, unsigned index)
{
    assert(index < VHOST_MAX_QUEUES);
    return vhost_user(backend)->queues[index].kick_fd;
}

static bool tell_queue(struct vhost_user *user, const struct vhost_queue *queue)
{
    const struct vhost_user_queue *own = &user->queues[queue->index];
    uint32_t base = queue->resume ? own->base : 0;
    unsigned index = queue->index;

    /* The bell while the queue is disabled: see above. */
    return tell(user, vhost_user_state(VHOST_USER_SET_VRING_NUM, index, queue->size)) &&
           tell(user, vhost_user_state(VHOST_USER_SET_VRING_BASE, index, base)) &&
           tell(user, vhost_user_addresses(queue)) &&
           tell(user, vhost_user_eventfd(VHOST_USER_SET_VRING_CALL, index, own->call_fd)) &&
           tell(user, vhost_user_eventfd(VHOST_USER_SET_VRING_KICK, index, own->kick_fd)) &&
           tell(user, vhost_user_state(VHOST_USER_SET_VRING_ENABLE, index, 1));
}

static bool tell_queues(struct vhost_user *user, uint64_t features, const struct vhost_queue *queues,
                        unsigned count)
{
    const struct vhost_user_message question = vhost_user_plain(VHOST_USER_GET_FEATURES);

    /* What is not the process's business (how the transport works) is not told. */
    features = (features & user->backend.features) | VHOST_USER_F_PROTOCOL_FEATURES;
    if (!tell(user, vhost_user_u64(VHOST_USER_SET_FEATURES, features)))
        return false;
    for (unsigned i = 0; i < count; i++) {
        if (!tell_queue(user, &queues[i]))
            return false;
    }
    return tell_and_ask(user, &question);
}

static int start(struct vhost_backend *backend, uint64_t features, const struct vhost_queue *queues,
                 unsigned count)
{
    struct vhost_user *user = vhost_user(backend);

    if (user->over || user->state != RESTING)
        return -EPIPE;
    if (count > VHOST_MAX_QUEUES)
        return -EINVAL;
    for (unsigned i = 0; i < count; i++) {
        if (queues[i].index >= user->queue_max)
            return -EINVAL;
    }
    /* One that cannot be told has started and ended: whoever waits for ended() sees to it that nothing goes first. */
    if (!tell_queues(user, features, queues, count))
        fail_to_tell(user);
    for (unsigned i = 0; i < count; i++)
        user->queues[queues[i].index].started = true;
    user->state = WORKING;
    loop_post(user->loop, &user->follow_task);
    return 0;
}

static void stop(struct vhost_backend *backend)
{
    struct vhost_user *user = vhost_user(backend);

    assert(user->state == WORKING);
    user->state = STOPPING;
    for (unsigned i = 0; i < VHOST_MAX_QUEUES && !user->over; i++) {
        const struct vhost_user_message question = vhost_user_state(VHOST_USER_GET_VRING_BASE, i, 0);

        if (!user->queues[i].started)
            continue;
        if (!tell(user, vhost_user_state(VHOST_USER_SET_VRING_ENABLE, i, 0)) ||
            !tell_and_ask(user, &question))
            fail_to_tell(user);
    }
    loop_post(user->loop, &user->follow_task);
}

static void release(struct vhost_user *user)
{
    for (unsigned i = 0; i < VHOST_MAX_QUEUES; i++) {
        if (user->queues[i].kick_fd >= 0)
            close(user->queues[i].kick_fd);
        if (user->queues[i].call_fd >= 0)
            close(user->queues[i].call_fd);
    }
    free(user);
}

static void destroy(struct vhost_backend *backend)
{
    struct vhost_user *user = vhost_user(backend);
    struct vhost_user_owner *owner = user->owner;

    close(user->fd);
    release(user);
    owner->destroyed(owner);
}

static const struct vhost_backend_ops user_ops = {
    .attach = attach,
    .doorbell = doorbell,
    .start = start,
    .stop = stop,
    .destroy = destroy,
};

/* O_NONBLOCK: the other side has them too, and could fill a counter so that a bell blocks. */
static int create_eventfds(struct vhost_user *user)
{
    for (unsigned i = 0; i < VHOST_MAX_QUEUES; i++) {
        user->queues[i].kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (user->queues[i].kick_fd < 0)
            return -errno;
        user->queues[i].call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (user->queues[i].call_fd < 0)
            return -errno;
    }
    return 0;
}

int vhost_user_create(struct loop *loop, const struct vhost_user_options *options,
                      struct vhost_backend **ret_backend)
{
    struct vhost_user *user = calloc(1, sizeof(*user));
    struct vhost_user_process process = { 0 };
    int result;

    if (!user)
        return -ENOMEM;
    user->backend.ops = &user_ops;
    user->loop = loop;
    user->owner = options->owner;
    user->fd = options->fd;
    user->pidfd = options->pidfd;
    user->read_op.done = read_done;
    user->follow_task.run = follow;
    for (unsigned i = 0; i < VHOST_MAX_QUEUES; i++)
        user->queues[i] = (struct vhost_user_queue){
            .user = user, .call_op.done = call_done, .kick_fd = -1, .call_fd = -1
        };
    result = create_eventfds(user);
    if (result == 0)
        result = vhost_user_shake_hands(options, &process);
    if (result < 0) {
        release(user);
        return result;
    }
    user->backend.features = process.features;
    user->protocol_features = process.protocol_features;
    user->queue_max = process.queue_max;
    *ret_backend = &user->backend;
    return 0;
}
