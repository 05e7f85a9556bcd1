/* SPDX-License-Identifier: MIT */
/* What is not inline, and an MMU. It has no TLB: nothing is ever stale, no flush has work to do. */
#include "mini.h"
#include "space/mm.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

unsigned char *mini_memory;

int port_space_init(struct port_space *space, uint64_t root_pfn, unsigned levels)
{
	space->root_pfn = root_pfn;
	space->levels = levels;
	return 0;
}

/* clang-format off */
void port_space_exit(struct port_space *space) { (void)space; }
void port_flush(struct port_space *space, uint64_t start, uint64_t end, bool tables)
{
	(void)space, (void)start, (void)end, (void)tables;
}
bool port_key_allows(unsigned key, bool write) { (void)key, (void)write; return true; }
/* One CPU: whoever waits here waits for ever. Only a mistake can bring it here. */
void port_wait(_Atomic uint32_t *word, uint32_t seen)
{
	require(at_load(word) != seen);
}
void port_wake(_Atomic uint32_t *word) { (void)word; }
void port_pause(unsigned turn) { (void)turn; }
uint64_t port_clock(void) { return (uint64_t)clock() * (1000000000u / CLOCKS_PER_SEC); }
/* clang-format on */

_Noreturn void port_panic(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

/* What hardware does: find the entry, look at its rights, mark it. */
static void *walk(const struct port_space *space, uint64_t address, unsigned right)
{
	uint64_t table = space->root_pfn;

	if (address >> (PAGE_SHIFT + TABLE_BITS * space->levels) != 0)
		return NULL;
	for (unsigned level = space->levels; level-- > 0;) {
		slot *s = (slot *)port_frame(table) + table_index(address, level);
		pte e = at_load(s);

		table = pte_pfn(e);
		if (pte_is_table(e))
			continue;
		if (!pte_is_mapped(e) || level > 0 || (pte_rights(e) & right) == 0)
			return NULL;
		at_store(s, right == RIGHT_WRITE ? pte_dirty(pte_accessed(e)) : pte_accessed(e));
		return (unsigned char *)port_frame(table) + address % PAGE_SIZE;
	}
	return NULL;
}

void *mini_access(struct quire_mm *mm, uint64_t address, enum quire_access access)
{
	static const unsigned rights[] = { RIGHT_READ, RIGHT_WRITE, RIGHT_EXEC };

	for (;;) {
		void *host = walk(&mm->tables.port, address, rights[access]);

		if (host != NULL)
			return host;
		quire_quiescent();
		if (quire_fault(mm, address, access) != QUIRE_FAULT_DONE)
			return NULL;
	}
}

int mini_start(size_t memory)
{
	struct quire_memory range = { .base = 0, .size = memory, .node = 0 };
	struct quire_config config = {
		.cpus = 1, .nodes = 1, .levels = 4, .memory = &range, .memory_count = 1
	};

	mini_memory = aligned_alloc(4096, memory);
	if (mini_memory == NULL)
		return -QUIRE_ENOMEM;
	int error = quire_init(&config);

	if (error == 0)
		quire_cpu_online();
	return error;
}

int mini_stop(void)
{
	quire_cpu_offline();
	int error = quire_exit();

	if (error == 0)
		free(mini_memory);
	return error;
}
