/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor.c - see doctor.h.
 *
 * Each finding is one line: a verdict, the thing, what it is for or what was found; a missing thing has its
 * mend on the next line. Nothing is guessed from CPU flags: every verdict comes from asking the kernel, and
 * the last two from running guests.
 */
#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exit_status.h"
#include "options.h"
#include "ringlet/cleanup.h"
#include "ringlet/error.h"
#include "ringlet/kvm.h"
#include "ringlet/log.h"
#include "ringlet/program.h"
#include "ringlet/uring_probe.h"
#include "ringlet/util.h"
#include "ringlet/virtiofsd.h"
#include "vm.h"

enum verdict {
    VERDICT_OK,
    VERDICT_NOTE,    /* absent, and something else takes its place */
    VERDICT_NO,      /* tried, and it does not work */
    VERDICT_MISSING, /* absent, and nothing does */
    VERDICT_COUNT,
};

struct report {
    FILE *to;
    bool failed;     /* something required is missing */
    bool small_only; /* guests run, but Linux does not */
};

static void heading(const struct report *report, const char *text)
{
    fprintf(report->to, "%s\n", text);
}

__attribute__((format(printf, 4, 5))) static void finding(struct report *report, enum verdict verdict,
                                                          const char *thing, const char *format, ...)
{
    static const char *const words[] = {
        [VERDICT_OK] = "ok", [VERDICT_NOTE] = "absent", [VERDICT_NO] = "no", [VERDICT_MISSING] = "MISSING"
    };
    va_list arguments;

    fprintf(report->to, "  %-8s %-30s ", words[verdict], thing);
    va_start(arguments, format);
    vfprintf(report->to, format, arguments);
    va_end(arguments);
    fputc('\n', report->to);
    if (verdict == VERDICT_MISSING)
        report->failed = true;
}

static void mend(const struct report *report, const char *text)
{
    fprintf(report->to, "           %-30s mend: %s\n", "", text);
}

static void examine_kvm(struct report *report)
{
    struct error err = { 0 };
    CLEANUP_CLOSE int fd = kvm_open_device("/dev/kvm", &err);
    const struct kvm_requirement *requirements;
    unsigned count;

    heading(report, "KVM");
    if (fd < 0) {
        finding(report, VERDICT_MISSING, "/dev/kvm", "%s", err.text);
        return;
    }
    finding(report, VERDICT_OK, "/dev/kvm", "opens, speaks version %d", KVM_API_VERSION);
    requirements = kvm_requirements(&count);
    for (unsigned i = 0; i < count; i++) {
        int value = kvm_capability(fd, requirements[i].capability);

        if (value) {
            finding(report, VERDICT_OK, requirements[i].name, "%s", requirements[i].purpose);
            continue;
        }
        finding(report, requirements[i].required ? VERDICT_MISSING : VERDICT_NOTE, requirements[i].name, "%s",
                requirements[i].purpose);
        mend(report, requirements[i].required ? "a newer kernel, or a KVM with hardware virtualization"
                                              : "none needed; a newer kernel may bring it");
    }
}

static void examine_io_uring(struct report *report)
{
    struct uring_operation operations[URING_PROBE_MAX];
    struct error err = { 0 };
    unsigned count;
    int result = uring_probe(operations, &count, &err);

    heading(report, "I/O");
    if (result < 0) {
        finding(report, VERDICT_NOTE, "io_uring", "%s; disks work with --io-engine threads", err.text);
        mend(report, result == -ENOSYS
                         ? "a kernel from 5.11 on"
                         : "sysctl kernel.io_uring_disabled=0, or a container profile that allows it");
        return;
    }
    finding(report, VERDICT_OK, "io_uring", "can be set up");
    for (unsigned i = 0; i < count; i++) {
        finding(report, operations[i].supported ? VERDICT_OK : VERDICT_NOTE, operations[i].name, "%s",
                operations[i].purpose);
        if (!operations[i].supported)
            mend(report, "a newer kernel; until then use --io-engine threads");
    }
}

static void examine_tap(struct report *report)
{
    CLEANUP_CLOSE int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    unsigned features;

    if (fd < 0) {
        int code = errno;

        finding(report, VERDICT_NOTE, "/dev/net/tun", "%s; taps are not to be had", strerror(code));
        mend(report,
             code == ENOENT ? "modprobe tun" : "access to /dev/net/tun, or --net user, which needs none");
        return;
    }
    if (ioctl(fd, TUNGETFEATURES, &features) < 0)
        finding(report, VERDICT_NOTE, "/dev/net/tun", "does not say what it can do: %s", strerror(errno));
    else
        finding(report, VERDICT_OK, "/dev/net/tun", "taps%s%s",
                features & IFF_MULTI_QUEUE ? ", multi-queue" : "",
                features & IFF_VNET_HDR ? ", offloads" : "");
}

static void examine_network(struct report *report)
{
    heading(report, "Network");
    examine_tap(report);
    if (program_in_path("passt")) {
        finding(report, VERDICT_OK, "passt", "--net user, without any rights");
    } else {
        finding(report, VERDICT_NOTE, "passt", "--net user is not to be had");
        mend(report, "apt install passt");
    }
    if (virtiofsd_find() || program_in_path("virtiofsd")) {
        finding(report, VERDICT_OK, "virtiofsd", "--share and --root");
    } else {
        finding(report, VERDICT_NOTE, "virtiofsd", "--share and --root are not to be had");
        mend(report, "apt install virtiofsd, or qemu-system-common on Debian 12");
    }
}

/* The first line of a small file; false when there is none. */
static bool read_line(const char *path, char *line, size_t size)
{
    FILE *file = fopen(path, "re");
    bool good = file && fgets(line, (int)size, file);

    if (file)
        fclose(file);
    if (good)
        line[strcspn(line, "\n")] = '\0';
    return good;
}

static void examine_memory(struct report *report)
{
    struct sysinfo info;
    char line[128];

    heading(report, "Memory");
    if (sysinfo(&info) == 0)
        finding(report, VERDICT_OK, "RAM", "%llu MiB, %llu MiB of it free",
                (unsigned long long)((uint64_t)info.totalram * info.mem_unit / MIB),
                (unsigned long long)((uint64_t)info.freeram * info.mem_unit / MIB));
    if (read_line("/sys/kernel/mm/transparent_hugepage/enabled", line, sizeof(line)) &&
        !strstr(line, "[never]")) {
        finding(report, VERDICT_OK, "transparent huge pages", "%s", line);
    } else {
        finding(report, VERDICT_NOTE, "transparent huge pages", "guests run, somewhat slower");
        mend(report, "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
    }
    if (read_line("/proc/sys/vm/nr_hugepages", line, sizeof(line)))
        finding(report, VERDICT_OK, "reserved huge pages", "%s (not used by guests)", line);
}

extern const char payload_hello[], payload_hello_end[];
extern const char payload_linux_needs[], payload_linux_needs_end[];

/* Run a built-in guest in a child, so that whatever happens to it stays there. Its exit status, or -errno. */
static int run_payload(const char *bytes, size_t size)
{
    CLEANUP_CLOSE int fd = memfd_create("payload", MFD_CLOEXEC);
    struct run_options options = {
        .append = (char[]){ "" },
        .cpus = 1,
        .memory = RUN_MINIMUM_MEMORY_MIB * MIB,
        .console = CONSOLE_NULL,
        .timeout = UINT64_C(20) * 1000000000,
        .debug_exit = true,
    };
    char path[64];
    pid_t child;
    int status;

    if (fd < 0)
        return -errno;
    if (write(fd, bytes, size) != (ssize_t)size)
        return -EIO;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    options.kernel = path;

    fflush(NULL);
    child = fork();
    if (child < 0)
        return -errno;
    if (child == 0) {
        struct error err = { 0 };
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

        if (null < 0 || dup2(null, STDERR_FILENO) < 0)
            _exit(EXIT_STATUS_FAILURE);
        status = vm_run(&options, &err);
        _exit(status < 0 ? EXIT_STATUS_FAILURE : status);
    }
    if (waitpid(child, &status, 0) < 0)
        return -errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_STATUS_SIGNAL_BASE + WTERMSIG(status);
}

static void examine_guests(struct report *report)
{
    int status = run_payload(payload_hello, (size_t)(payload_hello_end - payload_hello));

    heading(report, "Guests");
    if (status != 42) {
        finding(report, VERDICT_MISSING, "a small guest", "did not run to its end (status %d, not 42)",
                status);
        mend(report, "what is missing above; then `ringlet run -v` says more");
        return;
    }
    finding(report, VERDICT_OK, "a small guest", "ran to its end");
    status = run_payload(payload_linux_needs, (size_t)(payload_linux_needs_end - payload_linux_needs));
    if (status == 0) {
        finding(report, VERDICT_OK, "Linux guests", "every instruction tried that Linux needs works");
    } else {
        report->small_only = true;
        finding(report, VERDICT_NO, "Linux guests",
                "this KVM cannot execute all that Linux needs (status %d)", status);
        mend(report, "a host whose KVM uses hardware virtualization");
    }
}

int doctor_run(FILE *to)
{
    struct report report = { .to = to };

    examine_kvm(&report);
    examine_io_uring(&report);
    examine_network(&report);
    examine_memory(&report);
    examine_guests(&report);
    if (report.failed)
        fputs("\nRinglet will not work here: see MISSING above.\n", to);
    else if (report.small_only)
        fputs("\nRinglet works here, for small guests only: this KVM does not run Linux.\n", to);
    else
        fputs("\nRinglet works here: `ringlet run` and `ringlet exec`.\n", to);
    return report.failed ? EXIT_STATUS_FAILURE : 0;
}
