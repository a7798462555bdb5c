/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_control.c - see net_control.h. One table says which commands there are; the MAC tables alone have a
 * shape of their own.
 */
#include "net_control.h"

#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "net_wire.h"
#include "ringlet/iov.h"
#include "ringlet/util.h"

#define VARIABLE_LENGTH UINT8_MAX
#define LONGEST_FIXED   8

static const struct command_row {
    uint8_t class, command, feature, kind;
    uint8_t length; /* of the data */
} commands[] = {
    { VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, VIRTIO_NET_F_CTRL_RX, NET_COMMAND_RX_MODE, 1 },
    { VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, VIRTIO_NET_F_CTRL_RX, NET_COMMAND_RX_MODE, 1 },
    { VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLUNI, VIRTIO_NET_F_CTRL_RX_EXTRA, NET_COMMAND_RX_MODE, 1 },
    { VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOMULTI, VIRTIO_NET_F_CTRL_RX_EXTRA, NET_COMMAND_RX_MODE, 1 },
    { VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOUNI, VIRTIO_NET_F_CTRL_RX_EXTRA, NET_COMMAND_RX_MODE, 1 },
    { VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOBCAST, VIRTIO_NET_F_CTRL_RX_EXTRA, NET_COMMAND_RX_MODE, 1 },
    { VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, VIRTIO_NET_F_CTRL_RX, NET_COMMAND_MAC_TABLES,
      VARIABLE_LENGTH },
    { VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, VIRTIO_NET_F_CTRL_MAC_ADDR, NET_COMMAND_MAC_ADDRESS,
      ETH_ALEN },
    { VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, VIRTIO_NET_F_GUEST_ANNOUNCE,
      NET_COMMAND_ANNOUNCE_ACK, 0 },
    { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, VIRTIO_NET_F_MQ, NET_COMMAND_QUEUE_PAIRS,
      sizeof(struct virtio_net_ctrl_mq) },
    { VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS,
      NET_COMMAND_OFFLOADS, sizeof(uint64_t) },
};

static const struct command_row *find(const struct virtio_net_ctrl_hdr *header, uint64_t features)
{
    for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
        const struct command_row *row = &commands[i];

        if (row->class == header->class && row->command == header->cmd)
            return features >> row->feature & 1 ? row : NULL;
    }
    return NULL;
}

/* 5.1.6.5.2: a count, and as many addresses. Those that do not fit are only counted off. */
static int parse_table(struct iov_cursor *data, struct net_filter_table *ret_table)
{
    uint32_t entries;
    uint64_t length;

    if (iov_cursor_copy_out(data, &entries, sizeof(entries)) < sizeof(entries))
        return -EINVAL;
    entries = le32toh(entries);
    length = (uint64_t)entries * ETH_ALEN;
    if (length > iov_cursor_remaining(data))
        return -EINVAL;
    ret_table->overflow = entries > NET_FILTER_TABLE_SIZE;
    ret_table->count = 0;
    if (ret_table->overflow) {
        iov_cursor_skip(data, length);
        return 0;
    }
    ret_table->count = entries;
    iov_cursor_copy_out(data, ret_table->addresses, length);
    return 0;
}

static int parse_tables(struct iov_cursor *data, struct net_command *command)
{
    int result = parse_table(data, &command->unicast);

    if (!result)
        result = parse_table(data, &command->multicast);
    return !result && iov_cursor_remaining(data) ? -EINVAL : result;
}

static void parse_fixed(const uint8_t *data, struct net_command *command)
{
    switch (command->kind) {
    case NET_COMMAND_RX_MODE:
        command->on = data[0] != 0;
        break;
    case NET_COMMAND_MAC_ADDRESS:
        memcpy(command->mac, data, sizeof(command->mac));
        break;
    case NET_COMMAND_QUEUE_PAIRS:
        memcpy(&command->pairs, data, sizeof(command->pairs));
        command->pairs = le16toh(command->pairs);
        break;
    case NET_COMMAND_OFFLOADS:
        memcpy(&command->guest_features, data, sizeof(command->guest_features));
        command->guest_features = le64toh(command->guest_features);
        break;
    default:
        break;
    }
}

int net_command_parse(const struct iovec *iov, unsigned count, uint64_t features,
                      struct net_command *ret_command)
{
    struct iov_cursor data = iov_cursor_make(iov, count);
    struct virtio_net_ctrl_hdr header;
    uint8_t fixed[LONGEST_FIXED];
    const struct command_row *row;

    if (iov_cursor_copy_out(&data, &header, sizeof(header)) < sizeof(header))
        return -EINVAL;
    row = find(&header, features);
    if (!row)
        return -EOPNOTSUPP;
    ret_command->kind = row->kind;
    ret_command->rx_mode = row->command;
    if (row->length == VARIABLE_LENGTH)
        return parse_tables(&data, ret_command);
    if (iov_cursor_remaining(&data) != row->length)
        return -EINVAL;
    iov_cursor_copy_out(&data, fixed, row->length);
    parse_fixed(fixed, ret_command);
    return 0;
}
