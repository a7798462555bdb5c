/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a kernel file: no crash, and what loads lies in RAM. Give it a corpus of real or built
 * kernels; a limit such as -max_len=65536 keeps it quick.
 */
#include <stdlib.h>

#include "ringlet/error.h"
#include "ringlet/guest_memory.h"
#include "ringlet/util.h"
#include "ringlet/x86_kernel.h"

#define RAM_SIZE (32 * MIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guest_memory *memory;
    struct x86_kernel kernel;
    struct error err = { 0 };

    if (guest_memory_create(&memory) || guest_memory_add_ram(memory, 0, RAM_SIZE))
        abort();
    if (x86_kernel_load(data, size, "fuzz", memory, &kernel, &err)) {
        if (!err.text[0])
            abort();
    } else if (kernel.protocol >= BOOT_PROTOCOL_COUNT || kernel.start < MIB || kernel.end > RAM_SIZE ||
               kernel.entry < kernel.start || kernel.entry >= kernel.end) {
        abort();
    }
    guest_memory_destroy(memory);
    return 0;
}
