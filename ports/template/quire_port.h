/* SPDX-License-Identifier: MIT */
/*
 * A port to begin with: copy this folder, then replace what follows each "Fill in". As it stands it
 * compiles, links with the core and would run on one CPU whose memory the core reaches at its
 * physical address, with nobody walking the tables. docs/porting.md says what each function owes;
 * src/port.h is the summary.
 */
#ifndef TEMPLATE_QUIRE_PORT_H
#define TEMPLATE_QUIRE_PORT_H

#include "sync/atomic.h"

/* Fill in: 1 when you have gone through the list in docs/porting.md; 0: all faults are classic. */
#define PORT_SPECULATION 0
/* Fill in: 1 if your entries have room for a protection key and the hardware checks it. */
#define PORT_HAS_KEYS 0
/* Fill in: 4 or 5. */
#define PORT_MAX_LEVELS 4
#define PTE_NONE 0ull

/* The compiler may call these, and so does the core. Fill in: a <string.h>, or define them. */
void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *at, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);

/*
 * Fill in: where your hardware has these bits. MAPPED is what pte_is_mapped looks at, so it is not
 * the hardware's present bit, which is 0 in an entry without rights.
 */
#define ENTRY_MAPPED 0x001ull
#define ENTRY_RIGHTS_SHIFT 1
#define ENTRY_ACCESSED 0x020ull
#define ENTRY_DIRTY 0x040ull
#define ENTRY_HUGE 0x080ull
#define ENTRY_TABLE 0x200ull
#define ENTRY_BUSY 0x400ull
#define ENTRY_SPECIAL 0x800ull
#define ENTRY_PFN 0x000ffffffffff000ull

/* Fill in: what the port keeps of an address space: root, ASID, the set of CPUs that run it. */
struct port_space {
	uint64_t root_pfn;
	unsigned levels;
};

/* Fill in: from a register (gs, tp, TPIDR_EL1) or a thread-local variable. Every fault asks. */
static inline unsigned port_cpu(void)
{
	return 0;
}

/* Fill in: from the firmware's tables. */
static inline unsigned port_cpu_node(unsigned cpu)
{
	(void)cpu;
	return 0;
}

/*
 * Fill in: keep the caller on its CPU, and other users of Quire off it: preemption off. Interrupts
 * may stay on if their handlers don't call Quire. Nests. Nothing to do where a CPU is a thread.
 */
static inline void port_pin(void)
{
}

static inline void port_unpin(void)
{
}

/* Fill in: where all memory is mapped for the kernel, for instance at a constant offset. */
static inline void *port_frame(uint64_t pfn)
{
	return (void *)(uintptr_t)(pfn << 12);
}

static inline uint64_t port_frame_number(const void *p)
{
	return (uint64_t)(uintptr_t)p >> 12;
}

/* Fill in, if your CPU has something better. */
static inline void port_clear_page(void *page)
{
	memset(page, 0, 4096);
}

static inline void port_copy_page(void *to, const void *from)
{
	memcpy(to, from, 4096);
}

/*
 * Fill in. rights 0: the page stays in the entry, the hardware must fault. Not accessed, not dirty.
 * The key is 0 without PORT_HAS_KEYS.
 */
static inline pte pte_make(uint64_t pfn, unsigned rights, unsigned key)
{
	(void)key;
	return pfn << 12 | (uint64_t)rights << ENTRY_RIGHTS_SHIFT | ENTRY_MAPPED;
}

static inline bool pte_is_mapped(pte e)
{
	return (e & ENTRY_MAPPED) != 0;
}

static inline unsigned pte_rights(pte e)
{
	return (unsigned)(e >> ENTRY_RIGHTS_SHIFT) & 7u;
}

static inline unsigned pte_key(pte e)
{
	(void)e;
	return 0;
}

static inline uint64_t pte_pfn(pte e)
{
	return (e & ENTRY_PFN) >> 12;
}

static inline pte pte_accessed(pte e)
{
	return e | ENTRY_ACCESSED;
}

static inline pte pte_dirty(pte e)
{
	return e | ENTRY_DIRTY;
}

static inline bool pte_is_accessed(pte e)
{
	return (e & ENTRY_ACCESSED) != 0;
}

static inline bool pte_is_dirty(pte e)
{
	return (e & ENTRY_DIRTY) != 0;
}

/* Fill in: an entry that points to the next table, with all rights: the leaf decides. */
static inline pte pte_table(uint64_t pfn)
{
	return pfn << 12 | ENTRY_TABLE;
}

static inline bool pte_is_table(pte e)
{
	return (e & ENTRY_TABLE) != 0;
}

static inline bool pte_is_huge(pte e)
{
	return (e & ENTRY_HUGE) != 0;
}

/* Fill in: a bit that the hardware ignores. */
static inline pte pte_special(pte e)
{
	return e | ENTRY_SPECIAL;
}

static inline bool pte_is_special(pte e)
{
	return (e & ENTRY_SPECIAL) != 0;
}

/* Fill in: 40 bits of cookie in an entry that the hardware takes for not present. */
static inline pte pte_busy(uint64_t cookie)
{
	return cookie << 12 | ENTRY_BUSY;
}

static inline bool pte_is_busy(pte e)
{
	return (e & ENTRY_BUSY) != 0;
}

int port_space_init(struct port_space *space, uint64_t root_pfn, unsigned levels);
void port_space_exit(struct port_space *space);
void port_flush(struct port_space *space, uint64_t start, uint64_t end, bool tables);
bool port_key_allows(unsigned key, bool write);
void port_wait(_Atomic uint32_t *word, uint32_t seen);
void port_wake(_Atomic uint32_t *word);
uint32_t port_away(void);
void port_back(uint32_t depth);
void port_pause(unsigned turn);
uint64_t port_clock(void);
_Noreturn void port_panic(const char *file, int line, const char *what);

#endif
