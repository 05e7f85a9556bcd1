/* SPDX-License-Identifier: MIT */
/*
 * Faults on pages of objects: each kind of mapping and access, dirty tracking, fault-around, the
 * end of the object, errors, and callers who must not wait; in each mode. What the calls do with
 * mappings of objects is in test_mappings.c.
 */
#include "pager.h"
#include <pthread.h>
#include <unistd.h>

/* --- kinds of faults */

static void shared_access(void **state)
{
	(void)state;
	quire_object_readahead(pager->object, 0, PAGES(KEPT_PAGES));
	map(0, 48, RWX, SHARED, pager->object, 0);
	fault(AT(5), QUIRE_READ, QUIRE_FAULT_DONE);
	resolved(path, QUIRE_KIND_OBJECT_READ);
	assert_int_equal(rights_at(AT(5)), RIGHT_READ | RIGHT_EXEC);
	assert_false(pte_is_dirty(entry_in(mm, AT(5))));
	fault(AT(5), QUIRE_EXEC, QUIRE_FAULT_DONE);
	resolved(path, QUIRE_KIND_SPURIOUS);
	fault(AT(5), QUIRE_WRITE, QUIRE_FAULT_DONE);
	resolved(path, QUIRE_KIND_OBJECT_WRITE);
	assert_int_equal(rights_at(AT(5)), RIGHT_READ | RIGHT_WRITE | RIGHT_EXEC);
	assert_true(pte_is_dirty(entry_in(mm, AT(5))));
	fault(AT(20), QUIRE_WRITE, QUIRE_FAULT_DONE);
	resolved(path, QUIRE_KIND_OBJECT_WRITE);
	fault(AT(40), QUIRE_EXEC, QUIRE_FAULT_DONE);
	resolved(path, QUIRE_KIND_OBJECT_READ);
	for (unsigned i = 0; i < 48; i++)
		for (unsigned m = 0; m < 3; m++)
			assert_int_equal(load(AT(i) + marks[m]), kept_value(i));
}

static void private_access(void **state)
{
	pte shown;

	(void)state;
	quire_object_readahead(pager->object, 0, PAGES(KEPT_PAGES));
	map(0, 48, RWX, PRIVATE, pager->object, 8);
	fault(AT(0), QUIRE_READ, QUIRE_FAULT_DONE);
	resolved(path, QUIRE_KIND_OBJECT_READ);
	shown = entry_in(mm, AT(0));
	assert_int_equal(pte_rights(shown), RIGHT_READ | RIGHT_EXEC);
	fault(AT(0), QUIRE_WRITE, QUIRE_FAULT_DONE);
	resolved(path, QUIRE_KIND_OBJECT_COPY);
	assert_int_not_equal(pte_pfn(entry_in(mm, AT(0))), pte_pfn(shown));
	assert_int_equal(rights_at(AT(0)), RIGHT_READ | RIGHT_WRITE | RIGHT_EXEC);
	fault(AT(20), QUIRE_WRITE, QUIRE_FAULT_DONE); /* with nothing entered */
	resolved(path, QUIRE_KIND_OBJECT_COPY);
	fault(AT(40), QUIRE_EXEC, QUIRE_FAULT_DONE);
	resolved(path, QUIRE_KIND_OBJECT_READ);
	for (unsigned i = 0; i < 48; i++)
		for (unsigned m = 0; m < 3; m++)
			assert_int_equal(load(AT(i) + marks[m]), kept_value(8 + i));
	store(AT(0), 1);
	store(AT(20), 2);
	look();
	assert_int_equal(before.anonymous, 2);
	assert_int_equal(before.object_pages, 46);
	assert_int_equal(quire_object_sync(pager->object, 0, PAGES(KEPT_PAGES)), 0);
	assert_int_equal(calls(pager, OP_MKWRITE) + calls(pager, OP_WRITE), 0);
	assert_int_equal(kept(pager, 8), kept_value(8));
	assert_int_equal(kept(pager, 28), kept_value(28));
}

/* What is written in one mapping is seen in every shared one, and where nothing is copied yet. */
static void coherent(void **state)
{
	uint64_t value = 0;

	(void)state;
	map(0, 4, RW, SHARED, pager->object, 0);
	map(8, 4, RW, SHARED, pager->object, 0);
	map(16, 4, RW, PRIVATE, pager->object, 0);
	store(AT(1), 10);
	assert_int_equal(load(AT(9)), 10);
	assert_int_equal(load(AT(17)), 10);
	store(AT(9), 11);
	assert_int_equal(load(AT(1)), 11);
	assert_int_equal(load(AT(17)), 11);
	store(AT(17) + 8, 5);
	store(AT(1), 12);
	assert_int_equal(load(AT(17)), 11);
	assert_int_equal(load(AT(9) + 8), 0);
	assert_int_equal(quire_object_read(pager->object, PAGE_SIZE, &value, 8), 8);
	assert_int_equal(value, 12);
	value = 13;
	assert_int_equal(quire_object_write(pager->object, PAGE_SIZE, &value, 8), 8);
	assert_int_equal(load(AT(1)), 13);
	assert_int_equal(load(AT(17)), 11);
}

/* Memory without operations: no dirty tracking, so even a read may enter it writable. */
static void shared_memory(void **state)
{
	struct quire_object *object;

	(void)state;
	assert_int_equal(quire_shared_create(PAGES(8), NULL, &object), 0);
	map(0, 8, RW, SHARED, object, 0);
	map(8, 8, RW, SHARED, object, 0);
	quire_object_put(object);
	fault(AT(0), QUIRE_READ, QUIRE_FAULT_DONE);
	resolved(path, QUIRE_KIND_OBJECT_WRITE);
	assert_int_equal(rights_at(AT(0)), RIGHT_READ | RIGHT_WRITE);
	fault(AT(9), QUIRE_WRITE, QUIRE_FAULT_DONE);
	resolved(path, QUIRE_KIND_OBJECT_WRITE);
	assert_int_equal(load(AT(1)), 0);
	store(AT(9), 77);
	assert_int_equal(load(AT(1)), 77);
	assert_int_equal(counted(QUIRE_RETRY_WAIT), 0);
}

/* Anonymous and shared: an object of its own, which outlives no mapping. */
static void shared_anonymous(void **state)
{
	const int flags = QUIRE_MAP_SHARED | QUIRE_MAP_ANONYMOUS | QUIRE_MAP_FIXED;
	struct quire_mm *child;

	(void)state;
	assert_int_equal(quire_mmap(mm, AT(0), PAGES(4), RW, flags), AT(0));
	store(AT(0), 1);
	assert_int_equal(quire_fork(mm, &child), 0);
	store(AT(0), 2);
	quire_soft_switch(cpu, child);
	assert_int_equal(load(AT(0)), 2);
	store(AT(3), 3);
	quire_soft_switch(cpu, mm);
	assert_int_equal(load(AT(3)), 3);
	quire_mm_destroy(child);
	assert_int_equal(load(AT(3)), 3);
	refused(AT(4), QUIRE_READ, QUIRE_FAULT_MAPERR);
	assert_non_null(vma_at(AT(0)).object);
	assert_int_equal(quire_mmap(mm, AT(0), PAGES(4), RW, flags & ~QUIRE_MAP_ANONYMOUS),
			 -QUIRE_EBADF);
}

static void protection(void **state)
{
	(void)state;
	map(0, 4, R, SHARED, pager->object, 0);
	assert_int_equal(load(AT(0)), kept_value(0));
	refused(AT(0), QUIRE_WRITE, QUIRE_FAULT_ACCERR);
	refused(AT(0), QUIRE_EXEC, QUIRE_FAULT_ACCERR);
	assert_int_equal(quire_mprotect(mm, AT(0), PAGES(2), RW), 0);
	store(AT(0), 1);
	store(AT(1), 2);
	assert_int_equal(quire_mprotect(mm, AT(0), PAGES(2), R), 0);
	assert_int_equal(rights_at(AT(0)), RIGHT_READ);
	refused(AT(0), QUIRE_WRITE, QUIRE_FAULT_ACCERR);
	assert_int_equal(quire_mprotect(mm, AT(0), PAGES(4), 0), 0);
	refused(AT(1), QUIRE_READ, QUIRE_FAULT_ACCERR);
	assert_int_equal(quire_mprotect(mm, AT(0), PAGES(4), RW), 0);
	assert_int_equal(load(AT(0)), 1);
	assert_int_equal(load(AT(1)), 2);
	/* It was dirty all the time: nobody asks again. */
	assert_int_equal(calls(pager, OP_MKWRITE), 2);
	store(AT(0), 3);
	assert_int_equal(calls(pager, OP_MKWRITE), 2);
}

static void protection_keys(void **state)
{
	int key = quire_pkey_alloc(mm);

	(void)state;
	assert_true(key > 0);
	map(0, 4, RW, SHARED, pager->object, 0);
	store(AT(0), 1);
	load(AT(1));
	assert_int_equal(quire_pkey_mprotect(mm, AT(0), PAGES(4), RW, key), 0);
	assert_int_equal(pte_key(entry_in(mm, AT(0))), key);
	quire_soft_keys(cpu, 2u << 2 * key);
	refused(AT(0), QUIRE_WRITE, QUIRE_FAULT_PKUERR);
	assert_int_equal(load(AT(0)), 1);
	quire_soft_keys(cpu, 1u << 2 * key);
	refused(AT(2), QUIRE_READ, QUIRE_FAULT_PKUERR);
	quire_soft_keys(cpu, 0);
	store(AT(2), 2);
	assert_int_equal(pte_key(entry_in(mm, AT(2))), key);
}

/* --- dirty pages */

/* The object is asked once for each time that a page becomes dirty. */
static void asked_once(void **state)
{
	(void)state;
	map(0, 8, RW, SHARED, pager->object, 0);
	map(8, 8, RW, SHARED, pager->object, 0);
	store(AT(2), 1);
	assert_int_equal(calls(pager, OP_MKWRITE), 1);
	assert_true(at_load(&pager->in_section));
	assert_int_equal(object_stats(pager->object).dirty, 1);
	store(AT(2), 2);
	store(AT(10), 3); /* another mapping of the same page */
	assert_int_equal(calls(pager, OP_MKWRITE), 1);
	store(AT(3), 4);
	assert_int_equal(calls(pager, OP_MKWRITE), 2);
	assert_int_equal(kept(pager, 2), kept_value(2));

	assert_int_equal(quire_object_sync(pager->object, 0, PAGES(KEPT_PAGES)), 0);
	assert_int_equal(object_stats(pager->object).dirty, 0);
	assert_int_equal(kept(pager, 2), 3);
	assert_int_equal(kept(pager, 3), 4);
	/* Every entry is write-protected, and still there. */
	assert_int_equal(rights_at(AT(2)), RIGHT_READ);
	assert_int_equal(rights_at(AT(10)), RIGHT_READ);
	assert_int_equal(rights_at(AT(3)), RIGHT_READ);
	assert_int_equal(load(AT(10)), 3);
	look();
	store(AT(10), 5);
	resolved(path, QUIRE_KIND_OBJECT_WRITE);
	assert_int_equal(calls(pager, OP_MKWRITE), 3);
	assert_int_equal(rights_at(AT(2)), RIGHT_READ);
	assert_int_equal(quire_msync(mm, AT(10), PAGE_SIZE, QUIRE_MS_SYNC), 0);
	assert_int_equal(kept(pager, 2), 5);
	assert_int_equal(calls(pager, OP_WRITE), 2);
	/* Nothing is dirty: nothing is written. */
	assert_int_equal(quire_object_sync(pager->object, 0, PAGES(KEPT_PAGES)), 0);
	assert_int_equal(calls(pager, OP_WRITE), 2);
}

/* Only pages of the range are cleaned. */
static void sync_of_a_part(void **state)
{
	(void)state;
	map(0, 16, RW, SHARED, pager->object, 0);
	for (unsigned i = 0; i < 16; i++)
		store(AT(i), i + 1);
	assert_int_equal(quire_msync(mm, AT(4), PAGES(3), QUIRE_MS_SYNC), 0);
	assert_int_equal(object_stats(pager->object).dirty, 13);
	for (unsigned i = 0; i < 16; i++) {
		bool clean = i >= 4 && i < 7;

		assert_int_equal(kept(pager, i), clean ? i + 1 : kept_value(i));
		assert_int_equal(rights_at(AT(i)), clean ? RIGHT_READ : RIGHT_READ | RIGHT_WRITE);
	}
	assert_int_equal(quire_msync(mm, AT(0), PAGES(17), QUIRE_MS_SYNC), -QUIRE_ENOMEM);
	assert_int_equal(object_stats(pager->object).dirty, 0);
}

/* Without the capability the object is asked where it may sleep. */
static void asked_outside(void **state)
{
	struct pager *p = pager_new(&pager_ops, QUIRE_CAN_FAULT, PAGES(8));

	(void)state;
	map(0, 8, RW, SHARED, p->object, 0);
	quire_object_put(p->object);
	load(AT(0));
	look();
	store(AT(0), 1);
	assert_int_equal(counted(QUIRE_RETRY_WAIT), 1);
	resolved(path, QUIRE_KIND_OBJECT_WRITE);
	assert_false(p->in_section);
	assert_int_equal(calls(p, OP_MKWRITE), 1);
	store(AT(5), 1); /* with nothing entered: fetched, and asked */
	assert_int_equal(calls(p, OP_MKWRITE), 2);
	assert_int_equal(quire_munmap(mm, AT(0), PAGES(8)), 0);
	assert_int_equal(kept(p, 0), 1); /* written before it was released */
	assert_int_equal(kept(p, 5), 1);
	pager_end(p);
}

static void mkwrite_waits(void **state)
{
	(void)state;
	map(0, 4, RW, SHARED, pager->object, 0);
	load(AT(0));
	look();
	let_answer(pager, OP_MKWRITE, QUIRE_WAIT, 3);
	store(AT(0), 1);
	resolved(path, QUIRE_KIND_OBJECT_WRITE);
	assert_int_equal(calls(pager, OP_MKWRITE), 4);
	assert_false(at_load(&pager->in_section));
}

static void mkwrite_fails(void **state)
{
	(void)state;
	map(0, 4, RW, SHARED, pager->object, 0);
	load(AT(0));
	look();
	let_answer(pager, OP_MKWRITE, -QUIRE_ENOSPC, 1000);
	fault(AT(0), QUIRE_WRITE, QUIRE_FAULT_BUS);
	resolved(QUIRE_PATH_CLASSIC, QUIRE_KIND_VERDICT);
	fault(AT(3), QUIRE_WRITE, QUIRE_FAULT_BUS); /* with nothing entered */
	assert_int_equal(object_stats(pager->object).dirty, 0);
	assert_int_equal(rights_at(AT(0)), RIGHT_READ);
	assert_int_equal(load(AT(3)), kept_value(3));
	let_answer(pager, OP_MKWRITE, -QUIRE_ENOMEM, 1000);
	look();
	fault(AT(0), QUIRE_WRITE, QUIRE_FAULT_OOM);
	assert_int_equal(counted(QUIRE_OOMS), 1);
	let_answer(pager, OP_MKWRITE, 0, 0);
	store(AT(0), 1);
	store(AT(3), 1);
	/* A private copy is nobody's business. */
	let_answer(pager, OP_MKWRITE, -QUIRE_ENOSPC, 1000);
	map(8, 4, RW, PRIVATE, pager->object, 0);
	store(AT(8), 9);
}

/* --- pages that must not change while they are written */

struct writer {
	pthread_t thread;
	unsigned index;
	uint64_t address;
	_Atomic bool done;
};

static void *write_main(void *argument)
{
	struct writer *w = argument;
	struct quire_soft_cpu *mine = quire_soft_attach(w->index);

	quire_soft_enter(mine);
	quire_soft_switch(mine, mm);
	require(quire_fault(mm, w->address, QUIRE_WRITE) == QUIRE_FAULT_DONE);
	at_store_release(&w->done, true);
	quire_soft_switch(mine, NULL);
	quire_soft_leave(mine);
	quire_soft_detach(mine);
	return NULL;
}

static void *sync_main(void *argument)
{
	struct writer *w = argument;
	struct quire_soft_cpu *mine = quire_soft_attach(w->index);

	quire_soft_enter(mine);
	require(quire_object_sync(((struct pager *)pager)->object, 0, PAGES(KEPT_PAGES)) == 0);
	at_store_release(&w->done, true);
	quire_soft_leave(mine);
	quire_soft_detach(mine);
	return NULL;
}

static void begin(struct writer *w, unsigned index, void *(*work)(void *), uint64_t address)
{
	*w = (struct writer){ .index = index, .address = address };
	assert_int_equal(pthread_create(&w->thread, NULL, work, w), 0);
}

/* This CPU is in nobody's way meanwhile. */
static void give_time(unsigned milliseconds)
{
	quire_soft_leave(cpu);
	usleep(milliseconds * 1000);
	quire_soft_enter(cpu);
}

static void end(struct writer *w)
{
	quire_soft_leave(cpu);
	assert_int_equal(pthread_join(w->thread, NULL), 0);
	quire_soft_enter(cpu);
	assert_true(at_load(&w->done));
}

#define PATIENCE 60000 /* milliseconds, by when another thread will never do it */

/*
 * Begin, and wait until the writer is about to sleep for a page: until then it needs no reference,
 * and then it has one and looks at nothing else. Others that have one keep it meanwhile.
 * => may be in a section, with a leaf locked
 */
static void begin_sleeper(struct writer *w, unsigned index, uint64_t address,
			  struct quire_object *object)
{
	uint32_t refs = at_load(&object->refs);

	begin(w, index, write_main, address);
	for (unsigned i = 0; i < PATIENCE && at_load(&object->refs) <= refs; i++)
		usleep(1000);
	assert_true(at_load(&object->refs) > refs);
}

/* What an operation has answered with QUIRE_WAIT. */
static struct quire_pages *await_request(const struct pager *p)
{
	for (unsigned i = 0; i < PATIENCE && !at_load(&p->waiting); i++)
		give_time(1);
	assert_non_null(at_load(&p->waiting));
	return at_load_acquire(&p->waiting); /* pairs with the operation's store */
}

/* A write-back that goes on while somebody writes to the page. */
static void write_during_writeback(unsigned caps, bool waits)
{
	struct pager *usual = pager, *p = pager_new(&pager_ops, caps, PAGES(8));
	struct writer syncing, writing;
	struct quire_pages *pages;

	pager = p;
	map(0, 8, RW, SHARED, p->object, 0);
	store(AT(0), 1);
	look();
	let_answer(p, OP_WRITE, QUIRE_WAIT, 1);
	begin(&syncing, 1, sync_main, 0);
	pages = await_request(p);
	assert_int_equal(rights_at(AT(0)), RIGHT_READ);
	assert_int_equal(load(AT(0)), 1);
	if (waits) {
		begin_sleeper(&writing, 2, AT(0), p->object);
		give_time(100);
	} else {
		begin(&writing, 2, write_main, AT(0));
		for (unsigned i = 0; i < PATIENCE && !at_load(&writing.done); i++)
			give_time(1);
	}
	assert_int_equal(at_load(&writing.done), !waits);
	if (waits) /* it sleeps */
		assert_true(counted(QUIRE_RETRY_PAGE) < 10);
	assert_false(at_load(&syncing.done));
	memcpy(p->kept[0], pages->bytes[0], PAGE_SIZE);
	quire_pages_done(pages, 0);
	end(&writing);
	end(&syncing);
	assert_int_equal(kept(p, 0), 1);
	assert_int_equal(object_stats(p->object).dirty, 1);
	store(AT(0), 2);
	assert_int_equal(quire_munmap(mm, AT(0), PAGES(8)), 0);
	quire_object_put(p->object);
	assert_int_equal(kept(p, 0), 2);
	pager_end(p);
	pager = usual;
}

static void stable_writes(void **state)
{
	(void)state;
	write_during_writeback(ALL_CAPS | QUIRE_STABLE_WRITES, true);
	write_during_writeback(QUIRE_CAN_FAULT | QUIRE_STABLE_WRITES, true);
}

static void unstable_writes(void **state)
{
	(void)state;
	write_during_writeback(ALL_CAPS, false);
	write_during_writeback(0, false);
}

/* A failed write loses nothing, and is reported once. */
static void write_errors(void **state)
{
	(void)state;
	map(0, 8, RW, SHARED, pager->object, 0);
	store(AT(0), 1);
	let_answer(pager, OP_WRITE, -QUIRE_EIO, 1);
	assert_int_equal(quire_msync(mm, AT(0), PAGES(8), QUIRE_MS_SYNC), -QUIRE_EIO);
	assert_int_equal(object_stats(pager->object).dirty, 1);
	assert_int_equal(load(AT(0)), 1);
	store(AT(0), 2);
	assert_int_equal(quire_msync(mm, AT(0), PAGES(8), QUIRE_MS_SYNC), 0);
	assert_int_equal(kept(pager, 0), 2);
	let_answer(pager, OP_SYNC, -QUIRE_EIO, 1);
	assert_int_equal(quire_msync(mm, AT(0), PAGES(8), QUIRE_MS_SYNC), -QUIRE_EIO);
	assert_int_equal(quire_msync(mm, AT(0), PAGES(8), QUIRE_MS_SYNC), 0);
}

/* --- around a fault */

/* What is resident in the same aligned block of 16, the mapping, and the object. */
static void around(void **state)
{
	struct quire_object *object = pager->object;

	(void)state;
	quire_object_readahead(object, 0, PAGES(KEPT_PAGES));
	map(16, 48, RW, SHARED, object, 0);
	fault(AT(20), QUIRE_READ, QUIRE_FAULT_DONE);
	assert_int_equal(counted(QUIRE_AROUND), 15);
	assert_int_equal(entered(16, 48), 16);
	assert_int_equal(entered(16, 16), 16);
	for (unsigned i = 16; i < 32; i++) {
		assert_int_equal(rights_at(AT(i)), RIGHT_READ);
		assert_int_equal(pte_is_accessed(entry_in(mm, AT(i))), i == 20);
	}
	look();
	assert_int_equal(before.object_pages, 16);
	fault(AT(40), QUIRE_WRITE, QUIRE_FAULT_DONE);
	assert_int_equal(counted(QUIRE_AROUND), 0);
	assert_int_equal(entered(16, 48), 17);
	/* What is entered already is left alone. */
	fault(AT(41), QUIRE_EXEC, QUIRE_FAULT_ACCERR);
	fault(AT(41), QUIRE_READ, QUIRE_FAULT_DONE);
	assert_int_equal(counted(QUIRE_AROUND), 14);
	assert_int_equal(rights_at(AT(40)), RIGHT_READ | RIGHT_WRITE);
	for (unsigned i = 16; i < 48; i++)
		assert_int_equal(load(AT(i)), kept_value(i - 16));
}

static void around_bounds(void **state)
{
	(void)state;
	quire_object_readahead(pager->object, 0, PAGES(KEPT_PAGES));
	/* Pages 3 to 12 of the block; beside it others of the same object, and of none. */
	map(3, 10, R, SHARED, pager->object, 3);
	map(13, 3, R, SHARED, pager->object, 40);
	assert_int_equal(quire_mmap(mm, AT(0), PAGES(3), RW,
				    QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS | QUIRE_MAP_FIXED),
			 AT(0));
	fault(AT(12), QUIRE_READ, QUIRE_FAULT_DONE);
	assert_int_equal(counted(QUIRE_AROUND), 9);
	assert_int_equal(entered(3, 10), 10);
	assert_int_equal(entered(0, 3) + entered(13, 3), 0);
	fault(AT(13), QUIRE_READ, QUIRE_FAULT_DONE);
	assert_int_equal(counted(QUIRE_AROUND), 11);
	assert_int_equal(load(AT(15)), kept_value(42));
	/* A private mapping, whose copies are left alone. */
	map(32, 16, RW, PRIVATE, pager->object, 16);
	store(AT(33), 1);
	look();
	fault(AT(34), QUIRE_READ, QUIRE_FAULT_DONE);
	assert_int_equal(counted(QUIRE_AROUND), 14);
	assert_int_equal(load(AT(33)), 1);
	assert_int_equal(rights_at(AT(35)), RIGHT_READ);
	/* Only what is resident: nothing is fetched for it. */
	assert_int_equal(quire_object_invalidate(pager->object, PAGES(50), PAGES(4)), 0);
	map(48, 16, R, SHARED, pager->object, 48);
	look();
	fault(AT(60), QUIRE_READ, QUIRE_FAULT_DONE);
	assert_int_equal(counted(QUIRE_AROUND), 11);
	assert_int_equal(entered(50, 4), 0);
}

static void not_around(void **state)
{
	struct pager *p = pager_new(&pager_ops, QUIRE_CAN_FAULT | QUIRE_CAN_MKWRITE, PAGES(16));

	(void)state;
	quire_object_readahead(p->object, 0, PAGES(16));
	map(0, 16, R, SHARED, p->object, 0);
	quire_object_put(p->object);
	fault(AT(4), QUIRE_READ, QUIRE_FAULT_DONE);
	resolved(path, QUIRE_KIND_OBJECT_READ);
	assert_int_equal(counted(QUIRE_AROUND), 0);
	assert_int_equal(entered(0, 16), 1);
	assert_int_equal(quire_munmap(mm, AT(0), PAGES(16)), 0);
	pager_end(p);
}

/* --- the classic way */

/* An object that allows nothing works, and no fault of it is speculative. */
static void refusing_object(void **state)
{
	struct pager *p = pager_new(&pager_ops, 0, PAGES(8));

	(void)state;
	map(0, 8, RW, SHARED, p->object, 0);
	map(8, 8, RW, PRIVATE, p->object, 0);
	quire_object_put(p->object);
	fault(AT(0), QUIRE_READ, QUIRE_FAULT_DONE);
	/* The classic mode has but this way. */
	assert_int_equal(counted(QUIRE_CLASSIC_OBJECT), path != QUIRE_PATH_CLASSIC);
	resolved(QUIRE_PATH_CLASSIC, QUIRE_KIND_OBJECT_READ);
	fault(AT(0), QUIRE_WRITE, QUIRE_FAULT_DONE);
	resolved(QUIRE_PATH_CLASSIC, QUIRE_KIND_OBJECT_WRITE);
	fault(AT(9), QUIRE_WRITE, QUIRE_FAULT_DONE);
	resolved(QUIRE_PATH_CLASSIC, QUIRE_KIND_OBJECT_COPY);
	store(AT(0), 5);
	store(AT(9), 6);
	assert_int_equal(load(AT(8)), 5);
	assert_int_equal(load(AT(1)), kept_value(1));
	if (path == QUIRE_PATH_SPECULATIVE)
		assert_int_equal(quire_fault_with(mm, AT(7), QUIRE_READ, QUIRE_FAULT_SPECULATIVE),
				 QUIRE_FAULT_RETRY);
	assert_int_equal(quire_munmap(mm, AT(0), PAGES(16)), 0);
	assert_int_equal(kept(p, 0), 5);
	pager_end(p);
}

static void speculation_switch(void **state)
{
	(void)state;
	map(0, 8, RW, SHARED, pager->object, 0);
	quire_mm_set_speculation(mm, false);
	fault(AT(0), QUIRE_READ, QUIRE_FAULT_DONE);
	resolved(QUIRE_PATH_CLASSIC, QUIRE_KIND_OBJECT_READ);
	fault(AT(0), QUIRE_WRITE, QUIRE_FAULT_DONE);
	resolved(QUIRE_PATH_CLASSIC, QUIRE_KIND_OBJECT_WRITE);
	assert_int_equal(quire_fault_with(mm, AT(5), QUIRE_READ, QUIRE_FAULT_SPECULATIVE),
			 QUIRE_FAULT_RETRY);
	quire_mm_set_speculation(mm, true);
	fault(AT(5), QUIRE_WRITE, QUIRE_FAULT_DONE);
	resolved(QUIRE_PATH_SPECULATIVE, QUIRE_KIND_OBJECT_WRITE);
}

/* --- the end of the object */

static void beyond_the_end(void **state)
{
	struct pager *p = pager_new(&pager_ops, ALL_CAPS, PAGES(2) + 100);

	(void)state;
	map(0, 6, RW, SHARED, p->object, 0);
	map(8, 6, RW, PRIVATE, p->object, 0);
	map(16, 2, RW, SHARED, p->object, 100); /* all of it */
	look();
	fault(AT(3), QUIRE_READ, QUIRE_FAULT_BUS);
	resolved(QUIRE_PATH_CLASSIC, QUIRE_KIND_VERDICT);
	fault(AT(3), QUIRE_WRITE, QUIRE_FAULT_BUS);
	fault(AT(11), QUIRE_READ, QUIRE_FAULT_BUS);
	fault(AT(11), QUIRE_WRITE, QUIRE_FAULT_BUS);
	fault(AT(16), QUIRE_READ, QUIRE_FAULT_BUS);
	fault(AT(5), QUIRE_EXEC, QUIRE_FAULT_ACCERR);
	assert_int_equal(calls(p, OP_FAULT), 0);
	/* The last page: zero behind the end, and what is stored there is not kept. */
	assert_int_equal(load(AT(2)), kept_value(2));
	assert_int_equal(load(AT(2) + 2048), 0);
	store(AT(2) + 2048, 99);
	store(AT(2) + 96, 98);
	assert_int_equal(load(AT(10) + 2048), 99);
	assert_int_equal(quire_object_sync(p->object, 0, UINT64_MAX), 0);
	assert_int_equal(memcmp(p->kept[2] + 2048, &(uint64_t){ kept_value(2) }, 8), 0);
	assert_int_equal(p->kept[2][96], 98);

	assert_int_equal(quire_object_truncate(p->object, PAGES(4)), 0);
	assert_int_equal(load(AT(2) + 2048), 0);
	assert_int_equal(load(AT(10) + 96), 98);
	assert_int_equal(load(AT(3)), kept_value(3));
	store(AT(11), 1);
	fault(AT(4), QUIRE_READ, QUIRE_FAULT_BUS);
	assert_int_equal(quire_munmap(mm, AT(0), PAGES(18)), 0);
	quire_object_put(p->object);
	pager_end(p);
}

/* Shared pages and private copies go, everywhere; growing again shows what is kept. */
static void truncation(void **state)
{
	(void)state;
	map(0, 16, RW, SHARED, pager->object, 0);
	map(16, 16, RW, PRIVATE, pager->object, 0);
	for (unsigned i = 0; i < 16; i++) {
		store(AT(i), 100 + i);
		if (i % 2)
			store(AT(16 + i), 200 + i);
		else
			load(AT(16 + i));
	}
	look();
	assert_int_equal(before.object_pages, 24);
	assert_int_equal(quire_object_truncate(pager->object, PAGES(5) + 16), 0);
	look();
	assert_int_equal(entered(0, 6), 6);
	assert_int_equal(entered(6, 10), 0);
	assert_int_equal(entered(16, 6), 6);
	assert_int_equal(entered(22, 10), 0);
	assert_int_equal(before.object_pages, 9);
	assert_int_equal(before.anonymous, 3);
	check_valid();
	refused(AT(6), QUIRE_READ, QUIRE_FAULT_BUS);
	refused(AT(31), QUIRE_WRITE, QUIRE_FAULT_BUS);
	assert_int_equal(load(AT(5)), 105);
	assert_int_equal(load(AT(21)), 205);
	assert_int_equal(load(AT(21) + 2048), kept_value(5)); /* a copy is as it is */
	assert_int_equal(load(AT(5) + 2048), 0);
	assert_int_equal(quire_object_truncate(pager->object, PAGES(KEPT_PAGES)), 0);
	assert_int_equal(load(AT(6)), 0);
	assert_int_equal(load(AT(23)), 0);
	assert_int_equal(load(AT(5)), 105);
	let_answer(pager, OP_TRUNCATE, -QUIRE_EIO, 1);
	assert_int_equal(quire_object_truncate(pager->object, 0), -QUIRE_EIO);
	assert_int_equal(load(AT(5)), 105);
	assert_int_equal(quire_object_truncate(pager->object, 0), 0);
	assert_int_equal(entered(0, 32), 0);
	refused(AT(0), QUIRE_READ, QUIRE_FAULT_BUS);
}

/* Invalidation and holes: private copies stay. */
static void taking_pages_away(void **state)
{
	(void)state;
	map(0, 8, RW, SHARED, pager->object, 0);
	map(8, 8, RW, PRIVATE, pager->object, 0);
	store(AT(1), 10);
	store(AT(9), 20);
	assert_int_equal(load(AT(2)), kept_value(2));
	assert_int_equal(load(AT(10)), kept_value(2));
	memset(pager->kept[2], 7, 8);
	assert_int_equal(quire_object_invalidate(pager->object, 0, PAGES(8)), -QUIRE_EBUSY);
	assert_int_equal(load(AT(2)), 0x0707070707070707);
	assert_int_equal(load(AT(10)), 0x0707070707070707);
	assert_int_equal(load(AT(1)), 10);
	assert_int_equal(load(AT(9)), 20);
	assert_true(calls(pager, OP_INVALIDATE) > 0);
	assert_int_equal(quire_object_remove(pager->object, PAGES(1), PAGES(2)), 0);
	assert_int_equal(load(AT(1)), 0);
	assert_int_equal(load(AT(2)), 0);
	assert_int_equal(load(AT(10)), 0);
	assert_int_equal(load(AT(9)), 20);
}

static struct quire_object *pierced;

static void *remove_main(void *argument)
{
	struct writer *w = argument;
	struct quire_soft_cpu *mine = quire_soft_attach(w->index);

	quire_soft_enter(mine);
	require(quire_object_remove(pierced, 0, PAGE_SIZE) == 0);
	at_store_release(&w->done, true);
	quire_soft_leave(mine);
	quire_soft_detach(mine);
	return NULL;
}

/* => in a section */
static uint32_t page_state(struct quire_object *object, uint64_t index)
{
	struct frame *frame = page_get(object, index);
	uint32_t state = frame ? at_load(&frame->u.object.state) : 0;

	if (frame)
		frame_put(frame);
	return state;
}

static void fault_leaving_page(void)
{
	struct writer removing, writing;
	struct walk walk;

	assert_int_equal(quire_shared_create(PAGES(8), NULL, &pierced), 0);
	map(0, 8, RW, SHARED, pierced, 0);
	map(1024, 8, RW, SHARED, pierced, 0); /* in another leaf */
	store(AT(0), 1);
	look();
	section_enter();
	assert_int_equal(table_walk(&mm->tables, AT(0), &walk), WALK_LEAF);
	table_lock(walk.table); /* the sweep stands before it */
	begin(&removing, 1, remove_main, 0);
	while (!(page_state(pierced, 0) & PAGE_LEAVING))
		usleep(1000);
	begin_sleeper(&writing, 2, AT(1024), pierced);
	usleep(50000);
	assert_false(at_load(&writing.done));
	table_unlock(walk.table);
	section_leave();
	end(&removing);
	end(&writing);
	assert_int_equal(counted(QUIRE_RETRY_WAIT), 1);
	assert_int_equal(load(AT(0)), 0);
	assert_int_equal(quire_munmap(mm, AT(0), PAGES(2048)), 0);
	quire_object_put(pierced);
}

/* An operation may come back to Quire by itself, on the CPU that called it. */
static struct quire_object *other;

static int fault_from_other(struct quire_object *asked, struct quire_pages *pages)
{
	int64_t done;

	(void)asked;
	quire_soft_enter(quire_soft_self());
	done = quire_object_read(other, 0, pages->bytes[0], 8);
	quire_pages_done(pages, 0);
	quire_soft_leave(quire_soft_self());
	return done == 8 ? QUIRE_WAIT : -QUIRE_EIO;
}

static void entering_operation(void **state)
{
	static const struct quire_object_ops ops = { .fault = fault_from_other };
	const struct quire_object_config config = { .ops = &ops,
						    .caps = QUIRE_CAN_FAULT,
						    .size = PAGES(1) };
	struct quire_object *object;
	uint64_t word = 77;

	(void)state;
	assert_int_equal(quire_shared_create(PAGES(1), NULL, &other), 0);
	assert_int_equal(quire_object_write(other, 0, &word, 8), 8);
	assert_int_equal(quire_object_create(&config, &object), 0);
	map(0, 1, RW, SHARED, object, 0);
	assert_int_equal(load(AT(0)), 77);
	store(AT(0), 78); /* the CPU is inside again, as deep as before */
	assert_int_equal(load(AT(0)), 78);
	assert_int_equal(quire_munmap(mm, AT(0), PAGES(1)), 0);
	quire_object_put(object);
	quire_object_put(other);
}

/* A page that is about to leave: who wants it waits holding nothing that its leaving needs. */
static void leaving_page(void **state)
{
	(void)state;
	fault_leaving_page();
	quire_mm_set_speculation(mm, false);
	fault_leaving_page();
}

/* --- errors */

/* The access gets SIGBUS, the next one makes an attempt of its own. */
static void read_errors(void **state)
{
	(void)state;
	map(0, 64, RW, SHARED, pager->object, 0);
	let_answer(pager, OP_FAULT, -QUIRE_EIO, 2); /* with its neighbours, and alone */
	fault(AT(0), QUIRE_READ, QUIRE_FAULT_BUS);
	assert_int_equal(calls(pager, OP_FAULT), 2);
	resolved(QUIRE_PATH_CLASSIC, QUIRE_KIND_VERDICT);
	assert_int_equal(entered(0, 64), 0);
	assert_int_equal(object_stats(pager->object).cached, 0);
	assert_int_equal(load(AT(0)), kept_value(0));
	map(0, 64, RW, PRIVATE, pager->object, 0);
	/* It fails with its neighbours only. */
	let_answer(pager, OP_FAULT, -QUIRE_EIO, 1);
	store(AT(20), 4);
	assert_int_equal(load(AT(20) + 2048), kept_value(20));
	let_answer(pager, OP_FAULT, -QUIRE_ENOMEM, 1000);
	look();
	fault(AT(40), QUIRE_WRITE, QUIRE_FAULT_OOM);
	assert_int_equal(counted(QUIRE_OOMS), 1);
	let_answer(pager, OP_FAULT, 0, 0);
	store(AT(40), 4);
}

/* A file that is larger than memory: what is read, and written, makes room for what comes. */
static void more_than_memory(void **state)
{
	const uint64_t pages = 2 * MACHINE_MEMORY / PAGE_SIZE;
	unsigned char *bytes = calloc(pages, PAGE_SIZE);
	struct quire_object *object;

	(void)state;
	assert_non_null(bytes);
	for (uint64_t i = 0; i < pages; i++)
		memcpy(bytes + PAGES(i) + 8, &i, 8);
	assert_int_equal(quire_memory_file_create(bytes, PAGES(pages), true, NULL, &object), 0);
	map(0, pages, RW, SHARED, object, 0);
	for (uint64_t i = 0; i < pages; i++) {
		assert_int_equal(load(AT(i) + 8), i);
		if (i % 4 == 0)
			store(AT(i), i + 1);
	}
	for (uint64_t i = 0; i < pages; i += 4)
		assert_int_equal(load(AT(i)), i + 1);
	assert_true(object_stats(object).reclaimed > pages / 2);
	assert_int_equal(counted(QUIRE_OOMS), 0);
	/* And for private memory. */
	assert_int_equal(quire_mmap(mm, AT(pages), PAGES(2000), RW,
				    QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS | QUIRE_MAP_FIXED),
			 AT(pages));
	for (uint64_t i = 0; i < 2000; i++)
		store(AT(pages + i), i);
	assert_int_equal(counted(QUIRE_OOMS), 0);
	assert_int_equal(quire_munmap(mm, AT(0), PAGES(pages + 2000)), 0);
	quire_object_put(object);
	for (uint64_t i = 0; i < pages; i += 4)
		assert_memory_equal(bytes + PAGES(i), &(uint64_t){ i + 1 }, 8);
	free(bytes);
}

/* --- callers who must not wait */

static void no_wait(void **state)
{
	(void)state;
	map(0, 8, RW, SHARED, pager->object, 0);
	look();
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(quire_fault_with(mm, AT(3), QUIRE_READ, QUIRE_FAULT_NOWAIT),
				 QUIRE_FAULT_WAIT);
	assert_int_equal(calls(pager, OP_FAULT), 0);
	assert_int_equal(object_stats(pager->object).cached, 0);
	assert_int_equal(entered(0, 8), 0);
	for (unsigned p = 0; p < QUIRE_PATH_COUNT; p++)
		for (unsigned k = 0; k < QUIRE_KIND_COUNT; k++)
			assert_int_equal(before.faults[p][k], 0);
	look();
	assert_int_equal(before.tables, 1); /* nothing is left of the attempts */
	check_valid();
	load(AT(3));
	look();
	assert_int_equal(quire_fault_with(mm, AT(3), QUIRE_WRITE, QUIRE_FAULT_NOWAIT),
			 QUIRE_FAULT_DONE);
	resolved(path, QUIRE_KIND_OBJECT_WRITE);
	let_answer(pager, OP_MKWRITE, QUIRE_WAIT, 1);
	assert_int_equal(quire_fault_with(mm, AT(2), QUIRE_WRITE, QUIRE_FAULT_NOWAIT),
			 QUIRE_FAULT_WAIT);
	assert_int_equal(object_stats(pager->object).dirty, 1);
	/* Verdicts need no page. */
	assert_int_equal(quire_fault_with(mm, AT(9), QUIRE_READ, QUIRE_FAULT_NOWAIT),
			 QUIRE_FAULT_MAPERR);
	assert_int_equal(quire_fault_with(mm, AT(3), QUIRE_EXEC, QUIRE_FAULT_NOWAIT),
			 QUIRE_FAULT_ACCERR);
}

/* The last reference of an object may be that of a fault that gives up. */
static void no_wait_classic(void **state)
{
	struct pager *p = pager_new(&pager_ops, 0, PAGES(8));

	(void)state;
	map(0, 8, RW, SHARED, p->object, 0);
	quire_object_put(p->object);
	assert_int_equal(quire_fault_with(mm, AT(3), QUIRE_READ, QUIRE_FAULT_NOWAIT),
			 QUIRE_FAULT_WAIT);
	assert_int_equal(calls(p, OP_FAULT), 0);
	load(AT(3));
	assert_int_equal(quire_fault_with(mm, AT(3), QUIRE_WRITE, QUIRE_FAULT_NOWAIT),
			 QUIRE_FAULT_WAIT);
	assert_int_equal(calls(p, OP_MKWRITE), 0);
	assert_int_equal(quire_munmap(mm, AT(0), PAGES(8)), 0);
	pager_end(p);
}

static void speculative_only(void **state)
{
	bool speculative = path == QUIRE_PATH_SPECULATIVE;

	(void)state;
	map(0, 8, RW, SHARED, pager->object, 0);
	look();
	assert_int_equal(quire_fault_with(mm, AT(3), QUIRE_READ, QUIRE_FAULT_SPECULATIVE),
			 speculative ? QUIRE_FAULT_WAIT : QUIRE_FAULT_RETRY);
	assert_int_equal(calls(pager, OP_FAULT), 0);
	assert_int_equal(quire_fault_with(mm, AT(9), QUIRE_READ, QUIRE_FAULT_SPECULATIVE),
			 QUIRE_FAULT_RETRY);
	assert_int_equal(quire_fault_with(mm, AT(3), QUIRE_EXEC, QUIRE_FAULT_SPECULATIVE),
			 QUIRE_FAULT_RETRY);
	look();
	assert_int_equal(before.tables, 1);
	load(AT(3));
	look();
	assert_int_equal(quire_fault_with(mm, AT(3), QUIRE_WRITE, QUIRE_FAULT_SPECULATIVE),
			 speculative ? QUIRE_FAULT_DONE : QUIRE_FAULT_RETRY);
	if (speculative)
		resolved(QUIRE_PATH_SPECULATIVE, QUIRE_KIND_OBJECT_WRITE);
}

static unsigned warnings(void)
{
	struct quire_event events[64];
	size_t count = quire_events(0, events, 64);
	unsigned found = 0;

	for (size_t i = 0; i < count; i++)
		found += events[i].counter == QUIRE_NOWAIT_SPECULATIVE;
	return found;
}

/* Both at once: treated as speculative, counted each time, reported once for all. */
static void contradiction(void **state)
{
	const unsigned both = QUIRE_FAULT_NOWAIT | QUIRE_FAULT_SPECULATIVE;
	static unsigned reported;

	(void)state;
	map(0, 8, RW, SHARED, pager->object, 0);
	load(AT(0));
	look();
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(quire_fault_with(mm, AT(9), QUIRE_READ, both), QUIRE_FAULT_RETRY);
	assert_int_equal(quire_fault_with(mm, AT(0), QUIRE_READ, both),
			 path == QUIRE_PATH_SPECULATIVE ? QUIRE_FAULT_DONE : QUIRE_FAULT_RETRY);
	assert_int_equal(counted(QUIRE_NOWAIT_SPECULATIVE), 4);
	reported += warnings();
	assert_int_equal(reported, 1);
}

/* --- a page that comes when it comes */

static void slow_pager(void **state)
{
	struct writer waiting, second;
	struct quire_pages *pages;

	(void)state;
	map(0, 8, RW, SHARED, pager->object, 0);
	let_answer(pager, OP_FAULT, QUIRE_WAIT, 1);
	begin(&waiting, 1, write_main, AT(0));
	pages = await_request(pager);
	begin_sleeper(&second, 2, AT(0) + 8, pager->object);
	give_time(50);
	assert_false(at_load(&waiting.done) || at_load(&second.done));
	/* Nobody holds anything: other calls in the same place go on. */
	assert_int_equal(quire_fault_with(mm, AT(0), QUIRE_READ, QUIRE_FAULT_NOWAIT),
			 QUIRE_FAULT_WAIT);
	assert_int_equal(quire_mprotect(mm, AT(0), PAGES(8), R), 0);
	assert_int_equal(quire_mprotect(mm, AT(0), PAGES(8), RW), 0);
	assert_int_equal(pages->index, 0);
	pager_fill(pages);
	quire_pages_done(pages, 0);
	end(&waiting);
	end(&second);
	assert_int_equal(calls(pager, OP_FAULT), 1);
	assert_int_equal(load(AT(0)), kept_value(0));
}

/* Unmapped while its page is on its way: the object stays until nobody waits. */
static void unmapped_meanwhile(void **state)
{
	struct pager *usual = pager, *p = pager_new(&pager_ops, ALL_CAPS, PAGES(8));
	struct quire_pages *pages;
	struct writer waiting;

	(void)state;
	pager = p;
	map(0, 8, RW, SHARED, p->object, 0);
	quire_object_put(p->object);
	let_answer(p, OP_FAULT, QUIRE_WAIT, 1);
	begin(&waiting, 1, write_main, AT(0));
	pages = await_request(p);
	/* Something else is mapped there by the time the fault begins anew. */
	map(0, 8, RW, SHARED, usual->object, 8);
	assert_int_equal(calls(p, OP_CLOSE), 1);
	assert_int_equal(calls(p, OP_RELEASE), 0);
	pager_fill(pages);
	quire_pages_done(pages, 0);
	end(&waiting);
	assert_int_equal(load(AT(0)), kept_value(8));
	pager_end(p);
	pager = usual;
}

int main(void)
{
	static enum quire_mode modes[] = { QUIRE_SPECULATIVE, QUIRE_VMA_LOCK, QUIRE_CLASSIC };
	const struct CMUnitTest tests[] = {
		MODES(shared_access),	   MODES(private_access),
		MODES(coherent),	   MODES(shared_memory),
		MODES(shared_anonymous),   MODES(protection),
		MODES(protection_keys),	   MODES(asked_once),
		MODES(sync_of_a_part),	   MODES(asked_outside),
		MODES(mkwrite_waits),	   MODES(mkwrite_fails),
		MODES(stable_writes),	   MODES(unstable_writes),
		MODES(write_errors),	   MODES(around),
		MODES(around_bounds),	   MODES(not_around),
		MODES(refusing_object),	   SPECULATIVE(speculation_switch),
		MODES(beyond_the_end),	   MODES(truncation),
		MODES(taking_pages_away),  MODES(leaving_page),
		MODES(entering_operation), MODES(read_errors),
		MODES(more_than_memory),   MODES(no_wait),
		MODES(no_wait_classic),	   MODES(speculative_only),
		MODES(contradiction),	   MODES(slow_pager),
		MODES(unmapped_meanwhile),
	};

	return cmocka_run_group_tests_name("objects", tests, NULL, NULL);
}
