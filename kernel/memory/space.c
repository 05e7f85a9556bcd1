/* SPDX-License-Identifier: MIT */
/* Address spaces as processes have them. */
#include "memory/space.h"

#include "fs/fs.h"
#include "memory/heap.h"

enum quire_mode space_mode = QUIRE_SPECULATIVE;
bool space_speculation = true;

static struct space *wrap(struct quire_mm *mm)
{
	struct space *space = heap_zero(sizeof(*space));

	if (space == NULL) {
		quire_mm_destroy(mm);
		return NULL;
	}
	space->mm = mm;
	atomic_init(&space->references, 1);
	return space;
}

struct space *space_create(uint64_t brk_start)
{
	struct quire_mm_config config = {
		.mode = space_mode,
		.start = SPACE_START,
		.end = USER_END,
		.mmap_top = SPACE_MMAP_TOP,
		.brk_start = brk_start,
		.no_speculation = !space_speculation,
	};
	struct quire_mm *mm;
	struct space *space;

	if (quire_mm_create(&config, &mm) != 0)
		return NULL;
	space = wrap(mm);
	if (space != NULL)
		space->brk_start = brk_start;
	return space;
}

struct space *space_fork(struct space *space)
{
	struct space *child;
	struct quire_mm *mm;

	if (quire_fork(space->mm, &mm) != 0)
		return NULL;
	child = wrap(mm);
	if (child == NULL)
		return NULL;
	/* It can't fail: nobody writes the program of a space that is there. */
	if (space->program != NULL && file_deny_write(space->program) == 0)
		child->program = space->program;
	child->code_start = space->code_start;
	child->code_end = space->code_end;
	child->brk_start = space->brk_start;
	child->stack_top = space->stack_top;
	child->arguments = space->arguments;
	child->environment = space->environment;
	child->environment_end = space->environment_end;
	return child;
}

void space_get(struct space *space)
{
	atomic_fetch_add_explicit(&space->references, 1, memory_order_relaxed);
}

void space_put(struct space *space)
{
	/* Release, and acquire by the last: pairs with itself. */
	if (atomic_fetch_sub_explicit(&space->references, 1, memory_order_acq_rel) != 1)
		return;
	quire_mm_destroy(space->mm);
	if (space->program != NULL)
		file_allow_write(space->program);
	heap_free(space);
}
