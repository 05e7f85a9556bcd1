/* SPDX-License-Identifier: MIT */
/*
 * What a byte of Quire's is called: the field, or the object, that it belongs to at this moment.
 *
 *     of a CPU      soft_cpus, magazines, stocks, counters, grace_cpus: by where they begin
 *     a frame       by the kind in its descriptor: a table, a page, small objects of a cache
 *     else          a global: by its symbol
 */
#include "conflicts.h"
#include "frame/pool.h"
#include "frame/rmap.h"
#include "frame/slab.h"
#include "soft.h"
#include "space/machine.h"
#include "space/mm.h"
#include "space/tree_node.h"
#include <string.h>
#include <unistd.h>

extern const char __executable_start; /* by the linker */

struct field {
	const char *name;
	size_t offset, size;
};

#define FIELD(type, field)                                                                         \
	{                                                                                          \
#field, offsetof(struct type, field), sizeof(((struct type *)0)->field)            \
	}

static const struct field mm_fields[] = {
	FIELD(quire_mm, id),	      FIELD(quire_mm, mode),	  FIELD(quire_mm, speculation),
	FIELD(quire_mm, start),	      FIELD(quire_mm, end),	  FIELD(quire_mm, stack_gap),
	FIELD(quire_mm, tables),      FIELD(quire_mm, tree),	  FIELD(quire_mm, tree_lock),
	FIELD(quire_mm, vmas),	      FIELD(quire_mm, mapped),	  FIELD(quire_mm, locked),
	FIELD(quire_mm, data),	      FIELD(quire_mm, brk_start), FIELD(quire_mm, brk),
	FIELD(quire_mm, mmap_top),    FIELD(quire_mm, limits),	  FIELD(quire_mm, gone),
	FIELD(quire_mm, lock_future), FIELD(quire_mm, keys),	  FIELD(quire_mm, ranges),
	FIELD(quire_mm, lock),	      FIELD(quire_mm, forking),	  FIELD(quire_mm, next),
	FIELD(quire_mm, prev),	      FIELD(quire_mm, sweeps),	  { 0 },
};
static const struct field vma_fields[] = {
	FIELD(vma, seq),      FIELD(vma, start),   FIELD(vma, end),
	FIELD(vma, flags),    FIELD(vma, key),	   FIELD(vma, mapping),
	FIELD(vma, deferred), FIELD(vma, readers), { 0 },
};
static const struct field mapping_fields[] = {
	FIELD(mapping, object),	 FIELD(mapping, origin),   FIELD(mapping, mm),
	FIELD(mapping, sweep),	 FIELD(mapping, busy),	   FIELD(mapping, vmas),
	FIELD(mapping, order),	 FIELD(mapping, start),	   FIELD(mapping, end),
	FIELD(mapping, next),	 FIELD(mapping, prev),	   FIELD(mapping, refs),
	FIELD(mapping, dropped), FIELD(mapping, deferred), { 0 },
};
static const struct field object_fields[] = {
	FIELD(quire_object, ops),
	FIELD(quire_object, caps),
	FIELD(quire_object, tracks),
	FIELD(quire_object, device),
	FIELD(quire_object, physical),
	FIELD(quire_object, size),
	FIELD(quire_object, cache.root),
	FIELD(quire_object, cache.limit),
	{ "shape", offsetof(struct quire_object, cache.lock), sizeof(struct spinlock) },
	FIELD(quire_object, private_data),
	FIELD(quire_object, refs),
	FIELD(quire_object, io),
	FIELD(quire_object, requests),
	FIELD(quire_object, lock),
	FIELD(quire_object, first),
	FIELD(quire_object, next),
	FIELD(quire_object, deferred),
	{ 0 },
};
static const struct field table_fields[] = {
	FIELD(frame, refs),
	FIELD(frame, kind),
	FIELD(frame, u.table.lock),
	FIELD(frame, u.table.level),
	FIELD(frame, u.table.dead),
	FIELD(frame, u.table.used),
	FIELD(frame, u.table.parent),
	FIELD(frame, u.table.tables),
	FIELD(frame, u.table.base),
	FIELD(frame, u.table.version),
	{ 0 },
};
/* What else is in the descriptor of a page has served as links of a list before. */
static const struct field page_fields[] = {
	FIELD(frame, refs),
	FIELD(frame, u.page.lock),
	{ 0 },
};
static const struct field object_page_fields[] = {
	FIELD(frame, refs),
	FIELD(frame, u.object.state),
	FIELD(frame, u.object.object),
	FIELD(frame, u.object.index),
	{ 0 },
};
static const struct field grace_fields[] = {
	FIELD(grace_cpu, seen),
	FIELD(grace_cpu, depth),
	FIELD(grace_cpu, online),
	FIELD(grace_cpu, era),
	{ 0 },
};
static const struct field no_fields[] = { { 0 } };

/* "object.field", the field without the path to it; or the object alone. */
static void put(char *name, const char *object, const struct field *fields, size_t offset)
{
	const char *last;

	snprintf(name, 64, "%s", object);
	for (; fields->name; fields++) {
		if (offset < fields->offset || offset >= fields->offset + fields->size)
			continue;
		last = strrchr(fields->name, '.');
		snprintf(name, 64, "%s.%s", object, last ? last + 1 : fields->name);
	}
}

/* Which element of the array holds the address; -1: none. */
static long element(uintptr_t address, const void *array, size_t size, size_t count)
{
	uintptr_t offset = address - (uintptr_t)array;

	return offset < size * count ? (long)(offset / size) : -1;
}

static bool name_cpu(char *name, uintptr_t address)
{
	const struct slab *const slabs[] = {
		&vma_slab,     &tree_slab,   &rmap_slab,  &mm_slab,
		&mapping_slab, &object_slab, &cache_slab, &pages_slab
	};
	const size_t mailbox = offsetof(struct soft_cpu, public.request);
	const unsigned cpus = machine_cpus();
	const char *what = NULL;
	long cpu;

	cpu = element(address, soft_cpus, sizeof(*soft_cpus), cpus);
	if (cpu >= 0) {
		size_t offset = address - (uintptr_t)&soft_cpus[cpu];

		what = offset < mailbox				      ? "counts"
		       : offset < offsetof(struct soft_cpu, answered) ? "mailbox"
								      : "answers";
	}
	for (unsigned i = 0; i < sizeof(slabs) / sizeof(slabs[0]) && !what; i++) {
		cpu = element(address, slabs[i]->magazines, sizeof(struct slab_magazine), cpus);
		if (cpu >= 0)
			what = "magazine";
	}
	if (!what) {
		cpu = element(address, stocks, sizeof(*stocks), cpus);
		if (cpu >= 0)
			what = "stock";
	}
	if (!what) {
		cpu = element(address, mm->tables.trace, sizeof(*mm->tables.trace), cpus);
		if (cpu >= 0)
			what = "counters";
	}
	if (!what) {
		cpu = element(address, grace_cpus, sizeof(*grace_cpus), cpus);
		if (cpu < 0)
			return false;
		put(name, "grace_cpu", grace_fields, address - (uintptr_t)&grace_cpus[cpu]);
		return true;
	}
	snprintf(name, 64, "%s of CPU %ld", what, cpu);
	return true;
}

static void name_small_object(char *name, const struct frame *frame, uintptr_t address)
{
	const struct slab *slab = frame->u.slab.slab;
	uintptr_t bytes = (uintptr_t)frame_bytes(frame);
	size_t offset = (address - bytes) % slab->size;
	uintptr_t object = address - offset;

	if (slab == &mm_slab) {
		put(name, (struct quire_mm *)object == mm ? "mm" : "other mm", mm_fields, offset);
	} else if (slab == &vma_slab) {
		bool retired = at_load(&((struct vma *)object)->seq) >= VMA_RETIRED;

		put(name, retired ? "retired vma" : "vma", vma_fields, offset);
	} else if (slab == &mapping_slab) {
		put(name, "mapping", mapping_fields, offset);
	} else if (slab == &object_slab) {
		put(name, "object", object_fields, offset);
	} else if (slab == &cache_slab) {
		/* Its first line is what there is to know of it. */
		put(name, offset < CACHE_LINE ? "cache node" : "cache slots", no_fields, offset);
	} else {
		put(name, slab->name, no_fields, offset);
	}
}

static bool name_frame(char *name, uintptr_t address)
{
	bool descriptor = element(address, frame_table, sizeof(*frame_table), frame_count) >= 0;
	size_t offset = address % sizeof(struct frame);
	const struct frame *frame;
	char table[32];

	if (element(address, soft_memory, PAGE_SIZE, frame_first + frame_count) < 0)
		return false;
	frame = descriptor ? (const struct frame *)(address - offset)
			   : frame_of_bytes((const void *)address);
	switch (frame->kind) {
	case FRAME_TABLE:
		snprintf(table, sizeof(table), frame->u.table.level ? "level-%u table" : "leaf",
			 frame->u.table.level);
		put(name, table, descriptor ? table_fields : no_fields, offset);
		if (!descriptor)
			strcat(name, " entry");
		break;
	case FRAME_SLAB:
		if (descriptor)
			put(name, "descriptor of small objects", no_fields, 0);
		else
			name_small_object(name, frame, address);
		break;
	case FRAME_OBJECT:
		put(name, descriptor ? "object page" : "bytes of an object page",
		    descriptor ? object_page_fields : no_fields, offset);
		break;
	default:
		put(name, descriptor ? "frame" : "page",
		    descriptor && frame->kind == FRAME_ANON ? page_fields : no_fields, offset);
	}
	return true;
}

static struct symbol {
	unsigned long start, size;
	char name[64];
} symbols[4096];
static unsigned symbol_count;

/* The symbols of this program, as nm lists them: "address size type name". */
static void read_symbols(void)
{
	char path[256], command[300];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
	struct symbol s;
	FILE *nm;

	if (length < 0)
		return;
	path[length] = 0;
	snprintf(command, sizeof(command), "nm -S --defined-only '%s'", path);
	nm = popen(command, "r");
	while (nm && fgets(command, sizeof(command), nm))
		if (sscanf(command, "%lx %lx %*c %63s", &s.start, &s.size, s.name) == 3 &&
		    symbol_count < sizeof(symbols) / sizeof(symbols[0]))
			symbols[symbol_count++] = s;
	if (nm)
		pclose(nm);
}

static void name_global(char *name, uintptr_t address)
{
	uintptr_t offset = address - (uintptr_t)&__executable_start;

	if (symbol_count == 0)
		read_symbols();
	snprintf(name, 64, "?");
	for (unsigned i = 0; i < symbol_count; i++)
		if (offset - symbols[i].start < symbols[i].size)
			snprintf(name, 64, "%s", symbols[i].name);
}

void name_of(char *name, uintptr_t address)
{
	if ((address ^ (uintptr_t)&soft_cpu_index) < CACHE_LINE)
		snprintf(name, 64, "thread-local");
	else if (!name_cpu(name, address) && !name_frame(name, address))
		name_global(name, address);
}
