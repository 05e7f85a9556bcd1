/* SPDX-License-Identifier: MIT */
/* Two threads fill one mapping. Each first touch of a page is a fault that waits for nobody. */
#include <pthread.h>
#include <quire/soft.h>
#include <stdio.h>

static struct quire_mm *mm;
static int64_t base;

static void *touch(void *number)
{
	struct quire_soft_cpu *cpu = quire_soft_attach((unsigned)(uintptr_t)number);

	quire_soft_enter(cpu); /* from here on it may call Quire and must reach safepoints */
	quire_soft_switch(cpu, mm);
	for (uint64_t page = cpu->index; page < 512; page += 2)
		quire_soft_store(cpu, (uint64_t)base + page * QUIRE_PAGE_SIZE, 8, page);
	quire_soft_leave(cpu);
	quire_soft_detach(cpu);
	return NULL;
}

int main(void)
{
	struct quire_stats stats;
	pthread_t threads[2];

	if (quire_soft_init(&(struct quire_soft_config){ .cpus = 3, .memory = 64 << 20 }) != 0)
		return 1;
	struct quire_soft_cpu *cpu = quire_soft_attach(2);

	quire_soft_enter(cpu);
	if (quire_mm_create(NULL, &mm) != 0)
		return 1;
	base = quire_mmap(mm, 0, 512 * QUIRE_PAGE_SIZE, QUIRE_PROT_READ | QUIRE_PROT_WRITE,
			  QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS);
	quire_soft_leave(cpu); /* it is going to sleep: nobody shall wait for it */
	for (uintptr_t i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, touch, (void *)i);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	quire_soft_enter(cpu);
	quire_stats(mm, &stats);
	printf("%llu of 512 faults took no lock of the address space\n",
	       (unsigned long long)stats.faults[QUIRE_PATH_SPECULATIVE][QUIRE_KIND_FIRST_WRITE]);
	quire_mm_destroy(mm);
	quire_soft_leave(cpu);
	quire_soft_detach(cpu);
	return quire_soft_exit() != 0 || stats.anonymous != 512;
}
