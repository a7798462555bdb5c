/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console_player.c - see console_player.h.
 */
#include "console_player.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ringlet/util.h"

#define TICK_NS   UINT64_C(1000000)
#define MAX_TICKS 20000

static size_t receive(struct char_frontend *frontend, const uint8_t *bytes, size_t count)
{
    struct console_player *player = container_of(frontend, struct console_player, frontend);
    size_t taken = count < player->appetite ? count : player->appetite;

    assert_int_equal(player->input_ends, 0);
    assert_false(player->drained);
    if (player->look_at) {
        player->look_at(player, bytes, taken, player->received_count);
    } else {
        assert_true(player->received_count + taken <= PLAYER_INPUT_SIZE);
        memcpy(player->received + player->received_count, bytes, taken);
    }
    player->received_count += taken;
    player->appetite -= taken;
    return taken;
}

static void send_rest(struct console_player *player)
{
    while (player->to_send_count) {
        size_t taken = player->backend->ops->write(player->backend, player->to_send, player->to_send_count);

        player->to_send += taken;
        player->to_send_count -= taken;
        if (!taken)
            return;
    }
}

static void writable(struct char_frontend *frontend)
{
    struct console_player *player = container_of(frontend, struct console_player, frontend);

    player->writable_calls++;
    send_rest(player);
}

static void input_ended(struct char_frontend *frontend)
{
    struct console_player *player = container_of(frontend, struct console_player, frontend);

    assert_false(player->drained);
    assert_int_equal(pthread_mutex_trylock(&player->lock), EBUSY);
    player->input_ends++;
    player->received_at_end = player->received_count;
}

static void output_lost(struct char_frontend *frontend)
{
    struct console_player *player = container_of(frontend, struct console_player, frontend);

    assert_false(player->drained);
    assert_int_equal(pthread_mutex_trylock(&player->lock), EBUSY);
    player->output_losses++;
}

static const struct char_frontend_ops deaf_ops = { .receive = receive, .writable = writable };

static const struct char_frontend_ops frontend_ops = {
    .receive = receive,
    .writable = writable,
    .input_ended = input_ended,
    .output_lost = output_lost,
};

static void stop_requested(struct stop_sink *sink, enum stop_reason reason, int value)
{
    struct console_player *player = container_of(sink, struct console_player, stop);

    assert_int_equal(reason, STOP_CONSOLE_QUIT);
    assert_int_equal(value, 0);
    player->quits++;
}

static const struct stop_sink_ops stop_ops = { .request = stop_requested };

bool player_init(struct console_player *player, enum loop_engine engine)
{
    *player = (struct console_player){ .appetite = SIZE_MAX, .stop.ops = &stop_ops };
    if (loop_create(engine, 16, &player->loop, NULL) < 0)
        return false;
    assert_int_equal(pthread_mutex_init(&player->lock, NULL), 0);
    player->client.lock = &player->lock;
    player->frontend = (struct char_frontend){ .ops = &frontend_ops, .client = &player->client };
    player->received = malloc(PLAYER_INPUT_SIZE);
    assert_non_null(player->received);
    return true;
}

static void attach(struct console_player *player)
{
    player->drained = false;
    if (player->deaf)
        player->frontend.ops = &deaf_ops;
    player->backend->ops->attach(player->backend, &player->frontend);
}

void player_open(struct console_player *player, struct console_options options)
{
    struct error err = { 0 };
    int result;

    options.stop = &player->stop;
    result = console_open(player->loop, &options, &player->backend, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(result, 0);
    attach(player);
}

void player_open_streams(struct console_player *player, int input_fd, int output_fd, uint64_t drain_timeout)
{
    struct console_options options = { .stop = &player->stop, .drain_timeout = drain_timeout };
    struct error err = { 0 };

    assert_int_equal(
        console_open_streams(player->loop, &options, input_fd, output_fd, &player->backend, &err), 0);
    attach(player);
}

void player_send(struct console_player *player, const void *bytes, size_t count)
{
    pthread_mutex_lock(&player->lock);
    assert_int_equal(player->to_send_count, 0);
    player->to_send = bytes;
    player->to_send_count = count;
    send_rest(player);
    pthread_mutex_unlock(&player->lock);
}

void player_feed(struct console_player *player, size_t more)
{
    pthread_mutex_lock(&player->lock);
    player->appetite += more;
    player->backend->ops->receive_ready(player->backend);
    pthread_mutex_unlock(&player->lock);
}

static void tick_done(struct loop_op *op, int res)
{
    struct console_player *player = container_of(op, struct console_player, tick);

    assert_int_equal(res, 0);
    if (player->condition(player, player->argument)) {
        loop_stop(player->loop);
        return;
    }
    assert_true(++player->ticks < MAX_TICKS);
    loop_timeout(player->loop, &player->tick, TICK_NS);
}

void player_run(struct console_player *player,
                bool (*condition)(struct console_player *player, void *argument), void *argument)
{
    player->condition = condition;
    player->argument = argument;
    player->ticks = 0;
    player->tick.done = tick_done;
    loop_timeout(player->loop, &player->tick, TICK_NS);
    assert_int_equal(loop_run(player->loop), 0);
}

bool player_is_drained(struct console_player *player, void *unused)
{
    (void)unused;
    return player->drained;
}

bool player_has_sent(struct console_player *player, void *unused)
{
    (void)unused;
    return !player->to_send_count;
}

bool player_input_has_ended(struct console_player *player, void *unused)
{
    (void)unused;
    return player->input_ends;
}

bool player_output_is_lost(struct console_player *player, void *unused)
{
    (void)unused;
    return player->output_losses;
}

bool player_has_received(struct console_player *player, void *count)
{
    return player->received_count >= *(size_t *)count;
}

bool player_has_waited(struct console_player *player, void *unused)
{
    (void)unused;
    return player->ticks >= 100;
}

static void drained(void *argument)
{
    struct console_player *player = argument;

    /* The lock is not held, or this would say so. */
    assert_int_equal(pthread_mutex_trylock(&player->lock), 0);
    pthread_mutex_unlock(&player->lock);
    player->drained = true;
    player->drained_calls++;
}

void player_finish(struct console_player *player)
{
    player->backend->ops->finish(player->backend, drained, player);
    player_run(player, player_is_drained, NULL);
    assert_int_equal(player->drained_calls, 1);
    assert_int_equal(loop_in_flight(player->loop), 0);
}

void player_destroy(struct console_player *player)
{
    /* A test that failed half-way leaves operations behind; it has been reported, so leave them alone. */
    if (loop_in_flight(player->loop))
        return;
    char_backend_destroy(player->backend);
    loop_destroy(player->loop);
    pthread_mutex_destroy(&player->lock);
    free(player->received);
}
