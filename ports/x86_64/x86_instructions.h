/* SPDX-License-Identifier: MIT */
/*
 * The instructions that the port is made of. A test puts a file of the same name before this one,
 * to run the port's protocol by threads.
 */
#ifndef QUIRE_X86_INSTRUCTIONS_H
#define QUIRE_X86_INSTRUCTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The first word of the block at GS base: struct quire_x86_cpu.index. It changes only where a
 * thread sleeps. To the compiler it depends on a variable that it must believe to change there,
 * too, so it is read again after a call that may sleep and need not be in between.
 */
extern uint32_t x86_moves;
static inline unsigned x86_cpu_index(void)
{
	unsigned index;

	__asm__("movl %%gs:0, %0" : "=r"(index) : "m"(x86_moves));
	return index;
}

static inline uint64_t x86_root(void)
{
	uint64_t root;

	__asm__ volatile("movq %%cr3, %0" : "=r"(root));
	return root;
}

/* Drops all that the CPU keeps of the tables before, but for global pages. A full barrier. */
static inline void x86_load_root(uint64_t root)
{
	__asm__ volatile("movq %0, %%cr3" ::"r"(root) : "memory");
}

/* Drops the page's translation, and all that the CPU keeps of tables above the leaves. */
static inline void x86_drop_page(uint64_t address)
{
	__asm__ volatile("invlpg (%0)" ::"r"(address) : "memory");
}

static inline uint64_t x86_cr4(void)
{
	uint64_t value;

	__asm__ volatile("movq %%cr4, %0" : "=r"(value));
	return value;
}

static inline uint64_t x86_efer(void)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(0xc0000080u));
	return (uint64_t)high << 32 | low;
}

/* PKRU: two bits a key, no access and no writing. */
static inline uint32_t x86_key_register(void)
{
	uint32_t value, high;

	__asm__ volatile("rdpkru" : "=a"(value), "=d"(high) : "c"(0));
	return value;
}

static inline bool x86_interrupts_enabled(void)
{
	uint64_t flags;

	__asm__ volatile("pushfq; popq %0" : "=r"(flags));
	return (flags & 0x200) != 0;
}

static inline void x86_pause(void)
{
	__asm__ volatile("pause" ::: "memory");
}

/* `rep` moves a word an iteration, or whole lines where the CPU knows how. */
static inline void x86_clear(void *at, size_t words)
{
	__asm__ volatile("rep stosq" : "+D"(at), "+c"(words) : "a"(0ull) : "memory");
}

static inline void x86_copy(void *to, const void *from, size_t words)
{
	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words)::"memory");
}

#endif
