/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share_host.h - a directory to be shared, a loop, and programs in virtiofsd's place: the test's own executable,
 * started with "--fd=3" and told by the environment how to behave.
 */
#ifndef RINGLET_SHARE_HOST_H
#define RINGLET_SHARE_HOST_H

#include <stdbool.h>
#include <sys/types.h>

#include "ringlet/error.h"
#include "ringlet/loop.h"
#include "ringlet/virtiofsd.h"

#define SHARE_TEXT_SIZE 4096

struct share_host {
    struct loop *loop;
    char base[64];       /* a folder of the test's own */
    char directory[128]; /* in it, to be shared */
    char self[256];      /* this executable */
    char of_qemu[256];   /* likewise, by a name of QEMU's virtiofsd */
    struct error err;
    char heard[SHARE_TEXT_SIZE]; /* by share_ended() */
    unsigned ends;
};

/* For cmocka: *state is a struct share_host. */
int share_set_up_io_uring(void **state);
int share_set_up_threads(void **state);
int share_tear_down(void **state);

/* Was this executable started as a stand-in? Then it does not return. To be called first in main(). */
void share_be_stand_in(int argc, char **argv);
/* How the next stand-in behaves; a word that share_host.c knows. */
void share_set_manner(const char *manner);

/* A file of the shared directory. */
void share_write(const struct share_host *host, const char *name, const char *text);
/* "" if there is none */
void share_read(const struct share_host *host, const char *name, char *text);
bool share_exists(const struct share_host *host, const char *name);

/* For options: remembers in the host, and lets the loop go. */
void share_ended(void *argument, const char *name, const char *sentence);

/* pidfds of all descendants of process `pid`; returns how many. */
unsigned share_descendants(pid_t pid, int *pidfds, unsigned max);
/* Have they all ended? Waits for it if `wait`; closes them. */
bool share_all_ended(int *pidfds, unsigned count, bool wait);

#endif
