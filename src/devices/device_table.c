/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device_table.c - the devices a person can ask for, a row each (see ringlet/device_type.h).
 *
 * To add one: write its keys and its create(), and a row in the table at the end.
 */
#include "ringlet/device_type.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "net_argument.h"
#include "ringlet/backend_provider.h"
#include "ringlet/block_backend.h"
#include "ringlet/entropy_backend.h"
#include "ringlet/error.h"
#include "ringlet/net_backend.h"
#include "ringlet/share_argument.h"
#include "ringlet/util.h"
#include "ringlet/vhost_backend.h"
#include "ringlet/virtio_blk.h"
#include "ringlet/virtio_fs.h"
#include "ringlet/virtio_net.h"
#include "ringlet/virtio_rng.h"

/* --- disk --- */

#define DISK_DEFAULT_QUEUE_SIZE 256
#define DISK_SERIAL_LENGTH      20 /* virtio 1.2, 5.2.6: GET_ID */

enum disk_key {
    DISK_RO,
    DISK_EPHEMERAL,
    DISK_DIRECT,
    DISK_SERIAL,
    DISK_CACHE,
    DISK_QUEUES,
    DISK_QUEUE_SIZE,
    DISK_KEY_COUNT
};

enum disk_cache { DISK_CACHE_WRITEBACK, DISK_CACHE_WRITETHROUGH, DISK_CACHE_UNSAFE, DISK_CACHE_COUNT };

static const char *const disk_cache_names[] = { "writeback", "writethrough", "unsafe", NULL };
static_assert(ARRAY_SIZE(disk_cache_names) == DISK_CACHE_COUNT + 1, "a name for each cache mode");

static const struct device_key disk_keys[] = {
    [DISK_RO] = { .name = "ro", .kind = DEVICE_KEY_FLAG, .help = "read-only" },
    [DISK_EPHEMERAL] = { .name = "ephemeral",
                         .kind = DEVICE_KEY_FLAG,
                         .help = "what is written vanishes with the VM; FILE is only read, and many may "
                                 "share it" },
    [DISK_DIRECT] = { .name = "direct",
                      .kind = DEVICE_KEY_FLAG,
                      .help = "past the host's page cache (O_DIRECT)" },
    [DISK_SERIAL] = { .name = "serial",
                      .kind = DEVICE_KEY_TEXT,
                      .minimum = 1,
                      .maximum = DISK_SERIAL_LENGTH,
                      .metavar = "TEXT",
                      .help = "shown in the guest as /dev/disk/by-id/virtio-TEXT" },
    [DISK_CACHE] = { .name = "cache",
                     .kind = DEVICE_KEY_CHOICE,
                     .choices = disk_cache_names,
                     .help = "when a write is safe: after the guest's flush (default), at once, never" },
    [DISK_QUEUES] = { .name = "queues",
                      .kind = DEVICE_KEY_NUMBER,
                      .minimum = 1,
                      .maximum = VIRTIO_BLK_MAX_QUEUES,
                      .metavar = "N",
                      .help = "virtqueues, 1 to 16 (default 1)" },
    [DISK_QUEUE_SIZE] = { .name = "queue-size",
                          .kind = DEVICE_KEY_NUMBER,
                          .minimum = 4,
                          .maximum = VIRTIO_BLK_MAX_QUEUE_SIZE,
                          .power_of_two = true,
                          .metavar = "N",
                          .help = "entries of each, a power of two, 4 to 1024 (default 256)" },
};
static_assert(ARRAY_SIZE(disk_keys) == DISK_KEY_COUNT && DISK_KEY_COUNT <= DEVICE_KEY_MAX,
              "a row for each key");

static int disk_check(const struct device_argument *argument, struct error *err)
{
    if (argument->keys[DISK_RO].given && argument->keys[DISK_EPHEMERAL].given)
        return error_set(
            err, -EINVAL,
            "--disk: what is 'ro' is never written, and 'ephemeral' forgets what was; leave one out");
    return 0;
}

static int disk_create(const struct device_argument *argument, const struct device_environment *environment,
                       struct virtio_device **ret_device, struct error *err)
{
    uint64_t cache =
        argument->keys[DISK_CACHE].given ? argument->keys[DISK_CACHE].number : DISK_CACHE_WRITEBACK;
    struct disk_options options = {
        .path = argument->value,
        .read_only = argument->keys[DISK_RO].given,
        .direct = argument->keys[DISK_DIRECT].given,
        .unsafe = cache == DISK_CACHE_UNSAFE,
        .ephemeral = argument->keys[DISK_EPHEMERAL].given,
    };
    struct virtio_blk_config config = {
        .name = environment->name,
        .serial = argument->keys[DISK_SERIAL].given ? argument->keys[DISK_SERIAL].text : environment->name,
        .queues = argument->keys[DISK_QUEUES].given ? (uint16_t)argument->keys[DISK_QUEUES].number : 1,
        .queue_size = argument->keys[DISK_QUEUE_SIZE].given ? (uint16_t)argument->keys[DISK_QUEUE_SIZE].number
                                                            : DISK_DEFAULT_QUEUE_SIZE,
        .writeback = cache != DISK_CACHE_WRITETHROUGH,
    };
    struct block_backend *backend;
    int result = environment->backends->ops->open_disk(environment->backends, &options, &backend, err);

    if (result < 0)
        return result;
    result = virtio_blk_create(&config, backend, environment->memory, ret_device);
    if (result < 0) {
        block_backend_destroy(backend);
        return error_set(err, result, "cannot make a disk of %s: %s", argument->value, strerror(-result));
    }
    return 0;
}

/* --- net --- */

#define NET_QUEUE_SIZE 256

enum net_key { NET_MAC, NET_MTU, NET_QUEUES, NET_HOSTFWD, NET_KEY_COUNT };

static const struct device_key net_values[] = {
    [NET_KIND_TAP] = { .name = "tap",
                       .kind = DEVICE_KEY_TEXT,
                       .metavar = "NAME",
                       .help = "a tap of the host, made by root with `ip tuntap add NAME mode tap user $USER "
                               "vnet_hdr` and put into a bridge or routed" },
    [NET_KIND_FD] = { .name = "fd",
                      .kind = DEVICE_KEY_TEXT,
                      .metavar = "N[:N...]",
                      .help = "a tap that whoever starts us has opened, with IFF_NO_PI and IFF_VNET_HDR; a "
                              "descriptor for each queue" },
    [NET_KIND_USER] = { .name = "user",
                        .kind = DEVICE_KEY_FLAG,
                        .help = "the host's own connections, by passt; needs no rights and no set-up" },
};
static_assert(ARRAY_SIZE(net_values) == NET_KIND_COUNT, "a row for each kind");

static const struct device_key net_keys[] = {
    [NET_MAC] = { .name = "mac",
                  .kind = DEVICE_KEY_TEXT,
                  .minimum = 1,
                  .maximum = 64,
                  .metavar = "ADDRESS",
                  .help =
                      "the guest's Ethernet address (default: 02: and five random bytes, new each time)" },
    [NET_MTU] = { .name = "mtu",
                  .kind = DEVICE_KEY_NUMBER,
                  .minimum = VIRTIO_NET_MIN_MTU,
                  .maximum = UINT16_MAX,
                  .metavar = "N",
                  .help = "longest packet, told to the guest and set on a tap (default: the tap's)" },
    [NET_QUEUES] = { .name = "queues",
                     .kind = DEVICE_KEY_NUMBER,
                     .minimum = 1,
                     .maximum = NET_MAX_QUEUE_PAIRS,
                     .metavar = "N",
                     .help = "tap: pairs of virtqueues, 1 to 8 (default 1); more than one want a tap made "
                             "with multi_queue" },
    [NET_HOSTFWD] = { .name = "hostfwd",
                      .kind = DEVICE_KEY_TEXT,
                      .minimum = 1,
                      .maximum = 64,
                      .repeatable = true,
                      .metavar = "[udp:][ADDRESS:]PORT:PORT",
                      .help = "user: a port of the host that leads to one of the guest, for this host alone "
                              "unless ADDRESS says otherwise (0.0.0.0: for all); may be given again" },
};
static_assert(ARRAY_SIZE(net_keys) == NET_KEY_COUNT && NET_KEY_COUNT <= DEVICE_KEY_MAX, "a row for each key");

/* What is known without opening anything; the pointers are the caller's. */
struct net_plan {
    struct net_options options;
    uint8_t mac[6];
    int fds[NET_MAX_QUEUE_PAIRS];
    struct net_forward forwards[DEVICE_REPEATED_MAX];
};

static int net_plan_make(const struct device_argument *argument, struct net_plan *ret_plan, struct error *err)
{
    struct net_options options = {
        .kind = (enum net_kind)argument->choice,
        .tap = argument->value,
        .fds = ret_plan->fds,
        .queue_pairs = argument->keys[NET_QUEUES].given ? (unsigned)argument->keys[NET_QUEUES].number : 1,
        .mtu = (uint16_t)argument->keys[NET_MTU].number,
        .forwards = ret_plan->forwards,
        .forward_count = argument->repeated_count,
    };
    int result = 0;

    if (options.kind != NET_KIND_TAP && argument->keys[NET_QUEUES].given)
        return error_set(err, -EINVAL, "--net: 'queues' is for tap=; %s",
                         options.kind == NET_KIND_FD ? "fd= has as many as descriptors" : "user has one");
    if (options.kind != NET_KIND_USER && argument->repeated_count)
        return error_set(err, -EINVAL,
                         "--net: 'hostfwd' is for user; a guest on a tap has an address of its own");
    if (argument->keys[NET_MAC].given)
        result = net_argument_mac(argument->keys[NET_MAC].text, ret_plan->mac, err);
    for (unsigned i = 0; i < argument->repeated_count && result == 0; i++)
        result = net_argument_forward(argument->repeated[i].text, &ret_plan->forwards[i], err);
    if (result == 0 && options.kind == NET_KIND_FD) {
        result = net_argument_fds(argument->value, ret_plan->fds, NET_MAX_QUEUE_PAIRS, err);
        options.queue_pairs = result < 0 ? 0 : (unsigned)result;
    }
    ret_plan->options = options;
    return result < 0 ? result : 0;
}

static int net_check(const struct device_argument *argument, struct error *err)
{
    struct net_plan plan;

    return net_plan_make(argument, &plan, err);
}

static int net_create(const struct device_argument *argument, const struct device_environment *environment,
                      struct virtio_device **ret_device, struct error *err)
{
    struct virtio_net_options options = { .name = environment->name, .queue_size = NET_QUEUE_SIZE };
    struct net_backend *backend;
    struct net_plan plan;
    int result = net_plan_make(argument, &plan, err);

    if (result < 0)
        return result;
    if (!argument->keys[NET_MAC].given) {
        result = net_argument_random_mac(plan.mac);
        if (result < 0)
            return error_set(err, result, "no random address for %s: %s", environment->name,
                             strerror(-result));
    }
    plan.options.name = environment->name;
    result = environment->backends->ops->open_net(environment->backends, &plan.options, &backend, err);
    if (result < 0) {
        error_prefix(err, "--net");
        return result;
    }
    memcpy(options.mac, plan.mac, sizeof(options.mac));
    options.mtu = plan.options.mtu;
    options.queue_pairs = (uint16_t)backend->info.queue_pairs;
    result = virtio_net_create(&options, backend, environment->memory, ret_device);
    if (result < 0) {
        net_backend_destroy(backend);
        return error_set(err, result, "cannot make a network device: %s", strerror(-result));
    }
    return 0;
}

/* --- rng --- */

static int rng_create(const struct device_argument *argument, const struct device_environment *environment,
                      struct virtio_device **ret_device, struct error *err)
{
    struct entropy_backend *backend;
    int result = environment->backends->ops->open_entropy(environment->backends, &backend, err);

    (void)argument;
    if (result < 0)
        return result;
    result = virtio_rng_create(environment->name, backend, environment->memory, ret_device);
    if (result < 0) {
        entropy_backend_destroy(backend);
        return error_set(err, result, "cannot make an entropy device: %s", strerror(-result));
    }
    return 0;
}

/* --- share, root: directories of the host --- */

static int directory_create(const char *option, const struct share_options *options,
                            const struct device_environment *environment, struct virtio_device **ret_device,
                            struct error *err)
{
    struct vhost_backend *backend;
    int result = environment->backends->ops->open_share(environment->backends, options, &backend, err);

    if (result < 0) {
        error_prefix(err, "--%s", option);
        return result;
    }
    result = virtio_fs_create(environment->name, backend, environment->memory, ret_device);
    if (result < 0) {
        vhost_backend_destroy(backend);
        return error_set(err, result, "--%s: cannot make a file system device of %s: %s", option,
                         options->directory, strerror(-result));
    }
    return 0;
}

static int share_check(const struct device_argument *argument, struct error *err)
{
    struct share_argument share;

    return share_argument_parse(argument->value, &share, err);
}

static int share_create(const struct device_argument *argument, const struct device_environment *environment,
                        struct virtio_device **ret_device, struct error *err)
{
    struct share_options options = { .name = environment->name };
    struct share_argument share;
    int result = share_argument_parse(argument->value, &share, err);

    if (result < 0)
        return result;
    options.directory = share.host_directory;
    options.read_only = share.read_only;
    return directory_create("share", &options, environment, ret_device, err);
}

static int root_create(const struct device_argument *argument, const struct device_environment *environment,
                       struct virtio_device **ret_device, struct error *err)
{
    struct share_options options = {
        .directory = argument->value, .read_only = true, .at_rest = true, .name = environment->name
    };

    return directory_create("root", &options, environment, ret_device, err);
}

/* --- the table --- */

static const struct device_type types[] = {
    {
        .name = "disk",
        .short_name = 'd',
        .metavar = "FILE",
        .help = "a disk from a raw image or a block device; the first is /dev/vda",
        .keys = disk_keys,
        .key_count = ARRAY_SIZE(disk_keys),
        .repeatable = true,
        .check = disk_check,
        .create = disk_create,
    },
    {
        .name = "net",
        .metavar = "WHERE",
        .help = "a network card; --net none, as without the option, means there is none",
        .values = net_values,
        .value_count = ARRAY_SIZE(net_values),
        .none = "none",
        .keys = net_keys,
        .key_count = ARRAY_SIZE(net_keys),
        .repeatable = true,
        .check = net_check,
        .create = net_create,
    },
    {
        .name = "rng",
        .help = "a source of random numbers",
        .create = rng_create,
    },
    {
        .name = "share",
        .metavar = "HOSTDIR[:GUESTDIR][:ro]",
        .help =
            "a directory of the host in the guest, by virtiofsd; `ringlet exec` has it at GUESTDIR, which it needs, with "
            "`ringlet run` the guest mounts the first one by: mount -t virtiofs share0 /mnt. With ro nothing "
            "can be changed. A colon in a name is written twice",
        .repeatable = true,
        .shares_memory = true,
        .check = share_check,
        .create = share_create,
    },
    {
        .name = "root",
        .metavar = "DIR",
        .help =
            "a directory of the host as the guest's root file system, read-only, by virtiofsd; for "
            "`ringlet exec` below a tmpfs that takes what is written. What the guest has read it keeps, whatever "
            "the host changes",
        .shares_memory = true,
        .create = root_create,
    },
};

const struct device_type *device_types(unsigned *ret_count)
{
    *ret_count = ARRAY_SIZE(types);
    return types;
}
