/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_block_overlay_pool.c - an ephemeral disk with more to do than it has parts for, and with everything at once.
 */
#include <assert.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include <cmocka.h>

#include "overlay_player.h"
#include "ringlet/block_overlay.h"
#include "ringlet/util.h"

/* --- the pool --- */

/* Every second sector written: a read of n sectors is n parts. */
static void write_stripes(struct overlay_fixture *fixture)
{
    for (unsigned i = 1; i < OVERLAY_SECTORS; i += 2)
        overlay_write_byte(fixture, i, 1, 0x66);
}

static void assert_stripes(const uint8_t *bytes)
{
    for (unsigned i = 0; i + 1 < OVERLAY_SECTORS; i += 2) {
        assert_base(bytes, i, 1);
        assert_byte(bytes, i + 1, 1, 0x66);
    }
}

static void test_read_of_more_parts_than_there_are_waits_for_them(void **state)
{
    struct overlay_fixture *fixture = *state;
    uint8_t *bytes = malloc(OVERLAY_CAPACITY);
    struct overlay_player player;
    unsigned turns = 0;

    static_assert(OVERLAY_SECTORS > 3 * BLOCK_OVERLAY_PARTS, "the pool is used up");
    write_stripes(fixture);
    overlay_start(fixture, &player, BLOCK_READ, 0, OVERLAY_SECTORS, bytes);
    assert_int_equal(fixture->base.pending_count + fixture->top.pending_count, BLOCK_OVERLAY_PARTS);
    while (!player.dones) {
        struct memory_block *side =
            fixture->base.pending_count && turns++ % 3 ? &fixture->base : &fixture->top;

        if (!side->pending_count)
            side = &fixture->base;
        memory_block_complete(side, side->pending_count / 2);
        assert_true(fixture->base.pending_count + fixture->top.pending_count <= BLOCK_OVERLAY_PARTS);
    }
    assert_int_equal(player.dones, 1);
    assert_int_equal(player.res, 0);
    assert_int_equal(fixture->base.pending_count + fixture->top.pending_count, 0);
    assert_stripes(bytes);
    free(bytes);
}

static void test_requests_that_wait_are_served_first_come_first(void **state)
{
    struct overlay_fixture *fixture = *state;
    uint8_t *bytes = malloc(OVERLAY_CAPACITY), out[OVERLAY_SECTOR], in[OVERLAY_SECTOR];
    struct overlay_player reader, writer, flusher, late;
    unsigned writes;

    memset(out, 0x12, sizeof(out));
    write_stripes(fixture);
    writes = fixture->top.submits[BLOCK_WRITE];
    overlay_start(fixture, &reader, BLOCK_READ, 0, OVERLAY_SECTORS, bytes);
    overlay_start(fixture, &writer, BLOCK_WRITE, 7, 1, out);
    overlay_start(fixture, &flusher, BLOCK_FLUSH, 0, 0, NULL);
    overlay_start(fixture, &late, BLOCK_READ, 0, 1, in);
    while (!late.dones) {
        struct memory_block *side = fixture->base.pending_count ? &fixture->base : &fixture->top;

        if (fixture->top.submits[BLOCK_WRITE] > writes)
            assert_true(fixture->base.submits[BLOCK_READ] + fixture->top.submits[BLOCK_READ] >=
                        OVERLAY_SECTORS);
        if (fixture->top.submits[BLOCK_FLUSH])
            assert_int_equal(fixture->top.submits[BLOCK_WRITE], writes + 1);
        memory_block_complete(side, 0);
    }
    overlay_complete_all(fixture);
    assert_int_equal(reader.dones, 1);
    assert_int_equal(writer.dones, 1);
    assert_int_equal(flusher.dones, 1);
    assert_int_equal(late.dones, 1);
    assert_int_equal(reader.res | writer.res | flusher.res | late.res, 0);
    assert_int_equal(fixture->top.submits[BLOCK_FLUSH], 1);
    free(bytes);
}

static void test_failure_while_waiting_for_parts_ends_the_read_early(void **state)
{
    struct overlay_fixture *fixture = *state;
    uint8_t *bytes = malloc(OVERLAY_CAPACITY), in[OVERLAY_SECTOR];
    struct overlay_player reader, late;
    unsigned submits;

    write_stripes(fixture);
    overlay_start(fixture, &reader, BLOCK_READ, 0, OVERLAY_SECTORS, bytes);
    overlay_start(fixture, &late, BLOCK_READ, 0, 1, in);
    submits = fixture->base.submits[BLOCK_READ] + fixture->top.submits[BLOCK_READ];
    memory_block_fail(&fixture->base, 3, -EIO);
    /* The one part that came free is the next request's: the rest of the first is in vain. */
    assert_int_equal(fixture->base.submits[BLOCK_READ] + fixture->top.submits[BLOCK_READ], submits + 1);
    overlay_complete_all(fixture);
    assert_int_equal(reader.dones, 1);
    assert_int_equal(reader.res, -EIO);
    assert_int_equal(late.dones, 1);
    assert_int_equal(late.res, 0);
    assert_int_equal(fixture->base.submits[BLOCK_READ] + fixture->top.submits[BLOCK_READ], submits + 1);
    free(bytes);
}

static void test_failures_of_all_parts_end_every_request_once(void **state)
{
    struct overlay_fixture *fixture = *state;
    uint8_t *bytes = malloc(OVERLAY_CAPACITY);
    struct overlay_player players[4];

    write_stripes(fixture);
    for (size_t i = 0; i < ARRAY_SIZE(players); i++)
        overlay_start(fixture, &players[i], BLOCK_READ, i, OVERLAY_SECTORS - i, bytes);
    while (fixture->base.pending_count || fixture->top.pending_count) {
        while (fixture->base.pending_count)
            memory_block_fail(&fixture->base, 0, -EIO);
        while (fixture->top.pending_count)
            memory_block_fail(&fixture->top, 0, -EIO);
    }
    for (size_t i = 0; i < ARRAY_SIZE(players); i++) {
        assert_int_equal(players[i].dones, 1);
        assert_int_equal(players[i].res, -EIO);
    }
    memset(bytes, 0, OVERLAY_CAPACITY);
    assert_int_equal(overlay_perform(fixture, BLOCK_READ, 0, OVERLAY_SECTORS, bytes), 0);
    assert_stripes(bytes);
    free(bytes);
}

static void test_done_may_submit_the_request_again_even_while_others_wait(void **state)
{
    struct overlay_fixture *fixture = *state;
    uint8_t *bytes = malloc(OVERLAY_CAPACITY), in[OVERLAY_SECTOR];
    struct overlay_player first, reader;

    write_stripes(fixture);
    first = (struct overlay_player){ .request = { .op = BLOCK_READ,
                                                  .offset = OVERLAY_SECTOR,
                                                  .length = OVERLAY_SECTOR,
                                                  .iov = first.iov,
                                                  .iov_count = 1 },
                                     .iov = { { in, OVERLAY_SECTOR } },
                                     .again = fixture->disk };
    overlay_submit(fixture, &first);
    overlay_start(fixture, &reader, BLOCK_READ, 0, OVERLAY_SECTORS, bytes);
    memory_block_complete(&fixture->top, 0);
    assert_int_equal(first.dones, 1);
    overlay_complete_all(fixture);
    assert_int_equal(first.dones, 2);
    assert_int_equal(reader.dones, 1);
    assert_stripes(bytes);
    free(bytes);
}

static void test_many_requests_in_flight_all_come_back(void **state)
{
    enum { COUNT = 3 * BLOCK_OVERLAY_PARTS };
    struct overlay_fixture *fixture = *state;
    struct overlay_player *players = calloc(COUNT, sizeof(*players));
    uint8_t *bytes = malloc((size_t)COUNT * OVERLAY_SECTOR);
    unsigned dones = 0;

    for (unsigned i = 0; i < COUNT; i++) {
        memset(bytes + (size_t)i * OVERLAY_SECTOR, (int)(i % 251), OVERLAY_SECTOR);
        overlay_start(fixture, &players[i], BLOCK_WRITE, i, 1, bytes + (size_t)i * OVERLAY_SECTOR);
    }
    assert_int_equal(fixture->top.pending_count, BLOCK_OVERLAY_PARTS);
    while (fixture->top.pending_count)
        memory_block_complete(&fixture->top, fixture->top.pending_count - 1);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(players[i].res, 0);
        dones += players[i].dones;
    }
    assert_int_equal(dones, COUNT);
    assert_memory_equal(fixture->top.bytes, bytes, (size_t)COUNT * OVERLAY_SECTOR);
    free(bytes);
    bytes = overlay_read_disk(fixture);
    for (unsigned i = 0; i < COUNT; i++)
        assert_byte(bytes, i, 1, (uint8_t)(i % 251));
    assert_base(bytes, COUNT, OVERLAY_SECTORS - COUNT);
    free(bytes);
    free(players);
}

/* --- against a plain array --- */

static uint32_t random_number(uint32_t *seed, uint32_t below)
{
    *seed = *seed * 1664525 + 1013904223;
    return (*seed >> 8) % below;
}

struct model {
    uint8_t bytes[OVERLAY_CAPACITY];
    bool written[OVERLAY_SECTORS];
};

/* What the top does with a range (memory_block.c), as far as it is seen. */
static void model_apply(struct model *model, const struct block_request *request, uint8_t byte)
{
    for (uint64_t at = request->offset; at < request->offset + request->length; at += OVERLAY_SECTOR) {
        bool *written = &model->written[at / OVERLAY_SECTOR];

        if (request->op == BLOCK_DISCARD && !*written)
            continue;
        if (request->op != BLOCK_DISCARD)
            *written = true;
        memset(model->bytes + at, request->op == BLOCK_DISCARD ? 0xdd : byte, OVERLAY_SECTOR);
    }
}

/*
 * A few requests at a time to ranges of the disk that are apart from each other, finished in any order, some with a
 * failure; then the model says what a read must have given.
 */
static void test_random_requests_agree_with_a_plain_array(void **state)
{
    enum { STEPS = 4000, LANES = 5, LANE = OVERLAY_SECTORS / LANES };
    struct overlay_fixture *fixture = *state;
    struct model *model = calloc(1, sizeof(*model));
    static uint8_t buffers[LANES][OVERLAY_CAPACITY / LANES];
    struct overlay_player players[LANES];
    uint32_t seed = 20240611;
    unsigned failed = 0;

    memcpy(model->bytes, fixture->base.bytes, OVERLAY_CAPACITY);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned in_flight = 1 + random_number(&seed, LANES);
        uint8_t bytes[LANES];

        for (unsigned i = 0; i < in_flight; i++) {
            static const enum block_op ops[] = { BLOCK_READ,  BLOCK_READ,    BLOCK_READ,        BLOCK_WRITE,
                                                 BLOCK_WRITE, BLOCK_DISCARD, BLOCK_WRITE_ZEROES };
            enum block_op op = ops[random_number(&seed, ARRAY_SIZE(ops))];
            unsigned most = random_number(&seed, 4) ? 12 : LANE;
            unsigned first = random_number(&seed, LANE), length = 1 + random_number(&seed, most);

            length = first + length > LANE ? LANE - first : length;
            bytes[i] = op == BLOCK_WRITE ? (uint8_t)(1 + random_number(&seed, 255)) : 0;
            memset(buffers[i], bytes[i], sizeof(buffers[i]));
            overlay_start(fixture, &players[i], op, (uint64_t)i * LANE + first, length,
                          op == BLOCK_READ || op == BLOCK_WRITE ? buffers[i] : NULL);
        }
        while (fixture->base.pending_count || fixture->top.pending_count) {
            struct memory_block *side =
                fixture->base.pending_count && (!fixture->top.pending_count || random_number(&seed, 2))
                    ? &fixture->base
                    : &fixture->top;
            unsigned index = random_number(&seed, side->pending_count);

            if (random_number(&seed, 50))
                memory_block_complete(side, index);
            else
                memory_block_fail(side, index, -EIO);
        }
        for (unsigned i = 0; i < in_flight; i++) {
            const struct block_request *request = &players[i].request;

            assert_int_equal(players[i].dones, 1);
            if (players[i].res < 0) {
                failed++;
                assert_int_equal(players[i].res, -EIO);
            } else if (request->op == BLOCK_READ) {
                assert_memory_equal(buffers[i], model->bytes + request->offset, request->length);
            } else {
                model_apply(model, request, bytes[i]);
            }
        }
    }
    assert_true(failed > STEPS / 100);
    for (uint64_t at = 0; at < OVERLAY_CAPACITY; at++)
        assert_int_equal(fixture->base.bytes[at], overlay_base_byte(at));
    free(model);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, overlay_set_up, overlay_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_read_of_more_parts_than_there_are_waits_for_them),
        TEST(test_requests_that_wait_are_served_first_come_first),
        TEST(test_failure_while_waiting_for_parts_ends_the_read_early),
        TEST(test_failures_of_all_parts_end_every_request_once),
        TEST(test_done_may_submit_the_request_again_even_while_others_wait),
        TEST(test_many_requests_in_flight_all_come_back),
        TEST(test_random_requests_agree_with_a_plain_array),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
