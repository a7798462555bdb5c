/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_net_passt.c - passt as a child: what it is given, what is said when it does not start, how both ends
 * end. Mostly with shell scripts in its place; with the real one where it is installed.
 */
#include "ringlet/net_passt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "net_player.h"
#include "ringlet/backend_provider.h"
#include "ringlet/error.h"
#include "ringlet/util.h"

#define GREETING     "head -c 1504 <&3 >/dev/null\n" /* fetch it, as passt does */
#define OTHER_FD     77
#define TEXT_SIZE    1024
#define DHCP_OFFER   2
#define BOOTP_LENGTH 244

/* A program in place of passt. The folder is the test's own; both paths are to be removed. */
struct script {
    char folder[32];
    char path[64], output[64];
};

static struct script write_script(const char *body)
{
    struct script script = { .folder = "/tmp/ringlet-passt-XXXXXX" };
    FILE *file;

    assert_non_null(mkdtemp(script.folder));
    snprintf(script.path, sizeof(script.path), "%s/passt", script.folder);
    snprintf(script.output, sizeof(script.output), "%s/output", script.folder);
    file = fopen(script.path, "we");
    assert_non_null(file);
    fprintf(file, "#!/bin/sh\nout=%s\n%s", script.output, body);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(script.path, 0700), 0);
    return script;
}

static void remove_script(const struct script *script)
{
    unlink(script->path);
    unlink(script->output);
    assert_int_equal(rmdir(script->folder), 0);
}

static void read_output(const struct script *script, char *text)
{
    FILE *file = fopen(script->output, "re");
    size_t length;

    assert_non_null(file);
    length = fread(text, 1, TEXT_SIZE - 1, file);
    text[length] = '\0';
    fclose(file);
}

static void assert_no_child(void)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void open_script(struct net_player *player, const struct net_passt_options *options)
{
    struct net_backend *backend;
    struct error err = { 0 };

    if (net_passt_open(player->loop, options, &backend, &err) != 0)
        fail_msg("%s", err.text);
    net_player_attach(player, backend);
}

/* It does not start, and this is why. */
static void refuse(struct net_player *player, const struct net_passt_options *options, int code,
                   const char *sentence)
{
    struct net_backend *backend = NULL;
    struct error err = { 0 };

    assert_int_equal(net_passt_open(player->loop, options, &backend, &err), code);
    assert_string_equal(err.text, sentence);
    assert_null(backend);
    assert_no_child();
}

/* --- starting --- */

static void test_passt_that_is_not_installed_is_told_with_the_mend(void **state)
{
    struct net_passt_options options = { .program = "/nonexistent/passt" };

    refuse(*state, &options, -ENOENT, "/nonexistent/passt is not installed: `apt install passt`");
}

static void test_passt_that_cannot_be_run_is_told(void **state)
{
    struct net_passt_options options = { .program = "/" };

    refuse(*state, &options, -EACCES, "cannot start /: Permission denied");
}

static void test_passt_that_ends_at_once_has_the_last_word(void **state)
{
    struct script script = write_script("echo first >&2\necho 'no way out' >&2\n"
                                        "echo 'Failed to send 9 bytes to syslog' >&2\nexit 1\n");
    struct net_passt_options options = { .program = script.path };

    refuse(*state, &options, -ECHILD, "passt does not start: no way out");
    remove_script(&script);
}

/* As when a person sends a signal: test_vm_end.c. */
static void test_wait_for_passt_can_be_ended(void **state)
{
    struct script script = write_script("exec sleep 1000\n");
    struct net_passt_options options = { .program = script.path };
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    options.interrupt_fd = ends[0];
    close(ends[1]);
    refuse(*state, &options, -EINTR, "passt did not serve yet when the wait for it was ended");
    close(ends[0]);
    remove_script(&script);
}

static void test_passt_that_ends_without_a_word_has_its_status_told(void **state)
{
    struct script silent = write_script("exit 3\n"), killed = write_script("kill -KILL $$\n");
    struct net_passt_options options = { .program = silent.path };

    refuse(*state, &options, -ECHILD, "passt does not start (status 3)");
    options.program = killed.path;
    refuse(*state, &options, -ECHILD, "passt does not start (signal 9)");
    remove_script(&silent);
    remove_script(&killed);
}

static void test_passt_that_says_very_much_before_it_ends_has_the_last_word(void **state)
{
    struct script script =
        write_script("i=0\nwhile [ $i -lt 500 ]; do echo words words words; i=$((i+1)); done >&2\n"
                     "echo enough >&2\nexit 1\n");
    struct net_passt_options options = { .program = script.path };

    refuse(*state, &options, -ECHILD, "passt does not start: enough");
    remove_script(&script);
}

/* It may be under a guest's spell; and what it says comes to a terminal. */
static void test_passt_says_nothing_to_a_terminal(void **state)
{
    struct script script = write_script("printf 'red \\033[31malert\\177\\r\\n' >&2\nexit 1\n");
    struct net_passt_options options = { .program = script.path };

    refuse(*state, &options, -ECHILD, "passt does not start: red ?[31malert??");
    remove_script(&script);
}

/* Whichever side runs out of them first. */
static void test_passt_that_finds_no_descriptor_free_is_told_so(void **state)
{
    struct net_player *player = *state;
    struct script script = write_script(GREETING "cat <&3\n");
    struct net_passt_options options = { .program = script.path };
    struct rlimit before, tight;
    int result = -EMFILE, next_free = dup(STDIN_FILENO);
    unsigned failed = 0;

    close(next_free);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    tight = before;
    for (tight.rlim_cur = (rlim_t)next_free; result < 0; tight.rlim_cur++) {
        struct net_backend *backend;
        struct error err = { 0 };

        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
        result = net_passt_open(player->loop, &options, &backend, &err);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        if (result == 0) {
            backend->ops->destroy(backend);
        } else {
            assert_int_equal(result, -EMFILE);
            assert_non_null(strstr(err.text, ": Too many open files"));
            failed++;
        }
        assert_no_child();
    }
    assert_true(failed > 6);
    remove_script(&script);
}

/* Somebody's job control is not for it: it would end where we, who may ignore the signal, go on. */
static void test_passt_hears_no_signal_that_a_terminal_sends_us(void **state)
{
    struct net_player *player = *state;
    struct script script =
        write_script("read -r pid name state parent group session rest </proc/$$/stat\n"
                     "[ $group = $$ ] && [ $session = $$ ] && echo alone >$out\n" GREETING "cat <&3\n");
    struct net_passt_options options = { .program = script.path };
    char text[TEXT_SIZE];

    open_script(player, &options);
    read_output(&script, text);
    assert_string_equal(text, "alone\n");
    remove_script(&script);
}

/* As whoever started us may have left it: children are then gone without anybody waiting for them. */
static void test_passt_starts_and_ends_where_sigchld_is_ignored(void **state)
{
    struct net_player *player = *state;
    struct script script = write_script(GREETING "exec cat <&3\n");
    struct net_passt_options options = { .program = script.path };

    signal(SIGCHLD, SIG_IGN);
    open_script(player, &options);
    net_tear_down(state);
    signal(SIGCHLD, SIG_DFL);
    net_set_up_io_uring(state);
    assert_no_child();
    remove_script(&script);
}

static void test_passt_is_told_ports_and_mtu_and_gets_what_it_needs_and_no_more(void **state)
{
    static const struct net_forward forwards[] = {
        { .address = "127.0.0.1", .host_port = 48123, .guest_port = 22 },
        { .udp = true, .address = "127.0.0.1", .host_port = 48124, .guest_port = 53 },
        { .address = "0.0.0.0", .host_port = 48125, .guest_port = 80 },
    };
    struct net_player *player = *state;
    struct script script = write_script("links=$(readlink /proc/$$/fd/0 /proc/$$/fd/1)\n"
                                        "{ echo \"$*\"\n"
                                        "for i in 0 1 2 3 4 5 77; do [ -e /proc/$$/fd/$i ] && echo $i; done\n"
                                        "echo \"$links\"\n"
                                        "while read -r name mask; do\n"
                                        "case $name in SigBlk:|SigIgn:) echo $name $mask; esac\n"
                                        "done </proc/self/status; } >$out\n" GREETING "cat <&3\n");
    struct net_passt_options options = {
        .program = script.path, .forwards = forwards, .forward_count = 3, .mtu = 9000
    };
    char text[TEXT_SIZE];
    sigset_t blocked;

    assert_int_equal(dup2(1, OTHER_FD), OTHER_FD);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
    open_script(player, &options);
    pthread_sigmask(SIG_UNBLOCK, &blocked, NULL);
    close(OTHER_FD);
    assert_int_equal(player->backend->info.mtu, 9000);
    read_output(&script, text);
    assert_string_equal(text, "--foreground --quiet --fd 3 --mtu 9000 -t 127.0.0.1/48123:22 "
                              "-t 0.0.0.0/48125:80 -u 127.0.0.1/48124:53\n"
                              "0\n1\n2\n3\n/dev/null\n/dev/null\n"
                              "SigBlk: 0000000000000000\nSigIgn: 0000000000000000\n");
    net_tear_down(state);
    net_set_up_io_uring(state);
    assert_no_child();
    remove_script(&script);
}

static void test_passt_without_ports_is_told_so(void **state)
{
    struct net_player *player = *state;
    struct script script = write_script("echo \"$*\" >$out\n" GREETING "cat <&3\n");
    struct net_passt_options options = { .program = script.path };
    char text[TEXT_SIZE];

    open_script(player, &options);
    read_output(&script, text);
    assert_string_equal(text, "--foreground --quiet --fd 3 -t none -u none\n");
    remove_script(&script);
}

static void check_taken_port(struct net_player *player, int type, bool udp, const char *format)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct net_forward forward = { .udp = udp, .address = "127.0.0.1", .guest_port = 22 };
    struct net_passt_options options = { .program = "/", .forwards = &forward, .forward_count = 1 };
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    char sentence[128];

    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    if (!udp)
        assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    forward.host_port = ntohs(address.sin_port);
    snprintf(sentence, sizeof(sentence), "hostfwd: %s port %u of 127.0.0.1 is in use: take another", format,
             forward.host_port);
    refuse(player, &options, -EADDRINUSE, sentence);
    close(fd);
}

static void test_passt_is_not_started_for_a_port_that_is_taken(void **state)
{
    check_taken_port(*state, SOCK_STREAM, false, "TCP");
    check_taken_port(*state, SOCK_DGRAM, true, "UDP");
}

static void test_passt_is_not_started_for_an_address_of_another_host(void **state)
{
    struct net_forward forward = { .address = "198.51.100.1", .host_port = 48200, .guest_port = 22 };
    struct net_passt_options options = { .program = "/", .forwards = &forward, .forward_count = 1 };

    refuse(*state, &options, -EADDRNOTAVAIL, "hostfwd: 198.51.100.1 is no address of this host");
    memcpy(forward.address, "far away", 9);
    refuse(*state, &options, -EINVAL, "hostfwd: 'far away' is no IPv4 address");
}

/* --- while it runs --- */

static void remember(void *argument, const char *sentence)
{
    snprintf(argument, TEXT_SIZE, "%s", sentence);
}

static void test_passt_that_ends_takes_the_link_with_it_and_says_why(void **state)
{
    struct net_player *player = *state;
    struct net_play *plays = net_plays(player, 2);
    struct script script =
        write_script(GREETING "head -c 64 <&3 >/dev/null\necho 'had enough' >&2\nexit 1\n");
    char heard[TEXT_SIZE] = "";
    siginfo_t info;
    struct net_passt_options options = { .program = script.path, .ended = remember, .argument = heard };

    open_script(player, &options);
    assert_true(player->backend->link_up);
    net_play_receive(&plays[0], 0, 100);
    net_play_transmit(&plays[1], 0, 1, 60);
    net_player_run(player, 1);
    assert_int_equal(plays[1].res, 0);
    while (!player->link_changes) {
        /* it ends when it pleases: one turn that waits for that */
        loop_stop(player->loop);
        assert_int_equal(loop_run(player->loop), 0);
    }
    assert_false(player->link_up);
    assert_string_equal(heard, "passt has closed the connection: had enough");
    assert_int_equal(plays[0].res, NET_PLAYER_UNDONE);
    net_player_cancel(player);
    net_player_run(player, 1);
    /* what is sent now is lost, and the child is reaped when it has quite ended */
    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0) {
        net_play_transmit(&plays[1], 0, 1, 60);
        net_player_run(player, 1);
        assert_int_equal(plays[1].res, -ENETDOWN);
    }
    remove_script(&script);
    free(plays);
}

static void test_passt_that_sends_nonsense_is_ended(void **state)
{
    struct net_player *player = *state;
    struct net_play *play = net_plays(player, 1);
    struct script script = write_script(GREETING "printf '\\377\\377\\377\\377' >&3\nexec sleep 1000\n");
    char heard[TEXT_SIZE] = "";
    struct net_passt_options options = { .program = script.path, .ended = remember, .argument = heard };

    open_script(player, &options);
    net_play_receive(play, 0, 100);
    while (!player->link_changes) {
        loop_stop(player->loop);
        assert_int_equal(loop_run(player->loop), 0);
    }
    assert_string_equal(heard, "passt has sent what is no frame");
    net_player_cancel(player);
    net_player_run(player, 1);
    net_tear_down(state);
    net_set_up_io_uring(state);
    assert_no_child();
    remove_script(&script);
    free(play);
}

/* One who does not look at its socket: only the signal can end it. */
static void test_passt_does_not_outlive_a_vmm_that_is_killed(void **state)
{
    struct net_player *player = *state;
    struct script script = write_script("echo $$ >$out\n" GREETING "exec sleep 1000\n");
    struct net_passt_options options = { .program = script.path };
    struct pollfd polled = { .events = POLLIN };
    char text[TEXT_SIZE];
    int ready[2], status;
    pid_t vmm;
    char byte;

    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    vmm = fork();
    assert_true(vmm >= 0);
    if (vmm == 0) {
        struct net_backend *backend;
        bool good = net_passt_open(player->loop, &options, &backend, NULL) == 0;

        if (good && write(ready[1], "", 1) == 1)
            pause();
        _exit(1);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    read_output(&script, text);
    polled.fd = pidfd_open(atoi(text), 0);
    assert_true(polled.fd >= 0);
    assert_int_equal(poll(&polled, 1, 0), 0);
    kill(vmm, SIGKILL);
    assert_int_equal(waitpid(vmm, &status, 0), vmm);
    assert_int_equal(poll(&polled, 1, -1), 1);
    close(polled.fd);
    remove_script(&script);
}

/* --- the real one --- */

static void put16(unsigned char *to, unsigned value)
{
    to[0] = (unsigned char)(value >> 8);
    to[1] = (unsigned char)value;
}

/* DHCPDISCOVER (RFC 2131) in UDP in IPv4 in Ethernet; returns the length. */
static size_t make_discover(unsigned char *frame)
{
    static const unsigned char mac[6] = { 2, 0, 0, 0, 0, 1 };
    static const unsigned char options[] = { 0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255 };
    unsigned char *ip = frame + 14, *udp = ip + 20, *bootp = udp + 8;
    size_t length = 14 + 20 + 8 + BOOTP_LENGTH;
    unsigned sum = 0;

    memset(frame, 0, length);
    memset(frame, 0xff, 6);
    memcpy(frame + 6, mac, sizeof(mac));
    put16(frame + 12, 0x0800);
    ip[0] = 0x45;
    put16(ip + 2, 28 + BOOTP_LENGTH);
    ip[8] = 64;
    ip[9] = 17;
    memset(ip + 16, 0xff, 4);
    for (unsigned i = 0; i < 20; i += 2)
        sum += (unsigned)(ip[i] << 8 | ip[i + 1]);
    put16(ip + 10, ~((sum & 0xffff) + (sum >> 16)));
    put16(udp, 68);
    put16(udp + 2, 67);
    put16(udp + 4, 8 + BOOTP_LENGTH);
    bootp[0] = 1; /* BOOTREQUEST over Ethernet */
    bootp[1] = 1;
    bootp[2] = 6;
    put16(bootp + 10, 0x8000);
    memcpy(bootp + 28, mac, sizeof(mac));
    memcpy(bootp + 236, options, sizeof(options));
    return length;
}

/* Is it UDP to the client's port, and a DHCP message of type OFFER? */
static bool is_offer(const unsigned char *frame, size_t length)
{
    const unsigned char *ip = frame + 14, *option = ip + 28 + 240, *end = frame + length;

    if (length < 14 + 28 + BOOTP_LENGTH || ip[9] != 17 || ip[23] != 68)
        return false;
    while (end - option > 2 && *option != 255) {
        if (option[0] == 53)
            return option[2] == DHCP_OFFER;
        option += option[0] ? 2 + option[1] : 1;
    }
    return false;
}

static void test_passt_offers_an_address(void **state)
{
    struct net_player *player = *state;
    struct net_play *plays = net_plays(player, 9);
    struct net_passt_options options = { 0 };
    struct net_backend *backend;
    struct error err = { 0 };
    int result = net_passt_open(player->loop, &options, &backend, &err);
    bool offered = false;
    size_t length;

    if (result == -ENOENT || result == -ECHILD) {
        print_message("%s\n", err.text);
        free(plays);
        skip();
    }
    if (result != 0)
        fail_msg("%s", err.text);
    net_player_attach(player, backend);
    for (unsigned i = 0; i < 8; i++)
        net_play_receive(&plays[i], 0, 1514);
    length = make_discover(plays[8].bytes + NET_HEADER_SIZE);
    plays[8].iov[0] = (struct iovec){ plays[8].bytes, NET_HEADER_SIZE };
    plays[8].iov[1] = (struct iovec){ plays[8].bytes + NET_HEADER_SIZE, length };
    plays[8].request =
        (struct net_request){ .iov = plays[8].iov, .iov_count = 2, .done = plays[0].request.done };
    pthread_mutex_lock(&player->lock);
    backend->ops->transmit(backend, 0, &plays[8].request);
    pthread_mutex_unlock(&player->lock);
    for (unsigned next = 0; !offered; next++) {
        assert_true(next < 8);
        while (plays[next].res == NET_PLAYER_UNDONE)
            net_player_run(player, 1);
        assert_true(plays[next].res > NET_HEADER_SIZE);
        offered = is_offer(plays[next].bytes + NET_HEADER_SIZE, (size_t)plays[next].res - NET_HEADER_SIZE);
    }
    assert_int_equal(plays[8].res, 0);
    net_player_cancel(player);
    net_player_settle(player);
    free(plays);
}

static void test_passt_of_the_distribution_takes_all_our_ports(void **state)
{
    static const struct net_forward forwards[] = {
        { .address = "127.0.0.1", .host_port = 48301, .guest_port = 22 },
        { .address = "127.0.0.1", .host_port = 48302, .guest_port = 80 },
        { .udp = true, .address = "127.0.0.1", .host_port = 48301, .guest_port = 53 },
        { .address = "0.0.0.0", .host_port = 48303, .guest_port = 443 },
    };
    struct net_player *player = *state;
    struct net_passt_options options = { .forwards = forwards, .forward_count = 4 };
    struct net_backend *backend;
    struct error err = { 0 };
    int result = net_passt_open(player->loop, &options, &backend, &err);

    /* It takes the host's network over, and namespaces of its own: not everywhere is either to be had. */
    if (result == -ENOENT ||
        (result == -ECHILD && (strstr(err.text, "xternal") || strstr(err.text, "namespace")))) {
        print_message("%s\n", err.text);
        skip();
    }
    if (result != 0)
        fail_msg("%s", err.text);
    net_player_attach(player, backend);
    for (unsigned i = 0; i < 4; i++) {
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                       .sin_port = htons(forwards[i].host_port) };
        int fd = socket(AF_INET, forwards[i].udp ? SOCK_DGRAM : SOCK_STREAM, 0);

        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), -1);
        assert_int_equal(errno, EADDRINUSE);
        close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NET_ON_BOTH_ENGINES(test_passt_that_is_not_installed_is_told_with_the_mend),
        NET_ON_BOTH_ENGINES(test_passt_that_cannot_be_run_is_told),
        NET_ON_BOTH_ENGINES(test_passt_that_ends_at_once_has_the_last_word),
        NET_ON_BOTH_ENGINES(test_wait_for_passt_can_be_ended),
        NET_ON_BOTH_ENGINES(test_passt_that_ends_without_a_word_has_its_status_told),
        NET_ON_BOTH_ENGINES(test_passt_that_says_very_much_before_it_ends_has_the_last_word),
        NET_ON_BOTH_ENGINES(test_passt_says_nothing_to_a_terminal),
        NET_ON_BOTH_ENGINES(test_passt_that_finds_no_descriptor_free_is_told_so),
        NET_ON_BOTH_ENGINES(test_passt_hears_no_signal_that_a_terminal_sends_us),
        NET_ON_BOTH_ENGINES(test_passt_starts_and_ends_where_sigchld_is_ignored),
        NET_ON_BOTH_ENGINES(test_passt_is_told_ports_and_mtu_and_gets_what_it_needs_and_no_more),
        NET_ON_BOTH_ENGINES(test_passt_without_ports_is_told_so),
        NET_ON_BOTH_ENGINES(test_passt_is_not_started_for_a_port_that_is_taken),
        NET_ON_BOTH_ENGINES(test_passt_is_not_started_for_an_address_of_another_host),
        NET_ON_BOTH_ENGINES(test_passt_that_ends_takes_the_link_with_it_and_says_why),
        NET_ON_BOTH_ENGINES(test_passt_that_sends_nonsense_is_ended),
        NET_ON_BOTH_ENGINES(test_passt_does_not_outlive_a_vmm_that_is_killed),
        NET_ON_BOTH_ENGINES(test_passt_offers_an_address),
        NET_ON_BOTH_ENGINES(test_passt_of_the_distribution_takes_all_our_ports),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
