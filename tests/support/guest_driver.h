/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_driver.h - plays a guest with one virtio-mmio device: its RAM, its bus, its driver, and the event
 * loop that the device would run on.
 *
 * The driver does what Linux's virtio_mmio.c and virtio_ring.c do, through the bus and through guest RAM
 * only, and also whatever they never would: every descriptor, index and register can be written raw. Steps
 * that can only fail because the test itself is wrong end the test (cmocka's assertions).
 *
 *     struct guest_driver *guest = guest_driver_create();
 *     virtio_foo_create(..., guest->memory, &device);
 *     guest_driver_plug(guest, device);
 *     guest_driver_start(guest, GUEST_ALL_FEATURES, 16);
 *     head = guest_queue_add(&guest->queues[0], segments, ARRAY_SIZE(segments));
 *     guest_queue_kick(&guest->queues[0]);
 *     assert_true(guest_queue_take_used(&guest->queues[0], &used));
 *     guest_driver_destroy(guest);
 *
 * There is no loop thread. A doorbell (the guest's kick, or the device core's own ring_doorbell) is noted,
 * and answered as soon as the bus access that caused it is over: the device's lock, virtio_device_notify()
 * for each bell, batch_end(), again until no bell is left. With hold_doorbells set they wait for
 * guest_driver_turn().
 *
 * A test names these sources in its row: guest_driver.c, guest_queue.c, fake_irq_line.c.
 *
 * A fake backend that finishes a request later does so between guest_driver_enter() and guest_driver_leave(),
 * which are the loop's part (lock; batch_end, unlock, bells).
 */
#ifndef RINGLET_TEST_GUEST_DRIVER_H
#define RINGLET_TEST_GUEST_DRIVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fake_irq_line.h"
#include "ringlet/virtio_device.h"

struct bus;
struct guest_memory;
struct virtio_mmio;

/*
 * RAM: two mappings that adjoin, so that a buffer around GUEST_RAM_SEAM spans both, and one above 4 GiB.
 * Between GUEST_RAM_LOW_END and GUEST_RAM_HIGH there is none.
 */
#define GUEST_RAM_SEAM     UINT64_C(0x100000)
#define GUEST_RAM_LOW_END  UINT64_C(0x200000)
#define GUEST_RAM_HIGH     UINT64_C(0x100000000)
#define GUEST_RAM_HIGH_END UINT64_C(0x100100000)

#define GUEST_MMIO_BASE UINT64_C(0xd0000000)

/* Whatever the device offers. */
#define GUEST_ALL_FEATURES UINT64_MAX

struct guest_driver;

/* One buffer of a request. */
struct guest_segment {
    uint64_t address; /* guest-physical */
    uint32_t length;  /* bytes */
    bool writable;    /* by the device */
};

struct guest_used {
    uint32_t head;
    uint32_t length;
};

/* The driver's side of a queue. Addresses may be changed before guest_queue_enable(). */
struct guest_queue {
    struct guest_driver *guest;
    unsigned index;
    uint16_t size;
    uint64_t desc, avail, used; /* guest-physical */

    uint16_t avail_idx;    /* what the driver last published */
    uint16_t kicked_avail; /* avail_idx at the last question whether to kick */
    uint16_t last_used;    /* next element of the used ring to look at */
    uint16_t free_head;    /* descriptors not in use, linked in free_next */
    unsigned free_count;
    uint16_t *free_next;    /* [size] */
    uint16_t *chain_length; /* [size]: descriptors of the chain that starts here, 0 for none */
};

struct guest_driver {
    struct guest_memory *memory;
    struct bus *bus;
    struct fake_irq_line line;
    struct virtio_device *device; /* owned once plugged */
    struct virtio_mmio *transport;
    struct guest_queue queues[VIRTIO_DEVICE_MAX_QUEUES];
    uint64_t features;  /* as negotiated */
    uint64_t next_free; /* guest_alloc()'s next address in low RAM */
    uint64_t next_free_high;

    bool hold_doorbells;         /* bells wait for guest_driver_turn() */
    atomic_uint_least64_t bells; /* bit per queue whose bell is not answered yet */
    atomic_uint doorbell_count;  /* bells ever rung */
};

/* --- the machine --- */

struct guest_driver *guest_driver_create(void);
/* Destroys transport, device and all. Nothing may be in flight. NULL is fine. */
void guest_driver_destroy(struct guest_driver *guest);
/* Put the device behind a window at GUEST_MMIO_BASE. Takes the device over. */
void guest_driver_plug(struct guest_driver *guest, struct virtio_device *device);

/* Zeroed guest RAM that nobody else uses; never freed. `align` is a power of two. */
uint64_t guest_alloc(struct guest_driver *guest, uint64_t size, uint64_t align);
uint64_t guest_alloc_high(struct guest_driver *guest, uint64_t size, uint64_t align);
/* Copy into and out of guest RAM; also across the seam. */
void guest_write(struct guest_driver *guest, uint64_t address, const void *from, size_t length);
void guest_read(struct guest_driver *guest, uint64_t address, void *to, size_t length);
/* Host pointer to guest RAM that lies in one mapping. */
void *guest_at(struct guest_driver *guest, uint64_t address, uint64_t length);

/* --- registers (linux/virtio_mmio.h's names), through the bus; bells are answered after each write --- */

uint32_t guest_register_read(struct guest_driver *guest, uint64_t offset);
void guest_register_write(struct guest_driver *guest, uint64_t offset, uint32_t value);
/* Any size, any offset of the window. */
uint64_t guest_window_read(struct guest_driver *guest, uint64_t offset, unsigned size);
void guest_window_write(struct guest_driver *guest, uint64_t offset, uint64_t value, unsigned size);
/* Device-specific configuration, a byte at a time, so that any field of any size can be had. */
void guest_config_read(struct guest_driver *guest, uint32_t offset, void *to, size_t length);
/* One access of 1, 2, 4 or 8 bytes. */
void guest_config_write(struct guest_driver *guest, uint32_t offset, uint64_t value, unsigned size);

/* --- initialization (3.1.1) --- */

uint8_t guest_status(struct guest_driver *guest);
void guest_add_status(struct guest_driver *guest, uint8_t bits);
void guest_reset(struct guest_driver *guest);
uint64_t guest_offered_features(struct guest_driver *guest);
/* Write exactly these driver features, FEATURES_OK not touched. */
void guest_write_features(struct guest_driver *guest, uint64_t features);
/*
 * Reset, ACKNOWLEDGE, DRIVER, features, FEATURES_OK; says whether the device accepted. `features` are written
 * as they are, except for GUEST_ALL_FEATURES.
 */
bool guest_negotiate(struct guest_driver *guest, uint64_t features);
/* Forget the queue's past, allocate its three parts (in low RAM) and fill in the struct; the device hears
 * nothing. */
void guest_queue_place(struct guest_driver *guest, unsigned index, uint16_t size);
/* Write QueueNum, the addresses and QueueReady; says what QueueReady then reads. */
bool guest_queue_enable(struct guest_queue *queue);
void guest_driver_ok(struct guest_driver *guest);
/* All of it, every queue with `queue_size` entries (0: the most the device allows). */
void guest_driver_start(struct guest_driver *guest, uint64_t features, uint16_t queue_size);

/* --- buffers --- */

/* Make one chain available; returns its head. Ends the test when descriptors run out. */
uint16_t guest_queue_add(struct guest_queue *queue, const struct guest_segment *segments, unsigned count);
/* The first `direct` segments as normal descriptors, the rest in an indirect table. */
uint16_t guest_queue_add_indirect(struct guest_queue *queue, const struct guest_segment *segments,
                                  unsigned count, unsigned direct);
/* Raw: a descriptor of the queue's table, or of one anywhere; nothing is tracked. */
void guest_queue_write_desc(struct guest_queue *queue, uint16_t index, uint64_t address, uint32_t length,
                            uint16_t flags, uint16_t next);
void guest_write_desc(struct guest_driver *guest, uint64_t table, uint32_t index, uint64_t address,
                      uint32_t length, uint16_t flags, uint16_t next);
/* Raw: put any head into the available ring and publish it. */
void guest_queue_offer(struct guest_queue *queue, uint16_t head);
/* Raw: set avail.idx. */
void guest_queue_set_avail_idx(struct guest_queue *queue, uint16_t idx);

/* Ring the doorbell, needed or not. */
void guest_queue_kick(struct guest_queue *queue);
/* Does the device want to be rung for what was added since the last question (2.7.10)? As Linux asks. */
bool guest_queue_wants_kick(struct guest_queue *queue);
/* Ring it only then; says whether it was rung. */
bool guest_queue_kick_if_wanted(struct guest_queue *queue);

/* The next used element, its descriptors freed; false when there is none. */
bool guest_queue_take_used(struct guest_queue *queue, struct guest_used *ret_used);
uint16_t guest_queue_used_idx(struct guest_queue *queue);
/* Interrupts for this queue: avail.flags without EVENT_IDX, used_event with. */
void guest_queue_set_avail_flags(struct guest_queue *queue, uint16_t flags);
void guest_queue_set_used_event(struct guest_queue *queue, uint16_t used_event);
uint16_t guest_queue_used_flags(struct guest_queue *queue);
uint16_t guest_queue_avail_event(struct guest_queue *queue);

/* --- interrupts --- */

/* Edges since the last call. */
unsigned guest_take_interrupts(struct guest_driver *guest);
/* Read InterruptStatus and acknowledge what it says, as the handler does. */
uint32_t guest_acknowledge(struct guest_driver *guest);

/* --- the loop's part --- */

void guest_driver_enter(struct guest_driver *guest);
void guest_driver_leave(struct guest_driver *guest);
/* Answer all bells, held or not. */
void guest_driver_turn(struct guest_driver *guest);

#endif
