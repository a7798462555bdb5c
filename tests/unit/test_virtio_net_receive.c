/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames to the guest: how receives are built from its buffers, what of them comes back, and that neither
 * side's shortage lasts longer than it has to.
 */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net_guest.h"
#include "ringlet/util.h"

#define MERGE NET_FEATURE(VIRTIO_NET_F_MRG_RXBUF)
#define SEGMENTED                                                                                            \
    (NET_FEATURE(VIRTIO_NET_F_GUEST_TSO4) | NET_FEATURE(VIRTIO_NET_F_GUEST_TSO6) |                           \
     NET_FEATURE(VIRTIO_NET_F_GUEST_USO4) | NET_FEATURE(VIRTIO_NET_F_GUEST_USO6))
#define LONGEST     (NET_HEADER_SIZE + NET_MAX_FRAME)
#define FOR_LONGEST (NET_MAX_FRAME / NET_GUEST_BUFFER + 1) /* buffers */
#define TELLS_MTU   1500

static const struct virtio_net_hdr_v1 big_header = {
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
    struct net_info info = net_guest_info;

    assert_non_null(net);
    info.mtu = TELLS_MTU;
    net_guest_create(net, NULL, &info);
    net_guest_make_frame(frame, sizeof(frame), 1);
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

static void start_without(struct net_guest *net, uint64_t features)
{
    guest_driver_start(net->guest, net_guest_features_without(net, features), 0);
}

static unsigned posted(const struct net_guest *net)
{
    return net->net.receives[0].count;
}

static bool needs_reset(struct net_guest *net)
{
    return guest_status(net->guest) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

/* --- without mergeable buffers --- */

static void test_net_receive_without_merging_takes_one_chain_a_frame(void **state)
{
    struct net_guest *net = *state;

    start_without(net, MERGE | SEGMENTED);
    net_guest_offer(net, 0, 6, NET_GUEST_BUFFER);
    assert_int_equal(posted(net), 4);
    assert_int_equal(fake_net_room(&net->net, 0), NET_GUEST_BUFFER);
    for (unsigned i = 0; i < 6; i++) {
        assert_true(net_guest_arrive(net, 0, &net_guest_plain, frame, 1514 - i));
        net_guest_expect_frame(net, 0, frame, 1514 - i);
        assert_int_equal(net->chains, 1);
        assert_int_equal(le16toh(net->header.num_buffers), 1);
    }
    assert_int_equal(posted(net), 0);
    assert_int_equal(net_guest_counters(net).rx_frames, 6);
    assert_int_equal(net_guest_counters(net).rx_bytes, 6 * 1514 - 15);
}

static void test_net_receive_without_merging_serves_big_buffers_of_many_pieces(void **state)
{
    struct net_guest *net = *state;
    struct guest_segment segments[19];
    uint64_t at;

    /* As Linux: a header of its own, then pages. */
    start_without(net, MERGE);
    at = guest_alloc(net->guest, 18 * 4096, 4096);
    segments[0] = (struct guest_segment){ at, NET_HEADER_SIZE, true };
    for (unsigned i = 1; i < 19; i++)
        segments[i] =
            (struct guest_segment){ at + (i - 1) * 4096 + (i == 1 ? 16 : 0), i == 1 ? 4080 : 4096, true };
    guest_queue_add_indirect(&net->guest->queues[0], segments, 19, 0);
    guest_queue_kick(&net->guest->queues[0]);
    assert_int_equal(fake_net_room(&net->net, 0), LONGEST);
    assert_true(net_guest_arrive(net, 0, &big_header, frame, NET_MAX_FRAME));
    assert_int_equal(guest_queue_used_idx(&net->guest->queues[0]), 1);
    assert_memory_equal(guest_at(net->guest, at + 16, NET_MAX_FRAME), frame, NET_MAX_FRAME);
    assert_memory_equal(guest_at(net->guest, at, 10), &big_header, 10);
    assert_memory_equal(guest_at(net->guest, at + 10, 2), "\1\0", 2);
}

/* --- with them --- */

static void test_net_receive_gathers_buffers_for_the_longest_frame(void **state)
{
    struct net_guest *net = *state;

    start(net);
    net_guest_offer(net, 0, NET_GUEST_QUEUE_SIZE, NET_GUEST_BUFFER);
    assert_int_equal(posted(net), 1); /* 64 buffers are not enough for two */
    assert_int_equal(fake_net_room(&net->net, 0), LONGEST);
    assert_true(net_guest_arrive(net, 0, &big_header, frame, NET_MAX_FRAME));
    net_guest_expect_frame(net, 0, frame, NET_MAX_FRAME);
    assert_int_equal(net->chains, FOR_LONGEST);
    assert_int_equal(le16toh(net->header.num_buffers), FOR_LONGEST);
    assert_memory_equal(&net->header, &big_header, 10);
}

static void test_net_receive_gives_back_what_a_frame_filled_and_keeps_the_rest(void **state)
{
    struct net_guest *net = *state;

    start(net);
    net_guest_offer(net, 0, NET_GUEST_QUEUE_SIZE, NET_GUEST_BUFFER);
    for (unsigned i = 0; i < NET_GUEST_QUEUE_SIZE; i++) {
        net_guest_make_frame(frame, 60 + i, (uint8_t)i);
        assert_true(net_guest_arrive(net, 0, &net_guest_plain, frame, 60 + i));
        net_guest_expect_frame(net, 0, frame, 60 + i);
        assert_int_equal(net->chains, 1);
        net_guest_expect_nothing(net, 0);
    }
    assert_false(net_guest_arrive(net, 0, &net_guest_plain, frame, 60));
    assert_false(needs_reset(net));
}

static void test_net_receive_frame_that_ends_with_a_buffer_takes_no_further_one(void **state)
{
    struct net_guest *net = *state;
    const size_t two = 2 * NET_GUEST_BUFFER - NET_HEADER_SIZE;

    start(net);
    net_guest_offer(net, 0, NET_GUEST_QUEUE_SIZE, NET_GUEST_BUFFER);
    assert_true(net_guest_arrive(net, 0, &big_header, frame, two));
    net_guest_expect_frame(net, 0, frame, two);
    assert_int_equal(net->chains, 2);
    assert_true(net_guest_arrive(net, 0, &big_header, frame, two + 1));
    net_guest_expect_frame(net, 0, frame, two + 1);
    assert_int_equal(net->chains, 3);
}

static void test_net_receive_posts_several_requests_of_frames_as_long_as_the_mtu(void **state)
{
    struct net_guest *net = *state;

    start_without(net, SEGMENTED);
    net_guest_offer(net, 0, NET_GUEST_QUEUE_SIZE, NET_GUEST_BUFFER);
    assert_int_equal(posted(net), 4);
    assert_int_equal(fake_net_room(&net->net, 0), NET_HEADER_SIZE + TELLS_MTU + 22);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(net_guest_arrive(net, 0, &net_guest_plain, frame, 1514));
        net_guest_expect_frame(net, 0, frame, 1514);
        assert_int_equal(posted(net), 4);
    }
}

static void test_net_receive_a_buffer_longer_than_any_frame_is_used_in_part(void **state)
{
    struct net_guest *net = *state;

    start(net);
    net_guest_offer(net, 0, 2, 128 * 1024);
    assert_int_equal(posted(net), 2);
    assert_int_equal(fake_net_room(&net->net, 0), LONGEST);
    assert_true(net_guest_arrive(net, 0, &big_header, frame, NET_MAX_FRAME));
    net_guest_expect_frame(net, 0, frame, NET_MAX_FRAME);
}

static void test_net_receive_header_and_frame_may_be_cut_anywhere(void **state)
{
    struct net_guest *net = *state;

    start(net);
    for (unsigned i = 0; i < 40; i++) {
        uint64_t at = guest_alloc(net->guest, 2048, 1);
        struct guest_segment segments[4] = { { at, 1 + i % 7, true },
                                             { at + 1 + i % 7, 4, true },
                                             { at + 5 + i % 7, 20, true },
                                             { at + 25 + i % 7, 1500, true } };
        uint16_t head = guest_queue_add_indirect(&net->guest->queues[0], segments, 4, 0);

        net->buffers[0][head].address = at;
        net->buffers[0][head].length = 1525 + i % 7;
    }
    guest_queue_kick(&net->guest->queues[0]);
    for (unsigned i = 0; i < 20; i++) {
        assert_true(net_guest_arrive(net, 0, &net_guest_plain, frame, 14 + i));
        net_guest_expect_frame(net, 0, frame, 14 + i);
    }
    assert_true(net_guest_arrive(net, 0, &big_header, frame, 20000));
    net_guest_expect_frame(net, 0, frame, 20000);
}

static void test_net_receive_small_merged_buffers_hold_a_frame_head_across_chains(void **state)
{
    struct net_guest *net = *state;

    start(net);
    net_guest_offer(net, 0, 64, NET_HEADER_SIZE);
    assert_true(net_guest_arrive(net, 0, &net_guest_plain, frame, 60));
    net_guest_expect_frame(net, 0, frame, 60);
    assert_int_equal(net->chains, 6);
}

static void test_net_receive_takes_only_so_many_pieces_and_chains_in_a_request(void **state)
{
    struct net_guest *net = *state;
    struct virtio_net_options options = net_guest_options;
    struct guest_segment segments[60];

    net_guest_destroy(net);
    options.queue_size = 512;
    net_guest_create(net, &options, NULL);
    start(net);
    for (unsigned i = 0; i < 60; i++)
        segments[i] = (struct guest_segment){ 0x200 + 16 * i, 16, true };
    for (unsigned i = 0; i < 10; i++)
        guest_queue_add_indirect(&net->guest->queues[0], segments, 60, 0);
    guest_queue_kick(&net->guest->queues[0]);
    assert_int_equal(posted(net), 2); /* of 240 pieces each; the last two chains wait for company */
    assert_int_equal(fake_net_room(&net->net, 0), 4 * 60 * 16);
    /* Nor when chains come back to others that wait. */
    assert_true(net_guest_arrive(net, 0, &big_header, frame, 9000));
    assert_int_equal(posted(net), 2);
    assert_int_equal(net->net.receives[0].pending[1]->iov_count, 240);
    start(net);
    net_guest_offer(net, 0, 512, 16);
    assert_int_equal(posted(net), 2);
    assert_int_equal(fake_net_room(&net->net, 0), 193 * 16); /* the next might have had 64 pieces */
    assert_true(net_guest_arrive(net, 0, &net_guest_plain, frame, 1400));
    net_guest_expect_frame(net, 0, frame, 1400);
}

static void test_net_receive_buffers_across_a_border_of_ram_are_filled(void **state)
{
    struct net_guest *net = *state;
    struct guest_segment segment = { GUEST_RAM_SEAM - 5, NET_GUEST_BUFFER, true };
    uint16_t head;

    start(net);
    head = guest_queue_add(&net->guest->queues[0], &segment, 1);
    net->buffers[0][head].address = segment.address;
    net->buffers[0][head].length = segment.length;
    guest_queue_kick(&net->guest->queues[0]);
    assert_true(net_guest_arrive(net, 0, &net_guest_plain, frame, 1000));
    net_guest_expect_frame(net, 0, frame, 1000);
}

/* --- who is short of what, in every order --- */

static void test_net_receive_waits_for_frames_with_all_buffers_posted(void **state)
{
    struct net_guest *net = *state;

    start_without(net, MERGE | SEGMENTED);
    net_guest_offer(net, 0, NET_GUEST_QUEUE_SIZE, NET_GUEST_BUFFER);
    for (unsigned round = 0; round < 3 * NET_GUEST_QUEUE_SIZE; round++) {
        net_guest_expect_service(net, 0);
        net_guest_offer(net, 0, 1, 1526);
    }
    assert_int_equal(posted(net), 4);
}

static void test_net_receive_buffers_that_come_one_by_one_wake_it_each_time(void **state)
{
    struct net_guest *net = *state;

    for (unsigned merging = 0; merging < 2; merging++) {
        start_without(net, merging ? 0 : MERGE);
        for (unsigned round = 0; round < 3 * NET_GUEST_QUEUE_SIZE; round++) {
            assert_int_equal(posted(net), 0);
            assert_false(net_guest_arrive(net, 0, &net_guest_plain, frame, 60));
            net_guest_offer(net, 0, 1, 256); /* only kicks if the device wants it */
            assert_int_equal(posted(net), 1);
            net_guest_expect_service(net, 0);
        }
    }
}

static void test_net_receive_wants_to_be_kicked_only_when_it_is_short(void **state)
{
    struct net_guest *net = *state;
    struct guest_queue *queue = &net->guest->queues[0];

    start_without(net, MERGE | SEGMENTED);
    net_guest_offer(net, 0, 8, NET_GUEST_BUFFER);
    assert_int_equal(posted(net), 4);
    net_guest_offer(net, 0, 1, NET_GUEST_BUFFER);
    assert_false(guest_queue_wants_kick(queue));
    /* Drained, it does. */
    for (unsigned i = 0; i < 9; i++)
        net_guest_expect_service(net, 0);
    net_guest_offer(net, 0, 1, NET_GUEST_BUFFER);
    assert_int_equal(posted(net), 1);
}

static void test_net_receive_with_too_few_buffers_posts_one_request_with_those(void **state)
{
    struct net_guest *net = *state;

    start(net);
    net_guest_offer(net, 0, 3, NET_GUEST_BUFFER);
    assert_int_equal(posted(net), 1);
    assert_int_equal(fake_net_room(&net->net, 0), 3 * NET_GUEST_BUFFER);
    net_guest_offer(net, 0, 4, NET_GUEST_BUFFER);
    assert_int_equal(posted(net), 1); /* the next waits until it is whole, or alone */
    net_guest_expect_service(net, 0);
    assert_int_equal(fake_net_room(&net->net, 0), 6 * NET_GUEST_BUFFER);
    net_guest_offer(net, 0, FOR_LONGEST, NET_GUEST_BUFFER);
    assert_int_equal(posted(net), 2);
}

static void test_net_receive_frame_too_long_for_the_buffers_is_dropped_and_they_are_posted_again(void **state)
{
    struct net_guest *net = *state;

    start(net);
    net_guest_offer(net, 0, 3, NET_GUEST_BUFFER);
    assert_true(net_guest_arrive(net, 0, &big_header, frame, 9000));
    net_guest_expect_nothing(net, 0);
    assert_int_equal(net_guest_counters(net).rx_too_long, 1);
    assert_int_equal(posted(net), 1);
    net_guest_expect_service(net, 0);
}

static void test_net_receive_both_sides_full_goes_on_when_either_moves(void **state)
{
    struct net_guest *net = *state;
    unsigned taken = 0;

    start(net);
    net_guest_offer(net, 0, NET_GUEST_QUEUE_SIZE, NET_GUEST_BUFFER);
    /* Frames come until there is no buffer left, and the guest looks at none. */
    while (net_guest_arrive(net, 0, &net_guest_plain, frame, 60))
        taken++;
    assert_int_equal(taken, NET_GUEST_QUEUE_SIZE);
    /* Now it does, and gives buffers back in lots of odd sizes. */
    for (unsigned lot = 1; taken; lot = lot % 7 + 1) {
        for (unsigned i = 0; i < lot && taken; i++, taken--)
            assert_true(net_guest_take(net, 0));
        net_guest_offer(net, 0, lot, 256);
        assert_true(posted(net) > 0);
        for (unsigned i = 0; i < lot; i++) {
            assert_true(net_guest_arrive(net, 0, &net_guest_plain, frame, 60));
            taken++;
        }
        assert_false(net_guest_arrive(net, 0, &net_guest_plain, frame, 60));
        if (net->guest->queues[0].avail_idx > 600)
            break;
    }
}

static void test_net_receive_random_interplay_loses_neither_frames_nor_buffers(void **state)
{
    struct net_guest *net = *state;
    uint32_t random = 12345;
    unsigned arrived = 0, got = 0, held = 0;

    start(net);
    for (unsigned step = 0; step < 3000; step++) {
        size_t length;

        random = random * 1664525 + 1013904223;
        length = 14 + (random >> 20) % 2000;
        switch (random >> 8 & 3) {
        case 0:
            if (net->guest->queues[0].free_count && net->guest->next_free < GUEST_RAM_LOW_END - 8192) {
                net_guest_offer(net, 0, 1, 128);
                held++;
            }
            break;
        case 1:
            while (net_guest_take(net, 0)) {
                got++;
                held -= net->chains;
            }
            break;
        default:
            if (fake_net_room(&net->net, 0) >= length + NET_HEADER_SIZE) {
                assert_true(net_guest_arrive(net, 0, &net_guest_plain, frame, length));
                arrived++;
            }
            break;
        }
    }
    while (net_guest_take(net, 0)) {
        got++;
        held -= net->chains;
    }
    assert_true(arrived > 100);
    assert_int_equal(net_guest_counters(net).rx_frames + net_guest_counters(net).rx_too_long, arrived);
    assert_int_equal(net_guest_counters(net).rx_frames, got);
    /* Every buffer is the device's still: none is lost. */
    for (; net_guest_arrive(net, 0, &net_guest_plain, frame, 60); held--)
        net_guest_expect_frame(net, 0, frame, 60);
    assert_int_equal(held, 0);
}

/* --- what is dropped --- */

static void expect_dropped(struct net_guest *net, const struct virtio_net_hdr_v1 *header, size_t length)
{
    assert_true(net_guest_arrive(net, 0, header, frame, length));
    net_guest_expect_nothing(net, 0);
    assert_int_equal(net_guest_counters(net).rx_frames, 0);
}

static void test_net_receive_frame_without_an_ethernet_header_is_dropped(void **state)
{
    struct net_guest *net = *state;

    start(net);
    net_guest_offer(net, 0, 1, NET_GUEST_BUFFER);
    for (size_t length = 0; length < 14; length++)
        expect_dropped(net, &net_guest_plain, length);
    guest_driver_enter(net->guest);
    fake_net_end_receive(&net->net, 0, 0);
    guest_driver_leave(net->guest);
    assert_int_equal(net_guest_counters(net).rx_too_short, 15);
    net_guest_expect_service(net, 0);
}

static void test_net_receive_offload_that_is_not_on_is_dropped(void **state)
{
    struct net_guest *net = *state;

    start_without(net, SEGMENTED);
    net_guest_offer(net, 0, 4, NET_GUEST_BUFFER);
    expect_dropped(net, &big_header, 1000);
    assert_int_equal(net_guest_counters(net).rx_bad_header, 1);
    net_guest_expect_service(net, 0);
}

static void test_net_receive_without_guest_csum_flags_are_zero(void **state)
{
    struct net_guest *net = *state;
    const struct virtio_net_hdr_v1 valid = { .flags = VIRTIO_NET_HDR_F_DATA_VALID };

    start_without(net, SEGMENTED | NET_FEATURE(VIRTIO_NET_F_GUEST_CSUM));
    net_guest_offer(net, 0, 4, NET_GUEST_BUFFER);
    assert_true(net_guest_arrive(net, 0, &valid, frame, 60));
    net_guest_expect_frame(net, 0, frame, 60);
    assert_int_equal(net->header.flags, 0);
    start(net);
    net_guest_offer(net, 0, 4, NET_GUEST_BUFFER);
    assert_true(net_guest_arrive(net, 0, &valid, frame, 60));
    net_guest_expect_frame(net, 0, frame, 60);
    assert_int_equal(net->header.flags, VIRTIO_NET_HDR_F_DATA_VALID);
}

static void put_tag(unsigned at, uint16_t type)
{
    frame[at] = (uint8_t)(type >> 8);
    frame[at + 1] = (uint8_t)type;
}

static void test_net_receive_frame_longer_than_the_mtu_is_dropped_unless_segmented(void **state)
{
    struct net_guest *net = *state;

    start(net);
    net_guest_offer(net, 0, 60, NET_GUEST_BUFFER);
    expect_dropped(net, &net_guest_plain, TELLS_MTU + 15);
    assert_int_equal(net_guest_counters(net).rx_too_long, 1);
    assert_true(net_guest_arrive(net, 0, &net_guest_plain, frame, TELLS_MTU + 14));
    net_guest_expect_frame(net, 0, frame, TELLS_MTU + 14);
    assert_true(net_guest_arrive(net, 0, &big_header, frame, TELLS_MTU + 15));
    net_guest_expect_frame(net, 0, frame, TELLS_MTU + 15);
    /* A tag, or two, do not count. */
    put_tag(12, 0x8100);
    assert_true(net_guest_arrive(net, 0, &net_guest_plain, frame, TELLS_MTU + 18));
    net_guest_expect_frame(net, 0, frame, TELLS_MTU + 18);
    assert_true(net_guest_arrive(net, 0, &net_guest_plain, frame, TELLS_MTU + 19));
    net_guest_expect_nothing(net, 0);
    put_tag(12, 0x88a8);
    put_tag(16, 0x8100);
    assert_true(net_guest_arrive(net, 0, &net_guest_plain, frame, TELLS_MTU + 22));
    net_guest_expect_frame(net, 0, frame, TELLS_MTU + 22);
    assert_true(net_guest_arrive(net, 0, &net_guest_plain, frame, TELLS_MTU + 23));
    net_guest_expect_nothing(net, 0);
}

static void test_net_receive_mtu_that_was_not_negotiated_bounds_nothing(void **state)
{
    struct net_guest *net = *state;

    start_without(net, SEGMENTED | NET_FEATURE(VIRTIO_NET_F_MTU));
    net_guest_offer(net, 0, 60, NET_GUEST_BUFFER);
    assert_true(net_guest_arrive(net, 0, &net_guest_plain, frame, 9014));
    net_guest_expect_frame(net, 0, frame, 9014);
}

/* --- the host fails --- */

static void end_receive(struct net_guest *net, int res)
{
    guest_driver_enter(net->guest);
    fake_net_end_receive(&net->net, 0, res);
    guest_driver_leave(net->guest);
}

static void test_net_receive_after_an_error_is_posted_again(void **state)
{
    struct net_guest *net = *state;

    start(net);
    net_guest_offer(net, 0, 2, NET_GUEST_BUFFER);
    for (unsigned i = 0; i < 100; i++) {
        end_receive(net, -EIO);
        assert_int_equal(posted(net), 1);
        end_receive(net, -EMSGSIZE); /* that is no error of the host's */
    }
    net_guest_expect_nothing(net, 0);
    for (unsigned i = 0; i < 40; i++) {
        end_receive(net, -EIO);
        net_guest_expect_service(net, 0);
        net_guest_offer(net, 0, 1, 256);
    }
    assert_int_equal(net_guest_counters(net).rx_errors, 140);
    net_guest_expect_service(net, 0);
}

static void test_net_receive_that_fails_again_and_again_rests_until_the_link_comes_up(void **state)
{
    struct net_guest *net = *state;
    unsigned errors = 0;

    start(net);
    net_guest_offer(net, 0, 2, NET_GUEST_BUFFER);
    for (; posted(net); errors++) {
        assert_true(errors < 1000);
        end_receive(net, -EIO);
    }
    assert_int_equal(net_guest_counters(net).rx_errors, errors);
    net_guest_offer(net, 0, 1, NET_GUEST_BUFFER);
    assert_int_equal(posted(net), 0);
    net_guest_set_link(net, false);
    assert_int_equal(posted(net), 0);
    net_guest_set_link(net, true);
    assert_int_equal(posted(net), 1);
    net_guest_expect_service(net, 0);
    /* And so does a driver that starts afresh. */
    while (posted(net))
        end_receive(net, -EBADF);
    start(net);
    net_guest_offer(net, 0, 2, NET_GUEST_BUFFER);
    net_guest_expect_service(net, 0);
}

/* --- the driver breaks the rules --- */

static void test_net_receive_buffer_too_short_for_the_header_sets_needs_reset(void **state)
{
    struct net_guest *net = *state;

    for (uint32_t length = 0; length < NET_HEADER_SIZE; length++) {
        start(net);
        net_guest_offer(net, 0, 1, NET_GUEST_BUFFER);
        net_guest_offer(net, 0, 1, length);
        assert_true(needs_reset(net));
        net_guest_expect_nothing(net, 0);
    }
    start(net);
    net_guest_offer(net, 0, 1, NET_GUEST_BUFFER);
    net_guest_expect_service(net, 0);
}

static void test_net_receive_readable_buffer_is_never_written(void **state)
{
    struct net_guest *net = *state;
    uint64_t at;
    struct guest_segment segments[2];
    struct guest_used used;

    start(net);
    at = guest_alloc(net->guest, 4096, 16);
    segments[0] = (struct guest_segment){ at, 2048, false };
    segments[1] = (struct guest_segment){ at + 2048, 2048, true };
    guest_queue_add(&net->guest->queues[0], segments, 2);
    guest_queue_kick(&net->guest->queues[0]);
    assert_int_equal(fake_net_room(&net->net, 0), 2048);
    assert_true(net_guest_arrive(net, 0, &net_guest_plain, frame, 60));
    for (unsigned i = 0; i < 2048; i++)
        assert_int_equal(*(uint8_t *)guest_at(net->guest, at + i, 1), 0);
    assert_memory_equal(guest_at(net->guest, at + 2048 + NET_HEADER_SIZE, 60), frame, 60);
    assert_true(guest_queue_take_used(&net->guest->queues[0], &used));
    assert_int_equal(used.length, NET_HEADER_SIZE + 60);
    /* One without a writable byte has no place for anything. */
    guest_queue_add(&net->guest->queues[0], segments, 1);
    guest_queue_kick(&net->guest->queues[0]);
    assert_true(needs_reset(net));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_net_receive_without_merging_takes_one_chain_a_frame),
        TEST(test_net_receive_without_merging_serves_big_buffers_of_many_pieces),
        TEST(test_net_receive_gathers_buffers_for_the_longest_frame),
        TEST(test_net_receive_gives_back_what_a_frame_filled_and_keeps_the_rest),
        TEST(test_net_receive_frame_that_ends_with_a_buffer_takes_no_further_one),
        TEST(test_net_receive_posts_several_requests_of_frames_as_long_as_the_mtu),
        TEST(test_net_receive_a_buffer_longer_than_any_frame_is_used_in_part),
        TEST(test_net_receive_header_and_frame_may_be_cut_anywhere),
        TEST(test_net_receive_small_merged_buffers_hold_a_frame_head_across_chains),
        TEST(test_net_receive_takes_only_so_many_pieces_and_chains_in_a_request),
        TEST(test_net_receive_buffers_across_a_border_of_ram_are_filled),
        TEST(test_net_receive_waits_for_frames_with_all_buffers_posted),
        TEST(test_net_receive_buffers_that_come_one_by_one_wake_it_each_time),
        TEST(test_net_receive_wants_to_be_kicked_only_when_it_is_short),
        TEST(test_net_receive_with_too_few_buffers_posts_one_request_with_those),
        TEST(test_net_receive_frame_too_long_for_the_buffers_is_dropped_and_they_are_posted_again),
        TEST(test_net_receive_both_sides_full_goes_on_when_either_moves),
        TEST(test_net_receive_random_interplay_loses_neither_frames_nor_buffers),
        TEST(test_net_receive_frame_without_an_ethernet_header_is_dropped),
        TEST(test_net_receive_offload_that_is_not_on_is_dropped),
        TEST(test_net_receive_without_guest_csum_flags_are_zero),
        TEST(test_net_receive_frame_longer_than_the_mtu_is_dropped_unless_segmented),
        TEST(test_net_receive_mtu_that_was_not_negotiated_bounds_nothing),
        TEST(test_net_receive_after_an_error_is_posted_again),
        TEST(test_net_receive_that_fails_again_and_again_rests_until_the_link_comes_up),
        TEST(test_net_receive_buffer_too_short_for_the_header_sets_needs_reset),
        TEST(test_net_receive_readable_buffer_is_never_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
