/* SPDX-License-Identifier: MIT */
/* Files of /proc and /sys about the whole machine. */
#include "fs/proc.h"
#include "fs/special.h"
#include "fs/tree.h"

#include "arch/cpu.h"
#include "main.h"
#include "memory/space.h"
#include "task/clock.h"
#include "task/random.h"

#define TICK (SECOND / USER_HZ)

static int print_meminfo(struct inode *inode, struct text *out)
{
	(void)inode;
	memory_print_meminfo(out);
	return 0;
}

static int print_faults(struct inode *inode, struct text *out)
{
	(void)inode;
	memory_print_faults(out);
	return 0;
}

static int print_events(struct inode *inode, struct text *out)
{
	(void)inode;
	memory_print_events(out);
	return 0;
}

/* What every CPU has that this kernel starts on. */
static const char features[] =
	"fpu tsc msr pae cx8 apic sep pge cmov pat clflush mmx fxsr sse sse2 "
	"syscall nx lm constant_tsc cpuid xsave";

static int print_cpuinfo(struct inode *inode, struct text *out)
{
	(void)inode;
	for (unsigned i = 0; i < cpu_count; i++) {
		text_add(out, "processor\t: %u\nvendor_id\t: %s\nmodel name\t: %s\n", i,
			 cpu_features.vendor, cpu_features.vendor);
		text_add(out, "cpu MHz\t\t: %lu.%03lu\nphysical id\t: %u\nsiblings\t: 1\n",
			 tsc_hz / 1000000, tsc_hz / 1000 % 1000, i);
		text_add(out, "core id\t\t: 0\ncpu cores\t: 1\napicid\t\t: %u\n", cpus[i].apic_id);
		text_add(out, "flags\t\t: %s%s%s%s\n", features,
			 cpu_features.fsgsbase ? " fsgsbase" : "",
			 cpu_features.pku ? " pku ospke" : "", cpu_features.la57 ? " la57" : "");
		text_add(out, "address sizes\t: 48 bits physical, %u bits virtual\n\n",
			 cpu_features.la57 ? 57 : 48);
	}
	return 0;
}

static int print_stat(struct inode *inode, struct text *out)
{
	uint64_t interrupts = 0, ticks = 0, total = time_now() / TICK;
	int last;

	(void)inode;
	for (unsigned i = 0; i < cpu_count; i++) {
		interrupts += cpus[i].interrupts;
		ticks += cpus[i].ticks;
	}
	text_add(out, "cpu  %lu 0 0 %lu 0 0 0 0 0 0\n", ticks,
		 total * cpu_count > ticks ? total * cpu_count - ticks : 0);
	for (unsigned i = 0; i < cpu_count; i++)
		text_add(out, "cpu%u %lu 0 0 %lu 0 0 0 0 0 0\n", i, cpus[i].ticks,
			 total > cpus[i].ticks ? total - cpus[i].ticks : 0);
	task_count(&last);
	text_add(out, "intr %lu\nbtime %lu\nprocesses %d\nprocs_running %u\nprocs_blocked 0\n",
		 interrupts, time_at_boot / SECOND, last, sched_runnable());
	return 0;
}

static int print_uptime(struct inode *inode, struct text *out)
{
	uint64_t now = time_now(), idle = now * cpu_count;

	(void)inode;
	for (unsigned i = 0; i < cpu_count; i++)
		idle -= MIN(idle, cpus[i].ticks * TICK);
	text_add(out, "%lu.%02lu %lu.%02lu\n", now / SECOND, now / TICK % 100, idle / SECOND,
		 idle / TICK % 100);
	return 0;
}

/* No averages: what runs now. */
static int print_loadavg(struct inode *inode, struct text *out)
{
	unsigned running = sched_runnable(), count;
	int last;

	(void)inode;
	count = task_count(&last);
	text_add(out, "%u.00 %u.00 %u.00 %u/%u %d\n", running, running, running, running, count,
		 last);
	return 0;
}

static int print_version(struct inode *inode, struct text *out)
{
	(void)inode;
	text_add(out,
		 SYSTEM_NAME " version " SYSTEM_RELEASE " (" SYSTEM_NODE ") " SYSTEM_VERSION "\n");
	return 0;
}

static int print_filesystems(struct inode *inode, struct text *out)
{
	(void)inode;
	text_add(out, "nodev\tproc\nnodev\ttmpfs\n");
	return 0;
}

/* A line that never changes: which one the inode's private_data says. */
static int print_constant(struct inode *inode, struct text *out)
{
	text_add(out, "%s\n", (const char *)inode->private_data);
	return 0;
}

static const char *const constants[][2] = {
	{ "/proc/sys/vm/overcommit_memory", "1" },
	{ "/proc/sys/vm/max_map_count", "65530" },
	{ "/proc/sys/vm/mmap_min_addr", "65536" },
	{ "/proc/sys/kernel/ostype", SYSTEM_NAME },
	{ "/proc/sys/kernel/osrelease", SYSTEM_RELEASE },
	{ "/proc/sys/kernel/version", SYSTEM_VERSION },
	{ "/proc/sys/kernel/hostname", SYSTEM_NODE },
	{ "/proc/sys/kernel/pid_max", "4194304" },
	{ "/proc/sys/kernel/threads-max", "4194304" },
	{ "/proc/sys/kernel/cap_last_cap", "40" },
	{ "/proc/sys/kernel/randomize_va_space", "0" },
	{ "/proc/sys/kernel/ngroups_max", "65536" },
	{ "/proc/sys/fs/file-max", "65536" },
	{ "/proc/sys/fs/nr_open", "65536" },
	{ "/proc/sys/fs/pipe-max-size", "1048576" },
	{ "/proc/cmdline", "quire" },
	{ "/proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority" },
};

static int print_uuid(struct inode *inode, struct text *out)
{
	uint8_t b[16];

	(void)inode;
	random_bytes(b, sizeof(b));
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	for (unsigned i = 0; i < sizeof(b); i++)
		text_add(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
	text_add(out, "\n");
	return 0;
}

static int print_cpu_list(struct inode *inode, struct text *out)
{
	(void)inode;
	text_add(out, cpu_count > 1 ? "0-%u\n" : "%u\n", cpu_count - 1);
	return 0;
}

static void add_constant(const char *path, const char *line)
{
	struct inode *inode = inode_create(S_IFREG | 0444);

	if (inode) {
		inode->print = print_constant;
		inode->ops = &text_file_ops;
		inode->private_data = (void *)(uintptr_t)line;
	}
	(void)fs_place(path, inode);
}

static void add_cpus(void)
{
	static const char *const lists[] = { "online", "possible", "present" };
	char path[64];

	for (unsigned i = 0; i < ARRAY_SIZE(lists); i++) {
		format(path, sizeof(path), "/sys/devices/system/cpu/%s", lists[i]);
		proc_add(path, print_cpu_list);
	}
	for (unsigned i = 0; i < cpu_count; i++) {
		format(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/topology/core_id", i);
		add_constant(path, "0");
	}
}

void sys_init(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(constants); i++)
		add_constant(constants[i][0], constants[i][1]);
	(void)fs_place("/proc/mounts", inode_create_link("self/mounts"));
	proc_add("/proc/sys/kernel/random/uuid", print_uuid);
	proc_add("/proc/cpuinfo", print_cpuinfo);
	proc_add("/proc/filesystems", print_filesystems);
	proc_add("/proc/loadavg", print_loadavg);
	proc_add("/proc/meminfo", print_meminfo);
	proc_add("/proc/quire/events", print_events);
	proc_add("/proc/quire/faults", print_faults);
	proc_add("/proc/stat", print_stat);
	proc_add("/proc/uptime", print_uptime);
	proc_add("/proc/version", print_version);
	add_cpus();
}
