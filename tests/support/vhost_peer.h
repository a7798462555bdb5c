/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost_peer.h - the other end of a vhost-user socket: a thread that hears messages, keeps them with their
 * descriptors, and answers as it should, but for one answer that a test wants otherwise.
 */
#ifndef RINGLET_VHOST_PEER_H
#define RINGLET_VHOST_PEER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define VHOST_PEER_PAYLOAD  264
#define VHOST_PEER_FDS      8
#define VHOST_PEER_MESSAGES 256

/* docs/interop/vhost-user.rst, "Front-end message types" */
enum {
    PEER_GET_FEATURES = 1,
    PEER_SET_FEATURES = 2,
    PEER_SET_OWNER = 3,
    PEER_SET_MEM_TABLE = 5,
    PEER_SET_VRING_NUM = 8,
    PEER_SET_VRING_ADDR = 9,
    PEER_SET_VRING_BASE = 10,
    PEER_GET_VRING_BASE = 11,
    PEER_SET_VRING_KICK = 12,
    PEER_SET_VRING_CALL = 13,
    PEER_GET_PROTOCOL_FEATURES = 15,
    PEER_SET_PROTOCOL_FEATURES = 16,
    PEER_GET_QUEUE_NUM = 17,
    PEER_SET_VRING_ENABLE = 18,
};

/* What it does with the message `odd_request` instead of answering it well. */
enum vhost_peer_deed {
    PEER_ANSWERS,
    PEER_ANSWERS_BYTE_BY_BYTE,
    PEER_CLOSES,            /* and says nothing */
    PEER_CLOSES_IN_HEADER,  /* after a part of it */
    PEER_CLOSES_IN_PAYLOAD, /* likewise */
    PEER_IS_SILENT,         /* but goes on reading */
    PEER_OTHER_REQUEST,     /* an answer to a question that was not asked */
    PEER_OTHER_VERSION,
    PEER_NO_REPLY_FLAG,
    PEER_TOO_LONG,      /* a size of 9 */
    PEER_MUCH_TOO_LONG, /* a size of 4 GiB */
    PEER_TOO_SHORT,     /* a size of 4 */
    PEER_ODD_VALUE,     /* `odd_value` as its payload */
    PEER_ANSWERS_TWICE,
    PEER_DEED_COUNT,
};

struct vhost_peer_message {
    uint32_t request, flags, size;
    uint8_t payload[VHOST_PEER_PAYLOAD];
    unsigned fd_count;
    int fds[VHOST_PEER_FDS];
};

struct vhost_peer {
    uint64_t features, protocol_features, queue_num;
    uint32_t bases[8]; /* told by GET_VRING_BASE */
    uint32_t odd_request;
    enum vhost_peer_deed deed;
    uint64_t odd_value;

    int fd; /* its end */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t heard_more;
    unsigned heard; /* messages, in order */
    bool over;      /* its thread has nothing more to hear */
    struct vhost_peer_message messages[VHOST_PEER_MESSAGES];
};

/* Everything may be changed before vhost_peer_start(). *ret_fd is our end, O_NONBLOCK. */
struct vhost_peer *vhost_peer_create(int *ret_fd);
void vhost_peer_start(struct vhost_peer *peer);
/* Wait until it has heard `count` messages; the latest of them. */
const struct vhost_peer_message *vhost_peer_wait(struct vhost_peer *peer, unsigned count);
/* Change what it does with one message, from now on. */
void vhost_peer_set_odd(struct vhost_peer *peer, uint32_t request, enum vhost_peer_deed deed, uint64_t value);
/* Its end is shut down, as if it had ended. */
void vhost_peer_close(struct vhost_peer *peer);
void vhost_peer_destroy(struct vhost_peer *peer);

uint64_t vhost_peer_u64(const struct vhost_peer_message *message);
uint32_t vhost_peer_u32(const struct vhost_peer_message *message, unsigned index);

#endif
