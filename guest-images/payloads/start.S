/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start.S - the first instructions of a payload, entered by Linux's 64-bit boot protocol: long mode, the first
 * 4 GiB mapped one to one, RSI = boot_params, no interrupts. Gives it a stack and calls payload_main(boot_params).
 * Returning ends the machine with the returned status.
 */
    .section .text.start, "ax"
    .globl _start
_start:
    cld
    lea stack_top(%rip), %rsp
    mov %rsi, %rdi
    call payload_main
    out %al, $0xf4
1:  hlt
    jmp 1b

    .bss
    .balign 16
    .skip 16384
stack_top:

    .section .note.GNU-stack, "", @progbits
