/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serial.c - see ringlet/serial.h. Register names are linux/serial_reg.h's, behaviour is the PC16550D's.
 *
 * Three FIFOs. `wire` holds input the guest may be allowed to see, `looped` what it sent itself in loopback
 * mode, `transmit` what the backend did not take yet. The interrupt line is a function of the registers
 * (identify_interrupt()), and each rise of it raises an edge. Two events make a cause vanish and come back
 * within one access, which on the chip takes a character's time; they count as a fall and a rise, or a driver
 * that serves one byte an interrupt would wait for ever: see dip().
 */
#include "ringlet/serial.h"

#include <assert.h>
#include <errno.h>
#include <linux/serial_reg.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "ringlet/bus.h"
#include "ringlet/char_backend.h"
#include "ringlet/io_client.h"
#include "ringlet/irq_line.h"
#include "ringlet/util.h"

#define FIFO_SIZE 16

#define IER_ALL           (UART_IER_RDI | UART_IER_THRI | UART_IER_RLSI | UART_IER_MSI)
#define MCR_ALL           (UART_MCR_DTR | UART_MCR_RTS | UART_MCR_OUT1 | UART_MCR_OUT2 | UART_MCR_LOOP)
#define IIR_FIFOS_ENABLED 0xc0 /* both bits: a 16550 whose FIFOs work */
#define MSR_LINES         (UART_MSR_DCD | UART_MSR_RI | UART_MSR_DSR | UART_MSR_CTS)
#define MSR_DELTA_SHIFT   4 /* from a line's bit to its delta's */

/* FCR bits 7-6: so many bytes received are worth an RDI interrupt; fewer are a character timeout. */
static const uint8_t trigger_levels[] = { 1, 4, 8, 14 };
static_assert(ARRAY_SIZE(trigger_levels) == (UART_FCR_TRIGGER_MASK >> UART_FCR_R_TRIG_SHIFT) + 1,
              "a trigger level for each value of the field");

struct fifo {
    uint8_t bytes[FIFO_SIZE];
    unsigned head, count;
};

struct serial {
    pthread_mutex_t lock; /* guards everything below; the bus and the backend take it before they call */
    struct io_client client;
    struct char_frontend frontend;
    struct char_backend *backend;
    struct irq_line *line;

    uint8_t ier, fcr, lcr, mcr, scr;
    uint8_t dll, dlm;       /* the divisor says nothing to us */
    uint8_t lsr_errors;     /* OE, until LSR is read */
    uint8_t msr_deltas;     /* until MSR is read */
    bool thr_empty_pending; /* the THRE interrupt's latch */
    bool line_active;       /* what the interrupt output was after the last access */

    struct fifo wire, looped, transmit;

    unsigned poll_reads;   /* LSR and IIR reads in a row that found nothing */
    bool polled;           /* there have been enough of them */
    bool rts_was_raised;   /* so that lowering it means something */
    bool input_is_waiting; /* the backend was refused, or taken less from than it had */
};

static void fifo_push(struct fifo *fifo, uint8_t byte)
{
    fifo->bytes[(fifo->head + fifo->count++) % FIFO_SIZE] = byte;
}

static uint8_t fifo_pop(struct fifo *fifo)
{
    uint8_t byte = fifo->bytes[fifo->head];

    fifo->head = (fifo->head + 1) % FIFO_SIZE;
    fifo->count--;
    return byte;
}

static bool fifos_enabled(const struct serial *serial)
{
    return serial->fcr & UART_FCR_ENABLE_FIFO;
}

/* Without FIFOs there is one holding register each way. */
static unsigned fifo_depth(const struct serial *serial)
{
    return fifos_enabled(serial) ? FIFO_SIZE : 1;
}

static unsigned trigger_level(const struct serial *serial)
{
    return trigger_levels[(serial->fcr & UART_FCR_TRIGGER_MASK) >> UART_FCR_R_TRIG_SHIFT];
}

static bool in_loopback(const struct serial *serial)
{
    return serial->mcr & UART_MCR_LOOP;
}

/* On a PC, OUT2 connects the chip to its interrupt line; loopback mode forces the output pin off. */
static bool interrupts_connected(const struct serial *serial)
{
    return (serial->mcr & UART_MCR_OUT2) && !in_loopback(serial);
}

static bool receiver_is_open(const struct serial *serial)
{
    if (in_loopback(serial))
        return false;
    return serial->polled || ((serial->ier & UART_IER_RDI) && interrupts_connected(serial));
}

static bool sender_is_silenced(const struct serial *serial)
{
    return serial->rts_was_raised && !(serial->mcr & UART_MCR_RTS) && !serial->polled;
}

/* The FIFO that RBR reads, or NULL when there is nothing for the guest. */
static struct fifo *readable_fifo(struct serial *serial)
{
    if (serial->looped.count)
        return &serial->looped;
    return receiver_is_open(serial) && serial->wire.count ? &serial->wire : NULL;
}

static unsigned readable_count(struct serial *serial)
{
    struct fifo *fifo = readable_fifo(serial);

    return fifo ? fifo->count : 0;
}

/* The pending cause of highest priority, as IIR's low four bits. */
static uint8_t identify_interrupt(struct serial *serial)
{
    unsigned received = readable_count(serial);

    if ((serial->ier & UART_IER_RLSI) && serial->lsr_errors)
        return UART_IIR_RLSI;
    if ((serial->ier & UART_IER_RDI) && received)
        return fifos_enabled(serial) && received < trigger_level(serial) ? UART_IIR_RX_TIMEOUT : UART_IIR_RDI;
    if ((serial->ier & UART_IER_THRI) && serial->thr_empty_pending)
        return UART_IIR_THRI;
    if ((serial->ier & UART_IER_MSI) && serial->msr_deltas)
        return UART_IIR_MSI;
    return UART_IIR_NO_INT;
}

static void update_line(struct serial *serial)
{
    bool active = interrupts_connected(serial) && identify_interrupt(serial) != UART_IIR_NO_INT;

    if (active && !serial->line_active)
        irq_line_raise(serial->line);
    serial->line_active = active;
}

/* A cause went away and is back already: what update_line() will find is a new rise. */
static void dip(struct serial *serial)
{
    serial->line_active = false;
}

/* Let the backend offer again what it was refused, once the guest has taken all it had. */
static void invite_input(struct serial *serial)
{
    if (!serial->input_is_waiting || serial->wire.count || !receiver_is_open(serial) ||
        sender_is_silenced(serial))
        return;
    serial->input_is_waiting = false;
    serial->backend->ops->receive_ready(serial->backend);
}

static size_t serial_receive(struct char_frontend *frontend, const uint8_t *bytes, size_t count)
{
    struct serial *serial = container_of(frontend, struct serial, frontend);
    size_t taken = 0;

    if (receiver_is_open(serial) && !sender_is_silenced(serial)) {
        while (taken < count && serial->wire.count < fifo_depth(serial))
            fifo_push(&serial->wire, bytes[taken++]);
    }
    if (taken < count)
        serial->input_is_waiting = true;
    update_line(serial);
    return taken;
}

/* Hand the backend what it takes of the transmit FIFO. */
static void drain_transmitter(struct serial *serial)
{
    struct fifo *fifo = &serial->transmit;

    while (fifo->count) {
        unsigned straight = FIFO_SIZE - fifo->head;
        unsigned here = fifo->count < straight ? fifo->count : straight;
        size_t taken = serial->backend->ops->write(serial->backend, fifo->bytes + fifo->head, here);

        fifo->head = (fifo->head + (unsigned)taken) % FIFO_SIZE;
        fifo->count -= (unsigned)taken;
        if (taken < here)
            return;
    }
}

static void serial_writable(struct char_frontend *frontend)
{
    struct serial *serial = container_of(frontend, struct serial, frontend);

    if (!serial->transmit.count)
        return;
    drain_transmitter(serial);
    if (!serial->transmit.count)
        serial->thr_empty_pending = true;
    update_line(serial);
}

static const struct char_frontend_ops frontend_ops = {
    .receive = serial_receive,
    .writable = serial_writable,
};

/* --- registers --- */

static uint8_t read_rbr(struct serial *serial)
{
    struct fifo *fifo = readable_fifo(serial);
    uint8_t byte;

    if (!fifo)
        return 0;
    byte = fifo_pop(fifo);
    /* Reading restarts the character timeout, which then runs out again over what is left. */
    if (fifos_enabled(serial) && fifo->count && fifo->count < trigger_level(serial))
        dip(serial);
    return byte;
}

static void write_thr(struct serial *serial, uint8_t byte)
{
    if (in_loopback(serial)) {
        if (serial->looped.count < fifo_depth(serial))
            fifo_push(&serial->looped, byte);
        else
            serial->lsr_errors |= UART_LSR_OE;
    } else if (serial->transmit.count < fifo_depth(serial)) {
        fifo_push(&serial->transmit, byte);
        drain_transmitter(serial);
    } /* else: written without waiting for THRE, and lost, as on the chip */

    serial->thr_empty_pending = !serial->transmit.count;
    if (serial->thr_empty_pending && (serial->ier & UART_IER_THRI))
        dip(serial);
}

static void write_ier(struct serial *serial, uint8_t value)
{
    uint8_t risen = value & ~serial->ier;

    serial->ier = value & IER_ALL;
    /* Enabling it while there is nothing to send interrupts at once; Linux's driver starts sending by this.
     */
    if ((risen & UART_IER_THRI) && !serial->transmit.count)
        serial->thr_empty_pending = true;
    serial->polled = false;
}

static uint8_t read_iir(struct serial *serial)
{
    uint8_t cause = identify_interrupt(serial);

    if (cause == UART_IIR_THRI)
        serial->thr_empty_pending = false;
    return cause | (fifos_enabled(serial) ? IIR_FIFOS_ENABLED : 0);
}

static void write_fcr(struct serial *serial, uint8_t value)
{
    bool was_enabled = fifos_enabled(serial);

    /* The chip takes the other bits only from a write that has FIFOs enabled. */
    serial->fcr = value & UART_FCR_ENABLE_FIFO ? value & (UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_MASK) : 0;
    if (fifos_enabled(serial) != was_enabled || (fifos_enabled(serial) && (value & UART_FCR_CLEAR_RCVR)))
        serial->looped = (struct fifo){ 0 };
    serial->polled = false;
}

static uint8_t modem_lines(const struct serial *serial)
{
    if (!in_loopback(serial))
        return UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
    return (serial->mcr & UART_MCR_RTS ? UART_MSR_CTS : 0) | (serial->mcr & UART_MCR_DTR ? UART_MSR_DSR : 0) |
           (serial->mcr & UART_MCR_OUT1 ? UART_MSR_RI : 0) | (serial->mcr & UART_MCR_OUT2 ? UART_MSR_DCD : 0);
}

static void write_mcr(struct serial *serial, uint8_t value)
{
    uint8_t before = modem_lines(serial);
    uint8_t changed;

    serial->mcr = value & MCR_ALL;
    if (!in_loopback(serial) && (serial->mcr & UART_MCR_RTS))
        serial->rts_was_raised = true;
    changed = before ^ modem_lines(serial);
    serial->msr_deltas |= (changed & MSR_LINES & ~UART_MSR_RI) >> MSR_DELTA_SHIFT;
    if (changed & before & UART_MSR_RI)
        serial->msr_deltas |= UART_MSR_TERI;
    serial->polled = false;
}

static uint8_t read_lsr(struct serial *serial)
{
    uint8_t value = serial->lsr_errors;

    if (readable_count(serial))
        value |= UART_LSR_DR;
    if (!serial->transmit.count)
        value |= UART_LSR_THRE | UART_LSR_TEMT;
    serial->lsr_errors = 0;
    return value;
}

static uint8_t read_msr(struct serial *serial)
{
    uint8_t value = modem_lines(serial) | serial->msr_deltas;

    serial->msr_deltas = 0;
    return value;
}

/* A status register was read and said that nothing is up: is this a guest that waits for input by asking? */
static void count_poll(struct serial *serial, bool idle)
{
    if (!idle)
        serial->poll_reads = 0;
    else if (!in_loopback(serial) && serial->poll_reads < SERIAL_POLL_READS &&
             ++serial->poll_reads == SERIAL_POLL_READS)
        serial->polled = true;
}

static uint8_t read_register(struct serial *serial, unsigned offset)
{
    bool divisor = serial->lcr & UART_LCR_DLAB;
    uint8_t value = 0;
    bool idle = false;

    switch (offset) {
    case UART_RX:
        value = divisor ? serial->dll : read_rbr(serial);
        break;
    case UART_IER:
        value = divisor ? serial->dlm : serial->ier;
        break;
    case UART_IIR:
        value = read_iir(serial);
        idle = value & UART_IIR_NO_INT;
        break;
    case UART_LCR:
        value = serial->lcr;
        break;
    case UART_MCR:
        value = serial->mcr;
        break;
    case UART_LSR:
        value = read_lsr(serial);
        idle = value == (UART_LSR_THRE | UART_LSR_TEMT);
        break;
    case UART_MSR:
        value = read_msr(serial);
        break;
    case UART_SCR:
        value = serial->scr;
        break;
    }
    count_poll(serial, idle);
    return value;
}

static void write_register(struct serial *serial, unsigned offset, uint8_t value)
{
    bool divisor = serial->lcr & UART_LCR_DLAB;

    count_poll(serial, false);
    switch (offset) {
    case UART_TX:
        if (divisor)
            serial->dll = value;
        else
            write_thr(serial, value);
        break;
    case UART_IER:
        if (divisor)
            serial->dlm = value;
        else
            write_ier(serial, value);
        break;
    case UART_FCR:
        write_fcr(serial, value);
        break;
    case UART_LCR:
        serial->lcr = value;
        serial->polled = false;
        break;
    case UART_MCR:
        write_mcr(serial, value);
        break;
    case UART_SCR:
        serial->scr = value;
        break;
    }
    /* LSR and MSR are read-only: writing them is a factory test. */
}

/* The chip is eight bits wide: a wider access is so many byte accesses, lowest port first, as on an ISA bus.
 */
static uint64_t serial_read(void *opaque, uint64_t offset, unsigned size)
{
    struct serial *serial = opaque;
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)read_register(serial, (unsigned)offset + i) << (8 * i);
    update_line(serial);
    invite_input(serial);
    return value;
}

static void serial_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct serial *serial = opaque;

    for (unsigned i = 0; i < size; i++)
        write_register(serial, (unsigned)offset + i, (uint8_t)(value >> (8 * i)));
    update_line(serial);
    invite_input(serial);
}

static const struct bus_region_ops region_ops = {
    .read = serial_read,
    .write = serial_write,
};

int serial_create(struct char_backend *backend, struct irq_line *line, struct serial **ret_serial)
{
    struct serial *serial = calloc(1, sizeof(*serial));
    int error;

    if (!serial)
        return -ENOMEM;
    error = pthread_mutex_init(&serial->lock, NULL);
    if (error) {
        free(serial);
        return -error;
    }
    serial->client.lock = &serial->lock;
    serial->frontend = (struct char_frontend){ .ops = &frontend_ops, .client = &serial->client };
    serial->backend = backend;
    serial->line = line;
    backend->ops->attach(backend, &serial->frontend);
    *ret_serial = serial;
    return 0;
}

void serial_destroy(struct serial *serial)
{
    if (!serial)
        return;
    pthread_mutex_destroy(&serial->lock);
    free(serial);
}

struct bus_region serial_region(struct serial *serial, uint64_t base)
{
    return (struct bus_region){
        .name = "serial",
        .base = base,
        .size = SERIAL_PORT_COUNT,
        .ops = &region_ops,
        .opaque = serial,
        .lock = &serial->lock,
    };
}
