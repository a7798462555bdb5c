/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_error.c - sentences for the person: written, prefixed, cut where they are too long.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ringlet/error.h"

/* A text of `length` letters. */
static const char *letters(size_t length)
{
    static char text[2 * ERROR_TEXT_SIZE];

    assert_true(length < sizeof(text));
    memset(text, 'x', length);
    text[length] = '\0';
    return text;
}

static void test_error_set_writes_the_sentence_and_returns_the_code(void **state)
{
    struct error err = { 0 };

    (void)state;
    assert_int_equal(error_set(&err, -ENOENT, "cannot open %s: %d", "root.img", 7), -ENOENT);
    assert_string_equal(err.text, "cannot open root.img: 7");
}

static void test_error_set_replaces_an_earlier_sentence(void **state)
{
    struct error err = { 0 };

    (void)state;
    error_set(&err, -EIO, "a long sentence that came first");
    error_set(&err, -EIO, "short");
    assert_string_equal(err.text, "short");
}

static void test_error_set_without_an_error_to_fill_returns_the_code(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, -EINVAL, "%s", "nobody reads this"), -EINVAL);
}

static void test_error_set_cuts_a_sentence_that_is_too_long(void **state)
{
    struct error err;

    (void)state;
    memset(&err, 0x7f, sizeof(err));
    error_set(&err, -EIO, "%s", letters(ERROR_TEXT_SIZE + 100));
    assert_int_equal(strlen(err.text), ERROR_TEXT_SIZE - 1);
    error_set(&err, -EIO, "%s", letters(ERROR_TEXT_SIZE - 1));
    assert_string_equal(err.text, letters(ERROR_TEXT_SIZE - 1));
}

static void test_error_prefix_goes_before_the_sentence(void **state)
{
    struct error err = { 0 };

    (void)state;
    error_set(&err, -EIO, "no room");
    error_prefix(&err, "disk%d", 3);
    assert_string_equal(err.text, "disk3: no room");
    error_prefix(&err, "VM");
    assert_string_equal(err.text, "VM: disk3: no room");
}

static void test_error_prefix_cuts_the_end_of_the_sentence(void **state)
{
    struct error err = { 0 };

    (void)state;
    error_set(&err, -EIO, "%s", letters(ERROR_TEXT_SIZE - 1));
    error_prefix(&err, "disk0");
    assert_int_equal(strlen(err.text), ERROR_TEXT_SIZE - 1);
    assert_memory_equal(err.text, "disk0: xxx", 10);
}

static void test_error_prefix_that_fills_all_the_room_stands_alone(void **state)
{
    struct error err = { 0 };

    (void)state;
    error_set(&err, -EIO, "lost");
    error_prefix(&err, "%s", letters(ERROR_TEXT_SIZE + 5));
    assert_string_equal(err.text, letters(ERROR_TEXT_SIZE - 1));
}

static void test_error_prefix_without_an_error_does_nothing(void **state)
{
    (void)state;
    error_prefix(NULL, "%s", "nobody reads this");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_set_writes_the_sentence_and_returns_the_code),
        cmocka_unit_test(test_error_set_replaces_an_earlier_sentence),
        cmocka_unit_test(test_error_set_without_an_error_to_fill_returns_the_code),
        cmocka_unit_test(test_error_set_cuts_a_sentence_that_is_too_long),
        cmocka_unit_test(test_error_prefix_goes_before_the_sentence),
        cmocka_unit_test(test_error_prefix_cuts_the_end_of_the_sentence),
        cmocka_unit_test(test_error_prefix_that_fills_all_the_room_stands_alone),
        cmocka_unit_test(test_error_prefix_without_an_error_does_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
