/* SPDX-License-Identifier: Apache-2.0 */
/*
 * default_guest.c - see default_guest.h.
 *
 * The script prints the directory, and is otherwise as if the person had called it. It leads a process group, so
 * that it can be ended together with what it started; and what happens to a group of its own (Ctrl-C on the
 * terminal) does not reach it, so that signals are passed on. However it is ended, it leaves no half-made guest:
 * the directory appears when it is whole.
 */
#include "default_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ringlet/cleanup.h"
#include "ringlet/error.h"
#include "ringlet/log.h"
#include "ringlet/util.h"

#define INSTEAD "give --kernel with --image, --root or --initrd"

/* Between the polite way of ending the script and the other. */
#define PATIENCE_MS 2000

static const int passed_on[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

struct script_run {
    pid_t pid;
    int pidfd;
    int output;  /* reads what it prints */
    int signals; /* signalfd */
    char printed[PATH_MAX];
    size_t length;
    int interrupted; /* number of the signal that ended it, or 0 */
    int status;      /* waitpid()'s */
    int timer;       /* -1: none */
    bool timed_out;
};

/* "DIRECTORY/NAME", which must be there to be read. */
static int file_in(const char *directory, const char *name, char **ret_path)
{
    char *path;

    if (asprintf(&path, "%s/%s", directory, name) < 0)
        return -ENOMEM;
    if (access(path, R_OK) < 0) {
        int result = -errno;

        free(path);
        return result;
    }
    *ret_path = path;
    return 0;
}

static int look_into(const char *directory, struct default_guest *ret_guest)
{
    CLEANUP_FREE char *kernel = NULL;
    int result = file_in(directory, "kernel", &kernel);

    if (result == 0)
        result = file_in(directory, "initrd", &ret_guest->initrd);
    if (result == 0)
        ret_guest->kernel = steal_pointer(&kernel);
    return result;
}

/* A variable that is set to nothing counts as not set, as it does for the script. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

static int cached_directory(char **ret_directory, struct error *err)
{
    const char *cache = variable("RINGLET_CACHE"), *xdg = variable("XDG_CACHE_HOME"),
               *home = variable("HOME");
    char *directory;
    int length;

    if (cache)
        length = asprintf(&directory, "%s/default-guest", cache);
    else if (xdg)
        length = asprintf(&directory, "%s/ringlet/default-guest", xdg);
    else if (home)
        length = asprintf(&directory, "%s/.cache/ringlet/default-guest", home);
    else
        return error_set(err, -ENOENT,
                         "HOME is not set, so there is no place for the default guest: set it, or " INSTEAD);
    if (length < 0)
        return error_set(err, -ENOMEM, "out of memory");
    *ret_directory = directory;
    return 0;
}

/* In the child. */
static _Noreturn void become(const char *script, int output, pid_t parent)
{
    char *arguments[] = { (char *)(uintptr_t)script, NULL };
    sigset_t none;
    int null_fd;

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    /* Neither of them is a script's to know of; those of passed_on it inherits, ignored or not. */
    signal(SIGCHLD, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    /* Out of the terminal's foreground one may be stopped for what one does to the terminal. */
    signal(SIGTTOU, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    null_fd = open("/dev/null", O_RDONLY);
    if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        close_range(STDERR_FILENO + 1, ~0U, 0) < 0)
        _exit(126);
    execv(script, arguments);
    _exit(errno == ENOENT ? 127 : 126);
}

/* Takes what it prints, and notes its end. False: nothing more is to come. */
static bool take_output(struct script_run *run)
{
    for (;;) {
        char rest[256];
        size_t room = sizeof(run->printed) - 1 - run->length;
        /* A path has its limit; what is more than that is not one, but is not to hold the script up either. */
        ssize_t length = room ? read(run->output, run->printed + run->length, room)
                              : read(run->output, rest, sizeof(rest));

        if (length > 0 && room)
            run->length += (size_t)length;
        if (length < 0 && errno == EINTR)
            continue;
        if (length <= 0)
            return length < 0 && errno == EAGAIN;
    }
}

static bool has_ended(const struct script_run *run, int patience)
{
    struct pollfd ended = { .fd = run->pidfd, .events = POLLIN };

    return poll(&ended, 1, patience) == 1;
}

/* End it with all that is in its group; reaping it is the caller's. */
static void end_script(struct script_run *run)
{
    kill(-run->pid, SIGTERM);
    has_ended(run, PATIENCE_MS);
    kill(-run->pid, SIGKILL);
}

static void attend(struct script_run *run)
{
    struct pollfd watched[] = {
        { .fd = run->pidfd, .events = POLLIN },
        { .fd = run->signals, .events = POLLIN },
        { .fd = run->output, .events = POLLIN },
        { .fd = run->timer, .events = POLLIN }, /* -1: none */
    };

    for (;;) {
        struct signalfd_siginfo info;
        int ready = poll(watched, ARRAY_SIZE(watched), -1);

        if (ready < 0 && errno == EINTR)
            continue;
        if (ready < 0)
            break;
        if (watched[3].revents) {
            run->timed_out = true;
            break;
        }
        if (watched[2].revents && !take_output(run))
            watched[2].fd = -1; /* closed; there is still its end to wait for */
        if (watched[1].revents && read(run->signals, &info, sizeof(info)) == sizeof(info)) {
            run->interrupted = (int)info.ssi_signo;
            break;
        }
        if (watched[0].revents)
            break;
    }
    if (!watched[0].revents)
        end_script(run);
    take_output(run);
}

/* With the signals of passed_on blocked, and SIGCHLD not ignored. */
static int start_and_attend(const char *script, struct script_run *run)
{
    CLEANUP_CLOSE int output = -1;
    CLEANUP_CLOSE int pidfd = -1;
    pid_t parent = getpid();
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    output = ends[0];
    if (fcntl(output, F_SETFL, O_NONBLOCK) < 0) {
        close(ends[1]);
        return -errno;
    }
    run->pid = fork();
    if (run->pid == 0)
        become(script, ends[1], parent);
    close(ends[1]);
    if (run->pid < 0)
        return -errno;
    setpgid(run->pid,
            run->pid); /* whoever comes first; the child may be a script already, where this fails */
    run->output = output;
    run->pidfd = pidfd = pidfd_open(run->pid, 0);
    if (pidfd < 0) {
        int result = -errno;

        kill(-run->pid, SIGKILL);
        waitpid(run->pid, &run->status, 0);
        return result;
    }
    attend(run);
    while (waitpid(run->pid, &run->status, 0) < 0 && errno == EINTR)
        ;
    return 0;
}

/* A timer that fires in `nanoseconds`, or -errno. */
static int make_timer(uint64_t nanoseconds)
{
    const struct itimerspec when = { .it_value = { .tv_sec = (time_t)(nanoseconds / 1000000000),
                                                   .tv_nsec = (long)(nanoseconds % 1000000000) } };
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

    if (timer >= 0 && timerfd_settime(timer, 0, &when, NULL) < 0) {
        close(timer);
        return -errno;
    }
    return timer < 0 ? -errno : timer;
}

static int run_script(const char *script, uint64_t patience, struct script_run *run)
{
    struct sigaction child_action, action = { .sa_handler = SIG_DFL };
    CLEANUP_CLOSE int signals = -1;
    CLEANUP_CLOSE int timer = -1;
    sigset_t ours, before;
    int result;

    /* What we were told to ignore (nohup, a shell's background job) stays ignored. */
    sigemptyset(&ours);
    for (unsigned i = 0; i < ARRAY_SIZE(passed_on); i++) {
        struct sigaction old;

        if (sigaction(passed_on[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaddset(&ours, passed_on[i]);
    }
    signals = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        return -errno;
    run->signals = signals;
    if (patience) {
        timer = make_timer(patience);
        if (timer < 0)
            return timer;
    }
    run->timer = timer;
    /* Where SIGCHLD is ignored the child's status is lost. */
    sigaction(SIGCHLD, &action, &child_action);
    sigprocmask(SIG_BLOCK, &ours, &before);
    result = start_and_attend(script, run);
    if (run->interrupted)
        raise(run->interrupted);
    sigprocmask(SIG_SETMASK, &before, NULL);
    sigaction(SIGCHLD, &child_action, NULL);
    return result;
}

/* The directory that it printed, or a sentence why there is none. */
static int make(const char *script, uint64_t patience, struct script_run *run, struct error *err)
{
    int result = run_script(script, patience, run);
    char *end;

    if (result < 0)
        return error_set(err, result, "cannot run %s: %s", script, strerror(-result));
    if (run->interrupted)
        return error_set(err, -EINTR, "signal %d came while the default guest was being prepared",
                         run->interrupted);
    if (run->timed_out)
        return error_set(err, -ETIMEDOUT,
                         "the time given with --timeout ran out while the default guest was being prepared");
    if (WIFSIGNALED(run->status))
        return error_set(err, -ECHILD,
                         "signal %d ended %s, which prepares the default guest; try again, or " INSTEAD,
                         WTERMSIG(run->status), script);
    if (WEXITSTATUS(run->status) != 0)
        return error_set(err, -ECHILD,
                         "%s could not prepare the default guest (status %d); mend what it says, or " INSTEAD,
                         script, WEXITSTATUS(run->status));
    run->printed[run->length] = '\0';
    end = strchr(run->printed, '\n');
    if (!end || end == run->printed || end[1])
        return error_set(err, -EPROTO, "%s did not print the directory of the default guest; " INSTEAD,
                         script);
    *end = '\0';
    return 0;
}

int default_guest_find_or_make(const char *script, uint64_t patience, struct default_guest *ret_guest,
                               struct error *err)
{
    const char *own = variable("RINGLET_GUEST");
    CLEANUP_FREE char *directory = NULL;
    CLEANUP_FREE struct script_run *run = NULL;
    int result;

    if (own) {
        result = look_into(own, ret_guest);
        if (result < 0)
            return error_set(err, result,
                             "RINGLET_GUEST is '%s', which has no 'kernel' and 'initrd' to read: %s", own,
                             strerror(-result));
        return 0;
    }
    result = cached_directory(&directory, err);
    if (result < 0)
        return result;
    result = look_into(directory, ret_guest);
    if (result == 0)
        return 0;
    if (result != -ENOENT)
        return error_set(err, result, "the default guest in %s cannot be read: %s; mend that, or " INSTEAD,
                         directory, strerror(-result));
    if (access(script, X_OK) < 0)
        return error_set(err, -errno,
                         "there is no default guest in %s, and no %s to prepare one: %s; " INSTEAD, directory,
                         script, strerror(errno));
    run = calloc(1, sizeof(*run));
    if (!run)
        return error_set(err, -ENOMEM, "out of memory");
    log_warning("preparing the default guest, once: %s", script);
    result = make(script, patience, run, err);
    if (result < 0)
        return result;
    result = look_into(run->printed, ret_guest);
    if (result < 0)
        return error_set(err, result,
                         "%s has prepared %s, but it has no 'kernel' and 'initrd' to read: %s; " INSTEAD,
                         script, run->printed, strerror(-result));
    return 0;
}

/*
 * A program in BUILD/src/ is one that was just built, and its source tree is above; only the build has it lie in a
 * "src". Anything else has the installed script, since a file above the program may be anybody's.
 */
static char *script_path(const char *installed)
{
    char program[PATH_MAX], *slash, *script;
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);

    if (length > 0) {
        program[length] = '\0';
        slash = strrchr(program, '/');
        if (slash) {
            *slash = '\0';
            slash = strrchr(program, '/');
            if (slash && strcmp(slash, "/src") == 0) {
                if (asprintf(&script, "%s/../../guest-images/default", program) < 0)
                    return NULL;
                if (access(script, X_OK) == 0)
                    return script;
                free(script);
            }
        }
    }
    return strdup(installed);
}

int default_guest_find(const char *installed, uint64_t patience, struct default_guest *ret_guest,
                       struct error *err)
{
    CLEANUP_FREE char *script = script_path(installed);

    if (!script)
        return error_set(err, -ENOMEM, "out of memory");
    return default_guest_find_or_make(script, patience, ret_guest, err);
}

void default_guest_finish(struct default_guest *guest)
{
    free(guest->kernel);
    free(guest->initrd);
    *guest = (struct default_guest){ 0 };
}
