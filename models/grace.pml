/* SPDX-License-Identifier: MIT */
/*
 * Grace periods: two readers that come online, run sections and go offline, and a writer that
 * unpublishes an object and frees it. Both store first and look then:
 *
 *     reader   online: seen = gp ─ FENCE ─ section ─ seen = gp ─ section ─ ... ─ offline: seen = 0
 *     writer   unpublish ─ raise gp ─ FENCE ─ each reader: seen == 0 or seen >= gp? ─ free
 *
 * The stores before the two fences stay in store buffers until `memory` writes them; a release
 * store waits until what was stored before it is seen. Each macro takes one order or fence away;
 * `check` has the list.
 */
#define READERS 2
#define STEPS 4 /* of each reader, at most: it comes online, or runs a section */

byte gp = 1, seen[READERS];
bool published = true, freed;

/* Store buffers. */
byte arriving[READERS];
byte raising; /* 2: unpublished and gp raised; 1: gp raised */

/* sync/grace.h: grace_quiescent. No fence: acquire and release are enough */
inline quiescent()
{
	now = gp;
	atomic { arriving[id] == 0; seen[id] = now; now = 0 }
}

proctype reader(byte id)
{
	byte count, now;
	bool found;

	do
	:: count < STEPS -> /* sync/grace.c: grace_resume */
		count++;
		now = gp;
		atomic { arriving[id] = now; now = 0 };
#ifndef NO_FENCE_ONLINE
		arriving[id] == 0; /* full fence: pairs with the writer's */
#endif
		do
		:: count < STEPS ->
			count++;
			found = published;
#ifdef QUIESCENT_IN_SECTION
			quiescent();
#endif
			atomic { assert(!found || !freed); found = false };
			quiescent()
		:: true -> break
		od;
		atomic { arriving[id] == 0; seen[id] = 0 }
	:: true -> break
	od
}

/* sync/grace.c: grace_defer, begin, passed_all */
proctype writer()
{
	byte g = gp + 1, i;

#ifdef RAISE_BEFORE_UNPUBLISH
	gp = g;
	published = false;
#else
	raising = 2;
#endif
#ifndef NO_FENCE_GRACE
	raising == 0; /* full fence: pairs with grace_resume's */
#endif
#ifndef NO_GRACE
	do
	:: i < READERS -> seen[i] == 0 || seen[i] >= g; i++
	:: else -> break
	od;
#endif
	raising == 0;
	freed = true
}

proctype memory()
{
end:
	do
	:: d_step { raising == 2 -> published = false; raising = 1 }
	:: d_step { raising == 1 -> gp++; raising = 0 }
	:: d_step { arriving[0] != 0 -> seen[0] = arriving[0]; arriving[0] = 0 }
	:: d_step { arriving[1] != 0 -> seen[1] = arriving[1]; arriving[1] = 0 }
	od
}

init {
	atomic { run reader(0); run reader(1); run writer(); run memory() };
	timeout; /* nothing can move: then the period has ended */
	assert(freed)
}
