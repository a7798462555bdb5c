/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_entropy_file.c - random bytes through the loop, on both engines.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "ringlet/entropy_backend.h"
#include "ringlet/entropy_file.h"
#include "ringlet/error.h"
#include "ringlet/io_client.h"
#include "ringlet/loop.h"
#include "ringlet/util.h"

struct fixture {
    struct loop *loop;
    struct entropy_backend *source;
    struct io_client client;
    pthread_mutex_t lock;
    struct entropy_request request;
    unsigned dones;
    int res;
};

static int set_up(void **state, enum loop_engine engine)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    if (!fixture || loop_create(engine, 8, &fixture->loop, NULL) < 0)
        return -1;
    pthread_mutex_init(&fixture->lock, NULL);
    fixture->client.lock = &fixture->lock;
    *state = fixture;
    return 0;
}

static int set_up_io_uring(void **state)
{
    return set_up(state, LOOP_ENGINE_IO_URING);
}

static int set_up_threads(void **state)
{
    return set_up(state, LOOP_ENGINE_THREADS);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    entropy_backend_destroy(fixture->source);
    loop_destroy(fixture->loop);
    free(fixture);
    return 0;
}

static void open_source(struct fixture *fixture, const char *path)
{
    struct error err = { 0 };

    if (entropy_file_open(fixture->loop, path, &fixture->source, &err) < 0)
        fail_msg("%s", err.text);
    fixture->source->ops->attach(fixture->source, &fixture->client);
}

static void request_done(struct entropy_request *request, int res)
{
    struct fixture *fixture = container_of(request, struct fixture, request);

    assert_int_equal(pthread_mutex_trylock(&fixture->lock), EBUSY);
    fixture->dones++;
    fixture->res = res;
    loop_stop(fixture->loop);
}

static int ask(struct fixture *fixture, const struct iovec *iov, unsigned count)
{
    fixture->request = (struct entropy_request){ .iov = iov, .iov_count = count, .done = request_done };
    fixture->dones = 0;
    fixture->source->ops->submit(fixture->source, &fixture->request);
    assert_int_equal(fixture->dones, 0);
    assert_int_equal(loop_run(fixture->loop), 0);
    assert_int_equal(fixture->dones, 1);
    return fixture->res;
}

static void test_bytes_fill_the_buffers_from_their_start(void **state)
{
    struct fixture *fixture = *state;
    unsigned char bytes[3][32];
    struct iovec iov[] = { { bytes[0], 32 }, { bytes[1], 0 }, { bytes[2], 32 } };

    memset(bytes, 0xff, sizeof(bytes));
    open_source(fixture, "/dev/zero");
    assert_int_equal(ask(fixture, iov, 3), 64);
    for (unsigned i = 0; i < 32; i++) {
        assert_int_equal(bytes[0][i], 0);
        assert_int_equal(bytes[1][i], 0xff);
        assert_int_equal(bytes[2][i], 0);
    }
}

static void test_urandom_gives_different_bytes_each_time(void **state)
{
    struct fixture *fixture = *state;
    unsigned char first[64] = { 0 }, second[64] = { 0 };

    open_source(fixture, "/dev/urandom");
    assert_int_equal(ask(fixture, &(struct iovec){ first, 64 }, 1), 64);
    assert_int_equal(ask(fixture, &(struct iovec){ second, 64 }, 1), 64);
    assert_memory_not_equal(first, second, 64);
}

static void test_greedy_request_is_answered_in_part(void **state)
{
    struct fixture *fixture = *state;
    unsigned char *bytes = malloc(16 * MIB);
    struct iovec one = { bytes, 16 * MIB }, many[100];
    int result;

    open_source(fixture, "/dev/zero");
    memset(bytes, 0xff, 2 * ENTROPY_FILE_MAX_BYTES);
    result = ask(fixture, &one, 1);
    /* a busy kernel may stop earlier: zero(4) looks around at each page */
    assert_in_range(result, 1, ENTROPY_FILE_MAX_BYTES);
    assert_int_equal(bytes[result - 1], 0);
    assert_int_equal(bytes[ENTROPY_FILE_MAX_BYTES], 0xff);
    for (unsigned i = 0; i < ARRAY_SIZE(many); i++)
        many[i] = (struct iovec){ bytes + i, 1 };
    assert_in_range(ask(fixture, many, ARRAY_SIZE(many)), 1, ARRAY_SIZE(many));
    free(bytes);
}

static void test_source_that_ends_fails_with_eio_and_no_room_with_einval(void **state)
{
    struct fixture *fixture = *state;
    unsigned char bytes[8];
    struct iovec iov = { bytes, 8 }, empty = { bytes, 0 };

    open_source(fixture, "/dev/null");
    assert_int_equal(ask(fixture, &iov, 1), -EIO);
    assert_int_equal(ask(fixture, &empty, 1), -EINVAL);
    assert_int_equal(ask(fixture, NULL, 0), -EINVAL);
}

static void test_what_is_no_source_is_refused_by_name(void **state)
{
    struct fixture *fixture = *state;
    char fifo[] = "/tmp/ringlet-XXXXXX/fifo";
    struct error err = { 0 };

    assert_int_equal(entropy_file_open(fixture->loop, "/nowhere/random", &fixture->source, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nowhere/random"));
    assert_int_equal(entropy_file_open(fixture->loop, "/proc/self/exe", &fixture->source, &err), -EINVAL);
    assert_non_null(strstr(err.text, "/dev/urandom"));
    fifo[sizeof(fifo) - sizeof("/fifo")] = '\0';
    assert_non_null(mkdtemp(fifo));
    fifo[sizeof(fifo) - sizeof("/fifo")] = '/';
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(entropy_file_open(fixture->loop, fifo, &fixture->source, &err), -EINVAL);
    unlink(fifo);
    fifo[sizeof(fifo) - sizeof("/fifo")] = '\0';
    rmdir(fifo);
    assert_null(fixture->source);
}

#define ON_BOTH(test)                                                                                        \
    { #test " [io_uring]", test, set_up_io_uring, tear_down, NULL },                                         \
    {                                                                                                        \
#test " [threads]", test, set_up_threads, tear_down, NULL                                            \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(test_bytes_fill_the_buffers_from_their_start),
        ON_BOTH(test_urandom_gives_different_bytes_each_time),
        ON_BOTH(test_greedy_request_is_answered_in_part),
        ON_BOTH(test_source_that_ends_fails_with_eio_and_no_room_with_einval),
        cmocka_unit_test_setup_teardown(test_what_is_no_source_is_refused_by_name, set_up_threads, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
