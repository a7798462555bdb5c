/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tap_host.c - see tap_host.h.
 */
#include "tap_host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define ETHERTYPE 0x88b5
#define WIRE_ROOM (16 << 20) /* of receive buffer */

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    if (write(fd, text, strlen(text)) < 0)
        printf("%s: %s\n", path, strerror(errno));
    close(fd);
}

bool tap_host_enter(void)
{
    int fd;

    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
        printf("skipped: no network namespace of one's own here: %s\n", strerror(errno));
        return false;
    }
    fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        printf("skipped: /dev/net/tun: %s\n", strerror(errno));
        return false;
    }
    close(fd);
    /* An interface that comes up would announce itself. */
    write_file("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
    write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    return true;
}

static void control(const char *name, unsigned long request, struct ifreq *ifreq)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    snprintf(ifreq->ifr_name, sizeof(ifreq->ifr_name), "%s", name);
    assert_int_equal(ioctl(fd, request, ifreq), 0);
    close(fd);
}

int tap_host_open(const char *name, unsigned flags)
{
    struct ifreq ifreq = { .ifr_flags = (short)flags };
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    snprintf(ifreq.ifr_name, sizeof(ifreq.ifr_name), "%s", name);
    assert_int_equal(ioctl(fd, TUNSETIFF, &ifreq), 0);
    return fd;
}

void tap_host_make(const char *name, unsigned flags)
{
    int fd = tap_host_open(name, flags | (flags & IFF_TUN ? 0 : IFF_TAP) | IFF_NO_PI);

    assert_int_equal(ioctl(fd, TUNSETPERSIST, 1), 0);
    /* While it has a carrier; see wait_until_running(), which an interface that never had one would not mind. */
    tap_host_set_up(name, true);
    close(fd);
}

void tap_host_delete(const char *name)
{
    struct {
        struct nlmsghdr header;
        struct ifinfomsg interface;
    } request = {
        .header = { .nlmsg_len = sizeof(request),
                    .nlmsg_type = RTM_DELLINK,
                    .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
        .interface = { .ifi_index = (int)if_nametoindex(name) },
    };
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char more[1024];
    } answer;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    assert_true(fd >= 0);
    assert_int_equal(send(fd, &request, sizeof(request), 0), sizeof(request));
    assert_true(recv(fd, &answer, sizeof(answer), 0) > 0);
    assert_int_equal(answer.header.nlmsg_type, NLMSG_ERROR);
    assert_int_equal(answer.error.error, 0);
    close(fd);
}

void tap_host_set_up(const char *name, bool up)
{
    struct ifreq ifreq = { 0 };

    control(name, SIOCGIFFLAGS, &ifreq);
    if (up)
        ifreq.ifr_flags |= IFF_UP;
    else
        ifreq.ifr_flags &= (short)~IFF_UP;
    control(name, SIOCSIFFLAGS, &ifreq);
}

unsigned tap_host_mtu(const char *name)
{
    struct ifreq ifreq = { 0 };

    control(name, SIOCGIFMTU, &ifreq);
    return (unsigned)ifreq.ifr_mtu;
}

/*
 * A carrier is noticed a moment after it is there, by the kernel's link watch; until then what is sent is
 * dropped without a word. The watch sets IFF_RUNNING while it holds the lock that the last call waits for.
 */
static void wait_until_running(const char *name)
{
    struct ifreq ifreq = { 0 };

    for (;;) {
        control(name, SIOCGIFFLAGS, &ifreq);
        if (ifreq.ifr_flags & IFF_RUNNING)
            break;
        sched_yield();
    }
    tap_host_set_up(name, true);
}

int tap_host_wire(const char *name)
{
    struct sockaddr_ll address = { .sll_family = AF_PACKET,
                                   .sll_protocol = htons(ETHERTYPE),
                                   .sll_ifindex = (int)if_nametoindex(name) };
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETHERTYPE)), one = 1, room = WIRE_ROOM;

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)), 0);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    wait_until_running(name);
    return fd;
}

void tap_host_send(int wire, const void *frame, size_t length)
{
    struct sockaddr_ll address;
    socklen_t size = sizeof(address);

    assert_int_equal(getsockname(wire, (struct sockaddr *)&address, &size), 0);
    /* What the interface takes the frame for when it spreads flows over its queues. */
    memcpy(&address.sll_protocol, (const char *)frame + 12, sizeof(address.sll_protocol));
    assert_int_equal(sendto(wire, frame, length, 0, (struct sockaddr *)&address, sizeof(address)), length);
}

size_t tap_host_receive(int wire, void *frame, size_t size)
{
    ssize_t length = recv(wire, frame, size, 0);

    assert_true(length > 0);
    return (size_t)length;
}
