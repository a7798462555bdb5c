/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which frames a driver gets (virtio 1.2, 5.1.6.5.1, 5.1.6.5.2), and what it may say on the control queue.
 */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include <cmocka.h>

#include "../../src/devices/net_control.h"
#include "../../src/devices/net_filter.h"
#include "../../src/devices/net_wire.h"
#include "ringlet/util.h"

static const uint8_t own[6] = { 2, 0, 0, 0, 0, 1 }, other[6] = { 2, 0, 0, 0, 0, 2 };
static const uint8_t group[6] = { 1, 0, 0x5e, 0, 0, 1 };
static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

#define MODE(name) (1u << VIRTIO_NET_CTRL_RX_##name)

/* Which of own, other, group and broadcast get through, as "o.g." */
static void expect(unsigned modes, const char *through)
{
    struct net_filter filter = { .modes = modes };
    const uint8_t *addresses[] = { own, other, group, broadcast };

    for (unsigned i = 0; i < ARRAY_SIZE(addresses); i++)
        assert_int_equal(net_filter_accepts(&filter, own, addresses[i]), through[i] != '.');
}

static void test_net_filter_passes_own_address_and_broadcasts_to_begin_with(void **state)
{
    (void)state;
    expect(0, "o..b");
}

static void test_net_filter_modes_let_through_and_suppress(void **state)
{
    (void)state;
    expect(MODE(PROMISC), "oxgb");
    expect(MODE(PROMISC) | MODE(NOMULTI) | MODE(NOUNI) | MODE(NOBCAST), "oxgb");
    expect(MODE(ALLMULTI), "o.gb");
    expect(MODE(ALLUNI), "ox.b");
    expect(MODE(ALLMULTI) | MODE(NOMULTI), "o..b");
    expect(MODE(ALLUNI) | MODE(NOUNI), "...b");
    expect(MODE(NOBCAST), "o...");
    expect(MODE(ALLMULTI) | MODE(NOBCAST), "o.g.");
    expect(MODE(ALLMULTI) | MODE(NOMULTI) | MODE(NOUNI) | MODE(NOBCAST), "....");
}

static void test_net_filter_tables_add_addresses_of_their_kind(void **state)
{
    struct net_filter filter = { .unicast = { .count = 1 }, .multicast = { .count = 1 } };
    const uint8_t third[6] = { 2, 0, 0, 0, 0, 3 }, second_group[6] = { 1, 0, 0x5e, 0, 0, 2 };

    (void)state;
    memcpy(filter.unicast.addresses[0], other, 6);
    memcpy(filter.multicast.addresses[0], group, 6);
    assert_true(net_filter_accepts(&filter, own, own));
    assert_true(net_filter_accepts(&filter, own, other));
    assert_true(net_filter_accepts(&filter, own, group));
    assert_false(net_filter_accepts(&filter, own, third));
    assert_false(net_filter_accepts(&filter, own, second_group));
    filter.unicast.overflow = true;
    assert_true(net_filter_accepts(&filter, own, third));
    assert_false(net_filter_accepts(&filter, own, second_group));
    filter.multicast.overflow = true;
    assert_true(net_filter_accepts(&filter, own, second_group));
}

static void test_net_filter_without_an_own_address_passes_every_unicast(void **state)
{
    const struct net_filter filter = { 0 };

    (void)state;
    assert_true(net_filter_accepts(&filter, NULL, other));
    assert_false(net_filter_accepts(&filter, NULL, group));
}

/* --- commands --- */

static int parse(const void *bytes, size_t length, uint64_t features, struct net_command *ret_command)
{
    /* Of exactly that size, for the sanitizer's sake, and cut in two. */
    uint8_t *copy = malloc(length ? length : 1);
    struct iovec iov[2] = { { copy, length / 2 }, { copy + length / 2, length - length / 2 } };
    int result;

    assert_non_null(copy);
    memcpy(copy, bytes, length);
    result = net_command_parse(iov, 2, features, ret_command);
    free(copy);
    return result;
}

static const struct {
    uint8_t class, command, feature, length, kind;
} fixed[] = {
    { 0, 0, VIRTIO_NET_F_CTRL_RX, 1, NET_COMMAND_RX_MODE },
    { 0, 1, VIRTIO_NET_F_CTRL_RX, 1, NET_COMMAND_RX_MODE },
    { 0, 2, VIRTIO_NET_F_CTRL_RX_EXTRA, 1, NET_COMMAND_RX_MODE },
    { 0, 3, VIRTIO_NET_F_CTRL_RX_EXTRA, 1, NET_COMMAND_RX_MODE },
    { 0, 4, VIRTIO_NET_F_CTRL_RX_EXTRA, 1, NET_COMMAND_RX_MODE },
    { 0, 5, VIRTIO_NET_F_CTRL_RX_EXTRA, 1, NET_COMMAND_RX_MODE },
    { 1, 1, VIRTIO_NET_F_CTRL_MAC_ADDR, 6, NET_COMMAND_MAC_ADDRESS },
    { 3, 0, VIRTIO_NET_F_GUEST_ANNOUNCE, 0, NET_COMMAND_ANNOUNCE_ACK },
    { 4, 0, VIRTIO_NET_F_MQ, 2, NET_COMMAND_QUEUE_PAIRS },
    { 5, 0, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, 8, NET_COMMAND_OFFLOADS },
};

static void test_net_command_of_fixed_length_is_taken_at_that_length_only(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(fixed); i++) {
        for (size_t length = 0; length < 12; length++) {
            uint8_t bytes[16] = { fixed[i].class, fixed[i].command, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
            struct net_command command;

            assert_int_equal(parse(bytes, 2 + length, UINT64_MAX, &command),
                             length == fixed[i].length ? 0 : -EINVAL);
            if (length == fixed[i].length)
                assert_int_equal(command.kind, fixed[i].kind);
        }
    }
}

static void test_net_command_needs_its_feature(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(fixed); i++) {
        uint8_t bytes[16] = { fixed[i].class, fixed[i].command };
        struct net_command command;

        assert_int_equal(parse(bytes, 2u + fixed[i].length, ~NET_FEATURE(fixed[i].feature), &command),
                         -EOPNOTSUPP);
        assert_int_equal(parse(bytes, 2u + fixed[i].length, NET_FEATURE(fixed[i].feature), &command), 0);
    }
    assert_int_equal(
        parse((uint8_t[10]){ 1, 0 }, 10, ~NET_FEATURE(VIRTIO_NET_F_CTRL_RX), &(struct net_command){ 0 }),
        -EOPNOTSUPP);
}

static void test_net_command_carries_its_data(void **state)
{
    struct net_command command;

    (void)state;
    assert_int_equal(parse((uint8_t[]){ 0, 3, 1 }, 3, UINT64_MAX, &command), 0);
    assert_int_equal(command.rx_mode, VIRTIO_NET_CTRL_RX_NOMULTI);
    assert_true(command.on);
    assert_int_equal(parse((uint8_t[]){ 0, 3, 0 }, 3, UINT64_MAX, &command), 0);
    assert_false(command.on);
    assert_int_equal(parse((uint8_t[]){ 1, 1, 1, 2, 3, 4, 5, 6 }, 8, UINT64_MAX, &command), 0);
    assert_memory_equal(command.mac, ((uint8_t[]){ 1, 2, 3, 4, 5, 6 }), 6);
    assert_int_equal(parse((uint8_t[]){ 4, 0, 1, 2 }, 4, UINT64_MAX, &command), 0);
    assert_int_equal(command.pairs, 0x201);
    assert_int_equal(parse((uint8_t[]){ 5, 0, 1, 2, 3, 4, 5, 6, 7, 8 }, 10, UINT64_MAX, &command), 0);
    assert_true(command.guest_features == UINT64_C(0x0807060504030201));
}

static void test_net_command_that_does_not_exist_is_refused(void **state)
{
    struct net_command command;

    (void)state;
    for (unsigned class = 0; class < 256; class ++) {
        for (unsigned number = 0; number < 256; number++) {
            uint8_t bytes[2] = { (uint8_t) class, (uint8_t)number };
            bool exists = (class == 0 && number <= 5) || (class == 1 && number <= 1) ||
                          (class >= 3 && class <= 5 && number == 0);

            if (!exists)
                assert_int_equal(parse(bytes, 2, UINT64_MAX, &command), -EOPNOTSUPP);
        }
    }
    assert_int_equal(parse("", 0, UINT64_MAX, &command), -EINVAL);
    assert_int_equal(parse("\0", 1, UINT64_MAX, &command), -EINVAL);
}

/* Two tables of as many addresses; `cut` bytes are missing at the end, or too many. */
static int parse_tables(uint32_t unicast, uint32_t multicast, int cut, struct net_command *command)
{
    size_t length = 2 + 8 + ((size_t)unicast + multicast) * 6;
    uint8_t *bytes = calloc(1, length + 8), *at = bytes + 2;
    int result;

    assert_non_null(bytes);
    bytes[0] = VIRTIO_NET_CTRL_MAC;
    for (unsigned table = 0; table < 2; table++) {
        uint32_t count = table ? multicast : unicast, wire = htole32(count);

        memcpy(at, &wire, 4);
        at += 4;
        for (uint32_t i = 0; i < count; i++, at += 6)
            memcpy(at, (uint8_t[]){ table ? 1 : 2, 0, 0, 0, (uint8_t)(i >> 8), (uint8_t)i }, 6);
    }
    result = parse(bytes, length - (size_t)cut, UINT64_MAX, command);
    free(bytes);
    return result;
}

static void test_net_command_mac_tables_are_read(void **state)
{
    struct net_command command;

    (void)state;
    assert_int_equal(parse_tables(0, 0, 0, &command), 0);
    assert_int_equal(command.unicast.count + command.multicast.count, 0);
    assert_int_equal(parse_tables(3, NET_FILTER_TABLE_SIZE, 0, &command), 0);
    assert_int_equal(command.kind, NET_COMMAND_MAC_TABLES);
    assert_int_equal(command.unicast.count, 3);
    assert_int_equal(command.multicast.count, NET_FILTER_TABLE_SIZE);
    assert_false(command.unicast.overflow || command.multicast.overflow);
    assert_memory_equal(command.unicast.addresses[2], ((uint8_t[]){ 2, 0, 0, 0, 0, 2 }), 6);
    assert_memory_equal(command.multicast.addresses[63], ((uint8_t[]){ 1, 0, 0, 0, 0, 63 }), 6);
}

static void test_net_command_mac_tables_that_do_not_fit_overflow(void **state)
{
    struct net_command command;

    (void)state;
    assert_int_equal(parse_tables(NET_FILTER_TABLE_SIZE + 1, 1, 0, &command), 0);
    assert_true(command.unicast.overflow);
    assert_false(command.multicast.overflow);
    assert_int_equal(command.multicast.count, 1);
    assert_memory_equal(command.multicast.addresses[0], ((uint8_t[]){ 1, 0, 0, 0, 0, 0 }), 6);
    assert_int_equal(parse_tables(0, 1000, 0, &command), 0);
    assert_true(command.multicast.overflow);
}

static void test_net_command_mac_tables_of_a_wrong_length_are_refused(void **state)
{
    struct net_command command;
    uint8_t lie[] = { VIRTIO_NET_CTRL_MAC, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0 };

    (void)state;
    for (int cut = 1; cut <= 8 + 3 * 6; cut++)
        assert_int_equal(parse_tables(2, 1, cut, &command), -EINVAL);
    assert_int_equal(parse_tables(2, 1, -1, &command), -EINVAL);
    assert_int_equal(parse_tables(0, 0, 5, &command), -EINVAL);
    assert_int_equal(parse(lie, sizeof(lie), UINT64_MAX, &command), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_net_filter_passes_own_address_and_broadcasts_to_begin_with),
        cmocka_unit_test(test_net_filter_modes_let_through_and_suppress),
        cmocka_unit_test(test_net_filter_tables_add_addresses_of_their_kind),
        cmocka_unit_test(test_net_filter_without_an_own_address_passes_every_unicast),
        cmocka_unit_test(test_net_command_of_fixed_length_is_taken_at_that_length_only),
        cmocka_unit_test(test_net_command_needs_its_feature),
        cmocka_unit_test(test_net_command_carries_its_data),
        cmocka_unit_test(test_net_command_that_does_not_exist_is_refused),
        cmocka_unit_test(test_net_command_mac_tables_are_read),
        cmocka_unit_test(test_net_command_mac_tables_that_do_not_fit_overflow),
        cmocka_unit_test(test_net_command_mac_tables_of_a_wrong_length_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
