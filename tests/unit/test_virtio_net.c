/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device apart from its frames: features, configuration, link, and the control queue's commands.
 */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net_guest.h"
#include "ringlet/util.h"

#define PAIRS     4
#define VERSION_1 NET_FEATURE(VIRTIO_F_VERSION_1)
#define CORE      (VERSION_1 | UINT64_C(3) << 28) /* and INDIRECT_DESC, EVENT_IDX */
#define ALWAYS                                                                                               \
    (CORE | NET_FEATURE(VIRTIO_NET_F_MAC) | NET_FEATURE(VIRTIO_NET_F_STATUS) |                               \
     NET_FEATURE(VIRTIO_NET_F_MRG_RXBUF) | NET_FEATURE(VIRTIO_NET_F_CTRL_VQ) |                               \
     NET_FEATURE(VIRTIO_NET_F_CTRL_RX) | NET_FEATURE(VIRTIO_NET_F_CTRL_RX_EXTRA) |                           \
     NET_FEATURE(VIRTIO_NET_F_CTRL_MAC_ADDR) | NET_FEATURE(VIRTIO_NET_F_GUEST_ANNOUNCE))

static const struct net_info no_offloads = { .queue_pairs = NET_MAX_QUEUE_PAIRS };

static uint8_t frame[60];

static int set_up(void **state)
{
    struct net_guest *net = malloc(sizeof(*net));
    struct virtio_net_options options = net_guest_options;

    assert_non_null(net);
    options.queue_pairs = PAIRS;
    options.mtu = 1400;
    net_guest_create(net, &options, NULL);
    net_guest_make_frame(frame, sizeof(frame), 5);
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
    guest_driver_start(net->guest, GUEST_ALL_FEATURES, 16);
}

static struct net_config_space config(struct net_guest *net)
{
    struct net_config_space space;

    guest_config_read(net->guest, 0, &space, sizeof(space));
    return space;
}

/* --- creation, features, configuration --- */

static uint64_t offered(const struct virtio_net_options *options, const struct net_info *info)
{
    struct net_guest *net = malloc(sizeof(*net));
    uint64_t features;

    assert_non_null(net);
    net_guest_create(net, options, info);
    features = guest_offered_features(net->guest);
    net_guest_destroy(net);
    free(net);
    return features;
}

static void test_net_options_out_of_range_are_refused_and_the_backend_stays_the_callers(void **state)
{
    static const struct virtio_net_options bad[] = {
        { .queue_pairs = 0, .queue_size = 64 },
        { .queue_pairs = NET_MAX_QUEUE_PAIRS + 1, .queue_size = 64 },
        { .queue_pairs = 1, .queue_size = 0 },
        { .queue_pairs = 1, .queue_size = 1 },
        { .queue_pairs = 1, .queue_size = 63 },
        { .queue_pairs = 1, .queue_size = 2 * VIRTIO_NET_MAX_QUEUE_SIZE },
        { .queue_pairs = 1, .queue_size = 64, .mtu = VIRTIO_NET_MIN_MTU - 1 },
        { .queue_pairs = 1, .queue_size = 64, .mac = { 1 } },
    };
    struct net_guest *net = *state;
    struct virtio_device *device = NULL;
    static struct fake_net fake;
    struct net_info info = { .queue_pairs = 2 * NET_MAX_QUEUE_PAIRS };

    fake_net_init(&fake, &info);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(virtio_net_create(&bad[i], &fake.backend, net->guest->memory, &device), -EINVAL);
    fake.backend.info.queue_pairs = 1;
    assert_int_equal(virtio_net_create(&(struct virtio_net_options){ .queue_pairs = 2, .queue_size = 64 },
                                       &fake.backend, net->guest->memory, &device),
                     -EINVAL);
    assert_null(device);
    assert_null(fake.client);
    assert_false(fake.destroyed);
    net_backend_destroy(&fake.backend);
}

static void test_net_is_a_network_device_with_two_queues_a_pair_and_one_for_control(void **state)
{
    struct net_guest *net = *state;

    assert_int_equal(guest_register_read(net->guest, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_NET);
    assert_int_equal(net->device->queue_count, 2 * PAIRS + 1);
    assert_true(net->net.client == &net->device->client);
}

static void test_net_offers_what_the_backend_can_do(void **state)
{
    struct virtio_net_options options = net_guest_options;
    struct net_info info = no_offloads;

    (void)state;
    assert_true(offered(NULL, &no_offloads) == ALWAYS);
    assert_true(offered(NULL, NULL) ==
                (ALWAYS | NET_FEATURE(VIRTIO_NET_F_CSUM) | NET_FEATURE(VIRTIO_NET_F_GUEST_CSUM) |
                 NET_FEATURE(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) | NET_FEATURE(VIRTIO_NET_F_HOST_TSO4) |
                 NET_FEATURE(VIRTIO_NET_F_HOST_TSO6) | NET_FEATURE(VIRTIO_NET_F_GUEST_TSO4) |
                 NET_FEATURE(VIRTIO_NET_F_GUEST_TSO6) | NET_FEATURE(56) | NET_FEATURE(54) | NET_FEATURE(55)));
    info.to_host = NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO6;
    info.to_guest = NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4;
    assert_true(offered(NULL, &info) ==
                (ALWAYS | NET_FEATURE(VIRTIO_NET_F_CSUM) | NET_FEATURE(VIRTIO_NET_F_HOST_TSO6) |
                 NET_FEATURE(VIRTIO_NET_F_GUEST_CSUM) | NET_FEATURE(VIRTIO_NET_F_GUEST_TSO4) |
                 NET_FEATURE(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS)));
    options.queue_pairs = 2;
    options.mtu = 1280;
    assert_true(offered(&options, &no_offloads) ==
                (ALWAYS | NET_FEATURE(VIRTIO_NET_F_MQ) | NET_FEATURE(VIRTIO_NET_F_MTU)));
}

static void test_net_offers_no_feature_without_those_it_needs(void **state)
{
    struct net_info info = no_offloads;

    (void)state;
    info.to_host = info.to_guest = NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 | NET_OFFLOAD_USO;
    assert_true(offered(NULL, &info) == ALWAYS);
}

static void test_net_refuses_features_without_those_they_need(void **state)
{
    static const uint8_t needs[][2] = {
        { VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_CSUM },
        { VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_CSUM },
        { VIRTIO_NET_F_GUEST_USO4, VIRTIO_NET_F_GUEST_CSUM },
        { VIRTIO_NET_F_GUEST_USO6, VIRTIO_NET_F_GUEST_CSUM },
        { VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_CSUM },
        { VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_CSUM },
        { VIRTIO_NET_F_HOST_USO, VIRTIO_NET_F_CSUM },
        { VIRTIO_NET_F_CTRL_RX, VIRTIO_NET_F_CTRL_VQ },
        { VIRTIO_NET_F_GUEST_ANNOUNCE, VIRTIO_NET_F_CTRL_VQ },
        { VIRTIO_NET_F_MQ, VIRTIO_NET_F_CTRL_VQ },
        { VIRTIO_NET_F_CTRL_MAC_ADDR, VIRTIO_NET_F_CTRL_VQ },
    };
    struct net_guest *net = *state;

    for (unsigned i = 0; i < ARRAY_SIZE(needs); i++) {
        assert_false(guest_negotiate(net->guest, VERSION_1 | NET_FEATURE(needs[i][0])));
        assert_true(
            guest_negotiate(net->guest, VERSION_1 | NET_FEATURE(needs[i][0]) | NET_FEATURE(needs[i][1])));
        assert_true(guest_negotiate(net->guest, VERSION_1 | NET_FEATURE(needs[i][1])));
    }
    assert_true(guest_negotiate(net->guest, GUEST_ALL_FEATURES));
    assert_true(guest_negotiate(net->guest, VERSION_1));
}

static void test_net_config_says_mac_link_pairs_and_mtu(void **state)
{
    struct net_guest *net = *state;
    struct net_config_space space = config(net);
    uint32_t past = 0xffffffff;

    assert_memory_equal(space.mac, net_guest_mac, 6);
    assert_int_equal(le16toh(space.status), VIRTIO_NET_S_LINK_UP);
    assert_int_equal(le16toh(space.max_virtqueue_pairs), PAIRS);
    assert_int_equal(le16toh(space.mtu), 1400);
    guest_config_read(net->guest, sizeof(space), &past, sizeof(past));
    assert_int_equal(past, 0);
}

static void test_net_config_is_zero_where_nothing_is_known(void **state)
{
    struct net_guest *net = malloc(sizeof(*net));
    struct net_info info = no_offloads;

    (void)state;
    assert_non_null(net);
    net_guest_create(net, NULL, &info);
    assert_int_equal(config(net).max_virtqueue_pairs, 0);
    assert_int_equal(config(net).mtu, 0);
    net_guest_destroy(net);
    /* A backend's MTU is told, unless it is one that may not be. */
    info.mtu = 65535;
    net_guest_create(net, NULL, &info);
    assert_int_equal(le16toh(config(net).mtu), 65535);
    assert_true(guest_offered_features(net->guest) & NET_FEATURE(VIRTIO_NET_F_MTU));
    net_guest_destroy(net);
    info.mtu = VIRTIO_NET_MIN_MTU - 1;
    net_guest_create(net, NULL, &info);
    assert_int_equal(config(net).mtu, 0);
    assert_false(guest_offered_features(net->guest) & NET_FEATURE(VIRTIO_NET_F_MTU));
    net_guest_destroy(net);
    free(net);
}

static void test_net_config_is_not_the_drivers_to_write(void **state)
{
    struct net_guest *net = *state;
    struct net_config_space before = config(net), after;

    start(net);
    for (uint32_t i = 0; i < sizeof(before); i++)
        guest_config_write(net->guest, i, 0xff, 1);
    after = config(net);
    assert_memory_equal(&after, &before, sizeof(before));
}

/* --- the link --- */

static void test_net_link_that_changes_is_told_by_status_and_interrupt(void **state)
{
    struct net_guest *net = *state;
    uint32_t generation;

    start(net);
    guest_take_interrupts(net->guest);
    generation = guest_register_read(net->guest, VIRTIO_MMIO_CONFIG_GENERATION);
    net_guest_set_link(net, false);
    assert_int_equal(le16toh(config(net).status), 0);
    assert_int_equal(guest_take_interrupts(net->guest), 1);
    assert_int_equal(guest_acknowledge(net->guest), VIRTIO_MMIO_INT_CONFIG);
    assert_int_not_equal(guest_register_read(net->guest, VIRTIO_MMIO_CONFIG_GENERATION), generation);
    /* The same again is no change. */
    net_guest_set_link(net, false);
    assert_int_equal(guest_take_interrupts(net->guest), 0);
    net_guest_set_link(net, true);
    assert_int_equal(guest_take_interrupts(net->guest), 1);
    assert_true(le16toh(config(net).status) & VIRTIO_NET_S_LINK_UP);
}

static void test_net_link_that_comes_up_asks_for_an_announcement_until_acknowledged(void **state)
{
    struct net_guest *net = *state;

    start(net);
    net_guest_set_link(net, false);
    net_guest_set_link(net, true);
    assert_int_equal(le16toh(config(net).status), VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
    assert_int_equal(net_guest_command(net, VIRTIO_NET_CTRL_ANNOUNCE, 0, NULL, 0), VIRTIO_NET_OK);
    assert_int_equal(le16toh(config(net).status), VIRTIO_NET_S_LINK_UP);
    /* On demand, and gone with a reset. */
    guest_take_interrupts(net->guest);
    guest_driver_enter(net->guest);
    virtio_net_announce(net->device);
    guest_driver_leave(net->guest);
    assert_int_equal(guest_take_interrupts(net->guest), 1);
    assert_int_equal(le16toh(config(net).status), VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
    start(net);
    assert_int_equal(le16toh(config(net).status), VIRTIO_NET_S_LINK_UP);
}

static void test_net_driver_that_cannot_announce_is_not_asked_to(void **state)
{
    struct net_guest *net = *state;

    guest_driver_start(net->guest, net_guest_features_without(net, NET_FEATURE(VIRTIO_NET_F_GUEST_ANNOUNCE)),
                       16);
    net_guest_set_link(net, false);
    net_guest_set_link(net, true);
    guest_driver_enter(net->guest);
    virtio_net_announce(net->device);
    guest_driver_leave(net->guest);
    assert_int_equal(le16toh(config(net).status), VIRTIO_NET_S_LINK_UP);
    assert_int_equal(net_guest_command(net, VIRTIO_NET_CTRL_ANNOUNCE, 0, NULL, 0), VIRTIO_NET_ERR);
}

/* --- the filter, from command to frame --- */

static bool reaches_guest(struct net_guest *net, const uint8_t *destination)
{
    uint8_t copy[60];

    memcpy(copy, frame, sizeof(copy));
    memcpy(copy, destination, 6);
    net_guest_offer(net, 0, 1, 128);
    assert_true(net_guest_arrive(net, 0, &net_guest_plain, copy, sizeof(copy)));
    return net_guest_take(net, 0);
}

static const uint8_t stranger[6] = { 2, 0, 0, 0, 0, 9 }, group[6] = { 1, 0, 0x5e, 1, 2, 3 };

static void test_net_filter_command_decides_which_frames_come(void **state)
{
    struct net_guest *net = *state;
    uint8_t tables[4 + 6 + 4 + 6] = { 1, 0, 0, 0, 2, 0, 0, 0, 0, 9, 1, 0, 0, 0, 1, 0, 0x5e, 1, 2, 3 };
    uint8_t none[8] = { 0 }, on = 1, off = 0;

    start(net);
    assert_true(reaches_guest(net, net_guest_mac));
    assert_false(reaches_guest(net, stranger));
    assert_false(reaches_guest(net, group));
    assert_int_equal(net_guest_counters(net).rx_filtered, 2);
    assert_int_equal(net_guest_command(net, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &on, 1), 0);
    assert_true(reaches_guest(net, stranger));
    assert_true(reaches_guest(net, group));
    assert_int_equal(net_guest_command(net, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &off, 1), 0);
    assert_false(reaches_guest(net, stranger));
    assert_int_equal(net_guest_command(net, VIRTIO_NET_CTRL_MAC, 0, tables, sizeof(tables)), 0);
    assert_true(reaches_guest(net, stranger));
    assert_true(reaches_guest(net, group));
    /* A table that is refused leaves the old one. */
    assert_int_equal(net_guest_command(net, VIRTIO_NET_CTRL_MAC, 0, tables, sizeof(tables) - 1),
                     VIRTIO_NET_ERR);
    assert_true(reaches_guest(net, stranger));
    assert_int_equal(net_guest_command(net, VIRTIO_NET_CTRL_MAC, 0, none, sizeof(none)), 0);
    assert_false(reaches_guest(net, stranger));
    assert_false(reaches_guest(net, group));
}

static void test_net_filter_is_empty_again_after_a_reset(void **state)
{
    struct net_guest *net = *state;
    uint8_t tables[] = { 1, 0, 0, 0, 2, 0, 0, 0, 0, 9, 0, 0, 0, 0 }, on = 1;

    start(net);
    assert_int_equal(net_guest_command(net, VIRTIO_NET_CTRL_MAC, 0, tables, sizeof(tables)), 0);
    assert_int_equal(net_guest_command(net, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, &on, 1), 0);
    assert_true(reaches_guest(net, stranger));
    start(net);
    assert_false(reaches_guest(net, stranger));
    assert_false(reaches_guest(net, group));
}

static void test_net_filter_is_not_applied_to_a_driver_that_cannot_set_it(void **state)
{
    struct net_guest *net = *state;

    guest_driver_start(net->guest,
                       net_guest_features_without(net, NET_FEATURE(VIRTIO_NET_F_CTRL_RX) |
                                                           NET_FEATURE(VIRTIO_NET_F_CTRL_RX_EXTRA)),
                       16);
    assert_true(reaches_guest(net, stranger));
    assert_true(reaches_guest(net, group));
}

static void test_net_driver_with_an_address_that_we_do_not_know_gets_every_unicast(void **state)
{
    struct net_guest *net = *state;

    guest_driver_start(net->guest, net_guest_features_without(net, NET_FEATURE(VIRTIO_NET_F_MAC)), 16);
    assert_true(reaches_guest(net, stranger));
    assert_int_equal(net_guest_command(net, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, stranger, 6),
                     0);
    assert_true(reaches_guest(net, stranger));
    assert_false(reaches_guest(net, net_guest_mac));
    guest_driver_start(net->guest, net_guest_features_without(net, NET_FEATURE(VIRTIO_NET_F_MAC)), 16);
    assert_true(reaches_guest(net, stranger));
}

static void test_net_address_that_is_set_is_in_the_configuration_and_the_filter_until_reset(void **state)
{
    struct net_guest *net = *state;
    struct net_config_space space;
    uint32_t generation;

    start(net);
    generation = guest_register_read(net->guest, VIRTIO_MMIO_CONFIG_GENERATION);
    assert_int_equal(net_guest_command(net, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, stranger, 6),
                     0);
    assert_int_not_equal(guest_register_read(net->guest, VIRTIO_MMIO_CONFIG_GENERATION), generation);
    space = config(net);
    assert_memory_equal(space.mac, stranger, 6);
    assert_true(reaches_guest(net, stranger));
    assert_false(reaches_guest(net, net_guest_mac));
    guest_reset(net->guest);
    space = config(net);
    assert_memory_equal(space.mac, net_guest_mac, 6);
}

/* --- offloads --- */

static uint8_t switch_offloads(struct net_guest *net, uint64_t features)
{
    uint64_t wire = htole64(features);

    return net_guest_command(net, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &wire, sizeof(wire));
}

static void test_net_offloads_that_are_negotiated_are_on_to_begin_with(void **state)
{
    struct net_guest *net = *state;

    guest_driver_start(net->guest, VERSION_1, 16);
    assert_int_equal(net->net.offloads, 0);
    guest_driver_start(net->guest, VERSION_1 | NET_FEATURE(VIRTIO_NET_F_GUEST_CSUM), 16);
    assert_int_equal(net->net.offloads, NET_OFFLOAD_CSUM);
    start(net);
    assert_int_equal(net->net.offloads, net_guest_info.to_guest);
    /* USO is of both families or none. */
    guest_driver_start(net->guest, net_guest_features_without(net, NET_FEATURE(VIRTIO_NET_F_GUEST_USO6)), 16);
    assert_int_equal(net->net.offloads, NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6);
    guest_reset(net->guest);
    assert_int_equal(net->net.offloads, 0);
}

static void test_net_offloads_are_switched_within_what_was_negotiated(void **state)
{
    const uint64_t csum = NET_FEATURE(VIRTIO_NET_F_GUEST_CSUM), tso4 = NET_FEATURE(VIRTIO_NET_F_GUEST_TSO4),
                   tso6 = NET_FEATURE(VIRTIO_NET_F_GUEST_TSO6);
    struct net_guest *net = *state;

    guest_driver_start(net->guest, net_guest_features_without(net, tso6), 16);
    assert_int_equal(switch_offloads(net, csum), VIRTIO_NET_OK);
    assert_int_equal(net->net.offloads, NET_OFFLOAD_CSUM);
    assert_int_equal(switch_offloads(net, csum | tso6), VIRTIO_NET_ERR);
    assert_int_equal(switch_offloads(net, tso4), VIRTIO_NET_ERR);
    assert_int_equal(switch_offloads(net, csum | NET_FEATURE(VIRTIO_NET_F_HOST_TSO4)), VIRTIO_NET_ERR);
    assert_int_equal(net->net.offloads, NET_OFFLOAD_CSUM);
    assert_int_equal(switch_offloads(net, csum | tso4), VIRTIO_NET_OK);
    assert_int_equal(net->net.offloads, NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4);
    assert_int_equal(switch_offloads(net, 0), VIRTIO_NET_OK);
    assert_int_equal(net->net.offloads, 0);
}

static void test_net_offload_switched_off_is_dropped_where_it_was_on_its_way(void **state)
{
    const struct virtio_net_hdr_v1 header = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                              .gso_type = VIRTIO_NET_HDR_GSO_TCPV6,
                                              .gso_size = 20 };
    struct net_guest *net = *state;

    start(net);
    net_guest_offer(net, 0, 4, 1526);
    assert_true(net_guest_arrive(net, 0, &header, frame, 60));
    net_guest_expect_frame(net, 0, frame, 60);
    assert_int_equal(switch_offloads(net, NET_FEATURE(VIRTIO_NET_F_GUEST_CSUM)), VIRTIO_NET_OK);
    assert_true(net_guest_arrive(net, 0, &header, frame, 60));
    net_guest_expect_nothing(net, 0);
    assert_int_equal(net_guest_counters(net).rx_bad_header, 1);
    net_guest_expect_service(net, 0);
}

static void test_net_offload_that_the_backend_refuses_is_an_error_and_stays_as_it_was(void **state)
{
    struct net_guest *net = *state;

    start(net);
    net->net.offload_error = -EINVAL; /* neither off at the reset, nor on again */
    start(net);
    assert_int_equal(switch_offloads(net, NET_FEATURE(VIRTIO_NET_F_GUEST_CSUM)), VIRTIO_NET_ERR);
    net_guest_offer(net, 0, 4, 1526);
    assert_true(net_guest_arrive(net, 0, &(struct virtio_net_hdr_v1){ .flags = 1 }, frame, 60));
    net_guest_expect_nothing(net, 0);
    net_guest_expect_service(net, 0);
    net->net.offload_error = 0;
    assert_int_equal(switch_offloads(net, NET_FEATURE(VIRTIO_NET_F_GUEST_CSUM)), VIRTIO_NET_OK);
}

/* --- queue pairs --- */

static uint8_t set_pairs(struct net_guest *net, uint16_t pairs)
{
    uint16_t wire = htole16(pairs);

    return net_guest_command(net, VIRTIO_NET_CTRL_MQ, 0, &wire, sizeof(wire));
}

static void test_net_uses_the_first_pair_only_until_told_otherwise(void **state)
{
    struct net_guest *net = *state;

    start(net);
    for (unsigned i = 0; i < PAIRS; i++) {
        net_guest_offer(net, i, 2, 1526);
        net_guest_send(net, i, &net_guest_plain, frame, 60);
    }
    for (unsigned i = 0; i < PAIRS; i++) {
        assert_int_equal(net->net.receives[i].count, i == 0);
        assert_int_equal(net->net.transmits[i].count, i == 0);
    }
    /* What was offered and kicked meanwhile is found when its pair comes into use. */
    assert_int_equal(set_pairs(net, 3), VIRTIO_NET_OK);
    assert_int_equal(net->net.pairs, 3);
    for (unsigned i = 0; i < PAIRS; i++) {
        assert_int_equal(net->net.receives[i].count, i < 3);
        assert_int_equal(net->net.transmits[i].count, i < 3);
    }
    for (unsigned i = 0; i < 3; i++)
        net_guest_expect_service(net, i);
}

static void test_net_pair_no_longer_in_use_gets_no_frame(void **state)
{
    struct net_guest *net = *state;

    start(net);
    assert_int_equal(set_pairs(net, 2), VIRTIO_NET_OK);
    net_guest_offer(net, 1, 2, 1526);
    net_guest_expect_service(net, 1);
    assert_int_equal(set_pairs(net, 1), VIRTIO_NET_OK);
    assert_true(net_guest_arrive(net, 1, &net_guest_plain, frame, 60));
    net_guest_expect_nothing(net, 1);
    assert_int_equal(net_guest_counters(net).rx_inactive, 1);
    assert_int_equal(net->net.receives[1].count, 0);
    net_guest_send(net, 1, &net_guest_plain, frame, 60);
    assert_int_equal(net->net.transmits[1].count, 0);
    /* The buffer is not lost: in use again, it is posted again, with what came meanwhile. */
    net_guest_offer(net, 1, 1, 1526);
    assert_int_equal(set_pairs(net, 2), VIRTIO_NET_OK);
    assert_int_equal(fake_net_room(&net->net, 1), 2 * 1526);
    assert_int_equal(net->net.transmits[1].count, 1);
    net_guest_expect_service(net, 1);
}

static void test_net_pairs_out_of_range_or_refused_are_an_error(void **state)
{
    struct net_guest *net = *state;

    start(net);
    assert_int_equal(set_pairs(net, 0), VIRTIO_NET_ERR);
    assert_int_equal(set_pairs(net, PAIRS + 1), VIRTIO_NET_ERR);
    assert_int_equal(set_pairs(net, 0xffff), VIRTIO_NET_ERR);
    assert_int_equal(net->net.pair_calls, 0);
    net->net.pair_error = -EIO;
    assert_int_equal(set_pairs(net, 2), VIRTIO_NET_ERR);
    net_guest_offer(net, 1, 1, 1526);
    assert_int_equal(net->net.receives[1].count, 0);
    net->net.pair_error = 0;
    assert_int_equal(set_pairs(net, PAIRS), VIRTIO_NET_OK);
}

static void test_net_reset_goes_back_to_the_first_pair(void **state)
{
    struct net_guest *net = *state;

    start(net);
    assert_int_equal(set_pairs(net, PAIRS), VIRTIO_NET_OK);
    start(net);
    assert_int_equal(net->net.pairs, 1);
    net_guest_offer(net, 1, 1, 1526);
    assert_int_equal(net->net.receives[1].count, 0);
    net_guest_offer(net, 0, 1, 1526);
    net_guest_expect_service(net, 0);
}

static void test_net_without_mq_the_control_queue_is_the_third(void **state)
{
    struct net_guest *net = *state;
    uint8_t on = 1;

    guest_driver_start(net->guest, net_guest_features_without(net, NET_FEATURE(VIRTIO_NET_F_MQ)), 16);
    assert_int_equal(net_guest_controlq(net), 2);
    assert_int_equal(net_guest_command(net, VIRTIO_NET_CTRL_RX, 0, &on, 1), VIRTIO_NET_OK);
    assert_int_equal(set_pairs(net, 1), VIRTIO_NET_ERR);
    /* Those behind it are nobody's. */
    for (unsigned i = 3; i < net->device->queue_count; i++)
        guest_queue_kick(&net->guest->queues[i]);
    net_guest_offer(net, 0, 1, 1526);
    net_guest_expect_service(net, 0);
}

/* --- the control queue itself --- */

static void test_net_command_that_is_not_understood_is_answered_with_err(void **state)
{
    struct net_guest *net = *state;
    uint8_t data[8] = { 0 };

    start(net);
    assert_int_equal(net_guest_command(net, 77, 0, data, 1), VIRTIO_NET_ERR);
    assert_int_equal(net_guest_command(net, VIRTIO_NET_CTRL_VLAN, 0, data, 2), VIRTIO_NET_ERR);
    assert_int_equal(net_guest_command(net, VIRTIO_NET_CTRL_RX, 0, data, 0), VIRTIO_NET_ERR);
    assert_int_equal(net_guest_command(net, VIRTIO_NET_CTRL_RX, 0, data, 2), VIRTIO_NET_ERR);
    assert_int_equal(net_guest_command(net, VIRTIO_NET_CTRL_RX, 0, data, 1), VIRTIO_NET_OK);
}

static void test_net_command_without_a_byte_for_the_answer_sets_needs_reset(void **state)
{
    struct net_guest *net = *state;
    struct guest_queue *queue;
    struct guest_segment segment = { 0x800, 3, false };

    start(net);
    queue = &net->guest->queues[net_guest_controlq(net)];
    guest_queue_add(queue, &segment, 1);
    guest_queue_kick(queue);
    assert_true(guest_status(net->guest) & VIRTIO_CONFIG_S_NEEDS_RESET);
    assert_int_equal(guest_queue_used_idx(queue), 0);
}

static void test_net_command_is_understood_wherever_it_is_cut(void **state)
{
    struct net_guest *net = *state;
    struct guest_queue *queue;
    uint8_t command[8] = { VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 2, 3, 4, 5, 6, 7 };

    start(net);
    queue = &net->guest->queues[net_guest_controlq(net)];
    for (unsigned cut = 0; cut <= sizeof(command); cut++) {
        uint64_t at = guest_alloc(net->guest, 16, 1);
        struct guest_segment segments[3] = { { at, cut, false },
                                             { at + cut, (uint32_t)sizeof(command) - cut, false },
                                             { at + 8, 2, true } };
        struct net_config_space space;
        struct guest_used used;

        command[7] = (uint8_t)cut;
        guest_write(net->guest, at, command, sizeof(command));
        guest_write(net->guest, at + 8, "\xff\xff", 2);
        guest_queue_add(queue, segments, 3);
        guest_queue_kick(queue);
        assert_true(guest_queue_take_used(queue, &used));
        assert_int_equal(used.length, 1);
        assert_memory_equal(guest_at(net->guest, at + 8, 2), "\x00\xff", 2);
        space = config(net);
        assert_memory_equal(space.mac, command + 2, 6);
    }
}

static void test_net_without_ctrl_vq_the_third_queue_does_nothing(void **state)
{
    struct net_guest *net = *state;
    struct guest_segment segments[2] = { { 0x800, 3, false }, { 0x900, 1, true } };

    guest_driver_start(net->guest, VERSION_1, 16);
    guest_queue_add(&net->guest->queues[2], segments, 2);
    guest_queue_kick(&net->guest->queues[2]);
    assert_int_equal(guest_queue_used_idx(&net->guest->queues[2]), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_net_options_out_of_range_are_refused_and_the_backend_stays_the_callers),
        TEST(test_net_is_a_network_device_with_two_queues_a_pair_and_one_for_control),
        TEST(test_net_offers_what_the_backend_can_do),
        TEST(test_net_offers_no_feature_without_those_it_needs),
        TEST(test_net_refuses_features_without_those_they_need),
        TEST(test_net_config_says_mac_link_pairs_and_mtu),
        TEST(test_net_config_is_zero_where_nothing_is_known),
        TEST(test_net_config_is_not_the_drivers_to_write),
        TEST(test_net_link_that_changes_is_told_by_status_and_interrupt),
        TEST(test_net_link_that_comes_up_asks_for_an_announcement_until_acknowledged),
        TEST(test_net_driver_that_cannot_announce_is_not_asked_to),
        TEST(test_net_filter_command_decides_which_frames_come),
        TEST(test_net_filter_is_empty_again_after_a_reset),
        TEST(test_net_filter_is_not_applied_to_a_driver_that_cannot_set_it),
        TEST(test_net_driver_with_an_address_that_we_do_not_know_gets_every_unicast),
        TEST(test_net_address_that_is_set_is_in_the_configuration_and_the_filter_until_reset),
        TEST(test_net_offloads_that_are_negotiated_are_on_to_begin_with),
        TEST(test_net_offloads_are_switched_within_what_was_negotiated),
        TEST(test_net_offload_switched_off_is_dropped_where_it_was_on_its_way),
        TEST(test_net_offload_that_the_backend_refuses_is_an_error_and_stays_as_it_was),
        TEST(test_net_uses_the_first_pair_only_until_told_otherwise),
        TEST(test_net_pair_no_longer_in_use_gets_no_frame),
        TEST(test_net_pairs_out_of_range_or_refused_are_an_error),
        TEST(test_net_reset_goes_back_to_the_first_pair),
        TEST(test_net_without_mq_the_control_queue_is_the_third),
        TEST(test_net_command_that_is_not_understood_is_answered_with_err),
        TEST(test_net_command_without_a_byte_for_the_answer_sets_needs_reset),
        TEST(test_net_command_is_understood_wherever_it_is_cut),
        TEST(test_net_without_ctrl_vq_the_third_queue_does_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
