/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_net_options.c - --net: what it takes, what it asks the outside for, and the sentence for each mistake.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/devices/net_argument.h"
#include "options.h"
#include "ringlet/backend_provider.h"
#include "ringlet/error.h"
#include "ringlet/net_backend.h"
#include "ringlet/util.h"

#define WORDS_MAX 16

static int parse(const char *const *words, struct run_options *ret_options, struct error *err)
{
    char *argv[WORDS_MAX + 4] = { (char[]){ "run" }, (char[]){ "-k" }, (char[]){ "x" } };
    int count = 3;

    while (*words) {
        assert_true(count < WORDS_MAX);
        argv[count++] = (char *)(uintptr_t)*words++;
    }
    *err = (struct error){ 0 };
    return run_options_parse(COMMAND_RUN, count, argv, ret_options, err);
}

static struct run_options accept_words(const char *const *words)
{
    struct run_options options;
    struct error err;

    if (parse(words, &options, &err) != 0)
        fail_msg("refused: %s", err.text);
    return options;
}

static void refuse(const char *sentence, const char *net)
{
    struct run_options options;
    struct error err;

    assert_int_equal(parse((const char *const[]){ "--net", net, NULL }, &options, &err), -EINVAL);
    assert_string_equal(err.text, sentence);
    run_options_finish(&options);
}

#define accept(...) accept_words((const char *const[]){ __VA_ARGS__, NULL })

/* --- what the outside is asked for --- */

/* A provider that has no network, and remembers what it was asked for. */
struct asked {
    struct backend_provider provider;
    struct net_options options;
    char tap[32];
    int fds[NET_MAX_QUEUE_PAIRS];
    struct net_forward forwards[4];
    unsigned times;
};

static int open_net(const struct backend_provider *provider, const struct net_options *options,
                    struct net_backend **ret_backend, struct error *err)
{
    struct asked *asked = container_of(provider, struct asked, provider);

    (void)ret_backend;
    asked->times++;
    asked->options = *options;
    if (options->tap)
        snprintf(asked->tap, sizeof(asked->tap), "%s", options->tap);
    if (options->kind == NET_KIND_FD)
        memcpy(asked->fds, options->fds, options->queue_pairs * sizeof(asked->fds[0]));
    assert_true(options->forward_count <= ARRAY_SIZE(asked->forwards));
    memcpy(asked->forwards, options->forwards, options->forward_count * sizeof(asked->forwards[0]));
    return error_set(err, -ENODEV, "there is none");
}

static const struct backend_provider_ops provider_ops = { .open_net = open_net };

static struct asked ask(const char *net)
{
    struct asked asked = { .provider.ops = &provider_ops };
    struct run_options options = accept("--net", net);
    struct device_environment environment = { .name = "net0", .backends = &asked.provider };
    const struct device_request *request = &options.devices[0];
    struct virtio_device *device;
    struct error err = { 0 };

    assert_int_equal(options.device_count, 1);
    assert_string_equal(request->name, "net0");
    assert_int_equal(request->type->create(&request->argument, &environment, &device, &err), -ENODEV);
    assert_string_equal(err.text, "--net: there is none");
    assert_int_equal(asked.times, 1);
    assert_string_equal(asked.options.name, "net0");
    run_options_finish(&options);
    return asked;
}

static void test_net_tap_asks_for_an_interface(void **state)
{
    struct asked asked = ask("tap=tap0");

    (void)state;
    assert_int_equal(asked.options.kind, NET_KIND_TAP);
    assert_string_equal(asked.tap, "tap0");
    assert_int_equal(asked.options.queue_pairs, 1);
    assert_int_equal(asked.options.mtu, 0);
    assert_int_equal(asked.options.forward_count, 0);
    asked = ask("tap=my,,tap,queues=4,mtu=9000,mac=52:54:00:12:34:56");
    assert_string_equal(asked.tap, "my,tap");
    assert_int_equal(asked.options.queue_pairs, 4);
    assert_int_equal(asked.options.mtu, 9000);
}

static void test_net_fd_asks_for_descriptors(void **state)
{
    struct asked asked = ask("fd=5");

    (void)state;
    assert_int_equal(asked.options.kind, NET_KIND_FD);
    assert_int_equal(asked.options.queue_pairs, 1);
    assert_int_equal(asked.fds[0], 5);
    asked = ask("fd=3:4:5:6:7:8:9:10,mtu=1400");
    assert_int_equal(asked.options.queue_pairs, 8);
    assert_int_equal(asked.fds[0], 3);
    assert_int_equal(asked.fds[7], 10);
    assert_int_equal(asked.options.mtu, 1400);
}

static void test_net_user_asks_for_ports_in_their_order(void **state)
{
    struct asked asked = ask("user");

    (void)state;
    assert_int_equal(asked.options.kind, NET_KIND_USER);
    assert_int_equal(asked.options.queue_pairs, 1);
    assert_int_equal(asked.options.forward_count, 0);
    asked = ask("user,hostfwd=2222:22,mtu=1500,hostfwd=udp:192.0.2.1:53:5353,hostfwd=tcp:0.0.0.0:65535:1");
    assert_int_equal(asked.options.forward_count, 3);
    assert_false(asked.forwards[0].udp);
    assert_string_equal(asked.forwards[0].address, "127.0.0.1");
    assert_int_equal(asked.forwards[0].host_port, 2222);
    assert_int_equal(asked.forwards[0].guest_port, 22);
    assert_true(asked.forwards[1].udp);
    assert_string_equal(asked.forwards[1].address, "192.0.2.1");
    assert_int_equal(asked.forwards[1].host_port, 53);
    assert_int_equal(asked.forwards[1].guest_port, 5353);
    assert_false(asked.forwards[2].udp);
    assert_string_equal(asked.forwards[2].address, "0.0.0.0");
    assert_int_equal(asked.forwards[2].host_port, 65535);
    assert_int_equal(asked.forwards[2].guest_port, 1);
}

static void test_net_none_is_no_device(void **state)
{
    struct run_options options = accept("--net", "none");

    (void)state;
    assert_int_equal(options.device_count, 0);
    run_options_finish(&options);
    options = accept("--net", "none", "--net", "user", "--net=tap=tap0", "--net", "none");
    assert_int_equal(options.device_count, 2);
    assert_string_equal(options.devices[0].name, "net0");
    assert_string_equal(options.devices[1].name, "net1");
    run_options_finish(&options);
}

/* --- mistakes --- */

static void test_net_is_one_of_four_things(void **state)
{
    static const char *const others[] = { "bridge", "bridge=br0", "None", "none,mtu=1500", "tap0" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        char sentence[128];

        snprintf(sentence, sizeof(sentence), "--net takes tap=NAME, fd=N[:N...], user or none, not '%.*s'",
                 (int)strcspn(others[i], "=,"), others[i]);
        refuse(sentence, others[i]);
    }
    refuse("--net tap needs a NAME: --net tap=NAME", "tap");
    refuse("--net tap needs a NAME: --net tap=NAME", "tap=,mtu=1500");
    refuse("--net fd needs a N[:N...]: --net fd=N[:N...]", "fd=");
    refuse("--net user takes no '=me'", "user=me");
    refuse("--net needs a WHERE before the first comma", "");
}

static void test_net_keys_belong_to_their_kind(void **state)
{
    (void)state;
    refuse("--net: 'queues' is for tap=; user has one", "user,queues=2");
    refuse("--net: 'queues' is for tap=; fd= has as many as descriptors", "fd=3,queues=2");
    refuse("--net: 'hostfwd' is for user; a guest on a tap has an address of its own",
           "tap=tap0,hostfwd=2222:22");
    refuse("--net: 'mac' is given twice", "user,mac=52:54:00:12:34:56,mac=52:54:00:12:34:56");
    refuse("--net: 'queues' takes a number from 1 to 8", "tap=tap0,queues=9");
    refuse("--net: 'mtu' takes a number from 68 to 65535", "tap=tap0,mtu=67");
    refuse("--net: 'mtu' takes a number from 68 to 65535", "tap=tap0,mtu=65536");
}

static void test_net_descriptors_are_numbers_above_two(void **state)
{
    static const char *const wrong[] = { "2",  "3:",  ":3",          "3::4",      "x",
                                         "-1", "3:x", "99999999999", "2147483648" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        char net[64], sentence[128];

        snprintf(net, sizeof(net), "fd=%s", wrong[i]);
        snprintf(sentence, sizeof(sentence),
                 "--net: 'fd' takes descriptors above 2, colons between them, not '%s'", wrong[i]);
        refuse(sentence, net);
    }
    refuse("--net: 'fd' takes 8 descriptors at most", "fd=3:4:5:6:7:8:9:10:11");
}

static void test_net_ports_are_two_from_1_to_65535(void **state)
{
    static const char *const wrong[] = { "22",       ":22",          "22:",       "0:22",     "22:0",
                                         "65536:22", "22:65536",     "a:22",      "1:2:3",    "udp:",
                                         "udp:22",   "sctp:1:2",     "127.0.0.1", "1.2.3.4:", "1.2.3.4:5",
                                         "-1:22",    "1.2.3.4:5:6:7" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        char net[64], sentence[256];

        snprintf(net, sizeof(net), "user,hostfwd=%s", wrong[i]);
        snprintf(sentence, sizeof(sentence),
                 "--net: 'hostfwd' takes [udp:][ADDRESS:]PORT:PORT, the host's and the guest's port, "
                 "from 1 to 65535, not '%s'",
                 wrong[i]);
        refuse(sentence, net);
    }
    refuse("--net: 'hostfwd': '1.2.3' is no IPv4 address", "user,hostfwd=1.2.3:5:6");
    refuse("--net: 'hostfwd': '1.2.3.256' is no IPv4 address", "user,hostfwd=1.2.3.256:5:6");
    refuse("--net: 'hostfwd': 'a.name.longer.than.any.address' is no IPv4 address",
           "user,hostfwd=a.name.longer.than.any.address:5:6");
}

static void test_net_ports_are_given_64_times_at_most(void **state)
{
    char net[2048] = "user";

    (void)state;
    for (unsigned i = 0; i < DEVICE_REPEATED_MAX; i++) {
        size_t length = strlen(net);

        snprintf(net + length, sizeof(net) - length, ",hostfwd=%u:22", 1000 + i);
    }
    struct run_options options = accept("--net", net);
    assert_int_equal(options.devices[0].argument.repeated_count, DEVICE_REPEATED_MAX);
    run_options_finish(&options);
    strcat(net, ",hostfwd=1:2");
    refuse("--net: 'hostfwd' is given more than 64 times", net);
}

static void test_net_mac_is_a_unicast_address(void **state)
{
    static const char *const wrong[] = { "52:54:00:12:34",       "52:54:00:12:34:5",
                                         "52:54:00:12:34:567",   "525400123456",
                                         "52-54-00-12-34-56",    "52:54:00:12:34:5g",
                                         "g2:54:00:12:34:56",    "x",
                                         "52:54:00:12:34:56:78", "52:54:00:12:345:6" };
    static const uint8_t expected[6] = { 0x52, 0x54, 0x00, 0xab, 0xCD, 0xef };
    struct error err = { 0 };
    uint8_t mac[6] = { 0 };

    (void)state;
    assert_int_equal(net_argument_mac("52:54:00:ab:CD:eF", mac, &err), 0);
    assert_memory_equal(mac, expected, sizeof(mac));
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        char net[64], sentence[128];

        snprintf(net, sizeof(net), "user,mac=%s", wrong[i]);
        snprintf(sentence, sizeof(sentence),
                 "--net: 'mac' takes an address such as 52:54:00:12:34:56, not '%s'", wrong[i]);
        refuse(sentence, net);
    }
    refuse("--net: 'mac' takes a text of 1 to 64 characters", "user,mac=");
    refuse(
        "--net: 01:00:5e:00:00:01 is a multicast address, which no device can have: the first byte is even",
        "user,mac=01:00:5e:00:00:01");
    refuse("--net: 00:00:00:00:00:00 is nobody's address", "user,mac=00:00:00:00:00:00");
}

static void test_net_random_macs_are_local_unicast_and_not_the_same(void **state)
{
    uint8_t one[6], other[6];

    (void)state;
    assert_int_equal(net_argument_random_mac(one), 0);
    assert_int_equal(net_argument_random_mac(other), 0);
    assert_int_equal(one[0], 0x02);
    assert_int_equal(other[0], 0x02);
    assert_memory_not_equal(one, other, sizeof(one));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_net_tap_asks_for_an_interface),
        cmocka_unit_test(test_net_fd_asks_for_descriptors),
        cmocka_unit_test(test_net_user_asks_for_ports_in_their_order),
        cmocka_unit_test(test_net_none_is_no_device),
        cmocka_unit_test(test_net_is_one_of_four_things),
        cmocka_unit_test(test_net_keys_belong_to_their_kind),
        cmocka_unit_test(test_net_descriptors_are_numbers_above_two),
        cmocka_unit_test(test_net_ports_are_two_from_1_to_65535),
        cmocka_unit_test(test_net_ports_are_given_64_times_at_most),
        cmocka_unit_test(test_net_mac_is_a_unicast_address),
        cmocka_unit_test(test_net_random_macs_are_local_unicast_and_not_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
