/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_guest.h - a guest with one file system device: guest_driver.h's player, the device, and fake_vhost.h behind
 * it.
 *
 *     cmocka_unit_test_setup_teardown(test, fs_guest_create_plugged, fs_guest_destroy)
 *     ...
 *     struct fs_guest *f = *state;
 *
 *     fs_guest_start(f);
 *     fs_guest_say_used(f, 1);
 *     fs_guest_reset(f);
 */
#ifndef RINGLET_TEST_FS_GUEST_H
#define RINGLET_TEST_FS_GUEST_H

#include <pthread.h>
#include <stdint.h>

#include "fake_vhost.h"
#include "guest_driver.h"

#define FS_GUEST_QUEUES     2
#define FS_GUEST_QUEUE_SIZE 16
#define FS_GUEST_FEATURES   (UINT64_C(1) << 32 | UINT64_C(1) << 29 | UINT64_C(1) << 28) /* all of the core's */

struct fs_guest {
    struct guest_driver *guest;
    struct fake_vhost vhost;      /* can do FS_GUEST_FEATURES */
    struct virtio_device *device; /* the guest's once plugged */
};

/* cmocka's set-up, without a device or with one called "share0". */
int fs_guest_create(void **state);
int fs_guest_create_plugged(void **state);
/* The machine ends; the process lets go. */
int fs_guest_destroy(void **state);

/* virtio_fs_create() */
int fs_guest_create_device(struct fs_guest *f, const char *name);
void fs_guest_plug(struct fs_guest *f, const char *name);

/* --- the driver --- */

void fs_guest_start(struct fs_guest *f);
/* As a driver does that waits; the process lets go as soon as it is asked. */
void fs_guest_reset(struct fs_guest *f);
/* QueueReady = 0, likewise. */
void fs_guest_take_queue_away(struct fs_guest *f, uint32_t index);

/* A vCPU that may have to wait. */
struct fs_vcpu {
    struct fs_guest *f;
    uint64_t offset;
    uint32_t value;
    pthread_t thread;
};

/* It writes one register. */
void fs_vcpu_write(struct fs_vcpu *vcpu, struct fs_guest *f, uint64_t offset, uint32_t value);
void fs_vcpu_join(struct fs_vcpu *vcpu);

/* --- the process: turns of the loop in which it says something --- */

void fs_guest_let_stop(struct fs_guest *f);
void fs_guest_let_end(struct fs_guest *f);
void fs_guest_say_used(struct fs_guest *f, unsigned index);

/* What it was given at the last start; NULL: not this queue. */
const struct vhost_queue *fs_guest_started(const struct fs_guest *f, unsigned index);

#endif
