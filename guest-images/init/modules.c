/* SPDX-License-Identifier: Apache-2.0 */
/*
 * modules.c - see modules.h.
 */
#include "modules.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report.h"
#include "ringlet/cleanup.h"
#include "ringlet/util.h"

#define FOLDER "/modules"

static int is_module(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);

    return length > 3 && strcmp(entry->d_name + length - 3, ".ko") == 0;
}

/* False if no module can be loaded at all: this kernel has everything built in. */
static bool load(const struct report *report, const char *name)
{
    char path[PATH_MAX];
    CLEANUP_CLOSE int fd = -1;

    snprintf(path, sizeof(path), FOLDER "/%s", name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && syscall(SYS_finit_module, fd, "", 0) == 0)
        return true;
    if (errno == ENOSYS)
        return false;
    /* Loaded already; or a driver of something that this machine does not have. */
    if (errno != EEXIST && errno != ENODEV && errno != EOPNOTSUPP)
        report_warning(report, "cannot load %s: %s", path, strerror(errno));
    return true;
}

static void load_folder(const struct report *report)
{
    struct dirent **entries;
    int count = scandir(FOLDER, &entries, is_module, alphasort);
    bool possible = true;

    for (int i = 0; i < count; i++) {
        possible = possible && load(report, entries[i]->d_name);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

static void probe(void)
{
    static const char *const arguments[] = {
        "modprobe",   "-a",         "-q",         "virtio_mmio", "virtio_pci", "virtio_console",
        "virtio_blk", "virtio_net", "virtiofs",   "overlay",     "ext4",       "xfs",
        "btrfs",      "squashfs",   "virtio_rng", NULL
    };
    static const char *const programs[] = { "/sbin/modprobe",    "/usr/sbin/modprobe", "/bin/modprobe",
                                            "/usr/bin/modprobe", "/bin/busybox",       "/usr/bin/busybox" };
    pid_t pid = fork();

    if (pid == 0) {
        /* busybox goes by the name it is called by, too. */
        for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
            execv(programs[i], (char *const *)arguments);
        _exit(127);
    }
    if (pid > 0)
        waitpid(pid, NULL, 0);
}

void modules_load(const struct report *report)
{
    char path[PATH_MAX];
    struct utsname name;

    load_folder(report);
    if (uname(&name) < 0)
        return;
    snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", name.release);
    if (access(path, R_OK) == 0)
        probe();
}
