/* SPDX-License-Identifier: MIT */
/*
 * What is mapped in the window, from either side's text of /proc/PID/maps; and what the mappings
 * remember, from /proc/PID/smaps and from Quire's tree.
 */
#ifndef QUIRE_TESTS_ORACLE_LAYOUT_H
#define QUIRE_TESTS_ORACLE_LAYOUT_H

#include "oracle_calls.h"

#include "space/mm.h"
#include <fcntl.h>

#define LAYOUT_MAX 256

struct area {
	uint64_t start, end;
	char rights[5];
	uint32_t flags; /* of struct vma, other than the protection; 0 if not asked for */
	unsigned file;	/* what it shows: N + 1 if the name has "file-N"; 0: memory of its own */
	uint64_t offset;
};

#define SHARED_MEMORY UINT32_MAX /* as `file`: what has no such name and is shared */

struct layout {
	unsigned count;
	struct area areas[LAYOUT_MAX];
};

/* One line of maps. False: the window is behind us. */
static inline bool layout_line(struct layout *layout, const char *line)
{
	struct area area = { 0 };
	unsigned long long start, end, offset;
	const char *name;

	if (sscanf(line, "%llx-%llx %4s %llx ", &start, &end, area.rights, &offset) != 4)
		return true;
	area.start = start;
	area.end = end;
	name = strstr(line, "file-");
	if (name && name < line + strcspn(line, "\n"))
		area.file = 1 + (unsigned)strtoul(name + strlen("file-"), NULL, 10);
	else if (area.rights[3] == 's')
		area.file = SHARED_MEMORY;
	area.offset = area.file ? offset : 0;
	if (start >= WINDOW_END)
		return false;
	if (end > WINDOW && layout->count < LAYOUT_MAX)
		layout->areas[layout->count++] = area;
	return true;
}

static inline void layout_quire(struct quire_mm *mm, struct layout *layout)
{
	static _Thread_local char text[64 << 10];
	char *line = text, *next;

	layout->count = 0;
	if (quire_mm_maps(mm, text, sizeof(text)) >= sizeof(text))
		abort();
	for (; *line && layout_line(layout, line); line = next + 1)
		next = strchr(line, '\n');
}

/* Read a file of /proc/self line by line, until the function says that it is enough. */
static inline void layout_read(int file, bool (*line)(struct layout *, const char *),
			       struct layout *layout)
{
	static _Thread_local char text[(4 << 10) + 1];
	size_t have = 0;
	ssize_t got;

	lseek(file, 0, SEEK_SET);
	while ((got = read(file, text + have, sizeof(text) - 1 - have)) > 0) {
		char *at = text, *end;

		have += (size_t)got;
		text[have] = 0;
		for (; (end = strchr(at, '\n')) != NULL; at = end + 1) {
			*end = 0;
			if (!line(layout, at))
				return;
		}
		have -= (size_t)(at - text);
		memmove(text, at, have);
	}
}

/* A child of this process needs files of its own: they show whoever opened them. */
static inline int layout_open(const char *path)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);

	if (file < 0)
		abort();
	return file;
}

static inline void layout_linux(int maps, struct layout *layout)
{
	layout->count = 0;
	layout_read(maps, layout_line, layout);
}

static const struct {
	char name[3];
	uint32_t flag;
} layout_flags[] = {
	{ "gd", VMA_GROWSDOWN }, { "lo", VMA_LOCKED },	   { "lf", VMA_ONFAULT },
	{ "nr", VMA_NORESERVE }, { "dc", VMA_DONTFORK },   { "wf", VMA_WIPEONFORK },
	{ "rr", VMA_RANDOM },	 { "sr", VMA_SEQUENTIAL }, { "dd", VMA_DONTDUMP },
	{ "hg", VMA_HUGEPAGE },	 { "nh", VMA_NOHUGEPAGE }, { "mg", VMA_MERGEABLE },
};

/* Those of a VMA's flags that have a name. */
static inline uint32_t layout_named(void)
{
	uint32_t flags = 0;

	for (size_t i = 0; i < sizeof(layout_flags) / sizeof(layout_flags[0]); i++)
		flags |= layout_flags[i].flag;
	return flags;
}

/* What there is no name for, or what this kernel doesn't show, is not compared. */
static inline uint32_t layout_flag(const char *name)
{
	for (size_t i = 0; i < sizeof(layout_flags) / sizeof(layout_flags[0]); i++)
		if (!strncmp(layout_flags[i].name, name, 2))
			return layout_flags[i].flag;
	return 0;
}

/* One line of smaps. */
static inline bool layout_smaps_line(struct layout *layout, const char *line)
{
	const char *at = line + strlen("VmFlags:");
	struct area *last = layout->count ? &layout->areas[layout->count - 1] : NULL;

	if (strchr("0123456789abcdef", line[0]))
		return layout_line(layout, line);
	if (last && !last->flags && !strncmp(line, "VmFlags:", strlen("VmFlags:")))
		for (; at[0] == ' ' && at[1]; at += 3)
			last->flags |= layout_flag(at + 1);
	return true;
}

static inline void layout_linux_flags(int smaps, struct layout *layout)
{
	layout->count = 0;
	layout_read(smaps, layout_smaps_line, layout);
}

static inline void layout_quire_flags(struct quire_mm *mm, struct layout *layout)
{
	layout_quire(mm, layout);
	section_enter();
	for (unsigned i = 0; i < layout->count; i++)
		layout->areas[i].flags = tree_find(&mm->tree, layout->areas[i].start)->flags &
					 layout_named();
	section_leave();
}

/* Neighbours that only differ in where one ends become one: Linux keeps some apart for reasons of
 * its own. */
static inline void layout_merge(struct layout *layout)
{
	unsigned count = 0;

	for (unsigned i = 0; i < layout->count; i++) {
		struct area *last = count ? &layout->areas[count - 1] : NULL;
		const struct area *area = &layout->areas[i];

		if (last && last->end == area->start && last->flags == area->flags &&
		    last->file == area->file &&
		    (!area->file || area->offset - last->offset == last->end - last->start) &&
		    !strcmp(last->rights, area->rights))
			last->end = area->end;
		else
			layout->areas[count++] = *area;
	}
	layout->count = count;
}

static inline bool layout_equal(const struct layout *a, const struct layout *b)
{
	if (a->count != b->count)
		return false;
	for (unsigned i = 0; i < a->count; i++)
		if (a->areas[i].start != b->areas[i].start || a->areas[i].end != b->areas[i].end ||
		    a->areas[i].flags != b->areas[i].flags ||
		    a->areas[i].file != b->areas[i].file ||
		    a->areas[i].offset != b->areas[i].offset ||
		    strcmp(a->areas[i].rights, b->areas[i].rights) != 0)
			return false;
	return true;
}

static inline bool layout_alike(const struct layout *a, const struct layout *b)
{
	static _Thread_local struct layout merged_a, merged_b;

	merged_a = *a;
	merged_b = *b;
	layout_merge(&merged_a);
	layout_merge(&merged_b);
	return layout_equal(&merged_a, &merged_b);
}

/* The area that holds the address, or NULL. */
static inline const struct area *layout_find(const struct layout *layout, uint64_t address)
{
	for (unsigned i = 0; i < layout->count; i++)
		if (layout->areas[i].start <= address && address < layout->areas[i].end)
			return &layout->areas[i];
	return NULL;
}

static inline void layout_print(const char *title, const struct layout *layout)
{
	print_error("  %s:\n", title);
	for (unsigned i = 0; i < layout->count; i++)
		print_error("    %+4lld %+4lld %s %#x, file %d from %#llx\n",
			    (long long)(layout->areas[i].start - ARENA) / (long long)PAGE,
			    (long long)(layout->areas[i].end - ARENA) / (long long)PAGE,
			    layout->areas[i].rights, layout->areas[i].flags,
			    (int)layout->areas[i].file - 1,
			    (unsigned long long)layout->areas[i].offset);
}

#endif
