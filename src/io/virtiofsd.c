/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtiofsd.c - see ringlet/virtiofsd.h. The queues are vhost_user.c's business; this is the program behind them.
 *
 * Every virtiofsd takes a descriptor to listen at and makes one connection there. So the address, one that the
 * kernel makes up, is there for a moment only, and with room for one in its queue: when our connect() succeeds,
 * nobody else's has.
 *
 * How much of a sandbox there can be depends on what the system lets us do, and only trying tells. The ways stand
 * in a table, the best first; the next is tried when the sandbox could not be made, by us or by virtiofsd.
 */
#include "ringlet/virtiofsd.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "child_process.h"
#include "child_sandbox.h"
#include "child_words.h"
#include "ringlet/cleanup.h"
#include "ringlet/error.h"
#include "ringlet/monotonic.h"
#include "ringlet/open_path.h"
#include "ringlet/util.h"
#include "ringlet/vhost_backend.h"
#include "vhost_user.h"

#define START_TIMEOUT_MS 10000
#define ARGUMENTS_MAX    8

static_assert(CHILD_PROCESS_FIRST_FD == 3, "the arguments below name 3 and 4");

struct virtiofsd {
    struct vhost_user_owner owner;
    struct child_process child;
    int words_fd; /* what it writes on standard error */
    void (*ended)(void *argument, const char *name, const char *sentence);
    void *argument;
    const char *name;
};

/* What all attempts have in common. */
struct start {
    const struct virtiofsd_options *options;
    struct loop *loop;
    const char *program;
    int directory_fd;
    int64_t deadline;
    struct error *err;
};

/* --- which program, and how it is told --- */

const char *virtiofsd_find(void)
{
    static const char *const places[] = { "/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd" };

    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        if (access(places[i], X_OK) == 0)
            return places[i];
    }
    return NULL;
}

/* Without one at its place it is in PATH, or there is a sentence that it is not. */
static const char *program_to_start(void)
{
    const char *found = virtiofsd_find();

    return found ? found : "virtiofsd";
}

/* QEMU's lies in a folder of QEMU's. */
static bool is_of_qemu(const char *program)
{
    return strstr(program, "/qemu/");
}

struct arguments {
    const char *argv[ARGUMENTS_MAX + 1];
    char source[128], sandbox[32], cache[16];
};

/*
 * Mounts below the directory are not announced to the guest: it would make mounts of its own of them, which an
 * overlay on top of the share cannot cross.
 */
static void set_arguments(struct arguments *arguments, const struct start *start, const char *directory,
                          const char *sandbox)
{
    const char *cache = start->options->at_rest ? "always" : "auto";
    const char **argv = arguments->argv;

    *argv++ = start->program;
    *argv++ = "--fd=3";
    if (is_of_qemu(start->program)) {
        snprintf(arguments->source, sizeof(arguments->source), "source=%s,sandbox=%s,cache=%s,log_level=err",
                 directory, sandbox, cache);
        *argv++ = "-f";
        *argv++ = "-o";
        *argv++ = arguments->source;
    } else {
        snprintf(arguments->source, sizeof(arguments->source), "--shared-dir=%s", directory);
        snprintf(arguments->sandbox, sizeof(arguments->sandbox), "--sandbox=%s", sandbox);
        snprintf(arguments->cache, sizeof(arguments->cache), "--cache=%s", cache);
        *argv++ = arguments->source;
        *argv++ = arguments->sandbox;
        *argv++ = arguments->cache;
        *argv++ = "--log-level=error";
        *argv++ = "--no-announce-submounts";
    }
    *argv = NULL;
}

/* --- starting it --- */

struct way {
    bool own_namespaces; /* ours around it: child_sandbox.h */
    bool user_namespace;
    const char *sandbox; /* virtiofsd's within */
};

/* Root, then root of a container that has no right to make namespaces. */
static const struct way ways_of_root[] = {
    { .own_namespaces = true, .sandbox = "namespace" },
    { .own_namespaces = true, .sandbox = "chroot" },
    { .own_namespaces = false, .sandbox = "chroot" },
};

/* "namespace" mounts /proc anew, which is refused where a container hides parts of it. */
static const struct way ways_of_others[] = {
    { .own_namespaces = true, .user_namespace = true, .sandbox = "namespace" },
    { .own_namespaces = true, .user_namespace = true, .sandbox = "chroot" },
};

/* A connection that nobody has accepted yet. 0 or -errno */
static int connect_ahead(int *ret_ours, int *ret_listening)
{
    CLEANUP_CLOSE int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CLEANUP_CLOSE int ours = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    socklen_t length = sizeof(address);

    /* unix(7), autobind: no more than the family, and the kernel makes up a name */
    if (listening < 0 || ours < 0 ||
        bind(listening, (const struct sockaddr *)&address, sizeof(address.sun_family)) < 0 ||
        listen(listening, 0) < 0 || getsockname(listening, (struct sockaddr *)&address, &length) < 0 ||
        connect(ours, (const struct sockaddr *)&address, length) < 0)
        return -errno;
    *ret_ours = steal_fd(&ours);
    *ret_listening = steal_fd(&listening);
    return 0;
}

static int say_not_started(const struct start *start, int code, enum child_step step)
{
    const char *directory = start->options->directory, *reason = strerror(-code);

    switch (step) {
    case CHILD_STEP_NAMESPACES:
        if (geteuid() == 0)
            return error_set(
                start->err, code,
                "cannot share %s read-only: this takes a mount namespace, which the system refuses "
                "(%s): give the container CAP_SYS_ADMIN, or share it writable",
                directory, reason);
        return error_set(
            start->err, code,
            "cannot share %s: without root this takes a user namespace, which the system refuses "
            "(%s): see `sysctl user.max_user_namespaces kernel.unprivileged_userns_clone "
            "kernel.apparmor_restrict_unprivileged_userns`, or run as root",
            directory, reason);
    case CHILD_STEP_DIRECTORY:
        return error_set(start->err, code, "cannot show %s in a mount namespace of its own: %s", directory,
                         reason);
    case CHILD_STEP_PROGRAM:
        if (code == -ENOENT)
            return error_set(start->err, code,
                             "%s is not installed: `apt install virtiofsd` (Debian 12: qemu-system-common)",
                             start->program);
        return error_set(start->err, code, "cannot start %s: %s", start->program, reason);
    default:
        return error_set(start->err, code, "cannot start %s: %s", start->program, reason);
    }
}

/* It runs and does not serve: why? */
static int say_not_served(const struct start *start, struct virtiofsd *virtiofsd, int code)
{
    char words[CHILD_WORDS_SIZE], end[CHILD_END_SIZE];
    int status = 0;

    switch (code) {
    case -ETIMEDOUT:
        return error_set(start->err, code, "virtiofsd does not serve %d seconds after its start",
                         START_TIMEOUT_MS / 1000);
    case -EINTR:
        return error_set(start->err, code, "virtiofsd did not serve yet when the wait for it was ended");
    case -EPROTO:
        return error_set(start->err, code, "%s does not answer as a vhost-user back end does",
                         start->program);
    case -ECONNRESET:
        /* It has ended, or is about to: with the socket it has nothing more to do. */
        child_process_wait(&virtiofsd->child, CHILD_PROCESS_LINGER_MS, &status);
        child_words_read_last(virtiofsd->words_fd, NULL, words, sizeof(words));
        child_words_describe_end(status, words, end, sizeof(end));
        return error_set(start->err, -ECHILD, "virtiofsd does not start%s", end);
    default:
        return error_set(start->err, code, "cannot talk to virtiofsd: %s", strerror(-code));
    }
}

static void release(struct virtiofsd *virtiofsd)
{
    child_process_finish(&virtiofsd->child);
    if (virtiofsd->words_fd >= 0)
        close(virtiofsd->words_fd);
    free(virtiofsd);
}

static int start_child(const struct start *start, const struct way *way, int listening, int words,
                       struct child_process *ret_child, enum child_step *ret_step)
{
    struct child_sandbox sandbox = { .directory_fd = start->directory_fd,
                                     .read_only = start->options->read_only,
                                     .user_namespace = way->user_namespace };
    const int fds[] = { listening, start->directory_fd };
    struct arguments arguments;
    struct child_process_options child = {
        .argv = arguments.argv,
        .fds = fds,
        .fd_count = way->own_namespaces ? 1 : 2,
        .stderr_fd = words,
        .sandbox = way->own_namespaces ? &sandbox : NULL,
        .many_files = true,
    };
    int result = way->own_namespaces ? child_sandbox_prepare(&sandbox) : 0;

    *ret_step = CHILD_STEP_DIRECTORY;
    if (result < 0)
        return result;
    set_arguments(&arguments, start, way->own_namespaces ? sandbox.path : "/proc/self/fd/4/.", way->sandbox);
    return child_process_start(&child, ret_child, ret_step);
}

/* 0, or -errno with the sentence; *ret_next: would another way help? */
static int try_way(const struct start *start, const struct way *way, struct virtiofsd *virtiofsd,
                   struct vhost_backend **ret_backend, bool *ret_next)
{
    CLEANUP_CLOSE int ours = -1;
    CLEANUP_CLOSE int listening = -1;
    CLEANUP_CLOSE int words = -1;
    struct vhost_user_options user = { .owner = &virtiofsd->owner };
    enum child_step step;
    int result = connect_ahead(&ours, &listening);

    *ret_next = false;
    if (result < 0)
        return error_set(start->err, result, "cannot make a socket: %s", strerror(-result));
    result = child_words_pipe(&virtiofsd->words_fd, &words);
    if (result < 0)
        return error_set(start->err, result, "cannot make a pipe: %s", strerror(-result));
    result = start_child(start, way, listening, words, &virtiofsd->child, &step);
    if (result < 0) {
        *ret_next = step == CHILD_STEP_NAMESPACES || step == CHILD_STEP_DIRECTORY;
        return say_not_started(start, result, step);
    }
    /* Theirs alone now: when it ends, our end is told. */
    close(steal_fd(&listening));
    user.fd = ours;
    user.pidfd = virtiofsd->child.pidfd;
    user.timeout_ms = (int)(start->deadline - monotonic_ms());
    user.interrupt_fd = start->options->interrupt_fd;
    result = vhost_user_create(start->loop, &user, ret_backend);
    if (result < 0) {
        *ret_next = result == -ECONNRESET;
        return say_not_served(start, virtiofsd, result);
    }
    steal_fd(&ours);
    return 0;
}

/* --- while it runs --- */

static struct virtiofsd *virtiofsd_of(struct vhost_user_owner *owner)
{
    return container_of(owner, struct virtiofsd, owner);
}

static void ended(struct vhost_user_owner *owner, const char *reason)
{
    struct virtiofsd *virtiofsd = virtiofsd_of(owner);
    char words[CHILD_WORDS_SIZE], end[CHILD_END_SIZE], sentence[400];

    /* Without the connection it is of no use; reaped with the backend. */
    child_process_kill(&virtiofsd->child);
    if (!virtiofsd->ended)
        return;
    child_words_read_last(virtiofsd->words_fd, NULL, words, sizeof(words));
    child_words_describe_end(0, words, end, sizeof(end));
    snprintf(sentence, sizeof(sentence), "virtiofsd %s%s", reason, end);
    virtiofsd->ended(virtiofsd->argument, virtiofsd->name, sentence);
}

static void destroyed(struct vhost_user_owner *owner)
{
    release(virtiofsd_of(owner));
}

static int attempt(const struct start *start, const struct way *way, struct vhost_backend **ret_backend,
                   bool *ret_next)
{
    struct virtiofsd *virtiofsd = calloc(1, sizeof(*virtiofsd));
    int result;

    *ret_next = false;
    if (!virtiofsd)
        return error_set(start->err, -ENOMEM, "out of memory");
    virtiofsd->owner = (struct vhost_user_owner){ .ended = ended, .destroyed = destroyed };
    virtiofsd->child.pidfd = virtiofsd->words_fd = -1;
    virtiofsd->ended = start->options->ended;
    virtiofsd->argument = start->options->argument;
    virtiofsd->name = start->options->name;
    result = try_way(start, way, virtiofsd, ret_backend, ret_next);
    if (result < 0)
        release(virtiofsd);
    return result;
}

static int open_directory(const char *directory, struct error *err)
{
    CLEANUP_CLOSE int fd = open_path(directory, O_RDONLY | O_DIRECTORY, 0);
    struct stat status;

    if (fd == -ENOTDIR || (fd >= 0 && fstat(fd, &status) == 0 && !S_ISDIR(status.st_mode)))
        return error_set(err, -ENOTDIR, "cannot share %s: it is not a directory", directory);
    if (fd == -ENOENT)
        return error_set(err, fd, "cannot share %s: there is no such directory", directory);
    if (fd < 0)
        return error_set(err, fd, "cannot share %s: %s", directory, open_path_reason(directory, fd));
    return steal_fd(&fd);
}

int virtiofsd_open(struct loop *loop, const struct virtiofsd_options *options,
                   struct vhost_backend **ret_backend, struct error *err)
{
    CLEANUP_CLOSE int directory_fd = open_directory(options->directory, err);
    struct error reason = { 0 }; /* of the last way; another may have been successful */
    bool root = geteuid() == 0, next = true;
    const struct way *ways = root ? ways_of_root : ways_of_others;
    size_t count = root ? ARRAY_SIZE(ways_of_root) : ARRAY_SIZE(ways_of_others);
    const struct start start = {
        .options = options,
        .loop = loop,
        .program = options->program ? options->program : program_to_start(),
        .directory_fd = directory_fd,
        .deadline = monotonic_ms() + START_TIMEOUT_MS,
        .err = &reason,
    };
    int result = -EPERM;

    if (directory_fd < 0)
        return directory_fd;
    for (size_t i = 0; i < count && next; i++) {
        /* Without a mount namespace nothing enforces it. */
        if (options->read_only && !ways[i].own_namespaces)
            break;
        result = attempt(&start, &ways[i], ret_backend, &next);
    }
    return result < 0 ? error_set(err, result, "%s", reason.text) : 0;
}
