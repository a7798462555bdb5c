/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_guest.c - see fs_guest.h.
 */
#include "fs_guest.h"

#include <linux/virtio_mmio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ringlet/bus.h"
#include "ringlet/guest_memory.h"
#include "ringlet/virtio_fs.h"

/* RAM as guest_driver.h promises it, but of a kind that another process can map. */
static void share_memory(struct guest_driver *guest)
{
    guest_memory_destroy(guest->memory);
    assert_int_equal(guest_memory_create_shared(&guest->memory), 0);
    assert_int_equal(guest_memory_add_ram(guest->memory, 0, GUEST_RAM_SEAM), 0);
    assert_int_equal(guest_memory_add_ram(guest->memory, GUEST_RAM_SEAM, GUEST_RAM_LOW_END - GUEST_RAM_SEAM),
                     0);
    assert_int_equal(guest_memory_add_ram(guest->memory, GUEST_RAM_HIGH, GUEST_RAM_HIGH_END - GUEST_RAM_HIGH),
                     0);
}

int fs_guest_create(void **state)
{
    struct fs_guest *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->guest = guest_driver_create();
    share_memory(f->guest);
    fake_vhost_init(&f->vhost, FS_GUEST_FEATURES);
    *state = f;
    return 0;
}

int fs_guest_create_plugged(void **state)
{
    fs_guest_create(state);
    fs_guest_plug(*state, "share0");
    return 0;
}

int fs_guest_destroy(void **state)
{
    struct fs_guest *f = *state;

    if (f->guest->device) {
        virtio_device_stop(f->device);
        if (f->vhost.stopping)
            fs_guest_let_stop(f);
        assert_int_equal(f->device->in_flight, 0);
    }
    guest_driver_destroy(f->guest);
    assert_int_equal(f->vhost.destroyed, f->device != NULL);
    fake_vhost_finish(&f->vhost);
    free(f);
    return 0;
}

int fs_guest_create_device(struct fs_guest *f, const char *name)
{
    return virtio_fs_create(name, &f->vhost.backend, f->guest->memory, &f->device);
}

void fs_guest_plug(struct fs_guest *f, const char *name)
{
    assert_int_equal(fs_guest_create_device(f, name), 0);
    guest_driver_plug(f->guest, f->device);
}

/* --- the driver --- */

void fs_guest_start(struct fs_guest *f)
{
    guest_driver_start(f->guest, GUEST_ALL_FEATURES, FS_GUEST_QUEUE_SIZE);
}

static void *write_register(void *argument)
{
    struct fs_vcpu *vcpu = argument;

    bus_write(vcpu->f->guest->bus, GUEST_MMIO_BASE + vcpu->offset, vcpu->value, 4);
    return NULL;
}

void fs_vcpu_write(struct fs_vcpu *vcpu, struct fs_guest *f, uint64_t offset, uint32_t value)
{
    *vcpu = (struct fs_vcpu){ .f = f, .offset = offset, .value = value };
    assert_int_equal(pthread_create(&vcpu->thread, NULL, write_register, vcpu), 0);
}

void fs_vcpu_join(struct fs_vcpu *vcpu)
{
    assert_int_equal(pthread_join(vcpu->thread, NULL), 0);
}

static void write_and_let_stop(struct fs_guest *f, uint64_t offset, uint32_t value)
{
    bool working = f->vhost.working;
    struct fs_vcpu vcpu;

    fs_vcpu_write(&vcpu, f, offset, value);
    if (working) {
        sem_wait(&f->vhost.stop_called);
        fs_guest_let_stop(f);
    }
    fs_vcpu_join(&vcpu);
}

void fs_guest_reset(struct fs_guest *f)
{
    write_and_let_stop(f, VIRTIO_MMIO_STATUS, 0);
    assert_int_equal(guest_status(f->guest), 0);
}

void fs_guest_take_queue_away(struct fs_guest *f, uint32_t index)
{
    guest_register_write(f->guest, VIRTIO_MMIO_QUEUE_SEL, index);
    write_and_let_stop(f, VIRTIO_MMIO_QUEUE_READY, 0);
    assert_int_equal(guest_register_read(f->guest, VIRTIO_MMIO_QUEUE_READY), 0);
}

/* --- the process --- */

void fs_guest_let_stop(struct fs_guest *f)
{
    guest_driver_enter(f->guest);
    fake_vhost_stop(&f->vhost);
    guest_driver_leave(f->guest);
}

void fs_guest_let_end(struct fs_guest *f)
{
    guest_driver_enter(f->guest);
    fake_vhost_end(&f->vhost);
    guest_driver_leave(f->guest);
}

void fs_guest_say_used(struct fs_guest *f, unsigned index)
{
    guest_driver_enter(f->guest);
    fake_vhost_used(&f->vhost, index);
    guest_driver_leave(f->guest);
}

const struct vhost_queue *fs_guest_started(const struct fs_guest *f, unsigned index)
{
    for (unsigned i = 0; i < f->vhost.queue_count; i++) {
        if (f->vhost.queues[i].index == index)
            return &f->vhost.queues[i];
    }
    return NULL;
}
