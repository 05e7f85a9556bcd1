/* SPDX-License-Identifier: MIT */
/* The functions of a port that are not inline. docs/porting.md says more about each. */
#include "port.h"

/* Fill in: whatever an address space needs. 0, or a negative error for quire_mm_create. */
int port_space_init(struct port_space *space, uint64_t root_pfn, unsigned levels)
{
	space->root_pfn = root_pfn;
	space->levels = levels;
	return 0;
}

/* Fill in: give it back. No CPU runs the space. */
void port_space_exit(struct port_space *space)
{
	(void)space;
}

/*
 * Fill in:
 *   1. A full fence: the entries were replaced before it. Then read the set of CPUs that run the
 *      space.
 *   2. Tell each of them, the caller included, to drop [start, end); with `tables`, even if the
 *      range is empty, also what it keeps of tables above the leaves.
 *   3. Wait until each has. Meanwhile answer others that wait for you.
 *
 * A CPU that begins to run a space enters itself in the set, full fence, and only then uses the
 * tables. As it stands nobody walks these tables, so nobody keeps anything of them.
 */
void port_flush(struct port_space *space, uint64_t start, uint64_t end, bool tables)
{
	(void)space;
	(void)start;
	(void)end;
	(void)tables;
}

/* Fill in, with PORT_HAS_KEYS: read the key register of the CPU. */
bool port_key_allows(unsigned key, bool write)
{
	(void)key;
	(void)write;
	return true;
}

/*
 * Fill in: sleep while *word == seen. The comparison and going to sleep are one step as seen by
 * port_wake, or a wake-up is lost; returning early is always right, if slow, and is what stands
 * here. A CPU that sleeps or runs something else meanwhile needs no answer to flushes as long as it
 * uses no translation of the space.
 */
void port_wait(_Atomic uint32_t *word, uint32_t seen)
{
	(void)word;
	(void)seen;
	port_pause(0);
}

/*
 * Fill in, where a CPU is a thread of a host: until port_back, which is given what port_away
 * returned, flushes don't wait for this CPU, which uses no translation meanwhile. In a kernel,
 * where a flush interrupts, port_away returns 0 and port_back does nothing, as here.
 */
uint32_t port_away(void)
{
	return 0;
}

void port_back(uint32_t depth)
{
	(void)depth;
}

/* Fill in: wake all who sleep on the word. Use its address only: the word may be gone. */
void port_wake(_Atomic uint32_t *word)
{
	(void)word;
}

/*
 * Fill in: the CPU's hint for spin loops; answer flushes if they can't interrupt this; after many
 * turns let others run where that may be what we wait for.
 */
void port_pause(unsigned turn)
{
	(void)turn;
}

/* Fill in: nanoseconds since any fixed moment, never going back. */
uint64_t port_clock(void)
{
	static _Atomic uint64_t ticks;

	return at_add(&ticks, 1ull);
}

/* Fill in: say it where somebody will see it, and stop: to go on would corrupt memory. */
_Noreturn void port_panic(const char *file, int line, const char *what)
{
	(void)file;
	(void)line;
	(void)what;
	for (;;)
		port_pause(0);
}
