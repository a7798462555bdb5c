/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_virtio_fs.c - the file system device (virtio 1.2, 5.11): what it offers, what it hands to the process that
 * works on its queues, and what of that process the driver hears. How they part is in test_virtio_fs_life.c.
 */
#include <assert.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fs_guest.h"
#include "ringlet/guest_memory.h"
#include "ringlet/util.h"
#include "ringlet/virtio_fs.h"

#define FEATURE(bit) (UINT64_C(1) << (bit))
#define VERSION_1    FEATURE(VIRTIO_F_VERSION_1)
#define EVENT_IDX    FEATURE(VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT     FEATURE(VIRTIO_RING_F_INDIRECT_DESC)

/* --- making one --- */

static void test_fs_offers_what_both_the_core_and_the_process_can_do(void **state)
{
    /* Logging, vhost-user's own, a packed ring, and a device bit: nothing that a driver is to see. */
    const uint64_t foreign = FEATURE(26) | FEATURE(30) | FEATURE(VIRTIO_F_RING_PACKED) | FEATURE(0);
    const uint64_t sets[] = { VERSION_1, VERSION_1 | EVENT_IDX, VERSION_1 | INDIRECT, FS_GUEST_FEATURES };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
        struct fs_guest *f;
        void *own;

        fs_guest_create(&own);
        f = own;
        f->vhost.backend.features = sets[i] | foreign;
        fs_guest_plug(f, "share0");
        assert_true(guest_offered_features(f->guest) == sets[i]);
        assert_false(guest_negotiate(f->guest, sets[i] | FEATURE(0)));
        assert_true(guest_negotiate(f->guest, sets[i]));
        fs_guest_destroy(&own);
    }
}

static void test_fs_names_that_are_no_tag_are_refused(void **state)
{
    struct fs_guest *f = *state;

    assert_int_equal(fs_guest_create_device(f, ""), -EINVAL);
    assert_int_equal(fs_guest_create_device(f, "a-tag-of-thirty-seven-bytes-is-no-tag"), -EINVAL);
    assert_null(f->vhost.client);
    assert_false(f->vhost.destroyed);
}

static void test_fs_process_without_version_1_is_refused(void **state)
{
    struct fs_guest *f = *state;

    f->vhost.backend.features = EVENT_IDX | INDIRECT;
    assert_int_equal(fs_guest_create_device(f, "share0"), -EINVAL);
    assert_false(f->vhost.destroyed);
}

static void test_fs_memory_that_cannot_be_shared_is_refused(void **state)
{
    struct fs_guest *f = *state;
    struct guest_memory *memory;

    assert_int_equal(guest_memory_create(&memory), 0);
    assert_int_equal(guest_memory_add_ram(memory, 0, 4096), 0);
    assert_int_equal(virtio_fs_create("share0", &f->vhost.backend, memory, &f->device), -EINVAL);
    guest_memory_destroy(memory);
    assert_null(f->device);
    assert_null(f->vhost.client);
    assert_false(f->vhost.destroyed);
}

static void test_fs_process_that_does_not_attach_stays_the_callers(void **state)
{
    struct fs_guest *f = *state;

    f->vhost.attach_error = -ECONNRESET;
    assert_int_equal(fs_guest_create_device(f, "share0"), -ECONNRESET);
    assert_null(f->device);
    assert_false(f->vhost.destroyed);
    f->vhost.attach_error = 0;
    fs_guest_plug(f, "share0");
}

static void test_fs_process_gets_all_of_guest_ram(void **state)
{
    struct fs_guest *f = *state;

    assert_int_equal(f->vhost.region_count, guest_memory_region_count(f->guest->memory));
    assert_int_equal(f->vhost.region_count, 3);
    for (unsigned i = 0; i < f->vhost.region_count; i++) {
        const struct guest_memory_region *region = guest_memory_region_at(f->guest->memory, i);

        assert_true(f->vhost.regions[i].base == region->base);
        assert_true(f->vhost.regions[i].size == region->size);
        assert_ptr_equal(f->vhost.regions[i].host, region->host);
        assert_int_equal(f->vhost.regions[i].fd, region->fd);
        assert_true(f->vhost.regions[i].offset == 0);
    }
    assert_ptr_equal(f->vhost.client, &f->device->client);
}

/* --- what the driver sees --- */

static void test_fs_device_id_is_26_and_it_has_two_queues(void **state)
{
    struct fs_guest *f = *state;

    assert_int_equal(guest_register_read(f->guest, VIRTIO_MMIO_DEVICE_ID), 26);
    for (uint32_t i = 0; i < FS_GUEST_QUEUES + 1; i++) {
        guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_SEL, i);
        assert_int_equal(guest_register_read(f->guest, VIRTIO_MMIO_QUEUE_NUM_MAX),
                         i < FS_GUEST_QUEUES ? 512 : 0);
    }
}

static void test_fs_config_is_the_tag_and_one_request_queue(void **state)
{
    struct fs_guest *f = *state;
    struct virtio_fs_config config, expected = { .tag = "share0", .num_request_queues = 1 };
    uint8_t beyond[4] = { 1, 1, 1, 1 };

    guest_config_read(f->guest, 0, &config, sizeof(config));
    assert_memory_equal(&config, &expected, sizeof(config));
    /* notify_buf_size is there with FS_F_NOTIFICATION only, which is not offered */
    guest_config_read(f->guest, sizeof(config), beyond, sizeof(beyond));
    assert_memory_equal(beyond, "\0\0\0\0", sizeof(beyond));
    assert_int_equal(guest_window_read(f->guest, VIRTIO_MMIO_CONFIG + 36, 4), 1);
}

static void test_fs_config_cannot_be_written(void **state)
{
    struct fs_guest *f = *state;
    struct virtio_fs_config before, after;

    fs_guest_start(f);
    guest_config_read(f->guest, 0, &before, sizeof(before));
    guest_config_write(f->guest, 0, UINT32_MAX, 4);
    guest_config_write(f->guest, offsetof(struct virtio_fs_config, num_request_queues), 7, 4);
    guest_config_read(f->guest, 0, &after, sizeof(after));
    assert_memory_equal(&before, &after, sizeof(before));
}

static void test_fs_tag_may_fill_its_field(void **state)
{
    static const char longest[] = "a-tag-of-thirty-six-bytes-has-no-NUL";
    struct fs_guest *f = *state;
    struct virtio_fs_config config;

    static_assert(sizeof(longest) - 1 == VIRTIO_FS_TAG_SIZE, "the longest");
    fs_guest_plug(f, longest);
    guest_config_read(f->guest, 0, &config, sizeof(config));
    assert_memory_equal(config.tag, longest, VIRTIO_FS_TAG_SIZE);
    assert_int_equal(config.num_request_queues, 1);
}

/* --- the queues are handed over --- */

static void test_fs_process_gets_the_queues_with_driver_ok_and_not_before(void **state)
{
    struct fs_guest *f = *state;

    f->guest->hold_doorbells = true;
    assert_true(guest_negotiate(f->guest, GUEST_ALL_FEATURES));
    for (unsigned i = 0; i < FS_GUEST_QUEUES; i++) {
        guest_queue_place(f->guest, i, i ? 1 : FS_GUEST_QUEUE_SIZE);
        assert_true(guest_queue_enable(&f->guest->queues[i]));
    }
    assert_int_equal(f->vhost.starts, 0);
    assert_int_equal(f->device->in_flight, 0);
    guest_driver_ok(f->guest);
    assert_int_equal(f->vhost.starts, 1);
    assert_int_equal(f->device->in_flight, 1);
    assert_true(f->vhost.features == FS_GUEST_FEATURES);
    assert_int_equal(f->vhost.queue_count, FS_GUEST_QUEUES);
    for (unsigned i = 0; i < FS_GUEST_QUEUES; i++) {
        const struct guest_queue *queue = &f->guest->queues[i];
        const struct vhost_queue *handed = fs_guest_started(f, i);

        assert_non_null(handed);
        assert_int_equal(handed->size, queue->size);
        assert_false(handed->resume);
        assert_ptr_equal(handed->desc, guest_at(f->guest, queue->desc, 16));
        assert_ptr_equal(handed->avail, guest_at(f->guest, queue->avail, 6));
        assert_ptr_equal(handed->used, guest_at(f->guest, queue->used, 6));
    }
    /* it has to look once by itself: buffers may be there */
    assert_int_equal(atomic_load(&f->guest->bells), 3);
    guest_driver_ok(f->guest);
    assert_int_equal(f->vhost.starts, 1);
}

static void test_fs_process_hears_which_features_were_negotiated(void **state)
{
    struct fs_guest *f = *state;

    guest_driver_start(f->guest, VERSION_1 | INDIRECT, FS_GUEST_QUEUE_SIZE);
    assert_true(f->vhost.features == (VERSION_1 | INDIRECT));
}

static void test_fs_doorbells_are_the_process_own(void **state)
{
    struct fs_guest *f = *state;

    for (unsigned i = 0; i < FS_GUEST_QUEUES; i++)
        assert_int_equal(f->device->ops->doorbell(f->device, i), f->vhost.eventfds[i]);
}

/* The rings are the other process's: a bell that rings here changes nothing in them. */
static void test_fs_bells_are_not_answered_here(void **state)
{
    struct fs_guest *f = *state;

    guest_driver_start(f->guest, VERSION_1, FS_GUEST_QUEUE_SIZE);
    for (unsigned i = 0; i < FS_GUEST_QUEUES; i++) {
        guest_queue_kick(&f->guest->queues[i]);
        assert_int_equal(guest_queue_used_flags(&f->guest->queues[i]), 0);
        assert_int_equal(guest_queue_used_idx(&f->guest->queues[i]), 0);
    }
    assert_int_equal(guest_take_interrupts(f->guest), 0);
}

/* --- what it used is told --- */

static void test_fs_used_buffers_are_one_interrupt_a_batch_and_the_ring_is_not_asked(void **state)
{
    struct fs_guest *f = *state;

    fs_guest_start(f);
    /* By the ring the driver wants nothing; but the process has looked already, when it still did. */
    guest_queue_set_used_event(&f->guest->queues[0], 100);
    guest_queue_set_avail_flags(&f->guest->queues[1], VRING_AVAIL_F_NO_INTERRUPT);
    guest_driver_enter(f->guest);
    fake_vhost_used(&f->vhost, 0);
    fake_vhost_used(&f->vhost, 1);
    fake_vhost_used(&f->vhost, 1);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
    guest_driver_leave(f->guest);
    assert_int_equal(guest_take_interrupts(f->guest), 1);
    assert_int_equal(guest_acknowledge(f->guest), VIRTIO_MMIO_INT_VRING);
    guest_driver_enter(f->guest);
    guest_driver_leave(f->guest);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
    fs_guest_say_used(f, 1);
    assert_int_equal(guest_take_interrupts(f->guest), 1);
}

static void test_fs_used_before_driver_ok_and_after_a_reset_is_not_told(void **state)
{
    struct fs_guest *f = *state;

    fs_guest_say_used(f, 0);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
    fs_guest_start(f);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
    fs_guest_reset(f);
    fs_guest_say_used(f, 1);
    assert_int_equal(guest_take_interrupts(f->guest), 0);
    assert_int_equal(guest_register_read(f->guest, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

#define PLUGGED(test)   cmocka_unit_test_setup_teardown(test, fs_guest_create_plugged, fs_guest_destroy)
#define UNPLUGGED(test) cmocka_unit_test_setup_teardown(test, fs_guest_create, fs_guest_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fs_offers_what_both_the_core_and_the_process_can_do),
        UNPLUGGED(test_fs_names_that_are_no_tag_are_refused),
        UNPLUGGED(test_fs_process_without_version_1_is_refused),
        UNPLUGGED(test_fs_memory_that_cannot_be_shared_is_refused),
        UNPLUGGED(test_fs_process_that_does_not_attach_stays_the_callers),
        PLUGGED(test_fs_process_gets_all_of_guest_ram),
        PLUGGED(test_fs_device_id_is_26_and_it_has_two_queues),
        PLUGGED(test_fs_config_is_the_tag_and_one_request_queue),
        PLUGGED(test_fs_config_cannot_be_written),
        UNPLUGGED(test_fs_tag_may_fill_its_field),
        PLUGGED(test_fs_process_gets_the_queues_with_driver_ok_and_not_before),
        PLUGGED(test_fs_process_hears_which_features_were_negotiated),
        PLUGGED(test_fs_doorbells_are_the_process_own),
        PLUGGED(test_fs_bells_are_not_answered_here),
        PLUGGED(test_fs_used_buffers_are_one_interrupt_a_batch_and_the_ring_is_not_asked),
        PLUGGED(test_fs_used_before_driver_ok_and_after_a_reset_is_not_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
