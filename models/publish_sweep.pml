/* SPDX-License-Identifier: MIT */
/*
 * The one rule: publish, then sweep; check, then store. One address, whose leaf table comes and
 * goes; two CPUs that access it, and a writer that takes its mapping away.
 *
 *     munmap   publish ─ retire ─ FENCE ─ read root ─ lock leaf ─ sweep ─ unhook ─ flush ─ free
 *     fault    look up ─ lock root ─ hook ─ FENCE ─ walk ─ lock leaf ─ check ─ store ─ unlock
 *
 * Memory is sequentially consistent but for the stores before the two fences: those stay in a store
 * buffer until `memory` writes them. To take a lock is acquire and to give it back is release, no
 * more: what is in the buffer is written before the lock is seen free.
 *
 * `check` has the list of the macros that take one check, order or fence away each; README.md says
 * what is left out.
 */
#define NONE 0
#define CPUS 2
#define when(condition, step) if :: condition -> step :: else fi

/* All that is allocated has a number: tables 1 to 4, pages 5 to 7, the VMAs 8 and 9. */
#define TABLE 1
#define PAGE 5
#define A 8 /* the VMA that is there at first */
#define B 9 /* the one that may come when A is gone */
#define OBJECTS 10

bool used[OBJECTS];
byte holders[OBJECTS]; /* of what waits for a grace period: the sections that may have found it */
byte sections;	       /* a bit for each CPU that is in one */
#define exists(x) (used[x] || holders[x] != 0)

/* The address space. */
byte tree = A;
bool retired[OBJECTS]; /* a VMA's seq */
byte root;	       /* its one entry: the leaf */
bool root_lock, lock[PAGE], dead[PAGE];
byte entry[PAGE]; /* a leaf's one entry: the page */

byte tlb[CPUS];	    /* the one translation that each CPU has */
bool request[CPUS]; /* a flush asks to drop it */

/* Store buffers: the table that each CPU hooks; the VMA that munmap takes out and retires. */
byte hooking[CPUS], unmapping;

/* For the properties alone. */
byte mapped = A; /* the VMA, until its munmap has returned */
byte through;	 /* how many processes are */
hidden byte i;

/* --- what is allocated, and when it is free again: frame/frame.c, sync/grace.h --- */

/* The lowest that is free: so what was freed comes back soon. */
inline take(x, first)
{
	x = first;
	do
	:: exists(x) -> x++
	:: else -> break
	od;
	used[x] = true
}

inline free_page(x)
{
	d_step {
		assert(tlb[0] != x && tlb[1] != x && (root == NONE || entry[root] != x));
		used[x] = false;
		x = NONE
	}
}

/* grace_defer */
inline defer(x)
{
	used[x] = false;
	holders[x] = sections
}

inline section_leave()
{
	d_step {
		for (i : 1 .. OBJECTS - 1) {
			holders[i] = holders[i] & ~(1 << id)
		};
		sections = sections & ~(1 << id)
	}
}

/* --- a CPU: accesses, any number of them, and their faults --- */

/* ports/soft/flush.c */
inline answer()
{
	d_step { request[id] -> request[id] = false; tlb[id] = NONE }
}

/* sync/spin.c: who spins answers flushes */
inline acquire(l)
{
	do
	:: atomic { !l -> l = true }; break
	:: answer()
	od
}

proctype cpu(byte id)
{
	byte vma, leaf;

access: /* ports/soft/mmu.c: no answer between the walk and the use of what it found */
	do
	:: answer()
	:: tlb[id] != NONE ->
progress_accessed:
		assert(exists(tlb[id]) && mapped != NONE)
	:: tlb[id] == NONE -> leaf = root; break
	:: goto stop
	od;
	when(leaf == NONE, goto fault);
	atomic { assert(exists(leaf)); tlb[id] = entry[leaf] };
	when(tlb[id] != NONE, goto access);

fault: /* fault/fault.c: attempt, search. Its glance at seq only saves time here */
	sections = sections | 1 << id;
	vma = tree;
	when(vma == NONE, goto refused);
	assert(exists(vma));

walk: /* fault/resolve.c: fault_resolve. A CPU sees its own store before others do */
	leaf = (hooking[id] != NONE -> hooking[id] : root);
	when(leaf != NONE, goto touch);
	acquire(root_lock); /* add_table; table/hook.c: table_hook */
#ifndef NO_CHECK_AT_HOOK
	when(root != NONE, root_lock = false; goto walk);
#endif
	/* `memory` stores it in the root, and then gives the lock back. */
	atomic { take(hooking[id], TABLE); dead[hooking[id]] = false };
#ifndef NO_FENCE_HOOK
	hooking[id] == NONE; /* the barrier of locking the leaf: pairs with the sweep's */
#endif
	goto walk;

touch: /* first_touch, lock_leaf */
	acquire(lock[leaf]);
	assert(exists(leaf));
#ifndef NO_DEAD_CHECK
	when(dead[leaf], goto unlock);
#endif
#ifndef NO_ENTRY_CHECK
	when(entry[leaf] != NONE, goto unlock);
#endif
#ifndef NO_SEQ_CHECK
	/* mapping_holds: the VMA is live, or another is there that says the same */
	assert(exists(vma));
	when(!retired[vma], goto store);
	vma = tree;
	when(vma == NONE, goto unlock);
#endif
store:
	atomic { assert(exists(leaf) && mapped == vma); take(entry[leaf], PAGE) };
unlock: /* release */
	atomic { hooking[id] == NONE; lock[leaf] = false };
	section_leave(); /* mapped, or to be tried again: the next walk tells */
	goto access;
refused:
progress_refused: /* the CPU gives up, or accesses again */
	section_leave();
	goto access;

stop:
	through++;
end:
	do
	:: answer()
	od
}

/* --- the writer --- */

/* space/sweep.c: space_zap. A leaf is locked even if nothing is in it. */
inline sweep()
{
	leaf = root;
#ifdef SKIP_EMPTY_LEAF
	when(leaf != NONE && entry[leaf] == NONE, leaf = NONE);
#endif
	if
	:: leaf != NONE ->
		atomic { !lock[leaf] -> lock[leaf] = true; page = entry[leaf]; entry[leaf] = NONE };
		atomic { unmapping == NONE; lock[leaf] = false }
	:: else
	fi
}

/* table/hook.c: unhook. The leaf's lock is held for one step: it has to be free, no more. */
inline unhook()
{
	atomic { !root_lock -> root_lock = true };
	atomic { !lock[leaf]; assert(entry[leaf] == NONE); dead[leaf] = true; root = NONE };
	root_lock = false
}

inline flush()
{
	d_step { request[0] = true; request[1] = true };
	!request[0] && !request[1]
}

inline munmap()
{
#ifdef SWEEP_BEFORE_PUBLISH
	sweep();
#endif
	unmapping = tree; /* space/edit.c: commit. `memory` does it */
#ifndef NO_FENCE_SWEEP
	unmapping == NONE; /* the barrier of grace_defer's lock, in retire: pairs with the hook's */
#endif
#ifndef SWEEP_BEFORE_PUBLISH
	sweep();
#endif
	when(leaf == NONE, goto unmapped);
#ifndef UNHOOK_AFTER_FLUSH
	unhook();
#endif
#ifdef FREE_BEFORE_FLUSH
	when(page != NONE, free_page(page));
#endif
#ifdef FLUSH_FOR_PAGES_ONLY
	when(page != NONE, flush());
#elif !defined(NO_FLUSH)
	flush(); /* table/gather.c: gather_finish */
#endif
#ifdef UNHOOK_AFTER_FLUSH
	unhook();
#endif
	when(page != NONE, free_page(page));
	d_step { defer(leaf) };
#ifdef NO_GRACE_FOR_TABLES
	holders[leaf] = 0;
#endif
unmapped: /* nobody reaches the page any more */
	unmapping == NONE;
	assert(tlb[0] == NONE && tlb[1] == NONE && (root == NONE || entry[root] == NONE));
	mapped = NONE
}

proctype writer()
{
	byte leaf, page;

	do
	:: tree != NONE -> munmap()
	:: tree == NONE && !retired[B] -> d_step { used[B] = true; tree = B; mapped = B } /* mmap */
	:: through++; break
	od
}

/* --- what is in the store buffers is written, sooner or later --- */

inline retire()
{
	retired[unmapping] = true;
	defer(unmapping);
#ifdef NO_GRACE_FOR_VMAS
	holders[unmapping] = 0
#endif
}

proctype memory()
{
end:
	do
#ifdef RETIRE_BEFORE_PUBLISH
	:: d_step { unmapping != NONE && !retired[unmapping] -> retire() }
	:: d_step { unmapping != NONE && retired[unmapping] -> tree = NONE; unmapping = NONE }
#else
	:: d_step { unmapping != NONE && tree != NONE -> tree = NONE }
	:: d_step { unmapping != NONE && tree == NONE -> retire(); unmapping = NONE }
#endif
	:: d_step { hooking[0] != NONE -> root = hooking[0]; hooking[0] = NONE; root_lock = false }
	:: d_step { hooking[1] != NONE -> root = hooking[1]; hooking[1] = NONE; root_lock = false }
	od
}

init {
	atomic { used[A] = true; run cpu(0); run cpu(1); run writer(); run memory() };
	/* Nothing can move: all are through, and every table and page is mapped or free. */
	timeout;
	d_step {
		assert(through == CPUS + 1 && mapped == tree && sections == 0 && !root_lock);
		for (i : TABLE .. PAGE - 1) {
			assert(!lock[i] && exists(i) == (root == i))
		}
		for (i : PAGE .. A - 1) {
			assert(exists(i) == (root != NONE && entry[root] == i))
		}
	}
}
