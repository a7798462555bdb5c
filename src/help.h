/* SPDX-License-Identifier: Apache-2.0 */
/*
 * help.h - the texts a person reads: --help, --version, and ringlet(1), all written from the option table,
 * the device table and the table of exit statuses. Whether `to` took them is the caller's to look at.
 */
#ifndef RINGLET_HELP_H
#define RINGLET_HELP_H

#include <stdio.h>

#include "command.h"

void help_print_usage(FILE *to);                         /* `ringlet --help` */
void help_print_command(enum command command, FILE *to); /* `ringlet run --help`, `ringlet exec --help` */
void help_print_doctor(FILE *to);                        /* `ringlet doctor --help` */
void help_print_man_page(FILE *to);                      /* roff; man_page.c */

#endif
