/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_passt.c - see ringlet/net_passt.h. The frames are net_stream.c's business; this is the program behind
 * them.
 *
 * passt says that it failed by ending, but not that it serves. We find out with a frame that means nothing to
 * anybody: on a socket with next to no send buffer, room to write is back as soon as the frame was fetched.
 * Its addresses are all broadcast, which is what passt takes the guest's for until it hears from it.
 */
#include "ringlet/net_passt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child_process.h"
#include "child_words.h"
#include "net_stream.h"
#include "ringlet/backend_provider.h"
#include "ringlet/cleanup.h"
#include "ringlet/error.h"
#include "ringlet/monotonic.h"
#include "ringlet/net_backend.h"
#include "ringlet/util.h"

#define START_TIMEOUT_MS 10000
#define FORWARD_SIZE     32 /* "255.255.255.255/65535:65535" */
#define FIXED_ARGUMENTS  16 /* all words but the ports */

#define GREETING_FRAME     1500
#define GREETING_ETHERTYPE 0x88b5 /* IEEE 802: local experimental */

struct net_passt {
    struct net_stream_owner owner;
    struct child_process child;
    int words_fd; /* what it writes on standard error */
    void (*ended)(void *argument, const char *sentence);
    void *argument;
};

/* --- its ports --- */

/* passt starts even when a port is taken, as long as it gets some address: ask before. */
static int check_port(const struct net_forward *forward, struct error *err)
{
    CLEANUP_CLOSE int fd = socket(AF_INET, (forward->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(forward->host_port) };
    const char *protocol = forward->udp ? "UDP" : "TCP";
    int one = 1;

    if (inet_pton(AF_INET, forward->address, &address.sin_addr) != 1)
        return error_set(err, -EINVAL, "hostfwd: '%s' is no IPv4 address", forward->address);
    if (fd < 0)
        return error_set(err, -errno, "cannot make a socket: %s", strerror(errno));
    /* As passt does: connections that are only being closed are in nobody's way. */
    if (!forward->udp)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return 0;
    switch (errno) {
    case EADDRINUSE:
        return error_set(err, -errno, "hostfwd: %s port %u of %s is in use: take another", protocol,
                         forward->host_port, forward->address);
    case EACCES:
        return error_set(err, -errno,
                         "hostfwd: %s port %u is for root: take one from 1024, or lower "
                         "`sysctl net.ipv4.ip_unprivileged_port_start`",
                         protocol, forward->host_port);
    case EADDRNOTAVAIL:
        return error_set(err, -errno, "hostfwd: %s is no address of this host", forward->address);
    default:
        return error_set(err, -errno, "hostfwd: no listening on %s port %u of %s: %s", protocol,
                         forward->host_port, forward->address, strerror(errno));
    }
}

/* --- its words --- */

/* passt's complaints about the lack of somewhere to complain to, and of root's own about being root */
static const char *const noise[] = { "Failed to send", "Don't run as root", NULL };

/* --- starting it --- */

/* "none", or -t ADDRESS/PORT:PORT for each */
static unsigned add_ports(const char **argv, unsigned count, const struct net_passt_options *options,
                          bool udp, char (*texts)[FORWARD_SIZE])
{
    const char *option = udp ? "-u" : "-t";
    unsigned before = count;

    for (unsigned i = 0; i < options->forward_count; i++) {
        const struct net_forward *forward = &options->forwards[i];

        if (forward->udp != udp)
            continue;
        snprintf(texts[i], FORWARD_SIZE, "%s/%u:%u", forward->address, forward->host_port,
                 forward->guest_port);
        argv[count++] = option;
        argv[count++] = texts[i];
    }
    if (count == before) {
        /* Said aloud: UDP would follow TCP's ports otherwise. */
        argv[count++] = option;
        argv[count++] = "none";
    }
    return count;
}

static int start(struct net_passt *passt, const struct net_passt_options *options, int socket,
                 struct error *err)
{
    const char *argv[FIXED_ARGUMENTS + 2 * NET_PASST_FORWARDS_MAX];
    char texts[NET_PASST_FORWARDS_MAX][FORWARD_SIZE], descriptor[8], mtu[8];
    CLEANUP_CLOSE int write_end = -1;
    struct child_process_options child = { .argv = argv, .fds = &socket, .fd_count = 1 };
    unsigned count = 0;
    int result;

    snprintf(descriptor, sizeof(descriptor), "%d", CHILD_PROCESS_FIRST_FD);
    argv[count++] = options->program ? options->program : "passt";
    argv[count++] = "--foreground";
    argv[count++] = "--quiet";
    argv[count++] = "--fd";
    argv[count++] = descriptor;
    if (options->mtu) {
        snprintf(mtu, sizeof(mtu), "%u", options->mtu);
        argv[count++] = "--mtu";
        argv[count++] = mtu;
    }
    count = add_ports(argv, count, options, false, texts);
    count = add_ports(argv, count, options, true, texts);
    argv[count] = NULL;

    result = child_words_pipe(&passt->words_fd, &write_end);
    if (result < 0)
        return error_set(err, result, "cannot make a pipe: %s", strerror(-result));
    child.stderr_fd = write_end;
    result = child_process_start(&child, &passt->child, NULL);
    if (result == -ENOENT)
        return error_set(err, result, "%s is not installed: `apt install passt`", argv[0]);
    if (result < 0)
        return error_set(err, result, "cannot start %s: %s", argv[0], strerror(-result));
    return 0;
}

static int greet(int fd)
{
    unsigned char frame[4 + GREETING_FRAME] = { 0 };
    uint32_t length = htonl(GREETING_FRAME);
    uint16_t type = htons(GREETING_ETHERTYPE);

    memcpy(frame, &length, sizeof(length));
    memset(frame + 4, 0xff, 12);
    memcpy(frame + 16, &type, sizeof(type));
    return send(fd, frame, sizeof(frame), MSG_NOSIGNAL) == sizeof(frame) ? 0 : -errno;
}

/* Until it has fetched the greeting, has ended, or it takes too long. */
static int wait_until_ready(struct net_passt *passt, int fd, int interrupt_fd, struct error *err)
{
    struct pollfd polled[] = { { .fd = fd, .events = POLLOUT },
                               { .fd = passt->child.pidfd, .events = POLLIN },
                               { .fd = interrupt_fd ? interrupt_fd : -1, .events = POLLIN } };
    char words[CHILD_WORDS_SIZE], end[CHILD_END_SIZE];
    int64_t deadline = monotonic_ms() + START_TIMEOUT_MS;
    int ready, status;

    do
        ready = poll(polled, ARRAY_SIZE(polled),
                     (int)(deadline > monotonic_ms() ? deadline - monotonic_ms() : 0));
    while (ready < 0 && errno == EINTR);
    if (ready < 0)
        return error_set(err, -errno, "cannot wait for passt: %s", strerror(errno));
    if (ready == 0)
        return error_set(err, -ETIMEDOUT, "passt does not serve %d seconds after its start",
                         START_TIMEOUT_MS / 1000);
    if (polled[2].revents)
        return error_set(err, -EINTR, "passt did not serve yet when the wait for it was ended");
    if (!(polled[0].revents & (POLLHUP | POLLERR)) && !polled[1].revents)
        return 0;
    /* It has closed the socket, or is about to: its end follows. */
    child_process_wait(&passt->child, CHILD_PROCESS_LINGER_MS, &status);
    child_words_read_last(passt->words_fd, noise, words, sizeof(words));
    child_words_describe_end(status, words, end, sizeof(end));
    return error_set(err, -ECHILD, "passt does not start%s", end);
}

static int start_and_wait(struct net_passt *passt, const struct net_passt_options *options, int ours,
                          int theirs, struct error *err)
{
    char words[CHILD_WORDS_SIZE];
    int size, least = 1, result;
    socklen_t length = sizeof(size);

    if (getsockopt(ours, SOL_SOCKET, SO_SNDBUF, &size, &length) < 0 ||
        setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)) < 0)
        return error_set(err, -errno, "cannot set up a socket: %s", strerror(errno));
    result = start(passt, options, theirs, err);
    if (result < 0)
        return result;
    /* One that has ended already tells below. */
    greet(ours);
    result = wait_until_ready(passt, ours, options->interrupt_fd, err);
    if (result < 0)
        return result;
    /* What it has said so far is no reason of an end to come. */
    child_words_read_last(passt->words_fd, NULL, words, sizeof(words));
    size /= 2; /* the kernel doubles what it is given, and tells the double */
    setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    return 0;
}

/* --- while it runs --- */

static struct net_passt *net_passt(struct net_stream_owner *owner)
{
    return container_of(owner, struct net_passt, owner);
}

static void ended(struct net_stream_owner *owner, const char *reason)
{
    struct net_passt *passt = net_passt(owner);
    char words[CHILD_WORDS_SIZE], end[CHILD_END_SIZE], sentence[400];
    int status;

    /* Without the stream it is of no use. It may have ended, or not quite: see dropped(). */
    child_process_kill(&passt->child);
    child_process_reap(&passt->child, &status);
    if (!passt->ended)
        return;
    child_words_read_last(passt->words_fd, noise, words, sizeof(words));
    child_words_describe_end(0, words, end, sizeof(end));
    snprintf(sentence, sizeof(sentence), "passt %s%s", reason, end);
    passt->ended(passt->argument, sentence);
}

/* A guest without a link sends now and then: time to reap what had not quite ended. */
static void dropped(struct net_stream_owner *owner)
{
    int status;

    child_process_reap(&net_passt(owner)->child, &status);
}

static void release(struct net_passt *passt)
{
    child_process_finish(&passt->child);
    if (passt->words_fd >= 0)
        close(passt->words_fd);
    free(passt);
}

static void destroyed(struct net_stream_owner *owner)
{
    release(net_passt(owner));
}

int net_passt_open(struct loop *loop, const struct net_passt_options *options,
                   struct net_backend **ret_backend, struct error *err)
{
    CLEANUP_CLOSE int ours = -1;
    CLEANUP_CLOSE int theirs = -1;
    struct net_passt *passt;
    int ends[2], result;

    if (options->forward_count > NET_PASST_FORWARDS_MAX)
        return error_set(err, -E2BIG, "hostfwd is given more than %d times", NET_PASST_FORWARDS_MAX);
    for (unsigned i = 0; i < options->forward_count; i++) {
        result = check_port(&options->forwards[i], err);
        if (result < 0)
            return result;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return error_set(err, -errno, "cannot make a socket: %s", strerror(errno));
    ours = ends[0];
    theirs = ends[1];
    passt = calloc(1, sizeof(*passt));
    if (!passt)
        return error_set(err, -ENOMEM, "out of memory");
    passt->owner = (struct net_stream_owner){ .ended = ended, .dropped = dropped, .destroyed = destroyed };
    passt->child.pidfd = passt->words_fd = -1;
    passt->ended = options->ended;
    passt->argument = options->argument;

    result = start_and_wait(passt, options, ours, theirs, err);
    if (result == 0) {
        result = net_stream_create(loop, ours, options->mtu, &passt->owner, ret_backend);
        if (result < 0)
            error_set(err, result, "cannot make a network: %s", strerror(-result));
    }
    if (result < 0) {
        release(passt);
        return result;
    }
    steal_fd(&ours);
    return 0;
}
