/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost_peer.c - see vhost_peer.h. Knows the protocol by itself, so that a mistake in ours is not shared.
 */
#include "vhost_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define VERSION    1U
#define REPLY      4U
#define NEED_REPLY 8U

struct vhost_peer *vhost_peer_create(int *ret_fd)
{
    struct vhost_peer *peer = calloc(1, sizeof(*peer));
    int ends[2];

    assert_non_null(peer);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    *ret_fd = ends[0];
    peer->fd = ends[1];
    peer->features = UINT64_C(0x175000000); /* as virtiofsd */
    peer->protocol_features = 0x8c2b;
    peer->queue_num = 2;
    pthread_mutex_init(&peer->lock, NULL);
    pthread_cond_init(&peer->heard_more, NULL);
    return peer;
}

/* A whole message; false at the end. */
static bool hear(struct vhost_peer *peer, struct vhost_peer_message *message)
{
    uint32_t header[3];
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(message->fds))];
    } control;
    struct iovec iov = { header, sizeof(header) };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };
    const struct cmsghdr *with;

    *message = (struct vhost_peer_message){ 0 };
    if (recvmsg(peer->fd, &msg, MSG_WAITALL | MSG_CMSG_CLOEXEC) != sizeof(header))
        return false;
    with = CMSG_FIRSTHDR(&msg);
    if (with && with->cmsg_type == SCM_RIGHTS) {
        message->fd_count = (unsigned)((with->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(message->fds, CMSG_DATA(with), message->fd_count * sizeof(int));
    }
    message->request = header[0];
    message->flags = header[1];
    message->size = header[2];
    if (message->size > sizeof(message->payload))
        return false;
    return !message->size ||
           recv(peer->fd, message->payload, message->size, MSG_WAITALL) == (ssize_t)message->size;
}

uint64_t vhost_peer_u64(const struct vhost_peer_message *message)
{
    uint64_t value;

    memcpy(&value, message->payload, sizeof(value));
    return value;
}

uint32_t vhost_peer_u32(const struct vhost_peer_message *message, unsigned index)
{
    uint32_t value;

    memcpy(&value, message->payload + index * sizeof(value), sizeof(value));
    return value;
}

/* Is there an answer, and which? */
static bool answer_to(const struct vhost_peer *peer, const struct vhost_peer_message *message,
                      uint64_t *value)
{
    uint32_t index = vhost_peer_u32(message, 0);

    switch (message->request) {
    case PEER_GET_FEATURES:
        *value = peer->features;
        return true;
    case PEER_GET_PROTOCOL_FEATURES:
        *value = peer->protocol_features;
        return true;
    case PEER_GET_QUEUE_NUM:
        *value = peer->queue_num;
        return true;
    case PEER_GET_VRING_BASE:
        *value = (uint64_t)peer->bases[index & 7] << 32 | index;
        return true;
    default:
        *value = 0;
        return message->flags & NEED_REPLY;
    }
}

static void send_all(const struct vhost_peer *peer, const void *bytes, size_t length, size_t step)
{
    for (size_t sent = 0; sent < length; sent += step)
        (void)!send(peer->fd, (const char *)bytes + sent, length - sent < step ? length - sent : step,
                    MSG_NOSIGNAL);
}

/* False: that was the last word. */
static bool answer(const struct vhost_peer *peer, const struct vhost_peer_message *message, uint64_t value,
                   enum vhost_peer_deed deed)
{
    struct {
        uint32_t request, flags, size;
        uint64_t value;
    } __attribute__((packed)) reply = { message->request, message->flags | REPLY, 8, value };
    size_t length = sizeof(reply), step = sizeof(reply);
    bool last = false;

    switch (deed) {
    case PEER_ANSWERS_BYTE_BY_BYTE:
        step = 1;
        break;
    case PEER_CLOSES:
        return false;
    case PEER_CLOSES_IN_HEADER:
        length = 7;
        last = true;
        break;
    case PEER_CLOSES_IN_PAYLOAD:
        length = 15;
        last = true;
        break;
    case PEER_IS_SILENT:
        return true;
    case PEER_OTHER_REQUEST:
        reply.request ^= 0x40;
        break;
    case PEER_OTHER_VERSION:
        reply.flags ^= 3;
        break;
    case PEER_NO_REPLY_FLAG:
        reply.flags &= ~REPLY;
        break;
    case PEER_TOO_LONG:
        reply.size = 9;
        break;
    case PEER_MUCH_TOO_LONG:
        reply.size = UINT32_MAX;
        break;
    case PEER_TOO_SHORT:
        reply.size = 4;
        break;
    case PEER_ODD_VALUE:
        reply.value = peer->odd_value;
        break;
    case PEER_ANSWERS_TWICE:
        send_all(peer, &reply, length, step);
        break;
    default:
        break;
    }
    send_all(peer, &reply, length, step);
    return !last;
}

static void *serve(void *argument)
{
    struct vhost_peer *peer = argument;
    struct vhost_peer_message message;
    bool more = true;

    while (more && hear(peer, &message)) {
        uint64_t value = 0;

        pthread_mutex_lock(&peer->lock);
        if (peer->heard < VHOST_PEER_MESSAGES)
            peer->messages[peer->heard++] = message;
        if (message.request == peer->odd_request)
            more = answer(peer, &message, answer_to(peer, &message, &value) ? value : 0, peer->deed);
        else if (answer_to(peer, &message, &value))
            more = answer(peer, &message, value, PEER_ANSWERS);
        pthread_cond_broadcast(&peer->heard_more);
        pthread_mutex_unlock(&peer->lock);
    }
    shutdown(peer->fd, SHUT_RDWR);
    pthread_mutex_lock(&peer->lock);
    peer->over = true;
    pthread_cond_broadcast(&peer->heard_more);
    pthread_mutex_unlock(&peer->lock);
    return NULL;
}

void vhost_peer_start(struct vhost_peer *peer)
{
    assert_int_equal(pthread_create(&peer->thread, NULL, serve, peer), 0);
}

const struct vhost_peer_message *vhost_peer_wait(struct vhost_peer *peer, unsigned count)
{
    bool heard;

    pthread_mutex_lock(&peer->lock);
    while (peer->heard < count && !peer->over)
        pthread_cond_wait(&peer->heard_more, &peer->lock);
    heard = peer->heard >= count;
    pthread_mutex_unlock(&peer->lock);
    assert_true(heard);
    return &peer->messages[count - 1];
}

void vhost_peer_set_odd(struct vhost_peer *peer, uint32_t request, enum vhost_peer_deed deed, uint64_t value)
{
    pthread_mutex_lock(&peer->lock);
    peer->odd_request = request;
    peer->deed = deed;
    peer->odd_value = value;
    pthread_mutex_unlock(&peer->lock);
}

void vhost_peer_close(struct vhost_peer *peer)
{
    shutdown(peer->fd, SHUT_RDWR);
}

void vhost_peer_destroy(struct vhost_peer *peer)
{
    vhost_peer_close(peer);
    if (peer->thread)
        pthread_join(peer->thread, NULL);
    for (unsigned i = 0; i < peer->heard; i++) {
        for (unsigned j = 0; j < peer->messages[i].fd_count; j++)
            close(peer->messages[i].fds[j]);
    }
    close(peer->fd);
    pthread_cond_destroy(&peer->heard_more);
    pthread_mutex_destroy(&peer->lock);
    free(peer);
}
