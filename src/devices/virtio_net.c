/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_net.c - the network device (virtio 1.2, 5.1): features, configuration, the control queue, and which
 * of the queues is whose. Frames are net_receive.c's and net_transmit.c's.
 *
 * What a driver switches (offloads, pairs, filter) starts afresh with every reset. What the backend refuses
 * to switch off is dropped by net_header_to_driver(), and for pairs in net_receive.c, so that no promise to
 * the driver rests on the backend's promptness.
 */
#include "ringlet/virtio_net.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net_control.h"
#include "net_device.h"
#include "ringlet/guest_memory.h"
#include "ringlet/iov.h"
#include "ringlet/util.h"

static struct virtio_net *from_device(struct virtio_device *device)
{
    return container_of(device, struct virtio_net, device);
}

static bool has(uint64_t features, unsigned bit)
{
    return features >> bit & 1;
}

unsigned net_chain_vectors(uint16_t queue_size)
{
    unsigned vectors = queue_size + GUEST_MEMORY_MAX_REGIONS - 1u;

    /* One of a request's vectors is the header's. */
    return vectors < NET_MAX_VECTORS ? vectors : NET_MAX_VECTORS - 1;
}

/* --- features (5.1.3) --- */

/* 5.1.3.1, and what later versions add to it for USO. */
static const struct {
    uint8_t feature, needs;
} dependencies[] = {
    { VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_CSUM },
    { VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_CSUM },
    { VIRTIO_NET_F_GUEST_USO4, VIRTIO_NET_F_GUEST_CSUM },
    { VIRTIO_NET_F_GUEST_USO6, VIRTIO_NET_F_GUEST_CSUM },
    { VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_CSUM },
    { VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_CSUM },
    { VIRTIO_NET_F_HOST_USO, VIRTIO_NET_F_CSUM },
    { VIRTIO_NET_F_CTRL_RX, VIRTIO_NET_F_CTRL_VQ },
    { VIRTIO_NET_F_GUEST_ANNOUNCE, VIRTIO_NET_F_CTRL_VQ },
    { VIRTIO_NET_F_MQ, VIRTIO_NET_F_CTRL_VQ },
    { VIRTIO_NET_F_CTRL_MAC_ADDR, VIRTIO_NET_F_CTRL_VQ },
};

static bool virtio_net_features_valid(const struct virtio_device *device, uint64_t features)
{
    (void)device;
    for (unsigned i = 0; i < ARRAY_SIZE(dependencies); i++) {
        if (has(features, dependencies[i].feature) && !has(features, dependencies[i].needs))
            return false;
    }
    return true;
}

static uint64_t offered_features(const struct virtio_net *net)
{
    const struct net_info *info = &net->backend->info;
    unsigned to_host = info->to_host & NET_OFFLOAD_CSUM ? info->to_host : 0;
    unsigned to_guest = info->to_guest & NET_OFFLOAD_CSUM ? info->to_guest : 0;
    uint64_t features = NET_FEATURE(VIRTIO_NET_F_MAC) | NET_FEATURE(VIRTIO_NET_F_STATUS) |
                        NET_FEATURE(VIRTIO_NET_F_MRG_RXBUF) | NET_FEATURE(VIRTIO_NET_F_CTRL_VQ) |
                        NET_FEATURE(VIRTIO_NET_F_CTRL_RX) | NET_FEATURE(VIRTIO_NET_F_CTRL_RX_EXTRA) |
                        NET_FEATURE(VIRTIO_NET_F_CTRL_MAC_ADDR) | NET_FEATURE(VIRTIO_NET_F_GUEST_ANNOUNCE);

    if (net->mtu)
        features |= NET_FEATURE(VIRTIO_NET_F_MTU);
    if (net->max_pairs > 1)
        features |= NET_FEATURE(VIRTIO_NET_F_MQ);
    if (to_host & NET_OFFLOAD_CSUM)
        features |= NET_FEATURE(VIRTIO_NET_F_CSUM);
    if (to_host & NET_OFFLOAD_TSO4)
        features |= NET_FEATURE(VIRTIO_NET_F_HOST_TSO4);
    if (to_host & NET_OFFLOAD_TSO6)
        features |= NET_FEATURE(VIRTIO_NET_F_HOST_TSO6);
    if (to_host & NET_OFFLOAD_USO)
        features |= NET_FEATURE(VIRTIO_NET_F_HOST_USO);
    if (to_guest & NET_OFFLOAD_CSUM)
        features |= NET_FEATURE(VIRTIO_NET_F_GUEST_CSUM) | NET_FEATURE(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);
    if (to_guest & NET_OFFLOAD_TSO4)
        features |= NET_FEATURE(VIRTIO_NET_F_GUEST_TSO4);
    if (to_guest & NET_OFFLOAD_TSO6)
        features |= NET_FEATURE(VIRTIO_NET_F_GUEST_TSO6);
    if (to_guest & NET_OFFLOAD_USO)
        features |= NET_FEATURE(VIRTIO_NET_F_GUEST_USO4) | NET_FEATURE(VIRTIO_NET_F_GUEST_USO6);
    return features;
}

/* The offloads that VIRTIO_NET_F_GUEST_ bits stand for. The backend's USO is of both address families. */
static unsigned guest_offloads(uint64_t features)
{
    unsigned offloads = 0;

    if (!has(features, VIRTIO_NET_F_GUEST_CSUM))
        return 0;
    offloads |= NET_OFFLOAD_CSUM;
    if (has(features, VIRTIO_NET_F_GUEST_TSO4))
        offloads |= NET_OFFLOAD_TSO4;
    if (has(features, VIRTIO_NET_F_GUEST_TSO6))
        offloads |= NET_OFFLOAD_TSO6;
    if (has(features, VIRTIO_NET_F_GUEST_USO4) && has(features, VIRTIO_NET_F_GUEST_USO6))
        offloads |= NET_OFFLOAD_USO;
    return offloads;
}

static int set_offloads(struct virtio_net *net, unsigned offloads)
{
    int result = net->backend->ops->set_offloads(net->backend, offloads);

    if (!result)
        net->offloads = offloads;
    return result;
}

/* 5.1.6.5.6.1: what was negotiated is on to begin with. A backend that fails gives complete frames, or drops.
 */
static void virtio_net_features_accepted(struct virtio_device *device)
{
    set_offloads(from_device(device), guest_offloads(device->accepted_features));
}

/* --- configuration space (5.1.4) --- */

static void virtio_net_config_read(struct virtio_device *device, uint32_t offset, void *to, uint32_t length)
{
    const struct virtio_net *net = from_device(device);
    struct net_config_space config = {
        .status = htole16((uint16_t)((net->link_up ? VIRTIO_NET_S_LINK_UP : 0) |
                                     (net->announce ? VIRTIO_NET_S_ANNOUNCE : 0))),
        .max_virtqueue_pairs = htole16((uint16_t)(net->max_pairs > 1 ? net->max_pairs : 0)),
        .mtu = htole16(net->mtu),
    };

    memcpy(config.mac, net->mac, sizeof(config.mac));
    memcpy(to, (const uint8_t *)&config + offset, length);
}

/* --- the link --- */

void virtio_net_announce(struct virtio_device *device)
{
    struct virtio_net *net = from_device(device);

    if (!virtio_device_has_feature(device, VIRTIO_NET_F_GUEST_ANNOUNCE))
        return;
    net->announce = true;
    virtio_device_config_changed(device);
}

static void refill_all(struct virtio_net *net)
{
    for (unsigned i = 0; i < net->pairs; i++)
        net_receive_refill(net->receive[i]);
}

static void link_changed(struct net_listener *listener, bool up)
{
    struct virtio_net *net = container_of(listener, struct virtio_net, listener);

    if (up == net->link_up)
        return;
    net->link_up = up;
    if (!up || !virtio_device_has_feature(&net->device, VIRTIO_NET_F_GUEST_ANNOUNCE))
        virtio_device_config_changed(&net->device);
    else
        virtio_net_announce(&net->device); /* switches may have learnt another way to us meanwhile */
    if (!up)
        return;
    for (unsigned i = 0; i < net->max_pairs; i++)
        net_receive_forgive(net->receive[i]);
    refill_all(net);
}

static const struct net_listener_ops listener_ops = { .link_changed = link_changed };

/* --- the control queue (5.1.6.5) --- */

static int set_pairs(struct virtio_net *net, unsigned pairs)
{
    int result;

    if (!pairs || pairs > net->max_pairs)
        return -EINVAL;
    result = net->backend->ops->set_queue_pairs(net->backend, pairs);
    if (result)
        return result;
    net->pairs = pairs;
    /* What rang while a pair was not in use was not answered. */
    refill_all(net);
    for (unsigned i = 0; i < pairs; i++)
        net_transmit_serve(net->transmit[i]);
    return 0;
}

static int set_guest_features(struct virtio_net *net, uint64_t features)
{
    const uint64_t switchable = NET_FEATURE(VIRTIO_NET_F_GUEST_CSUM) | NET_FEATURE(VIRTIO_NET_F_GUEST_TSO4) |
                                NET_FEATURE(VIRTIO_NET_F_GUEST_TSO6) | NET_FEATURE(VIRTIO_NET_F_GUEST_USO4) |
                                NET_FEATURE(VIRTIO_NET_F_GUEST_USO6);

    if ((features & ~(switchable & net->device.accepted_features)) ||
        !virtio_net_features_valid(&net->device, features))
        return -EINVAL;
    return set_offloads(net, guest_offloads(features));
}

static int carry_out(struct virtio_net *net, const struct net_command *command)
{
    switch (command->kind) {
    case NET_COMMAND_RX_MODE:
        net->filter.modes &= ~(1u << command->rx_mode);
        net->filter.modes |= (unsigned)command->on << command->rx_mode;
        return 0;
    case NET_COMMAND_MAC_TABLES:
        net->filter.unicast = command->unicast;
        net->filter.multicast = command->multicast;
        return 0;
    case NET_COMMAND_MAC_ADDRESS:
        memcpy(net->mac, command->mac, sizeof(net->mac));
        net->mac_set = true;
        /* Another vCPU may be reading it. The driver needs no telling. */
        net->device.config_generation++;
        return 0;
    case NET_COMMAND_ANNOUNCE_ACK:
        net->announce = false;
        net->device.config_generation++;
        return 0;
    case NET_COMMAND_QUEUE_PAIRS:
        return set_pairs(net, command->pairs);
    case NET_COMMAND_OFFLOADS:
        return set_guest_features(net, command->guest_features);
    default:
        return -EOPNOTSUPP;
    }
}

static void serve_control(struct virtio_net *net, unsigned index)
{
    for (;;) {
        struct virtqueue_chain chain = { .iov = net->control_iov, .iov_max = net->control_iov_max };
        struct net_command command;
        struct iov_cursor answer;
        uint8_t ack = VIRTIO_NET_OK;

        if (virtio_device_pop(&net->device, index, &chain) <= 0)
            return;
        if (!chain.in_length) {
            /* No byte to answer in; given back as used it would look done (2.1.2). */
            virtio_device_needs_reset(&net->device);
            return;
        }
        if (net_command_parse(chain.iov, chain.out_count, net->device.accepted_features, &command) < 0 ||
            carry_out(net, &command) < 0)
            ack = VIRTIO_NET_ERR;
        answer = iov_cursor_make(chain.iov + chain.out_count, chain.in_count);
        iov_cursor_copy_in(&answer, &ack, sizeof(ack));
        virtio_device_push(&net->device, index, chain.head, sizeof(ack));
    }
}

/* --- queues (5.1.2) --- */

/* The pairs that have queues. Without MQ the control queue stands where the second pair's would. */
static unsigned negotiated_pairs(const struct virtio_net *net)
{
    return virtio_device_has_feature(&net->device, VIRTIO_NET_F_MQ) ? net->max_pairs : 1;
}

static void virtio_net_queue_notify(struct virtio_device *device, unsigned index)
{
    struct virtio_net *net = from_device(device);
    unsigned pairs = negotiated_pairs(net);

    if (index == 2 * pairs) {
        if (virtio_device_has_feature(device, VIRTIO_NET_F_CTRL_VQ))
            serve_control(net, index);
    } else if (index / 2 < net->pairs) {
        if (index % 2)
            net_transmit_serve(net->transmit[index / 2]);
        else
            net_receive_refill(net->receive[index / 2]);
    }
}

static void virtio_net_queue_disabled(struct virtio_device *device, unsigned index)
{
    struct virtio_net *net = from_device(device);

    if (index / 2 < negotiated_pairs(net) && index % 2 == 0)
        net_receive_forget(net->receive[index / 2]);
}

/* --- life --- */

static void virtio_net_cancel(struct virtio_device *device)
{
    struct virtio_net *net = from_device(device);

    net->backend->ops->cancel(net->backend);
}

static void virtio_net_reset(struct virtio_device *device)
{
    struct virtio_net *net = from_device(device);

    for (unsigned i = 0; i < net->max_pairs; i++)
        net_receive_forget(net->receive[i]);
    memcpy(net->mac, net->initial_mac, sizeof(net->mac));
    net->mac_set = net->announce = false;
    memset(&net->filter, 0, sizeof(net->filter));
    if (net->pairs != 1)
        net->backend->ops->set_queue_pairs(net->backend, 1);
    net->pairs = 1;
    if (net->offloads)
        net->backend->ops->set_offloads(net->backend, 0);
    net->offloads = 0;
}

static void virtio_net_free(struct virtio_net *net)
{
    for (unsigned i = 0; i < net->max_pairs; i++) {
        net_receive_destroy(net->receive[i]);
        net_transmit_destroy(net->transmit[i]);
    }
    free(net->control_iov);
    free(net);
}

static void virtio_net_destroy(struct virtio_device *device)
{
    struct virtio_net *net = from_device(device);

    net_backend_destroy(net->backend);
    virtio_device_finish(device);
    virtio_net_free(net);
}

static enum virtio_report virtio_net_report(struct virtio_device *device, char *to, size_t size)
{
    struct virtio_net_counters counters;
    uint64_t rx_dropped, tx_dropped;

    virtio_net_counters(device, &counters);
    rx_dropped = counters.rx_too_long + counters.rx_too_short + counters.rx_bad_header +
                 counters.rx_inactive + counters.rx_errors;
    tx_dropped = counters.tx_bad_length + counters.tx_bad_header + counters.tx_errors;
    snprintf(to, size,
             "received %" PRIu64 " frames, %" PRIu64 " bytes (%" PRIu64 " more dropped, %" PRIu64
             " for others); sent %" PRIu64 " frames, %" PRIu64 " bytes (%" PRIu64 " more dropped)",
             counters.rx_frames, counters.rx_bytes, rx_dropped, counters.rx_filtered, counters.tx_frames,
             counters.tx_bytes, tx_dropped);
    return VIRTIO_REPORT_DONE;
}

static const struct virtio_device_ops virtio_net_ops = {
    .config_read = virtio_net_config_read,
    .features_valid = virtio_net_features_valid,
    .features_accepted = virtio_net_features_accepted,
    .queue_notify = virtio_net_queue_notify,
    .cancel = virtio_net_cancel,
    .queue_disabled = virtio_net_queue_disabled,
    .reset = virtio_net_reset,
    .report = virtio_net_report,
    .destroy = virtio_net_destroy,
};

static bool is_sane(const struct virtio_net_options *options, const struct net_info *info)
{
    return options->queue_pairs && options->queue_pairs <= info->queue_pairs &&
           options->queue_pairs <= NET_MAX_QUEUE_PAIRS && options->queue_size >= 2 &&
           options->queue_size <= VIRTIO_NET_MAX_QUEUE_SIZE && is_power_of_two(options->queue_size) &&
           (!options->mtu || options->mtu >= VIRTIO_NET_MIN_MTU) && !(options->mac[0] & 1);
}

static int make_queues(struct virtio_net *net, uint16_t queue_size)
{
    int result = 0;

    net->control_iov_max = net_chain_vectors(queue_size);
    net->control_iov = calloc(net->control_iov_max, sizeof(*net->control_iov));
    if (!net->control_iov)
        return -ENOMEM;
    for (unsigned i = 0; i < net->max_pairs && !result; i++) {
        result = net_receive_create(net, i, queue_size, &net->receive[i]);
        if (!result)
            result = net_transmit_create(net, i, queue_size, &net->transmit[i]);
    }
    return result;
}

int virtio_net_create(const struct virtio_net_options *options, struct net_backend *backend,
                      const struct guest_memory *memory, struct virtio_device **ret_device)
{
    struct virtio_device_setup setup;
    struct virtio_net *net;
    int result;

    if (!is_sane(options, &backend->info))
        return -EINVAL;
    net = calloc(1, sizeof(*net));
    if (!net)
        return -ENOMEM;
    net->backend = backend;
    net->listener.ops = &listener_ops;
    net->max_pairs = options->queue_pairs;
    net->pairs = 1;
    net->mtu = options->mtu ? options->mtu : backend->info.mtu;
    if (net->mtu < VIRTIO_NET_MIN_MTU)
        net->mtu = 0; /* 5.1.4.1: not to be told */
    memcpy(net->initial_mac, options->mac, sizeof(net->initial_mac));
    memcpy(net->mac, options->mac, sizeof(net->mac));

    setup = (struct virtio_device_setup){
        .ops = &virtio_net_ops,
        .name = options->name,
        .device_id = VIRTIO_ID_NET,
        .device_features = offered_features(net),
        .config_size = sizeof(struct net_config_space),
        .queue_count = 2 * options->queue_pairs + 1u,
        .queue_size = options->queue_size,
        .memory = memory,
    };
    result = make_queues(net, options->queue_size);
    if (!result)
        result = virtio_device_init(&net->device, &setup);
    if (result) {
        virtio_net_free(net);
        return result;
    }
    backend->ops->attach(backend, &net->device.client, &net->listener);
    net->link_up = backend->link_up;
    *ret_device = &net->device;
    return 0;
}

void virtio_net_counters(struct virtio_device *device, struct virtio_net_counters *ret_counters)
{
    pthread_mutex_lock(&device->lock);
    *ret_counters = from_device(device)->counters;
    pthread_mutex_unlock(&device->lock);
}
