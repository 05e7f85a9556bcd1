/* SPDX-License-Identifier: MIT */
/*
 * Waiting, on virtual CPUs that the explorer runs one at a time. As in the soft port a CPU that
 * sleeps is outside meanwhile, and a CPU that spins answers flushes.
 */
#include "inside.h"

/* As in the soft port, but operations of scenarios don't enter by themselves. */
uint32_t port_away(void)
{
	bool inside = soft_self != NULL && at_load(&soft_self->inside) != 0;

	if (inside)
		soft_go_out(soft_self);
	return inside;
}

void port_back(uint32_t was)
{
	if (was != 0)
		soft_come_in(soft_self);
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
