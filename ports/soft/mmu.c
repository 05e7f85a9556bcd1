/* SPDX-License-Identifier: MIT */
/*
 * The MMU: what hardware does on a miss in its TLB, and guest accesses on top of it.
 *
 *     translate ── hit ──► host pointer
 *         └─ miss: safepoint ──► walk ── allowed: accessed, dirty; fill ──► host pointer
 *                                ▲ └─ else ──► quire_fault ── verdict ──► NULL
 *                                └────────────────── done ──┘
 *
 * A walk takes no lock and no section: it is done inside, between two answers to flushes. A table
 * that it has found hooked stays until this CPU answers the flush that follows the unhooking; an
 * entry that it has read may be replaced at any moment, and what is filled from the old one is
 * dropped by the answer (flush.c). Between the walk and the use of the pointer nothing answers.
 *
 * As in hardware a page-walk cache makes most walks one step: it has the leaf of the last walk from
 * the root, until this CPU answers a flush for unhooked tables or runs another space. A leaf that
 * was unhooked, but not flushed yet, is empty: the fault goes to the leaf that is hooked in its
 * place, and after the next one the walk begins at the root.
 *
 * As in hardware the slot gets a tag for writing only if the entry is dirty already, so that the
 * first write through a clean entry walks and marks it.
 */
#include "soft.h"
#include "space/mm.h"

/* Guest memory is bytes to the host's compiler, whatever it was stored as. */
typedef uint16_t guest16 __attribute__((may_alias));
typedef uint32_t guest32 __attribute__((may_alias));
typedef uint64_t guest64 __attribute__((may_alias));

/* What the entry allows on this CPU. Keys concern data, not instruction fetches. */
static unsigned rights_here(pte e)
{
	unsigned rights = pte_rights(e);

	if (!port_key_allows(pte_key(e), true))
		rights &= port_key_allows(pte_key(e), false) ? ~RIGHT_WRITE : RIGHT_EXEC;
	return rights;
}

/* The tag of a right: the page's address, or one that is no page's. */
static uint64_t tag(uint64_t page, unsigned rights, unsigned right)
{
	return rights & right ? page : page | SOFT_NO_TAG;
}

static void fill(struct soft_cpu *cpu, uint64_t address, unsigned rights, uintptr_t host)
{
	uint64_t page = address & ~PAGE_MASK;
	struct quire_soft_tlb_entry *entry = &cpu->public.tlb[page / PAGE_SIZE % QUIRE_SOFT_TLB];

	entry->tag_read = tag(page, rights, RIGHT_READ);
	entry->tag_write = tag(page, rights, RIGHT_WRITE);
	entry->tag_exec = tag(page, rights, RIGHT_EXEC);
	entry->addend = host - (uintptr_t)address;
}

/*
 * Walk from the root: the slot of the entry that maps the address; NULL: none does. *span is what
 * an entry there maps. A leaf is remembered.
 */
static __attribute__((noinline)) slot *find(struct soft_cpu *cpu, uint64_t address, uint64_t *span)
{
	const struct port_space *space = cpu->space;
	uint64_t table = space->root_pfn;
	slot *s;

	if (address >> (PAGE_SHIFT + TABLE_BITS * space->levels) != 0)
		return NULL;
	for (unsigned level = space->levels - 1; level > 0; level--) {
		s = (slot *)port_frame(table) + table_index(address, level);
		/* Acquire: pairs with the store that hooked the table, after it was cleared. */
		pte e = at_load_acquire(s);

		if (!pte_is_table(e)) {
			*span = table_entry_span(level);
			return pte_is_huge(e) ? s : NULL;
		}
		table = pte_pfn(e);
	}
	cpu->leaf_of = address / SOFT_LEAF_SPAN;
	cpu->leaf = port_frame(table);
	return cpu->leaf + table_index(address, 0);
}

/*
 * The walk. Fills the TLB and returns the host address of the guest's; NULL: a fault, or (*nothing)
 * a device's frame where the host has no memory.
 */
static ALWAYS_INLINE void *walk(struct soft_cpu *cpu, uint64_t address, enum quire_access access,
				bool *nothing)
{
	static const unsigned needs[] = {
		[QUIRE_READ] = RIGHT_READ,
		[QUIRE_WRITE] = RIGHT_WRITE,
		[QUIRE_EXEC] = RIGHT_EXEC,
	};
	uint64_t span = PAGE_SIZE;
	unsigned rights;
	slot *s;

	if (likely(cpu->leaf_of == address / SOFT_LEAF_SPAN))
		s = cpu->leaf + table_index(address, 0);
	else
		s = find(cpu, address, &span);
	if (s == NULL)
		return NULL;
	/* Acquire, and so a failing exchange: pairs with the store, after the page was filled. */
	pte e = at_load_acquire(s), marked;

	do {
		if (!pte_is_mapped(e) || (span > PAGE_SIZE && !pte_is_huge(e)))
			return NULL;
		rights = rights_here(e);
		if (!(rights & needs[access]))
			return NULL;
		marked = pte_accessed(e);
		if (access == QUIRE_WRITE)
			marked = pte_dirty(marked);
	} while (marked != e && !at_cas(s, &e, marked));

	*nothing = pte_is_special(marked) && pte_pfn(marked) >= soft_frames;
	if (*nothing)
		return NULL;
	unsigned char *host = (unsigned char *)port_frame(pte_pfn(marked)) + (address & (span - 1));

	fill(cpu, address, pte_is_dirty(marked) ? rights : rights & ~RIGHT_WRITE, (uintptr_t)host);
	return host;
}

static void *refuse(struct quire_soft_cpu *cpu, uint64_t address, enum quire_verdict verdict)
{
	cpu->verdict = verdict;
	cpu->fault_address = address;
	return NULL;
}

void *quire_soft_translate_slow(struct quire_soft_cpu *public, uint64_t address,
				enum quire_access access)
{
	struct soft_cpu *cpu = container_of(public, struct soft_cpu, public);

	public->misses++;
	if (public->mm == NULL)
		return refuse(public, address, QUIRE_FAULT_MAPERR);
	quire_soft_safepoint(public);
	for (unsigned faults = 0;; faults++) {
		bool nothing = false;

		/* The leaf may be one that is unhooked already, and not flushed. */
		if (unlikely(faults > 1))
			soft_forget_leaf(cpu);
		void *host = walk(cpu, address, access, &nothing);

		if (likely(host != NULL))
			return host;
		if (unlikely(nothing))
			return refuse(public, address, QUIRE_FAULT_BUS);
		public->faults++;
		/* A safepoint, too: the ends of its sections. */
		enum quire_verdict verdict = quire_fault(public->mm, address, access);

		if (unlikely(verdict != QUIRE_FAULT_DONE))
			return refuse(public, address, verdict);
	}
}

void quire_soft_safepoint_slow(struct quire_soft_cpu *cpu)
{
	(void)cpu;
	soft_answer();
}

/* An access that is not naturally aligned could reach into whatever frame comes next. */
static void check(uint64_t address, unsigned size)
{
	require((size == 1 || size == 2 || size == 4 || size == 8) && (address & (size - 1)) == 0);
}

bool quire_soft_load(struct quire_soft_cpu *cpu, uint64_t address, unsigned size, uint64_t *value)
{
	check(address, size);
	const void *p = quire_soft_translate(cpu, address, QUIRE_READ);

	if (p == NULL)
		return false;
	switch (size) {
	case 1:
		*value = __atomic_load_n((const unsigned char *)p, __ATOMIC_RELAXED);
		break;
	case 2:
		*value = __atomic_load_n((const guest16 *)p, __ATOMIC_RELAXED);
		break;
	case 4:
		*value = __atomic_load_n((const guest32 *)p, __ATOMIC_RELAXED);
		break;
	default:
		*value = __atomic_load_n((const guest64 *)p, __ATOMIC_RELAXED);
	}
	return true;
}

bool quire_soft_store(struct quire_soft_cpu *cpu, uint64_t address, unsigned size, uint64_t value)
{
	check(address, size);
	void *p = quire_soft_translate(cpu, address, QUIRE_WRITE);

	if (p == NULL)
		return false;
	switch (size) {
	case 1:
		__atomic_store_n((unsigned char *)p, (unsigned char)value, __ATOMIC_RELAXED);
		break;
	case 2:
		__atomic_store_n((guest16 *)p, (uint16_t)value, __ATOMIC_RELAXED);
		break;
	case 4:
		__atomic_store_n((guest32 *)p, (uint32_t)value, __ATOMIC_RELAXED);
		break;
	default:
		__atomic_store_n((guest64 *)p, value, __ATOMIC_RELAXED);
	}
	return true;
}

static uint32_t rmw32(guest32 *p, enum quire_soft_rmw op, uint32_t operand)
{
	switch (op) {
	case QUIRE_SOFT_XCHG:
		return __atomic_exchange_n(p, operand, __ATOMIC_SEQ_CST);
	case QUIRE_SOFT_ADD:
		return __atomic_fetch_add(p, operand, __ATOMIC_SEQ_CST);
	case QUIRE_SOFT_AND:
		return __atomic_fetch_and(p, operand, __ATOMIC_SEQ_CST);
	case QUIRE_SOFT_OR:
		return __atomic_fetch_or(p, operand, __ATOMIC_SEQ_CST);
	default:
		return __atomic_fetch_xor(p, operand, __ATOMIC_SEQ_CST);
	}
}

static uint64_t rmw64(guest64 *p, enum quire_soft_rmw op, uint64_t operand)
{
	switch (op) {
	case QUIRE_SOFT_XCHG:
		return __atomic_exchange_n(p, operand, __ATOMIC_SEQ_CST);
	case QUIRE_SOFT_ADD:
		return __atomic_fetch_add(p, operand, __ATOMIC_SEQ_CST);
	case QUIRE_SOFT_AND:
		return __atomic_fetch_and(p, operand, __ATOMIC_SEQ_CST);
	case QUIRE_SOFT_OR:
		return __atomic_fetch_or(p, operand, __ATOMIC_SEQ_CST);
	default:
		return __atomic_fetch_xor(p, operand, __ATOMIC_SEQ_CST);
	}
}

bool quire_soft_rmw(struct quire_soft_cpu *cpu, uint64_t address, unsigned size,
		    enum quire_soft_rmw op, uint64_t *value)
{
	check(address, size);
	require(size >= 4);
	void *p = quire_soft_translate(cpu, address, QUIRE_WRITE);

	if (p == NULL)
		return false;
	*value = size == 4 ? rmw32(p, op, (uint32_t)*value) : rmw64(p, op, *value);
	return true;
}

bool quire_soft_cas(struct quire_soft_cpu *cpu, uint64_t address, unsigned size, uint64_t *expected,
		    uint64_t desired, bool *swapped)
{
	check(address, size);
	require(size >= 4);
	void *p = quire_soft_translate(cpu, address, QUIRE_WRITE);

	if (p == NULL)
		return false;
	if (size == 4) {
		uint32_t seen = (uint32_t)*expected;

		*swapped = __atomic_compare_exchange_n((guest32 *)p, &seen, (uint32_t)desired,
						       false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
		*expected = seen;
	} else {
		*swapped = __atomic_compare_exchange_n((guest64 *)p, expected, desired, false,
						       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
	return true;
}

/* Blocks are copied by relaxed accesses: other CPUs may be at the same bytes. */
static void copy_out(unsigned char *to, const unsigned char *guest, size_t size)
{
	while (size > 0) {
		if (size >= 8 && ((uintptr_t)guest & 7) == 0) {
			uint64_t word = __atomic_load_n((const guest64 *)guest, __ATOMIC_RELAXED);

			memcpy(to, &word, 8);
			to += 8, guest += 8, size -= 8;
		} else {
			*to++ = __atomic_load_n(guest++, __ATOMIC_RELAXED);
			size--;
		}
	}
}

static void copy_in(unsigned char *guest, const unsigned char *from, size_t size)
{
	while (size > 0) {
		if (size >= 8 && ((uintptr_t)guest & 7) == 0) {
			uint64_t word;

			memcpy(&word, from, 8);
			__atomic_store_n((guest64 *)guest, word, __ATOMIC_RELAXED);
			guest += 8, from += 8, size -= 8;
		} else {
			__atomic_store_n(guest++, *from++, __ATOMIC_RELAXED);
			size--;
		}
	}
}

/* The part of a block that lies in the page of its first byte. */
static size_t in_page(uint64_t address, size_t size)
{
	size_t left = (size_t)(PAGE_SIZE - (address & PAGE_MASK));

	return size < left ? size : left;
}

size_t quire_soft_read(struct quire_soft_cpu *cpu, uint64_t address, void *buffer, size_t size)
{
	size_t done = 0;

	while (done < size) {
		size_t part = in_page(address + done, size - done);
		const void *p = quire_soft_translate(cpu, address + done, QUIRE_READ);

		if (p == NULL)
			break;
		copy_out((unsigned char *)buffer + done, p, part);
		done += part;
	}
	return done;
}

size_t quire_soft_write(struct quire_soft_cpu *cpu, uint64_t address, const void *buffer,
			size_t size)
{
	size_t done = 0;

	while (done < size) {
		size_t part = in_page(address + done, size - done);
		void *p = quire_soft_translate(cpu, address + done, QUIRE_WRITE);

		if (p == NULL)
			break;
		copy_in(p, (const unsigned char *)buffer + done, part);
		done += part;
	}
	return done;
}
