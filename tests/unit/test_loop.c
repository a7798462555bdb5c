/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_loop.c - the event loop: files, timers, calls, clients' locks, and what other threads may do to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop_player.h"
#include "ringlet/io_client.h"
#include "ringlet/util.h"

/* --- files --- */

static void test_file_write_then_read_at_offsets_gives_the_same_bytes(void **state)
{
    struct loop_fixture *fixture = *state;
    struct loop_player player = make_player(fixture);
    char in[2][4] = { "" }, out[] = "ringlet";
    struct iovec written[] = { { out, 3 }, { out + 3, 5 } };
    struct iovec read[] = { { in[0], 4 }, { in[1], 4 } };
    int fd = temporary_file(8192);

    loop_writev(fixture->loop, &player.op, fd, written, 2, 4096, 0);
    assert_int_equal(player.dones, 0);
    run_until(fixture, 1);
    assert_int_equal(player.res, 8);
    loop_readv(fixture->loop, &player.op, fd, read, 2, 4096);
    run_until(fixture, 1);
    assert_int_equal(player.res, 8);
    assert_memory_equal(in[0], "ring", 4);
    assert_memory_equal(in[1], "let", 4);
    loop_write(fixture->loop, &player.op, fd, "RING", 4, 4096);
    run_until(fixture, 1);
    assert_int_equal(player.res, 4);
    loop_read(fixture->loop, &player.op, fd, in[0], 4, 4096);
    run_until(fixture, 1);
    assert_int_equal(player.res, 4);
    assert_memory_equal(in[0], "RING", 4);
    assert_int_equal(player.dones, 4);
    close(fd);
}

static void test_read_at_end_of_file_gives_zero(void **state)
{
    struct loop_fixture *fixture = *state;
    struct loop_player player = make_player(fixture);
    char byte;
    int fd = temporary_file(512);

    loop_read(fixture->loop, &player.op, fd, &byte, 1, 512);
    run_until(fixture, 1);
    assert_int_equal(player.res, 0);
    close(fd);
}

static void test_dsync_write_fdatasync_and_fallocate_do_their_work(void **state)
{
    struct loop_fixture *fixture = *state;
    struct loop_player players[3];
    char byte = 1, out[4096];
    struct iovec iov = { out, sizeof(out) };
    int fd = temporary_file(16384);

    memset(out, 0xff, sizeof(out));
    for (unsigned i = 0; i < 3; i++)
        players[i] = make_player(fixture);
    loop_writev(fixture->loop, &players[0].op, fd, &iov, 1, 0, RWF_DSYNC);
    loop_fdatasync(fixture->loop, &players[1].op, fd);
    run_until(fixture, 2);
    loop_fallocate(fixture->loop, &players[2].op, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096);
    run_until(fixture, 1);
    assert_int_equal(players[0].res, 4096);
    assert_int_equal(players[1].res, 0);
    assert_int_equal(players[2].res, 0);
    assert_int_equal(pread(fd, &byte, 1, 0), 1);
    assert_int_equal(byte, 0);
    close(fd);
}

static void test_failures_are_results(void **state)
{
    struct loop_fixture *fixture = *state;
    struct loop_player read = make_player(fixture), write = make_player(fixture), sync = make_player(fixture),
                       allocate = make_player(fixture), poll = make_player(fixture),
                       stream = make_player(fixture);
    char byte = 0;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    loop_read(fixture->loop, &read.op, 1000000, &byte, 1, 0);
    loop_write(fixture->loop, &write.op, fd, &byte, 1, 0);
    loop_fdatasync(fixture->loop, &sync.op, fd);
    loop_fallocate(fixture->loop, &allocate.op, fd, 0, 0, 1);
    loop_poll(fixture->loop, &poll.op, 1000000, POLLIN);
    loop_read(fixture->loop, &stream.op, 1000000, &byte, 1, LOOP_NO_OFFSET);
    run_until(fixture, 6);
    assert_int_equal(read.res, -EBADF);
    assert_int_equal(write.res, -EBADF);
    assert_int_equal(sync.res, -EINVAL);
    assert_int_equal(allocate.res, -EBADF);
    assert_int_equal(poll.res, -EBADF);
    assert_int_equal(stream.res, -EBADF);
    close(fd);
}

static void test_more_operations_than_queue_entries_all_complete(void **state)
{
    enum { COUNT = LOOP_PLAYER_ENTRIES * 40 };
    struct loop_fixture *fixture = *state;
    struct loop_player *players = calloc(COUNT, sizeof(*players));
    uint32_t *numbers = calloc(COUNT, sizeof(*numbers));
    int fd = temporary_file(0);

    for (uint32_t i = 0; i < COUNT; i++)
        assert_int_equal(pwrite(fd, &i, sizeof(i), i * sizeof(i)), sizeof(i));
    for (unsigned i = 0; i < COUNT; i++) {
        players[i] = make_player(fixture);
        loop_read(fixture->loop, &players[i].op, fd, &numbers[i], sizeof(numbers[i]), i * sizeof(uint32_t));
    }
    assert_int_equal(loop_in_flight(fixture->loop), COUNT);
    run_until(fixture, COUNT);
    assert_int_equal(loop_in_flight(fixture->loop), 0);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(players[i].dones, 1);
        assert_int_equal(players[i].res, sizeof(uint32_t));
        assert_int_equal(numbers[i], i);
    }
    close(fd);
    free(numbers);
    free(players);
}

/* --- timers --- */

static void test_timeouts_fire_in_order_and_not_early(void **state)
{
    static const uint64_t delays[] = { 30000000, 10000000, 20000000, 0 };
    static const unsigned orders[] = { 3, 1, 2, 0 };
    struct loop_fixture *fixture = *state;
    struct loop_player players[ARRAY_SIZE(delays)];
    struct timespec start, end;

    clock_gettime(CLOCK_MONOTONIC, &start);
    for (unsigned i = 0; i < ARRAY_SIZE(delays); i++) {
        players[i] = make_player(fixture);
        loop_timeout(fixture->loop, &players[i].op, delays[i]);
    }
    run_until(fixture, ARRAY_SIZE(delays));
    clock_gettime(CLOCK_MONOTONIC, &end);
    for (unsigned i = 0; i < ARRAY_SIZE(delays); i++) {
        assert_int_equal(players[i].res, 0);
        assert_int_equal(players[i].order, orders[i]);
    }
    assert_true((end.tv_sec - start.tv_sec) * 1000000000 + end.tv_nsec - start.tv_nsec >= 30000000);
}

/* --- results without the kernel, and calls --- */

struct restarter {
    struct loop_player player;
    int left;
};

static void restart(struct loop_op *op, int res)
{
    struct restarter *restarter = container_of(op, struct restarter, player.op);
    struct loop *loop = restarter->player.fixture->loop;

    if (restarter->left-- > 0)
        loop_complete(loop, op, res + 1);
    else
        player_done(op, res);
}

static void test_complete_is_never_delivered_by_the_call_itself_and_may_restart(void **state)
{
    struct loop_fixture *fixture = *state;
    struct restarter restarter = { .player = make_player(fixture), .left = 5 };

    restarter.player.op.done = restart;
    loop_complete(fixture->loop, &restarter.player.op, 10);
    assert_int_equal(restarter.left, 5);
    /* Each restart waits for a turn of its own. */
    run_one_turn(fixture);
    assert_int_equal(restarter.left, 4);
    run_until(fixture, 1);
    assert_int_equal(restarter.player.res, 15);
}

static int remember_thread(void *argument)
{
    *(pthread_t *)argument = pthread_self();
    return 42;
}

static void test_call_works_on_another_thread_and_is_done_on_the_loops(void **state)
{
    struct loop_fixture *fixture = *state;
    struct loop_player player = make_player(fixture);
    pthread_t worker = pthread_self();

    loop_call(fixture->loop, &player.op, remember_thread, &worker);
    run_until(fixture, 1);
    assert_int_equal(player.res, 42);
    assert_false(pthread_equal(worker, pthread_self()));
    assert_true(pthread_equal(player.thread, pthread_self()));
}

static int wait_for_event(void *argument)
{
    uint64_t count;

    return read(*(int *)argument, &count, sizeof(count)) == sizeof(count) ? 0 : -errno;
}

static void test_calls_beyond_the_pool_wait_and_can_be_cancelled(void **state)
{
    enum { COUNT = 12 };
    struct loop_fixture *fixture = *state;
    struct loop_player players[COUNT];
    int event = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
    unsigned cancelled = 0;

    for (unsigned i = 0; i < COUNT; i++) {
        players[i] = make_player(fixture);
        loop_call(fixture->loop, &players[i].op, wait_for_event, &event);
    }
    /* The last ones are beyond the pool's threads, hence not begun. */
    loop_cancel(fixture->loop, &players[COUNT - 1].op);
    loop_cancel(fixture->loop, &players[COUNT - 3].op);
    run_until(fixture, 2);
    assert_int_equal(eventfd_write(event, COUNT - 2), 0);
    run_until(fixture, COUNT - 2);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(players[i].dones, 1);
        cancelled += players[i].res == -ECANCELED;
    }
    assert_int_equal(cancelled, 2);
    assert_int_equal(players[COUNT - 1].res, -ECANCELED);
    assert_int_equal(players[COUNT - 3].res, -ECANCELED);
    close(event);
}

/* --- clients --- */

struct fake_client {
    struct io_client client;
    pthread_mutex_t lock;
    unsigned batches;
    unsigned dones; /* since the last batch_end() */
    unsigned last_batch;
};

static void assert_locked(struct fake_client *fake)
{
    assert_int_equal(pthread_mutex_trylock(&fake->lock), EBUSY);
}

static void fake_batch_end(struct io_client *client)
{
    struct fake_client *fake = container_of(client, struct fake_client, client);

    assert_locked(fake);
    fake->batches++;
    fake->last_batch = fake->dones;
    fake->dones = 0;
}

static void init_fake(struct fake_client *fake)
{
    *fake = (struct fake_client){ .client = { .lock = &fake->lock, .batch_end = fake_batch_end } };
    pthread_mutex_init(&fake->lock, NULL);
}

static void client_done(struct loop_op *op, int res)
{
    struct fake_client *fake = container_of(op->client, struct fake_client, client);

    assert_locked(fake);
    fake->dones++;
    player_done(op, res);
}

static void test_client_lock_is_held_and_batch_end_comes_once_a_turn(void **state)
{
    struct loop_fixture *fixture = *state;
    struct fake_client a, b;
    struct loop_player players[7];

    init_fake(&a);
    init_fake(&b);
    for (unsigned i = 0; i < ARRAY_SIZE(players); i++) {
        players[i] = make_player(fixture);
        if (i == 6)
            continue;
        players[i].op.client = i < 4 && i != 1 ? &a.client : &b.client;
        players[i].op.done = client_done;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(players); i++)
        loop_complete(fixture->loop, &players[i].op, 0);
    run_until(fixture, ARRAY_SIZE(players));
    assert_int_equal(a.batches, 1);
    assert_int_equal(a.last_batch, 3);
    assert_int_equal(b.batches, 1);
    assert_int_equal(b.last_batch, 3);
    assert_int_equal(pthread_mutex_trylock(&a.lock), 0);
    assert_int_equal(pthread_mutex_trylock(&b.lock), 0);
    pthread_mutex_unlock(&a.lock);
    pthread_mutex_unlock(&b.lock);
    /* A turn without completions of theirs is none of their business. */
    loop_complete(fixture->loop, &players[6].op, 0);
    run_until(fixture, 1);
    assert_int_equal(a.batches, 1);
    /* The one whose lock is held at the end hears it once, too. */
    loop_complete(fixture->loop, &players[0].op, 0);
    run_until(fixture, 1);
    assert_int_equal(a.batches, 2);
    assert_int_equal(a.last_batch, 1);
    assert_int_equal(b.batches, 1);
    /* And without a batch_end() there is nothing to call. */
    a.client.batch_end = NULL;
    loop_complete(fixture->loop, &players[0].op, 0);
    run_until(fixture, 1);
    assert_int_equal(a.batches, 2);
    assert_int_equal(players[0].dones, 3);
}

struct client_task {
    struct loop_task task;
    struct loop *loop;
    unsigned runs;
};

static void client_task_run(struct loop_task *task)
{
    struct client_task *own = container_of(task, struct client_task, task);
    struct fake_client *fake = container_of(task->client, struct fake_client, client);

    assert_locked(fake);
    fake->dones++;
    own->runs++;
    loop_stop(own->loop);
}

static void test_task_of_a_client_runs_in_its_batch(void **state)
{
    struct loop_fixture *fixture = *state;
    struct client_task task = { .loop = fixture->loop };
    struct fake_client fake;

    init_fake(&fake);
    task.task = (struct loop_task){ .run = client_task_run, .client = &fake.client };
    for (unsigned i = 1; i <= 2; i++) {
        loop_post(fixture->loop, &task.task);
        assert_int_equal(loop_run(fixture->loop), 0);
        assert_int_equal(task.runs, i);
        assert_int_equal(fake.batches, i);
        assert_int_equal(fake.last_batch, 1);
        assert_int_equal(pthread_mutex_trylock(&fake.lock), 0);
        pthread_mutex_unlock(&fake.lock);
    }
}

static void test_operations_start_with_the_clients_lock_held(void **state)
{
    struct loop_fixture *fixture = *state;
    struct fake_client fake;
    struct loop_player players[3];
    char byte;
    int fd = temporary_file(1);

    init_fake(&fake);
    pthread_mutex_lock(&fake.lock);
    for (unsigned i = 0; i < 3; i++) {
        players[i] = make_player(fixture);
        players[i].op.client = &fake.client;
        players[i].op.done = client_done;
    }
    loop_read(fixture->loop, &players[0].op, fd, &byte, 1, 0);
    loop_complete(fixture->loop, &players[1].op, 0);
    loop_timeout(fixture->loop, &players[2].op, 0);
    pthread_mutex_unlock(&fake.lock);
    run_until(fixture, 3);
    close(fd);
}

/* --- other threads --- */

struct poster {
    struct loop_task task;
    struct loop_fixture *fixture;
    unsigned runs;
    unsigned order;
};

static void poster_run(struct loop_task *task)
{
    struct poster *poster = container_of(task, struct poster, task);

    poster->order = poster->fixture->order++;
    poster->runs++;
    if (--poster->fixture->awaited == 0)
        loop_stop(poster->fixture->loop);
}

static void test_posted_tasks_run_in_order_and_once_however_often_posted(void **state)
{
    struct loop_fixture *fixture = *state;
    struct poster posters[3];

    for (unsigned i = 0; i < 3; i++)
        posters[i] = (struct poster){ .task.run = poster_run, .fixture = fixture };
    for (unsigned i = 0; i < 3; i++) {
        loop_post(fixture->loop, &posters[i].task);
        loop_post(fixture->loop, &posters[0].task);
    }
    run_until(fixture, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(posters[i].runs, 1);
        assert_int_equal(posters[i].order, i);
    }
    /* It may be posted again, and again. */
    loop_post(fixture->loop, &posters[1].task);
    run_until(fixture, 1);
    assert_int_equal(posters[1].runs, 2);
}

enum { STORM_THREADS = 4, STORM_POSTS = 2000 };

static void *post_storm(void *argument)
{
    struct poster *posters = argument;

    for (unsigned i = 0; i < STORM_POSTS; i++)
        loop_post(posters[i].fixture->loop, &posters[i].task);
    return NULL;
}

static void test_posts_of_many_threads_all_arrive(void **state)
{
    struct loop_fixture *fixture = *state;
    struct poster *posters = calloc(STORM_THREADS * STORM_POSTS, sizeof(*posters));
    pthread_t threads[STORM_THREADS];

    for (unsigned i = 0; i < STORM_THREADS * STORM_POSTS; i++)
        posters[i] = (struct poster){ .task.run = poster_run, .fixture = fixture };
    for (unsigned i = 0; i < STORM_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, post_storm, posters + i * STORM_POSTS), 0);
    run_until(fixture, STORM_THREADS * STORM_POSTS);
    for (unsigned i = 0; i < STORM_THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < STORM_THREADS * STORM_POSTS; i++)
        assert_int_equal(posters[i].runs, 1);
    free(posters);
}

static void *stop_it(void *argument)
{
    loop_stop(argument);
    return NULL;
}

static void test_stop_from_another_thread_ends_a_waiting_loop(void **state)
{
    struct loop_fixture *fixture = *state;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, stop_it, fixture->loop), 0);
    assert_int_equal(loop_run(fixture->loop), 0);
    pthread_join(thread, NULL);
}

static struct loop *loop_of_handler;

static void stop_in_handler(int number)
{
    (void)number;
    loop_stop(loop_of_handler);
}

static void raise_alarm(struct loop_task *task)
{
    (void)task;
    raise(SIGALRM);
}

static void test_stop_in_a_signal_handler_ends_the_loop(void **state)
{
    struct loop_fixture *fixture = *state;
    struct sigaction action = { .sa_handler = stop_in_handler }, previous;
    struct loop_task task = { .run = raise_alarm };

    loop_of_handler = fixture->loop;
    assert_int_equal(sigaction(SIGALRM, &action, &previous), 0);
    loop_post(fixture->loop, &task);
    assert_int_equal(loop_run(fixture->loop), 0);
    assert_int_equal(sigaction(SIGALRM, &previous, NULL), 0);
}

static void *interrupt_and_complete(void *argument)
{
    pthread_t *loop_thread = argument;

    for (unsigned i = 0; i < 100; i++)
        pthread_kill(*loop_thread, SIGALRM);
    return NULL;
}

static void ignore_in_handler(int number)
{
    (void)number;
}

static void test_signals_without_meaning_disturb_nothing(void **state)
{
    struct loop_fixture *fixture = *state;
    struct sigaction action = { .sa_handler = ignore_in_handler }, previous;
    struct loop_player timer = make_player(fixture);
    pthread_t thread, self = pthread_self();

    assert_int_equal(sigaction(SIGALRM, &action, &previous), 0);
    loop_timeout(fixture->loop, &timer.op, 30000000);
    assert_int_equal(pthread_create(&thread, NULL, interrupt_and_complete, &self), 0);
    run_until(fixture, 1);
    assert_int_equal(timer.res, 0);
    pthread_join(thread, NULL);
    assert_int_equal(sigaction(SIGALRM, &previous, NULL), 0);
}

static void *run_the_loop(void *argument)
{
    struct loop_fixture *fixture = argument;

    run_until(fixture, fixture->awaited);
    return NULL;
}

static void test_operations_queued_by_the_creator_run_on_the_loop_thread(void **state)
{
    enum { COUNT = LOOP_PLAYER_ENTRIES * 3 };
    struct loop_fixture *fixture = *state;
    struct loop_player players[COUNT];
    char byte;
    pthread_t thread;
    int fd = temporary_file(1);

    for (unsigned i = 0; i < COUNT; i++) {
        players[i] = make_player(fixture);
        loop_read(fixture->loop, &players[i].op, fd, &byte, 1, 0);
    }
    fixture->awaited = COUNT;
    assert_int_equal(pthread_create(&thread, NULL, run_the_loop, fixture), 0);
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(players[i].dones, 1);
        assert_int_equal(players[i].res, 1);
        assert_true(pthread_equal(players[i].thread, thread));
    }
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH_ENGINES(test_file_write_then_read_at_offsets_gives_the_same_bytes),
        ON_BOTH_ENGINES(test_read_at_end_of_file_gives_zero),
        ON_BOTH_ENGINES(test_dsync_write_fdatasync_and_fallocate_do_their_work),
        ON_BOTH_ENGINES(test_failures_are_results),
        ON_BOTH_ENGINES(test_more_operations_than_queue_entries_all_complete),
        ON_BOTH_ENGINES(test_timeouts_fire_in_order_and_not_early),
        ON_BOTH_ENGINES(test_complete_is_never_delivered_by_the_call_itself_and_may_restart),
        ON_BOTH_ENGINES(test_call_works_on_another_thread_and_is_done_on_the_loops),
        ON_BOTH_ENGINES(test_calls_beyond_the_pool_wait_and_can_be_cancelled),
        ON_BOTH_ENGINES(test_client_lock_is_held_and_batch_end_comes_once_a_turn),
        ON_BOTH_ENGINES(test_task_of_a_client_runs_in_its_batch),
        ON_BOTH_ENGINES(test_operations_start_with_the_clients_lock_held),
        ON_BOTH_ENGINES(test_posted_tasks_run_in_order_and_once_however_often_posted),
        ON_BOTH_ENGINES(test_posts_of_many_threads_all_arrive),
        ON_BOTH_ENGINES(test_stop_from_another_thread_ends_a_waiting_loop),
        ON_BOTH_ENGINES(test_stop_in_a_signal_handler_ends_the_loop),
        ON_BOTH_ENGINES(test_signals_without_meaning_disturb_nothing),
        ON_BOTH_ENGINES(test_operations_queued_by_the_creator_run_on_the_loop_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
