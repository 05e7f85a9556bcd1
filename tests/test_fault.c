/* SPDX-License-Identifier: MIT */
/*
 * Faults: each kind, and each reason to begin again or to go to the classic path, provoked on
 * purpose.
 *
 * Where the reason is a race, the test plays the other side by hand: it holds the leaf's lock so
 * that a fault in another thread stands before its check, or it plants what a writer or another
 * fault would have there for a moment, and takes it away when the fault has met it.
 */
#include "frame/rmap.h"
#include "space/mm.h"
#include <quire/soft.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

#define RW (QUIRE_PROT_READ | QUIRE_PROT_WRITE)
#define FIXED (QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS | QUIRE_MAP_FIXED)
#define AREA 0x10000000ull
#define PAGES(n) ((uint64_t)(n)*PAGE_SIZE)
#define FRAMES 4096
#define PATIENCE 60000 /* milliseconds, by when another thread will never do it */
#define ANSWERS 64     /* more than a CPU gives on its way to a lock */

static struct quire_soft_cpu *cpu;
static struct quire_mm *mm;
static struct quire_stats before;
static enum quire_path path; /* where a fault that meets nothing special is resolved */

static int start(enum quire_mode mode)
{
	const struct quire_soft_config machine = { .cpus = 4, .memory = FRAMES * PAGE_SIZE };
	const struct quire_mm_config config = { .mode = mode, .limits.stack = 64 * PAGE_SIZE };

	assert_int_equal(quire_soft_init(&machine), 0);
	cpu = quire_soft_attach(0);
	quire_soft_enter(cpu);
	assert_int_equal(quire_mm_create(&config, &mm), 0);
	assert_int_equal(quire_mmap(mm, AREA, PAGES(16), RW, FIXED), AREA);
	path = (enum quire_path)mode; /* they are in the same order */
	quire_stats(mm, &before);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return start(QUIRE_SPECULATIVE);
}

static int setup_vma_lock(void **state)
{
	(void)state;
	return start(QUIRE_VMA_LOCK);
}

static int setup_classic(void **state)
{
	(void)state;
	return start(QUIRE_CLASSIC);
}

static int teardown(void **state)
{
	const char *wrong = quire_validate(NULL);

	(void)state;
	if (wrong)
		print_error("%s\n", wrong);
	quire_soft_switch(cpu, NULL);
	quire_mm_destroy(mm);
	quire_soft_leave(cpu);
	quire_soft_detach(cpu);
	return quire_soft_exit() != 0 || wrong != NULL;
}

/* How often it happened since the last call of this for anything. */
static uint64_t counted(enum quire_counter counter)
{
	struct quire_stats now;

	quire_stats(mm, &now);
	return now.counters[counter] - before.counters[counter];
}

/* Exactly one fault was resolved since the last time, in this way. */
static void resolved(enum quire_path by, enum quire_kind kind)
{
	struct quire_stats now;

	quire_stats(mm, &now);
	for (unsigned p = 0; p < QUIRE_PATH_COUNT; p++)
		for (unsigned k = 0; k < QUIRE_KIND_COUNT; k++)
			if (now.faults[p][k] - before.faults[p][k] != (p == by && k == kind))
				fail_msg("%lu x %s, %s", now.faults[p][k] - before.faults[p][k],
					 quire_path_name((enum quire_path)p),
					 quire_kind_name((enum quire_kind)k));
	before = now;
}

static slot *slot_of(uint64_t address)
{
	struct walk walk;
	enum walk_status status;

	section_enter();
	status = table_walk(&mm->tables, address, &walk);
	section_leave();
	assert_int_equal(status, WALK_LEAF);
	return walk.slot;
}

static pte entry_of(uint64_t address)
{
	return at_load(slot_of(address));
}

static uint64_t *bytes_of(uint64_t address)
{
	return port_frame(pte_pfn(entry_of(address)));
}

static void fault(uint64_t address, enum quire_access access, enum quire_verdict expected)
{
	assert_int_equal(quire_fault(mm, address, access), expected);
}

/* --- kinds, in every mode */

static void first_touch(void **state)
{
	(void)state;
	fault(AREA + 5, QUIRE_READ, QUIRE_FAULT_DONE);
	resolved(path, QUIRE_KIND_ZERO_READ);
	assert_int_equal(pte_pfn(entry_of(AREA)), frame_pfn(frame_zero));
	assert_int_equal(pte_rights(entry_of(AREA)), RIGHT_READ);
	fault(AREA + PAGES(1) + 4095, QUIRE_WRITE, QUIRE_FAULT_DONE);
	resolved(path, QUIRE_KIND_FIRST_WRITE);
	assert_int_equal(pte_rights(entry_of(AREA + PAGES(1))), RIGHT_READ | RIGHT_WRITE);
	assert_true(pte_is_dirty(entry_of(AREA + PAGES(1))));
	for (unsigned i = 0; i < 512; i++)
		assert_int_equal(bytes_of(AREA + PAGES(1))[i], 0);
	assert_int_equal(before.anonymous, 1);
}

static void zero_write(void **state)
{
	(void)state;
	fault(AREA, QUIRE_READ, QUIRE_FAULT_DONE);
	resolved(path, QUIRE_KIND_ZERO_READ);
	fault(AREA, QUIRE_WRITE, QUIRE_FAULT_DONE);
	resolved(path, QUIRE_KIND_ZERO_WRITE);
	assert_int_not_equal(pte_pfn(entry_of(AREA)), frame_pfn(frame_zero));
	assert_int_equal(pte_rights(entry_of(AREA)), RIGHT_READ | RIGHT_WRITE);
	assert_int_equal(bytes_of(AREA)[100], 0);
	assert_int_equal(before.anonymous, 1);
	assert_int_equal(at_load(&frame_zero->refs), 1);
}

/* Neither by widening nor by reading where writing is allowed. */
static void zero_page_is_never_writable(void **state)
{
	(void)state;
	assert_int_equal(quire_mprotect(mm, AREA, PAGES(4), QUIRE_PROT_READ), 0);
	fault(AREA, QUIRE_READ, QUIRE_FAULT_DONE);
	assert_int_equal(quire_mprotect(mm, AREA, PAGES(4), RW | QUIRE_PROT_EXEC), 0);
	fault(AREA, QUIRE_READ, QUIRE_FAULT_DONE);
	fault(AREA, QUIRE_EXEC, QUIRE_FAULT_DONE);
	fault(AREA + PAGES(1), QUIRE_EXEC, QUIRE_FAULT_DONE);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(pte_pfn(entry_of(AREA + PAGES(i))), frame_pfn(frame_zero));
		assert_int_equal(pte_rights(entry_of(AREA + PAGES(i))), RIGHT_READ | RIGHT_EXEC);
	}
}

static void copy_on_write(void **state)
{
	struct quire_mm *child;
	uint64_t shared;

	(void)state;
	fault(AREA, QUIRE_WRITE, QUIRE_FAULT_DONE);
	bytes_of(AREA)[7] = 1234;
	shared = pte_pfn(entry_of(AREA));
	assert_int_equal(quire_fork(mm, &child), 0);
	assert_int_equal(pte_rights(entry_of(AREA)), RIGHT_READ);
	quire_stats(mm, &before);
	fault(AREA, QUIRE_WRITE, QUIRE_FAULT_DONE);
	resolved(path, QUIRE_KIND_COW_COPY);
	assert_int_not_equal(pte_pfn(entry_of(AREA)), shared);
	assert_int_equal(bytes_of(AREA)[7], 1234);
	assert_int_equal(before.anonymous, 1);
	/* The child has it alone now. */
	assert_int_equal(at_load(&frame_of(shared)->refs), 1);
	assert_int_equal(quire_fault(child, AREA, QUIRE_WRITE), QUIRE_FAULT_DONE);
	quire_stats(child, &before);
	assert_int_equal(before.faults[path][QUIRE_KIND_COW_REUSE], 1);
	quire_mm_destroy(child);
}

#define PLACES 5

/* Untouched, read, written, in every order: a CPU's old translations are gone for all that were. */
static void fork_of_some(void **state)
{
	(void)state;
	quire_soft_switch(cpu, mm);
	for (unsigned order = 0; order < 3 * 3 * 3 * 3 * 3; order++) {
		uint64_t pages[PLACES], ignored;
		struct quire_mm *child;

		for (unsigned i = 0, code = order; i < PLACES; i++, code /= 3)
			if (code % 3 == 1) {
				assert_true(quire_soft_load(cpu, AREA + PAGES(i), 8, &ignored));
			} else if (code % 3 == 2) {
				assert_true(quire_soft_store(cpu, AREA + PAGES(i), 8, 7));
				pages[i] = pte_pfn(entry_of(AREA + PAGES(i)));
			}
		assert_int_equal(quire_fork(mm, &child), 0);
		for (unsigned i = 0, code = order; i < PLACES; i++, code /= 3) {
			if (code % 3 != 2)
				continue;
			assert_true(quire_soft_store(cpu, AREA + PAGES(i), 8, 8));
			assert_int_equal(*(uint64_t *)port_frame(pages[i]), 7);
		}
		assert_null(quire_validate(child));
		quire_mm_destroy(child);
		assert_int_equal(quire_madvise(mm, AREA, PAGES(PLACES), QUIRE_MADV_DONTNEED), 0);
	}
}

static void reuse(void **state)
{
	struct quire_mm *child;
	uint64_t page;

	(void)state;
	fault(AREA, QUIRE_WRITE, QUIRE_FAULT_DONE);
	page = pte_pfn(entry_of(AREA));
	assert_int_equal(quire_fork(mm, &child), 0);
	quire_mm_destroy(child);
	quire_stats(mm, &before);
	fault(AREA, QUIRE_WRITE, QUIRE_FAULT_DONE);
	resolved(path, QUIRE_KIND_COW_REUSE);
	assert_int_equal(pte_pfn(entry_of(AREA)), page);
	assert_int_equal(pte_rights(entry_of(AREA)), RIGHT_READ | RIGHT_WRITE);
}

/* mprotect widens no entry: the fault does. */
static void rights(void **state)
{
	(void)state;
	fault(AREA, QUIRE_WRITE, QUIRE_FAULT_DONE);
	assert_int_equal(quire_mprotect(mm, AREA, PAGES(1), QUIRE_PROT_NONE), 0);
	assert_int_equal(pte_rights(entry_of(AREA)), 0);
	assert_int_equal(quire_mprotect(mm, AREA, PAGES(1), RW | QUIRE_PROT_EXEC), 0);
	assert_int_equal(pte_rights(entry_of(AREA)), 0);
	quire_stats(mm, &before);
	fault(AREA, QUIRE_READ, QUIRE_FAULT_DONE);
	resolved(path, QUIRE_KIND_RIGHTS);
	/* The right to write is for a fault that writes: the page might be shared. */
	assert_int_equal(pte_rights(entry_of(AREA)), RIGHT_READ | RIGHT_EXEC);
	assert_true(pte_is_dirty(entry_of(AREA)));
	fault(AREA, QUIRE_WRITE, QUIRE_FAULT_DONE);
	resolved(path, QUIRE_KIND_COW_REUSE);
}

static void spurious(void **state)
{
	pte entry;

	(void)state;
	fault(AREA, QUIRE_WRITE, QUIRE_FAULT_DONE);
	entry = entry_of(AREA);
	quire_stats(mm, &before);
	fault(AREA, QUIRE_WRITE, QUIRE_FAULT_DONE);
	resolved(path, QUIRE_KIND_SPURIOUS);
	fault(AREA, QUIRE_READ, QUIRE_FAULT_DONE);
	resolved(path, QUIRE_KIND_SPURIOUS);
	assert_int_equal(entry_of(AREA), entry);
}

static void verdicts(void **state)
{
	(void)state;
	fault(AREA - 1, QUIRE_READ, QUIRE_FAULT_MAPERR);
	resolved(QUIRE_PATH_CLASSIC, QUIRE_KIND_VERDICT);
	fault(AREA, QUIRE_EXEC, QUIRE_FAULT_ACCERR);
	resolved(QUIRE_PATH_CLASSIC, QUIRE_KIND_VERDICT);
	assert_int_equal(quire_mprotect(mm, AREA, PAGES(1), QUIRE_PROT_READ), 0);
	fault(AREA, QUIRE_WRITE, QUIRE_FAULT_ACCERR);
	assert_int_equal(quire_mprotect(mm, AREA, PAGES(1), QUIRE_PROT_NONE), 0);
	fault(AREA, QUIRE_READ, QUIRE_FAULT_ACCERR);
	fault(0, QUIRE_READ, QUIRE_FAULT_MAPERR);
	fault(UINT64_MAX, QUIRE_WRITE, QUIRE_FAULT_MAPERR);
}

static void keys(void **state)
{
	int key = quire_pkey_alloc(mm);

	(void)state;
	assert_int_equal(quire_pkey_mprotect(mm, AREA, PAGES(2), RW, key), 0);
	fault(AREA, QUIRE_WRITE, QUIRE_FAULT_DONE);
	assert_int_equal(pte_key(entry_of(AREA)), key);
	quire_soft_keys(cpu, 2u << 2 * key);
	fault(AREA, QUIRE_WRITE, QUIRE_FAULT_PKUERR);
	fault(AREA, QUIRE_READ, QUIRE_FAULT_DONE);
	quire_soft_keys(cpu, 1u << 2 * key);
	fault(AREA + PAGES(1), QUIRE_READ, QUIRE_FAULT_PKUERR);
	/* What the mapping forbids has nothing to do with the key. */
	fault(AREA, QUIRE_EXEC, QUIRE_FAULT_ACCERR);
	quire_soft_keys(cpu, 0);
}

static void growth(void **state)
{
	const uint64_t stack = 0x40000000;

	(void)state;
	assert_int_equal(quire_mmap(mm, stack, PAGES(2), RW, FIXED | QUIRE_MAP_GROWSDOWN), stack);
	quire_stats(mm, &before);
	fault(stack - PAGES(3), QUIRE_WRITE, QUIRE_FAULT_DONE);
	assert_int_equal(counted(QUIRE_CLASSIC_GROWTH), path != QUIRE_PATH_CLASSIC);
	assert_int_equal(counted(QUIRE_GROWTHS), 1);
	resolved(QUIRE_PATH_CLASSIC, QUIRE_KIND_FIRST_WRITE);
	assert_int_equal(before.mapped, PAGES(16 + 5));
	/* Not beyond its limit. */
	fault(stack - PAGES(63), QUIRE_WRITE, QUIRE_FAULT_MAPERR);
	assert_int_equal(counted(QUIRE_GROWTHS), 0);
}

static void out_of_memory(void **state)
{
	static struct frame *taken[FRAMES];
	unsigned count = 0;

	(void)state;
	fault(AREA, QUIRE_READ, QUIRE_FAULT_DONE);
	while ((taken[count] = frame_alloc(0)) != NULL)
		count++;
	quire_stats(mm, &before);
	fault(AREA, QUIRE_WRITE, QUIRE_FAULT_OOM);
	assert_int_equal(counted(QUIRE_OOMS), 1);
	resolved(QUIRE_PATH_CLASSIC, QUIRE_KIND_VERDICT);
	assert_int_equal(pte_pfn(entry_of(AREA)), frame_pfn(frame_zero));
	/* The zero page needs none, where there is a leaf. */
	fault(AREA + PAGES(1), QUIRE_READ, QUIRE_FAULT_DONE);
	while (count)
		frame_put(taken[--count]);
	fault(AREA, QUIRE_WRITE, QUIRE_FAULT_DONE);
}

/* Memory ends half-way down the tables: those that were hooked by then go again. */
static void out_of_memory_at_tables(void **state)
{
	static struct frame *taken[FRAMES];
	unsigned count = 0;

	(void)state;
	while ((taken[count] = frame_alloc(0)) != NULL)
		count++;
	for (unsigned left = 1; left < 4; left++) {
		frame_put(taken[--count]);
		quire_stats(mm, &before);
		fault(AREA, QUIRE_WRITE, QUIRE_FAULT_OOM);
		assert_int_equal(counted(QUIRE_TABLES_FREED), left);
		assert_int_equal(before.tables, 1);
		assert_int_equal(quire_barrier(0), 0);
	}
	while (count)
		frame_put(taken[--count]);
	fault(AREA, QUIRE_WRITE, QUIRE_FAULT_DONE);
}

/* --- why a fault goes to the classic path */

static void classic_off(void **state)
{
	(void)state;
	quire_mm_set_speculation(mm, false);
	fault(AREA, QUIRE_WRITE, QUIRE_FAULT_DONE);
	assert_int_equal(counted(QUIRE_CLASSIC_OFF), 1);
	resolved(QUIRE_PATH_CLASSIC, QUIRE_KIND_FIRST_WRITE);
	quire_mm_set_speculation(mm, true);
	fault(AREA + PAGES(1), QUIRE_WRITE, QUIRE_FAULT_DONE);
	resolved(QUIRE_PATH_SPECULATIVE, QUIRE_KIND_FIRST_WRITE);
}

static void classic_reasons(void **state)
{
	(void)state;
	fault(AREA + PAGES(16), QUIRE_READ, QUIRE_FAULT_MAPERR);
	assert_int_equal(counted(QUIRE_CLASSIC_NO_VMA), 1);
	fault(AREA, QUIRE_EXEC, QUIRE_FAULT_ACCERR);
	assert_int_equal(counted(QUIRE_CLASSIC_ACCESS), 1);
	assert_int_equal(counted(QUIRE_RANGE_WAIT_FAULT), 0);
}

static void classic_memory(void **state)
{
	static struct frame *taken[FRAMES];
	unsigned count = 0;

	(void)state;
	while ((taken[count] = frame_alloc(0)) != NULL)
		count++;
	fault(AREA, QUIRE_WRITE, QUIRE_FAULT_OOM);
	assert_int_equal(counted(QUIRE_CLASSIC_MEMORY), 1);
	while (count)
		frame_put(taken[--count]);
}

/* vma-lock: a writer has the VMA, or wants it. */
static void classic_contended(void **state)
{
	struct vma *vma = tree_find(&mm->tree, AREA);

	(void)state;
	at_add(&vma->readers, VMA_WRITER);
	fault(AREA, QUIRE_WRITE, QUIRE_FAULT_DONE);
	assert_int_equal(counted(QUIRE_CLASSIC_CONTENDED), 1);
	resolved(QUIRE_PATH_CLASSIC, QUIRE_KIND_FIRST_WRITE);
	at_sub(&vma->readers, VMA_WRITER);
}

/* --- a CPU's last VMA: gone, its memory freed and given to another space, at the same address */

static struct quire_mm *stranger;

/* => by any CPU. One of the stranger's VMAs gets the memory of ours. */
static void *reuse_memory(void *argument)
{
	struct quire_soft_cpu *me = argument ? quire_soft_attach(1) : cpu;

	if (argument)
		quire_soft_enter(me);
	quire_munmap(mm, AREA, PAGES(16));
	quire_barrier(0);
	for (int i = 0; i < 64; i++)
		quire_mmap(stranger, AREA + PAGES(32 * (unsigned)i), PAGES(16), RW, FIXED);
	if (argument) {
		quire_soft_leave(me);
		quire_soft_detach(me);
	}
	return NULL;
}

/* Whichever it is: it is not ours. */
static void find_nothing(void)
{
	for (unsigned i = 0; i < 64; i++)
		fault(AREA + PAGES(32 * i), QUIRE_WRITE, QUIRE_FAULT_MAPERR);
	quire_mm_destroy(stranger);
}

static void stale_vma(void **state)
{
	(void)state;
	assert_int_equal(quire_mm_create(NULL, &stranger), 0);
	fault(AREA, QUIRE_WRITE, QUIRE_FAULT_DONE);
	reuse_memory(NULL);
	find_nothing();
}

static void stale_vma_after_sleep(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(quire_mm_create(NULL, &stranger), 0);
	fault(AREA, QUIRE_WRITE, QUIRE_FAULT_DONE);
	quire_soft_leave(cpu);
	assert_int_equal(pthread_create(&thread, NULL, reuse_memory, cpu), 0);
	pthread_join(thread, NULL);
	quire_soft_enter(cpu);
	find_nothing();
}

/* --- another thread */

struct actor {
	pthread_t thread;
	unsigned index;
	void (*act)(struct actor *);
	uint64_t address;
	enum quire_access access;
	enum quire_verdict verdict;
	struct quire_soft_cpu *_Atomic cpu; /* once it is inside */
	_Atomic bool done;
};

static void *actor_main(void *argument)
{
	struct actor *actor = argument;
	struct quire_soft_cpu *mine = quire_soft_attach(actor->index);

	quire_soft_enter(mine);
	at_store_release(&actor->cpu, mine);
	actor->act(actor);
	at_store_release(&actor->done, true);
	quire_soft_leave(mine);
	quire_soft_detach(mine);
	return NULL;
}

static void act_fault(struct actor *actor)
{
	actor->verdict = quire_fault(mm, actor->address, actor->access);
}

static void act_munmap(struct actor *actor)
{
	require(quire_munmap(mm, actor->address, PAGE_SIZE) == 0);
}

static void act_protect(struct actor *actor)
{
	require(quire_mprotect(mm, actor->address, PAGE_SIZE, QUIRE_PROT_READ) == 0);
}

/* An edit without a sweep. */
static void act_advise(struct actor *actor)
{
	require(quire_madvise(mm, actor->address, PAGE_SIZE, QUIRE_MADV_DONTFORK) == 0);
}

static void begin(struct actor *actor, unsigned index, void (*act)(struct actor *),
		  uint64_t address, enum quire_access access)
{
	*actor = (struct actor){ .index = index, .act = act, .address = address };
	actor->access = access;
	assert_int_equal(pthread_create(&actor->thread, NULL, actor_main, actor), 0);
}

static void end(struct actor *actor)
{
	assert_int_equal(pthread_join(actor->thread, NULL), 0);
}

/* Until the others have counted it so often. */
static void await(enum quire_counter counter, uint64_t times)
{
	for (unsigned i = 0; i < PATIENCE && counted(counter) < times; i++)
		usleep(1000);
	assert_true(counted(counter) >= times);
}

/* Until so many hold or wait for a range. */
static void await_ranges(unsigned count)
{
	for (unsigned i = 0; i < PATIENCE && range_count(&mm->ranges) < count; i++)
		usleep(1000);
	assert_true(range_count(&mm->ranges) >= count);
}

/*
 * Until the actor spins for a lock: then it answers flushes, as often as it is asked. On its way
 * there it does so at the ends of sections, and there are not so many.
 */
static void await_spinning(struct actor *actor)
{
	struct quire_soft_cpu *other;
	uint64_t since = port_clock();

	while (!(other = at_load_acquire(&actor->cpu)))
		sched_yield();
	for (unsigned i = 0; i < ANSWERS; i++) {
		at_store(&other->request, 1u);
		while (at_load(&other->request) != 0) {
			if (at_load(&actor->done) || port_clock() - since > PATIENCE * 1000000ull)
				fail_msg("it does not wait for the lock");
			sched_yield();
		}
	}
}

/* For a thread that must not go on, to do so nevertheless. */
static void give_time(void)
{
	usleep(50000);
}

static struct frame *lock_leaf(uint64_t address)
{
	struct walk walk;

	section_enter();
	assert_int_equal(table_walk(&mm->tables, address, &walk), WALK_LEAF);
	table_lock(walk.table);
	return walk.table;
}

static void unlock_leaf(struct frame *leaf)
{
	table_unlock(leaf);
	section_leave();
}

static uint64_t free_frames(void)
{
	struct quire_memory_stats stats;

	quire_memory_stats(&stats);
	return stats.free;
}

/* --- why it begins again */

static void busy(void **state)
{
	struct actor actor;
	slot *at;
	pte entry;

	(void)state;
	fault(AREA, QUIRE_READ, QUIRE_FAULT_DONE);
	at = slot_of(AREA);
	entry = at_xchg(at, pte_busy(1));
	quire_stats(mm, &before);
	begin(&actor, 1, act_fault, AREA, QUIRE_WRITE);
	await(QUIRE_RETRY_BUSY, 20);
	assert_false(at_load(&actor.done));
	assert_int_equal(at_load(at), pte_busy(1));
	/* A few times speculatively, then for as long as it takes with the range locked. */
	assert_int_equal(counted(QUIRE_CLASSIC_RETRIES), 1);
	at_store_release(at, entry);
	end(&actor);
	assert_int_equal(actor.verdict, QUIRE_FAULT_DONE);
	resolved(QUIRE_PATH_CLASSIC, QUIRE_KIND_ZERO_WRITE);
}

/* The sweep takes what is there when the owner is through. */
static void busy_sweep(void **state)
{
	struct actor actor;
	slot *at;
	pte entry;

	(void)state;
	fault(AREA + PAGES(1), QUIRE_WRITE, QUIRE_FAULT_DONE);
	fault(AREA, QUIRE_READ, QUIRE_FAULT_DONE);
	at = slot_of(AREA);
	entry = at_xchg(at, pte_busy(1));
	begin(&actor, 1, act_munmap, AREA, QUIRE_READ);
	await_ranges(1);
	give_time();
	assert_false(at_load(&actor.done));
	assert_int_equal(at_load(at), pte_busy(1));
	at_store_release(at, entry);
	end(&actor);
	assert_int_equal(entry_of(AREA), PTE_NONE);
	assert_int_not_equal(entry_of(AREA + PAGES(1)), PTE_NONE);
}

static void vma_retired(void **state)
{
	struct vma *vma = tree_find(&mm->tree, AREA);
	struct actor actor;

	(void)state;
	at_store_release(&vma->seq, VMA_RETIRED);
	begin(&actor, 1, act_fault, AREA, QUIRE_WRITE);
	await(QUIRE_RETRY_VMA, 12);
	at_store_release(&vma->seq, VMA_LIVE);
	end(&actor);
	assert_int_equal(counted(QUIRE_CLASSIC_RETRIES), 1);
	resolved(QUIRE_PATH_CLASSIC, QUIRE_KIND_FIRST_WRITE);
	assert_int_equal(counted(QUIRE_UNUSED_FRAME), 0);
}

/* A writer is at work on the address: its range is locked. */
static void vma_pending(void **state)
{
	struct vma *vma = tree_find(&mm->tree, AREA);
	struct actor actor;
	struct range range;

	(void)state;
	range_acquire(&mm->ranges, &range, AREA, AREA + PAGES(4), true);
	at_store_release(&vma->seq, VMA_PENDING);
	begin(&actor, 1, act_fault, AREA, QUIRE_WRITE);
	await(QUIRE_CLASSIC_PENDING, 1);
	await_ranges(2);
	give_time();
	assert_false(at_load(&actor.done));
	at_store_release(&vma->seq, VMA_LIVE);
	range_release(&mm->ranges, &range);
	end(&actor);
	assert_int_equal(counted(QUIRE_RANGE_WAIT_FAULT), 1);
	resolved(QUIRE_PATH_CLASSIC, QUIRE_KIND_FIRST_WRITE);
}

/* A writer elsewhere in the space keeps no fault waiting, not even a classic one. */
static void writer_elsewhere(void **state)
{
	struct range range;

	(void)state;
	range_acquire(&mm->ranges, &range, AREA + PAGES(4), AREA + PAGES(8), true);
	fault(AREA + PAGES(5), QUIRE_WRITE, QUIRE_FAULT_DONE);
	resolved(QUIRE_PATH_SPECULATIVE, QUIRE_KIND_FIRST_WRITE);
	fault(AREA, QUIRE_EXEC, QUIRE_FAULT_ACCERR);
	assert_int_equal(counted(QUIRE_RANGE_WAIT_FAULT), 0);
	range_release(&mm->ranges, &range);
}

static void table_dead(void **state)
{
	struct actor actor;
	struct frame *leaf;

	(void)state;
	fault(AREA, QUIRE_READ, QUIRE_FAULT_DONE);
	leaf = lock_leaf(AREA);
	at_store(&leaf->u.table.dead, 1);
	table_changed(leaf);
	unlock_leaf(leaf);
	quire_stats(mm, &before);
	begin(&actor, 1, act_fault, AREA + PAGES(1), QUIRE_WRITE);
	await(QUIRE_RETRY_TABLE, 12);
	assert_int_equal(entry_of(AREA + PAGES(1)), PTE_NONE);
	leaf = lock_leaf(AREA);
	at_store(&leaf->u.table.dead, 0);
	unlock_leaf(leaf);
	end(&actor);
	resolved(QUIRE_PATH_CLASSIC, QUIRE_KIND_FIRST_WRITE);
	assert_int_equal(counted(QUIRE_UNUSED_FRAME), 0);
}

/*
 * The entry changes while the fault stands before its check. What it has prepared is used by the
 * next attempt, and there is one of it, however many attempts.
 */
static void entry_changed(void **state)
{
	struct actor actor;
	struct frame *leaf;
	uint64_t free;
	slot *at;

	(void)state;
	fault(AREA, QUIRE_READ, QUIRE_FAULT_DONE);
	at = slot_of(AREA);
	quire_stats(mm, &before);
	free = free_frames();
	leaf = lock_leaf(AREA);
	begin(&actor, 1, act_fault, AREA + PAGES(1), QUIRE_WRITE);
	await_spinning(&actor);
	assert_int_equal(free_frames(), free - 1);
	/* As if another CPU had read there. */
	at_store_release(at + 1, at_load(at));
	leaf->u.table.used++;
	unlock_leaf(leaf);
	end(&actor);
	assert_int_equal(counted(QUIRE_RETRY_ENTRY), 1);
	assert_int_equal(counted(QUIRE_LEAF_CONTENDED), 1);
	assert_int_equal(counted(QUIRE_UNUSED_FRAME), 0);
	resolved(QUIRE_PATH_SPECULATIVE, QUIRE_KIND_ZERO_WRITE);
	assert_int_equal(free_frames(), free - 1);
	for (unsigned i = 0; i < 512; i++)
		assert_int_equal(bytes_of(AREA + PAGES(1))[i], 0);
}

/* Two CPUs, one page: what the slower has prepared is given back. */
static void lost_race(void **state)
{
	struct actor actors[2];
	struct frame *leaf;
	uint64_t free;

	(void)state;
	fault(AREA, QUIRE_READ, QUIRE_FAULT_DONE);
	quire_stats(mm, &before);
	free = free_frames();
	leaf = lock_leaf(AREA);
	begin(&actors[0], 1, act_fault, AREA + PAGES(1), QUIRE_WRITE);
	begin(&actors[1], 2, act_fault, AREA + PAGES(1), QUIRE_WRITE);
	for (unsigned i = 0; i < 2; i++)
		await_spinning(&actors[i]);
	assert_int_equal(free_frames(), free - 2);
	unlock_leaf(leaf);
	end(&actors[0]);
	end(&actors[1]);
	assert_int_equal(counted(QUIRE_RETRY_ENTRY), 1);
	assert_int_equal(counted(QUIRE_UNUSED_FRAME), 1);
	assert_int_equal(free_frames(), free - 1);
}

/* The VMA is replaced, but nothing changes for this address: the fault goes on. */
static void revalidated(void **state)
{
	struct actor actor, writer;
	struct frame *leaf;

	(void)state;
	fault(AREA, QUIRE_READ, QUIRE_FAULT_DONE);
	quire_stats(mm, &before);
	leaf = lock_leaf(AREA);
	begin(&actor, 1, act_fault, AREA + PAGES(1), QUIRE_WRITE);
	await_spinning(&actor);
	begin(&writer, 2, act_advise, AREA + PAGES(2), QUIRE_READ);
	end(&writer);
	unlock_leaf(leaf);
	end(&actor);
	assert_int_equal(actor.verdict, QUIRE_FAULT_DONE);
	assert_int_equal(counted(QUIRE_REVALIDATED), 1);
	assert_int_equal(counted(QUIRE_RETRY_VMA), 0);
	resolved(QUIRE_PATH_SPECULATIVE, QUIRE_KIND_FIRST_WRITE);
}

/* What the fault relied on has gone: it must not install, whoever has the leaf first (H47). */
static void mapping_changed(void **state)
{
	struct actor actor, writer;
	struct vma *old = tree_find(&mm->tree, AREA);
	struct frame *leaf;

	(void)state;
	fault(AREA, QUIRE_READ, QUIRE_FAULT_DONE);
	quire_stats(mm, &before);
	leaf = lock_leaf(AREA);
	begin(&actor, 1, act_fault, AREA + PAGES(1), QUIRE_WRITE);
	await_spinning(&actor);
	begin(&writer, 2, act_protect, AREA + PAGES(1), QUIRE_READ);
	/* Not the new root, but the count tells the fault; it comes after. This CPU holds up its
	 * freeing. */
	while (at_load_acquire(&old->seq) == VMA_LIVE)
		usleep(100);
	unlock_leaf(leaf);
	end(&writer);
	end(&actor);
	assert_int_equal(actor.verdict, QUIRE_FAULT_ACCERR);
	assert_int_equal(counted(QUIRE_RETRY_VMA), 1);
	assert_int_equal(counted(QUIRE_UNUSED_FRAME), 1);
	assert_int_equal(entry_of(AREA + PAGES(1)), PTE_NONE);
}

/* As fork does it, but for the flush, which is still to come. The caller has a reference. */
static struct frame *share(uint64_t address)
{
	pte entry = entry_of(address);
	struct frame *frame = frame_of(pte_pfn(entry));

	at_store(slot_of(address),
		 pte_dirty(pte_accessed(pte_make(pte_pfn(entry), RIGHT_READ, 0))));
	frame_get(frame);
	return frame;
}

/*
 * Another CPU still has a translation from before the page was write-protected, and writes: the
 * copy must have that (H40), so it is made after the flush.
 */
static void copy_after_flush(void **state)
{
	struct actor actor;
	struct frame *shared;
	uint64_t *stale;

	(void)state;
	quire_soft_switch(cpu, mm);
	assert_true(quire_soft_store(cpu, AREA, 8, 1));
	stale = quire_soft_translate(cpu, AREA, QUIRE_WRITE);
	shared = share(AREA);
	quire_stats(mm, &before);
	begin(&actor, 1, act_fault, AREA, QUIRE_WRITE);
	for (unsigned i = 0; i < PATIENCE && atomic_load(&cpu->request) == 0; i++)
		usleep(1000);
	assert_int_not_equal(atomic_load(&cpu->request), 0);
	/* Before anything that ends a section, which would answer. */
	atomic_store((_Atomic uint64_t *)stale, 2);
	quire_soft_safepoint(cpu);
	end(&actor);
	resolved(QUIRE_PATH_SPECULATIVE, QUIRE_KIND_COW_COPY);
	assert_ptr_not_equal(bytes_of(AREA), stale);
	assert_int_equal(bytes_of(AREA)[0], 2);
	frame_put(shared);
	quire_soft_switch(cpu, NULL);
}

/* The page was nobody else's when the fault looked, and is when it has the lock. */
static void reuse_overtaken(void **state)
{
	struct actor actor;
	struct frame *leaf, *shared;

	(void)state;
	fault(AREA, QUIRE_WRITE, QUIRE_FAULT_DONE);
	shared = share(AREA);
	frame_put(shared);
	quire_stats(mm, &before);
	leaf = lock_leaf(AREA);
	begin(&actor, 1, act_fault, AREA, QUIRE_WRITE);
	await_spinning(&actor);
	frame_get(shared);
	unlock_leaf(leaf);
	end(&actor);
	assert_int_equal(counted(QUIRE_RETRY_ENTRY), 1);
	resolved(QUIRE_PATH_SPECULATIVE, QUIRE_KIND_COW_COPY);
	assert_int_not_equal(pte_pfn(entry_of(AREA)), frame_pfn(shared));
	frame_put(shared);
}

/* A table that appears: two faults make it, one is used, none is lost. */
static void table_appears(void **state)
{
	const uint64_t far = 0x20000000;
	struct actor actors[2];
	uint64_t tables;

	(void)state;
	fault(AREA, QUIRE_READ, QUIRE_FAULT_DONE);
	assert_int_equal(quire_mmap(mm, far, PAGES(2), RW, FIXED), far);
	quire_stats(mm, &before);
	tables = before.tables;

	struct frame *parent = lock_leaf(AREA);

	unlock_leaf(parent);
	parent = parent->u.table.parent;
	section_enter();
	table_lock(parent);
	begin(&actors[0], 1, act_fault, far, QUIRE_WRITE);
	begin(&actors[1], 2, act_fault, far + PAGES(1), QUIRE_WRITE);
	for (unsigned i = 0; i < 2; i++)
		await_spinning(&actors[i]);
	unlock_leaf(parent);
	end(&actors[0]);
	end(&actors[1]);
	assert_int_equal(counted(QUIRE_UNUSED_TABLE), 1);
	quire_stats(mm, &before);
	assert_int_equal(before.tables, tables + 1);
	assert_int_equal(pte_rights(entry_of(far)), RIGHT_READ | RIGHT_WRITE);
	assert_int_equal(pte_rights(entry_of(far + PAGES(1))), RIGHT_READ | RIGHT_WRITE);
}

/* --- a writer that locks two ranges */

static void act_move(struct actor *actor)
{
	require(quire_mremap(mm, AREA + PAGES(8), PAGE_SIZE, PAGE_SIZE,
			     QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED, actor->address) > 0);
}

static void act_lock_all(struct actor *actor)
{
	(void)actor;
	quire_mlock2(mm, AREA, PAGES(16), QUIRE_MLOCK_ONFAULT); /* there may be a hole by then */
}

/*
 * It waits for the first; meanwhile somebody who wants both queues up. Were it to queue for the
 * second when it has the first, each would wait for the other.
 */
static void two_ranges(void **state)
{
	const uint64_t target = AREA + PAGES(*(const unsigned *)*state);
	uint64_t first = target < AREA + PAGES(8) ? target : AREA + PAGES(8);
	struct actor mover, locker;
	struct range range;

	start(QUIRE_SPECULATIVE);
	fault(AREA + PAGES(8), QUIRE_WRITE, QUIRE_FAULT_DONE);
	bytes_of(AREA + PAGES(8))[0] = 77;
	range_acquire(&mm->ranges, &range, first, first + PAGE_SIZE, true);
	begin(&mover, 1, act_move, target, QUIRE_READ);
	await_ranges(2);
	begin(&locker, 2, act_lock_all, AREA, QUIRE_READ);
	await_ranges(3);
	give_time();
	assert_false(at_load(&mover.done) || at_load(&locker.done));
	range_release(&mm->ranges, &range);
	for (unsigned i = 0; i < PATIENCE && !(at_load(&mover.done) && at_load(&locker.done)); i++)
		usleep(1000);
	assert_true(at_load(&mover.done) && at_load(&locker.done));
	end(&mover);
	end(&locker);
	assert_int_equal(bytes_of(target)[0], 77);
	assert_int_equal(entry_of(AREA + PAGES(8)), PTE_NONE);
}

/* --- together: every page is written by one thread and read by another, while a third protects */

static void act_touch_all(struct actor *actor)
{
	for (unsigned round = 0; round < 200; round++) {
		for (uint64_t at = AREA; at < AREA + PAGES(16); at += PAGE_SIZE)
			require(quire_fault(mm, at, actor->access) != QUIRE_FAULT_MAPERR);
		quire_quiescent();
	}
}

static void act_protect_all(struct actor *actor)
{
	(void)actor;
	for (unsigned round = 0; round < 200; round++) {
		uint64_t at = AREA + PAGES(round % 16);

		require(quire_mprotect(mm, at, PAGE_SIZE, QUIRE_PROT_READ) == 0);
		require(quire_mprotect(mm, at, PAGE_SIZE, RW) == 0);
		require(quire_madvise(mm, at, PAGE_SIZE, QUIRE_MADV_DONTNEED) == 0);
	}
}

static void together(void **state)
{
	struct actor actors[3];
	struct quire_stats stats;

	(void)state;
	begin(&actors[0], 1, act_touch_all, AREA, QUIRE_WRITE);
	begin(&actors[1], 2, act_touch_all, AREA, QUIRE_READ);
	begin(&actors[2], 3, act_protect_all, AREA, QUIRE_READ);
	for (unsigned i = 0; i < 3; i++)
		end(&actors[i]);
	assert_null(quire_validate(mm));
	quire_stats(mm, &stats);
	assert_int_equal(stats.vmas, 1);
}

int main(void)
{
#define MODES(f)                                                                                   \
	cmocka_unit_test_setup_teardown(f, setup, teardown),                                       \
		{ #f ", vma-lock", f, setup_vma_lock, teardown, NULL },                            \
	{                                                                                          \
#f ", classic", f, setup_classic, teardown, NULL                                   \
	}
#define SPECULATIVE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static unsigned below = 2, above = 12;
	const struct CMUnitTest tests[] = {
		{ "two_ranges, down", two_ranges, NULL, teardown, &below },
		{ "two_ranges, up", two_ranges, NULL, teardown, &above },
		MODES(first_touch),
		MODES(zero_write),
		MODES(zero_page_is_never_writable),
		MODES(copy_on_write),
		MODES(fork_of_some),
		MODES(reuse),
		MODES(rights),
		MODES(spurious),
		MODES(verdicts),
		MODES(keys),
		MODES(growth),
		MODES(stale_vma),
		MODES(stale_vma_after_sleep),
		MODES(out_of_memory),
		MODES(out_of_memory_at_tables),
		MODES(together),
		SPECULATIVE(classic_off),
		SPECULATIVE(classic_reasons),
		SPECULATIVE(classic_memory),
		cmocka_unit_test_setup_teardown(classic_contended, setup_vma_lock, teardown),
		SPECULATIVE(busy),
		SPECULATIVE(busy_sweep),
		SPECULATIVE(vma_retired),
		SPECULATIVE(vma_pending),
		SPECULATIVE(writer_elsewhere),
		SPECULATIVE(table_dead),
		SPECULATIVE(entry_changed),
		SPECULATIVE(lost_race),
		SPECULATIVE(revalidated),
		SPECULATIVE(mapping_changed),
		SPECULATIVE(copy_after_flush),
		SPECULATIVE(reuse_overtaken),
		SPECULATIVE(table_appears),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
