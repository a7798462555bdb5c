/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network.c - see network.h.
 *
 * Addresses and routes by the ioctls of netdevice(7). A router outside of the card's network, as clouds and passt
 * have it, gets a route of its own first.
 */
#include "network.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <netpacket/packet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "deadline.h"
#include "dhcp.h"
#include "report.h"
#include "resolv_conf.h"
#include "ringlet/cleanup.h"
#include "ringlet/util.h"

#define CARDS_MAX    16
#define CARD_TIMEOUT 5000 /* ms */

struct card {
    struct ifreq request; /* its name */
    unsigned char mac[DHCP_MAC_SIZE];
    int index;
};

static int set_flag_up(int fd, const char *name)
{
    struct ifreq request = { 0 };

    strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
    if (ioctl(fd, SIOCGIFFLAGS, &request) < 0)
        return -errno;
    request.ifr_flags |= IFF_UP;
    return ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

/* --- cards --- */

static bool look_at_card(int fd, const char *name, struct card *card)
{
    char path[PATH_MAX];

    /* Not bridges and the like, which are no devices. */
    snprintf(path, sizeof(path), "/sys/class/net/%s/device", name);
    if (access(path, F_OK) < 0 || strlen(name) >= IFNAMSIZ)
        return false;
    *card = (struct card){ 0 };
    memcpy(card->request.ifr_name, name, strlen(name) + 1);
    if (ioctl(fd, SIOCGIFHWADDR, &card->request) < 0 || card->request.ifr_hwaddr.sa_family != ARPHRD_ETHER)
        return false;
    memcpy(card->mac, card->request.ifr_hwaddr.sa_data, sizeof(card->mac));
    if (ioctl(fd, SIOCGIFINDEX, &card->request) < 0)
        return false;
    card->index = card->request.ifr_ifindex;
    return true;
}

/* In the order in which the kernel found them: the first has the default route. */
static int by_index(const void *left, const void *right)
{
    const struct card *a = left, *b = right;

    return (a->index > b->index) - (a->index < b->index);
}

static size_t find_cards(int fd, struct card cards[CARDS_MAX])
{
    DIR *folder = opendir("/sys/class/net");
    size_t count = 0;

    for (struct dirent *entry; folder && count < CARDS_MAX && (entry = readdir(folder));) {
        if (entry->d_name[0] != '.' && look_at_card(fd, entry->d_name, &cards[count]))
            count++;
    }
    if (folder)
        closedir(folder);
    qsort(cards, count, sizeof(*cards), by_index);
    return count;
}

/* --- a lease --- */

static struct sockaddr address_of(in_addr_t address)
{
    struct sockaddr_in internet = { .sin_family = AF_INET, .sin_addr.s_addr = address };
    struct sockaddr any;

    memcpy(&any, &internet, sizeof(any));
    return any;
}

static int set_address(int fd, struct card *card, unsigned long command, in_addr_t address)
{
    card->request.ifr_addr = address_of(address);
    return ioctl(fd, command, &card->request) < 0 ? -errno : 0;
}

static int add_route(int fd, struct card *card, in_addr_t to, in_addr_t netmask, in_addr_t router,
                     short metric)
{
    struct rtentry route = {
        .rt_dst = address_of(to),
        .rt_genmask = address_of(netmask),
        .rt_gateway = address_of(router),
        .rt_flags = (unsigned short)(RTF_UP | (router ? RTF_GATEWAY : 0) |
                                     (netmask == INADDR_BROADCAST ? RTF_HOST : 0)),
        .rt_metric = metric,
        .rt_dev = card->request.ifr_name,
    };

    return ioctl(fd, SIOCADDRT, &route) < 0 && errno != EEXIST ? -errno : 0;
}

static int apply(int fd, struct card *card, const struct dhcp_lease *lease, short metric)
{
    int result;

    if (lease->mtu) {
        /* One that the card does not take is not worth more than a try. */
        card->request.ifr_mtu = lease->mtu;
        ioctl(fd, SIOCSIFMTU, &card->request);
    }
    result = set_address(fd, card, SIOCSIFADDR, lease->address);
    if (result == 0)
        result = set_address(fd, card, SIOCSIFNETMASK, lease->netmask);
    if (result < 0 || !lease->router)
        return result;
    if ((lease->router ^ lease->address) & lease->netmask)
        result = add_route(fd, card, lease->router, INADDR_BROADCAST, 0, metric);
    return result < 0 ? result : add_route(fd, card, INADDR_ANY, INADDR_ANY, lease->router, metric);
}

static int open_card(const struct card *card)
{
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETHERTYPE_IP),
        .sll_ifindex = card->index,
    };
    CLEANUP_CLOSE int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    return steal_fd(&fd);
}

static int bring_up(int fd, struct card *card, short metric, struct dhcp_lease *ret_lease)
{
    int result = set_flag_up(fd, card->request.ifr_name);
    CLEANUP_CLOSE int packets = result < 0 ? result : open_card(card);
    uint32_t xid = (uint32_t)card->index ^ (uint32_t)deadline_in(0);

    if (packets < 0)
        return packets;
    /* It need not be secret, only unlikely to be another machine's. */
    (void)!getrandom(&xid, sizeof(xid), GRND_NONBLOCK);
    result = dhcp_acquire(packets, card->mac, xid, deadline_in(CARD_TIMEOUT), ret_lease);
    return result < 0 ? result : apply(fd, card, ret_lease, metric);
}

/* --- all of it --- */

static void set_up_cards(int fd, const struct report *report)
{
    struct dhcp_lease leases[CARDS_MAX];
    struct card cards[CARDS_MAX];
    size_t count = find_cards(fd, cards), leased = 0;
    int servers;

    if (!count)
        report_warning(report, "the guest has no network card that its kernel knows; has it virtio_net?");
    for (size_t i = 0; i < count; i++) {
        /* As the kernel counts there, one more than the metric. */
        int result = bring_up(fd, &cards[i], (short)(i + 1), &leases[leased]);

        if (result == 0)
            leased++;
        else if (result == -ETIMEDOUT)
            report_warning(report,
                           "no answer to DHCP on the guest's %s in %d seconds; it goes without an address",
                           cards[i].request.ifr_name, CARD_TIMEOUT / 1000);
        else
            report_warning(report, "cannot set up the guest's %s: %s", cards[i].request.ifr_name,
                           strerror(-result));
    }
    servers = resolv_conf_set(leases, leased);
    if (servers < 0)
        report_warning(report, "the guest has no name servers: cannot write /etc/resolv.conf: %s",
                       strerror(-servers));
}

void network_set_up(bool cards, const struct report *report)
{
    CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        if (cards)
            report_warning(report, "the guest's kernel has no network: %s", strerror(errno));
        return;
    }
    set_flag_up(fd, "lo");
    if (cards)
        set_up_cards(fd, report);
}
