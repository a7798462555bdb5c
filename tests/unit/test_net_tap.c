/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_net_tap.c - frames through real taps, in a network namespace of the test's own: order, lengths, what
 * the interface may do meanwhile, queues.
 */
#include "ringlet/net_tap.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "net_player.h"
#include "ringlet/error.h"
#include "ringlet/util.h"
#include "tap_host.h"

#define TAP         "tap-test"
#define BASIC       (NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6)
#define FRAME_LIMIT 1514

/* A tap with a backend on it; the wire's other end is returned. */
static int connect_tap_with(struct net_player *player, unsigned flags, unsigned queue_pairs)
{
    struct net_tap_options options = { .name = TAP, .queue_pairs = queue_pairs };
    struct net_backend *backend;
    struct error err = { 0 };

    tap_host_make(TAP, flags);
    if (net_tap_open(player->loop, &options, &backend, &err) != 0)
        fail_msg("%s", err.text);
    assert_string_equal(err.text, "");
    assert_true(backend->link_up);
    assert_int_equal(backend->info.queue_pairs, queue_pairs);
    net_player_attach(player, backend);
    return tap_host_wire(TAP);
}

static int connect_tap(struct net_player *player)
{
    return connect_tap_with(player, 0, 1);
}

static void disconnect_tap(int wire)
{
    close(wire);
    tap_host_delete(TAP);
}

static void send_frame(int wire, uint16_t number, size_t length)
{
    unsigned char frame[FRAME_LIMIT];

    net_frame_make(frame, number, length);
    tap_host_send(wire, frame, length);
}

static void expect_frame(int wire, uint16_t number, size_t length)
{
    unsigned char expected[FRAME_LIMIT], got[FRAME_LIMIT + 1];

    net_frame_make(expected, number, length);
    assert_int_equal(tap_host_receive(wire, got, sizeof(got)), length);
    assert_memory_equal(got, expected, length);
}

/* --- receiving --- */

static void test_tap_burst_fills_requests_in_the_order_posted(void **state)
{
    struct net_player *player = *state;
    enum { COUNT = 200 };
    struct net_play *plays = net_plays(player, COUNT);
    int wire = connect_tap(player);

    for (unsigned i = 0; i < COUNT; i++)
        net_play_receive(&plays[i], 0, 1600);
    for (uint16_t i = 0; i < COUNT; i++)
        send_frame(wire, i, 60 + i);
    net_player_run(player, COUNT);
    for (uint16_t i = 0; i < COUNT; i++) {
        net_play_check(&plays[i], i, 60 + i);
        assert_int_equal(plays[i].order, i);
    }
    free(plays);
    disconnect_tap(wire);
}

static void test_tap_requests_that_wait_are_filled_in_order_wave_by_wave(void **state)
{
    struct net_player *player = *state;
    enum { COUNT = 64 };
    struct net_play *plays = net_plays(player, COUNT);
    int wire = connect_tap(player);
    uint16_t sent = 0;

    for (unsigned i = 0; i < COUNT; i++)
        net_play_receive(&plays[i], 0, 1600);
    for (unsigned wave = 1; sent < COUNT; wave = wave % 7 + 1) {
        net_player_settle(player);
        for (unsigned i = 0; i < wave && sent < COUNT; i++, sent++)
            send_frame(wire, sent, 100);
    }
    net_player_settle(player);
    for (uint16_t i = 0; i < COUNT; i++) {
        net_play_check(&plays[i], i, 100);
        assert_int_equal(plays[i].order, i);
    }
    free(plays);
    disconnect_tap(wire);
}

static void test_tap_frames_that_came_before_a_request_are_kept(void **state)
{
    struct net_player *player = *state;
    struct net_play *plays = net_plays(player, 20);
    int wire = connect_tap(player);

    for (uint16_t i = 0; i < 20; i++)
        send_frame(wire, i, 60);
    for (unsigned i = 0; i < 20; i++)
        net_play_receive(&plays[i], 0, 100);
    net_player_run(player, 20);
    for (uint16_t i = 0; i < 20; i++)
        net_play_check(&plays[i], i, 60);
    free(plays);
    disconnect_tap(wire);
}

static void test_tap_frame_that_just_fits_is_whole_and_one_byte_more_is_too_long(void **state)
{
    struct net_player *player = *state;
    struct net_play *plays = net_plays(player, 6);
    int wire = connect_tap(player);

    /* alone, waited for; and in a burst */
    net_play_receive(&plays[0], 0, 200);
    net_player_settle(player);
    send_frame(wire, 0, 201);
    net_player_run(player, 1);
    assert_int_equal(plays[0].res, -EMSGSIZE);
    for (unsigned i = 1; i < 6; i++)
        net_play_receive(&plays[i], 0, 200);
    for (uint16_t i = 1; i < 6; i++)
        send_frame(wire, i, i % 2 ? 200 : i == 2 ? 201 : 1514);
    net_player_run(player, 5);
    for (uint16_t i = 1; i < 6; i++) {
        if (i % 2)
            net_play_check(&plays[i], i, 200);
        else
            assert_int_equal(plays[i].res, -EMSGSIZE);
        assert_int_equal(plays[i].order, i);
    }
    free(plays);
    disconnect_tap(wire);
}

static void test_tap_header_and_frame_may_be_cut_by_the_vectors_anywhere(void **state)
{
    struct net_player *player = *state;
    struct net_play *play = net_plays(player, 1);
    int wire = connect_tap(player);

    for (size_t cut = 1; cut < 40; cut++) {
        play->iov[0] = (struct iovec){ play->bytes, cut };
        play->iov[1] = (struct iovec){ play->bytes + cut, 3 };
        play->iov[2] = (struct iovec){ play->bytes + cut + 3, 200 };
        net_play_receive_vectors(play, 0, 3);
        send_frame(wire, (uint16_t)cut, 90);
        net_player_run(player, 1);
        net_play_check(play, (uint16_t)cut, 90);
        assert_int_equal(play->bytes[NET_HEADER_SIZE + 90], 0xa5);
    }
    free(play);
    disconnect_tap(wire);
}

static void test_tap_receives_that_cannot_be_filled_are_refused_and_lose_no_frame(void **state)
{
    struct net_player *player = *state;
    struct net_play *plays = net_plays(player, 2);
    struct iovec *many = calloc(NET_MAX_VECTORS + 1, sizeof(*many));
    int wire = connect_tap(player);

    send_frame(wire, 1, 60);
    plays[0].iov[0] = (struct iovec){ plays[0].bytes, NET_HEADER_SIZE - 1 };
    net_play_receive_vectors(&plays[0], 0, 1);
    net_player_run(player, 1);
    assert_int_equal(plays[0].res, -EINVAL);
    for (unsigned i = 0; i <= NET_MAX_VECTORS; i++)
        many[i] = (struct iovec){ plays[0].bytes + i, 1 };
    plays[0].res = NET_PLAYER_UNDONE;
    plays[0].request.iov = many;
    plays[0].request.iov_count = NET_MAX_VECTORS + 1;
    pthread_mutex_lock(&player->lock);
    player->backend->ops->receive(player->backend, 0, &plays[0].request);
    pthread_mutex_unlock(&player->lock);
    net_player_run(player, 1);
    assert_int_equal(plays[0].res, -EINVAL);
    net_play_receive(&plays[1], 0, 100);
    net_player_run(player, 1);
    net_play_check(&plays[1], 1, 60);
    free(many);
    free(plays);
    disconnect_tap(wire);
}

static void test_tap_cancel_ends_receives_and_later_ones_are_filled(void **state)
{
    struct net_player *player = *state;
    struct net_play *plays = net_plays(player, 4);
    int wire = connect_tap(player);

    for (unsigned i = 0; i < 3; i++)
        net_play_receive(&plays[i], 0, 100);
    net_player_settle(player);
    net_player_cancel(player);
    net_player_run(player, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(plays[i].res, -ECANCELED);
    assert_int_equal(loop_in_flight(player->loop), 0);
    net_play_receive(&plays[3], 0, 100);
    net_player_settle(player);
    send_frame(wire, 4, 60);
    net_player_run(player, 1);
    net_play_check(&plays[3], 4, 60);
    free(plays);
    disconnect_tap(wire);
}

/* --- transmitting --- */

static void test_tap_transmits_leave_in_order(void **state)
{
    struct net_player *player = *state;
    enum { COUNT = 200 };
    struct net_play *plays = net_plays(player, COUNT);
    int wire = connect_tap(player);

    for (uint16_t i = 0; i < COUNT; i++)
        net_play_transmit(&plays[i], 0, i, 60 + i);
    net_player_run(player, COUNT);
    for (uint16_t i = 0; i < COUNT; i++) {
        assert_int_equal(plays[i].res, 0);
        expect_frame(wire, i, 60 + i);
    }
    free(plays);
    disconnect_tap(wire);
}

static void test_tap_header_is_read_in_little_endian(void **state)
{
    struct net_player *player = *state;
    struct net_play *play = net_plays(player, 1);
    unsigned char got[128];
    int wire = connect_tap(player);

    /* A checksum over all bytes from 20 on, to be put at 20 + 4: the kernel does it on the way out. */
    net_play_transmit(play, 0, 0x1234, 64);
    play->bytes[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    play->bytes[6] = 20;
    play->bytes[8] = 4;
    net_player_run(player, 1);
    assert_int_equal(play->res, 0);
    assert_int_equal(tap_host_receive(wire, got, sizeof(got)), 64);

    /* One that begins behind the frame, were it not for the other endianness. */
    net_play_transmit(play, 0, 1, 64);
    play->bytes[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    play->bytes[7] = 20;
    net_player_run(player, 1);
    assert_int_equal(play->res, -EINVAL);
    assert_true(player->link_up);
    free(play);
    disconnect_tap(wire);
}

static void test_tap_transmit_without_a_whole_ethernet_header_fails_alone(void **state)
{
    struct net_player *player = *state;
    struct net_play *plays = net_plays(player, 2);
    int wire = connect_tap(player);

    net_play_transmit(&plays[0], 0, 1, 13);
    net_play_transmit(&plays[1], 0, 2, 60);
    net_player_run(player, 2);
    assert_int_equal(plays[0].res, -EINVAL);
    assert_int_equal(plays[1].res, 0);
    expect_frame(wire, 2, 60);
    free(plays);
    disconnect_tap(wire);
}

/* --- what the interface may do --- */

static void test_tap_that_is_down_loses_frames_and_goes_on_when_up(void **state)
{
    struct net_player *player = *state;
    struct net_play *plays = net_plays(player, 3);
    int wire = connect_tap(player);

    net_play_receive(&plays[0], 0, 100);
    net_player_settle(player);
    tap_host_set_up(TAP, false);
    net_play_transmit(&plays[1], 0, 1, 60);
    net_player_run(player, 1);
    assert_int_equal(plays[1].res, -EIO);
    net_player_settle(player);
    assert_int_equal(plays[0].res, NET_PLAYER_UNDONE);
    tap_host_set_up(TAP, true);
    close(wire);
    wire = tap_host_wire(TAP); /* the old one holds the error */
    net_play_transmit(&plays[2], 0, 2, 60);
    send_frame(wire, 3, 60);
    net_player_run(player, 2);
    assert_int_equal(plays[2].res, 0);
    expect_frame(wire, 2, 60);
    net_play_check(&plays[0], 3, 60);
    assert_int_equal(player->link_changes, 0);
    free(plays);
    disconnect_tap(wire);
}

static void test_tap_that_is_deleted_loses_the_link_once_and_the_device_lives_on(void **state)
{
    struct net_player *player = *state;
    struct net_play *plays = net_plays(player, 4);
    int wire = connect_tap(player);

    net_play_receive(&plays[0], 0, 100);
    net_play_receive(&plays[1], 0, 100);
    net_player_settle(player);
    disconnect_tap(wire);
    while (player->link_up)
        net_player_settle(player);
    assert_int_equal(player->link_changes, 1);
    assert_int_equal(plays[0].res, NET_PLAYER_UNDONE);
    net_play_receive(&plays[2], 0, 100);
    net_play_transmit(&plays[3], 0, 1, 60);
    net_player_settle(player);
    assert_int_equal(plays[3].res, -ENETDOWN);
    assert_int_equal(player->backend->ops->set_offloads(player->backend, NET_OFFLOAD_CSUM), -EBADFD);
    net_player_cancel(player);
    net_player_run(player, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(plays[i].res, -ECANCELED);
    assert_int_equal(player->link_changes, 1);
    free(plays);
}

static void test_tap_transmit_finds_out_that_it_is_deleted(void **state)
{
    struct net_player *player = *state;
    struct net_play *plays = net_plays(player, 3);
    int wire = connect_tap(player);

    disconnect_tap(wire);
    for (uint16_t i = 0; i < 3; i++)
        net_play_transmit(&plays[i], 0, i, 60);
    net_player_run(player, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(plays[i].res, -EBADFD);
    assert_int_equal(player->link_changes, 1);
    assert_false(player->link_up);
    free(plays);
}

/* --- offloads and queues --- */

static void test_tap_offloads_are_those_of_the_kernel(void **state)
{
    struct net_player *player = *state;
    int wire = connect_tap(player);
    struct net_backend *backend = player->backend;

    assert_int_equal(backend->info.to_guest & BASIC, BASIC);
    assert_int_equal(backend->info.to_host & BASIC, BASIC);
    assert_int_equal(backend->info.mtu, 1500);
    assert_int_equal(backend->ops->set_offloads(backend, 0), 0);
    assert_int_equal(backend->ops->set_offloads(backend, NET_OFFLOAD_CSUM), 0);
    assert_int_equal(backend->ops->set_offloads(backend, backend->info.to_guest), 0);
    assert_int_equal(backend->ops->set_offloads(backend, NET_OFFLOAD_TSO4), -EINVAL);
    assert_int_equal(backend->ops->set_offloads(backend, 1U << 9 | NET_OFFLOAD_CSUM), -EINVAL);
    assert_int_equal(backend->ops->set_queue_pairs(backend, 1), 0);
    assert_int_equal(backend->ops->set_queue_pairs(backend, 0), -EINVAL);
    assert_int_equal(backend->ops->set_queue_pairs(backend, 2), -EINVAL);
    disconnect_tap(wire);
}

/* `count` frames of different flows; returns how many came to pair 0. */
static unsigned spread(struct net_player *player, int wire, struct net_play *plays, unsigned count)
{
    unsigned to_first = 0;

    for (unsigned i = 0; i < 2 * count; i++)
        net_play_receive(&plays[i], i % 2, 100);
    for (unsigned i = 0; i < count; i++) {
        /* IPv4 and UDP, as far as a hash looks */
        unsigned char frame[60] = { 0xff,
                                    0xff,
                                    0xff,
                                    0xff,
                                    0xff,
                                    0xff,
                                    2,
                                    0,
                                    0,
                                    0,
                                    0,
                                    1,
                                    8,
                                    0,
                                    0x45,
                                    0,
                                    0,
                                    46,
                                    0,
                                    0,
                                    0,
                                    0,
                                    64,
                                    17,
                                    0,
                                    0,
                                    10,
                                    0,
                                    0,
                                    1,
                                    10,
                                    0,
                                    0,
                                    2,
                                    (unsigned char)(i >> 8),
                                    (unsigned char)i,
                                    0,
                                    53,
                                    0,
                                    26 };

        tap_host_send(wire, frame, sizeof(frame));
    }
    net_player_run(player, count);
    for (unsigned i = 0; i < 2 * count; i += 2)
        to_first += plays[i].res > 0;
    net_player_cancel(player);
    net_player_settle(player);
    return to_first;
}

static void test_tap_with_two_pairs_uses_as_many_as_it_is_told(void **state)
{
    struct net_player *player = *state;
    enum { COUNT = 64 };
    struct net_play *plays = net_plays(player, 2 * COUNT);
    int wire = connect_tap_with(player, IFF_MULTI_QUEUE, 2);
    unsigned to_first;

    assert_int_equal(spread(player, wire, plays, COUNT), COUNT);
    assert_int_equal(player->backend->ops->set_queue_pairs(player->backend, 2), 0);
    to_first = spread(player, wire, plays, COUNT);
    assert_in_range(to_first, 1, COUNT - 1);
    net_play_transmit(&plays[0], 0, 1, 60);
    net_play_transmit(&plays[1], 1, 1, 60);
    net_player_run(player, 2);
    expect_frame(wire, 1, 60);
    expect_frame(wire, 1, 60);
    assert_int_equal(player->backend->ops->set_queue_pairs(player->backend, 1), 0);
    assert_int_equal(spread(player, wire, plays, COUNT), COUNT);
    free(plays);
    disconnect_tap(wire);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NET_ON_BOTH_ENGINES(test_tap_burst_fills_requests_in_the_order_posted),
        NET_ON_BOTH_ENGINES(test_tap_requests_that_wait_are_filled_in_order_wave_by_wave),
        NET_ON_BOTH_ENGINES(test_tap_frames_that_came_before_a_request_are_kept),
        NET_ON_BOTH_ENGINES(test_tap_frame_that_just_fits_is_whole_and_one_byte_more_is_too_long),
        NET_ON_BOTH_ENGINES(test_tap_header_and_frame_may_be_cut_by_the_vectors_anywhere),
        NET_ON_BOTH_ENGINES(test_tap_receives_that_cannot_be_filled_are_refused_and_lose_no_frame),
        NET_ON_BOTH_ENGINES(test_tap_cancel_ends_receives_and_later_ones_are_filled),
        NET_ON_BOTH_ENGINES(test_tap_transmits_leave_in_order),
        NET_ON_BOTH_ENGINES(test_tap_header_is_read_in_little_endian),
        NET_ON_BOTH_ENGINES(test_tap_transmit_without_a_whole_ethernet_header_fails_alone),
        NET_ON_BOTH_ENGINES(test_tap_that_is_down_loses_frames_and_goes_on_when_up),
        NET_ON_BOTH_ENGINES(test_tap_that_is_deleted_loses_the_link_once_and_the_device_lives_on),
        NET_ON_BOTH_ENGINES(test_tap_transmit_finds_out_that_it_is_deleted),
        NET_ON_BOTH_ENGINES(test_tap_offloads_are_those_of_the_kernel),
        NET_ON_BOTH_ENGINES(test_tap_with_two_pairs_uses_as_many_as_it_is_told),
    };

    return tap_host_enter() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
