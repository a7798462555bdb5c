/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_net_tap_open.c - which taps are taken, by name and by descriptor, and the sentence for each that is
 * not; in a network namespace of the test's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "net_player.h"
#include "ringlet/error.h"
#include "ringlet/net_tap.h"
#include "ringlet/util.h"
#include "tap_host.h"

#define TAP     "tap-test"
#define OTHER   "tap-other"
#define PLAIN   (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)
#define NOT_FD  900
#define SOMEONE 4242 /* a user, neither root nor anybody else */

static struct net_backend *open_tap(struct net_player *player, const struct net_tap_options *options)
{
    struct net_backend *backend;
    struct error err = { 0 };

    if (net_tap_open(player->loop, options, &backend, &err) != 0)
        fail_msg("%s", err.text);
    assert_string_equal(err.text, "");
    return backend;
}

static void refuse(struct net_player *player, const struct net_tap_options *options, int code,
                   const char *sentence)
{
    struct net_backend *backend = NULL;
    struct error err = { 0 };

    assert_int_equal(net_tap_open(player->loop, options, &backend, &err), code);
    assert_string_equal(err.text, sentence);
    assert_null(backend);
}

static void refuse_name(struct net_player *player, const char *name, unsigned queue_pairs, int code,
                        const char *sentence)
{
    struct net_tap_options options = { .name = name, .queue_pairs = queue_pairs };

    refuse(player, &options, code, sentence);
}

/* --- by name --- */

static void test_tap_that_does_not_exist_is_not_made(void **state)
{
    refuse_name(*state, "tap-none", 1, -ENODEV,
                "there is no interface tap-none: `ip tuntap add tap-none mode tap user $USER vnet_hdr && "
                "ip link set tap-none up` makes it, as root");
    refuse_name(*state, "tap-none", 2, -ENODEV,
                "there is no interface tap-none: `ip tuntap add tap-none mode tap user $USER vnet_hdr "
                "multi_queue && ip link set tap-none up` makes it, as root");
}

static void test_tap_names_have_the_length_of_interface_names(void **state)
{
    refuse_name(*state, "", 1, -EINVAL, "'' is no interface's name: it has 1 to 15 characters");
    refuse_name(*state, "a-name-too-long!", 1, -EINVAL,
                "'a-name-too-long!' is no interface's name: it has 1 to 15 characters");
}

static void test_tap_that_is_another_kind_of_interface_is_refused(void **state)
{
    refuse_name(*state, "lo", 1, -EINVAL,
                "lo is no tap: `ip tuntap add NAME mode tap user $USER vnet_hdr` makes one");
    tap_host_make(OTHER, IFF_TUN);
    refuse_name(*state, OTHER, 2, -EINVAL,
                "tap-other is no tap: `ip tuntap add NAME mode tap user $USER vnet_hdr` makes one");
    tap_host_delete(OTHER);
}

static void test_tap_that_another_has_open_is_busy(void **state)
{
    int fd;

    tap_host_make(TAP, 0);
    fd = tap_host_open(TAP, PLAIN);
    refuse_name(*state, TAP, 1, -EBUSY,
                "tap-test is in use: a tap serves one VM at a time, so make another for this one");
    close(fd);
    tap_host_delete(TAP);
}

static void test_tap_that_is_down_is_refused(void **state)
{
    tap_host_make(TAP, 0);
    tap_host_set_up(TAP, false);
    refuse_name(*state, TAP, 1, -ENETDOWN, "tap-test is down: `ip link set tap-test up`, as root");
    tap_host_delete(TAP);
}

static void test_tap_for_one_queue_does_not_give_two(void **state)
{
    tap_host_make(TAP, 0);
    refuse_name(*state, TAP, 2, -EINVAL,
                "tap-test was made for one queue: leave out queues=2, or make it anew with "
                "`ip tuntap add tap-test mode tap user $USER vnet_hdr multi_queue`");
    refuse_name(*state, TAP, 0, -EINVAL, "a network device has 1 to 8 queues");
    refuse_name(*state, TAP, 9, -EINVAL, "a network device has 1 to 8 queues");
    tap_host_delete(TAP);
}

static void test_tap_for_many_queues_gives_one_or_all(void **state)
{
    struct net_tap_options options = { .name = TAP, .queue_pairs = 1 };
    struct net_backend *backend;

    tap_host_make(TAP, IFF_MULTI_QUEUE);
    backend = open_tap(*state, &options);
    assert_int_equal(backend->info.queue_pairs, 1);
    net_backend_destroy(backend);
    options.queue_pairs = NET_MAX_QUEUE_PAIRS;
    backend = open_tap(*state, &options);
    assert_int_equal(backend->info.queue_pairs, NET_MAX_QUEUE_PAIRS);
    net_backend_destroy(backend);
    tap_host_delete(TAP);
}

static void test_tap_of_another_user_is_refused_with_the_mend(void **state)
{
    struct net_player *player = *state;
    struct net_tap_options options = { .name = TAP, .queue_pairs = 1 };
    int ends[2], status, fd;
    struct error err = { 0 };
    pid_t child;

    tap_host_make(TAP, 0);
    fd = tap_host_open(TAP, PLAIN);
    assert_int_equal(ioctl(fd, TUNSETOWNER, SOMEONE + 1), 0);
    close(fd);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct net_backend *backend;

        /* In a user namespace of one's own there may be nobody else to become. */
        if (setgid(SOMEONE) < 0 || setuid(SOMEONE) < 0)
            _exit(77);
        net_tap_open(player->loop, &options, &backend, &err);
        _exit(write(ends[1], err.text, sizeof(err.text)) == sizeof(err.text) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    close(ends[1]);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        assert_int_equal(read(ends[0], err.text, sizeof(err.text)), sizeof(err.text));
        /* The first where distributions leave the device to everybody, the second where root keeps it. */
        if (strncmp(err.text, "no permission to open", 21) != 0)
            assert_string_equal(err.text,
                                "no permission to use tap-test: it was made for another user; "
                                "`ip tuntap add NAME mode tap user $USER vnet_hdr` makes one for you");
        else
            assert_string_equal(err.text,
                                "no permission to open /dev/net/tun: `chmod 0666 /dev/net/tun` as root "
                                "(it is how distributions ship it), or use --net user");
    } else {
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 77);
    }
    close(ends[0]);
    tap_host_delete(TAP);
}

static void test_tap_mtu_is_taken_over_or_set(void **state)
{
    struct net_tap_options options = { .name = TAP, .queue_pairs = 1 };
    struct net_backend *backend;

    tap_host_make(TAP, 0);
    options.mtu = 9000;
    backend = open_tap(*state, &options);
    assert_int_equal(backend->info.mtu, 9000);
    assert_int_equal(tap_host_mtu(TAP), 9000);
    net_backend_destroy(backend);
    options.mtu = 0;
    backend = open_tap(*state, &options);
    assert_int_equal(backend->info.mtu, 9000);
    net_backend_destroy(backend);
    options.mtu = 67;
    refuse(*state, &options, -EINVAL, "tap-test takes no MTU of 67: Invalid argument");
    tap_host_delete(TAP);
}

/* --- by descriptor --- */

static void refuse_fds(struct net_player *player, const int *fds, unsigned count, int code,
                       const char *format)
{
    struct net_tap_options options = { .fds = fds, .queue_pairs = count };
    char sentence[160];

    /* "%d": the last descriptor, which is the one at fault */
    snprintf(sentence, sizeof(sentence), "descriptor %d %s", fds[count - 1], format);
    refuse(player, &options, code, sentence);
    for (unsigned i = 0; i < count; i++) {
        if (fds[i] != NOT_FD)
            assert_true(fcntl(fds[i], F_GETFD) >= 0); /* still the caller's */
    }
}

static void test_tap_descriptors_that_are_no_taps_are_refused(void **state)
{
    int ends[2], fds[2] = { NOT_FD };

    refuse_fds(*state, fds, 1, -EBADF, "is not open");
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    refuse_fds(*state, ends, 1, -ENOTTY, "is not a tap's, or its interface is gone");
    close(ends[0]);
    close(ends[1]);
    fds[0] = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    refuse_fds(*state, fds, 1, -ENOTTY, "is not a tap's, or its interface is gone");
    close(fds[0]);
}

static void test_tap_descriptors_opened_in_another_way_are_refused(void **state)
{
    static const struct {
        unsigned flags;
        const char *sentence;
    } cases[] = {
        { IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, "is a tun's; a tap is needed (IFF_TAP)" },
        { IFF_TAP | IFF_VNET_HDR, "was opened without IFF_NO_PI" },
        { IFF_TAP | IFF_NO_PI, "was opened without IFF_VNET_HDR" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int fd = tap_host_open(OTHER, cases[i].flags);

        refuse_fds(*state, &fd, 1, -EINVAL, cases[i].sentence);
        close(fd);
    }
}

static void test_tap_descriptors_for_queues_are_all_of_one_tap(void **state)
{
    struct net_tap_options options = { .queue_pairs = 2 };
    int fds[2] = { tap_host_open(TAP, PLAIN), tap_host_open(OTHER, PLAIN) };
    char sentence[128];

    refuse_fds(*state, (int[]){ fds[0], fds[0] }, 2, -EINVAL, "was opened without IFF_MULTI_QUEUE");
    close(fds[0]);
    close(fds[1]);
    fds[0] = tap_host_open(TAP, PLAIN | IFF_MULTI_QUEUE);
    fds[1] = tap_host_open(OTHER, PLAIN | IFF_MULTI_QUEUE);
    refuse_fds(*state, (int[]){ fds[0], fds[0] }, 2, -EINVAL, "is given twice");
    options.fds = fds;
    snprintf(sentence, sizeof(sentence), "descriptors %d and %d are of two taps: tap-test and tap-other",
             fds[0], fds[1]);
    refuse(*state, &options, -EINVAL, sentence);
    close(fds[0]);
    close(fds[1]);
}

static void test_tap_descriptor_is_taken_and_closed_in_the_end(void **state)
{
    struct net_player *player = *state;
    struct net_play *play = net_plays(player, 1);
    struct net_tap_options options = { .queue_pairs = 1 };
    unsigned char frame[60];
    int fd, wire;

    tap_host_make(TAP, 0);
    fd = tap_host_open(TAP, PLAIN);
    options.fds = &fd;
    net_player_attach(player, open_tap(player, &options));
    assert_int_equal(player->backend->info.mtu, 1500);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    wire = tap_host_wire(TAP);
    net_play_receive(play, 0, 100);
    net_frame_make(frame, 1, sizeof(frame));
    tap_host_send(wire, frame, sizeof(frame));
    net_player_run(player, 1);
    net_play_check(play, 1, sizeof(frame));
    close(wire);
    net_backend_destroy(player->backend);
    player->backend = NULL;
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    tap_host_delete(TAP);
    free(play);
}

static void test_tap_descriptors_for_two_queues_are_taken(void **state)
{
    struct net_tap_options options = { .queue_pairs = 2 };
    int fds[2] = { tap_host_open(TAP, PLAIN | IFF_MULTI_QUEUE), tap_host_open(TAP, PLAIN | IFF_MULTI_QUEUE) };
    struct net_backend *backend;

    options.fds = fds;
    backend = open_tap(*state, &options);
    assert_int_equal(backend->info.queue_pairs, 2);
    net_backend_destroy(backend);
    assert_int_equal(fcntl(fds[0], F_GETFD), -1);
    assert_int_equal(fcntl(fds[1], F_GETFD), -1);
}

#define ON_IO_URING(test)                                                                                    \
    {                                                                                                        \
#test, test, net_set_up_io_uring, net_tear_down, NULL                                                \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_IO_URING(test_tap_that_does_not_exist_is_not_made),
        ON_IO_URING(test_tap_names_have_the_length_of_interface_names),
        ON_IO_URING(test_tap_that_is_another_kind_of_interface_is_refused),
        ON_IO_URING(test_tap_that_another_has_open_is_busy),
        ON_IO_URING(test_tap_that_is_down_is_refused),
        ON_IO_URING(test_tap_for_one_queue_does_not_give_two),
        ON_IO_URING(test_tap_for_many_queues_gives_one_or_all),
        ON_IO_URING(test_tap_of_another_user_is_refused_with_the_mend),
        ON_IO_URING(test_tap_mtu_is_taken_over_or_set),
        ON_IO_URING(test_tap_descriptors_that_are_no_taps_are_refused),
        ON_IO_URING(test_tap_descriptors_opened_in_another_way_are_refused),
        ON_IO_URING(test_tap_descriptors_for_queues_are_all_of_one_tap),
        ON_IO_URING(test_tap_descriptor_is_taken_and_closed_in_the_end),
        ON_IO_URING(test_tap_descriptors_for_two_queues_are_taken),
    };

    return tap_host_enter() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
