/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pvh.S - a guest that is not Linux and enters by its PVH note: 32-bit protected mode, EBX = hvm_start_info. Checks
 * the magic number, the memory map and that the whole first MiB is RAM; ends with status 0, or with the number of
 * what is wrong.
 */
    .section .note.Xen, "a", @note
    .balign 4
    .long 4, 4, 18      /* sizes; XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long pvh_entry

    .section .text.start, "ax"
    .code32
    .globl _start
_start:
pvh_entry:
    mov $1, %al
    cmpl $0x336ec578, (%ebx)
    jne end
    mov $2, %al
    cmpl $0, 32(%ebx)   /* rsdp_paddr */
    je end
    mov $3, %al
    cmpl $3, 48(%ebx)   /* memmap_entries: below 640 KiB, reserved, above 1 MiB */
    jb end
    mov $4, %al
    movl $0x12345678, 0xd0000
    cmpl $0x12345678, 0xd0000
    jne end
    xor %eax, %eax
end:
    out %al, $0xf4
1:  hlt
    jmp 1b

    .section .note.GNU-stack, "", @progbits
