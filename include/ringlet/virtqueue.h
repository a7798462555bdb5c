/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtqueue.h - a split virtqueue, device side (virtio 1.2, 2.7).
 *
 * The only code that touches a ring. pop() copies each descriptor once, bounds it against guest RAM, counts
 * it against loops, and yields plain iovecs; push() publishes in the used ring. Nothing the guest writes can
 * make it read or write outside guest RAM, loop without end, or hand out more than the ring's size in chains:
 * what breaks the rules makes the queue `broken`, which the device turns into DEVICE_NEEDS_RESET.
 *
 * A head does not identify a request: a hostile driver can offer the same head again while it is outstanding.
 * Only the number of chains is bounded, so keep what belongs to a request in the request.
 *
 * Threads: every call with the device's lock held.
 */
#ifndef RINGLET_VIRTQUEUE_H
#define RINGLET_VIRTQUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct guest_memory;

#define VIRTQUEUE_MAX_SIZE 32768 /* 2.7: "maximum Queue Size value is 32768" */

/* A buffer: one descriptor chain, as iovecs. The array is the caller's, the bytes named are the guest's. */
struct virtqueue_chain {
    /* set by the caller before pop() */
    struct iovec *iov;
    unsigned iov_max;

    /* set by pop() */
    uint16_t head;       /* names the chain in push() */
    unsigned out_count;  /* iov[0 .. out_count): device-readable */
    unsigned in_count;   /* iov[out_count .. out_count + in_count): device-writable */
    uint64_t out_length; /* bytes */
    uint64_t in_length;  /* bytes */
};

/* An element of the used ring: chain `head`, of whose writable part `written` bytes were written. */
struct virtqueue_used {
    uint16_t head;
    uint32_t written;
};

struct virtqueue {
    /* what the driver set up; valid once ready */
    uint16_t size;     /* entries, a power of two, at most max_size; max_size until the driver writes it */
    uint16_t max_size; /* fixed by the device */
    bool ready;
    uint64_t desc_address, avail_address, used_address; /* guest-physical */

    /* found by virtqueue_enable(): for virtqueue.c, and for the process that works the queue in its place */
    const void *desc; /* struct virtq_desc[size] in guest RAM */
    void *avail;      /* struct virtq_avail, with used_event after the ring */
    void *used;       /* struct virtq_used, with avail_event after the ring */

    /* private to virtqueue.c */
    const struct guest_memory *memory;
    uint16_t last_avail;       /* next entry of avail to look at, free-running */
    uint16_t next_used;        /* next entry of used to fill, free-running */
    uint16_t signalled_used;   /* used.idx when the driver was last considered for an interrupt */
    bool signalled_used_valid; /* not since 65536 elements were pushed unconsidered */
    bool event_idx, indirect;  /* negotiated */
    bool broken;
    uint16_t outstanding; /* popped and not yet pushed */
};

/* `max_size`: a power of two up to VIRTQUEUE_MAX_SIZE. Borrowed memory outlives the queue. */
void virtqueue_init(struct virtqueue *queue, const struct guest_memory *memory, uint16_t max_size);

/* Back to the state after init (2.4). What is outstanding is forgotten; nobody may touch its bytes now. */
void virtqueue_reset(struct virtqueue *queue);

/*
 * The driver says the queue is ready: check size, alignment (16, 2 and 4 bytes) and that the three parts are
 * guest RAM, each inside one mapping. 0, or -EINVAL / -EFAULT with the queue left not ready. `features` are
 * the negotiated ones (VIRTIO_F_INDIRECT_DESC, VIRTIO_F_EVENT_IDX matter). Not for a queue that is ready.
 */
int virtqueue_enable(struct virtqueue *queue, uint64_t features);

/*
 * Take the next available chain. 1: *chain is filled. 0: nothing available, or not ready. -errno: the ring is
 * broken, and stays so until reset (-EINVAL: a rule of 2.7 broken; -EFAULT: not guest RAM; -E2BIG: more than
 * iov_max vectors).
 *
 * An empty descriptor, which no rule forbids, yields no vector, so a chain may hold no bytes at all. A buffer
 * around the border of two mappings yields two.
 */
int virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *chain);

/* Give chain `head` back with `written` bytes written to its writable part (2.7.8). */
void virtqueue_push(struct virtqueue *queue, uint16_t head, uint32_t written);

/* Give `count` chains back at once: the driver sees all of them used, or none (5.1.6.4.1 needs that). */
void virtqueue_push_many(struct virtqueue *queue, const struct virtqueue_used *used, unsigned count);

/*
 * After push()es: does the driver want to be told (2.7.7)? Consumes the question: false until the next
 * push().
 */
bool virtqueue_should_notify(struct virtqueue *queue);

/*
 * Ask the driver not to ring the doorbell while the device is looking anyway; and ask for it again (2.7.10).
 * The latter returns true if a buffer is there, so that the caller looks once more: the driver may not have
 * rung for it.
 */
void virtqueue_disable_doorbell(struct virtqueue *queue);
bool virtqueue_enable_doorbell(struct virtqueue *queue);

#endif
