/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blk.c - a virtio-blk driver in a page, on the first virtio-mmio window: negotiates, writes a pattern into
 * 64 sectors with one request each, all in flight at once, flushes, reads them back and compares, sleeping
 * for the interrupt each time. Status 0, or the number of the step that failed. The disk starts with a sector
 * of 'R's, which is checked first.
 */
#include "interrupts.h"
#include "payload.h"

#define WINDOW 0xd0000000u
#define GSI    5

enum {
    MAGIC = 0x00,
    VERSION = 0x04,
    DEVICE_ID = 0x08,
    DEVICE_FEATURES = 0x10,
    DEVICE_FEATURES_SEL = 0x14,
    DRIVER_FEATURES = 0x20,
    DRIVER_FEATURES_SEL = 0x24,
    QUEUE_SEL = 0x30,
    QUEUE_NUM_MAX = 0x34,
    QUEUE_NUM = 0x38,
    QUEUE_READY = 0x44,
    QUEUE_NOTIFY = 0x50,
    INTERRUPT_STATUS = 0x60,
    INTERRUPT_ACK = 0x64,
    STATUS = 0x70,
    QUEUE_DESC = 0x80,
    QUEUE_DRIVER = 0x90,
    QUEUE_DEVICE = 0xa0,
};

#define QUEUE_SIZE 256
#define REQUESTS   64
#define SECTOR     512

enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4 };
enum { F_NEXT = 1, F_WRITE = 2 };

struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};
struct header {
    uint32_t type, reserved;
    uint64_t sector;
};

static struct descriptor desc[QUEUE_SIZE] __attribute__((aligned(4096)));
static struct {
    uint16_t flags, idx, ring[QUEUE_SIZE], used_event;
} avail __attribute__((aligned(4096)));
static volatile struct {
    uint16_t flags, idx;
    struct {
        uint32_t id, length;
    } ring[QUEUE_SIZE];
    uint16_t avail_event;
} used __attribute__((aligned(4096)));
static struct header headers[REQUESTS];
static uint8_t statuses[REQUESTS];
static uint8_t data[REQUESTS][SECTOR] __attribute__((aligned(4096)));

static void fill_pattern(uint8_t *to, unsigned request)
{
    for (unsigned i = 0; i < SECTOR; i++)
        to[i] = (uint8_t)(request * 7 + i);
}

static void set_up_queue(void)
{
    mmio_write32(WINDOW + QUEUE_SEL, 0);
    mmio_write32(WINDOW + QUEUE_NUM, QUEUE_SIZE);
    mmio_write32(WINDOW + QUEUE_DESC, (uint32_t)(uintptr_t)desc);
    mmio_write32(WINDOW + QUEUE_DRIVER, (uint32_t)(uintptr_t)&avail);
    mmio_write32(WINDOW + QUEUE_DEVICE, (uint32_t)(uintptr_t)&used);
    mmio_write32(WINDOW + QUEUE_READY, 1);
}

/* One request of `type` for each of `count` sectors from `first` on; waits for all. 0 when every status is
 * OK. */
static int transfer(uint32_t type, unsigned count, uint64_t first)
{
    uint16_t target = (uint16_t)(avail.idx + count);

    for (unsigned i = 0; i < count; i++) {
        struct descriptor *d = &desc[i * 3];

        headers[i].type = type;
        headers[i].sector = first + i;
        statuses[i] = 0xff;
        d[0] =
            (struct descriptor){ (uintptr_t)&headers[i], sizeof(headers[i]), F_NEXT, (uint16_t)(i * 3 + 1) };
        d[1] =
            (struct descriptor){ (uintptr_t)data[i], SECTOR,
                                 (uint16_t)(F_NEXT | (type == T_IN ? F_WRITE : 0)), (uint16_t)(i * 3 + 2) };
        d[2] = (struct descriptor){ (uintptr_t)&statuses[i], 1, F_WRITE, 0 };
        if (type == T_FLUSH)
            d[0].next = (uint16_t)(i * 3 + 2);
        avail.ring[(avail.idx + i) % QUEUE_SIZE] = (uint16_t)(i * 3);
    }
    __asm__ volatile(""
                     :
                     :
                     : "memory"); /* stores stay in order on x86: the compiler must only not swap them */
    avail.idx = target;
    mmio_write32(WINDOW + QUEUE_NOTIFY, 0);
    while (used.idx != target) {
        uint32_t seen = interrupt_count;

        mmio_write32(WINDOW + INTERRUPT_ACK, mmio_read32(WINDOW + INTERRUPT_STATUS));
        if (used.idx != target)
            interrupts_wait(seen);
    }
    for (unsigned i = 0; i < count; i++) {
        if (statuses[i] != 0)
            return 1;
    }
    return 0;
}

int payload_main(void *boot_params)
{
    (void)boot_params;
    if (mmio_read32(WINDOW + MAGIC) != 0x74726976 || mmio_read32(WINDOW + VERSION) != 2 ||
        mmio_read32(WINDOW + DEVICE_ID) != 2)
        return 1;
    interrupts_enable_line(GSI);
    mmio_write32(WINDOW + STATUS, 0);
    mmio_write32(WINDOW + STATUS, 1 | 2);
    mmio_write32(WINDOW + DRIVER_FEATURES_SEL, 0);
    mmio_write32(WINDOW + DRIVER_FEATURES, 1 << 9); /* FLUSH */
    mmio_write32(WINDOW + DRIVER_FEATURES_SEL, 1);
    mmio_write32(WINDOW + DRIVER_FEATURES, 1); /* VERSION_1 */
    mmio_write32(WINDOW + STATUS, 1 | 2 | 8);
    if (!(mmio_read32(WINDOW + STATUS) & 8))
        return 2;
    set_up_queue();
    mmio_write32(WINDOW + STATUS, 1 | 2 | 8 | 4);

    if (transfer(T_IN, 1, 0))
        return 3;
    for (unsigned i = 0; i < SECTOR; i++) {
        if (data[0][i] != 'R')
            return 4;
    }
    for (unsigned i = 0; i < REQUESTS; i++)
        fill_pattern(data[i], i);
    if (transfer(T_OUT, REQUESTS, 1))
        return 5;
    if (transfer(T_FLUSH, 1, 0))
        return 6;
    for (unsigned i = 0; i < REQUESTS; i++)
        for (unsigned j = 0; j < SECTOR; j++)
            data[i][j] = 0;
    if (transfer(T_IN, REQUESTS, 1))
        return 7;
    for (unsigned i = 0; i < REQUESTS; i++) {
        uint8_t expected[SECTOR];

        fill_pattern(expected, i);
        for (unsigned j = 0; j < SECTOR; j++) {
            if (data[i][j] != expected[j])
                return 8;
        }
    }
    serial_puts("64 sectors written, flushed and read back\r\n");
    return 0;
}
