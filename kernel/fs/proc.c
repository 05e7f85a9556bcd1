/* SPDX-License-Identifier: MIT */
/*
 * /proc: files with a place of their own (proc_add), and beside them names that are made when
 * somebody looks: a directory for each process, its files, its threads, its descriptors. Such an
 * inode lives as long as who found it holds it, and holds its process; its number says what it is,
 * so that it is the same the next time.
 */
#include "fs/proc.h"
#include "fs/path.h"
#include "fs/special.h"

#include "lib/string.h"
#include "memory/heap.h"

enum kind { KIND_TEXT, KIND_EXE, KIND_CWD, KIND_ROOT, KIND_FDS, KIND_TASKS };

static const struct {
	const char *name;
	enum kind kind;
	int (*print)(struct inode *inode, struct text *out);
} files[] = {
	{ "cmdline", KIND_TEXT, proc_print_cmdline },
	{ "comm", KIND_TEXT, proc_print_comm },
	{ "cwd", KIND_CWD, NULL },
	{ "exe", KIND_EXE, NULL },
	{ "fd", KIND_FDS, NULL },
	{ "limits", KIND_TEXT, proc_print_limits },
	{ "maps", KIND_TEXT, proc_print_maps },
	{ "mountinfo", KIND_TEXT, proc_print_mountinfo },
	{ "mounts", KIND_TEXT, proc_print_mounts },
	{ "root", KIND_ROOT, NULL },
	{ "stat", KIND_TEXT, proc_print_stat },
	{ "statm", KIND_TEXT, proc_print_statm },
	{ "status", KIND_TEXT, proc_print_status },
	{ "task", KIND_TASKS, NULL }, /* last */
};

#define WHAT_DIRECTORY 0
#define WHAT_FILE 1	   /* and so on */
#define WHAT_THREAD 1024   /* as WHAT_DIRECTORY */
#define WHAT_FD (1u << 20) /* and so on */

static const struct dynamic_ops process_ops, thread_ops, tasks_ops, fds_ops;

static uint64_t number_of(int pid, unsigned what)
{
	return 1ull << 60 | (uint64_t)(unsigned)pid << 24 | what;
}

/* A made-up directory's name is an entry that is in no list. */
static void free_made(struct inode *inode)
{
	heap_free(inode->entry);
	process_put(inode->private_data);
}

static struct inode *make(struct process *process, uint32_t mode, uint64_t number)
{
	struct inode *inode = inode_create(mode);

	if (!inode)
		return NULL;
	inode->number = number;
	inode->links = is_directory(inode) ? 2 : 1;
	inode->private_data = process;
	inode->free = free_made;
	process_get(process);
	return inode;
}

static int give(struct inode *inode, struct inode **found)
{
	*found = inode;
	return inode ? 0 : -ENOMEM;
}

static int make_directory(struct inode *parent, struct process *process, uint64_t number,
			  const char *name, size_t length, const struct dynamic_ops *ops,
			  struct inode **found)
{
	struct inode *inode = make(process, S_IFDIR | 0555, number);
	struct entry *entry = heap_zero(sizeof(*entry) + length + 1);

	if (!inode || !entry) {
		heap_free(entry);
		inode_put(inode);
		return -ENOMEM;
	}
	memcpy(entry->name, name, length);
	inode->entry = entry;
	inode->dynamic = ops;
	inode->parent = parent;
	inode_hold(parent);
	return give(inode, found);
}

/* A link with this text (NULL: none known), which leads to `target` whose reference is taken over.
 */
static int make_link(struct process *process, uint64_t number, const char *text,
		     struct inode *target, struct inode **found)
{
	struct inode *inode = make(process, S_IFLNK | 0777, number);

	if (inode) {
		inode->target = target;
		target = NULL;
		inode->link = heap_copy(text ? text : "", text ? strlen(text) + 1 : 1);
	}
	inode_put(target);
	if (inode && !inode->link) {
		inode_put(inode);
		inode = NULL;
	}
	return give(inode, found);
}

static int make_text(struct process *process, uint64_t number,
		     int (*printer)(struct inode *, struct text *), struct inode **found)
{
	struct inode *inode = make(process, S_IFREG | 0444, number);

	if (inode) {
		inode->print = printer;
		inode->ops = &text_file_ops;
	}
	return give(inode, found);
}

/* A decimal number, without zeroes in front; -1: it is none. */
static int parse_id(const char *name, size_t length)
{
	int value = 0;

	if (length == 0 || length > 7 || (name[0] == '0' && length > 1))
		return -1;
	for (size_t i = 0; i < length; i++) {
		if (name[i] < '0' || name[i] > '9')
			return -1;
		value = value * 10 + (name[i] - '0');
	}
	return value;
}

/* --- /proc/PID/fd --- */

/* The table of descriptors, held; NULL: it has none any more. */
static struct files *hold_files(struct process *process)
{
	struct files *table;

	lock_take(&process_lock);
	table = process->files;
	if (table)
		files_get(table);
	lock_drop(&process_lock);
	return table;
}

static int fds_lookup(struct inode *directory, const char *name, size_t length,
		      struct inode **found)
{
	struct process *process = directory->private_data;
	int descriptor = parse_id(name, length), error;
	struct files *table = hold_files(process);
	struct file *file = NULL;

	if (table) {
		file = descriptor < 0 ? NULL : files_get_file(table, descriptor);
		files_put(table);
	}
	if (!file)
		return -ENOENT;
	inode_hold(file->inode);
	error = make_link(process, number_of(process->pid, WHAT_FD + (unsigned)descriptor),
			  file->path, file->inode, found);
	file_put(file);
	return error;
}

static bool fds_next(struct inode *directory, struct dirent_info *info)
{
	struct process *process = directory->private_data;
	struct files *table = hold_files(process);
	int descriptor = -1;

	if (table) {
		descriptor = files_next(table, (int)(info->cookie - COOKIE_DYNAMIC));
		files_put(table);
	}
	if (descriptor < 0)
		return false;
	format(info->name, sizeof(info->name), "%d", descriptor);
	info->number = number_of(process->pid, WHAT_FD + (unsigned)descriptor);
	info->mode = S_IFLNK;
	info->cookie = COOKIE_DYNAMIC + (uint64_t)descriptor + 1;
	return true;
}

static const struct dynamic_ops fds_ops = { fds_lookup, fds_next };

/* --- /proc/PID/task --- */

static int tasks_lookup(struct inode *directory, const char *name, size_t length,
			struct inode **found)
{
	struct process *process = directory->private_data;
	int tid = parse_id(name, length), error = -ENOENT;
	struct task *task = tid < 0 ? NULL : task_find(tid);

	if (task && task->process == process)
		error = make_directory(directory, process, number_of(tid, WHAT_THREAD), name,
				       length, &thread_ops, found);
	if (task)
		task_put(task);
	return error;
}

/* By tid, since threads come and go between two calls. */
static bool tasks_next(struct inode *directory, struct dirent_info *info)
{
	struct process *process = directory->private_data;
	int from = (int)(info->cookie - COOKIE_DYNAMIC), tid = 0;

	lock_take(&process_lock);
	list_for_each(task, &process->threads, struct task, sibling)
		if (task->tid >= from && (tid == 0 || task->tid < tid))
			tid = task->tid;
	lock_drop(&process_lock);
	if (tid == 0)
		return false;
	format(info->name, sizeof(info->name), "%d", tid);
	info->number = number_of(tid, WHAT_THREAD);
	info->mode = S_IFDIR;
	info->cookie = COOKIE_DYNAMIC + (uint64_t)tid + 1;
	return true;
}

static const struct dynamic_ops tasks_ops = { tasks_lookup, tasks_next };

/* --- /proc/PID, /proc/PID/task/TID --- */

static int make_working_directory(struct process *process, uint64_t number, struct inode **found)
{
	struct fs_context *context;
	struct inode *directory;
	char *text = heap_alloc(PATH_ROOM);
	int error;

	lock_take(&process_lock);
	context = process->fs;
	if (context)
		fs_context_get(context);
	lock_drop(&process_lock);
	directory = context_directory_of(context);
	if (context)
		fs_context_put(context);
	if (text && tree_path(directory, NULL, text, PATH_ROOM) < 0)
		text[0] = 0;
	error = make_link(process, number, text, directory, found);
	heap_free(text);
	return error;
}

static bool is_thread(const struct inode *directory)
{
	return directory->dynamic == &thread_ops;
}

static int process_lookup_file(struct inode *directory, const char *name, size_t length,
			       struct inode **found)
{
	struct process *process = directory->private_data;
	uint64_t number = directory->number + WHAT_FILE;
	unsigned i = 0;

	while (i < ARRAY_SIZE(files) &&
	       (strlen(files[i].name) != length || memcmp(files[i].name, name, length) != 0))
		i++;
	if (i == ARRAY_SIZE(files) || (files[i].kind == KIND_TASKS && is_thread(directory)))
		return -ENOENT;
	number += i;
	switch (files[i].kind) {
	case KIND_TEXT:
		return make_text(process, number, files[i].print, found);
	case KIND_EXE:
		return process->path[0] ? make_link(process, number, process->path, NULL, found)
					: -ENOENT;
	case KIND_CWD:
		return make_working_directory(process, number, found);
	case KIND_ROOT:
		return make_link(process, number, "/", NULL, found);
	case KIND_FDS:
		return make_directory(directory, process, number, name, length, &fds_ops, found);
	default:
		return make_directory(directory, process, number, name, length, &tasks_ops, found);
	}
}

static bool process_next_file(struct inode *directory, struct dirent_info *info)
{
	static const uint32_t modes[] = { S_IFREG, S_IFLNK, S_IFLNK, S_IFLNK, S_IFDIR, S_IFDIR };
	uint64_t i = info->cookie - COOKIE_DYNAMIC;

	if (i >= ARRAY_SIZE(files) || (files[i].kind == KIND_TASKS && is_thread(directory)))
		return false;
	strlcpy(info->name, files[i].name, sizeof(info->name));
	info->number = directory->number + WHAT_FILE + i;
	info->mode = modes[files[i].kind];
	info->cookie++;
	return true;
}

static const struct dynamic_ops process_ops = { process_lookup_file, process_next_file };
static const struct dynamic_ops thread_ops = { process_lookup_file, process_next_file };

/* --- /proc --- */

static int root_lookup(struct inode *directory, const char *name, size_t length,
		       struct inode **found)
{
	struct process *process = current_process();
	int pid = parse_id(name, length), error;
	char text[48];

	if (process && length == 4 && memcmp(name, "self", 4) == 0) {
		format(text, sizeof(text), "%d", process->pid);
		return make_link(process, number_of(0, WHAT_FILE), text, NULL, found);
	}
	if (process && length == 11 && memcmp(name, "thread-self", 11) == 0) {
		format(text, sizeof(text), "%d/task/%d", process->pid, current_task()->tid);
		return make_link(process, number_of(0, WHAT_FILE + 1), text, NULL, found);
	}
	process = pid < 0 ? NULL : process_find(pid);
	if (!process)
		return -ENOENT;
	error = make_directory(directory, process, number_of(pid, WHAT_DIRECTORY), name, length,
			       &process_ops, found);
	process_put(process);
	return error;
}

static bool root_next(struct inode *directory, struct dirent_info *info)
{
	int from = (int)(info->cookie - COOKIE_DYNAMIC), pid = 0;

	(void)directory;
	if (from == 0) {
		strlcpy(info->name, "self", sizeof(info->name));
		info->number = number_of(0, WHAT_FILE);
		info->mode = S_IFLNK;
		info->cookie++;
		return true;
	}
	lock_take(&process_lock);
	list_for_each(process, &all_processes, struct process, all)
		if (process->pid >= from && (pid == 0 || process->pid < pid))
			pid = process->pid;
	lock_drop(&process_lock);
	if (pid == 0)
		return false;
	format(info->name, sizeof(info->name), "%d", pid);
	info->number = number_of(pid, WHAT_DIRECTORY);
	info->mode = S_IFDIR;
	info->cookie = COOKIE_DYNAMIC + (uint64_t)pid + 1;
	return true;
}

static const struct dynamic_ops root_ops = { root_lookup, root_next };

void proc_init(void)
{
	struct inode *root = inode_create(S_IFDIR | 0555);

	if (root)
		root->dynamic = &root_ops;
	(void)fs_place("/proc", root);
}
