/* SPDX-License-Identifier: MIT */
/*
 * Copy-on-write against fork: one page of one address, two CPUs that read and write it, two forks
 * that run side by side, and what their children do to the page that they got.
 *
 *     fork     lock ─ write-protect, share ─ unlock ─────────────────────── flush ─ return
 *     fault    lock ─ check ─ busy ─ unlock ─ flush ─ copy ─ lock ─ new entry ─ unlock ─ put
 *     cpu      writes by the translation that it has, until it answers a flush
 *
 * Each write writes a number that is new, so a lost write shows. Memory is sequentially consistent.
 * `check` has the list of the macros that take one thing away each.
 */
#define NONE 0
#define when(condition, step) if :: condition -> step :: else fi
#define CPUS 2
#define FORKS 2
#define ACCESSES 2
#define PAGES 6

/* The entry, as it is in the leaf and in the TLBs. It is never empty here. */
#define BUSY 255
#define WRITABLE 1
#define make(page, rights) ((page) * 2 + (rights))
#define page_of(e) ((e) / 2)
#define is_writable(e) ((e) % 2)

byte entry;
bool lock; /* the leaf's */
byte refs[PAGES + 1], bytes[PAGES + 1];

byte tlb[CPUS];
bool request[CPUS];
byte child_page[FORKS]; /* what the child maps */

/* For the properties alone. */
byte latest;	      /* what was written last */
bool returned[FORKS]; /* fork has returned, and the child still has the page */
bool shared;	      /* a fork has shared the page */
byte finished;
hidden byte i;

/* --- flushes: ports/soft/flush.c --- */

inline answer()
{
	d_step { request[id] -> request[id] = false; tlb[id] = NONE }
}

/* A fork runs on a CPU that has no translation of the address. */
inline flush_for_fork()
{
	d_step { request[0] = true; request[1] = true };
	!request[0] && !request[1]
}

inline flush()
{
	d_step { request[1 - id] = true; tlb[id] = NONE };
	do
	:: !request[1 - id] -> break
	:: answer()
	od
}

/* --- pages: frame/frame.c --- */

/* The lowest that is free. */
inline take(page)
{
	page = 1;
	do
	:: refs[page] != 0 -> page++
	:: else -> break
	od;
	refs[page] = 1
}

inline put(page)
{
	d_step {
		refs[page]--;
		assert(refs[page] != 0 || (page_of(tlb[0]) != page && page_of(tlb[1]) != page));
		assert(refs[page] != 0 || entry == BUSY || page_of(entry) != page);
		page = NONE
	}
}

/* --- a CPU --- */

proctype cpu(byte id)
{
	byte e, page, source, count, write;

access: /* ports/soft/mmu.c: no answer between the translation and its use */
	do
	:: answer()
	:: count < ACCESSES -> break
	:: count == ACCESSES -> goto through
	od;
	atomic {
		if
		:: write = true
		:: write = false
		fi;
		if
		:: tlb[id] != NONE && is_writable(tlb[id]) >= write -> e = tlb[id]
		:: else -> e = entry /* the walk */
		fi;
		when(e == BUSY, goto pause);
		when(is_writable(e) < write, goto fault);
		tlb[id] = e
	};
	atomic {
		assert(refs[page_of(e)] != 0);
		/* What is read at an address is what was written there last, whoever wrote it. */
		assert(bytes[page_of(e)] == latest);
		latest = latest + write;
		bytes[page_of(e)] = latest;
		/* And a child does not see it. */
		assert(!write || !returned[0] || child_page[0] != page_of(e));
		assert(!write || !returned[1] || child_page[1] != page_of(e));
		e = NONE;
		count++;
		goto access
	};

fault: /* fault/resolve.c: a write, copy_on_write */
	atomic {
		e = entry;
		when(e == BUSY, goto pause);
		when(is_writable(e), goto access) /* spurious */
	};
	when(refs[page_of(e)] != 1, goto replace);
	atomic { /* reuse */
		!lock -> lock = true;
		when(entry != e, goto unlock_pause);
#ifndef NO_REFS_CHECK
		when(refs[page_of(e)] != 1, goto unlock_pause);
#endif
		entry = make(page_of(e), WRITABLE);
		lock = false
	};
	goto access;

replace:
	atomic {
		!lock -> lock = true;
#ifndef NO_ENTRY_CHECK
		when(entry != e, goto unlock_pause);
#endif
		source = page_of(e);
#ifndef NO_BUSY
		entry = BUSY;
#endif
		lock = false
	};
#if !defined(NO_FLUSH_BEFORE_COPY) && !defined(FLUSH_AFTER_COPY) && !defined(FLUSH_AFTER_STORE)
	flush();
#endif
	atomic { take(page); bytes[page] = bytes[source] };
#ifdef FLUSH_AFTER_COPY
	flush();
#endif
	atomic {
		!lock -> lock = true;
#ifdef NO_BUSY
		when(entry != e, put(page); goto unlock_pause);
#else
		assert(entry == BUSY);
#endif
		entry = make(page, WRITABLE);
		lock = false
	};
#ifdef FLUSH_AFTER_STORE
	flush();
#endif
	put(source);
	goto access;

unlock_pause:
	lock = false;
pause: /* a busy entry is another fault's: answers until that is through */
	do
#ifndef NO_ANSWER_IN_PAUSE
	:: answer()
#endif
	:: entry != BUSY -> break
	od;
	goto access;
through:
	finished++;
end:
	do
	:: answer()
	od
}

/* --- space/fork.c, and then the child --- */

proctype fork(byte id)
{
	bool was_writable;

	atomic {
		(id == 0 || shared) && /* the two are alike: say fork 0 is the first */
#ifdef FORK_SKIPS_BUSY
		!lock;
#else
		!lock && entry != BUSY;
#endif
		shared = true;
		assert(entry != BUSY); /* what is there before the call must be in the child */
		child_page[id] = page_of(entry);
		assert(bytes[child_page[id]] == latest);
		refs[child_page[id]]++;
		was_writable = is_writable(entry);
#ifndef NO_WRITE_PROTECT
		entry = make(child_page[id], 0)
#endif
	};
#ifdef FLUSH_ONLY_IF_WRITABLE
	when(was_writable, flush_for_fork());
#elif !defined(NO_FLUSH_BY_FORK)
	flush_for_fork();
#endif
	returned[id] = true;
	/* The child gives the page up; or has the last reference: put says that it is alone. */
	d_step { returned[id] = false; finished++ };
	put(child_page[id])
}

init {
	atomic {
		refs[1] = 1;
		if
		:: entry = make(1, WRITABLE)
		:: entry = make(1, 0) /* an earlier child has exited */
		fi;
		run fork(0); run fork(1); run cpu(0); run cpu(1)
	};
	/* Nothing can move: all are through, no page is lost. */
	timeout;
	d_step {
		assert(finished == CPUS + FORKS && !lock && entry != BUSY);
		for (i : 1 .. PAGES) {
			assert(refs[i] == (i == page_of(entry)))
		}
	}
}
