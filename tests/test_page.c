/* SPDX-License-Identifier: MIT */
/*
 * Pages of an object whose operations are under the test's control: how they are fetched, waited
 * for, made dirty, and given back; and that nothing is lost when an operation or memory fails.
 */
#include "objects.h"

#define MEMORY (16ull << 20)
#define CALLS 256

/* What the operations do, and what they were asked. */
static struct {
	int answer; /* of fault, for `answers` calls; else 0 */
	unsigned answers;
	uint64_t bad_page;  /* a read that has this page fails with EIO */
	uint64_t shrink_to; /* the size changes while a page is read; 0: it does not */
	bool done_at_once;  /* QUIRE_WAIT, but quire_pages_done was first */
	_Atomic uint32_t calls, made, mkwrites, releases;
	struct quire_pages *_Atomic waiting;
	struct {
		uint64_t index, length;
		unsigned count;
	} call[CALLS];
	int mkwrite_answer;
	unsigned mkwrite_answers;
} pager;

static uint64_t word_of(uint64_t index, unsigned at)
{
	return index * 1000003 + at + 1;
}

/* Whole pages, also what is beyond the end: that is not the operation's business. */
static void give(struct quire_pages *pages)
{
	for (unsigned i = 0; i < pages->count; i++)
		for (unsigned at = 0; at < PAGE_SIZE / 8; at++)
			((uint64_t *)pages->bytes[i])[at] = word_of(pages->index + i, at);
	at_add(&pager.made, pages->count);
}

static int answer_fault(struct quire_object *object, struct quire_pages *pages)
{
	unsigned call = at_add(&pager.calls, 1u);

	if (call < CALLS) {
		pager.call[call].index = pages->index;
		pager.call[call].length = pages->length;
		pager.call[call].count = pages->count;
	}
	thread_check(!grace_is_online());
	thread_check(pages->object == object);
	thread_check(*(uint64_t *)pages->bytes[pages->count - 1] == 0);
	if (pager.answers > 0) {
		pager.answers--;
		if (pager.answer == QUIRE_WAIT)
			at_store_release(&pager.waiting, pages);
		return pager.answer;
	}
	if (pager.bad_page - pages->index < pages->count)
		return -QUIRE_EIO;
	give(pages);
	if (pager.shrink_to)
		at_store(&object->size, pager.shrink_to);
	if (pager.done_at_once) {
		quire_cpu_online();
		quire_pages_done(pages, 0);
		quire_cpu_offline();
		return QUIRE_WAIT;
	}
	return 0;
}

static int answer_mkwrite(struct quire_object *object, uint64_t index)
{
	thread_check(!grace_is_online());
	thread_check(index < object_pages(object));
	at_add(&pager.mkwrites, 1u);
	if (pager.mkwrite_answers == 0)
		return 0;
	pager.mkwrite_answers--;
	return pager.mkwrite_answer;
}

static int refuse_write(struct quire_object *object, struct quire_pages *pages)
{
	(void)object;
	(void)pages;
	return -QUIRE_EIO;
}

static void note_release(struct quire_object *object)
{
	(void)object;
	at_add(&pager.releases, 1u);
}

static const struct quire_object_ops pager_ops = {
	.fault = answer_fault,
	.page_mkwrite = answer_mkwrite,
	.writepages = refuse_write,
	.release = note_release,
};

static struct quire_object *object;

static void begin_with(const struct quire_object_ops *ops, unsigned caps, uint64_t size)
{
	struct quire_object_config config = { .ops = ops, .caps = caps, .size = size };

	objects_start(MEMORY);
	memset(&pager, 0, sizeof(pager));
	pager.bad_page = UINT64_MAX;
	assert_int_equal(quire_object_create(&config, &object), 0);
}

static void begin(uint64_t size)
{
	begin_with(&pager_ops, 0, size);
}

static void end(void)
{
	quire_object_put(object);
	objects_stop();
}

static struct quire_object_stats now(void)
{
	struct quire_object_stats stats;

	quire_object_stats(object, &stats);
	return stats;
}

/* Is the page READY, with the pager's words up to `end` bytes, and zeroes from there on? */
static bool has_words(uint64_t index, unsigned bytes)
{
	const unsigned char *found;
	struct frame *frame;
	bool same = true;

	section_enter();
	frame = page_get(object, index);
	if (!frame || !(at_load_acquire(&frame->u.object.state) & PAGE_READY)) {
		same = false;
	} else {
		found = frame_bytes(frame);
		for (unsigned at = 0; at < PAGE_SIZE; at++) {
			uint64_t word = word_of(index, at / 8);

			if (found[at] != (at < bytes ? ((unsigned char *)&word)[at % 8] : 0))
				same = false;
		}
	}
	if (frame)
		frame_put(frame);
	section_leave();
	return same;
}

/* ---- one thread ---- */

/* The n-th call of `fault`: what it was asked for. */
static void expect_call(unsigned n, uint64_t index, unsigned count)
{
	assert_true(n < pager.calls);
	assert_int_equal(pager.call[n].index, index);
	assert_int_equal(pager.call[n].count, count);
}

static void fetching(void **state)
{
	(void)state;
	begin(100 * PAGE_SIZE + 1);
	assert_int_equal(page_state(object, 7), 0);
	assert_int_equal(page_fetch(object, 7), 0);
	expect_call(0, 0, 16);
	assert_int_equal(pager.call[0].length, 16 * PAGE_SIZE);
	for (uint64_t index = 0; index < 16; index++) {
		assert_int_equal(page_state(object, index) & ~PAGE_USED, PAGE_READY);
		assert_true(has_words(index, PAGE_SIZE));
		assert_int_equal(page_fetch(object, index), 0);
	}
	assert_int_equal(pager.calls, 1);
	assert_int_equal(page_state(object, 16), 0);

	assert_int_equal(page_fetch(object, 99), 0); /* up to the end */
	expect_call(1, 96, 5);
	assert_int_equal(pager.call[1].length, 4 * PAGE_SIZE + 1);
	assert_true(has_words(99, PAGE_SIZE));
	assert_true(has_words(100, 1)); /* the operation has filled the page */
	assert_int_equal(page_fetch(object, 101), -QUIRE_EFAULT);
	assert_int_equal(page_fetch(object, UINT64_MAX), -QUIRE_EFAULT);
	assert_int_equal(pager.calls, 2);
	assert_int_equal(now().cached, 21);
	assert_int_equal(now().read, 21);
	assert_int_equal(now().dirty, 0);
	end();
	assert_int_equal(pager.releases, 1);
}

/* The aligned 16 pages, as far as what is missing has no gap. */
static void around(void **state)
{
	(void)state;
	begin(100 * PAGE_SIZE);
	quire_object_readahead(object, 36 * PAGE_SIZE, PAGE_SIZE);
	quire_object_readahead(object, 43 * PAGE_SIZE, PAGE_SIZE);
	assert_int_equal(page_fetch(object, 40), 0); /* pages are there on either side */
	expect_call(2, 37, 6);
	assert_int_equal(page_fetch(object, 33), 0);
	expect_call(3, 32, 4);
	assert_int_equal(page_fetch(object, 47), 0);
	expect_call(4, 44, 4);
	for (uint64_t index = 32; index < 48; index++)
		assert_true(has_words(index, PAGE_SIZE));

	quire_object_readahead(object, 64 * PAGE_SIZE, 8 * PAGE_SIZE);
	assert_int_equal(page_fetch(object, 72), 0); /* nothing is missing before it */
	expect_call(6, 72, 8);
	quire_object_readahead(object, 17 * PAGE_SIZE, PAGE_SIZE);
	assert_int_equal(page_fetch(object, 16), 0); /* only itself */
	expect_call(8, 16, 1);
	assert_int_equal(pager.calls, 9);
	end();
}

/* A page that becomes the last one while it is read. */
static void shrinking(void **state)
{
	(void)state;
	begin(100 * PAGE_SIZE);
	pager.shrink_to = 20 * PAGE_SIZE + 5;
	assert_int_equal(page_fetch(object, 20), 0);
	assert_true(has_words(20, 5));
	end();
}

/* What a truncation does to a page that is read, as far as fetching is concerned. */
static bool take_any(struct frame *frame, uint64_t index, void *context)
{
	(void)index;
	at_add(&frame->u.object.state, PAGE_GONE);
	*(struct frame **)context = frame;
	return true;
}

/* The page, pinned, for a look at it later. */
static struct frame *truncate_page(uint64_t index)
{
	struct frame *frame = NULL;

	section_enter();
	cache_remove(&object->cache, index, index + 1, 1, take_any, &frame);
	assert_non_null(frame);
	page_wake(frame);
	section_leave();
	return frame;
}

static void sequential(void **state)
{
	uint64_t index = 0;

	(void)state;
	begin(1000 * PAGE_SIZE);
	for (unsigned i = 0; i < 5; i++) {
		unsigned count = i ? 32 : 16; /* nothing comes before the first page */

		assert_int_equal(page_fetch(object, index), 0);
		expect_call(i, index, count);
		index += count;
	}
	assert_int_equal(page_fetch(object, 500), 0); /* elsewhere: anew */
	expect_call(5, 496, 16);
	assert_int_equal(page_fetch(object, 512), 0);
	expect_call(6, 512, 32);
	assert_int_equal(page_fetch(object, 480), 0);
	expect_call(7, 480, 16);
	assert_int_equal(page_fetch(object, 544), 0); /* where the read before the last ended */
	expect_call(8, 544, 16);
	end();
}

static void asked_readahead(void **state)
{
	(void)state;
	begin(100 * PAGE_SIZE);
	quire_object_readahead(object, 3 * PAGE_SIZE + 5, 1); /* part of a page is the page */
	assert_int_equal(pager.call[0].index, 3);
	assert_int_equal(pager.call[0].count, 1);
	quire_object_readahead(object, 0, 40 * PAGE_SIZE);
	assert_int_equal(pager.call[1].index, 0);
	assert_int_equal(pager.call[1].count, 3);
	assert_int_equal(pager.call[2].index, 4);
	assert_int_equal(pager.call[2].count, 32);
	assert_int_equal(pager.call[3].index, 36);
	assert_int_equal(pager.call[3].count, 4);
	quire_object_readahead(object, 98 * PAGE_SIZE, UINT64_MAX);
	assert_int_equal(pager.call[4].count, 2);
	quire_object_readahead(object, 100 * PAGE_SIZE, 1);
	quire_object_readahead(object, 5 * PAGE_SIZE, 0);
	assert_int_equal(pager.calls, 5);
	assert_int_equal(now().cached, 42);

	/* An error is nobody's; what comes after it is read. */
	pager.bad_page = 50;
	quire_object_readahead(object, 40 * PAGE_SIZE, 40 * PAGE_SIZE);
	assert_int_equal(now().cached, 50);
	assert_int_equal(now().errors, 1);
	end();
}

static void errors(void **state)
{
	(void)state;
	begin(100 * PAGE_SIZE);
	pager.answer = -QUIRE_EACCES;
	pager.answers = 2; /* with its neighbours, and alone */
	assert_int_equal(page_fetch(object, 8), -QUIRE_EACCES);
	expect_call(0, 0, 16);
	expect_call(1, 8, 1);
	assert_int_equal(now().cached, 0);
	assert_int_equal(now().errors, 2);
	assert_int_equal(page_fetch(object, 8), 0); /* the next attempt */
	assert_true(has_words(8, PAGE_SIZE));

	/* A page suffers for itself alone. */
	pager.bad_page = 22;
	assert_int_equal(page_fetch(object, 20), 0);
	assert_int_equal(page_fetch(object, 21), 0);
	assert_int_equal(page_fetch(object, 22), -QUIRE_EIO);
	assert_int_equal(page_fetch(object, 23), 0);
	assert_int_equal(page_state(object, 22), 0);
	pager.bad_page = UINT64_MAX;
	assert_int_equal(page_fetch(object, 22), 0);

	/* What is no error is one, too. */
	pager.answer = 17;
	pager.answers = 2;
	assert_int_equal(page_fetch(object, 60), -QUIRE_EIO);
	pager.answer = -100000;
	pager.answers = 2;
	assert_int_equal(page_fetch(object, 60), -QUIRE_EIO);
	end();
}

static void done_before_wait(void **state)
{
	(void)state;
	begin(100 * PAGE_SIZE);
	pager.done_at_once = true;
	assert_int_equal(page_fetch(object, 8), 0);
	assert_true(has_words(8, PAGE_SIZE));
	assert_int_equal(pager.calls, 1);
	end();
}

/* ---- memory ---- */

static void no_memory(void **state)
{
	uint64_t calls, failures = 0, short_reads = 0;

	(void)state;
	if (!DEBUG_CHECKS)
		skip();
	begin(100 * PAGE_SIZE);
	for (uint64_t n = 1;; n++) {
		uint64_t before = now().read;
		int error;

		inject_set(n);
		error = page_fetch(object, 8);
		calls = inject_count();
		inject_set(0);
		assert_true(error == 0 || error == -QUIRE_ENOMEM);
		assert_int_equal(page_state(object, 8) & ~PAGE_USED, error == 0 ? PAGE_READY : 0);
		failures += error != 0;
		short_reads += error == 0 && now().read - before < 16;
		assert_int_equal(now().errors, 0);
		if (error == 0) {
			assert_true(has_words(8, PAGE_SIZE));
			object_drop_all(object);
			at_store(&object->ahead, 0ull);
		}
		if (calls < n)
			break;
	}
	/* Without one before it, with the one before it only, ...; then those behind it; then all.
	 */
	assert_int_equal(now().read, (8 + 9 + 10 + 11 + 12 + 13 + 14 + 15) +
					     (9 + 10 + 11 + 12 + 13 + 14 + 15) + 16);
	assert_true(failures >= 3); /* the request, the page, a node */
	assert_int_equal(short_reads, 15);
	end();

	begin_with(NULL, 0, 100 * PAGE_SIZE);
	failures = 0;
	for (uint64_t n = 1; n < 100; n++) {
		int error;

		inject_set(n);
		error = page_fetch(object, 8);
		inject_set(0);
		if (error == 0)
			break;
		assert_int_equal(error, -QUIRE_ENOMEM);
		failures++;
	}
	assert_true(failures >= 2);
	assert_int_equal(page_state(object, 8), PAGE_READY | PAGE_DIRTY);
	end();
}

/* Really none left: what is cached stays usable, and all comes back. */
static void memory_runs_out(void **state)
{
	struct frame_stats stats;
	uint64_t index = 0;

	(void)state;
	begin(1ull << 40);
	while (page_fetch(object, index) == 0)
		index++;
	assert_int_equal(page_fetch(object, index), -QUIRE_ENOMEM);
	quire_object_readahead(object, index << PAGE_SHIFT, 1 << 20);
	frame_drain_all();
	frame_stats(&stats);
	assert_true(stats.free < 4);
	assert_int_equal(now().cached, index);
	assert_true(has_words(index - 1, PAGE_SIZE));
	end();
}

/* ---- pages that begin as zero ---- */

static void zero_pages(void **state)
{
	static const struct quire_object_ops no_fault = { .writepages = refuse_write };
	const struct quire_object_config forgetful = { .ops = &no_fault, .size = PAGE_SIZE };
	struct quire_object *other;
	struct frame *frame;

	(void)state;
	begin_with(NULL, 0, 9 * PAGE_SIZE + 1);
	assert_int_equal(page_fetch(object, 9), 0);
	assert_int_equal(page_fetch(object, 9), 0);
	assert_int_equal(page_fetch(object, 10), -QUIRE_EFAULT);
	assert_int_equal(page_state(object, 9) & ~PAGE_USED, PAGE_READY | PAGE_DIRTY);
	assert_int_equal(now().cached, 1);
	assert_int_equal(now().dirty, 1);
	quire_object_readahead(object, 0, 9 * PAGE_SIZE); /* nothing to read */
	assert_int_equal(now().cached, 1);

	section_enter();
	frame = frame_alloc_zeroed(NULL);
	assert_int_equal(page_insert_zero(object, 9, frame), CACHE_TAKEN);
	assert_int_equal(page_insert_zero(object, 10, frame), CACHE_BEYOND);
	assert_int_equal(page_insert_zero(object, 3, frame), CACHE_INSERTED);
	assert_int_equal(at_load(&frame->refs), 1);
	section_leave();
	assert_int_equal(page_state(object, 3), PAGE_READY | PAGE_DIRTY);
	end();

	/* What is saved, and reclaimed, must come back. */
	assert_int_equal(quire_object_create(&forgetful, &other), -QUIRE_EINVAL);
}

/* ---- dirty ---- */

static bool make_dirty(uint64_t index)
{
	struct cache_slot slot;
	struct frame *frame;
	bool made;

	section_enter();
	frame = page_get(object, index);
	slot = cache_find(&object->cache, index);
	made = page_make_dirty(frame, &slot, true);
	frame_put(frame);
	section_leave();
	return made;
}

static void set_state(uint64_t index, uint32_t state)
{
	struct frame *frame;

	section_enter();
	frame = page_get(object, index);
	at_xchg(&frame->u.object.state, state);
	page_wake(frame);
	frame_put(frame);
	section_leave();
}

static void unmark(uint64_t index)
{
	struct cache_slot slot;

	section_enter();
	slot = cache_find(&object->cache, index);
	cache_unmark(&slot);
	section_leave();
}

static void making_dirty(void **state)
{
	(void)state;
	begin(100 * PAGE_SIZE);
	assert_int_equal(page_fetch(object, 0), 0);
	assert_false(page_marked(object, 0));
	assert_true(make_dirty(0));
	assert_int_equal(page_state(object, 0) & ~PAGE_USED, PAGE_READY | PAGE_DIRTY);
	assert_true(page_marked(object, 0));
	assert_false(page_marked(object, 1));
	assert_int_equal(now().dirty, 1);

	unmark(0); /* a write-back is between its two steps */
	assert_true(make_dirty(0));
	assert_true(page_marked(object, 0));
	set_state(0, PAGE_READY | PAGE_WRITING | PAGE_USED);
	assert_true(make_dirty(0));
	assert_int_equal(page_state(object, 0), PAGE_READY | PAGE_WRITING | PAGE_USED | PAGE_DIRTY);

	unmark(0);
	for (unsigned i = 0; i < 3; i++) {
		const uint32_t not_these[] = { PAGE_READING, PAGE_GONE,
					       PAGE_READING | PAGE_LEAVING };

		set_state(0, not_these[i]);
		assert_false(make_dirty(0));
		assert_int_equal(page_state(object, 0), not_these[i]);
		assert_false(page_marked(object, 0));
	}
	set_state(0, PAGE_READY);
	end();
}

static void mkwrite(void **state)
{
	(void)state;
	begin(100 * PAGE_SIZE);
	assert_int_equal(page_mkwrite(object, 0), 0); /* not there: look again */
	assert_int_equal(page_fetch(object, 0), 0);
	pager.mkwrite_answer = QUIRE_WAIT;
	pager.mkwrite_answers = 3;
	assert_int_equal(page_mkwrite(object, 0), 0);
	assert_int_equal(pager.mkwrites, 4);
	assert_true(page_state(object, 0) & PAGE_DIRTY && page_marked(object, 0));
	assert_int_equal(page_mkwrite(object, 0), 0); /* dirty: it has been asked */
	assert_int_equal(pager.mkwrites, 4);

	pager.mkwrite_answer = -QUIRE_ENOSPC;
	pager.mkwrite_answers = 1;
	assert_int_equal(page_mkwrite(object, 1), -QUIRE_ENOSPC);
	assert_int_equal(page_state(object, 1), PAGE_READY);
	assert_false(page_marked(object, 1));
	pager.mkwrite_answer = 5;
	pager.mkwrite_answers = 1;
	assert_int_equal(page_mkwrite(object, 1), -QUIRE_EIO);
	assert_int_equal(page_mkwrite(object, 1), 0);
	unmark(0);
	set_state(0, PAGE_READY);
	unmark(1);
	set_state(1, PAGE_READY);
	end();
}

/* ---- two threads ---- */

static _Atomic uint32_t stage;
static _Atomic int32_t result;

static void await_waiting(void)
{
	while (!at_load_acquire(&pager.waiting))
		sched_yield();
}

static void fetch_8(unsigned cpu)
{
	int error;

	at_store_release(&stage, cpu);
	error = page_fetch(object, 8);
	at_store(&result, error);
	at_store_release(&stage, 100u);
}

static void mkwrite_8(unsigned cpu)
{
	at_store_release(&stage, cpu);
	at_store(&result, page_mkwrite(object, 8));
	at_store_release(&stage, 100u);
}

static void start(struct thread *thread, void (*what)(unsigned))
{
	at_store(&stage, 0u);
	at_store(&result, 1);
	thread_start(thread, 1, what);
}

/* Once the thread has come to where it sleeps, and a while later: it has not gone on. */
static bool still_waits(void)
{
	await(&stage, 1);
	/* Asleep it is offline; so it is at its end, but then it has gone on. */
	while (at_load_acquire(&grace_cpus[1].seen) != 0)
		sched_yield();
	nap(5 * MILLISECOND);
	return at_load_acquire(&stage) != 100;
}

/* QUIRE_WAIT, answered by another thread: with success, an error, and after a truncation. */
static void answered_later(void **state)
{
	static const int errors_given[] = { 0, -QUIRE_EIO, 0, -QUIRE_EIO };
	struct thread thread;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct frame *truncated = NULL;

		begin(9 * PAGE_SIZE);
		quire_object_readahead(object, 7 * PAGE_SIZE, PAGE_SIZE); /* 8 is alone */
		pager.answer = QUIRE_WAIT;
		pager.answers = 1;
		start(&thread, fetch_8);
		await_waiting();
		assert_int_equal(page_state(object, 8), PAGE_READING);
		assert_true(still_waits());
		assert_true(grace_barrier(0)); /* it is offline */
		if (i >= 2) {
			truncated = truncate_page(8); /* sets it free: look again */
			thread_join(&thread);
			assert_int_equal(result, 0);
		}
		give(pager.waiting);
		quire_pages_done(pager.waiting, errors_given[i]);
		if (!truncated)
			thread_join(&thread);
		assert_int_equal(result, truncated ? 0 : errors_given[i]);
		assert_int_equal(has_words(8, PAGE_SIZE), i == 0);
		assert_int_equal(page_state(object, 8) & ~PAGE_USED, i == 0 ? PAGE_READY : 0);
		assert_int_equal(now().errors, errors_given[i] != 0);
		if (truncated) {
			assert_int_equal(at_load(&truncated->u.object.state) & 0xff, PAGE_GONE);
			page_unpin(truncated);
		}
		end();
	}
}

/* Who has a page read with others waits for that page, not for the first of them. */
static void waits_for_its_page(void **state)
{
	struct thread thread;

	(void)state;
	begin(100 * PAGE_SIZE);
	pager.answer = QUIRE_WAIT;
	pager.answers = 1;
	start(&thread, fetch_8);
	await_waiting();
	expect_call(0, 0, 16);
	page_unpin(truncate_page(0));
	assert_true(still_waits());
	page_unpin(truncate_page(8));
	thread_join(&thread);
	assert_int_equal(result, 0);
	give(pager.waiting);
	quire_pages_done(pager.waiting, 0);
	for (uint64_t index = 0; index < 16; index++)
		assert_int_equal(has_words(index, PAGE_SIZE), index != 0 && index != 8);
	end();
}

/* Two want the same page: it is read once; and if that fails, the other tries for itself. */
static void same_page(void **state)
{
	struct thread thread;
	int error;

	(void)state;
	for (unsigned fails = 0; fails < 2; fails++) {
		begin(100 * PAGE_SIZE);
		pager.answer = QUIRE_WAIT;
		pager.answers = 1;
		quire_object_readahead(object, 8 * PAGE_SIZE, 2 * PAGE_SIZE);
		assert_int_equal(page_state(object, 9), PAGE_READING);
		start(&thread, fetch_8);
		assert_true(still_waits());
		assert_int_equal(pager.calls, 1);
		give(pager.waiting);
		quire_pages_done(pager.waiting, fails ? -QUIRE_EIO : 0);
		thread_join(&thread);
		assert_int_equal(result, 0);
		assert_int_equal(page_state(object, 8) & ~PAGE_USED, fails ? 0 : PAGE_READY);
		error = page_fetch(object, 8); /* "look again" */
		assert_int_equal(error, 0);
		assert_int_equal(pager.calls, fails ? 2 : 1);
		assert_true(has_words(8, PAGE_SIZE) && has_words(9, PAGE_SIZE));
		end();
	}
}

static void cut_8(unsigned cpu)
{
	at_store_release(&stage, cpu);
	at_store(&result, quire_object_truncate(object, 8 * PAGE_SIZE + 100));
	at_store_release(&stage, 100u);
}

/* The page that a truncation makes the last one, and a larger one then the second last, is read. */
static void cut_while_read(void **state)
{
	struct thread thread;

	(void)state;
	begin(20 * PAGE_SIZE);
	pager.answer = QUIRE_WAIT;
	pager.answers = 1;
	quire_object_readahead(object, 8 * PAGE_SIZE, 2 * PAGE_SIZE);
	start(&thread, cut_8);
	assert_true(still_waits());
	assert_int_equal(page_state(object, 9), 0);
	give(pager.waiting);
	quire_pages_done(pager.waiting, 0);
	thread_join(&thread);
	assert_int_equal(result, 0);
	assert_true(has_words(8, 100));
	assert_int_equal(quire_object_truncate(object, 10 * PAGE_SIZE), 0);
	assert_true(has_words(8, 100));
	end();
}

static void put_object(unsigned cpu)
{
	at_store_release(&stage, cpu);
	quire_object_put(object);
	at_store_release(&stage, 100u);
}

/* A read that was begun ahead outlasts the last reference. */
static void release_waits_for_reads(void **state)
{
	struct thread thread;

	(void)state;
	for (unsigned truncated = 0; truncated < 2; truncated++) {
		begin(100 * PAGE_SIZE);
		pager.answer = QUIRE_WAIT;
		pager.answers = 1;
		quire_object_readahead(object, 8 * PAGE_SIZE, PAGE_SIZE);
		if (truncated)
			page_unpin(truncate_page(8));
		start(&thread, put_object);
		assert_true(still_waits());
		assert_int_equal(pager.releases, 0);
		give(pager.waiting);
		quire_pages_done(pager.waiting, 0);
		thread_join(&thread);
		assert_int_equal(pager.releases, 1);
		objects_stop();
	}
}

/* A section that still knows the object can't put a page into it once it is released. */
static void section_outlasts_object(void **state)
{
	struct thread thread;
	struct frame *frame;

	(void)state;
	begin_with(NULL, 0, 100 * PAGE_SIZE);
	assert_int_equal(page_fetch(object, 8), 0);
	section_enter();
	start(&thread, put_object);
	thread_join(&thread);
	frame = frame_alloc_zeroed(NULL);
	assert_int_equal(page_insert_zero(object, 8, frame), CACHE_BEYOND);
	assert_null(page_get(object, 8));
	assert_false(object_try_get(object));
	frame_put(frame);
	section_leave();
	objects_stop();
}

static void stable_writes(void **state)
{
	struct thread thread;

	(void)state;
	begin_with(&pager_ops, QUIRE_STABLE_WRITES, 100 * PAGE_SIZE);
	assert_int_equal(page_fetch(object, 8), 0);
	set_state(8, PAGE_READY | PAGE_WRITING);
	assert_false(make_dirty(8));
	assert_false(page_marked(object, 8));
	start(&thread, mkwrite_8);
	assert_true(still_waits());
	assert_int_equal(pager.mkwrites, 0);
	set_state(8, PAGE_READY);
	thread_join(&thread);
	assert_int_equal(result, 0);
	assert_int_equal(pager.mkwrites, 1);
	assert_int_equal(page_state(object, 8), PAGE_READY | PAGE_DIRTY);
	assert_true(page_marked(object, 8));
	unmark(8);
	set_state(8, PAGE_READY);
	end();
}

/* ---- many threads ---- */

#define SPAN 200
#define STRESS_NS (1000 * MILLISECOND)
#define STANDSTILL_NS (60000 * MILLISECOND) /* by then it will never be enough */

static _Atomic uint32_t stop, others;
static _Atomic uint64_t looked, failed;

/* Operations that fail at times, or answer later, from another thread. */
static struct quire_pages *_Atomic later[8];

static int stress_fault(struct quire_object *o, struct quire_pages *pages)
{
	static _Atomic uint32_t count;
	uint32_t n = at_add(&count, 1u);

	(void)o;
	if (n % 7 == 3)
		return -QUIRE_EIO;
	give(pages);
	if (n % 3 == 0) {
		struct quire_pages *none = NULL;

		for (unsigned i = 0; i < 8; i++, none = NULL)
			if (at_cas(&later[i], &none, pages))
				return QUIRE_WAIT;
	}
	return 0;
}

static const struct quire_object_ops stress_ops = { .fault = stress_fault };

static void answer_some(uint32_t *random)
{
	struct quire_pages *pages = at_xchg(&later[random_next(random) % 8], NULL);

	if (pages)
		quire_pages_done(pages, random_next(random) % 5 ? 0 : -QUIRE_EIO);
}

static bool take_ready(struct frame *frame, uint64_t index, void *context)
{
	uint32_t state = at_load(&frame->u.object.state);

	(void)index;
	if ((state & ~PAGE_USED) != PAGE_READY ||
	    !at_cas(&frame->u.object.state, &state, PAGE_GONE))
		return false;
	*(struct frame **)context = frame;
	return true;
}

static void evict(uint64_t index)
{
	struct frame *frame = NULL;

	section_enter();
	cache_remove(&object->cache, index, index + 1, 1, take_ready, &frame);
	if (frame)
		frame_put(frame);
	section_leave();
}

/* A pinned READY page of the cache has its words, as long as it is looked at. */
static void look(uint64_t index)
{
	struct frame *frame;

	section_enter();
	frame = page_get(object, index);
	if (frame && at_load_acquire(&frame->u.object.state) & PAGE_READY) {
		const uint64_t *words = frame_bytes(frame);

		thread_check(words[0] == word_of(index, 0) && words[511] == word_of(index, 511));
		at_add(&looked, 1ull);
	}
	if (frame)
		frame_put(frame);
	section_leave();
}

static void stress_work(unsigned cpu)
{
	uint32_t random = 0x9e3779b9u * (cpu + 1);

	while (!at_load(&stop)) {
		uint64_t index = random_next(&random) % SPAN;

		if (cpu == 0) {
			/* On a busy machine it is long until its next turn. */
			for (unsigned i = 0; i < 16; i++)
				answer_some(&random);
			sched_yield();
		} else if (cpu == 1) {
			evict(index);
			if (random_next(&random) % 64 == 0)
				quire_object_readahead(object, index << PAGE_SHIFT, 1 << 18);
		} else {
			int error = page_fetch(object, index);

			thread_check(error == 0 || error == -QUIRE_EIO);
			at_add(&failed, error ? 1ull : 0ull);
			look(index);
		}
		grace_poll();
	}
	if (cpu != 0)
		at_sub(&others, 1u);
	while (cpu == 0 && (at_load_acquire(&others) != 0 || at_load(&object->requests) != 0))
		answer_some(&random);
}

static bool enough(void)
{
	return at_load(&looked) > 100 && at_load(&failed) > 10;
}

/* After a second, or when there was enough on a busy machine. */
static void stop_later(unsigned cpu)
{
	uint64_t since = port_clock();

	(void)cpu;
	grace_offline();
	nap(STRESS_NS);
	while (!enough() && port_clock() - since < STANDSTILL_NS)
		nap(10 * MILLISECOND);
	grace_online();
	at_store(&stop, 1u);
}

static void stress(void **state)
{
	struct thread timer;

	(void)state;
	begin_with(&stress_ops, 0, SPAN * PAGE_SIZE);
	at_store(&stop, 0u);
	at_store(&others, OBJECT_CPUS - 2u);
	grace_offline();
	thread_start(&timer, OBJECT_CPUS - 1, stop_later);
	threads_run(OBJECT_CPUS - 1, stress_work);
	thread_join(&timer);
	grace_online();
	assert_true(enough());
	assert_int_equal(at_load(&object->requests), 0);
	for (uint64_t index = 0; index < SPAN; index++)
		assert_true(!page_state(object, index) || has_words(index, PAGE_SIZE));
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fetching),
		cmocka_unit_test(shrinking),
		cmocka_unit_test(around),
		cmocka_unit_test(sequential),
		cmocka_unit_test(asked_readahead),
		cmocka_unit_test(errors),
		cmocka_unit_test(done_before_wait),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(memory_runs_out),
		cmocka_unit_test(zero_pages),
		cmocka_unit_test(making_dirty),
		cmocka_unit_test(mkwrite),
		cmocka_unit_test(answered_later),
		cmocka_unit_test(waits_for_its_page),
		cmocka_unit_test(same_page),
		cmocka_unit_test(cut_while_read),
		cmocka_unit_test(release_waits_for_reads),
		cmocka_unit_test(section_outlasts_object),
		cmocka_unit_test(stable_writes),
		cmocka_unit_test(stress),
	};

	return cmocka_run_group_tests_name("page", tests, NULL, NULL);
}
