/* SPDX-License-Identifier: MIT */
/* An address space as processes have it: counted, since vfork shares it. */
#ifndef KERNEL_SPACE_H
#define KERNEL_SPACE_H

#include "arch/cpu.h"
#include "lib/print.h"

#include <quire/x86_64.h>
#include <stdatomic.h>

#define SPACE_START 0x10000ull /* nothing is mapped below, so that NULL faults */
/* Mappings are placed below; above lie the stack and room for it to grow. */
#define SPACE_MMAP_TOP (USER_END - (129ull << 20))

struct file;

struct space {
	struct quire_mm *mm;
	struct file *program; /* what runs in it, which nobody may write (fs/fs.h); NULL: nothing */
	_Atomic uint32_t references;
	/* What /proc/self/stat and prctl may ask; constant after exec. */
	uint64_t code_start, code_end, brk_start, stack_top, arguments, environment,
		environment_end;
};

/* How spaces are made from now on: set from the command line at boot. */
extern enum quire_mode space_mode;
extern bool space_speculation;

/* Empty; the heap begins at brk_start, page-aligned. NULL: no memory. */
struct space *space_create(uint64_t brk_start);
struct space *space_fork(struct space *space); /* NULL: no memory */
void space_get(struct space *space);
/* The last one unmaps and frees. May sleep. => no CPU runs it, if it is the last */
void space_put(struct space *space);

/* Files of /proc: maps and statm of a process; meminfo, quire/faults, quire/events. */
void space_print_maps(struct space *space, struct text *out);
void space_print_statm(struct space *space, struct text *out);
void memory_print_meminfo(struct text *out);
void memory_print_faults(struct text *out);
void memory_print_events(struct text *out);

#endif
