/* SPDX-License-Identifier: MIT */
/* Users and groups: all are root (0), and nobody can become anything else. */
#include "calls/calls.h"
#include "lib/string.h"
#include "memory/user.h"
#include "task/task.h"

#define UNCHANGED UINT32_MAX

int64_t call_getuid(struct registers *regs)
{
	(void)regs;
	return 0;
}

int64_t call_geteuid(struct registers *regs)
{
	return call_getuid(regs);
}

int64_t call_getgid(struct registers *regs)
{
	return call_getuid(regs);
}

int64_t call_getegid(struct registers *regs)
{
	return call_getuid(regs);
}

static int64_t three_zeroes(struct registers *regs)
{
	uint32_t zero = 0;

	for (unsigned i = 0; i < 3; i++)
		if (user_write(ARG(regs, i), &zero, sizeof(zero)))
			return -EFAULT;
	return 0;
}

int64_t call_getresuid(struct registers *regs)
{
	return three_zeroes(regs);
}

int64_t call_getresgid(struct registers *regs)
{
	return three_zeroes(regs);
}

/* The first `count` arguments are ids that are to be set. */
static int64_t set_ids(struct registers *regs, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint32_t id = (uint32_t)ARG(regs, i);

		if (id == UNCHANGED && count == 1)
			return -EINVAL;
		if (id != 0 && id != UNCHANGED)
			return -EPERM;
	}
	return 0;
}

int64_t call_setuid(struct registers *regs)
{
	return set_ids(regs, 1);
}

int64_t call_setgid(struct registers *regs)
{
	return set_ids(regs, 1);
}

int64_t call_setreuid(struct registers *regs)
{
	return set_ids(regs, 2);
}

int64_t call_setregid(struct registers *regs)
{
	return set_ids(regs, 2);
}

int64_t call_setresuid(struct registers *regs)
{
	return set_ids(regs, 3);
}

int64_t call_setresgid(struct registers *regs)
{
	return set_ids(regs, 3);
}

/* setfsuid(2) reports no errors: it returns what the id was. */
int64_t call_setfsuid(struct registers *regs)
{
	return call_getuid(regs);
}

int64_t call_setfsgid(struct registers *regs)
{
	return call_getuid(regs);
}

int64_t call_getgroups(struct registers *regs)
{
	return (int)ARG(regs, 0) < 0 ? -EINVAL : 0;
}

int64_t call_setgroups(struct registers *regs)
{
	return ARG(regs, 0) == 0 ? 0 : -EPERM;
}

/* --- capabilities(7): all of them, in the format of version 3 --- */

#define CAPABILITY_VERSION 0x20080522u
#define CAPABILITIES ((1ull << 41) - 1)

struct capability_header {
	uint32_t version;
	int32_t pid;
};

static int read_header(uint64_t from, struct capability_header *header)
{
	uint32_t version = CAPABILITY_VERSION;

	if (user_read(header, from, sizeof(*header)))
		return -EFAULT;
	if (header->version == CAPABILITY_VERSION)
		return header->pid < 0 ? -EINVAL : 0;
	return user_write(from, &version, sizeof(version)) ? -EFAULT : -EINVAL;
}

int64_t call_capget(struct registers *regs)
{
	uint32_t low = (uint32_t)CAPABILITIES, high = (uint32_t)(CAPABILITIES >> 32);
	uint32_t data[6] = { low, low, 0, high, high, 0 };
	struct capability_header header;
	int error = read_header(ARG(regs, 0), &header);

	/* Without data it asks for the version. */
	if (!ARG(regs, 1) && error == -EINVAL)
		return 0;
	if (error || !ARG(regs, 1))
		return error;
	return user_write(ARG(regs, 1), data, sizeof(data));
}

/* May not add any; giving up some has no effect, since nothing here asks for them. */
int64_t call_capset(struct registers *regs)
{
	struct capability_header header;
	uint32_t data[6];
	int error = read_header(ARG(regs, 0), &header);

	if (error)
		return error;
	if (user_read(data, ARG(regs, 1), sizeof(data)))
		return -EFAULT;
	return header.pid && header.pid != current_process()->pid ? -EPERM : 0;
}
