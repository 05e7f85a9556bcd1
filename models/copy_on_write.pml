/* SPDX-License-Identifier: MIT */
/*
 * Copy-on-write against fork: one page of one address, two CPUs that read and write it, two forks
 * that run side by side, and what their children do to the page that they got.
 *
 *     fork     lock ─ write-protect, share ─ unlock ─────────────────────── flush ─ return
 *     fault    lock ─ check ─ busy ─ unlock ─ flush ─ copy ─ lock ─ new entry ─ unlock ─ put
 *     cpu      writes by the translation that it has, until it answers a flush
 *
 * A page has a byte for each CPU, which only that CPU writes: so a lost write shows. Memory is
 * sequentially consistent. `check` has the list of the macros that take one thing away each.
 */
#define NONE 0
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
byte refs[PAGES + 1], bytes[2 * PAGES + 2];
#define byte_of(page, cpu) bytes[(page) * 2 + (cpu)]

byte tlb[CPUS];
bool request[CPUS];
byte child_page[FORKS]; /* what the child maps */

/* For the properties alone. */
byte latest[CPUS];	/* what was written last, by each CPU */
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
	d_step {
		i = 1;
		do
		:: refs[i] != 0 -> i++
		:: else -> break
		od;
		refs[i] = 1;
		page = i
	}
}

inline put(page)
{
	d_step {
		refs[page]--;
		if
		:: refs[page] == 0 ->
			assert(page_of(tlb[0]) != page && page_of(tlb[1]) != page);
			assert(entry == BUSY || page_of(entry) != page);
			byte_of(page, 0) = 0;
			byte_of(page, 1) = 0
		:: else
		fi;
		page = NONE
	}
}

/* --- a CPU --- */

proctype cpu(byte id)
{
	byte e, page, source, count;
	bool write;

access: /* ports/soft/mmu.c: no answer between the translation and its use */
	if
	:: count == ACCESSES -> goto through
	:: else
	fi;
	do
	:: answer()
	:: break
	od;
	atomic {
		if
		:: write = true
		:: write = false
		fi;
		if
		:: tlb[id] != NONE && is_writable(tlb[id]) >= write
		:: else -> /* the walk, and the fill */
			if
			:: entry == BUSY -> write = false; goto pause
			:: entry != BUSY && is_writable(entry) < write -> write = false; goto fault
			:: else -> tlb[id] = entry
			fi
		fi;
		e = tlb[id]
	};
	atomic {
		assert(refs[page_of(e)] != 0);
		/* What is read at an address is what was written there last, whoever wrote it. */
		assert(byte_of(page_of(e), 0) == latest[0]);
		assert(byte_of(page_of(e), 1) == latest[1]);
		if
		:: write ->
			/* A child sees no later write. */
			assert(!returned[0] || child_page[0] != page_of(e));
			assert(!returned[1] || child_page[1] != page_of(e));
			latest[id]++;
			byte_of(page_of(e), id) = latest[id]
		:: else
		fi;
		write = false;
		e = NONE;
		count++;
		goto access
	};

fault: /* fault/resolve.c: a write, copy_on_write */
	atomic {
		e = entry;
		if
		:: e == BUSY -> goto pause
		:: e != BUSY && is_writable(e) -> e = NONE; goto access /* spurious */
		:: else
		fi
	};
	atomic {
		if
		:: refs[page_of(e)] == 1
		:: refs[page_of(e)] != 1 && page == NONE -> take(page); goto replace
		:: else -> goto replace
		fi
	};

	atomic { /* reuse */
		!lock -> lock = true;
		if
		:: entry != e -> goto unlock_pause
		:: else
		fi
	};
	atomic {
#ifndef NO_REFS_CHECK
		if
		:: refs[page_of(e)] != 1 -> goto unlock_pause
		:: else
		fi;
#endif
		entry = make(page_of(e), WRITABLE);
		e = NONE;
		lock = false
	};
	goto access;

replace:
	atomic {
		!lock -> lock = true;
#ifndef NO_ENTRY_CHECK
		if
		:: entry != e -> goto unlock_pause
		:: else
		fi;
#endif
		source = page_of(e);
#ifndef NO_BUSY
		e = NONE;
		entry = BUSY;
#endif
		lock = false
	};
#if !defined(NO_FLUSH_BEFORE_COPY) && !defined(FLUSH_AFTER_COPY) && !defined(FLUSH_AFTER_STORE)
	flush();
#endif
	atomic { /* one step: its own byte does not change meanwhile */
		byte_of(page, 0) = byte_of(source, 0);
		byte_of(page, 1) = byte_of(source, 1)
	};
#ifdef FLUSH_AFTER_COPY
	flush();
#endif
	atomic {
		!lock -> lock = true;
#ifdef NO_BUSY
		if
		:: entry != e -> source = NONE; goto unlock_pause
		:: else -> e = NONE
		fi;
#else
		assert(entry == BUSY);
#endif
		entry = make(page, WRITABLE);
		page = NONE;
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
	e = NONE;
	do
#ifndef NO_ANSWER_IN_PAUSE
	:: answer()
#endif
	:: entry != BUSY -> break
	od;
	goto access;

through:
	if
	:: page != NONE -> put(page)
	:: else
	fi;
	finished++;
end:
	do
	:: answer()
	od
}

/* --- space/fork.c, and then the child --- */

inline share()
{
	child_page[id] = page_of(entry);
	assert(byte_of(child_page[id], 0) == latest[0]);
	assert(byte_of(child_page[id], 1) == latest[1]);
	refs[child_page[id]]++;
	was_writable = is_writable(entry);
#ifndef NO_WRITE_PROTECT
	entry = make(child_page[id], 0)
#endif
}

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
		if
		:: entry == BUSY
		:: else -> share()
		fi
	};
#ifdef FLUSH_ONLY_IF_WRITABLE
	if
	:: was_writable -> flush_for_fork()
	:: else
	fi;
#elif !defined(NO_FLUSH_BY_FORK)
	flush_for_fork();
#endif
	atomic { returned[id] = true; was_writable = false };
	assert(child_page[id] != NONE); /* what was there before the call is in the child */
	/*
	 * The child writes, or exits, and so gives the page up; or keeps it, if it has the last
	 * reference. Then put's assertions say that the parent does not use it any more.
	 */
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
		run fork(0);
		run fork(1);
		run cpu(0);
		run cpu(1)
	};
	/* Nothing can move: all are through, no page is lost. */
	timeout;
	d_step {
		assert(finished == CPUS + FORKS);
		assert(!lock && entry != BUSY);
		for (i : 1 .. PAGES) {
			assert(refs[i] == (i == page_of(entry)))
		}
		i = 0
	}
}
