/* SPDX-License-Identifier: MIT */
/*
 * mprotect and pkey_mprotect: publish, then sweep to the narrower rights. Rights that grow need no
 * sweep: the entries are widened by faults. As in Linux a hole ends the call with ENOMEM, and what
 * lies before the hole has changed.
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

	*sweep = narrows(vma, flags, key);
	if (flags & VMA_WRITE && !(vma->flags & VMA_WRITE) &&
	    space_may_map(mm, pages, flags, pages))
		return -QUIRE_ENOMEM;
	return space_change(mm, vma, start, end, flags, key);
}

/* => the range is locked */
static int protect_range(struct quire_mm *mm, uint64_t start, uint64_t end, struct protection *p)
{
	int error = 0;

	while (start < end && !error) {
		uint64_t stop = start;
		uint32_t key = 0;
		bool sweep = false;
		const struct vma *vma;

		space_edit_begin(mm);
		vma = tree_find(&mm->tree, start);
		if (vma) {
			stop = vma->end < end ? vma->end : end;
			key = p->key < 0 ? vma->key : (uint32_t)p->key;
			error = protect_vma(mm, vma, start, stop, p, &sweep);
		} else {
			error = -QUIRE_ENOMEM;
		}
		space_edit_end(mm);
		if (!error && sweep)
			space_narrow(mm, start, stop, p->prot, key);
		start = stop;
	}
	return error;
}

/* PROT_GROWSDOWN: from the start of the stack that the range lies in. => in a section */
static int extend_down(const struct quire_mm *mm, uint64_t *start, uint64_t end)
{
	const struct vma *vma = tree_next(&mm->tree, *start);

	if (!vma || vma->start >= end)
		return -QUIRE_ENOMEM;
	if (!(vma->flags & VMA_GROWSDOWN))
		return -QUIRE_EINVAL;
	*start = vma->start;
	return 0;
}

int quire_pkey_mprotect(struct quire_mm *mm, uint64_t address, uint64_t length, int prot, int key)
{
	const int grows = prot & (QUIRE_PROT_GROWSDOWN | QUIRE_PROT_GROWSUP);
	struct protection p = { .key = key };
	uint64_t end = address + PAGE_ALIGN(length);
	struct space_lock lock;
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
	if (key != -1 && (key < 0 || key > 15 || !PORT_HAS_KEYS || !(mm->keys & 1u << key)))
		return -QUIRE_EINVAL;
	if (grows & QUIRE_PROT_GROWSUP)
		return -QUIRE_EINVAL;
	if (grows & QUIRE_PROT_GROWSDOWN) {
		section_enter();
		error = extend_down(mm, &address, end);
		section_leave();
	}
	if (!error) {
		space_lock(&lock, mm, address, end, SPACE_EDIT);
		error = protect_range(mm, address, end, &p);
		space_unlock(&lock);
	}
	grace_poll();
	return error;
}

int quire_mprotect(struct quire_mm *mm, uint64_t address, uint64_t length, int prot)
{
	return quire_pkey_mprotect(mm, address, length, prot, -1);
}
