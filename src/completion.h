/* SPDX-License-Identifier: Apache-2.0 */
/*
 * completion.h - bash completion for the command line, written from the option table and the device table.
 */
#ifndef RINGLET_COMPLETION_H
#define RINGLET_COMPLETION_H

#include <stdio.h>

/* The script that bash reads. Whether `to` took it is the caller's to look at. */
void completion_print_bash(FILE *to);

#endif
