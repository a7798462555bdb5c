/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_tap_open.c - see net_tap_open.h.
 */
#include "net_tap_open.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ringlet/cleanup.h"
#include "ringlet/error.h"
#include "ringlet/net_tap.h"
#include "ringlet/util.h"

#define TUN_DEVICE "/dev/net/tun"

/* Linux 6.2; older headers lack them. The kernel takes both or none. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static const struct {
    unsigned offload;
    unsigned tun;
} offload_bits[] = {
    { NET_OFFLOAD_CSUM, TUN_F_CSUM },
    { NET_OFFLOAD_TSO4, TUN_F_TSO4 },
    { NET_OFFLOAD_TSO6, TUN_F_TSO6 },
    { NET_OFFLOAD_USO, TUN_F_USO4 | TUN_F_USO6 },
};

int tap_set_offloads(int fd, unsigned offloads)
{
    unsigned long tun = 0;

    for (size_t i = 0; i < ARRAY_SIZE(offload_bits); i++) {
        if (offloads & offload_bits[i].offload)
            tun |= offload_bits[i].tun;
    }
    /* The kernel clears the rest silently when there is no CSUM; it is no offload without. */
    if (offloads && !(offloads & NET_OFFLOAD_CSUM))
        return -EINVAL;
    return ioctl(fd, TUNSETOFFLOAD, tun) < 0 ? -errno : 0;
}

int tap_attach_queue(int fd, bool attached)
{
    struct ifreq request = { .ifr_flags = attached ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

    return ioctl(fd, TUNSETQUEUE, &request) < 0 ? -errno : 0;
}

/* --- by name --- */

static int open_queue(const char *name, unsigned flags, int *ret_fd)
{
    CLEANUP_CLOSE int fd = open(TUN_DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    struct ifreq request = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags) };

    if (fd < 0)
        return -errno;
    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    if (ioctl(fd, TUNSETIFF, &request) < 0)
        return -errno;
    *ret_fd = steal_fd(&fd);
    return 0;
}

/* Why does /dev/net/tun not open? 0: it does. */
static int check_tun_device(struct error *err)
{
    CLEANUP_CLOSE int fd = open(TUN_DEVICE, O_RDWR | O_CLOEXEC);

    if (fd >= 0)
        return 0;
    if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
        return error_set(err, -errno, "this host has no " TUN_DEVICE ": `modprobe tun`");
    if (errno == EACCES || errno == EPERM)
        return error_set(err, -errno,
                         "no permission to open " TUN_DEVICE ": `chmod 0666 " TUN_DEVICE
                         "` as root (it is how distributions ship it), or use --net user");
    return error_set(err, -errno, "cannot open " TUN_DEVICE ": %s", strerror(errno));
}

static int say_why_not(int code, const char *name, unsigned queue_pairs, struct error *err)
{
    int single = -1;

    switch (code) {
    case -EPERM:
    case -EACCES:
        return error_set(err, code,
                         "no permission to use %s: it was made for another user; "
                         "`ip tuntap add NAME mode tap user $USER vnet_hdr` makes one for you",
                         name);
    case -EBUSY:
        return error_set(err, code,
                         "%s is in use: a tap serves one VM at a time, so make another for this one", name);
    case -E2BIG:
        return error_set(err, code, "%s has no room for %u more queues", name, queue_pairs);
    case -EINVAL:
        if (queue_pairs > 1 && open_queue(name, 0, &single) == 0) {
            close(single);
            return error_set(err, code,
                             "%s was made for one queue: leave out queues=%u, or make it anew with "
                             "`ip tuntap add %s mode tap user $USER vnet_hdr multi_queue`",
                             name, queue_pairs, name);
        }
        return error_set(err, code,
                         "%s is no tap: `ip tuntap add NAME mode tap user $USER vnet_hdr` makes one", name);
    default:
        return error_set(err, code, "cannot use %s: %s", name, strerror(-code));
    }
}

static int open_named(const char *name, unsigned queue_pairs, int *fds, struct error *err)
{
    unsigned flags = queue_pairs > 1 ? IFF_MULTI_QUEUE : 0;
    int result;

    if (!*name || strlen(name) >= IFNAMSIZ)
        return error_set(err, -EINVAL, "'%s' is no interface's name: it has 1 to %d characters", name,
                         IFNAMSIZ - 1);
    /* TUNSETIFF would make one, which nobody configured and which goes away with us. */
    if (!if_nametoindex(name))
        return error_set(err, -ENODEV,
                         "there is no interface %s: `ip tuntap add %s mode tap user $USER vnet_hdr%s && "
                         "ip link set %s up` makes it, as root",
                         name, name, queue_pairs > 1 ? " multi_queue" : "", name);
    result = check_tun_device(err);
    if (result < 0)
        return result;
    for (unsigned i = 0; i < queue_pairs; i++) {
        result = open_queue(name, flags, &fds[i]);
        if (result == -EINVAL && queue_pairs == 1) {
            /* One made for many queues is opened as such even for one. */
            result = open_queue(name, IFF_MULTI_QUEUE, &fds[i]);
        }
        if (result < 0)
            return say_why_not(result, name, queue_pairs, err);
    }
    return 0;
}

/* --- by descriptor --- */

/*
 * Was it opened without IFF_NO_PI? TUNGETIFF does not tell: it reports IFF_NOFILTER in the same bit. But four
 * bytes that cannot be read are enough for that header, so that it is tried (EFAULT), and too few for virtio's
 * (EINVAL). Nothing is sent either way. Not write(), whose buffer sanitizers would look at.
 */
static bool has_packet_information(int fd)
{
    return syscall(SYS_write, fd, NULL, 4) < 0 && errno == EFAULT;
}

static int check_descriptor(int fd, unsigned queue_pairs, struct ifreq *ret_request, struct error *err)
{
    struct ifreq request = { 0 };
    unsigned flags;

    if (fcntl(fd, F_GETFD) < 0)
        return error_set(err, -EBADF, "descriptor %d is not open", fd);
    if (ioctl(fd, TUNGETIFF, &request) < 0)
        return error_set(err, -ENOTTY, "descriptor %d is not a tap's, or its interface is gone", fd);
    flags = (unsigned short)request.ifr_flags;
    if (!(flags & IFF_TAP))
        return error_set(err, -EINVAL, "descriptor %d is a tun's; a tap is needed (IFF_TAP)", fd);
    if (!(flags & IFF_VNET_HDR))
        return error_set(err, -EINVAL, "descriptor %d was opened without IFF_VNET_HDR", fd);
    if (has_packet_information(fd))
        return error_set(err, -EINVAL, "descriptor %d was opened without IFF_NO_PI", fd);
    if (queue_pairs > 1 && !(flags & IFF_MULTI_QUEUE))
        return error_set(err, -EINVAL, "descriptor %d was opened without IFF_MULTI_QUEUE", fd);
    *ret_request = request;
    return 0;
}

static int take_descriptors(const int *from, unsigned queue_pairs, int *fds, struct error *err)
{
    struct ifreq first = { 0 }, request;

    for (unsigned i = 0; i < queue_pairs; i++) {
        int flags, result = check_descriptor(from[i], queue_pairs, i ? &request : &first, err);

        if (result < 0)
            return result;
        if (i && strncmp(first.ifr_name, request.ifr_name, IFNAMSIZ) != 0)
            return error_set(err, -EINVAL, "descriptors %d and %d are of two taps: %.*s and %.*s", from[0],
                             from[i], IFNAMSIZ, first.ifr_name, IFNAMSIZ, request.ifr_name);
        for (unsigned other = 0; other < i; other++) {
            if (from[other] == from[i])
                return error_set(err, -EINVAL, "descriptor %d is given twice", from[i]);
        }
        flags = fcntl(from[i], F_GETFL);
        if (flags < 0 || fcntl(from[i], F_SETFL, flags | O_NONBLOCK) < 0 ||
            fcntl(from[i], F_SETFD, FD_CLOEXEC) < 0)
            return error_set(err, -errno, "cannot set up descriptor %d: %s", from[i], strerror(errno));
    }
    memcpy(fds, from, queue_pairs * sizeof(*fds));
    return 0;
}

/* --- setting up --- */

/*
 * An opened tap may belong to another network namespace, where its name means nothing to us: it is the same
 * interface if it has the same address.
 */
static bool is_ours(int control, int fd, const struct ifreq *named)
{
    struct ifreq here = *named, there = *named;

    return ioctl(control, SIOCGIFHWADDR, &here) == 0 && ioctl(fd, SIOCGIFHWADDR, &there) == 0 &&
           memcmp(here.ifr_hwaddr.sa_data, there.ifr_hwaddr.sa_data, 6) == 0;
}

static int set_mtu(int control, struct ifreq *request, uint16_t mtu, struct error *err)
{
    request->ifr_mtu = mtu;
    if (ioctl(control, SIOCSIFMTU, request) == 0)
        return 0;
    if (errno == EPERM)
        return error_set(err, -EPERM, "no permission to change an MTU: `ip link set %.*s mtu %u`, as root",
                         IFNAMSIZ, request->ifr_name, mtu);
    return error_set(err, -errno, "%.*s takes no MTU of %u: %s", IFNAMSIZ, request->ifr_name, mtu,
                     strerror(errno));
}

static int set_up_interface(const struct net_tap_options *options, struct opened_tap *tap, struct error *err)
{
    CLEANUP_CLOSE int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq named = { 0 }, request;

    if (control < 0)
        return error_set(err, -errno, "cannot ask for the state of an interface: %s", strerror(errno));
    if (ioctl(tap->fds[0], TUNGETIFF, &named) < 0)
        return error_set(err, -errno, "the tap has just been deleted");
    tap->info.mtu = options->mtu;
    if (!is_ours(control, tap->fds[0], &named))
        return 0;
    request = named;
    if (options->name && ioctl(control, SIOCGIFFLAGS, &request) == 0 && !(request.ifr_flags & IFF_UP))
        return error_set(err, -ENETDOWN, "%s is down: `ip link set %s up`, as root", options->name,
                         options->name);
    request = named;
    if (ioctl(control, SIOCGIFMTU, &request) < 0)
        return 0;
    if (options->mtu && options->mtu != request.ifr_mtu)
        return set_mtu(control, &request, options->mtu, err);
    tap->info.mtu = (uint16_t)request.ifr_mtu;
    return 0;
}

static int set_up_queue(int fd, struct error *err)
{
    int header_size = NET_HEADER_SIZE, little_endian = 1, send_buffer = INT32_MAX;

    if (ioctl(fd, TUNSETVNETHDRSZ, &header_size) < 0 || ioctl(fd, TUNSETVNETLE, &little_endian) < 0)
        return error_set(err, -errno, "the tap takes no virtio header: %s", strerror(errno));
    /* What it is by default: a write then never has to wait, and so none overtakes another. */
    if (ioctl(fd, TUNSETSNDBUF, &send_buffer) < 0)
        return error_set(err, -errno, "the tap takes no send buffer: %s", strerror(errno));
    return 0;
}

static int find_offloads(struct opened_tap *tap, struct error *err)
{
    unsigned basic = NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6, found = 0;
    int result;

    /* The kernel segments what it could also leave in one piece, so that one list serves both ways. */
    if (tap_set_offloads(tap->fds[0], basic | NET_OFFLOAD_USO) == 0)
        found = basic | NET_OFFLOAD_USO;
    else if (tap_set_offloads(tap->fds[0], basic) == 0)
        found = basic;
    tap->info.to_host = tap->info.to_guest = found;
    result = tap_set_offloads(tap->fds[0], 0);
    return result < 0 ? error_set(err, result, "the tap keeps its offloads: %s", strerror(-result)) : 0;
}

int open_tap(const struct net_tap_options *options, struct opened_tap *ret_tap, struct error *err)
{
    struct opened_tap tap = { .info.queue_pairs = options->queue_pairs };
    int result;

    if (!options->queue_pairs || options->queue_pairs > NET_MAX_QUEUE_PAIRS)
        return error_set(err, -EINVAL, "a network device has 1 to %d queues", NET_MAX_QUEUE_PAIRS);
    for (unsigned i = 0; i < NET_MAX_QUEUE_PAIRS; i++)
        tap.fds[i] = -1;
    if (options->name)
        result = open_named(options->name, options->queue_pairs, tap.fds, err);
    else
        result = take_descriptors(options->fds, options->queue_pairs, tap.fds, err);
    for (unsigned i = 0; i < options->queue_pairs && result == 0; i++)
        result = set_up_queue(tap.fds[i], err);
    if (result == 0)
        result = set_up_interface(options, &tap, err);
    if (result == 0)
        result = find_offloads(&tap, err);
    for (unsigned i = 1; i < options->queue_pairs && result == 0; i++) {
        result = tap_attach_queue(tap.fds[i], false);
        if (result < 0)
            error_set(err, result, "a queue of the tap cannot be set aside: %s", strerror(-result));
    }
    if (result < 0) {
        if (options->name)
            close_tap(&tap);
        return result;
    }
    *ret_tap = tap;
    return 0;
}

void close_tap(struct opened_tap *tap)
{
    for (unsigned i = 0; i < NET_MAX_QUEUE_PAIRS; i++) {
        if (tap->fds[i] >= 0)
            close(tap->fds[i]);
    }
}
