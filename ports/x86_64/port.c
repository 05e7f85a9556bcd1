/* SPDX-License-Identifier: MIT */
/* Starting the port, spaces, and what the port asks of the kernel in the core's name. */
#include "x86.h"

#define CR4_LA57 (1ull << 12)
#define CR4_KEYS (1ull << 22)
#define EFER_NX (1ull << 11)

struct x86_machine x86_machine;

/* A table's entries for the upper half, which belong to the kernel. */
static uint64_t *upper_half(uint64_t root)
{
	return (uint64_t *)port_frame(root >> PAGE_SHIFT) + TABLE_ENTRIES / 2;
}

int quire_x86_init(const struct quire_x86_config *config)
{
	unsigned levels = x86_cr4() & CR4_LA57 ? 5 : 4;
	unsigned bits = PAGE_SHIFT + TABLE_BITS * levels - 1;
	int64_t top = (int64_t)config->direct_map >> bits;

	if ((config->direct_map | config->kernel_root) & PAGE_MASK || top != -1 ||
	    config->kernel_root >> 52 != 0 || config->cpus == 0 || config->cpus > MAX_CPUS)
		return -QUIRE_EINVAL;
	if ((x86_efer() & EFER_NX) == 0)
		return -QUIRE_ENODEV;
	x86_machine = (struct x86_machine){
		.direct_map = config->direct_map,
		.kernel_root = config->kernel_root,
		.keys = (x86_cr4() & CR4_KEYS) != 0,
	};
	return (int)levels;
}

void quire_x86_cpu_init(struct quire_x86_cpu *cpu, unsigned index)
{
	memset(cpu, 0, sizeof(*cpu));
	cpu->index = index;
	x86_cpus[index] = cpu;
}

int port_space_init(struct port_space *space, uint64_t root_pfn, unsigned levels)
{
	(void)levels;
	space->root_pfn = root_pfn;
	for (unsigned i = 0; i < MAX_CPUS / 64; i++)
		at_store(&space->cpus[i], 0ull);
	memcpy(upper_half(root_pfn << PAGE_SHIFT), upper_half(x86_machine.kernel_root),
	       PAGE_SIZE / 2);
	return 0;
}

void port_space_exit(struct port_space *space)
{
	/* Acquire: pairs with quire_x86_switch's leaving. */
	for (unsigned i = 0; i < MAX_CPUS / 64; i++)
		require(at_load_acquire(&space->cpus[i]) == 0);
}

/* Only the word's address and value pass the border: a kernel's atomics are its own affair. */
void port_wait(_Atomic uint32_t *word, uint32_t seen)
{
	quire_x86_wait((uint32_t *)(void *)word, seen);
}

void port_wake(_Atomic uint32_t *word)
{
	quire_x86_wake((uint32_t *)(void *)word);
}

uint64_t port_clock(void)
{
	return quire_x86_clock();
}

_Noreturn void port_panic(const char *file, int line, const char *what)
{
	quire_x86_panic(file, line, what);
}
