/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_argument.c - see net_argument.h.
 */
#include "net_argument.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "ringlet/backend_provider.h"
#include "ringlet/error.h"
#include "ringlet/parse.h"

#define MAC_LENGTH    17
#define MAC_MULTICAST 0x01 /* IEEE 802: bits of the first byte */
#define MAC_LOCAL     0x02
#define NUMBER_SIZE   12

#define LOOPBACK "127.0.0.1"

static int hexadecimal_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int net_argument_mac(const char *text, uint8_t ret_mac[6], struct error *err)
{
    static const uint8_t nobody[6];
    uint8_t mac[6];

    for (unsigned i = 0; i < sizeof(mac); i++) {
        const char *byte = text + 3 * (size_t)i;
        int high = strlen(text) == MAC_LENGTH ? hexadecimal_digit(byte[0]) : -1;
        int low = high < 0 ? -1 : hexadecimal_digit(byte[1]);

        if (low < 0 || byte[2] != (i == 5 ? '\0' : ':'))
            return error_set(err, -EINVAL,
                             "--net: 'mac' takes an address such as 52:54:00:12:34:56, not '%s'", text);
        mac[i] = (uint8_t)(high << 4 | low);
    }
    if (mac[0] & MAC_MULTICAST)
        return error_set(err, -EINVAL,
                         "--net: %s is a multicast address, which no device can have: the first byte is even",
                         text);
    if (memcmp(mac, nobody, sizeof(mac)) == 0)
        return error_set(err, -EINVAL, "--net: %s is nobody's address", text);
    memcpy(ret_mac, mac, sizeof(mac));
    return 0;
}

int net_argument_random_mac(uint8_t ret_mac[6])
{
    uint8_t mac[6];

    if (getrandom(mac, sizeof(mac), 0) != sizeof(mac))
        return -errno;
    mac[0] = MAC_LOCAL;
    memcpy(ret_mac, mac, sizeof(mac));
    return 0;
}

/* The number in [text, text + length), false unless it is one from `minimum` to `maximum`. */
static bool parse_part(const char *text, size_t length, uint64_t minimum, uint64_t maximum, uint64_t *ret)
{
    char copy[NUMBER_SIZE];

    if (length >= sizeof(copy))
        return false;
    snprintf(copy, sizeof(copy), "%.*s", (int)length, text);
    return parse_number(copy, ret) && *ret >= minimum && *ret <= maximum;
}

int net_argument_forward(const char *text, struct net_forward *ret_forward, struct error *err)
{
    struct net_forward forward = { .address = LOOPBACK };
    const char *ports = text, *colon;
    struct in_addr address;
    uint64_t host, guest;
    size_t length;

    if (strncmp(ports, "tcp:", 4) == 0) {
        ports += 4;
    } else if (strncmp(ports, "udp:", 4) == 0) {
        forward.udp = true;
        ports += 4;
    }
    length = strcspn(ports, ":");
    if (memchr(ports, '.', length) && ports[length]) {
        snprintf(forward.address, sizeof(forward.address), "%.*s",
                 (int)(length < sizeof(forward.address) ? length : 0), ports);
        if (inet_pton(AF_INET, forward.address, &address) != 1)
            return error_set(err, -EINVAL, "--net: 'hostfwd': '%.*s' is no IPv4 address", (int)length, ports);
        ports += length + 1;
    }
    colon = strchr(ports, ':');
    if (!colon || !parse_part(ports, (size_t)(colon - ports), 1, UINT16_MAX, &host) ||
        !parse_part(colon + 1, strlen(colon + 1), 1, UINT16_MAX, &guest))
        return error_set(err, -EINVAL,
                         "--net: 'hostfwd' takes [udp:][ADDRESS:]PORT:PORT, the host's and the guest's port, "
                         "from 1 to 65535, not '%s'",
                         text);
    forward.host_port = (uint16_t)host;
    forward.guest_port = (uint16_t)guest;
    *ret_forward = forward;
    return 0;
}

int net_argument_fds(const char *text, int *fds, unsigned max, struct error *err)
{
    unsigned count = 0;

    for (const char *part = text;; part += strcspn(part, ":") + 1) {
        size_t length = strcspn(part, ":");
        uint64_t fd;

        if (!parse_part(part, length, 3, INT32_MAX, &fd))
            return error_set(err, -EINVAL,
                             "--net: 'fd' takes descriptors above 2, colons between them, not '%s'", text);
        if (count == max)
            return error_set(err, -EINVAL, "--net: 'fd' takes %u descriptors at most", max);
        fds[count++] = (int)fd;
        if (!part[length])
            return (int)count;
    }
}
