/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ports.c - see ports.h.
 */
#include "ports.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "deadline.h"
#include "ringlet/cleanup.h"
#include "ringlet/error.h"
#include "ringlet/guest_protocol.h"
#include "ringlet/util.h"
#include "session.h"
#include "uevent.h"

#define CLASS   "/sys/class/virtio-ports"
#define TIMEOUT 10000 /* ms */

enum { PORT_CONTROL, PORT_STDIN, PORT_STDOUT, PORT_STDERR, PORT_COUNT };

static const char *const names[] = {
    [PORT_CONTROL] = GUEST_PORT_CONTROL,
    [PORT_STDIN] = GUEST_PORT_STDIN,
    [PORT_STDOUT] = GUEST_PORT_STDOUT,
    [PORT_STDERR] = GUEST_PORT_STDERR,
};
_Static_assert(ARRAY_SIZE(names) == PORT_COUNT, "a name for each port");

struct search {
    int fds[PORT_COUNT];
    int error; /* of opening one, -errno */
};

/* The name of a port, without its newline. False if it has none, or not yet. */
static bool read_name(const char *device, char *name, size_t size)
{
    CLEANUP_CLOSE int fd = -1;
    char path[512];
    ssize_t length;

    snprintf(path, sizeof(path), CLASS "/%s/name", device);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    length = fd < 0 ? -1 : read(fd, name, size - 1);
    if (length <= 0)
        return false;
    name[length] = '\0';
    name[strcspn(name, "\n")] = '\0';
    return true;
}

static void open_if_ours(struct search *search, const char *device)
{
    char name[128], path[512];

    if (!read_name(device, name, sizeof(name)))
        return;
    for (int i = 0; i < PORT_COUNT; i++) {
        if (search->fds[i] >= 0 || strcmp(names[i], name) != 0)
            continue;
        snprintf(path, sizeof(path), "/dev/%s", device);
        search->fds[i] = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (search->fds[i] < 0)
            search->error = -errno;
    }
}

static bool all_are_open(void *argument)
{
    struct search *search = argument;
    DIR *folder = opendir(CLASS);
    bool all = true;

    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        if (entry->d_name[0] != '.')
            open_if_ours(search, entry->d_name);
    }
    if (folder)
        closedir(folder);
    for (int i = 0; i < PORT_COUNT; i++)
        all = all && search->fds[i] >= 0;
    return all;
}

/* The kernel tells of a port before the host has said that it is at its other end. */
static int wait_for_host(int control, int64_t deadline)
{
    struct pollfd waited = { .fd = control, .events = POLLOUT };

    /* A hang-up is what its absence looks like; poll() reports that at once, and nothing when it ends. */
    while (poll(&waited, 1, deadline_left(deadline)) >= 0 && !(waited.revents & POLLOUT)) {
        if (!deadline_left(deadline))
            return -ETIMEDOUT;
        poll(NULL, 0, 1);
    }
    return 0;
}

static int fail(const struct search *search, struct error *err)
{
    if (access(CLASS, F_OK) < 0)
        return error_set(err, -ENODEV,
                         "the kernel has no driver for the virtio console (virtio_console), or "
                         "none for its bus (virtio_mmio)");
    for (int i = 0; i < PORT_COUNT; i++) {
        if (search->fds[i] < 0)
            return error_set(err, -ENODEV, "no virtio port '%s' in %d seconds: %s", names[i], TIMEOUT / 1000,
                             search->error ? strerror(-search->error) : "it did not appear");
    }
    return error_set(err, -ETIMEDOUT, "nobody is at the other end of the virtio port '%s'",
                     names[PORT_CONTROL]);
}

int ports_open(struct session_ports *ret_ports, struct error *err)
{
    struct search search = { .fds = { -1, -1, -1, -1 } };
    int64_t deadline = deadline_in(TIMEOUT);

    if (!uevent_wait(all_are_open, &search, deadline) ||
        wait_for_host(search.fds[PORT_CONTROL], deadline) < 0) {
        int result = fail(&search, err);

        for (int i = 0; i < PORT_COUNT; i++) {
            if (search.fds[i] >= 0)
                close(search.fds[i]);
        }
        return result;
    }
    *ret_ports = (struct session_ports){
        .control = search.fds[PORT_CONTROL],
        .input = search.fds[PORT_STDIN],
        .output = search.fds[PORT_STDOUT],
        .error = search.fds[PORT_STDERR],
    };
    return 0;
}
