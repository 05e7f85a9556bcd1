/* SPDX-License-Identifier: MIT */
/*
 * Random calls and accesses, made by Linux in this process and by Quire in a space at the same
 * addresses: results, errors, layouts, contents, residency and signals must agree after each step.
 *
 *     test_oracle [steps [seed]]      steps: of each of the six runs; without it, by the clock
 *
 * A sequence is 300 steps from an empty arena; its seed makes it again. What is not compared, since
 * it can't be or is meant to differ:
 *
 *   - shared mappings and files (test_contents.c does), MADV_COLLAPSE, guard regions, huge pages
 *   - the address of what is put somewhere: it is taken away again, or moved back
 *   - MADV_FREE: Linux frees later, so it is made to free at once
 *   - mremap over several VMAs (EFAULT here; Linux moves them from 6.17 on), and over VMAs that one
 *     side keeps apart and the other has merged
 *   - mremap with DONTUNMAP of a part of a locked VMA: Linux unlocks all of it
 */
#include "oracle_access.h"
#include "oracle_layout.h"

#include <sys/wait.h>
#include <time.h>

#define SEQUENCE 300
#define LOG 24
#define SECONDS_EACH 2
#define VIEW_START (ARENA - 4 * PAGE)
#define VIEW_PAGES (ARENA_PAGES + 8)

static struct quire_soft_cpu *cpu;
static struct quire_mm *mm;

static struct {
	const char *mode;
	unsigned levels, step;
	uint64_t seed, random;
	char log[LOG][200];
	struct layout linux_, quire;
	int maps, smaps;
} run;

static struct {
	uint64_t calls, errors, accesses, signals, layouts, exact, skipped, away, forks;
} totals;

static uint64_t wanted_steps, first_seed;
static bool has_execute_only, differed;

static uint64_t random_below(uint64_t n)
{
	run.random ^= run.random << 13;
	run.random ^= run.random >> 7;
	run.random ^= run.random << 17;
	return (run.random >> 11) % n;
}

static bool one_in(unsigned n)
{
	return random_below(n) == 0;
}

/* --- saying what happened --- */

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(run.log[run.step % LOG], sizeof(run.log[0]), format, arguments);
	va_end(arguments);
}

__attribute__((format(printf, 1, 2), noreturn)) static void differ(const char *format, ...)
{
	char what[300];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);
	print_error("%s, %u levels, seed %llu, step %u:\n", run.mode, run.levels,
		    (unsigned long long)run.seed, run.step);
	for (unsigned i = run.step < LOG - 1 ? 0 : run.step - (LOG - 1); i <= run.step; i++)
		print_error("  %3u %s\n", i, run.log[i % LOG]);
	layout_print("Linux", &run.linux_);
	layout_print("Quire", &run.quire);
	print_error("%s\n", what);
	differed = true;
	fail();
	abort();
}

/* --- what is compared --- */

static void compare_layouts(void)
{
	layout_linux(run.maps, &run.linux_);
	layout_quire(mm, &run.quire);
	totals.layouts++;
	if (layout_equal(&run.linux_, &run.quire))
		totals.exact++;
	else if (!layout_alike(&run.linux_, &run.quire))
		differ("the layouts differ");
}

static void compare_flags(void)
{
	static struct layout linux_, quire;

	layout_linux_flags(run.smaps, &linux_);
	layout_quire_flags(mm, &quire);
	if (!layout_alike(&linux_, &quire)) {
		layout_print("Linux's flags", &linux_);
		layout_print("Quire's flags", &quire);
		differ("the flags differ");
	}
}

static struct outcome compare_access(const struct access *access)
{
	struct outcome l = linux_access(access), q = quire_access_do(cpu, access);

	totals.accesses++;
	totals.signals += l.verdict != QUIRE_FAULT_DONE;
	if (l.verdict != q.verdict || l.value != q.value)
		differ("access %d of %u bytes at %lld+%#llx: Linux %d %#llx, Quire %d %#llx",
		       (int)access->kind, access->size,
		       (long long)(access->address - ARENA) / (long long)PAGE,
		       (unsigned long long)(access->address % PAGE), (int)l.verdict,
		       (unsigned long long)l.value, (int)q.verdict, (unsigned long long)q.value);
	return l;
}

/* Where stores go: the first 64 bytes and the last 16. */
static void compare_page(uint64_t page)
{
	struct access load = { QUIRE_READ, page, 8, 0 };

	for (; load.address < page + 64; load.address += 8)
		compare_access(&load);
	for (load.address = page + PAGE - 16; load.address < page + PAGE; load.address += 8)
		compare_access(&load);
}

/* Residency of all that is mapped, contents of all that is resident. */
static void compare_pages(void)
{
	static struct layout merged;

	merged = run.quire;
	layout_merge(&merged);
	for (unsigned i = 0; i < merged.count; i++) {
		const struct area *area = &merged.areas[i];
		struct oracle_call call = { CALL_MINCORE,
					    { area->start, area->end - area->start } };
		uint64_t pages = (area->end - area->start) / PAGE;

		assert_true(pages <= sizeof(linux_vector));
		assert_int_equal(linux_call(&call), 0);
		assert_int_equal(quire_call(mm, &call), 0);
		for (uint64_t p = 0; p < pages; p++) {
			if ((linux_vector[p] & 1) != (quire_vector[p] & 1))
				differ("page %lld is resident: Linux %d, Quire %d",
				       (long long)(area->start - ARENA) / (long long)PAGE +
					       (long long)p,
				       linux_vector[p] & 1, quire_vector[p] & 1);
			if (linux_vector[p] & 1 && strcmp(area->rights, "---p") != 0)
				compare_page(area->start + p * PAGE);
		}
	}
}

static bool elsewhere(int64_t result)
{
	return result > 0 && ((uint64_t)result < WINDOW || (uint64_t)result >= WINDOW_END);
}

static int64_t compare_call(const struct oracle_call *call, int64_t *linux_place)
{
	int64_t q = quire_call(mm, call), l = linux_call(call);

	totals.calls++;
	totals.errors += l < 0;
	if (q != l && !(linux_place && elsewhere(q) && elsewhere(l)))
		differ("%s: Linux %lld, Quire %lld", oracle_text(call), (long long)l, (long long)q);
	if (linux_place)
		*linux_place = l;
	return q;
}

/* --- the steps --- */

static uint64_t some_address(void)
{
	uint64_t address = ARENA + random_below(ARENA_PAGES + 4) * PAGE - 2 * PAGE;

	return one_in(24) ? address + 1 + random_below(PAGE - 1) : address;
}

/* What is far too long must end above the last address: Linux acts on this very process. */
static uint64_t some_length(void)
{
	if (one_in(48))
		return 0;
	if (one_in(64))
		return UINT64_MAX - random_below(1 << 21);
	if (one_in(16))
		return 1 + random_below(16 * PAGE);
	return PAGE * (1 + random_below(one_in(8) ? ARENA_PAGES : 12));
}

static uint64_t some_protection(void)
{
	static const unsigned char usual[] = { 3, 3, 3, 3, 1, 1, 0, 7, 5, 2, 4, 6 };
	uint64_t prot = usual[random_below(sizeof(usual))];

	if (has_execute_only && prot == QUIRE_PROT_EXEC)
		prot |= QUIRE_PROT_READ;
	return prot;
}

static void step_mmap(void)
{
	static const uint64_t extras[] = {
		QUIRE_MAP_FIXED,	 QUIRE_MAP_FIXED,     QUIRE_MAP_FIXED_NOREPLACE,
		QUIRE_MAP_LOCKED,	 QUIRE_MAP_NORESERVE, QUIRE_MAP_POPULATE,
		QUIRE_MAP_NONBLOCK,	 QUIRE_MAP_STACK,     0x0800 /* DENYWRITE */,
		0x1000 /* EXECUTABLE */,
	};
	static const uint64_t wrong_types[] = { 0, 3, 4, 5, 6, 7, 9, 12, 15 };
	uint64_t flags = QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS;
	struct oracle_call call = { CALL_MMAP, { some_address(), some_length() } };
	int64_t place, linux_place;

	for (unsigned i = 0; i < sizeof(extras) / sizeof(extras[0]); i++)
		flags |= one_in(i < 2 ? 2 : 8) ? extras[i] : 0;
	if (one_in(10))
		flags |= QUIRE_MAP_GROWSDOWN;
	if (one_in(40))
		flags = (flags & ~0xfull) |
			wrong_types[random_below(sizeof(wrong_types) / sizeof(wrong_types[0]))];
	if (one_in(64))
		flags &= ~(uint64_t)QUIRE_MAP_ANONYMOUS;
	if (!(flags & (QUIRE_MAP_FIXED | QUIRE_MAP_FIXED_NOREPLACE)) && one_in(8))
		call.a[0] = 0;
	call.a[2] = some_protection();
	call.a[3] = flags;
	note("%s", oracle_text(&call));
	place = compare_call(&call, &linux_place);
	if (elsewhere(place)) {
		struct oracle_call back = { CALL_MUNMAP, { (uint64_t)place, call.a[1] } };
		struct oracle_call linux_back = { CALL_MUNMAP,
						  { (uint64_t)linux_place, call.a[1] } };

		totals.away++;
		if (quire_call(mm, &back) != 0 || linux_call(&linux_back) != 0)
			differ("what was mapped elsewhere can't be unmapped");
	}
}

static void step_munmap(void)
{
	struct oracle_call call = { CALL_MUNMAP, { some_address(), some_length() } };

	note("%s", oracle_text(&call));
	compare_call(&call, NULL);
}

static void step_mprotect(void)
{
	struct oracle_call call = { CALL_MPROTECT,
				    { some_address(), some_length(), some_protection() } };

	if (one_in(32))
		call.a[2] |= 8ull << random_below(22);
	/* Where the VMA begins matters, and if it has an object. */
	if (one_in(32) && layout_equal(&run.linux_, &run.quire))
		call.a[2] |= QUIRE_PROT_GROWSDOWN;
	if (one_in(200))
		call.a[2] |= QUIRE_PROT_GROWSUP;
	note("%s", oracle_text(&call));
	compare_call(&call, NULL);
}

/* Does the source mean the same to both, and is what moves not in several VMAs? */
static bool comparable_source(const struct oracle_call *call)
{
	uint64_t start = call->a[0] & ~(PAGE - 1);
	uint64_t old_end = start + ((call->a[1] + PAGE - 1) & ~(PAGE - 1));
	uint64_t new_end = start + ((call->a[2] + PAGE - 1) & ~(PAGE - 1));
	uint64_t end = old_end < new_end ? old_end : new_end;
	const struct area *l = layout_find(&run.linux_, start), *q = layout_find(&run.quire, start);

	if (!l || !q || end <= start)
		return !l && !q;
	if (new_end <= old_end && !(call->a[3] & (QUIRE_MREMAP_FIXED | QUIRE_MREMAP_DONTUNMAP)))
		return true;
	return end <= l->end && end <= q->end && (end == l->end) == (end == q->end);
}

/* With DONTUNMAP Linux unlocks all of a VMA of which a part moves; Quire the part. */
static bool unlocks_more(const struct oracle_call *call)
{
	struct quire_vma_info vma;

	return call->a[3] & QUIRE_MREMAP_DONTUNMAP && quire_vma_find(mm, call->a[0], &vma) == 0 &&
	       vma.locked && (vma.start != call->a[0] || vma.end - vma.start != call->a[1]);
}

static void move_back(const struct oracle_call *call, int64_t place, int64_t linux_place)
{
	uint64_t old_length = (call->a[1] + PAGE - 1) & ~(PAGE - 1);
	uint64_t new_length = (call->a[2] + PAGE - 1) & ~(PAGE - 1);
	int flags = QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED;
	struct oracle_call back = { CALL_MREMAP,
				    { (uint64_t)place, new_length, old_length, (uint64_t)flags,
				      call->a[0] } };
	int64_t q = quire_call(mm, &back), l;

	totals.away++;
	back.a[0] = (uint64_t)linux_place;
	l = linux_call(&back);
	if (q != l)
		differ("moving back: Linux %lld, Quire %lld", (long long)l, (long long)q);
}

static void step_mremap(void)
{
	static const uint64_t flags[] = { 0, 1, 1, 1, 3, 3, 3, 3, 3, 5, 7, 7, 2, 4, 6, 8, 9 };
	struct oracle_call call = { CALL_MREMAP,
				    { some_address(), some_length(), some_length(),
				      flags[random_below(sizeof(flags) / sizeof(flags[0]))],
				      some_address() } };
	int64_t place, linux_place;

	if (one_in(2))
		call.a[2] = call.a[1];
	note("%s", oracle_text(&call));
	if (!comparable_source(&call) || unlocks_more(&call)) {
		totals.skipped++;
		return;
	}
	place = compare_call(&call, &linux_place);
	if (elsewhere(place))
		move_back(&call, place, linux_place);
}

static void step_madvise(void)
{
	struct oracle_call call = { CALL_MADVISE, { some_address(), some_length() } };

	do
		call.a[2] = one_in(3) ? QUIRE_MADV_DONTNEED : random_below(28);
	while (call.a[2] == 25 /* MADV_COLLAPSE */);
	if (one_in(64))
		call.a[2] = UINT32_MAX - random_below(100);
	note("%s", oracle_text(&call));
	compare_call(&call, NULL);
	if (call.a[2] == QUIRE_MADV_FREE) {
		call.a[2] = QUIRE_MADV_DONTNEED;
		compare_call(&call, NULL);
	}
}

static void step_mlock(void)
{
	static const enum oracle_number numbers[] = { CALL_MLOCK, CALL_MLOCK2, CALL_MUNLOCK,
						      CALL_MUNLOCK, CALL_MUNLOCK };
	struct oracle_call call = {
		numbers[random_below(sizeof(numbers) / sizeof(numbers[0]))],
		{ some_address(), some_length(), random_below(one_in(8) ? 4 : 2) },
	};

	if (one_in(24))
		call.number = CALL_MUNLOCKALL;
	note("%s", oracle_text(&call));
	compare_call(&call, NULL);
}

static void step_mincore(void)
{
	struct oracle_call call = { CALL_MINCORE, { some_address(), some_length() } };
	uint64_t pages = (call.a[1] + PAGE - 1) / PAGE;

	note("%s", oracle_text(&call));
	memset(linux_vector, 0, sizeof(linux_vector));
	memset(quire_vector, 0, sizeof(quire_vector));
	if (compare_call(&call, NULL) == 0)
		for (uint64_t p = 0; p < pages; p++)
			if ((linux_vector[p] & 1) != (quire_vector[p] & 1))
				differ("mincore, page %llu of the range", (unsigned long long)p);
}

/* Put a return instruction there; if it is there, go there. */
static void step_execute(uint64_t page)
{
	struct access access = { QUIRE_WRITE, page + PAGE - 16, 8, OPCODE_RETURN };
	struct outcome outcome;

	compare_access(&access);
	access.kind = QUIRE_READ;
	outcome = compare_access(&access);
	access.kind = QUIRE_EXEC;
	if (outcome.verdict != QUIRE_FAULT_DONE || (outcome.value & 0xff) == OPCODE_RETURN)
		compare_access(&access);
}

static struct access some_access(void)
{
	unsigned size = 1u << random_below(4);
	struct access access = {
		.kind = one_in(3) ? QUIRE_READ : QUIRE_WRITE,
		.address = ARENA + random_below(ARENA_PAGES + 4) * PAGE - 2 * PAGE,
		.size = size,
		.value = run.random >> (64 - 8 * size),
	};

	access.address += size * random_below(64 / size);
	return access;
}

static void step_access(void)
{
	unsigned count = 1 + (unsigned)random_below(6);

	note("%u accesses", count);
	for (unsigned i = 0; i < count; i++) {
		struct access access = some_access();

		if (one_in(12))
			step_execute(access.address & ~(PAGE - 1));
		else
			compare_access(&access);
	}
}

/* --- fork --- */

#define FORK_STORES 8

/* What one side's child sees: each page, twice, with stores in between. */
struct view {
	struct layout layout;
	struct outcome before[VIEW_PAGES], stores[FORK_STORES], after[VIEW_PAGES];
};

static struct view *linux_view, quire_view;

typedef struct outcome accessor(const struct access *);

static struct outcome quire_access(const struct access *access)
{
	return quire_access_do(cpu, access);
}

static void look(struct view *view, accessor *access, const struct access *stores)
{
	struct access load = { QUIRE_READ, 0, 8, 0 };

	for (unsigned p = 0; p < VIEW_PAGES; p++) {
		load.address = VIEW_START + p * PAGE + p % 8 * 8;
		view->before[p] = access(&load);
	}
	for (unsigned i = 0; i < FORK_STORES; i++)
		view->stores[i] = access(&stores[i]);
	for (unsigned p = 0; p < VIEW_PAGES; p++) {
		load.address = VIEW_START + p * PAGE + p % 8 * 8;
		view->after[p] = access(&load);
	}
}

/* The child of Linux looks after the parent has stored. */
static void linux_fork(const struct access *parents, const struct access *childs)
{
	int go[2], status;
	pid_t child;

	assert_int_equal(pipe(go), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		char byte;

		close(go[1]);
		if (read(go[0], &byte, 1) != 1)
			_exit(1);
		layout_linux_flags(layout_open("/proc/self/smaps"), &linux_view->layout);
		look(linux_view, linux_access, childs);
		_exit(0);
	}
	for (unsigned i = 0; i < FORK_STORES; i++)
		linux_access(&parents[i]);
	close(go[0]);
	assert_int_equal(write(go[1], "", 1), 1);
	close(go[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (status != 0)
		differ("the child of Linux ended with %#x", status);
}

static void quire_fork_and_look(const struct access *parents, const struct access *childs)
{
	struct quire_mm *child;

	assert_int_equal(quire_fork(mm, &child), 0);
	for (unsigned i = 0; i < FORK_STORES; i++)
		quire_access(&parents[i]);
	layout_quire_flags(child, &quire_view.layout);
	quire_soft_switch(cpu, child);
	look(&quire_view, quire_access, childs);
	quire_soft_switch(cpu, mm);
	if (quire_validate(NULL))
		differ("%s", quire_validate(NULL));
	quire_mm_destroy(child);
}

static void step_fork(void)
{
	struct access stores[2 * FORK_STORES];

	note("fork");
	totals.forks++;
	for (unsigned i = 0; i < 2 * FORK_STORES; i++)
		stores[i] = some_access();
	memset(linux_view, 0, sizeof(*linux_view));
	linux_fork(stores, stores + FORK_STORES);
	quire_fork_and_look(stores, stores + FORK_STORES);
	if (!layout_alike(&linux_view->layout, &quire_view.layout)) {
		layout_print("Linux's child", &linux_view->layout);
		layout_print("Quire's child", &quire_view.layout);
		differ("the children's layouts differ");
	}
	for (unsigned i = 0; i < FORK_STORES; i++)
		if (linux_view->stores[i].verdict != quire_view.stores[i].verdict)
			differ("a store in the child: Linux %d, Quire %d",
			       (int)linux_view->stores[i].verdict,
			       (int)quire_view.stores[i].verdict);
	for (unsigned p = 0; p < VIEW_PAGES; p++)
		if (!outcome_same(&linux_view->before[p], &quire_view.before[p]) ||
		    !outcome_same(&linux_view->after[p], &quire_view.after[p]))
			differ("page %d in the child: Linux %d %#llx, then %d %#llx; "
			       "Quire %d %#llx, then %d %#llx",
			       (int)p - 4, (int)linux_view->before[p].verdict,
			       (unsigned long long)linux_view->before[p].value,
			       (int)linux_view->after[p].verdict,
			       (unsigned long long)linux_view->after[p].value,
			       (int)quire_view.before[p].verdict,
			       (unsigned long long)quire_view.before[p].value,
			       (int)quire_view.after[p].verdict,
			       (unsigned long long)quire_view.after[p].value);
}

/* --- sequences --- */

static void one_step(void)
{
	static const struct {
		unsigned weight;
		void (*step)(void);
	} steps[] = {
		{ 30, step_access }, { 22, step_mmap },	   { 12, step_mprotect },
		{ 12, step_mremap }, { 12, step_madvise }, { 7, step_munmap },
		{ 5, step_mlock },   { 2, step_mincore },
	};
	uint64_t choice = random_below(102);

	if (one_in(120)) {
		step_fork();
	} else {
		unsigned i = 0;

		while (choice >= steps[i].weight)
			choice -= steps[i++].weight;
		steps[i].step();
	}
	compare_layouts();
	if (run.step % 8 == 7)
		compare_pages();
	if (run.step % 32 == 31)
		compare_flags();
}

static void sequence(uint64_t seed)
{
	run.seed = seed;
	run.random = seed * 0x9e3779b97f4a7c15u + 1;
	for (run.step = 0; run.step < SEQUENCE; run.step++)
		one_step();
	run.step--;
	if (quire_validate(NULL))
		differ("%s", quire_validate(NULL));
	oracle_clear(mm);
	compare_layouts();
}

static uint64_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec;
}

static void run_mode(enum quire_mode mode, const char *name, unsigned levels)
{
	struct quire_soft_config config = { .cpus = 2, .memory = 16 << 20, .levels = levels };
	uint64_t end = seconds() + SECONDS_EACH, seed = first_seed;
	struct quire_memory_stats stats;

	if (differed || !oracle_speaks())
		skip(); /* one report is enough, and what was left behind is in the way */
	access_begin(); /* the test framework has its own handlers around each test */
	assert_int_equal(quire_soft_init(&config), 0);
	cpu = quire_soft_attach(0);
	quire_soft_enter(cpu);
	mm = oracle_space(mode);
	quire_soft_switch(cpu, mm);
	run.mode = name;
	run.levels = levels;
	do
		sequence(seed++);
	while (wanted_steps ? (seed - first_seed) * SEQUENCE < wanted_steps : seconds() < end);
	quire_soft_switch(cpu, NULL);
	quire_mm_destroy(mm);
	quire_barrier(0);
	quire_memory_stats(&stats);
	assert_int_equal(stats.deferred, 0);
	quire_soft_leave(cpu);
	quire_soft_detach(cpu);
	assert_int_equal(quire_soft_exit(), 0);
	print_message("%s, %u levels: seeds %llu to %llu\n", name, levels,
		      (unsigned long long)first_seed, (unsigned long long)seed - 1);
}

static void speculative_4(void **state)
{
	(void)state;
	run_mode(QUIRE_SPECULATIVE, "speculative", 4);
}

static void speculative_5(void **state)
{
	(void)state;
	run_mode(QUIRE_SPECULATIVE, "speculative", 5);
}

static void vma_lock_4(void **state)
{
	(void)state;
	run_mode(QUIRE_VMA_LOCK, "vma-lock", 4);
}

static void vma_lock_5(void **state)
{
	(void)state;
	run_mode(QUIRE_VMA_LOCK, "vma-lock", 5);
}

static void classic_4(void **state)
{
	(void)state;
	run_mode(QUIRE_CLASSIC, "classic", 4);
}

static void classic_5(void **state)
{
	(void)state;
	run_mode(QUIRE_CLASSIC, "classic", 5);
}

static int setup(void **state)
{
	long key = syscall(SYS_pkey_alloc, 0, 0);

	(void)state;
	has_execute_only = key >= 0;
	if (key >= 0)
		syscall(SYS_pkey_free, key);
	oracle_begin();
	run.maps = layout_open("/proc/self/maps");
	run.smaps = layout_open("/proc/self/smaps");
	linux_view = mmap(NULL, sizeof(*linux_view), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return linux_view == MAP_FAILED;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(speculative_4, setup),
		cmocka_unit_test(speculative_5),
		cmocka_unit_test(vma_lock_4),
		cmocka_unit_test(vma_lock_5),
		cmocka_unit_test(classic_4),
		cmocka_unit_test(classic_5),
	};
	int failed;

	wanted_steps = argc > 1 ? strtoull(argv[1], NULL, 0) : 0;
	first_seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	failed = cmocka_run_group_tests_name("oracle", tests, NULL, NULL);
	print_message("%llu calls (%llu errors, %llu moved away and back, %llu skipped), "
		      "%llu accesses (%llu signals), %llu forks; "
		      "%llu of %llu layouts were the same without merging\n",
		      (unsigned long long)totals.calls, (unsigned long long)totals.errors,
		      (unsigned long long)totals.away, (unsigned long long)totals.skipped,
		      (unsigned long long)totals.accesses, (unsigned long long)totals.signals,
		      (unsigned long long)totals.forks, (unsigned long long)totals.exact,
		      (unsigned long long)totals.layouts);
	return failed;
}
