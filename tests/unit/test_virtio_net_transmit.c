/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames from the guest: what of a chain reaches the backend, and when the chain comes back.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net_guest.h"
#include "ringlet/util.h"

static const struct virtio_net_hdr_v1 segmented = {
    .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
    .hdr_len = 54,
    .gso_size = 1448,
    .csum_start = 34,
    .csum_offset = 16,
};

static uint8_t frame[NET_MAX_FRAME + 1];

static int set_up(void **state)
{
    struct net_guest *net = malloc(sizeof(*net));

    assert_non_null(net);
    net_guest_create(net, NULL, NULL);
    net_guest_make_frame(frame, sizeof(frame), 3);
    *state = net;
    return 0;
}

static int tear_down(void **state)
{
    net_guest_destroy(*state);
    free(*state);
    return 0;
}

static void start(struct net_guest *net)
{
    guest_driver_start(net->guest, GUEST_ALL_FEATURES, 0);
}

static unsigned pending(const struct net_guest *net)
{
    return net->net.transmits[0].count;
}

static void expect_on_wire(struct net_guest *net, const struct virtio_net_hdr_v1 *header, size_t length)
{
    assert_true(net_guest_leave_wire(net, 0, 0));
    assert_memory_equal(&net->net.sent_header, header, sizeof(*header));
    assert_int_equal(net->net.sent_length, length);
    assert_memory_equal(net->net.sent, frame, length);
}

static void test_net_transmit_sends_header_and_frame_and_gives_the_chain_back_when_done(void **state)
{
    struct net_guest *net = *state;
    struct guest_used used;
    uint16_t head;

    start(net);
    head = net_guest_send(net, 0, &net_guest_plain, frame, 60);
    assert_int_equal(pending(net), 1);
    assert_false(guest_queue_take_used(&net->guest->queues[1], &used));
    expect_on_wire(net, &net_guest_plain, 60);
    net_guest_expect_sent(net, 0, head);
    assert_int_equal(net_guest_counters(net).tx_frames, 1);
    assert_int_equal(net_guest_counters(net).tx_bytes, 60);
}

static void test_net_transmit_segmented_frame_goes_with_its_header(void **state)
{
    struct net_guest *net = *state;
    uint16_t head;

    start(net);
    head = net_guest_send(net, 0, &segmented, frame, NET_MAX_FRAME);
    expect_on_wire(net, &segmented, NET_MAX_FRAME);
    net_guest_expect_sent(net, 0, head);
}

static void test_net_transmit_header_may_be_cut_anywhere(void **state)
{
    struct net_guest *net = *state;

    start(net);
    for (unsigned cut = 0; cut <= 40; cut++) {
        for (unsigned second = cut; second <= 40; second += 3) {
            uint64_t at = guest_alloc(net->guest, 72, 1);
            struct guest_segment segments[3] = { { at, cut, false },
                                                 { at + cut, second - cut, false },
                                                 { at + second, 72 - second, false } };

            guest_write(net->guest, at, &segmented, NET_HEADER_SIZE);
            guest_write(net->guest, at + NET_HEADER_SIZE, frame, 60);
            guest_queue_add(&net->guest->queues[1], segments, 3);
            guest_queue_kick(&net->guest->queues[1]);
            expect_on_wire(net, &segmented, 60);
            assert_true(guest_queue_take_used(&net->guest->queues[1], &(struct guest_used){ 0 }));
        }
    }
}

static void test_net_transmit_chain_of_single_bytes_is_the_same_frame(void **state)
{
    struct net_guest *net = *state;
    struct guest_segment segments[NET_GUEST_QUEUE_SIZE];
    uint64_t at;

    start(net);
    at = guest_alloc(net->guest, 256, 1);
    guest_write(net->guest, at, &net_guest_plain, NET_HEADER_SIZE);
    guest_write(net->guest, at + NET_HEADER_SIZE, frame, NET_GUEST_QUEUE_SIZE - NET_HEADER_SIZE);
    for (unsigned i = 0; i < NET_GUEST_QUEUE_SIZE; i++)
        segments[i] = (struct guest_segment){ at + i, 1, false };
    guest_queue_add(&net->guest->queues[1], segments, NET_GUEST_QUEUE_SIZE);
    guest_queue_kick(&net->guest->queues[1]);
    expect_on_wire(net, &net_guest_plain, NET_GUEST_QUEUE_SIZE - NET_HEADER_SIZE);
}

static void test_net_transmit_sends_the_header_that_was_judged(void **state)
{
    struct net_guest *net = *state;
    struct guest_segment segments[2];
    uint64_t at;

    start(net);
    at = guest_alloc(net->guest, 128, 16);
    guest_write(net->guest, at, &segmented, sizeof(segmented));
    guest_write(net->guest, at + 16, frame, 60);
    segments[0] = (struct guest_segment){ at, NET_HEADER_SIZE, false };
    segments[1] = (struct guest_segment){ at + 16, 60, false };
    guest_queue_add(&net->guest->queues[1], segments, 2);
    guest_queue_kick(&net->guest->queues[1]);
    memset(guest_at(net->guest, at, NET_HEADER_SIZE), 0xff, NET_HEADER_SIZE);
    expect_on_wire(net, &segmented, 60);
}

static void test_net_report_tells_what_went_over_the_wire(void **state)
{
    struct net_guest *net = *state;
    char text[256];

    start(net);
    net_guest_send(net, 0, &net_guest_plain, frame, 60);
    expect_on_wire(net, &net_guest_plain, 60);
    assert_int_equal(virtio_device_report(net->device, text, sizeof(text)), VIRTIO_REPORT_DONE);
    assert_non_null(strstr(text, "received 0 frames, 0 bytes"));
    assert_non_null(strstr(text, "sent 1 frames, 60 bytes (0 more dropped)"));
    /* as much as fits */
    assert_int_equal(virtio_device_report(net->device, text, 9), VIRTIO_REPORT_DONE);
    assert_string_equal(text, "received");
}

static void expect_dropped(struct net_guest *net, const struct virtio_net_hdr_v1 *header, uint32_t length)
{
    uint16_t head = net_guest_send(net, 0, header, frame, length);

    assert_int_equal(pending(net), 0);
    net_guest_expect_sent(net, 0, head);
    assert_int_equal(net_guest_counters(net).tx_frames, 0);
}

static void test_net_transmit_frame_of_an_impossible_length_is_dropped_and_given_back(void **state)
{
    struct net_guest *net = *state;
    struct guest_segment segment = { GUEST_RAM_HIGH, 0, false };

    start(net);
    for (uint32_t length = 0; length < 14; length++)
        expect_dropped(net, &net_guest_plain, length);
    expect_dropped(net, &net_guest_plain, NET_MAX_FRAME + 1);
    assert_int_equal(net_guest_counters(net).tx_bad_length, 15);
    /* Not even a whole header; and much more than a frame. */
    for (unsigned i = 0; i < 14; i++) {
        segment.length = i < 13 ? i : 0x100000;
        guest_queue_add(&net->guest->queues[1], &segment, 1);
        guest_queue_kick(&net->guest->queues[1]);
        assert_true(guest_queue_take_used(&net->guest->queues[1], &(struct guest_used){ 0 }));
    }
    assert_int_equal(net_guest_counters(net).tx_bad_length, 29);
    net_guest_send(net, 0, &net_guest_plain, frame, 14);
    expect_on_wire(net, &net_guest_plain, 14);
    assert_int_equal(net_guest_counters(net).tx_frames, 1);
}

static void test_net_transmit_header_that_was_not_negotiated_is_dropped(void **state)
{
    static const struct {
        unsigned bit;
        uint8_t gso_type;
    } rows[] = { { VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_HDR_GSO_TCPV4 },
                 { VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_HDR_GSO_TCPV6 },
                 { VIRTIO_NET_F_HOST_USO, VIRTIO_NET_HDR_GSO_UDP_L4 } };
    struct net_guest *net = *state;
    uint64_t all = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        struct virtio_net_hdr_v1 header = segmented;

        header.gso_type = rows[i].gso_type;
        all |= NET_FEATURE(rows[i].bit);
        guest_driver_start(net->guest, net_guest_features_without(net, NET_FEATURE(rows[i].bit)), 0);
        expect_dropped(net, &header, 3000);
        assert_int_equal(net_guest_counters(net).tx_bad_header, i + 1);
    }
    guest_driver_start(net->guest, net_guest_features_without(net, all | NET_FEATURE(VIRTIO_NET_F_CSUM)), 0);
    expect_dropped(net, &(struct virtio_net_hdr_v1){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM }, 60);
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        struct virtio_net_hdr_v1 header = segmented;

        header.gso_type = rows[i].gso_type;
        start(net);
        net_guest_send(net, 0, &header, frame, 3000);
        expect_on_wire(net, &header, 3000);
    }
}

static void test_net_transmit_checksum_outside_the_frame_is_dropped(void **state)
{
    struct net_guest *net = *state;
    struct virtio_net_hdr_v1 header = segmented;

    start(net);
    header.csum_start = 59;
    header.csum_offset = 0;
    expect_dropped(net, &header, 60);
    assert_int_equal(net_guest_counters(net).tx_bad_header, 1);
}

static void test_net_transmit_that_fails_is_given_back_all_the_same(void **state)
{
    struct net_guest *net = *state;
    uint16_t head;

    start(net);
    head = net_guest_send(net, 0, &net_guest_plain, frame, 60);
    assert_true(net_guest_leave_wire(net, 0, -EIO));
    net_guest_expect_sent(net, 0, head);
    assert_int_equal(net_guest_counters(net).tx_errors, 1);
    assert_int_equal(net_guest_counters(net).tx_frames, 0);
}

static void test_net_transmit_more_than_slots_waits_and_goes_on_without_a_kick(void **state)
{
    struct net_guest *net = *state;
    struct virtio_net_options options = net_guest_options;
    const unsigned count = 200;
    unsigned bound;

    /* a deeper queue */
    net_guest_destroy(net);
    options.queue_size = 512;
    net_guest_create(net, &options, NULL);
    start(net);
    for (unsigned i = 0; i < count; i++)
        net_guest_send(net, 0, &net_guest_plain, frame, 60);
    bound = pending(net);
    assert_true(bound < count);
    for (unsigned i = 0; i < count; i++) {
        assert_true(pending(net) <= bound);
        assert_true(net_guest_leave_wire(net, 0, 0));
        assert_true(guest_queue_take_used(&net->guest->queues[1], &(struct guest_used){ 0 }));
    }
    assert_int_equal(pending(net), 0);
    assert_int_equal(net_guest_counters(net).tx_frames, count);
    /* Drained, it wants to be kicked again. */
    net_guest_send(net, 0, &net_guest_plain, frame, 60);
    assert_int_equal(pending(net), 1);
}

static void test_net_transmit_pair_no_longer_in_use_goes_on_only_when_it_is_again(void **state)
{
    struct net_guest *net = *state;
    struct virtio_net_options options = net_guest_options;
    uint8_t pairs[2] = { 2, 0 };
    unsigned bound;

    net_guest_destroy(net);
    options.queue_size = 256;
    options.queue_pairs = 2;
    net_guest_create(net, &options, NULL);
    start(net);
    assert_int_equal(net_guest_command(net, VIRTIO_NET_CTRL_MQ, 0, pairs, 2), VIRTIO_NET_OK);
    for (unsigned i = 0; i < 100; i++)
        net_guest_send(net, 1, &net_guest_plain, frame, 60);
    bound = net->net.transmits[1].count;
    assert_true(bound < 100);
    pairs[0] = 1;
    assert_int_equal(net_guest_command(net, VIRTIO_NET_CTRL_MQ, 0, pairs, 2), VIRTIO_NET_OK);
    while (net_guest_leave_wire(net, 1, 0))
        ;
    assert_int_equal(net_guest_counters(net).tx_frames, bound);
    pairs[0] = 2;
    assert_int_equal(net_guest_command(net, VIRTIO_NET_CTRL_MQ, 0, pairs, 2), VIRTIO_NET_OK);
    while (net_guest_leave_wire(net, 1, 0))
        ;
    assert_int_equal(net_guest_counters(net).tx_frames, 100);
}

static void test_net_transmit_writable_buffers_are_left_alone(void **state)
{
    struct net_guest *net = *state;
    struct guest_segment segments[2];
    struct guest_used used;
    uint64_t at;

    start(net);
    at = guest_alloc(net->guest, 256, 16);
    segments[0] = (struct guest_segment){ at, 72, false };
    segments[1] = (struct guest_segment){ at + 128, 64, true };
    guest_write(net->guest, at + NET_HEADER_SIZE, frame, 60);
    guest_queue_add(&net->guest->queues[1], segments, 2);
    guest_queue_kick(&net->guest->queues[1]);
    expect_on_wire(net, &net_guest_plain, 60);
    assert_true(guest_queue_take_used(&net->guest->queues[1], &used));
    assert_int_equal(used.length, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_net_transmit_sends_header_and_frame_and_gives_the_chain_back_when_done),
        TEST(test_net_report_tells_what_went_over_the_wire),
        TEST(test_net_transmit_segmented_frame_goes_with_its_header),
        TEST(test_net_transmit_header_may_be_cut_anywhere),
        TEST(test_net_transmit_chain_of_single_bytes_is_the_same_frame),
        TEST(test_net_transmit_sends_the_header_that_was_judged),
        TEST(test_net_transmit_frame_of_an_impossible_length_is_dropped_and_given_back),
        TEST(test_net_transmit_header_that_was_not_negotiated_is_dropped),
        TEST(test_net_transmit_checksum_outside_the_frame_is_dropped),
        TEST(test_net_transmit_that_fails_is_given_back_all_the_same),
        TEST(test_net_transmit_more_than_slots_waits_and_goes_on_without_a_kick),
        TEST(test_net_transmit_pair_no_longer_in_use_goes_on_only_when_it_is_again),
        TEST(test_net_transmit_writable_buffers_are_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
