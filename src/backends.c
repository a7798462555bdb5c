/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backends.c - see backends.h.
 */
#include "backends.h"

#include <errno.h>

#include "ringlet/block_file.h"
#include "ringlet/block_overlay.h"
#include "ringlet/entropy_file.h"
#include "ringlet/log.h"
#include "ringlet/net_passt.h"
#include "ringlet/net_tap.h"
#include "ringlet/stop.h"
#include "ringlet/util.h"
#include "ringlet/virtiofsd.h"

static struct loop *loop_of(const struct backend_provider *provider)
{
    return container_of(provider, struct loop_backends, provider)->loop;
}

static int open_disk(const struct backend_provider *provider, const struct disk_options *options,
                     struct block_backend **ret_backend, struct error *err)
{
    /* Write-through is the device's business, which may change it while it runs (virtio 1.2, 5.2.5:
     * writeback). */
    struct block_file_options file = {
        .path = options->path,
        .read_only = options->read_only,
        .direct = options->direct,
        .cache = options->unsafe ? BLOCK_CACHE_UNSAFE : BLOCK_CACHE_WRITEBACK,
    };

    if (options->ephemeral)
        return block_overlay_open(loop_of(provider), &file, ret_backend, err);
    return block_file_open(loop_of(provider), &file, ret_backend, err);
}

static int open_entropy(const struct backend_provider *provider, struct entropy_backend **ret_backend,
                        struct error *err)
{
    return entropy_file_open(loop_of(provider), "/dev/urandom", ret_backend, err);
}

static void passt_ended(void *argument, const char *sentence)
{
    log_warning("%s: %s; the link is down", (const char *)argument, sentence);
}

static int open_net(const struct backend_provider *provider, const struct net_options *options,
                    struct net_backend **ret_backend, struct error *err)
{
    const struct loop_backends *backends = container_of(provider, struct loop_backends, provider);
    struct net_tap_options tap = {
        .name = options->kind == NET_KIND_TAP ? options->tap : NULL,
        .fds = options->fds,
        .queue_pairs = options->queue_pairs,
        .mtu = options->mtu,
    };
    struct net_passt_options passt = {
        .forwards = options->forwards,
        .forward_count = options->forward_count,
        .mtu = options->mtu,
        .interrupt_fd = backends->interrupt_fd,
        .ended = passt_ended,
        .argument = (void *)(uintptr_t)options->name,
    };

    if (options->kind == NET_KIND_USER)
        return net_passt_open(backends->loop, &passt, ret_backend, err);
    return net_tap_open(backends->loop, &tap, ret_backend, err);
}

/* What waits for an answer in the guest waits for ever, and what it has written may be lost: no going on. */
static void virtiofsd_ended(void *argument, const char *name, const char *sentence)
{
    log_error("%s: %s", name, sentence);
    stop_request(argument, STOP_HOST_FAILURE, 0);
}

static int open_share(const struct backend_provider *provider, const struct share_options *options,
                      struct vhost_backend **ret_backend, struct error *err)
{
    const struct loop_backends *backends = container_of(provider, struct loop_backends, provider);
    struct virtiofsd_options virtiofsd = {
        .directory = options->directory,
        .read_only = options->read_only,
        .at_rest = options->at_rest,
        .ended = virtiofsd_ended,
        .argument = backends->stop,
        .name = options->name,
        .interrupt_fd = backends->interrupt_fd,
    };

    return virtiofsd_open(backends->loop, &virtiofsd, ret_backend, err);
}

static const struct backend_provider_ops provider_ops = {
    .open_disk = open_disk,
    .open_entropy = open_entropy,
    .open_net = open_net,
    .open_share = open_share,
};

struct loop_backends loop_backends_make(struct loop *loop, struct stop_sink *stop, int interrupt_fd)
{
    return (struct loop_backends){
        .provider.ops = &provider_ops, .loop = loop, .stop = stop, .interrupt_fd = interrupt_fd
    };
}
