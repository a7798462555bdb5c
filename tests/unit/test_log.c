/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_log.c - what reaches standard error, at which level, and that a line arrives whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ringlet/log.h"

/* Standard error is a packet pipe (pipe(2), O_DIRECT) for a while: one read() gives what one write() wrote.
 */
struct capture {
    int saved_stderr;
    int reader;
};

static int set_up(void **state)
{
    static struct capture capture;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC | O_DIRECT | O_NONBLOCK) < 0)
        return -1;
    capture.saved_stderr = dup(STDERR_FILENO);
    capture.reader = ends[0];
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    log_set_level(LOG_LEVEL_WARNING);
    log_set_raw_terminal(0);
    signal(SIGPIPE, SIG_IGN); /* as vm_end.c has it */
    *state = &capture;
    return 0;
}

static int tear_down(void **state)
{
    struct capture *capture = *state;

    dup2(capture->saved_stderr, STDERR_FILENO);
    close(capture->saved_stderr);
    close(capture->reader);
    return 0;
}

/* What the next write() wrote, terminated; "" if there was none. */
static const char *next_line(const struct capture *capture)
{
    static char line[4096];
    ssize_t length = read(capture->reader, line, sizeof(line) - 1);

    if (length < 0) {
        assert_int_equal(errno, EAGAIN);
        length = 0;
    }
    line[length] = '\0';
    return line;
}

static void test_log_line_bears_our_name_and_is_one_write(void **state)
{
    log_error("cannot open %s", "root.img");
    assert_string_equal(next_line(*state), "ringlet: cannot open root.img\n");
    assert_string_equal(next_line(*state), "");
}

static void test_log_shows_warnings_but_no_information_by_default(void **state)
{
    log_warning("watch out");
    log_info("by the way");
    log_error("oh");
    assert_string_equal(next_line(*state), "ringlet: watch out\n");
    assert_string_equal(next_line(*state), "ringlet: oh\n");
    assert_string_equal(next_line(*state), "");
}

static void test_log_quiet_shows_errors_only(void **state)
{
    log_set_level(LOG_LEVEL_ERROR);
    log_warning("watch out");
    log_info("by the way");
    log_error("oh");
    assert_string_equal(next_line(*state), "ringlet: oh\n");
    assert_string_equal(next_line(*state), "");
}

static void test_log_verbose_shows_information(void **state)
{
    log_set_level(LOG_LEVEL_INFO);
    log_info("by the %s", "way");
    assert_string_equal(next_line(*state), "ringlet: by the way\n");
}

static void test_log_returns_the_carriage_on_a_raw_terminal(void **state)
{
    log_set_raw_terminal(1);
    log_error("oh");
    assert_string_equal(next_line(*state), "ringlet: oh\r\n");
}

static void test_log_line_that_is_too_long_is_cut_and_still_ends(void **state)
{
    char text[3000];
    const char *line;
    size_t length;

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    log_set_raw_terminal(1);
    log_error("%s", text);
    line = next_line(*state);
    length = strlen(line);
    assert_in_range(length, 1000, 1024);
    assert_memory_equal(line, "ringlet: xxx", 12);
    assert_string_equal(line + length - 3, "x\r\n");
    assert_string_equal(next_line(*state), "");
}

static void test_log_to_a_closed_stderr_goes_on(void **state)
{
    (void)state;
    close(STDERR_FILENO);
    log_error("nobody hears this");
}

/* Standard error blocks, and has no room. */
static void fill_stderr(void)
{
    int flags = fcntl(STDERR_FILENO, F_GETFL);

    assert_int_equal(fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK), 0);
    while (write(STDERR_FILENO, "x", 1) == 1)
        continue;
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(fcntl(STDERR_FILENO, F_SETFL, flags & ~O_NONBLOCK), 0);
}

static void test_log_does_not_wait_for_ever_for_a_reader_that_stalls(void **state)
{
    (void)state;
    fill_stderr();
    alarm(30); /* ends a test that hangs */
    log_error("nobody reads this");
    log_error("nor this");
    alarm(0);
    while (strcmp(next_line(*state), "x") == 0)
        continue;
    log_error("he is back");
    assert_string_equal(next_line(*state), "ringlet: he is back\n");
}

/* Two lines, one behind the other, as read from `reader`. */
static void assert_two_lines(int reader)
{
    static const char expected[] = "ringlet: one\nringlet: two\n";
    char text[64] = "";
    size_t count = 0;
    ssize_t got;

    log_error("one");
    log_error("two");
    while (count < strlen(expected) && (got = read(reader, text + count, sizeof(text) - 1 - count)) > 0)
        count += (size_t)got;
    assert_string_equal(text, expected);
}

static void test_log_line_arrives_in_a_file_and_in_a_socket(void **state)
{
    char path[] = "/tmp/ringlet-log-XXXXXX";
    int file = mkstemp(path), reader = open(path, O_RDONLY | O_CLOEXEC), ends[2];

    (void)state;
    assert_true(file >= 0 && reader >= 0);
    unlink(path);
    assert_true(dup2(file, STDERR_FILENO) >= 0);
    assert_two_lines(reader);
    close(reader);
    close(file);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    assert_two_lines(ends[0]);
    close(ends[0]);
    log_error("nobody is there");
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_log_line_bears_our_name_and_is_one_write, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_log_shows_warnings_but_no_information_by_default, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_log_quiet_shows_errors_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_log_verbose_shows_information, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_log_returns_the_carriage_on_a_raw_terminal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_log_line_that_is_too_long_is_cut_and_still_ends, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_log_to_a_closed_stderr_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_log_does_not_wait_for_ever_for_a_reader_that_stalls, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_log_line_arrives_in_a_file_and_in_a_socket, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
