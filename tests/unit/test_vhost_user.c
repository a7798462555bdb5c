/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_vhost_user.c - the front end of vhost-user against a scripted back end: what is said and in which order,
 * every answer that is none, an end at each step.
 */
#include "../../src/io/vhost_user.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ringlet/guest_memory.h"
#include "ringlet/io_client.h"
#include "ringlet/loop.h"
#include "ringlet/util.h"
#include "ringlet/vhost_backend.h"
#include "vhost_peer.h"

#define VERSION_1  (UINT64_C(1) << 32)
#define PROTOCOL   (UINT64_C(1) << 30)
#define NEED_REPLY 8U
#define FOREVER_MS 60000

#define ATTACHED    7 /* so many when attach() is through */
#define QUEUE_START 6 /* messages that start a queue */
#define QUEUE_STOP  2 /* and those that stop it */
#define NO_ANSWER   "has sent what is no answer"
#define CLOSED      "has closed the connection"
#define NOT_OBEYED  "does not do what it is told"
#define DEAF        "does not listen"

struct fixture {
    struct loop *loop;
    enum loop_engine engine;
    struct vhost_peer *peer;
    int fd; /* our end, until the backend has it */
    struct vhost_backend *backend;
    struct guest_memory *memory;
    struct vhost_region regions[2];
    struct vhost_user_owner owner;
    struct vhost_listener listener;
    struct io_client client;
    pthread_mutex_t lock;
    pid_t process;
    int pidfd;

    unsigned used[VHOST_MAX_QUEUES];
    unsigned stopped, ended, destroyed, owner_ended;
    unsigned batches;
    char reason[64];
};

static struct fixture *listening(struct vhost_listener *listener)
{
    struct fixture *fixture = container_of(listener, struct fixture, listener);

    assert_int_equal(pthread_mutex_trylock(&fixture->lock), EBUSY);
    loop_stop(fixture->loop);
    return fixture;
}

static void used(struct vhost_listener *listener, unsigned index)
{
    listening(listener)->used[index]++;
}

static void stopped(struct vhost_listener *listener)
{
    listening(listener)->stopped++;
}

static void ended(struct vhost_listener *listener)
{
    struct fixture *fixture = listening(listener);

    assert_int_equal(fixture->owner_ended, 1);
    assert_int_equal(fixture->stopped, 0);
    fixture->ended++;
}

static const struct vhost_listener_ops listener_ops = { .used = used, .stopped = stopped, .ended = ended };

static void owner_ended(struct vhost_user_owner *owner, const char *reason)
{
    struct fixture *fixture = container_of(owner, struct fixture, owner);

    assert_int_equal(pthread_mutex_trylock(&fixture->lock), 0);
    pthread_mutex_unlock(&fixture->lock);
    assert_int_equal(fixture->ended, 0);
    fixture->owner_ended++;
    snprintf(fixture->reason, sizeof(fixture->reason), "%s", reason);
    loop_stop(fixture->loop);
}

static void destroyed(struct vhost_user_owner *owner)
{
    container_of(owner, struct fixture, owner)->destroyed++;
}

static void batch_end(struct io_client *client)
{
    container_of(client, struct fixture, client)->batches++;
}

static int set_up(void **state, enum loop_engine engine)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    signal(SIGPIPE, SIG_IGN);
    if (!fixture || loop_create(engine, 64, &fixture->loop, NULL) < 0 ||
        guest_memory_create_shared(&fixture->memory) < 0 ||
        guest_memory_add_ram(fixture->memory, 0, MIB) < 0 ||
        guest_memory_add_ram(fixture->memory, GIB, 2 * MIB) < 0)
        return -1;
    for (unsigned i = 0; i < 2; i++) {
        const struct guest_memory_region *region = guest_memory_region_at(fixture->memory, i);

        fixture->regions[i] = (struct vhost_region){
            .base = region->base, .size = region->size, .host = region->host, .fd = region->fd
        };
    }
    fixture->engine = engine;
    fixture->peer = vhost_peer_create(&fixture->fd);
    fixture->owner = (struct vhost_user_owner){ .ended = owner_ended, .destroyed = destroyed };
    fixture->listener.ops = &listener_ops;
    pthread_mutex_init(&fixture->lock, NULL);
    fixture->client = (struct io_client){ .lock = &fixture->lock, .batch_end = batch_end };
    fixture->pidfd = -1;
    *state = fixture;
    return 0;
}

static int set_up_io_uring(void **state)
{
    return set_up(state, LOOP_ENGINE_IO_URING);
}

static int set_up_threads(void **state)
{
    return set_up(state, LOOP_ENGINE_THREADS);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(loop_in_flight(fixture->loop), 0);
    if (fixture->backend) {
        vhost_backend_destroy(fixture->backend);
        assert_int_equal(fixture->destroyed, 1);
    } else {
        close(fixture->fd);
    }
    vhost_peer_destroy(fixture->peer);
    if (fixture->process) {
        kill(fixture->process, SIGKILL);
        waitpid(fixture->process, NULL, 0);
        close(fixture->pidfd);
    }
    guest_memory_destroy(fixture->memory);
    loop_destroy(fixture->loop);
    pthread_mutex_destroy(&fixture->lock);
    free(fixture);
    return 0;
}

static void start_over(void **state)
{
    enum loop_engine engine = ((struct fixture *)*state)->engine;

    tear_down(state);
    assert_int_equal(set_up(state, engine), 0);
}

static struct vhost_user_options options_of(struct fixture *fixture, int timeout_ms)
{
    return (struct vhost_user_options){
        .fd = fixture->fd, .pidfd = fixture->pidfd, .timeout_ms = timeout_ms, .owner = &fixture->owner
    };
}

static int create(struct fixture *fixture, int timeout_ms)
{
    const struct vhost_user_options options = options_of(fixture, timeout_ms);

    return vhost_user_create(fixture->loop, &options, &fixture->backend);
}

/* The handshake, and the memory. */
static void connect_and_attach(struct fixture *fixture)
{
    vhost_peer_start(fixture->peer);
    assert_int_equal(create(fixture, FOREVER_MS), 0);
    assert_int_equal(fixture->backend->ops->attach(fixture->backend, &fixture->client, &fixture->listener,
                                                   fixture->regions, 2),
                     0);
}

static struct vhost_queue queue_at(const struct fixture *fixture, unsigned index)
{
    uint8_t *ram = fixture->regions[index % 2].host;

    return (struct vhost_queue){ .index = index,
                                 .size = (uint16_t)(16 << index),
                                 .desc = ram,
                                 .avail = ram + 0x4000,
                                 .used = ram + 0x5000 };
}

static int start_queues(struct fixture *fixture, const struct vhost_queue *queues, unsigned count)
{
    int result;

    pthread_mutex_lock(&fixture->lock);
    result = fixture->backend->ops->start(fixture->backend, VERSION_1 | UINT64_C(1) << 38, queues, count);
    pthread_mutex_unlock(&fixture->lock);
    return result;
}

static int start_two(struct fixture *fixture)
{
    const struct vhost_queue queues[] = { queue_at(fixture, 0), queue_at(fixture, 1) };

    return start_queues(fixture, queues, 2);
}

static void stop(struct fixture *fixture)
{
    pthread_mutex_lock(&fixture->lock);
    fixture->backend->ops->stop(fixture->backend);
    pthread_mutex_unlock(&fixture->lock);
}

/* Serve until the counter is as it should be. Whatever counts has stopped the loop. */
static void run_until(struct fixture *fixture, const unsigned *counter, unsigned value)
{
    while (*counter < value)
        assert_int_equal(loop_run(fixture->loop), 0);
    assert_int_equal(*counter, value);
}

static void stop_and_wait(struct fixture *fixture)
{
    unsigned before = fixture->stopped;

    stop(fixture);
    run_until(fixture, &fixture->stopped, before + 1);
    assert_int_equal(loop_in_flight(fixture->loop), 0);
}

/* The next descriptor that would be given out. */
static int next_fd(void)
{
    int fd = dup(STDIN_FILENO);

    close(fd);
    return fd;
}

static bool same_file(int one, int other)
{
    struct stat statuses[2];

    assert_int_equal(fstat(one, &statuses[0]), 0);
    assert_int_equal(fstat(other, &statuses[1]), 0);
    return statuses[0].st_dev == statuses[1].st_dev && statuses[0].st_ino == statuses[1].st_ino;
}

/* --- the handshake --- */

static void test_handshake_takes_what_it_knows_and_no_more(void **state)
{
    static const uint32_t requests[] = { PEER_SET_OWNER, PEER_GET_FEATURES, PEER_GET_PROTOCOL_FEATURES,
                                         PEER_SET_PROTOCOL_FEATURES, PEER_GET_QUEUE_NUM };
    struct fixture *fixture = *state;
    struct vhost_peer *peer = fixture->peer;

    fixture->peer->features |= VERSION_1 | PROTOCOL;
    vhost_peer_start(fixture->peer);
    assert_int_equal(create(fixture, FOREVER_MS), 0);
    assert_int_equal(fixture->backend->features, peer->features & ~PROTOCOL);
    vhost_peer_wait(peer, ARRAY_SIZE(requests));
    for (unsigned i = 0; i < ARRAY_SIZE(requests); i++) {
        assert_int_equal(peer->messages[i].request, requests[i]);
        assert_int_equal(peer->messages[i].flags, 1);
        assert_int_equal(peer->messages[i].fd_count, 0);
    }
    assert_int_equal(vhost_peer_u64(&peer->messages[3]), 1 << 0 | 1 << 3);
}

static void test_handshake_without_multiqueue_asks_for_no_number(void **state)
{
    struct fixture *fixture = *state;
    struct vhost_queue queue = queue_at(fixture, 7);

    fixture->peer->protocol_features = 0;
    connect_and_attach(fixture);
    assert_int_equal(vhost_peer_wait(fixture->peer, 4)->request, PEER_SET_PROTOCOL_FEATURES);
    assert_int_equal(vhost_peer_wait(fixture->peer, 5)->request, PEER_SET_MEM_TABLE);
    /* nobody says that there is no eighth queue; and nothing is acknowledged */
    assert_int_equal(start_queues(fixture, &queue, 1), 0);
    assert_int_equal(vhost_peer_wait(fixture->peer, 13)->request, PEER_GET_FEATURES);
    for (unsigned i = 0; i < 13; i++)
        assert_int_equal(fixture->peer->messages[i].flags, 1);
    stop_and_wait(fixture);
}

static void test_handshake_with_a_process_that_has_no_protocol_features_fails(void **state)
{
    struct fixture *fixture = *state;

    fixture->peer->features = VERSION_1;
    vhost_peer_start(fixture->peer);
    assert_int_equal(create(fixture, FOREVER_MS), -EPROTO);
}

static void test_handshake_takes_answers_in_any_pieces(void **state)
{
    struct fixture *fixture = *state;

    fixture->peer->odd_request = PEER_GET_FEATURES;
    fixture->peer->deed = PEER_ANSWERS_BYTE_BY_BYTE;
    vhost_peer_start(fixture->peer);
    assert_int_equal(create(fixture, FOREVER_MS), 0);
    assert_int_equal(fixture->backend->features, fixture->peer->features & ~PROTOCOL);
}

static void test_handshake_fails_at_whatever_is_no_answer(void **state)
{
    static const uint32_t requests[] = { PEER_GET_FEATURES, PEER_GET_PROTOCOL_FEATURES, PEER_GET_QUEUE_NUM };
    static const struct {
        enum vhost_peer_deed deed;
        int result;
    } deeds[] = {
        { PEER_CLOSES, -ECONNRESET },
        { PEER_CLOSES_IN_HEADER, -ECONNRESET },
        { PEER_CLOSES_IN_PAYLOAD, -ECONNRESET },
        { PEER_OTHER_REQUEST, -EPROTO },
        { PEER_OTHER_VERSION, -EPROTO },
        { PEER_NO_REPLY_FLAG, -EPROTO },
        { PEER_TOO_LONG, -EPROTO },
        { PEER_MUCH_TOO_LONG, -EPROTO },
        { PEER_TOO_SHORT, -EPROTO },
    };
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < ARRAY_SIZE(requests); i++) {
        for (unsigned j = 0; j < ARRAY_SIZE(deeds); j++) {
            int before, result;

            vhost_peer_destroy(fixture->peer);
            close(fixture->fd);
            fixture->peer = vhost_peer_create(&fixture->fd);
            fixture->peer->odd_request = requests[i];
            fixture->peer->deed = deeds[j].deed;
            vhost_peer_start(fixture->peer);
            before = next_fd();
            result = create(fixture, FOREVER_MS);
            if (result != deeds[j].result)
                fail_msg("request %u, deed %u: %d", requests[i], deeds[j].deed, result);
            assert_int_equal(next_fd(), before);
            assert_null(fixture->backend);
        }
    }
}

static void test_handshake_with_a_silent_process_ends_in_time(void **state)
{
    struct fixture *fixture = *state;

    fixture->peer->odd_request = PEER_GET_QUEUE_NUM;
    fixture->peer->deed = PEER_IS_SILENT;
    vhost_peer_start(fixture->peer);
    assert_int_equal(create(fixture, 100), -ETIMEDOUT);
}

static void test_handshake_can_be_ended_from_outside(void **state)
{
    struct fixture *fixture = *state;
    struct vhost_user_options options = options_of(fixture, FOREVER_MS);
    int ends[2];

    fixture->peer->odd_request = PEER_GET_QUEUE_NUM;
    fixture->peer->deed = PEER_IS_SILENT;
    vhost_peer_start(fixture->peer);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    options.interrupt_fd = ends[0];
    close(ends[1]);
    assert_int_equal(vhost_user_create(fixture->loop, &options, &fixture->backend), -EINTR);
    close(ends[0]);
}

static void test_handshake_with_nobody_fails(void **state)
{
    struct fixture *fixture = *state;

    vhost_peer_close(fixture->peer);
    assert_int_equal(create(fixture, FOREVER_MS), -ECONNRESET);
}

/* A process of ours that waits to be killed. */
static void make_process(struct fixture *fixture)
{
    fixture->process = fork();
    assert_true(fixture->process >= 0);
    if (fixture->process == 0) {
        for (;;)
            pause();
    }
    fixture->pidfd = pidfd_open(fixture->process, 0);
    assert_true(fixture->pidfd >= 0);
}

/* Somebody else may have its socket, which then stays open. */
static void test_handshake_with_a_process_that_has_ended_fails_though_its_socket_is_open(void **state)
{
    struct fixture *fixture = *state;

    make_process(fixture);
    kill(fixture->process, SIGKILL);
    assert_int_equal(create(fixture, FOREVER_MS), -ECONNRESET);
}

static void test_handshake_without_descriptors_fails(void **state)
{
    struct fixture *fixture = *state;
    struct rlimit before, tight;

    vhost_peer_start(fixture->peer);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (rlim_t more = 0; more < 2 * VHOST_MAX_QUEUES; more++) {
        int result, next = next_fd();

        tight = before;
        tight.rlim_cur = (rlim_t)next + more;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
        result = create(fixture, FOREVER_MS);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(result, -EMFILE);
        assert_int_equal(next_fd(), next);
    }
}

/* --- memory --- */

static void test_attach_sends_the_memory_and_its_descriptors(void **state)
{
    struct fixture *fixture = *state;
    const struct vhost_peer_message *message;

    connect_and_attach(fixture);
    message = vhost_peer_wait(fixture->peer, 6);
    assert_int_equal(message->request, PEER_SET_MEM_TABLE);
    assert_int_equal(message->flags, 1 | NEED_REPLY);
    assert_int_equal(message->size, 8 + 2 * 32);
    assert_int_equal(vhost_peer_u32(message, 0), 2);
    assert_int_equal(message->fd_count, 2);
    for (unsigned i = 0; i < 2; i++) {
        const uint64_t expected[] = { fixture->regions[i].base, fixture->regions[i].size,
                                      (uintptr_t)fixture->regions[i].host, 0 };

        assert_memory_equal(message->payload + 8 + i * 32, expected, sizeof(expected));
        assert_true(same_file(message->fds[i], fixture->regions[i].fd));
    }
}

static void test_attach_refuses_no_memory_and_too_much(void **state)
{
    struct fixture *fixture = *state;
    struct vhost_region many[VHOST_MAX_REGIONS + 1] = { 0 };
    struct vhost_backend *backend;

    vhost_peer_start(fixture->peer);
    assert_int_equal(create(fixture, FOREVER_MS), 0);
    backend = fixture->backend;
    assert_int_equal(backend->ops->attach(backend, &fixture->client, &fixture->listener, many, 0), -EINVAL);
    assert_int_equal(
        backend->ops->attach(backend, &fixture->client, &fixture->listener, many, ARRAY_SIZE(many)), -EINVAL);
}

static void test_attach_to_a_process_that_has_gone_fails(void **state)
{
    struct fixture *fixture = *state;

    vhost_peer_start(fixture->peer);
    assert_int_equal(create(fixture, FOREVER_MS), 0);
    vhost_peer_close(fixture->peer);
    assert_int_equal(fixture->backend->ops->attach(fixture->backend, &fixture->client, &fixture->listener,
                                                   fixture->regions, 2),
                     -EPIPE);
}

/* --- starting and stopping --- */

static void check_queue_messages(const struct fixture *fixture, unsigned first, unsigned index, uint32_t base)
{
    static const uint32_t requests[] = { PEER_SET_VRING_NUM,  PEER_SET_VRING_BASE, PEER_SET_VRING_ADDR,
                                         PEER_SET_VRING_CALL, PEER_SET_VRING_KICK, PEER_SET_VRING_ENABLE };
    const struct vhost_peer_message *messages = &fixture->peer->messages[first];
    struct vhost_queue queue = queue_at(fixture, index);
    const struct {
        uint32_t index, flags;
        uint64_t desc, used, avail, log;
    } addresses = { index, 0, (uintptr_t)queue.desc, (uintptr_t)queue.used, (uintptr_t)queue.avail, 0 };

    for (unsigned i = 0; i < ARRAY_SIZE(requests); i++) {
        assert_int_equal(messages[i].request, requests[i]);
        assert_int_equal(messages[i].flags, 1 | NEED_REPLY);
        assert_int_equal(vhost_peer_u32(&messages[i], 0), index);
    }
    assert_int_equal(vhost_peer_u32(&messages[0], 1), queue.size);
    assert_int_equal(vhost_peer_u32(&messages[1], 1), base);
    assert_int_equal(messages[2].size, sizeof(addresses));
    assert_memory_equal(messages[2].payload, &addresses, sizeof(addresses));
    for (unsigned i = 3; i <= 4; i++) {
        assert_int_equal(messages[i].fd_count, 1);
        assert_int_equal(vhost_peer_u64(&messages[i]), index);
    }
    assert_int_equal(vhost_peer_u32(&messages[5], 1), 1);
}

static void test_start_tells_features_and_every_queue(void **state)
{
    struct fixture *fixture = *state;

    connect_and_attach(fixture);
    assert_int_equal(start_two(fixture), 0);
    vhost_peer_wait(fixture->peer, ATTACHED + 2 * QUEUE_START);
    assert_int_equal(fixture->peer->messages[6].request, PEER_SET_FEATURES);
    /* what the process has not offered is between the driver and us */
    assert_int_equal(vhost_peer_u64(&fixture->peer->messages[6]), VERSION_1 | PROTOCOL);
    check_queue_messages(fixture, 7, 0, 0);
    check_queue_messages(fixture, 7 + QUEUE_START, 1, 0);
    stop_and_wait(fixture);
}

static void test_bells_and_calls_go_over_eventfds(void **state)
{
    struct fixture *fixture = *state;
    const struct vhost_peer_message *messages = fixture->peer->messages;
    uint64_t count;

    connect_and_attach(fixture);
    /* rung before anybody listens: it counts */
    assert_int_equal(eventfd_write(fixture->backend->ops->doorbell(fixture->backend, 1), 3), 0);
    assert_int_equal(start_two(fixture), 0);
    vhost_peer_wait(fixture->peer, ATTACHED + 2 * QUEUE_START);
    assert_int_equal(eventfd_read(messages[7 + QUEUE_START + 4].fds[0], &count), 0);
    assert_int_equal(count, 3);
    assert_int_equal(eventfd_write(messages[7 + 3].fds[0], 1), 0);
    run_until(fixture, &fixture->used[0], 1);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(eventfd_write(messages[7 + QUEUE_START + 3].fds[0], 1), 0);
        run_until(fixture, &fixture->used[1], i);
    }
    assert_int_equal(fixture->used[0], 1);
    assert_int_equal(fixture->batches, 4);
    stop_and_wait(fixture);
    assert_int_equal(fixture->ended, 0);
}

/* One that was rung while the process was not ready may have been read and forgotten. */
static void test_bells_are_rung_when_the_process_is_ready(void **state)
{
    struct fixture *fixture = *state;
    uint64_t count;

    connect_and_attach(fixture);
    assert_int_equal(start_two(fixture), 0);
    assert_int_equal(vhost_peer_wait(fixture->peer, ATTACHED + 2 * QUEUE_START + 1)->request,
                     PEER_GET_FEATURES);
    for (unsigned i = 0; i < 2; i++) {
        while (eventfd_read(fixture->peer->messages[7 + i * QUEUE_START + 4].fds[0], &count) < 0) {
            loop_stop(fixture->loop);
            assert_int_equal(loop_run(fixture->loop), 0);
        }
        assert_int_equal(count, 1);
    }
    stop_and_wait(fixture);
}

/* A process that is under a guest's spell fills the counter: whoever rings must not wait for it. */
static void test_a_bell_never_blocks(void **state)
{
    struct fixture *fixture = *state;
    int bell;

    vhost_peer_start(fixture->peer);
    assert_int_equal(create(fixture, FOREVER_MS), 0);
    bell = fixture->backend->ops->doorbell(fixture->backend, VHOST_MAX_QUEUES - 1);
    assert_int_equal(eventfd_write(bell, UINT64_MAX - 1), 0);
    assert_int_equal(eventfd_write(bell, 1), -1);
    assert_int_equal(errno, EAGAIN);
}

static void test_stop_asks_every_queue_and_waits_for_all_of_the_answers(void **state)
{
    struct fixture *fixture = *state;
    const struct vhost_peer_message *message;

    connect_and_attach(fixture);
    assert_int_equal(start_two(fixture), 0);
    stop_and_wait(fixture);
    for (unsigned i = 0; i < 2; i++) {
        message = vhost_peer_wait(fixture->peer, ATTACHED + 2 * QUEUE_START + 1 + (i + 1) * QUEUE_STOP);
        assert_int_equal(message[-1].request, PEER_SET_VRING_ENABLE);
        assert_int_equal(vhost_peer_u32(&message[-1], 0), i);
        assert_int_equal(vhost_peer_u32(&message[-1], 1), 0);
        assert_int_equal(message->request, PEER_GET_VRING_BASE);
        assert_int_equal(message->flags, 1);
        assert_int_equal(vhost_peer_u32(message, 0), i);
    }
    assert_int_equal(fixture->stopped, 1);
    assert_int_equal(fixture->owner_ended, 0);
}

static void test_a_queue_that_is_resumed_goes_on_where_it_stopped(void **state)
{
    struct fixture *fixture = *state;
    struct vhost_queue queues[] = { queue_at(fixture, 0), queue_at(fixture, 1) };

    fixture->peer->bases[0] = 7;
    fixture->peer->bases[1] = UINT16_MAX;
    connect_and_attach(fixture);
    assert_int_equal(start_queues(fixture, queues, 2), 0);
    stop_and_wait(fixture);
    queues[1].resume = true;
    assert_int_equal(start_queues(fixture, queues, 2), 0);
    vhost_peer_wait(fixture->peer, ATTACHED + 2 * QUEUE_START + 1 + 2 * QUEUE_STOP + 1 + 2 * QUEUE_START);
    check_queue_messages(fixture, 25, 0, 0);
    check_queue_messages(fixture, 25 + QUEUE_START, 1, UINT16_MAX);
    stop_and_wait(fixture);
    assert_int_equal(fixture->stopped, 2);
}

static void test_queues_are_started_and_stopped_many_times(void **state)
{
    struct fixture *fixture = *state;

    connect_and_attach(fixture);
    for (unsigned i = 0; i < 12; i++) {
        assert_int_equal(start_two(fixture), 0);
        stop_and_wait(fixture);
    }
    assert_int_equal(fixture->stopped, 12);
}

static void test_start_while_stopping_is_refused(void **state)
{
    struct fixture *fixture = *state;

    connect_and_attach(fixture);
    assert_int_equal(start_two(fixture), 0);
    assert_int_equal(start_two(fixture), -EPIPE);
    stop(fixture);
    assert_int_equal(start_two(fixture), -EPIPE);
    run_until(fixture, &fixture->stopped, 1);
    assert_int_equal(fixture->ended, 0);
}

static void test_a_queue_that_the_process_does_not_have_is_refused(void **state)
{
    struct fixture *fixture = *state;
    const struct vhost_queue queues[] = { queue_at(fixture, 0), queue_at(fixture, 2) };
    struct vhost_queue many[VHOST_MAX_QUEUES + 1] = { 0 };

    connect_and_attach(fixture);
    assert_int_equal(start_queues(fixture, queues, 2), -EINVAL);
    assert_int_equal(start_queues(fixture, many, ARRAY_SIZE(many)), -EINVAL);
    assert_int_equal(start_queues(fixture, queues, 1), 0);
    vhost_peer_wait(fixture->peer, ATTACHED + QUEUE_START);
    check_queue_messages(fixture, 7, 0, 0);
    stop_and_wait(fixture);
}

/* --- the end --- */

static void check_end(struct fixture *fixture, const char *reason)
{
    run_until(fixture, &fixture->ended, 1);
    assert_int_equal(fixture->owner_ended, 1);
    assert_string_equal(fixture->reason, reason);
    assert_int_equal(loop_in_flight(fixture->loop), 0);
    assert_int_equal(start_two(fixture), -EPIPE);
}

static void test_a_process_that_ends_while_it_works_is_told_once(void **state)
{
    struct fixture *fixture = *state;

    connect_and_attach(fixture);
    assert_int_equal(start_two(fixture), 0);
    vhost_peer_wait(fixture->peer, ATTACHED + 2 * QUEUE_START);
    vhost_peer_close(fixture->peer);
    check_end(fixture, CLOSED);
    assert_int_equal(fixture->stopped, 0);
    assert_true(fixture->batches > 0);
}

static void test_a_process_that_ends_while_it_stops_is_told_and_has_stopped(void **state)
{
    struct fixture *fixture = *state;

    connect_and_attach(fixture);
    assert_int_equal(start_two(fixture), 0);
    vhost_peer_set_odd(fixture->peer, PEER_GET_VRING_BASE, PEER_CLOSES, 0);
    stop(fixture);
    run_until(fixture, &fixture->stopped, 1);
    check_end(fixture, CLOSED);
}

static void test_stop_of_a_process_that_has_just_gone_ends_and_stops(void **state)
{
    struct fixture *fixture = *state;

    connect_and_attach(fixture);
    assert_int_equal(start_two(fixture), 0);
    vhost_peer_wait(fixture->peer, ATTACHED + 2 * QUEUE_START);
    vhost_peer_close(fixture->peer);
    stop(fixture);
    run_until(fixture, &fixture->stopped, 1);
    check_end(fixture, CLOSED);
}

static void test_start_of_a_process_that_has_gone_is_followed_by_its_end(void **state)
{
    struct fixture *fixture = *state;

    connect_and_attach(fixture);
    vhost_peer_close(fixture->peer);
    /* Nobody was told, but somebody waits from here on until the process has gone. */
    assert_int_equal(start_two(fixture), 0);
    assert_int_equal(fixture->ended, 0);
    check_end(fixture, CLOSED);
    assert_int_equal(fixture->stopped, 0);
}

static void test_whatever_is_no_acknowledgement_is_the_end(void **state)
{
    static const struct {
        enum vhost_peer_deed deed;
        const char *reason;
    } deeds[] = {
        { PEER_CLOSES, CLOSED },
        { PEER_CLOSES_IN_HEADER, CLOSED },
        { PEER_CLOSES_IN_PAYLOAD, CLOSED },
        { PEER_OTHER_REQUEST, NO_ANSWER },
        { PEER_OTHER_VERSION, NO_ANSWER },
        { PEER_NO_REPLY_FLAG, NO_ANSWER },
        { PEER_TOO_LONG, NO_ANSWER },
        { PEER_MUCH_TOO_LONG, NO_ANSWER },
        { PEER_TOO_SHORT, NO_ANSWER },
        { PEER_ODD_VALUE, NOT_OBEYED },
        { PEER_ANSWERS_TWICE, NO_ANSWER },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(deeds); i++) {
        struct fixture *fixture = *state;

        connect_and_attach(fixture);
        vhost_peer_wait(fixture->peer, 6);
        vhost_peer_set_odd(fixture->peer, PEER_SET_VRING_KICK, deeds[i].deed, UINT64_MAX);
        assert_int_equal(start_queues(fixture, &(struct vhost_queue){ .size = 4 }, 1), 0);
        check_end(fixture, deeds[i].reason);
        start_over(state);
    }
}

static void test_whatever_is_no_base_is_the_end(void **state)
{
    static const struct {
        enum vhost_peer_deed deed;
        uint64_t value;
    } deeds[] = {
        { PEER_OTHER_REQUEST, 0 },
        { PEER_TOO_LONG, 0 },
        { PEER_NO_REPLY_FLAG, 0 },
        { PEER_ODD_VALUE, 1 },                       /* no queue that was started */
        { PEER_ODD_VALUE, VHOST_MAX_QUEUES },        /* none at all */
        { PEER_ODD_VALUE, UINT32_MAX },              /* likewise */
        { PEER_ODD_VALUE, UINT64_C(0x10000) << 32 }, /* no index of a ring */
    };

    for (unsigned i = 0; i < ARRAY_SIZE(deeds); i++) {
        struct fixture *fixture = *state;
        struct vhost_queue queue = queue_at(fixture, 0);

        connect_and_attach(fixture);
        assert_int_equal(start_queues(fixture, &queue, 1), 0);
        vhost_peer_wait(fixture->peer, ATTACHED + QUEUE_START);
        vhost_peer_set_odd(fixture->peer, PEER_GET_VRING_BASE, deeds[i].deed, deeds[i].value);
        stop(fixture);
        run_until(fixture, &fixture->stopped, 1);
        check_end(fixture, NO_ANSWER);
        start_over(state);
    }
}

static void test_a_queue_that_stops_twice_is_the_end(void **state)
{
    struct fixture *fixture = *state;

    connect_and_attach(fixture);
    assert_int_equal(start_two(fixture), 0);
    vhost_peer_wait(fixture->peer, ATTACHED + 2 * QUEUE_START);
    vhost_peer_set_odd(fixture->peer, PEER_GET_VRING_BASE, PEER_ODD_VALUE, 1);
    stop(fixture);
    run_until(fixture, &fixture->stopped, 1);
    check_end(fixture, NO_ANSWER);
}

static void test_answers_come_in_any_pieces(void **state)
{
    struct fixture *fixture = *state;

    fixture->peer->odd_request = PEER_GET_VRING_BASE;
    fixture->peer->deed = PEER_ANSWERS_BYTE_BY_BYTE;
    fixture->peer->bases[1] = 0x102;
    connect_and_attach(fixture);
    assert_int_equal(start_two(fixture), 0);
    stop_and_wait(fixture);
    assert_int_equal(fixture->owner_ended, 0);
}

/* Its socket is full: start(), on a vCPU's thread, does not wait for it. */
static void test_start_of_a_process_that_does_not_listen_ends_at_once(void **state)
{
    struct fixture *fixture = *state;
    int least = 1;

    vhost_peer_start(fixture->peer);
    assert_int_equal(create(fixture, FOREVER_MS), 0);
    /* its thread waits for this lock before it goes on */
    pthread_mutex_lock(&fixture->peer->lock);
    assert_int_equal(setsockopt(fixture->fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)), 0);
    assert_int_equal(fixture->backend->ops->attach(fixture->backend, &fixture->client, &fixture->listener,
                                                   fixture->regions, 2),
                     0);
    assert_int_equal(start_two(fixture), 0);
    pthread_mutex_unlock(&fixture->peer->lock);
    check_end(fixture, DEAF);
}

static void test_the_end_is_told_when_the_process_has_gone_and_not_before(void **state)
{
    struct fixture *fixture = *state;

    make_process(fixture);
    connect_and_attach(fixture);
    assert_int_equal(start_two(fixture), 0);
    vhost_peer_wait(fixture->peer, ATTACHED + 2 * QUEUE_START);
    vhost_peer_close(fixture->peer);
    run_until(fixture, &fixture->owner_ended, 1);
    /* a few turns: it lives, and could write to guest RAM */
    for (unsigned i = 0; i < 4; i++) {
        loop_stop(fixture->loop);
        assert_int_equal(loop_run(fixture->loop), 0);
    }
    assert_int_equal(fixture->ended, 0);
    kill(fixture->process, SIGKILL);
    check_end(fixture, CLOSED);
}

#define ON_BOTH_ENGINES(test)                                                                                \
    { #test " [io_uring]", test, set_up_io_uring, tear_down, NULL },                                         \
    {                                                                                                        \
#test " [threads]", test, set_up_threads, tear_down, NULL                                            \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH_ENGINES(test_handshake_takes_what_it_knows_and_no_more),
        ON_BOTH_ENGINES(test_handshake_without_multiqueue_asks_for_no_number),
        ON_BOTH_ENGINES(test_handshake_with_a_process_that_has_no_protocol_features_fails),
        ON_BOTH_ENGINES(test_handshake_takes_answers_in_any_pieces),
        ON_BOTH_ENGINES(test_handshake_fails_at_whatever_is_no_answer),
        ON_BOTH_ENGINES(test_handshake_with_a_silent_process_ends_in_time),
        ON_BOTH_ENGINES(test_handshake_can_be_ended_from_outside),
        ON_BOTH_ENGINES(test_handshake_with_nobody_fails),
        ON_BOTH_ENGINES(test_handshake_with_a_process_that_has_ended_fails_though_its_socket_is_open),
        ON_BOTH_ENGINES(test_handshake_without_descriptors_fails),
        ON_BOTH_ENGINES(test_attach_sends_the_memory_and_its_descriptors),
        ON_BOTH_ENGINES(test_attach_refuses_no_memory_and_too_much),
        ON_BOTH_ENGINES(test_attach_to_a_process_that_has_gone_fails),
        ON_BOTH_ENGINES(test_start_tells_features_and_every_queue),
        ON_BOTH_ENGINES(test_bells_and_calls_go_over_eventfds),
        ON_BOTH_ENGINES(test_bells_are_rung_when_the_process_is_ready),
        ON_BOTH_ENGINES(test_a_bell_never_blocks),
        ON_BOTH_ENGINES(test_stop_asks_every_queue_and_waits_for_all_of_the_answers),
        ON_BOTH_ENGINES(test_a_queue_that_is_resumed_goes_on_where_it_stopped),
        ON_BOTH_ENGINES(test_queues_are_started_and_stopped_many_times),
        ON_BOTH_ENGINES(test_start_while_stopping_is_refused),
        ON_BOTH_ENGINES(test_a_queue_that_the_process_does_not_have_is_refused),
        ON_BOTH_ENGINES(test_a_process_that_ends_while_it_works_is_told_once),
        ON_BOTH_ENGINES(test_a_process_that_ends_while_it_stops_is_told_and_has_stopped),
        ON_BOTH_ENGINES(test_stop_of_a_process_that_has_just_gone_ends_and_stops),
        ON_BOTH_ENGINES(test_start_of_a_process_that_has_gone_is_followed_by_its_end),
        ON_BOTH_ENGINES(test_whatever_is_no_acknowledgement_is_the_end),
        ON_BOTH_ENGINES(test_whatever_is_no_base_is_the_end),
        ON_BOTH_ENGINES(test_a_queue_that_stops_twice_is_the_end),
        ON_BOTH_ENGINES(test_answers_come_in_any_pieces),
        ON_BOTH_ENGINES(test_start_of_a_process_that_does_not_listen_ends_at_once),
        ON_BOTH_ENGINES(test_the_end_is_told_when_the_process_has_gone_and_not_before),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
