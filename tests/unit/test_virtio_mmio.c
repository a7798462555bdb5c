/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MMIO transport, register by register (virtio 1.2, 4.2.2), and its interrupts.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_device.h"
#include "guest_driver.h"
#include "ringlet/bus.h"
#include "ringlet/util.h"
#include "ringlet/virtio_mmio.h"

#define QUEUES      3
#define SIZE        32
#define QUEUE_RESET 0x0c0 /* 4.2.2: QueueReset; this kernel header has no name for it */

struct fixture {
    struct guest_driver *guest;
    struct fake_device *fake;
    struct guest_queue *queue; /* the first */
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->guest = guest_driver_create();
    f->fake = fake_device_create(f->guest->memory, QUEUES, SIZE);
    guest_driver_plug(f->guest, &f->fake->device);
    f->queue = &f->guest->queues[0];
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    guest_driver_destroy(f->guest);
    free(f);
    return 0;
}

static uint32_t get(struct fixture *f, uint64_t offset)
{
    return guest_register_read(f->guest, offset);
}

static void set(struct fixture *f, uint64_t offset, uint32_t value)
{
    guest_register_write(f->guest, offset, value);
}

static void offer_and_kick(struct guest_queue *queue)
{
    struct guest_segment segment = { .address = 0x800, .length = 4, .writable = true };

    guest_queue_add(queue, &segment, 1);
    guest_queue_kick(queue);
}

/* --- who is there --- */

static void test_magic_version_and_ids_say_who_is_there(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(get(f, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
    assert_int_equal(get(f, VIRTIO_MMIO_VERSION), 2);
    assert_int_equal(get(f, VIRTIO_MMIO_DEVICE_ID), FAKE_DEVICE_ID);
    assert_int_equal(get(f, VIRTIO_MMIO_VENDOR_ID), 0x54454c52);
}

static void test_region_covers_the_window_under_the_devices_lock(void **state)
{
    struct fixture *f = *state;
    struct bus_region region = virtio_mmio_region(f->guest->transport, 0x1234000);

    assert_true(region.base == 0x1234000);
    assert_int_equal(region.size, VIRTIO_MMIO_WINDOW_SIZE);
    assert_ptr_equal(region.lock, &f->fake->device.lock);
    assert_string_equal(region.name, "fake0");
}

/* --- features --- */

static void test_feature_words_beyond_the_second_are_0(void **state)
{
    static const uint32_t selectors[] = { 2, 3, 32, 0x80000000, UINT32_MAX };
    struct fixture *f = *state;
    uint64_t before = f->fake->device.accepted_features;

    for (unsigned i = 0; i < ARRAY_SIZE(selectors); i++) {
        set(f, VIRTIO_MMIO_DEVICE_FEATURES_SEL, selectors[i]);
        assert_int_equal(get(f, VIRTIO_MMIO_DEVICE_FEATURES), 0);
        set(f, VIRTIO_MMIO_DRIVER_FEATURES_SEL, selectors[i]);
        set(f, VIRTIO_MMIO_DRIVER_FEATURES, UINT32_MAX);
        assert_true(f->fake->device.accepted_features == before);
    }
    set(f, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    assert_int_equal(get(f, VIRTIO_MMIO_DEVICE_FEATURES), 1u << (VIRTIO_F_VERSION_1 - 32));
}

static void test_feature_words_may_be_written_in_any_order_and_again(void **state)
{
    struct fixture *f = *state;

    set(f, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    set(f, VIRTIO_MMIO_DRIVER_FEATURES, UINT32_MAX);
    set(f, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    set(f, VIRTIO_MMIO_DRIVER_FEATURES, 1);
    set(f, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    set(f, VIRTIO_MMIO_DRIVER_FEATURES, 1u << FAKE_DEVICE_FEATURE);
    assert_true(f->fake->device.accepted_features ==
                (UINT64_C(1) << VIRTIO_F_VERSION_1 | UINT64_C(1) << FAKE_DEVICE_FEATURE));
    guest_add_status(f->guest, VIRTIO_CONFIG_S_FEATURES_OK);
    assert_int_equal(guest_status(f->guest), VIRTIO_CONFIG_S_FEATURES_OK);
}

/* --- queues --- */

static void test_queue_num_max_is_0_where_there_is_no_queue(void **state)
{
    static const uint32_t selectors[] = { QUEUES, 63, 64, 0x10000, UINT32_MAX };
    struct fixture *f = *state;

    for (uint32_t i = 0; i < QUEUES; i++) {
        set(f, VIRTIO_MMIO_QUEUE_SEL, i);
        assert_int_equal(get(f, VIRTIO_MMIO_QUEUE_NUM_MAX), SIZE);
        assert_int_equal(get(f, VIRTIO_MMIO_QUEUE_READY), 0);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(selectors); i++) {
        set(f, VIRTIO_MMIO_QUEUE_SEL, selectors[i]);
        assert_int_equal(get(f, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
        set(f, VIRTIO_MMIO_QUEUE_NUM, 4);
        set(f, VIRTIO_MMIO_QUEUE_DESC_LOW, 0x1000);
        set(f, VIRTIO_MMIO_QUEUE_READY, 1);
        assert_int_equal(get(f, VIRTIO_MMIO_QUEUE_READY), 0);
        set(f, VIRTIO_MMIO_QUEUE_READY, 0);
    }
    assert_int_equal(guest_status(f->guest), 0);
}

static void test_queue_addresses_have_64_bits(void **state)
{
    struct fixture *f = *state;
    struct guest_used used;

    assert_true(guest_negotiate(f->guest, GUEST_ALL_FEATURES));
    guest_queue_place(f->guest, 0, SIZE);
    f->queue->desc = guest_alloc_high(f->guest, 16 * SIZE, 16);
    f->queue->avail = guest_alloc_high(f->guest, 6 + 2 * SIZE, 2);
    f->queue->used = guest_alloc_high(f->guest, 6 + 8 * SIZE, 4);
    assert_true(guest_queue_enable(f->queue));
    guest_driver_ok(f->guest);
    offer_and_kick(f->queue);
    assert_true(guest_queue_take_used(f->queue, &used));
    assert_int_equal(used.length, 4);
}

static void test_queue_registers_are_ignored_once_it_is_ready(void **state)
{
    static const uint64_t registers[] = {
        VIRTIO_MMIO_QUEUE_NUM,       VIRTIO_MMIO_QUEUE_DESC_LOW,   VIRTIO_MMIO_QUEUE_DESC_HIGH,
        VIRTIO_MMIO_QUEUE_AVAIL_LOW, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, VIRTIO_MMIO_QUEUE_USED_LOW,
        VIRTIO_MMIO_QUEUE_USED_HIGH,
    };
    struct fixture *f = *state;
    struct virtqueue before;
    struct guest_used used;

    guest_driver_start(f->guest, GUEST_ALL_FEATURES, 8);
    before = f->fake->device.queues[0];
    set(f, VIRTIO_MMIO_QUEUE_SEL, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(registers); i++)
        set(f, registers[i], 16);
    set(f, VIRTIO_MMIO_QUEUE_READY, 1);
    set(f, VIRTIO_MMIO_QUEUE_READY, 2);
    assert_int_equal(get(f, VIRTIO_MMIO_QUEUE_READY), 1);
    assert_memory_equal(&f->fake->device.queues[0], &before, sizeof(before));
    offer_and_kick(f->queue);
    assert_true(guest_queue_take_used(f->queue, &used));
}

static void test_bad_queue_size_leaves_the_queue_not_ready(void **state)
{
    static const uint32_t sizes[] = { 0, 3, SIZE + 1, SIZE * 2, 0x10000, 0x10008, UINT32_MAX };
    struct fixture *f = *state;

    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        assert_true(guest_negotiate(f->guest, GUEST_ALL_FEATURES));
        guest_queue_place(f->guest, 0, 8);
        set(f, VIRTIO_MMIO_QUEUE_SEL, 0);
        set(f, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)f->queue->desc);
        set(f, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)f->queue->avail);
        set(f, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)f->queue->used);
        /* a good size does not outlive the bad one that follows it */
        set(f, VIRTIO_MMIO_QUEUE_NUM, 8);
        set(f, VIRTIO_MMIO_QUEUE_NUM, sizes[i]);
        set(f, VIRTIO_MMIO_QUEUE_READY, 1);
        assert_int_equal(get(f, VIRTIO_MMIO_QUEUE_READY), 0);
        assert_true(guest_status(f->guest) & VIRTIO_CONFIG_S_NEEDS_RESET);
    }
}

static void test_queue_taken_away_is_not_touched_and_can_come_back(void **state)
{
    struct fixture *f = *state;
    struct guest_used used;

    guest_driver_start(f->guest, GUEST_ALL_FEATURES, 8);
    set(f, VIRTIO_MMIO_QUEUE_SEL, 0);
    set(f, VIRTIO_MMIO_QUEUE_READY, 0);
    assert_int_equal(get(f, VIRTIO_MMIO_QUEUE_READY), 0);
    offer_and_kick(f->queue);
    assert_int_equal(f->fake->popped, 0);
    assert_int_equal(guest_queue_used_idx(f->queue), 0);
    /* the others live on */
    offer_and_kick(&f->guest->queues[1]);
    assert_true(guest_queue_take_used(&f->guest->queues[1], &used));
    guest_queue_place(f->guest, 0, 16);
    assert_true(guest_queue_enable(f->queue));
    offer_and_kick(f->queue);
    assert_true(guest_queue_take_used(f->queue, &used));
}

/* --- interrupts --- */

static void test_interrupt_status_stands_until_acknowledged(void **state)
{
    struct fixture *f = *state;

    guest_driver_start(f->guest, GUEST_ALL_FEATURES, 8);
    assert_int_equal(get(f, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
    offer_and_kick(f->queue);
    assert_int_equal(get(f, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
    assert_int_equal(get(f, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
    guest_driver_enter(f->guest);
    virtio_device_config_changed(&f->fake->device);
    guest_driver_leave(f->guest);
    set(f, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
    assert_int_equal(get(f, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
    set(f, VIRTIO_MMIO_INTERRUPT_ACK, UINT32_MAX);
    assert_int_equal(get(f, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
    assert_int_equal(guest_take_interrupts(f->guest), 2);
}

/*
 * The handler has read InterruptStatus, acknowledges and walks the used ring; what comes between must reach
 * it, wherever exactly that is.
 */
static void test_every_event_is_an_edge_though_its_bit_still_stands(void **state)
{
    struct fixture *f = *state;

    guest_driver_start(f->guest, UINT64_C(1) << VIRTIO_F_VERSION_1, 8);
    offer_and_kick(f->queue);
    assert_int_equal(guest_take_interrupts(f->guest), 1);
    assert_int_equal(get(f, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
    offer_and_kick(f->queue); /* before the acknowledgement */
    assert_int_equal(guest_take_interrupts(f->guest), 1);
    set(f, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
    offer_and_kick(f->queue); /* after it */
    assert_int_equal(guest_take_interrupts(f->guest), 1);
    assert_int_equal(guest_acknowledge(f->guest), VIRTIO_MMIO_INT_VRING);
}

struct checking_line {
    struct irq_line line;
    struct virtio_device *device;
    struct bus_region window;
    uint64_t status_at_edge;
};

static void read_status_at_edge(struct irq_line *line)
{
    struct checking_line *checking = container_of(line, struct checking_line, line);

    /* as a vCPU that is interrupted at once would */
    checking->status_at_edge =
        checking->window.ops->read(checking->window.opaque, VIRTIO_MMIO_INTERRUPT_STATUS, 4);
}

static const struct irq_line_ops checking_line_ops = {
    .raise = read_status_at_edge,
};

static void ring_nothing(void *opaque, unsigned queue_index)
{
    (void)opaque;
    (void)queue_index;
}

static void test_interrupt_status_is_set_before_the_edge(void **state)
{
    static const struct doorbell_ops bells = { .ring = ring_nothing };
    struct fixture *f = *state;
    struct checking_line checking = { .line.ops = &checking_line_ops };
    struct fake_device *fake = fake_device_create(f->guest->memory, 1, 8);
    struct virtio_mmio *transport;

    assert_int_equal(virtio_mmio_create(&fake->device, &checking.line, &bells, NULL, &transport), 0);
    checking.window = virtio_mmio_region(transport, 0);
    fake->device.transport_ops->queue_interrupts(&fake->device, 1);
    assert_int_equal(checking.status_at_edge, VIRTIO_MMIO_INT_VRING);
    fake->device.transport_ops->config_interrupt(&fake->device);
    assert_int_equal(checking.status_at_edge, VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG);
    virtio_mmio_destroy(transport);
    virtio_device_destroy(&fake->device);
}

static void test_reset_clears_interrupts_queues_and_selectors(void **state)
{
    struct fixture *f = *state;

    guest_driver_start(f->guest, GUEST_ALL_FEATURES, 8);
    offer_and_kick(f->queue);
    set(f, VIRTIO_MMIO_QUEUE_SEL, 1);
    assert_int_equal(get(f, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
    guest_take_interrupts(f->guest);
    guest_reset(f->guest);
    assert_int_equal(guest_status(f->guest), 0);
    assert_int_equal(get(f, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
    for (uint32_t i = 0; i < QUEUES; i++) {
        set(f, VIRTIO_MMIO_QUEUE_SEL, i);
        assert_int_equal(get(f, VIRTIO_MMIO_QUEUE_READY), 0);
        assert_int_equal(f->fake->device.queues[i].desc_address, 0);
    }
    assert_true(f->fake->device.accepted_features == 0);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
}

/* --- the rest of the window --- */

static void test_there_is_no_shared_memory(void **state)
{
    struct fixture *f = *state;

    for (uint32_t id = 0; id < 3; id++) {
        set(f, VIRTIO_MMIO_SHM_SEL, id);
        assert_int_equal(get(f, VIRTIO_MMIO_SHM_LEN_LOW), UINT32_MAX);
        assert_int_equal(get(f, VIRTIO_MMIO_SHM_LEN_HIGH), UINT32_MAX);
        assert_int_equal(get(f, VIRTIO_MMIO_SHM_BASE_LOW), UINT32_MAX);
        assert_int_equal(get(f, VIRTIO_MMIO_SHM_BASE_HIGH), UINT32_MAX);
    }
}

static void test_ring_reset_is_not_offered_and_its_register_does_nothing(void **state)
{
    struct fixture *f = *state;

    guest_driver_start(f->guest, GUEST_ALL_FEATURES, 8);
    assert_false(guest_offered_features(f->guest) >> VIRTIO_F_RING_RESET & 1);
    set(f, VIRTIO_MMIO_QUEUE_SEL, 0);
    set(f, QUEUE_RESET, 1);
    assert_int_equal(get(f, QUEUE_RESET), 0);
    assert_int_equal(get(f, VIRTIO_MMIO_QUEUE_READY), 1);
}

static void test_control_registers_take_32_bits_and_nothing_else(void **state)
{
    static const unsigned sizes[] = { 1, 2, 8 };
    struct fixture *f = *state;

    guest_driver_start(f->guest, GUEST_ALL_FEATURES, 8);
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        for (uint64_t offset = 0; offset < VIRTIO_MMIO_CONFIG; offset += sizes[i]) {
            if (offset + sizes[i] <= VIRTIO_MMIO_CONFIG)
                assert_true(guest_window_read(f->guest, offset, sizes[i]) == 0);
            guest_window_write(f->guest, offset, 0, sizes[i]);
        }
    }
    /* Status was not written, or this would have been a reset. */
    assert_true(guest_status(f->guest) & VIRTIO_CONFIG_S_DRIVER_OK);
    assert_true(f->fake->device.queues[0].ready);
}

static void test_config_takes_accesses_of_every_size(void **state)
{
    struct fixture *f = *state;

    assert_true(guest_negotiate(f->guest, GUEST_ALL_FEATURES));
    assert_true(guest_window_read(f->guest, VIRTIO_MMIO_CONFIG, 1) == 0x10);
    assert_true(guest_window_read(f->guest, VIRTIO_MMIO_CONFIG + 2, 2) == 0x1312);
    assert_true(guest_window_read(f->guest, VIRTIO_MMIO_CONFIG + 4, 4) == 0x17161514);
    assert_true(guest_window_read(f->guest, VIRTIO_MMIO_CONFIG + 8, 8) == UINT64_C(0x1f1e1d1c1b1a1918));
    guest_window_write(f->guest, VIRTIO_MMIO_CONFIG, 0xa0, 1);
    guest_window_write(f->guest, VIRTIO_MMIO_CONFIG + 2, 0xa3a2, 2);
    guest_window_write(f->guest, VIRTIO_MMIO_CONFIG + 4, 0xa7a6a5a4, 4);
    guest_window_write(f->guest, VIRTIO_MMIO_CONFIG + 8, UINT64_C(0xafaeadacabaaa9a8), 8);
    assert_int_equal(f->fake->config[0], 0xa0);
    assert_int_equal(f->fake->config[1], 0x11);
    for (unsigned i = 2; i < 16; i++)
        assert_int_equal(f->fake->config[i], 0xa0 + i);
    assert_int_equal(f->fake->config[16], 0x20);
}

static void test_no_register_takes_a_wild_value_amiss(void **state)
{
    static const uint32_t values[] = { 0, 1, 2, 0x7f, 0xff, 0x8000, 0x10000, 0x80000000, UINT32_MAX };
    struct fixture *f = *state;

    for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
        guest_driver_start(f->guest, GUEST_ALL_FEATURES, 8);
        for (uint64_t offset = 0; offset < VIRTIO_MMIO_CONFIG; offset++) {
            set(f, offset, values[i]);
            get(f, offset);
        }
    }
    /* and it still works */
    guest_driver_start(f->guest, GUEST_ALL_FEATURES, 8);
    offer_and_kick(f->queue);
    assert_int_equal(guest_queue_used_idx(f->queue), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_magic_version_and_ids_say_who_is_there),
        TEST(test_region_covers_the_window_under_the_devices_lock),
        TEST(test_feature_words_beyond_the_second_are_0),
        TEST(test_feature_words_may_be_written_in_any_order_and_again),
        TEST(test_queue_num_max_is_0_where_there_is_no_queue),
        TEST(test_queue_addresses_have_64_bits),
        TEST(test_queue_registers_are_ignored_once_it_is_ready),
        TEST(test_bad_queue_size_leaves_the_queue_not_ready),
        TEST(test_queue_taken_away_is_not_touched_and_can_come_back),
        TEST(test_interrupt_status_stands_until_acknowledged),
        TEST(test_every_event_is_an_edge_though_its_bit_still_stands),
        TEST(test_interrupt_status_is_set_before_the_edge),
        TEST(test_reset_clears_interrupts_queues_and_selectors),
        TEST(test_there_is_no_shared_memory),
        TEST(test_ring_reset_is_not_offered_and_its_register_does_nothing),
        TEST(test_control_registers_take_32_bits_and_nothing_else),
        TEST(test_config_takes_accesses_of_every_size),
        TEST(test_no_register_takes_a_wild_value_amiss),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
