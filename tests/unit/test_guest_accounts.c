/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_guest_accounts.c - who a command is, by passwd and group files of all sorts.
 */
#include "accounts.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ringlet/error.h"
#include "ringlet/util.h"
#include "scratch.h"

static const char passwd_text[] = "root:x:0:0:root:/root:/bin/bash\n"
                                  "# a comment\n"
                                  "broken:x:12\n"
                                  "joe:x:nonsense:1000:::\n"
                                  "joe:x:1000:100:Joe,,,:/home/joe:/bin/zsh\n"
                                  "bare:x:1001:1001:::\n"
                                  "1000:x:7:7::/seven:/bin/seven\n"
                                  "minus:x:4294967295:0::/:/\n"
                                  "last:x:1002:1002::/home/last:/bin/sh:with:colons";
static const char group_text[] = "root:x:0:\n"
                                 "wheel:x:10:root,joe\n"
                                 "users:x:100:\n"
                                 "short:x\n"
                                 "audio:x:29:joey,joe\n"
                                 "again:x:29:joe\n"
                                 "bad:x:-1:joe\n"
                                 "staff:x:50:last,joes";

struct files {
    struct scratch *scratch;
    char passwd[SCRATCH_PATH_SIZE + 16], group[SCRATCH_PATH_SIZE + 16];
};

static struct files make_files(void **state)
{
    struct files files = { .scratch = *state };

    scratch_write(files.scratch, "passwd", passwd_text, strlen(passwd_text));
    scratch_write(files.scratch, "group", group_text, strlen(group_text));
    snprintf(files.passwd, sizeof(files.passwd), "%s/passwd", files.scratch->path);
    snprintf(files.group, sizeof(files.group), "%s/group", files.scratch->path);
    return files;
}

static struct account find(const struct files *files, const char *user)
{
    struct account account;
    struct error err = { "" };

    if (account_find(files->passwd, files->group, user, &account, &err) != 0)
        fail_msg("%s: %s", user, err.text);
    return account;
}

static void assert_groups(const struct account *account, const gid_t *groups, size_t count)
{
    assert_int_equal(account->group_count, count);
    assert_memory_equal(account->groups, groups, count * sizeof(*groups));
}

static void test_a_name_has_its_entry_and_its_groups(void **state)
{
    struct files files = make_files(state);
    struct account account = find(&files, "joe");

    assert_int_equal(account.uid, 1000);
    assert_int_equal(account.gid, 100);
    assert_string_equal(account.name, "joe");
    assert_string_equal(account.home, "/home/joe");
    assert_string_equal(account.shell, "/bin/zsh");
    assert_groups(&account, (const gid_t[]){ 100, 10, 29 }, 3);
    account_finish(&account);
}

static void test_empty_fields_have_defaults(void **state)
{
    struct files files = make_files(state);
    struct account account = find(&files, "bare");

    assert_int_equal(account.uid, 1001);
    assert_string_equal(account.home, "/");
    assert_string_equal(account.shell, "/bin/sh");
    assert_groups(&account, (const gid_t[]){ 1001 }, 1);
    account_finish(&account);
}

static void test_the_last_line_needs_no_newline(void **state)
{
    struct files files = make_files(state);
    struct account account = find(&files, "last");

    assert_int_equal(account.uid, 1002);
    assert_string_equal(account.shell, "/bin/sh");
    assert_groups(&account, (const gid_t[]){ 1002, 50 }, 2);
    account_finish(&account);
}

static void test_a_number_is_a_name_first_then_an_entry_then_itself(void **state)
{
    struct files files = make_files(state);
    struct account account = find(&files, "1000");

    assert_int_equal(account.uid, 7);
    account_finish(&account);
    account = find(&files, "1002");
    assert_string_equal(account.name, "last");
    assert_int_equal(account.gid, 1002);
    account_finish(&account);
    account = find(&files, "4242");
    assert_int_equal(account.uid, 4242);
    assert_int_equal(account.gid, 0);
    assert_string_equal(account.name, "4242");
    assert_string_equal(account.home, "/");
    account_finish(&account);
}

static void test_a_named_group_is_the_only_one(void **state)
{
    struct files files = make_files(state);
    struct account account = find(&files, "joe:audio");

    assert_int_equal(account.uid, 1000);
    assert_int_equal(account.gid, 29);
    assert_groups(&account, (const gid_t[]){ 29 }, 1);
    account_finish(&account);
    account = find(&files, "joe:77");
    assert_int_equal(account.gid, 77);
    assert_groups(&account, (const gid_t[]){ 77 }, 1);
    account_finish(&account);
}

static void test_who_does_not_exist_is_named(void **state)
{
    static const struct {
        const char *user, *part;
    } bad[] = {
        { "fred", "'fred'" },
        { "broken", "'broken'" },
        { "minus", "'minus'" },
        { "4294967295", "'4294967295'" },
        { "99999999999999999999", "'99999999999999999999'" },
        { "-1", "'-1'" },
        { "joe:", "''" },
        { "joe:nogroup", "'nogroup'" },
        { "joe:short", "'short'" },
        { "joe:4294967295", "'4294967295'" },
    };
    struct files files = make_files(state);

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct account account = { .uid = 77 };
        struct error err = { "" };

        assert_int_equal(account_find(files.passwd, files.group, bad[i].user, &account, &err), -ENOENT);
        if (!strstr(err.text, bad[i].part))
            fail_msg("'%s' does not say %s", err.text, bad[i].part);
        assert_int_equal(account.uid, 77);
    }
}

static void test_without_files_root_is_root_and_numbers_are_themselves(void **state)
{
    struct files files = make_files(state);
    struct account account;
    struct error err = { "" };

    strcat(files.passwd, ".no");
    strcat(files.group, ".no");
    account = find(&files, "root");
    assert_int_equal(account.uid, 0);
    assert_int_equal(account.gid, 0);
    assert_string_equal(account.home, "/root");
    assert_string_equal(account.shell, "/bin/sh");
    assert_groups(&account, (const gid_t[]){ 0 }, 1);
    account_finish(&account);
    account = find(&files, "5:6");
    assert_int_equal(account.uid, 5);
    assert_int_equal(account.gid, 6);
    account_finish(&account);
    assert_int_equal(account_find(files.passwd, files.group, "joe", &account, &err), -ENOENT);
    assert_non_null(strstr(err.text, "passwd.no"));
}

int main(void)
{
#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_set_up, scratch_tear_down)
    const struct CMUnitTest tests[] = {
        WITH_SCRATCH(test_a_name_has_its_entry_and_its_groups),
        WITH_SCRATCH(test_empty_fields_have_defaults),
        WITH_SCRATCH(test_the_last_line_needs_no_newline),
        WITH_SCRATCH(test_a_number_is_a_name_first_then_an_entry_then_itself),
        WITH_SCRATCH(test_a_named_group_is_the_only_one),
        WITH_SCRATCH(test_who_does_not_exist_is_named),
        WITH_SCRATCH(test_without_files_root_is_root_and_numbers_are_themselves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
