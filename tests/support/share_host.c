/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share_host.c - see share_host.h.
 */
#include "share_host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MANNER "RINGLET_STAND_IN"

/* --- the stand-in --- */

/* Where it was told the directory is, in either virtiofsd's way of being told. */
static void find_source(int argc, char **argv, char *path, size_t size)
{
    for (int i = 1; i < argc; i++) {
        const char *source = strstr(argv[i], "--shared-dir=");

        if (source)
            snprintf(path, size, "%s", strchr(source, '=') + 1);
        source = strstr(argv[i], "source=");
        if (source)
            snprintf(path, size, "%.*s", (int)strcspn(source + 7, ","), source + 7);
    }
}

static const char *try_to_open(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return strerror(errno);
    close(fd);
    return "opens";
}

static const char *try_to_create(const char *folder, const char *name)
{
    char path[512];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return strerror(errno);
    close(fd);
    unlink(path);
    return "done";
}

/* Everything that it can see of its situation, into the directory. */
static void report(int argc, char **argv, const char *source)
{
    char path[512], link[256] = "";
    struct rlimit files = { 0 };
    FILE *file;

    snprintf(path, sizeof(path), "%s/report", source);
    file = fopen(path, "we");
    if (!file)
        _exit(9);
    for (int i = 1; i < argc; i++)
        fprintf(file, "%s%s", argv[i], i + 1 < argc ? " " : "\n");
    fprintf(file, "pid %d uid %d gid %d\n", (int)getpid(), (int)getuid(), (int)getgid());
    fprintf(file, "in /tmp: %s\n", try_to_create("/tmp", "stand-in"));
    fprintf(file, "device: %s\n", try_to_open("/dev/null"));
    snprintf(path, sizeof(path), "%s/device", source);
    fprintf(file, "device in it: %s\n", try_to_open(path));
    for (int fd = 0; fd < 10; fd++) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (fd != fileno(file) && readlink(path, link, sizeof(link) - 1) > 0)
            fprintf(file, "fd %d ", fd);
    }
    getrlimit(RLIMIT_NOFILE, &files);
    fprintf(file, "files %s\n", files.rlim_cur == files.rlim_max ? "all" : "few");
    fclose(file);
}

/* A process that nothing but SIGKILL ends, and that one can see alive by a pipe. */
static void leave_somebody_behind(const char *source)
{
    char path[512];

    if (fork() != 0)
        return;
    setsid();
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_IGN);
    snprintf(path, sizeof(path), "%s/alive", source);
    if (open(path, O_WRONLY | O_CLOEXEC) < 0)
        _exit(1);
    for (;;)
        pause();
}

/* Answer as a back end does, until the other side ends or `limit` messages were heard. */
static void serve(int fd, unsigned limit, bool nonsense)
{
    for (unsigned heard = 0; heard < limit; heard++) {
        uint32_t header[3], payload[128];
        struct {
            uint32_t request, flags, size;
            uint64_t value;
        } __attribute__((packed)) reply = { .flags = 5, .size = nonsense ? 1000 : 8 };

        if (recv(fd, header, sizeof(header), MSG_WAITALL) != sizeof(header))
            return;
        if (header[2] && recv(fd, payload, header[2], MSG_WAITALL) != (ssize_t)header[2])
            return;
        reply.request = header[0];
        switch (header[0]) {
        case 1: /* GET_FEATURES */
            reply.value = UINT64_C(0x140000000);
            break;
        case 15: /* GET_PROTOCOL_FEATURES: none */
            break;
        case 11: /* GET_VRING_BASE */
            reply.value = payload[0];
            break;
        default:
            continue;
        }
        if (send(fd, &reply, sizeof(reply), MSG_NOSIGNAL) < 0)
            return;
    }
}

void share_be_stand_in(int argc, char **argv)
{
    const char *manner = getenv(MANNER);
    char source[256] = "";
    int fd;

    if (argc < 2 || strcmp(argv[1], "--fd=3") != 0)
        return;
    if (!manner)
        _exit(99);
    find_source(argc, argv, source, sizeof(source));
    if (strcmp(manner, "ends") == 0) {
        fprintf(stderr, "first\nno \033way out\n");
        _exit(1);
    }
    if (strcmp(manner, "ends silently") == 0)
        _exit(3);
    if (strcmp(manner, "tries to write") == 0) {
        fprintf(stderr, "%s; below: %s\n", try_to_create(source, "tried"),
                try_to_create(source, "below/tried"));
        _exit(1);
    }
    if (strcmp(manner, "needs chroot") == 0 && !strstr(argv[3], "chroot") && !strstr(argv[4], "chroot")) {
        fprintf(stderr, "mount(/proc): Operation not permitted\n");
        _exit(1);
    }
    fd = accept4(3, NULL, NULL, SOCK_CLOEXEC);
    close(3);
    if (strcmp(manner, "leaves somebody behind") == 0)
        leave_somebody_behind(source);
    else
        report(argc, argv, source);
    serve(fd, strcmp(manner, "has enough") == 0 ? 6 : UINT32_MAX, strcmp(manner, "talks nonsense") == 0);
    if (strcmp(manner, "has enough") == 0)
        fprintf(stderr, "had enough\n");
    _exit(0);
}

void share_set_manner(const char *manner)
{
    assert_int_equal(setenv(MANNER, manner, 1), 0);
}

/* --- the host --- */

static int set_up(void **state, enum loop_engine engine)
{
    struct share_host *host = calloc(1, sizeof(*host));
    char folder[96];

    signal(SIGPIPE, SIG_IGN);
    if (!host || loop_create(engine, 64, &host->loop, NULL) < 0)
        return -1;
    strcpy(host->base, "/tmp/ringlet-share-XXXXXX");
    if (!mkdtemp(host->base))
        return -1;
    snprintf(host->directory, sizeof(host->directory), "%s/shared", host->base);
    snprintf(folder, sizeof(folder), "%s/qemu", host->base);
    snprintf(host->of_qemu, sizeof(host->of_qemu), "%s/qemu/virtiofsd", host->base);
    if (mkdir(host->directory, 0755) < 0 || mkdir(folder, 0755) < 0 ||
        readlink("/proc/self/exe", host->self, sizeof(host->self) - 1) < 0 ||
        symlink(host->self, host->of_qemu) < 0)
        return -1;
    *state = host;
    return 0;
}

int share_set_up_io_uring(void **state)
{
    return set_up(state, LOOP_ENGINE_IO_URING);
}

int share_set_up_threads(void **state)
{
    return set_up(state, LOOP_ENGINE_THREADS);
}

/*
 * All that is in the directory, but nothing that is mounted below it. (nftw() with FTW_MOUNT would pass over the files
 * of an overlay, which have the numbers of other file systems; directories have the overlay's.)
 */
static void remove_contents(int directory, dev_t device)
{
    DIR *folder = fdopendir(directory);
    const struct dirent *entry;

    assert_non_null(folder);
    while ((entry = readdir(folder))) {
        struct stat status;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        assert_int_equal(fstatat(directory, entry->d_name, &status, AT_SYMLINK_NOFOLLOW), 0);
        if (!S_ISDIR(status.st_mode)) {
            assert_int_equal(unlinkat(directory, entry->d_name, 0), 0);
            continue;
        }
        assert_int_equal(status.st_dev, device);
        remove_contents(openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), device);
        assert_int_equal(unlinkat(directory, entry->d_name, AT_REMOVEDIR), 0);
    }
    closedir(folder);
}

int share_tear_down(void **state)
{
    struct share_host *host = *state;
    struct stat status;

    assert_int_equal(loop_in_flight(host->loop), 0);
    loop_destroy(host->loop);
    assert_int_equal(stat(host->base, &status), 0);
    remove_contents(open(host->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC), status.st_dev);
    assert_int_equal(rmdir(host->base), 0);
    unsetenv(MANNER);
    free(host);
    return 0;
}

void share_write(const struct share_host *host, const char *name, const char *text)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", host->directory, name);
    file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

void share_read(const struct share_host *host, const char *name, char *text)
{
    char path[256];
    FILE *file;
    size_t length = 0;

    snprintf(path, sizeof(path), "%s/%s", host->directory, name);
    file = fopen(path, "re");
    if (file) {
        length = fread(text, 1, SHARE_TEXT_SIZE - 1, file);
        fclose(file);
    }
    text[length] = '\0';
}

bool share_exists(const struct share_host *host, const char *name)
{
    char path[256];
    struct stat status;

    snprintf(path, sizeof(path), "%s/%s", host->directory, name);
    return lstat(path, &status) == 0;
}

void share_ended(void *argument, const char *name, const char *sentence)
{
    struct share_host *host = argument;

    snprintf(host->heard, sizeof(host->heard), "%s: %s", name, sentence);
    host->ends++;
}

/* --- processes --- */

static pid_t parent_of(pid_t pid)
{
    char path[32], text[512] = "";
    const char *behind;
    int fd, parent = -1;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (read(fd, text, sizeof(text) - 1) > 0) {
        behind = strrchr(text, ')');
        if (behind)
            parent = atoi(behind + 4);
    }
    close(fd);
    return parent;
}

static bool descends(pid_t pid, pid_t from)
{
    for (unsigned i = 0; i < 8 && pid > 1; i++) {
        pid = parent_of(pid);
        if (pid == from)
            return true;
    }
    return false;
}

unsigned share_descendants(pid_t pid, int *pidfds, unsigned max)
{
    DIR *folder = opendir("/proc");
    const struct dirent *entry;
    unsigned count = 0;

    assert_non_null(folder);
    while (count < max && (entry = readdir(folder))) {
        pid_t other = atoi(entry->d_name);
        int fd;

        if (other <= 0 || !descends(other, pid))
            continue;
        fd = pidfd_open(other, 0);
        if (fd >= 0)
            pidfds[count++] = fd;
    }
    closedir(folder);
    return count;
}

bool share_all_ended(int *pidfds, unsigned count, bool wait)
{
    bool all = true;

    for (unsigned i = 0; i < count; i++) {
        struct pollfd polled = { .fd = pidfds[i], .events = POLLIN };

        all = poll(&polled, 1, wait ? -1 : 0) == 1 && all;
        close(pidfds[i]);
    }
    return all;
}
