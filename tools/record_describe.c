/* SPDX-License-Identifier: MIT */
/* What a stopped thread is, does and has: from its registers, its memory, and /proc. */
#define _GNU_SOURCE
#include "record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <unistd.h>

/* Copy a name; what would break the line becomes \ooo, as in /proc/PID/maps. => malloc'd or NULL */
static char *escape(const char *name)
{
	size_t size = strlen(name) * 4 + 1;
	char *copy, *p;

	if (size > TRACE_NAME_MAX)
		size = TRACE_NAME_MAX;
	copy = p = malloc(size);
	if (!copy)
		return NULL;
	for (; *name && p + 5 < copy + size; name++) {
		if ((unsigned char)*name < 0x20 || *name == 0x7f)
			p += snprintf(p, 5, "\\%03o", (unsigned)(unsigned char)*name);
		else
			*p++ = *name;
	}
	*p = '\0';
	return copy;
}

/* One line of /proc/PID/maps. => false: it is none, or shows no mapping of the process */
static bool parse_map(char *line, struct trace_event *event)
{
	char rights[5];
	uint64_t start, end;
	int name = 0;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %" SCNu64 " %n", &start, &end,
		   rights, &event->offset, &event->inode, &name) < 5 ||
	    name == 0)
		return false;
	line[strcspn(line, "\n")] = '\0';
	if (strcmp(line + name, "[vsyscall]") == 0)
		return false;
	event->address = start;
	event->length = end - start;
	event->prot = (rights[0] == 'r' ? TRACE_PROT_READ : 0u) |
		      (rights[1] == 'w' ? TRACE_PROT_WRITE : 0u) |
		      (rights[2] == 'x' ? TRACE_PROT_EXEC : 0u);
	event->flags = rights[3] == 's' ? TRACE_MAP_SHARED : TRACE_MAP_PRIVATE;
	event->name = escape(line + name);
	return true;
}

/* Before the lines of a file: which it is, if it still has its name. */
static void record_file(struct recording *recording, const struct trace_event *shown,
			const char *name)
{
	struct trace_event event = *shown;
	struct stat st;

	if (stat(name, &st) != 0 || st.st_ino != shown->inode)
		return;
	event.op = TRACE_FILE;
	event.fd = -1;
	event.device = st.st_dev;
	event.length = (uint64_t)st.st_size;
	event.name = escape(name);
	if (event.name)
		record_event(recording, &event);
}

/* The name that a line of maps shows. */
static const char *name_of(const char *line)
{
	const char *name = strchr(line, '/');

	return name ? name : "";
}

void record_layout(struct recording *recording, const struct trace_event *like)
{
	char path[64], last[4096] = "", *line = NULL;
	size_t size = 0;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%" PRId32 "/maps", like->tid);
	maps = fopen(path, "re");
	if (!maps)
		return;
	while (getline(&line, &size, maps) > 0) {
		struct trace_event event = *like;

		if (!parse_map(line, &event))
			continue;
		if (like->op == TRACE_LAYOUT && *name_of(line) &&
		    strcmp(name_of(line), last) != 0) {
			snprintf(last, sizeof(last), "%s", name_of(line));
			record_file(recording, &event, last);
		}
		record_event(recording, &event);
	}
	free(line);
	fclose(maps);
}

int32_t process_of(int32_t tid)
{
	char path[64], line[128];
	int32_t tgid = tid;
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%" PRId32 "/status", tid);
	status = fopen(path, "re");
	if (!status)
		return tid;
	while (fgets(line, sizeof(line), status))
		if (sscanf(line, "Tgid: %" SCNd32, &tgid) == 1)
			break;
	fclose(status);
	return tgid;
}

bool describe_call(int nr, const uint64_t *args, struct trace_event *event)
{
	event->address = args[0];
	event->length = args[1];
	switch (nr) {
	case SYS_mmap:
		event->op = TRACE_MMAP;
		event->prot = args[2];
		event->flags = args[3];
		event->fd = (int32_t)(uint32_t)args[4];
		event->offset = args[5];
		return true;
	case SYS_munmap:
		event->op = TRACE_MUNMAP;
		return true;
	case SYS_mprotect:
	case SYS_pkey_mprotect:
		event->op = TRACE_MPROTECT;
		event->prot = args[2];
		return true;
	case SYS_madvise:
		event->op = TRACE_MADVISE;
		event->flags = args[2] & UINT32_MAX;
		return true;
	case SYS_brk:
		event->op = TRACE_BRK;
		return true;
	case SYS_mremap:
		event->op = TRACE_MREMAP;
		event->new_length = args[2];
		event->flags = args[3];
		event->new_address = args[4];
		return true;
	case SYS_mlock:
	case SYS_mlock2:
		event->op = TRACE_MLOCK;
		event->flags = nr == SYS_mlock2 ? args[2] : 0;
		return true;
	case SYS_munlock:
		event->op = TRACE_MUNLOCK;
		return true;
	case SYS_msync:
		event->op = TRACE_MSYNC;
		event->flags = args[2];
		return true;
	default:
		return false;
	}
}

/* What a link of /proc shows, or NULL. */
static char *read_link(const char *path)
{
	char target[4096];
	ssize_t n = readlink(path, target, sizeof(target) - 1);

	if (n < 0)
		return NULL;
	target[n] = '\0';
	return escape(target);
}

char *program_of(int32_t tid)
{
	char path[64], *name;

	snprintf(path, sizeof(path), "/proc/%" PRId32 "/exe", tid);
	name = read_link(path);
	return name ? name : strdup("?");
}

void describe_file(int fd, struct trace_event *event)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%" PRId32 "/fd/%d", event->tid, fd);
	if (stat(path, &st) != 0)
		return;
	event->fd = fd;
	event->device = st.st_dev;
	event->inode = st.st_ino;
	event->length = (uint64_t)st.st_size;
	event->name = read_link(path);
}

uint64_t clone_flags(int32_t tid)
{
	struct user_regs_struct regs;
	uint64_t flags = 0;
	struct iovec local = { &flags, sizeof(flags) };
	struct iovec remote = { NULL, sizeof(flags) };

	if (ptrace(PTRACE_GETREGS, tid, NULL, &regs) != 0)
		return 0;
	switch (regs.orig_rax) {
	case SYS_clone:
		return regs.rdi & ~(uint64_t)0xff; /* without the signal */
	case SYS_vfork:
		return TRACE_CLONE_VM | TRACE_CLONE_VFORK;
	case SYS_clone3:
		remote.iov_base = (void *)(uintptr_t)regs.rdi;
		return process_vm_readv(tid, &local, 1, &remote, 1, 0) == sizeof(flags) ? flags : 0;
	default:
		return 0;
	}
}
