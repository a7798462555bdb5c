/* SPDX-License-Identifier: Apache-2.0 */
/*
 * builtin_payloads.S - two guests carried inside the program, for `ringlet doctor` (guest-images/payloads/).
 */
    .section .rodata
    .globl payload_hello, payload_hello_end, payload_linux_needs, payload_linux_needs_end
payload_hello:
    .incbin PAYLOAD_HELLO
payload_hello_end:
payload_linux_needs:
    .incbin PAYLOAD_LINUX_NEEDS
payload_linux_needs_end:
    .section .note.GNU-stack, "", @progbits
