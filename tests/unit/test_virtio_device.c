/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device's life as its driver sees it: status, features, configuration, doorbells, interrupts.
 * Resets with requests in flight are in test_virtio_device_reset.c.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_device.h"
#include "guest_driver.h"
#include "ringlet/util.h"
#include "ringlet/virtio_device.h"

#define FEATURE(bit) (UINT64_C(1) << (bit))
#define VERSION_1    FEATURE(VIRTIO_F_VERSION_1)
#define EVENT_IDX    FEATURE(VIRTIO_RING_F_EVENT_IDX)
#define QUEUES       2
#define SIZE         16

#define ACKNOWLEDGE VIRTIO_CONFIG_S_ACKNOWLEDGE
#define DRIVER      VIRTIO_CONFIG_S_DRIVER
#define FEATURES_OK VIRTIO_CONFIG_S_FEATURES_OK
#define DRIVER_OK   VIRTIO_CONFIG_S_DRIVER_OK
#define NEEDS_RESET VIRTIO_CONFIG_S_NEEDS_RESET

struct fixture {
    struct guest_driver *guest;
    struct fake_device *fake;
    struct virtio_device *device;
    struct guest_queue *queue; /* the first */
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->guest = guest_driver_create();
    f->fake = fake_device_create(f->guest->memory, QUEUES, SIZE);
    f->device = &f->fake->device;
    guest_driver_plug(f->guest, f->device);
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

static void offer(struct guest_queue *queue)
{
    struct guest_segment segment = { .address = 0x800, .length = 4, .writable = true };

    guest_queue_add(queue, &segment, 1);
}

static void break_ring(struct guest_queue *queue)
{
    guest_queue_offer(queue, queue->size);
    guest_queue_kick(queue);
}

/* --- making one --- */

static void test_impossible_devices_are_refused(void **state)
{
    struct fixture *f = *state;
    const struct virtio_device_setup good = {
        .ops = f->device->ops, .name = "x", .queue_count = 1, .queue_size = 1, .memory = f->guest->memory
    };
    struct virtio_device_setup bad[] = { good, good, good, good, good, good, good, good };

    bad[0].queue_count = 0;
    bad[1].queue_count = VIRTIO_DEVICE_MAX_QUEUES + 1;
    bad[2].queue_size = 0;
    bad[3].queue_size = 12;
    bad[4].device_features = FEATURE(VIRTIO_F_RING_PACKED); /* nobody implements it, so nobody may offer it */
    bad[5].device_features = FEATURE(VIRTIO_F_RING_RESET);
    bad[6].withheld_features = VERSION_1;
    bad[7].withheld_features = FEATURE(FAKE_DEVICE_FEATURE);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        struct virtio_device device = { 0 };

        assert_int_equal(virtio_device_init(&device, &bad[i]), -EINVAL);
        assert_null(device.queues);
    }
}

static void test_destroy_reaches_the_concrete_device(void **state)
{
    struct fixture *f = *state;
    struct fake_device *fake = fake_device_create(f->guest->memory, 1, 1);
    bool destroyed = false;

    fake->destroyed = &destroyed;
    virtio_device_destroy(&fake->device);
    assert_true(destroyed);
    virtio_device_destroy(NULL);
}

/* --- features --- */

static void test_device_offers_its_features_and_the_core_ones(void **state)
{
    struct fixture *f = *state;

    assert_true(
        guest_offered_features(f->guest) ==
        (VERSION_1 | EVENT_IDX | FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | FEATURE(FAKE_DEVICE_FEATURE)));
}

static void test_features_that_are_withheld_are_not_offered(void **state)
{
    static const uint64_t sets[] = { 0, EVENT_IDX, FEATURE(VIRTIO_RING_F_INDIRECT_DESC),
                                     EVENT_IDX | FEATURE(VIRTIO_RING_F_INDIRECT_DESC) };
    struct fixture *f = *state;

    for (unsigned i = 0; i < ARRAY_SIZE(sets); i++) {
        const struct virtio_device_setup setup = { .ops = f->device->ops,
                                                   .name = "x",
                                                   .queue_count = 1,
                                                   .queue_size = 1,
                                                   .memory = f->guest->memory,
                                                   .withheld_features = sets[i] };
        struct virtio_device device = { 0 };

        assert_int_equal(virtio_device_init(&device, &setup), 0);
        assert_true(virtio_device_offered_features(&device) ==
                    ((VERSION_1 | EVENT_IDX | FEATURE(VIRTIO_RING_F_INDIRECT_DESC)) & ~sets[i]));
        virtio_device_finish(&device);
    }
}

static void test_any_subset_with_version_1_is_accepted(void **state)
{
    struct fixture *f = *state;
    uint64_t optional = guest_offered_features(f->guest) & ~VERSION_1;
    uint64_t subset = 0;

    do {
        assert_true(guest_negotiate(f->guest, subset | VERSION_1));
        assert_true(f->device->accepted_features == (subset | VERSION_1));
        assert_int_equal(virtio_device_has_feature(f->device, FAKE_DEVICE_FEATURE),
                         subset >> FAKE_DEVICE_FEATURE & 1);
        subset = (subset - optional) & optional;
    } while (subset);
}

static void test_features_that_make_no_sense_to_the_device_are_refused(void **state)
{
    struct fixture *f = *state;

    f->fake->refuses = UINT64_C(1) << FAKE_DEVICE_FEATURE;
    assert_false(guest_negotiate(f->guest, GUEST_ALL_FEATURES));
    assert_int_equal(f->fake->features_accepted, 0);
    assert_true(guest_negotiate(f->guest, guest_offered_features(f->guest) & ~f->fake->refuses));
    assert_int_equal(f->fake->features_accepted, 1);
}

static void test_features_without_version_1_are_refused(void **state)
{
    struct fixture *f = *state;

    assert_false(guest_negotiate(f->guest, guest_offered_features(f->guest) & ~VERSION_1));
    assert_false(guest_negotiate(f->guest, 0));
    assert_int_equal(f->fake->features_accepted, 0);
}

static void test_features_that_were_not_offered_are_refused(void **state)
{
    struct fixture *f = *state;

    for (unsigned bit = 0; bit < 64; bit++) {
        bool offered = guest_offered_features(f->guest) >> bit & 1;

        assert_int_equal(guest_negotiate(f->guest, VERSION_1 | FEATURE(bit)), offered);
    }
}

static void test_refused_driver_may_try_again_with_less(void **state)
{
    struct fixture *f = *state;

    assert_false(guest_negotiate(f->guest, VERSION_1 | FEATURE(7)));
    guest_write_features(f->guest, VERSION_1);
    guest_add_status(f->guest, FEATURES_OK);
    assert_int_equal(guest_status(f->guest), ACKNOWLEDGE | DRIVER | FEATURES_OK);
    assert_int_equal(f->fake->features_accepted, 1);
}

static void test_same_features_are_accepted_again_after_reset(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 1; i <= 3; i++) {
        assert_true(guest_negotiate(f->guest, GUEST_ALL_FEATURES));
        assert_int_equal(f->fake->features_accepted, i);
    }
}

static void test_features_written_after_features_ok_are_ignored(void **state)
{
    struct fixture *f = *state;

    assert_true(guest_negotiate(f->guest, VERSION_1));
    guest_write_features(f->guest, VERSION_1 | EVENT_IDX);
    assert_true(f->device->accepted_features == VERSION_1);
}

/* --- status --- */

static void test_device_starts_with_status_0(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(guest_status(f->guest), 0);
}

static void test_status_bits_are_not_cleared_by_writing_fewer(void **state)
{
    struct fixture *f = *state;

    guest_driver_start(f->guest, GUEST_ALL_FEATURES, SIZE);
    guest_register_write(f->guest, VIRTIO_MMIO_STATUS, ACKNOWLEDGE);
    assert_int_equal(guest_status(f->guest), ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    guest_add_status(f->guest, VIRTIO_CONFIG_S_FAILED);
    assert_int_equal(guest_status(f->guest),
                     ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK | VIRTIO_CONFIG_S_FAILED);
}

static void test_driver_cannot_set_needs_reset_or_bits_without_meaning(void **state)
{
    struct fixture *f = *state;

    guest_register_write(f->guest, VIRTIO_MMIO_STATUS, NEEDS_RESET | 0x30 | ACKNOWLEDGE);
    assert_int_equal(guest_status(f->guest), ACKNOWLEDGE);
    /* bits above the byte neither set nor reset anything */
    guest_register_write(f->guest, VIRTIO_MMIO_STATUS, 0xffffff00);
    assert_int_equal(guest_status(f->guest), ACKNOWLEDGE);
}

static void test_driver_ok_without_features_ok_is_refused(void **state)
{
    struct fixture *f = *state;

    guest_add_status(f->guest, ACKNOWLEDGE | DRIVER | DRIVER_OK);
    assert_int_equal(guest_status(f->guest), ACKNOWLEDGE | DRIVER);
    /* both at once, with features that will not do */
    guest_add_status(f->guest, FEATURES_OK | DRIVER_OK);
    assert_int_equal(guest_status(f->guest), ACKNOWLEDGE | DRIVER);
    assert_int_equal(f->fake->activated, 0);
}

static void test_driver_ok_activates_once_and_rings_every_ready_queue(void **state)
{
    struct fixture *f = *state;

    guest_driver_start(f->guest, GUEST_ALL_FEATURES, SIZE);
    assert_int_equal(f->fake->activated, 1);
    assert_int_equal(f->fake->notified[0], 1);
    assert_int_equal(f->fake->notified[1], 1);
    guest_add_status(f->guest, DRIVER_OK);
    assert_int_equal(f->fake->activated, 1);
    assert_int_equal(f->fake->notified[0], 1);
}

static void test_nothing_is_consumed_before_driver_ok(void **state)
{
    struct fixture *f = *state;
    struct guest_used used;

    assert_true(guest_negotiate(f->guest, GUEST_ALL_FEATURES));
    guest_queue_place(f->guest, 0, SIZE);
    assert_true(guest_queue_enable(f->queue));
    offer(f->queue);
    guest_queue_kick(f->queue);
    assert_int_equal(f->fake->notified[0], 0);
    assert_int_equal(f->fake->popped, 0);
    assert_int_equal(guest_queue_used_idx(f->queue), 0);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
    /* the kick that came too early is not lost */
    guest_driver_ok(f->guest);
    assert_true(guest_queue_take_used(f->queue, &used));
    assert_int_equal(guest_take_interrupts(f->guest), 1);
}

static void test_queue_may_not_be_enabled_before_features_ok(void **state)
{
    struct fixture *f = *state;

    guest_add_status(f->guest, ACKNOWLEDGE | DRIVER);
    guest_queue_place(f->guest, 0, SIZE);
    assert_false(guest_queue_enable(f->queue));
    assert_int_equal(guest_status(f->guest), ACKNOWLEDGE | DRIVER);
}

/* --- NEEDS_RESET --- */

static void test_broken_ring_sets_needs_reset_and_tells_the_driver(void **state)
{
    struct fixture *f = *state;

    guest_driver_start(f->guest, GUEST_ALL_FEATURES, SIZE);
    guest_take_interrupts(f->guest);
    break_ring(f->queue);
    assert_true(guest_status(f->guest) & NEEDS_RESET);
    assert_int_equal(guest_take_interrupts(f->guest), 1);
    assert_int_equal(guest_acknowledge(f->guest), VIRTIO_MMIO_INT_CONFIG);
    /* once is enough */
    guest_driver_enter(f->guest);
    virtio_device_needs_reset(f->device);
    guest_driver_leave(f->guest);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
}

static void test_device_that_needs_reset_serves_no_queue_until_then(void **state)
{
    struct fixture *f = *state;
    struct guest_used used;

    guest_driver_start(f->guest, GUEST_ALL_FEATURES, SIZE);
    break_ring(f->queue);
    guest_take_interrupts(f->guest);
    offer(&f->guest->queues[1]);
    guest_queue_kick(&f->guest->queues[1]);
    guest_add_status(f->guest, DRIVER_OK);
    assert_int_equal(f->fake->popped, 0);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
    guest_register_write(f->guest, VIRTIO_MMIO_STATUS, DRIVER_OK);
    assert_true(guest_status(f->guest) & NEEDS_RESET);

    guest_driver_start(f->guest, GUEST_ALL_FEATURES, SIZE);
    assert_false(guest_status(f->guest) & NEEDS_RESET);
    offer(&f->guest->queues[1]);
    guest_queue_kick(&f->guest->queues[1]);
    assert_true(guest_queue_take_used(&f->guest->queues[1], &used));
}

static void test_queue_that_cannot_be_enabled_needs_reset_which_is_told_at_driver_ok(void **state)
{
    struct fixture *f = *state;

    assert_true(guest_negotiate(f->guest, GUEST_ALL_FEATURES));
    guest_queue_place(f->guest, 0, SIZE);
    f->queue->used = GUEST_MMIO_BASE;
    assert_false(guest_queue_enable(f->queue));
    assert_true(guest_status(f->guest) & NEEDS_RESET);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
    /* too late to mend it */
    f->queue->used = 0x10000;
    assert_false(guest_queue_enable(f->queue));
    guest_driver_ok(f->guest);
    assert_int_equal(guest_take_interrupts(f->guest), 1);
    assert_int_equal(guest_acknowledge(f->guest), VIRTIO_MMIO_INT_CONFIG);
    assert_int_equal(f->fake->activated, 0);
}

/* --- configuration space --- */

static void test_config_can_be_read_before_features_ok(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[FAKE_DEVICE_CONFIG_SIZE];

    guest_config_read(f->guest, 0, bytes, sizeof(bytes));
    assert_memory_equal(bytes, f->fake->config, sizeof(bytes));
}

static void test_config_beyond_its_end_reads_0_and_is_not_written(void **state)
{
    struct fixture *f = *state;
    uint64_t last = VIRTIO_MMIO_CONFIG + FAKE_DEVICE_CONFIG_SIZE - 2;

    assert_true(guest_negotiate(f->guest, GUEST_ALL_FEATURES));
    assert_true(guest_window_read(f->guest, last, 8) == 0x2524);
    assert_true(guest_window_read(f->guest, last + 2, 4) == 0);
    assert_true(guest_window_read(f->guest, 0xff8, 8) == 0);
    guest_window_write(f->guest, last, UINT64_C(0x8877665544332211), 8);
    guest_window_write(f->guest, last + 2, 1, 1);
    guest_window_write(f->guest, 0xff8, 1, 8);
    assert_int_equal(f->fake->config[FAKE_DEVICE_CONFIG_SIZE - 2], 0x11);
    assert_int_equal(f->fake->config[FAKE_DEVICE_CONFIG_SIZE - 1], 0x22);
}

static void test_config_is_written_only_after_features_ok(void **state)
{
    struct fixture *f = *state;

    guest_add_status(f->guest, ACKNOWLEDGE | DRIVER);
    guest_config_write(f->guest, 4, 0xeeee, 2);
    assert_int_equal(f->fake->config[4], 0x14);
    assert_true(guest_negotiate(f->guest, GUEST_ALL_FEATURES));
    guest_config_write(f->guest, 4, 0xeeee, 2);
    assert_int_equal(f->fake->config[4], 0xee);
    assert_int_equal(f->fake->config[5], 0xee);
    assert_int_equal(f->fake->config[6], 0x16);
}

static void test_config_change_makes_a_new_generation_and_is_told_once_driver_ok(void **state)
{
    struct fixture *f = *state;
    uint32_t generation = guest_register_read(f->guest, VIRTIO_MMIO_CONFIG_GENERATION);

    guest_driver_enter(f->guest);
    virtio_device_config_changed(f->device);
    guest_driver_leave(f->guest);
    assert_int_not_equal(guest_register_read(f->guest, VIRTIO_MMIO_CONFIG_GENERATION), generation);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
    assert_int_equal(guest_acknowledge(f->guest), 0);

    guest_driver_start(f->guest, GUEST_ALL_FEATURES, SIZE);
    generation = guest_register_read(f->guest, VIRTIO_MMIO_CONFIG_GENERATION);
    assert_int_equal(guest_register_read(f->guest, VIRTIO_MMIO_CONFIG_GENERATION), generation);
    guest_driver_enter(f->guest);
    virtio_device_config_changed(f->device);
    guest_driver_leave(f->guest);
    assert_int_not_equal(guest_register_read(f->guest, VIRTIO_MMIO_CONFIG_GENERATION), generation);
    assert_int_equal(guest_take_interrupts(f->guest), 1);
    assert_int_equal(guest_acknowledge(f->guest), VIRTIO_MMIO_INT_CONFIG);
}

/* --- requests and interrupts --- */

static void test_request_goes_round(void **state)
{
    static const char question[] = "what time is it?";
    struct fixture *f = *state;
    struct guest_segment segments[] = { { .address = 0x800, .length = sizeof(question) },
                                        { .address = GUEST_RAM_SEAM - 5, .length = 11, .writable = true } };
    struct guest_used used;
    uint8_t answer[11];
    uint16_t head;

    guest_driver_start(f->guest, GUEST_ALL_FEATURES, 0);
    guest_write(f->guest, 0x800, question, sizeof(question));
    head = guest_queue_add_indirect(f->queue, segments, 2, 0);
    assert_true(guest_queue_kick_if_wanted(f->queue));
    assert_true(guest_queue_take_used(f->queue, &used));
    assert_int_equal(used.head, head);
    assert_int_equal(used.length, 11);
    assert_memory_equal(f->fake->last_out, question, sizeof(question));
    guest_read(f->guest, GUEST_RAM_SEAM - 5, answer, sizeof(answer));
    for (unsigned i = 0; i < sizeof(answer); i++)
        assert_int_equal(answer[i], FAKE_DEVICE_FILL);
    assert_int_equal(guest_take_interrupts(f->guest), 1);
    assert_int_equal(guest_acknowledge(f->guest), VIRTIO_MMIO_INT_VRING);
}

static void test_batch_over_several_queues_sends_one_interrupt(void **state)
{
    struct fixture *f = *state;

    f->fake->hold = true;
    guest_driver_start(f->guest, GUEST_ALL_FEATURES, SIZE);
    for (unsigned i = 0; i < 6; i++) {
        offer(&f->guest->queues[i % 2]);
        guest_queue_kick(&f->guest->queues[i % 2]);
    }
    assert_int_equal(f->fake->held_count, 6);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
    guest_driver_enter(f->guest);
    while (fake_device_complete(f->fake))
        continue;
    assert_int_equal(guest_take_interrupts(f->guest), 0);
    guest_driver_leave(f->guest);
    assert_int_equal(guest_take_interrupts(f->guest), 1);
    assert_int_equal(guest_acknowledge(f->guest), VIRTIO_MMIO_INT_VRING);
    guest_driver_enter(f->guest);
    guest_driver_leave(f->guest);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
}

static void test_driver_that_wants_no_interrupt_gets_none(void **state)
{
    struct fixture *f = *state;
    struct guest_used used;

    guest_driver_start(f->guest, VERSION_1, SIZE);
    guest_queue_set_avail_flags(f->queue, VRING_AVAIL_F_NO_INTERRUPT);
    offer(f->queue);
    guest_queue_kick(f->queue);
    assert_true(guest_queue_take_used(f->queue, &used));
    assert_int_equal(guest_take_interrupts(f->guest), 0);
    assert_int_equal(guest_acknowledge(f->guest), 0);
    /* the other queue has its own mind */
    offer(&f->guest->queues[1]);
    guest_queue_kick(&f->guest->queues[1]);
    assert_int_equal(guest_take_interrupts(f->guest), 1);
}

static void test_what_somebody_else_used_is_told_without_asking_the_ring(void **state)
{
    struct fixture *f = *state;

    guest_driver_enter(f->guest);
    virtio_device_used_elsewhere(f->device, 0);
    guest_driver_leave(f->guest);
    assert_int_equal(guest_take_interrupts(f->guest), 0); /* not before DRIVER_OK */
    guest_driver_start(f->guest, VERSION_1, SIZE);
    assert_int_equal(guest_take_interrupts(f->guest), 0);

    guest_queue_set_avail_flags(f->queue, VRING_AVAIL_F_NO_INTERRUPT);
    guest_driver_enter(f->guest);
    virtio_device_used_elsewhere(f->device, 0);
    virtio_device_used_elsewhere(f->device, 1);
    guest_driver_leave(f->guest);
    assert_int_equal(guest_take_interrupts(f->guest), 1);
    assert_int_equal(guest_acknowledge(f->guest), VIRTIO_MMIO_INT_VRING);
    guest_driver_enter(f->guest);
    guest_driver_leave(f->guest);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
}

/* --- doorbells --- */

static void test_spurious_and_wild_doorbells_are_harmless(void **state)
{
    static const uint32_t values[] = { 0, 1, QUEUES, 63, 64, 65, 0x10000, UINT32_MAX };
    struct fixture *f = *state;

    guest_driver_start(f->guest, GUEST_ALL_FEATURES, SIZE);
    for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
        guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_NOTIFY, values[i]);
        guest_driver_enter(f->guest);
        virtio_device_notify(f->device, values[i]);
        guest_driver_leave(f->guest);
    }
    assert_int_equal(f->fake->popped, 0);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
    assert_false(guest_status(f->guest) & NEEDS_RESET);
}

static void test_doorbell_of_a_queue_that_is_not_ready_is_ignored(void **state)
{
    struct fixture *f = *state;

    assert_true(guest_negotiate(f->guest, GUEST_ALL_FEATURES));
    guest_driver_ok(f->guest);
    guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    assert_int_equal(f->fake->notified[0], 0);
}

static void test_device_without_room_pops_again_by_itself(void **state)
{
    static const uint64_t features[] = { VERSION_1, VERSION_1 | EVENT_IDX };
    struct fixture *f = *state;

    f->fake->hold = true;
    f->fake->room = 2;
    for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
        unsigned rung, before = f->fake->popped;

        guest_driver_start(f->guest, features[i], SIZE);
        for (unsigned k = 0; k < 6; k++)
            offer(f->queue);
        assert_true(guest_queue_kick_if_wanted(f->queue));
        assert_int_equal(f->fake->held_count, 2);
        /* No bell while it is full, and none needed. */
        rung = atomic_load(&f->guest->doorbell_count);
        offer(f->queue);
        assert_false(guest_queue_kick_if_wanted(f->queue));
        guest_driver_enter(f->guest);
        while (fake_device_complete(f->fake))
            continue;
        guest_driver_leave(f->guest);
        assert_int_equal(f->fake->popped - before, 7);
        assert_int_equal(guest_queue_used_idx(f->queue), 7);
        assert_int_equal(atomic_load(&f->guest->doorbell_count), rung);
        /* It found the queue empty, though no doorbell brought it there: the next buffer needs one. */
        offer(f->queue);
        assert_true(guest_queue_kick_if_wanted(f->queue));
        assert_int_equal(f->fake->held_count, 1);
        guest_driver_enter(f->guest);
        fake_device_complete(f->fake);
        guest_driver_leave(f->guest);
    }
}

/* One chain offered ever again, as by a guest that is faster than the device. */
static void test_queue_that_never_empties_leaves_the_loop_to_others(void **state)
{
    struct fixture *f = *state;
    unsigned left = 0;

    guest_driver_start(f->guest, VERSION_1, SIZE);
    guest_driver_enter(f->guest);
    while (f->fake->popped < VIRTIO_DEVICE_POPS_PER_BATCH) {
        struct guest_used used;

        offer(f->queue);
        virtio_device_notify(f->device, 0);
        assert_true(guest_queue_take_used(f->queue, &used));
    }
    for (; left < 5; left++)
        offer(f->queue);
    virtio_device_notify(f->device, 0);
    assert_int_equal(f->fake->popped, VIRTIO_DEVICE_POPS_PER_BATCH);
    /* the device rings for itself, and is served when its turn comes */
    f->guest->hold_doorbells = true;
    guest_driver_leave(f->guest);
    assert_int_equal(atomic_load(&f->guest->bells), 1);
    assert_int_equal(f->fake->popped, VIRTIO_DEVICE_POPS_PER_BATCH);
    guest_driver_turn(f->guest);
    assert_int_equal(f->fake->popped, VIRTIO_DEVICE_POPS_PER_BATCH + left);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_impossible_devices_are_refused),
        TEST(test_destroy_reaches_the_concrete_device),
        TEST(test_device_offers_its_features_and_the_core_ones),
        TEST(test_features_that_are_withheld_are_not_offered),
        TEST(test_any_subset_with_version_1_is_accepted),
        TEST(test_features_that_make_no_sense_to_the_device_are_refused),
        TEST(test_features_without_version_1_are_refused),
        TEST(test_features_that_were_not_offered_are_refused),
        TEST(test_refused_driver_may_try_again_with_less),
        TEST(test_same_features_are_accepted_again_after_reset),
        TEST(test_features_written_after_features_ok_are_ignored),
        TEST(test_device_starts_with_status_0),
        TEST(test_status_bits_are_not_cleared_by_writing_fewer),
        TEST(test_driver_cannot_set_needs_reset_or_bits_without_meaning),
        TEST(test_driver_ok_without_features_ok_is_refused),
        TEST(test_driver_ok_activates_once_and_rings_every_ready_queue),
        TEST(test_nothing_is_consumed_before_driver_ok),
        TEST(test_queue_may_not_be_enabled_before_features_ok),
        TEST(test_broken_ring_sets_needs_reset_and_tells_the_driver),
        TEST(test_device_that_needs_reset_serves_no_queue_until_then),
        TEST(test_queue_that_cannot_be_enabled_needs_reset_which_is_told_at_driver_ok),
        TEST(test_config_can_be_read_before_features_ok),
        TEST(test_config_beyond_its_end_reads_0_and_is_not_written),
        TEST(test_config_is_written_only_after_features_ok),
        TEST(test_config_change_makes_a_new_generation_and_is_told_once_driver_ok),
        TEST(test_request_goes_round),
        TEST(test_batch_over_several_queues_sends_one_interrupt),
        TEST(test_driver_that_wants_no_interrupt_gets_none),
        TEST(test_what_somebody_else_used_is_told_without_asking_the_ring),
        TEST(test_spurious_and_wild_doorbells_are_harmless),
        TEST(test_doorbell_of_a_queue_that_is_not_ready_is_ignored),
        TEST(test_device_without_room_pops_again_by_itself),
        TEST(test_queue_that_never_empties_leaves_the_loop_to_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
