/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_queue.c - the rings of guest_driver.h: what Linux's virtio_ring.c does, and what it would never do.
 *
 * Indices and flags are atomics, so that the player can run on a thread of its own beside the device.
 */
#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "guest_driver.h"

#include <linux/virtio_mmio.h>

/* The guest's 16-bit word at `address`. */
static _Atomic uint16_t *word(struct guest_queue *queue, uint64_t address)
{
    return (_Atomic uint16_t *)guest_at(queue->guest, address, 2);
}

static uint64_t avail_flags(const struct guest_queue *queue)
{
    return queue->avail;
}

static uint64_t avail_idx(const struct guest_queue *queue)
{
    return queue->avail + 2;
}

static uint64_t used_event(const struct guest_queue *queue)
{
    return queue->avail + 4 + (uint64_t)2 * queue->size;
}

static uint64_t used_idx(const struct guest_queue *queue)
{
    return queue->used + 2;
}

static uint64_t avail_event(const struct guest_queue *queue)
{
    return queue->used + 4 + (uint64_t)8 * queue->size;
}

static bool has_event_idx(const struct guest_queue *queue)
{
    return queue->guest->features >> VIRTIO_RING_F_EVENT_IDX & 1;
}

/* --- buffers --- */

void guest_write_desc(struct guest_driver *guest, uint64_t table, uint32_t index, uint64_t address,
                      uint32_t length, uint16_t flags, uint16_t next)
{
    struct vring_desc desc = { .addr = address, .len = length, .flags = flags, .next = next };

    guest_write(guest, table + (uint64_t)16 * index, &desc, sizeof(desc));
}

void guest_queue_write_desc(struct guest_queue *queue, uint16_t index, uint64_t address, uint32_t length,
                            uint16_t flags, uint16_t next)
{
    guest_write_desc(queue->guest, queue->desc, index, address, length, flags, next);
}

void guest_queue_set_avail_idx(struct guest_queue *queue, uint16_t idx)
{
    queue->avail_idx = idx;
    /* pairs with the device's acquire: descriptors and ring entry first */
    atomic_store_explicit(word(queue, avail_idx(queue)), idx, memory_order_release);
}

void guest_queue_offer(struct guest_queue *queue, uint16_t head)
{
    uint64_t entry = queue->avail + 4 + (uint64_t)2 * (queue->avail_idx & (queue->size - 1));

    atomic_store_explicit(word(queue, entry), head, memory_order_relaxed);
    guest_queue_set_avail_idx(queue, (uint16_t)(queue->avail_idx + 1));
}

static uint16_t take_free(struct guest_queue *queue)
{
    uint16_t index = queue->free_head;

    assert_true(queue->free_count > 0);
    queue->free_head = queue->free_next[index];
    queue->free_count--;
    return index;
}

static uint16_t flags_of(const struct guest_segment *segment, bool last)
{
    return (uint16_t)((segment->writable ? VRING_DESC_F_WRITE : 0) | (last ? 0 : VRING_DESC_F_NEXT));
}

static uint16_t add(struct guest_queue *queue, const struct guest_segment *segments, unsigned direct,
                    uint64_t table, unsigned indirect)
{
    unsigned total = direct + (indirect ? 1 : 0);
    uint16_t head, index;

    assert_true(total > 0);
    head = index = take_free(queue);
    for (unsigned i = 0; i < total; i++) {
        bool last = i + 1 == total;
        /* free_next of a descriptor in use is the next one of its chain */
        uint16_t next = last ? 0 : take_free(queue);

        if (i < direct)
            guest_queue_write_desc(queue, index, segments[i].address, segments[i].length,
                                   flags_of(&segments[i], last), next);
        else
            guest_queue_write_desc(queue, index, table, 16 * indirect, VRING_DESC_F_INDIRECT, 0);
        queue->free_next[index] = next;
        index = next;
    }
    queue->chain_length[head] = (uint16_t)total;
    guest_queue_offer(queue, head);
    return head;
}

uint16_t guest_queue_add(struct guest_queue *queue, const struct guest_segment *segments, unsigned count)
{
    return add(queue, segments, count, 0, 0);
}

uint16_t guest_queue_add_indirect(struct guest_queue *queue, const struct guest_segment *segments,
                                  unsigned count, unsigned direct)
{
    unsigned indirect = count - direct;
    uint64_t table = guest_alloc(queue->guest, (uint64_t)16 * indirect, 16);

    assert_true(indirect > 0);
    for (unsigned i = 0; i < indirect; i++)
        guest_write_desc(queue->guest, table, i, segments[direct + i].address, segments[direct + i].length,
                         flags_of(&segments[direct + i], i + 1 == indirect), (uint16_t)(i + 1));
    return add(queue, segments, direct, table, indirect);
}

/* --- doorbells --- */

void guest_queue_kick(struct guest_queue *queue)
{
    queue->kicked_avail = queue->avail_idx;
    guest_register_write(queue->guest, VIRTIO_MMIO_QUEUE_NOTIFY, queue->index);
}

bool guest_queue_wants_kick(struct guest_queue *queue)
{
    uint16_t old = queue->kicked_avail;
    uint16_t new = queue->avail_idx;

    /*
     * The full barrier between publishing avail.idx and asking; pairs with virtqueue_enable_doorbell(), which
     * asks and then looks at avail.idx.
     */
    atomic_exchange(word(queue, avail_idx(queue)), new);
    queue->kicked_avail = new;
    if (has_event_idx(queue))
        return vring_need_event(guest_queue_avail_event(queue), new, old);
    return !(guest_queue_used_flags(queue) & VRING_USED_F_NO_NOTIFY);
}

bool guest_queue_kick_if_wanted(struct guest_queue *queue)
{
    bool wanted = guest_queue_wants_kick(queue);

    if (wanted)
        guest_queue_kick(queue);
    return wanted;
}

/* --- what comes back --- */

bool guest_queue_take_used(struct guest_queue *queue, struct guest_used *ret_used)
{
    struct vring_used_elem element;
    uint16_t index;

    if (guest_queue_used_idx(queue) == queue->last_used)
        return false;
    guest_read(queue->guest, queue->used + 4 + (uint64_t)8 * (queue->last_used & (queue->size - 1)), &element,
               sizeof(element));
    queue->last_used++;
    assert_true(element.id < queue->size);
    *ret_used = (struct guest_used){ .head = element.id, .length = element.len };

    /* Chains written raw have no length here, and nothing to free. */
    index = (uint16_t)element.id;
    for (unsigned i = queue->chain_length[element.id]; i > 0; i--) {
        uint16_t next = queue->free_next[index];

        queue->free_next[index] = queue->free_head;
        queue->free_head = index;
        queue->free_count++;
        index = next;
    }
    queue->chain_length[element.id] = 0;
    return true;
}

uint16_t guest_queue_used_idx(struct guest_queue *queue)
{
    /* pairs with the device's release in virtqueue_push(); seq_cst for set_used_event() below */
    return atomic_load(word(queue, used_idx(queue)));
}

void guest_queue_set_avail_flags(struct guest_queue *queue, uint16_t flags)
{
    atomic_store(word(queue, avail_flags(queue)), flags);
}

void guest_queue_set_used_event(struct guest_queue *queue, uint16_t event)
{
    /* A driver looks at used.idx once more after this; pairs with virtqueue_should_notify(). */
    atomic_store(word(queue, used_event(queue)), event);
}

uint16_t guest_queue_used_flags(struct guest_queue *queue)
{
    return atomic_load(word(queue, queue->used));
}

uint16_t guest_queue_avail_event(struct guest_queue *queue)
{
    return atomic_load(word(queue, avail_event(queue)));
}
