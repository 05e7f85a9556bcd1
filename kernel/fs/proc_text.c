/* SPDX-License-Identifier: MIT */
/* What the files of a process say: proc(5). */
#include "fs/proc.h"

#include "lib/string.h"
#include "memory/heap.h"
#include "task/clock.h"
#include "task/limits.h"

#include <quire/stats.h>

#define TICK (SECOND / USER_HZ)

/* What is told of a process, as of one moment. */
struct view {
	int pid, parent, group, session, exit_signal;
	unsigned threads;
	char state, name[16];
	uint64_t run_time, children_time, faults, start_time;
	sigset pending;
	struct space *space; /* held; NULL: none any more */
	struct quire_stats stats;
};

static char state_of(const struct process *process)
{
	if (process->zombie)
		return 'Z';
	if (process->stopped)
		return 'T';
	list_for_each(task, &process->threads, struct task, sibling)
		if (atomic_load_explicit(&task->state, memory_order_relaxed) == TASK_RUNNABLE)
			return 'R';
	return 'S';
}

static struct space *hold_space(struct process *process)
{
	struct space *space;

	lock_take(&process_lock);
	space = process->space;
	if (space)
		space_get(space);
	lock_drop(&process_lock);
	return space;
}

static void view_begin(struct view *view, struct process *process)
{
	memset(view, 0, sizeof(*view));
	lock_take(&process_lock);
	view->pid = process->pid;
	view->parent = process->parent ? process->parent->pid : 0;
	view->group = process->group;
	view->session = process->session;
	view->exit_signal = process->exit_signal;
	view->threads = process->thread_count;
	view->state = state_of(process);
	memcpy(view->name, process->name, sizeof(view->name));
	view->run_time = process->run_time;
	list_for_each(task, &process->threads, struct task, sibling)
		view->run_time += task->run_time;
	view->children_time = process->children_time;
	view->faults = process->faults;
	view->start_time = process->start_time;
	view->pending = process->pending.set;
	lock_drop(&process_lock);
	view->space = hold_space(process);
	if (view->space)
		quire_stats(view->space->mm, &view->stats);
}

static void view_end(struct view *view)
{
	if (view->space)
		space_put(view->space);
}

int proc_print_stat(struct inode *inode, struct text *out)
{
	static const struct space none;
	const struct space *space;
	struct view view;

	view_begin(&view, inode->private_data);
	space = view.space ? view.space : &none;
	text_add(out, "%d (%s) %c %d %d %d 0 -1 0 %lu 0 0 0 ", view.pid, view.name, view.state,
		 view.parent, view.group, view.session, view.faults);
	text_add(out, "%lu 0 %lu 0 20 0 %u 0 %lu ", view.run_time / TICK, view.children_time / TICK,
		 view.threads, view.start_time / TICK);
	text_add(out, "%lu %lu %lu %lu %lu %lu 0 0 ", view.stats.mapped,
		 view.stats.anonymous + view.stats.object_pages, UINT64_MAX, space->code_start,
		 space->code_end, space->stack_top);
	text_add(out, "%lu 0 0 0 0 0 0 %d 0 0 0 0 0 0 0 0 %lu ", view.pending & 0x7fffffff,
		 view.exit_signal, space->brk_start);
	text_add(out, "%lu %lu %lu %lu 0\n", space->arguments, space->environment,
		 space->environment, space->environment_end);
	view_end(&view);
	return 0;
}

static const char *state_name(char state)
{
	switch (state) {
	case 'R':
		return "R (running)";
	case 'T':
		return "T (stopped)";
	case 'Z':
		return "Z (zombie)";
	default:
		return "S (sleeping)";
	}
}

int proc_print_status(struct inode *inode, struct text *out)
{
	struct view view;

	view_begin(&view, inode->private_data);
	text_add(out, "Name:\t%s\nState:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\n", view.name,
		 state_name(view.state), view.pid, view.pid);
	text_add(out, "PPid:\t%d\nTracerPid:\t0\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n",
		 view.parent);
	if (view.space)
		text_add(out,
			 "VmSize:\t%8lu kB\nVmLck:\t%8lu kB\nVmRSS:\t%8lu kB\n"
			 "RssAnon:\t%8lu kB\nRssFile:\t%8lu kB\nRssShmem:\t%8u kB\n"
			 "VmData:\t%8lu kB\nVmPTE:\t%8lu kB\nVmSwap:\t%8u kB\n",
			 view.stats.mapped / 1024, view.stats.locked / 1024,
			 (view.stats.anonymous + view.stats.object_pages) * 4,
			 view.stats.anonymous * 4, view.stats.object_pages * 4, 0,
			 view.stats.data / 1024, view.stats.tables * 4, 0);
	text_add(out, "Threads:\t%u\nShdPnd:\t%016lx\nCpus_allowed:\t%lx\n", view.threads,
		 view.pending, (1ul << (cpu_count - 1) << 1) - 1);
	view_end(&view);
	return 0;
}

int proc_print_comm(struct inode *inode, struct text *out)
{
	struct view view;

	view_begin(&view, inode->private_data);
	text_add(out, "%s\n", view.name);
	view_end(&view);
	return 0;
}

int proc_print_maps(struct inode *inode, struct text *out)
{
	struct space *space = hold_space(inode->private_data);

	if (space) {
		space_print_maps(space, out);
		space_put(space);
	}
	return 0;
}

int proc_print_statm(struct inode *inode, struct text *out)
{
	struct space *space = hold_space(inode->private_data);

	if (space) {
		space_print_statm(space, out);
		space_put(space);
	} else {
		text_add(out, "0 0 0 0 0 0 0\n");
	}
	return 0;
}

/* The lock is not held while memory is allocated: so the length may have changed. */
int proc_print_cmdline(struct inode *inode, struct text *out)
{
	struct process *process = inode->private_data;
	size_t room = 0, length;
	char *copy = NULL;

	for (;;) {
		lock_take(&process_lock);
		length = process->arguments ? process->arguments_length : 0;
		if (copy && length <= room)
			memcpy(copy, process->arguments, length);
		lock_drop(&process_lock);
		if (length <= room)
			break;
		heap_free(copy);
		room = length;
		copy = heap_alloc(room);
		if (!copy)
			return -ENOMEM;
	}
	text_add_bytes(out, copy, length);
	heap_free(copy);
	return 0;
}

static void add_limit(struct text *out, uint64_t limit)
{
	if (limit == RLIM_INFINITY)
		text_add(out, "%-21s", "unlimited");
	else
		text_add(out, "%-21lu", limit);
}

int proc_print_limits(struct inode *inode, struct text *out)
{
	static const struct {
		const char *name, *unit;
	} limits[RLIMITS] = {
		{ "Max cpu time", "seconds" },	   { "Max file size", "bytes" },
		{ "Max data size", "bytes" },	   { "Max stack size", "bytes" },
		{ "Max core file size", "bytes" }, { "Max resident set", "bytes" },
		{ "Max processes", "processes" },  { "Max open files", "files" },
		{ "Max locked memory", "bytes" },  { "Max address space", "bytes" },
		{ "Max file locks", "locks" },	   { "Max pending signals", "signals" },
		{ "Max msgqueue size", "bytes" },  { "Max nice priority", "" },
		{ "Max realtime priority", "" },   { "Max realtime timeout", "us" },
	};
	const struct process *process = inode->private_data;

	text_add(out, "%-26s%-21s%-21s%s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
	for (unsigned i = 0; i < ARRAY_SIZE(limits); i++) {
		text_add(out, "%-26s", limits[i].name);
		add_limit(out, process->limits[i][0]);
		add_limit(out, process->limits[i][1]);
		text_add(out, "%s\n", limits[i].unit);
	}
	return 0;
}

int proc_print_mounts(struct inode *inode, struct text *out)
{
	(void)inode;
	text_add(out, "tmpfs / tmpfs rw,noatime 0 0\nproc /proc proc rw,noatime 0 0\n");
	return 0;
}

int proc_print_mountinfo(struct inode *inode, struct text *out)
{
	(void)inode;
	text_add(out, "1 0 0:1 / / rw,noatime - tmpfs tmpfs rw\n"
		      "2 1 0:1 / /proc rw,noatime - proc proc rw\n");
	return 0;
}
