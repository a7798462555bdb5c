/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_serial.c - the 16550A as its drivers see it: Linux's probe step by step, interrupts, flow control both
 * ways, and that no byte of input is lost on the way to a driver that is not ready yet.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/serial_reg.h>

#include "fake_char.h"
#include "fake_irq_line.h"
#include "ringlet/bus.h"
#include "ringlet/serial.h"

#define BOTH_EMPTY (UART_LSR_TEMT | UART_LSR_THRE)
#define ALL_INTR   (UART_IER_MSI | UART_IER_RLSI | UART_IER_THRI | UART_IER_RDI)

struct fixture {
    struct fake_char wire;
    struct fake_irq_line irq;
    struct serial *serial;
    struct bus_region region;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    fake_char_init(&f->wire);
    fake_irq_line_init(&f->irq);
    assert_int_equal(serial_create(&f->wire.backend, &f->irq.line, &f->serial), 0);
    f->region = serial_region(f->serial, 0x3f8);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    serial_destroy(f->serial);
    free(f);
    return 0;
}

static uint8_t in(struct fixture *f, unsigned port)
{
    return (uint8_t)f->region.ops->read(f->region.opaque, port, 1);
}

static void out(struct fixture *f, unsigned port, uint8_t value)
{
    f->region.ops->write(f->region.opaque, port, value, 1);
}

static unsigned take_edges(struct fixture *f)
{
    return atomic_exchange(&f->irq.raised, 0);
}

/* As Linux's driver leaves the port when somebody has opened it. */
static void open_port(struct fixture *f, uint8_t ier)
{
    out(f, UART_LCR, UART_LCR_WLEN8);
    out(f, UART_FCR, UART_FCR_ENABLE_FIFO);
    out(f, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_R_TRIG_10);
    out(f, UART_MCR, UART_MCR_DTR | UART_MCR_RTS | UART_MCR_OUT2);
    in(f, UART_MSR);
    out(f, UART_IER, ier);
    take_edges(f);
}

/* serial8250_clear_fifos() */
static void clear_fifos(struct fixture *f)
{
    out(f, UART_FCR, UART_FCR_ENABLE_FIFO);
    out(f, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR | UART_FCR_CLEAR_XMIT);
    out(f, UART_FCR, 0);
}

/* Read as an interrupt handler does until there is no more, appending to `to`. */
static void read_all(struct fixture *f, char *to)
{
    to += strlen(to);
    for (;;) {
        while (in(f, UART_LSR) & UART_LSR_DR)
            *to++ = (char)in(f, UART_RX);
        *to = '\0';
        if (!fake_char_deliver(&f->wire))
            return;
    }
}

/* --- probing --- */

static void test_ier_holds_four_bits_and_no_more(void **state)
{
    struct fixture *f = *state;

    out(f, UART_IER, 0);
    assert_int_equal(in(f, UART_IER), 0);
    out(f, UART_IER, 0xff);
    assert_int_equal(in(f, UART_IER), ALL_INTR);
}

static void test_loopback_turns_modem_outputs_into_inputs(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint8_t mcr, msr;
    } rows[] = {
        { UART_MCR_RTS, UART_MSR_CTS },
        { UART_MCR_DTR, UART_MSR_DSR },
        { UART_MCR_OUT1, UART_MSR_RI },
        { UART_MCR_OUT2, UART_MSR_DCD },
        { UART_MCR_OUT2 | UART_MCR_RTS, UART_MSR_DCD | UART_MSR_CTS },
        { 0, 0 },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        out(f, UART_MCR, UART_MCR_LOOP | rows[i].mcr);
        assert_int_equal(in(f, UART_MSR) & 0xf0, rows[i].msr);
    }
    out(f, UART_MCR, 0);
    assert_int_equal(in(f, UART_MSR) & 0xf0, UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS);
}

static void test_modem_deltas_last_until_read(void **state)
{
    struct fixture *f = *state;

    out(f, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT1 | UART_MCR_RTS);
    in(f, UART_MSR);
    out(f, UART_MCR, UART_MCR_LOOP | UART_MCR_DTR);
    assert_int_equal(in(f, UART_MSR) & 0x0f, UART_MSR_DCTS | UART_MSR_DDSR | UART_MSR_TERI);
    assert_int_equal(in(f, UART_MSR) & 0x0f, 0);
    /* Only the trailing edge of RI counts. */
    out(f, UART_MCR, UART_MCR_LOOP | UART_MCR_DTR | UART_MCR_OUT1);
    assert_int_equal(in(f, UART_MSR) & 0x0f, 0);
}

static void test_iir_says_16550a_only_while_fifos_are_enabled(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(in(f, UART_IIR), UART_IIR_NO_INT);
    out(f, UART_FCR, UART_FCR_ENABLE_FIFO);
    assert_int_equal(in(f, UART_IIR), 0xc0 | UART_IIR_NO_INT);
    /* Without bit 0 the rest of FCR does not count: this is how an EFR is looked for. */
    out(f, UART_FCR, 0xc0);
    assert_int_equal(in(f, UART_IIR), UART_IIR_NO_INT);
}

/* autoconfig_16550a(): none of the chips that resemble a 16550A are found. */
static void test_probe_finds_a_plain_16550a(void **state)
{
    struct fixture *f = *state;
    uint8_t mcr;

    out(f, UART_LCR, UART_LCR_CONF_MODE_B);
    out(f, UART_EFR, 0);
    out(f, UART_LCR, 0);
    out(f, UART_FCR, UART_FCR_ENABLE_FIFO);
    assert_int_equal(in(f, UART_IIR) >> 6, 3);

    out(f, UART_LCR, UART_LCR_CONF_MODE_A);
    assert_int_not_equal(in(f, UART_EFR), 0); /* no ST16C650 */
    out(f, UART_LCR, UART_LCR_CONF_MODE_B);
    assert_int_not_equal(in(f, UART_EFR), 0); /* no 16650v2 */

    /* no National SuperIO: bank 2's EXCR1 does not follow MCR.LOOP */
    out(f, UART_LCR, 0);
    mcr = in(f, UART_MCR);
    out(f, UART_MCR, mcr ^ UART_MCR_LOOP);
    out(f, UART_LCR, 0xe0);
    assert_int_equal(in(f, 2) & UART_MCR_LOOP, mcr & UART_MCR_LOOP);
    out(f, UART_LCR, 0);
    out(f, UART_MCR, mcr);

    /* no 16750: 64-byte mode does not exist */
    out(f, UART_LCR, UART_LCR_CONF_MODE_A);
    out(f, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR7_64BYTE);
    assert_int_equal(in(f, UART_IIR) >> 5, 6);
    out(f, UART_LCR, 0);

    /* no Xscale */
    out(f, UART_IER, 0x40);
    assert_int_equal(in(f, UART_IER), 0);
}

/* size_fifo() */
static unsigned size_fifo(struct fixture *f)
{
    unsigned count;

    out(f, UART_LCR, 0);
    out(f, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR | UART_FCR_CLEAR_XMIT);
    out(f, UART_MCR, UART_MCR_LOOP);
    out(f, UART_LCR, UART_LCR_CONF_MODE_A);
    out(f, UART_DLL, 1);
    out(f, UART_DLM, 0);
    out(f, UART_LCR, UART_LCR_WLEN8);
    for (unsigned i = 0; i < 256; i++)
        out(f, UART_TX, (uint8_t)i);
    for (count = 0; (in(f, UART_LSR) & UART_LSR_DR) && count < 256; count++)
        assert_int_equal(in(f, UART_RX), count);
    out(f, UART_FCR, 0);
    out(f, UART_MCR, 0);
    return count;
}

static void test_fifo_is_sixteen_deep_and_loopback_stays_inside(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(size_fifo(f), 16);
    assert_int_equal(f->wire.output_count, 0);
}

static void test_loopback_overrun_is_reported_once(void **state)
{
    struct fixture *f = *state;

    out(f, UART_MCR, UART_MCR_LOOP);
    out(f, UART_IER, UART_IER_RLSI);
    out(f, UART_TX, 'a');
    out(f, UART_TX, 'b');
    assert_int_equal(in(f, UART_IIR), UART_IIR_RLSI);
    assert_int_equal(in(f, UART_LSR), BOTH_EMPTY | UART_LSR_OE | UART_LSR_DR);
    assert_int_equal(in(f, UART_IIR), UART_IIR_NO_INT);
    assert_int_equal(in(f, UART_LSR), BOTH_EMPTY | UART_LSR_DR);
    assert_int_equal(in(f, UART_RX), 'a');
}

static void test_fifo_reset_discards_what_looped_back(void **state)
{
    struct fixture *f = *state;

    out(f, UART_FCR, UART_FCR_ENABLE_FIFO);
    out(f, UART_MCR, UART_MCR_LOOP);
    out(f, UART_TX, 'a');
    out(f, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
    assert_int_equal(in(f, UART_LSR) & UART_LSR_DR, 0);
    out(f, UART_TX, 'b');
    out(f, UART_FCR, 0);
    assert_int_equal(in(f, UART_LSR) & UART_LSR_DR, 0);
}

/* The two tests of serial8250_do_startup(): THRE is reported each time THRI is enabled. */
static void test_enabling_thri_while_idle_interrupts_each_time(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 2; i++) {
        out(f, UART_IER, UART_IER_THRI);
        assert_int_equal(in(f, UART_LSR), BOTH_EMPTY);
        assert_int_equal(in(f, UART_IIR), UART_IIR_THRI);
        assert_int_equal(in(f, UART_IIR), UART_IIR_NO_INT);
        out(f, UART_IER, 0);
    }
}

static void test_scratch_and_divisor_hold_their_values(void **state)
{
    struct fixture *f = *state;

    out(f, UART_SCR, 0xa5);
    out(f, UART_LCR, UART_LCR_DLAB | UART_LCR_WLEN8);
    out(f, UART_DLL, 0x12);
    out(f, UART_DLM, 0x34);
    assert_int_equal(in(f, UART_DLL), 0x12);
    assert_int_equal(in(f, UART_DLM), 0x34);
    assert_int_equal(in(f, UART_LCR), UART_LCR_DLAB | UART_LCR_WLEN8);
    out(f, UART_LCR, UART_LCR_WLEN8);
    assert_int_equal(in(f, UART_IER), 0);
    assert_int_equal(in(f, UART_SCR), 0xa5);
    assert_int_equal(f->wire.output_count, 0);
}

static void test_status_registers_ignore_writes(void **state)
{
    struct fixture *f = *state;

    out(f, UART_LSR, 0xff);
    out(f, UART_MSR, 0xff);
    assert_int_equal(in(f, UART_LSR), BOTH_EMPTY);
    assert_int_equal(in(f, UART_MSR), UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS);
}

static void test_wide_access_is_a_byte_for_each_port(void **state)
{
    struct fixture *f = *state;

    out(f, UART_LCR, UART_LCR_DLAB);
    f->region.ops->write(f->region.opaque, UART_DLL, 0xbeef, 2);
    assert_int_equal(in(f, UART_DLL), 0xef);
    assert_int_equal(in(f, UART_DLM), 0xbe);
    assert_int_equal(f->region.ops->read(f->region.opaque, UART_LCR, 4),
                     UART_LCR_DLAB | (uint32_t)BOTH_EMPTY << 16 | 0xb0000000u);
}

/* --- output --- */

static void test_output_goes_straight_to_the_backend(void **state)
{
    struct fixture *f = *state;

    out(f, UART_TX, 'h');
    out(f, UART_TX, 'i');
    assert_string_equal(f->wire.output, "hi");
    assert_int_equal(in(f, UART_LSR), BOTH_EMPTY);
}

static void test_full_backend_keeps_the_transmitter_busy_until_writable(void **state)
{
    struct fixture *f = *state;

    open_port(f, UART_IER_THRI);
    in(f, UART_IIR);
    f->wire.room = 1;
    for (unsigned i = 0; i < 6; i++)
        out(f, UART_TX, (uint8_t)('a' + i));
    assert_string_equal(f->wire.output, "a");
    assert_int_equal(in(f, UART_LSR) & BOTH_EMPTY, 0);
    take_edges(f);
    assert_int_equal(in(f, UART_IIR) & 0xf, UART_IIR_NO_INT);

    fake_char_make_room(&f->wire, 2);
    assert_string_equal(f->wire.output, "abc");
    assert_int_equal(in(f, UART_LSR) & BOTH_EMPTY, 0);
    assert_int_equal(take_edges(f), 0);

    fake_char_make_room(&f->wire, 100);
    assert_string_equal(f->wire.output, "abcdef");
    assert_int_equal(in(f, UART_LSR) & BOTH_EMPTY, BOTH_EMPTY);
    assert_int_equal(take_edges(f), 1);
    assert_int_equal(in(f, UART_IIR) & 0xf, UART_IIR_THRI);
}

static void test_order_survives_a_backend_that_takes_a_byte_at_a_time(void **state)
{
    struct fixture *f = *state;
    char expected[101] = "";
    unsigned sent = 0;

    open_port(f, 0);
    f->wire.room = 0;
    while (f->wire.output_count < 100) {
        while (sent < 100 && sent - f->wire.output_count < 16) {
            expected[sent] = (char)('0' + sent % 64);
            out(f, UART_TX, (uint8_t)expected[sent++]);
        }
        fake_char_make_room(&f->wire, sent % 3 ? 1 : 5);
    }
    assert_string_equal(f->wire.output, expected);
}

static void test_writes_beyond_a_full_fifo_are_lost_and_the_fifo_is_not(void **state)
{
    struct fixture *f = *state;

    open_port(f, 0);
    f->wire.room = 0;
    for (unsigned i = 0; i < 40; i++)
        out(f, UART_TX, (uint8_t)('A' + i));
    fake_char_make_room(&f->wire, 100);
    assert_string_equal(f->wire.output, "ABCDEFGHIJKLMNOP");
}

static void test_without_fifos_the_transmitter_holds_one_byte(void **state)
{
    struct fixture *f = *state;

    f->wire.room = 0;
    out(f, UART_TX, 'a');
    out(f, UART_TX, 'b');
    fake_char_make_room(&f->wire, 100);
    assert_string_equal(f->wire.output, "a");
}

static void test_transmitter_reset_recalls_nothing(void **state)
{
    struct fixture *f = *state;

    open_port(f, 0);
    f->wire.room = 0;
    out(f, UART_TX, 'a');
    clear_fifos(f);
    fake_char_make_room(&f->wire, 100);
    assert_string_equal(f->wire.output, "a");
}

static void test_writable_without_anything_to_send_is_no_interrupt(void **state)
{
    struct fixture *f = *state;

    open_port(f, UART_IER_THRI);
    in(f, UART_IIR);
    take_edges(f);
    fake_char_make_room(&f->wire, 1);
    assert_int_equal(take_edges(f), 0);
    assert_int_equal(in(f, UART_IIR) & 0xf, UART_IIR_NO_INT);
}

/* A handler that sends one byte an interrupt, whether it asks IIR for the reason or not, is called again. */
static void test_each_byte_sent_brings_a_new_thre_edge(void **state)
{
    struct fixture *f = *state;

    open_port(f, 0);
    out(f, UART_IER, UART_IER_THRI);
    assert_int_equal(take_edges(f), 1);
    out(f, UART_TX, 'a');
    assert_int_equal(take_edges(f), 1);
    assert_int_equal(in(f, UART_IIR) & 0xf, UART_IIR_THRI);
    assert_int_equal(take_edges(f), 0);
    out(f, UART_TX, 'b');
    assert_int_equal(take_edges(f), 1);
}

static void test_reading_iir_takes_back_thre_only_if_it_was_reported(void **state)
{
    struct fixture *f = *state;

    open_port(f, UART_IER_RDI | UART_IER_THRI);
    fake_char_type(&f->wire, "x");
    assert_int_equal(in(f, UART_IIR) & 0xf, UART_IIR_RX_TIMEOUT);
    assert_int_equal(in(f, UART_RX), 'x');
    assert_int_equal(in(f, UART_IIR) & 0xf, UART_IIR_THRI);
    assert_int_equal(in(f, UART_IIR) & 0xf, UART_IIR_NO_INT);
}

/* --- interrupts --- */

static void test_interrupts_have_the_chips_priority(void **state)
{
    struct fixture *f = *state;

    out(f, UART_IER, ALL_INTR);
    in(f, UART_IIR);
    out(f, UART_MCR, UART_MCR_LOOP); /* modem lines fall */
    out(f, UART_TX, 'a');
    out(f, UART_TX, 'b'); /* overruns */
    assert_int_equal(in(f, UART_IIR), UART_IIR_RLSI);
    in(f, UART_LSR);
    assert_int_equal(in(f, UART_IIR), UART_IIR_RDI);
    in(f, UART_RX);
    assert_int_equal(in(f, UART_IIR), UART_IIR_THRI);
    assert_int_equal(in(f, UART_IIR), UART_IIR_MSI);
    in(f, UART_MSR);
    assert_int_equal(in(f, UART_IIR), UART_IIR_NO_INT);
}

static void test_out2_connects_the_interrupt_line(void **state)
{
    struct fixture *f = *state;

    out(f, UART_IER, UART_IER_THRI);
    assert_int_equal(take_edges(f), 0);
    out(f, UART_MCR, UART_MCR_OUT2);
    assert_int_equal(take_edges(f), 1);
    /* Cut and connected again while the cause lasts: an edge again. */
    out(f, UART_MCR, 0);
    assert_int_equal(take_edges(f), 0);
    out(f, UART_MCR, UART_MCR_OUT2);
    assert_int_equal(take_edges(f), 1);
}

static void test_loopback_cuts_the_interrupt_line(void **state)
{
    struct fixture *f = *state;

    out(f, UART_MCR, UART_MCR_OUT2 | UART_MCR_LOOP);
    out(f, UART_IER, UART_IER_THRI);
    out(f, UART_TX, 'a');
    assert_int_equal(take_edges(f), 0);
}

static void test_trigger_level_decides_between_data_and_timeout(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint8_t fcr;
        unsigned level;
    } rows[] = { { UART_FCR_TRIGGER_1, 1 },
                 { UART_FCR_TRIGGER_4, 4 },
                 { UART_FCR_TRIGGER_8, 8 },
                 { UART_FCR_TRIGGER_14, 14 } };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char got[32] = "";

        open_port(f, UART_IER_RDI);
        out(f, UART_FCR, UART_FCR_ENABLE_FIFO | rows[i].fcr);
        for (unsigned count = 1; count <= 16; count++) {
            fake_char_type(&f->wire, "x");
            assert_int_equal(in(f, UART_IIR) & 0xf,
                             count < rows[i].level ? UART_IIR_RX_TIMEOUT : UART_IIR_RDI);
        }
        read_all(f, got);
        assert_string_equal(got, "xxxxxxxxxxxxxxxx");
        assert_int_equal(in(f, UART_IIR) & 0xf, UART_IIR_NO_INT);
    }
}

static void test_input_raises_one_edge_until_it_is_read(void **state)
{
    struct fixture *f = *state;

    open_port(f, UART_IER_RDI);
    fake_char_type(&f->wire, "a");
    assert_int_equal(take_edges(f), 1);
    fake_char_type(&f->wire, "b");
    assert_int_equal(take_edges(f), 0);
    in(f, UART_RX);
    in(f, UART_RX);
    take_edges(f);
    fake_char_type(&f->wire, "c");
    assert_int_equal(take_edges(f), 1);
}

/* A handler that takes one byte an interrupt is called for the rest. */
static void test_bytes_left_below_the_trigger_time_out_again(void **state)
{
    struct fixture *f = *state;

    open_port(f, UART_IER_RDI);
    fake_char_type(&f->wire, "abc");
    assert_int_equal(take_edges(f), 1);
    in(f, UART_RX);
    assert_int_equal(take_edges(f), 1);
    in(f, UART_RX);
    assert_int_equal(take_edges(f), 1);
    in(f, UART_RX);
    assert_int_equal(take_edges(f), 0);
}

/* printk does this around each line: no input is lost, and its interrupt comes again. */
static void test_masking_interrupts_for_a_moment_loses_no_input(void **state)
{
    struct fixture *f = *state;
    char got[16] = "";

    open_port(f, UART_IER_RDI | UART_IER_RLSI);
    fake_char_type(&f->wire, "ab");
    take_edges(f);
    out(f, UART_IER, 0);
    fake_char_type(&f->wire, "cd");
    out(f, UART_TX, '!');
    in(f, UART_LSR);
    out(f, UART_IER, UART_IER_RDI | UART_IER_RLSI);
    assert_int_equal(take_edges(f), 1);
    read_all(f, got);
    assert_string_equal(got, "abcd");
}

/* --- input --- */

static void test_input_waits_while_nobody_listens(void **state)
{
    struct fixture *f = *state;
    char got[16] = "";

    fake_char_type(&f->wire, "early");
    assert_int_equal(in(f, UART_LSR), BOTH_EMPTY);
    assert_int_equal(in(f, UART_RX), 0);
    assert_int_equal(f->wire.input_start, 0);
    open_port(f, UART_IER_RDI);
    read_all(f, got);
    assert_string_equal(got, "early");
}

static void test_probing_eats_no_input(void **state)
{
    struct fixture *f = *state;
    char got[32] = "";

    fake_char_type(&f->wire, "echo hello\n");
    /* autoconfig(): IER's existence test, and the loop's turn at the worst of moments */
    out(f, UART_IER, 0);
    out(f, UART_IER, ALL_INTR);
    fake_char_deliver(&f->wire);
    out(f, UART_IER, 0);
    out(f, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
    fake_char_deliver(&f->wire);
    out(f, UART_MCR, 0);
    assert_int_equal(size_fifo(f), 16);
    clear_fifos(f);
    in(f, UART_RX);
    /* serial8250_do_startup() */
    clear_fifos(f);
    in(f, UART_LSR);
    in(f, UART_RX);
    in(f, UART_IIR);
    in(f, UART_MSR);
    out(f, UART_MCR, UART_MCR_OUT2);
    out(f, UART_IER, UART_IER_THRI);
    in(f, UART_LSR);
    in(f, UART_IIR);
    out(f, UART_IER, 0);
    in(f, UART_RX);
    open_port(f, UART_IER_RDI | UART_IER_RLSI);
    read_all(f, got);
    assert_string_equal(got, "echo hello\n");
}

/* The last close and the next open, with bytes in the FIFO that the driver did not get to. */
static void test_shutdown_and_reopening_lose_no_input(void **state)
{
    struct fixture *f = *state;
    char got[64] = "";

    open_port(f, UART_IER_RDI);
    fake_char_type(&f->wire, "0123456789abcdefghij");
    assert_int_equal(in(f, UART_RX), '0');
    out(f, UART_IER, 0);
    out(f, UART_MCR, 0);
    clear_fifos(f);
    assert_int_equal(in(f, UART_RX), 0);
    open_port(f, UART_IER_RDI);
    read_all(f, got);
    assert_string_equal(got, "123456789abcdefghij");
}

static void test_input_beyond_the_fifo_comes_as_it_is_read(void **state)
{
    struct fixture *f = *state;
    char text[1001], got[1001] = "";

    for (unsigned i = 0; i < 1000; i++)
        text[i] = (char)('!' + i % 90);
    text[1000] = '\0';
    open_port(f, UART_IER_RDI);
    fake_char_type(&f->wire, text);
    assert_int_equal(f->wire.input_start, 16);
    assert_int_equal(f->wire.receive_ready_calls, 0);
    read_all(f, got);
    assert_string_equal(got, text);
}

static void test_without_fifos_input_comes_byte_by_byte_each_with_an_edge(void **state)
{
    struct fixture *f = *state;

    out(f, UART_MCR, UART_MCR_OUT2);
    out(f, UART_IER, UART_IER_RDI);
    fake_char_type(&f->wire, "abc");
    for (const char *expected = "abc"; *expected; expected++) {
        assert_int_equal(take_edges(f), 1);
        assert_int_equal(in(f, UART_IIR), UART_IIR_RDI);
        assert_int_equal(in(f, UART_RX), *expected);
        assert_int_equal(in(f, UART_LSR) & UART_LSR_DR, 0);
        fake_char_deliver(&f->wire);
    }
    assert_int_equal(take_edges(f), 0);
}

static void test_a_guest_that_polls_lsr_gets_input_without_interrupts(void **state)
{
    struct fixture *f = *state;
    char got[16] = "";

    fake_char_type(&f->wire, "go");
    for (unsigned i = 0; i < SERIAL_POLL_READS; i++) {
        assert_int_equal(in(f, UART_LSR), BOTH_EMPTY);
        fake_char_deliver(&f->wire);
    }
    read_all(f, got);
    assert_string_equal(got, "go");
    assert_int_equal(take_edges(f), 0);
    /* and what is typed later comes at once */
    fake_char_type(&f->wire, "on");
    read_all(f, got);
    assert_string_equal(got, "goon");
}

static void test_a_guest_that_polls_iir_gets_input_without_out2(void **state)
{
    struct fixture *f = *state;

    out(f, UART_IER, UART_IER_RDI);
    fake_char_type(&f->wire, "x");
    for (unsigned i = 0; i < SERIAL_POLL_READS; i++)
        assert_int_equal(in(f, UART_IIR), UART_IIR_NO_INT);
    fake_char_deliver(&f->wire);
    assert_int_equal(in(f, UART_IIR), UART_IIR_RDI);
    assert_int_equal(in(f, UART_RX), 'x');
}

static void test_reading_lsr_between_writes_is_not_polling(void **state)
{
    struct fixture *f = *state;

    fake_char_type(&f->wire, "x");
    for (unsigned i = 0; i < 10 * SERIAL_POLL_READS; i++) {
        out(f, UART_TX, '.');
        for (unsigned j = 0; j < SERIAL_POLL_READS - 1; j++)
            in(f, UART_LSR);
        fake_char_deliver(&f->wire);
    }
    assert_int_equal(f->wire.input_start, 0);
}

static void test_waiting_for_a_busy_transmitter_is_not_polling(void **state)
{
    struct fixture *f = *state;

    fake_char_type(&f->wire, "x");
    f->wire.room = 0;
    out(f, UART_TX, '.');
    for (unsigned i = 0; i < 10 * SERIAL_POLL_READS; i++)
        in(f, UART_LSR);
    fake_char_deliver(&f->wire);
    assert_int_equal(f->wire.input_start, 0);
}

static void test_a_driver_that_takes_over_from_a_poller_loses_nothing(void **state)
{
    struct fixture *f = *state;
    char got[16] = "";

    for (unsigned i = 0; i < SERIAL_POLL_READS; i++)
        in(f, UART_LSR);
    fake_char_type(&f->wire, "a");
    assert_int_equal(f->wire.input_start, 1);
    out(f, UART_IER, 0);
    assert_int_equal(in(f, UART_LSR), BOTH_EMPTY);
    clear_fifos(f);
    in(f, UART_RX);
    open_port(f, UART_IER_RDI);
    read_all(f, got);
    assert_string_equal(got, "a");
}

static void test_lowering_rts_silences_the_sender(void **state)
{
    struct fixture *f = *state;
    char got[64] = "";

    open_port(f, UART_IER_RDI);
    out(f, UART_MCR, UART_MCR_DTR | UART_MCR_OUT2);
    fake_char_type(&f->wire, "later");
    assert_int_equal(f->wire.input_start, 0);
    out(f, UART_MCR, UART_MCR_DTR | UART_MCR_OUT2 | UART_MCR_RTS);
    assert_int_equal(f->wire.receive_ready_calls, 1);
    fake_char_deliver(&f->wire);
    assert_int_equal(take_edges(f), 1);
    read_all(f, got);
    assert_string_equal(got, "later");
}

static void test_a_guest_that_never_raised_rts_still_receives(void **state)
{
    struct fixture *f = *state;

    out(f, UART_MCR, UART_MCR_OUT2);
    out(f, UART_IER, UART_IER_RDI);
    fake_char_type(&f->wire, "x");
    assert_int_equal(in(f, UART_RX), 'x');
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_ier_holds_four_bits_and_no_more),
        TEST(test_loopback_turns_modem_outputs_into_inputs),
        TEST(test_modem_deltas_last_until_read),
        TEST(test_iir_says_16550a_only_while_fifos_are_enabled),
        TEST(test_probe_finds_a_plain_16550a),
        TEST(test_fifo_is_sixteen_deep_and_loopback_stays_inside),
        TEST(test_loopback_overrun_is_reported_once),
        TEST(test_fifo_reset_discards_what_looped_back),
        TEST(test_enabling_thri_while_idle_interrupts_each_time),
        TEST(test_scratch_and_divisor_hold_their_values),
        TEST(test_status_registers_ignore_writes),
        TEST(test_wide_access_is_a_byte_for_each_port),
        TEST(test_output_goes_straight_to_the_backend),
        TEST(test_full_backend_keeps_the_transmitter_busy_until_writable),
        TEST(test_order_survives_a_backend_that_takes_a_byte_at_a_time),
        TEST(test_writes_beyond_a_full_fifo_are_lost_and_the_fifo_is_not),
        TEST(test_without_fifos_the_transmitter_holds_one_byte),
        TEST(test_transmitter_reset_recalls_nothing),
        TEST(test_writable_without_anything_to_send_is_no_interrupt),
        TEST(test_each_byte_sent_brings_a_new_thre_edge),
        TEST(test_reading_iir_takes_back_thre_only_if_it_was_reported),
        TEST(test_interrupts_have_the_chips_priority),
        TEST(test_out2_connects_the_interrupt_line),
        TEST(test_loopback_cuts_the_interrupt_line),
        TEST(test_trigger_level_decides_between_data_and_timeout),
        TEST(test_input_raises_one_edge_until_it_is_read),
        TEST(test_bytes_left_below_the_trigger_time_out_again),
        TEST(test_masking_interrupts_for_a_moment_loses_no_input),
        TEST(test_input_waits_while_nobody_listens),
        TEST(test_probing_eats_no_input),
        TEST(test_shutdown_and_reopening_lose_no_input),
        TEST(test_input_beyond_the_fifo_comes_as_it_is_read),
        TEST(test_without_fifos_input_comes_byte_by_byte_each_with_an_edge),
        TEST(test_a_guest_that_polls_lsr_gets_input_without_interrupts),
        TEST(test_a_guest_that_polls_iir_gets_input_without_out2),
        TEST(test_reading_lsr_between_writes_is_not_polling),
        TEST(test_waiting_for_a_busy_transmitter_is_not_polling),
        TEST(test_a_driver_that_takes_over_from_a_poller_loses_nothing),
        TEST(test_lowering_rts_silences_the_sender),
        TEST(test_a_guest_that_never_raised_rts_still_receives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
