/* SPDX-License-Identifier: MIT */
/*
 * The kernel's own page tables, complete before any other CPU or address space exists:
 *
 *     0xffff800000000000 + p     all memory, 2 MiB or 1 GiB pages, writable, not executable
 *     0xffffffff80000000 + p     the image: text r-x, constants r--, data and bss rw-, 4 KiB pages
 *
 * All global. With five levels both are below the last entry of the root.
 */
#include "arch/panic.h"
#include "arch/setup.h"

#define P 0x1ull
#define W 0x2ull
#define WRITE_THROUGH 0x8ull
#define NO_CACHE 0x10ull
#define LARGE 0x80ull
#define GLOBAL 0x100ull
#define NX (1ull << 63)
#define TABLE (P | W)
#define ADDRESS 0x000ffffffffff000ull

#define FOUR_GIB 0x100000000ull
#define MIB2 0x200000ull
#define GIB 0x40000000ull

extern uint8_t image_start[], image_text_end[], image_rodata_end[], image_end[];

uint64_t kernel_root;

static uint64_t table_new(void)
{
	/* The boot tables show the first 4 GiB. */
	uint64_t table = memory_map_take(4096, FOUR_GIB);

	if (table == 0)
		panic("no memory for the kernel's page tables");
	return table;
}

/* The entry of `address` at `level` (0: 4 KiB, 1: 2 MiB, 2: 1 GiB), with the tables above it. */
static uint64_t *entry_at(uint64_t address, unsigned level)
{
	uint64_t table = kernel_root;

	for (unsigned at = cpu_features.la57 ? 4 : 3;; at--) {
		uint64_t *entry = (uint64_t *)physical(table) + (address >> (12 + 9 * at) & 511);

		if (at == level)
			return entry;
		if (*entry == 0)
			*entry = table_new() | TABLE;
		table = *entry & ADDRESS;
	}
}

/*
 * Ranges of the map need not be whole large pages. What a page shows beside them is never used;
 * what it must not cache is not cached, by the memory type ranges that the firmware has set.
 */
static void map_memory(uint64_t base, uint64_t end)
{
	uint64_t at = base & ~(MIB2 - 1);

	while (at < end) {
		bool large = cpu_features.gib_pages && at % GIB == 0 && end - at >= GIB;
		uint64_t *gib = cpu_features.gib_pages ? entry_at(DIRECT_MAP + at, 2) : NULL;

		if (gib != NULL && (*gib & LARGE)) {
			at = (at & ~(GIB - 1)) + GIB;
		} else if (large && *gib == 0) {
			*gib = at | P | W | LARGE | GLOBAL | NX;
			at += GIB;
		} else {
			*entry_at(DIRECT_MAP + at, 1) = at | P | W | LARGE | GLOBAL | NX;
			at += MIB2;
		}
	}
}

static void map_image(const uint8_t *base, const uint8_t *end, uint64_t rights)
{
	for (uint64_t at = (uint64_t)base; at < (uint64_t)end; at += 4096)
		*entry_at(at, 0) = (at - KERNEL_BASE) | P | GLOBAL | rights;
}

uint64_t tables_build(void)
{
	kernel_root = table_new();
	memory_map_each(map_memory);
	map_image(image_start, image_text_end, 0);
	map_image(image_text_end, image_rodata_end, NX);
	map_image(image_rodata_end, image_end, W | NX);
	return kernel_root;
}

volatile void *tables_map_device(uint64_t base)
{
	uint64_t *entry = entry_at(DIRECT_MAP + base, 1);

	*entry = (base & ~(MIB2 - 1)) | P | W | NO_CACHE | WRITE_THROUGH | LARGE | GLOBAL | NX;
	return physical(base);
}
