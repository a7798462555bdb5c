/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block_open.c - see block_open.h. Everything that can be wrong with a disk is found here, before the machine
 * starts, and said in a sentence with its mend.
 */
#include "block_open.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "ringlet/block_file.h"
#include "ringlet/cleanup.h"
#include "ringlet/error.h"
#include "ringlet/util.h"

#define SECTOR_SIZE 512
#define PAGE_BYTES  4096

static int refuse_type(const char *path, mode_t mode, struct error *err)
{
    if (S_ISDIR(mode))
        return error_set(err, -EISDIR, "%s is a directory; a disk is an image file or a block device", path);
    if (S_ISFIFO(mode))
        return error_set(err, -EINVAL, "%s is a pipe; a disk is an image file or a block device", path);
    if (S_ISCHR(mode))
        return error_set(err, -EINVAL, "%s is a character device; a disk is an image file or a block device",
                         path);
    if (S_ISSOCK(mode))
        return error_set(err, -EINVAL, "%s is a socket; a disk is an image file or a block device", path);
    if (!S_ISREG(mode) && !S_ISBLK(mode))
        return error_set(err, -EINVAL, "%s is no disk; a disk is an image file or a block device", path);
    return 0;
}

static int say_why_not_opened(const struct block_file_options *options, int code, struct error *err)
{
    const char *path = options->path;

    switch (code) {
    case -ENOENT:
        return error_set(err, code,
                         "there is no disk image %s; check the name, or make one with truncate -s 1G %s",
                         path, path);
    case -EACCES:
        if (!options->read_only)
            return error_set(err, code,
                             "%s may not be written by this user; change its permissions or use it read-only",
                             path);
        return error_set(err, code, "%s may not be read by this user; change its permissions", path);
    case -EROFS:
        return error_set(err, code, "%s is on a read-only file system; use it read-only", path);
    case -ETXTBSY:
        return error_set(err, code, "%s is a program that is running; use a copy of it", path);
    case -EBUSY:
        return error_set(err, code,
                         "%s is in use by the host (mounted, or part of another device); unmount it first",
                         path);
    case -EINVAL:
        if (options->direct)
            return error_set(err, code, "%s is on a file system without direct I/O; use it without", path);
        break;
    case -ENXIO:
    case -ENOMEDIUM:
        return error_set(err, code, "there is no device, or no medium in it, behind %s", path);
    default:
        break;
    }
    return error_set(err, code, "cannot open the disk %s: %s", path, strerror(-code));
}

static int open_path(const struct block_file_options *options, struct stat *ret_status, struct error *err)
{
    int flags = (options->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
    CLEANUP_CLOSE int fd = -1;
    int result;

    /* Look before opening: to open a character device may do something. O_NONBLOCK for what slips in between.
     */
    if (stat(options->path, ret_status) < 0)
        return say_why_not_opened(options, -errno, err);
    result = refuse_type(options->path, ret_status->st_mode, err);
    if (result < 0)
        return result;
    if (S_ISBLK(ret_status->st_mode) && !options->no_lock)
        flags |= O_EXCL; /* without O_CREAT: nothing of the kernel's has the device open */
    fd = open(options->path, flags | O_NONBLOCK);
    if (fd < 0 || fstat(fd, ret_status) < 0)
        return say_why_not_opened(options, -errno, err);
    result = refuse_type(options->path, ret_status->st_mode, err);
    if (result < 0)
        return result;
    if (fcntl(fd, F_SETFL, 0) < 0)
        return say_why_not_opened(options, -errno, err);
    return steal_fd(&fd);
}

static int lock(const struct block_file_options *options, int fd, struct error *err)
{
    struct flock whole = { .l_type = options->read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };

    if (options->no_lock || fcntl(fd, F_OFD_SETLK, &whole) == 0)
        return 0;
    if (errno == EAGAIN || errno == EACCES)
        return error_set(err, -EBUSY, "%s is in use by another process; end that first, or use a copy",
                         options->path);
    return error_set(err, -errno, "%s cannot be locked against use by others: %s", options->path,
                     strerror(errno));
}

/* The same file again, with or without O_DIRECT: a description of its own, so that flags are not shared. */
static int reopen(int fd, const struct block_file_options *options, int flags)
{
    char path[64];
    int opened;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    opened = open(path, (options->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | flags);
    return opened < 0 ? -errno : opened;
}

/* --- what is to know --- */

static uint64_t read_queue_setting(dev_t device, const char *name)
{
    /* A partition has no queue directory; its disk, one above, has. */
    static const char *const above[] = { "", "/.." };
    char path[128], digits[32];

    for (unsigned i = 0; i < ARRAY_SIZE(above); i++) {
        CLEANUP_CLOSE int fd = -1;
        ssize_t length;

        snprintf(path, sizeof(path), "/sys/dev/block/%u:%u%s/queue/%s", major(device), minor(device),
                 above[i], name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        length = read(fd, digits, sizeof(digits) - 1);
        if (length <= 0)
            return 0;
        digits[length] = '\0';
        return strtoull(digits, NULL, 10);
    }
    return 0;
}

static uint32_t power_of_two_or(uint64_t value, uint32_t otherwise)
{
    return is_power_of_two(value) && value >= SECTOR_SIZE && value <= (1U << 30) ? (uint32_t)value
                                                                                 : otherwise;
}

static int learn_device(const char *path, dev_t device, struct opened_disk *disk, struct error *err)
{
    unsigned physical = 0, optimal = 0;
    int logical = 0;

    if (ioctl(disk->fd, BLKGETSIZE64, &disk->info.capacity) < 0 || ioctl(disk->fd, BLKSSZGET, &logical) < 0)
        return error_set(err, -errno, "%s does not say how large it is: %s", path, strerror(errno));
    disk->info.logical_block_size = power_of_two_or(logical > 0 ? (uint64_t)logical : 0, SECTOR_SIZE);
    if (ioctl(disk->fd, BLKPBSZGET, &physical) < 0)
        physical = 0;
    disk->info.physical_block_size = power_of_two_or(physical, disk->info.logical_block_size);
    if (ioctl(disk->fd, BLKIOOPT, &optimal) == 0)
        disk->info.optimal_io_size = optimal;
    disk->info.discard_granularity =
        power_of_two_or(read_queue_setting(device, "discard_granularity"), disk->info.logical_block_size);
    disk->info.can_discard = !disk->info.read_only && read_queue_setting(device, "discard_max_bytes") > 0;
    return 0;
}

/* Punching a hole where the file has ended changes nothing, and tells whether the file system can. */
static bool can_punch_holes(int fd, uint64_t size)
{
    return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)align_up(size, PAGE_BYTES),
                     PAGE_BYTES) == 0;
}

/*
 * A file that is no whole sectors is no disk. What it may be instead is worth a look, but only here, for the
 * sentence: a guest writes what it likes to the start of its disk, so nothing is ever done by it.
 */
static const char *recognize(int fd)
{
    static const struct {
        const char *magic;
        const char *mend;
    } formats[] = {
        { "\x1f\x8b", "unpack it with gunzip" },
        { "\xfd"
          "7zXZ",
          "unpack it with unxz" },
        { "\x28\xb5\x2f\xfd", "unpack it with unzstd" },
        { "QFI\xfb", "turn it into a raw one with qemu-img convert -O raw" },
    };
    char start[8] = { 0 };

    if (pread(fd, start, sizeof(start), 0) < 0)
        return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        if (memcmp(start, formats[i].magic, strlen(formats[i].magic)) == 0)
            return formats[i].mend;
    }
    return NULL;
}

static int refuse_odd_size(const char *path, uint64_t size, const struct opened_disk *disk, struct error *err)
{
    const char *mend = recognize(disk->fd);

    if (!mend)
        mend = disk->info.read_only ? "is it a raw disk image, and a whole one?"
                                    : "if it is a raw image that was cut, round it up with truncate -s %512";
    return error_set(err, -EINVAL,
                     "the size of the disk image %s, %" PRIu64 " bytes, is no multiple of 512; %s", path,
                     size, mend);
}

static int learn_file(const char *path, const struct stat *status, struct opened_disk *disk,
                      struct error *err)
{
    uint64_t size = (uint64_t)status->st_size;
    uint32_t block = power_of_two_or((uint64_t)status->st_blksize, PAGE_BYTES);

    if (size == 0)
        return error_set(err, -EINVAL,
                         disk->info.read_only ? "the disk image %s is empty; there is nothing to read in it"
                                              : "the disk image %s is empty; give it a size with truncate -s "
                                                "1G %s",
                         path, path);
    if (size % SECTOR_SIZE)
        return refuse_odd_size(path, size, disk, err);
    disk->info.capacity = size;
    disk->info.logical_block_size = SECTOR_SIZE;
    disk->info.physical_block_size = block < PAGE_BYTES ? block : PAGE_BYTES;
    disk->info.discard_granularity = block;
    disk->info.can_discard = !disk->info.read_only && can_punch_holes(disk->fd, size);
    return 0;
}

/* Where the kernel does not say (before 6.1), what holds nearly everywhere: whole pages, or a device's
 * blocks. */
static int learn_alignment(const struct block_file_options *options, struct opened_disk *disk,
                           struct error *err)
{
    disk->offset_alignment = disk->is_device ? disk->info.logical_block_size : PAGE_BYTES;
    disk->memory_alignment = disk->offset_alignment;
#ifdef STATX_DIOALIGN
    struct statx status;

    if (statx(disk->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) == 0 &&
        status.stx_mask & STATX_DIOALIGN) {
        if (status.stx_dio_offset_align == 0 || status.stx_dio_mem_align == 0)
            return say_why_not_opened(options, -EINVAL, err);
        disk->offset_alignment = status.stx_dio_offset_align;
        disk->memory_alignment = status.stx_dio_mem_align;
    }
#endif
    if (!is_power_of_two(disk->offset_alignment) || !is_power_of_two(disk->memory_alignment) ||
        disk->memory_alignment > PAGE_BYTES || disk->offset_alignment > DISK_MAX_ALIGNMENT)
        return say_why_not_opened(options, -EINVAL, err);
    if (disk->info.physical_block_size < disk->offset_alignment)
        disk->info.physical_block_size = disk->offset_alignment;
    return 0;
}

int open_disk(const struct block_file_options *options, struct opened_disk *ret_disk, struct error *err)
{
    CLEANUP_CLOSE int fd = -1, direct_fd = -1;
    struct opened_disk disk = { .offset_alignment = 1, .memory_alignment = 1 };
    struct stat status;
    int result;

    fd = open_path(options, &status, err);
    if (fd < 0)
        return fd;
    result = lock(options, fd, err);
    if (result < 0)
        return result;
    disk.fd = disk.buffered_fd = fd;
    disk.is_device = S_ISBLK(status.st_mode);
    disk.info.read_only = options->read_only;
    disk.info.can_write_zeroes = !options->read_only;
    disk.info.write_cache = options->cache != BLOCK_CACHE_WRITETHROUGH;
    if (disk.is_device)
        result = learn_device(options->path, status.st_rdev, &disk, err);
    else
        result = learn_file(options->path, &status, &disk, err);
    if (result < 0)
        return result;
    if (options->direct) {
        direct_fd = reopen(fd, options, O_DIRECT);
        if (direct_fd < 0)
            return say_why_not_opened(options, direct_fd, err);
        disk.fd = direct_fd;
        result = learn_alignment(options, &disk, err);
        if (result < 0)
            return result;
    }
    *ret_disk = disk;
    steal_fd(&fd);
    steal_fd(&direct_fd);
    return 0;
}

void close_disk(const struct opened_disk *disk)
{
    if (disk->fd != disk->buffered_fd)
        close(disk->fd);
    close(disk->buffered_fd);
}
