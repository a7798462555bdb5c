/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_device.c - see loop_device.h.
 */
#include "loop_device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ATTEMPTS_MAX 100

bool loop_device_attach(const char *image, uint32_t block_size, char ret_device[LOOP_DEVICE_NAME_SIZE])
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int backing = open(image, O_RDWR | O_CLOEXEC);
    struct loop_config config = { .fd = (uint32_t)backing, .block_size = block_size };
    int device = -1;

    /* Others look for free ones, too. */
    for (unsigned attempts = 0; control >= 0 && backing >= 0 && device < 0 && attempts < ATTEMPTS_MAX;
         attempts++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);

        if (number < 0)
            break;
        snprintf(ret_device, LOOP_DEVICE_NAME_SIZE, "/dev/loop%d", number);
        device = open(ret_device, O_RDWR | O_CLOEXEC);
        if (device >= 0 && ioctl(device, LOOP_CONFIGURE, &config) < 0) {
            close(device);
            device = -1;
            if (errno != EBUSY)
                break;
        }
    }
    if (backing >= 0)
        close(backing);
    if (control >= 0)
        close(control);
    if (device >= 0)
        close(device);
    else
        ret_device[0] = '\0';
    return device >= 0;
}

void loop_device_detach(const char *device)
{
    int fd = *device ? open(device, O_RDWR | O_CLOEXEC) : -1;

    if (fd < 0)
        return;
    ioctl(fd, LOOP_CLR_FD, 0);
    close(fd);
}
