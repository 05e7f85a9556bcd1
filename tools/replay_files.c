/* SPDX-License-Identifier: MIT */
/*
 * The files that a recording maps, found before anything is planned.
 *
 *   O line     a file: device, inode, size, name. The M that follows it in its task, with the same
 *              descriptor, maps it
 *   V line     the same file, if name and inode are; else a file of which only these are known
 *   M line     MAP_SHARED | MAP_ANONYMOUS: shared memory, which is a file without a name
 *
 * A file is one object, whoever maps it. It is *itself* if under its name there still is a regular
 * file with this device, inode and size (the last one recorded); else a stand-in of zeros takes its
 * place. Nothing else is ever opened, and nothing for writing.
 */
#include "replay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 16384u
#define BUCKETS 4096u

struct collector {
	struct plan *plan;
	uint32_t *opened; /* of each tid: its last O, an index of events plus 1 */
	uint32_t buckets[BUCKETS];
	uint32_t named;
};

struct file *file_of(const struct plan *plan, const struct trace_event *e)
{
	uint32_t file = plan->file_of[e - plan->trace->events];

	return file == REPLAY_NONE ? NULL : &plan->files[file];
}

/* Returns its index, or REPLAY_NONE: no memory. */
static uint32_t add(struct plan *plan, const struct file *file)
{
	uint32_t f = plan->file_count;

	if ((f & (f - 1)) == 0) { /* full: a power of two, or none */
		struct file *bigger = realloc(plan->files, (f ? f * 2ull : 1) * sizeof(*bigger));

		if (!bigger)
			return REPLAY_NONE;
		plan->files = bigger;
	}
	memcpy(&plan->files[f], file, sizeof(*file));
	plan->files[f].fd = -1;
	plan->file_count++;
	return f;
}

/* Files, not devices and the like, which have no size to speak of. */
static bool is_file_name(const char *name)
{
	static const char *const others[] = { "/dev/", "/proc/", "/sys/", "/anon_hugepage" };

	if (strncmp(name, "/dev/shm/", 9) == 0)
		return true;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (strncmp(name, others[i], strlen(others[i])) == 0)
			return false;
	return *name == '/';
}

/* The file of an O or V line, which may be a new one; or REPLAY_NONE. */
static uint32_t named(struct collector *c, const struct trace_event *e)
{
	uint32_t *bucket = &c->buckets[e->inode % BUCKETS];
	bool opened = e->op == TRACE_FILE;
	struct file file = { .name = e->name, .inode = e->inode, .next = *bucket };

	for (uint32_t f = *bucket; f != REPLAY_NONE; f = c->plan->files[f].next) {
		const struct file *found = &c->plan->files[f];

		if (found->inode == e->inode &&
		    (opened && found->known ? found->device == e->device
					    : strcmp(found->name, e->name) == 0))
			return f;
	}
	if (c->named == FILES_MAX)
		return REPLAY_NONE;
	c->named++;
	return *bucket = add(c->plan, &file);
}

static bool opened_line(struct collector *c, const struct trace_event *e, uint32_t *of)
{
	uint64_t size = file_size(e);
	struct file *file;

	c->opened[e->tid] = (uint32_t)(e - c->plan->trace->events) + 1;
	if (!is_file_name(e->name))
		return true;
	*of = named(c, e);
	if (*of == REPLAY_NONE)
		return false;
	file = &c->plan->files[*of];
	if (!file->known) {
		file->begin = file->least = file->most = size;
		file->pid = e->pid;
	}
	file->known = true;
	file->device = e->device;
	file->name = e->name;
	file->size = size;
	if (file->least > size)
		file->least = size;
	if (file->most < size)
		file->most = size;
	if (file->pid != e->pid)
		file->pid = 0;
	return true;
}

/* A line of a layout: where nothing else tells, a file is as large as what is mapped of it. */
static bool layout_line(struct collector *c, const struct trace_event *e, uint32_t *of)
{
	struct file *file;
	uint64_t end = e->offset + e->length;

	if (e->inode == 0 || !is_file_name(e->name))
		return true;
	*of = named(c, e);
	if (*of == REPLAY_NONE)
		return false;
	file = &c->plan->files[*of];
	file->mapped = true;
	if (!file->known && end > e->offset && end <= QUIRE_OBJECT_MAX && file->size < end)
		file->begin = file->least = file->most = file->size = end;
	file->written |= (e->flags & TRACE_MAP_SHARED) && (e->prot & TRACE_PROT_WRITE);
	return true;
}

static bool mmap_line(struct collector *c, const struct trace_event *e, uint32_t *of)
{
	struct plan *plan = c->plan;
	uint32_t last = c->opened[e->tid];

	if (!(e->flags & QUIRE_MAP_ANONYMOUS)) {
		if (e->fd < 0 || last == 0 || plan->trace->events[last - 1].fd != e->fd)
			return true;
		*of = plan->file_of[last - 1];
		if (*of != REPLAY_NONE) {
			plan->files[*of].mapped = true;
			plan->files[*of].written |= (e->flags & TRACE_MAP_SHARED) &&
						    (e->prot & TRACE_PROT_WRITE);
		}
	} else if ((e->flags & TRACE_MAP_SHARED) && !(e->flags & LINUX_MAP_HUGETLB) &&
		   e->result >= 0 && e->length <= REPLAY_ADDRESSES) {
		uint64_t size = (e->length + QUIRE_PAGE_SIZE - 1) & ~(QUIRE_PAGE_SIZE - 1);
		struct file memory = { .name = "", .memory = true, .size = size };

		memory.begin = memory.least = memory.most = size;
		*of = add(plan, &memory);
		return *of != REPLAY_NONE;
	}
	return true;
}

/* ---- Which are still there ---- */

/* The recorder writes control characters as \ooo. */
static bool plain_name(const char *name, char *plain, size_t size)
{
	size_t n = 0;

	for (; *name && n + 1 < size; name++) {
		if (name[0] == '\\' && strspn(name + 1, "01234567") >= 3) {
			plain[n++] = (char)strtol((char[]){ name[1], name[2], name[3], 0 }, NULL,
						  8);
			name += 3;
		} else {
			plain[n++] = *name;
		}
	}
	plain[n] = 0;
	return !*name;
}

/* Why this is not the recorded file, or NULL: it is. */
static const char *differs(const struct file *file, const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "is no regular file";
	if (st->st_ino != file->inode || (file->known && st->st_dev != file->device))
		return "is another file";
	return file->known && (uint64_t)st->st_size != file->size ? "has another size" : NULL;
}

static void open_file(struct file *file)
{
	char name[TRACE_NAME_MAX];
	struct stat st;

	/* A name may be that of anything by now: only what is the file is opened. */
	if (!plain_name(file->name, name, sizeof(name)) || stat(name, &st) != 0) {
		file->why = "is not there";
		return;
	}
	file->why = differs(file, &st);
	if (file->why)
		return;
	file->fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (file->fd < 0) {
		file->why = errno == EMFILE ? "is one of too many" : "can't be read";
		return;
	}
	file->why = fstat(file->fd, &st) == 0 ? differs(file, &st) : "can't be read";
	file->time = st.st_ctim;
	if (file->why) {
		close(file->fd);
		file->fd = -1;
	} else if (!file->known) {
		file->begin = file->least = file->most = (uint64_t)st.st_size;
	}
}

static void open_files(struct plan *plan)
{
	struct rlimit limit;

	/* Each takes one descriptor here and one in its store. */
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	for (uint32_t f = 0; f < plan->file_count; f++) {
		struct file *file = &plan->files[f];

		if (file->mapped)
			open_file(file);
		file->size = file->begin;
	}
}

/* ---- All of it ---- */

static bool collect(struct collector *c)
{
	struct plan *plan = c->plan;
	bool ok = true;

	for (size_t n = 0; ok && n < plan->trace->count; n++) {
		const struct trace_event *e = &plan->trace->events[n];
		uint32_t *of = &plan->file_of[n];

		*of = REPLAY_NONE;
		if (e->op == TRACE_FILE)
			ok = opened_line(c, e, of);
		else if (e->op == TRACE_LAYOUT)
			ok = layout_line(c, e, of);
		else if (e->op == TRACE_MMAP)
			ok = mmap_line(c, e, of);
	}
	return ok;
}

bool files_collect(struct plan *plan)
{
	struct collector c = { .plan = plan, .opened = calloc(TRACE_TID_MAX, sizeof(*c.opened)) };
	bool ok;

	for (unsigned i = 0; i < BUCKETS; i++)
		c.buckets[i] = REPLAY_NONE;
	plan->file_of = malloc((plan->trace->count + 1) * sizeof(*plan->file_of));
	ok = c.opened && plan->file_of && collect(&c);
	free(c.opened);
	if (ok)
		open_files(plan);
	return ok;
}

void files_free(struct plan *plan)
{
	for (uint32_t f = 0; f < plan->file_count; f++)
		if (plan->files[f].fd >= 0)
			close(plan->files[f].fd);
	free(plan->files);
	free(plan->file_of);
}

static bool is_shared_memory(const char *name)
{
	return strcmp(name, "/dev/zero (deleted)") == 0 || strncmp(name, "[anon_shmem:", 12) == 0;
}

uint32_t file_shown(const struct plan *plan, const struct trace_event *e)
{
	uint32_t found = FILE_ANY;

	if (e->inode == 0)
		return REPLAY_NONE;
	if (is_shared_memory(e->name))
		return FILE_SHARED;
	for (uint32_t f = 0; f < plan->file_count; f++) {
		const struct file *file = &plan->files[f];
		bool same = strcmp(file->name, e->name) == 0;

		if (!file->mapped)
			continue;
		if (file->inode == e->inode && same)
			return f;
		if (file->inode == e->inode) /* it has got another name */
			found = f;
		else if (same && found == FILE_ANY)
			found = FILE_OTHER;
	}
	return found;
}
