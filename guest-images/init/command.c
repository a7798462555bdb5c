/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.c - see command.h.
 */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "accounts.h"
#include "ringlet/cleanup.h"
#include "ringlet/error.h"
#include "settings.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define DEFAULT_TERM "linux"
#define DEFAULTS_MAX 5 /* variables that we set */

/* How far the child came. */
enum child_step { STEP_SESSION, STEP_IDENTITY, STEP_WORKDIR, STEP_EXEC, STEP_COUNT };

static const char *const step_names[] = {
    [STEP_SESSION] = "start a session for the command",
    [STEP_IDENTITY] = "become the user",
    [STEP_WORKDIR] = "change to the working directory",
    [STEP_EXEC] = "execute the command",
};
_Static_assert(sizeof(step_names) / sizeof(step_names[0]) == STEP_COUNT, "a name for each step");

struct child_failure {
    enum child_step step;
    int error;
};

/* Both sides of the command's descriptors, while it is being made. */
struct descriptors {
    int ours[3],
        theirs[3]; /* standard input, output, error; with a terminal ours[2] is its master once more */
};

/* --- environment --- */

static bool same_name(const char *a, const char *b)
{
    size_t length = strcspn(a, "=");

    return strncmp(a, b, length) == 0 && b[length] == '=';
}

static void put_variable(char **environment, char *variable)
{
    while (*environment && !same_name(*environment, variable))
        environment++;
    *environment = variable;
}

static bool is_of_settings(const struct settings *settings, const char *variable)
{
    for (unsigned i = 0; i < settings->environment_count; i++) {
        if (settings->environment[i] == variable)
            return true;
    }
    return false;
}

void command_environment_free(char **environment, const struct settings *settings)
{
    if (!environment)
        return;
    for (char **at = environment; *at; at++) {
        if (!is_of_settings(settings, *at))
            free(*at);
    }
    free(environment);
}

char **command_environment(const struct settings *settings, const struct account *account)
{
    const char *const defaults[DEFAULTS_MAX][2] = {
        { "PATH", DEFAULT_PATH },
        { "HOME", account->home },
        { "USER", account->name },
        { "SHELL", account->shell },
        { "TERM", settings->tty ? DEFAULT_TERM : NULL },
    };
    char **environment = calloc(DEFAULTS_MAX + settings->environment_count + 1, sizeof(*environment));
    unsigned count = 0;

    if (!environment)
        return NULL;
    for (unsigned i = 0; i < DEFAULTS_MAX; i++) {
        bool given = false;

        for (unsigned j = 0; j < settings->environment_count; j++)
            given =
                given || (strncmp(settings->environment[j], defaults[i][0], strlen(defaults[i][0])) == 0 &&
                          settings->environment[j][strlen(defaults[i][0])] == '=');
        if (given || !defaults[i][1])
            continue;
        if (asprintf(&environment[count], "%s=%s", defaults[i][0], defaults[i][1]) < 0) {
            environment[count] = NULL;
            command_environment_free(environment, settings);
            return NULL;
        }
        count++;
    }
    for (unsigned i = 0; i < settings->environment_count; i++)
        put_variable(environment, settings->environment[i]);
    return environment;
}

/* --- descriptors --- */

static void close_all(int fds[3])
{
    for (int i = 0; i < 3; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}

static int open_pipes(const struct account *account, struct descriptors *descriptors, struct error *err)
{
    for (int i = 0; i < 3; i++) {
        int ends[2];
        int ours = i == STDIN_FILENO ? 1 : 0;

        if (pipe2(ends, O_CLOEXEC) < 0)
            return error_set(err, -errno, "cannot make a pipe for the command: %s", strerror(errno));
        descriptors->ours[i] = ends[ours];
        descriptors->theirs[i] = ends[!ours];
        if (fcntl(ends[ours], F_SETFL, O_NONBLOCK) < 0)
            return error_set(err, -errno, "cannot set up a pipe for the command: %s", strerror(errno));
        /* So that it may open /dev/stdout; where we are not root it owns them already. */
        (void)!fchown(ends[!ours], account->uid, account->gid);
    }
    return 0;
}

static int open_terminal(const struct settings *settings, const struct account *account,
                         struct descriptors *descriptors, struct error *err)
{
    struct winsize size = { .ws_row = settings->rows, .ws_col = settings->columns };
    struct termios modes;
    int unlocked = 0;

    descriptors->ours[0] = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (descriptors->ours[0] < 0 || ioctl(descriptors->ours[0], TIOCSPTLCK, &unlocked) < 0)
        return error_set(err, -errno, "cannot open /dev/ptmx in the guest: %s", strerror(errno));
    descriptors->theirs[0] = ioctl(descriptors->ours[0], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (descriptors->theirs[0] < 0)
        return error_set(err, -errno, "cannot open the guest's terminal: %s", strerror(errno));
    for (int i = 1; i < 3; i++) {
        descriptors->ours[i] = fcntl(descriptors->ours[0], F_DUPFD_CLOEXEC, 0);
        descriptors->theirs[i] = fcntl(descriptors->theirs[0], F_DUPFD_CLOEXEC, 0);
        if (descriptors->ours[i] < 0 || descriptors->theirs[i] < 0)
            return error_set(err, -errno, "no descriptors for the terminal: %s", strerror(errno));
    }
    if (settings->rows && settings->columns)
        ioctl(descriptors->ours[0], TIOCSWINSZ, &size);
    if (tcgetattr(descriptors->theirs[0], &modes) == 0) {
        modes.c_iflag |= IUTF8; /* erasing erases characters */
        tcsetattr(descriptors->theirs[0], TCSANOW, &modes);
    }
    (void)!fchown(descriptors->theirs[0], account->uid, (gid_t)-1);
    return 0;
}

/* --- the child --- */

/* The kernel's own bound of 4096 is less than what service managers and containers give. */
static void raise_limits(void)
{
    static const struct rlimit files = { .rlim_cur = 1024, .rlim_max = 524288 };

    setrlimit(RLIMIT_NOFILE, &files);
}

static int enter_session(const struct settings *settings, const int theirs[3])
{
    int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    /* The init is not to be killed for want of memory; what it runs is. */
    if (oom >= 0) {
        (void)!write(oom, "0", 1);
        close(oom);
    }
    raise_limits();
    if (setsid() < 0 || (settings->tty && ioctl(theirs[0], TIOCSCTTY, 0) < 0))
        return -errno;
    for (int i = 0; i < 3; i++) {
        if (dup2(theirs[i], i) < 0)
            return -errno;
    }
    return 0;
}

static int take_identity(const struct account *account)
{
    /* Not privileged means that we are a test, which stays who it is. */
    if (geteuid() == 0 && setgroups(account->group_count, account->groups) < 0)
        return -errno;
    return setgid(account->gid) < 0 || setuid(account->uid) < 0 ? -errno : 0;
}

static void reset_signals(void)
{
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static __attribute__((noreturn)) void become_command(const struct settings *settings,
                                                     const struct account *account, char **environment,
                                                     const int theirs[3], int report)
{
    struct child_failure failure = { .step = STEP_SESSION };

    reset_signals();
    failure.error = enter_session(settings, theirs);
    if (failure.error == 0) {
        failure.step = STEP_IDENTITY;
        failure.error = take_identity(account);
    }
    if (failure.error == 0) {
        failure.step = STEP_WORKDIR;
        failure.error = chdir(settings->workdir) < 0 ? -errno : 0;
    }
    if (failure.error == 0) {
        failure.step = STEP_EXEC;
        environ = environment; /* whose PATH execvp() searches */
        execvp(settings->arguments[0], settings->arguments);
        failure.error = -errno;
    }
    (void)!write(report, &failure, sizeof(failure));
    _exit(127);
}

/* --- the parent --- */

struct guest_exit command_exit_of_status(int status)
{
    if (WIFSIGNALED(status))
        return (struct guest_exit){ .kind = GUEST_KILLED, .value = (uint32_t)WTERMSIG(status) };
    return (struct guest_exit){ .kind = GUEST_EXITED, .value = (uint32_t)WEXITSTATUS(status) };
}

struct guest_exit command_exit_of_failure(int error, bool searched)
{
    /* A part of PATH may be no directory; that is not what was asked about. */
    bool found = error != ENOENT && !(searched && error == ENOTDIR);

    return (struct guest_exit){ .kind = found ? GUEST_NOT_EXECUTABLE : GUEST_NOT_FOUND,
                                .value = (uint32_t)(found ? error : ENOENT) };
}

/* What the child has to say; nothing is said when it has become the command. */
static int hear(int report, const struct settings *settings, const struct account *account,
                struct guest_exit *ret_exit, struct error *err)
{
    struct child_failure failure;
    ssize_t count;

    do
        count = read(report, &failure, sizeof(failure));
    while (count < 0 && errno == EINTR);
    if (count == 0)
        return 0;
    if (count != sizeof(failure))
        return error_set(err, -EIO, "cannot hear of the command's start");
    switch (failure.step) {
    case STEP_WORKDIR:
        *ret_exit = (struct guest_exit){ .kind = GUEST_NOT_EXECUTABLE, .value = (uint32_t)-failure.error };
        return 1;
    case STEP_EXEC:
        *ret_exit = command_exit_of_failure(-failure.error, !strchr(settings->arguments[0], '/'));
        return 1;
    default:
        return error_set(err, failure.error, "cannot %s '%s' in the guest: %s", step_names[failure.step],
                         account->name, strerror(-failure.error));
    }
}

static int launch(const struct settings *settings, const struct account *account, char **environment,
                  struct descriptors *descriptors, pid_t *ret_pid, struct guest_exit *ret_exit,
                  struct error *err)
{
    CLEANUP_CLOSE int hearing = -1;
    int report[2];
    int result;
    pid_t pid;

    if (pipe2(report, O_CLOEXEC) < 0)
        return error_set(err, -errno, "cannot make a pipe: %s", strerror(errno));
    hearing = report[0];
    pid = fork();
    if (pid == 0)
        become_command(settings, account, environment, descriptors->theirs, report[1]);
    result = pid < 0 ? -errno : 0;
    close(report[1]);
    if (result < 0)
        return error_set(err, result, "cannot make a process for the command: %s", strerror(-result));
    result = hear(hearing, settings, account, ret_exit, err);
    if (result != 0) {
        waitpid(pid, NULL, 0);
        return result;
    }
    *ret_pid = pid;
    return 0;
}

int command_start(const struct settings *settings, const struct account *account, struct command *ret_command,
                  struct guest_exit *ret_exit, struct error *err)
{
    struct descriptors descriptors = { { -1, -1, -1 }, { -1, -1, -1 } };
    char **environment = command_environment(settings, account);
    int result = environment ? 0 : error_set(err, -ENOMEM, "no memory for the command's environment");
    pid_t pid = -1;

    if (result == 0)
        result = settings->tty ? open_terminal(settings, account, &descriptors, err)
                               : open_pipes(account, &descriptors, err);
    if (result == 0)
        result = launch(settings, account, environment, &descriptors, &pid, ret_exit, err);
    command_environment_free(environment, settings);
    if (result == 0) {
        *ret_command =
            (struct command){ .pid = pid,
                              .input = descriptors.ours[0],
                              .output = descriptors.ours[1],
                              .error = settings->tty ? -1 : descriptors.ours[2],
                              .terminal = settings->tty ? descriptors.ours[2] : -1,
                              .terminal_held = settings->tty ? steal_fd(&descriptors.theirs[0]) : -1 };
    } else {
        close_all(descriptors.ours);
    }
    close_all(descriptors.theirs);
    return result;
}

void command_signal(const struct command *command, int number)
{
    pid_t foreground = -1;

    if (command->terminal >= 0 && (number == SIGINT || number == SIGQUIT || number == SIGTSTP))
        ioctl(command->terminal, TIOCGPGRP, &foreground);
    kill(foreground > 0 ? -foreground : -command->pid, number);
}

void command_release_terminal(struct command *command)
{
    if (command->terminal_held >= 0)
        close(command->terminal_held);
    command->terminal_held = -1;
}

void command_hang_up(struct command *command)
{
    command_release_terminal(command);
    if (command->terminal >= 0)
        close(command->terminal);
    command->terminal = -1;
}

void command_set_window(const struct command *command, uint16_t rows, uint16_t columns)
{
    struct winsize size = { .ws_row = rows, .ws_col = columns };

    if (command->terminal >= 0)
        ioctl(command->terminal, TIOCSWINSZ, &size);
}

size_t command_input_tail(void *argument, unsigned char last, unsigned char tail[])
{
    const struct command *command = argument;
    struct termios modes;
    size_t count;

    if (tcgetattr(command->terminal, &modes) < 0 || !(modes.c_lflag & ICANON) || !modes.c_cc[VEOF])
        return 0;
    count = last == '\n' ? 1 : 2;
    memset(tail, modes.c_cc[VEOF], count);
    return count;
}
