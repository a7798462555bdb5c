/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvm.c - the VM side of KVM: the device, memory slots, interrupt controllers, irqfds and ioeventfds
 * (Documentation/virt/kvm/api.rst).
 */
#include "ringlet/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvm_private.h"
#include "ringlet/cleanup.h"
#include "ringlet/error.h"
#include "ringlet/util.h"

/* KVM's own limit (arch/x86: KVM_MAX_CPUID_ENTRIES) */
#define CPUID_CAPACITY 256

#define REQUIRED(capability, purpose)                                                                        \
    {                                                                                                        \
        capability, #capability, purpose, true                                                               \
    }
#define OPTIONAL(capability, purpose)                                                                        \
    {                                                                                                        \
        capability, #capability, purpose, false                                                              \
    }

static const struct kvm_requirement requirements[] = {
    REQUIRED(KVM_CAP_USER_MEMORY, "guest RAM"),
    REQUIRED(KVM_CAP_IRQCHIP, "interrupt controllers in the kernel"),
    REQUIRED(KVM_CAP_IRQFD, "device interrupts"),
    REQUIRED(KVM_CAP_EXT_CPUID, "the guest's CPUID"),
    REQUIRED(KVM_CAP_IMMEDIATE_EXIT, "stopping a CPU without a race"),
    REQUIRED(KVM_CAP_SET_TSS_ADDR, "real mode on Intel"),
    OPTIONAL(KVM_CAP_IOEVENTFD, "doorbells without an exit to us"),
    OPTIONAL(KVM_CAP_SET_IDENTITY_MAP_ADDR, "real mode on Intel"),
    OPTIONAL(KVM_CAP_PIT2, "a timer to calibrate by"),
    OPTIONAL(KVM_CAP_TSC_DEADLINE_TIMER, "exact guest timers"),
    OPTIONAL(KVM_CAP_NR_MEMSLOTS, "memory slots"),
    OPTIONAL(KVM_CAP_MAX_VCPUS, "number of vCPUs"),
};

const struct kvm_requirement *kvm_requirements(unsigned *ret_count)
{
    *ret_count = ARRAY_SIZE(requirements);
    return requirements;
}

int kvm_ioctl(int fd, unsigned long request, const void *argument)
{
    int result;

    do {
        result = ioctl(fd, request, argument);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

int kvm_ioctl_number(int fd, unsigned long request, unsigned long number)
{
    int result;

    do {
        result = ioctl(fd, request, number);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

int kvm_capability(int device_fd, int capability)
{
    int result = kvm_ioctl_number(device_fd, KVM_CHECK_EXTENSION, (unsigned long)capability);

    return result < 0 ? 0 : result;
}

/* Who may use the device is for its mode, owner and group to say; their names are for the person. */
static int say_who_may(const char *path, int code, struct error *err)
{
    struct stat status;
    struct passwd *owner;
    struct group *group;

    if (stat(path, &status) < 0)
        return error_set(err, code, "no permission to open %s: %s", path, strerror(-code));
    /* No other thread yet. */
    owner = getpwuid(status.st_uid);
    group = getgrgid(status.st_gid);
    if ((status.st_mode & 0060) == 0060 && group && status.st_gid != 0)
        return error_set(err, code,
                         "no permission to open %s: add yourself to its group (`sudo usermod -aG %s $USER`, "
                         "then log in again)",
                         path, group->gr_name);
    return error_set(
        err, code,
        "no permission to open %s, which is %s's, group %s, mode %04o: give a group of yours read "
        "and write permission, or run as its owner",
        path, owner ? owner->pw_name : "nobody known", group ? group->gr_name : "unknown",
        (unsigned)status.st_mode & 07777);
}

int kvm_open_device(const char *path, struct error *err)
{
    CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC);
    int version;

    if (fd < 0) {
        int code = -errno;

        switch (-code) {
        case ENOENT:
            return error_set(
                err, code,
                "%s does not exist: load the module kvm_intel or kvm_amd, or switch virtualization on in "
                "the firmware (or in the hypervisor this machine runs on)",
                path);
        case EACCES:
            return say_who_may(path, code, err);
        case EPERM:
            return error_set(err, code,
                             "%s may not be opened in here: let the container or sandbox have this device",
                             path);
        case ENODEV:
        case ENXIO:
            return error_set(err, code, "%s has no driver behind it: load the module kvm_intel or kvm_amd",
                             path);
        default:
            return error_set(err, code, "cannot open %s: %s", path, strerror(-code));
        }
    }
    version = kvm_ioctl_number(fd, KVM_GET_API_VERSION, 0);
    if (version < 0)
        return error_set(err, version, "%s is not a KVM device: %s", path, strerror(-version));
    if (version != KVM_API_VERSION)
        return error_set(err, -ENOTSUP, "%s speaks version %d of the KVM interface, not %d", path, version,
                         KVM_API_VERSION);
    return steal_fd(&fd);
}

static int map_memory(struct hypervisor *hypervisor, uint64_t base, void *host, uint64_t size)
{
    struct kvm *kvm = container_of(hypervisor, struct kvm, hypervisor);
    struct kvm_userspace_memory_region region = {
        .slot = kvm->memory_slots,
        .guest_phys_addr = base,
        .memory_size = size,
        .userspace_addr = (uintptr_t)host,
    };
    int result = kvm_ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region);

    if (result < 0)
        return result;
    kvm->memory_slots++;
    return 0;
}

static void irq_line_write_irqfd(struct irq_line *line)
{
    struct kvm_irq_line *self = container_of(line, struct kvm_irq_line, line);
    uint64_t one = 1;

    /* An eventfd write fails only when its 64-bit counter is full, and KVM empties it as it goes. */
    if (write(self->irqfd, &one, sizeof(one)) < 0)
        return;
}

static const struct irq_line_ops irq_line_ops = { .raise = irq_line_write_irqfd };

static int create_irq_line(struct hypervisor *hypervisor, uint32_t gsi, struct irq_line **ret_line)
{
    struct kvm *kvm = container_of(hypervisor, struct kvm, hypervisor);
    CLEANUP_CLOSE int fd = -1;
    int result;

    if (gsi >= KVM_IRQ_LINE_COUNT)
        return -EINVAL;
    if (kvm->lines[gsi].irqfd >= 0)
        return -EBUSY;
    fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    struct kvm_irqfd irqfd = { .fd = (uint32_t)fd, .gsi = gsi };
    result = kvm_ioctl(kvm->vm_fd, KVM_IRQFD, &irqfd);
    if (result < 0)
        return result;
    kvm->lines[gsi].line.ops = &irq_line_ops;
    kvm->lines[gsi].irqfd = steal_fd(&fd);
    *ret_line = &kvm->lines[gsi].line;
    return 0;
}

static int bind_doorbell(struct hypervisor *hypervisor, uint64_t address, uint32_t value, int eventfd)
{
    struct kvm *kvm = container_of(hypervisor, struct kvm, hypervisor);
    struct kvm_ioeventfd request = {
        .datamatch = value,
        .addr = address,
        .len = sizeof(value),
        .fd = eventfd,
        .flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
    };

    if (!kvm_capability(kvm->device_fd, KVM_CAP_IOEVENTFD))
        return -ENOSYS;
    return kvm_ioctl(kvm->vm_fd, KVM_IOEVENTFD, &request);
}

static void destroy(struct hypervisor *hypervisor)
{
    struct kvm *kvm = container_of(hypervisor, struct kvm, hypervisor);

    for (unsigned i = 0; i < KVM_IRQ_LINE_COUNT; i++) {
        if (kvm->lines[i].irqfd >= 0)
            close(kvm->lines[i].irqfd);
    }
    if (kvm->vm_fd >= 0)
        close(kvm->vm_fd);
    if (kvm->device_fd >= 0)
        close(kvm->device_fd);
    free(kvm);
}

static const struct hypervisor_ops hypervisor_ops = {
    .map_memory = map_memory,
    .create_irq_line = create_irq_line,
    .bind_doorbell = bind_doorbell,
    .destroy = destroy,
};

/* KVM wants both before the first vCPU. */
static int give_pages(struct kvm *kvm, const struct kvm_own_pages *pages, struct error *err)
{
    int result = 0;

    if (kvm_capability(kvm->device_fd, KVM_CAP_SET_IDENTITY_MAP_ADDR))
        result = kvm_ioctl(kvm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &pages->identity_map);
    if (result < 0)
        return error_set(err, result, "KVM refuses an identity map page: %s", strerror(-result));
    result = kvm_ioctl_number(kvm->vm_fd, KVM_SET_TSS_ADDR, pages->tss);
    return result < 0 ? error_set(err, result, "KVM refuses a TSS address: %s", strerror(-result)) : 0;
}

static int create_interrupt_controllers(struct kvm *kvm, struct error *err)
{
    struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
    int result = kvm_ioctl_number(kvm->vm_fd, KVM_CREATE_IRQCHIP, 0);

    if (result < 0)
        return error_set(err, result, "KVM refuses to create interrupt controllers: %s", strerror(-result));
    if (kvm_capability(kvm->device_fd, KVM_CAP_PIT2)) {
        result = kvm_ioctl(kvm->vm_fd, KVM_CREATE_PIT2, &pit);
        if (result < 0)
            return error_set(err, result, "KVM refuses to create a PIT: %s", strerror(-result));
    }
    return 0;
}

int kvm_create(int device_fd, const struct kvm_own_pages *pages, struct kvm **ret_kvm, struct error *err)
{
    struct kvm *kvm;
    int result;

    for (unsigned i = 0; i < ARRAY_SIZE(requirements); i++) {
        if (requirements[i].required && !kvm_capability(device_fd, requirements[i].capability))
            return error_set(err, -ENOTSUP,
                             "this host's KVM lacks %s (%s); `ringlet doctor` lists what is needed",
                             requirements[i].name, requirements[i].purpose);
    }
    kvm = calloc(1, sizeof(*kvm));
    if (!kvm)
        return error_set(err, -ENOMEM, "out of memory");
    kvm->hypervisor.ops = &hypervisor_ops;
    kvm->device_fd = device_fd;
    for (unsigned i = 0; i < KVM_IRQ_LINE_COUNT; i++)
        kvm->lines[i].irqfd = -1;

    kvm->vm_fd = kvm_ioctl_number(device_fd, KVM_CREATE_VM, 0);
    if (kvm->vm_fd < 0) {
        result = error_set(err, kvm->vm_fd, "KVM refuses to create a VM: %s", strerror(-kvm->vm_fd));
        goto fail;
    }
    result = kvm_ioctl_number(device_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (result < (int)sizeof(struct kvm_run)) {
        result = error_set(err, result < 0 ? result : -ENOTSUP,
                           "KVM does not say how large a vCPU's shared page is");
        goto fail;
    }
    kvm->run_size = (size_t)result;
    result = give_pages(kvm, pages, err);
    if (result == 0)
        result = create_interrupt_controllers(kvm, err);
    if (result < 0)
        goto fail;
    *ret_kvm = kvm;
    return 0;

fail:
    kvm->device_fd = -1; /* still the caller's */
    destroy(&kvm->hypervisor);
    return result;
}

struct hypervisor *kvm_hypervisor(struct kvm *kvm)
{
    return &kvm->hypervisor;
}

unsigned kvm_max_vcpus(const struct kvm *kvm)
{
    int most = kvm_capability(kvm->device_fd, KVM_CAP_MAX_VCPUS);

    /* api.rst: where the capability is missing, assume 4 */
    return most > 0 ? (unsigned)most : 4;
}

bool kvm_has_tsc_deadline(const struct kvm *kvm)
{
    return kvm_capability(kvm->device_fd, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
}

int kvm_supported_cpuid(const struct kvm *kvm, struct kvm_cpuid2 **ret_cpuid, unsigned *ret_capacity)
{
    CLEANUP_FREE struct kvm_cpuid2 *cpuid =
        calloc(1, sizeof(*cpuid) + CPUID_CAPACITY * sizeof(struct kvm_cpuid_entry2));
    int result;

    if (!cpuid)
        return -ENOMEM;
    cpuid->nent = CPUID_CAPACITY;
    result = kvm_ioctl(kvm->device_fd, KVM_GET_SUPPORTED_CPUID, cpuid);
    if (result < 0)
        return result;
    *ret_cpuid = steal_pointer(&cpuid);
    *ret_capacity = CPUID_CAPACITY;
    return 0;
}
