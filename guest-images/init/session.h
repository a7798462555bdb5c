/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - the command's life: it is started, its bytes, signals and window sizes are passed on, and when it
 * has ended everything else in the guest is ended too and its last bytes are passed on.
 *
 * One poll() loop, one thread. Everything blocks only there, except the command's start.
 */
#ifndef RINGLET_GUEST_SESSION_INIT_H
#define RINGLET_GUEST_SESSION_INIT_H

#include "ringlet/guest_protocol.h"

struct account;
struct error;
struct frame_reader;
struct settings;

/* Open ports, not blocking. */
struct session_ports {
    int control, input, output, error;
};

/* Close all that are not -1. */
void session_ports_close(struct session_ports *ports);

/*
 * Run the command. On return its three ports are closed, whatever happened; the control port stays open, and
 * `reader` may hold a part of a frame. All signals are blocked, and stay so. As process 1 it kills and reaps every
 * process of the guest, and else the command's group only.
 *
 * 0 with *ret_exit. -EPROTO or -EPIPE: the host broke a rule, or has gone: there is nobody to talk to. Otherwise
 * -errno with *err.
 */
int session_run(struct session_ports *ports, struct frame_reader *reader, const struct settings *settings,
                const struct account *account, struct guest_exit *ret_exit, struct error *err);

#endif
