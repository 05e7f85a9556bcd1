/* SPDX-License-Identifier: MIT */
/*
 * Contents agree with Linux. Files exist twice (oracle_contents.h), one copy mapped by Linux in
 * this process, one by Quire at the same addresses; random calls and accesses are made on both
 * sides. Results, errors, layouts, every value read, signals with their addresses, the child's view
 * after a fork, and the files on disk must agree.
 *
 *     test_contents [--seconds N | --sequences N] [--seed N] [--run NAME] [--trace 1]
 *
 * N seconds or sequences of each run. A sequence is STEPS steps from fresh files, and its seed
 * makes it again. `alone` compares all that is mapped after each step in every second sequence; in
 * the others only what is touched anyhow, so that first accesses are of all kinds. In `two` a
 * second thread does the same at other addresses, in one space or in a space of its own; each has
 * its own files, and its own pages of a file they share:
 *
 *     alone   ARENA  [                  64 pages                  ]  files 0, 1, 2
 *     two     UPPER  [ 32 pages, thread 0 ] 8 [ 32 pages, thread 1 ]  files 0; 1, 2; 3, 4
 *             one leaf table; of file 0 each second group of OWNED pages is the thread's own
 *
 * What is not compared, since it may differ:
 *
 *   - what a store leaves beyond the end of a file, in its last page: in Quire it goes at the
 *     latest when the size changes, in Linux's shared memory it may show when the file grows. Here
 *     it is stored only by step_tail, which has Linux forget it first
 *   - mincore of what nobody has touched, of files: readahead is either side's own business; and of
 *     shared memory after PAGEOUT, which drops pages in Linux that were only read (so every second
 *     pair of sequences is without it)
 *   - mremap of an old length of 0 onto itself, which here maps it anew: Linux unmaps it, and then
 *     fails (EFAULT)
 *   - layouts are compared as if equal neighbours were always merged (as in test_oracle.c, which
 *     says more of calls as such)
 */
#include "oracle_actor.h"

#include <pthread.h>
#include <sys/wait.h>
#include <time.h>

#define STEPS 400
#define SECONDS_EACH 2
#define UPPER (ARENA_END + 8 * PAGE)
#define ACTOR_PAGES 32
#define TO_PLACE (QUIRE_MREMAP_FIXED | QUIRE_MREMAP_DONTUNMAP)

/* --- the steps: mappings --- */

/* Some range of my addresses: rarely not of whole pages, or of nothing. */
static void some_range(uint64_t *address, uint64_t *length)
{
	uint64_t page = random_below(me->pages), left = me->pages - page;
	uint64_t most = one_in(10) ? left : left < 10 ? left : 10;

	*address = me->base + page * PAGE;
	*length = PAGE * (1 + random_below(most));
	if (one_in(12))
		*length -= random_below(PAGE);
	if (one_in(60))
		*length = 0;
	if (one_in(40))
		*address += 1 + random_below(PAGE - 1);
	if (*address % PAGE && page + (*length + PAGE - 1) / PAGE >= me->pages)
		*address &= ~(PAGE - 1);
}

static uint64_t some_protection(void)
{
	static const unsigned char usual[] = { 3, 3, 3, 3, 3, 3, 1, 1, 1, 0, 2 };

	return usual[random_below(sizeof(usual))];
}

static void step_mmap(void)
{
	static const uint64_t types[] = { QUIRE_MAP_SHARED, QUIRE_MAP_SHARED, QUIRE_MAP_PRIVATE,
					  QUIRE_MAP_PRIVATE, QUIRE_MAP_SHARED_VALIDATE };
	struct oracle_call call = { .number = CALL_MMAP };
	unsigned file = some_file();

	some_range(&call.a[0], &call.a[1]);
	call.a[2] = some_protection();
	call.a[3] = QUIRE_MAP_FIXED | types[random_below(one_in(20) ? 5 : 4)];
	if (one_in(6))
		call.a[3] |= QUIRE_MAP_POPULATE;
	if (one_in(10))
		call.a[3] |= QUIRE_MAP_FIXED_NOREPLACE;
	if (one_in(4)) {
		call.a[3] |= QUIRE_MAP_ANONYMOUS;
	} else {
		call.a[4] = content_open(file, !one_in(4));
		call.a[5] = random_below(one_in(3) ? CONTENT_PAGES : 6) * PAGE;
		if (one_in(60))
			call.a[5] += 1 + random_below(PAGE - 1);
	}
	note("%s", oracle_text(&call));
	compare_call(&call, NULL);
}

static void step_munmap(void)
{
	struct oracle_call call = { .number = CALL_MUNMAP };

	some_range(&call.a[0], &call.a[1]);
	note("%s", oracle_text(&call));
	compare_call(&call, NULL);
}

static void step_mprotect(void)
{
	struct oracle_call call = { .number = CALL_MPROTECT };

	some_range(&call.a[0], &call.a[1]);
	call.a[2] = some_protection();
	note("%s", oracle_text(&call));
	compare_call(&call, NULL);
}

/* It went somewhere else: back to where it was; a second mapping goes away. */
static void move_back(const struct oracle_call *call, int64_t place, int64_t linux_place)
{
	struct oracle_call back = { CALL_MREMAP,
				    { (uint64_t)place, call->a[2], call->a[1],
				      QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED, call->a[0] } };
	int64_t q, l;

	if (!call->a[1])
		back.number = CALL_MUNMAP;
	q = quire_call(mm, &back);
	back.a[0] = (uint64_t)linux_place;
	l = linux_call(&back);
	if (q != l)
		differ("moving back: Linux %lld, Quire %lld", (long long)l, (long long)q);
}

/* Of one VMA, which is the same to both: Linux moves several; and into my addresses only. */
static void step_mremap(void)
{
	static const uint64_t flags[] = { 0, 1, 1, 3, 3, 3, 3, 3, 7, 5 };
	struct oracle_call call = { .number = CALL_MREMAP };
	int64_t place, linux_place;
	const struct area *l, *q;
	uint64_t room;

	some_range(&call.a[0], &call.a[1]);
	some_range(&call.a[4], &call.a[2]);
	call.a[3] = flags[random_below(sizeof(flags) / sizeof(flags[0]))];
	if (one_in(2))
		call.a[2] = call.a[1];
	if (one_in(8) && call.a[3] & QUIRE_MREMAP_FIXED)
		call.a[1] = 0; /* a second mapping, if it is shared */
	l = layout_find(&me->linux_, call.a[0]);
	q = layout_find(&me->quire, call.a[0]);
	room = me->base + me->pages * PAGE - call.a[call.a[3] & TO_PLACE ? 4 : 0];
	if (call.a[2] > room)
		call.a[2] = room;
	note("%s", oracle_text(&call));
	if (!l || !q || l->start != q->start || l->end != q->end ||
	    call.a[0] + call.a[1] > l->end || (call.a[1] == 0 && call.a[4] == call.a[0])) {
		atomic_fetch_add(&totals.skipped, 1);
		return;
	}
	place = compare_call(&call, &linux_place);
	if (elsewhere(place))
		move_back(&call, place, linux_place);
}

/* A hole in the file that both threads have must be in one's own pages: in one, then. */
static bool keep_to_own(struct oracle_call *call)
{
	if (!run.two)
		return true;
	call->a[1] = PAGE;
	return own_place(call->a[0]);
}

static void step_madvise(void)
{
	static const unsigned char usual[] = {
		QUIRE_MADV_DONTNEED,	  QUIRE_MADV_DONTNEED,	     QUIRE_MADV_DONTNEED,
		QUIRE_MADV_REMOVE,	  QUIRE_MADV_REMOVE,	     QUIRE_MADV_WILLNEED,
		QUIRE_MADV_COLD,	  QUIRE_MADV_PAGEOUT,	     QUIRE_MADV_PAGEOUT,
		QUIRE_MADV_POPULATE_READ, QUIRE_MADV_POPULATE_WRITE,
	};
	struct oracle_call call = { .number = CALL_MADVISE };

	some_range(&call.a[0], &call.a[1]);
	call.a[2] = one_in(6) ? random_below(QUIRE_MADV_DONTNEED_LOCKED + 1)
			      : usual[random_below(sizeof(usual))];
	if (call.a[2] == QUIRE_MADV_PAGEOUT && !me->pages_out)
		call.a[2] = QUIRE_MADV_COLD;
	note("%s", oracle_text(&call));
	if (call.a[2] == QUIRE_MADV_REMOVE && !keep_to_own(&call))
		return;
	compare_call(&call, NULL);
	if (call.a[2] == QUIRE_MADV_FREE) { /* Linux frees later */
		call.a[2] = QUIRE_MADV_DONTNEED;
		compare_call(&call, NULL);
	}
}

/* What a synchronous msync has covered is stored. */
static void step_msync(void)
{
	static const unsigned char flags[] = { 4, 4, 4, 4, 1, 1, 2, 3, 6, 0, 5, 8 };
	struct oracle_call call = { .number = CALL_MSYNC };
	uint64_t at, end;
	int64_t result;

	some_range(&call.a[0], &call.a[1]);
	call.a[2] = flags[random_below(sizeof(flags))];
	note("%s", oracle_text(&call));
	result = compare_call(&call, NULL);
	if (!(call.a[2] & QUIRE_MS_SYNC) || (result != 0 && result != -QUIRE_ENOMEM))
		return;
	atomic_fetch_add(&totals.syncs, 1);
	end = call.a[0] + ((call.a[1] + PAGE - 1) & ~(PAGE - 1));
	for (at = call.a[0]; at < end; at += PAGE) {
		struct place place = place_at(at);

		if (place.shared && place.file != CONTENTS)
			compare_stored(place.file, place.offset, place.offset + PAGE);
	}
}

/*
 * Both say that a page is resident that was just read (if nobody else can drop it); and agree on
 * memory without a file.
 */
static void step_mincore(void)
{
	struct oracle_call call = { .number = CALL_MINCORE };
	struct access load = { QUIRE_READ, me->base + random_below(me->pages) * PAGE, 8, 0 };
	bool readable = compare_access(&load).verdict == QUIRE_FAULT_DONE;

	some_range(&call.a[0], &call.a[1]);
	if (readable) {
		call.a[0] = load.address;
		call.a[1] = PAGE;
	}
	note("%s", oracle_text(&call));
	if (compare_call(&call, NULL) != 0)
		return;
	for (uint64_t p = 0; p * PAGE < call.a[1]; p++) {
		struct place place = place_at(call.a[0] + p * PAGE);
		bool kept = place.file == CONTENTS && !(place.shared && me->pages_out);

		if ((kept || (readable && !run.two)) &&
		    (linux_vector[p] & 1) != (quire_vector[p] & 1))
			differ("mincore, page %llu of the range: Linux %d, Quire %d",
			       (unsigned long long)p, linux_vector[p] & 1, quire_vector[p] & 1);
	}
}

/* --- the steps: accesses --- */

/* Where in the page at `address` stores go: its beginning, its end, where its file ends. */
static uint64_t some_offset(uint64_t address, unsigned size)
{
	struct place place = place_at(address);
	uint64_t end = place.file == CONTENTS ? 0 : content_size(place.file);

	if (end > place.offset && end < place.offset + PAGE && one_in(2)) {
		uint64_t near = (end - place.offset) / size * size + random_below(3) * size;

		near = near < size ? 0 : near - size;
		return near <= PAGE - size ? near : PAGE - size;
	}
	if (one_in(4))
		return PAGE - size * (1 + random_below(16 / size));
	return size * random_below(64 / size);
}

/* Is this beyond the end of a file, in its last page, where others could see it? */
static bool in_tail(uint64_t address, unsigned size)
{
	struct place place = place_at(address);
	uint64_t end = place.shared && place.file != CONTENTS ? content_size(place.file) : 0;

	return place.offset / PAGE * PAGE < end && place.offset + size > end;
}

static struct access some_access(void)
{
	unsigned size = 1u << random_below(4);
	struct access access = {
		.kind = one_in(3) ? QUIRE_READ : QUIRE_WRITE,
		.address = me->base + (random_below(me->pages + 2) - 1) * PAGE,
		.size = size,
		.value = me->random >> (64 - 8 * size),
	};

	access.address += some_offset(access.address, size);
	if (!own_place(access.address) || in_tail(access.address, size))
		access.kind = QUIRE_READ;
	return access;
}

static void step_access(void)
{
	unsigned count = 1 + (unsigned)random_below(6);

	note("accesses");
	for (unsigned i = 0; i < count; i++) {
		struct access access = some_access();
		struct place place = place_at(access.address);

		note_more(" %c%u@%+lld.%llx", access.kind == QUIRE_WRITE ? 'w' : 'r', access.size,
			  (long long)(access.address - ARENA) / (long long)PAGE,
			  (unsigned long long)(access.address % PAGE));
		if (place.file != CONTENTS)
			note_more("=%c%u.%llx", place.shared ? 's' : 'p', place.file,
				  (unsigned long long)place.offset);
		compare_access(&access);
	}
}

/* --- the steps: files --- */

static uint64_t some_size(unsigned file)
{
	uint64_t pages = random_below(CONTENT_PAGES), size = content_size(file);

	if (one_in(3))
		return pages * PAGE;
	if (one_in(3)) /* in the same page, often */
		return size - size % PAGE + random_below(PAGE);
	return pages * PAGE + 1 + random_below(PAGE - 1);
}

static void truncate_both(unsigned file, uint64_t size)
{
	int l = ftruncate(contents[file].linux_file, (off_t)size) ? -errno : 0;
	int q = quire_object_truncate(contents[file].object, size);

	if (l != q)
		differ("truncate: Linux %d, Quire %d", l, q);
	if (quire_object_size(contents[file].object) != size)
		differ("truncate: the object has %llu bytes",
		       (unsigned long long)quire_object_size(contents[file].object));
	compare_stored(file, 0, 0);
}

static void step_truncate(void)
{
	unsigned file = some_file();
	uint64_t size = some_size(file);

	note("truncate file %u from %#llx to %#llx", file, (unsigned long long)content_size(file),
	     (unsigned long long)size);
	if (own_file(file))
		truncate_both(file, size);
}

/* A page of mine that shows the last page of a file of mine, shared and not full; 0: there is none.
 */
static uint64_t some_last_page(void)
{
	uint64_t first = random_below(me->pages);

	for (uint64_t p = 0; p < me->pages; p++) {
		uint64_t page = me->base + (first + p) % me->pages * PAGE;
		struct place place = place_at(page);
		uint64_t size;

		if (!place.shared || place.file == CONTENTS || !own_file(place.file))
			continue;
		size = content_size(place.file);
		if (size % PAGE && size / PAGE == place.offset / PAGE)
			return page;
	}
	return 0;
}

/* A store beyond the end is gone when the size changes, and not in the file. */
static void step_tail(void)
{
	uint64_t page = some_last_page(), size, after;
	struct access store = { QUIRE_WRITE, page, 1, 0x5a };
	unsigned file = page ? place_at(page).file : 0;

	note("no tail");
	if (!page)
		return;
	size = content_size(file);
	store.address += size % PAGE + random_below(PAGE - size % PAGE);
	after = some_size(file);
	note("tail of file %u, of %#llx bytes: store at arena%+lld.%llx; then %#llx", file,
	     (unsigned long long)size, (long long)(page - ARENA) / (long long)PAGE,
	     (unsigned long long)(store.address % PAGE), (unsigned long long)after);
	compare_access(&store);
	if (after == size)
		after++;
	need(ftruncate(contents[file].linux_file, (off_t)size) == 0);
	truncate_both(file, after);
	compare_page(page, 8);
}

static void step_write(void)
{
	unsigned file = some_file();
	uint64_t size = content_size(file), offset, length = 1 + random_below(3 * PAGE);
	int64_t l, q;

	if (one_in(3))
		length = 1 + random_below(100);
	if (own_file(file)) {
		offset = one_in(4) ? size + random_below(2 * PAGE) : random_below(size + 1);
		if (offset + length > CONTENT_PAGES * PAGE)
			offset %= PAGE;
	} else {
		offset = (random_below(CONTENT_PAGES / OWNED / 2) * 2 + me->number) * OWNED * PAGE;
		offset += random_below(PAGE);
		if (offset + length > size)
			return;
	}
	note("write %#llx bytes at %#llx of file %u, of %#llx", (unsigned long long)length,
	     (unsigned long long)offset, file, (unsigned long long)size);
	for (uint64_t i = 0; i < length; i++)
		me->buffer[0][i] = (unsigned char)(me->random >> i % 32) | 1;
	l = pwrite(contents[file].linux_file, me->buffer[0], length, (off_t)offset);
	q = quire_object_write(contents[file].object, offset, me->buffer[0], length);
	if (l != q)
		differ("write: Linux %lld, Quire %lld", (long long)l, (long long)q);
}

static void step_read(void)
{
	unsigned file = some_file();
	uint64_t offset = random_below(content_size(file) + PAGE);
	uint64_t length = random_below(3 * PAGE);
	int64_t l, q;

	note("read %#llx bytes at %#llx of file %u", (unsigned long long)length,
	     (unsigned long long)offset, file);
	l = pread(contents[file].linux_file, me->buffer[0], length, (off_t)offset);
	q = quire_object_read(contents[file].object, offset, me->buffer[1], length);
	if (l != q)
		differ("read: Linux %lld, Quire %lld", (long long)l, (long long)q);
	for (int64_t i = 0; i < l; i++)
		if (me->buffer[0][i] != me->buffer[1][i] && own_page(file, offset + (uint64_t)i))
			differ("read: byte %lld: Linux %#x, Quire %#x", (long long)i,
			       me->buffer[0][i], me->buffer[1][i]);
}

static void sync_file(unsigned file)
{
	atomic_fetch_add(&totals.syncs, 1);
	need(quire_object_sync(contents[file].object, 0, QUIRE_OBJECT_MAX) == 0);
	compare_stored(file, 0, UINT64_MAX);
}

/* What nobody may notice. */
static void step_hidden(void)
{
	unsigned file = some_file();
	uint64_t offset = random_below(CONTENT_PAGES) * PAGE;
	uint64_t length = random_below(CONTENT_PAGES) * PAGE, choice = random_below(4);
	int result;

	note("hidden %llu, file %u", (unsigned long long)choice, file);
	if (choice == 0) {
		sync_file(file);
	} else if (choice == 1) {
		quire_object_readahead(contents[file].object, offset, length);
	} else if (choice == 2) {
		quire_reclaim(1 + random_below(64));
	} else {
		result = quire_object_invalidate(contents[file].object, offset, length);
		if (result != 0 && result != -QUIRE_EBUSY)
			differ("invalidate: %d", result);
	}
}

/* --- fork --- */

typedef struct outcome accessor(const struct access *);

static struct outcome quire_access(const struct access *access)
{
	return quire_access_do(me->cpu, access);
}

static void look(struct view *view, accessor *access, const struct access *stores)
{
	struct access load = { QUIRE_READ, 0, 8, 0 };

	for (unsigned p = 0; p < me->pages; p++) {
		load.address = me->base + p * PAGE + p % 8 * 8;
		view->before[p] = access(&load);
	}
	for (unsigned i = 0; i < FORK_STORES; i++)
		view->stores[i] = access(&stores[i]);
	for (unsigned p = 0; p < me->pages; p++) {
		load.address = me->base + p * PAGE + p % 8 * 8;
		view->after[p] = access(&load);
	}
}

/* The child of Linux looks after the parent has stored. Returns whether it could. => outside */
static bool linux_fork(const struct access *parents, const struct access *childs)
{
	int go[2], status = -1;
	pid_t child;

	if (pipe2(go, O_CLOEXEC))
		return false;
	child = fork();
	if (child == 0) {
		char byte;

		close(go[1]);
		if (read(go[0], &byte, 1) != 1)
			_exit(1);
		look(me->linux_view, linux_access, childs);
		_exit(0);
	}
	for (unsigned i = 0; i < FORK_STORES; i++)
		linux_access(&parents[i]);
	close(go[0]);
	if (write(go[1], "", 1) == 1 && child > 0)
		waitpid(child, &status, 0);
	close(go[1]);
	return status == 0;
}

static void quire_fork_and_look(const struct access *parents, const struct access *childs)
{
	struct quire_mm *child;

	need(quire_fork(mm, &child) == 0);
	for (unsigned i = 0; i < FORK_STORES; i++)
		quire_access(&parents[i]);
	quire_soft_switch(me->cpu, child);
	look(&me->quire_view, quire_access, childs);
	quire_soft_switch(me->cpu, mm);
	quire_mm_destroy(child);
}

static void compare_views(const char *when, const struct outcome *l, const struct outcome *q)
{
	for (unsigned p = 0; p < me->pages; p++) {
		if (l[p].verdict == q[p].verdict && l[p].address == q[p].address &&
		    (l[p].value == q[p].value || !own_place(me->base + p * PAGE)))
			continue;
		differ("page %u of mine in the child, %s its stores: "
		       "Linux %d %#llx, Quire %d %#llx",
		       p, when, (int)l[p].verdict, (unsigned long long)l[p].value,
		       (int)q[p].verdict, (unsigned long long)q[p].value);
	}
}

static void step_fork(void)
{
	struct access stores[2 * FORK_STORES];
	bool looked;

	note("fork");
	atomic_fetch_add(&totals.forks, 1);
	for (unsigned i = 0; i < 2 * FORK_STORES; i++)
		stores[i] = some_access();
	quire_soft_leave(me->cpu); /* the other thread's flushes need not wait for this */
	looked = linux_fork(stores, stores + FORK_STORES);
	quire_soft_enter(me->cpu);
	need(looked);
	quire_fork_and_look(stores, stores + FORK_STORES);
	for (unsigned i = 0; i < FORK_STORES; i++)
		if (me->linux_view->stores[i].verdict != me->quire_view.stores[i].verdict)
			differ("store %u in the child: Linux %d, Quire %d", i,
			       (int)me->linux_view->stores[i].verdict,
			       (int)me->quire_view.stores[i].verdict);
	compare_views("before", me->linux_view->before, me->quire_view.before);
	compare_views("after", me->linux_view->after, me->quire_view.after);
}

/* --- sequences --- */

static void one_step(void)
{
	static const struct {
		unsigned weight;
		void (*step)(void);
	} steps[] = {
		{ 30, step_access },  { 16, step_mmap },  { 10, step_madvise }, { 8, step_mremap },
		{ 7, step_mprotect }, { 5, step_write },  { 5, step_truncate }, { 4, step_munmap },
		{ 4, step_msync },    { 4, step_hidden }, { 3, step_read },	{ 2, step_mincore },
		{ 2, step_tail },
	};
	uint64_t choice = random_below(100);
	unsigned i = 0;

	if (one_in(run.two ? 200 : 100)) {
		step_fork();
	} else {
		while (choice >= steps[i].weight)
			choice -= steps[i++].weight;
		steps[i].step();
	}
	if (i > 0)
		compare_layouts();
	if (me->thorough)
		compare_all(256);
	else if (me->step % 64 == 63)
		compare_all(8);
	if (!run.two && (me->thorough || me->step % 32 == 31) && quire_validate(NULL))
		differ("%s", quire_validate(NULL));
}

/* The thread's part; its mappings are gone at the end. */
static void play(void)
{
	struct oracle_call clear = { CALL_MUNMAP, { me->base, me->pages * PAGE } };

	for (me->step = 0; me->step < STEPS && !atomic_load(&stop); me->step++) {
		one_step();
		if (trace)
			print_error("%u: %3u %s\n", me->number, me->step, me->log[me->step % LOG]);
	}
	me->step--;
	if (!atomic_load(&stop))
		compare_call(&clear, NULL);
}

/* Files of some size, full of words that say where they are. */
static void create_files(void)
{
	static uint32_t words[CONTENT_PAGES * PAGE / 4];

	for (unsigned file = 0; file < (run.two ? CONTENTS : 3); file++) {
		uint64_t size = random_below(CONTENT_PAGES * PAGE);

		if (run.two && file == 0)
			size = CONTENT_PAGES * PAGE - 100;
		for (uint32_t i = 0; i < sizeof(words) / 4; i++)
			words[i] = (file + 1) << 24 | (i + 1);
		need(content_create(file, file && file % 2 == 0, words, size));
	}
}

/* With the last reference everything is stored, to the last byte, synced before or not. */
static void close_files(void)
{
	if (quire_validate(NULL))
		differ("%s", quire_validate(NULL));
	for (unsigned file = 0; file < (run.two ? CONTENTS : 3); file++) {
		uint64_t at = CONTENT_SAME, size = content_size(file);

		if (one_in(2))
			sync_file(file);
		content_put(file);
		if (contents[file].stored >= 0) {
			need(stored_size(contents[file].stored) == size);
			at = content_compare(file, 0, size);
		}
		if (at != CONTENT_SAME)
			differ("file %u: what is stored at its end differs at %#llx", file,
			       (unsigned long long)at);
		content_close(file);
	}
}

/* False: it has found a difference. */
static bool guarded(void (*work)(void))
{
	if (sigsetjmp(me->out, 0))
		return false;
	work();
	return true;
}

static void begin_actor(unsigned number)
{
	me = &actors[number];
	me->number = number;
	me->base = run.two ? UPPER + number * (ACTOR_PAGES + 8) * PAGE : ARENA;
	me->pages = run.two ? ACTOR_PAGES : ARENA_PAGES;
	me->random = (2 * run.seed + number) * 0x9e3779b97f4a7c15u + 1;
	me->thorough = !run.two && run.seed % 2;
	me->pages_out = run.seed / 2 % 2;
	mm = spaces[run.seed / 4 % 2 ? number : 0];
	me->step = 0;
	me->what[0] = 0;
	snprintf(me->log[0], sizeof(me->log[0]), "before the first step");
	me->cpu = quire_soft_attach(number);
	quire_soft_enter(me->cpu);
	quire_soft_switch(me->cpu, mm);
}

static void end_actor(void)
{
	quire_soft_switch(me->cpu, NULL);
	quire_soft_leave(me->cpu);
	quire_soft_detach(me->cpu);
}

static void *second_thread(void *unused)
{
	(void)unused;
	begin_actor(1);
	guarded(play);
	end_actor();
	return NULL;
}

static void play_two(void)
{
	pthread_t second;

	need(pthread_create(&second, NULL, second_thread, NULL) == 0);
	guarded(play);
	quire_soft_leave(me->cpu);
	pthread_join(second, NULL);
	quire_soft_enter(me->cpu);
}

static void sequence(void)
{
	begin_actor(0);
	if (guarded(create_files)) {
		if (run.two)
			guarded(play_two);
		else
			guarded(play);
	}
	if (!atomic_load(&stop))
		guarded(close_files);
	end_actor();
	if (!atomic_load(&stop))
		return;
	for (unsigned i = 0; i < (run.two ? 2 : 1); i++)
		tell(&actors[i]);
	fail();
}

/* --- runs --- */

static uint64_t wanted_seconds = SECONDS_EACH, wanted_sequences, first_seed = 1;

static uint64_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec;
}

static void play_sequences(void)
{
	uint64_t end = seconds() + wanted_seconds;

	run.seed = first_seed;
	do {
		sequence();
		run.seed++;
	} while (wanted_sequences ? run.seed - first_seed < wanted_sequences : seconds() < end);
	print_message("%s: seeds %llu to %llu\n", run.name, (unsigned long long)first_seed,
		      (unsigned long long)run.seed - 1);
}

static void run_mode(enum quire_mode mode, const char *name, bool two, unsigned levels)
{
	struct quire_soft_config config = { .cpus = 2, .memory = 16 << 20, .levels = levels };
	struct quire_memory_stats stats;
	struct quire_soft_cpu *cpu;

	if (atomic_load(&stop) || !oracle_speaks())
		skip(); /* one report is enough, and what was left behind is in the way */
	access_begin(); /* the test framework has its own handlers around each test */
	run.name = name;
	run.two = two;
	assert_int_equal(quire_soft_init(&config), 0);
	cpu = quire_soft_attach(0);
	quire_soft_enter(cpu);
	for (unsigned i = 0; i < 2; i++)
		spaces[i] = oracle_space(mode);
	quire_soft_leave(cpu);
	quire_soft_detach(cpu);
	play_sequences();
	cpu = quire_soft_attach(0);
	quire_soft_enter(cpu);
	for (unsigned i = 0; i < 2; i++)
		quire_mm_destroy(spaces[i]);
	quire_barrier(0);
	quire_memory_stats(&stats);
	assert_int_equal(stats.deferred, 0);
	quire_soft_leave(cpu);
	quire_soft_detach(cpu);
	assert_int_equal(quire_soft_exit(), 0);
}

#define RUN(name, mode, two, levels)                                                               \
	static void name(void **state)                                                             \
	{                                                                                          \
		(void)state;                                                                       \
		run_mode(mode, #name, two, levels);                                                \
	}

RUN(alone, QUIRE_SPECULATIVE, false, 4)
RUN(alone_five_levels, QUIRE_SPECULATIVE, false, 5)
RUN(alone_vma_lock, QUIRE_VMA_LOCK, false, 4)
RUN(alone_classic, QUIRE_CLASSIC, false, 4)
RUN(two, QUIRE_SPECULATIVE, true, 4)
RUN(two_vma_lock, QUIRE_VMA_LOCK, true, 4)
RUN(two_classic, QUIRE_CLASSIC, true, 4)

static int setup(void **state)
{
	(void)state;
	oracle_begin();
	for (unsigned i = 0; i < 2; i++) {
		actors[i].maps = layout_open("/proc/self/maps");
		actors[i].linux_view = mmap(NULL, sizeof(struct view), PROT_READ | PROT_WRITE,
					    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (actors[i].linux_view == MAP_FAILED)
			return -1;
	}
	return contents_begin() ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	contents_end();
	return 0;
}

static bool read_options(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		uint64_t n = strtoull(argv[i + 1], NULL, 0);

		if (!strcmp(argv[i], "--seconds"))
			wanted_seconds = n;
		else if (!strcmp(argv[i], "--sequences"))
			wanted_sequences = n;
		else if (!strcmp(argv[i], "--seed"))
			first_seed = n;
		else if (!strcmp(argv[i], "--run"))
			cmocka_set_test_filter(argv[i + 1]);
		else if (!strcmp(argv[i], "--trace"))
			trace = n;
		else
			return false;
	}
	return argc % 2;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alone),
		cmocka_unit_test(alone_five_levels),
		cmocka_unit_test(alone_vma_lock),
		cmocka_unit_test(alone_classic),
		cmocka_unit_test(two),
		cmocka_unit_test(two_vma_lock),
		cmocka_unit_test(two_classic),
	};
	int failed;

	if (!read_options(argc, argv)) {
		fprintf(stderr, "test_contents [--seconds N | --sequences N] [--seed N] "
				"[--run NAME] [--trace 1]\n");
		return 2;
	}
	failed = cmocka_run_group_tests_name("contents", tests, setup, teardown);
	print_message("%llu calls (%llu errors, %llu skipped), %llu accesses (%llu signals), "
		      "%llu layouts, %llu forks, %llu syncs\n",
		      totals.calls, totals.errors, totals.skipped, totals.accesses, totals.signals,
		      totals.layouts, totals.forks, totals.syncs);
	return failed;
}
