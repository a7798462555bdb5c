/* SPDX-License-Identifier: Apache-2.0 */
/*
 * util.h - small facts about C that every layer needs: array sizes, containers, checked and rounded sums.
 */
#ifndef RINGLET_UTIL_H
#define RINGLET_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* The structure of `type` whose field `member` `pointer` points to. */
#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* Add two lengths or addresses; false, with *ret_sum untouched, when the sum does not fit. */
static inline bool checked_add(uint64_t a, uint64_t b, uint64_t *ret_sum)
{
    uint64_t sum;

    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *ret_sum = sum;
    return true;
}

/* Multiply; false, with *ret_product untouched, when the product does not fit. */
static inline bool checked_mul(uint64_t a, uint64_t b, uint64_t *ret_product)
{
    uint64_t product;

    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *ret_product = product;
    return true;
}

/* Is [inner, inner + inner_length) inside [outer, outer + outer_length)? Never overflows. */
static inline bool range_within(uint64_t inner, uint64_t inner_length, uint64_t outer, uint64_t outer_length)
{
    return inner >= outer && inner_length <= outer_length && inner - outer <= outer_length - inner_length;
}

/* Round to a power of two. The caller knows that `value + alignment` fits. */
static inline uint64_t align_up(uint64_t value, uint64_t alignment)
{
    return (value + alignment - 1) & ~(alignment - 1);
}

static inline uint64_t align_down(uint64_t value, uint64_t alignment)
{
    return value & ~(alignment - 1);
}

static inline bool is_power_of_two(uint64_t value)
{
    return value && !(value & (value - 1));
}

#endif
