/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_session.c - see guest_session.h.
 *
 * To the guest: frames are put one behind the other into a buffer that was made large enough for RUN and some
 * small ones, and offered to the device whenever it can take bytes. From the guest: whatever it sends is cut into
 * frames here, of a bounded size, into a fixed buffer.
 *
 * What the device calls (with its lock held) changes only this state; what has to be done about it is done by tasks
 * on the loop, so that nothing here calls into a stream from inside another's call: one that offers bytes to the
 * device, in a batch of the device's, at whose end the guest is told; and one for all else, without the lock.
 */
#include "guest_session.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "events.h"
#include "exit_status.h"
#include "ringlet/char_backend.h"
#include "ringlet/guest_protocol.h"
#include "ringlet/harmless.h"
#include "ringlet/io_client.h"
#include "ringlet/log.h"
#include "ringlet/loop.h"
#include "ringlet/stop.h"
#include "ringlet/util.h"
#include "ringlet/virtio_console.h"

#define SMALL_FRAMES_SIZE 64 /* room for a signal and a window size that wait behind RUN */
#define WARNINGS_MAX      16 /* a hostile guest would fill the log */

enum stage {
    STAGE_SILENT,  /* no HELLO yet */
    STAGE_SETUP,   /* RUN was sent */
    STAGE_RUNNING, /* STARTED came */
    STAGE_ENDED,   /* EXIT came */
    STAGE_FAILED,  /* FAILED came, or nonsense */
    STAGE_COUNT,
};

struct stream {
    struct guest_session *session;
    struct char_backend *backend;
    bool opened, closed; /* by the guest */
    bool finishing;
};

struct guest_session {
    struct char_backend control;
    struct virtio_console_listener listener;
    struct loop *loop;
    struct stop_sink *stop;
    struct events *events;
    struct char_frontend *frontend; /* the device, once attached */

    /* to the guest */
    const char *settings;
    size_t settings_size;
    uint8_t *out;
    size_t out_size, out_begin, out_end;
    struct guest_window window;
    bool window_changed; /* and was not sent yet */

    /* from the guest */
    struct guest_frame frame; /* being received */
    uint8_t payload[GUEST_FRAME_TO_HOST_MAX + 1];
    size_t received; /* bytes of header and payload */

    enum stage stage;
    bool told_ready;
    int status;
    char failure[GUEST_FRAME_TO_HOST_MAX + 1];
    unsigned warnings;
    bool signalled;
    bool end_asked;

    struct stream streams[GUEST_STREAM_COUNT];
    unsigned undrained;
    void (*drained)(void *argument);
    void *drained_argument;

    struct loop_task push_task; /* with the device's lock, and in its batch */
    struct loop_task work_task; /* without */
};

static void lock(struct guest_session *session)
{
    if (session->frontend)
        pthread_mutex_lock(session->frontend->client->lock);
}

static void unlock(struct guest_session *session)
{
    if (session->frontend)
        pthread_mutex_unlock(session->frontend->client->lock);
}

/* --- to the guest; lock held --- */

/* False if there is no room: the guest does not read what was sent before. */
static bool queue_frame(struct guest_session *session, enum guest_frame_type type, const void *payload,
                        size_t size)
{
    struct guest_frame frame = { .type = type, .length = (uint32_t)size };

    if (session->out_begin == session->out_end)
        session->out_begin = session->out_end = 0;
    if (session->out_size - session->out_end < sizeof(frame) + size)
        return false;
    memcpy(session->out + session->out_end, &frame, sizeof(frame));
    if (size)
        memcpy(session->out + session->out_end + sizeof(frame), payload, size);
    session->out_end += sizeof(frame) + size;
    return true;
}

static void push_bytes(struct guest_session *session)
{
    if (session->out_begin != session->out_end)
        session->out_begin += session->frontend->ops->receive(
            session->frontend, session->out + session->out_begin, session->out_end - session->out_begin);
}

/* Of several sizes that a window had while the guest was busy only the last is sent. */
static void push_frames(struct loop_task *task)
{
    struct guest_session *session = container_of(task, struct guest_session, push_task);

    push_bytes(session);
    /* Behind RUN, which has the size that it had first. */
    if (session->window_changed && session->stage > STAGE_SILENT && session->out_begin == session->out_end &&
        queue_frame(session, GUEST_WINDOW, &session->window, sizeof(session->window))) {
        session->window_changed = false;
        push_bytes(session);
    }
}

/* --- from the guest; lock held --- */

static void fail(struct guest_session *session, const char *sentence)
{
    if (session->stage >= STAGE_ENDED)
        return;
    snprintf(session->failure, sizeof(session->failure), "%s", sentence);
    session->stage = STAGE_FAILED;
}

static const char *sentence_of(struct guest_session *session)
{
    session->payload[session->frame.length] = '\0';
    make_harmless((char *)session->payload);
    return (const char *)session->payload;
}

static void take_hello(struct guest_session *session)
{
    uint32_t version;

    if (session->stage != STAGE_SILENT || session->frame.length != sizeof(version)) {
        fail(session, "the guest's init says HELLO out of turn");
        return;
    }
    memcpy(&version, session->payload, sizeof(version));
    if (version != GUEST_PROTOCOL_VERSION) {
        fail(session, "the guest's init speaks another version of the protocol");
        return;
    }
    session->stage = STAGE_SETUP;
    /* It is the first, and the buffer was made for it. */
    queue_frame(session, GUEST_RUN, session->settings, session->settings_size);
    loop_post(session->loop, &session->push_task);
}

static int status_of(const struct guest_exit *end)
{
    switch (end->kind) {
    case GUEST_EXITED:
        return end->value <= 255 ? (int)end->value : -1;
    case GUEST_KILLED:
        return end->value >= 1 && end->value <= 64 ? EXIT_STATUS_SIGNAL_BASE + (int)end->value : -1;
    case GUEST_NOT_EXECUTABLE:
        return EXIT_STATUS_NOT_EXECUTABLE;
    case GUEST_NOT_FOUND:
        return EXIT_STATUS_NOT_FOUND;
    default:
        return -1;
    }
}

/* A shell says why; so do we. A program that is not there is NOT_FOUND, so that else it was the directory. */
static void describe_refusal(struct guest_session *session, const struct guest_exit *end)
{
    static const char first[] = "arg=";
    const char *program = strncmp(session->settings, first, sizeof(first) - 1) == 0
                              ? session->settings + sizeof(first) - 1
                              : "the command";
    const char *reason = strerror(end->value < 4096 ? (int)end->value : EINVAL);

    if (end->kind == GUEST_NOT_FOUND)
        snprintf(session->failure, sizeof(session->failure), "the guest has no command '%s'", program);
    else if (end->value == ENOENT || end->value == ENOTDIR)
        snprintf(session->failure, sizeof(session->failure),
                 "cannot run '%s' in the guest: its working directory: %s", program, reason);
    else
        snprintf(session->failure, sizeof(session->failure), "cannot run '%s' in the guest: %s", program,
                 reason);
}

static void take_exit(struct guest_session *session)
{
    struct guest_exit end;
    int status = -1;

    if (session->frame.length == sizeof(end)) {
        memcpy(&end, session->payload, sizeof(end));
        status = status_of(&end);
    }
    if (status < 0 || (session->stage != STAGE_RUNNING &&
                       !(session->stage == STAGE_SETUP && end.kind >= GUEST_NOT_EXECUTABLE))) {
        fail(session, "the guest's init tells of an end that cannot be");
        return;
    }
    if (end.kind >= GUEST_NOT_EXECUTABLE)
        describe_refusal(session, &end);
    session->status = status;
    session->stage = STAGE_ENDED;
}

static void take_frame(struct guest_session *session)
{
    switch (session->frame.type) {
    case GUEST_HELLO:
        take_hello(session);
        break;
    case GUEST_STARTED:
        if (session->stage == STAGE_SETUP && !session->frame.length)
            session->stage = STAGE_RUNNING;
        else
            fail(session, "the guest's init says STARTED out of turn");
        break;
    case GUEST_EXIT:
        take_exit(session);
        break;
    case GUEST_FAILED:
        fail(session, sentence_of(session));
        break;
    case GUEST_WARNING:
        if (session->warnings++ < WARNINGS_MAX)
            log_warning("in the guest: %s", sentence_of(session));
        break;
    default:
        fail(session, "the guest's init sends what the protocol does not know");
    }
}

/* Cut the bytes into frames, taking as many as there are; one that is too long ends the conversation. */
static size_t control_write(struct char_backend *backend, const uint8_t *bytes, size_t count)
{
    struct guest_session *session = container_of(backend, struct guest_session, control);

    for (size_t taken = 0; taken < count && session->stage < STAGE_ENDED;) {
        size_t wanted = sizeof(session->frame), part;
        uint8_t *to = (uint8_t *)&session->frame + session->received;

        if (session->received >= sizeof(session->frame)) {
            wanted += session->frame.length;
            to = session->payload + (session->received - sizeof(session->frame));
        }
        part = wanted - session->received;
        if (part > count - taken)
            part = count - taken;
        memcpy(to, bytes + taken, part);
        taken += part;
        session->received += part;
        if (session->received < sizeof(session->frame))
            continue;
        if (session->frame.length > GUEST_FRAME_TO_HOST_MAX) {
            fail(session, "the guest's init sends a frame that is too long");
        } else if (session->received == sizeof(session->frame) + session->frame.length) {
            session->received = 0;
            take_frame(session);
        }
    }
    /* What comes after the last frame is nobody's business, but it is consumed. */
    loop_post(session->loop, &session->work_task);
    return count;
}

static void control_attach(struct char_backend *backend, struct char_frontend *frontend)
{
    struct guest_session *session = container_of(backend, struct guest_session, control);

    session->frontend = frontend;
    session->push_task.client = frontend->client;
}

static void control_receive_ready(struct char_backend *backend)
{
    struct guest_session *session = container_of(backend, struct guest_session, control);

    loop_post(session->loop, &session->push_task);
}

/* Whoever finishes a session does it by guest_session_finish(); here is nothing that could wait. */
static void control_finish(struct char_backend *backend, void (*drained)(void *argument), void *argument)
{
    (void)backend, (void)drained, (void)argument;
    assert(!"the session finishes itself");
}

static void control_destroy(struct char_backend *backend)
{
    (void)backend; /* lives in the session */
}

static const struct char_backend_ops control_ops = {
    .attach = control_attach,
    .write = control_write,
    .receive_ready = control_receive_ready,
    .finish = control_finish,
    .destroy = control_destroy,
};

static void port_opened(struct virtio_console_listener *listener, unsigned index, bool open)
{
    struct guest_session *session = container_of(listener, struct guest_session, listener);

    assert(index < GUEST_STREAM_COUNT);
    if (open)
        session->streams[index].opened = true;
    else
        session->streams[index].closed = true;
    loop_post(session->loop, &session->work_task);
}

static const struct virtio_console_listener_ops listener_ops = { .port_opened = port_opened };

/* --- the end; loop thread, no lock --- */

static void all_drained(struct guest_session *session)
{
    if (session->stage == STAGE_ENDED && !session->end_asked) {
        session->end_asked = true;
        stop_request(session->stop, STOP_COMMAND, session->status);
    }
    if (session->drained) {
        void (*drained)(void *argument) = session->drained;

        session->drained = NULL;
        drained(session->drained_argument);
    }
}

static void stream_drained(void *argument)
{
    struct stream *stream = argument;

    if (--stream->session->undrained == 0)
        all_drained(stream->session);
}

static void finish_streams(struct guest_session *session)
{
    for (unsigned i = 0; i < GUEST_STREAM_COUNT; i++) {
        struct stream *stream = &session->streams[i];

        if (!stream->backend || stream->finishing)
            continue;
        stream->finishing = true;
        stream->backend->ops->finish(stream->backend, stream_drained, stream);
    }
}

/* Has everything that the command wrote arrived here? */
static bool output_is_complete(const struct guest_session *session)
{
    for (unsigned i = GUEST_STREAM_STDOUT; i <= GUEST_STREAM_STDERR; i++) {
        const struct stream *stream = &session->streams[i];

        if (stream->backend && stream->opened && !stream->closed)
            return false;
    }
    return true;
}

static void work(struct loop_task *task)
{
    struct guest_session *session = container_of(task, struct guest_session, work_task);
    bool complete;
    enum stage stage;

    lock(session);
    stage = session->stage;
    complete = output_is_complete(session);
    unlock(session);

    if (stage >= STAGE_RUNNING && stage != STAGE_FAILED && !session->told_ready) {
        session->told_ready = true;
        events_say(session->events, EVENT_GUEST_READY, NULL, 0);
    }
    if (stage == STAGE_ENDED && complete)
        finish_streams(session);
    if (stage == STAGE_FAILED && !session->end_asked) {
        session->end_asked = true;
        stop_request(session->stop, STOP_GUEST_FAILURE, 0);
    }
}

/* --- what the rest of the wiring calls --- */

int guest_session_create(struct loop *loop, const struct guest_session_options *options,
                         struct guest_session **ret_session)
{
    struct guest_session *session = calloc(1, sizeof(*session));

    if (!session)
        return -ENOMEM;
    session->out_size = sizeof(struct guest_frame) + options->settings_size + SMALL_FRAMES_SIZE;
    session->out = malloc(session->out_size);
    if (!session->out) {
        free(session);
        return -ENOMEM;
    }
    session->control.ops = &control_ops;
    session->listener.ops = &listener_ops;
    session->loop = loop;
    session->stop = options->stop;
    session->events = options->events;
    session->settings = options->settings;
    session->settings_size = options->settings_size;
    session->push_task.run = push_frames;
    session->work_task.run = work;
    for (unsigned i = 0; i < GUEST_STREAM_COUNT; i++) {
        session->streams[i].session = session;
        session->streams[i].backend = options->streams[i];
        session->undrained += options->streams[i] != NULL;
    }
    *ret_session = session;
    return 0;
}

void guest_session_destroy(struct guest_session *session)
{
    if (!session)
        return;
    free(session->out);
    free(session);
}

struct char_backend *guest_session_control(struct guest_session *session)
{
    return &session->control;
}

struct virtio_console_listener *guest_session_listener(struct guest_session *session)
{
    return &session->listener;
}

bool guest_session_signal(struct guest_session *session, int number)
{
    uint32_t frame = (uint32_t)number;
    bool taken = false;

    lock(session);
    if (session->stage == STAGE_RUNNING && !session->signalled) {
        taken = session->signalled = queue_frame(session, GUEST_SIGNAL, &frame, sizeof(frame));
        loop_post(session->loop, &session->push_task);
    }
    unlock(session);
    return taken;
}

void guest_session_window(struct guest_session *session, uint16_t rows, uint16_t columns)
{
    lock(session);
    if (session->stage <= STAGE_RUNNING) {
        session->window = (struct guest_window){ .rows = rows, .columns = columns };
        session->window_changed = true;
        loop_post(session->loop, &session->push_task);
    }
    unlock(session);
}

void guest_session_finish(struct guest_session *session, void (*drained)(void *argument), void *argument)
{
    session->drained = drained;
    session->drained_argument = argument;
    if (session->undrained == 0)
        all_drained(session);
    else
        finish_streams(session);
}

bool guest_session_ended(const struct guest_session *session, int *ret_status)
{
    *ret_status = session->status;
    return session->stage == STAGE_ENDED;
}

const char *guest_session_failure(const struct guest_session *session)
{
    return *session->failure ? session->failure : NULL;
}

bool guest_session_started(const struct guest_session *session)
{
    return session->stage == STAGE_RUNNING || session->stage == STAGE_ENDED;
}

const char *guest_session_stage(const struct guest_session *session)
{
    static const char *const names[] = {
        [STAGE_SILENT] = "before its init answered",       [STAGE_SETUP] = "before the command was started",
        [STAGE_RUNNING] = "while the command was running", [STAGE_ENDED] = "after the command had ended",
        [STAGE_FAILED] = "after its init had failed",
    };

    static_assert(ARRAY_SIZE(names) == STAGE_COUNT, "a name for each stage");
    return names[session->stage];
}
