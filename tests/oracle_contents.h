/* SPDX-License-Identifier: MIT */
/*
 * Files that exist twice, with equal contents: Linux has one copy, Quire the other.
 *
 *     Linux   DIR/linux-file-N, or a memfd                   ◄── mmap, pwrite, ftruncate
 *     Quire   DIR/quire-file-N ◄── store ◄── object          ◄── quire_mmap_object, ...
 *                              or shared memory
 *
 * Each is open twice as well: for reading and writing, and for reading only. Of Linux's copy its
 * page cache is compared; of Quire's the mappings and, after a sync, what the host has.
 */
#ifndef QUIRE_TESTS_ORACLE_CONTENTS_H
#define QUIRE_TESTS_ORACLE_CONTENTS_H

#include "oracle_access.h"

#include <fcntl.h>
#include <quire/posix.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define CONTENTS 5
#define CONTENT_PAGES 24 /* files have up to so many */

struct content {
	struct quire_object *object;
	int linux_file, linux_read_only;
	int stored; /* Quire's copy, as the host has it; -1: memory */
};

static struct content contents[CONTENTS];
static char contents_directory[200];

/* The index in oracle_files: 0 is no file. */
static inline unsigned content_open(unsigned content, bool writable)
{
	return 1 + 2 * content + !writable;
}

static inline const char *content_path(const char *side, unsigned number)
{
	static _Thread_local char path[300];

	snprintf(path, sizeof(path), "%s/%s-file-%u", contents_directory, side, number);
	return path;
}

static inline void content_create_files(struct content *content, unsigned number)
{
	int flags = O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC;

	content->linux_file = open(content_path("linux", number), flags, 0600);
	content->linux_read_only = open(content_path("linux", number), O_RDONLY | O_CLOEXEC);
	content->stored = open(content_path("quire", number), flags, 0600);
}

static inline void content_create_memory(struct content *content, unsigned number)
{
	char name[32];

	snprintf(name, sizeof(name), "file-%u", number);
	content->linux_file = memfd_create(name, MFD_CLOEXEC);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", content->linux_file);
	content->linux_read_only = open(name, O_RDONLY | O_CLOEXEC);
	content->stored = -1;
}

static inline int content_object(struct content *content, unsigned number, uint64_t size)
{
	char name[32];
	struct quire_object_config config = { .name = name };

	if (content->stored >= 0)
		return quire_posix_open(content_path("quire", number), true, &content->object);
	snprintf(name, sizeof(name), "/memfd:file-%u (deleted)", number);
	return quire_shared_create(size, &config, &content->object);
}

/* Files or memory, of these bytes, on both sides. False: something can't be had. */
static inline bool content_create(unsigned number, bool memory, const void *bytes, uint64_t size)
{
	struct content *content = &contents[number];

	if (memory)
		content_create_memory(content, number);
	else
		content_create_files(content, number);
	if (pwrite(content->linux_file, bytes, size, 0) != (ssize_t)size ||
	    content->linux_read_only < 0)
		return false;
	if (!memory && pwrite(content->stored, bytes, size, 0) != (ssize_t)size)
		return false;
	if (content_object(content, number, size) != 0)
		return false;
	if (!memory) {
		unlink(content_path("linux", number));
		unlink(content_path("quire", number));
	}
	if (memory && quire_object_write(content->object, 0, bytes, size) != (int64_t)size)
		return false;
	oracle_files[content_open(number, true)] =
		(struct oracle_file){ content->linux_file, content->object,
				      QUIRE_PROT_READ | QUIRE_PROT_WRITE | QUIRE_PROT_EXEC };
	oracle_files[content_open(number, false)] = (struct oracle_file){
		content->linux_read_only, content->object, QUIRE_PROT_READ | QUIRE_PROT_EXEC
	};
	return true;
}

/* The object is given back; mappings may still have it. What it is stored in can be looked at. */
static inline void content_put(unsigned number)
{
	quire_object_put(contents[number].object);
	contents[number].object = NULL;
}

static inline void content_close(unsigned number)
{
	close(contents[number].linux_file);
	close(contents[number].linux_read_only);
	if (contents[number].stored >= 0)
		close(contents[number].stored);
}

static inline uint64_t stored_size(int file)
{
	struct stat stat;

	if (fstat(file, &stat))
		abort();
	return (uint64_t)stat.st_size;
}

static inline uint64_t content_size(unsigned number)
{
	return stored_size(contents[number].linux_file);
}

/*
 * Compare what the host has of this range of both copies. Returns CONTENT_SAME, or the first offset
 * that differs.
 */
#define CONTENT_SAME UINT64_MAX
static inline uint64_t content_compare(unsigned number, uint64_t offset, uint64_t end)
{
	const struct content *content = &contents[number];
	unsigned char l[PAGE], q[PAGE];

	while (offset < end) {
		uint64_t want = end - offset < PAGE ? end - offset : PAGE;
		ssize_t have_l = pread(content->linux_file, l, want, (off_t)offset);
		ssize_t have_q = pread(content->stored, q, want, (off_t)offset);

		for (ssize_t i = 0; i < have_l || i < have_q; i++)
			if (i >= have_l || i >= have_q || l[i] != q[i])
				return offset + (uint64_t)i;
		if (have_l < (ssize_t)want)
			break;
		offset += want;
	}
	return CONTENT_SAME;
}

/* A directory of the test's own; files in it are unlinked as soon as they are open. */
static inline bool contents_begin(void)
{
	const char *temporary = getenv("TMPDIR");

	snprintf(contents_directory, sizeof(contents_directory), "%s/quire-contents-XXXXXX",
		 temporary ? temporary : "/tmp");
	return mkdtemp(contents_directory) != NULL;
}

/* Files there can be mapped to be executed, as memory always can. */
static inline bool contents_executable(void)
{
	struct statvfs stat;

	return statvfs(contents_directory, &stat) == 0 && !(stat.f_flag & ST_NOEXEC);
}

static inline void contents_end(void)
{
	rmdir(contents_directory);
}

#endif
