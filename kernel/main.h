/* SPDX-License-Identifier: MIT */
/*
 * The machine from start to end.
 *
 *     arch/boot.S ──► kernel_start(PVH start info)      boot CPU: memory, CPU, Quire, scheduler
 *                        └─► smp_start ──► kernel_secondary on each other CPU
 *                        └─► a kernel thread: fs_init, fs_unpack(initrd), process_start_first
 *     the first process ends ──► machine_finish(status)
 *
 * The archive names what to run: /.quire/argv and /.quire/environment, strings that end with NUL
 * each. Options come on the command line of the kernel, separated by blanks; an unknown one is
 * named on the console and has no effect:
 *
 *     mode=speculative|vma-lock|classic   how the spaces' faults go (speculative)
 *     speculation=on|off                  the run-time switch (on)
 *     levels=4|5                          of page tables (4); a CPU that has no 5 gets 4, and a
 *                                         line says so
 *     stats                               /proc/quire/faults to the report channel at the end
 *     validate                            quire_validate at the end, when all processes are gone:
 *                                         reports "validate ok", or what is wrong; then status 254
 */
#ifndef KERNEL_MAIN_H
#define KERNEL_MAIN_H

#include <quire/types.h>

/* What uname(2) and /proc say. The release is of a Linux whose calls are as they are here. */
#define SYSTEM_NAME "Linux"
#define SYSTEM_NODE "quire"
#define SYSTEM_RELEASE "6.1.0-quire"
#define SYSTEM_VERSION "#1 SMP Quire"

struct options {
	enum quire_mode mode;
	bool speculation, stats, validate;
	unsigned levels;
};
extern struct options options;

_Noreturn void kernel_start(uint64_t start_info);
_Noreturn void kernel_secondary(void);
/* In task/process.c: makes process 1 out of the calling kernel thread and enters the program. */
_Noreturn void process_start_first(char *const *arguments, char *const *environment);
/*
 * Called by the last thread of process 1 (task/process.c), in a kernel context that owns no space
 * any more, when all other processes have been killed and are gone. `status` is an exit code (128 +
 * signal).
 */
_Noreturn void machine_finish(int status);

#endif
