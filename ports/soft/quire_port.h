/* SPDX-License-Identifier: MIT */
/*
 * The soft port: page tables that software walks, a TLB for each virtual CPU, shootdowns answered
 * at safepoints. For emulators, for tests and for benches on a host with threads. See src/port.h
 * for what each function owes the core, and quire/soft.h for its users' side.
 *
 * An entry, 64 bits (the layout is near that of x86-64, so that both ports exercise the same core):
 *
 *   63..60  59..52  51..12        11      10, 9  8   7     6     5     4   3     2     1     0
 *   key     0       frame number  special kind   -   huge  dirty acc.  -   exec  write read  mapped
 *
 * kind: 0 a page, 1 a table, 2 busy (not mapped; the cookie in bits 12..51).
 */
#ifndef QUIRE_SOFT_PORT_H
#define QUIRE_SOFT_PORT_H

#include "sync/atomic.h"
#include <string.h>

#define PORT_SPECULATION 1
#define PORT_HAS_KEYS 1
#define PORT_MAX_LEVELS 5
#define PTE_NONE 0ull

#define SOFT_MAPPED 0x001ull
#define SOFT_RIGHTS_SHIFT 1
#define SOFT_ACCESSED 0x020ull
#define SOFT_DIRTY 0x040ull
#define SOFT_HUGE 0x080ull
#define SOFT_TABLE 0x200ull
#define SOFT_BUSY 0x400ull
#define SOFT_SPECIAL 0x800ull
#define SOFT_PFN 0x000ffffffffff000ull
#define SOFT_KEY_SHIFT 60

struct port_space {
	uint64_t root_pfn;
	unsigned levels;
	/*
	 * CPUs that may hold translations of this space: bit set before the first translation,
	 * cleared after the last was dropped.
	 */
	_Atomic uint64_t cpus[MAX_CPUS / 64];
};

#define SOFT_HIDDEN __attribute__((visibility("hidden")))
#define SOFT_THREAD SOFT_HIDDEN _Thread_local __attribute__((tls_model("initial-exec")))

extern SOFT_HIDDEN unsigned char *soft_memory; /* frame 0 */
extern uint64_t soft_frames;		       /* that lie there: memory, then that of devices */
extern SOFT_THREAD unsigned soft_cpu_index;
extern unsigned char soft_cpu_nodes[MAX_CPUS];
/* This CPU's word that is not 0 while a flush waits for it, or a word that is always 0. */
extern SOFT_THREAD _Atomic uint32_t *soft_request;
/* The key register of this thread's CPU; 0, which allows everything, where it has none. */
extern SOFT_THREAD uint32_t soft_key_register;

/* Drop what others have asked this CPU to drop, and say so. Takes no lock of the core's. */
void soft_answer(void);

static inline unsigned port_cpu(void)
{
	return soft_cpu_index;
}

static inline unsigned port_cpu_node(unsigned cpu)
{
	return soft_cpu_nodes[cpu];
}

/*
 * A virtual CPU is one thread: it is always on its CPU. Code of the core holds no translation, so
 * the end of each section is a good place to answer: a flush never waits for a long call that
 * another CPU is in.
 */
static inline void port_pin(void)
{
}

static inline void port_unpin(void)
{
	if (__builtin_expect(at_load(soft_request) != 0, 0))
		soft_answer();
}

static inline void *port_frame(uint64_t pfn)
{
	return soft_memory + (pfn << 12);
}

static inline uint64_t port_frame_number(const void *p)
{
	return (uint64_t)((const unsigned char *)p - soft_memory) >> 12;
}

static inline void port_clear_page(void *page)
{
	__builtin_memset(__builtin_assume_aligned(page, 4096), 0, 4096);
}

static inline void port_copy_page(void *to, const void *from)
{
	__builtin_memcpy(__builtin_assume_aligned(to, 4096), __builtin_assume_aligned(from, 4096),
			 4096);
}

static inline pte pte_make(uint64_t pfn, unsigned rights, unsigned key)
{
	return pfn << 12 | (uint64_t)rights << SOFT_RIGHTS_SHIFT | (uint64_t)key << SOFT_KEY_SHIFT |
	       SOFT_MAPPED;
}

static inline bool pte_is_mapped(pte e)
{
	return (e & SOFT_MAPPED) != 0;
}

static inline unsigned pte_rights(pte e)
{
	return (unsigned)(e >> SOFT_RIGHTS_SHIFT) & 7u;
}

static inline unsigned pte_key(pte e)
{
	return (unsigned)(e >> SOFT_KEY_SHIFT);
}

static inline uint64_t pte_pfn(pte e)
{
	return (e & SOFT_PFN) >> 12;
}

static inline pte pte_accessed(pte e)
{
	return e | SOFT_ACCESSED;
}

static inline pte pte_dirty(pte e)
{
	return e | SOFT_DIRTY;
}

static inline bool pte_is_accessed(pte e)
{
	return (e & SOFT_ACCESSED) != 0;
}

static inline bool pte_is_dirty(pte e)
{
	return (e & SOFT_DIRTY) != 0;
}

static inline pte pte_table(uint64_t pfn)
{
	return pfn << 12 | SOFT_TABLE;
}

static inline bool pte_is_table(pte e)
{
	return (e & SOFT_TABLE) != 0;
}

static inline bool pte_is_huge(pte e)
{
	return (e & SOFT_HUGE) != 0;
}

static inline pte pte_special(pte e)
{
	return e | SOFT_SPECIAL;
}

static inline bool pte_is_special(pte e)
{
	return (e & SOFT_SPECIAL) != 0;
}

static inline pte pte_busy(uint64_t cookie)
{
	return cookie << 12 | SOFT_BUSY;
}

static inline bool pte_is_busy(pte e)
{
	return (e & SOFT_BUSY) != 0;
}

/* Two bits a key, as PKRU has: no access, no writing. */
static inline bool port_key_allows(unsigned key, bool write)
{
	return (soft_key_register >> 2 * key & (write ? 3u : 1u)) == 0;
}

int port_space_init(struct port_space *space, uint64_t root_pfn, unsigned levels);
void port_space_exit(struct port_space *space);
void port_flush(struct port_space *space, uint64_t start, uint64_t end, bool tables);
void port_wait(_Atomic uint32_t *word, uint32_t seen);
void port_wake(_Atomic uint32_t *word);
uint32_t port_away(void);
void port_back(uint32_t depth);
void port_pause(unsigned turn);
uint64_t port_clock(void);
_Noreturn void port_panic(const char *file, int line, const char *what);

#endif
