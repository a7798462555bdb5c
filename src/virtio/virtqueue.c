/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtqueue.c - see ringlet/virtqueue.h.
 *
 * Theory of operation. The driver and the device share three arrays, and each side owns one free-running
 * 16-bit index: the driver avail.idx, we used.idx. What stands before an index is published by it: the writer
 * stores the index with release, the reader loads it with acquire. The guest's side of each pair is
 * virtio_wmb() and virtio_rmb() of its virtio_ring.c.
 *
 * Two more pairs decide on notifications, and need more. Each side publishes an index, then reads what the
 * other one wants to be told of; the other first writes what it wants, then reads the index. If both could
 * read the old value, nobody would tell anybody. A store followed by a load of something else is kept in
 * order by sequential consistency only, so those four are seq_cst:
 *
 *     virtqueue_should_notify()      store used.idx, load used_event or avail.flags
 *         against the driver's       store used_event or avail.flags, mb, load used.idx
 *     virtqueue_enable_doorbell()    store avail_event or used.flags, load avail.idx
 *         against the driver's       store avail.idx, mb, load avail_event or used.flags
 */
#include "ringlet/virtqueue.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "ringlet/guest_memory.h"
#include "ringlet/util.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rings are little-endian, and are read as they are");
static_assert(sizeof(struct vring_desc) == 16 && sizeof(struct vring_used_elem) == 8, "2.7: sizes");
static_assert(sizeof(_Atomic uint16_t) == sizeof(uint16_t) && ATOMIC_SHORT_LOCK_FREE == 2,
              "an index in guest RAM is a plain 16-bit word, also to the guest");

/* 2.7.5: no chain longer than this many bytes. */
#define CHAIN_MAX_LENGTH (UINT64_C(1) << 32)

/* 2.7.6, 2.7.8: the parts behind the descriptor table. */
#define RING_FLAGS   0
#define RING_IDX     2
#define RING_ENTRIES 4

/* A table of descriptors being walked: the queue's own, or an indirect one. */
struct table {
    const uint8_t *host; /* NULL when it lies across mappings */
    uint64_t address;
    uint32_t entries;
    bool is_indirect;
};

static size_t avail_size(uint16_t size)
{
    return 6 + (size_t)2 * size;
}

static size_t used_size(uint16_t size)
{
    return 6 + (size_t)8 * size;
}

static _Atomic uint16_t *word(void *part, size_t offset)
{
    return (_Atomic uint16_t *)(void *)((uint8_t *)part + offset);
}

static _Atomic uint16_t *used_event(const struct virtqueue *queue)
{
    return word(queue->avail, avail_size(queue->size) - 2);
}

static _Atomic uint16_t *avail_event(const struct virtqueue *queue)
{
    return word(queue->used, used_size(queue->size) - 2);
}

/* --- life --- */

void virtqueue_init(struct virtqueue *queue, const struct guest_memory *memory, uint16_t max_size)
{
    assert(is_power_of_two(max_size) && max_size <= VIRTQUEUE_MAX_SIZE);
    *queue = (struct virtqueue){ .memory = memory, .max_size = max_size, .size = max_size };
}

void virtqueue_reset(struct virtqueue *queue)
{
    virtqueue_init(queue, queue->memory, queue->max_size);
}

int virtqueue_enable(struct virtqueue *queue, uint64_t features)
{
    const void *desc;
    void *avail, *used;

    assert(!queue->ready);
    if (!is_power_of_two(queue->size) || queue->size > queue->max_size || queue->desc_address % 16 ||
        queue->avail_address % 2 || queue->used_address % 4)
        return -EINVAL;
    desc = guest_memory_range(queue->memory, queue->desc_address, sizeof(struct vring_desc) * queue->size);
    avail = guest_memory_range(queue->memory, queue->avail_address, avail_size(queue->size));
    used = guest_memory_range(queue->memory, queue->used_address, used_size(queue->size));
    if (!desc || !avail || !used)
        return -EFAULT;

    queue->desc = desc;
    queue->avail = avail;
    queue->used = used;
    queue->event_idx = features >> VIRTIO_RING_F_EVENT_IDX & 1;
    queue->indirect = features >> VIRTIO_RING_F_INDIRECT_DESC & 1;
    queue->signalled_used_valid = true;
    queue->ready = true;
    /* 2.7.10: with EVENT_IDX flags is 0, whatever stood there; without it the bell is on to begin with. */
    atomic_store_explicit(word(queue->used, RING_FLAGS), 0, memory_order_relaxed);
    return 0;
}

/* --- taking chains --- */

/* The next entry of the available ring, any number. 1, 0 when there is none, or -EINVAL. */
static int next_head(const struct virtqueue *queue, uint16_t *ret_head)
{
    /* Pairs with the driver's write barrier before avail.idx: ring entry and descriptors are visible. */
    uint16_t idx = atomic_load_explicit(word(queue->avail, RING_IDX), memory_order_acquire);
    uint16_t available = (uint16_t)(idx - queue->last_avail);
    size_t slot = queue->last_avail & (queue->size - 1U);

    if (!available)
        return 0;
    /* Each chain has a descriptor of its own, so there cannot be more of them than descriptors. */
    if (available > queue->size || queue->outstanding >= queue->size)
        return -EINVAL;
    *ret_head = atomic_load_explicit(word(queue->avail, RING_ENTRIES + 2 * slot), memory_order_relaxed);
    return 1;
}

/*
 * Copy a descriptor out, once. Without the fence the compiler might read guest RAM again instead of the copy,
 * and find there something else than what was checked.
 */
static int read_descriptor(const struct virtqueue *queue, const struct table *table, uint32_t index,
                           struct vring_desc *ret_desc)
{
    uint64_t offset = (uint64_t)index * sizeof(*ret_desc);
    int result = 0;

    if (table->host)
        memcpy(ret_desc, table->host + offset, sizeof(*ret_desc));
    else
        result = guest_memory_read(queue->memory, table->address + offset, ret_desc, sizeof(*ret_desc));
    atomic_signal_fence(memory_order_seq_cst);
    return result;
}

/*
 * 2.7.5.3: from the descriptor that refers to an indirect table to the table. Its WRITE flag means nothing. A
 * table without entries ends the walk at its first step, one that is not RAM ends it where it is read.
 */
static int enter_indirect(const struct virtqueue *queue, const struct vring_desc *desc, struct table *table)
{
    if (!queue->indirect || table->is_indirect || (desc->flags & VRING_DESC_F_NEXT))
        return -EINVAL;
    if (desc->len % sizeof(*desc))
        return -EINVAL;
    *table = (struct table){
        .host = guest_memory_range(queue->memory, desc->addr, desc->len),
        .address = desc->addr,
        .entries = desc->len / (uint32_t)sizeof(*desc),
        .is_indirect = true,
    };
    return 0;
}

/* Add one buffer to the chain. `*writing`: a device-writable one was seen before. */
static int add_buffer(const struct virtqueue *queue, const struct vring_desc *desc,
                      struct virtqueue_chain *chain, bool *writing)
{
    unsigned filled = chain->out_count + chain->in_count;
    bool writable = desc->flags & VRING_DESC_F_WRITE;
    int count;

    /* 2.7.4.2: what the device writes comes after all that it reads. */
    if (*writing && !writable)
        return -EINVAL;
    *writing = writable;
    if (chain->out_length + chain->in_length + desc->len > CHAIN_MAX_LENGTH)
        return -EINVAL;
    if (!desc->len)
        return 0;
    count = guest_memory_iovec(queue->memory, desc->addr, desc->len, chain->iov + filled,
                               chain->iov_max - filled);
    if (count < 0)
        return count;
    if (writable) {
        chain->in_count += (unsigned)count;
        chain->in_length += desc->len;
    } else {
        chain->out_count += (unsigned)count;
        chain->out_length += desc->len;
    }
    return 0;
}

static int read_chain(const struct virtqueue *queue, uint16_t head, struct virtqueue_chain *chain)
{
    struct table table = { .host = queue->desc, .address = queue->desc_address, .entries = queue->size };
    uint32_t index = head, visited = 0;
    bool writing = false;
    int result;

    chain->head = head;
    chain->out_count = chain->in_count = 0;
    chain->out_length = chain->in_length = 0;
    for (;;) {
        struct vring_desc desc;

        /* Whoever visits more descriptors than there are goes in circles; no chain needs more than 2^15. */
        if (index >= table.entries || visited >= table.entries || visited >= VIRTQUEUE_MAX_SIZE)
            return -EINVAL;
        visited++;
        result = read_descriptor(queue, &table, index, &desc);
        if (result < 0)
            return result;
        if (desc.flags & VRING_DESC_F_INDIRECT) {
            result = enter_indirect(queue, &desc, &table);
            if (result < 0)
                return result;
            index = visited = 0;
            continue;
        }
        result = add_buffer(queue, &desc, chain, &writing);
        if (result < 0)
            return result;
        if (!(desc.flags & VRING_DESC_F_NEXT))
            return 0;
        index = desc.next;
    }
}

int virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *chain)
{
    uint16_t head;
    int result;

    if (!queue->ready)
        return 0;
    if (queue->broken)
        return -EINVAL;
    result = next_head(queue, &head);
    if (!result)
        return 0;
    if (result > 0)
        result = read_chain(queue, head, chain);
    if (result < 0) {
        queue->broken = true;
        return result;
    }
    queue->last_avail++;
    queue->outstanding++;
    return 1;
}

/* --- giving them back --- */

void virtqueue_push_many(struct virtqueue *queue, const struct virtqueue_used *used, unsigned count)
{
    /* A queue taken away has forgotten what was outstanding. */
    if (!queue->ready || !count)
        return;
    for (unsigned i = 0; i < count; i++) {
        struct vring_used_elem element = { .id = used[i].head, .len = used[i].written };
        size_t slot = queue->next_used & (queue->size - 1U);

        assert(queue->outstanding && used[i].head < queue->size);
        queue->outstanding--;
        if (queue->broken)
            continue;
        memcpy((uint8_t *)queue->used + RING_ENTRIES + sizeof(element) * slot, &element, sizeof(element));
        queue->next_used++;
        if (queue->next_used == queue->signalled_used)
            queue->signalled_used_valid = false;
    }
    if (queue->broken)
        return;
    /* Pairs with the driver's read barrier after used.idx: the elements and the buffers' bytes are visible.
     */
    atomic_store_explicit(word(queue->used, RING_IDX), queue->next_used, memory_order_release);
}

void virtqueue_push(struct virtqueue *queue, uint16_t head, uint32_t written)
{
    const struct virtqueue_used used = { .head = head, .written = written };

    virtqueue_push_many(queue, &used, 1);
}

bool virtqueue_should_notify(struct virtqueue *queue)
{
    uint16_t old = queue->signalled_used, new = queue->next_used;
    bool old_valid = queue->signalled_used_valid;

    if (!queue->ready || queue->broken || (old_valid && old == new))
        return false;
    queue->signalled_used = new;
    queue->signalled_used_valid = true;
    /* Once more what push() stored, now seq_cst: the first of the pairs told of above. */
    atomic_store_explicit(word(queue->used, RING_IDX), new, memory_order_seq_cst);
    if (queue->event_idx) {
        uint16_t event = atomic_load_explicit(used_event(queue), memory_order_seq_cst);

        return !old_valid || vring_need_event(event, new, old);
    }
    return !(atomic_load_explicit(word(queue->avail, RING_FLAGS), memory_order_seq_cst) &
             VRING_AVAIL_F_NO_INTERRUPT);
}

/* --- doorbells --- */

void virtqueue_disable_doorbell(struct virtqueue *queue)
{
    /* With EVENT_IDX there is nothing to do: avail_event stays behind, and who is past it does not ring. */
    if (queue->ready && !queue->broken && !queue->event_idx)
        atomic_store_explicit(word(queue->used, RING_FLAGS), VRING_USED_F_NO_NOTIFY, memory_order_relaxed);
}

bool virtqueue_enable_doorbell(struct virtqueue *queue)
{
    if (!queue->ready || queue->broken)
        return false;
    /* The second of the pairs told of above. */
    if (queue->event_idx)
        atomic_store_explicit(avail_event(queue), queue->last_avail, memory_order_seq_cst);
    else
        atomic_store_explicit(word(queue->used, RING_FLAGS), 0, memory_order_seq_cst);
    return atomic_load_explicit(word(queue->avail, RING_IDX), memory_order_seq_cst) != queue->last_avail;
}
