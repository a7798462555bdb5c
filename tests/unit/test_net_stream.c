/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_net_stream.c - frames on a stream socket: wherever the bytes are cut, whoever goes away, whatever the
 * other side makes up.
 */
#include "../../src/io/net_stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net_player.h"
#include "ringlet/util.h"

/* A backend on one end of a socket pair; the other is returned. */
static int connect_stream(struct net_player *player)
{
    struct net_backend *backend;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(net_stream_create(player->loop, ends[0], 0, NULL, &backend), 0);
    assert_int_equal(backend->info.queue_pairs, 1);
    assert_int_equal(backend->info.to_host, 0);
    assert_int_equal(backend->info.to_guest, 0);
    assert_true(backend->link_up);
    net_player_attach(player, backend);
    return ends[1];
}

static void send_bytes(int fd, const void *bytes, size_t length)
{
    assert_int_equal(send(fd, bytes, length, 0), length);
}

/* A frame and its length in front; returns the length of both. */
static size_t make_message(unsigned char *message, uint16_t number, size_t length)
{
    uint32_t prefix = htonl((uint32_t)length);

    memcpy(message, &prefix, sizeof(prefix));
    net_frame_make(message + sizeof(prefix), number, length);
    return sizeof(prefix) + length;
}

static void send_frame(int fd, uint16_t number, size_t length)
{
    unsigned char message[2048];

    assert_true(length + 4 <= sizeof(message));
    send_bytes(fd, message, make_message(message, number, length));
}

static void read_exactly(int fd, void *to, size_t length)
{
    assert_int_equal(recv(fd, to, length, MSG_WAITALL), length);
}

static void expect_frame(int fd, uint16_t number, size_t length)
{
    unsigned char *expected = malloc(4 + length), *got = malloc(4 + length);

    assert_non_null(expected);
    assert_non_null(got);
    make_message(expected, number, length);
    read_exactly(fd, got, 4 + length);
    assert_memory_equal(got, expected, 4 + length);
    free(expected);
    free(got);
}

static void assert_silent(int fd)
{
    char byte;

    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

/* --- receiving --- */

static void test_stream_frames_arrive_wherever_the_bytes_are_cut(void **state)
{
    struct net_player *player = *state;
    struct net_play *plays = net_plays(player, 3);
    unsigned char bytes[256];
    int peer = connect_stream(player);
    size_t total = make_message(bytes, 1, 60);

    total += make_message(bytes + total, 2, 14);
    total += make_message(bytes + total, 3, 61);
    for (size_t cut = 1; cut < total; cut++) {
        for (unsigned i = 0; i < 3; i++)
            net_play_receive(&plays[i], 0, 100);
        send_bytes(peer, bytes, cut);
        net_player_settle(player);
        send_bytes(peer, bytes + cut, total - cut);
        while (plays[2].res == NET_PLAYER_UNDONE)
            net_player_run(player, 1);
        net_play_check(&plays[0], 1, 60);
        net_play_check(&plays[1], 2, 14);
        net_play_check(&plays[2], 3, 61);
        assert_true(plays[0].order < plays[1].order && plays[1].order < plays[2].order);
    }
    close(peer);
    net_player_settle(player);
    free(plays);
}

static void test_stream_frames_arrive_byte_by_byte(void **state)
{
    struct net_player *player = *state;
    struct net_play *play = net_plays(player, 1);
    unsigned char bytes[64];
    int peer = connect_stream(player);
    size_t total = make_message(bytes, 7, 40);

    net_play_receive(play, 0, 40);
    for (size_t i = 0; i < total; i++) {
        net_player_settle(player);
        assert_int_equal(play->res, NET_PLAYER_UNDONE);
        send_bytes(peer, bytes + i, 1);
    }
    net_player_run(player, 1);
    net_play_check(play, 7, 40);
    close(peer);
    free(play);
}

static void test_stream_many_frames_fill_requests_in_the_order_posted(void **state)
{
    struct net_player *player = *state;
    enum { COUNT = 200 };
    struct net_play *plays = net_plays(player, COUNT);
    int peer = connect_stream(player);

    for (unsigned i = 0; i < COUNT / 2; i++)
        net_play_receive(&plays[i], 0, 500);
    for (uint16_t i = 0; i < COUNT; i++)
        send_frame(peer, i, 14 + i);
    net_player_run(player, COUNT / 2);
    for (unsigned i = COUNT / 2; i < COUNT; i++)
        net_play_receive(&plays[i], 0, 500);
    net_player_run(player, COUNT / 2);
    for (uint16_t i = 0; i < COUNT; i++) {
        net_play_check(&plays[i], i, 14 + i);
        assert_int_equal(plays[i].order, i);
    }
    close(peer);
    free(plays);
}

static void test_stream_header_and_frame_may_be_cut_by_the_vectors_anywhere(void **state)
{
    struct net_player *player = *state;
    struct net_play *play = net_plays(player, 1);
    int peer = connect_stream(player);

    for (size_t cut = 1; cut < 60; cut++) {
        play->iov[0] = (struct iovec){ play->bytes, cut };
        play->iov[1] = (struct iovec){ play->bytes + cut, 5 };
        play->iov[2] = (struct iovec){ play->bytes + cut + 5, 200 };
        net_play_receive_vectors(play, 0, 3);
        send_frame(peer, (uint16_t)cut, 90);
        net_player_run(player, 1);
        net_play_check(play, (uint16_t)cut, 90);
        /* the field that the device fills in, and what is behind the frame */
        assert_int_equal(play->bytes[10], 0xa5);
        assert_int_equal(play->bytes[11], 0xa5);
        assert_int_equal(play->bytes[NET_HEADER_SIZE + 90], 0xa5);
    }
    close(peer);
    free(play);
}

static void test_stream_frame_too_long_for_its_request_is_dropped_and_the_next_is_not(void **state)
{
    struct net_player *player = *state;
    struct net_play *plays = net_plays(player, 4);
    unsigned char bytes[512];
    int peer = connect_stream(player);
    size_t total = make_message(bytes, 3, 101);

    net_play_receive(&plays[0], 0, 100);
    net_play_receive(&plays[1], 0, 100);
    send_frame(peer, 1, 101);
    send_frame(peer, 2, 100);
    net_player_run(player, 2);
    assert_int_equal(plays[0].res, -EMSGSIZE);
    net_play_check(&plays[1], 2, 100);
    /* its length was known before there was a request, and the rest comes in pieces */
    send_bytes(peer, bytes, 50);
    net_player_settle(player);
    net_play_receive(&plays[2], 0, 100);
    net_player_run(player, 1);
    assert_int_equal(plays[2].res, -EMSGSIZE);
    net_play_receive(&plays[3], 0, 100);
    net_player_settle(player);
    send_bytes(peer, bytes + 50, total - 50);
    send_frame(peer, 4, 80);
    net_player_run(player, 1);
    net_play_check(&plays[3], 4, 80);
    close(peer);
    free(plays);
}

static void test_stream_longest_frame_arrives_and_one_longer_ends_the_link(void **state)
{
    struct net_player *player = *state;
    struct net_play *play = net_plays(player, 1);
    unsigned char *bytes = malloc(4 + NET_MAX_FRAME);
    uint32_t too_long = htonl(NET_MAX_FRAME + 1);
    int peer = connect_stream(player);
    size_t total = make_message(bytes, 5, NET_MAX_FRAME);

    net_play_receive(play, 0, NET_MAX_FRAME);
    send_bytes(peer, bytes, total);
    net_player_run(player, 1);
    net_play_check(play, 5, NET_MAX_FRAME);
    send_bytes(peer, &too_long, 4);
    net_play_receive(play, 0, 100);
    net_player_settle(player);
    assert_int_equal(player->link_changes, 1);
    assert_false(player->link_up);
    assert_int_equal(play->res, NET_PLAYER_UNDONE);
    /* the other side hears of it too */
    assert_int_equal(recv(peer, bytes, 1, 0), 0);
    close(peer);
    free(bytes);
    net_player_cancel(player);
    net_player_run(player, 1);
    assert_int_equal(play->res, -ECANCELED);
    free(play);
}

static void test_stream_frame_shorter_than_an_ethernet_header_ends_the_link(void **state)
{
    struct net_player *player = *state;
    struct net_play *play = net_plays(player, 1);
    int peer = connect_stream(player);

    net_play_receive(play, 0, 100);
    send_frame(peer, 0, 13);
    net_player_settle(player);
    assert_int_equal(player->link_changes, 1);
    assert_false(player->link_up);
    net_player_cancel(player);
    net_player_run(player, 1);
    assert_int_equal(play->res, -ECANCELED);
    close(peer);
    free(play);
}

static void test_stream_receives_that_cannot_be_filled_are_refused(void **state)
{
    struct net_player *player = *state;
    struct net_play *play = net_plays(player, 1);
    struct iovec *many = calloc(NET_MAX_VECTORS + 1, sizeof(*many));
    int peer = connect_stream(player);

    net_play_receive(play, 0, 0);
    net_player_run(player, 1);
    assert_int_equal(play->res, -EINVAL);
    for (unsigned i = 0; i <= NET_MAX_VECTORS; i++)
        many[i] = (struct iovec){ play->bytes + i, 1 };
    play->res = NET_PLAYER_UNDONE;
    play->request.iov = many;
    play->request.iov_count = NET_MAX_VECTORS + 1;
    pthread_mutex_lock(&player->lock);
    player->backend->ops->receive(player->backend, 0, &play->request);
    pthread_mutex_unlock(&player->lock);
    net_player_run(player, 1);
    assert_int_equal(play->res, -EINVAL);
    /* one less is fine */
    play->res = NET_PLAYER_UNDONE;
    play->request.iov_count = NET_MAX_VECTORS;
    pthread_mutex_lock(&player->lock);
    player->backend->ops->receive(player->backend, 0, &play->request);
    pthread_mutex_unlock(&player->lock);
    send_frame(peer, 9, NET_MAX_VECTORS - NET_HEADER_SIZE);
    net_player_run(player, 1);
    net_play_check(play, 9, NET_MAX_VECTORS - NET_HEADER_SIZE);
    close(peer);
    free(many);
    free(play);
}

/* --- transmitting --- */

static void test_stream_transmits_leave_in_order_behind_their_lengths(void **state)
{
    struct net_player *player = *state;
    enum { COUNT = 300 };
    struct net_play *plays = net_plays(player, COUNT);
    int peer = connect_stream(player);

    for (uint16_t i = 0; i < COUNT; i++)
        net_play_transmit(&plays[i], 0, i, 14 + i % 100);
    net_player_run(player, COUNT);
    for (uint16_t i = 0; i < COUNT; i++) {
        assert_int_equal(plays[i].res, 0);
        assert_int_equal(plays[i].order, i);
        expect_frame(peer, i, 14 + i % 100);
    }
    assert_silent(peer);
    close(peer);
    free(plays);
}

static void test_stream_partial_writes_are_carried_on(void **state)
{
    struct net_player *player = *state;
    enum { COUNT = 12, LENGTH = 60001 };
    struct net_play *plays = net_plays(player, COUNT);
    int peer = connect_stream(player);

    /* far more than a socket buffer holds */
    for (uint16_t i = 0; i < COUNT; i++)
        net_play_transmit(&plays[i], 0, i, LENGTH);
    net_player_settle(player);
    assert_int_equal(plays[COUNT - 1].res, NET_PLAYER_UNDONE);
    for (uint16_t i = 0; i < COUNT; i++) {
        unsigned char *expected = malloc(4 + LENGTH), *got = malloc(4 + LENGTH);

        make_message(expected, i, LENGTH);
        for (size_t at = 0; at < 4 + LENGTH;) {
            ssize_t length =
                recv(peer, got + at, 4 + LENGTH - at < 7001 ? 4 + LENGTH - at : 7001, MSG_DONTWAIT);

            if (length > 0)
                at += (size_t)length;
            else
                net_player_settle(player);
        }
        assert_memory_equal(got, expected, 4 + LENGTH);
        free(expected);
        free(got);
    }
    net_player_settle(player);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(plays[i].res, 0);
        assert_int_equal(plays[i].order, i);
    }
    close(peer);
    free(plays);
}

static void test_stream_transmits_that_are_no_frames_are_refused(void **state)
{
    struct net_player *player = *state;
    struct net_play *plays = net_plays(player, 3);
    int peer = connect_stream(player);

    net_play_transmit(&plays[0], 0, 1, 13);
    net_play_transmit(&plays[1], 0, 2, NET_MAX_FRAME + 1);
    net_play_transmit(&plays[2], 0, 3, 14);
    net_player_run(player, 3);
    assert_int_equal(plays[0].res, -EINVAL);
    assert_int_equal(plays[1].res, -EINVAL);
    assert_int_equal(plays[2].res, 0);
    expect_frame(peer, 3, 14);
    assert_silent(peer);
    close(peer);
    free(plays);
}

/* --- ends --- */

static void test_stream_whose_other_side_is_gone_loses_the_link_once(void **state)
{
    struct net_player *player = *state;
    struct net_play *plays = net_plays(player, 3);
    int peer = connect_stream(player);

    net_play_receive(&plays[0], 0, 100);
    net_player_settle(player);
    close(peer);
    net_player_settle(player);
    assert_int_equal(player->link_changes, 1);
    assert_false(player->link_up);
    assert_int_equal(plays[0].res, NET_PLAYER_UNDONE);
    net_play_receive(&plays[1], 0, 100);
    net_play_transmit(&plays[2], 0, 1, 60);
    net_player_settle(player);
    assert_int_equal(plays[1].res, NET_PLAYER_UNDONE);
    assert_int_equal(plays[2].res, -ENETDOWN);
    net_player_cancel(player);
    net_player_run(player, 2);
    assert_int_equal(plays[0].res, -ECANCELED);
    assert_int_equal(plays[1].res, -ECANCELED);
    assert_int_equal(player->link_changes, 1);
    free(plays);
}

static void test_stream_transmit_finds_out_that_the_other_side_is_gone(void **state)
{
    struct net_player *player = *state;
    struct net_play *plays = net_plays(player, 2);
    int peer = connect_stream(player);

    close(peer);
    net_play_transmit(&plays[0], 0, 1, 60);
    net_play_transmit(&plays[1], 0, 2, 60);
    net_player_run(player, 2);
    assert_int_equal(plays[0].res, -ENETDOWN);
    assert_int_equal(plays[1].res, -ENETDOWN);
    assert_int_equal(player->link_changes, 1);
    free(plays);
}

static void test_stream_that_ends_lets_transmits_go_that_wait_for_room(void **state)
{
    struct net_player *player = *state;
    enum { COUNT = 12 };
    struct net_play *plays = net_plays(player, COUNT + 1);
    uint32_t nonsense = UINT32_MAX;
    int peer = connect_stream(player);

    for (uint16_t i = 0; i < COUNT; i++)
        net_play_transmit(&plays[i], 0, i, 60000);
    net_player_settle(player);
    assert_int_equal(plays[COUNT - 1].res, NET_PLAYER_UNDONE);
    net_play_receive(&plays[COUNT], 0, 100);
    send_bytes(peer, &nonsense, 4);
    net_player_settle(player);
    assert_int_equal(plays[COUNT - 1].res, -ENETDOWN);
    assert_int_equal(player->link_changes, 1);
    close(peer);
    net_player_cancel(player);
    net_player_run(player, 1);
    free(plays);
}

static void test_stream_cancel_ends_receives_and_later_ones_are_filled(void **state)
{
    struct net_player *player = *state;
    struct net_play *plays = net_plays(player, 3);
    int peer = connect_stream(player);

    net_play_receive(&plays[0], 0, 100);
    net_play_receive(&plays[1], 0, 100);
    net_player_settle(player);
    net_player_cancel(player);
    net_player_run(player, 2);
    assert_int_equal(plays[0].res, -ECANCELED);
    assert_int_equal(plays[1].res, -ECANCELED);
    assert_int_equal(loop_in_flight(player->loop), 0);
    net_play_receive(&plays[2], 0, 100);
    send_frame(peer, 4, 60);
    net_player_run(player, 1);
    net_play_check(&plays[2], 4, 60);
    /* nothing is in flight: nothing happens */
    net_player_cancel(player);
    net_play_receive(&plays[0], 0, 100);
    net_player_settle(player);
    assert_int_equal(plays[0].res, NET_PLAYER_UNDONE);
    close(peer);
    net_player_cancel(player);
    net_player_settle(player);
    free(plays);
}

static void test_stream_receive_cancelled_in_the_middle_of_a_frame_leaves_the_next_frame_whole(void **state)
{
    struct net_player *player = *state;
    struct net_play *plays = net_plays(player, 2);
    unsigned char bytes[128];
    int peer = connect_stream(player);
    size_t total = make_message(bytes, 1, 80);

    for (size_t cut = 1; cut < total; cut++) {
        net_play_receive(&plays[0], 0, 100);
        send_bytes(peer, bytes, cut);
        net_player_settle(player);
        net_player_cancel(player);
        net_player_run(player, 1);
        assert_int_equal(plays[0].res, -ECANCELED);
        assert_int_equal(loop_in_flight(player->loop), 0);
        net_play_receive(&plays[1], 0, 100);
        send_bytes(peer, bytes + cut, total - cut);
        if (cut < 4) {
            /* no more than a part of its length was taken: the frame itself was not begun */
            net_player_run(player, 1);
            net_play_check(&plays[1], 1, 80);
        } else {
            send_frame(peer, (uint16_t)cut, 70);
            net_player_run(player, 1);
            if (plays[1].res == NET_HEADER_SIZE + 80) {
                net_play_check(&plays[1], 1, 80); /* cut == 4: begun, but not filled */
                net_play_receive(&plays[1], 0, 100);
                net_player_run(player, 1);
            }
            net_play_check(&plays[1], (uint16_t)cut, 70);
        }
    }
    close(peer);
    free(plays);
}

static void test_stream_transmit_cancelled_in_the_middle_of_a_frame_leaves_the_next_frame_whole(void **state)
{
    struct net_player *player = *state;
    enum { COUNT = 12, LENGTH = 60001 };
    struct net_play *plays = net_plays(player, COUNT + 1);
    unsigned char *got = malloc(4 + LENGTH);
    unsigned sent = 0, dones;
    int peer = connect_stream(player);

    for (uint16_t i = 0; i < COUNT; i++)
        net_play_transmit(&plays[i], 0, i, LENGTH);
    net_player_settle(player);
    while (plays[sent].res == 0)
        sent++;
    dones = COUNT - sent;
    assert_true(dones > 1);
    net_player_cancel(player);
    net_player_run(player, dones);
    for (unsigned i = sent; i < COUNT; i++)
        assert_int_equal(plays[i].res, -ECANCELED);
    assert_int_equal(loop_in_flight(player->loop), 0);
    /* the guest's memory is its own again */
    for (unsigned i = 0; i < COUNT; i++)
        memset(plays[i].bytes, 0, sizeof(plays[i].bytes));
    net_play_transmit(&plays[COUNT], 0, 99, 60);

    /* Whole frames only, 0, 1, ... and then the last. */
    for (uint16_t i = 0;; i++) {
        unsigned char *expected = malloc(4 + LENGTH);
        size_t length = 4;

        for (size_t at = 0; at < length;) {
            ssize_t some = recv(peer, got + at, length - at, MSG_DONTWAIT);

            if (some > 0)
                at += (size_t)some;
            else
                net_player_settle(player);
            if (at == 4)
                length = 4 + ((size_t)got[1] << 16 | (size_t)got[2] << 8 | got[3]);
            assert_true(length <= 4 + LENGTH);
        }
        if (length == 4 + 60) {
            assert_true(i == sent || i == sent + 1);
            make_message(expected, 99, 60);
            assert_memory_equal(got, expected, length);
            free(expected);
            break;
        }
        make_message(expected, i, LENGTH);
        assert_memory_equal(got, expected, length);
        free(expected);
    }
    net_player_settle(player);
    assert_int_equal(plays[COUNT].res, 0);
    assert_silent(peer);
    close(peer);
    free(got);
    free(plays);
}

static void test_stream_has_no_offloads_and_one_pair(void **state)
{
    struct net_player *player = *state;
    int peer = connect_stream(player);
    const struct net_backend_ops *ops = player->backend->ops;

    assert_int_equal(ops->set_offloads(player->backend, 0), 0);
    assert_int_equal(ops->set_offloads(player->backend, NET_OFFLOAD_CSUM), -EINVAL);
    assert_int_equal(ops->set_queue_pairs(player->backend, 1), 0);
    assert_int_equal(ops->set_queue_pairs(player->backend, 2), -EINVAL);
    close(peer);
}

static void test_stream_on_what_is_not_open_is_refused(void **state)
{
    struct net_player *player = *state;
    struct net_backend *backend;

    assert_int_equal(net_stream_create(player->loop, -1, 0, NULL, &backend), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NET_ON_BOTH_ENGINES(test_stream_frames_arrive_wherever_the_bytes_are_cut),
        NET_ON_BOTH_ENGINES(test_stream_frames_arrive_byte_by_byte),
        NET_ON_BOTH_ENGINES(test_stream_many_frames_fill_requests_in_the_order_posted),
        NET_ON_BOTH_ENGINES(test_stream_header_and_frame_may_be_cut_by_the_vectors_anywhere),
        NET_ON_BOTH_ENGINES(test_stream_frame_too_long_for_its_request_is_dropped_and_the_next_is_not),
        NET_ON_BOTH_ENGINES(test_stream_longest_frame_arrives_and_one_longer_ends_the_link),
        NET_ON_BOTH_ENGINES(test_stream_frame_shorter_than_an_ethernet_header_ends_the_link),
        NET_ON_BOTH_ENGINES(test_stream_receives_that_cannot_be_filled_are_refused),
        NET_ON_BOTH_ENGINES(test_stream_transmits_leave_in_order_behind_their_lengths),
        NET_ON_BOTH_ENGINES(test_stream_partial_writes_are_carried_on),
        NET_ON_BOTH_ENGINES(test_stream_transmits_that_are_no_frames_are_refused),
        NET_ON_BOTH_ENGINES(test_stream_whose_other_side_is_gone_loses_the_link_once),
        NET_ON_BOTH_ENGINES(test_stream_transmit_finds_out_that_the_other_side_is_gone),
        NET_ON_BOTH_ENGINES(test_stream_that_ends_lets_transmits_go_that_wait_for_room),
        NET_ON_BOTH_ENGINES(test_stream_cancel_ends_receives_and_later_ones_are_filled),
        NET_ON_BOTH_ENGINES(
            test_stream_receive_cancelled_in_the_middle_of_a_frame_leaves_the_next_frame_whole),
        NET_ON_BOTH_ENGINES(
            test_stream_transmit_cancelled_in_the_middle_of_a_frame_leaves_the_next_frame_whole),
        NET_ON_BOTH_ENGINES(test_stream_has_no_offloads_and_one_pair),
        NET_ON_BOTH_ENGINES(test_stream_on_what_is_not_open_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
