/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_aml.c - AML byte by byte, as ACPI 6.5's chapter 20 writes it.
 */
#include "../../src/arch/x86/aml.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ringlet/util.h"

struct page {
    struct aml aml;
    uint8_t bytes[256];
};

static void start(struct page *page)
{
    aml_init(&page->aml, page->bytes, sizeof(page->bytes));
}

static void assert_written(const struct page *page, const void *expected, size_t expected_length)
{
    size_t length;

    assert_int_equal(aml_finish(&page->aml, &length), 0);
    assert_int_equal(length, expected_length);
    assert_memory_equal(page->bytes, expected, expected_length);
}

#define ASSERT_BYTES(page, ...)                                                                              \
    assert_written((page), (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void test_integer_takes_the_shortest_form(void **state)
{
    struct page page;

    (void)state;
    start(&page);
    aml_integer(&page.aml, 0);
    aml_integer(&page.aml, 1);
    aml_integer(&page.aml, 2);
    aml_integer(&page.aml, 0xff);
    aml_integer(&page.aml, 0x100);
    aml_integer(&page.aml, 0xffff);
    aml_integer(&page.aml, 0x10000);
    aml_integer(&page.aml, 0xffffffff);
    aml_integer(&page.aml, UINT64_C(0x123456789a));
    ASSERT_BYTES(&page, 0x00, 0x01, 0x0a, 2, 0x0a, 0xff, 0x0b, 0, 1, 0x0b, 0xff, 0xff, 0x0c, 0, 0, 1, 0, 0x0c,
                 0xff, 0xff, 0xff, 0xff, 0x0e, 0x9a, 0x78, 0x56, 0x34, 0x12, 0, 0, 0);
}

static void test_string_is_terminated(void **state)
{
    struct page page;

    (void)state;
    start(&page);
    aml_string(&page.aml, "LNRO");
    ASSERT_BYTES(&page, 0x0d, 'L', 'N', 'R', 'O', 0);
}

static void test_eisa_id_is_compressed(void **state)
{
    struct page page;

    (void)state;
    start(&page);
    aml_eisa_id(&page.aml, "PNP0501");
    aml_eisa_id(&page.aml, "ABC0DEF");
    ASSERT_BYTES(&page, 0x0c, 0x41, 0xd0, 0x05, 0x01, 0x0c, 0x04, 0x43, 0x0d, 0xef);
}

static void test_names_are_padded_and_prefixed(void **state)
{
    struct page page;

    (void)state;
    start(&page);
    aml_name(&page.aml, "A1");
    aml_name(&page.aml, "\\_S5");
    aml_name(&page.aml, "_SB.PCI0");
    aml_name(&page.aml, "\\A.B.CD");
    ASSERT_BYTES(&page, 0x08, 'A', '1', '_', '_', 0x08, '\\', '_', 'S', '5', '_', 0x08, 0x2e, '_', 'S', 'B',
                 '_', 'P', 'C', 'I', '0', 0x08, '\\', 0x2f, 3, 'A', '_', '_', '_', 'B', '_', '_', '_', 'C',
                 'D', '_', '_');
}

static void test_blocks_nest(void **state)
{
    struct page page;

    (void)state;
    start(&page);
    aml_scope(&page.aml, "\\_SB");
    aml_device(&page.aml, "COM1");
    aml_name_integer(&page.aml, "_UID", 7);
    aml_end(&page.aml);
    aml_end(&page.aml);
    aml_name(&page.aml, "_S5");
    aml_package(&page.aml, 2);
    aml_integer(&page.aml, 5);
    aml_integer(&page.aml, 0);
    aml_end(&page.aml);
    ASSERT_BYTES(&page, 0x10, 20, '\\', '_', 'S', 'B', '_', 0x5b, 0x82, 12, 'C', 'O', 'M', '1', 0x08, '_',
                 'U', 'I', 'D', 0x0a, 7, 0x08, '_', 'S', '5', '_', 0x12, 5, 2, 0x0a, 5, 0x00);
}

static void test_resource_template_counts_its_bytes(void **state)
{
    struct page page;

    (void)state;
    start(&page);
    aml_resource_template(&page.aml);
    aml_io(&page.aml, 0x3f8, 8);
    aml_interrupt_edge(&page.aml, 4);
    aml_end(&page.aml);
    ASSERT_BYTES(&page, 0x11, 22, 0x0a, 19, 0x47, 1, 0xf8, 3, 0xf8, 3, 1, 8, 0x89, 6, 0, 3, 1, 4, 0, 0, 0,
                 0x79, 0);
}

static void test_memory_descriptors(void **state)
{
    struct page page;

    (void)state;
    start(&page);
    aml_memory32_fixed(&page.aml, 0xd0001000, 0x1000);
    aml_qword_memory(&page.aml, UINT64_C(0x4000000000), 0x2000);
    ASSERT_BYTES(&page, 0x86, 9, 0, 1, 0x00, 0x10, 0x00, 0xd0, 0x00, 0x10, 0, 0, /* memory32 */
                 0x8a, 43, 0, 0, 0x0d, 1, 0, 0, 0, 0, 0, 0, 0, 0,                /* qword: granularity */
                 0, 0, 0, 0, 0x40, 0, 0, 0, 0xff, 0x1f, 0, 0, 0x40, 0, 0, 0,     /* minimum, maximum */
                 0, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x20, 0, 0, 0, 0, 0, 0);          /* translation, length */
}

/* A package of `content` bytes beside its own length, for every width the length can have. */
static void assert_package_length(size_t content, const uint8_t *expected, size_t expected_length)
{
    size_t size = content + 16, length;
    uint8_t *bytes = malloc(size);
    struct aml aml;

    assert_non_null(bytes);
    aml_init(&aml, bytes, size);
    aml_package(&aml, 255);
    for (size_t i = 1; i < content; i++)
        aml_integer(&aml, 1);
    aml_end(&aml);
    assert_int_equal(aml_finish(&aml, &length), 0);
    assert_int_equal(length, 1 + expected_length + content);
    assert_memory_equal(bytes + 1, expected, expected_length);
    assert_int_equal(bytes[1 + expected_length], 255);
    assert_int_equal(bytes[length - 1], 1);
    free(bytes);
}

static void test_package_length_of_every_width(void **state)
{
    (void)state;
    assert_package_length(62, (const uint8_t[]){ 63 }, 1);
    assert_package_length(63, (const uint8_t[]){ 0x41, 0x04 }, 2);            /* 65 */
    assert_package_length(4093, (const uint8_t[]){ 0x4f, 0xff }, 2);          /* 4095 */
    assert_package_length(4094, (const uint8_t[]){ 0x81, 0x00, 0x01 }, 3);    /* 4097 */
    assert_package_length(0xffffc, (const uint8_t[]){ 0x8f, 0xff, 0xff }, 3); /* 0xfffff */
    assert_package_length(0xffffd, (const uint8_t[]){ 0xc1, 0, 0, 0x01 }, 4); /* 0x100001 */
}

/* A bit of everything that is inserted late. Returns aml_finish()'s result. */
static int write_sample(uint8_t *bytes, size_t size, size_t *ret_length)
{
    struct aml aml;

    aml_init(&aml, bytes, size);
    aml_scope(&aml, "\\_SB");
    aml_name(&aml, "_CRS");
    aml_resource_template(&aml);
    aml_memory32_fixed(&aml, 1, 2);
    aml_end(&aml);
    aml_name_string(&aml, "_HID", "LNRO0005");
    aml_end(&aml);
    return aml_finish(&aml, ret_length);
}

static void test_output_that_does_not_fit_is_told_at_the_end(void **state)
{
    uint8_t bytes[80];
    size_t full, length = 99;

    (void)state;
    assert_int_equal(write_sample(bytes, sizeof(bytes), &full), 0);
    /* Every size short of enough fails, wherever the end happens to fall, and no byte behind it is touched.
     */
    for (size_t size = 0; size < full; size++) {
        memset(bytes, 0xee, sizeof(bytes));
        assert_int_equal(write_sample(bytes, size, &length), -ENOSPC);
        assert_int_equal(length, 99);
        for (size_t i = size; i < sizeof(bytes); i++)
            assert_int_equal(bytes[i], 0xee);
    }
}

static void test_exactly_enough_room_is_enough(void **state)
{
    uint8_t roomy[80], exact[80];
    size_t length, again;

    (void)state;
    assert_int_equal(write_sample(roomy, sizeof(roomy), &length), 0);
    assert_int_equal(write_sample(exact, length, &again), 0);
    assert_int_equal(again, length);
    assert_memory_equal(roomy, exact, length);
}

static void assert_refused(const struct page *page)
{
    size_t length;

    assert_int_equal(aml_finish(&page->aml, &length), -EINVAL);
}

static void test_names_that_aml_cannot_say_are_refused(void **state)
{
    const char *const names[] = { "",     "\\", "TOOLONG", "_sb",       "1ABC", "A-B",
                                  "A..B", "A.", ".A",      "A.TOOLONG", "\\\\A" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct page page;

        start(&page);
        aml_name(&page.aml, names[i]);
        assert_refused(&page);
    }
}

static void test_a_name_of_too_many_segments_is_refused(void **state)
{
    struct page page;
    char name[2 * 256 + 1];

    (void)state;
    for (size_t i = 0; i < sizeof(name); i++)
        name[i] = i % 2 ? '.' : 'A';
    name[sizeof(name) - 2] = '\0';
    start(&page);
    aml_name(&page.aml, name);
    assert_refused(&page);
}

static void test_ids_and_strings_that_aml_cannot_say_are_refused(void **state)
{
    const char *const ids[] = { "", "PNP050", "PNP05011", "pnp0501", "PN10501", "PNP05G1", "PNP050a" };
    struct page page;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        start(&page);
        aml_eisa_id(&page.aml, ids[i]);
        assert_refused(&page);
    }
    start(&page);
    aml_string(&page.aml, "\xc3\xbc");
    assert_refused(&page);
}

static void test_memory_beyond_the_last_address_is_refused(void **state)
{
    struct page page;

    (void)state;
    start(&page);
    aml_qword_memory(&page.aml, UINT64_MAX - 0xfff, 0x1001);
    assert_refused(&page);
    start(&page);
    aml_qword_memory(&page.aml, 0x1000, 0);
    assert_refused(&page);
}

static void test_unbalanced_blocks_are_refused(void **state)
{
    struct page page;

    (void)state;
    start(&page);
    aml_end(&page.aml);
    assert_refused(&page);

    start(&page);
    aml_scope(&page.aml, "\\_SB");
    assert_refused(&page);

    start(&page);
    for (unsigned i = 0; i <= AML_DEPTH_MAX; i++)
        aml_package(&page.aml, 1);
    for (unsigned i = 0; i <= AML_DEPTH_MAX; i++)
        aml_end(&page.aml);
    assert_refused(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integer_takes_the_shortest_form),
        cmocka_unit_test(test_string_is_terminated),
        cmocka_unit_test(test_eisa_id_is_compressed),
        cmocka_unit_test(test_names_are_padded_and_prefixed),
        cmocka_unit_test(test_blocks_nest),
        cmocka_unit_test(test_resource_template_counts_its_bytes),
        cmocka_unit_test(test_memory_descriptors),
        cmocka_unit_test(test_package_length_of_every_width),
        cmocka_unit_test(test_output_that_does_not_fit_is_told_at_the_end),
        cmocka_unit_test(test_exactly_enough_room_is_enough),
        cmocka_unit_test(test_names_that_aml_cannot_say_are_refused),
        cmocka_unit_test(test_a_name_of_too_many_segments_is_refused),
        cmocka_unit_test(test_ids_and_strings_that_aml_cannot_say_are_refused),
        cmocka_unit_test(test_memory_beyond_the_last_address_is_refused),
        cmocka_unit_test(test_unbalanced_blocks_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
