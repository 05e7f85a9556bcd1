/* SPDX-License-Identifier: MIT */
/*
 * Waiting, on virtual CPUs that the explorer runs one at a time. As in the soft port a CPU that
 * sleeps is outside meanwhile, and a CPU that spins answers flushes.
 */
#include "inside.h"

/* How deep the CPU was inside, and one more; 0: it was outside. Who enters meanwhile comes in. */
uint32_t port_away(void)
{
	struct soft_cpu *cpu = soft_self;
	uint32_t depth;

	if (cpu == NULL || at_load(&cpu->inside) == 0)
		return 0;
	depth = cpu->depth;
	cpu->depth = 0;
	soft_go_out(cpu);
	return depth + 1;
}

void port_back(uint32_t was)
{
	struct soft_cpu *cpu = soft_self;

	if (was == 0)
		return;
	require(cpu->depth == 0); /* what was entered meanwhile was left */
	soft_come_in(cpu);
	cpu->depth = was - 1;
}

void port_wait(_Atomic uint32_t *word, uint32_t seen)
{
	uint32_t was = port_away();

	memory_touch(word);
	memory_drain(self);
	/* Looked at and gone to sleep in one step, as a futex does it. */
	if (*(volatile uint32_t *)word == seen)
		run_sleep(word);
	port_back(was);
}

void port_wake(_Atomic uint32_t *word)
{
	if (phase != PHASE_RUN)
		return;
	memory_touch(word);
	memory_drain(self);
	run_wake(word);
}

void soft_relax(unsigned turn)
{
	(void)turn;
	run_pause();
}

void port_pause(unsigned turn)
{
	if (at_load(soft_request) != 0)
		soft_answer();
	soft_relax(turn);
}

/* A millisecond each time it is asked: the same in every run that does the same. */
uint64_t port_clock(void)
{
	return vcpus[self].now += 1000000;
}

_Noreturn void port_panic(const char *file, int line, const char *what)
{
	explore_fail("panic at %s:%d: %s", file, line, what);
}
