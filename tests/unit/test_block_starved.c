/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_block_starved.c - a disk on a host that is out of threads and stays so: requests are tried for a
 * while, and then fail, once.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "disk_player.h"
#include "ringlet/util.h"

static int forbid_threads(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = ARRAY_SIZE(filter), .filter = filter };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

static void remember_result(struct block_request *request, int res)
{
    struct disk_request *own = container_of(request, struct disk_request, request);

    own->dones++;
    own->res = res;
    loop_stop(own->player->loop);
}

static unsigned turns;

static void count_turn(struct io_client *client)
{
    (void)client;
    turns++;
}

/* In a child: the threads engine without a thread. Each operation is -EAGAIN, for as long as we ask. */
static int starve(void)
{
    static const enum block_op ops[] = { BLOCK_READ, BLOCK_FLUSH, BLOCK_FLUSH, BLOCK_DISCARD,
                                         BLOCK_WRITE_ZEROES };
    struct disk_player player;
    char path[64];
    struct block_file_options options = { .path = path };
    int image = memfd_create("starved", MFD_CLOEXEC);
    unsigned char bytes[512];
    struct iovec iov = { bytes, 512 };

    snprintf(path, sizeof(path), "/proc/self/fd/%d", image);
    if (ftruncate(image, 4096) < 0 || disk_player_init(&player, LOOP_ENGINE_THREADS) < 0 ||
        block_file_open(player.loop, &options, &player.disk, NULL) < 0 || forbid_threads() < 0)
        return 1;
    player.client.batch_end = count_turn;
    player.disk->ops->attach(player.disk, &player.client);
    for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
        struct disk_request request = {
            .request = { .op = ops[i], .length = 512, .iov = &iov, .iov_count = 1, .done = remember_result },
            .player = &player,
        };

        turns = 0;
        player.disk->ops->submit(player.disk, &request.request);
        if (request.dones || loop_run(player.loop) < 0)
            return 2;
        if (request.dones != 1 || request.res != -EAGAIN)
            return 3;
        /* Also a flush after one that failed: nothing was lost by what never began, so it may still succeed.
         */
        if (turns < 2)
            return 4;
    }
    disk_player_finish(&player);
    return 0;
}

static void test_requests_fail_once_when_the_host_stays_out_of_threads(void **state)
{
    pid_t child = fork();
    int status;

    (void)state;
    assert_true(child >= 0);
    if (child == 0)
        _exit(starve());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_fail_once_when_the_host_stays_out_of_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
