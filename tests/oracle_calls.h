/* SPDX-License-Identifier: MIT */
/*
 * Linux as the oracle: a call is made by the kernel in this process, and by Quire in a space, at
 * the same addresses; whatever differs is a finding.
 *
 *     ... free ...  [ margin |          arena          | margin ]  ... free ...
 *                   WINDOW   ARENA     ▲               ARENA_END   WINDOW_END
 *                                      the boundary of top-level tables
 *
 * Calls act on the arena, may reach into the margins, and are compared in the window. Whatever is
 * put "somewhere" lands outside the window on both sides.
 *
 * Quire does as Linux 6.17 and later; some corners of mremap were different before. An older kernel
 * is not asked.
 */
#ifndef QUIRE_TESTS_ORACLE_CALLS_H
#define QUIRE_TESTS_ORACLE_CALLS_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <cmocka.h>

#include <quire/soft.h>

#define PAGE 4096ull
#define ARENA_PAGES 64
#define ARENA (0x200000000000ull - ARENA_PAGES / 2 * PAGE)
#define ARENA_END (ARENA + ARENA_PAGES * PAGE)
#define WINDOW (ARENA - 128 * PAGE)
#define WINDOW_END (ARENA_END + 128 * PAGE)

enum oracle_number {
	CALL_MMAP,
	CALL_MUNMAP,
	CALL_MPROTECT,
	CALL_PKEY_MPROTECT,
	CALL_MREMAP,
	CALL_MADVISE,
	CALL_MLOCK,
	CALL_MLOCK2,
	CALL_MUNLOCK,
	CALL_MLOCKALL,
	CALL_MUNLOCKALL,
	CALL_MINCORE,
	CALL_MSYNC,
	CALL_COUNT,
};

struct oracle_call {
	enum oracle_number number;
	uint64_t a[6]; /* mmap: a[4] is the file, an index of oracle_files or 0; a[5] the offset */
};

/* An open file, on either side: the same contents, open for the same. */
struct oracle_file {
	int linux_file;
	struct quire_object *object;
	int max_prot;
};

#define ORACLE_FILES 16
static struct oracle_file oracle_files[ORACLE_FILES];

static const struct {
	const char *name;
	long number;
	unsigned arguments;
} oracle_calls[CALL_COUNT] = {
	[CALL_MMAP] = { "mmap", SYS_mmap, 6 },
	[CALL_MUNMAP] = { "munmap", SYS_munmap, 2 },
	[CALL_MPROTECT] = { "mprotect", SYS_mprotect, 3 },
	[CALL_PKEY_MPROTECT] = { "pkey_mprotect", SYS_pkey_mprotect, 4 },
	[CALL_MREMAP] = { "mremap", SYS_mremap, 5 },
	[CALL_MADVISE] = { "madvise", SYS_madvise, 3 },
	[CALL_MLOCK] = { "mlock", SYS_mlock, 2 },
	[CALL_MLOCK2] = { "mlock2", SYS_mlock2, 3 },
	[CALL_MUNLOCK] = { "munlock", SYS_munlock, 2 },
	[CALL_MLOCKALL] = { "mlockall", SYS_mlockall, 1 },
	[CALL_MUNLOCKALL] = { "munlockall", SYS_munlockall, 0 },
	[CALL_MINCORE] = { "mincore", SYS_mincore, 2 },
	[CALL_MSYNC] = { "msync", SYS_msync, 3 },
};

/* What mincore wrote, on either side. */
static _Thread_local unsigned char linux_vector[2 * 512], quire_vector[2 * 512];

/* An address, 0, or a negative error, as the system call itself returns it. */
static inline int64_t linux_call(const struct oracle_call *call)
{
	const uint64_t *c = call->a;
	uint64_t a[6] = { c[0], c[1], c[2], c[3], c[4], c[5] };
	long result;

	if (call->number == CALL_MMAP)
		a[4] = a[4] ? (uint64_t)oracle_files[a[4]].linux_file : UINT64_MAX;
	if (call->number == CALL_MINCORE)
		a[2] = (uintptr_t)linux_vector;
	result = syscall(oracle_calls[call->number].number, a[0], a[1], a[2], a[3], a[4], a[5]);
	return result == -1 ? -errno : result;
}

static inline int64_t quire_call_mmap(struct quire_mm *mm, const uint64_t *a)
{
	const struct oracle_file *file = &oracle_files[a[4]];

	if (!a[4])
		return quire_mmap(mm, a[0], a[1], (int)a[2], (int)a[3]);
	return quire_mmap_object(mm, a[0], a[1], (int)a[2], (int)a[3], file->object, a[5],
				 file->max_prot);
}

static inline int64_t quire_call(struct quire_mm *mm, const struct oracle_call *call)
{
	const uint64_t *a = call->a;

	switch (call->number) {
	case CALL_MMAP:
		return quire_call_mmap(mm, a);
	case CALL_MUNMAP:
		return quire_munmap(mm, a[0], a[1]);
	case CALL_MPROTECT:
		return quire_mprotect(mm, a[0], a[1], (int)a[2]);
	case CALL_PKEY_MPROTECT:
		return quire_pkey_mprotect(mm, a[0], a[1], (int)a[2], (int)a[3]);
	case CALL_MREMAP:
		return quire_mremap(mm, a[0], a[1], a[2], (int)a[3], a[4]);
	case CALL_MADVISE:
		return quire_madvise(mm, a[0], a[1], (int)a[2]);
	case CALL_MLOCK:
		return quire_mlock(mm, a[0], a[1]);
	case CALL_MLOCK2:
		return quire_mlock2(mm, a[0], a[1], (int)a[2]);
	case CALL_MUNLOCK:
		return quire_munlock(mm, a[0], a[1]);
	case CALL_MLOCKALL:
		return quire_mlockall(mm, (int)a[0]);
	case CALL_MUNLOCKALL:
		return quire_munlockall(mm);
	case CALL_MINCORE:
		return quire_mincore(mm, a[0], a[1], quire_vector);
	case CALL_MSYNC:
		return quire_msync(mm, a[0], a[1], (int)a[2]);
	default:
		abort();
	}
}

/* The call as text; addresses in the arena as its pages. */
static inline const char *oracle_text(const struct oracle_call *call)
{
	static _Thread_local char text[160];
	int at = snprintf(text, sizeof(text), "%s(", oracle_calls[call->number].name);

	for (unsigned i = 0; i < oracle_calls[call->number].arguments; i++) {
		uint64_t a = call->a[i];
		size_t room = sizeof(text) - (size_t)at;

		if (a >= WINDOW && a <= WINDOW_END)
			at += snprintf(text + at, room, "%sarena%+lld", i ? ", " : "",
				       (long long)(a - ARENA) / (long long)PAGE);
		else
			at += snprintf(text + at, room, "%s%#llx", i ? ", " : "",
				       (unsigned long long)a);
		room = sizeof(text) - (size_t)at;
		if (a >= WINDOW && a <= WINDOW_END && a % PAGE)
			at += snprintf(text + at, room, ".%llu", (unsigned long long)(a % PAGE));
	}
	snprintf(text + at, sizeof(text) - (size_t)at, ")");
	return text;
}

/* Nothing in the window, on either side. mm may be NULL. */
static inline void oracle_clear(struct quire_mm *mm)
{
	struct oracle_call call = { CALL_MUNMAP, { WINDOW, WINDOW_END - WINDOW } };

	if (linux_call(&call) != 0 || (mm && quire_call(mm, &call) != 0))
		abort();
}

/* Is this a kernel to compare with? */
static inline bool oracle_speaks(void)
{
	unsigned major = 0, minor = 0;
	struct utsname name;

	if (uname(&name) || sscanf(name.release, "%u.%u", &major, &minor) != 2)
		return false;
	return major > 6 || (major == 6 && minor >= 17);
}

/* The kernel shows the arena in small pages, and nothing else of this process is there. */
static inline void oracle_begin(void)
{
	struct oracle_call call = { CALL_MMAP,
				    { WINDOW, WINDOW_END - WINDOW, PROT_NONE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE } };

	assert_int_equal(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
	assert_int_equal(linux_call(&call), WINDOW);
	oracle_clear(NULL);
}

/* How much this process may lock: its limit, unless it has the privilege to ignore it. */
static inline uint64_t oracle_lock_limit(void)
{
	struct oracle_call beyond = { CALL_MLOCK, { WINDOW, UINT64_MAX - (1 << 30) } };
	struct rlimit limit;

	if (linux_call(&beyond) != -ENOMEM || getrlimit(RLIMIT_MEMLOCK, &limit))
		return QUIRE_UNLIMITED;
	return limit.rlim_cur;
}

/* A space with Linux's bounds (four levels of tables), whose somewhere is not in the window. */
static inline struct quire_mm *oracle_space(enum quire_mode mode)
{
	struct quire_mm_config config = {
		.mode = mode,
		.start = PAGE,
		.end = 0x7ffffffff000,
		.mmap_top = WINDOW - (1ull << 30),
		.limits.locked = oracle_lock_limit(),
	};
	struct quire_mm *mm;

	assert_int_equal(quire_mm_create(&config, &mm), 0);
	return mm;
}

#endif
