/* SPDX-License-Identifier: MIT */
/*
 * Failure injection: a run without failures counts the calls (inject_set(0), inject_count), then
 * one run for each n lets the n-th fail. All CPUs share one counter, so n names a call for certain
 * only where one CPU allocates.
 */
#include "frame/frame.h"

#ifdef QUIRE_DEBUG

static _Atomic uint64_t calls, failing;

void inject_set(uint64_t n)
{
	at_store(&failing, n);
	at_store(&calls, 0ull);
}

uint64_t inject_count(void)
{
	return at_load(&calls);
}

bool inject_fails(void)
{
	return at_add(&calls, 1ull) + 1 == at_load(&failing);
}

#endif
