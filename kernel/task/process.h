/* SPDX-License-Identifier: MIT */
/* What the files that make and end processes share: task.c, clone.c, process.c, reap.c. */
#ifndef KERNEL_PROCESS_H
#define KERNEL_PROCESS_H

#include "task/task.h"

#define TID_MAX 4194304 /* as pid_max: tids are below */

/* --- task.c --- */
/* A number that is nobody's tid, pid, group or session. => process_lock held */
int tid_allocate(void);
/* Into and out of the tables. => process_lock held */
void tid_link(struct task *task);
void tid_unlink(struct task *task);
void pid_link(struct process *process);
void pid_unlink(struct process *process);
/* => process_lock held; without a reference; NULL */
struct process *process_lookup(int pid);

/*
 * An empty process, in no table: what a parent passes on is copied by the caller. One reference.
 * NULL: no memory.
 */
struct process *process_create(void);

/* --- process.c --- */
/*
 * A new task becomes one of its process's threads, and can be found. Fails with -EINTR if the
 * process ends, or is to have a single thread. => process_lock held
 */
int thread_link(struct task *task);

/* --- reap.c --- */
/*
 * The zombie leaves the tree; its times go to its parent. Takes over the tree's reference: the
 * caller gives it back by process_put, without the lock. => process_lock held
 */
void process_reap(struct process *process);

#endif
