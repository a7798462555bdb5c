/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_kvm_device.c - the sentence for each way in which /dev/kvm cannot be had, with other files in its place.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ringlet/error.h"
#include "ringlet/kvm.h"

#define NOBODY 65534

static void assert_refused(const char *path, int code, const char *sentence)
{
    struct error err = { 0 };

    assert_int_equal(kvm_open_device(path, &err), code);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, sentence));
}

static void test_device_that_does_not_exist_names_the_modules(void **state)
{
    (void)state;
    assert_refused("/nonexistent/kvm", -ENOENT, "load the module kvm_intel or kvm_amd");
}

static void test_device_of_another_kind_is_refused(void **state)
{
    (void)state;
    assert_refused("/dev/null", -ENOTTY, "is not a KVM device");
}

/* Whose group may use it, and what to do where no group may. */
static void test_device_without_permission_says_who_has_it(void **state)
{
    char path[] = "/tmp/ringlet-kvm-XXXXXX", sentence[128];
    struct group *group = getgrgid(1);
    int fd;

    (void)state;
    if (geteuid() != 0 || !group) {
        print_message("only root can become somebody without permission\n");
        skip();
    }
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(fchown(fd, 0, 1), 0);
    assert_int_equal(fchmod(fd, 0660), 0);
    assert_int_equal(seteuid(NOBODY), 0);
    snprintf(sentence, sizeof(sentence), "usermod -aG %s $USER", group->gr_name);
    assert_refused(path, -EACCES, sentence);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(fchmod(fd, 0600), 0);
    assert_int_equal(seteuid(NOBODY), 0);
    snprintf(sentence, sizeof(sentence), "which is root's, group %s, mode 0600", group->gr_name);
    assert_refused(path, -EACCES, sentence);
    assert_int_equal(seteuid(0), 0);
    unlink(path);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_device_that_does_not_exist_names_the_modules),
        cmocka_unit_test(test_device_of_another_kind_is_refused),
        cmocka_unit_test(test_device_without_permission_says_who_has_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
