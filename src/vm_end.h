/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm_end.h - how a running machine ends, from whatever asked for it to nothing in flight.
 *
 *   running --request--> stopping CPUs --all out--> draining --console written, devices quiet--> loop stops
 *
 * The request may come from any thread (a guest's register, KVM's error, a signal, the timeout); everything
 * after it happens on the loop thread. A signal once the end has begun, up to its last step, or ten seconds
 * without arriving, ends the process on the spot with the same status, the terminal restored.
 */
#ifndef RINGLET_VM_END_H
#define RINGLET_VM_END_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ringlet/loop.h"
#include "ringlet/stop.h"

struct char_backend;
struct error;
struct guest_channel;
struct mmio_slot;
struct vcpu;

struct vm_end {
    struct stop_sink sink;

    /* what has to end; borrowed, set before vm_end_start() */
    struct loop *loop;
    struct char_backend *console;
    struct guest_channel *channel; /* of exec, else NULL */
    struct mmio_slot **slots;
    unsigned slot_count;
    struct vcpu **vcpus;
    unsigned vcpu_count;
    void (*leaving)(void *argument); /* the process is about to be ended on the spot; optional */
    void *leaving_argument;
    uint64_t deadline; /* ns from the request to nothing in flight; 0 means 10 s */

    /* written once, by the first request */
    atomic_flag claimed;
    enum stop_reason reason;
    int value;

    /* loop thread, but for the two posts and the count of running CPUs */
    bool stopping, console_drained, channel_drained;
    atomic_uint vcpus_running;
    struct loop_task request_task, vcpus_gone_task;
    int signal_fd;
    int interrupt_fd;                      /* vm_end_init() */
    int early_signal_fd, early_timeout_fd; /* what it watches */
    struct loop_op signal_op, timeout_op, settle_op, deadline_op;
    unsigned char signal_info[128]; /* struct signalfd_siginfo */
};

/* Before anything else, and all that vm_end_finish() needs. */
#define VM_END_NONE                                                                                          \
    {                                                                                                        \
        .signal_fd = -1, .interrupt_fd = -1, .early_signal_fd = -1, .early_timeout_fd = -1                   \
    }

/*
 * Block the signals that end a VM (SIGINT, SIGTERM, SIGHUP, SIGQUIT, but none that was ignored when we were
 * started), SIGCONT, after which the terminal is made raw again, and SIGWINCH, in this thread and those it will
 * start, and ignore SIGPIPE and SIGXFSZ, whose writes then fail as writes; SIGCHLD gets its default back. Before any
 * other thread exists. 0 or -errno with *err.
 *
 * From then until vm_end_start() interrupt_fd is readable when a signal has come that ends the VM, or `timeout`
 * (nanoseconds; 0: none) is over: for whatever is waited for while the machine is built.
 */
int vm_end_init(struct vm_end *end, uint64_t timeout, struct error *err);
void vm_end_finish(struct vm_end *end);

/*
 * Something was not waited for any longer: because of interrupt_fd? Then that is what has ended the VM, and
 * vm_end_status() tells the status. Of a VM_END_NONE it is not.
 */
bool vm_end_interrupted(struct vm_end *end);

/* Everything is set: listen to signals and, if `timeout` (nanoseconds) is not 0, arm it. */
void vm_end_start(struct vm_end *end, uint64_t timeout);

/* The exit status for what ended the machine, once that was requested: with exec the command's, if it ended. */
int vm_end_status(const struct vm_end *end);

/* vcpu_config.exited, with the vm_end as argument: the last one out lets the rest begin. */
void vm_end_vcpu_exited(void *argument);

/*
 * loop_run() has failed. Without the loop no request ends, so neither might a vCPU that waits for one, nor
 * may memory be released: say so, put the terminal back, and end the process with EXIT_STATUS_FAILURE.
 */
_Noreturn void vm_end_without_loop(int result);

#endif
