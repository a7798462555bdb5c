/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel_builder.c - see kernel_builder.h. Builders abort on failure: it would be the test's own mistake.
 */
#include "kernel_builder.h"

#include <elf.h>
#include <lz4.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>
#include <zstd.h>

#include "ringlet/util.h"

#define PAGE_SIZE      4096
#define LZ4_BLOCK_SIZE (8 * MIB)
#define NOTE_ALIGNMENT 4

static void must(bool holds)
{
    if (!holds)
        abort();
}

void kernel_image_finish(struct kernel_image *image)
{
    if (image->data)
        munmap(image->data + image->size - image->mapped, image->mapped + PAGE_SIZE);
    *image = (struct kernel_image){ 0 };
}

struct kernel_image kernel_image_copy(const void *data, size_t data_size, size_t size)
{
    struct kernel_image image = { .size = size, .mapped = align_up(size ? size : 1, PAGE_SIZE) };
    uint8_t *pages;

    pages = mmap(NULL, image.mapped + PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(pages != MAP_FAILED);
    must(!mprotect(pages + image.mapped, PAGE_SIZE, PROT_NONE));
    image.data = pages + image.mapped - size;
    if (data)
        memcpy(image.data, data, data_size < size ? data_size : size);
    return image;
}

void kernel_image_poke(struct kernel_image *image, size_t offset, uint64_t value, size_t bytes)
{
    must(range_within(offset, bytes, 0, image->size) && bytes <= sizeof(value));
    memcpy(image->data + offset, &value, bytes);
}

uint64_t kernel_image_peek(const struct kernel_image *image, size_t offset, size_t bytes)
{
    uint64_t value = 0;

    must(range_within(offset, bytes, 0, image->size) && bytes <= sizeof(value));
    memcpy(&value, image->data + offset, bytes);
    return value;
}

/* --- ELF --- */

struct elf_builder elf_builder_default(void)
{
    return (struct elf_builder){
        .machine = EM_X86_64,
        .type = ET_EXEC,
        .entry = 0x1000040,
        .segments = { { .vaddr = 0xffffffff81000000, .paddr = 0x1000000, .filesz = 0x3000, .memsz = 0x3000 },
                      { .vaddr = 0xffffffff81004000,
                        .paddr = 0x1004000,
                        .filesz = 0x1000,
                        .memsz = 0x5000 } },
        .segment_count = 2,
    };
}

uint8_t elf_builder_byte(unsigned segment, uint64_t at)
{
    return (uint8_t)(1 + (at / 7 + at % 7 + segment * 37) % 251);
}

static size_t header_size(const struct elf_builder *builder)
{
    return builder->is_32bit ? sizeof(Elf32_Ehdr) : sizeof(Elf64_Ehdr);
}

static size_t program_header_size(const struct elf_builder *builder)
{
    return builder->is_32bit ? sizeof(Elf32_Phdr) : sizeof(Elf64_Phdr);
}

static unsigned program_header_count(const struct elf_builder *builder)
{
    return builder->segment_count + (builder->pvh_size ? 1 : 0) + (builder->extra_header ? 1 : 0);
}

size_t elf_builder_header_offset(const struct elf_builder *builder, unsigned index)
{
    return header_size(builder) + index * program_header_size(builder);
}

size_t elf_builder_note_offset(const struct elf_builder *builder)
{
    return align_up(elf_builder_header_offset(builder, program_header_count(builder)), 16);
}

/* Two notes: one of another kind that a reader must step over, with a name and a size to be padded, then
 * PVH's. */
static size_t put_notes(const struct elf_builder *builder, uint8_t *to)
{
    static const struct {
        Elf64_Nhdr header;
        char name[8];
        char desc[8];
    } other = { { .n_namesz = 5, .n_descsz = 6, .n_type = 1 }, "Test", "other" };
    Elf64_Nhdr pvh = { .n_namesz = 4, .n_descsz = builder->pvh_size, .n_type = 18 };
    size_t at = 0;

    memcpy(to, &other, sizeof(other));
    at += sizeof(other);
    memcpy(to + at, &pvh, sizeof(pvh));
    at += sizeof(pvh);
    memcpy(to + at, "Xen", 4);
    at += 4;
    memcpy(to + at, &builder->pvh_entry, builder->pvh_size < 8 ? builder->pvh_size : 8);
    return at + align_up(builder->pvh_size, NOTE_ALIGNMENT);
}

static void put_header(const struct elf_builder *builder, uint8_t *to)
{
    Elf64_Ehdr header = { .e_ident = { 0x7f, 'E', 'L', 'F', builder->is_32bit ? ELFCLASS32 : ELFCLASS64,
                                       ELFDATA2LSB, EV_CURRENT },
                          .e_type = builder->type,
                          .e_machine = builder->machine,
                          .e_version = EV_CURRENT,
                          .e_entry = builder->entry,
                          .e_phoff = header_size(builder),
                          .e_ehsize = (Elf64_Half)header_size(builder),
                          .e_phentsize = (Elf64_Half)program_header_size(builder),
                          .e_phnum = (Elf64_Half)program_header_count(builder) };
    Elf32_Ehdr narrow;

    if (!builder->is_32bit) {
        memcpy(to, &header, sizeof(header));
        return;
    }
    narrow = (Elf32_Ehdr){ .e_type = header.e_type,
                           .e_machine = header.e_machine,
                           .e_version = header.e_version,
                           .e_entry = (Elf32_Addr)header.e_entry,
                           .e_phoff = (Elf32_Off)header.e_phoff,
                           .e_ehsize = header.e_ehsize,
                           .e_phentsize = header.e_phentsize,
                           .e_phnum = header.e_phnum };
    memcpy(narrow.e_ident, header.e_ident, sizeof(narrow.e_ident));
    memcpy(to, &narrow, sizeof(narrow));
}

static void put_program_header(const struct elf_builder *builder, uint8_t *file, unsigned index,
                               Elf64_Phdr header)
{
    uint8_t *to = file + elf_builder_header_offset(builder, index);
    Elf32_Phdr narrow = { .p_type = header.p_type,
                          .p_offset = (Elf32_Off)header.p_offset,
                          .p_vaddr = (Elf32_Addr)header.p_vaddr,
                          .p_paddr = (Elf32_Addr)header.p_paddr,
                          .p_filesz = (Elf32_Word)header.p_filesz,
                          .p_memsz = (Elf32_Word)header.p_memsz,
                          .p_align = (Elf32_Word)header.p_align };

    if (builder->is_32bit)
        memcpy(to, &narrow, sizeof(narrow));
    else
        memcpy(to, &header, sizeof(header));
}

struct kernel_image elf_build(const struct elf_builder *builder)
{
    size_t notes_at = elf_builder_note_offset(builder), notes_size = 0, size, at;
    uint8_t notes[128] = { 0 };
    struct kernel_image image;
    unsigned index = 0;

    must(builder->segment_count <= ELF_BUILDER_MAX_SEGMENTS && builder->pvh_size <= 32);
    if (builder->pvh_size)
        notes_size = put_notes(builder, notes);
    at = align_up(notes_at + notes_size, 64);
    size = at;
    for (unsigned i = 0; i < builder->segment_count; i++)
        size += builder->segments[i].filesz;

    image = kernel_image_copy(NULL, 0, size);
    put_header(builder, image.data);
    for (; index < builder->segment_count; index++) {
        const struct elf_builder_segment *segment = &builder->segments[index];

        put_program_header(builder, image.data, index,
                           (Elf64_Phdr){ .p_type = PT_LOAD,
                                         .p_offset = at,
                                         .p_vaddr = segment->vaddr,
                                         .p_paddr = segment->paddr,
                                         .p_filesz = segment->filesz,
                                         .p_memsz = segment->memsz });
        for (uint64_t i = 0; i < segment->filesz; i++)
            image.data[at + i] = elf_builder_byte(index, i);
        at += segment->filesz;
    }
    if (builder->pvh_size) {
        put_program_header(builder, image.data, index++,
                           (Elf64_Phdr){ .p_type = PT_NOTE,
                                         .p_offset = notes_at,
                                         .p_filesz = notes_size,
                                         .p_memsz = notes_size,
                                         .p_align = NOTE_ALIGNMENT });
        memcpy(image.data + notes_at, notes, notes_size);
    }
    if (builder->extra_header)
        put_program_header(builder, image.data, index, (Elf64_Phdr){ .p_type = builder->extra_header });
    return image;
}

/* --- payloads: each writes to `out` and returns the size --- */

static size_t put_gzip(const uint8_t *data, size_t size, uint8_t *out, size_t room)
{
    z_stream stream = {
        .next_in = (uint8_t *)data, .avail_in = (uInt)size, .next_out = out, .avail_out = (uInt)room
    };

    must(deflateInit2(&stream, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    must(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    deflateEnd(&stream);
    return stream.total_out;
}

static size_t put_xz(const uint8_t *data, size_t size, uint8_t *out, size_t room)
{
    lzma_options_lzma options;
    lzma_filter filters[] = { { LZMA_FILTER_X86, NULL },
                              { LZMA_FILTER_LZMA2, &options },
                              { LZMA_VLI_UNKNOWN, NULL } };
    size_t at = 0;

    must(!lzma_lzma_preset(&options, 0));
    must(lzma_stream_buffer_encode(filters, LZMA_CHECK_CRC32, NULL, data, size, out, &at, room) == LZMA_OK);
    return at;
}

static size_t put_lz4(const uint8_t *data, size_t size, uint8_t *out, size_t room)
{
    static const uint8_t magic[] = { 0x02, 0x21, 0x4c, 0x18 };
    size_t at = sizeof(magic);

    memcpy(out, magic, sizeof(magic));
    for (size_t from = 0; from < size; from += LZ4_BLOCK_SIZE) {
        size_t block = size - from < LZ4_BLOCK_SIZE ? size - from : LZ4_BLOCK_SIZE;
        int packed = LZ4_compress_default((const char *)data + from, (char *)out + at + 4, (int)block,
                                          (int)(room - at - 4));

        must(packed > 0);
        memcpy(out + at, &packed, 4);
        at += 4 + (size_t)packed;
    }
    return at;
}

static size_t put_zstd(const uint8_t *data, size_t size, uint8_t *out, size_t room)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();
    size_t packed;

    must(context);
    must(!ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0)));
    packed = ZSTD_compress2(context, out, room, data, size);
    must(!ZSTD_isError(packed));
    ZSTD_freeCCtx(context);
    return packed;
}

struct kernel_image payload_build(enum payload_format format, const void *data, size_t size)
{
    size_t room = size + size / 8 + 4096, packed = 0;
    struct kernel_image image;
    uint32_t announced = (uint32_t)size;
    uint8_t *out;

    if (format == PAYLOAD_NONE)
        return kernel_image_copy(data, size, size);
    out = malloc(room);
    must(out);
    switch (format) {
    case PAYLOAD_GZIP:
        packed = put_gzip(data, size, out, room);
        break;
    case PAYLOAD_XZ:
        packed = put_xz(data, size, out, room);
        break;
    case PAYLOAD_LZ4:
        packed = put_lz4(data, size, out, room);
        break;
    case PAYLOAD_ZSTD:
        packed = put_zstd(data, size, out, room);
        break;
    default:
        must(false);
    }
    if (format != PAYLOAD_GZIP) { /* gzip has ISIZE */
        must(room - packed >= sizeof(announced));
        memcpy(out + packed, &announced, sizeof(announced));
        packed += sizeof(announced);
    }
    image = kernel_image_copy(out, packed, packed);
    free(out);
    return image;
}

/* --- bzImage --- */

struct kernel_image bzimage_build(const void *payload, size_t payload_size, uint32_t init_size)
{
    size_t size = align_up(BZIMAGE_BUILDER_PAYLOAD + payload_size, 512);
    struct kernel_image image = kernel_image_copy(NULL, 0, size);

    memset(image.data, 0x90,
           5 * 512); /* what is left of this is setup code, which nobody may take for fields */
    memset(image.data + 0x1f1, 0, SETUP_HEADER_END - 0x1f1);
    kernel_image_poke(&image, SETUP_SECTS, 4, 1);
    kernel_image_poke(&image, SYSSIZE, (size - 5 * 512) / 16, 4);
    kernel_image_poke(&image, BOOT_FLAG, 0xaa55, 2);
    kernel_image_poke(&image, JUMP, 0xeb | (SETUP_HEADER_END - 0x202) << 8, 2);
    memcpy(image.data + HEADER, "HdrS", 4);
    kernel_image_poke(&image, VERSION, 0x020f, 2);
    kernel_image_poke(&image, INITRD_ADDR_MAX, 0x7fffffff, 4);
    kernel_image_poke(&image, XLOADFLAGS, 0x7f, 2);
    kernel_image_poke(&image, CMDLINE_SIZE, 2047, 4);
    kernel_image_poke(&image, PAYLOAD_OFFSET, BZIMAGE_BUILDER_PAYLOAD - 5 * 512, 4);
    kernel_image_poke(&image, PAYLOAD_LENGTH, payload_size, 4);
    kernel_image_poke(&image, PREF_ADDRESS, BZIMAGE_BUILDER_PREF_ADDRESS, 8);
    kernel_image_poke(&image, INIT_SIZE, init_size, 4);
    memcpy(image.data + BZIMAGE_BUILDER_PAYLOAD, payload, payload_size);
    return image;
}

struct kernel_image bzimage_build_elf(enum payload_format format, const struct elf_builder *builder)
{
    struct kernel_image elf = elf_build(builder);
    struct kernel_image payload = payload_build(format, elf.data, elf.size);
    struct kernel_image image = bzimage_build(payload.data, payload.size, BZIMAGE_BUILDER_INIT_SIZE);

    kernel_image_finish(&payload);
    kernel_image_finish(&elf);
    return image;
}
