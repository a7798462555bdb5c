/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_channel.h - all that lies between the shell that started `ringlet exec` and the init in the guest: the
 * caller's standard streams, the session (guest_session.h), and the console device whose four ports they are.
 */
#ifndef RINGLET_GUEST_CHANNEL_H
#define RINGLET_GUEST_CHANNEL_H

struct char_backend;
struct error;
struct events;
struct guest_channel;
struct guest_memory;
struct guest_session;
struct loop;
struct run_options;
struct stop_sink;
struct virtio_device;

#define GUEST_CHANNEL_DEVICE "exec0" /* the console device's name */

/* With -t a terminal on descriptor 0 is made raw. Everything is borrowed. 0 or -errno with *err. */
int guest_channel_open(struct loop *loop, const struct run_options *options, struct stop_sink *stop,
                       struct events *events, struct guest_channel **ret_channel, struct error *err);

/* The device to be plugged in. The channel outlives it. 0 or -errno with *err. */
int guest_channel_create_device(struct guest_channel *channel, const struct guest_memory *memory,
                                struct virtio_device **ret_device, struct error *err);

struct guest_session *guest_channel_session(struct guest_channel *channel);

/* The stream that reads the caller's input, which a terminal's job control may have stopped. */
struct char_backend *guest_channel_input(struct guest_channel *channel);

/* The window changed: with -t, tell the guest. Loop thread. */
void guest_channel_window_changed(struct guest_channel *channel);

/* Why output of the command was lost, -errno; 0 if none was, or if its reader went away, as readers may. */
int guest_channel_output_error(const struct guest_channel *channel);

/* After the session has finished, or if the loop never ran. NULL is fine. */
void guest_channel_destroy(struct guest_channel *channel);

#endif
