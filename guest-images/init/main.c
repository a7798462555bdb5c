/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - process 1 of the guest of `ringlet exec`: makes the guest ready, runs one command in it, and ends the
 * machine (ringlet/guest_protocol.h). guest-images/README.md has what it does in the words of its user.
 *
 * If process 1 ends, the kernel panics. So nothing here returns from main(): each way out of a function ends in
 * report.h, which ends the machine. No signal ends us either: all are blocked from the start.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "accounts.h"
#include "frames.h"
#include "modules.h"
#include "mounts.h"
#include "network.h"
#include "ports.h"
#include "report.h"
#include "ringlet/error.h"
#include "session.h"
#include "settings.h"

#include <poll.h>

#define HELLO_TIMEOUT 10000 /* ms */

/* Where nobody reads or writes: 0, 1 and 2 are never anything else by chance. */
static void occupy_standard_descriptors(void)
{
    int fd = open("/dev/null", O_RDWR);

    for (int i = 0; i < 3; i++) {
        if (fd >= 0 && fd != i)
            dup2(fd, i);
    }
    if (fd > 2)
        close(fd);
}

static void spare_us_from_oom(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd >= 0) {
        (void)!write(fd, "-1000", 5);
        close(fd);
    }
}

static void begin(struct report *report)
{
    struct error err = { "" };
    int result;

    report->console = open("/dev/console", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    result = mounts_begin(&err);
    if (result < 0)
        report_failure(report, &err);
    if (report->console < 3) {
        /* There was no /dev yet, or no descriptor 0, 1 or 2. */
        occupy_standard_descriptors();
        report->console = open("/dev/console", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    } else {
        occupy_standard_descriptors();
    }
    report->can_power_off = access("/sys/firmware/acpi", F_OK) == 0;
    spare_us_from_oom();
}

/* HELLO, and the answer. */
static void receive_settings(const struct report *report, struct frame_reader *reader,
                             struct settings *ret_settings)
{
    uint32_t version = GUEST_PROTOCOL_VERSION;
    struct error err = { "" };
    bool complete = false;
    int result;

    if (frame_send(report->control, GUEST_HELLO, &version, sizeof(version), HELLO_TIMEOUT) < 0)
        report_power_off(report);
    while (!complete) {
        struct pollfd control = { .fd = report->control, .events = POLLIN };

        poll(&control, 1, -1);
        result = frame_reader_read(reader, report->control, &complete);
        if (result == -ENOMEM) {
            error_set(&err, result, "the guest has no memory for what it is to do: give it more by --memory");
            report_failure(report, &err);
        }
        if (result < 0)
            report_power_off(report);
    }
    if (reader->head.type != GUEST_RUN)
        report_power_off(report);
    if (settings_parse((char *)reader->body, reader->head.length, ret_settings, &err) < 0)
        report_failure(report, &err);
    /* The settings stand in it from here on, to the end. */
    reader->body = NULL;
    frame_reader_next(reader);
}

static int set_up(const struct report *report, const struct settings *settings, struct account *ret_account,
                  struct error *err)
{
    int result;

    if (settings->hostname && sethostname(settings->hostname, strlen(settings->hostname)) < 0)
        return error_set(err, -errno, "cannot name the guest '%s': %s", settings->hostname, strerror(errno));
    result = mounts_enter_root(settings, report, err);
    if (result == 0)
        result = mounts_add_shares(settings, err);
    if (result < 0)
        return result;
    network_set_up(settings->network, report);
    return account_find("/etc/passwd", "/etc/group", settings->user, ret_account, err);
}

int main(void)
{
    struct report report = { .console = -1, .control = -1, .can_power_off = true };
    struct session_ports ports;
    struct frame_reader reader = { 0 };
    struct settings settings;
    struct account account;
    struct guest_exit end;
    struct error err = { "" };
    sigset_t all;
    int result;

    if (getpid() != 1) {
        static const char sentence[] =
            "ringlet-init: this is process 1 of a guest of `ringlet exec`, nothing else\n";

        (void)!write(STDERR_FILENO, sentence, sizeof(sentence) - 1);
        return 2;
    }
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);

    begin(&report);
    modules_load(&report);
    if (ports_open(&ports, &err) < 0)
        report_failure(&report, &err);
    report.control = ports.control;
    receive_settings(&report, &reader, &settings);
    if (set_up(&report, &settings, &account, &err) < 0)
        report_failure(&report, &err);
    result = session_run(&ports, &reader, &settings, &account, &end, &err);
    if (result < 0 && !*err.text) /* the host has gone, or talks nonsense */
        report_power_off(&report);
    mounts_end();
    if (result < 0)
        report_failure(&report, &err);
    report_exit(&report, &end);
}
