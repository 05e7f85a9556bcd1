/* SPDX-License-Identifier: MIT */
/*
 * Threads of several processes fault, map, unmap, protect, move, give back, share and fork without
 * pause, and check every page that they own at every turn.
 *
 *     arena:   | slot 0 | slot 1 | slot 2 | ...    slot i belongs to thread i % threads
 *     shelter: | slot 0 | slot 1 | slot 2 | ...    where a slot may be moved to, for a while
 *     file:    | slot 0 | slot 1 | slot 2 | ...    of all processes
 *
 * Neighbours in the tables belong to different threads. The file is mapped, read and written.
 * Nobody maps without saying where, so that a hole stays a hole until its owner fills it. A page
 * holds words made of its slot, its place and a number that counts the writes; 0: zeros.
 */
#include "tap.h"

#include "options.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>

enum { SLOT_PAGES = 8, SLOTS = 24, WORDS = 8, MAX_THREADS = 16 };
enum state { WRITABLE, READABLE, CLOSED, GONE };
#define RW (PROT_READ | PROT_WRITE)
#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)
#define SLOT_SIZE (SLOT_PAGES * PAGE)

struct slot {
	unsigned char *home, *shelter, *at;
	off_t in_file;
	uint32_t number;
	uint32_t value[SLOT_PAGES], in_file_value[SLOT_PAGES];
	enum state state[SLOT_PAGES];
};

struct worker {
	pthread_t thread;
	uint64_t random, end;
	struct slot slots[SLOTS];
	uint32_t writes;
	unsigned long *added; /* what this thread has added to the counter that all processes share
			       */
	int pipe[2];
};

static unsigned long seconds = 10, threads = 4, processes = 2, seed = 1;
static unsigned char *arena, *shelter, *file_map;
static int file;
static _Atomic unsigned long *shared_counter, *turns;
static _Thread_local sigjmp_buf back;
static _Thread_local volatile bool expecting;

static _Noreturn void wrong(const struct slot *slot, const char *what, uint64_t found,
			    uint64_t wanted)
{
	char line[200];
	int length = snprintf(line, sizeof(line), "# stress: slot %u at %p: %s: %lx, not %lx\n",
			      slot->number, (void *)slot->at, what, found, wanted);

	(void)!write(1, line, (size_t)length);
	_exit(FAILED);
}

static void must(const struct slot *slot, bool held, const char *what)
{
	if (!held)
		wrong(slot, what, (uint64_t)errno, 0);
}

static void refused(int signal, siginfo_t *info, void *context)
{
	(void)context;
	if (!expecting) {
		char line[100];
		int length = snprintf(line, sizeof(line), "# stress: signal %d at %p\n", signal,
				      info->si_addr);

		(void)!write(1, line, (size_t)length);
		_exit(FAILED);
	}
	siglongjmp(back, 1);
}

/* Is an access refused? */
static bool is_refused(volatile unsigned char *at, bool writing)
{
	expecting = true;
	if (sigsetjmp(back, 1) == 0) {
		if (writing)
			*at = 1;
		else
			(void)*at;
		expecting = false;
		return false;
	}
	expecting = false;
	return true;
}

static uint64_t word_of(const struct slot *slot, unsigned page, unsigned word, uint32_t value)
{
	return value ? (uint64_t)value << 32 | slot->number << 12 | page << 4 | word : 0;
}

static void check_page(const struct slot *slot, const unsigned char *at, unsigned page,
		       uint32_t value)
{
	const volatile uint64_t *words = (const volatile uint64_t *)(const void *)at;

	for (unsigned i = 0; i < WORDS; i++) {
		uint64_t found = words[i * (PAGE / 8 / WORDS)],
			 wanted = word_of(slot, page, i, value);

		if (found != wanted)
			wrong(slot, "contents", found, wanted);
	}
}

static void fill_page(const struct slot *slot, unsigned char *at, unsigned page, uint32_t value)
{
	volatile uint64_t *words = (volatile uint64_t *)(void *)at;

	for (unsigned i = 0; i < WORDS; i++)
		words[i * (PAGE / 8 / WORDS)] = word_of(slot, page, i, value);
}

static void check_slot(const struct slot *slot)
{
	for (unsigned i = 0; i < SLOT_PAGES; i++)
		if (slot->state[i] <= READABLE)
			check_page(slot, slot->at + i * PAGE, i, slot->value[i]);
}

/* A part of a slot: [*first, *end). */
static void part(struct worker *w, unsigned *first, unsigned *end)
{
	*first = (unsigned)random_below(&w->random, SLOT_PAGES);
	*end = *first + 1 + (unsigned)random_below(&w->random, SLOT_PAGES - *first);
}

static void do_write(struct worker *w, struct slot *slot)
{
	unsigned first, end;

	part(w, &first, &end);
	for (unsigned i = first; i < end; i++) {
		if (slot->state[i] != WRITABLE)
			continue;
		check_page(slot, slot->at + i * PAGE, i, slot->value[i]);
		slot->value[i] = ++w->writes;
		fill_page(slot, slot->at + i * PAGE, i, slot->value[i]);
	}
}

static void do_touch_forbidden(struct worker *w, struct slot *slot)
{
	unsigned i = (unsigned)random_below(&w->random, SLOT_PAGES);
	bool writing = random_below(&w->random, 2);

	if (slot->state[i] == WRITABLE || (slot->state[i] == READABLE && !writing))
		return;
	if (!is_refused(slot->at + i * PAGE + 8, writing))
		wrong(slot, "an access was not refused", i, slot->state[i]);
}

static void do_map(struct worker *w, struct slot *slot)
{
	unsigned first, end;
	int flags = PRIVATE | MAP_FIXED | (random_below(&w->random, 4) ? 0 : MAP_POPULATE);

	part(w, &first, &end);
	must(slot,
	     mmap(slot->at + first * PAGE, (end - first) * PAGE, RW, flags, -1, 0) != MAP_FAILED,
	     "mmap");
	for (unsigned i = first; i < end; i++)
		slot->value[i] = 0, slot->state[i] = WRITABLE;
}

static void do_unmap(struct worker *w, struct slot *slot)
{
	unsigned first, end;

	part(w, &first, &end);
	must(slot, munmap(slot->at + first * PAGE, (end - first) * PAGE) == 0, "munmap");
	for (unsigned i = first; i < end; i++)
		slot->value[i] = 0, slot->state[i] = GONE;
}

static void do_protect(struct worker *w, struct slot *slot)
{
	static const int protections[] = { RW, PROT_READ, PROT_NONE };
	enum state state = (enum state)random_below(&w->random, 3);
	unsigned first, end;

	part(w, &first, &end);
	for (unsigned i = first; i < end; i++)
		if (slot->state[i] == GONE)
			return;
	must(slot, mprotect(slot->at + first * PAGE, (end - first) * PAGE, protections[state]) == 0,
	     "mprotect");
	for (unsigned i = first; i < end; i++)
		slot->state[i] = state;
}

static void do_give_back(struct worker *w, struct slot *slot)
{
	unsigned first, end;

	part(w, &first, &end);
	for (unsigned i = first; i < end; i++)
		if (slot->state[i] == GONE)
			return;
	must(slot, madvise(slot->at + first * PAGE, (end - first) * PAGE, MADV_DONTNEED) == 0,
	     "madvise");
	for (unsigned i = first; i < end; i++)
		slot->value[i] = 0;
}

/* To the other place, if it is one mapping. */
static void do_move(struct worker *w, struct slot *slot)
{
	unsigned char *to = slot->at == slot->home ? slot->shelter : slot->home;

	(void)w;
	for (unsigned i = 1; i < SLOT_PAGES; i++)
		if (slot->state[i] != slot->state[0])
			return;
	if (slot->state[0] == GONE)
		return;
	/* Pages that were mapped one by one may be several mappings: that is an error, and nothing
	 * has changed. */
	if (mremap(slot->at, SLOT_SIZE, SLOT_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to) {
		must(slot, errno == EFAULT, "mremap");
		return;
	}
	must(slot, is_refused(slot->at, false), "moved, and still there");
	slot->at = to;
}

static void do_fork(struct worker *w, struct slot *slot)
{
	pid_t child = fork();

	(void)slot;
	if (child == 0) {
		for (unsigned i = 0; i < SLOTS; i++) {
			check_slot(&w->slots[i]);
			do_write(w, &w->slots[i]);
			check_slot(&w->slots[i]);
		}
		(*shared_counter)++;
		_exit(0);
	}
	/* No memory for it is no failure. */
	if (child < 0)
		return;
	for (unsigned i = 0; i < SLOTS / 2; i++)
		do_write(w, &w->slots[i]);
	if (!exited(child, 0))
		wrong(slot, "a child failed", 0, 0);
	(*w->added)++;
}

static void do_file(struct worker *w, struct slot *slot)
{
	unsigned i = (unsigned)random_below(&w->random, SLOT_PAGES);
	off_t offset = slot->in_file + (off_t)(i * PAGE);
	static _Thread_local unsigned char page[PAGE] __attribute__((aligned(8)));

	must(slot, pread(file, page, PAGE, offset) == PAGE, "pread");
	check_page(slot, page, i, slot->in_file_value[i]);
	check_page(slot, file_map + offset, i, slot->in_file_value[i]);
	slot->in_file_value[i] = ++w->writes;
	if (random_below(&w->random, 2)) {
		fill_page(slot, page, i, slot->in_file_value[i]);
		must(slot, pwrite(file, page, PAGE, offset) == PAGE, "pwrite");
	} else {
		fill_page(slot, file_map + offset, i, slot->in_file_value[i]);
	}
}

/* Calls that copy to and from the slot's memory, which may be fresh, shared or forbidden. */
static void do_pipe(struct worker *w, struct slot *slot)
{
	unsigned from = (unsigned)random_below(&w->random, SLOT_PAGES),
		 to = (from + 1) % SLOT_PAGES;

	if (slot->state[from] > READABLE) {
		must(slot, write(w->pipe[1], slot->at + from * PAGE, 8) == -1 && errno == EFAULT,
		     "write");
		return;
	}
	must(slot, write(w->pipe[1], slot->at + from * PAGE, PAGE) == PAGE, "write");
	if (slot->state[to] == WRITABLE) {
		must(slot, read(w->pipe[0], slot->at + to * PAGE, PAGE) == PAGE, "read");
		check_page(slot, slot->at + to * PAGE, from, slot->value[from]);
		slot->value[to] = ++w->writes;
		fill_page(slot, slot->at + to * PAGE, to, slot->value[to]);
	} else {
		unsigned char page[PAGE];

		must(slot, read(w->pipe[0], slot->at + to * PAGE, PAGE) == -1 && errno == EFAULT,
		     "EFAULT");
		must(slot, read(w->pipe[0], page, PAGE) == PAGE, "read after EFAULT");
	}
}

static void do_count(struct worker *w, struct slot *slot)
{
	(void)slot;
	(*shared_counter)++;
	(*w->added)++;
}

static void *work(void *argument)
{
	static const struct {
		unsigned weight;
		void (*run)(struct worker *w, struct slot *slot);
	} operations[] = {
		{ 300, do_write },   { 60, do_touch_forbidden },
		{ 120, do_map },     { 60, do_unmap },
		{ 120, do_protect }, { 60, do_give_back },
		{ 60, do_move },     { 2, do_fork },
		{ 100, do_file },    { 60, do_pipe },
		{ 58, do_count },
	};
	struct worker *w = argument;

	while (milliseconds() < w->end) {
		for (unsigned n = 0; n < 64; n++) {
			struct slot *slot = &w->slots[random_below(&w->random, SLOTS)];
			unsigned at = (unsigned)random_below(&w->random, 1000), i = 0;

			while (at >= operations[i].weight)
				at -= operations[i++].weight;
			operations[i].run(w, slot);
			check_slot(slot);
		}
		*turns += 64;
	}
	return NULL;
}

static void prepare(struct worker *w, unsigned long process, unsigned long thread)
{
	memset(w, 0, sizeof(*w));
	w->random = seed * 1000003 + process * 1009 + thread;
	w->end = milliseconds() + seconds * 1000;
	w->added = (unsigned long *)turns + 8 + process * MAX_THREADS + thread;
	need(pipe(w->pipe) == 0);
	for (unsigned long i = 0; i < SLOTS; i++) {
		struct slot *slot = &w->slots[i];
		unsigned long n = i * threads + thread;

		slot->number = (uint32_t)n;
		slot->at = slot->home = arena + n * SLOT_SIZE;
		slot->shelter = shelter + n * SLOT_SIZE;
		slot->in_file = (off_t)((process * threads * SLOTS + n) * SLOT_SIZE);
	}
}

static int process(unsigned long number)
{
	static struct worker workers[MAX_THREADS];
	struct sigaction action = { .sa_sigaction = refused, .sa_flags = SA_SIGINFO | SA_NODEFER };
	size_t size = threads * SLOTS * SLOT_SIZE;

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	arena = memory(size / PAGE, RW);
	shelter = memory(size / PAGE, PROT_NONE);
	for (unsigned long i = 0; i < threads; i++)
		prepare(&workers[i], number, i);
	for (unsigned long i = 0; i < threads; i++)
		need(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
	for (unsigned long i = 0; i < threads; i++)
		pthread_join(workers[i].thread, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "--seconds", &seconds },
		{ "--threads", &threads },
		{ "--processes", &processes },
		{ "--seed", &seed },
	};
	pid_t children[MAX_THREADS];
	unsigned long sum = 0, bad = 0;

	setvbuf(stdout, NULL, _IONBF, 0);
	options_read(argc, argv, options, sizeof(options) / sizeof(*options));
	if (threads < 1 || threads > MAX_THREADS || processes < 1 || processes > MAX_THREADS)
		return 2;
	printf("1..1\n# stress: %lu s, %lu processes of %lu threads, seed %lu\n", seconds,
	       processes, threads, seed);
	turns = mmap(NULL, 2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	need(turns != MAP_FAILED);
	shared_counter = turns + 1;
	size_t size = processes * threads * SLOTS * SLOT_SIZE;
	need((file = memfd_create("stress", 0)) >= 0 && ftruncate(file, (off_t)size) == 0);
	need((file_map = mmap(NULL, size, RW, MAP_SHARED, file, 0)) != MAP_FAILED);
	for (unsigned long i = 0; i < processes; i++)
		if ((children[i] = fork()) == 0)
			return process(i);
	for (unsigned long i = 0; i < processes; i++)
		bad += !exited(children[i], 0);
	for (unsigned i = 0; i < MAX_THREADS * MAX_THREADS; i++)
		sum += ((unsigned long *)turns)[8 + i];
	if (sum != *shared_counter) {
		printf("# stress: the shared counter is %lu, not %lu\n", *shared_counter, sum);
		bad++;
	}
	printf("%s 1 stress: %lu turns\n", bad ? "not ok" : "ok", *turns);
	return bad != 0;
}
