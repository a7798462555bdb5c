/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_protocol.h - what `ringlet exec` and the init that it puts into the guest say to each other.
 *
 * They meet on a virtio-console device with four ports, which the init finds by their names in
 * /sys/class/virtio-ports. Three carry the command's bytes and nothing else; their ends are those of the ports:
 * the host closes `stdin` when its input ends, the guest closes `stdout` and `stderr` when all is written. The
 * fourth, `control`, carries frames both ways.
 *
 *   guest                            host
 *   HELLO                     ->
 *                             <-     RUN
 *   STARTED                   ->            the command was executed
 *                             <-     SIGNAL, WINDOW, at any time from here
 *   (closes stdout, stderr)   ->
 *   EXIT                      ->            after the file systems were synced and taken down
 *                                           the machine ends
 * FAILED in place of any of the guest's frames: it cannot go on, and ends the machine. WARNING at any time.
 *
 * A frame is a header and `length` bytes. Numbers are little-endian, as everything on x86. A side that
 * breaks a rule is not listened to any more: the host ends the machine, the guest switches itself off.
 *
 * Included by the host's session (src/guest_session.c) and by the init (guest-images/init/).
 */
#ifndef RINGLET_GUEST_PROTOCOL_H
#define RINGLET_GUEST_PROTOCOL_H

#include <stdint.h>

#define GUEST_PROTOCOL_VERSION 1

#define GUEST_PORT_CONTROL "ringlet.control"
#define GUEST_PORT_STDIN   "ringlet.stdin"
#define GUEST_PORT_STDOUT  "ringlet.stdout"
#define GUEST_PORT_STDERR  "ringlet.stderr"

/* Where the init lies in the initrd; the kernel is told by rdinit=. */
#define GUEST_INIT_PATH "/ringlet/init"

enum guest_frame_type {
    /* to the guest */
    GUEST_RUN = 1,    /* settings, see below */
    GUEST_SIGNAL = 2, /* uint32_t: the number, for the command and its process group */
    GUEST_WINDOW = 3, /* struct guest_window: the terminal's size changed */
    /* to the host */
    GUEST_HELLO = 64,   /* uint32_t: GUEST_PROTOCOL_VERSION; the first frame of all */
    GUEST_STARTED = 65, /* empty: execve() succeeded */
    GUEST_EXIT = 66,    /* struct guest_exit; the last frame of all */
    GUEST_FAILED = 67, /* a sentence, without newline or NUL: what could not be done; the last frame of all */
    GUEST_WARNING = 68, /* a sentence likewise: what was done without */
};

struct guest_frame {
    uint32_t type;
    uint32_t length; /* bytes that follow */
};

#define GUEST_FRAME_TO_GUEST_MAX (4u << 20) /* bytes after the header */
#define GUEST_FRAME_TO_HOST_MAX  1024u

struct guest_window {
    uint16_t rows, columns;
};

enum guest_exit_kind {
    GUEST_EXITED,         /* value: exit status, 0 to 255 */
    GUEST_KILLED,         /* value: number of the signal */
    GUEST_NOT_EXECUTABLE, /* value: errno of execve(), or of changing to the working directory */
    GUEST_NOT_FOUND,      /* value: errno */
};

struct guest_exit {
    uint32_t kind;
    uint32_t value;
};

/*
 * The settings of RUN: strings "KEY=VALUE", each with its NUL, one behind the other; the keys:
 *
 *   arg=WORD           the command, word by word; at least one; looked up in PATH if it has no slash
 *   env=NAME=VALUE     a variable; may be repeated, the last of a NAME counts. Unless given, the init sets
 *                      PATH, HOME, USER, SHELL from the user's entry, and with a terminal TERM=linux
 *   workdir=DIR        absolute; default "/"
 *   user=NAME[:GROUP]  names from the root's /etc/passwd and /etc/group, or numbers; default root
 *   hostname=NAME
 *   root=initrd        the root file system is what the initrds brought (default)
 *   root=disk:DEVICE   a file system on a block device ("/dev/vda"), of any type that the kernel knows
 *   root=share:TAG     a virtio-fs tag, read-only below a tmpfs
 *   readonly=1         with root=disk: mount it read-only
 *   mount=TAG:FLAGS:DIR   a virtio-fs tag at DIR, which is made if it is missing; FLAGS "ro" or "rw"
 *   network=1          bring up every Ethernet card by DHCP
 *   tty=1              the command gets a terminal: `stdin` and `stdout` are its other end, `stderr` is unused
 *   rows=N, cols=N     the terminal's size
 *
 * The guest refuses keys that it does not know.
 */

#endif
