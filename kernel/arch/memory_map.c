/* SPDX-License-Identifier: MIT */
/*
 * What the loader left: the PVH start info, with the memory map, the command line and the archive.
 *
 *     the map's usable ranges, from 1 MiB on
 *       less the image, less the archive            ──► free pieces
 *       less what memory_map_take gave away         ──► quire_init
 *
 * The first MiB belongs to the firmware's habits; only the page where the other CPUs start comes
 * from there.
 */
#include "arch/panic.h"
#include "arch/setup.h"
#include "lib/string.h"

#define START_INFO_MAGIC 0x336ec578
#define MEMORY_USABLE 1
#define FIRST_MIB 0x100000ull
#define FOUR_GIB 0x100000000ull

#define MAX_PIECES 128
#define MAX_OPTIONS 2048

struct start_info {
	uint32_t magic, version, flags, modules;
	uint64_t module_list, command_line, acpi, memory_map;
	uint32_t memory_map_entries, reserved;
};

struct module {
	uint64_t base, size, command_line, reserved;
};

struct memory_map_entry {
	uint64_t base, size;
	uint32_t type, reserved;
};

extern uint8_t image_start[], image_end[];

static char options_text[MAX_OPTIONS];
static struct piece archive;
static uint64_t acpi_root;
static struct piece known[MAX_PIECES], unused[MAX_PIECES];
static size_t known_count, unused_count;

static void add(struct piece *pieces, size_t *count, uint64_t base, uint64_t end)
{
	if (base >= end)
		return;
	if (*count == MAX_PIECES) {
		print("quire: memory at 0x%lx is not used: too many pieces\n", base);
		return;
	}
	pieces[(*count)++] = (struct piece){ base, end - base };
}

/* What [base, end) covers is not free any more. */
static void exclude(uint64_t base, uint64_t end)
{
	for (size_t i = 0, n = unused_count; i < n; i++) {
		uint64_t first = unused[i].base, last = first + unused[i].size;

		if (end <= first || last <= base)
			continue;
		unused[i].size = base > first ? base - first : 0;
		add(unused, &unused_count, end, last);
	}
}

static void read_map(const struct memory_map_entry *entry, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++, entry++) {
		uint64_t end = entry->base + entry->size;

		if (end < entry->base)
			continue;
		/* Reserved ranges below 4 GiB hold tables that we read; above, nothing. */
		if (entry->type == MEMORY_USABLE || end <= FOUR_GIB)
			add(known, &known_count, entry->base, end);
		if (entry->type == MEMORY_USABLE)
			add(unused, &unused_count, (entry->base + 4095) & ~4095ull, end & ~4095ull);
	}
}

void memory_map_init(uint64_t start_info)
{
	const struct start_info *info = physical(start_info);
	const struct module *module;

	if (info->magic != START_INFO_MAGIC || info->version < 1 || info->memory_map_entries == 0)
		panic("the loader gives no memory map");
	if (info->command_line != 0)
		strlcpy(options_text, physical(info->command_line), sizeof(options_text));
	acpi_root = info->acpi;
	read_map(physical(info->memory_map), info->memory_map_entries);
	exclude((uint64_t)image_start - KERNEL_BASE, (uint64_t)image_end - KERNEL_BASE);
	if (info->modules > 0) {
		module = physical(info->module_list);
		archive = (struct piece){ module->base, module->size };
		exclude(archive.base & ~4095ull, (archive.base + archive.size + 4095) & ~4095ull);
	}
}

const char *memory_map_options(void)
{
	return options_text;
}

struct piece memory_map_archive(void)
{
	return archive;
}

uint64_t memory_map_acpi(void)
{
	return acpi_root;
}

/* From the end of a piece, below 1 MiB only if it must be: there is little. Page 0 is no memory. */
uint64_t memory_map_take(uint64_t size, uint64_t limit)
{
	uint64_t least = limit > FIRST_MIB ? FIRST_MIB : 4096;

	for (size_t i = 0; i < unused_count; i++) {
		uint64_t end = MIN(unused[i].base + unused[i].size, limit);
		uint64_t at = end >= size ? (end - size) & ~(size - 1) : 0;

		if (at < least || at < unused[i].base)
			continue;
		exclude(at, at + size);
		memset(physical(at), 0, size);
		return at;
	}
	return 0;
}

void memory_map_each(void (*map)(uint64_t base, uint64_t end))
{
	for (size_t i = 0; i < known_count; i++)
		map(known[i].base, known[i].base + known[i].size);
}

size_t memory_map_rest(struct quire_memory *ranges, size_t room)
{
	size_t n = 0;

	exclude(0, FIRST_MIB);
	for (size_t i = 0; i < unused_count && n < room; i++)
		if (unused[i].size > 0)
			ranges[n++] = (struct quire_memory){ .base = unused[i].base,
							     .size = unused[i].size };
	return n;
}
