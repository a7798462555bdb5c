/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elf_kernel.c - see elf_kernel.h.
 *
 * Linux's e_entry on x86-64 is physical (arch/x86/kernel/vmlinux.lds.S: ENTRY(phys_startup_64)), and it runs
 * at the p_paddr it was linked for without any relocation: those are for KASLR, which the decompressor that
 * is left out would do. Other kernels give a virtual e_entry; it is translated by the segment that maps it.
 */
#include "elf_kernel.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "ringlet/error.h"
#include "ringlet/guest_memory.h"
#include "ringlet/util.h"

#define XEN_NOTE_NAME            "Xen"
#define XEN_ELFNOTE_PHYS32_ENTRY 18 /* include/xen/interface/elfnote.h */

#define KERNEL_MAP_START                                                                                     \
    UINT64_C(0xffffffff80000000) /* __START_KERNEL_map: addresses from here are virtual */

struct elf_file {
    const uint8_t *data;
    size_t size;
    Elf64_Ehdr header; /* widened, for a 32-bit file */
    bool is_32bit;
};

static const struct {
    unsigned machine;
    const char *name;
} machine_names[] = {
    { EM_386, "i386" },    { EM_X86_64, "x86-64" },   { EM_AARCH64, "aarch64" },
    { EM_ARM, "arm" },     { EM_RISCV, "riscv" },     { EM_PPC64, "powerpc64" },
    { EM_PPC, "powerpc" }, { EM_S390, "s390" },       { EM_MIPS, "mips" },
    { EM_SPARC, "sparc" }, { EM_SPARCV9, "sparc64" }, { EM_IA_64, "ia64" },
    { EM_68K, "m68k" },    { EM_PARISC, "parisc" },   { EM_LOONGARCH, "loongarch" },
    { EM_SH, "sh" },       { EM_ALPHA, "alpha" },     { EM_XTENSA, "xtensa" },
    { EM_BPF, "bpf" },
};

const char *elf_machine_name(unsigned machine)
{
    for (unsigned i = 0; i < ARRAY_SIZE(machine_names); i++) {
        if (machine_names[i].machine == machine)
            return machine_names[i].name;
    }
    return NULL;
}

bool elf_kernel_probe(const uint8_t *file, size_t size)
{
    return size >= SELFMAG && !memcmp(file, ELFMAG, SELFMAG);
}

static int refuse_machine(unsigned machine, struct error *err)
{
    const char *name = elf_machine_name(machine);

    if (name)
        return error_set(err, -ENOEXEC, "it is for %s, and this machine is x86-64", name);
    return error_set(err, -ENOEXEC, "it is for another machine (ELF number %u), and this one is x86-64",
                     machine);
}

static int refuse_type(unsigned type, struct error *err)
{
    switch (type) {
    case ET_REL:
        return error_set(err, -ENOEXEC, "it is an ELF object file (or a kernel module), not a kernel");
    case ET_DYN:
        return error_set(
            err, -ENOEXEC,
            "it is a shared library or position-independent program, not a kernel linked at an address");
    case ET_CORE:
        return error_set(err, -ENOEXEC, "it is a core dump, not a kernel");
    default:
        return error_set(err, -ENOEXEC, "it is an ELF file of unknown type %u, not a kernel", type);
    }
}

static int read_header(struct elf_file *elf, struct error *err)
{
    const uint8_t *ident = elf->data;
    Elf32_Ehdr narrow;

    if (elf->size < sizeof(Elf32_Ehdr))
        return error_set(err, -EINVAL, "the file is truncated: it ends within the ELF header");
    if (ident[EI_DATA] == ELFDATA2MSB) {
        unsigned machine = (unsigned)ident[offsetof(Elf64_Ehdr, e_machine)] << 8 |
                           ident[offsetof(Elf64_Ehdr, e_machine) + 1];
        const char *name = elf_machine_name(machine);

        return error_set(err, -ENOEXEC, "it is a big-endian ELF file (%s), and this machine is x86-64",
                         name ? name : "of an unknown machine");
    }
    if (ident[EI_DATA] != ELFDATA2LSB || ident[EI_VERSION] != EV_CURRENT)
        return error_set(err, -EINVAL, "its ELF header is invalid");

    switch (ident[EI_CLASS]) {
    case ELFCLASS64:
        if (elf->size < sizeof(Elf64_Ehdr))
            return error_set(err, -EINVAL, "the file is truncated: it ends within the ELF header");
        memcpy(&elf->header, elf->data, sizeof(elf->header));
        if (elf->header.e_machine != EM_X86_64)
            return refuse_machine(elf->header.e_machine, err);
        break;
    case ELFCLASS32:
        memcpy(&narrow, elf->data, sizeof(narrow));
        if (narrow.e_machine != EM_386 && narrow.e_machine != EM_X86_64)
            return refuse_machine(narrow.e_machine, err);
        elf->is_32bit = true;
        elf->header = (Elf64_Ehdr){ .e_type = narrow.e_type,
                                    .e_machine = narrow.e_machine,
                                    .e_entry = narrow.e_entry,
                                    .e_phoff = narrow.e_phoff,
                                    .e_phentsize = narrow.e_phentsize,
                                    .e_phnum = narrow.e_phnum };
        break;
    default:
        return error_set(err, -EINVAL, "its ELF header is invalid");
    }
    if (elf->header.e_type != ET_EXEC)
        return refuse_type(elf->header.e_type, err);
    return 0;
}

static int check_program_headers(const struct elf_file *elf, struct error *err)
{
    size_t entry_size = elf->is_32bit ? sizeof(Elf32_Phdr) : sizeof(Elf64_Phdr);
    uint64_t table_size = (uint64_t)elf->header.e_phnum * entry_size;
    uint64_t table_end;

    if (!elf->header.e_phnum)
        return error_set(err, -ENOEXEC,
                         "it is an ELF file without program headers: nothing in it can be loaded");
    if (elf->header.e_phentsize != entry_size)
        return error_set(err, -EINVAL, "its ELF header is invalid: program headers of %u bytes, not %zu",
                         elf->header.e_phentsize, entry_size);
    if (!checked_add(elf->header.e_phoff, table_size, &table_end))
        return error_set(err, -EINVAL, "its ELF header is invalid: the program headers wrap around");
    if (table_end > elf->size)
        return error_set(err, -EINVAL,
                         "the file is truncated: its program headers end %" PRIu64 " bytes after it",
                         table_end - elf->size);
    return 0;
}

/* The caller has checked the table and stays below e_phnum. */
static Elf64_Phdr program_header(const struct elf_file *elf, unsigned index)
{
    Elf64_Phdr wide;
    Elf32_Phdr narrow;

    if (!elf->is_32bit) {
        memcpy(&wide, elf->data + elf->header.e_phoff + index * sizeof(wide), sizeof(wide));
        return wide;
    }
    memcpy(&narrow, elf->data + elf->header.e_phoff + index * sizeof(narrow), sizeof(narrow));
    return (Elf64_Phdr){ .p_type = narrow.p_type,
                         .p_offset = narrow.p_offset,
                         .p_vaddr = narrow.p_vaddr,
                         .p_paddr = narrow.p_paddr,
                         .p_filesz = narrow.p_filesz,
                         .p_memsz = narrow.p_memsz,
                         .p_align = narrow.p_align };
}

static int check_in_file(const struct elf_file *elf, const Elf64_Phdr *header, unsigned index,
                         struct error *err)
{
    uint64_t end;

    if (!header->p_filesz) /* all of it zeros: the offset means nothing */
        return 0;
    if (!checked_add(header->p_offset, header->p_filesz, &end))
        return error_set(err, -EINVAL, "its program header %u is invalid: the offset wraps around", index);
    if (end > elf->size)
        return error_set(err, -EINVAL, "the file is truncated: %" PRIu64 " bytes of segment %u are missing",
                         end - elf->size, index);
    return 0;
}

static int add_segment(const struct elf_file *elf, const Elf64_Phdr *header, unsigned index,
                       struct elf_kernel *kernel, struct error *err)
{
    uint64_t end;
    int result;

    if (header->p_filesz > header->p_memsz)
        return error_set(err, -EINVAL,
                         "its program header %u is invalid: more bytes in the file than in memory", index);
    if (!header->p_memsz)
        return 0;
    result = check_in_file(elf, header, index, err);
    if (result)
        return result;
    if (!checked_add(header->p_paddr, header->p_memsz, &end))
        return error_set(err, -EINVAL, "its program header %u is invalid: the address wraps around", index);
    if (kernel->segment_count == ELF_KERNEL_MAX_SEGMENTS)
        return error_set(err, -EINVAL, "it has more than %d segments to load", ELF_KERNEL_MAX_SEGMENTS);
    for (unsigned i = 0; i < kernel->segment_count; i++) {
        const struct elf_segment *other = &kernel->segments[i];

        if (header->p_paddr < other->paddr + other->memsz && other->paddr < end)
            return error_set(err, -EINVAL, "its segments overlap at guest address 0x%" PRIx64,
                             header->p_paddr > other->paddr ? header->p_paddr : other->paddr);
    }
    kernel->start =
        !kernel->segment_count || header->p_paddr < kernel->start ? header->p_paddr : kernel->start;
    kernel->end = end > kernel->end ? end : kernel->end;
    kernel->segments[kernel->segment_count++] = (struct elf_segment){ .offset = header->p_offset,
                                                                      .filesz = header->p_filesz,
                                                                      .paddr = header->p_paddr,
                                                                      .vaddr = header->p_vaddr,
                                                                      .memsz = header->p_memsz };
    return 0;
}

/* Is this byte of guest RAM one that comes from the file? Zeros are no code. */
static bool is_loaded(const struct elf_kernel *kernel, uint64_t address)
{
    for (unsigned i = 0; i < kernel->segment_count; i++) {
        const struct elf_segment *segment = &kernel->segments[i];

        if (range_within(address, 1, segment->paddr, segment->filesz))
            return true;
    }
    return false;
}

static uint64_t virtual_to_physical(const struct elf_kernel *kernel, uint64_t address)
{
    for (unsigned i = 0; i < kernel->segment_count; i++) {
        const struct elf_segment *segment = &kernel->segments[i];

        if (range_within(address, 1, segment->vaddr, segment->filesz))
            return segment->paddr + (address - segment->vaddr);
    }
    return address;
}

/* Walk one PT_NOTE segment (gABI, "Note Section"): stops at the first PVH note, or at what does not fit. */
static int find_pvh_note(const uint8_t *notes, uint64_t size, uint64_t alignment, struct elf_kernel *kernel,
                         struct error *err)
{
    uint64_t at = 0;

    while (at <= size && size - at >= sizeof(Elf64_Nhdr)) {
        uint64_t name_at, desc_at, entry = 0;
        Elf64_Nhdr note;

        memcpy(&note, notes + at, sizeof(note));
        name_at = at + sizeof(note);
        desc_at = align_up(name_at + note.n_namesz, alignment); /* 32-bit sizes: no sum here can wrap */
        if (!range_within(desc_at, note.n_descsz, 0, size))     /* the name ends where it begins, or before */
            return 0;
        at = align_up(desc_at + note.n_descsz, alignment);
        if (note.n_type != XEN_ELFNOTE_PHYS32_ENTRY || note.n_namesz != sizeof(XEN_NOTE_NAME) ||
            memcmp(notes + name_at, XEN_NOTE_NAME, sizeof(XEN_NOTE_NAME)) != 0)
            continue;

        if (note.n_descsz != sizeof(uint32_t) && note.n_descsz != sizeof(uint64_t))
            return error_set(err, -EINVAL, "its PVH note is invalid: an address of %" PRIu32 " bytes",
                             note.n_descsz);
        memcpy(&entry, notes + desc_at, note.n_descsz);
        if (entry > UINT32_MAX || !is_loaded(kernel, entry))
            return error_set(err, -EINVAL, "its PVH entry point 0x%" PRIx64 " lies outside what it loads",
                             entry);
        kernel->has_pvh_entry = true;
        kernel->pvh_entry = entry;
        return 0;
    }
    return 0;
}

static int find_pvh_entry(const struct elf_file *elf, struct elf_kernel *kernel, struct error *err)
{
    for (unsigned i = 0; i < elf->header.e_phnum && !kernel->has_pvh_entry; i++) {
        Elf64_Phdr header = program_header(elf, i);
        int result;

        if (header.p_type != PT_NOTE)
            continue;
        result = check_in_file(elf, &header, i, err);
        if (result)
            return result;
        if (!header.p_filesz)
            continue;
        result = find_pvh_note(elf->data + header.p_offset, header.p_filesz, header.p_align == 8 ? 8 : 4,
                               kernel, err);
        if (result)
            return result;
    }
    return 0;
}

static int find_entry(const struct elf_file *elf, struct elf_kernel *kernel, struct error *err)
{
    uint64_t entry = elf->header.e_entry;

    if (kernel->has_pvh_entry)
        return 0;
    if (elf->is_32bit)
        return error_set(
            err, -ENOEXEC,
            "it is a 32-bit ELF file without a PVH entry note: use a 64-bit kernel or one with CONFIG_PVH");
    if (entry >= KERNEL_MAP_START)
        entry = virtual_to_physical(kernel, entry);
    if (!is_loaded(kernel, entry))
        return error_set(err, -EINVAL, "its entry point 0x%" PRIx64 " lies outside what it loads",
                         elf->header.e_entry);
    kernel->entry = entry;
    return 0;
}

int elf_kernel_parse(const uint8_t *file, size_t size, bool want_pvh, struct elf_kernel *ret_kernel,
                     struct error *err)
{
    struct elf_file elf = { .data = file, .size = size };
    struct elf_kernel kernel = { 0 };
    bool has_tls = false;
    int result;

    result = read_header(&elf, err);
    if (result)
        return result;
    kernel.is_32bit = elf.is_32bit;
    result = check_program_headers(&elf, err);
    if (result)
        return result;

    for (unsigned i = 0; i < elf.header.e_phnum; i++) {
        Elf64_Phdr header = program_header(&elf, i);

        if (header.p_type == PT_INTERP)
            return error_set(
                err, -ENOEXEC,
                "it is a program for an operating system (it asks for an interpreter), not a kernel");
        has_tls |= header.p_type == PT_TLS;
        if (header.p_type != PT_LOAD)
            continue;
        result = add_segment(&elf, &header, i, &kernel, err);
        if (result)
            return result;
    }
    if (!kernel.segment_count)
        return error_set(err, -ENOEXEC, "it is an ELF file without a segment to load");

    if (want_pvh) {
        result = find_pvh_entry(&elf, &kernel, err);
        if (result)
            return result;
    }
    if (has_tls && !kernel.has_pvh_entry) /* Linux has none; every statically linked program has */
        return error_set(err, -ENOEXEC,
                         "it is a program for an operating system (it has thread-local storage)");
    result = find_entry(&elf, &kernel, err);
    if (result)
        return result;
    *ret_kernel = kernel;
    return 0;
}

int elf_kernel_copy(const uint8_t *file, const struct elf_kernel *kernel, const struct guest_memory *memory)
{
    for (unsigned i = 0; i < kernel->segment_count; i++) {
        const struct elf_segment *segment = &kernel->segments[i];
        uint8_t *to = guest_memory_range(memory, segment->paddr, segment->memsz);

        if (!to)
            return -EFAULT;
        if (segment->filesz)
            memcpy(to, file + segment->offset, segment->filesz);
        memset(to + segment->filesz, 0, segment->memsz - segment->filesz);
    }
    return 0;
}
