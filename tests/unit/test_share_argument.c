/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_share_argument.c - --share and --root: what their texts mean, what is asked of the outside for them, and
 * the sentence for each mistake.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_vhost.h"
#include "ringlet/backend_provider.h"
#include "ringlet/device_type.h"
#include "ringlet/error.h"
#include "ringlet/guest_memory.h"
#include "ringlet/share_argument.h"
#include "ringlet/util.h"
#include "ringlet/virtio_device.h"

#define VERSION_1 (UINT64_C(1) << 32)

static void expect(const char *text, const char *host, const char *guest, bool read_only)
{
    struct share_argument share;
    struct error err = { 0 };

    if (share_argument_parse(text, &share, &err) != 0)
        fail_msg("'%s' is refused: %s", text, err.text);
    assert_string_equal(share.host_directory, host);
    assert_string_equal(share.guest_directory, guest);
    assert_int_equal(share.read_only, read_only);
    assert_string_equal(err.text, "");
}

static void refuse(const char *text, const char *sentence)
{
    struct share_argument share = { .host_directory = "untouched" };
    struct error err = { 0 };

    assert_int_equal(share_argument_parse(text, &share, &err), -EINVAL);
    assert_string_equal(err.text, sentence);
    assert_string_equal(share.host_directory, "untouched");
}

/* --- the text --- */

static void test_share_is_a_directory_of_the_host_and_maybe_one_of_the_guest_and_ro(void **state)
{
    (void)state;
    expect("/srv/data", "/srv/data", "", false);
    expect("/srv/data:/data", "/srv/data", "/data", false);
    expect("/srv/data:/data:ro", "/srv/data", "/data", true);
    expect("/srv/data:ro", "/srv/data", "", true);
    expect(".:/src", ".", "/src", false);
    expect("/:/host:ro", "/", "/host", true);
    expect("fd=5:/data", "fd=5", "/data", false);
    expect("a b:/c d/", "a b", "/c d/", false);
}

static void test_share_ro_is_a_name_where_a_name_stands(void **state)
{
    (void)state;
    expect("ro", "ro", "", false);
    expect("ro:ro", "ro", "", true);
    expect("ro:/ro:ro", "ro", "/ro", true);
}

static void test_share_colon_in_a_name_is_written_twice(void **state)
{
    (void)state;
    expect("/a::b", "/a:b", "", false);
    expect("/a::b:/c::d:ro", "/a:b", "/c:d", true);
    expect("/a::::b", "/a::b", "", false);
    expect("::", ":", "", false);
    expect("/a:::/b", "/a:", "/b", false); /* the first two are the name's */
    expect("/a::ro", "/a:ro", "", false);
    expect("/a:/b:::ro", "/a", "/b:", true);
}

static void test_share_without_a_directory_of_the_host_is_refused(void **state)
{
    (void)state;
    refuse("", "--share needs a directory of the host before the first colon");
    refuse(":/data", "--share needs a directory of the host before the first colon");
    refuse(":ro", "--share needs a directory of the host before the first colon");
}

static void test_share_parts_that_are_neither_are_refused(void **state)
{
    static const char tail[] =
        "is neither 'ro' nor a directory of the guest, which begins with '/' (a colon in a "
        "name is written twice)";
    static const struct {
        const char *text, *part;
    } cases[] = {
        { "/a:", "" }, { "/a:data", "data" }, { "/a:rw", "rw" }, { "/a:RO", "RO" }, { "/a:./b", "./b" },
    };
    char sentence[256];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        snprintf(sentence, sizeof(sentence), "--share: '%s' %s", cases[i].part, tail);
        refuse(cases[i].text, sentence);
    }
}

static void test_share_parts_in_the_wrong_place_are_refused(void **state)
{
    (void)state;
    refuse("/a:ro:/b", "--share: nothing comes after 'ro' (a colon in a name is written twice)");
    refuse("/a:ro:ro", "--share: nothing comes after 'ro' (a colon in a name is written twice)");
    refuse("/a:/b:ro:", "--share: nothing comes after 'ro' (a colon in a name is written twice)");
    refuse("/a:/b:/c",
           "--share: '/c' comes after the guest's directory, where only 'ro' can stand (a colon in a "
           "name is written twice)");
    refuse("/a:/b:",
           "--share: '' comes after the guest's directory, where only 'ro' can stand (a colon in a name "
           "is written twice)");
}

static void test_share_is_not_the_guests_root(void **state)
{
    (void)state;
    refuse("/a:/", "--share: '/' would hide the whole guest; --root makes a directory its root");
    refuse("/a:///:ro", "--share: '///' would hide the whole guest; --root makes a directory its root");
}

static void test_share_names_end_where_paths_do(void **state)
{
    char text[3 * PATH_MAX], name[PATH_MAX + 1];

    (void)state;
    memset(name, 'x', sizeof(name));
    name[0] = '/';
    name[PATH_MAX - 1] = '\0'; /* as long as a path can be */
    snprintf(text, sizeof(text), "%s:%s:ro", name, name);
    expect(text, name, name, true);

    name[PATH_MAX - 1] = 'x';
    name[PATH_MAX] = '\0';
    refuse(name, "--share: a name is longer than 4095 bytes");
    snprintf(text, sizeof(text), "/a:%s", name);
    refuse(text, "--share: a name is longer than 4095 bytes");
    memset(text, ':', 2 * PATH_MAX);
    text[2 * PATH_MAX] = '\0';
    refuse(text, "--share: a name is longer than 4095 bytes");
}

/* --- the devices --- */

struct outside {
    struct backend_provider provider;
    struct fake_vhost vhost;
    int error; /* what open_share() returns instead of 0 */
    unsigned opened;
    char directory[64];
    bool read_only, at_rest;
    const char *name;
};

static int open_share(const struct backend_provider *provider, const struct share_options *options,
                      struct vhost_backend **ret_backend, struct error *err)
{
    struct outside *outside = container_of(provider, struct outside, provider);

    if (outside->error)
        return error_set(err, outside->error, "no virtiofsd");
    outside->opened++;
    snprintf(outside->directory, sizeof(outside->directory), "%s", options->directory);
    outside->read_only = options->read_only;
    outside->at_rest = options->at_rest;
    outside->name = options->name;
    *ret_backend = &outside->vhost.backend;
    return 0;
}

static const struct backend_provider_ops provider_ops = { .open_share = open_share };

struct fixture {
    struct outside outside;
    struct guest_memory *memory;
    struct virtio_device *device;
    struct error err;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->outside.provider.ops = &provider_ops;
    fake_vhost_init(&f->outside.vhost, VERSION_1);
    assert_int_equal(guest_memory_create_shared(&f->memory), 0);
    assert_int_equal(guest_memory_add_ram(f->memory, 0, 4096), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    virtio_device_destroy(f->device);
    guest_memory_destroy(f->memory);
    fake_vhost_finish(&f->outside.vhost);
    free(f);
    return 0;
}

static const struct device_type *type_of(const char *name)
{
    unsigned count;
    const struct device_type *types = device_types(&count);

    for (unsigned i = 0; i < count; i++) {
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    }
    fail_msg("there is no --%s", name);
    return NULL;
}

static int create(struct fixture *f, const char *type, const char *name, const char *value)
{
    const struct device_argument argument = { .value = value };
    const struct device_environment environment = { .name = name,
                                                    .memory = f->memory,
                                                    .backends = &f->outside.provider };

    return type_of(type)->create(&argument, &environment, &f->device, &f->err);
}

static void test_share_and_root_want_memory_that_is_shared(void **state)
{
    (void)state;
    assert_true(type_of("share")->shares_memory && type_of("share")->repeatable);
    assert_true(type_of("root")->shares_memory && !type_of("root")->repeatable);
    assert_false(type_of("disk")->shares_memory || type_of("net")->shares_memory);
}

static void test_share_opens_the_directory_of_the_host(void **state)
{
    struct fixture *f = *state;
    uint8_t tag[8] = { 0 };

    assert_int_equal(create(f, "share", "share3", "/a::b:/data"), 0);
    assert_int_equal(f->outside.opened, 1);
    assert_string_equal(f->outside.directory, "/a:b");
    assert_false(f->outside.read_only);
    assert_string_equal(f->outside.name, "share3");
    virtio_device_config_read(f->device, 0, tag, sizeof(tag));
    assert_memory_equal(tag, "share3\0", sizeof(tag));
}

static void test_share_with_ro_is_opened_so(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(create(f, "share", "share0", "/a:ro"), 0);
    assert_true(f->outside.read_only);
    assert_false(f->outside.at_rest);
}

static void test_root_is_read_only_and_its_colons_are_its_own(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(create(f, "root", "root0", "/a:/b::c"), 0);
    assert_string_equal(f->outside.directory, "/a:/b::c");
    assert_true(f->outside.read_only);
    assert_true(f->outside.at_rest);
    assert_string_equal(f->outside.name, "root0");
}

static void test_share_mistakes_are_found_before_anything_is_opened(void **state)
{
    struct fixture *f = *state;
    const struct device_argument wrong = { .value = "/a:b" }, right = { .value = "/a:/b" };

    assert_int_equal(type_of("share")->check(&wrong, &f->err), -EINVAL);
    assert_true(strlen(f->err.text) > 0);
    assert_int_equal(type_of("share")->check(&right, &f->err), 0);
    assert_int_equal(create(f, "share", "share0", "/a:b"), -EINVAL);
    assert_int_equal(f->outside.opened, 0);
}

static void test_share_that_cannot_be_opened_says_why(void **state)
{
    struct fixture *f = *state;

    f->outside.error = -ENOENT;
    assert_int_equal(create(f, "share", "share0", "/a"), -ENOENT);
    assert_string_equal(f->err.text, "--share: no virtiofsd");
    assert_int_equal(create(f, "root", "root0", "/a"), -ENOENT);
    assert_string_equal(f->err.text, "--root: no virtiofsd");
    assert_null(f->device);
}

static void test_share_device_that_cannot_be_made_ends_its_process(void **state)
{
    struct fixture *f = *state;

    f->outside.vhost.attach_error = -EPIPE;
    assert_int_equal(create(f, "root", "root0", "/a"), -EPIPE);
    assert_string_equal(f->err.text, "--root: cannot make a file system device of /a: Broken pipe");
    assert_true(f->outside.vhost.destroyed);
    assert_null(f->device);
}

#define WITH_OUTSIDE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_share_is_a_directory_of_the_host_and_maybe_one_of_the_guest_and_ro),
        cmocka_unit_test(test_share_ro_is_a_name_where_a_name_stands),
        cmocka_unit_test(test_share_colon_in_a_name_is_written_twice),
        cmocka_unit_test(test_share_without_a_directory_of_the_host_is_refused),
        cmocka_unit_test(test_share_parts_that_are_neither_are_refused),
        cmocka_unit_test(test_share_parts_in_the_wrong_place_are_refused),
        cmocka_unit_test(test_share_is_not_the_guests_root),
        cmocka_unit_test(test_share_names_end_where_paths_do),
        cmocka_unit_test(test_share_and_root_want_memory_that_is_shared),
        WITH_OUTSIDE(test_share_opens_the_directory_of_the_host),
        WITH_OUTSIDE(test_share_with_ro_is_opened_so),
        WITH_OUTSIDE(test_root_is_read_only_and_its_colons_are_its_own),
        WITH_OUTSIDE(test_share_mistakes_are_found_before_anything_is_opened),
        WITH_OUTSIDE(test_share_that_cannot_be_opened_says_why),
        WITH_OUTSIDE(test_share_device_that_cannot_be_made_ends_its_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
