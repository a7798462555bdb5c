/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_guest.c - see net_guest.h.
 */
#include "net_guest.h"

#include <endian.h>
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ringlet/util.h"

const uint8_t net_guest_mac[6] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };

const struct net_info net_guest_info = {
    .queue_pairs = NET_MAX_QUEUE_PAIRS,
    .to_host = NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 | NET_OFFLOAD_USO,
    .to_guest = NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 | NET_OFFLOAD_USO,
};

const struct virtio_net_options net_guest_options = {
    .name = "net0",
    .mac = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 },
    .queue_pairs = 1,
    .queue_size = NET_GUEST_QUEUE_SIZE,
};

const struct virtio_net_hdr_v1 net_guest_plain = { 0 };

void net_guest_create(struct net_guest *net, const struct virtio_net_options *options,
                      const struct net_info *info)
{
    memset(net, 0, sizeof(*net));
    net->guest = guest_driver_create();
    fake_net_init(&net->net, info ? info : &net_guest_info);
    assert_int_equal(virtio_net_create(options ? options : &net_guest_options, &net->net.backend,
                                       net->guest->memory, &net->device),
                     0);
    guest_driver_plug(net->guest, net->device);
}

void net_guest_destroy(struct net_guest *net)
{
    virtio_device_stop(net->device);
    guest_driver_enter(net->guest);
    fake_net_end_cancelled(&net->net);
    assert_int_equal(net->device->in_flight, 0);
    guest_driver_leave(net->guest);
    guest_driver_destroy(net->guest);
    assert_true(net->net.destroyed);
}

uint64_t net_guest_features_without(struct net_guest *net, uint64_t mask)
{
    return guest_offered_features(net->guest) & ~mask;
}

void net_guest_make_frame(uint8_t *frame, size_t length, uint8_t seed)
{
    for (size_t i = 0; i < length; i++)
        frame[i] = (uint8_t)(i * 7 + i / 256 + seed);
    memcpy(frame, net_guest_mac, sizeof(net_guest_mac));
    frame[12] = 0x08;
    frame[13] = 0x00;
}

/* --- receive --- */

void net_guest_offer(struct net_guest *net, unsigned pair, unsigned count, uint32_t length)
{
    struct guest_queue *queue = &net->guest->queues[2 * pair];

    for (unsigned i = 0; i < count; i++) {
        struct guest_segment segment = { guest_alloc(net->guest, length, 16), length, true };
        uint16_t head = guest_queue_add(queue, &segment, 1);

        net->buffers[pair][head].address = segment.address;
        net->buffers[pair][head].length = length;
    }
    guest_queue_kick_if_wanted(queue);
}

bool net_guest_arrive(struct net_guest *net, unsigned pair, const struct virtio_net_hdr_v1 *header,
                      const void *frame, size_t length)
{
    bool taken;

    guest_driver_enter(net->guest);
    taken = fake_net_deliver(&net->net, pair, header, frame, length);
    guest_driver_leave(net->guest);
    return taken;
}

bool net_guest_take(struct net_guest *net, unsigned pair)
{
    struct guest_queue *queue = &net->guest->queues[2 * pair];
    static uint8_t bytes[NET_HEADER_SIZE + NET_MAX_FRAME];
    struct guest_used used;
    unsigned wanted = 1;
    size_t length = 0;

    net->chains = 0;
    while (net->chains < wanted) {
        if (!guest_queue_take_used(queue, &used)) {
            assert_int_equal(net->chains, 0); /* all at once, or none */
            return false;
        }
        assert_true(used.length && used.length <= net->buffers[pair][used.head].length);
        assert_true(length + used.length <= sizeof(bytes));
        guest_read(net->guest, net->buffers[pair][used.head].address, bytes + length, used.length);
        length += used.length;
        if (!net->chains++) {
            assert_true(used.length >= NET_HEADER_SIZE);
            memcpy(&net->header, bytes, sizeof(net->header));
            wanted = le16toh(net->header.num_buffers);
            assert_true(wanted > 0);
        }
        /* 5.1.6.4.1: all but the last are full. */
        if (net->chains < wanted)
            assert_int_equal(used.length, net->buffers[pair][used.head].length);
    }
    net->length = length - NET_HEADER_SIZE;
    memcpy(net->frame, bytes + NET_HEADER_SIZE, net->length);
    return true;
}

void net_guest_expect_frame(struct net_guest *net, unsigned pair, const void *frame, size_t length)
{
    assert_true(net_guest_take(net, pair));
    assert_int_equal(net->length, length);
    assert_memory_equal(net->frame, frame, length);
}

void net_guest_expect_nothing(struct net_guest *net, unsigned pair)
{
    struct guest_used used;

    assert_false(guest_queue_take_used(&net->guest->queues[2 * pair], &used));
}

void net_guest_expect_service(struct net_guest *net, unsigned pair)
{
    uint8_t frame[60];

    net_guest_make_frame(frame, sizeof(frame), 99);
    assert_true(net_guest_arrive(net, pair, &net_guest_plain, frame, sizeof(frame)));
    net_guest_expect_frame(net, pair, frame, sizeof(frame));
}

/* --- transmit --- */

uint16_t net_guest_send(struct net_guest *net, unsigned pair, const struct virtio_net_hdr_v1 *header,
                        const void *frame, uint32_t length)
{
    struct guest_driver *guest = net->guest;
    struct guest_queue *queue = &guest->queues[2 * pair + 1];
    struct guest_segment segments[2] = { { guest_alloc(guest, sizeof(*header), 16), sizeof(*header), false },
                                         { guest_alloc(guest, length + 1, 16), length, false } };
    uint16_t head;

    guest_write(guest, segments[0].address, header, sizeof(*header));
    guest_write(guest, segments[1].address, frame, length);
    head = guest_queue_add(queue, segments, 2);
    guest_queue_kick_if_wanted(queue);
    return head;
}

bool net_guest_leave_wire(struct net_guest *net, unsigned pair, int res)
{
    bool any;

    guest_driver_enter(net->guest);
    any = fake_net_take(&net->net, pair, res);
    guest_driver_leave(net->guest);
    return any;
}

void net_guest_expect_sent(struct net_guest *net, unsigned pair, uint16_t head)
{
    struct guest_used used;

    assert_true(guest_queue_take_used(&net->guest->queues[2 * pair + 1], &used));
    assert_int_equal(used.head, head);
    assert_int_equal(used.length, 0);
}

/* --- control --- */

unsigned net_guest_controlq(const struct net_guest *net)
{
    bool has_mq = net->guest->features >> VIRTIO_NET_F_MQ & 1;

    return has_mq ? net->device->queue_count - 1 : 2;
}

uint8_t net_guest_command(struct net_guest *net, uint8_t class, uint8_t command, const void *data,
                          uint32_t length)
{
    struct guest_driver *guest = net->guest;
    struct guest_queue *queue = &guest->queues[net_guest_controlq(net)];
    struct virtio_net_ctrl_hdr header = { .class = class, .cmd = command };
    struct guest_segment segments[3] = { { guest_alloc(guest, 2, 1), 2, false } };
    unsigned count = 1;
    struct guest_used used;
    uint8_t ack = 0xff;

    guest_write(guest, segments[0].address, &header, sizeof(header));
    if (length) {
        segments[count] = (struct guest_segment){ guest_alloc(guest, length, 1), length, false };
        guest_write(guest, segments[count++].address, data, length);
    }
    segments[count] = (struct guest_segment){ guest_alloc(guest, 1, 1), 1, true };
    guest_write(guest, segments[count++].address, &ack, 1);
    guest_queue_add(queue, segments, count);
    guest_queue_kick_if_wanted(queue);
    assert_true(guest_queue_take_used(queue, &used));
    assert_int_equal(used.length, 1);
    guest_read(guest, segments[count - 1].address, &ack, 1);
    return ack;
}

void net_guest_set_link(struct net_guest *net, bool up)
{
    guest_driver_enter(net->guest);
    fake_net_set_link(&net->net, up);
    guest_driver_leave(net->guest);
}

struct virtio_net_counters net_guest_counters(struct net_guest *net)
{
    struct virtio_net_counters counters;

    virtio_net_counters(net->device, &counters);
    return counters;
}
