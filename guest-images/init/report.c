/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.c - see report.h.
 */
#include "report.h"

#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "frames.h"
#include "ringlet/error.h"
#include "ringlet/guest_protocol.h"

#define SEND_TIMEOUT   5000 /* ms */
#define FAILED_TIMEOUT 5000 /* ms; for the host to end the machine */

/* One line on a terminal, and one sentence in a frame. */
static void clean(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
    }
}

static void say_on_console(const struct report *report, const char *sentence)
{
    char line[ERROR_TEXT_SIZE + 32];
    int length = snprintf(line, sizeof(line), "ringlet-init: %s\r\n", sentence);

    if (report->console >= 0)
        (void)!write(report->console, line, (size_t)length);
}

void report_warning(const struct report *report, const char *format, ...)
{
    char sentence[ERROR_TEXT_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(sentence, sizeof(sentence), format, arguments);
    va_end(arguments);
    clean(sentence);
    if (report->control < 0 ||
        frame_send(report->control, GUEST_WARNING, sentence, strlen(sentence), SEND_TIMEOUT) < 0)
        say_on_console(report, sentence);
}

/* Until the other side of the port has gone, which is how the machine's end looks from inside. */
static void wait_for_end(const struct report *report, int milliseconds)
{
    struct pollfd control = { .fd = report->control };

    poll(&control, 1, milliseconds);
}

void report_failure(const struct report *report, const struct error *err)
{
    char sentence[ERROR_TEXT_SIZE];

    snprintf(sentence, sizeof(sentence), "%s", err->text);
    clean(sentence);
    if (report->control >= 0 &&
        frame_send(report->control, GUEST_FAILED, sentence, strlen(sentence), SEND_TIMEOUT) == 0)
        wait_for_end(report, FAILED_TIMEOUT);
    else
        say_on_console(report, sentence);
    report_power_off(report);
}

void report_exit(const struct report *report, const struct guest_exit *end)
{
    if (frame_send(report->control, GUEST_EXIT, end, sizeof(*end), SEND_TIMEOUT) == 0)
        wait_for_end(report, -1);
    report_power_off(report);
}

void report_power_off(const struct report *report)
{
    sync();
    /* Asked to power off when it cannot, the kernel halts, and that would be for ever. */
    if (report->can_power_off)
        reboot(RB_POWER_OFF);
    reboot(RB_AUTOBOOT);
    for (;;)
        pause();
}
