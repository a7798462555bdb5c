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
#include "ringlet/open_path.h"
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
    int given;

    if (path_is_fd(path, &given) && code == -EBADF)
        return error_set(err, code,
                         "%s: that descriptor is not open; whoever starts us has to open it, as a shell does "
                         "with %d<>FILE",
                         path, given);
    if (path_is_fd(path, &given) && code == -EACCES)
        return error_set(err, code,
                         options->read_only ? "%s is not open for reading; open it with %d<FILE"
                                            : "%s is not open for reading and writing; open it with "
                                              "%d<>FILE, or use it read-only",
                         path, given);
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

/*
 * A descriptor that was passed to us shares its flags with whoever passed it, and is used as it is. Of the flags
 * that would make it no disk, O_APPEND sends every write to the end, and O_NONBLOCK means nothing on a file, except
 * to io_uring, which would not wait for the storage.
 */
static int settle_flags(const struct block_file_options *options, int fd, bool *ret_direct, struct error *err)
{
    int given, flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return say_why_not_opened(options, -errno, err);
    if (path_is_fd(options->path, &given) && flags & O_APPEND && !options->read_only)
        return error_set(err, -EINVAL,
                         "%s is open for appending, so that no write would go where it belongs; open it with "
                         "%d<>FILE",
                         options->path, given);
    if (flags & O_NONBLOCK && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
        return say_why_not_opened(options, -errno, err);
    *ret_direct = flags & O_DIRECT;
    return 0;
}

/* Is a device to be ours alone? One that was passed to us is claimed by whoever opened it, or not at all. */
static bool must_claim(const struct block_file_options *options, mode_t mode)
{
    int given;

    return S_ISBLK(mode) && !options->no_lock && !path_is_fd(options->path, &given);
}

/* *ret_direct: whether O_DIRECT is set already. */
static int open_image(const struct block_file_options *options, struct stat *ret_status, bool *ret_direct,
                      struct error *err)
{
    int flags = options->read_only ? O_RDONLY : O_RDWR;
    CLEANUP_CLOSE int fd = -1;
    int result;

    /* Look before opening: to open a character device may do something. O_NONBLOCK for what slips in between.
     */
    result = stat_path(options->path, ret_status);
    if (result < 0)
        return say_why_not_opened(options, result, err);
    result = refuse_type(options->path, ret_status->st_mode, err);
    if (result < 0)
        return result;
    if (must_claim(options, ret_status->st_mode) && !options->read_only)
        flags |= O_EXCL; /* without O_CREAT: nothing of the kernel's has the device open */
    fd = open_path(options->path, flags | O_NONBLOCK, 0);
    if (fd < 0)
        return say_why_not_opened(options, fd, err);
    if (fstat(fd, ret_status) < 0)
        return say_why_not_opened(options, -errno, err);
    result = refuse_type(options->path, ret_status->st_mode, err);
    if (result < 0)
        return result;
    result = settle_flags(options, fd, ret_direct, err);
    return result < 0 ? result : steal_fd(&fd);
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

/* The same file again with other flags: a description of its own, so that the flags are not shared. */
static int reopen(int fd, const struct block_file_options *options, int flags)
{
    char path[64];
    int opened;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    opened = open(path, (options->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | flags);
    return opened < 0 ? -errno : opened;
}

/*
 * Readers share a device with each other and not with the host, but the kernel's claim (O_EXCL) is one opener's: so
 * the first has it, and those behind it make sure that it is one of them. Each has its lock before it asks for the
 * claim, which is how the others know it. *fd gets to be the claimed one.
 */
static int claim_among_readers(const struct block_file_options *options, int *fd, struct error *err)
{
    struct flock writer = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    CLEANUP_CLOSE int claimed = reopen(*fd, options, O_EXCL);
    int result;

    if (claimed == -EBUSY && fcntl(*fd, F_OFD_GETLK, &writer) == 0 && writer.l_type != F_UNLCK)
        return 0;
    if (claimed == -ENOENT)
        return error_set(err, claimed, "%s cannot be claimed as a disk without /proc, which is not mounted",
                         options->path);
    if (claimed < 0)
        return say_why_not_opened(options, claimed, err);
    result = lock(options, claimed, err);
    if (result < 0)
        return result;
    close(*fd);
    *fd = steal_fd(&claimed);
    return 0;
}

/* Direct I/O takes two descriptors, with O_DIRECT and without: `fd` is one of them, the other is made of it. */
static int open_both_ways(const struct block_file_options *options, int fd, bool is_direct,
                          struct opened_disk *disk, struct error *err)
{
    int other = reopen(fd, options, is_direct ? 0 : O_DIRECT);

    if (other == -EINVAL)
        return say_why_not_opened(options, other, err);
    if (other < 0)
        return error_set(err, other,
                         "cannot open the disk %s a second time, which direct I/O needs: %s; use it without",
                         options->path, strerror(-other));
    disk->fd = is_direct ? fd : other;
    disk->buffered_fd = is_direct ? other : fd;
    return 0;
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
    struct opened_disk disk = { .offset_alignment = 1, .memory_alignment = 1 };
    CLEANUP_CLOSE int fd = -1;
    bool is_direct = false;
    struct stat status;
    int result;

    fd = open_image(options, &status, &is_direct, err);
    if (fd < 0)
        return fd;
    result = lock(options, fd, err);
    if (result == 0 && options->read_only && must_claim(options, status.st_mode))
        result = claim_among_readers(options, &fd, err);
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
    if (options->direct || is_direct) {
        result = open_both_ways(options, fd, is_direct, &disk, err);
        if (result < 0)
            return result;
        result = learn_alignment(options, &disk, err);
    }
    steal_fd(&fd); /* the disk has it */
    if (result < 0)
        close_disk(&disk);
    else
        *ret_disk = disk;
    return result;
}

void close_disk(const struct opened_disk *disk)
{
    if (disk->fd != disk->buffered_fd)
        close(disk->fd);
    close(disk->buffered_fd);
}
