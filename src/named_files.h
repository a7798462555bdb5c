/* SPDX-License-Identifier: Apache-2.0 */
/*
 * named_files.h - the files that a command line names, seen together: what one option writes no other may
 * read. Opens nothing and changes nothing.
 */
#ifndef RINGLET_NAMED_FILES_H
#define RINGLET_NAMED_FILES_H

struct error;
struct run_options;

/*
 * Refuse a file that is two things at once: the console's and a disk, kernel or initrd; or a disk twice, unless
 * both are read-only. Names that lead to no file are for those to refuse who open them. 0, or -EINVAL with
 * *err.
 */
int named_files_check(const struct run_options *options, struct error *err);

#endif
