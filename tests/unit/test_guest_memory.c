/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_guest_memory.c - guest RAM: what may be mapped where, and that no address and length reach outside.
 *
 * The fixture's RAM: two mappings that adjoin at SEAM, a hole, and one mapping above 4 GiB.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "ringlet/guest_memory.h"
#include "ringlet/util.h"

#define PAGE     UINT64_C(0x1000)
#define SEAM     (4 * PAGE)
#define LOW_END  (8 * PAGE)
#define HIGH     (4 * GIB)
#define HIGH_END (HIGH + 2 * PAGE)

static int populate(void **state, int (*create)(struct guest_memory **ret_memory))
{
    struct guest_memory *memory;

    if (create(&memory) < 0)
        return -1;
    *state = memory;
    /* out of order: it is the table's business to sort */
    if (guest_memory_add_ram(memory, HIGH, HIGH_END - HIGH) < 0 ||
        guest_memory_add_ram(memory, 0, SEAM) < 0 || guest_memory_add_ram(memory, SEAM, LOW_END - SEAM) < 0)
        return -1;
    return 0;
}

static int set_up(void **state)
{
    return populate(state, guest_memory_create);
}

static int set_up_shared(void **state)
{
    return populate(state, guest_memory_create_shared);
}

static int tear_down(void **state)
{
    guest_memory_destroy(*state);
    return 0;
}

/* --- mapping --- */

static void test_regions_are_ordered_by_base_and_add_up(void **state)
{
    static const uint64_t bases[] = { 0, SEAM, HIGH };
    static const uint64_t sizes[] = { SEAM, LOW_END - SEAM, HIGH_END - HIGH };
    const struct guest_memory *memory = *state;

    assert_int_equal(guest_memory_region_count(memory), 3);
    for (unsigned i = 0; i < 3; i++) {
        const struct guest_memory_region *region = guest_memory_region_at(memory, i);

        assert_true(region->base == bases[i]);
        assert_true(region->size == sizes[i]);
        assert_non_null(region->host);
    }
    assert_true(guest_memory_size(memory) == LOW_END + (HIGH_END - HIGH));
}

static void test_ram_must_be_whole_pages_and_must_not_wrap(void **state)
{
    struct guest_memory *memory = *state;

    assert_int_equal(guest_memory_add_ram(memory, GIB, 0), -EINVAL);
    assert_int_equal(guest_memory_add_ram(memory, GIB + 1, PAGE), -EINVAL);
    assert_int_equal(guest_memory_add_ram(memory, GIB, PAGE + 512), -EINVAL);
    assert_int_equal(guest_memory_add_ram(memory, UINT64_MAX - PAGE + 1, PAGE), -EINVAL);
    assert_int_equal(guest_memory_add_ram(memory, UINT64_MAX - PAGE + 1, 2 * PAGE), -EINVAL);
    assert_int_equal(guest_memory_region_count(memory), 3);
}

static void test_ram_must_not_overlap(void **state)
{
    struct guest_memory *memory = *state;

    assert_int_equal(guest_memory_add_ram(memory, 0, PAGE), -EEXIST);
    assert_int_equal(guest_memory_add_ram(memory, LOW_END - PAGE, 2 * PAGE), -EEXIST);
    assert_int_equal(guest_memory_add_ram(memory, HIGH - PAGE, 2 * PAGE), -EEXIST);
    assert_int_equal(guest_memory_add_ram(memory, LOW_END, HIGH_END), -EEXIST);
    assert_int_equal(guest_memory_add_ram(memory, LOW_END, PAGE), 0);
}

static void test_ram_comes_in_so_many_regions_and_no_more(void **state)
{
    struct guest_memory *memory = *state;

    for (unsigned i = 3; i < GUEST_MEMORY_MAX_REGIONS; i++)
        assert_int_equal(guest_memory_add_ram(memory, GIB + i * 2 * PAGE, PAGE), 0);
    assert_int_equal(guest_memory_add_ram(memory, 2 * GIB, PAGE), -ENOSPC);
    assert_int_equal(guest_memory_region_count(memory), GUEST_MEMORY_MAX_REGIONS);
}

static void test_ram_that_the_host_cannot_map_is_an_error(void **state)
{
    struct guest_memory *memory = *state;

    /* more than user space has addresses */
    assert_int_equal(guest_memory_add_ram(memory, 8 * GIB, UINT64_C(1) << 60), -ENOMEM);
    assert_int_equal(guest_memory_region_count(memory), 3);
}

static void test_destroy_takes_null(void **state)
{
    (void)state;
    guest_memory_destroy(NULL);
}

/* --- shareable memory --- */

static void test_private_ram_has_no_descriptor(void **state)
{
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(guest_memory_region_at(*state, i)->fd, -1);
}

static void test_shared_ram_is_the_same_wherever_its_descriptor_is_mapped(void **state)
{
    const struct guest_memory *memory = *state;

    for (unsigned i = 0; i < guest_memory_region_count(memory); i++) {
        const struct guest_memory_region *region = guest_memory_region_at(memory, i);
        unsigned char *other = mmap(NULL, region->size, PROT_READ | PROT_WRITE, MAP_SHARED, region->fd, 0);

        assert_ptr_not_equal(other, MAP_FAILED);
        ((unsigned char *)region->host)[PAGE] = (unsigned char)(i + 1);
        assert_int_equal(other[PAGE], i + 1);
        other[region->size - 1] = (unsigned char)(i + 7);
        assert_int_equal(((unsigned char *)region->host)[region->size - 1], i + 7);
        assert_int_equal(munmap(other, region->size), 0);
    }
}

static void test_shared_ram_cannot_be_resized_nor_unsealed(void **state)
{
    const struct guest_memory_region *region = guest_memory_region_at(*state, 0);
    struct stat status;

    assert_int_equal(ftruncate(region->fd, 0), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(region->fd, (off_t)(region->size + PAGE)), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(fcntl(region->fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    assert_int_equal(fstat(region->fd, &status), 0);
    assert_int_equal(status.st_size, region->size);
    assert_int_equal(fcntl(region->fd, F_GETFD), FD_CLOEXEC);
}

static void test_shared_ram_that_is_never_touched_costs_nothing(void **state)
{
    struct guest_memory *memory = *state;
    struct stat status;

    assert_int_equal(guest_memory_add_ram(memory, 8 * GIB, 1024 * GIB), 0);
    assert_int_equal(fstat(guest_memory_region_at(memory, 3)->fd, &status), 0);
    assert_int_equal(status.st_blocks, 0);
}

/* The next descriptor that would be given out. */
static int next_fd(void)
{
    int fd = dup(STDIN_FILENO);

    close(fd);
    return fd;
}

static void test_shared_ram_that_the_host_refuses_leaves_no_descriptor(void **state)
{
    struct guest_memory *memory = *state;
    struct rlimit before, tight;
    int next = next_fd();

    assert_int_equal(guest_memory_add_ram(memory, 8 * GIB, UINT64_C(1) << 63), -EFBIG);
    assert_int_equal(guest_memory_add_ram(memory, 8 * GIB, UINT64_C(1) << 60), -ENOMEM);
    assert_int_equal(next_fd(), next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    tight = before;
    tight.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    assert_int_equal(guest_memory_add_ram(memory, 8 * GIB, PAGE), -EMFILE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(guest_memory_region_count(memory), 3);
}

/* --- guest_memory_range --- */

static void test_range_inside_a_mapping_is_a_pointer_to_zeroes(void **state)
{
    const struct guest_memory *memory = *state;
    const unsigned char *bytes = guest_memory_range(memory, PAGE, 2 * PAGE);

    assert_non_null(bytes);
    assert_ptr_equal(bytes, (unsigned char *)guest_memory_region_at(memory, 0)->host + PAGE);
    for (unsigned i = 0; i < 2 * PAGE; i++)
        assert_int_equal(bytes[i], 0);
    assert_non_null(guest_memory_range(memory, 0, SEAM));
    assert_non_null(guest_memory_range(memory, SEAM - 1, 1));
    assert_non_null(guest_memory_range(memory, HIGH_END - 1, 1));
}

static void test_range_that_leaves_its_mapping_is_null(void **state)
{
    static const struct {
        uint64_t address, length;
    } outside[] = {
        { SEAM - 1, 2 },                 /* around the seam: all RAM, but not one mapping */
        { LOW_END - 1, 2 },              /* into the hole */
        { LOW_END, 1 },                  /* in the hole */
        { HIGH - 1, 2 },                 /* out of the hole */
        { HIGH_END, 1 },                 /* behind the end */
        { HIGH_END - 1, 2 },             /* over the end */
        { 0, UINT64_MAX },               /* longer than anything */
        { 1, UINT64_MAX },               /* wraps to where it began */
        { PAGE, UINT64_MAX - PAGE + 2 }, /* wraps to 1 */
        { UINT64_MAX, 1 },
        { UINT64_MAX, 2 },
        { UINT64_MAX, UINT64_MAX },
    };
    const struct guest_memory *memory = *state;

    for (size_t i = 0; i < ARRAY_SIZE(outside); i++) {
        if (guest_memory_range(memory, outside[i].address, outside[i].length))
            fail_msg("row %zu has a pointer", i);
    }
}

static void test_range_of_no_bytes_is_null(void **state)
{
    assert_null(guest_memory_range(*state, 0, 0));
    assert_null(guest_memory_range(*state, LOW_END, 0));
}

/* --- guest_memory_iovec --- */

static void test_iovec_in_one_mapping_is_one_vector(void **state)
{
    const struct guest_memory *memory = *state;
    struct iovec iov[2];

    assert_int_equal(guest_memory_iovec(memory, SEAM - 16, 16, iov, 2), 1);
    assert_ptr_equal(iov[0].iov_base, guest_memory_range(memory, SEAM - 16, 16));
    assert_int_equal(iov[0].iov_len, 16);
}

static void test_iovec_around_a_seam_is_two_vectors(void **state)
{
    const struct guest_memory *memory = *state;
    struct iovec iov[2];

    assert_int_equal(guest_memory_iovec(memory, SEAM - 3, 10, iov, 2), 2);
    assert_ptr_equal(iov[0].iov_base, guest_memory_range(memory, SEAM - 3, 3));
    assert_int_equal(iov[0].iov_len, 3);
    assert_ptr_equal(iov[1].iov_base, guest_memory_range(memory, SEAM, 7));
    assert_int_equal(iov[1].iov_len, 7);
}

static void test_iovec_without_room_is_too_big(void **state)
{
    struct iovec iov[1];

    assert_int_equal(guest_memory_iovec(*state, SEAM - 3, 10, iov, 1), -E2BIG);
    assert_int_equal(guest_memory_iovec(*state, 0, 1, iov, 0), -E2BIG);
}

static void test_iovec_that_is_not_all_ram_is_a_fault(void **state)
{
    const struct guest_memory *memory = *state;
    struct iovec iov[8];

    assert_int_equal(guest_memory_iovec(memory, 0, 0, iov, 8), -EFAULT);
    assert_int_equal(guest_memory_iovec(memory, LOW_END, 1, iov, 8), -EFAULT);
    assert_int_equal(guest_memory_iovec(memory, LOW_END - 1, 2, iov, 8), -EFAULT);
    assert_int_equal(guest_memory_iovec(memory, SEAM - 1, LOW_END, iov, 8), -EFAULT);
    assert_int_equal(guest_memory_iovec(memory, 0, HIGH_END, iov, 8), -EFAULT);
    assert_int_equal(guest_memory_iovec(memory, HIGH, UINT64_MAX, iov, 8), -EFAULT);
    assert_int_equal(guest_memory_iovec(memory, UINT64_MAX, 2, iov, 8), -EFAULT);
}

/* --- copies --- */

static void test_copies_cross_the_seam(void **state)
{
    const struct guest_memory *memory = *state;
    char back[8] = "";

    assert_int_equal(guest_memory_write(memory, SEAM - 3, "ringlet", 8), 0);
    assert_memory_equal(guest_memory_range(memory, SEAM - 3, 3), "rin", 3);
    assert_memory_equal(guest_memory_range(memory, SEAM, 5), "glet", 5);
    assert_int_equal(guest_memory_read(memory, SEAM - 3, back, sizeof(back)), 0);
    assert_string_equal(back, "ringlet");
}

static void test_copies_that_leave_ram_copy_nothing(void **state)
{
    const struct guest_memory *memory = *state;
    char back[8] = "intact!";

    assert_int_equal(guest_memory_write(memory, LOW_END - 4, "ringlet", 8), -EFAULT);
    assert_memory_equal(guest_memory_range(memory, LOW_END - 4, 4), "\0\0\0\0", 4);
    assert_int_equal(guest_memory_read(memory, LOW_END - 4, back, sizeof(back)), -EFAULT);
    assert_int_equal(guest_memory_read(memory, HIGH - 8, back, sizeof(back)), -EFAULT);
    assert_int_equal(guest_memory_read(memory, UINT64_MAX - 3, back, sizeof(back)), -EFAULT);
    assert_string_equal(back, "intact!");
}

static void test_copies_of_no_bytes_succeed_anywhere(void **state)
{
    assert_int_equal(guest_memory_read(*state, LOW_END, NULL, 0), 0);
    assert_int_equal(guest_memory_write(*state, UINT64_MAX, NULL, 0), 0);
}

#define ONE(name, set_up)                                                                                    \
    {                                                                                                        \
#name " [" #set_up "]", name, set_up, tear_down, NULL                                                \
    }
#define TEST(name) ONE(name, set_up), ONE(name, set_up_shared)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_regions_are_ordered_by_base_and_add_up),
        TEST(test_ram_must_be_whole_pages_and_must_not_wrap),
        TEST(test_ram_must_not_overlap),
        TEST(test_ram_comes_in_so_many_regions_and_no_more),
        TEST(test_ram_that_the_host_cannot_map_is_an_error),
        TEST(test_destroy_takes_null),
        ONE(test_private_ram_has_no_descriptor, set_up),
        ONE(test_shared_ram_is_the_same_wherever_its_descriptor_is_mapped, set_up_shared),
        ONE(test_shared_ram_cannot_be_resized_nor_unsealed, set_up_shared),
        ONE(test_shared_ram_that_is_never_touched_costs_nothing, set_up_shared),
        ONE(test_shared_ram_that_the_host_refuses_leaves_no_descriptor, set_up_shared),
        TEST(test_range_inside_a_mapping_is_a_pointer_to_zeroes),
        TEST(test_range_that_leaves_its_mapping_is_null),
        TEST(test_range_of_no_bytes_is_null),
        TEST(test_iovec_in_one_mapping_is_one_vector),
        TEST(test_iovec_around_a_seam_is_two_vectors),
        TEST(test_iovec_without_room_is_too_big),
        TEST(test_iovec_that_is_not_all_ram_is_a_fault),
        TEST(test_copies_cross_the_seam),
        TEST(test_copies_that_leave_ram_copy_nothing),
        TEST(test_copies_of_no_bytes_succeed_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
