/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accounts.c - see accounts.h. A line that has too few fields, or a number that is none, is no entry; a file
 * that is missing has none.
 */
#include "accounts.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ringlet/cleanup.h"
#include "ringlet/error.h"

enum passwd_field {
    PASSWD_NAME,
    PASSWD_PASSWORD,
    PASSWD_UID,
    PASSWD_GID,
    PASSWD_GECOS,
    PASSWD_HOME,
    PASSWD_SHELL,
    PASSWD_FIELDS
};
enum group_field { GROUP_NAME, GROUP_PASSWORD, GROUP_GID, GROUP_MEMBERS, GROUP_FIELDS };

static void close_file(FILE **file)
{
    if (*file)
        fclose(*file);
}

#define CLEANUP_FILE __attribute__((cleanup(close_file)))

/* -1 is no id: setuid() and its family take it for "leave it as it is". */
static bool parse_id(const char *text, uint32_t *ret_id)
{
    uint64_t id = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9' && id < UINT32_MAX; at++)
        id = id * 10 + (uint64_t)(*at - '0');
    if (at == text || *at || id >= UINT32_MAX)
        return false;
    *ret_id = (uint32_t)id;
    return true;
}

/* The next line with `count` fields. False at the end. */
static bool next_entry(FILE *file, char **line, size_t *size, char *fields[], unsigned count)
{
    ssize_t length;

    while ((length = getline(line, size, file)) >= 0) {
        char *rest = *line;
        unsigned i = 0;

        if (length && rest[length - 1] == '\n')
            rest[length - 1] = '\0';
        while (i < count && rest)
            fields[i++] = strsep(&rest, ":");
        if (i == count)
            return true;
    }
    return false;
}

/* By name if `name` is not NULL, else by `uid`. 0, -ENOENT or -ENOMEM. */
static int read_passwd(const char *passwd, const char *name, uid_t uid, struct account *account)
{
    CLEANUP_FILE FILE *file = fopen(passwd, "re");
    CLEANUP_FREE char *line = NULL;
    char *fields[PASSWD_FIELDS];
    size_t size = 0;

    while (file && next_entry(file, &line, &size, fields, PASSWD_FIELDS)) {
        uint32_t entry_uid, entry_gid;

        if (!parse_id(fields[PASSWD_UID], &entry_uid) || !parse_id(fields[PASSWD_GID], &entry_gid))
            continue;
        if (name ? strcmp(fields[PASSWD_NAME], name) != 0 : entry_uid != uid)
            continue;
        account->uid = entry_uid;
        account->gid = entry_gid;
        account->name = strdup(fields[PASSWD_NAME]);
        account->home = strdup(*fields[PASSWD_HOME] ? fields[PASSWD_HOME] : "/");
        account->shell = strdup(*fields[PASSWD_SHELL] ? fields[PASSWD_SHELL] : "/bin/sh");
        return account->name && account->home && account->shell ? 0 : -ENOMEM;
    }
    return -ENOENT;
}

/* Somebody without an entry. */
static int make_up(const char *name, uid_t uid, struct account *account)
{
    account->uid = uid;
    account->gid = 0;
    account->name = strdup(name);
    account->home = strdup(uid ? "/" : "/root");
    account->shell = strdup("/bin/sh");
    return account->name && account->home && account->shell ? 0 : -ENOMEM;
}

static int find_user(const char *passwd, const char *name, struct account *account, struct error *err)
{
    uint32_t uid;
    int result = read_passwd(passwd, name, 0, account);

    if (result == -ENOENT && parse_id(name, &uid)) {
        result = read_passwd(passwd, NULL, uid, account);
        if (result == -ENOENT)
            result = make_up(name, uid, account);
    } else if (result == -ENOENT && strcmp(name, "root") == 0) {
        /* Small initrds have no passwd. */
        result = make_up(name, 0, account);
    }
    if (result == -ENOENT)
        return error_set(err, result, "the guest's %s has no user '%s'", passwd, name);
    return result < 0 ? error_set(err, result, "no memory for the user '%s'", name) : 0;
}

static int find_group(const char *group, const char *name, gid_t *ret_gid, struct error *err)
{
    CLEANUP_FILE FILE *file = fopen(group, "re");
    CLEANUP_FREE char *line = NULL;
    char *fields[GROUP_FIELDS];
    size_t size = 0;
    uint32_t gid;

    while (file && next_entry(file, &line, &size, fields, GROUP_FIELDS)) {
        if (strcmp(fields[GROUP_NAME], name) == 0 && parse_id(fields[GROUP_GID], &gid)) {
            *ret_gid = gid;
            return 0;
        }
    }
    if (!parse_id(name, &gid))
        return error_set(err, -ENOENT, "the guest's %s has no group '%s'", group, name);
    *ret_gid = gid;
    return 0;
}

static int add_group(struct account *account, gid_t gid)
{
    gid_t *larger;

    for (size_t i = 0; i < account->group_count; i++) {
        if (account->groups[i] == gid)
            return 0;
    }
    larger = reallocarray(account->groups, account->group_count + 1, sizeof(*larger));
    if (!larger)
        return -ENOMEM;
    account->groups = larger;
    larger[account->group_count++] = gid;
    return 0;
}

static bool is_member(char *members, const char *name)
{
    for (char *member; (member = strsep(&members, ","));) {
        if (strcmp(member, name) == 0)
            return true;
    }
    return false;
}

static int add_memberships(const char *group, struct account *account)
{
    CLEANUP_FILE FILE *file = fopen(group, "re");
    CLEANUP_FREE char *line = NULL;
    char *fields[GROUP_FIELDS];
    size_t size = 0;
    int result = 0;

    while (result == 0 && file && next_entry(file, &line, &size, fields, GROUP_FIELDS)) {
        uint32_t gid;

        if (parse_id(fields[GROUP_GID], &gid) && is_member(fields[GROUP_MEMBERS], account->name))
            result = add_group(account, gid);
    }
    return result;
}

static int find(const char *passwd, const char *group, char *name, struct account *account, struct error *err)
{
    char *group_name = strchr(name, ':');
    int result;

    if (group_name)
        *group_name++ = '\0';
    result = find_user(passwd, name, account, err);
    if (result < 0)
        return result;
    if (group_name) {
        result = find_group(group, group_name, &account->gid, err);
        if (result < 0)
            return result;
    }
    result = add_group(account, account->gid);
    if (result == 0 && !group_name)
        result = add_memberships(group, account);
    return result < 0 ? error_set(err, result, "no memory for the groups of '%s'", name) : 0;
}

int account_find(const char *passwd, const char *group, const char *user, struct account *ret_account,
                 struct error *err)
{
    CLEANUP_FREE char *name = strdup(user);
    struct account account = { 0 };
    int result = name ? find(passwd, group, name, &account, err) : error_set(err, -ENOMEM, "no memory");

    if (result < 0)
        account_finish(&account);
    else
        *ret_account = account;
    return result;
}

void account_finish(struct account *account)
{
    free(account->groups);
    free(account->name);
    free(account->home);
    free(account->shell);
    *account = (struct account){ 0 };
}
