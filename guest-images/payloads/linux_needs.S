/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux_needs.S - instructions that a stock Linux kernel executes in ring 0 and that an emulator of guest code may
 * lack. Ends with status 0 when all of them worked; a KVM that cannot execute one stops with an internal error or
 * a fault instead. `ringlet doctor` and the tests learn from it whether this KVM boots Linux, without a look at
 * the CPU's flags.
 */
    .section .text.start, "ax"
    .globl _start
_start:
    cld
    lea stack_top(%rip), %rsp
    lidt empty_idt(%rip)

    /* the kernel's slab allocator: a 16-byte compare and exchange */
    lea cell(%rip), %rdi
    xor %eax, %eax
    xor %edx, %edx
    mov $1, %ebx
    mov $2, %ecx
    lock cmpxchg16b (%rdi)
    jnz fail

    /* context switches: FPU state, saved and restored */
    mov %cr0, %rax
    and $~(1 << 2 | 1 << 3), %rax   /* EM, TS */
    or $(1 << 1), %rax              /* MP */
    mov %rax, %cr0
    mov %cr4, %rax
    or $(1 << 9), %rax              /* OSFXSR */
    mov %rax, %cr4
    fxsave64 state(%rip)
    fxrstor64 state(%rip)
    mov $1, %eax
    xor %ecx, %ecx
    cpuid
    bt $26, %ecx                    /* XSAVE, as this VM's CPUID says */
    jnc 1f
    mov %cr4, %rax
    or $(1 << 18), %rax             /* OSXSAVE */
    mov %rax, %cr4
    mov $3, %eax                    /* x87 and SSE */
    xor %edx, %edx
    xsave64 state(%rip)
    xrstor64 state(%rip)
1:
    /* alternatives patching and kprobes: a breakpoint, taken and returned from */
    lea breakpoint(%rip), %rax
    lea idt(%rip), %rdi
    mov %ax, 3 * 16(%rdi)
    movw $0x10, 3 * 16 + 2(%rdi)
    movw $0x8e00, 3 * 16 + 4(%rdi)
    shr $16, %rax
    mov %ax, 3 * 16 + 6(%rdi)
    lidt idt_pointer(%rip)
    xor %r15d, %r15d
    int3
    cmp $1, %r15d
    jne fail
    xor %eax, %eax
    out %al, $0xf4
fail:
    mov $1, %al
    out %al, $0xf4
2:  hlt
    jmp 2b

breakpoint:
    mov $1, %r15d
    iretq

    .data
    .balign 16
cell:
    .quad 0, 0
empty_idt:
    .word 0
    .quad 0
idt_pointer:
    .word 16 * 16 - 1
    .quad idt

    .bss
    .balign 64
state:
    .skip 4096
    .balign 16
idt:
    .skip 16 * 16
    .skip 4096
stack_top:

    .section .note.GNU-stack, "", @progbits
