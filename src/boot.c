/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.c - see boot.h.
 *
 * How the guest learns of its devices. ACPI tables are always there. When the user's words switch ACPI off,
 * one of two older ways takes over, never both (each would register every device once more): the device tree,
 * if the kernel is entered by the 64-bit protocol (PVH has no way to hand one over) and was built with
 * CONFIG_OF; else virtio_mmio.device= words. Whether it was is read off the kernel's own strings.
 */
#include "boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arch/x86/layout.h"
#include "machine.h"
#include "options.h"
#include "ringlet/cleanup.h"
#include "ringlet/error.h"
#include "ringlet/guest_memory.h"
#include "ringlet/guest_protocol.h"
#include "ringlet/log.h"
#include "ringlet/open_path.h"
#include "ringlet/util.h"
#include "ringlet/x86_boot.h"
#include "ringlet/x86_tables.h"

#define DEFAULT_WORDS "console=ttyS0 reboot=k panic=-1"

/* No kernel is near this size; a wrong file may be. */
#define KERNEL_FILE_MAX (1 * GIB)

/* What tells a file's kind stands in it. */
#define INITRD_HEAD_SIZE 4096

struct whole_file {
    void *bytes;
    size_t size;
};

static void whole_file_free(struct whole_file *file)
{
    if (file->bytes)
        munmap(file->bytes, file->size);
}

/* Open a file that is to be read from start to end, and say how long it is. */
static int open_regular(const char *path, const char *what, uint64_t *ret_size, struct error *err)
{
    CLEANUP_CLOSE int fd = open_path(path, O_RDONLY | O_NONBLOCK, 0);
    struct stat status;

    if (fd < 0)
        return error_set(err, fd, "cannot open the %s %s: %s", what, path, open_path_reason(path, fd));
    if (fstat(fd, &status) < 0)
        return error_set(err, -errno, "cannot use the %s %s: %s", what, path, strerror(errno));
    if (S_ISDIR(status.st_mode))
        return error_set(err, -EISDIR, "the %s %s is a directory, not a file", what, path);
    if (!S_ISREG(status.st_mode))
        return error_set(err, -EINVAL, "the %s %s is not a regular file", what, path);
    if (!status.st_size)
        return error_set(err, -EINVAL, "the %s %s is empty", what, path);
    *ret_size = (uint64_t)status.st_size;
    return steal_fd(&fd);
}

static int read_fully(int fd, void *to, size_t size, const char *path, const char *what, struct error *err)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = pread(fd, (char *)to + done, size - done, (off_t)done);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(err, -errno, "cannot read the %s %s: %s", what, path, strerror(errno));
        if (!got)
            return error_set(err, -EIO, "the %s %s became shorter while it was read", what, path);
        done += (size_t)got;
    }
    return 0;
}

static int read_kernel_file(const char *path, struct whole_file *ret_file, struct error *err)
{
    uint64_t size = 0;
    CLEANUP_CLOSE int fd = open_regular(path, "kernel", &size, err);
    struct whole_file file = { 0 };
    int result;

    if (fd < 0)
        return fd;
    if (size > KERNEL_FILE_MAX)
        return error_set(err, -EFBIG, "%s is too large to be a kernel (%llu MiB)", path,
                         (unsigned long long)(size / MIB));
    file.size = size;
    file.bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (file.bytes == MAP_FAILED)
        return error_set(err, -errno, "no memory to read the kernel %s: %s", path, strerror(errno));
    result = read_fully(fd, file.bytes, size, path, "kernel", err);
    if (result < 0) {
        whole_file_free(&file);
        return result;
    }
    *ret_file = file;
    return 0;
}

static int load_kernel(const char *path, const struct guest_memory *memory, struct x86_kernel *ret_kernel,
                       struct error *err)
{
    struct whole_file file = { 0 };
    int result = read_kernel_file(path, &file, err);

    if (result < 0)
        return result;
    result = x86_kernel_load(file.bytes, file.size, path, memory, ret_kernel, err);
    whole_file_free(&file);
    return result;
}

/* Before there is room made for it: a disk image would only be told to be too large. */
static int open_initrd(const char *path, uint64_t *ret_size, struct error *err)
{
    uint64_t size = 0;
    CLEANUP_CLOSE int fd = open_regular(path, "initrd", &size, err);
    uint8_t head[INITRD_HEAD_SIZE];
    size_t length = size < sizeof(head) ? size : sizeof(head);
    int result;

    if (fd < 0)
        return fd;
    result = read_fully(fd, head, length, path, "initrd", err);
    if (result < 0)
        return result;
    result = x86_check_initrd(head, length, err);
    if (result < 0) {
        error_prefix(err, "%s is not an initrd", path);
        return result;
    }
    *ret_size = size;
    return steal_fd(&fd);
}

/*
 * Our initrd, if there is one, and straight behind it the user's, from its file into guest RAM. `reserved_top`: bytes
 * at the end of low RAM to leave free. The kernel skips the zeroes between two archives, and wants each to begin at a
 * multiple of four (Documentation/driver-api/early-userspace/buffer-format.rst).
 */
static int load_initrd(const struct boot_images *images, const struct guest_memory *memory,
                       const struct x86_kernel *kernel, uint64_t reserved_top, struct x86_boot *boot,
                       struct error *err)
{
    uint64_t size = 0, prefix = align_up(images->prefix_size, 4), address;
    CLEANUP_CLOSE int fd = -1;
    uint8_t *to;
    int result;

    if (images->initrd) {
        fd = open_initrd(images->initrd, &size, err);
        if (fd < 0)
            return fd;
    }
    result = x86_place_initrd(memory, kernel, prefix + size, reserved_top, &address, err);
    if (result < 0)
        return result;
    to = guest_memory_range(memory, address, prefix + size);
    if (!to)
        return error_set(err, -EFAULT, "the initrd does not fit one piece of guest memory");
    if (prefix)
        memcpy(to, images->prefix, images->prefix_size);
    if (size) {
        result = read_fully(fd, to + prefix, size, images->initrd, "initrd", err);
        if (result < 0)
            return result;
    }
    boot->initrd_address = address;
    boot->initrd_size = prefix + size;
    return 0;
}

/* Is `word` one of the blank-separated words? */
static bool has_word(const char *words, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = words; (at = strstr(at, word)); at += length) {
        bool starts = at == words || at[-1] == ' ';

        if (starts && (at[length] == ' ' || !at[length]))
            return true;
    }
    return false;
}

static bool has_device(const struct run_options *options, const char *type)
{
    for (unsigned i = 0; i < options->device_count; i++) {
        if (strcmp(options->devices[i].type->name, type) == 0)
            return true;
    }
    return false;
}

static struct machine_info describe(const struct run_options *options, const struct machine_plan *plan,
                                    const struct guest_memory *memory)
{
    return (struct machine_info){
        .cpu_count = options->cpus,
        .devices = plan->devices,
        .device_count = plan->device_count,
        .memory = memory,
    };
}

/* Does the kernel in guest RAM contain this string? */
static bool kernel_contains(const struct guest_memory *memory, const struct x86_kernel *kernel,
                            const char *string)
{
    uint64_t size = kernel->end - kernel->start;
    const void *bytes = guest_memory_range(memory, kernel->start, size);

    return bytes && memmem(bytes, size, string, strlen(string) + 1);
}

/* A kernel that goes on after an oops, one task short, may keep a command waiting for ever; dead it says why. */
#define EXEC_WORDS " oops=panic rdinit=" GUEST_INIT_PATH

/* Where the kernel finds its first program, unless the user's words say otherwise. */
static const char *root_words(const struct run_options *options)
{
    if (options->command == COMMAND_EXEC)
        return options->verbosity >= LOG_LEVEL_INFO ? EXEC_WORDS : " quiet" EXEC_WORDS;
    if (has_device(options, "root"))
        return " rootfstype=virtiofs root=root0 ro";
    return has_device(options, "disk") && !options->initrd ? " root=/dev/vda" : "";
}

static int compose_command_line(const struct run_options *options, const char *device_words, char **ret_line,
                                struct error *err)
{
    if (asprintf(ret_line, "%s%s%s%s%s", DEFAULT_WORDS, root_words(options), device_words,
                 *options->append ? " " : "", options->append) < 0) {
        *ret_line = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    return 0;
}

/* The tree at the very end of RAM below the hole, above any initrd, so outside whatever the kernel unpacks
 * into. */
static int write_device_tree(const struct machine_info *machine, const struct guest_memory *memory,
                             uint64_t *ret_reserved, struct x86_boot *boot, struct error *err)
{
    const struct guest_memory_region *low = guest_memory_region_at(memory, 0);
    CLEANUP_FREE void *tree = NULL;
    uint64_t reserved;
    size_t size;
    int result = x86_fdt_build(machine, &tree, &size);

    if (result < 0)
        return error_set(err, result, "cannot write the device tree: %s", strerror(-result));
    reserved = align_up(x86_fdt_node_size(size), 4096);
    if (reserved > low->size || low->base + low->size - reserved < boot->kernel->end)
        return error_set(err, -ENOMEM, "no room for the device tree; give the VM more with --memory");
    boot->fdt_address = low->base + low->size - reserved;
    result = x86_fdt_write_node(memory, boot->fdt_address, tree, size);
    if (result < 0)
        return error_set(err, result, "no room for the device tree: %s", strerror(-result));
    *ret_reserved = reserved;
    return 0;
}

static int write_acpi(const struct machine_info *machine, const struct guest_memory *memory,
                      uint64_t *ret_rsdp, struct error *err)
{
    struct acpi_tables tables;
    int result = acpi_tables_build(machine, &tables);

    if (result == 0) {
        result = acpi_tables_write(&tables, memory);
        *ret_rsdp = tables.rsdp_address;
        acpi_tables_finish(&tables);
    }
    return result < 0 ? error_set(err, result, "cannot write the ACPI tables: %s", strerror(-result)) : 0;
}

int boot_load(const struct run_options *options, const struct boot_images *images,
              const struct machine_plan *plan, const struct guest_memory *memory,
              struct x86_boot_state *state, struct error *err)
{
    struct machine_info machine = describe(options, plan, memory);
    bool without_acpi = has_word(options->append, "acpi=off");
    CLEANUP_FREE char *command_line = NULL;
    char device_words[1024] = "";
    struct x86_boot boot = { 0 };
    uint64_t reserved_top = 0;
    struct x86_kernel kernel;
    int result;

    result = load_kernel(images->kernel, memory, &kernel, err);
    if (result < 0)
        return result;
    boot.kernel = &kernel;
    log_info("kernel %s: %s, compression %s, entry 0x%llx", images->kernel,
             kernel.protocol == BOOT_PROTOCOL_PVH ? "PVH" : "64-bit boot protocol", kernel.compression,
             (unsigned long long)kernel.entry);

    result = write_acpi(&machine, memory, &boot.rsdp_address, err);
    if (result < 0)
        return result;
    if (without_acpi) {
        bool tree = kernel.protocol == BOOT_PROTOCOL_LINUX64 &&
                    kernel_contains(memory, &kernel, "intel,ce4100-ioapic");

        if (tree)
            result = write_device_tree(&machine, memory, &reserved_top, &boot, err);
        else if (x86_virtio_mmio_words(&machine, device_words, sizeof(device_words)) < 0)
            result = error_set(err, -E2BIG, "too many devices for the command line");
        if (result < 0)
            return result;
        if (!tree && plan->virtio_count && !kernel_contains(memory, &kernel, "virtio_mmio.device"))
            log_warning(
                "acpi=off leaves this kernel without its virtio devices: it was built with neither CONFIG_OF nor "
                "CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES (a module may still bring the latter)");
        log_info("devices are described by %s", tree ? "a device tree" : "virtio_mmio.device= words");
    }
    if (images->initrd || images->prefix_size) {
        result = load_initrd(images, memory, &kernel, reserved_top, &boot, err);
        if (result < 0)
            return result;
    }
    result = compose_command_line(options, device_words, &command_line, err);
    if (result < 0)
        return result;
    boot.command_line = command_line;
    log_info("command line: %s", command_line);
    return x86_boot_write(memory, &boot, state, err);
}

/* Write it all to `fd`, which is closed. `folder` and `name` are for the sentence. */
static int write_file(int fd, const char *folder, const char *name, const void *bytes, size_t size,
                      struct error *err)
{
    FILE *file = fdopen(fd, "w");
    bool good;

    if (!file) {
        close(fd);
        return error_set(err, -ENOMEM, "out of memory");
    }
    good = fwrite(bytes, 1, size, file) == size;
    if (fclose(file) != 0 || !good)
        return error_set(err, -EIO, "cannot write %s%s%s: %s", folder, *folder ? "/" : "", name,
                         strerror(errno));
    return 0;
}

static int dump_dtb(const struct machine_info *machine, const char *path, struct error *err)
{
    CLEANUP_FREE void *tree = NULL;
    size_t size;
    int fd, result = x86_fdt_build(machine, &tree, &size);

    if (result < 0)
        return error_set(err, result, "cannot make the device tree: %s", strerror(-result));
    fd = open_path(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd < 0)
        return error_set(err, fd, "cannot write %s: %s", path, open_path_reason(path, fd));
    return write_file(fd, "", path, tree, size, err);
}

static int dump_tables(const struct acpi_tables *tables, const char *folder, struct error *err)
{
    CLEANUP_CLOSE int folder_fd = -1;
    int unused, result = 0;

    if (!path_is_fd(folder, &unused) && mkdir(folder, 0777) < 0 && errno != EEXIST)
        return error_set(err, -errno, "cannot make the folder %s: %s", folder, strerror(errno));
    folder_fd = open_path(folder, O_PATH | O_DIRECTORY, 0);
    if (folder_fd < 0)
        return error_set(err, folder_fd, "cannot open the folder %s: %s", folder,
                         open_path_reason(folder, folder_fd));
    for (unsigned i = 0; i < tables->count && result == 0; i++) {
        char name[16];
        int fd;

        snprintf(name, sizeof(name), "%s.aml", tables->tables[i].signature);
        fd = openat(folder_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (fd < 0)
            return error_set(err, -errno, "cannot write %s/%s: %s", folder, name, strerror(errno));
        result = write_file(fd, folder, name, tables->blob + tables->tables[i].offset,
                            tables->tables[i].length, err);
    }
    return result;
}

int boot_dump(const struct run_options *options, const struct machine_plan *plan, struct error *err)
{
    struct machine_info machine = describe(options, plan, NULL);
    int result = 0;

    if (options->dump_dtb)
        result = dump_dtb(&machine, options->dump_dtb, err);
    if (result == 0 && options->dump_acpi) {
        struct acpi_tables tables;

        result = acpi_tables_build(&machine, &tables);
        if (result < 0)
            return error_set(err, result, "cannot make the ACPI tables: %s", strerror(-result));
        result = dump_tables(&tables, options->dump_acpi, err);
        acpi_tables_finish(&tables);
    }
    return result;
}
