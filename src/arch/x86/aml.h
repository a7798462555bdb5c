/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aml.h - writes ACPI Machine Language (ACPI 6.5, chapter 20), as much of it as a DSDT of plain devices
 * needs.
 *
 * A caller nests calls as ASL nests braces: aml_device(), what is inside, aml_end(). Lengths are put in when
 * a block is closed. Nothing is returned on the way: the first failure is kept, everything after it is
 * ignored, and aml_finish() tells.
 */
#ifndef RINGLET_ARCH_X86_AML_H
#define RINGLET_ARCH_X86_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AML_DEPTH_MAX 8

/* Private to aml.c. */
struct aml {
    uint8_t *data; /* borrowed */
    size_t size, used;
    size_t blocks[AML_DEPTH_MAX]; /* where the content of each open block starts */
    bool buffer[AML_DEPTH_MAX];   /* that block is a resource template */
    unsigned depth;
    int error; /* 0 or the first -errno */
};

/* Write to `data` (borrowed until aml_finish()), at most `size` bytes. */
void aml_init(struct aml *aml, void *data, size_t size);

/*
 * 0 with the number of bytes written, -ENOSPC when they did not fit, -EINVAL for a name, string or nesting
 * that AML cannot express.
 */
int aml_finish(const struct aml *aml, size_t *ret_length);

/* Blocks, each closed by aml_end(). Names are ASL's: "\\_SB", "COM1", "_SB.PCI0"; short segments are padded.
 */
void aml_scope(struct aml *aml, const char *name);
void aml_device(struct aml *aml, const char *name);
void aml_package(struct aml *aml, uint8_t element_count); /* the elements follow */
void aml_resource_template(struct aml *aml);              /* descriptors follow */
void aml_end(struct aml *aml);

/* Name (NAME, ...): the object follows. */
void aml_name(struct aml *aml, const char *name);

/* Objects. */
void aml_integer(struct aml *aml, uint64_t value);
void aml_string(struct aml *aml, const char *text); /* ASCII */
void aml_eisa_id(struct aml *aml, const char *id);  /* "PNP0501" */
/* Name (NAME, value). */
void aml_name_integer(struct aml *aml, const char *name, uint64_t value);
void aml_name_string(struct aml *aml, const char *name, const char *text);

/* Resource descriptors (ACPI 6.5, 6.4), inside aml_resource_template(). */
void aml_io(struct aml *aml, uint16_t base, uint8_t count);             /* fixed, 16-bit decode */
void aml_memory32_fixed(struct aml *aml, uint32_t base, uint32_t size); /* read-write */
void aml_qword_memory(struct aml *aml, uint64_t base, uint64_t size);   /* fixed, read-write, uncached */
void aml_interrupt_edge(struct aml *aml, uint32_t gsi);                 /* active high, exclusive */

#endif
