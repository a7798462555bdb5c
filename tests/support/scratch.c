/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scratch.c - see scratch.h.
 */
#include "scratch.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define TOOL_OUTPUT "tool-output"

int scratch_set_up(void **state)
{
    const char *parent = getenv("TMPDIR");
    struct scratch *scratch = malloc(sizeof(*scratch));

    if (!scratch)
        return -1;
    snprintf(scratch->path, sizeof(scratch->path), "%s/ringlet-test-XXXXXX", parent ? parent : "/tmp");
    if (!mkdtemp(scratch->path)) {
        free(scratch);
        return -1;
    }
    *state = scratch;
    return 0;
}

int scratch_tear_down(void **state)
{
    struct scratch *scratch = *state;
    DIR *folder = opendir(scratch->path);
    const struct dirent *entry;
    int result = -1;

    if (folder) {
        while ((entry = readdir(folder)))
            (void)unlinkat(dirfd(folder), entry->d_name, 0); /* "." and ".." refuse */
        closedir(folder);
        result = rmdir(scratch->path);
    }
    free(scratch);
    return result;
}

static void path_of(const struct scratch *scratch, const char *name, char *path, size_t size)
{
    int length = snprintf(path, size, "%s/%s", scratch->path, name);

    assert_true(length > 0 && (size_t)length < size);
}

void scratch_write(const struct scratch *scratch, const char *name, const void *bytes, size_t length)
{
    char path[2 * SCRATCH_PATH_SIZE];
    FILE *file;

    path_of(scratch, name, path, sizeof(path));
    file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

void *scratch_read(const struct scratch *scratch, const char *name, size_t *ret_length)
{
    char path[2 * SCRATCH_PATH_SIZE];
    struct stat status;
    char *bytes;
    FILE *file;

    path_of(scratch, name, path, sizeof(path));
    file = fopen(path, "re");
    if (!file)
        fail_msg("%s is missing", path);
    assert_int_equal(fstat(fileno(file), &status), 0);
    bytes = malloc((size_t)status.st_size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, (size_t)status.st_size, file), status.st_size);
    bytes[status.st_size] = '\0';
    fclose(file);
    if (ret_length)
        *ret_length = (size_t)status.st_size;
    return bytes;
}

bool tool_present(const char *name)
{
    const char *at = getenv("PATH");

    while (at && *at) {
        size_t length = strcspn(at, ":");
        char path[4096];

        snprintf(path, sizeof(path), "%.*s/%s", (int)length, at, name);
        if (access(path, X_OK) == 0)
            return true;
        at += length + (at[length] == ':');
    }
    return false;
}

int tool_run(const struct scratch *scratch, const char *const arguments[], char **ret_output)
{
    int status;
    pid_t child;

    /* The child inherits stdio's buffers; nothing may be left in them for it to print again. */
    fflush(NULL);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int output = -1;

        if (chdir(scratch->path) == 0)
            output = open(TOOL_OUTPUT, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (output >= 0 && dup2(output, STDOUT_FILENO) >= 0 && dup2(output, STDERR_FILENO) >= 0)
            execvp(arguments[0], (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    *ret_output = scratch_read(scratch, TOOL_OUTPUT, NULL);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
