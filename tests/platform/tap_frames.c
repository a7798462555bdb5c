/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tap_frames.c - the network's taps: a read cuts a frame that is too long and says that it was filled to the
 * last byte; a write of a tap that is O_NONBLOCK never waits, and io_uring submits several in their order;
 * four bytes that cannot be read tell a tap with packet information from one without.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "platform.h"
#include "uring.h"

#define ETHERTYPE 0x88b5
#define COUNT     8 /* the ring's size */

static int open_tap(unsigned flags)
{
    struct ifreq request = { .ifr_name = "tap-test", .ifr_flags = (short)(IFF_TAP | flags) };
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
        SKIP("no taps here: %s", strerror(errno));
    return fd;
}

static int wire(void)
{
    struct ifreq request = { .ifr_name = "tap-test", .ifr_flags = IFF_UP };
    struct sockaddr_ll address = { .sll_family = AF_PACKET,
                                   .sll_protocol = htons(ETHERTYPE),
                                   .sll_ifindex = (int)if_nametoindex("tap-test") };
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETHERTYPE)), one = 1;

    CHECK(fd >= 0);
    CHECK(ioctl(fd, SIOCSIFFLAGS, &request) == 0);
    CHECK(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) == 0);
    CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    /* The kernel notices a carrier a moment later, and drops what is sent before; then it lets this lock go. */
    do
        CHECK(ioctl(fd, SIOCGIFFLAGS, &request) == 0);
    while (!(request.ifr_flags & IFF_RUNNING));
    CHECK(ioctl(fd, SIOCSIFFLAGS, &request) == 0);
    return fd;
}

/* An interface that has just come up may announce itself first. */
static ssize_t read_ours(int tap, unsigned char *bytes, size_t length)
{
    ssize_t result;

    do
        result = read(tap, bytes, length);
    while (result > 0 && (bytes[22] != ETHERTYPE >> 8 || bytes[23] != (ETHERTYPE & 0xff)));
    return result;
}

int main(void)
{
    unsigned char frame[110] = { 0 }, bytes[128], frames[COUNT][70] = { 0 };
    struct iovec iov[COUNT];
    struct io_uring ring;
    int tap, other;

    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        SKIP("no network namespace: %s", strerror(errno));

    tap = open_tap(IFF_VNET_HDR);
    CHECK(syscall(SYS_write, tap, NULL, 4) == -1 && errno == EFAULT);
    close(tap);
    tap = open_tap(IFF_VNET_HDR | IFF_NO_PI);
    CHECK(syscall(SYS_write, tap, NULL, 4) == -1 && errno == EINVAL);

    other = wire();
    frame[12] = ETHERTYPE >> 8;
    frame[13] = ETHERTYPE & 0xff;
    CHECK(send(other, frame, 100, 0) == 100);
    CHECK(read_ours(tap, bytes, 110) == 110);
    CHECK(send(other, frame, 100, 0) == 100);
    CHECK(read_ours(tap, bytes, 109) == 109);
    CHECK(send(other, frame, 100, 0) == 100);
    CHECK(read_ours(tap, bytes, 111) == 110);
    CHECK(read(tap, bytes, sizeof(bytes)) == -1 && errno == EAGAIN);

    make_ring(&ring, 0);
    for (unsigned i = 0; i < COUNT; i++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

        frames[i][10 + 12] = ETHERTYPE >> 8;
        frames[i][10 + 13] = ETHERTYPE & 0xff;
        frames[i][10 + 14] = (unsigned char)i;
        iov[i] = (struct iovec){ frames[i], sizeof(frames[i]) };
        io_uring_prep_writev(sqe, tap, &iov[i], 1, (unsigned long long)-1);
    }
    CHECK(io_uring_submit_and_wait(&ring, COUNT) == COUNT);
    CHECK(io_uring_cq_ready(&ring) == COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        CHECK(recv(other, bytes, sizeof(bytes), MSG_DONTWAIT) == 60);
        CHECK(bytes[14] == i);
    }
    return 0;
}
