/* SPDX-License-Identifier: MIT */
/*
 * The x86_64 port: the CPU walks Quire's tables. See src/port.h for what each function owes the
 * core, and quire/x86_64.h for the kernel's side.
 *
 * An entry, 64 bits (Intel SDM volume 3, 4.5):
 *
 *   63  62..59  58..55  54..52  51..12        11    10      9      8     7     6      5     4..3
 *   NX  key     0       rights  frame number  table special mapped busy  huge  dirty  acc.  cache
 *
 *   2     1      0
 *   user  write  present
 *
 * Present, write and NX are what the CPU goes by; the rights as they were asked for stand in bits
 * that it ignores, since it knows no page that can't be read. A mapped entry without rights is not
 * present. A busy entry is not present and not mapped; its cookie stands where the frame would. No
 * page of a program is global, which leaves bit 8, ignored where nothing is present, to `busy`.
 *
 * Not present entries keep their frame number: who must defend a CPU with the L1 terminal fault
 * against programs needs that turned round.
 */
#ifndef QUIRE_X86_64_PORT_H
#define QUIRE_X86_64_PORT_H

#include "sync/atomic.h"
#include <quire/types.h>
#include <x86_instructions.h>

#define PORT_SPECULATION 1
#define PORT_HAS_KEYS 1
#define PORT_MAX_LEVELS 5
#define PTE_NONE 0ull

#define X86_PRESENT 0x001ull
#define X86_WRITE 0x002ull
#define X86_USER 0x004ull
#define X86_UNCACHED 0x018ull /* PCD and PWT: type UC, whatever the range's registers say */
#define X86_ACCESSED 0x020ull
#define X86_DIRTY 0x040ull
#define X86_HUGE 0x080ull
#define X86_BUSY 0x100ull
#define X86_MAPPED 0x200ull
#define X86_SPECIAL 0x400ull
#define X86_TABLE 0x800ull
#define X86_PFN 0x000ffffffffff000ull
#define X86_RIGHTS_SHIFT 52
#define X86_KEY_SHIFT 59
#define X86_NX (1ull << 63)

struct port_space {
	uint64_t root_pfn;
	/*
	 * CPUs that have this root loaded: bit set before, cleared after. On lines that a context
	 * switch writes and no fault reads.
	 */
	_Atomic uint64_t cpus[MAX_CPUS / 64] __attribute__((aligned(CACHE_LINE)));
};

/* Written by quire_x86_init. */
extern struct x86_machine {
	uint64_t direct_map;
	uint64_t kernel_root;
	bool keys; /* the CPU has protection keys, and they are in use */
} x86_machine;

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *at, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);

static inline unsigned port_cpu(void)
{
	return x86_cpu_index();
}

static inline unsigned port_cpu_node(unsigned cpu)
{
	(void)cpu;
	return 0;
}

/*
 * Code of the kernel is not preempted, and interrupt handlers don't call Quire (quire/x86_64.h):
 * who is here stays here.
 */
static inline void port_pin(void)
{
}

static inline void port_unpin(void)
{
}

static inline void *port_frame(uint64_t pfn)
{
	return (void *)(x86_machine.direct_map + (pfn << PAGE_SHIFT));
}

static inline uint64_t port_frame_number(const void *p)
{
	return ((uint64_t)p - x86_machine.direct_map) >> PAGE_SHIFT;
}

static inline void port_clear_page(void *page)
{
	x86_clear(page, PAGE_SIZE / 8);
}

static inline void port_copy_page(void *to, const void *from)
{
	x86_copy(to, from, PAGE_SIZE / 8);
}

static inline pte pte_make(uint64_t pfn, unsigned rights, unsigned key)
{
	_Static_assert(RIGHT_WRITE == X86_WRITE, "the bit is the same");
	pte e = pfn << PAGE_SHIFT | (pte)rights << X86_RIGHTS_SHIFT | (pte)key << X86_KEY_SHIFT |
		(rights & RIGHT_WRITE) | X86_MAPPED;

	if (!(rights & RIGHT_EXEC))
		e |= X86_NX;
	return rights ? e | X86_USER | X86_PRESENT : e;
}

static inline bool pte_is_mapped(pte e)
{
	return (e & X86_MAPPED) != 0;
}

static inline unsigned pte_rights(pte e)
{
	return (unsigned)(e >> X86_RIGHTS_SHIFT) & 7u;
}

static inline unsigned pte_key(pte e)
{
	return (unsigned)(e >> X86_KEY_SHIFT) & 15u;
}

static inline uint64_t pte_pfn(pte e)
{
	return (e & X86_PFN) >> PAGE_SHIFT;
}

static inline pte pte_accessed(pte e)
{
	return e | X86_ACCESSED;
}

static inline pte pte_dirty(pte e)
{
	return e | X86_DIRTY;
}

static inline bool pte_is_accessed(pte e)
{
	return (e & X86_ACCESSED) != 0;
}

static inline bool pte_is_dirty(pte e)
{
	return (e & X86_DIRTY) != 0;
}

static inline pte pte_table(uint64_t pfn)
{
	return pfn << PAGE_SHIFT | X86_TABLE | X86_USER | X86_WRITE | X86_PRESENT;
}

static inline bool pte_is_table(pte e)
{
	return (e & X86_TABLE) != 0;
}

static inline bool pte_is_huge(pte e)
{
	return (e & X86_HUGE) != 0;
}

/* A device: each access goes out to it, in order. */
static inline pte pte_special(pte e)
{
	return e | X86_SPECIAL | X86_UNCACHED;
}

static inline bool pte_is_special(pte e)
{
	return (e & X86_SPECIAL) != 0;
}

static inline pte pte_busy(uint64_t cookie)
{
	return cookie << PAGE_SHIFT | X86_BUSY;
}

static inline bool pte_is_busy(pte e)
{
	return (e & X86_BUSY) != 0;
}

/* The register is the current program's while its kernel code runs, too. */
static inline bool port_key_allows(unsigned key, bool write)
{
	return !x86_machine.keys || (x86_key_register() >> 2 * key & (write ? 3u : 1u)) == 0;
}

/* A CPU that is away still answers flushes: they interrupt it. */
static inline uint32_t port_away(void)
{
	return 0;
}

static inline void port_back(uint32_t depth)
{
	(void)depth;
}

static inline void port_pause(unsigned turn)
{
	(void)turn;
	x86_pause();
}

int port_space_init(struct port_space *space, uint64_t root_pfn, unsigned levels);
void port_space_exit(struct port_space *space);
void port_flush(struct port_space *space, uint64_t start, uint64_t end, bool tables);
void port_wait(_Atomic uint32_t *word, uint32_t seen);
void port_wake(_Atomic uint32_t *word);
uint64_t port_clock(void);
_Noreturn void port_panic(const char *file, int line, const char *what);

#endif
