/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpuid.c - the CPUID answers of one vCPU.
 *
 * KVM_GET_SUPPORTED_CPUID describes the host's silicon through KVM's eyes: which features exist is KVM's to
 * say and stays untouched. What KVM cannot know is this machine's shape, and the host's own shape shines
 * through instead (its APIC ids, its cores a package, its threads a core). So every leaf that speaks of shape
 * is rewritten to the same story: one package, cpu_count cores, one thread each, x2APIC id = index; the
 * last-level cache shared by all, the smaller ones private. Linux (arch/x86/kernel/cpu/topology*.c,
 * cacheinfo.c) complains where leaves disagree.
 *
 * AMD and Intel describe shape in different leaves, and kernels before 6.9 read other leaves than later ones;
 * all of them are served. Leaf 0xb is given to AMD processors too: Linux reads it first there.
 */
#include "ringlet/x86_cpuid.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "ringlet/util.h"

/* Leaves (SDM volume 2, CPUID; AMD APM volume 3, appendix E). */
enum cpuid_leaf {
    LEAF_VENDOR = 0x0,
    LEAF_FEATURES = 0x1,
    LEAF_CACHES = 0x4,
    LEAF_EXTENDED_FEATURES = 0x7,
    LEAF_TOPOLOGY = 0xb,
    LEAF_TOPOLOGY_V2 = 0x1f,
};

#define LEAF_EXTENDED_MAX    0x80000000u
#define LEAF_AMD_FEATURES    0x80000001u
#define LEAF_AMD_SIZES       0x80000008u
#define LEAF_AMD_CACHES      0x8000001du
#define LEAF_AMD_TOPOLOGY    0x8000001eu
#define LEAF_AMD_TOPOLOGY_V2 0x80000026u

/* Leaf 1. */
#define FEATURES_EBX_LOGICAL_COUNT_SHIFT 16
#define FEATURES_EBX_APIC_ID_SHIFT       24
#define FEATURES_EBX_KEPT                0xffffu /* brand index, CLFLUSH line size */
#define FEATURES_ECX_VMX                 (1u << 5)
#define FEATURES_ECX_X2APIC              (1u << 21)
#define FEATURES_ECX_TSC_DEADLINE        (1u << 24)
#define FEATURES_ECX_OSXSAVE             (1u << 27) /* mirrors CR4: KVM's, at run time */
#define FEATURES_ECX_HYPERVISOR          (1u << 31)
#define FEATURES_EDX_HTT                 (1u << 28) /* more than one logical processor a package */

/* Leaf 7, subleaf 0. */
#define EXTENDED_ECX_OSPKE (1u << 4) /* mirrors CR4: KVM's, at run time */

/* Leaf 0x80000001. */
#define AMD_ECX_CMP_LEGACY (1u << 1) /* the logical processors of leaf 1 are cores, not threads */
#define AMD_ECX_SVM        (1u << 2)
#define AMD_ECX_TOPOEXT    (1u << 22)

/* Leaves 4 and 0x8000001d, EAX. */
#define CACHE_EAX_TYPE_MASK     0x1fu /* 0: no more caches */
#define CACHE_EAX_LEVEL_SHIFT   5
#define CACHE_EAX_LEVEL_MASK    0x7u
#define CACHE_EAX_SHARING_SHIFT 14
#define CACHE_EAX_SHARING_MASK  0xfffu
#define CACHE_EAX_CORES_SHIFT   26 /* leaf 4 only */
#define CACHE_EAX_CORES_MASK    0x3fu

/* Leaf 0xb, ECX[15:8]. */
#define TOPOLOGY_ECX_TYPE_SHIFT 8
#define TOPOLOGY_LEVELS         3 /* threads, cores, and the level that ends the list */
enum topology_type {
    TOPOLOGY_NONE = 0,
    TOPOLOGY_SMT = 1,
    TOPOLOGY_CORE = 2,
};

/* Leaf 0x80000008, ECX. */
#define SIZES_ECX_NC_MASK            0xffu
#define SIZES_ECX_APIC_ID_SIZE_SHIFT 12
#define SIZES_ECX_APIC_ID_SIZE_MASK  0xfu

static_assert(2 * TOPOLOGY_LEVELS + 1 == X86_CPUID_ADDED_MAX, "two topology leaves and AMD's own");

static struct kvm_cpuid_entry2 *find(struct kvm_cpuid2 *cpuid, uint32_t function)
{
    for (uint32_t i = 0; i < cpuid->nent; i++)
        if (cpuid->entries[i].function == function && cpuid->entries[i].index == 0)
            return &cpuid->entries[i];
    return NULL;
}

static uint32_t set_field(uint32_t word, uint32_t mask, unsigned shift, uint32_t value)
{
    return (word & ~(mask << shift)) | (value & mask) << shift;
}

/* Bits that number `count` things. */
static unsigned id_bits(unsigned count)
{
    unsigned bits = 0;

    while (1u << bits < count)
        bits++;
    return bits;
}

static bool is_amd(const struct kvm_cpuid_entry2 *vendor)
{
    char name[12];

    memcpy(name, &vendor->ebx, 4);
    memcpy(name + 4, &vendor->edx, 4);
    memcpy(name + 8, &vendor->ecx, 4);
    return !memcmp(name, "AuthenticAMD", sizeof(name)) || !memcmp(name, "HygonGenuine", sizeof(name));
}

/* Described anew, or (0x80000026: AMD's richer list) better absent, since Linux would believe it first. */
static bool is_host_topology(uint32_t function)
{
    return function == LEAF_TOPOLOGY || function == LEAF_TOPOLOGY_V2 || function == LEAF_AMD_TOPOLOGY_V2;
}

static void drop_host_topology(struct kvm_cpuid2 *cpuid)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < cpuid->nent; i++)
        if (!is_host_topology(cpuid->entries[i].function))
            cpuid->entries[kept++] = cpuid->entries[i];
    cpuid->nent = kept;
}

static void append(struct kvm_cpuid2 *cpuid, const struct kvm_cpuid_entry2 *entry)
{
    cpuid->entries[cpuid->nent++] = *entry;
}

static void add_topology(struct kvm_cpuid2 *cpuid, uint32_t function, const struct x86_cpuid_config *config)
{
    const struct {
        enum topology_type type;
        unsigned shift, count;
    } levels[TOPOLOGY_LEVELS] = {
        { TOPOLOGY_SMT, 0, 1 },
        { TOPOLOGY_CORE, id_bits(config->cpu_count), config->cpu_count },
        { TOPOLOGY_NONE, 0, 0 },
    };

    for (uint32_t i = 0; i < TOPOLOGY_LEVELS; i++)
        append(cpuid, &(struct kvm_cpuid_entry2){
                          .function = function,
                          .index = i,
                          .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
                          .eax = levels[i].shift,
                          .ebx = levels[i].count,
                          .ecx = i | (uint32_t)levels[i].type << TOPOLOGY_ECX_TYPE_SHIFT,
                          .edx = config->cpu_index,
                      });
}

static void adjust_features(struct kvm_cpuid_entry2 *entry, const struct x86_cpuid_config *config)
{
    entry->ebx = (entry->ebx & FEATURES_EBX_KEPT) | config->cpu_count << FEATURES_EBX_LOGICAL_COUNT_SHIFT |
                 config->cpu_index << FEATURES_EBX_APIC_ID_SHIFT;
    entry->ecx |= FEATURES_ECX_X2APIC | FEATURES_ECX_HYPERVISOR;
    entry->ecx &= ~(FEATURES_ECX_OSXSAVE | FEATURES_ECX_TSC_DEADLINE);
    if (config->tsc_deadline)
        entry->ecx |= FEATURES_ECX_TSC_DEADLINE;
    if (!config->nested)
        entry->ecx &= ~FEATURES_ECX_VMX;
    entry->edx &= ~FEATURES_EDX_HTT;
    if (config->cpu_count > 1)
        entry->edx |= FEATURES_EDX_HTT;
}

/* Intel counts ids, which come in powers of two; AMD counts processors. */
static void adjust_cache(struct kvm_cpuid_entry2 *entry, unsigned sharing_last_level)
{
    uint32_t level = entry->eax >> CACHE_EAX_LEVEL_SHIFT & CACHE_EAX_LEVEL_MASK;

    if (!(entry->eax & CACHE_EAX_TYPE_MASK))
        return;
    entry->eax = set_field(entry->eax, CACHE_EAX_SHARING_MASK, CACHE_EAX_SHARING_SHIFT,
                           level >= 3 ? sharing_last_level - 1 : 0);
}

static void adjust_amd(struct kvm_cpuid_entry2 *entry, const struct x86_cpuid_config *config)
{
    switch (entry->function) {
    case LEAF_AMD_FEATURES:
        entry->ecx &= ~AMD_ECX_CMP_LEGACY;
        if (config->cpu_count > 1)
            entry->ecx |= AMD_ECX_CMP_LEGACY;
        break;
    case LEAF_AMD_SIZES:
        entry->ecx = set_field(entry->ecx, SIZES_ECX_NC_MASK, 0, config->cpu_count - 1);
        entry->ecx = set_field(entry->ecx, SIZES_ECX_APIC_ID_SIZE_MASK, SIZES_ECX_APIC_ID_SIZE_SHIFT,
                               id_bits(config->cpu_count));
        break;
    case LEAF_AMD_CACHES:
        adjust_cache(entry, config->cpu_count);
        break;
    case LEAF_AMD_TOPOLOGY: /* one thread a core, one node a package: both are written as 0 */
        entry->eax = config->cpu_index;
        entry->ebx = config->cpu_index;
        entry->ecx = 0;
        entry->edx = 0;
        break;
    default:
        break;
    }
}

static void adjust_entry(struct kvm_cpuid_entry2 *entry, const struct x86_cpuid_config *config, bool amd)
{
    unsigned ids = 1u << id_bits(config->cpu_count);

    switch (entry->function) {
    case LEAF_VENDOR:
        if (entry->eax < LEAF_TOPOLOGY)
            entry->eax = LEAF_TOPOLOGY;
        break;
    case LEAF_FEATURES:
        adjust_features(entry, config);
        break;
    case LEAF_CACHES:
        adjust_cache(entry, ids);
        if (entry->eax & CACHE_EAX_TYPE_MASK)
            entry->eax = set_field(entry->eax, CACHE_EAX_CORES_MASK, CACHE_EAX_CORES_SHIFT, ids - 1);
        break;
    case LEAF_EXTENDED_FEATURES:
        if (entry->index == 0)
            entry->ecx &= ~EXTENDED_ECX_OSPKE;
        break;
    case LEAF_AMD_FEATURES:
        if (!config->nested)
            entry->ecx &= ~AMD_ECX_SVM;
        break;
    default:
        break;
    }
    if (amd)
        adjust_amd(entry, config);
}

int x86_cpuid_adjust(struct kvm_cpuid2 *cpuid, unsigned capacity, const struct x86_cpuid_config *config)
{
    const struct kvm_cpuid_entry2 *vendor = find(cpuid, LEAF_VENDOR);
    const struct kvm_cpuid_entry2 *extended = find(cpuid, LEAF_EXTENDED_MAX);
    const struct kvm_cpuid_entry2 *amd_features = find(cpuid, LEAF_AMD_FEATURES);
    bool amd, topology_v2, amd_topology;
    uint64_t needed = 0;

    assert(config->cpu_count >= 1 && config->cpu_count <= X86_CPUID_CPU_MAX);
    assert(config->cpu_index < config->cpu_count);
    if (!vendor || !find(cpuid, LEAF_FEATURES))
        return -EINVAL;
    amd = is_amd(vendor);
    topology_v2 = vendor->eax >= LEAF_TOPOLOGY_V2;
    /* TOPOEXT promises the leaf; KVM has filtered it out at times. */
    amd_topology = amd && extended && extended->eax >= LEAF_AMD_TOPOLOGY && amd_features &&
                   amd_features->ecx & AMD_ECX_TOPOEXT && !find(cpuid, LEAF_AMD_TOPOLOGY);

    for (uint32_t i = 0; i < cpuid->nent; i++)
        needed += !is_host_topology(cpuid->entries[i].function);
    needed += TOPOLOGY_LEVELS + (topology_v2 ? TOPOLOGY_LEVELS : 0) + amd_topology;
    if (needed > capacity)
        return -E2BIG;

    drop_host_topology(cpuid);
    if (amd_topology)
        append(cpuid, &(struct kvm_cpuid_entry2){ .function = LEAF_AMD_TOPOLOGY });
    for (uint32_t i = 0; i < cpuid->nent; i++)
        adjust_entry(&cpuid->entries[i], config, amd);
    add_topology(cpuid, LEAF_TOPOLOGY, config);
    if (topology_v2)
        add_topology(cpuid, LEAF_TOPOLOGY_V2, config);
    return 0;
}
