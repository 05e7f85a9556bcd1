/* SPDX-License-Identifier: MIT */
/*
 * Waiting, on a host that has futexes. A CPU that sleeps is outside while it does: nobody waits for
 * it, and it drops what it must when it wakes. A CPU that spins answers flushes at each turn.
 */
#define _GNU_SOURCE
#include "soft.h"
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SPIN_TURNS 64 /* of a wait, before the host is offered its processor back */

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

	/* All its errors (a signal, a word that has changed) mean: look again. */
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
	port_back(was);
}

void port_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void soft_relax(unsigned turn)
{
	/* Virtual CPUs often outnumber the host's: whom we wait for may need ours. */
	if (turn >= SPIN_TURNS) {
		sched_yield();
		return;
	}
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#else
	__asm__ volatile("" ::: "memory");
#endif
}

void port_pause(unsigned turn)
{
	if (at_load(soft_request) != 0)
		soft_answer();
	soft_relax(turn);
}

uint64_t port_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

_Noreturn void port_panic(const char *file, int line, const char *what)
{
	fprintf(stderr, "quire: %s:%d: %s\n", file, line, what);
	abort();
}
