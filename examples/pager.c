/* SPDX-License-Identifier: MIT */
/*
 * A pager of one's own: a table of squares, of which a page is computed when it is first touched,
 * and kept once a program has changed it. Each operation may answer at once or later:
 *
 *     fault         hands the request to a thread and says QUIRE_WAIT; whoever needs the page
 *                   sleeps until the thread calls quire_pages_done
 *     writepages    saves the pages and returns 0
 */
#include <pthread.h>
#include <quire/soft.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PAGES 64
#define NUMBERS (QUIRE_PAGE_SIZE / 8) /* in a page */
#define SIZE (PAGES * QUIRE_PAGE_SIZE)
#define RW (QUIRE_PROT_READ | QUIRE_PROT_WRITE)

static int requests[2]; /* a pipe, of struct quire_pages * */
static uint64_t kept[PAGES][NUMBERS];
static bool is_kept[PAGES];

static int fault(struct quire_object *object, struct quire_pages *pages)
{
	(void)object;
	return write(requests[1], &pages, sizeof(pages)) > 0 ? QUIRE_WAIT : -QUIRE_EIO;
}

static int writepages(struct quire_object *object, struct quire_pages *pages)
{
	(void)object;
	for (unsigned i = 0; i < pages->count; i++) {
		memcpy(kept[pages->index + i], pages->bytes[i], QUIRE_PAGE_SIZE);
		is_kept[pages->index + i] = true;
	}
	return 0;
}

static void fill(uint64_t page, uint64_t *bytes)
{
	for (uint64_t i = 0, n = page * NUMBERS; i < NUMBERS; i++, n++)
		bytes[i] = is_kept[page] ? kept[page][i] : n * n;
}

static void *pager(void *unused)
{
	struct quire_soft_cpu *cpu = quire_soft_attach(1);
	struct quire_pages *pages;

	while (read(requests[0], &pages, sizeof(pages)) > 0) {
		for (unsigned i = 0; i < pages->count; i++)
			fill(pages->index + i, pages->bytes[i]);
		quire_soft_enter(cpu);
		quire_pages_done(pages, 0); /* from here on they are not ours */
		quire_soft_leave(cpu);
	}
	quire_soft_detach(cpu);
	return unused;
}

int main(void)
{
	static const struct quire_object_ops ops = { .fault = fault, .writepages = writepages };
	struct quire_object_config config = { .ops = &ops, .caps = QUIRE_CAN_FAULT, .size = SIZE };
	uint64_t before = 0, after = 0;
	struct quire_object *squares;
	struct quire_mm *mm;
	pthread_t thread;

	if (pipe(requests) != 0 ||
	    quire_soft_init(&(struct quire_soft_config){ .cpus = 2, .memory = 16 << 20 }) != 0)
		return 1;
	pthread_create(&thread, NULL, pager, NULL);
	struct quire_soft_cpu *cpu = quire_soft_attach(0);

	quire_soft_enter(cpu);
	if (quire_mm_create(NULL, &mm) != 0 || quire_object_create(&config, &squares) != 0)
		return 1;
	quire_soft_switch(cpu, mm);
	int64_t table = quire_mmap_object(mm, 0, SIZE, RW, QUIRE_MAP_SHARED, squares, 0, RW);
	uint64_t number = (uint64_t)table + 1000 * 8;

	quire_soft_load(cpu, number, 8, &before);
	quire_soft_store(cpu, number, 8, 7);
	quire_msync(mm, (uint64_t)table, SIZE, QUIRE_MS_SYNC);
	quire_object_invalidate(squares, 0, SIZE); /* what is in memory is forgotten */
	quire_soft_load(cpu, number, 8, &after);
	printf("number 1000: %u, then %u\n", (unsigned)before, (unsigned)after);
	quire_soft_switch(cpu, NULL);
	quire_mm_destroy(mm);
	quire_object_put(squares);
	quire_soft_leave(cpu);
	close(requests[1]);
	pthread_join(thread, NULL);
	quire_soft_detach(cpu);
	return quire_soft_exit() != 0 || before != 1000 * 1000 || after != 7;
}
