/* SPDX-License-Identifier: MIT */
/* What programs ask of the system and of themselves: uname(2), sysinfo, prctl, personality. */
#include "calls/calls.h"
#include "lib/string.h"
#include "main.h"
#include "memory/user.h"
#include "task/task.h"

enum {
	PR_SET_PDEATHSIG = 1,
	PR_GET_PDEATHSIG = 2,
	PR_GET_DUMPABLE = 3,
	PR_SET_DUMPABLE = 4,
	PR_GET_KEEPCAPS = 7,
	PR_SET_KEEPCAPS = 8,
	PR_SET_NAME = 15,
	PR_GET_NAME = 16,
	PR_GET_SECCOMP = 21,
	PR_CAPBSET_READ = 23,
	PR_SET_TIMERSLACK = 29,
	PR_GET_TIMERSLACK = 30,
	PR_SET_NO_NEW_PRIVS = 38,
	PR_GET_NO_NEW_PRIVS = 39,
};

struct utsname {
	char system[65], node[65], release[65], version[65], machine[65], domain[65];
};

int64_t call_uname(struct registers *regs)
{
	static const struct utsname name = {
		SYSTEM_NAME, SYSTEM_NODE, SYSTEM_RELEASE, SYSTEM_VERSION, "x86_64", "(none)",
	};

	return user_write(ARG(regs, 0), &name, sizeof(name));
}

struct sysinfo {
	int64_t uptime;
	uint64_t loads[3];
	uint64_t total_ram, free_ram, shared_ram, buffer_ram, total_swap, free_swap;
	uint16_t processes, pad;
	uint64_t total_high, free_high;
	uint32_t unit;
};

int64_t call_sysinfo(struct registers *regs)
{
	struct quire_memory_stats memory;
	struct sysinfo info;
	int last;

	quire_memory_stats(&memory);
	memset(&info, 0, sizeof(info));
	info.uptime = (int64_t)(time_now() / SECOND);
	/* No averages: what runs now. In 1/65536. */
	info.loads[0] = info.loads[1] = info.loads[2] = (uint64_t)sched_runnable() << 16;
	info.total_ram = memory.total * QUIRE_PAGE_SIZE;
	info.free_ram = memory.free * QUIRE_PAGE_SIZE;
	info.processes = (uint16_t)MIN(task_count(&last), (unsigned)UINT16_MAX);
	info.unit = 1;
	return user_write(ARG(regs, 0), &info, sizeof(info));
}

static int set_name(uint64_t from)
{
	struct task *task = current_task();
	char name[sizeof(task->name)];
	int64_t length = user_string(name, from, sizeof(name));

	if (length == -EFAULT)
		return -EFAULT;
	name[sizeof(name) - 1] = 0;
	memset(task->name, 0, sizeof(task->name));
	strlcpy(task->name, name, sizeof(task->name));
	return 0;
}

static int no_change(uint64_t given, uint64_t is)
{
	return given == is ? 0 : -EINVAL;
}

/*
 * What would have no effect here is accepted only where doing nothing is right: there are no dumps,
 * no users to change to, and timers are as exact as they can be.
 */
int64_t call_prctl(struct registers *regs)
{
	uint64_t value = ARG(regs, 1);

	switch ((int)ARG(regs, 0)) {
	case PR_SET_NAME:
		return set_name(value);
	case PR_GET_NAME:
		return user_write(value, current_task()->name, sizeof(current_task()->name));
	case PR_SET_DUMPABLE:
	case PR_SET_KEEPCAPS:
		return value > 1 ? -EINVAL : 0;
	case PR_SET_TIMERSLACK:
		return 0;
	case PR_SET_NO_NEW_PRIVS:
		return no_change(value, 1);
	case PR_GET_TIMERSLACK:
		return 1;
	case PR_GET_DUMPABLE:
		return 1;
	case PR_GET_KEEPCAPS:
	case PR_GET_SECCOMP:
	case PR_GET_NO_NEW_PRIVS:
		return 0;
	case PR_CAPBSET_READ:
		return value <= 40 ? 1 : -EINVAL;
	case PR_SET_PDEATHSIG:
		return no_change(value, 0);
	case PR_GET_PDEATHSIG: {
		int none = 0;

		return user_write(value, &none, sizeof(none));
	}
	default:
		return -EINVAL;
	}
}

/* Linux's own, and nothing else; 0xffffffff asks. ADDR_NO_RANDOMIZE is how it is anyway. */
int64_t call_personality(struct registers *regs)
{
	uint32_t wanted = (uint32_t)ARG(regs, 0);

	return wanted == UINT32_MAX || (wanted & ~0x0040000u) == 0 ? 0 : -EINVAL;
}
