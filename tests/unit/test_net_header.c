/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a struct virtio_net_hdr may say, in each direction (virtio 1.2, 5.1.6.2, 5.1.6.4).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/devices/net_header.h"
#include "../../src/devices/net_wire.h"
#include "ringlet/util.h"

#define ALL (NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 | NET_OFFLOAD_USO)

static const struct virtio_net_hdr_v1 zero;

static const struct virtio_net_hdr_v1 segmented = {
    .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
    .hdr_len = 54,
    .gso_size = 1448,
    .csum_start = 34,
    .csum_offset = 16,
};

static const struct {
    uint8_t gso_type;
    unsigned offload;
} gso_types[] = { { VIRTIO_NET_HDR_GSO_TCPV4, NET_OFFLOAD_TSO4 },
                  { VIRTIO_NET_HDR_GSO_TCPV6, NET_OFFLOAD_TSO6 },
                  { VIRTIO_NET_HDR_GSO_UDP_L4, NET_OFFLOAD_USO } };

static void assert_same(const struct virtio_net_hdr_v1 *header, const struct virtio_net_hdr_v1 *expected)
{
    assert_memory_equal(header, expected, sizeof(*header));
}

/* --- from the driver --- */

static void test_net_header_flags_not_known_are_ignored(void **state)
{
    struct virtio_net_hdr_v1 header = { .flags = (uint8_t)~VIRTIO_NET_HDR_F_NEEDS_CSUM };

    (void)state;
    assert_true(net_header_from_driver(&header, 0, 60));
    assert_same(&header, &zero);
}

static void test_net_header_without_needs_csum_has_its_checksum_fields_ignored(void **state)
{
    struct virtio_net_hdr_v1 header = { .csum_start = 0xffff, .csum_offset = 0xffff, .num_buffers = 7 };

    (void)state;
    assert_true(net_header_from_driver(&header, ALL, 60));
    assert_same(&header, &zero);
}

static void test_net_header_checksum_has_to_lie_within_the_frame(void **state)
{
    struct virtio_net_hdr_v1 header = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                        .csum_start = 34,
                                        .csum_offset = 16 };
    struct virtio_net_hdr_v1 copy = header;

    (void)state;
    assert_true(net_header_from_driver(&copy, ALL, 52));
    assert_same(&copy, &header);
    assert_false(net_header_from_driver(&copy, ALL, 51));
    header.csum_start = 0xffff;
    header.csum_offset = 0xffff; /* the sum is 16 bits wide in nobody's arithmetic */
    assert_false(net_header_from_driver(&header, ALL, 1000));
}

static void test_net_header_needs_csum_has_to_be_negotiated(void **state)
{
    struct virtio_net_hdr_v1 header = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM };

    (void)state;
    assert_false(net_header_from_driver(&header, 0, 60));
}

static void test_net_header_gso_type_has_to_be_negotiated(void **state)
{
    (void)state;
    for (unsigned type = 1; type < 256; type++) {
        unsigned needed = 0;

        for (unsigned i = 0; i < ARRAY_SIZE(gso_types); i++) {
            if (gso_types[i].gso_type == type)
                needed = gso_types[i].offload;
        }
        for (unsigned offloads = 0; offloads <= ALL; offloads++) {
            struct virtio_net_hdr_v1 out = segmented, in = segmented;
            bool expected = (offloads & NET_OFFLOAD_CSUM) && (offloads & needed);

            out.gso_type = in.gso_type = (uint8_t)type;
            assert_int_equal(net_header_from_driver(&out, offloads, 3000), expected);
            assert_int_equal(net_header_to_driver(&in, offloads), expected);
        }
    }
}

static void test_net_header_segments_need_a_size_and_a_checksum(void **state)
{
    struct virtio_net_hdr_v1 header = segmented;

    (void)state;
    header.gso_size = 0;
    assert_false(net_header_from_driver(&header, ALL, 3000));
    assert_false(net_header_to_driver(&header, ALL));
    header = segmented;
    header.flags = 0;
    assert_false(net_header_from_driver(&header, ALL, 3000));
    header = segmented;
    header.flags = 0;
    assert_false(net_header_to_driver(&header, ALL));
    header = segmented;
    assert_true(net_header_from_driver(&header, ALL, 3000));
    assert_same(&header, &segmented);
}

static void test_net_header_length_hint_is_not_relied_on(void **state)
{
    static const struct {
        uint16_t hint, passed_on;
    } rows[] = { { 54, 54 }, { 3000, 3000 }, { 14, 14 }, { 3001, 0 }, { 0xffff, 0 }, { 13, 0 }, { 0, 0 } };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        struct virtio_net_hdr_v1 header = segmented;

        header.hdr_len = rows[i].hint;
        assert_true(net_header_from_driver(&header, ALL, 3000));
        assert_int_equal(header.hdr_len, rows[i].passed_on);
    }
}

static void test_net_header_size_without_segments_means_nothing(void **state)
{
    struct virtio_net_hdr_v1 header = { .gso_size = 1448 };

    (void)state;
    assert_true(net_header_from_driver(&header, ALL, 60));
    assert_same(&header, &zero);
}

/* --- to the driver --- */

static void test_net_header_flags_are_zero_without_guest_csum(void **state)
{
    struct virtio_net_hdr_v1 header = { .flags = VIRTIO_NET_HDR_F_DATA_VALID | VIRTIO_NET_HDR_F_RSC_INFO };

    (void)state;
    assert_true(net_header_to_driver(&header, 0));
    assert_same(&header, &zero);
}

static void test_net_header_unfinished_checksum_never_reaches_a_driver_without_guest_csum(void **state)
{
    struct virtio_net_hdr_v1 header = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM };

    (void)state;
    assert_false(net_header_to_driver(&header, 0));
}

static void test_net_header_with_guest_csum_both_flags_pass_and_rsc_info_does_not(void **state)
{
    struct virtio_net_hdr_v1 header = { .flags = 0xff, .csum_start = 34, .csum_offset = 6 };

    (void)state;
    assert_true(net_header_to_driver(&header, NET_OFFLOAD_CSUM));
    assert_int_equal(header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID);
    assert_int_equal(header.csum_start, 34);
    assert_int_equal(header.csum_offset, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_net_header_flags_not_known_are_ignored),
        cmocka_unit_test(test_net_header_without_needs_csum_has_its_checksum_fields_ignored),
        cmocka_unit_test(test_net_header_checksum_has_to_lie_within_the_frame),
        cmocka_unit_test(test_net_header_needs_csum_has_to_be_negotiated),
        cmocka_unit_test(test_net_header_gso_type_has_to_be_negotiated),
        cmocka_unit_test(test_net_header_segments_need_a_size_and_a_checksum),
        cmocka_unit_test(test_net_header_length_hint_is_not_relied_on),
        cmocka_unit_test(test_net_header_size_without_segments_means_nothing),
        cmocka_unit_test(test_net_header_flags_are_zero_without_guest_csum),
        cmocka_unit_test(test_net_header_unfinished_checksum_never_reaches_a_driver_without_guest_csum),
        cmocka_unit_test(test_net_header_with_guest_csum_both_flags_pass_and_rsc_info_does_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
