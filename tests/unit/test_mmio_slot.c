/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_mmio_slot.c - a device plugged into a machine: from the guest's doorbell, through an eventfd and the
 * real event loop, to the device and back to an interrupt line; and every way of not getting plugged in.
 *
 * The test's own thread is the loop's. What the guest does before loop_run() is therefore not yet answered,
 * which the tests rely on; one test has a vCPU thread as well. Each runs on both engines.
 */
#include <dirent.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_hypervisor.h"
#include "mmio_slot.h"
#include "ringlet/bus.h"
#include "ringlet/device_info.h"
#include "ringlet/error.h"
#include "ringlet/guest_memory.h"
#include "ringlet/loop.h"
#include "ringlet/util.h"
#include "ringlet/virtio_device.h"
#include "ringlet/virtio_mmio.h"

#define WINDOW      UINT64_C(0xd0000000)
#define NOTIFY      (WINDOW + VIRTIO_MMIO_QUEUE_NOTIFY)
#define GSI         5
#define QUEUE_COUNT 3
#define QUEUE_SIZE  4
#define RAM_SIZE    0x10000

struct machine {
    struct loop *loop;
    struct bus *mmio;
    struct guest_memory *memory;
    struct fake_hypervisor hypervisor;
    struct mmio_slot *slot;
    struct loop_task look; /* runs until no operation is left */

    /* the device, and what became of it */
    struct bell *bell;
    bool destroyed;
    unsigned notified[QUEUE_COUNT];
    unsigned awaited;          /* notifications until the loop stops; 0: it does not */
    int eventfds[QUEUE_COUNT]; /* of the device whose queues are worked elsewhere */
    int doorbell_error;
    pthread_t loop_thread;
};

/* --- a device that counts its bells; it gives chains back at once, or holds one --- */

struct bell {
    struct virtio_device device;
    struct machine *machine;
    bool hold;
    bool holding;
    unsigned held_queue;
    uint16_t held_head;
    unsigned cancelled;
};

static struct bell *bell_of(struct virtio_device *device)
{
    return container_of(device, struct bell, device);
}

static void bell_config_read(struct virtio_device *device, uint32_t offset, void *to, uint32_t length)
{
    (void)device, (void)offset;
    memset(to, 0, length);
}

static void bell_queue_notify(struct virtio_device *device, unsigned index)
{
    struct bell *bell = bell_of(device);
    struct machine *machine = bell->machine;
    struct iovec iov[4];
    struct virtqueue_chain chain = { .iov = iov, .iov_max = ARRAY_SIZE(iov) };

    assert_true(pthread_equal(pthread_self(), machine->loop_thread));
    assert_int_equal(pthread_mutex_trylock(&device->lock), EBUSY);
    while (virtio_device_pop(device, index, &chain) > 0) {
        if (bell->hold) {
            virtio_device_request_begin(device);
            bell->holding = true;
            bell->held_queue = index;
            bell->held_head = chain.head;
        } else {
            virtio_device_push(device, index, chain.head, 0);
        }
    }
    machine->notified[index]++;
    if (machine->awaited && --machine->awaited == 0)
        loop_stop(machine->loop);
}

static void bell_cancel(struct virtio_device *device)
{
    assert_int_equal(pthread_mutex_trylock(&device->lock), EBUSY);
    bell_of(device)->cancelled++;
}

/* The same device with its queues worked elsewhere: the test reads its eventfds, as the other process would. */
static int bell_doorbell(struct virtio_device *device, unsigned index)
{
    struct machine *machine = bell_of(device)->machine;

    assert_true(index < QUEUE_COUNT);
    return machine->doorbell_error ? machine->doorbell_error : machine->eventfds[index];
}

static void bell_destroy(struct virtio_device *device)
{
    struct bell *bell = bell_of(device);

    bell->machine->destroyed = true;
    virtio_device_finish(device);
    free(bell);
}

static const struct virtio_device_ops bell_ops = {
    .config_read = bell_config_read,
    .queue_notify = bell_queue_notify,
    .cancel = bell_cancel,
    .destroy = bell_destroy,
};

static const struct virtio_device_ops bell_elsewhere_ops = {
    .config_read = bell_config_read,
    .doorbell = bell_doorbell,
    .destroy = bell_destroy,
};

static struct bell *bell_create(struct machine *machine)
{
    struct bell *bell = calloc(1, sizeof(*bell));
    struct virtio_device_setup setup = {
        .ops = &bell_ops,
        .name = "bell0",
        .device_id = 42,
        .queue_count = QUEUE_COUNT,
        .queue_size = QUEUE_SIZE,
        .memory = machine->memory,
    };

    assert_non_null(bell);
    bell->machine = machine;
    assert_int_equal(virtio_device_init(&bell->device, &setup), 0);
    return bell;
}

/* --- the machine --- */

static int set_up(void **state, enum loop_engine engine)
{
    struct machine *machine = calloc(1, sizeof(*machine));
    struct error err = { 0 };

    if (!machine)
        return -1;
    *state = machine;
    if (loop_create(engine, 8, &machine->loop, &err) < 0) {
        print_error("%s\n", err.text);
        return -1;
    }
    if (bus_create(&machine->mmio) < 0 || guest_memory_create(&machine->memory) < 0 ||
        guest_memory_add_ram(machine->memory, 0, RAM_SIZE) < 0)
        return -1;
    fake_hypervisor_init(&machine->hypervisor);
    machine->loop_thread = pthread_self();
    machine->bell = bell_create(machine);
    return 0;
}

static int set_up_io_uring(void **state)
{
    return set_up(state, LOOP_ENGINE_IO_URING);
}

static int set_up_threads(void **state)
{
    return set_up(state, LOOP_ENGINE_THREADS);
}

static void look_for_operations(struct loop_task *task)
{
    struct machine *machine = container_of(task, struct machine, look);

    if (loop_in_flight(machine->loop))
        loop_post(machine->loop, task);
    else
        loop_stop(machine->loop);
}

/* What vm_end does: stop listening, and turn until the loop has nothing left. */
static void stop_and_drain(struct machine *machine)
{
    machine->awaited = 0;
    mmio_slot_stop(machine->slot);
    machine->look.run = look_for_operations;
    loop_post(machine->loop, &machine->look);
    assert_int_equal(loop_run(machine->loop), 0);
}

static int tear_down(void **state)
{
    struct machine *machine = *state;

    if (machine->slot) {
        stop_and_drain(machine);
        mmio_slot_destroy(machine->slot);
    } else if (!machine->destroyed) {
        virtio_device_destroy(&machine->bell->device);
    }
    bus_destroy(machine->mmio);
    guest_memory_destroy(machine->memory);
    loop_destroy(machine->loop);
    free(machine);
    return 0;
}

static int plug_at(struct machine *machine, uint32_t gsi, struct error *err)
{
    struct device_info where = {
        .kind = DEVICE_VIRTIO_MMIO, .base = WINDOW, .size = VIRTIO_MMIO_WINDOW_SIZE, .gsi = gsi
    };

    return mmio_slot_create(&machine->bell->device, &where, &machine->hypervisor.hypervisor, machine->mmio,
                            machine->loop, &machine->slot, err);
}

static void run_until_notified(struct machine *machine, unsigned times)
{
    machine->awaited = times;
    assert_int_equal(loop_run(machine->loop), 0);
    assert_int_equal(machine->awaited, 0);
}

/* --- the guest --- */

static void guest_set(struct machine *machine, uint64_t offset, uint32_t value)
{
    assert_true(bus_write(machine->mmio, WINDOW + offset, value, 4));
}

static uint32_t guest_get(struct machine *machine, uint64_t offset)
{
    uint64_t value;

    assert_true(bus_read(machine->mmio, WINDOW + offset, &value, 4));
    return (uint32_t)value;
}

/* Where the parts of a queue lie. */
static uint64_t ring_address(unsigned queue, unsigned part)
{
    return queue * 0x1000 + part * 0x100;
}

/* The guest's driver, as far as DRIVER_OK. */
static void bring_up(struct machine *machine)
{
    uint32_t status = 0;

    guest_set(machine, VIRTIO_MMIO_STATUS, status |= VIRTIO_CONFIG_S_ACKNOWLEDGE);
    guest_set(machine, VIRTIO_MMIO_STATUS, status |= VIRTIO_CONFIG_S_DRIVER);
    guest_set(machine, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    guest_set(machine, VIRTIO_MMIO_DRIVER_FEATURES, 1 << (VIRTIO_F_VERSION_1 - 32));
    guest_set(machine, VIRTIO_MMIO_STATUS, status |= VIRTIO_CONFIG_S_FEATURES_OK);
    for (unsigned i = 0; i < QUEUE_COUNT; i++) {
        guest_set(machine, VIRTIO_MMIO_QUEUE_SEL, i);
        guest_set(machine, VIRTIO_MMIO_QUEUE_NUM, QUEUE_SIZE);
        guest_set(machine, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)ring_address(i, 0));
        guest_set(machine, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)ring_address(i, 1));
        guest_set(machine, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)ring_address(i, 2));
        guest_set(machine, VIRTIO_MMIO_QUEUE_READY, 1);
    }
    guest_set(machine, VIRTIO_MMIO_STATUS, status |= VIRTIO_CONFIG_S_DRIVER_OK);
    assert_int_equal(guest_get(machine, VIRTIO_MMIO_STATUS), status);
}

/* Plug it in, and let the guest bring it up. */
static void plug_and_start(struct machine *machine)
{
    struct error err = { 0 };

    if (plug_at(machine, GSI, &err) < 0)
        fail_msg("%s", err.text);
    bus_freeze(machine->mmio);
    mmio_slot_start(machine->slot, NULL);
    bring_up(machine);

    /* The core rings every queue once when a device goes live. */
    run_until_notified(machine, QUEUE_COUNT);
    for (unsigned i = 0; i < QUEUE_COUNT; i++) {
        assert_int_equal(machine->notified[i], 1);
        machine->notified[i] = 0;
    }
}

/* Make `count` buffers of queue `queue` available, all of them descriptor 0. */
static void guest_offer(struct machine *machine, unsigned queue, uint16_t count)
{
    struct vring_desc desc = { .addr = 0x8000, .len = 16, .flags = VRING_DESC_F_WRITE };
    uint16_t idx;

    assert_int_equal(guest_memory_write(machine->memory, ring_address(queue, 0), &desc, sizeof(desc)), 0);
    assert_int_equal(guest_memory_read(machine->memory, ring_address(queue, 1) + 2, &idx, sizeof(idx)), 0);
    idx = (uint16_t)(idx + count);
    assert_int_equal(guest_memory_write(machine->memory, ring_address(queue, 1) + 2, &idx, sizeof(idx)), 0);
}

static uint16_t guest_used_idx(struct machine *machine, unsigned queue)
{
    uint16_t idx;

    assert_int_equal(guest_memory_read(machine->memory, ring_address(queue, 2) + 2, &idx, sizeof(idx)), 0);
    return idx;
}

static unsigned open_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* --- plugged in --- */

static void test_slot_asks_for_its_line_and_one_doorbell_a_queue(void **state)
{
    struct machine *machine = *state;
    struct fake_hypervisor *fake = &machine->hypervisor;
    struct error err = { 0 };

    assert_int_equal(plug_at(machine, GSI, &err), 0);
    for (unsigned i = 0; i < FAKE_HYPERVISOR_MAX_LINES; i++)
        assert_int_equal(fake->line_created[i], i == GSI);
    assert_int_equal(fake->doorbell_count, QUEUE_COUNT);
    for (unsigned i = 0; i < QUEUE_COUNT; i++) {
        assert_true(fake->doorbells[i].address == WINDOW + 0x50); /* virtio 1.2, 4.2.2: QueueNotify */
        assert_int_equal(fake->doorbells[i].value, i);
    }
    assert_int_equal(fake->memory_count, 0);
    assert_string_equal(err.text, "");
}

static void test_slot_window_is_on_the_bus(void **state)
{
    struct machine *machine = *state;
    struct error err = { 0 };
    uint64_t value;

    assert_int_equal(plug_at(machine, GSI, &err), 0);
    bus_freeze(machine->mmio);
    assert_int_equal(guest_get(machine, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
    assert_int_equal(guest_get(machine, VIRTIO_MMIO_DEVICE_ID), 42);
    assert_true(bus_read(machine->mmio, WINDOW + 0xffc, &value, 4));
    assert_false(bus_read(machine->mmio, WINDOW + 0x1000, &value, 4));
    assert_false(bus_read(machine->mmio, WINDOW - 4, &value, 4));
}

/* --- doorbells --- */

static void test_eventfd_rings_the_right_queue_on_the_loop_thread(void **state)
{
    struct machine *machine = *state;

    plug_and_start(machine);
    assert_true(fake_hypervisor_guest_write(&machine->hypervisor, NOTIFY, 1));
    assert_int_equal(machine->notified[1], 0);
    run_until_notified(machine, 1);
    assert_int_equal(machine->notified[0], 0);
    assert_int_equal(machine->notified[1], 1);
    assert_int_equal(machine->notified[2], 0);
}

static void test_doorbell_is_listened_to_again_and_again(void **state)
{
    struct machine *machine = *state;

    plug_and_start(machine);
    for (unsigned i = 1; i <= 10; i++) {
        assert_true(fake_hypervisor_guest_write(&machine->hypervisor, NOTIFY, 2));
        run_until_notified(machine, 1);
        assert_int_equal(machine->notified[2], i);
    }
}

static void test_rings_that_came_before_the_loop_looked_are_one(void **state)
{
    struct machine *machine = *state;

    plug_and_start(machine);
    for (unsigned i = 0; i < 5; i++)
        assert_true(fake_hypervisor_guest_write(&machine->hypervisor, NOTIFY, 0));
    assert_true(fake_hypervisor_guest_write(&machine->hypervisor, NOTIFY, 1));
    run_until_notified(machine, 2);
    assert_int_equal(machine->notified[0], 1);
    assert_int_equal(machine->notified[1], 1);
}

static void test_all_buffers_of_a_ring_come_back_with_one_interrupt(void **state)
{
    struct machine *machine = *state;

    plug_and_start(machine);
    guest_offer(machine, 1, 3);
    assert_true(fake_hypervisor_guest_write(&machine->hypervisor, NOTIFY, 1));
    run_until_notified(machine, 1);
    assert_int_equal(guest_used_idx(machine, 1), 3);
    assert_int_equal(atomic_load(&machine->hypervisor.lines[GSI].raised), 1);
    assert_int_equal(guest_get(machine, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
}

static void test_without_bound_doorbells_the_write_on_the_bus_rings(void **state)
{
    struct machine *machine = *state;

    machine->hypervisor.without_doorbells = true;
    plug_and_start(machine);
    assert_int_equal(machine->hypervisor.doorbell_count, 0);
    guest_offer(machine, 2, 1);
    guest_set(machine, VIRTIO_MMIO_QUEUE_NOTIFY, 2);
    assert_int_equal(machine->notified[2], 0); /* not on the vCPU's thread */
    assert_int_equal(guest_used_idx(machine, 2), 0);
    run_until_notified(machine, 1);
    assert_int_equal(machine->notified[2], 1);
    assert_int_equal(guest_used_idx(machine, 2), 1);
}

static void test_bus_write_for_a_queue_that_does_not_exist_rings_nothing(void **state)
{
    struct machine *machine = *state;

    plug_and_start(machine);
    guest_set(machine, VIRTIO_MMIO_QUEUE_NOTIFY, QUEUE_COUNT);
    guest_set(machine, VIRTIO_MMIO_QUEUE_NOTIFY, UINT32_MAX);
    guest_set(machine, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    run_until_notified(machine, 1);
    assert_int_equal(machine->notified[0], 1);
    assert_int_equal(machine->notified[1] + machine->notified[2], 0);
}

static void *vcpu(void *argument)
{
    struct machine *machine = argument;

    for (unsigned i = 0; i < QUEUE_COUNT; i++)
        bus_write(machine->mmio, NOTIFY, i, 4);
    return NULL;
}

static void test_vcpu_thread_rings_while_the_loop_waits(void **state)
{
    struct machine *machine = *state;
    pthread_t thread;

    machine->hypervisor.without_doorbells = true;
    plug_and_start(machine);
    assert_int_equal(pthread_create(&thread, NULL, vcpu, machine), 0);
    run_until_notified(machine, QUEUE_COUNT); /* the device asserts which thread it is called on */
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < QUEUE_COUNT; i++)
        assert_int_equal(machine->notified[i], 1);
}

/* --- doorbells that another process listens to --- */

static int set_up_elsewhere(void **state)
{
    struct machine *machine;

    if (set_up_io_uring(state) < 0)
        return -1;
    machine = *state;
    machine->bell->device.ops = &bell_elsewhere_ops;
    for (unsigned i = 0; i < QUEUE_COUNT; i++) {
        machine->eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        assert_true(machine->eventfds[i] >= 0);
    }
    return 0;
}

static int tear_down_elsewhere(void **state)
{
    struct machine *machine = *state;

    for (unsigned i = 0; i < QUEUE_COUNT; i++)
        assert_int_equal(close(machine->eventfds[i]), 0); /* nobody else did */
    return tear_down(state);
}

static void plug_elsewhere(struct machine *machine)
{
    struct error err = { 0 };

    if (plug_at(machine, GSI, &err) < 0)
        fail_msg("%s", err.text);
    bus_freeze(machine->mmio);
    mmio_slot_start(machine->slot, NULL);
}

static void expect_rings(struct machine *machine, unsigned queue, uint64_t rings)
{
    uint64_t count = 0;

    if (read(machine->eventfds[queue], &count, sizeof(count)) != sizeof(count))
        assert_int_equal(errno, EAGAIN);
    assert_int_equal(count, rings);
}

static void test_doorbells_of_another_process_are_bound_as_they_are_and_nobody_here_listens(void **state)
{
    struct machine *machine = *state;
    unsigned before = open_descriptors();

    plug_elsewhere(machine);
    assert_int_equal(open_descriptors(), before);
    assert_int_equal(loop_in_flight(machine->loop), 0);
    assert_int_equal(machine->hypervisor.doorbell_count, QUEUE_COUNT);
    for (unsigned i = 0; i < QUEUE_COUNT; i++) {
        assert_int_equal(machine->hypervisor.doorbells[i].value, i);
        assert_int_equal(machine->hypervisor.doorbells[i].eventfd, machine->eventfds[i]);
    }
    assert_true(fake_hypervisor_guest_write(&machine->hypervisor, NOTIFY, 1));
    expect_rings(machine, 0, 0);
    expect_rings(machine, 1, 1);
    expect_rings(machine, 2, 0);
}

static void test_doorbells_of_another_process_ring_without_bound_doorbells_too(void **state)
{
    struct machine *machine = *state;

    machine->hypervisor.without_doorbells = true;
    plug_elsewhere(machine);
    guest_set(machine, VIRTIO_MMIO_QUEUE_NOTIFY, 2);
    guest_set(machine, VIRTIO_MMIO_QUEUE_NOTIFY, 2);
    guest_set(machine, VIRTIO_MMIO_QUEUE_NOTIFY, QUEUE_COUNT);
    expect_rings(machine, 0, 0);
    expect_rings(machine, 1, 0);
    expect_rings(machine, 2, 2);
    assert_int_equal(loop_in_flight(machine->loop), 0);
}

static void test_doorbells_of_another_process_are_rung_at_driver_ok(void **state)
{
    struct machine *machine = *state;

    plug_elsewhere(machine);
    bring_up(machine);
    for (unsigned i = 0; i < QUEUE_COUNT; i++)
        expect_rings(machine, i, 1);
}

static void test_slot_whose_doorbells_are_another_process_is_quiet_once_stopped(void **state)
{
    struct machine *machine = *state;

    plug_elsewhere(machine);
    bring_up(machine);
    mmio_slot_stop(machine->slot);
    assert_true(mmio_slot_is_quiet(machine->slot));
}

static void test_doorbell_that_the_other_process_has_not_is_refused(void **state)
{
    struct machine *machine = *state;
    struct error err = { 0 };

    machine->doorbell_error = -EMFILE;
    assert_int_equal(plug_at(machine, GSI, &err), -EMFILE);
    assert_string_equal(err.text, "no doorbell for bell0: Too many open files");
    assert_null(machine->slot);
    assert_false(machine->destroyed);
}

static void test_doorbell_of_another_process_that_kvm_refuses_stays_open(void **state)
{
    struct machine *machine = *state;
    struct error err = { 0 };

    machine->hypervisor.doorbell_error = -ENOSPC;
    machine->hypervisor.doorbell_error_at = 1;
    assert_int_equal(plug_at(machine, GSI, &err), -ENOSPC);
    assert_false(machine->destroyed);
}

/* --- the end --- */

static void test_stopped_slot_is_quiet_and_hears_no_bell(void **state)
{
    struct machine *machine = *state;

    plug_and_start(machine);
    assert_false(mmio_slot_is_quiet(machine->slot));
    assert_true(fake_hypervisor_guest_write(&machine->hypervisor, NOTIFY, 0));
    stop_and_drain(machine);
    assert_true(mmio_slot_is_quiet(machine->slot));
    assert_int_equal(loop_in_flight(machine->loop), 0);
    assert_int_equal(machine->notified[0], 0);
}

static void test_slot_with_a_request_in_flight_is_not_quiet(void **state)
{
    struct machine *machine = *state;
    struct virtio_device *device = &machine->bell->device;

    machine->bell->hold = true;
    plug_and_start(machine);
    guest_offer(machine, 0, 1);
    assert_true(fake_hypervisor_guest_write(&machine->hypervisor, NOTIFY, 0));
    run_until_notified(machine, 1);
    assert_true(machine->bell->holding);
    assert_int_equal(machine->bell->cancelled, 0);
    stop_and_drain(machine);
    assert_int_equal(machine->bell->cancelled, 1); /* it might last for ever */
    assert_false(mmio_slot_is_quiet(machine->slot));

    pthread_mutex_lock(&device->lock);
    virtio_device_push(device, machine->bell->held_queue, machine->bell->held_head, 0);
    virtio_device_request_end(device);
    pthread_mutex_unlock(&device->lock);
    assert_true(mmio_slot_is_quiet(machine->slot));
}

static void test_destroy_ends_the_device_and_closes_its_descriptors(void **state)
{
    struct machine *machine = *state;
    unsigned before = open_descriptors();
    struct error err = { 0 };

    assert_int_equal(plug_at(machine, GSI, &err), 0);
    assert_int_equal(open_descriptors(), before + QUEUE_COUNT);
    mmio_slot_destroy(machine->slot);
    machine->slot = NULL;
    assert_true(machine->destroyed);
    assert_int_equal(open_descriptors(), before);
    mmio_slot_destroy(NULL);
}

/* --- not plugged in: the device stays the caller's, nothing leaks, and it may be tried again --- */

static void assert_refused(struct machine *machine, int code, const char *sentence)
{
    unsigned before = open_descriptors();
    struct error err = { 0 };

    assert_int_equal(plug_at(machine, GSI, &err), code);
    assert_string_equal(err.text, sentence);
    assert_null(machine->slot);
    assert_false(machine->destroyed);
    assert_null(machine->bell->device.transport);
    assert_int_equal(open_descriptors(), before);
}

static void test_line_that_is_refused_leaves_the_device_with_the_caller(void **state)
{
    struct machine *machine = *state;
    struct error err = { 0 };

    machine->hypervisor.line_error = -EBUSY;
    assert_refused(machine, -EBUSY, "KVM refuses interrupt line 5 for bell0: Device or resource busy");
    machine->hypervisor.line_error = 0;
    assert_int_equal(plug_at(machine, GSI, &err), 0);
}

static void test_doorbell_that_is_refused_closes_those_before(void **state)
{
    struct machine *machine = *state;
    struct error err = { 0 };

    machine->hypervisor.doorbell_error = -ENOSPC;
    machine->hypervisor.doorbell_error_at = QUEUE_COUNT - 1;
    assert_refused(machine, -ENOSPC, "KVM refuses a doorbell for bell0: No space left on device");
    machine->hypervisor.doorbell_error = 0;
    assert_int_equal(plug_at(machine, GSI + 1, &err), 0);
}

static void test_eventfds_that_run_out_are_an_error(void **state)
{
    struct machine *machine = *state;
    struct rlimit saved, tight;
    unsigned before = open_descriptors();
    int next = dup(STDIN_FILENO), result;
    struct error err = { 0 };

    assert_true(next >= 0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
    tight = saved;
    tight.rlim_cur = (rlim_t)next + 1; /* room for one more */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    result = plug_at(machine, GSI, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &saved), 0);
    assert_int_equal(result, -EMFILE);
    assert_string_equal(err.text, "cannot create an eventfd for bell0: Too many open files");
    assert_false(machine->destroyed);
    assert_int_equal(open_descriptors(), before);
}

static void test_window_that_is_taken_is_refused(void **state)
{
    struct machine *machine = *state;
    struct bus_region taken = { .name = "taken", .base = WINDOW + 0x800, .size = 4 };

    assert_int_equal(bus_add(machine->mmio, &taken), 0);
    assert_refused(machine, -EEXIST, "no room for bell0 on the bus: File exists");
}

static void test_bus_that_is_frozen_is_refused(void **state)
{
    struct machine *machine = *state;

    bus_freeze(machine->mmio);
    assert_refused(machine, -EBUSY, "no room for bell0 on the bus: Device or resource busy");
}

#define ON_BOTH_ENGINES(test)                                                                                \
    { #test " (io_uring)", test, set_up_io_uring, tear_down, NULL },                                         \
    {                                                                                                        \
#test " (threads)", test, set_up_threads, tear_down, NULL                                            \
    }

/* No engine has to do with it. */
#define ELSEWHERE(test) cmocka_unit_test_setup_teardown(test, set_up_elsewhere, tear_down_elsewhere)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH_ENGINES(test_slot_asks_for_its_line_and_one_doorbell_a_queue),
        ON_BOTH_ENGINES(test_slot_window_is_on_the_bus),
        ON_BOTH_ENGINES(test_eventfd_rings_the_right_queue_on_the_loop_thread),
        ON_BOTH_ENGINES(test_doorbell_is_listened_to_again_and_again),
        ON_BOTH_ENGINES(test_rings_that_came_before_the_loop_looked_are_one),
        ON_BOTH_ENGINES(test_all_buffers_of_a_ring_come_back_with_one_interrupt),
        ON_BOTH_ENGINES(test_without_bound_doorbells_the_write_on_the_bus_rings),
        ON_BOTH_ENGINES(test_bus_write_for_a_queue_that_does_not_exist_rings_nothing),
        ON_BOTH_ENGINES(test_vcpu_thread_rings_while_the_loop_waits),
        ELSEWHERE(test_doorbells_of_another_process_are_bound_as_they_are_and_nobody_here_listens),
        ELSEWHERE(test_doorbells_of_another_process_ring_without_bound_doorbells_too),
        ELSEWHERE(test_doorbells_of_another_process_are_rung_at_driver_ok),
        ELSEWHERE(test_slot_whose_doorbells_are_another_process_is_quiet_once_stopped),
        ELSEWHERE(test_doorbell_that_the_other_process_has_not_is_refused),
        ELSEWHERE(test_doorbell_of_another_process_that_kvm_refuses_stays_open),
        ON_BOTH_ENGINES(test_stopped_slot_is_quiet_and_hears_no_bell),
        ON_BOTH_ENGINES(test_slot_with_a_request_in_flight_is_not_quiet),
        ON_BOTH_ENGINES(test_destroy_ends_the_device_and_closes_its_descriptors),
        ON_BOTH_ENGINES(test_line_that_is_refused_leaves_the_device_with_the_caller),
        ON_BOTH_ENGINES(test_doorbell_that_is_refused_closes_those_before),
        ON_BOTH_ENGINES(test_eventfds_that_run_out_are_an_error),
        ON_BOTH_ENGINES(test_window_that_is_taken_is_refused),
        ON_BOTH_ENGINES(test_bus_that_is_frozen_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
