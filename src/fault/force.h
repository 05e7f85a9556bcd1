/* SPDX-License-Identifier: MIT */
/*
 * Retries by force: what bench/retry asks of the fault path, to learn what a retry costs. At each
 * place where a fault looks whether something has changed, forced() makes it find that it has; all
 * that follows is what follows a real change. Without QUIRE_FORCE, that is everywhere else, both
 * functions are false and leave no instruction behind.
 */
#ifndef QUIRE_FAULT_FORCE_H
#define QUIRE_FAULT_FORCE_H

#include "fault/fault.h"

#ifdef QUIRE_FORCE

/* What comes next, on the only CPU: `reason` is found, so many times. */
struct force {
	unsigned times;
	enum quire_counter reason;
	/* What a fault does then: give back what it has prepared; go to the classic path. */
	bool gives_back, classic;
};
extern struct force force;

/* bench/retry_force.c: one of the times. Returns true. */
bool force_change(struct fault *f);
/* An attempt has failed: does the fault end speculating? */
bool force_classic(struct fault *f);

static ALWAYS_INLINE bool forced(struct fault *f, enum quire_counter reason)
{
	return unlikely(force.times != 0) && force.reason == reason && force_change(f);
}

#else

/* Macros: of a function even the call that is folded away sways the compiler's guesses. */
#define forced(f, reason) false
#define force_classic(f) false

#endif

#endif
