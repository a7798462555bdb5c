/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_session.h - the host's half of `ringlet exec` (ringlet/guest_protocol.h): it tells the guest's init what
 * to run, passes signals and the window's size on, and knows how the command ended.
 *
 * It is the backend of the console device's control port, and is told when the other ports open and close. When
 * EXIT has come and stdout and stderr are closed by the guest, it has their backends write out what they hold,
 * however long the reader takes, and then asks for the machine's end: STOP_COMMAND with the status.
 *
 * Threads: the loop's, with the device's lock held where the char_backend contract has it so.
 */
#ifndef RINGLET_GUEST_SESSION_H
#define RINGLET_GUEST_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct char_backend;
struct error;
struct events;
struct guest_session;
struct loop;
struct stop_sink;
struct virtio_console_listener;

enum guest_stream {
    GUEST_STREAM_CONTROL,
    GUEST_STREAM_STDIN,
    GUEST_STREAM_STDOUT,
    GUEST_STREAM_STDERR,
    GUEST_STREAM_COUNT
};

struct guest_session_options {
    const char *settings; /* RUN's bytes; borrowed until destroyed */
    size_t settings_size;
    struct stop_sink *stop;
    struct events *events; /* may be NULL */
    /* of stdin, stdout, stderr, in the places of enum guest_stream (control is the session's own) */
    struct char_backend *streams[GUEST_STREAM_COUNT];
};

/* 0 or -ENOMEM. The loop and the backends are borrowed. */
int guest_session_create(struct loop *loop, const struct guest_session_options *options,
                         struct guest_session **ret_session);
void guest_session_destroy(struct guest_session *session); /* NULL is fine */

/* For virtio_console_create(): the control port's backend, and who hears of ports. Both live in the session. */
struct char_backend *guest_session_control(struct guest_session *session);
struct virtio_console_listener *guest_session_listener(struct guest_session *session);

/*
 * A signal arrived for us. True if it goes to the command; false when there is none (yet, any more), or when one
 * was passed on already: then it is ours. Loop thread, no lock.
 */
bool guest_session_signal(struct guest_session *session, int number);

/* The terminal has another size now. Loop thread, no lock. */
void guest_session_window(struct guest_session *session, uint16_t rows, uint16_t columns);

/*
 * The machine has stopped, for whatever reason: have the streams write out what they hold; `drained` is called on
 * the loop thread when that is done or was done before.
 */
void guest_session_finish(struct guest_session *session, void (*drained)(void *argument), void *argument);

/* Has the guest said how the command ended? Then *ret_status is what the shell gets. After the machine's end. */
bool guest_session_ended(const struct guest_session *session, int *ret_status);

/* What FAILED said, or NULL. After the machine's end. */
const char *guest_session_failure(const struct guest_session *session);

/* Does, or did, the command run? Until then the guest's console may say what is in the way. After the machine's end. */
bool guest_session_started(const struct guest_session *session);

/* How far it got, for the message when the guest died: "before its init ran", "while the command ran", ... */
const char *guest_session_stage(const struct guest_session *session);

#endif
