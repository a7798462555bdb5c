/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dhcp.c - see dhcp.h.
 */
#include "dhcp.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <unistd.h>

#include "deadline.h"

#define FIRST_WAIT   250 /* ms, and twice as long after each attempt */
#define LONGEST_WAIT 2000
#define REQUESTS_MAX 3 /* then the offer is forgotten */

struct client {
    int fd;
    const unsigned char *mac;
    uint32_t xid;
    int64_t deadline;
};

/* There may be several servers, and each offers. */
static bool is_awaited(const struct dhcp_lease *offer, enum dhcp_type type, const struct dhcp_lease *lease)
{
    if (!offer)
        return type == DHCP_OFFER;
    return type != DHCP_OFFER && (!offer->server || !lease->server || lease->server == offer->server);
}

/* The answer to what was sent, or *ret_type untouched when there is none in time. */
static int receive(const struct client *client, const struct dhcp_lease *offer, int64_t until,
                   enum dhcp_type *ret_type, struct dhcp_lease *ret_lease)
{
    unsigned char frame[2048];
    struct dhcp_lease lease;
    enum dhcp_type type;

    for (;;) {
        struct pollfd answer = { .fd = client->fd, .events = POLLIN };
        ssize_t size = read(client->fd, frame, sizeof(frame));

        if (size > 0 && dhcp_message_parse(frame, (size_t)size, client->mac, client->xid, &type, &lease) &&
            is_awaited(offer, type, &lease)) {
            *ret_type = type;
            *ret_lease = lease;
            return 0;
        }
        /* A network full of other frames is no reason to wait longer. */
        if (!deadline_left(until))
            return 0;
        if (size > 0 || (size < 0 && errno == EINTR))
            continue;
        if (size == 0 || errno != EAGAIN)
            return size == 0 ? -EPIPE : -errno;
        poll(&answer, 1, deadline_left(until));
    }
}

/* Send DISCOVER, or REQUEST, and hear the answer. */
static int ask(const struct client *client, const struct dhcp_lease *offer, int wait,
               enum dhcp_type *ret_type, struct dhcp_lease *ret_lease)
{
    unsigned char frame[DHCP_FRAME_SIZE];
    size_t size = dhcp_message_make(frame, client->mac, client->xid, offer);
    int left = deadline_left(client->deadline);

    /* A full queue, or a card whose link is not up yet: the next attempt may do. */
    if (write(client->fd, frame, size) < 0 && errno != EAGAIN && errno != ENOBUFS && errno != ENETDOWN)
        return -errno;
    return receive(client, offer, deadline_in(wait < left ? wait : left), ret_type, ret_lease);
}

int dhcp_acquire(int fd, const unsigned char mac[DHCP_MAC_SIZE], uint32_t xid, int64_t deadline,
                 struct dhcp_lease *ret_lease)
{
    const struct client client = { .fd = fd, .mac = mac, .xid = xid, .deadline = deadline };
    struct dhcp_lease offer;
    bool offered = false;
    int wait = FIRST_WAIT, requests = 0;

    while (deadline_left(deadline)) {
        struct dhcp_lease lease;
        enum dhcp_type type = 0;
        int result = ask(&client, offered ? &offer : NULL, wait, &type, &lease);

        if (result < 0)
            return result;
        if (type == DHCP_ACK) {
            *ret_lease = lease;
            return 0;
        }
        if (type == DHCP_OFFER) {
            offer = lease;
            offered = true;
            requests = 0;
            wait = FIRST_WAIT;
            continue;
        }
        if (offered && (type == DHCP_NAK || ++requests == REQUESTS_MAX))
            offered = false;
        wait = wait * 2 < LONGEST_WAIT ? wait * 2 : LONGEST_WAIT;
    }
    return -ETIMEDOUT;
}
