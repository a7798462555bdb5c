/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mounts.c - see mounts.h.
 *
 * We start in the initramfs, which cannot be left by pivot_root(). So the new root is mounted below it, the
 * kernel's file systems are moved into the new root, and then it is moved over "/" itself. What lies below cannot be
 * reached any more and stays as it is: it is small.
 *
 * A shared root is the host's directory, read-only, below a tmpfs for all that the guest writes (overlayfs).
 */
#include "mounts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <mntent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "deadline.h"
#include "report.h"
#include "ringlet/cleanup.h"
#include "ringlet/error.h"
#include "ringlet/util.h"
#include "settings.h"
#include "uevent.h"

#define ROOT  "/ringlet/root"
#define LOWER "/ringlet/lower"
#define UPPER "/ringlet/upper"

#define DEVICE_TIMEOUT 10000 /* ms */
#define TYPE_SIZE      64

#define LOOKS_FOR_ANOTHERS 64 /* at names of a directory, for a file that is not root's */

struct kernel_mount {
    const char *type, *directory, *data;
    unsigned long flags;
    mode_t mode; /* of the directory */
};

static const struct kernel_mount kernel_mounts[] = {
    { "proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, 0555 },
    { "sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, 0555 },
    { "devtmpfs", "/dev", "mode=0755", MS_NOSUID, 0755 },
    { "devpts", "/dev/pts", "gid=5,mode=0620,ptmxmode=0666", MS_NOSUID | MS_NOEXEC, 0755 },
    { "tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV, 0755 },
    { "tmpfs", "/run", "mode=0755", MS_NOSUID | MS_NODEV, 0755 },
};

static const struct kernel_mount fresh_tmp = { "tmpfs", "/tmp", "mode=1777", MS_NOSUID | MS_NODEV, 0755 };

/* In this order, so that what is below /dev goes with it. */
static const char *const moved[] = { "/proc", "/sys", "/dev", "/run" };

static int mount_kernel(const struct kernel_mount *mounted)
{
    mkdir(mounted->directory, mounted->mode);
    if (mount(mounted->type, mounted->directory, mounted->type, mounted->flags, mounted->data) == 0)
        return 0;
    /* The same file system is there already. */
    return errno == EBUSY ? 0 : -errno;
}

int mounts_begin(struct error *err)
{
    umask(0);
    for (size_t i = 0; i < ARRAY_SIZE(kernel_mounts); i++) {
        const struct kernel_mount *mounted = &kernel_mounts[i];
        int result = mount_kernel(mounted);

        if (result < 0)
            return error_set(err, result, "cannot mount %s at %s in the guest: %s", mounted->type,
                             mounted->directory, strerror(-result));
    }
    umask(022);
    /* Most programs expect these; devtmpfs does not have them. */
    (void)!symlink("/proc/self/fd", "/dev/fd");
    (void)!symlink("/proc/self/fd/0", "/dev/stdin");
    (void)!symlink("/proc/self/fd/1", "/dev/stdout");
    (void)!symlink("/proc/self/fd/2", "/dev/stderr");
    return 0;
}

/* mkdir -p */
static int make_directories(const char *directory)
{
    char path[PATH_MAX];
    struct stat status;

    if (snprintf(path, sizeof(path), "%s", directory) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    for (char *at = path + 1; *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        mkdir(path, 0755);
        *at = '/';
    }
    if (mkdir(path, 0755) == 0)
        return 0;
    if (errno != EEXIST)
        return -errno;
    return stat(path, &status) < 0 ? -errno : S_ISDIR(status.st_mode) ? 0 : -ENOTDIR;
}

/* --- a disk --- */

static bool is_block_device(void *argument)
{
    struct stat status;

    return stat(argument, &status) == 0 && S_ISBLK(status.st_mode);
}

/* Why a type did not fit is worth telling only if it is not "this is not one of mine". */
static int mount_of_any_type(const char *device, unsigned long flags)
{
    FILE *types = fopen("/proc/filesystems", "re");
    char line[TYPE_SIZE + 16];
    int result = -EINVAL;

    if (!types)
        return -errno;
    while (fgets(line, sizeof(line), types)) {
        char type[TYPE_SIZE];

        /* Those that stand on no device have a word before the tab. */
        if (sscanf(line, "\t%63s", type) != 1 || line[0] != '\t')
            continue;
        if (mount(device, ROOT, type, flags, NULL) == 0) {
            result = 0;
            break;
        }
        if (errno != EINVAL && errno != ENODEV)
            result = -errno;
    }
    fclose(types);
    return result;
}

static int mount_disk(const struct settings *settings, struct error *err)
{
    CLEANUP_FREE char *device = strdup(settings->root_name);
    int result;

    if (!device)
        return error_set(err, -ENOMEM, "no memory");
    if (!uevent_wait(is_block_device, device, deadline_in(DEVICE_TIMEOUT)))
        return error_set(err, -ENODEV, "no disk %s in the guest after %d seconds; has its kernel virtio_blk?",
                         device, DEVICE_TIMEOUT / 1000);
    result = mount_of_any_type(device, settings->root_read_only ? MS_RDONLY : 0);
    /* A disk that refuses to be written to is mounted as it is. */
    if (result == -EACCES || result == -EROFS)
        result = mount_of_any_type(device, MS_RDONLY);
    if (result == -EINVAL)
        return error_set(
            err, result,
            "there is no file system on %s that the guest's kernel knows; an image has to be raw, "
            "with a file system on the whole of it",
            device);
    return result < 0 ? error_set(err, result, "cannot mount %s in the guest: %s", device, strerror(-result))
                      : 0;
}

/* --- shares --- */

static int mount_share(const char *tag, const char *directory, bool read_only, struct error *err)
{
    int result;

    if (mount(tag, directory, "virtiofs", read_only ? MS_RDONLY : 0, NULL) == 0)
        return 0;
    result = -errno;
    return error_set(err, result, "cannot mount the share '%s' at %s in the guest: %s%s", tag, directory,
                     strerror(-result),
                     result == -ENODEV   ? "; has its kernel virtiofs?"
                     : result == -EINVAL ? "; is there a device with that tag?"
                                         : "");
}

/*
 * Without rights on the host a virtiofsd may open other people's files, but with O_NOATIME only its own (open(2)); QEMU's
 * hands that flag on, and an overlay sets it for every file whose owner it is, or when whoever mounted it has CAP_FOWNER.
 * Is that in the way here? One file tells, which is another's as we see it. Where the first ones of each place are all
 * root's, virtiofsd has root's rights or the whole tree is its own: a start is not to ask for each file of /usr/bin.
 */
static bool noatime_is_refused(void)
{
    static const char *const places[] = { LOWER "/bin", LOWER "/usr/bin", LOWER "/etc", LOWER };

    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        DIR *folder = opendir(places[i]);
        const struct dirent *entry;

        for (unsigned looks = 0; folder && looks < LOOKS_FOR_ANOTHERS && (entry = readdir(folder)); looks++) {
            struct stat status;
            int fd;

            if (fstatat(dirfd(folder), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
                !S_ISREG(status.st_mode) || status.st_uid == 0)
                continue;
            fd = openat(dirfd(folder), entry->d_name, O_RDONLY | O_NOATIME | O_CLOEXEC);
            if (fd < 0 && errno != EPERM)
                continue; /* that one may not be read at all */
            if (fd >= 0)
                close(fd);
            closedir(folder);
            return fd < 0;
        }
        if (folder)
            closedir(folder);
    }
    return false;
}

/* In force, or only permitted. A process 1 that cannot change its capabilities keeps them. */
static void set_fowner(bool effective)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

    if (syscall(SYS_capget, &header, data) < 0)
        return;
    if (effective)
        data[0].effective |= UINT32_C(1) << CAP_FOWNER;
    else
        data[0].effective &= ~(UINT32_C(1) << CAP_FOWNER);
    (void)syscall(SYS_capset, &header, data);
}

static int mount_overlay(struct error *err)
{
    if (mount("tmpfs", UPPER, "tmpfs", 0, "mode=0755") == 0 && mkdir(UPPER "/data", 0755) == 0 &&
        mkdir(UPPER "/work", 0755) == 0 &&
        mount("overlay", ROOT, "overlay", 0,
              "lowerdir=" LOWER ",upperdir=" UPPER "/data,workdir=" UPPER "/work") == 0)
        return 0;
    return error_set(err, -errno, "cannot put a tmpfs over the shared root in the guest: %s%s",
                     strerror(errno), errno == ENODEV ? "; has its kernel overlay?" : "");
}

static int mount_shared_root(const struct settings *settings, struct error *err)
{
    bool refused;
    int result;

    mkdir(LOWER, 0755);
    mkdir(UPPER, 0755);
    result = mount_share(settings->root_name, LOWER, true, err);
    if (result < 0)
        return result;
    /* What the overlay does, it does with the rights that it was mounted with. */
    refused = noatime_is_refused();
    if (refused)
        set_fowner(false);
    result = mount_overlay(err);
    if (refused)
        set_fowner(true);
    return result;
}

int mounts_add_shares(const struct settings *settings, struct error *err)
{
    for (unsigned i = 0; i < settings->mount_count; i++) {
        const struct settings_mount *mounted = &settings->mounts[i];
        int result = make_directories(mounted->directory);

        if (result < 0)
            return error_set(err, result, "cannot make %s for the share '%s' in the guest: %s",
                             mounted->directory, mounted->tag, strerror(-result));
        result = mount_share(mounted->tag, mounted->directory, mounted->read_only, err);
        if (result < 0)
            return result;
    }
    return 0;
}

/* --- into the root --- */

static int move_into_root(const struct report *report, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(moved); i++) {
        char there[64];

        snprintf(there, sizeof(there), ROOT "%s", moved[i]);
        mkdir(there, 0755);
        if (mount(moved[i], there, NULL, MS_MOVE, NULL) == 0)
            continue;
        if (strcmp(moved[i], "/run") != 0)
            return error_set(err, -errno, "the guest's root cannot have a %s: %s", moved[i], strerror(errno));
        report_warning(report, "the guest's root cannot have a %s: %s", moved[i], strerror(errno));
    }
    if (chdir(ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
        return error_set(err, -errno, "cannot change to the guest's root: %s", strerror(errno));
    return 0;
}

int mounts_enter_root(const struct settings *settings, const struct report *report, struct error *err)
{
    int result = 0;

    if (settings->root != ROOT_INITRD) {
        make_directories(ROOT);
        result = settings->root == ROOT_DISK ? mount_disk(settings, err) : mount_shared_root(settings, err);
        if (result == 0)
            result = move_into_root(report, err);
    }
    if (result < 0)
        return result;
    /* In an initramfs everything is memory; a file system of its own is what bounds it. */
    if (settings->root == ROOT_INITRD || (access("/tmp", W_OK) < 0 && errno == EROFS)) {
        result = mount_kernel(&fresh_tmp);
        if (result < 0)
            report_warning(report, "the guest's root cannot have a /tmp: %s", strerror(-result));
    }
    return 0;
}

/* --- the end --- */

struct mounted {
    char *directory;
    struct mounted *next;
};

/* The last one that was mounted is the first of the list. */
static struct mounted *list_mounts(void)
{
    FILE *file = setmntent("/proc/self/mounts", "re");
    struct mounted *list = NULL;
    struct mntent *entry;

    while (file && (entry = getmntent(file))) {
        struct mounted *mounted = calloc(1, sizeof(*mounted));

        if (!mounted)
            break;
        mounted->directory = strdup(entry->mnt_dir);
        mounted->next = list;
        list = mounted;
    }
    if (file)
        endmntent(file);
    return list;
}

static bool is_kernels(const char *directory)
{
    for (size_t i = 0; i < ARRAY_SIZE(moved); i++) {
        size_t length = strlen(moved[i]);

        if (strncmp(directory, moved[i], length) == 0 && (!directory[length] || directory[length] == '/'))
            return true;
    }
    return false;
}

void mounts_end(void)
{
    struct mounted *list = list_mounts();

    sync();
    (void)!chdir("/");
    while (list) {
        struct mounted *mounted = list;

        list = list->next;
        if (mounted->directory && !is_kernels(mounted->directory) &&
            umount2(mounted->directory, UMOUNT_NOFOLLOW) < 0)
            mount(NULL, mounted->directory, NULL, MS_REMOUNT | MS_RDONLY, NULL);
        free(mounted->directory);
        free(mounted);
    }
    /* Also when /proc was gone. */
    mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
    sync();
}
