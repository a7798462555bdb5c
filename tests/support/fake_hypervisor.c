/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_hypervisor.c - see fake_hypervisor.h.
 */
#include "fake_hypervisor.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "ringlet/util.h"

static struct fake_hypervisor *from(struct hypervisor *hypervisor)
{
    return container_of(hypervisor, struct fake_hypervisor, hypervisor);
}

static int map_memory(struct hypervisor *hypervisor, uint64_t base, void *host, uint64_t size)
{
    struct fake_hypervisor *fake = from(hypervisor);

    if (fake->memory_error)
        return fake->memory_error;
    assert_true(fake->memory_count < FAKE_HYPERVISOR_MAX_MEMORY);
    fake->memory[fake->memory_count].base = base;
    fake->memory[fake->memory_count].size = size;
    fake->memory[fake->memory_count].host = host;
    fake->memory_count++;
    return 0;
}

static int create_irq_line(struct hypervisor *hypervisor, uint32_t gsi, struct irq_line **ret_line)
{
    struct fake_hypervisor *fake = from(hypervisor);

    if (fake->line_error)
        return fake->line_error;
    if (gsi >= FAKE_HYPERVISOR_MAX_LINES)
        return -EINVAL;
    if (fake->line_created[gsi])
        return -EBUSY;
    fake->line_created[gsi] = true;
    fake_irq_line_init(&fake->lines[gsi]);
    *ret_line = &fake->lines[gsi].line;
    return 0;
}

static int bind_doorbell(struct hypervisor *hypervisor, uint64_t address, uint32_t value, int eventfd)
{
    struct fake_hypervisor *fake = from(hypervisor);

    if (fake->without_doorbells)
        return -ENOSYS;
    if (fake->doorbell_error && fake->doorbell_count >= fake->doorbell_error_at)
        return fake->doorbell_error;
    assert_true(fake->doorbell_count < FAKE_HYPERVISOR_MAX_DOORBELLS);
    fake->doorbells[fake->doorbell_count].address = address;
    fake->doorbells[fake->doorbell_count].value = value;
    fake->doorbells[fake->doorbell_count].eventfd = eventfd;
    fake->doorbell_count++;
    return 0;
}

static void destroy(struct hypervisor *hypervisor)
{
    from(hypervisor)->destroyed = true;
}

static const struct hypervisor_ops ops = {
    .map_memory = map_memory,
    .create_irq_line = create_irq_line,
    .bind_doorbell = bind_doorbell,
    .destroy = destroy,
};

void fake_hypervisor_init(struct fake_hypervisor *fake)
{
    *fake = (struct fake_hypervisor){ .hypervisor.ops = &ops };
}

bool fake_hypervisor_guest_write(struct fake_hypervisor *fake, uint64_t address, uint32_t value)
{
    uint64_t one = 1;

    for (unsigned i = 0; i < fake->doorbell_count; i++) {
        if (fake->doorbells[i].address != address || fake->doorbells[i].value != value)
            continue;
        assert_int_equal(write(fake->doorbells[i].eventfd, &one, sizeof(one)), sizeof(one));
        return true;
    }
    return false;
}
