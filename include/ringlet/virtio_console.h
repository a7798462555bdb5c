/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_console.h - the console device (virtio 1.2, 5.3) with VIRTIO_CONSOLE_F_MULTIPORT: several named
 * streams of bytes between the guest and the host.
 *
 * Ports are generic ports (/dev/vportNpM in a Linux guest), none is a console. Each stands on a char_backend:
 * what the guest writes goes to its write(), what its receive() offers goes into the guest's buffers. Bytes
 * wait in the ring while the backend is full, and in the backend while the guest has no buffer posted.
 *
 * Ends of streams. The backend's input_ended() closes the port towards the guest (PORT_OPEN 0), behind all
 * bytes that came before it; the guest's reader then sees the end of the file. So a backend that never had
 * input does not say that it ended. The guest's close is told to the listener when all that it wrote before has
 * been taken by the backend. A backend whose reader has gone (output_lost()) has the port closed towards the
 * guest as well; what is on its way is consumed and dropped. Linux lets a writer to such a port wait, and tells
 * poll() POLLHUP: a program in the guest that is to notice has to poll. What a backend has ended stays ended
 * over resets.
 *
 * Linux names a port in sysfs only after it has been told that the host is there (PORT_OPEN 1), so a program that
 * finds a port by its name and reads from it does not take "not yet" for the end. It has to open the port before
 * anything is sent to it. What a guest writes to a port that it has not opened is dropped.
 */
#ifndef RINGLET_VIRTIO_CONSOLE_H
#define RINGLET_VIRTIO_CONSOLE_H

#include <stdbool.h>

struct char_backend;
struct guest_memory;
struct virtio_device;
struct virtio_console_listener;

#define VIRTIO_CONSOLE_MAX_PORTS 8

struct virtio_console_port {
    const char *name;             /* at most 64 bytes; borrowed, outlives the device */
    struct char_backend *backend; /* borrowed; outlives the device */
};

struct virtio_console_listener_ops {
    /*
     * required: the guest opened or closed port `index`, in turn. A close comes when everything written before
     * it was taken by the backend; opened again before that, the port was not closed. After a reset of the device
     * (the driver's, the machine's) each port that was open is told closed. A driver without MULTIPORT has port 0
     * open from DRIVER_OK on. A guest may do this as often as it likes. Loop or vCPU thread, the device's lock
     * held: post, do not act.
     */
    void (*port_opened)(struct virtio_console_listener *listener, unsigned index, bool open);
};

struct virtio_console_listener {
    const struct virtio_console_listener_ops *ops;
};

struct virtio_console_options {
    const char *name; /* of the device; borrowed, outlives it */
    const struct virtio_console_port *ports;
    unsigned port_count;                      /* 1 .. VIRTIO_CONSOLE_MAX_PORTS */
    struct virtio_console_listener *listener; /* optional */
};

/*
 * 0, -EINVAL or -ENOMEM. The backends get the device as their front end; nothing moves before the loop runs. They
 * are called until the device has been stopped and, from inside writable(), with what it still holds then.
 */
int virtio_console_create(const struct virtio_console_options *options, const struct guest_memory *memory,
                          struct virtio_device **ret_device);

#endif
