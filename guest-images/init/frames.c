/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frames.c - see frames.h.
 */
#include "frames.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "deadline.h"

static bool head_is_valid(const struct guest_frame *head)
{
    switch (head->type) {
    case GUEST_RUN:
        return head->length >= 1 && head->length <= GUEST_FRAME_TO_GUEST_MAX;
    case GUEST_SIGNAL:
        return head->length == sizeof(uint32_t);
    case GUEST_WINDOW:
        return head->length == sizeof(struct guest_window);
    default:
        return false;
    }
}

void frame_reader_next(struct frame_reader *reader)
{
    free(reader->body);
    *reader = (struct frame_reader){ 0 };
}

static int read_some(struct frame_reader *reader, int fd, bool *ret_blocked)
{
    unsigned char *to = (unsigned char *)&reader->head + reader->received;
    size_t wanted = sizeof(reader->head) - reader->received;
    ssize_t count;

    if (reader->received >= sizeof(reader->head)) {
        to = reader->body + (reader->received - sizeof(reader->head));
        wanted = sizeof(reader->head) + reader->head.length - reader->received;
    }
    count = read(fd, to, wanted);
    if (count > 0)
        reader->received += (size_t)count;
    else if (count == 0)
        return -EPIPE;
    else if (errno == EAGAIN)
        *ret_blocked = true;
    else if (errno != EINTR)
        return -errno;
    return 0;
}

int frame_reader_read(struct frame_reader *reader, int fd, bool *ret_complete)
{
    bool blocked = false;
    int result = 0;

    while (!blocked) {
        if (reader->received >= sizeof(reader->head) && !reader->body) {
            if (!head_is_valid(&reader->head))
                return -EPROTO;
            reader->body = malloc(reader->head.length);
            if (!reader->body)
                return -ENOMEM;
        }
        if (reader->body && reader->received == sizeof(reader->head) + reader->head.length)
            break;
        result = read_some(reader, fd, &blocked);
        if (result < 0)
            return result;
    }
    *ret_complete = !blocked;
    return 0;
}

int frame_send(int fd, enum guest_frame_type type, const void *body, size_t length, int milliseconds)
{
    unsigned char bytes[sizeof(struct guest_frame) + GUEST_FRAME_TO_HOST_MAX];
    struct guest_frame head = { .type = type, .length = (uint32_t)length };
    size_t size = sizeof(head) + length, sent = 0;
    int64_t deadline = deadline_in(milliseconds);

    assert(length <= GUEST_FRAME_TO_HOST_MAX);
    memcpy(bytes, &head, sizeof(head));
    if (length)
        memcpy(bytes + sizeof(head), body, length);
    while (sent < size) {
        struct pollfd waited = { .fd = fd, .events = POLLOUT };
        ssize_t count = write(fd, bytes + sent, size - sent);

        if (count > 0) {
            sent += (size_t)count;
            continue;
        }
        if (count < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        /* A port says that nobody is at the other end by a hang-up, and would let us wait for somebody. */
        if (poll(&waited, 1, deadline_left(deadline)) > 0 && (waited.revents & (POLLHUP | POLLERR)))
            return -EPIPE;
        if (!deadline_left(deadline))
            return -ETIMEDOUT;
    }
    return 0;
}
