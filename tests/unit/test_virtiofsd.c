/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_virtiofsd.c - a directory served by a child: what the child is given and what is kept from it, what is said
 * when it does not start, how both ends end. With this executable in virtiofsd's place, and with the real one where
 * it is installed ($RINGLET_TEST_VIRTIOFSD: another), asked as a guest would.
 *
 * Run as root it runs itself twice more: as an ordinary user, for whom the sandbox is another, and as root who may
 * make none.
 */
#include "ringlet/virtiofsd.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fuse_client.h"
#include "ringlet/error.h"
#include "ringlet/io_client.h"
#include "ringlet/util.h"
#include "ringlet/vhost_backend.h"
#include "share_host.h"

#define AGAIN     "RINGLET_TEST_AGAIN"
#define NOBODY    65534
#define OTHER_FD  77
#define PROCESSES 8

static struct virtiofsd_options options_of(struct share_host *host)
{
    return (struct virtiofsd_options){ .directory = host->directory,
                                       .program = host->self,
                                       .ended = share_ended,
                                       .argument = host,
                                       .name = "home" };
}

static void assert_no_child(void)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static struct vhost_backend *open_share(struct share_host *host, const struct virtiofsd_options *options)
{
    struct vhost_backend *backend = NULL;

    if (virtiofsd_open(host->loop, options, &backend, &host->err) != 0)
        fail_msg("%s", host->err.text);
    return backend;
}

/* It does not start, and this is why. */
static void refuse(struct share_host *host, const struct virtiofsd_options *options, int code,
                   const char *sentence)
{
    struct vhost_backend *backend = NULL;

    assert_int_equal(virtiofsd_open(host->loop, options, &backend, &host->err), code);
    assert_string_equal(host->err.text, sentence);
    assert_null(backend);
    assert_no_child();
}

/* A container may have no right to make any. What then is promised: ways_of_root in virtiofsd.c. */
static void skip_without_namespaces(struct share_host *host)
{
    struct virtiofsd_options options = options_of(host);
    struct vhost_backend *backend = NULL;
    char text[SHARE_TEXT_SIZE] = "";

    share_set_manner("serves");
    if (virtiofsd_open(host->loop, &options, &backend, &host->err) == 0)
        share_read(host, "report", text);
    vhost_backend_destroy(backend);
    if (!strstr(text, "\npid 1 ")) {
        print_message("no namespaces here: %s\n", host->err.text);
        skip();
    }
}

/* --- starting --- */

static void test_a_directory_that_is_none_is_told(void **state)
{
    struct share_host *host = *state;
    struct virtiofsd_options options = options_of(host);
    char sentence[320], name[32];
    int fd;

    options.directory = "/nonexistent/folder";
    refuse(host, &options, -ENOENT, "cannot share /nonexistent/folder: there is no such directory");
    options.directory = host->self;
    snprintf(sentence, sizeof(sentence), "cannot share %s: it is not a directory", host->self);
    refuse(host, &options, -ENOTDIR, sentence);
    fd = open(host->self, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    snprintf(name, sizeof(name), "fd=%d", fd);
    options.directory = name;
    snprintf(sentence, sizeof(sentence), "cannot share %s: it is not a directory", name);
    refuse(host, &options, -ENOTDIR, sentence);
    close(fd);
    assert_int_equal(virtiofsd_open(host->loop, &options, &(struct vhost_backend *){ NULL }, &host->err),
                     -EBADF);
    assert_non_null(strstr(host->err.text, "that descriptor is not open"));
}

static void test_virtiofsd_that_is_not_installed_is_told_with_the_mend(void **state)
{
    struct virtiofsd_options options = options_of(*state);

    skip_without_namespaces(*state);
    options.program = "/nonexistent/virtiofsd";
    refuse(
        *state, &options, -ENOENT,
        "/nonexistent/virtiofsd is not installed: `apt install virtiofsd` (Debian 12: qemu-system-common)");
    options.program = "/";
    refuse(*state, &options, -EACCES, "cannot start /: Permission denied");
}

static void test_virtiofsd_that_ends_at_once_has_the_last_word_and_no_terminal(void **state)
{
    struct virtiofsd_options options = options_of(*state);

    skip_without_namespaces(*state);
    share_set_manner("ends");
    refuse(*state, &options, -ECHILD, "virtiofsd does not start: no ?way out");
    share_set_manner("ends silently");
    refuse(*state, &options, -ECHILD, "virtiofsd does not start (status 3)");
}

static void test_a_program_that_is_no_virtiofsd_is_told(void **state)
{
    struct share_host *host = *state;
    struct virtiofsd_options options = options_of(host);
    char sentence[512];

    skip_without_namespaces(*state);
    share_set_manner("talks nonsense");
    snprintf(sentence, sizeof(sentence), "%s does not answer as a vhost-user back end does", host->self);
    refuse(host, &options, -EPROTO, sentence);
}

static void test_virtiofsd_that_finds_no_descriptor_free_leaves_none_behind(void **state)
{
    struct share_host *host = *state;
    struct virtiofsd_options options = options_of(host);
    struct rlimit before, tight;
    int result = -EMFILE, next = dup(STDIN_FILENO), after;
    unsigned failed = 0;

    skip_without_namespaces(*state);
    close(next);
    share_set_manner("serves");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    tight = before;
    for (tight.rlim_cur = (rlim_t)next; result < 0; tight.rlim_cur++) {
        struct vhost_backend *backend = NULL;

        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
        result = virtiofsd_open(host->loop, &options, &backend, &host->err);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        if (result < 0) {
            if (result != -EMFILE)
                fail_msg("%d: %s", result, host->err.text);
            failed++;
        }
        vhost_backend_destroy(backend);
        assert_no_child();
        after = dup(STDIN_FILENO);
        close(after);
        assert_int_equal(after, next);
    }
    assert_true(failed > 16);
}

/* --- the sandbox --- */

/* What it is told, up to the names of things; and that it sees nothing else. */
static void check_report(struct share_host *host, const char *arguments)
{
    char text[SHARE_TEXT_SIZE], expected[SHARE_TEXT_SIZE];

    share_read(host, "report", text);
    snprintf(expected, sizeof(expected),
             "--fd=3 %s\npid 1 uid 0 gid 0\nin /tmp: Read-only file system\ndevice: opens\n"
             "device in it: %s\nfd 0 fd 1 fd 2 fd 4 files all\n",
             arguments, share_exists(host, "device") ? "Permission denied" : "No such file or directory");
    assert_string_equal(text, expected);
}

static void test_virtiofsd_sees_the_directory_and_may_write_nothing_else(void **state)
{
    struct share_host *host = *state;
    struct virtiofsd_options options = options_of(host);
    char device[256];

    skip_without_namespaces(*state);
    snprintf(device, sizeof(device), "%s/device", host->directory);
    if (geteuid() == 0)
        assert_int_equal(mknod(device, S_IFCHR | 0600, makedev(1, 3)), 0);
    assert_int_equal(dup2(1, OTHER_FD), OTHER_FD);
    share_set_manner("serves");
    vhost_backend_destroy(open_share(host, &options));
    check_report(host, "--shared-dir=/sys --sandbox=namespace --cache=auto --log-level=error "
                       "--no-announce-submounts");
    options.program = host->of_qemu;
    vhost_backend_destroy(open_share(host, &options));
    check_report(host, "-f -o source=/sys,sandbox=namespace,cache=auto,log_level=err");
    options.at_rest = true;
    vhost_backend_destroy(open_share(host, &options));
    check_report(host, "-f -o source=/sys,sandbox=namespace,cache=always,log_level=err");
    options.program = host->self;
    vhost_backend_destroy(open_share(host, &options));
    check_report(host, "--shared-dir=/sys --sandbox=namespace --cache=always --log-level=error "
                       "--no-announce-submounts");
    close(OTHER_FD);
    assert_no_child();
}

static void test_read_only_is_so_whatever_virtiofsd_tries(void **state)
{
    struct share_host *host = *state;
    struct virtiofsd_options options = options_of(host);
    char below[256];

    skip_without_namespaces(*state);
    snprintf(below, sizeof(below), "%s/below", host->directory);
    assert_int_equal(mkdir(below, 0777), 0);
    share_set_manner("tries to write");
    options.read_only = true;
    refuse(host, &options, -ECHILD,
           "virtiofsd does not start: Read-only file system; below: Read-only file system");
    options.read_only = false;
    share_set_manner("tries to write");
    assert_true(virtiofsd_open(host->loop, &options, &(struct vhost_backend *){ NULL }, &host->err) < 0);
    assert_string_equal(host->err.text, "virtiofsd does not start: done; below: done");
}

/* As where a container hides a part of /proc. */
static void test_virtiofsd_that_cannot_make_its_namespaces_gets_less_to_do(void **state)
{
    struct share_host *host = *state;
    struct virtiofsd_options options = options_of(host);

    skip_without_namespaces(*state);
    share_set_manner("needs chroot");
    vhost_backend_destroy(open_share(host, &options));
    check_report(host,
                 "--shared-dir=/sys --sandbox=chroot --cache=auto --log-level=error --no-announce-submounts");
}

static void test_a_directory_may_be_a_descriptor_even_without_a_name(void **state)
{
    struct share_host *host = *state;
    struct virtiofsd_options options = options_of(host);
    char name[32], moved[160], text[SHARE_TEXT_SIZE];
    int fd = open(host->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    skip_without_namespaces(*state);
    assert_true(fd >= 0);
    snprintf(moved, sizeof(moved), "%s/moved", host->base);
    assert_int_equal(rename(host->directory, moved), 0);
    snprintf(name, sizeof(name), "fd=%d", fd);
    options.directory = name;
    share_set_manner("serves");
    vhost_backend_destroy(open_share(host, &options));
    close(fd);
    assert_int_equal(rename(moved, host->directory), 0);
    share_read(host, "report", text);
    assert_non_null(strstr(text, "--shared-dir="));
}

/* --- the end --- */

static int make_pipe(const struct share_host *host)
{
    char path[256];
    int fd;

    snprintf(path, sizeof(path), "%s/alive", host->directory);
    assert_int_equal(mkfifo(path, 0600), 0);
    fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* Somebody of virtiofsd's has the pipe open: what is read is nothing yet, and not the end. */
static void wait_for_somebody(int fd)
{
    /* A pipe that nobody has opened for writing reads as ended. */
    for (char byte; read(fd, &byte, 1) == 0;)
        sched_yield();
    assert_int_equal(errno, EAGAIN);
}

static void test_nobody_whom_virtiofsd_started_is_left_when_the_backend_has_gone(void **state)
{
    struct share_host *host = *state;
    struct virtiofsd_options options = options_of(host);
    int fd = make_pipe(host);
    struct vhost_backend *backend;
    char byte;

    skip_without_namespaces(*state);
    share_set_manner("leaves somebody behind");
    backend = open_share(host, &options);
    wait_for_somebody(fd);
    vhost_backend_destroy(backend);
    assert_int_equal(read(fd, &byte, 1), 0);
    close(fd);
    assert_no_child();
}

/* In a process of its own, which is then killed. */
static void kill_vmm_of(struct share_host *host, const struct virtiofsd_options *options, int *pidfds,
                        unsigned *ret_count)
{
    int ready[2];
    pid_t vmm;
    char byte;

    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    vmm = fork();
    assert_true(vmm >= 0);
    if (vmm == 0) {
        struct vhost_backend *backend;
        struct error err;
        bool good = virtiofsd_open(host->loop, options, &backend, &err) == 0;

        if (good && write(ready[1], "", 1) == 1)
            pause();
        _exit(1);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    *ret_count = share_descendants(vmm, pidfds, PROCESSES);
    assert_true(*ret_count > 0);
    kill(vmm, SIGKILL);
    assert_int_equal(waitpid(vmm, NULL, 0), vmm);
}

static void test_nobody_is_left_when_the_vmm_is_killed(void **state)
{
    struct share_host *host = *state;
    struct virtiofsd_options options = options_of(host);
    struct pollfd polled = { .fd = make_pipe(host), .events = POLLIN };
    int pidfds[PROCESSES];
    unsigned count;

    skip_without_namespaces(*state);
    share_set_manner("leaves somebody behind");
    kill_vmm_of(host, &options, pidfds, &count);
    assert_true(share_all_ended(pidfds, count, true));
    /* Either nobody ever had it, or whoever had it has gone. */
    assert_true(poll(&polled, 1, 0) == 0 || polled.revents == POLLHUP);
    close(polled.fd);
}

static void ignore(struct vhost_listener *listener)
{
    (void)listener;
}

static void ignore_used(struct vhost_listener *listener, unsigned index)
{
    (void)listener;
    (void)index;
}

/* Whoever waits for the end has it when the listener is told. */
struct end_listener {
    struct vhost_listener listener;
    struct loop *loop;
    bool ended;
};

static void take_end(struct vhost_listener *listener)
{
    struct end_listener *end = container_of(listener, struct end_listener, listener);

    end->ended = true;
    loop_stop(end->loop);
}

static void test_virtiofsd_that_ends_is_told_with_its_last_words(void **state)
{
    static const struct vhost_listener_ops ops = { .used = ignore_used,
                                                   .stopped = ignore,
                                                   .ended = take_end };
    struct share_host *host = *state;
    struct virtiofsd_options options = options_of(host);
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct io_client client = { .lock = &lock };
    struct end_listener end = { .listener.ops = &ops, .loop = host->loop };
    struct vhost_region region = { .size = 4096, .host = &lock, .fd = STDIN_FILENO };
    struct vhost_queue queue = { .size = 4 };
    struct vhost_backend *backend;

    skip_without_namespaces(*state);
    share_set_manner("has enough");
    backend = open_share(host, &options);
    assert_int_equal(backend->ops->attach(backend, &client, &end.listener, &region, 1), 0);
    pthread_mutex_lock(&lock);
    assert_int_equal(backend->ops->start(backend, 0, &queue, 1), 0);
    pthread_mutex_unlock(&lock);
    while (!end.ended)
        assert_int_equal(loop_run(host->loop), 0);
    assert_int_equal(host->ends, 1);
    assert_string_equal(host->heard, "home: virtiofsd has closed the connection: had enough");
    vhost_backend_destroy(backend);
    assert_no_child();
}

/* --- the real one --- */

static struct vhost_backend *open_real(struct share_host *host, struct virtiofsd_options *options)
{
    struct vhost_backend *backend = NULL;
    int result;

    options->program = getenv("RINGLET_TEST_VIRTIOFSD");
    result = virtiofsd_open(host->loop, options, &backend, &host->err);
    if (result == -ENOENT || strstr(host->err.text, "namespace")) {
        print_message("%s\n", host->err.text);
        skip();
    }
    if (result != 0)
        fail_msg("%s", host->err.text);
    return backend;
}

static void test_a_guest_reads_and_writes_the_directory(void **state)
{
    struct share_host *host = *state;
    struct virtiofsd_options options = options_of(host);
    struct fuse_client *client;
    char text[SHARE_TEXT_SIZE];
    struct stat status;
    uint64_t node;

    share_write(host, "from-host", "hello guest");
    client = fuse_client_create(host->loop, open_real(host, &options));
    assert_int_equal(fuse_client_lookup(client, FUSE_CLIENT_ROOT, "no-such-file", &node), -ENOENT);
    assert_int_equal(fuse_client_lookup(client, FUSE_CLIENT_ROOT, "from-host", &node), 0);
    assert_int_equal(fuse_client_read_file(client, node, text, sizeof(text)), 0);
    assert_string_equal(text, "hello guest");
    assert_int_equal(fuse_client_create_file(client, FUSE_CLIENT_ROOT, "from-guest", "hello host"), 0);
    share_read(host, "from-guest", text);
    assert_string_equal(text, "hello host");
    snprintf(text, sizeof(text), "%s/from-guest", host->directory);
    assert_int_equal(stat(text, &status), 0);
    assert_int_equal(status.st_uid, geteuid());
    assert_int_equal(fuse_client_mkdir(client, FUSE_CLIENT_ROOT, "folder"), 0);
    assert_int_equal(fuse_client_unlink(client, FUSE_CLIENT_ROOT, "from-host"), 0);
    assert_false(share_exists(host, "from-host"));
    fuse_client_destroy(client);
    assert_int_equal(host->ends, 0);
    assert_no_child();
}

static void test_a_guest_cannot_write_a_directory_that_is_read_only(void **state)
{
    struct share_host *host = *state;
    struct virtiofsd_options options = options_of(host);
    struct fuse_client *client;
    char text[SHARE_TEXT_SIZE];
    uint64_t node;

    skip_without_namespaces(*state);
    share_write(host, "from-host", "hello guest");
    options.read_only = true;
    client = fuse_client_create(host->loop, open_real(host, &options));
    assert_int_equal(fuse_client_mkdir(client, FUSE_CLIENT_ROOT, "folder"), -EROFS);
    assert_int_equal(fuse_client_create_file(client, FUSE_CLIENT_ROOT, "from-guest", "hello"), -EROFS);
    assert_int_equal(fuse_client_lookup(client, FUSE_CLIENT_ROOT, "from-host", &node), 0);
    assert_int_equal(fuse_client_unlink(client, FUSE_CLIENT_ROOT, "from-host"), -EROFS);
    assert_int_equal(fuse_client_read_file(client, node, text, sizeof(text)), 0);
    assert_string_equal(text, "hello guest");
    fuse_client_destroy(client);
    assert_true(share_exists(host, "from-host"));
}

static void test_a_guest_goes_on_after_a_pause(void **state)
{
    struct share_host *host = *state;
    struct virtiofsd_options options = options_of(host);
    struct fuse_client *client = fuse_client_create(host->loop, open_real(host, &options));

    for (unsigned i = 0; i < 3; i++) {
        char name[16];

        snprintf(name, sizeof(name), "folder%u", i);
        assert_int_equal(fuse_client_mkdir(client, FUSE_CLIENT_ROOT, name), 0);
        fuse_client_pause(client);
        assert_true(share_exists(host, name));
    }
    assert_int_equal(fuse_client_mkdir(client, FUSE_CLIENT_ROOT, "folder1"), -EEXIST);
    fuse_client_destroy(client);
}

static void test_the_root_of_the_host_can_be_shared(void **state)
{
    struct share_host *host = *state;
    struct virtiofsd_options options = options_of(host);
    struct fuse_client *client;
    uint64_t node;

    skip_without_namespaces(*state);
    options.directory = "/";
    options.read_only = true;
    client = fuse_client_create(host->loop, open_real(host, &options));
    assert_int_equal(fuse_client_lookup(client, FUSE_CLIENT_ROOT, "etc", &node), 0);
    assert_int_equal(fuse_client_lookup(client, node, "passwd", &node), 0);
    assert_int_equal(fuse_client_lookup(client, FUSE_CLIENT_ROOT, "tmp", &node), 0);
    assert_int_equal(fuse_client_mkdir(client, node, "ringlet-test-folder"), -EROFS);
    /* what is mounted below it is part of it */
    assert_int_equal(fuse_client_lookup(client, FUSE_CLIENT_ROOT, "proc", &node), 0);
    assert_int_equal(fuse_client_lookup(client, node, "uptime", &node), 0);
    fuse_client_destroy(client);
}

static void test_the_real_one_is_gone_with_all_its_processes_after_destroy(void **state)
{
    struct share_host *host = *state;
    struct virtiofsd_options options = options_of(host);
    struct fuse_client *client;
    int pidfds[PROCESSES];
    unsigned count;

    skip_without_namespaces(*state);
    client = fuse_client_create(host->loop, open_real(host, &options));
    count = share_descendants(getpid(), pidfds, PROCESSES);
    assert_true(count >= 2);
    fuse_client_destroy(client);
    assert_true(share_all_ended(pidfds, count, false));
}

static void test_the_real_one_is_gone_after_the_vmm_is_killed(void **state)
{
    struct share_host *host = *state;
    struct virtiofsd_options options = options_of(host);
    int pidfds[PROCESSES];
    unsigned count;

    skip_without_namespaces(*state);
    vhost_backend_destroy(open_real(host, &options));
    kill_vmm_of(host, &options, pidfds, &count);
    assert_true(share_all_ended(pidfds, count, true));
}

static void test_the_real_one_that_is_killed_is_told_and_the_guest_waits_no_more(void **state)
{
    struct share_host *host = *state;
    struct virtiofsd_options options = options_of(host);
    struct fuse_client *client;
    int pidfds[PROCESSES];
    unsigned count;

    skip_without_namespaces(*state);
    client = fuse_client_create(host->loop, open_real(host, &options));
    count = share_descendants(getpid(), pidfds, PROCESSES);
    for (unsigned i = 0; i < count; i++)
        pidfd_send_signal(pidfds[i], SIGKILL, NULL, 0);
    fuse_client_wait_for_end(client);
    assert_int_equal(host->ends, 1);
    assert_string_equal(host->heard, "home: virtiofsd has closed the connection");
    assert_true(share_all_ended(pidfds, count, false));
    fuse_client_destroy(client);
}

/* --- as somebody else --- */

/* With groups besides, as people have them: they cannot be dropped without rights. */
static bool become_nobody(void)
{
    const gid_t groups[] = { 4, 24 };

    return setgroups(ARRAY_SIZE(groups), groups) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
           setresuid(NOBODY, NOBODY, NOBODY) == 0;
}

/* As root of most containers. */
static bool lose_namespaces(void)
{
    return prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN) == 0;
}

/* All tests once more, in a process of which `become` was true. */
static void run_as(bool (*become)(void))
{
    char self[256] = "";
    int status;
    pid_t pid;

    if (geteuid() != 0 || getenv(AGAIN))
        skip();
    assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (!become() || access(self, X_OK) < 0 || setenv(AGAIN, "yes", 1) < 0)
            _exit(77);
        execl(self, self, (char *)NULL);
        _exit(77);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

static void test_all_of_it_as_an_ordinary_user(void **state)
{
    (void)state;
    run_as(become_nobody);
}

static void test_what_can_be_had_without_namespaces(void **state)
{
    (void)state;
    run_as(lose_namespaces);
}

static void test_read_only_is_refused_where_nothing_enforces_it(void **state)
{
    struct share_host *host = *state;
    struct virtiofsd_options options = options_of(host);
    struct vhost_backend *backend = NULL;
    char text[SHARE_TEXT_SIZE];

    share_set_manner("serves");
    if (virtiofsd_open(host->loop, &options, &backend, &host->err) != 0)
        skip(); /* an ordinary user without user namespaces */
    assert_string_equal(host->err.text, "");
    share_read(host, "report", text);
    vhost_backend_destroy(backend);
    if (strstr(text, "\npid 1 "))
        skip(); /* there are namespaces */
    assert_non_null(strstr(text, "--shared-dir=/proc/self/fd/4/. --sandbox=chroot "));
    options.read_only = true;
    /* -EPERM, or -EINVAL of a kernel that has no namespaces */
    assert_true(virtiofsd_open(host->loop, &options, &backend, &host->err) < 0);
    assert_non_null(strstr(host->err.text, "give the container CAP_SYS_ADMIN, or share it writable"));
    assert_no_child();
}

#define ONE(name) cmocka_unit_test_setup_teardown(name, share_set_up_io_uring, share_tear_down)
#define ON_BOTH_ENGINES(test)                                                                                \
    { #test " [io_uring]", test, share_set_up_io_uring, share_tear_down, NULL },                             \
    {                                                                                                        \
#test " [threads]", test, share_set_up_threads, share_tear_down, NULL                                \
    }

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        ONE(test_a_directory_that_is_none_is_told),
        ONE(test_virtiofsd_that_is_not_installed_is_told_with_the_mend),
        ONE(test_virtiofsd_that_ends_at_once_has_the_last_word_and_no_terminal),
        ONE(test_a_program_that_is_no_virtiofsd_is_told),
        ONE(test_virtiofsd_that_finds_no_descriptor_free_leaves_none_behind),
        ONE(test_virtiofsd_sees_the_directory_and_may_write_nothing_else),
        ONE(test_read_only_is_so_whatever_virtiofsd_tries),
        ONE(test_virtiofsd_that_cannot_make_its_namespaces_gets_less_to_do),
        ONE(test_a_directory_may_be_a_descriptor_even_without_a_name),
        ONE(test_nobody_whom_virtiofsd_started_is_left_when_the_backend_has_gone),
        ONE(test_nobody_is_left_when_the_vmm_is_killed),
        ON_BOTH_ENGINES(test_virtiofsd_that_ends_is_told_with_its_last_words),
        ON_BOTH_ENGINES(test_a_guest_reads_and_writes_the_directory),
        ON_BOTH_ENGINES(test_a_guest_cannot_write_a_directory_that_is_read_only),
        ON_BOTH_ENGINES(test_a_guest_goes_on_after_a_pause),
        ONE(test_the_root_of_the_host_can_be_shared),
        ONE(test_the_real_one_is_gone_with_all_its_processes_after_destroy),
        ONE(test_the_real_one_is_gone_after_the_vmm_is_killed),
        ON_BOTH_ENGINES(test_the_real_one_that_is_killed_is_told_and_the_guest_waits_no_more),
        ONE(test_read_only_is_refused_where_nothing_enforces_it),
        cmocka_unit_test(test_all_of_it_as_an_ordinary_user),
        cmocka_unit_test(test_what_can_be_had_without_namespaces),
    };

    share_be_stand_in(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
