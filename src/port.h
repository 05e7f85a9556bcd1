/* SPDX-License-Identifier: MIT */
/*
 * The port, as the core sees it. A port is a folder with <quire_port.h> (small inline functions and
 * constants), <port_atomic.h> and one or two source files. docs/porting.md explains each; this
 * header checks that nothing was forgotten.
 *
 * Constants
 *   PORT_SPECULATION   1 if this port has been audited for speculative faults, else 0: every fault
 *                      then takes the classic path.
 *   PORT_HAS_KEYS      1 if entries carry protection keys.
 *   PORT_MAX_LEVELS    4 or 5: the deepest tables that the port can be configured for.
 *
 * Who am I
 *   unsigned port_cpu(void)
 *       the calling CPU, below quire_config.cpus; out of date at once unless the caller is pinned.
 *   unsigned port_cpu_node(unsigned cpu)
 *       its NUMA node.
 *   void port_pin(void), port_unpin(void)
 *       in between the caller stays on this CPU, and nothing else runs Quire's code on it. Nests.
 *
 * Memory
 *   void *port_frame(uint64_t pfn)
 *       where the core can reach the bytes of a frame; frames whose numbers follow each other lie
 *       side by side.
 *   uint64_t port_frame_number(const void *)
 *       the reverse.
 *   void port_clear_page(void *), port_copy_page(void *to, const void *from)
 *       one page, 4,096 bytes.
 *
 * Entries: `pte` is an integer that the port lays out. Level 0 is the leaf level.
 *   PTE_NONE
 *       the empty entry; must be 0.
 *   pte pte_make(uint64_t pfn, unsigned rights, unsigned key)
 *       a mapped page; rights is an OR of RIGHT_READ, RIGHT_WRITE, RIGHT_EXEC, or 0: mapped, but no
 *       access (an entry that the hardware faults on). Not accessed, not dirty.
 *   bool pte_is_mapped(pte)
 *       made by pte_make (any rights).
 *   unsigned pte_rights(pte), pte_key(pte)
 *       what pte_make was given.
 *   uint64_t pte_pfn(pte)
 *       of a mapped, a huge or a table entry.
 *   pte pte_accessed(pte), pte_dirty(pte)
 *       the entry with that mark set.
 *   bool pte_is_accessed(pte), pte_is_dirty(pte)
 *   pte pte_table(uint64_t pfn), bool pte_is_table(pte)
 *       an entry above level 0: the next table.
 *   bool pte_is_huge(pte)
 *       above level 0: a mapped page of that level's size.
 *   pte pte_special(pte), bool pte_is_special(pte)
 *       a mapped entry whose frame is not Quire's to count: it has no descriptor.
 *   pte pte_busy(uint64_t cookie), bool pte_is_busy(pte)
 *       not present for the hardware, different from every other entry: in transition
 *       (docs/design.md, 4.2).
 *
 * Translations
 *   struct port_space
 *   int port_space_init(struct port_space *, uint64_t root_pfn, unsigned levels)
 *   void port_space_exit(struct port_space *)
 *       what the port keeps for one address space.
 *   void port_flush(struct port_space *, uint64_t start, uint64_t end, bool tables)
 *       when it returns, no CPU translates an address of [start, end) by an entry that was replaced
 *       before the call, nor (tables) walks through a table that was unhooked before it. Called
 *       with no spin lock held; may spin; a CPU that waits in port_flush or port_pause itself
 *       answers others.
 *   bool port_key_allows(unsigned key, bool write)
 *       what this CPU's key register says.
 *
 * Waiting
 *   void port_wait(_Atomic uint32_t *word, uint32_t seen)
 *       sleep while *word == seen; may return early.
 *   void port_wake(_Atomic uint32_t *word)
 *       wake all who sleep on it. The word may belong to memory that its owner has left by then:
 *       only its address is used.
 *   uint32_t port_away(void), void port_back(uint32_t)
 *       around code of the embedder's that may sleep: port_flush of others does not wait for this
 *       CPU, unless that code comes back to Quire by itself. port_back is given what port_away
 *       returned.
 *   void port_pause(unsigned turn)
 *       the turn-th turn of a spin loop; answers flushes.
 *   uint64_t port_clock(void)
 *       nanoseconds, monotonic.
 *   void port_panic(const char *file, int line, const char *what)
 *       does not return.
 */
#ifndef QUIRE_PORT_H
#define QUIRE_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096ull
#define PAGE_MASK (PAGE_SIZE - 1)
#define TABLE_BITS 9
#define TABLE_ENTRIES 512
#define CACHE_LINE 64
#define MAX_CPUS 256
#define MAX_NODES 8

#define RIGHT_READ 1u
#define RIGHT_WRITE 2u
#define RIGHT_EXEC 4u

typedef uint64_t pte;

#include <quire_port.h>

#if !defined(PORT_SPECULATION) || !defined(PORT_HAS_KEYS) || !defined(PORT_MAX_LEVELS) ||          \
	!defined(PTE_NONE)
#error "the port must define PORT_SPECULATION, PORT_HAS_KEYS, PORT_MAX_LEVELS and PTE_NONE"
#endif
#if PORT_MAX_LEVELS != 4 && PORT_MAX_LEVELS != 5
#error "PORT_MAX_LEVELS is 4 or 5"
#endif

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
/* What is called so rarely that it is not to make its caller longer; what is not to be a call. */
#define COLD __attribute__((cold, noinline))
#define ALWAYS_INLINE inline __attribute__((always_inline))
/* Of the core's own: the compiler need not find it through a table of addresses. */
#define HIDDEN __attribute__((visibility("hidden")))
#define container_of(p, type, field) ((type *)((char *)(p)-offsetof(type, field)))

/* Guards memory safety: stays in every build. No side effects in the condition. */
#define require(x)                                                                                 \
	do {                                                                                       \
		if (unlikely(!(x)))                                                                \
			port_panic(__FILE__, __LINE__, #x);                                        \
	} while (0)

/* For debug builds only; the condition is not evaluated otherwise. */
#ifdef QUIRE_DEBUG
#define assert_debug(x) require(x)
#else
#define assert_debug(x) ((void)sizeof(x))
#endif

#endif
