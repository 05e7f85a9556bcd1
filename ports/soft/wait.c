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

bool port_away(void)
{
	bool inside = soft_self != NULL && at_load(&soft_self->inside) != 0;

	if (inside)
		soft_go_out(soft_self);
	return inside;
}

void port_back(bool inside)
{
	if (inside)
		soft_come_in(soft_self);
}

void port_wait(_Atomic uint32_t *word, uint32_t seen)
{
	bool inside = port_away();

	/* All its errors (a signal, a word that has changed) mean: look again. */
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
	port_back(inside);
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
