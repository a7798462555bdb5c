/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_device.h - the life of a virtio device, apart from its transport and from what it does.
 *
 * Status, features, reset, configuration space and interrupts are the same for every device and every
 * transport; they live here. A concrete device embeds struct virtio_device and brings a const ops table. A
 * transport (MMIO now) brings another, pointing outward. Neither knows the other.
 *
 *   reset -> ACKNOWLEDGE -> DRIVER -> features -> FEATURES_OK -> queues -> DRIVER_OK -> live
 *                                                                  |  any rule broken: NEEDS_RESET
 *
 * Threads: the transport calls in from vCPU threads (registers) and the loop thread (doorbells); both hold
 * `lock`. Device code contains no locks: it runs inside. A reset comes from a vCPU while requests may be in
 * flight in the loop: the core marks the device `resetting`, so that nothing more is popped or pushed, and
 * waits on `idle` (which lets the lock go) until `in_flight` is 0; only then are queues cleared and the
 * status read as 0. Meanwhile other vCPUs may read registers; what they write is ignored, and a second reset
 * waits for the first one's end. Taking one queue away (QueueReady = 0) pauses the device and waits in the
 * same manner. Neither may be asked for on the loop thread, which would wait for itself. Requests that may
 * last for ever (a receive that no frame comes for) end because both begin with ops->cancel.
 *
 * Doorbells: a queue's bell is switched off when it has rung, and on again by the pop that finds the queue
 * empty, which then looks once more. So a device that stops popping before that (it has no room for more
 * requests) will not be rung: it pops again by itself when it has room. A guest that fills queues as fast as
 * the loop empties them gets VIRTIO_DEVICE_POPS_PER_BATCH chains a batch; then its bell is rung again, behind
 * everybody else's.
 *
 * The queues of a device may also be worked on by another process (ringlet/vhost_backend.h). Then the doorbells
 * are that process's (ops->doorbell) and nothing is popped or pushed here; as long as it has the queues, the
 * device counts one request in flight, so that resets wait for it as for any other.
 */
#ifndef RINGLET_VIRTIO_DEVICE_H
#define RINGLET_VIRTIO_DEVICE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ringlet/io_client.h"
#include "ringlet/virtqueue.h"

struct guest_memory;
struct virtio_device;

#define VIRTIO_DEVICE_MAX_QUEUES     64
#define VIRTIO_DEVICE_POPS_PER_BATCH 1024 /* of all queues together */

/* What a device has to tell when the machine has ended. */
enum virtio_report {
    VIRTIO_REPORT_NONE,
    VIRTIO_REPORT_DONE,    /* what it has done, for --verbose */
    VIRTIO_REPORT_TROUBLE, /* what the host failed it at, for everybody */
};

/* What a device is. Called with the lock held. */
struct virtio_device_ops {
    /* required: read `length` bytes at `offset` of the device-specific configuration; in range already */
    void (*config_read)(struct virtio_device *device, uint32_t offset, void *to, uint32_t length);
    /* optional: writes to the configuration; without it they are ignored */
    void (*config_write)(struct virtio_device *device, uint32_t offset, const void *from, uint32_t length);
    /*
     * optional: is this part of what is offered a set that makes sense (2.2.2)? Without it all are. VERSION_1
     * is seen to already.
     */
    bool (*features_valid)(const struct virtio_device *device, uint64_t features);
    /* optional: FEATURES_OK was just accepted */
    void (*features_accepted)(struct virtio_device *device);
    /* optional: DRIVER_OK was just set; vCPU thread */
    void (*activate)(struct virtio_device *device);
    /*
     * required without `doorbell`: the doorbell of queue `index` rang, which is ready; DRIVER_OK is set; loop
     * thread
     */
    void (*queue_notify)(struct virtio_device *device, unsigned index);
    /*
     * optional: another process works on the queues, and this eventfd is what it listens to for queue `index`.
     * The transport rings it and nobody here hears it. Borrowed, the same as long as the device lives. Returns it
     * or -errno. While the machine is built, without the lock
     */
    int (*doorbell)(struct virtio_device *device, unsigned index);
    /*
     * optional: a reset has begun, a queue is being taken away or the machine ends: hasten the end of all
     * that is in flight (never wait for it here), and start nothing more while !virtio_device_is_live(). What
     * was popped and is not given back stays the device's. Any thread; maybe again before the first one is
     * over.
     */
    void (*cancel)(struct virtio_device *device);
    /* optional: queue `index` has become ready while the device was live already; vCPU thread */
    void (*queue_enabled)(struct virtio_device *device, unsigned index);
    /*
     * optional: queue `index` was taken away, nothing is in flight: forget chains that came from it and were
     * not given back. Bells follow, for all other queues; vCPU thread
     */
    void (*queue_disabled)(struct virtio_device *device, unsigned index);
    /* optional: nothing is in flight; forget everything the driver set up; vCPU thread */
    void (*reset)(struct virtio_device *device);
    /* optional: what it has to tell since creation, in a line; any thread, without the lock */
    enum virtio_report (*report)(struct virtio_device *device, char *to, size_t size);
    /* required: free the concrete device; nothing is in flight */
    void (*destroy)(struct virtio_device *device);
};

/* What a transport does for a device. Called with the lock held; never blocks. */
struct virtio_transport_ops {
    /* required: used buffer notifications for these queues (bit i: queue i), at most once a batch */
    void (*queue_interrupts)(struct virtio_device *device, uint64_t queues);
    void (*config_interrupt)(struct virtio_device *device); /* required: configuration change notification */
    void (*ring_doorbell)(struct virtio_device *device, unsigned index); /* required: as if the driver had */
    void (*reset)(struct virtio_device *device); /* required: a reset is done; forget pending interrupts */
};

struct virtio_device {
    const struct virtio_device_ops *ops;
    const char *name; /* "disk0": for messages; borrowed, outlives the device */
    uint32_t device_id;
    uint64_t offered_features;
    uint32_t config_size; /* bytes of device-specific configuration */
    struct virtqueue *queues;
    unsigned queue_count;

    pthread_mutex_t lock;
    pthread_cond_t idle;
    struct io_client client; /* client.lock is &lock; batch_end sends the interrupts of the batch */

    /* set by the transport when it takes the device */
    const struct virtio_transport_ops *transport_ops;
    void *transport;

    /* the driver's side of the story */
    uint8_t status;
    uint64_t accepted_features; /* valid once FEATURES_OK */
    uint32_t config_generation;
    bool resetting;
    unsigned stopping;      /* how many vCPUs wait to take a queue away; no pop meanwhile */
    bool stopped;           /* virtio_device_stop() was called; no pop ever after */
    uint32_t reset_count;   /* resets completed; tells whoever waits that one went by */
    unsigned in_flight;     /* requests handed to a backend and not yet done */
    uint64_t used_queues;   /* bit per queue with used buffers whose interrupt is not yet decided */
    uint64_t called_queues; /* bit per queue whose interrupt somebody else has decided on */
    uint64_t hungry_queues; /* bit per queue that was not popped because the batch's allowance was used up */
    unsigned pops_left;     /* what is left of that allowance */
};

/* --- for concrete devices --- */

struct virtio_device_setup {
    const struct virtio_device_ops *ops;
    const char *name;
    uint32_t device_id;       /* virtio 1.2, 5 */
    uint64_t device_features; /* the device's own; the core adds VERSION_1, INDIRECT_DESC, EVENT_IDX */
    /* those of the last two that are not offered; 0 unless whoever works on the queues lacks them */
    uint64_t withheld_features;
    uint32_t config_size;
    unsigned queue_count; /* 1 .. VIRTIO_DEVICE_MAX_QUEUES */
    uint16_t queue_size;  /* of each, a power of two */
    const struct guest_memory *memory;
};

/*
 * Fills *device (which the caller allocated, zeroed). 0, -ENOMEM, or -EINVAL for sizes out of range, for
 * device_features among the bits reserved for queues and transports (24 .. 49), and for withheld_features beyond
 * INDIRECT_DESC and EVENT_IDX.
 */
int virtio_device_init(struct virtio_device *device, const struct virtio_device_setup *setup);
/* What init made; the concrete device's destroy() calls it last. */
void virtio_device_finish(struct virtio_device *device);
/* Calls ops->destroy. NULL is fine. */
void virtio_device_destroy(struct virtio_device *device);

static inline bool virtio_device_has_feature(const struct virtio_device *device, unsigned bit)
{
    return device->accepted_features >> bit & 1;
}

/*
 * May requests be started? Not without DRIVER_OK, with NEEDS_RESET, during a reset or while a queue is taken
 * away, nor once stopped. A device asks before it starts a request with chains it popped earlier.
 */
bool virtio_device_is_live(const struct virtio_device *device);

/*
 * Pop from queue `index`, as virtqueue_pop() does, unless the device is not live or the queue not ready: then
 * 0. A broken ring sets NEEDS_RESET and yields 0 as well, so that a
 * device's loop is "while (virtio_device_pop() > 0)".
 *
 * A chain that is not pushed before the device returns to its caller belongs to a request in flight
 * (virtio_device_request_begin()): that is what a reset waits for before the buffers are the driver's again.
 */
int virtio_device_pop(struct virtio_device *device, unsigned index, struct virtqueue_chain *chain);

/*
 * Give a chain back. The interrupt is sent at the end of the batch. While a reset is under way nothing is
 * published.
 */
void virtio_device_push(struct virtio_device *device, unsigned index, uint16_t head, uint32_t written);

/* The same for `count` chains, which the driver sees used all together. */
void virtio_device_push_many(struct virtio_device *device, unsigned index, const struct virtqueue_used *used,
                             unsigned count);

/*
 * Somebody else has put buffers of queue `index` (< queue_count) into its used ring, and has decided, by what the
 * driver says there, that it wants to know. The interrupt is sent at the end of the batch; not before DRIVER_OK
 * nor during a reset.
 */
void virtio_device_used_elsewhere(struct virtio_device *device, unsigned index);

/*
 * Ring the bell of every ready queue, for kicks that came while the device was not live or nobody looked. The
 * core does so itself after activate and queue_disabled. Nothing while the device is not live.
 */
void virtio_device_ring_ready_queues(struct virtio_device *device);

/* Around every request that a backend holds. The last end during a reset wakes those who wait. */
void virtio_device_request_begin(struct virtio_device *device);
void virtio_device_request_end(struct virtio_device *device);

/* The configuration space changed: new generation, interrupt (only once DRIVER_OK). */
void virtio_device_config_changed(struct virtio_device *device);

/* The driver broke a rule: NEEDS_RESET, and (once DRIVER_OK) a configuration change notification (2.1.2). */
void virtio_device_needs_reset(struct virtio_device *device);

/* --- for transports --- */

/*
 * 2.1, 3.1: handles every transition; writing 0 resets and returns only when the reset is complete. Bits
 * cannot be cleared otherwise. FEATURES_OK is taken only with a set of features that the device offered and
 * that contains VERSION_1, DRIVER_OK only after it. vCPU threads.
 */
void virtio_device_set_status(struct virtio_device *device, uint8_t status);
uint64_t virtio_device_offered_features(const struct virtio_device *device);
/* Before FEATURES_OK only (2.2.1); later calls are ignored. */
void virtio_device_set_driver_features(struct virtio_device *device, uint64_t features);
/*
 * Queue `index` (< queue_count) is set up in device->queues[index]: let it be used. Ignored while FEATURES_OK
 * is missing, NEEDS_RESET is set or the queue is ready already; a queue that virtqueue_enable() refuses sets
 * NEEDS_RESET.
 */
void virtio_device_enable_queue(struct virtio_device *device, unsigned index);
/*
 * Take queue `index` (< queue_count) away. Returns when nothing of the device is in flight, so that nothing
 * that came from it is touched any more. vCPU threads.
 */
void virtio_device_disable_queue(struct virtio_device *device, unsigned index);
/* May queue `index` (< queue_count) be given size and addresses? Not while it is ready or being reset. */
bool virtio_device_queue_configurable(const struct virtio_device *device, unsigned index);

/*
 * The machine ends: nothing is popped any more, and what is in flight is asked to end (ops->cancel).
 * in_flight is 0 some turns of the loop later. Takes the lock; loop thread, no vCPU runs.
 */
void virtio_device_stop(struct virtio_device *device);

/* ops->report, terminated; *to is untouched when there is none. Any thread, without the lock. */
enum virtio_report virtio_device_report(struct virtio_device *device, char *to, size_t size);

/* Out-of-range bytes read as 0 and are not written; before FEATURES_OK nothing is (3.1.1). */
void virtio_device_config_read(struct virtio_device *device, uint32_t offset, void *to, uint32_t length);
void virtio_device_config_write(struct virtio_device *device, uint32_t offset, const void *from,
                                uint32_t length);
/*
 * The doorbell of queue `index` rang (any value from the guest); nothing where it is another process's. Loop
 * thread.
 */
void virtio_device_notify(struct virtio_device *device, uint32_t index);

#endif
