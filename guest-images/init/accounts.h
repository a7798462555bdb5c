/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accounts.h - who the command is to be, by the text of passwd(5) and group(5). Not by getpwnam(): a static
 * program cannot load what the root's nsswitch.conf names.
 */
#ifndef RINGLET_GUEST_ACCOUNTS_H
#define RINGLET_GUEST_ACCOUNTS_H

#include <stddef.h>
#include <sys/types.h>

struct error;

struct account {
    uid_t uid;
    gid_t gid;
    gid_t *groups; /* owned: for setgroups(), `gid` among them */
    size_t group_count;
    char *name, *home, *shell; /* owned */
};

/*
 * `user` is NAME[:GROUP]; each part is looked up as a name in `passwd` or `group` (paths), and else taken as a
 * number, which needs no entry. With GROUP the command is in that group only; without it in the user's own, and
 * in all that name the user as a member. 0 or -errno with *err: -ENOENT when there is no such name.
 */
int account_find(const char *passwd, const char *group, const char *user, struct account *ret_account,
                 struct error *err);
void account_finish(struct account *account);

#endif
