/* SPDX-License-Identifier: MIT */
/* Between proc.c (names) and those that print: proc_text.c, sys.c. */
#ifndef KERNEL_PROC_H
#define KERNEL_PROC_H

#include "fs/fs.h"
#include "task/task.h"

/* Files of a process, which is the inode's private_data. 0, or an error of open(2). */
int proc_print_cmdline(struct inode *inode, struct text *out);
int proc_print_comm(struct inode *inode, struct text *out);
int proc_print_limits(struct inode *inode, struct text *out);
int proc_print_maps(struct inode *inode, struct text *out);
int proc_print_stat(struct inode *inode, struct text *out);
int proc_print_statm(struct inode *inode, struct text *out);
int proc_print_status(struct inode *inode, struct text *out);
/* The same for all. */
int proc_print_mountinfo(struct inode *inode, struct text *out);
int proc_print_mounts(struct inode *inode, struct text *out);

/* text.c: bytes that may be NUL. */
void text_add_bytes(struct text *text, const char *bytes, size_t count);

#endif
