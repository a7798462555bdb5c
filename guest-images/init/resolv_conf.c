/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolv_conf.c - see resolv_conf.h.
 *
 * The root's file is not written but covered by one in /run: a disk is left as it was, and one that is read-only
 * will do.
 */
#include "resolv_conf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dhcp_message.h"
#include "ringlet/cleanup.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define OUR_CONF    "/run/resolv.conf"

static void add_line(char *text, size_t size, const char *word, const char *value)
{
    size_t used = strlen(text);

    if ((size_t)snprintf(text + used, size - used, "%s %s\n", word, value) >= size - used)
        text[used] = '\0';
}

void resolv_conf_text(const struct dhcp_lease *leases, size_t count, char *text, size_t size)
{
    unsigned servers = 0;

    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        if (*leases[i].domain) {
            add_line(text, size, "search", leases[i].domain);
            break;
        }
    }
    for (size_t i = 0; i < count; i++) {
        for (unsigned j = 0; j < leases[i].name_server_count && servers < DHCP_NAME_SERVERS_MAX;
             j++, servers++) {
            char server[INET_ADDRSTRLEN];

            inet_ntop(AF_INET, &leases[i].name_servers[j], server, sizeof(server));
            add_line(text, size, "nameserver", server);
        }
    }
}

static int write_file(const char *path, const char *text)
{
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    size_t size = strlen(text);

    if (fd < 0)
        return -errno;
    return write(fd, text, size) == (ssize_t)size ? 0 : -EIO;
}

/* Often it is a link to the file of a service below /run, which has no service here to make it. */
static void make_target(void)
{
    char target[PATH_MAX], path[PATH_MAX + sizeof("/etc/")];
    ssize_t length = readlink(RESOLV_CONF, target, sizeof(target) - 1);
    int fd;

    if (length > 0) {
        target[length] = '\0';
        snprintf(path, sizeof(path), "%s%s", *target == '/' ? "" : "/etc/", target);
        for (char *at = path + 1; *at; at++) {
            if (*at != '/')
                continue;
            *at = '\0';
            mkdir(path, 0755);
            *at = '/';
        }
    } else {
        mkdir("/etc", 0755);
    }
    fd = open(RESOLV_CONF, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0)
        close(fd);
}

int resolv_conf_set(const struct dhcp_lease *leases, size_t count)
{
    char text[1024];

    resolv_conf_text(leases, count, text, sizeof(text));
    if (!*text)
        return 0;
    make_target();
    if (write_file(OUR_CONF, text) == 0 && mount(OUR_CONF, RESOLV_CONF, NULL, MS_BIND, NULL) == 0)
        return 0;
    return write_file(RESOLV_CONF, text);
}
