/* SPDX-License-Identifier: Apache-2.0 */
/*
 * debug_exit.S - "debug-exit STATUS" inside a guest: write a byte to port 0xf4, where a VMM that was asked to
 * (ringlet's --debug-exit) ends the machine with it. A program, and not a write to /dev/port, because Debian's
 * cloud kernels have no /dev/port; assembly, because an initrd then takes neither a compiler nor a libc to make.
 * Returns, with status 1, when nothing listens there or the port is refused.
 */
    .set SYS_exit, 60
    .set SYS_ioperm, 173
    .set PORT, 0xf4

    .text
    .globl _start
_start:
    mov 16(%rsp), %rsi              /* argv[1], or NULL */
    test %rsi, %rsi
    jz 3f
    xor %ebx, %ebx                  /* the status, modulo 256 in the end */
1:
    movzbl (%rsi), %eax
    sub $'0', %eax
    cmp $9, %eax
    ja 2f
    imul $10, %ebx
    add %eax, %ebx
    inc %rsi
    jmp 1b
2:
    mov $SYS_ioperm, %eax
    mov $PORT, %edi
    mov $1, %esi
    mov $1, %edx
    syscall
    test %rax, %rax
    jnz 3f
    mov %ebx, %eax
    out %al, $PORT
3:
    mov $SYS_exit, %eax
    mov $1, %edi
    syscall

    .section .note.GNU-stack, "", @progbits
