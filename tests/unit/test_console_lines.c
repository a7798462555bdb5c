/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_console_lines.c - a terminal that is input and no more: its settings stay as they are, its lines come as
 * they are typed, and job control is obeyed; on both engines.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "console_player.h"
#include "job_shell.h"

struct fixture {
    struct console_player player;
    enum loop_engine engine;
    int master, slave;
    struct termios original;
};

static const enum loop_engine engines[] = { LOOP_ENGINE_IO_URING, LOOP_ENGINE_THREADS };

static int setup(void **state)
{
    const enum loop_engine *engine = *state;
    struct fixture *f = calloc(1, sizeof(*f));
    char name[64];

    assert_non_null(f);
    if (!player_init(&f->player, *engine)) {
        free(f);
        *state = NULL;
        return 0;
    }
    f->engine = *engine;
    f->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(f->master >= 0);
    assert_int_equal(grantpt(f->master), 0);
    assert_int_equal(unlockpt(f->master), 0);
    assert_int_equal(ptsname_r(f->master, name, sizeof(name)), 0);
    f->slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(f->slave >= 0);
    assert_int_equal(tcgetattr(f->slave, &f->original), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (!f)
        return 0;
    player_destroy(&f->player);
    if (f->master >= 0)
        close(f->master);
    close(f->slave);
    free(f);
    return 0;
}

/* The fixture, or skip where the engine is not to be had. */
static struct fixture *fixture(void **state)
{
    if (!*state)
        skip();
    return *state;
}

static void wait_a_while(struct fixture *f)
{
    player_run(&f->player, player_has_waited, NULL);
}

static void type(struct fixture *f, const char *text)
{
    assert_int_equal(write(f->master, text, strlen(text)), strlen(text));
}

static bool is_untouched(const struct fixture *f)
{
    struct termios settings;

    return tcgetattr(f->slave, &settings) == 0 && settings.c_lflag == f->original.c_lflag &&
           settings.c_iflag == f->original.c_iflag && settings.c_oflag == f->original.c_oflag;
}

/* Line editing works (^U takes back what was typed), Ctrl-A x is two bytes, Ctrl-D ends. */
static void test_a_terminal_without_output_keeps_its_lines(void **state)
{
    struct fixture *f = fixture(state);
    size_t wanted = 11;

    player_open_streams(&f->player, f->slave, -1, 0);
    wait_a_while(f);
    assert_true(is_untouched(f));
    type(f, "mistake\025hello\n");
    type(f, "\001xyz\n");
    player_run(&f->player, player_has_received, &wanted);
    assert_memory_equal(f->player.received, "hello\n\001xyz\n", 11);
    assert_int_equal(f->player.quits, 0);
    assert_int_equal(f->player.input_ends, 0);
    type(f, "\004");
    player_run(&f->player, player_input_has_ended, NULL);
    assert_int_equal(f->player.received_at_end, 11);
    assert_true(is_untouched(f));
    player_finish(&f->player);
    assert_true(is_untouched(f));
}

static void test_a_terminal_nobody_types_on_does_not_delay_the_end(void **state)
{
    struct fixture *f = fixture(state);

    player_open_streams(&f->player, f->slave, -1, UINT64_MAX);
    type(f, "half a line");
    wait_a_while(f);
    player_finish(&f->player);
    assert_int_equal(f->player.received_count, 0);
}

static void test_a_terminal_that_hangs_up_is_the_end_of_input(void **state)
{
    struct fixture *f = fixture(state);

    player_open_streams(&f->player, f->slave, -1, 0);
    wait_a_while(f);
    close(f->master);
    f->master = -1;
    player_run(&f->player, player_input_has_ended, NULL);
    player_finish(&f->player);
}

/* --- job control: a session with this pty as its controlling terminal --- */

static int job(void *argument, const struct job_shell_link *link)
{
    struct fixture *f = argument;
    struct console_player player;
    size_t wanted = 6;

    JOB_CHECK(player_init(&player, f->engine));
    player_open_streams(&player, f->slave, -1, 0);
    /* In the background: what is typed is for others, and does not stop us. */
    JOB_CHECK(job_shell_ask(link, JOB_TYPE)); /* type "hello" */
    for (unsigned i = 0; i < 3; i++)
        player_run(&player, player_has_waited, NULL);
    JOB_CHECK(player.received_count == 0 && player.input_ends == 0);

    JOB_CHECK(job_shell_ask(link, JOB_FOREGROUND)); /* fg */
    player_run(&player, player_has_received, &wanted);
    JOB_CHECK(memcmp(player.received, "hello\n", 6) == 0);

    JOB_CHECK(job_shell_ask(link, JOB_BACKGROUND)); /* Ctrl-Z, bg */
    console_continue(player.backend);
    JOB_CHECK(job_shell_ask(link, JOB_TYPE));
    player_run(&player, player_has_waited, NULL);
    JOB_CHECK(player.received_count == 6 && player.input_ends == 0);
    player_finish(&player);
    player_destroy(&player);
    JOB_CHECK(is_untouched(f));
    return 0;
}

static void test_a_background_job_reads_nothing_until_it_is_in_front(void **state)
{
    struct fixture *f = fixture(state);

    job_shell_run(&(struct job_shell){
        .master = f->master, .slave = f->slave, .typed = "hello\n", .job = job, .argument = f });
}

int main(void)
{
#define TEST(name)                                                                                           \
    { #name " (io_uring)", name, setup, teardown, (void *)&engines[0] },                                     \
    {                                                                                                        \
#name " (threads)", name, setup, teardown, (void *)&engines[1]                                       \
    }
    const struct CMUnitTest tests[] = {
        TEST(test_a_terminal_without_output_keeps_its_lines),
        TEST(test_a_terminal_nobody_types_on_does_not_delay_the_end),
        TEST(test_a_terminal_that_hangs_up_is_the_end_of_input),
        TEST(test_a_background_job_reads_nothing_until_it_is_in_front),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
