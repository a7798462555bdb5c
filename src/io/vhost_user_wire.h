/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost_user_wire.h - messages of the vhost-user protocol as bytes: functions that build what the front end says,
 * send it, and parse what it is answered (docs/interop/vhost-user.rst of QEMU's source).
 *
 * A message is a header of three 32-bit numbers (request, flags, size of the payload) and a payload, all in the
 * machine's byte order. Every answer that we ever ask for has a payload of eight bytes; anything else is refused
 * before it is read, because the other side may be under a guest's spell.
 */
#ifndef RINGLET_IO_VHOST_USER_WIRE_H
#define RINGLET_IO_VHOST_USER_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ringlet/vhost_backend.h"

/* "Front-end message types" */
enum vhost_user_request {
    VHOST_USER_GET_FEATURES = 1,
    VHOST_USER_SET_FEATURES = 2,
    VHOST_USER_SET_OWNER = 3,
    VHOST_USER_SET_MEM_TABLE = 5,
    VHOST_USER_SET_VRING_NUM = 8,
    VHOST_USER_SET_VRING_ADDR = 9,
    VHOST_USER_SET_VRING_BASE = 10,
    VHOST_USER_GET_VRING_BASE = 11,
    VHOST_USER_SET_VRING_KICK = 12,
    VHOST_USER_SET_VRING_CALL = 13,
    VHOST_USER_GET_PROTOCOL_FEATURES = 15,
    VHOST_USER_SET_PROTOCOL_FEATURES = 16,
    VHOST_USER_GET_QUEUE_NUM = 17,
    VHOST_USER_SET_VRING_ENABLE = 18,
};

#define VHOST_USER_F_PROTOCOL_FEATURES  (UINT64_C(1) << 30)
#define VHOST_USER_PROTOCOL_F_MQ        (UINT64_C(1) << 0)
#define VHOST_USER_PROTOCOL_F_REPLY_ACK (UINT64_C(1) << 3)

#define VHOST_USER_HEADER_SIZE 12
#define VHOST_USER_REPLY_SIZE  (VHOST_USER_HEADER_SIZE + 8) /* of every answer, header included */
#define VHOST_USER_MAX_SIZE    (VHOST_USER_HEADER_SIZE + 8 + VHOST_MAX_REGIONS * 32)

/* A message to be sent, with the descriptors that go along (borrowed). */
struct vhost_user_message {
    size_t length;
    unsigned fd_count;
    int fds[VHOST_MAX_REGIONS];
    uint8_t bytes[VHOST_USER_MAX_SIZE];
};

struct vhost_user_message vhost_user_plain(enum vhost_user_request request);
struct vhost_user_message vhost_user_u64(enum vhost_user_request request, uint64_t value);
/* "A vring state description" */
struct vhost_user_message vhost_user_state(enum vhost_user_request request, unsigned index, uint32_t number);
/* SET_VRING_KICK, SET_VRING_CALL */
struct vhost_user_message vhost_user_eventfd(enum vhost_user_request request, unsigned index, int fd);
/* SET_VRING_ADDR: addresses are ours, as those of the memory table. */
struct vhost_user_message vhost_user_addresses(const struct vhost_queue *queue);
/* SET_MEM_TABLE; `count` is at most VHOST_MAX_REGIONS. */
struct vhost_user_message vhost_user_memory(const struct vhost_region *regions, unsigned count);

/* Send it whole, at once or not at all. 0 or -errno; -EAGAIN if it would block. */
int vhost_user_send(int fd, const struct vhost_user_message *message);

/* Ask that the message be acknowledged (VHOST_USER_PROTOCOL_F_REPLY_ACK): a u64, 0 for success. */
void vhost_user_need_reply(struct vhost_user_message *message);
enum vhost_user_request vhost_user_request_of(const struct vhost_user_message *message);

/* Is this a header of an answer to `request`, with a payload of eight bytes to follow? */
bool vhost_user_is_reply(const uint8_t header[VHOST_USER_HEADER_SIZE], enum vhost_user_request request);
uint64_t vhost_user_reply_u64(const uint8_t reply[VHOST_USER_REPLY_SIZE]);
void vhost_user_reply_state(const uint8_t reply[VHOST_USER_REPLY_SIZE], uint32_t *ret_index,
                            uint32_t *ret_number);

#endif
