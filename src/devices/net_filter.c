/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_filter.c - see net_filter.h.
 */
#include "net_filter.h"

#include <string.h>

#include "net_wire.h"

static_assert(NET_FILTER_ADDRESS_SIZE == ETH_ALEN, "one kind of address");

static bool mode(const struct net_filter *filter, unsigned command)
{
    return filter->modes >> command & 1;
}

static bool table_has(const struct net_filter_table *table, const uint8_t *address)
{
    if (table->overflow)
        return true;
    for (unsigned i = 0; i < table->count; i++) {
        if (!memcmp(table->addresses[i], address, ETH_ALEN))
            return true;
    }
    return false;
}

/* Promiscuous mode is above all others, and what suppresses is above what lets through. */
bool net_filter_accepts(const struct net_filter *filter, const uint8_t *own, const uint8_t *destination)
{
    static const uint8_t broadcast[ETH_ALEN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

    if (mode(filter, VIRTIO_NET_CTRL_RX_PROMISC))
        return true;
    if (!memcmp(destination, broadcast, ETH_ALEN))
        return !mode(filter, VIRTIO_NET_CTRL_RX_NOBCAST);
    if (destination[0] & 1)
        return !mode(filter, VIRTIO_NET_CTRL_RX_NOMULTI) &&
               (mode(filter, VIRTIO_NET_CTRL_RX_ALLMULTI) || table_has(&filter->multicast, destination));
    if (mode(filter, VIRTIO_NET_CTRL_RX_NOUNI))
        return false;
    return mode(filter, VIRTIO_NET_CTRL_RX_ALLUNI) || !own || !memcmp(own, destination, ETH_ALEN) ||
           table_has(&filter->unicast, destination);
}
