/* SPDX-License-Identifier: MIT */
/*
 * The one rule: publish, then sweep; check, then store. One address, one leaf table under a root;
 * two CPUs that touch the address, and a writer that takes its mapping away.
 *
 *     writer   publish ─ retire ─ FENCE ─ read root ─ lock leaf ─ sweep ─ unhook ─ flush ─ free
 *     cpu      look up ─ lock root ─ hook ─ FENCE ─ lock leaf ─ check ─ store ─ unlock
 *
 * Memory is sequentially consistent but for the stores before the two fences: those stay in a store
 * buffer until `memory` writes them. Taking a lock is acquire and giving it back is release, no
 * more: a buffer is empty before an unlock is seen.
 *
 * Steps are merged (atomic) where nobody could tell: taking a lock with the look that follows it,
 * private work with the step before it.
 *
 * Each macro (NO_..., ..._BEFORE_...) takes one check, order or fence away; `check` has the list,
 * README.md says what each process stands for.
 */
#define NONE 0
#define TABLES 5
#define PAGES 4
#define CPUS 2
#define WRITER 2	/* a CPU as well, but it uses no translation */
#define EXCLUSIVE 9	/* range */
#define DEFERRED 8	/* table_wait, vma_wait: besides a bit for each open section */

mtype = { PENDING, LIVE, RETIRED };
#define A 1 /* the VMA that is there at first */
#define B 2 /* the one that may come in its place */

/* The address space. */
byte tree = A;
mtype seq[3];
byte range; /* how many hold it shared, or EXCLUSIVE */
bool vma_freed[3];
byte vma_wait[3];

/* Tables and pages, numbered from 1. A table has one entry: a page. */
byte root;
bool root_lock;
bool table_used[TABLES + 1], lock[TABLES + 1], dead[TABLES + 1];
byte entry[TABLES + 1], table_wait[TABLES + 1];
bool page_used[PAGES + 1];

/* TLBs of one entry; requests to drop it; who is in a section. */
byte tlb[CPUS + 1];
bool request[CPUS + 1];
byte sections;

/* Store buffers: what has been stored, and nobody else sees yet. */
byte hooking[CPUS];
byte publishing, next_tree, retiring;

/* For the properties alone. */
bool changed[CPUS];    /* something was changed since this CPU's attempt began */
byte owner[PAGES + 1]; /* the VMA that a page was mapped for */
bool gone[3];	       /* munmap of the VMA has returned, or B is live in its place */
byte finished;
hidden byte i;

#define tell_all() changed[0] = true; changed[1] = true
#define is_for(p, vma) ((p) != NONE && owner[p] == vma)
#define is_reachable(vma) \
	(is_for(tlb[0], vma) || is_for(tlb[1], vma) || (root != NONE && is_for(entry[root], vma)))

/* --- flushes: ports/soft/flush.c --- */

inline answer()
{
	d_step { request[id] -> request[id] = false; tlb[id] = NONE }
}

/* Ask the other CPUs and wait for them, answering meanwhile. => no lock held, in no section */
inline flush()
{
	d_step {
		request[(id + 1) % 3] = true;
		request[(id + 2) % 3] = true;
		tlb[id] = NONE
	}
	do
	:: !request[(id + 1) % 3] && !request[(id + 2) % 3] -> break
#ifndef NO_ANSWER_IN_FLUSH
	:: answer()
#endif
	od
}

/* --- grace periods: what is deferred waits for the sections that are open (sync/grace.h) --- */

inline section_enter() { sections = sections | 1 << id }

/* All is freed at the first moment at which it may be: the worst for whoever still has it. */
inline free_ready()
{
	if
	:: vma_wait[A] == DEFERRED -> vma_freed[A] = true; vma_wait[A] = 0
	:: else
	fi;
	if
	:: vma_wait[B] == DEFERRED -> vma_freed[B] = true; vma_wait[B] = 0
	:: else
	fi;
	for (i : 1 .. TABLES) {
		if
		:: table_wait[i] == DEFERRED -> free_table(i)
		:: else
		fi
	}
	i = 0
}

inline section_leave()
{
	d_step {
		sections = sections & ~(1 << id);
		vma_wait[A] = vma_wait[A] & ~(1 << id);
		vma_wait[B] = vma_wait[B] & ~(1 << id);
		for (i : 1 .. TABLES) {
			table_wait[i] = table_wait[i] & ~(1 << id)
		}
		free_ready()
	}
}

inline defer_table(t)
{
#ifdef NO_GRACE
	free_table(t);
#else
	d_step { table_wait[t] = DEFERRED | sections; free_ready() };
#endif
	t = NONE
}

/* --- locks, tables, pages --- */

/* => who spins answers flushes */
inline acquire(l)
{
	do
	:: !l -> l = true; break
	:: d_step { l && request[id] -> request[id] = false; tlb[id] = NONE }
	od
}

/* The lowest that is free. */
#define take(pool, which)                                                                          \
	d_step {                                                                                   \
		i = 1;                                                                             \
		do                                                                                 \
		:: pool[i] -> i++                                                                  \
		:: else -> break                                                                   \
		od;                                                                                \
		pool[i] = true;                                                                    \
		which = i                                                                          \
	}

inline free_table(t)
{
	assert(table_used[t] && !lock[t] && entry[t] == NONE && root != t);
	table_used[t] = false;
	table_wait[t] = 0;
	dead[t] = false
}

inline free_page(p)
{
	d_step {
		assert(page_used[p] && tlb[0] != p && tlb[1] != p);
		assert(root == NONE || entry[root] != p);
		page_used[p] = false;
		owner[p] = NONE;
		p = NONE
	}
}

/* table/hook.c: unhook. => in a section, no lock held */
inline unhook(t, unhooked)
{
	atomic {
		acquire(root_lock);
		assert(table_used[t])
	};
	atomic {
		acquire(lock[t]);
		if
		:: entry[t] == NONE && !dead[t] ->
			assert(root == t);
			dead[t] = true;
			root = NONE;
			unhooked = t;
			tell_all()
		:: else
		fi;
		lock[t] = false;
		root_lock = false
	}
}

/* --- a CPU: one access, and the faults that it takes --- */

/*
 * fault/resolve.c: mapping_holds, of which the look at seq comes first.
 * => the leaf's lock held, or the root's
 */
#define still_live() (seq[v] == LIVE)
inline look_again()
{
	atomic {
		now = tree;
		if
#ifdef NO_SEQ_CHECK_AGAIN
		:: now != NONE -> v = now; holds = true
#else
		:: now != NONE && seq[now] == LIVE -> v = now; holds = true
#endif
		:: else
		fi;
		now = NONE
	}
}

/* fault/fault.c: the end of quire_fault. => leaves the section and the range */
inline discard()
{
	atomic {
		section_leave();
		range = range - classic;
		if
		:: spare != NONE -> d_step { free_table(spare); spare = NONE }
		:: else
		fi;
		if
		:: page != NONE -> free_page(page)
		:: else
		fi;
		d_step { classic = false; holds = false; v = NONE; t = NONE; changed[id] = false }
	}
}

proctype cpu(byte id)
{
	byte v, now, t, p;	    /* VMAs, leaf, what its entry holds */
	byte spare, page, unhooked; /* a table and a page that are prepared travel along */
	bool hooked, classic, holds;

access: /* ports/soft/mmu.c: no answer between the walk and the use of what it found */
	do
	:: answer()
	:: t = root; break
	od;
	atomic {
		if
		:: t == NONE -> goto fault
		:: else -> assert(table_used[t]); p = entry[t]; t = NONE
		fi
	};
	atomic {
		if
		:: p == NONE -> goto fault
		:: else
		fi;
		assert(page_used[p]);
		assert(!gone[owner[p]]);
		/* Never two pages at one address. */
		assert(tlb[1 - id] == NONE || tlb[1 - id] == p);
		tlb[id] = p;
		p = NONE
	};
	goto through;

fault: /* fault/fault.c */
	section_enter();
attempt:
	atomic {
		changed[id] = false;
		v = tree;
		if
		:: v == NONE -> goto uncertain
		:: else
		fi
	};
	atomic {
		assert(!vma_freed[v]);
		if
		:: seq[v] == PENDING -> goto uncertain
		:: seq[v] == RETIRED -> goto retry
		:: seq[v] == LIVE
		fi
	};

walk: /* fault/resolve.c. A CPU sees its own store before others do */
	atomic {
		t = (hooking[id] != NONE -> hooking[id] : root);
		if
		:: t != NONE -> goto leaf
		:: t == NONE && spare == NONE -> take(table_used, spare)
		:: else
		fi
	};
	atomic {
		acquire(root_lock);
		assert(!vma_freed[v]);
		holds = still_live()
	};
	if
	:: !holds -> look_again()
	:: else
	fi;
	atomic {
		if
		:: !holds -> root_lock = false; goto retry
#ifdef NO_RECHECK_AT_HOOK
		:: holds
#else
		:: holds && root != NONE -> root_lock = false; goto walk
		:: holds && root == NONE
#endif
		fi;
		/* `memory` stores it, and then gives the lock back. */
		d_step { hooking[id] = spare; spare = NONE; hooked = true }
	};
#ifndef NO_FENCE_HOOK
	hooking[id] == NONE; /* full fence: pairs with the sweep's */
#endif
	goto walk;

leaf:
	atomic {
		assert(table_used[t]);
		if
		:: entry[t] != NONE -> goto resolved
		:: entry[t] == NONE && page == NONE -> take(page_used, page)
		:: else
		fi
	};
	atomic {
		acquire(lock[t]);
		assert(table_used[t] && !vma_freed[v]);
#ifndef NO_DEAD_CHECK
		if
		:: dead[t] -> goto unlock_retry
		:: else
		fi;
#endif
#ifndef NO_ENTRY_CHECK
		if
		:: entry[t] != NONE -> goto unlock_retry
		:: else
		fi;
#endif
#ifdef NO_SEQ_CHECK
		holds = true
#else
		holds = still_live()
#endif
	};
	if
	:: !holds -> look_again()
	:: else
	fi;
	if
	:: !holds -> goto unlock_retry
	:: else
	fi;
	d_step {
		assert(table_used[t]);
		assert(!gone[v]);
		owner[page] = v;
		entry[t] = page;
		page = NONE;
		tell_all()
	};
	atomic { hooking[id] == NONE; lock[t] = false };
	goto resolved;

unlock_retry:
	atomic { hooking[id] == NONE; lock[t] = false };
retry: /* each retry is somebody else's progress: none is for nothing */
	atomic {
		assert(changed[id]);
		section_leave();
		d_step { holds = false; v = NONE; t = NONE }
	};
	do
	:: answer()
	:: section_enter(); goto attempt
	od;

uncertain: /* the classic path: only with the range locked is there a verdict */
	if
	:: classic -> goto verdict
	:: else
	fi;
	atomic { section_leave(); v = NONE };
	do
	:: answer()
	:: d_step { range != EXCLUSIVE -> range++; classic = true }; break
	od;
	section_enter();
	goto attempt;

resolved:
	discard();
	hooked = false;
	goto access;

verdict:
	atomic { assert(v == NONE); discard() };
#ifndef NO_UNHOOK_UNUSED
	if
	:: hooked -> /* unhook_unused: no sweep may ever come for the table */
		section_enter();
		t = root;
		if
		:: t != NONE -> unhook(t, unhooked)
		:: else
		fi;
		atomic { section_leave(); t = NONE };
		if
		:: unhooked != NONE -> flush(); defer_table(unhooked)
		:: else
		fi
	:: else
	fi;
#endif

through:
	atomic { finished++; hooked = false; changed[id] = false };
end:
	do
	:: answer()
	od
}

/* --- the writer: munmap; then mmap, perhaps, and munmap. Or mmap with MAP_FIXED over A --- */

/* space/edit.c: commit. The buffer keeps the order of the two stores. */
inline publish(vma)
{
	d_step { next_tree = vma; retiring = old; publishing = 2 }
}

/* space/sweep.c, for the one leaf. => opens and closes a section */
inline sweep()
{
	section_enter();
again:
	t = root;
	if
	:: t == NONE -> goto swept
	:: else
	fi;
	atomic {
		acquire(lock[t]);
		assert(table_used[t]);
		if
		:: dead[t] -> goto unlock_again
		:: else
		fi;
		taken = entry[t];
		entry[t] = NONE;
		tell_all()
	};
	atomic { publishing == 0; lock[t] = false };
#ifndef UNHOOK_AFTER_FLUSH
	if
	:: !fixed -> unhook(t, unhooked)
	:: else
	fi;
#endif
	goto swept;
unlock_again:
	atomic { publishing == 0; lock[t] = false };
	section_leave();
	section_enter();
	goto again;
swept:
	section_leave()
}

/* table/gather.c: gather_finish */
inline finish_gather()
{
#ifdef FREE_BEFORE_FLUSH
	if
	:: taken != NONE -> free_page(taken); flush()
	:: else
	fi;
#endif
#ifndef NO_FLUSH
	if
	:: taken != NONE || unhooked != NONE -> flush()
	:: else
	fi;
#endif
	if
	:: taken != NONE -> free_page(taken)
	:: else
	fi;
#ifdef UNHOOK_AFTER_FLUSH
	if
	:: t != NONE && !fixed -> unhook(t, unhooked)
	:: else
	fi;
#endif
	if
	:: unhooked != NONE -> defer_table(unhooked)
	:: else
	fi
}

proctype writer(byte id)
{
	byte old = A, t, taken, unhooked;
	bool fixed;

	if
	:: fixed = true
	:: fixed = false
	fi;
write:
	do
	:: answer()
	:: d_step { range == 0 -> range = EXCLUSIVE }; break
	od;
#ifdef SWEEP_BEFORE_PUBLISH
	sweep();
#endif
	if
	:: !fixed -> publish(NONE)
#ifdef NO_PENDING
	:: fixed -> seq[B] = LIVE; publish(B)
#else
	:: fixed -> publish(B)
#endif
	fi;
#ifndef NO_FENCE_SWEEP
	publishing == 0; /* full fence: pairs with the hook's */
#endif
#ifndef SWEEP_BEFORE_PUBLISH
	sweep();
#endif
	finish_gather();
	publishing == 0;
	atomic { /* what the call promises: nobody reaches a page of the old mapping any more */
		assert(!is_reachable(old));
		gone[old] = true;
		range = 0;
		t = NONE;
		if
		:: fixed -> seq[B] = LIVE; tell_all()
		:: else
		fi
	};
	if
	:: !fixed && old == A -> /* mmap, somewhere: here. No range is locked */
		atomic { seq[B] = LIVE; tree = B; old = B; tell_all() };
		if
		:: goto write
		:: true
		fi
	:: true
	fi;
	finished++;
end:
	do
	:: answer()
	od
}

/* What is in the buffers is written, sooner or later. */
inline retire()
{
	seq[retiring] = RETIRED;
	vma_wait[retiring] = DEFERRED | sections;
	free_ready()
}

inline write_hook(c)
{
	d_step {
		hooking[c] != NONE ->
		root = hooking[c];
		hooking[c] = NONE;
		root_lock = false;
		tell_all()
	}
}

proctype memory()
{
end:
	do
#ifdef RETIRE_BEFORE_PUBLISH
	:: d_step { publishing == 2 -> publishing = 1; retire() }
	:: d_step { publishing == 1 -> publishing = 0; tree = next_tree; tell_all() }
#else
	:: d_step { publishing == 2 -> publishing = 1; tree = next_tree; tell_all() }
	:: d_step { publishing == 1 -> publishing = 0; retire() }
#endif
	:: write_hook(0)
	:: write_hook(1)
	od
}

init {
	atomic {
		seq[A] = LIVE;
		seq[B] = PENDING;
		run cpu(0);
		run cpu(1);
		run writer(WRITER);
		run memory()
	};
	/* Nothing can move: all are through, nothing is lost and nothing is left over. */
	timeout;
	d_step {
		assert(finished == CPUS + 1);
		assert(!root_lock && range == 0 && publishing == 0 && sections == 0);
		assert(tree != NONE || root == NONE);
		assert(vma_freed[A] && vma_freed[B] == gone[B]);
		for (i : 1 .. TABLES) {
			assert(!lock[i] && table_used[i] == (root == i))
		}
		for (i : 1 .. PAGES) {
			assert(page_used[i] == (root != NONE && entry[root] == i))
		}
		i = 0
	}
}
