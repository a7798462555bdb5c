/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost_user_wire.c - see vhost_user_wire.h.
 */
#include "vhost_user_wire.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* "Header": flags */
#define VERSION_MASK    UINT32_C(0x3)
#define VERSION         UINT32_C(0x1)
#define FLAG_REPLY      (UINT32_C(1) << 2)
#define FLAG_NEED_REPLY (UINT32_C(1) << 3)

struct header {
    uint32_t request, flags, size;
};

struct vring_state {
    uint32_t index, number;
};

struct vring_address {
    uint32_t index, flags;
    uint64_t descriptor, used, available, log;
};

struct memory_region {
    uint64_t guest_address, size, user_address, mmap_offset;
};

struct memory_table {
    uint32_t count, padding;
    struct memory_region regions[VHOST_MAX_REGIONS];
};

static_assert(sizeof(struct header) == VHOST_USER_HEADER_SIZE, "no padding");
static_assert(sizeof(struct vring_address) == 40, "no padding");
static_assert(sizeof(struct memory_table) == VHOST_USER_MAX_SIZE - VHOST_USER_HEADER_SIZE, "no padding");

static struct vhost_user_message make(enum vhost_user_request request, const void *payload, size_t size)
{
    const struct header header = { .request = request, .flags = VERSION, .size = (uint32_t)size };
    struct vhost_user_message made = { .length = sizeof(header) + size };

    memcpy(made.bytes, &header, sizeof(header));
    if (size)
        memcpy(made.bytes + sizeof(header), payload, size);
    return made;
}

struct vhost_user_message vhost_user_plain(enum vhost_user_request request)
{
    return make(request, NULL, 0);
}

struct vhost_user_message vhost_user_u64(enum vhost_user_request request, uint64_t value)
{
    return make(request, &value, sizeof(value));
}

struct vhost_user_message vhost_user_state(enum vhost_user_request request, unsigned index, uint32_t number)
{
    const struct vring_state state = { .index = index, .number = number };

    return make(request, &state, sizeof(state));
}

struct vhost_user_message vhost_user_eventfd(enum vhost_user_request request, unsigned index, int fd)
{
    struct vhost_user_message made = vhost_user_u64(request, index);

    made.fds[made.fd_count++] = fd;
    return made;
}

struct vhost_user_message vhost_user_addresses(const struct vhost_queue *queue)
{
    const struct vring_address address = {
        .index = queue->index,
        .descriptor = (uintptr_t)queue->desc,
        .used = (uintptr_t)queue->used,
        .available = (uintptr_t)queue->avail,
    };

    return make(VHOST_USER_SET_VRING_ADDR, &address, sizeof(address));
}

struct vhost_user_message vhost_user_memory(const struct vhost_region *regions, unsigned count)
{
    struct memory_table table = { .count = count };
    struct vhost_user_message made;

    for (unsigned i = 0; i < count; i++)
        table.regions[i] = (struct memory_region){
            .guest_address = regions[i].base,
            .size = regions[i].size,
            .user_address = (uintptr_t)regions[i].host,
            .mmap_offset = regions[i].offset,
        };
    made = make(VHOST_USER_SET_MEM_TABLE, &table,
                sizeof(table) - (VHOST_MAX_REGIONS - count) * sizeof(table.regions[0]));
    for (unsigned i = 0; i < count; i++)
        made.fds[made.fd_count++] = regions[i].fd;
    return made;
}

static struct header header_of(const uint8_t *bytes)
{
    struct header header;

    memcpy(&header, bytes, sizeof(header));
    return header;
}

int vhost_user_send(int fd, const struct vhost_user_message *message)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(message->fds))];
    } control = { 0 };
    struct iovec iov = { .iov_base = (void *)(uintptr_t)message->bytes, .iov_len = message->length };
    struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t sent;

    if (message->fd_count) {
        size_t size = message->fd_count * sizeof(message->fds[0]);

        header.msg_control = &control;
        header.msg_controllen = CMSG_SPACE(size);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(size);
        memcpy(CMSG_DATA(&control.header), message->fds, size);
    }
    do
        sent = sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return -errno;
    return (size_t)sent == message->length ? 0 : -EAGAIN;
}

void vhost_user_need_reply(struct vhost_user_message *message)
{
    struct header header = header_of(message->bytes);

    header.flags |= FLAG_NEED_REPLY;
    memcpy(message->bytes, &header, sizeof(header));
}

enum vhost_user_request vhost_user_request_of(const struct vhost_user_message *message)
{
    return (enum vhost_user_request)header_of(message->bytes).request;
}

bool vhost_user_is_reply(const uint8_t header[VHOST_USER_HEADER_SIZE], enum vhost_user_request request)
{
    struct header parsed = header_of(header);

    /* Other flags may be set: QEMU's library leaves the request's own. */
    return parsed.request == (uint32_t)request && (parsed.flags & VERSION_MASK) == VERSION &&
           parsed.flags & FLAG_REPLY && parsed.size == VHOST_USER_REPLY_SIZE - VHOST_USER_HEADER_SIZE;
}

uint64_t vhost_user_reply_u64(const uint8_t reply[VHOST_USER_REPLY_SIZE])
{
    uint64_t value;

    memcpy(&value, reply + VHOST_USER_HEADER_SIZE, sizeof(value));
    return value;
}

void vhost_user_reply_state(const uint8_t reply[VHOST_USER_REPLY_SIZE], uint32_t *ret_index,
                            uint32_t *ret_number)
{
    struct vring_state state;

    memcpy(&state, reply + VHOST_USER_HEADER_SIZE, sizeof(state));
    *ret_index = state.index;
    *ret_number = state.number;
}
