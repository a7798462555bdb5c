/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_guest_dhcp.c - the guest's DHCP client: what it sends, which answers it believes, and how it goes on when
 * answers are lost, late, or made up. The card is one end of a socket pair that keeps frames apart.
 */
#include "dhcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "deadline.h"
#include "resolv_conf.h"
#include "ringlet/util.h"

#define XID  0x12345678u
#define SOON 20000 /* ms; a bound, not waited for where an answer comes */

/* Where things are in a frame without IP options. */
enum offset {
    OFFSET_TYPE = 12,
    OFFSET_IP = 14,
    OFFSET_IP_LENGTH = 16,
    OFFSET_FRAGMENT = 20,
    OFFSET_PROTOCOL = 23,
    OFFSET_SOURCE_PORT = 34,
    OFFSET_PORT = 36,
    OFFSET_UDP_LENGTH = 38,
    OFFSET_OP = 42,
    OFFSET_HTYPE = 43,
    OFFSET_HLEN = 44,
    OFFSET_XID = 46,
    OFFSET_FLAGS = 52,
    OFFSET_YIADDR = 58,
    OFFSET_CHADDR = 70,
    OFFSET_SNAME = 86,
    OFFSET_FILE = 150,
    OFFSET_COOKIE = 278,
    OFFSET_OPTIONS = 282,
};

static const unsigned char mac[DHCP_MAC_SIZE] = { 0x52, 0x54, 0, 1, 2, 3 };

static void put16(unsigned char *at, size_t value)
{
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
}

/* A server's frame for 10.0.2.15, with these options; returns its size. */
static size_t answer(unsigned char *frame, const char *options, size_t size)
{
    size_t total = OFFSET_OPTIONS + size;
    uint32_t xid = XID;

    memset(frame, 0, total);
    put16(frame + OFFSET_TYPE, 0x0800);
    frame[OFFSET_IP] = 0x45;
    put16(frame + OFFSET_IP_LENGTH, total - OFFSET_IP);
    frame[OFFSET_PROTOCOL] = 17;
    put16(frame + OFFSET_SOURCE_PORT, 67);
    put16(frame + OFFSET_PORT, 68);
    put16(frame + OFFSET_UDP_LENGTH, total - OFFSET_SOURCE_PORT);
    frame[OFFSET_OP] = 2;
    frame[OFFSET_HTYPE] = 1;
    frame[OFFSET_HLEN] = 6;
    memcpy(frame + OFFSET_XID, &xid, sizeof(xid));
    memcpy(frame + OFFSET_YIADDR, "\x0a\x00\x02\x0f", 4);
    memcpy(frame + OFFSET_CHADDR, mac, sizeof(mac));
    memcpy(frame + OFFSET_COOKIE, "\x63\x82\x53\x63", 4);
    memcpy(frame + OFFSET_OPTIONS, options, size);
    return total;
}

#define OPTIONS(text) (text), sizeof(text) - 1

#define OFFER_TYPE "\x35\x01\x02"
#define ACK_TYPE   "\x35\x01\x05"
#define NAK_TYPE   "\x35\x01\x06"
#define SERVER     "\x36\x04\x0a\x00\x02\x02"
#define MASK       "\x01\x04\xff\xff\xff\x00"
#define END        "\xff"

static bool parse(const unsigned char *frame, size_t size, enum dhcp_type *ret_type,
                  struct dhcp_lease *ret_lease)
{
    /* Of exactly that size, for AddressSanitizer. */
    unsigned char *copy = malloc(size ? size : 1);
    bool result;

    assert_non_null(copy);
    memcpy(copy, frame, size);
    result = dhcp_message_parse(copy, size, mac, XID, ret_type, ret_lease);
    free(copy);
    return result;
}

static struct dhcp_lease lease_of(const char *options, size_t size)
{
    unsigned char frame[2048];
    struct dhcp_lease lease;
    enum dhcp_type type;

    assert_true(parse(frame, answer(frame, options, size), &type, &lease));
    assert_int_equal(type, DHCP_OFFER);
    return lease;
}

static const unsigned char *find_option(const unsigned char *frame, unsigned char option)
{
    for (size_t at = OFFSET_OPTIONS; at < DHCP_FRAME_SIZE && frame[at] != 0xff; at += 2u + frame[at + 1]) {
        if (frame[at] == option)
            return frame + at + 1;
    }
    return NULL;
}

static void test_discover_is_a_broadcast_that_asks_for_a_broadcast(void **state)
{
    unsigned char frame[DHCP_FRAME_SIZE];
    uint32_t sum = 0;

    (void)state;
    assert_int_equal(dhcp_message_make(frame, mac, XID, NULL), DHCP_FRAME_SIZE);
    assert_memory_equal(frame, "\xff\xff\xff\xff\xff\xff", 6);
    assert_memory_equal(frame + 6, mac, 6);
    assert_memory_equal(frame + OFFSET_SOURCE_PORT, "\x00\x44\x00\x43", 4);
    assert_memory_equal(frame + OFFSET_IP + 16, "\xff\xff\xff\xff", 4);
    assert_int_equal(frame[OFFSET_FLAGS], 0x80);
    assert_memory_equal(frame + OFFSET_CHADDR, mac, 6);
    assert_memory_equal(frame + OFFSET_COOKIE, "\x63\x82\x53\x63", 4);
    assert_memory_equal(find_option(frame, 53), "\x01\x01", 2);
    assert_null(find_option(frame, 50));
    /* The sum over a right header, with its checksum, is all ones. */
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)(frame[OFFSET_IP + i] << 8 | frame[OFFSET_IP + i + 1]);
    assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
}

static void test_request_names_the_offer_and_its_server(void **state)
{
    struct dhcp_lease offer = { .address = inet_addr("10.0.2.15"), .server = inet_addr("10.0.2.2") };
    unsigned char frame[DHCP_FRAME_SIZE];

    (void)state;
    dhcp_message_make(frame, mac, XID, &offer);
    assert_memory_equal(find_option(frame, 53), "\x01\x03", 2);
    assert_memory_equal(find_option(frame, 50), "\x04\x0a\x00\x02\x0f", 5);
    assert_memory_equal(find_option(frame, 54), "\x04\x0a\x00\x02\x02", 5);
}

static void test_an_offer_has_all_that_a_card_needs(void **state)
{
    struct dhcp_lease lease =
        lease_of(OPTIONS(OFFER_TYPE SERVER "\x01\x04\xff\xff\x00\x00\x03\x08\x0a\x00\x02\x02"
                                           "\x0a\x00\x02\x03\x06\x08\x0a\x00\x02\x03\x01\x01\x01\x01"
                                           "\x1a\x02\x05\xdc\x0f\x0b"
                                           "example.org" END));

    (void)state;
    assert_int_equal(lease.address, inet_addr("10.0.2.15"));
    assert_int_equal(lease.netmask, inet_addr("255.255.0.0"));
    assert_int_equal(lease.router, inet_addr("10.0.2.2"));
    assert_int_equal(lease.server, inet_addr("10.0.2.2"));
    assert_int_equal(lease.name_server_count, 2);
    assert_int_equal(lease.name_servers[1], inet_addr("1.1.1.1"));
    assert_int_equal(lease.mtu, 1500);
    assert_string_equal(lease.domain, "example.org");
}

static void test_what_is_not_given_is_not_made_up(void **state)
{
    struct dhcp_lease lease = lease_of(OPTIONS(OFFER_TYPE END));

    (void)state;
    assert_int_equal(lease.netmask, inet_addr("255.255.255.0"));
    assert_int_equal(lease.router, 0);
    assert_int_equal(lease.server, 0);
    assert_int_equal(lease.name_server_count, 0);
    assert_int_equal(lease.mtu, 0);
    assert_string_equal(lease.domain, "");
}

static void test_values_that_cannot_be_are_left_out(void **state)
{
    struct dhcp_lease lease;

    (void)state;
    lease = lease_of(OPTIONS(OFFER_TYPE "\x01\x04\xff\x00\xff\x00" END));
    assert_int_equal(lease.netmask, inet_addr("255.255.255.0"));
    lease = lease_of(OPTIONS(OFFER_TYPE "\x01\x03\xff\x00\xff" END));
    assert_int_equal(lease.netmask, inet_addr("255.255.255.0"));
    lease = lease_of(OPTIONS(OFFER_TYPE "\x1a\x02\x00\x43\x03\x02\x0a\x00" END));
    assert_int_equal(lease.mtu, 0);
    assert_int_equal(lease.router, 0);
    lease = lease_of(OPTIONS(OFFER_TYPE "\x1a\x03\x05\xdc\x00" END));
    assert_int_equal(lease.mtu, 0);
    /* A line of its own in resolv.conf. */
    lease = lease_of(OPTIONS(OFFER_TYPE "\x0f\x0a"
                                        "a\nserver b" END));
    assert_string_equal(lease.domain, "");
    lease = lease_of(OPTIONS(OFFER_TYPE "\x0f\x04"
                                        "a.b\0" END));
    assert_string_equal(lease.domain, "a.b");
    /* One that is not whole, and one too many. */
    lease = lease_of(OPTIONS(OFFER_TYPE "\x06\x06\x0a\x00\x02\x03\x01\x01" END));
    assert_int_equal(lease.name_server_count, 1);
    lease = lease_of(OPTIONS(OFFER_TYPE "\x06\x10"
                                        "aaaabbbbccccdddd" END));
    assert_int_equal(lease.name_server_count, DHCP_NAME_SERVERS_MAX);
}

static void test_truncated_options_end_the_list(void **state)
{
    (void)state;
    assert_int_equal(lease_of(OPTIONS(OFFER_TYPE "\x03\x04\x0a\x00\x02")).router, 0);
    assert_int_equal(lease_of(OPTIONS(OFFER_TYPE "\x03\xff")).router, 0);
    assert_int_equal(lease_of(OPTIONS(OFFER_TYPE "\x03")).router, 0);
    assert_int_equal(lease_of(OPTIONS(OFFER_TYPE "\x00\x00" MASK)).netmask, inet_addr("255.255.255.0"));
    assert_int_equal(lease_of(OPTIONS(OFFER_TYPE END "\x03\x04\x0a\x00\x02\x02")).router, 0);
}

static void test_options_may_go_on_in_other_fields(void **state)
{
    unsigned char frame[2048];
    struct dhcp_lease lease;
    enum dhcp_type type;
    size_t size = answer(frame, OPTIONS("\x34\x01\x03" END));

    (void)state;
    memcpy(frame + OFFSET_FILE, OPTIONS(OFFER_TYPE MASK END));
    memcpy(frame + OFFSET_SNAME, OPTIONS("\x03\x04\x0a\x00\x02\x02" END));
    assert_true(parse(frame, size, &type, &lease));
    assert_int_equal(type, DHCP_OFFER);
    assert_int_equal(lease.router, inet_addr("10.0.2.2"));
    /* Not announced, they are names. */
    frame[OFFSET_OPTIONS + 2] = 0;
    assert_false(parse(frame, size, &type, &lease));
}

static void test_what_is_not_an_answer_to_us_is_not_believed(void **state)
{
    static const struct {
        size_t at;
        unsigned char byte;
    } changes[] = {
        { OFFSET_TYPE, 0x86 },        { OFFSET_IP, 0x65 },        { OFFSET_IP, 0x44 },
        { OFFSET_IP, 0x4f },          { OFFSET_IP_LENGTH, 0xff }, { OFFSET_IP_LENGTH + 1, 27 },
        { OFFSET_FRAGMENT, 0x20 },    { OFFSET_FRAGMENT + 1, 1 }, { OFFSET_PROTOCOL, 6 },
        { OFFSET_SOURCE_PORT, 1 },    { OFFSET_PORT + 1, 67 },    { OFFSET_UDP_LENGTH, 0xff },
        { OFFSET_UDP_LENGTH + 1, 7 }, { OFFSET_OP, 1 },           { OFFSET_HTYPE, 6 },
        { OFFSET_HLEN, 5 },           { OFFSET_XID, 0 },          { OFFSET_CHADDR + 5, 9 },
        { OFFSET_COOKIE, 0 },         { OFFSET_OPTIONS + 2, 1 },  { OFFSET_OPTIONS + 2, 0 },
        { OFFSET_OPTIONS, 0xff },     { OFFSET_YIADDR, 0 },       { OFFSET_YIADDR, 127 },
        { OFFSET_YIADDR, 224 },       { OFFSET_YIADDR, 255 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
        unsigned char frame[2048];
        struct dhcp_lease lease = { .mtu = 77 };
        enum dhcp_type type = DHCP_DISCOVER;
        size_t size = answer(frame, OPTIONS(OFFER_TYPE MASK END));

        /* The lengths in it are two bytes; what is not changed makes them impossible. */
        if (changes[i].at == OFFSET_IP_LENGTH + 1 || changes[i].at == OFFSET_UDP_LENGTH + 1)
            frame[changes[i].at - 1] = 0;
        frame[changes[i].at] = changes[i].byte;
        if (parse(frame, size, &type, &lease))
            fail_msg("change %zu was believed", i);
        assert_int_equal(lease.mtu, 77);
        assert_int_equal(type, DHCP_DISCOVER);
    }
}

static void test_a_frame_cut_anywhere_does_no_harm(void **state)
{
    unsigned char frame[2048];
    struct dhcp_lease lease;
    enum dhcp_type type;
    size_t size = answer(frame, OPTIONS(OFFER_TYPE SERVER MASK END));

    (void)state;
    for (size_t cut = 0; cut < size; cut++)
        assert_false(parse(frame, cut, &type, &lease));
    assert_true(parse(frame, size, &type, &lease));
    /* Padding behind the packet is nobody's. */
    memset(frame + size, 0x03, 64);
    assert_true(parse(frame, size + 64, &type, &lease));
    assert_int_equal(lease.router, 0);
}

static void test_any_byte_may_be_any_other(void **state)
{
    (void)state;
    for (size_t at = 0; at < OFFSET_OPTIONS + 20; at++) {
        for (unsigned byte = 0; byte < 256; byte += at < OFFSET_OPTIONS ? 17 : 1) {
            unsigned char frame[2048];
            struct dhcp_lease lease;
            enum dhcp_type type;
            size_t size = answer(frame, OPTIONS(OFFER_TYPE SERVER MASK "\x0f\x03"
                                                                       "a.b" END));

            frame[at] = (unsigned char)byte;
            if (parse(frame, size, &type, &lease))
                assert_true(lease.netmask != 0 && strlen(lease.domain) < sizeof(lease.domain));
        }
    }
}

/* --- the conversation --- */

struct server {
    int fd;
    /*
     * Each message is answered by a word: o offer, a ack, n nak, O A N the same from another server, j another
     * client's offer; no letter is no answer.
     */
    const char *script;
    char heard[64]; /* d for a DISCOVER, r for a REQUEST */
};

static void say(const struct server *server, char what)
{
    static const struct {
        char letter;
        const char *options;
        size_t size;
    } answers[] = {
        { 'o', OPTIONS(OFFER_TYPE SERVER MASK END) },
        { 'O', OPTIONS(OFFER_TYPE "\x36\x04\x09\x09\x09\x09" MASK END) },
        { 'a', OPTIONS(ACK_TYPE SERVER MASK "\x03\x04\x0a\x00\x02\x02" END) },
        { 'A', OPTIONS(ACK_TYPE "\x36\x04\x09\x09\x09\x09" MASK END) },
        { 'n', OPTIONS(NAK_TYPE SERVER END) },
        { 'N', OPTIONS(NAK_TYPE "\x36\x04\x09\x09\x09\x09" END) },
        { 'j', OPTIONS(OFFER_TYPE END) },
    };
    unsigned char frame[2048];

    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        size_t size;

        if (answers[i].letter != what)
            continue;
        size = answer(frame, answers[i].options, answers[i].size);
        if (what == 'j')
            frame[OFFSET_XID] ^= 1;
        assert_int_equal(write(server->fd, frame, size), size);
    }
}

static void *serve(void *argument)
{
    struct server *server = argument;
    size_t count = 0;

    for (;;) {
        unsigned char frame[2048];
        ssize_t size = recv(server->fd, frame, sizeof(frame), 0);

        if (size <= 0 || count == sizeof(server->heard) - 1)
            return NULL;
        server->heard[count++] = size == DHCP_FRAME_SIZE && find_option(frame, 53)[1] == 3 ? 'r' : 'd';
        while (*server->script && *server->script != ' ')
            say(server, *server->script++);
        if (*server->script)
            server->script++;
    }
}

static int converse(const char *script, int milliseconds, char heard[64], struct dhcp_lease *ret_lease)
{
    struct server server = { .script = script };
    pthread_t thread;
    int ends[2];
    int result;

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    server.fd = ends[1];
    assert_int_equal(pthread_create(&thread, NULL, serve, &server), 0);
    result = dhcp_acquire(ends[0], mac, XID, deadline_in(milliseconds), ret_lease);
    shutdown(ends[0], SHUT_RDWR); /* ends the server */
    pthread_join(thread, NULL);
    close(ends[0]);
    close(ends[1]);
    memcpy(heard, server.heard, sizeof(server.heard));
    return result;
}

static void test_discover_offer_request_ack(void **state)
{
    struct dhcp_lease lease;
    char heard[64];

    (void)state;
    assert_int_equal(converse("o a", SOON, heard, &lease), 0);
    assert_string_equal(heard, "dr");
    assert_int_equal(lease.address, inet_addr("10.0.2.15"));
    assert_int_equal(lease.router, inet_addr("10.0.2.2"));
}

static void test_what_is_lost_is_sent_again(void **state)
{
    struct dhcp_lease lease;
    char heard[64];

    (void)state;
    assert_int_equal(converse(" o  a", SOON, heard, &lease), 0);
    assert_string_equal(heard, "ddrr");
}

static void test_answers_that_were_not_asked_for_are_passed_over(void **state)
{
    struct dhcp_lease lease;
    char heard[64];

    (void)state;
    /* Another client's, an ACK too early, two offers at once, another server's refusal and consent. */
    assert_int_equal(converse("jaoO oNAa", SOON, heard, &lease), 0);
    assert_string_equal(heard, "dr");
    assert_int_equal(lease.server, inet_addr("10.0.2.2"));
}

static void test_a_refusal_begins_it_all_again(void **state)
{
    struct dhcp_lease lease;
    char heard[64];

    (void)state;
    assert_int_equal(converse("o n o a", SOON, heard, &lease), 0);
    assert_string_equal(heard, "drdr");
}

static void test_a_server_that_goes_silent_is_forgotten(void **state)
{
    struct dhcp_lease lease;
    char heard[64];

    (void)state;
    assert_int_equal(converse("o    o a", SOON, heard, &lease), 0);
    assert_string_equal(heard, "drrrdr");
}

static void test_without_a_server_it_ends(void **state)
{
    struct dhcp_lease lease = { .mtu = 77 };
    char heard[64];

    (void)state;
    assert_int_equal(converse("", 1, heard, &lease), -ETIMEDOUT);
    assert_int_equal(lease.mtu, 77);
}

static void test_a_card_that_fails_is_no_silence(void **state)
{
    struct dhcp_lease lease;

    (void)state;
    assert_int_equal(dhcp_acquire(-1, mac, XID, deadline_in(SOON), &lease), -EBADF);
}

/* --- what becomes of leases --- */

static void test_resolv_conf_has_the_servers_of_all_cards_but_three_at_most(void **state)
{
    struct dhcp_lease leases[2] = {
        { .name_servers = { inet_addr("10.0.2.3"), inet_addr("10.0.2.4") }, .name_server_count = 2 },
        { .name_servers = { inet_addr("1.1.1.1"), inet_addr("8.8.8.8") },
          .name_server_count = 2,
          .domain = "example.org" },
    };
    char text[256];

    (void)state;
    resolv_conf_text(leases, 2, text, sizeof(text));
    assert_string_equal(text,
                        "search example.org\nnameserver 10.0.2.3\nnameserver 10.0.2.4\nnameserver 1.1.1.1\n");
    resolv_conf_text(leases, 0, text, sizeof(text));
    assert_string_equal(text, "");
}

static void test_resolv_conf_is_cut_behind_a_line(void **state)
{
    struct dhcp_lease lease = { .name_servers = { inet_addr("10.0.2.3"), inet_addr("10.0.2.4") },
                                .name_server_count = 2 };
    char text[21 + 10];

    (void)state;
    resolv_conf_text(&lease, 1, text, sizeof(text));
    assert_string_equal(text, "nameserver 10.0.2.3\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_discover_is_a_broadcast_that_asks_for_a_broadcast),
        cmocka_unit_test(test_request_names_the_offer_and_its_server),
        cmocka_unit_test(test_an_offer_has_all_that_a_card_needs),
        cmocka_unit_test(test_what_is_not_given_is_not_made_up),
        cmocka_unit_test(test_values_that_cannot_be_are_left_out),
        cmocka_unit_test(test_truncated_options_end_the_list),
        cmocka_unit_test(test_options_may_go_on_in_other_fields),
        cmocka_unit_test(test_what_is_not_an_answer_to_us_is_not_believed),
        cmocka_unit_test(test_a_frame_cut_anywhere_does_no_harm),
        cmocka_unit_test(test_any_byte_may_be_any_other),
        cmocka_unit_test(test_discover_offer_request_ack),
        cmocka_unit_test(test_what_is_lost_is_sent_again),
        cmocka_unit_test(test_answers_that_were_not_asked_for_are_passed_over),
        cmocka_unit_test(test_a_refusal_begins_it_all_again),
        cmocka_unit_test(test_a_server_that_goes_silent_is_forgotten),
        cmocka_unit_test(test_without_a_server_it_ends),
        cmocka_unit_test(test_a_card_that_fails_is_no_silence),
        cmocka_unit_test(test_resolv_conf_has_the_servers_of_all_cards_but_three_at_most),
        cmocka_unit_test(test_resolv_conf_is_cut_behind_a_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
