/* SPDX-License-Identifier: MIT */
/* Which calls a recorded program is stopped at, and the seccomp filter that does it. */
#define _GNU_SOURCE
#include "record.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

const int record_calls[] = {
	SYS_mmap,   SYS_munmap, SYS_mprotect, SYS_pkey_mprotect, SYS_madvise, SYS_brk,
	SYS_mremap, SYS_mlock,	SYS_mlock2,   SYS_munlock,	 SYS_msync,
};
const size_t record_call_count = sizeof(record_calls) / sizeof(*record_calls);

/* Calls that may give a file another size: their first argument is its descriptor. */
static const int resizing_calls[] = { SYS_ftruncate, SYS_fallocate };

static const int unrecorded_calls[] = {
	SYS_mlockall, SYS_munlockall, SYS_remap_file_pages, SYS_shmat,
	SYS_shmdt,    SYS_io_setup,   SYS_process_madvise,  462 /* mseal */,
};
struct unrecorded calls_unrecorded[] = {
	{ "mlockall", 0 },	  { "munlockall", 0 }, { "remap_file_pages", 0 },
	{ "shmat", 0 },		  { "shmdt", 0 },      { "io_setup", 0 },
	{ "process_madvise", 0 }, { "mseal", 0 },      { NULL, 0 },
};

enum {
	RESIZING_COUNT = sizeof(resizing_calls) / sizeof(*resizing_calls),
	UNRECORDED_COUNT = sizeof(unrecorded_calls) / sizeof(*unrecorded_calls),
};

/* All calls that the filter stops at, one after the other. */
static int filtered(unsigned i)
{
	if (i < record_call_count)
		return record_calls[i];
	i -= (unsigned)record_call_count;
	return i < RESIZING_COUNT ? resizing_calls[i] : unrecorded_calls[i - RESIZING_COUNT];
}

bool calls_filter(void)
{
	enum {
		CALLS = sizeof(record_calls) / sizeof(*record_calls),
		ALL = CALLS + RESIZING_COUNT + UNRECORDED_COUNT,
		HEAD = 4,
		TAIL = 5,
	};
	struct sock_filter code[HEAD + ALL + TAIL] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	static const struct sock_filter tail[TAIL] = {
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 2),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_UNTRACED, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
	};
	struct sock_fprog program = { .len = HEAD + ALL + TAIL, .filter = code };

	for (unsigned i = 0; i < ALL; i++) {
		int nr = filtered(i);

		code[HEAD + i] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, (unsigned)nr,
			(unsigned char)(ALL - 1 - i + TAIL - 1), 0);
	}
	memcpy(code + HEAD + ALL, tail, sizeof(tail));
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0)
		return true;
	if (errno != EACCES || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return false;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

bool calls_resize(int nr)
{
	for (unsigned i = 0; i < RESIZING_COUNT; i++)
		if (resizing_calls[i] == nr)
			return true;
	return false;
}

void calls_count(int nr)
{
	for (unsigned i = 0; i < UNRECORDED_COUNT; i++)
		if (unrecorded_calls[i] == nr)
			calls_unrecorded[i].count++;
}
