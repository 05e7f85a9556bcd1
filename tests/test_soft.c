/* SPDX-License-Identifier: MIT */
/*
 * The soft port by itself: entries, waiting, walks of tables built by hand, flushes. No address
 * space of the core's is involved. Flushes against running CPUs: test_shootdown.c; with the core:
 * test_soft_space.c.
 */
#include "soft_by_hand.h"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static bool hit(struct quire_soft_cpu *cpu, uint64_t address, enum quire_access access)
{
	struct quire_soft_tlb_entry *e = &cpu->tlb[address / PAGE_SIZE % QUIRE_SOFT_TLB];
	uint64_t tag = access == QUIRE_READ    ? e->tag_read
		       : access == QUIRE_WRITE ? e->tag_write
					       : e->tag_exec;

	return tag == (address & ~PAGE_MASK);
}

static void entries(void **state)
{
	static const uint64_t pfns[] = { 0, 1, 0x12345, (1ull << 40) - 1 };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		for (unsigned rights = 0; rights < 8; rights++) {
			for (unsigned key = 0; key < 16; key++) {
				pte e = pte_make(pfns[i], rights, key);
				pte m = pte_dirty(pte_accessed(e));

				assert_true(pte_is_mapped(e) && !pte_is_table(e) &&
					    !pte_is_busy(e));
				assert_false(pte_is_huge(e) || pte_is_accessed(e) ||
					     pte_is_dirty(e));
				assert_true(pte_is_accessed(m) && pte_is_dirty(m));
				assert_int_equal(pte_pfn(m), pfns[i]);
				assert_int_equal(pte_rights(m), rights);
				assert_int_equal(pte_key(m), key);
			}
		}
		assert_true(pte_is_table(pte_table(pfns[i])) && !pte_is_mapped(pte_table(pfns[i])));
		assert_int_equal(pte_pfn(pte_table(pfns[i])), pfns[i]);
		assert_true(pte_is_busy(pte_busy(pfns[i])) && !pte_is_mapped(pte_busy(pfns[i])));
		assert_false(pte_is_table(pte_busy(pfns[i])));
	}
	assert_true(pte_busy(1) != pte_busy(2));
	assert_false(pte_is_mapped(PTE_NONE) || pte_is_table(PTE_NONE) || pte_is_busy(PTE_NONE));
}

static void frames(void **state)
{
	(void)state;
	assert_int_equal(port_frame_number(port_frame(77)), 77);
	assert_int_equal(port_frame_number((char *)port_frame(77) + 4095), 77);
	memset(port_frame(9), 0xaa, PAGE_SIZE);
	port_copy_page(port_frame(8), port_frame(9));
	port_clear_page(port_frame(9));
	assert_int_equal(*(unsigned char *)port_frame(9), 0);
	assert_int_equal(((unsigned char *)port_frame(8))[4095], 0xaa);
}

/* Accessed and dirty are set as hardware does, and a clean entry gives no tag for writing. */
static void walk_marks(void **state)
{
	(void)state;
	for (unsigned levels = 4; levels <= 5; levels++) {
		build(levels);
		at_store(leaf(0), pte_make(100, RIGHT_READ | RIGHT_WRITE, 0));
		struct quire_soft_cpu *cpu = begin(1);
		unsigned char *p = quire_soft_translate(cpu, VA + 5, QUIRE_READ);

		assert_ptr_equal(p, (unsigned char *)port_frame(100) + 5);
		assert_true(pte_is_accessed(at_load(leaf(0))) && !pte_is_dirty(at_load(leaf(0))));
		assert_true(hit(cpu, VA, QUIRE_READ));
		assert_false(hit(cpu, VA, QUIRE_WRITE) || hit(cpu, VA, QUIRE_EXEC));
		uint64_t misses = cpu->misses;

		assert_ptr_equal(quire_soft_translate(cpu, VA + 4095, QUIRE_READ), p + 4090);
		assert_int_equal(cpu->misses, misses);
		assert_ptr_equal(quire_soft_translate(cpu, VA + 5, QUIRE_WRITE), p);
		assert_int_equal(cpu->misses, misses + 1);
		assert_true(pte_is_dirty(at_load(leaf(0))));
		assert_true(hit(cpu, VA, QUIRE_READ) && hit(cpu, VA, QUIRE_WRITE));
		finish();
	}
}

static void walk_huge(void **state)
{
	(void)state;
	build(4);
	at_store(slot_at(2, VA, 2), pte_make(512, RIGHT_READ, 0) | SOFT_HUGE);
	/* A huge entry at level 2 maps 1 GiB; the arena holds the part that is touched. */
	uint64_t low = VA & ~(table_entry_span(2) - 1);
	struct quire_soft_cpu *cpu = begin(0);

	assert_ptr_equal(quire_soft_translate(cpu, low + 0x301234, QUIRE_READ),
			 (char *)port_frame(512) + 0x301234);
	assert_ptr_equal(quire_soft_translate(cpu, low + 0x300004, QUIRE_READ),
			 (char *)port_frame(512) + 0x300004);
	at_store(slot_at(2, VA, 2), pte_table(3));
	at_store(slot_at(3, VA, 1), pte_make(1024, RIGHT_EXEC, 0) | SOFT_HUGE);
	port_flush(space, low, low + table_entry_span(2), true);
	low = VA & ~(table_entry_span(1) - 1);
	assert_ptr_equal(quire_soft_translate(cpu, low + 0x1fffff, QUIRE_EXEC),
			 (char *)port_frame(1024) + 0x1fffff);
	finish();
}

/* Keys as PKRU has them: they concern data, and a read may be left where a write is not. */
static void keys(void **state)
{
	(void)state;
	build(4);
	at_store(leaf(0), pte_dirty(pte_make(100, RIGHT_READ | RIGHT_WRITE | RIGHT_EXEC, 3)));
	struct quire_soft_cpu *cpu = begin(0);

	quire_soft_keys(cpu, 2u << 6);
	assert_true(port_key_allows(3, false) && !port_key_allows(3, true));
	assert_true(port_key_allows(2, true) && port_key_allows(4, true));
	assert_non_null(quire_soft_translate(cpu, VA, QUIRE_READ));
	assert_true(hit(cpu, VA, QUIRE_READ) && !hit(cpu, VA, QUIRE_WRITE));
	quire_soft_keys(cpu, 1u << 6);
	assert_false(hit(cpu, VA, QUIRE_READ));
	assert_false(port_key_allows(3, false) || port_key_allows(3, true));
	assert_non_null(quire_soft_translate(cpu, VA, QUIRE_EXEC));
	assert_false(hit(cpu, VA, QUIRE_READ) || hit(cpu, VA, QUIRE_WRITE));
	quire_soft_keys(cpu, 0);
	assert_non_null(quire_soft_translate(cpu, VA, QUIRE_WRITE));
	finish();
	assert_true(port_key_allows(3, true));
}

static void accesses(void **state)
{
	uint64_t v;
	bool swapped;
	unsigned char block[16] = "0123456789abcde";

	(void)state;
	build(4);
	at_store(leaf(0), pte_make(100, RIGHT_READ | RIGHT_WRITE, 0));
	at_store(leaf(1), pte_make(300, RIGHT_READ | RIGHT_WRITE, 0));
	memset(port_frame(100), 0, PAGE_SIZE);
	struct quire_soft_cpu *cpu = begin(0);

	for (unsigned size = 1; size <= 8; size *= 2) {
		uint64_t all = size == 8 ? UINT64_MAX : (1ull << 8 * size) - 1;

		assert_true(quire_soft_store(cpu, VA + 16, size, 0x1122334455667788ull));
		assert_true(quire_soft_load(cpu, VA + 16, size, &v));
		assert_int_equal(v, 0x1122334455667788ull & all);
		assert_true(quire_soft_load(cpu, VA + 16 + size, size, &v));
		assert_int_equal(v, 0);
	}
	for (unsigned size = 4; size <= 8; size += 4) {
		static const uint64_t after[] = { 12, 17, 1, 7, 2 };
		static const uint64_t operand[] = { 12, 5, 3, 6, 5 };

		assert_true(quire_soft_store(cpu, VA + 64, size, 9));
		for (unsigned op = QUIRE_SOFT_XCHG; op <= QUIRE_SOFT_XOR; op++) {
			v = operand[op];
			assert_true(quire_soft_rmw(cpu, VA + 64, size, op, &v));
			assert_int_equal(v, op == 0 ? 9 : after[op - 1]);
			assert_true(quire_soft_load(cpu, VA + 64, size, &v));
			assert_int_equal(v, after[op]);
		}
		v = 3;
		assert_true(quire_soft_cas(cpu, VA + 64, size, &v, 8, &swapped));
		assert_true(!swapped && v == 2);
		assert_true(quire_soft_cas(cpu, VA + 64, size, &v, 8, &swapped));
		assert_true(swapped && v == 2);
		assert_true(quire_soft_load(cpu, VA + 64, size, &v));
		assert_int_equal(v, 8);
	}
	/* A block over the boundary of two pages whose frames are not neighbours, at an odd
	 * address. */
	char back[16] = "";

	assert_int_equal(quire_soft_write(cpu, VA + 4091, block, 16), 16);
	assert_memory_equal((char *)port_frame(100) + 4091, block, 5);
	assert_memory_equal(port_frame(300), block + 5, 11);
	assert_int_equal(quire_soft_read(cpu, VA + 4091, back, 16), 16);
	assert_memory_equal(back, block, 16);
	finish();
}

/* A flush drops what it names and, while it is small, nothing else. */
static void flush_own(void **state)
{
	(void)state;
	build(4);
	for (unsigned i = 0; i < 64; i++)
		at_store(leaf(i), pte_make(100 + i, RIGHT_READ, 0));
	struct quire_soft_cpu *cpu = begin(2);

	for (unsigned i = 0; i < 64; i++)
		quire_soft_translate(cpu, VA + i * PAGE_SIZE, QUIRE_READ);
	port_flush(space, VA + 3 * PAGE_SIZE, VA + 5 * PAGE_SIZE, false);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(hit(cpu, VA + i * PAGE_SIZE, QUIRE_READ), i != 3 && i != 4);
	port_flush(space, VA + 0x1000000, VA + 0x2000000, false);
	for (unsigned i = 0; i < 64; i++)
		assert_false(hit(cpu, VA + i * PAGE_SIZE, QUIRE_READ));
	finish();
}

/* What waits in a mailbox is dropped when the CPU comes in, however much it is; the flusher did not
 * wait for it. */
static void flush_outside(void **state)
{
	(void)state;
	for (unsigned requests = 1; requests <= SOFT_RANGES + 2; requests++) {
		build(4);
		for (unsigned i = 0; i < 16; i++)
			at_store(leaf(i), pte_make(100 + i, RIGHT_READ, 0));
		struct quire_soft_cpu *cpu = begin(3);

		for (unsigned i = 0; i < 16; i++)
			quire_soft_translate(cpu, VA + i * PAGE_SIZE, QUIRE_READ);
		soft_go_out(soft_self);
		soft_abandon();
		for (unsigned i = 0; i < requests; i++)
			port_flush(space, VA + i * PAGE_SIZE, VA + (i + 1) * PAGE_SIZE, false);
		assert_int_equal(at_load(&cpu->request), 1);
		soft_self = &soft_cpus[3];
		soft_cpu_index = 3;
		soft_come_in(soft_self);
		assert_int_equal(at_load(&cpu->request), 0);
		for (unsigned i = 0; i < 16; i++)
			assert_int_equal(hit(cpu, VA + i * PAGE_SIZE, QUIRE_READ),
					 i >= requests && requests <= SOFT_RANGES);
		finish();
	}
}

/* A CPU is in the set of the space that it runs, and bothered for no other. */
static void spaces(void **state)
{
	struct port_space other;

	(void)state;
	build(4);
	assert_int_equal(port_space_init(&other, 0, 3), -QUIRE_EINVAL);
	assert_int_equal(port_space_init(&other, 0, 6), -QUIRE_EINVAL);
	assert_int_equal(port_space_init(&other, 0, 5), 0);
	begin(3);
	assert_int_equal(at_load(&space->cpus[0]), 8);
	soft_run(soft_self, &other);
	assert_int_equal(at_load(&space->cpus[0]), 0);
	assert_int_equal(at_load(&other.cpus[0]), 8);
	soft_go_out(soft_self);
	soft_abandon();
	port_flush(space, VA, VA + PAGE_SIZE, true);
	assert_int_equal(at_load(&soft_cpus[3].public.request), 0);
	port_space_exit(space);
	begin(3);
	finish();
}

static void panics(void **state)
{
	int status = 0, pipes[2];
	char text[200] = "";

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	pid_t child = fork();

	if (child == 0) {
		dup2(pipes[1], 2);
		signal(SIGABRT, SIG_DFL);
		port_panic("here.c", 12, "what is wrong");
	}
	waitpid(child, &status, 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_true(read(pipes[0], text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "quire: here.c:12: what is wrong\n");
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries),    cmocka_unit_test(frames),
		cmocka_unit_test(walk_marks), cmocka_unit_test(walk_huge),
		cmocka_unit_test(keys),	      cmocka_unit_test(accesses),
		cmocka_unit_test(flush_own),  cmocka_unit_test(flush_outside),
		cmocka_unit_test(spaces),     cmocka_unit_test(panics),
	};

	return cmocka_run_group_tests_name("soft", tests, setup, teardown);
}
