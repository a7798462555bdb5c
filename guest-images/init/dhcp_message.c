/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dhcp_message.c - see dhcp_message.h.
 *
 * A frame is copied into the structures below before it is looked at, because nothing in it is aligned.
 */
#include "dhcp_message.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>

#define SERVER_PORT 67
#define CLIENT_PORT 68
#define COOKIE      0x63825363u
#define BROADCAST   0x8000u
#define HTYPE_ETHER 1

enum bootp_operation { BOOT_REQUEST = 1, BOOT_REPLY = 2 };

/* Overloaded fields (option 52): options go on in these. */
enum overload { OVERLOAD_FILE = 1, OVERLOAD_SNAME = 2 };

enum option {
    OPTION_PAD = 0,
    OPTION_NETMASK = 1,
    OPTION_ROUTER = 3,
    OPTION_NAME_SERVERS = 6,
    OPTION_DOMAIN = 15,
    OPTION_MTU = 26,
    OPTION_REQUESTED_ADDRESS = 50,
    OPTION_OVERLOAD = 52,
    OPTION_TYPE = 53,
    OPTION_SERVER = 54,
    OPTION_PARAMETERS = 55,
    OPTION_MAXIMUM_SIZE = 57,
    OPTION_END = 255,
};

#define MTU_MIN 68 /* RFC 791 */

struct bootp {
    uint8_t op, htype, hlen, hops;
    uint32_t xid;
    uint16_t secs, flags;
    uint32_t ciaddr, yiaddr, siaddr, giaddr;
    uint8_t chaddr[16];
    uint8_t sname[64];
    uint8_t file[128];
    uint32_t cookie;
} __attribute__((packed));

struct headers {
    struct ether_header ethernet;
    struct iphdr ip;
    struct udphdr udp;
    struct bootp bootp;
} __attribute__((packed));

_Static_assert(DHCP_FRAME_SIZE == sizeof(struct headers) - sizeof(struct bootp) + 300, "300 bytes of DHCP");

/* RFC 1071, over an even number of bytes. */
static uint16_t checksum(const void *bytes, size_t size)
{
    uint32_t sum = 0;

    for (size_t at = 0; at < size; at += 2) {
        uint16_t word;

        memcpy(&word, (const unsigned char *)bytes + at, sizeof(word));
        sum += word;
    }
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static unsigned char *put_option(unsigned char *at, enum option option, const void *bytes, unsigned char size)
{
    *at++ = (unsigned char)option;
    *at++ = size;
    memcpy(at, bytes, size);
    return at + size;
}

static void put_options(unsigned char *at, const struct dhcp_lease *offer)
{
    static const unsigned char wanted[] = { OPTION_NETMASK, OPTION_ROUTER, OPTION_NAME_SERVERS, OPTION_DOMAIN,
                                            OPTION_MTU };
    unsigned char type = offer ? DHCP_REQUEST : DHCP_DISCOVER;
    uint16_t size = htons(ETHERMTU);

    at = put_option(at, OPTION_TYPE, &type, sizeof(type));
    if (offer)
        at = put_option(at, OPTION_REQUESTED_ADDRESS, &offer->address, sizeof(offer->address));
    if (offer && offer->server)
        at = put_option(at, OPTION_SERVER, &offer->server, sizeof(offer->server));
    at = put_option(at, OPTION_MAXIMUM_SIZE, &size, sizeof(size));
    at = put_option(at, OPTION_PARAMETERS, wanted, sizeof(wanted));
    *at = OPTION_END;
}

size_t dhcp_message_make(unsigned char frame[DHCP_FRAME_SIZE], const unsigned char mac[DHCP_MAC_SIZE],
                         uint32_t xid, const struct dhcp_lease *offer)
{
    const size_t ip_size = DHCP_FRAME_SIZE - sizeof(struct ether_header);
    struct headers headers = {
        .ethernet = { .ether_type = htons(ETHERTYPE_IP) },
        .ip = { .version = 4,
                .ihl = 5,
                .tot_len = htons((uint16_t)ip_size),
                .ttl = 64,
                .protocol = IPPROTO_UDP,
                .daddr = INADDR_BROADCAST },
        /* A UDP checksum of 0 is none. */
        .udp = { .source = htons(CLIENT_PORT),
                 .dest = htons(SERVER_PORT),
                 .len = htons((uint16_t)(ip_size - sizeof(struct iphdr))) },
        .bootp = { .op = BOOT_REQUEST,
                   .htype = HTYPE_ETHER,
                   .hlen = DHCP_MAC_SIZE,
                   .xid = xid,
                   .flags = htons(BROADCAST),
                   .cookie = htonl(COOKIE) },
    };
    struct iphdr ip;

    memset(headers.ethernet.ether_dhost, 0xff, sizeof(headers.ethernet.ether_dhost));
    memcpy(headers.ethernet.ether_shost, mac, DHCP_MAC_SIZE);
    memcpy(headers.bootp.chaddr, mac, DHCP_MAC_SIZE);
    memcpy(&ip, &headers.ip, sizeof(ip));
    headers.ip.check = checksum(&ip, sizeof(ip));
    memset(frame, 0, DHCP_FRAME_SIZE);
    memcpy(frame, &headers, sizeof(headers));
    put_options(frame + sizeof(headers), offer);
    return DHCP_FRAME_SIZE;
}

/* --- answers --- */

struct options {
    struct dhcp_lease lease;
    unsigned type;
    unsigned overload;
};

/* The first of a list of addresses. */
static in_addr_t first_address(const unsigned char *bytes, size_t size)
{
    in_addr_t address = 0;

    if (size >= sizeof(address))
        memcpy(&address, bytes, sizeof(address));
    return address;
}

static void take_name_servers(struct dhcp_lease *lease, const unsigned char *bytes, size_t size)
{
    lease->name_server_count = 0;
    for (; size >= sizeof(in_addr_t) && lease->name_server_count < DHCP_NAME_SERVERS_MAX;
         bytes += sizeof(in_addr_t), size -= sizeof(in_addr_t))
        memcpy(&lease->name_servers[lease->name_server_count++], bytes, sizeof(in_addr_t));
}

/* It becomes a line of a file: none at all rather than one with a newline in it. */
static void take_domain(struct dhcp_lease *lease, const unsigned char *bytes, size_t size)
{
    while (size && !bytes[size - 1]) /* some servers count a NUL */
        size--;
    for (size_t i = 0; i < size; i++) {
        bool letter = bytes[i] < 0x80 && isalnum(bytes[i]);

        if (!letter && bytes[i] != '.' && bytes[i] != '-' && bytes[i] != '_')
            return;
    }
    memcpy(lease->domain, bytes, size);
    lease->domain[size] = '\0';
}

static void take_option(struct options *options, unsigned option, const unsigned char *bytes, size_t size)
{
    struct dhcp_lease *lease = &options->lease;

    switch (option) {
    case OPTION_NETMASK:
        lease->netmask = first_address(bytes, size);
        break;
    case OPTION_ROUTER:
        lease->router = first_address(bytes, size);
        break;
    case OPTION_SERVER:
        lease->server = first_address(bytes, size);
        break;
    case OPTION_NAME_SERVERS:
        take_name_servers(lease, bytes, size);
        break;
    case OPTION_DOMAIN:
        take_domain(lease, bytes, size);
        break;
    case OPTION_MTU:
        if (size == 2 && (bytes[0] << 8 | bytes[1]) >= MTU_MIN)
            lease->mtu = (uint16_t)(bytes[0] << 8 | bytes[1]);
        break;
    case OPTION_TYPE:
        options->type = size == 1 ? bytes[0] : 0;
        break;
    case OPTION_OVERLOAD:
        options->overload = size == 1 ? bytes[0] : 0;
        break;
    default:
        break;
    }
}

/* Up to the end option, or to an option that is not all there. */
static void take_options(struct options *options, const unsigned char *bytes, size_t size)
{
    for (size_t at = 0; at < size && bytes[at] != OPTION_END;) {
        unsigned option = bytes[at++];
        size_t length;

        if (option == OPTION_PAD)
            continue;
        if (at == size)
            return;
        length = bytes[at++];
        if (length > size - at)
            return;
        take_option(options, option, bytes + at, length);
        at += length;
    }
}

static bool is_usable(in_addr_t address)
{
    uint32_t host = ntohl(address);

    return host >> 24 != 0 && host >> 24 != IN_LOOPBACKNET &&
           host >> 28 < 0xe; /* nor multicast, nor reserved */
}

/* Ones, then zeros; not none. */
static bool is_netmask(in_addr_t netmask)
{
    uint32_t zeros = ~ntohl(netmask);

    return netmask && !(zeros & (zeros + 1));
}

/* The UDP payload for our port, if the frame is one: where it begins, and its size. */
static size_t find_payload(const unsigned char *frame, size_t size, size_t *ret_at)
{
    struct ether_header ethernet;
    struct iphdr ip;
    struct udphdr udp;
    size_t at = sizeof(ethernet), header, length;

    if (size < sizeof(ethernet) + sizeof(ip))
        return 0;
    memcpy(&ethernet, frame, sizeof(ethernet));
    memcpy(&ip, frame + at, sizeof(ip));
    header = (size_t)ip.ihl * 4;
    length = ntohs(ip.tot_len);
    if (ethernet.ether_type != htons(ETHERTYPE_IP) || ip.version != 4 || ip.protocol != IPPROTO_UDP ||
        (ip.frag_off & htons(IP_MF | IP_OFFMASK)) || header < sizeof(ip) || length > size - at ||
        length < header + sizeof(udp))
        return 0;
    memcpy(&udp, frame + at + header, sizeof(udp));
    length -= header;
    if (udp.source != htons(SERVER_PORT) || udp.dest != htons(CLIENT_PORT) || ntohs(udp.len) > length ||
        ntohs(udp.len) < sizeof(udp))
        return 0;
    *ret_at = at + header + sizeof(udp);
    return ntohs(udp.len) - sizeof(udp);
}

static void read_options(const struct bootp *bootp, const unsigned char *bytes, size_t size,
                         struct options *options)
{
    take_options(options, bytes, size);
    if (options->overload & OVERLOAD_FILE)
        take_options(options, bootp->file, sizeof(bootp->file));
    if (options->overload & OVERLOAD_SNAME)
        take_options(options, bootp->sname, sizeof(bootp->sname));
}

bool dhcp_message_parse(const unsigned char *frame, size_t size, const unsigned char mac[DHCP_MAC_SIZE],
                        uint32_t xid, enum dhcp_type *ret_type, struct dhcp_lease *ret_lease)
{
    struct options options = { .type = 0 };
    struct bootp bootp;
    size_t at = 0, length = find_payload(frame, size, &at);

    if (length < sizeof(bootp))
        return false;
    memcpy(&bootp, frame + at, sizeof(bootp));
    if (bootp.op != BOOT_REPLY || bootp.htype != HTYPE_ETHER || bootp.hlen != DHCP_MAC_SIZE ||
        bootp.xid != xid || memcmp(bootp.chaddr, mac, DHCP_MAC_SIZE) != 0 || bootp.cookie != htonl(COOKIE))
        return false;
    read_options(&bootp, frame + at + sizeof(bootp), length - sizeof(bootp), &options);
    options.lease.address = bootp.yiaddr;
    if (!is_netmask(options.lease.netmask))
        options.lease.netmask = htonl(0xffffff00);
    if (options.type != DHCP_NAK &&
        ((options.type != DHCP_OFFER && options.type != DHCP_ACK) || !is_usable(options.lease.address)))
        return false;
    *ret_type = (enum dhcp_type)options.type;
    *ret_lease = options.lease;
    return true;
}
