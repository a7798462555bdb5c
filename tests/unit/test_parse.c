/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_parse.c - numbers, sizes and durations as people write and miswrite them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ringlet/parse.h"
#include "ringlet/util.h"

#define UNTOUCHED UINT64_C(0x5a5a5a5a5a5a5a5a)

struct sample {
    const char *text;
    uint64_t value;
};

typedef bool parse_function(const char *text, uint64_t *ret_value);

static void assert_all_parse(parse_function *parse, const struct sample *samples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value = UNTOUCHED;

        if (!parse(samples[i].text, &value))
            fail_msg("'%s' is refused", samples[i].text);
        if (value != samples[i].value)
            fail_msg("'%s' is %llu, not %llu", samples[i].text, (unsigned long long)value,
                     (unsigned long long)samples[i].value);
    }
}

static void assert_none_parse(parse_function *parse, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value = UNTOUCHED;

        if (parse(texts[i], &value))
            fail_msg("'%s' is taken, as %llu", texts[i], (unsigned long long)value);
        if (value != UNTOUCHED)
            fail_msg("'%s' is refused, but something was stored", texts[i]);
    }
}

static void test_parse_number_takes_whole_decimal_numbers(void **state)
{
    static const struct sample samples[] = {
        { "0", 0 },
        { "1", 1 },
        { "007", 7 },
        { "18446744073709551615", UINT64_MAX },
    };

    (void)state;
    assert_all_parse(parse_number, samples, ARRAY_SIZE(samples));
}

static void test_parse_number_refuses_all_else_and_stores_nothing(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        " 1",
        "1 ",
        "+1",
        "-1",
        "-0",
        "0x10",
        "1e3",
        "1.0",
        "four",
        "4k",
        "18446744073709551616",
        "99999999999999999999999999",
    };

    (void)state;
    assert_none_parse(parse_number, texts, ARRAY_SIZE(texts));
}

static void test_parse_size_without_unit_is_in_mib(void **state)
{
    static const struct sample samples[] = { { "0", 0 }, { "1", MIB }, { "512", 512 * MIB } };

    (void)state;
    assert_all_parse(parse_size, samples, ARRAY_SIZE(samples));
}

static void test_parse_size_knows_every_unit_in_either_case(void **state)
{
    static const struct sample samples[] = {
        { "64K", 64 * KIB }, { "64k", 64 * KIB }, { "3M", 3 * MIB },    { "3m", 3 * MIB },
        { "2G", 2 * GIB },   { "2g", 2 * GIB },   { "1T", GIB * 1024 }, { "1t", GIB * 1024 },
        { "2GB", 2 * GIB },  { "2gb", 2 * GIB },  { "2GiB", 2 * GIB },  { "2gib", 2 * GIB },
        { "4KiB", 4 * KIB }, { "0T", 0 },
    };

    (void)state;
    assert_all_parse(parse_size, samples, ARRAY_SIZE(samples));
}

static void test_parse_size_takes_the_largest_that_fits_and_refuses_the_next(void **state)
{
    static const struct sample largest[] = {
        { "16777215T", UINT64_C(16777215) << 40 },
        { "17592186044415", UINT64_C(17592186044415) << 20 },
    };
    static const char *const too_large[] = { "16777216T", "17592186044416", "18446744073709551615K",
                                             "18446744073709551616K" };

    (void)state;
    assert_all_parse(parse_size, largest, ARRAY_SIZE(largest));
    assert_none_parse(parse_size, too_large, ARRAY_SIZE(too_large));
}

static void test_parse_size_refuses_other_units_and_what_follows_one(void **state)
{
    static const char *const texts[] = {
        "",    "M",  "G5",  "-1M", "+1M",   " 1M", "1 M",  "1B",
        "1iB", "1X", "1MM", "1Mi", "1MiBs", "1M ", "1.5G", "lots",
    };

    (void)state;
    assert_none_parse(parse_size, texts, ARRAY_SIZE(texts));
}

static void test_parse_duration_knows_every_unit(void **state)
{
    static const struct sample samples[] = {
        { "1", UINT64_C(1000000000) },    { "90s", UINT64_C(90000000000) },  { "500ms", UINT64_C(500000000) },
        { "5m", UINT64_C(300000000000) }, { "2h", UINT64_C(7200000000000) },
    };

    (void)state;
    assert_all_parse(parse_duration, samples, ARRAY_SIZE(samples));
}

static void test_parse_duration_refuses_zero_and_other_units(void **state)
{
    static const char *const texts[] = { "",   "0",  "0s", "0ms", "s",  "-1s",  "+1",  " 1s", "1 s",
                                         "1S", "1d", "1M", "1us", "ms", "1.5s", "1s1", "soon" };

    (void)state;
    assert_none_parse(parse_duration, texts, ARRAY_SIZE(texts));
}

static void test_parse_duration_ends_where_a_timer_does(void **state)
{
    static const struct sample longest[] = { { "9223372036", UINT64_C(9223372036000000000) } };
    static const char *const too_long[] = { "9223372037", "2562048h", "18446744073709551615h",
                                            "18446744073709551616ms" };

    (void)state;
    assert_all_parse(parse_duration, longest, ARRAY_SIZE(longest));
    assert_none_parse(parse_duration, too_long, ARRAY_SIZE(too_long));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_number_takes_whole_decimal_numbers),
        cmocka_unit_test(test_parse_number_refuses_all_else_and_stores_nothing),
        cmocka_unit_test(test_parse_size_without_unit_is_in_mib),
        cmocka_unit_test(test_parse_size_knows_every_unit_in_either_case),
        cmocka_unit_test(test_parse_size_takes_the_largest_that_fits_and_refuses_the_next),
        cmocka_unit_test(test_parse_size_refuses_other_units_and_what_follows_one),
        cmocka_unit_test(test_parse_duration_knows_every_unit),
        cmocka_unit_test(test_parse_duration_refuses_zero_and_other_units),
        cmocka_unit_test(test_parse_duration_ends_where_a_timer_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
