/* SPDX-License-Identifier: MIT */
/*
 * Stack growth: a fault just below a VMA with VMA_GROWSDOWN extends it. Only the classic path comes
 * here (H12): with VMAs immutable the growth is an edit like any other, under the range between the
 * page and the stack.
 */
#include "space/space.h"

/* May the stack grow down to `address`? => in an edit */
static int check(struct quire_mm *mm, const struct vma *stack, uint64_t address)
{
	const struct vma *below = tree_prev(&mm->tree, stack->start);
	uint64_t pages = (stack->start - address) >> PAGE_SHIFT;

	if (address < mm->start || stack->end - address > mm->limits.stack)
		return -QUIRE_EFAULT;
	if (below && !(below->flags & VMA_GROWSDOWN) && below->flags & VMA_PROT &&
	    below->end + mm->stack_gap > address)
		return -QUIRE_EFAULT;
	if (space_may_map(mm, pages, stack->flags, 0) ||
	    (stack->flags & VMA_LOCKED && !space_may_lock(mm, pages)))
		return -QUIRE_EFAULT;
	return 0;
}

/* The stack that would have to grow for the address; NULL: none. => in an edit */
static const struct vma *stack_above(const struct quire_mm *mm, uint64_t address)
{
	const struct vma *stack = tree_next(&mm->tree, address);

	return stack && stack->flags & VMA_GROWSDOWN && stack->start > address ? stack : NULL;
}

/* => [address, top) and the first page of the stack are locked */
static int grow(struct quire_mm *mm, uint64_t address, uint64_t top)
{
	struct vma_attributes as;
	const struct vma *stack;
	int error = 0;

	space_edit_begin(mm);
	stack = stack_above(mm, address);
	/* Somebody else has been here: let the fault look again. */
	if (stack && stack->start == top) {
		error = check(mm, stack, address);
		as = vma_attributes(stack);
		if (!error)
			error = space_replace(mm, address, top, &as);
		if (!error)
			trace_count(&mm_trace(mm)->counters[QUIRE_GROWTHS]);
	}
	space_edit_end(mm);
	return error;
}

int space_grow_stack(struct quire_mm *mm, uint64_t address)
{
	const struct vma *stack;
	struct space_lock lock;
	uint64_t top = 0;
	int error;

	space_edit_begin(mm);
	stack = stack_above(mm, address);
	if (stack)
		top = stack->start;
	space_edit_end(mm);
	if (!stack)
		return 0; /* the layout has changed since the fault looked: again */
	/* With its first page, so that a stack that is still pending is waited for. */
	space_lock(&lock, mm, address, top + PAGE_SIZE, SPACE_EDIT);
	error = grow(mm, address, top);
	space_unlock(&lock);
	grace_poll();
	return error;
}
