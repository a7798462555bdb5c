/* SPDX-License-Identifier: Apache-2.0 */
/*
 * terminal.h - raw mode, and the promise that the terminal is put back on every way out.
 *
 * The ways out: terminal_restore(), exit(), and each signal that would end the process and whose action was
 * still the default one when the terminal was first made raw; those get a handler that restores, then dies of
 * the same signal. No process can do this for SIGKILL, nor for a seccomp filter that kills.
 *
 * A signal handler can only reach static memory, so there is one terminal per process, and its state is
 * static.
 *
 * Job control: SIGTTIN and SIGTTOU are ignored from the first call on, so that a VM in the background runs
 * on; and while this process is not in the terminal's foreground, nothing here changes its settings, which
 * are the shell's then.
 */
#ifndef RINGLET_TERMINAL_H
#define RINGLET_TERMINAL_H

#include <stdbool.h>

/*
 * Remember the settings of terminal `fd` (kept open by the caller until terminal_restore()) and make it raw.
 * `raw_output`: it is also where output goes, so newlines must not be translated any more. 0, -EAGAIN while
 * we are in the background (call terminal_reapply() later), -ENOTTY or another -errno. -EBUSY: there is one
 * already.
 */
int terminal_make_raw(int fd, bool raw_output);

/* Make it raw again: after SIGCONT, or having come to the foreground. 0, -EAGAIN as above, -ENOTTY if none.
 */
int terminal_reapply(void);

/*
 * Put the settings back, if there are any to put back. Any thread; safe in signal handlers. What happened to
 * the terminal's settings between terminal_make_raw() and here, by other processes, is lost.
 */
void terminal_restore(void);

/* Are we a background job of the terminal `fd`? False for a terminal that is not our controlling one. */
bool terminal_is_background(int fd);

/* Do both descriptors name the same terminal? */
bool terminal_same(int fd, int other);

#endif
