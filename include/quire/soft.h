/* SPDX-License-Identifier: MIT */
/*
 * The soft port: Quire with a software MMU, for emulators and other programs that run guest code on
 * host threads. A virtual CPU is a host thread that has attached itself. It runs a space
 * (quire_soft_switch) and goes between two states:
 *
 *     outside ── quire_soft_enter ──► inside
 *        ▲                              │
 *        └────── quire_soft_leave ──────┘
 *
 * Inside it may translate and call Quire, and must reach a safepoint in bounded time: whoever
 * unmaps memory waits for it there. Safepoints are quire_soft_safepoint, each translation that
 * misses, and each call of Quire. A host pointer that a translation gave is valid until the next
 * safepoint of the same virtual CPU.
 *
 * Outside it runs the host's code or sleeps, and nobody waits for it. What was flushed meanwhile it
 * drops when it comes back.
 *
 * A struct quire_soft_cpu is used by its own thread only.
 */
#ifndef QUIRE_SOFT_H
#define QUIRE_SOFT_H

#include <quire/quire.h>
#ifndef __cplusplus
#include <stdatomic.h>
#endif

#pragma GCC visibility push(default)
#ifdef __cplusplus
extern "C" {
#endif

/* A word that other CPUs write. C++ has no _Atomic; of such a word gcc and clang make the same. */
#ifdef __cplusplus
typedef uint32_t quire_soft_word;
#define QUIRE_SOFT_LOAD(word) __atomic_load_n(word, __ATOMIC_RELAXED)
#else
typedef _Atomic uint32_t quire_soft_word;
#define QUIRE_SOFT_LOAD(word) atomic_load_explicit(word, memory_order_relaxed)
#endif

#define QUIRE_SOFT_TLB 256 /* entries, direct-mapped; a power of two */

struct quire_soft_config {
	unsigned cpus;	   /* virtual CPUs, 1 to 256 */
	uint64_t memory;   /* bytes; the host's pages are used as they are touched */
	unsigned nodes;	   /* NUMA nodes: memory and CPUs are split evenly; 0: 1 */
	unsigned levels;   /* of page tables; 0: 4 */
	uint64_t stall_ns; /* as quire_config.stall_ns */
	/*
	 * Bytes behind the memory that belong to devices of the embedder's: physical addresses from
	 * `memory` (rounded down to whole pages) on, for quire_device_create. Not Quire's to count.
	 */
	uint64_t device_memory;
};

/*
 * Start Quire on the soft port. Returns 0 or an error of quire_init; -QUIRE_ENOMEM also if the host
 * does not have so much address space. Never blocks.
 */
int quire_soft_init(const struct quire_soft_config *config);
/* The reverse. => every thread has detached, every space is destroyed; else -QUIRE_EBUSY. */
int quire_soft_exit(void);

/* The host's address of a physical one, of memory or of a device; NULL: there is nothing. */
void *quire_soft_physical(uint64_t physical);

/* One translation: guest address + addend is the host's. A tag is the page's address; odd: none. */
struct quire_soft_tlb_entry {
	uint64_t tag_read, tag_write, tag_exec;
	uintptr_t addend;
};

struct quire_soft_cpu {
	struct quire_soft_tlb_entry tlb[QUIRE_SOFT_TLB];
	struct quire_mm *mm;
	unsigned index;
	uint32_t key_register; /* set by quire_soft_keys */
	/* Counted by the slow path: */
	uint64_t misses, faults, flushes;
	uint64_t flush_ns;	    /* that answering flushes took: of one in 16, times 16 */
	enum quire_verdict verdict; /* of the last failed access */
	uint64_t fault_address;
	/* Not 0: a flush waits for this CPU. On a line that other CPUs write. */
	quire_soft_word request __attribute__((aligned(64)));
};

/*
 * The calling thread becomes virtual CPU `index`. Returns it, outside; NULL: out of range, taken,
 * or the thread is one already.
 */
struct quire_soft_cpu *quire_soft_attach(unsigned index);
/* => outside */
void quire_soft_detach(struct quire_soft_cpu *cpu);
/* The virtual CPU of this thread; NULL: none. */
struct quire_soft_cpu *quire_soft_self(void);

/*
 * They nest. While inside the CPU is online (quire/machine.h); debug builds find calls of Quire
 * that are made outside. To enter costs two full fences.
 */
void quire_soft_enter(struct quire_soft_cpu *cpu);
void quire_soft_leave(struct quire_soft_cpu *cpu);
/* Run another space, or none (NULL). => inside. Drops all translations. */
void quire_soft_switch(struct quire_soft_cpu *cpu, struct quire_mm *mm);
/* The key register, as PKRU: bit 2k: no access, bit 2k + 1: no write. Drops all translations. */
void quire_soft_keys(struct quire_soft_cpu *cpu, uint32_t key_register);

void quire_soft_safepoint_slow(struct quire_soft_cpu *cpu);

/* => inside; translations made before are not used after it. Two loads when nothing waits. */
static inline void quire_soft_safepoint(struct quire_soft_cpu *cpu)
{
	if (__builtin_expect(QUIRE_SOFT_LOAD(&cpu->request) != 0, 0))
		quire_soft_safepoint_slow(cpu);
	quire_quiescent();
}

/* The slow path: a safepoint, then a walk; if that fails a fault, and again. */
void *quire_soft_translate_slow(struct quire_soft_cpu *cpu, uint64_t address,
				enum quire_access access);

/*
 * The host address of the guest byte at `address`, for this access. NULL: it is refused, and
 * cpu->verdict and cpu->fault_address say why. A hit is a compare and an addition.
 * => inside
 */
static inline void *quire_soft_translate(struct quire_soft_cpu *cpu, uint64_t address,
					 enum quire_access access)
{
	struct quire_soft_tlb_entry *e = &cpu->tlb[(address / QUIRE_PAGE_SIZE) % QUIRE_SOFT_TLB];
	uint64_t tag = access == QUIRE_READ    ? e->tag_read
		       : access == QUIRE_WRITE ? e->tag_write
					       : e->tag_exec;

	if (__builtin_expect(tag == (address & ~(QUIRE_PAGE_SIZE - 1)), 1))
		return (void *)(uintptr_t)(address + e->addend);
	return quire_soft_translate_slow(cpu, address, access);
}

/*
 * Guest accesses of 1, 2, 4 or 8 bytes, naturally aligned, in the host's byte order: relaxed
 * atomics of the host. Return false if the access is refused (as quire_soft_translate).
 * => inside. Another size or alignment is a panic: use the calls for blocks.
 */
bool quire_soft_load(struct quire_soft_cpu *cpu, uint64_t address, unsigned size, uint64_t *value);
bool quire_soft_store(struct quire_soft_cpu *cpu, uint64_t address, unsigned size, uint64_t value);

enum quire_soft_rmw {
	QUIRE_SOFT_XCHG,
	QUIRE_SOFT_ADD,
	QUIRE_SOFT_AND,
	QUIRE_SOFT_OR,
	QUIRE_SOFT_XOR,
};
/* 4 or 8 bytes, sequentially consistent: *value is the operand and receives what was there. */
bool quire_soft_rmw(struct quire_soft_cpu *cpu, uint64_t address, unsigned size,
		    enum quire_soft_rmw op, uint64_t *value);
/* Compare and swap: *expected receives what was there; *swapped whether it was stored. */
bool quire_soft_cas(struct quire_soft_cpu *cpu, uint64_t address, unsigned size, uint64_t *expected,
		    uint64_t desired, bool *swapped);
/* Blocks, at any address. Return the bytes done: fewer than `size` if the rest is refused. */
size_t quire_soft_read(struct quire_soft_cpu *cpu, uint64_t address, void *buffer, size_t size);
size_t quire_soft_write(struct quire_soft_cpu *cpu, uint64_t address, const void *buffer,
			size_t size);

#ifdef __cplusplus
}
#endif
#pragma GCC visibility pop

#endif
