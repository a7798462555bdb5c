/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console_pipes.c - see console_pipes.h.
 */
#include "console_pipes.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

const enum loop_engine console_engines[2] = { LOOP_ENGINE_IO_URING, LOOP_ENGINE_THREADS };

int console_pipes_set_up(void **state)
{
    const enum loop_engine *engine = *state;
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    if (!player_init(&f->player, *engine)) {
        free(f);
        *state = NULL;
        return 0;
    }
    assert_int_equal(pipe2(f->input, O_CLOEXEC), 0);
    assert_int_equal(pipe2(f->output, O_CLOEXEC), 0);
    f->file = -1;
    strcpy(f->folder, "/tmp/ringlet-test-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof(f->path), "%s/file", f->folder);
    for (size_t i = 0; i < sizeof(f->pattern); i++)
        f->pattern[i] = (uint8_t)(i * 31 + i / 256);
    *state = f;
    return 0;
}

void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int console_pipes_tear_down(void **state)
{
    struct fixture *f = *state;

    if (!f)
        return 0;
    player_destroy(&f->player);
    for (unsigned i = 0; i < 2; i++) {
        close_end(&f->input[i]);
        close_end(&f->output[i]);
    }
    close_end(&f->file);
    unlink(f->path);
    rmdir(f->folder);
    free(f);
    return 0;
}

struct fixture *console_fixture(void **state)
{
    if (!*state)
        skip();
    return *state;
}

void wait_a_while(struct fixture *f)
{
    player_run(&f->player, player_has_waited, NULL);
}
