/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_cpuid.c - the CPUID answers, read the way Linux reads them: its topology parsers (before and
 * after 6.9, Intel and AMD) must all come to the same machine.
 */
#include "ringlet/x86_cpuid.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ringlet/util.h"

#define CAPACITY 64

#define VMX          (1u << 5)
#define X2APIC       (1u << 21)
#define TSC_DEADLINE (1u << 24)
#define OSXSAVE      (1u << 27)
#define HYPERVISOR   (1u << 31)
#define HTT          (1u << 28)
#define OSPKE        (1u << 4)
#define CMP_LEGACY   (1u << 1)
#define SVM          (1u << 2)
#define TOPOEXT      (1u << 22)

#define INDEXED KVM_CPUID_FLAG_SIGNIFCANT_INDEX

/* Of a host with two threads a core and 64 cores, whose own shape must not shine through. */
static const struct kvm_cpuid_entry2 intel_host[] = {
    { .function = 0, .eax = 0x20, .ebx = 0x756e6547, .edx = 0x49656e69, .ecx = 0x6c65746e },
    { .function = 1,
      .eax = 0x806f8,
      .ebx = 0x2f80089a,
      .ecx = 0x1214 | VMX | OSXSAVE,
      .edx = 0x0f8bfbff | HTT },
    { .function = 4, .index = 0, .flags = INDEXED, .eax = 0xfc004121, .ebx = 0x2c0003f, .ecx = 0x3f },
    { .function = 4, .index = 1, .flags = INDEXED, .eax = 0xfc004122 },
    { .function = 4, .index = 2, .flags = INDEXED, .eax = 0xfc004143 },
    { .function = 4, .index = 3, .flags = INDEXED, .eax = 0xfc1fc163 },
    { .function = 4, .index = 4, .flags = INDEXED },
    { .function = 7, .index = 0, .flags = INDEXED, .eax = 1, .ebx = 0xf1bf07ab, .ecx = 0x1b415f6e | OSPKE },
    { .function = 7, .index = 1, .flags = INDEXED, .eax = 0x1c30, .ecx = OSPKE },
    { .function = 0xb, .index = 0, .flags = INDEXED, .eax = 1, .ebx = 2, .ecx = 0x100, .edx = 0x2f },
    { .function = 0xb, .index = 1, .flags = INDEXED, .eax = 7, .ebx = 128, .ecx = 0x201, .edx = 0x2f },
    { .function = 0x1f, .index = 0, .flags = INDEXED, .eax = 1, .ebx = 2, .ecx = 0x100, .edx = 0x2f },
    { .function = 0x40000000, .eax = 0x40000001, .ebx = 0x4b4d564b, .ecx = 0x564b4d56, .edx = 0x4d },
    { .function = 0x40000001, .eax = 0x01007afb },
    { .function = 0x80000000, .eax = 0x80000008 },
    { .function = 0x80000001, .ecx = 0x121, .edx = 0x2c100800 },
    { .function = 0x80000008, .eax = 0x302e, .ecx = 0 },
};

static const struct kvm_cpuid_entry2 amd_host[] = {
    { .function = 0, .eax = 0x10, .ebx = 0x68747541, .edx = 0x69746e65, .ecx = 0x444d4163 },
    { .function = 1, .eax = 0xa20f12, .ebx = 0x1f200800, .ecx = 0x1214, .edx = 0x078bfbff },
    { .function = 7, .index = 0, .flags = INDEXED, .ecx = 0 },
    { .function = 0x80000000, .eax = 0x80000021 },
    { .function = 0x80000001, .ecx = 0x75c237ff },
    { .function = 0x80000008, .eax = 0x3030, .ecx = 0x1501f },
    { .function = 0x8000001d, .index = 0, .flags = INDEXED, .eax = 0x4121 },
    { .function = 0x8000001d, .index = 1, .flags = INDEXED, .eax = 0x4122 },
    { .function = 0x8000001d, .index = 2, .flags = INDEXED, .eax = 0x4143 },
    { .function = 0x8000001d, .index = 3, .flags = INDEXED, .eax = 0x3c163 },
    { .function = 0x8000001d, .index = 4, .flags = INDEXED },
    { .function = 0x8000001e, .eax = 0x1f, .ebx = 0x10f, .ecx = 0x303, .edx = 9 },
    { .function = 0x80000026, .index = 0, .flags = INDEXED, .eax = 1, .ebx = 2, .ecx = 0x100, .edx = 0x1f },
};

/* A table with room for CAPACITY entries. */
static struct kvm_cpuid2 *table_of(const struct kvm_cpuid_entry2 *entries, unsigned count)
{
    struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + CAPACITY * sizeof(cpuid->entries[0]));

    assert_non_null(cpuid);
    assert_true(count <= CAPACITY);
    memcpy(cpuid->entries, entries, count * sizeof(entries[0]));
    cpuid->nent = count;
    return cpuid;
}

static struct kvm_cpuid2 *adjusted(const struct kvm_cpuid_entry2 *entries, unsigned count,
                                   const struct x86_cpuid_config *config)
{
    struct kvm_cpuid2 *cpuid = table_of(entries, count);

    assert_int_equal(x86_cpuid_adjust(cpuid, CAPACITY, config), 0);
    return cpuid;
}

#define INTEL(config) adjusted(intel_host, ARRAY_SIZE(intel_host), (config))
#define AMD(config)   adjusted(amd_host, ARRAY_SIZE(amd_host), (config))

/* As KVM answers: the one entry of that function and index, zeros where there is none. */
static struct kvm_cpuid_entry2 ask(const struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index)
{
    struct kvm_cpuid_entry2 answer = { 0 };
    unsigned found = 0;

    for (uint32_t i = 0; i < cpuid->nent; i++) {
        const struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

        if (entry->function == function && (!(entry->flags & INDEXED) || entry->index == index)) {
            answer = *entry;
            found++;
        }
    }
    assert_true(found <= 1);
    return answer;
}

static unsigned count_order(unsigned count)
{
    unsigned order = 0;

    while (1u << order < count)
        order++;
    return order;
}

static void test_every_cpu_has_its_apic_id_everywhere(void **state)
{
    (void)state;
    for (unsigned index = 0; index < 32; index++) {
        const struct x86_cpuid_config config = { .cpu_index = index, .cpu_count = 32 };
        struct kvm_cpuid2 *intel = INTEL(&config), *amd = AMD(&config);

        assert_int_equal(ask(intel, 1, 0).ebx >> 24, index);
        assert_int_equal(ask(amd, 1, 0).ebx >> 24, index);
        for (uint32_t level = 0; level < 3; level++) {
            assert_int_equal(ask(intel, 0xb, level).edx, index);
            assert_int_equal(ask(intel, 0x1f, level).edx, index);
            assert_int_equal(ask(amd, 0xb, level).edx, index);
        }
        assert_int_equal(ask(amd, 0x8000001e, 0).eax, index);
        assert_int_equal(ask(amd, 0x8000001e, 0).ebx & 0xff, index);
        free(intel);
        free(amd);
    }
}

static void test_feature_bits_are_this_machines(void **state)
{
    const struct x86_cpuid_config config = { .cpu_count = 2 },
                                  deadline = { .cpu_count = 2, .tsc_deadline = true };
    struct kvm_cpuid2 *plain = INTEL(&config), *with_deadline = INTEL(&deadline);

    (void)state;
    assert_int_equal(ask(plain, 1, 0).ecx, 0x1214 | X2APIC | HYPERVISOR);
    assert_int_equal(ask(with_deadline, 1, 0).ecx, 0x1214 | X2APIC | HYPERVISOR | TSC_DEADLINE);
    assert_int_equal(ask(plain, 1, 0).ebx & 0xffff, 0x089a);
    assert_int_equal(ask(plain, 1, 0).edx, 0x0f8bfbff | HTT);
    assert_int_equal(ask(plain, 7, 0).ecx, 0x1b415f6e & ~OSPKE);
    assert_int_equal(ask(plain, 7, 1).ecx, OSPKE); /* another leaf's bit 4 */
    free(plain);
    free(with_deadline);
}

static void test_nested_virtualisation_is_hidden_unless_asked_for(void **state)
{
    struct x86_cpuid_config config = { .cpu_count = 1 };
    struct kvm_cpuid2 *intel = INTEL(&config), *amd = AMD(&config);

    (void)state;
    assert_false(ask(intel, 1, 0).ecx & VMX);
    assert_false(ask(amd, 0x80000001, 0).ecx & SVM);
    free(intel);
    free(amd);

    config.nested = true;
    intel = INTEL(&config);
    amd = AMD(&config);
    assert_true(ask(intel, 1, 0).ecx & VMX);
    assert_true(ask(amd, 0x80000001, 0).ecx & SVM);
    free(intel);
    free(amd);
}

static void test_a_single_cpu_is_not_multi_threaded(void **state)
{
    const struct x86_cpuid_config config = { .cpu_count = 1 };
    struct kvm_cpuid2 *intel = INTEL(&config), *amd = AMD(&config);

    (void)state;
    assert_false(ask(intel, 1, 0).edx & HTT);
    assert_int_equal(ask(intel, 1, 0).ebx >> 16 & 0xff, 1);
    assert_false(ask(amd, 1, 0).edx & HTT);
    assert_false(ask(amd, 0x80000001, 0).ecx & CMP_LEGACY);
    assert_int_equal(ask(amd, 0x80000008, 0).ecx & 0xf0ff, 0);
    assert_int_equal(ask(intel, 4, 0).eax >> 26, 0);
    free(intel);
    free(amd);
}

/* Linux 6.9 and later, both vendors: arch/x86/kernel/cpu/topology_ext.c. */
static void assert_extended_topology(const struct kvm_cpuid2 *cpuid, uint32_t leaf, unsigned count)
{
    struct kvm_cpuid_entry2 threads = ask(cpuid, leaf, 0), cores = ask(cpuid, leaf, 1),
                            end = ask(cpuid, leaf, 2);

    assert_int_equal(threads.ecx, 0x100); /* level 0, type SMT */
    assert_int_equal(threads.eax, 0);
    assert_int_equal(threads.ebx, 1);
    assert_int_equal(cores.ecx, 0x201); /* level 1, type core */
    assert_int_equal(cores.eax, count_order(count));
    assert_int_equal(cores.ebx, count);
    assert_int_equal(end.ecx, 2); /* level 2, type none */
    assert_int_equal(end.ebx, 0);
}

/* Older kernels on Intel: cores from leaf 4, siblings from leaf 1. */
static void assert_legacy_intel_topology(const struct kvm_cpuid2 *cpuid, unsigned count)
{
    unsigned cores = (ask(cpuid, 4, 0).eax >> 26) + 1;

    assert_int_equal(cores, 1u << count_order(count));
    assert_int_equal(count_order(ask(cpuid, 1, 0).ebx >> 16 & 0xff),
                     count_order(cores)); /* no SMT bits left */
    assert_int_equal(!!(ask(cpuid, 1, 0).edx & HTT), count > 1);
}

/* Without leaf 0xb on AMD: 0x80000008 for the cores, 0x8000001e for threads and nodes. */
static void assert_legacy_amd_topology(const struct kvm_cpuid2 *cpuid, unsigned count)
{
    struct kvm_cpuid_entry2 sizes = ask(cpuid, 0x80000008, 0), topology = ask(cpuid, 0x8000001e, 0);

    assert_int_equal((sizes.ecx & 0xff) + 1, count);
    assert_int_equal(sizes.ecx >> 12 & 0xf, count_order(count));
    assert_int_equal(sizes.ecx >> 16, 0x1); /* not shape: untouched */
    assert_int_equal(topology.ebx >> 8, 0); /* one thread a core */
    assert_int_equal(topology.ecx, 0);      /* node 0 of one */
    assert_int_equal(topology.edx, 0);
    assert_int_equal(!!(ask(cpuid, 0x80000001, 0).ecx & CMP_LEGACY), count > 1);
}

static void test_every_parser_of_linux_sees_one_socket_of_cores(void **state)
{
    (void)state;
    for (unsigned count = 1; count <= X86_CPUID_CPU_MAX; count++) {
        const struct x86_cpuid_config config = { .cpu_index = count - 1, .cpu_count = count };
        struct kvm_cpuid2 *intel = INTEL(&config), *amd = AMD(&config);

        assert_extended_topology(intel, 0x1f, count);
        assert_extended_topology(intel, 0xb, count);
        assert_extended_topology(amd, 0xb, count);
        assert_legacy_intel_topology(intel, count);
        assert_legacy_amd_topology(amd, count);
        /* Every id fits the bits that number the package. */
        assert_int_equal(config.cpu_index >> ask(intel, 0xb, 1).eax, 0);
        free(intel);
        free(amd);
    }
}

static void test_amd_gets_leaf_0xb_within_its_basic_range(void **state)
{
    const struct x86_cpuid_config config = { .cpu_count = 4 };
    struct kvm_cpuid_entry2 old[ARRAY_SIZE(amd_host)];
    struct kvm_cpuid2 *cpuid;

    (void)state;
    memcpy(old, amd_host, sizeof(old));
    old[0].eax = 7;
    cpuid = adjusted(old, ARRAY_SIZE(old), &config);
    assert_int_equal(ask(cpuid, 0, 0).eax, 0xb);
    assert_extended_topology(cpuid, 0xb, 4);
    assert_int_equal(ask(cpuid, 0x1f, 0).ebx, 0); /* beyond the range: not given */
    free(cpuid);

    cpuid = AMD(&config);
    assert_int_equal(ask(cpuid, 0, 0).eax, 0x10);
    free(cpuid);
}

/* Linux takes it for the truth before leaf 0xb. */
static void test_amds_richer_topology_of_the_host_is_taken_out(void **state)
{
    const struct x86_cpuid_config config = { .cpu_count = 4 };
    struct kvm_cpuid2 *cpuid = AMD(&config);

    (void)state;
    assert_int_equal(ask(cpuid, 0x80000026, 0).ebx, 0);
    free(cpuid);
}

static void test_amd_topology_leaf_is_added_where_topoext_promises_it(void **state)
{
    const struct x86_cpuid_config config = { .cpu_index = 3, .cpu_count = 4 };
    struct kvm_cpuid_entry2 without[ARRAY_SIZE(amd_host)];
    struct kvm_cpuid2 *cpuid;

    (void)state;
    memcpy(without, amd_host, sizeof(without));
    without[11].function = 0x80000020; /* was 0x8000001e */
    cpuid = adjusted(without, ARRAY_SIZE(without), &config);
    assert_int_equal(ask(cpuid, 0x8000001e, 0).eax, 3);
    free(cpuid);

    without[4].ecx &= ~TOPOEXT;
    cpuid = adjusted(without, ARRAY_SIZE(without), &config);
    assert_int_equal(ask(cpuid, 0x8000001e, 0).eax, 0);
    free(cpuid);
}

static void test_last_level_cache_is_shared_and_the_others_private(void **state)
{
    (void)state;
    for (unsigned count = 1; count <= X86_CPUID_CPU_MAX; count++) {
        const struct x86_cpuid_config config = { .cpu_count = count };
        struct kvm_cpuid2 *intel = INTEL(&config), *amd = AMD(&config);

        for (uint32_t cache = 0; cache < 3; cache++) {
            assert_int_equal(ask(intel, 4, cache).eax >> 14 & 0xfff, 0);
            assert_int_equal(ask(amd, 0x8000001d, cache).eax >> 14 & 0xfff, 0);
        }
        assert_int_equal((ask(intel, 4, 3).eax >> 14 & 0xfff) + 1, 1u << count_order(count));
        assert_int_equal((ask(amd, 0x8000001d, 3).eax >> 14 & 0xfff) + 1, count);
        /* Type, level and the rest stay; the end of the list stays the end. */
        assert_int_equal(ask(intel, 4, 3).eax & 0x3fff, 0x163);
        assert_int_equal(ask(amd, 0x8000001d, 3).eax & 0x3fff, 0x163);
        assert_int_equal(ask(intel, 4, 0).ebx, 0x2c0003f);
        assert_int_equal(ask(intel, 4, 4).eax, 0);
        assert_int_equal(ask(amd, 0x8000001d, 4).eax, 0);
        free(intel);
        free(amd);
    }
}

/* Intel reserves what AMD uses there. */
static void test_intel_is_not_given_amds_fields(void **state)
{
    const struct x86_cpuid_config config = { .cpu_index = 1, .cpu_count = 4 };
    struct kvm_cpuid2 *cpuid = INTEL(&config);

    (void)state;
    assert_int_equal(ask(cpuid, 0x80000008, 0).ecx, 0);
    assert_int_equal(ask(cpuid, 0x80000001, 0).ecx, 0x121);
    assert_int_equal(ask(cpuid, 0x8000001e, 0).eax, 0);
    free(cpuid);
}

static void test_hygon_counts_as_amd(void **state)
{
    const struct x86_cpuid_config config = { .cpu_count = 6 };
    struct kvm_cpuid_entry2 hygon[ARRAY_SIZE(amd_host)];
    struct kvm_cpuid2 *cpuid;

    (void)state;
    memcpy(hygon, amd_host, sizeof(hygon));
    memcpy(&hygon[0].ebx, "Hygo", 4);
    memcpy(&hygon[0].edx, "nGen", 4);
    memcpy(&hygon[0].ecx, "uine", 4);
    cpuid = adjusted(hygon, ARRAY_SIZE(hygon), &config);
    assert_legacy_amd_topology(cpuid, 6);
    free(cpuid);
}

static void test_kvms_own_leaves_pass(void **state)
{
    const struct x86_cpuid_config config = { .cpu_count = 4 };
    struct kvm_cpuid2 *cpuid = INTEL(&config);
    struct kvm_cpuid_entry2 signature = ask(cpuid, 0x40000000, 0), features = ask(cpuid, 0x40000001, 0);

    (void)state;
    assert_memory_equal(&signature, &intel_host[12], sizeof(signature));
    assert_memory_equal(&features, &intel_host[13], sizeof(features));
    free(cpuid);
}

static void test_adjusting_twice_changes_nothing(void **state)
{
    const struct x86_cpuid_config config = { .cpu_index = 2, .cpu_count = 5, .tsc_deadline = true };
    struct kvm_cpuid2 *once = INTEL(&config), *twice = INTEL(&config);

    (void)state;
    assert_int_equal(x86_cpuid_adjust(twice, CAPACITY, &config), 0);
    assert_int_equal(twice->nent, once->nent);
    assert_memory_equal(twice->entries, once->entries, once->nent * sizeof(once->entries[0]));
    free(once);
    free(twice);
}

static void test_too_little_room_fails_and_changes_nothing(void **state)
{
    const struct x86_cpuid_config config = { .cpu_count = 2 };
    struct kvm_cpuid2 *done = INTEL(&config), *cpuid;
    unsigned needed = done->nent;

    (void)state;
    free(done);
    cpuid = table_of(intel_host, ARRAY_SIZE(intel_host));
    assert_int_equal(x86_cpuid_adjust(cpuid, needed - 1, &config), -E2BIG);
    assert_int_equal(cpuid->nent, ARRAY_SIZE(intel_host));
    assert_memory_equal(cpuid->entries, intel_host, sizeof(intel_host));
    assert_int_equal(x86_cpuid_adjust(cpuid, needed, &config), 0);
    free(cpuid);
}

static void test_never_adds_more_than_it_promises(void **state)
{
    const struct x86_cpuid_config config = { .cpu_count = 2 };
    struct kvm_cpuid_entry2 bare[] = {
        amd_host[0],
        amd_host[1],
        { .function = 0x80000000, .eax = 0x80000021 },
        { .function = 0x80000001, .ecx = TOPOEXT },
    };
    struct kvm_cpuid2 *cpuid;

    (void)state;
    bare[0].eax = 0x1f;
    cpuid = table_of(bare, ARRAY_SIZE(bare));
    assert_int_equal(x86_cpuid_adjust(cpuid, ARRAY_SIZE(bare) + X86_CPUID_ADDED_MAX, &config), 0);
    assert_int_equal(cpuid->nent, ARRAY_SIZE(bare) + X86_CPUID_ADDED_MAX);
    free(cpuid);
}

static void test_a_table_without_the_basic_leaves_is_refused(void **state)
{
    const struct x86_cpuid_config config = { .cpu_count = 2 };
    struct kvm_cpuid2 *cpuid = table_of(intel_host + 1, 3), *only_vendor = table_of(intel_host, 1);

    (void)state;
    assert_int_equal(x86_cpuid_adjust(cpuid, CAPACITY, &config), -EINVAL);
    assert_int_equal(x86_cpuid_adjust(only_vendor, CAPACITY, &config), -EINVAL);
    assert_int_equal(only_vendor->nent, 1);
    free(cpuid);
    free(only_vendor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_cpu_has_its_apic_id_everywhere),
        cmocka_unit_test(test_feature_bits_are_this_machines),
        cmocka_unit_test(test_nested_virtualisation_is_hidden_unless_asked_for),
        cmocka_unit_test(test_a_single_cpu_is_not_multi_threaded),
        cmocka_unit_test(test_every_parser_of_linux_sees_one_socket_of_cores),
        cmocka_unit_test(test_amd_gets_leaf_0xb_within_its_basic_range),
        cmocka_unit_test(test_amds_richer_topology_of_the_host_is_taken_out),
        cmocka_unit_test(test_amd_topology_leaf_is_added_where_topoext_promises_it),
        cmocka_unit_test(test_last_level_cache_is_shared_and_the_others_private),
        cmocka_unit_test(test_intel_is_not_given_amds_fields),
        cmocka_unit_test(test_hygon_counts_as_amd),
        cmocka_unit_test(test_kvms_own_leaves_pass),
        cmocka_unit_test(test_adjusting_twice_changes_nothing),
        cmocka_unit_test(test_too_little_room_fails_and_changes_nothing),
        cmocka_unit_test(test_never_adds_more_than_it_promises),
        cmocka_unit_test(test_a_table_without_the_basic_leaves_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
