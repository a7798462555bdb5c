/* SPDX-License-Identifier: Apache-2.0 */
/*
 * terminal.c - see ringlet/terminal.h.
 *
 * What restore() may do in a signal handler is what POSIX lists as safe there: tcgetpgrp(), getpgrp() and
 * tcsetattr() are. `raw` is written last when the settings are saved and read first when they are put back.
 */
#include "ringlet/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "ringlet/log.h"
#include "ringlet/util.h"

/* A signal handler has no other way to reach this: one of the few statics that are right. */
static struct {
    int fd;
    bool claimed;
    bool raw_output;
    bool is_saved;
    struct termios saved;
    atomic_bool raw; /* the settings in force are ours */
} terminal;

static atomic_bool handlers_installed;

/* Signals whose default action ends the process; real-time signals, which also do, follow by range. */
static const int fatal_signals[] = {
    SIGHUP,  SIGINT,  SIGQUIT, SIGILL,  SIGTRAP, SIGABRT,   SIGBUS,  SIGFPE,  SIGUSR1, SIGSEGV,   SIGUSR2,
    SIGPIPE, SIGALRM, SIGTERM, SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF, SIGPOLL, SIGPWR,  SIGSTKFLT, SIGSYS,
};

bool terminal_is_background(int fd)
{
    pid_t foreground = tcgetpgrp(fd);

    return foreground >= 0 && foreground != getpgrp();
}

bool terminal_same(int fd, int other)
{
    unsigned device, other_device;

    /* Not st_rdev: /dev/tty has a number of its own. */
    return ioctl(fd, TIOCGDEV, &device) == 0 && ioctl(other, TIOCGDEV, &other_device) == 0 &&
           device == other_device;
}

void terminal_restore(void)
{
    int saved_errno = errno;

    if (!atomic_exchange(&terminal.raw, false)) {
        errno = saved_errno;
        return;
    }
    /* DRAIN would wait for a terminal that is stopped, perhaps for ever. */
    if (!terminal_is_background(terminal.fd))
        (void)tcsetattr(terminal.fd, TCSANOW, &terminal.saved);
    log_set_raw_terminal(0);
    errno = saved_errno;
}

static void restore_and_die(int signal_number)
{
    terminal_restore();
    /* SA_RESETHAND has put the default action back, SA_NODEFER left the signal unblocked: this is the end. */
    raise(signal_number);
}

static void handle_if_default(int signal_number)
{
    struct sigaction old,
        ours = { .sa_handler = restore_and_die, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER) };

    sigemptyset(&ours.sa_mask);
    if (sigaction(signal_number, NULL, &old) == 0 && !(old.sa_flags & SA_SIGINFO) &&
        old.sa_handler == SIG_DFL)
        (void)sigaction(signal_number, &ours, NULL);
}

static void install_handlers(void)
{
    if (atomic_exchange(&handlers_installed, true))
        return;
    (void)atexit(terminal_restore);
    for (size_t i = 0; i < ARRAY_SIZE(fatal_signals); i++)
        handle_if_default(fatal_signals[i]);
    for (int i = SIGRTMIN; i <= SIGRTMAX; i++)
        handle_if_default(i);
    signal(SIGTTIN, SIG_IGN);
    signal(SIGTTOU, SIG_IGN);
}

static void set_raw(struct termios *settings, bool raw_output)
{
    tcflag_t output = settings->c_oflag;

    cfmakeraw(settings);
    if (!raw_output)
        settings->c_oflag = output;
    settings->c_cc[VMIN] = 1;
    settings->c_cc[VTIME] = 0;
}

static int apply(void)
{
    struct termios settings;

    if (terminal_is_background(terminal.fd))
        return -EAGAIN;
    if (!terminal.is_saved) {
        if (tcgetattr(terminal.fd, &terminal.saved) < 0)
            return -errno;
        terminal.is_saved = true;
    }
    settings = terminal.saved;
    set_raw(&settings, terminal.raw_output);
    /* Before the change: a signal between the two puts back what is there anyway. */
    atomic_store(&terminal.raw, true);
    if (tcsetattr(terminal.fd, TCSANOW, &settings) < 0) {
        int result = -errno;

        atomic_store(&terminal.raw, false);
        return result;
    }
    log_set_raw_terminal(terminal.raw_output && terminal_same(terminal.fd, STDERR_FILENO));
    return 0;
}

int terminal_make_raw(int fd, bool raw_output)
{
    if (!isatty(fd))
        return -ENOTTY;
    if (atomic_load(&terminal.raw))
        return -EBUSY;
    install_handlers();
    terminal.fd = fd;
    terminal.raw_output = raw_output;
    terminal.is_saved = false;
    terminal.claimed = true;
    return apply();
}

int terminal_reapply(void)
{
    return terminal.claimed ? apply() : -ENOTTY;
}
