/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost_user_handshake.c - see vhost_user_handshake.h.
 */
#include "vhost_user_handshake.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "ringlet/monotonic.h"
#include "ringlet/util.h"
#include "vhost_user.h"
#include "vhost_user_wire.h"

/* All of `length` bytes. A process that ends without closing (somebody has its socket) counts as closed. */
static int receive(const struct vhost_user_options *options, uint8_t *bytes, size_t length, int64_t deadline)
{
    struct pollfd polled[] = { { .fd = options->fd, .events = POLLIN },
                               { .fd = options->pidfd, .events = POLLIN },
                               { .fd = options->interrupt_fd ? options->interrupt_fd : -1,
                                 .events = POLLIN } };

    for (size_t have = 0; have < length;) {
        int64_t left = deadline - monotonic_ms();
        ssize_t got = recv(options->fd, bytes + have, length - have, MSG_DONTWAIT);
        int ready;

        if (got > 0) {
            have += (size_t)got;
            continue;
        }
        if (got == 0 || errno == ECONNRESET || errno == EPIPE || polled[1].revents)
            return -ECONNRESET;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
        if (polled[2].revents)
            return -EINTR;
        ready = poll(polled, ARRAY_SIZE(polled), left > 0 ? (int)left : 0);
        if (ready == 0)
            return -ETIMEDOUT;
        if (ready < 0 && errno != EINTR)
            return -errno;
    }
    return 0;
}

static int say(int fd, struct vhost_user_message message)
{
    int result = vhost_user_send(fd, &message);

    return result == -EPIPE ? -ECONNRESET : result;
}

static int inquire(const struct vhost_user_options *options, enum vhost_user_request request,
                   int64_t deadline, uint64_t *ret_value)
{
    uint8_t reply[VHOST_USER_REPLY_SIZE];
    int result = say(options->fd, vhost_user_plain(request));

    if (result == 0)
        result = receive(options, reply, VHOST_USER_HEADER_SIZE, deadline);
    if (result == 0 && !vhost_user_is_reply(reply, request))
        result = -EPROTO;
    if (result == 0)
        result = receive(options, reply + VHOST_USER_HEADER_SIZE,
                         VHOST_USER_REPLY_SIZE - VHOST_USER_HEADER_SIZE, deadline);
    if (result == 0)
        *ret_value = vhost_user_reply_u64(reply);
    return result;
}

int vhost_user_shake_hands(const struct vhost_user_options *options, struct vhost_user_process *ret_process)
{
    int64_t deadline = monotonic_ms() + options->timeout_ms;
    uint64_t features = 0, protocol_features = 0, queues = VHOST_MAX_QUEUES;
    int result = say(options->fd, vhost_user_plain(VHOST_USER_SET_OWNER));

    if (result == 0)
        result = inquire(options, VHOST_USER_GET_FEATURES, deadline, &features);
    /* Without them there is no SET_VRING_ENABLE; every process of this decade has them. */
    if (result == 0 && !(features & VHOST_USER_F_PROTOCOL_FEATURES))
        result = -EPROTO;
    if (result == 0)
        result = inquire(options, VHOST_USER_GET_PROTOCOL_FEATURES, deadline, &protocol_features);
    if (result < 0)
        return result;
    protocol_features &= VHOST_USER_PROTOCOL_F_MQ | VHOST_USER_PROTOCOL_F_REPLY_ACK;
    result = say(options->fd, vhost_user_u64(VHOST_USER_SET_PROTOCOL_FEATURES, protocol_features));
    if (result == 0 && protocol_features & VHOST_USER_PROTOCOL_F_MQ)
        result = inquire(options, VHOST_USER_GET_QUEUE_NUM, deadline, &queues);
    if (result < 0)
        return result;
    ret_process->features = features & ~VHOST_USER_F_PROTOCOL_FEATURES;
    ret_process->protocol_features = protocol_features;
    ret_process->queue_max = queues < VHOST_MAX_QUEUES ? (unsigned)queues : VHOST_MAX_QUEUES;
    return 0;
}
