/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uevent.c - see uevent.h.
 */
#include "uevent.h"

#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include "deadline.h"
#include "ringlet/cleanup.h"

#define BLIND_INTERVAL 100 /* ms */

static int open_socket(void)
{
    struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 /* the kernel's */ };
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

    if (fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

bool uevent_wait(bool (*is_there)(void *argument), void *argument, int64_t deadline)
{
    /* Before it is asked for the first time, or what comes in between would be missed. */
    CLEANUP_CLOSE int fd = open_socket();

    while (!is_there(argument)) {
        struct pollfd events = { .fd = fd, .events = POLLIN };
        int left = deadline_left(deadline);
        char discarded[4096];

        if (!left)
            return false;
        if (fd < 0 && left > BLIND_INTERVAL)
            left = BLIND_INTERVAL;
        poll(&events, 1, left);
        /* What they say does not matter, nor that some did not fit. */
        while (fd >= 0 && recv(fd, discarded, sizeof(discarded), 0) > 0)
            ;
    }
    return true;
}
