/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.c - see session.h.
 *
 * Two phases of one loop. While the command runs, everything is carried. When it has been reaped, every other
 * process is killed, as at the end of a container; then nobody can write any more, and what is left in the pipes
 * is carried to the host, however long it takes the host to take it. The ports of the outputs are closed behind
 * their last bytes.
 *
 * Whoever has its input closed by the command closes the input's port: then the host knows that there is no
 * use in sending more.
 */
#include "session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "deadline.h"
#include "frames.h"
#include "relay.h"
#include "ringlet/error.h"
#include "settings.h"

#define SEND_TIMEOUT 10000 /* ms; for a frame, which the host takes at once */
#define REAP_TIMEOUT 5000  /* ms; for killed processes: one may wait for a disk that does not answer */

enum stream { STREAM_INPUT, STREAM_OUTPUT, STREAM_ERROR, STREAM_COUNT };
enum polled {
    POLLED_CONTROL,
    POLLED_CHILDREN,
    POLLED_RELAYS,
    POLLED_COUNT = POLLED_RELAYS + STREAM_COUNT * RELAY_POLLS
};

struct session {
    struct session_ports *ports;
    struct frame_reader *reader;
    struct command command;
    struct relay relays[STREAM_COUNT];
    int children; /* signalfd: SIGCHLD */
    bool ended;   /* the command was reaped */
    int status;   /* its wait status */
};

static void close_port(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void session_ports_close(struct session_ports *ports)
{
    close_port(&ports->input);
    close_port(&ports->output);
    close_port(&ports->error);
    close_port(&ports->control);
}

static int take(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

/* --- frames --- */

static int obey_signal(struct session *session)
{
    uint32_t number;

    memcpy(&number, session->reader->body, sizeof(number));
    if (number < 1 || number >= NSIG)
        return -EPROTO;
    if (!session->ended)
        command_signal(&session->command, (int)number);
    return 0;
}

static int obey(struct session *session)
{
    struct guest_window window;

    switch (session->reader->head.type) {
    case GUEST_SIGNAL:
        return obey_signal(session);
    case GUEST_WINDOW:
        memcpy(&window, session->reader->body, sizeof(window));
        command_set_window(&session->command, window.rows, window.columns);
        return 0;
    default: /* a second RUN */
        return -EPROTO;
    }
}

static int read_control(struct session *session)
{
    for (;;) {
        bool complete;
        int result = frame_reader_read(session->reader, session->ports->control, &complete);

        if (result < 0 || !complete)
            return result;
        result = obey(session);
        frame_reader_next(session->reader);
        if (result < 0)
            return result;
    }
}

/* --- processes --- */

/* The command among them, or orphans that have become ours. False when there are no children at all. */
static bool reap(struct session *session)
{
    pid_t pid;
    int status;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == session->command.pid) {
            session->ended = true;
            session->status = status;
        }
    }
    return pid == 0;
}

static void forget_signals(const struct session *session)
{
    struct signalfd_siginfo information;

    while (read(session->children, &information, sizeof(information)) > 0)
        ;
}

static void end_everything(struct session *session)
{
    int64_t deadline = deadline_in(REAP_TIMEOUT);

    kill(getpid() == 1 ? -1 : -session->command.pid, SIGKILL);
    while (reap(session) && deadline_left(deadline)) {
        struct pollfd child = { .fd = session->children, .events = POLLIN };

        poll(&child, 1, deadline_left(deadline));
        forget_signals(session);
    }
}

static void come_to_end(struct session *session)
{
    end_everything(session);
    relay_finish(&session->relays[STREAM_INPUT]);
    /* What was reaped has closed its side; what may not have been is not waited for. */
    command_release_terminal(&session->command);
    session->relays[STREAM_OUTPUT].emptying = true;
    session->relays[STREAM_ERROR].emptying = true;
}

/* --- the loop --- */

static void work_relays(struct session *session, const struct pollfd polls[])
{
    for (int i = 0; i < STREAM_COUNT; i++)
        relay_work(&session->relays[i], polls + (size_t)i * RELAY_POLLS);
    if (session->command.terminal >= 0 && session->relays[STREAM_OUTPUT].lost) {
        /* Nobody looks at the terminal any more: it is hung up, which is what happens to one whose window closes. */
        relay_finish(&session->relays[STREAM_INPUT]);
        command_hang_up(&session->command);
    }
}

static bool is_done(const struct session *session)
{
    return session->ended && relay_is_done(&session->relays[STREAM_OUTPUT]) &&
           relay_is_done(&session->relays[STREAM_ERROR]);
}

static int loop(struct session *session)
{
    struct pollfd polls[POLLED_COUNT];

    while (!is_done(session)) {
        bool running = !session->ended;
        int result;

        polls[POLLED_CONTROL] = (struct pollfd){ .fd = session->ports->control, .events = POLLIN };
        polls[POLLED_CHILDREN] = (struct pollfd){ .fd = session->children, .events = POLLIN };
        for (int i = 0; i < STREAM_COUNT; i++)
            relay_poll(&session->relays[i], polls + POLLED_RELAYS + (size_t)i * RELAY_POLLS);
        if (poll(polls, POLLED_COUNT, -1) < 0 && errno != EINTR)
            return -errno;
        if (polls[POLLED_CHILDREN].revents) {
            forget_signals(session);
            reap(session);
        }
        if (polls[POLLED_CONTROL].revents) {
            result = read_control(session);
            if (result < 0)
                return result;
        }
        work_relays(session, polls + POLLED_RELAYS);
        if (running && session->ended) {
            come_to_end(session);
            /* Nothing will wake us for what has been in the pipes since before. */
            work_relays(session, polls + POLLED_RELAYS);
        }
    }
    return 0;
}

static int carry(struct session *session, struct error *err)
{
    struct session_ports *ports = session->ports;
    struct command *command = &session->command;
    const struct {
        int from, to;
    } ends[STREAM_COUNT] = {
        [STREAM_INPUT] = { take(&ports->input), command->input },
        [STREAM_OUTPUT] = { command->output, take(&ports->output) },
        [STREAM_ERROR] = { command->error, command->error < 0 ? -1 : take(&ports->error) },
    };
    int result = 0;

    for (int i = 0; i < STREAM_COUNT; i++) {
        if (relay_init(&session->relays[i], ends[i].from, ends[i].to) < 0)
            result = error_set(err, -ENOMEM, "no memory for the command's bytes");
    }
    session->relays[STREAM_INPUT].tail = command->terminal >= 0 ? command_input_tail : NULL;
    session->relays[STREAM_INPUT].tail_argument = command;
    if (result == 0)
        result = frame_send(ports->control, GUEST_STARTED, NULL, 0, SEND_TIMEOUT);
    if (result == 0)
        result = loop(session);
    if (!session->ended)
        end_everything(session);
    for (int i = 0; i < STREAM_COUNT; i++)
        relay_finish(&session->relays[i]);
    command_hang_up(command);
    return result;
}

static int run(struct session *session, const struct settings *settings, const struct account *account,
               struct guest_exit *ret_exit, struct error *err)
{
    int result = command_start(settings, account, &session->command, ret_exit, err);

    if (result != 0)
        return result < 0 ? result : 0;
    result = carry(session, err);
    if (result == 0)
        *ret_exit = command_exit_of_status(session->status);
    return result;
}

int session_run(struct session_ports *ports, struct frame_reader *reader, const struct settings *settings,
                const struct account *account, struct guest_exit *ret_exit, struct error *err)
{
    struct session session = { .ports = ports, .reader = reader };
    sigset_t all, child;
    int result;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    session.children = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
    if (session.children < 0) {
        result = error_set(err, -errno, "cannot hear of ended processes: %s", strerror(errno));
    } else {
        result = run(&session, settings, account, ret_exit, err);
        close(session.children);
    }
    close_port(&ports->input);
    close_port(&ports->output);
    close_port(&ports->error);
    return result;
}
