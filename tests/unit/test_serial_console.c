/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_serial_console.c - the serial port and a console together, with the threads they have in a VM: a vCPU
 * that polls and is interrupted, the loop, and somebody at the other end. Bytes go both ways at once, all of
 * them arrive, in order; what thread sanitizer says about it is half of the test.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/serial_reg.h>

#include "fake_irq_line.h"
#include "ringlet/bus.h"
#include "ringlet/char_backend.h"
#include "ringlet/console.h"
#include "ringlet/loop.h"
#include "ringlet/serial.h"

#define BASE   0x3f8
#define AMOUNT 300000 /* more than pipe, ring and FIFO hold together */

struct machine {
    struct loop *loop;
    struct char_backend *console;
    struct serial *serial;
    struct bus *bus;
    struct fake_irq_line irq;
    int input[2], output[2];
    uint8_t *pattern, *guest_got, *host_got;
};

static const enum loop_engine engines[] = { LOOP_ENGINE_IO_URING, LOOP_ENGINE_THREADS };

static uint8_t in(struct machine *m, unsigned port)
{
    uint64_t value;

    bus_read(m->bus, BASE + port, &value, 1);
    return (uint8_t)value;
}

static void out(struct machine *m, unsigned port, uint8_t value)
{
    bus_write(m->bus, BASE + port, value, 1);
}

/* The driver: sends when the transmitter is empty, takes what there is whenever it is interrupted. */
static void *vcpu(void *argument)
{
    struct machine *m = argument;
    size_t sent = 0, received = 0;

    out(m, UART_LCR, UART_LCR_WLEN8);
    out(m, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_R_TRIG_10);
    out(m, UART_MCR, UART_MCR_DTR | UART_MCR_RTS | UART_MCR_OUT2);
    out(m, UART_IER, UART_IER_RDI | UART_IER_THRI);
    while (sent < AMOUNT || received < AMOUNT) {
        uint8_t iir;

        if (!atomic_exchange(&m->irq.raised, 0)) {
            sched_yield(); /* halted */
            continue;
        }
        /* As Linux's handler: until nothing is pending. */
        while (!((iir = in(m, UART_IIR)) & UART_IIR_NO_INT)) {
            uint8_t lsr = in(m, UART_LSR);

            while (lsr & UART_LSR_DR) {
                uint8_t byte = in(m, UART_RX);

                if (received < AMOUNT)
                    m->guest_got[received++] = byte;
                lsr = in(m, UART_LSR);
            }
            if (lsr & UART_LSR_THRE) {
                for (unsigned i = 0; i < 16 && sent < AMOUNT; i++)
                    out(m, UART_TX, m->pattern[sent++]);
                if (sent == AMOUNT)
                    out(m, UART_IER, UART_IER_RDI);
            }
        }
    }
    return NULL;
}

static void *typist(void *argument)
{
    struct machine *m = argument;
    size_t done = 0;
    ssize_t count;

    while (done < AMOUNT && (count = write(m->input[1], m->pattern + done, AMOUNT - done)) > 0)
        done += (size_t)count;
    return NULL;
}

static void *reader(void *argument)
{
    struct machine *m = argument;
    size_t done = 0;
    ssize_t count;

    while (done < AMOUNT && (count = read(m->output[0], m->host_got + done, AMOUNT - done)) > 0)
        done += (size_t)count;
    return NULL;
}

static void drained(void *argument)
{
    struct machine *m = argument;

    loop_stop(m->loop);
}

/* Waits for the guest and ends the machine as src/vm.c does. */
static void *supervisor(void *argument)
{
    struct machine *m = argument;
    pthread_t thread;

    if (pthread_create(&thread, NULL, vcpu, m) == 0)
        pthread_join(thread, NULL);
    m->console->ops->finish(m->console, drained, m);
    return NULL;
}

static void test_both_directions_at_once_lose_nothing(void **state)
{
    const enum loop_engine *engine = *state;
    struct console_options options = { .kind = CONSOLE_STDIO };
    struct machine m = { 0 };
    struct bus_region region;
    pthread_t threads[3];
    void *(*const mains[3])(void *) = { supervisor, typist, reader };

    if (loop_create(*engine, 16, &m.loop, NULL) < 0)
        skip();
    m.pattern = malloc(AMOUNT);
    m.guest_got = calloc(1, AMOUNT);
    m.host_got = calloc(1, AMOUNT);
    assert_true(m.pattern && m.guest_got && m.host_got);
    for (size_t i = 0; i < AMOUNT; i++)
        m.pattern[i] = (uint8_t)(i * 31 + i / 256);
    fake_irq_line_init(&m.irq);
    assert_int_equal(pipe2(m.input, O_CLOEXEC), 0);
    assert_int_equal(pipe2(m.output, O_CLOEXEC), 0);
    assert_int_equal(console_open_streams(m.loop, &options, m.input[0], m.output[1], &m.console, NULL), 0);
    assert_int_equal(serial_create(m.console, &m.irq.line, &m.serial), 0);
    assert_int_equal(bus_create(&m.bus), 0);
    region = serial_region(m.serial, BASE);
    assert_int_equal(bus_add(m.bus, &region), 0);
    bus_freeze(m.bus);

    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, mains[i], &m), 0);
    assert_int_equal(loop_run(m.loop), 0);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_memory_equal(m.guest_got, m.pattern, AMOUNT);
    assert_memory_equal(m.host_got, m.pattern, AMOUNT);
    assert_int_equal(console_dropped(m.console), 0);

    bus_destroy(m.bus);
    serial_destroy(m.serial);
    char_backend_destroy(m.console);
    loop_destroy(m.loop);
    for (unsigned i = 0; i < 2; i++) {
        close(m.input[i]);
        close(m.output[i]);
    }
    free(m.pattern);
    free(m.guest_got);
    free(m.host_got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_both_directions_at_once_lose_nothing, (void *)&engines[0]),
        cmocka_unit_test_prestate(test_both_directions_at_once_lose_nothing, (void *)&engines[1]),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
