/* SPDX-License-Identifier: Apache-2.0 */
/*
 * builtin_guest_init.S - the initrd that `ringlet exec` puts before the user's (guest-images/init/).
 */
    .section .rodata
    .globl guest_init_archive, guest_init_archive_end
guest_init_archive:
    .incbin GUEST_INIT
guest_init_archive_end:
    .section .note.GNU-stack, "", @progbits
