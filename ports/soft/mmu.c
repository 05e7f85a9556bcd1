/* SPDX-License-Identifier: MIT */
/*
 * The MMU: what hardware does on a miss in its TLB, and guest accesses on top of it.
 *
 *     translate ── hit ──► host pointer
 *         └─ miss: safepoint ──► walk ── allowed: accessed, dirty; fill ──► host pointer
 *                      ▲           └─ else ──► quire_fault ── verdict ──► NULL
 *                      └─────────────────────────── done ──┘
 *
 * A walk takes no lock and no section: it is done inside, between two answers to flushes. A table
 * that it has found hooked stays until this CPU answers the flush that follows the unhooking; an
 * entry that it has read may be replaced at any moment, and what is filled from the old one is
 * dropped by the answer (flush.c). Between the walk and the use of the pointer nothing answers.
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

static void fill(struct quire_soft_cpu *cpu, uint64_t address, pte e, uintptr_t host)
{
	struct quire_soft_tlb_entry *entry = &cpu->tlb[address / PAGE_SIZE % QUIRE_SOFT_TLB];
	uint64_t page = address & ~PAGE_MASK;
	unsigned rights = pte_rights(e), key = pte_key(e);
	bool read = (rights & RIGHT_READ) != 0 && port_key_allows(key, false);
	bool write = (rights & RIGHT_WRITE) != 0 && port_key_allows(key, true) && pte_is_dirty(e);

	entry->tag_read = read ? page : SOFT_NO_TAG;
	entry->tag_write = write ? page : SOFT_NO_TAG;
	entry->tag_exec = (rights & RIGHT_EXEC) != 0 ? page : SOFT_NO_TAG;
	entry->addend = host - (uintptr_t)page;
}

/* Keys concern data, not instruction fetches. */
static bool allowed(pte e, enum quire_access access)
{
	unsigned rights = pte_rights(e);

	switch (access) {
	case QUIRE_READ:
		return (rights & RIGHT_READ) != 0 && port_key_allows(pte_key(e), false);
	case QUIRE_WRITE:
		return (rights & RIGHT_WRITE) != 0 && port_key_allows(pte_key(e), true);
	default:
		return (rights & RIGHT_EXEC) != 0;
	}
}

/* The slot of the entry that maps the address, and its level; NULL: none does. */
static slot *find(const struct port_space *space, uint64_t address, unsigned *level)
{
	uint64_t table = space->root_pfn;

	if (address >> (PAGE_SHIFT + TABLE_BITS * space->levels) != 0)
		return NULL;
	for (unsigned l = space->levels - 1;; l--) {
		slot *s = (slot *)port_frame(table) + table_index(address, l);

		if (l == 0) {
			*level = 0;
			return s;
		}
		/* Acquire: pairs with the store that hooked the table, after it was cleared. */
		pte e = at_load_acquire(s);

		if (!pte_is_table(e)) {
			*level = l;
			return pte_is_huge(e) ? s : NULL;
		}
		table = pte_pfn(e);
	}
}

/*
 * The walk. Fills the TLB and returns the host address of the guest's; NULL: a fault, or (*nothing)
 * a device's frame where the host has no memory.
 */
static void *walk(struct quire_soft_cpu *cpu, uint64_t address, enum quire_access access,
		  bool *nothing)
{
	unsigned level;
	slot *s = find(&cpu->mm->tables.port, address, &level);

	if (s == NULL)
		return NULL;
	/* Acquire, and so a failing exchange: pairs with the store, after the page was filled. */
	pte e = at_load_acquire(s), marked;

	do {
		if (!pte_is_mapped(e) || (level > 0 && !pte_is_huge(e)) || !allowed(e, access))
			return NULL;
		marked = pte_accessed(e);
		if (access == QUIRE_WRITE)
			marked = pte_dirty(marked);
	} while (marked != e && !at_cas(s, &e, marked));

	*nothing = pte_is_special(marked) && pte_pfn(marked) >= soft_frames;
	if (*nothing)
		return NULL;
	uint64_t inner = address & (table_entry_span(level) - 1);
	unsigned char *host = (unsigned char *)port_frame(pte_pfn(marked)) + inner;

	fill(cpu, address, marked, (uintptr_t)host & ~(uintptr_t)PAGE_MASK);
	return host;
}

static void *refuse(struct quire_soft_cpu *cpu, uint64_t address, enum quire_verdict verdict)
{
	cpu->verdict = verdict;
	cpu->fault_address = address;
	return NULL;
}

void *quire_soft_translate_slow(struct quire_soft_cpu *cpu, uint64_t address,
				enum quire_access access)
{
	cpu->misses++;
	if (cpu->mm == NULL)
		return refuse(cpu, address, QUIRE_FAULT_MAPERR);
	for (;;) {
		quire_soft_safepoint(cpu);
		bool nothing = false;
		void *host = walk(cpu, address, access, &nothing);

		if (host != NULL)
			return host;
		if (nothing)
			return refuse(cpu, address, QUIRE_FAULT_BUS);
		cpu->faults++;
		enum quire_verdict verdict = quire_fault(cpu->mm, address, access);

		if (verdict != QUIRE_FAULT_DONE)
			return refuse(cpu, address, verdict);
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
