/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aml.c - see aml.h. A block's length stands before its content and takes one to four bytes depending on the
 * content's, so a block is opened without one; closing it moves the content up by what the length needs.
 * Tables are a few KiB: moving them is cheaper than knowing ahead.
 */
#include "aml.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "ringlet/util.h"

/* ACPI 6.5, 20.3: AML byte stream byte values. */
enum aml_opcode {
    AML_ZERO_OP = 0x00,
    AML_ONE_OP = 0x01,
    AML_NAME_OP = 0x08,
    AML_BYTE_PREFIX = 0x0a,
    AML_WORD_PREFIX = 0x0b,
    AML_DWORD_PREFIX = 0x0c,
    AML_STRING_PREFIX = 0x0d,
    AML_QWORD_PREFIX = 0x0e,
    AML_SCOPE_OP = 0x10,
    AML_BUFFER_OP = 0x11,
    AML_PACKAGE_OP = 0x12,
    AML_DUAL_NAME_PREFIX = 0x2e,
    AML_MULTI_NAME_PREFIX = 0x2f,
    AML_EXT_OP_PREFIX = 0x5b,
    AML_EXT_DEVICE_OP = 0x82,
    AML_ROOT_CHAR = 0x5c,
};

/* ACPI 6.5, 6.4.2 and 6.4.3: resource descriptors. Small ones carry their length in the tag. */
enum resource_tag {
    RESOURCE_IO_PORT = 0x47,
    RESOURCE_END_TAG = 0x79,
    RESOURCE_MEMORY32_FIXED = 0x86,
    RESOURCE_EXTENDED_INTERRUPT = 0x89,
    RESOURCE_QWORD_ADDRESS_SPACE = 0x8a,
};

#define IO_DECODE16         (1u << 0)
#define MEMORY_READ_WRITE   (1u << 0)
#define INTERRUPT_CONSUMER  (1u << 0)
#define INTERRUPT_EDGE      (1u << 1) /* active high and exclusive are the zeros of the next bits */
#define ADDRESS_TYPE_MEMORY 0
#define ADDRESS_CONSUMER    (1u << 0)
#define ADDRESS_MIN_FIXED   (1u << 2)
#define ADDRESS_MAX_FIXED   (1u << 3)

#define SEGMENT_SIZE 4 /* of a name */
#define SEGMENT_MAX  255

static void latch(struct aml *aml, int error)
{
    if (!aml->error)
        aml->error = error;
}

/* Make `length` bytes at `at`, moving what is behind; false when that failed now or anything did before. */
static bool insert_space(struct aml *aml, size_t at, size_t length)
{
    if (aml->error)
        return false;
    if (length > aml->size - aml->used) {
        latch(aml, -ENOSPC);
        return false;
    }
    memmove(aml->data + at + length, aml->data + at, aml->used - at);
    aml->used += length;
    return true;
}

static void insert(struct aml *aml, size_t at, const void *bytes, size_t length)
{
    if (insert_space(aml, at, length))
        memcpy(aml->data + at, bytes, length);
}

static void put(struct aml *aml, const void *bytes, size_t length)
{
    insert(aml, aml->used, bytes, length);
}

static void put_byte(struct aml *aml, unsigned value)
{
    uint8_t byte = (uint8_t)value;

    put(aml, &byte, 1);
}

/* Little-endian, `width` bytes. */
static void put_number(struct aml *aml, uint64_t value, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        put_byte(aml, (uint8_t)(value >> (8 * i)));
}

/* DataObject of the shortest form; at most 9 bytes. Returns its length. */
static size_t encode_integer(uint64_t value, uint8_t bytes[9])
{
    unsigned width;

    if (value <= 1) {
        bytes[0] = value ? AML_ONE_OP : AML_ZERO_OP;
        return 1;
    }
    if (value <= UINT8_MAX) {
        bytes[0] = AML_BYTE_PREFIX;
        width = 1;
    } else if (value <= UINT16_MAX) {
        bytes[0] = AML_WORD_PREFIX;
        width = 2;
    } else if (value <= UINT32_MAX) {
        bytes[0] = AML_DWORD_PREFIX;
        width = 4;
    } else {
        bytes[0] = AML_QWORD_PREFIX;
        width = 8;
    }
    for (unsigned i = 0; i < width; i++)
        bytes[1 + i] = (uint8_t)(value >> (8 * i));
    return 1 + width;
}

/*
 * PkgLength (ACPI 6.5, 20.2.4): the bytes of itself and of `content`. One byte holds 6 bits; else the first
 * has the low 4 bits and, in its top two, how many more follow with 8 bits each. Returns its length, 0 if it
 * cannot be said.
 */
static size_t encode_pkg_length(size_t content, uint8_t bytes[4])
{
    size_t length = content + 1;

    if (length < 1u << 6) {
        bytes[0] = (uint8_t)length;
        return 1;
    }
    for (unsigned more = 1; more <= 3; more++) {
        length = content + 1 + more;
        if (length >> (4 + 8 * more))
            continue;
        bytes[0] = (uint8_t)(more << 6 | (length & 0xf));
        for (unsigned i = 0; i < more; i++)
            bytes[1 + i] = (uint8_t)(length >> (4 + 8 * i));
        return 1 + more;
    }
    return 0;
}

static bool segment_char_valid(char c, bool first)
{
    return (c >= 'A' && c <= 'Z') || c == '_' || (!first && c >= '0' && c <= '9');
}

/* NameString (ACPI 6.5, 20.2.2). */
static void put_name(struct aml *aml, const char *name)
{
    unsigned segments = 1;

    if (*name == '\\') {
        put_byte(aml, AML_ROOT_CHAR);
        name++;
    }
    for (const char *at = name; *at; at++)
        segments += *at == '.';
    if (segments > SEGMENT_MAX) {
        latch(aml, -EINVAL);
        return;
    }
    if (segments == 2) {
        put_byte(aml, AML_DUAL_NAME_PREFIX);
    } else if (segments > 2) {
        put_byte(aml, AML_MULTI_NAME_PREFIX);
        put_byte(aml, segments);
    }
    for (unsigned i = 0; i < segments; i++) {
        char segment[SEGMENT_SIZE] = { '_', '_', '_', '_' };
        size_t length = strcspn(name, ".");

        if (length < 1 || length > SEGMENT_SIZE) {
            latch(aml, -EINVAL);
            return;
        }
        for (size_t j = 0; j < length; j++) {
            if (!segment_char_valid(name[j], j == 0))
                latch(aml, -EINVAL);
            segment[j] = name[j];
        }
        put(aml, segment, sizeof(segment));
        name += length + 1;
    }
}

/* The opcode is written; content starts where it ends. */
static void open_block(struct aml *aml, bool buffer)
{
    if (aml->depth == AML_DEPTH_MAX) {
        latch(aml, -EINVAL);
        return;
    }
    aml->blocks[aml->depth] = aml->used;
    aml->buffer[aml->depth] = buffer;
    aml->depth++;
}

void aml_init(struct aml *aml, void *data, size_t size)
{
    *aml = (struct aml){ .data = data, .size = size };
}

int aml_finish(const struct aml *aml, size_t *ret_length)
{
    if (aml->error)
        return aml->error;
    if (aml->depth)
        return -EINVAL;
    *ret_length = aml->used;
    return 0;
}

void aml_scope(struct aml *aml, const char *name)
{
    put_byte(aml, AML_SCOPE_OP);
    open_block(aml, false);
    put_name(aml, name);
}

void aml_device(struct aml *aml, const char *name)
{
    put_byte(aml, AML_EXT_OP_PREFIX);
    put_byte(aml, AML_EXT_DEVICE_OP);
    open_block(aml, false);
    put_name(aml, name);
}

void aml_package(struct aml *aml, uint8_t element_count)
{
    put_byte(aml, AML_PACKAGE_OP);
    open_block(aml, false);
    put_byte(aml, element_count);
}

void aml_resource_template(struct aml *aml)
{
    put_byte(aml, AML_BUFFER_OP);
    open_block(aml, true);
}

/* A template ends in an end tag (checksum 0: none) and is a Buffer, whose content starts with its own size.
 */
static void end_template(struct aml *aml, size_t start)
{
    uint8_t size[9];

    put_byte(aml, RESOURCE_END_TAG);
    put_byte(aml, 0);
    insert(aml, start, size, encode_integer(aml->used - start, size));
}

void aml_end(struct aml *aml)
{
    uint8_t bytes[4];
    size_t start, length;

    if (aml->error)
        return;
    if (!aml->depth) {
        latch(aml, -EINVAL);
        return;
    }
    aml->depth--;
    start = aml->blocks[aml->depth];
    if (aml->buffer[aml->depth])
        end_template(aml, start);
    length = encode_pkg_length(aml->used - start, bytes);
    if (!length)
        latch(aml, -ENOSPC);
    insert(aml, start, bytes, length);
}

void aml_name(struct aml *aml, const char *name)
{
    put_byte(aml, AML_NAME_OP);
    put_name(aml, name);
}

void aml_integer(struct aml *aml, uint64_t value)
{
    uint8_t bytes[9];

    put(aml, bytes, encode_integer(value, bytes));
}

void aml_string(struct aml *aml, const char *text)
{
    put_byte(aml, AML_STRING_PREFIX);
    for (const char *at = text; *at; at++)
        if (*at & 0x80)
            latch(aml, -EINVAL);
    put(aml, text, strlen(text) + 1);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* ACPI 6.5, 19.3.4 (EISAID macro): three letters of 5 bits and four hexadecimal digits, big-endian. */
void aml_eisa_id(struct aml *aml, const char *id)
{
    uint32_t value = 0;

    if (strlen(id) != 7) {
        latch(aml, -EINVAL);
        return;
    }
    for (unsigned i = 0; i < 3; i++) {
        if (id[i] < 'A' || id[i] > 'Z')
            latch(aml, -EINVAL);
        value = value << 5 | ((uint32_t)(id[i] - 'A' + 1) & 0x1f);
    }
    for (unsigned i = 3; i < 7; i++) {
        if (hex_digit(id[i]) < 0)
            latch(aml, -EINVAL);
        value = value << 4 | ((uint32_t)hex_digit(id[i]) & 0xf);
    }
    put_byte(aml, AML_DWORD_PREFIX);
    put_number(aml, __builtin_bswap32(value), 4);
}

void aml_name_integer(struct aml *aml, const char *name, uint64_t value)
{
    aml_name(aml, name);
    aml_integer(aml, value);
}

void aml_name_string(struct aml *aml, const char *name, const char *text)
{
    aml_name(aml, name);
    aml_string(aml, text);
}

/* ACPI 6.5, 6.4.2.5. */
void aml_io(struct aml *aml, uint16_t base, uint8_t count)
{
    put_byte(aml, RESOURCE_IO_PORT);
    put_byte(aml, IO_DECODE16);
    put_number(aml, base, 2); /* lowest base */
    put_number(aml, base, 2); /* highest base */
    put_byte(aml, 1);         /* alignment */
    put_byte(aml, count);
}

/* ACPI 6.5, 6.4.3.4. */
void aml_memory32_fixed(struct aml *aml, uint32_t base, uint32_t size)
{
    put_byte(aml, RESOURCE_MEMORY32_FIXED);
    put_number(aml, 1 + 4 + 4, 2); /* bytes that follow */
    put_byte(aml, MEMORY_READ_WRITE);
    put_number(aml, base, 4);
    put_number(aml, size, 4);
}

/* ACPI 6.5, 6.4.3.5.1. */
void aml_qword_memory(struct aml *aml, uint64_t base, uint64_t size)
{
    uint64_t end;

    if (!size || !checked_add(base, size - 1, &end)) {
        latch(aml, -EINVAL);
        return;
    }
    put_byte(aml, RESOURCE_QWORD_ADDRESS_SPACE);
    put_number(aml, 3 + 5 * 8, 2); /* bytes that follow */
    put_byte(aml, ADDRESS_TYPE_MEMORY);
    put_byte(aml, ADDRESS_CONSUMER | ADDRESS_MIN_FIXED | ADDRESS_MAX_FIXED);
    put_byte(aml, MEMORY_READ_WRITE);
    put_number(aml, 0, 8); /* granularity: none, the range is fixed */
    put_number(aml, base, 8);
    put_number(aml, end, 8);
    put_number(aml, 0, 8); /* translation */
    put_number(aml, size, 8);
}

/* ACPI 6.5, 6.4.3.6. */
void aml_interrupt_edge(struct aml *aml, uint32_t gsi)
{
    put_byte(aml, RESOURCE_EXTENDED_INTERRUPT);
    put_number(aml, 1 + 1 + 4, 2); /* bytes that follow */
    put_byte(aml, INTERRUPT_CONSUMER | INTERRUPT_EDGE);
    put_byte(aml, 1); /* one interrupt */
    put_number(aml, gsi, 4);
}
