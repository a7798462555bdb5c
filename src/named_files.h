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
 * Refuse a file that is two things at once: one that we write (the console's, the events', the pid file) and a
 * disk, kernel or initrd; or a disk twice, unless it is written neither time; or a tap's descriptor twice; or a file
 * by a descriptor that was not passed to us. Paths that lead to no file are for those to refuse who open them. 0, or
 * -EINVAL with *err.
 */
int named_files_check(const struct run_options *options, struct error *err);

#endif
