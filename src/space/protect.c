/* SPDX-License-Identifier: MIT */
/*
 * mprotect and pkey_mprotect: publish, then sweep to the narrower rights. Rights that grow need no
 * sweep: the entries are widened by faults. As in Linux a hole ends the call with ENOMEM, and what
 * lies before the hole has changed.
 *
 * Locked pages that become writable are made the space's own at once, lest a write to them has to
 * copy. That is done by faults, so outside the range's lock, VMA by VMA.
 */
#include "space/space.h"

/* Does going from one to the other take rights away from entries, or change what they carry? */
static bool narrows(const struct vma *vma, uint32_t flags, uint32_t key)
{
	return (vma_flags_rights(vma->flags) & ~vma_flags_rights(flags)) || vma->key != key;
}

struct protection {
	uint32_t prot;
	int key; /* -1: as it is */
};

/* One VMA's part of the range. => in an edit; *next is where it ends */
static int protect_vma(struct quire_mm *mm, const struct vma *vma, uint64_t start, uint64_t end,
		       struct protection *p, bool *sweep)
{
	uint32_t flags = (vma->flags & ~VMA_PROT) | p->prot;
	uint32_t key = p->key < 0 ? vma->key : (uint32_t)p->key;
	uint64_t pages = (end - start) >> PAGE_SHIFT;

	if ((p->prot & VMA_WRITE && vma->flags & VMA_NOWRITE) ||
	    (p->prot & VMA_EXEC && vma->flags & VMA_NOEXEC))
		return -QUIRE_EACCES;
	*sweep = narrows(vma, flags, key);
	if (flags & VMA_WRITE && !(vma->flags & VMA_WRITE) &&
	    !(flags & (VMA_SHARED | VMA_GROWSDOWN)) && space_may_write(mm, pages))
		return -QUIRE_ENOMEM;
	return space_change(mm, vma, start, end, flags, key);
}

static bool must_populate(const struct vma *vma, const struct protection *p)
{
	return (vma->flags & (VMA_LOCKED | VMA_ONFAULT | VMA_WRITE | VMA_SHARED)) == VMA_LOCKED &&
	       p->prot & VMA_WRITE;
}

/*
 * Up to the end, or to that of a VMA that must be populated, from *populate on.
 * => the range is locked
 */
static int protect_some(struct quire_mm *mm, uint64_t *start, uint64_t end, struct protection *p,
			uint64_t *populate)
{
	bool found = false;
	int error = 0;

	while (*start < end && !error && !found) {
		uint64_t from = *start, stop = from;
		uint32_t key = 0;
		bool sweep = false;
		const struct vma *vma;

		space_edit_begin(mm);
		vma = tree_find(&mm->tree, from);
		if (vma) {
			stop = vma->end < end ? vma->end : end;
			key = p->key < 0 ? vma->key : (uint32_t)p->key;
			found = must_populate(vma, p);
			error = protect_vma(mm, vma, from, stop, p, &sweep);
		} else {
			error = -QUIRE_ENOMEM;
		}
		space_edit_end(mm);
		if (!error && sweep)
			space_narrow(mm, from, stop, p->prot, key);
		*populate = found ? from : stop;
		*start = stop;
	}
	return error;
}

static int protect_range(struct quire_mm *mm, uint64_t start, uint64_t end, struct protection *p)
{
	uint64_t populate = start;
	struct space_lock lock;
	int error = 0;

	while (start < end && !error) {
		space_lock(&lock, mm, start, end, SPACE_EDIT);
		error = protect_some(mm, &start, end, p, &populate);
		space_unlock(&lock);
		if (!error && populate < start)
			space_populate_mapped(mm, populate, start);
	}
	return error;
}

/* PROT_GROWSDOWN: from the start of the stack that the range is in. Nothing here grows up. */
static int extend(struct quire_mm *mm, int grows, uint64_t *start, uint64_t end)
{
	bool down = grows == QUIRE_PROT_GROWSDOWN;
	const struct vma *vma;
	int error = 0;

	section_enter();
	vma = tree_next(&mm->tree, *start);
	if (!vma || vma->start >= (down ? end : *start + PAGE_SIZE))
		error = -QUIRE_ENOMEM;
	else if (!down || !(vma->flags & VMA_GROWSDOWN))
		error = -QUIRE_EINVAL;
	else
		*start = vma->start;
	section_leave();
	return error;
}

int quire_pkey_mprotect(struct quire_mm *mm, uint64_t address, uint64_t length, int prot, int key)
{
	const int grows = prot & (QUIRE_PROT_GROWSDOWN | QUIRE_PROT_GROWSUP);
	struct protection p = { .key = key };
	uint64_t end = address + PAGE_ALIGN(length);
	bool waited = false;
	int error = 0;

	prot &= ~(QUIRE_PROT_GROWSDOWN | QUIRE_PROT_GROWSUP);
	if (grows == (QUIRE_PROT_GROWSDOWN | QUIRE_PROT_GROWSUP) || address & PAGE_MASK)
		return -QUIRE_EINVAL;
	if (!length)
		return 0;
	if (end <= address)
		return -QUIRE_ENOMEM;
	if (prot & ~(int)(VMA_PROT | 0x8 /* PROT_SEM: no effect */))
		return -QUIRE_EINVAL;
	p.prot = (uint32_t)prot & VMA_PROT;
	if (key != -1 &&
	    (key < 0 || key > 15 || !PORT_HAS_KEYS || !(at_load(&mm->keys) & 1u << key)))
		return -QUIRE_EINVAL;
	if (grows)
		error = extend(mm, grows, &address, end);
	if (error)
		return error;
	do
		error = protect_range(mm, address, end, &p);
	while (space_again(error, &waited));
	return error;
}

int quire_mprotect(struct quire_mm *mm, uint64_t address, uint64_t length, int prot)
{
	return quire_pkey_mprotect(mm, address, length, prot, -1);
}
