/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child_sandbox.c - see child_sandbox.h.
 *
 * How the directory gets in: a descriptor belongs to the mount namespace that it was opened in, and nothing of
 * another namespace can be mounted. The working directory, though, moves along with its process into a new
 * mount namespace. So the child goes there, leaves the old namespace, copies the tree of mounts that it stands
 * in, sets that copy up and attaches it at `path`. No name of the directory is looked up, so that it may be
 * "/", renamed, or a descriptor without a name.
 */
#include "child_sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ringlet/cleanup.h"
#include "ringlet/util.h"

int child_sandbox_prepare(struct child_sandbox *sandbox)
{
    /* Folders that every system has and that no program needs to run. What lies in them is covered. */
    static const char *const places[] = { "/sys", "/mnt", "/srv", "/media" };
    struct stat status;

    snprintf(sandbox->uid_map, sizeof(sandbox->uid_map), "0 %u 1", (unsigned)geteuid());
    snprintf(sandbox->gid_map, sizeof(sandbox->gid_map), "0 %u 1", (unsigned)getegid());
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        if (stat(places[i], &status) == 0 && S_ISDIR(status.st_mode)) {
            sandbox->path = places[i];
            return 0;
        }
    }
    return -ENOENT;
}

unsigned long child_sandbox_clone_flags(const struct child_sandbox *sandbox)
{
    return CLONE_NEWPID | (sandbox->user_namespace ? CLONE_NEWUSER : 0UL);
}

static int write_file(const char *path, const char *text)
{
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

    return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* user_namespaces(7): a process without rights may map itself, once it can drop its groups no more. */
static int map_ids(const struct child_sandbox *sandbox)
{
    int result = write_file("/proc/self/setgroups", "deny");

    if (result == 0)
        result = write_file("/proc/self/uid_map", sandbox->uid_map);
    if (result == 0)
        result = write_file("/proc/self/gid_map", sandbox->gid_map);
    return result;
}

/*
 * With "deny" the caller's groups stay, which is as it should be: the child may do what the caller may. QEMU's
 * virtiofsd wants to drop them nonetheless and ends when it cannot; so it is told that it has.
 */
static int pretend_to_drop_groups(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setgroups, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = ARRAY_SIZE(filter), .filter = filter };

    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

static int set_mounts(int fd, const char *path, unsigned flags, uint64_t attributes, uint64_t propagation)
{
    struct mount_attr attr = { .attr_set = attributes, .propagation = propagation };

    return mount_setattr(fd, path, AT_RECURSIVE | flags, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

/* The working directory is the one to be shown. */
static int show_directory(const struct child_sandbox *sandbox)
{
    uint64_t attributes = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | (sandbox->read_only ? MOUNT_ATTR_RDONLY : 0);
    CLEANUP_CLOSE int tree = -1;
    int result;

    /* What is unmounted outside goes here too; what is mounted there later must not come into the tree. */
    result = set_mounts(AT_FDCWD, "/", 0, 0, MS_SLAVE);
    if (result < 0)
        return result;
    tree = open_tree(AT_FDCWD, ".", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree < 0)
        return -errno;
    result = set_mounts(tree, "", AT_EMPTY_PATH, attributes, MS_PRIVATE);
    if (result == 0)
        result = set_mounts(AT_FDCWD, "/", 0, MOUNT_ATTR_RDONLY, 0);
    if (result < 0)
        return result;
    if (move_mount(tree, "", AT_FDCWD, sandbox->path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return -errno;
    return chdir("/") < 0 ? -errno : 0;
}

int child_sandbox_enter(const struct child_sandbox *sandbox, enum child_step *ret_step)
{
    int result = sandbox->user_namespace ? map_ids(sandbox) : 0;

    *ret_step = CHILD_STEP_NAMESPACES;
    if (result < 0)
        return result;
    if (fchdir(sandbox->directory_fd) < 0) {
        *ret_step = CHILD_STEP_DIRECTORY;
        return -errno;
    }
    if (unshare(CLONE_NEWNS) < 0)
        return -errno;
    if (sandbox->user_namespace) {
        result = pretend_to_drop_groups();
        if (result < 0)
            return result;
    }
    *ret_step = CHILD_STEP_DIRECTORY;
    return show_directory(sandbox);
}
