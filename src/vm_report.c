/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm_report.c - how a machine ended, in words for a person, as an exit status for the shell, and as the last event for
 * a program.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "events.h"
#include "exit_status.h"
#include "guest_channel.h"
#include "guest_session.h"
#include "mmio_slot.h"
#include "ringlet/console.h"
#include "ringlet/harmless.h"
#include "ringlet/log.h"
#include "ringlet/util.h"
#include "ringlet/vcpu.h"
#include "vm_parts.h"

#define LAST_LINES 20 /* of a dead guest's console */

/* An error to Linux on any machine without PCI, as this one is, and the reason of nothing. */
static const char no_pci[] = "PCI: Fatal: No config space access function found";

static void report_lost_output(const struct char_backend *console)
{
    unsigned long long lost = console_dropped(console);
    int reason = console_write_error(console);

    if (!lost)
        return;
    if (reason && reason != -EPIPE)
        log_warning("%llu bytes of console output are lost: %s", lost, strerror(-reason));
    else
        log_warning("%llu bytes of console output found no reader", lost);
}

static void report_device(struct mmio_slot *slot)
{
    char text[256];

    switch (mmio_slot_report(slot, text, sizeof(text))) {
    case VIRTIO_REPORT_NONE:
        break;
    case VIRTIO_REPORT_DONE:
        log_info("%s", text);
        break;
    case VIRTIO_REPORT_TROUBLE:
        log_warning("%s", text);
        break;
    }
}

/* Take the line with `words` in it out of the text; how many bytes that were. */
static size_t forget_line(char *text, const char *words)
{
    char *found = strstr(text, words), *begin = found, *end;

    if (!found)
        return 0;
    while (begin > text && begin[-1] != '\n')
        begin--;
    end = found + strcspn(found, "\n");
    end += *end == '\n';
    memmove(begin, end, strlen(end) + 1);
    return (size_t)(end - begin);
}

/* The end of the console that exec keeps, line by line. False: it is empty. */
static bool report_last_words(const struct vm *vm)
{
    char text[8192 + 1], *line, *next = text;
    unsigned lines = 0;
    size_t length;

    /* Else the person has it elsewhere. */
    if (vm->options->console_given || vm->options->verbosity >= LOG_LEVEL_INFO)
        return true;
    length = console_memory(vm->console, text, sizeof(text) - 1);

    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\r' || !text[i])
            text[i] = ' ';
    }
    text[length] = '\0';
    length -= forget_line(text, no_pci);
    while (length && (text[length - 1] == ' ' || text[length - 1] == '\n'))
        length--;
    text[length] = '\0';
    for (size_t i = length; i-- > 0 && lines < LAST_LINES;) {
        lines += text[i] == '\n';
        next = text + i + (lines == LAST_LINES);
    }
    if (length)
        log_error("the last lines of its console:");
    while (length && (line = strsep(&next, "\n"))) {
        make_harmless(line);
        for (size_t end = strlen(line); end && line[end - 1] == ' '; end--)
            line[end - 1] = '\0';
        log_error("  | %s", line);
    }
    return length > 0;
}

/* The guest ended before it said how the command did. */
static void report_dead_guest(const struct vm *vm)
{
    static const char *const what[STOP_REASON_COUNT] = {
        [STOP_POWEROFF] = "switched itself off",
        [STOP_RESET] = "reset itself, as a panic or a reboot does,",
        [STOP_TRIPLE_FAULT] = "crashed",
    };

    if (!what[vm->end.reason])
        return;
    log_error("the guest %s %s", what[vm->end.reason],
              guest_session_stage(guest_channel_session(vm->channel)));
    (void)report_last_words(vm);
}

/* Of exec: has the guest gone by itself before it said how the command had? */
static bool guest_died(const struct vm *vm)
{
    int status;

    return vm->channel && !guest_session_ended(guest_channel_session(vm->channel), &status) &&
           vm_end_status(&vm->end) == EXIT_STATUS_GUEST_DIED;
}

/* What only exec has to say; `status` is that of the machine's end. Returns the exit status. */
static int report_command(const struct vm *vm, int status)
{
    const struct guest_session *session = guest_channel_session(vm->channel);
    int lost = guest_channel_output_error(vm->channel);

    if (guest_died(vm))
        report_dead_guest(vm);
    if (guest_session_failure(session))
        log_error("%s", guest_session_failure(session));
    if (lost) {
        log_error("the command's output is incomplete: %s", strerror(-lost));
        status = EXIT_STATUS_FAILURE;
    }
    return status;
}

/* What ended the machine, where that is no news of the guest's. */
static void report_reason(const struct vm *vm)
{
    switch (vm->end.reason) {
    case STOP_TIMEOUT:
        log_warning("the time given with --timeout ran out%s%s", vm->channel ? " " : "",
                    vm->channel ? guest_session_stage(guest_channel_session(vm->channel)) : "");
        if (vm->channel && !guest_session_started(guest_channel_session(vm->channel)) &&
            vm->options->verbosity >= LOG_LEVEL_WARNING && !report_last_words(vm))
            log_error("-v shows what its kernel says, and `ringlet doctor` whether this KVM runs Linux");
        break;
    case STOP_RESET:
        log_info("the guest asked for a reset");
        break;
    case STOP_HOST_FAILURE:
        if (vm->end.value)
            log_error("the host failed the VM: %s", strerror(-vm->end.value));
        break;
    default:
        break;
    }
}

int vm_report(const struct vm *vm)
{
    int status = vm_end_status(&vm->end);

    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        if (*vcpu_last_words(vm->vcpus[i]))
            log_error("%s", vcpu_last_words(vm->vcpus[i]));
    }
    report_lost_output(vm->console);
    for (unsigned i = 0; i < vm->slot_count; i++)
        report_device(vm->slots[i]);
    report_reason(vm);
    return vm->channel ? report_command(vm, status) : status;
}

static void report_console_closed(const struct vm *vm)
{
    int reason = console_write_error(vm->console);
    const struct event_member member = {
        .name = "reason",
        .text = !reason            ? "end"
                : reason == -EPIPE ? "reader-gone"
                                   : "write-failed",
    };

    events_say(vm->events, EVENT_CONSOLE_CLOSED, &member, 1);
}

void vm_report_exit(const struct vm *vm, bool failed, int status)
{
    /* Part of what docs/events.md promises. */
    static const char *const reasons[] = {
        [STOP_POWEROFF] = "poweroff",
        [STOP_DEBUG_EXIT] = "debug-exit",
        [STOP_RESET] = "reset",
        [STOP_TRIPLE_FAULT] = "crash",
        [STOP_INTERNAL_ERROR] = "internal-error",
        [STOP_TIMEOUT] = "timeout",
        [STOP_SIGNAL] = "signal",
        [STOP_CONSOLE_QUIT] = "console-quit",
        [STOP_COMMAND] = "command",
        [STOP_GUEST_FAILURE] = "guest-failure",
        [STOP_HOST_FAILURE] = "host-failure",
    };
    static_assert(ARRAY_SIZE(reasons) == STOP_REASON_COUNT, "a word for each reason");
    const struct event_member members[] = {
        { .name = "reason",
          .text = failed           ? "failure"
                  : guest_died(vm) ? "guest-died"
                                   : reasons[vm->end.reason] },
        { .name = "status", .number = status },
    };

    if (!failed)
        report_console_closed(vm);
    events_say(vm->events, EVENT_EXIT, members, ARRAY_SIZE(members));
}

void vm_report_leaving(const struct vm *vm)
{
    report_reason(vm);
    if (guest_died(vm))
        report_dead_guest(vm);
    vm_report_exit(vm, false, vm_end_status(&vm->end));
    events_leave(vm->events);
}
