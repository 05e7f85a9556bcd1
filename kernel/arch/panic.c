/* SPDX-License-Identifier: MIT */
#include "arch/panic.h"

#include "arch/console.h"
#include "arch/setup.h"
#include "task/task.h"

#include <quire/stats.h>

#define MAX_DEPTH 32
#define STATUS_PANIC 255

/* symbols.S, made by scripts/kernel-symbols: ascending offsets from KERNEL_BASE, and the names. */
struct symbol {
	uint32_t at, name;
};
extern const struct symbol symbols[] __attribute__((weak));
extern const uint32_t symbols_count __attribute__((weak));
extern const char symbols_names[] __attribute__((weak));

extern const uint8_t image_start[], image_text_end[];

/* The CPU that panics, plus one. */
static _Atomic unsigned panicking;

const char *symbol_find(uint64_t address, uint64_t *offset)
{
	uint32_t low = 0, high = &symbols_count != NULL ? symbols_count : 0;

	*offset = 0;
	if (address < (uint64_t)image_start || address >= (uint64_t)image_text_end)
		return "?";
	/* The last one that does not begin behind the address. */
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (KERNEL_BASE + symbols[middle].at <= address)
			low = middle;
		else
			high = middle;
	}
	if (low == high || KERNEL_BASE + symbols[low].at > address)
		return "?";
	*offset = address - KERNEL_BASE - symbols[low].at;
	return symbols_names + symbols[low].name;
}

/* `back`: how far before the address to look, 1 for a return address: the call may be the last
 * thing in its function. */
static void print_address(uint64_t address, uint64_t back)
{
	uint64_t offset;
	const char *name = symbol_find(address - back, &offset);

	print("  0x%016lx %s+0x%lx\n", address, name, offset + back);
}

static void print_registers(const struct registers *r)
{
	uint64_t cr2, cr3;

	__asm__ volatile("movq %%cr2, %0" : "=r"(cr2));
	__asm__ volatile("movq %%cr3, %0" : "=r"(cr3));
	print("rip %016lx rsp %016lx flags %lx cs %lx ss %lx error %lx\n", r->rip, r->rsp,
	      r->rflags, r->cs, r->ss, r->error);
	print("rax %016lx rbx %016lx rcx %016lx rdx %016lx\n", r->rax, r->rbx, r->rcx, r->rdx);
	print("rsi %016lx rdi %016lx rbp %016lx r8  %016lx\n", r->rsi, r->rdi, r->rbp, r->r8);
	print("r9  %016lx r10 %016lx r11 %016lx r12 %016lx\n", r->r9, r->r10, r->r11, r->r12);
	print("r13 %016lx r14 %016lx r15 %016lx cr2 %016lx\n", r->r13, r->r14, r->r15, cr2);
	print("cr3 %016lx gs  %016lx fs  %016lx\n", cr3, (uint64_t)this_cpu(), cpu_get_fs());
}

/* By frame pointers, as long as they go up within one kernel stack, which is aligned to its size.
 */
static void print_trace(uint64_t frame)
{
	for (int depth = 0; depth < MAX_DEPTH && frame >= DIRECT_MAP && frame % 8 == 0; depth++) {
		const uint64_t *at = (const uint64_t *)frame;

		if (frame % STACK_SIZE > STACK_SIZE - 16 || at[1] == 0)
			break;
		print_address(at[1], 1);
		if (at[0] <= frame || at[0] / STACK_SIZE != frame / STACK_SIZE)
			break;
		frame = at[0];
	}
}

static void print_counters(void)
{
	struct quire_stats stats;

	if (!quire_runs)
		return;
	quire_stats(NULL, &stats);
	for (unsigned p = 0; p < QUIRE_PATH_COUNT; p++)
		for (unsigned k = 0; k < QUIRE_KIND_COUNT; k++)
			if (stats.faults[p][k] != 0)
				print("%s/%s %lu ", quire_path_name(p), quire_kind_name(k),
				      stats.faults[p][k]);
	for (unsigned i = 0; i < QUIRE_COUNTER_COUNT; i++)
		if (stats.counters[i] != 0)
			print("%s %lu ", quire_counter_name(i), stats.counters[i]);
	print("vmas %lu anonymous %lu object_pages %lu tables %lu\n", stats.vmas, stats.anonymous,
	      stats.object_pages, stats.tables);
}

/* One CPU gets on; a second one stops; a panic in a panic ends at once. */
static void begin(void)
{
	unsigned me = this_cpu()->index + 1, none = 0;

	irq_disable();
	if (!atomic_compare_exchange_strong_explicit(&panicking, &none, me, memory_order_relaxed,
						     memory_order_relaxed)) {
		while (none != me)
			__asm__ volatile("cli; hlt");
		print("\npanic: again, while it was reported\n");
		machine_exit(STATUS_PANIC);
	}
	console_last_words();
	trap_stop();
}

static _Noreturn void end(uint64_t frame)
{
	print("trace:\n");
	print_trace(frame);
	print_counters();
	report("panic\n");
	machine_exit(STATUS_PANIC);
}

static void say(const char *string, va_list arguments)
{
	char text[512];

	vformat(text, sizeof(text), string, arguments);
	print("\npanic on CPU %u: %s\n", this_cpu()->index, text);
}

_Noreturn void panic(const char *string, ...)
{
	va_list arguments;

	begin();
	va_start(arguments, string);
	say(string, arguments);
	va_end(arguments);
	end((uint64_t)__builtin_frame_address(0));
}

_Noreturn void panic_at(const struct registers *regs, const char *string, ...)
{
	va_list arguments;

	begin();
	va_start(arguments, string);
	say(string, arguments);
	va_end(arguments);
	print_registers(regs);
	print_address(regs->rip, 0);
	end(regs->rbp);
}

_Noreturn void quire_x86_panic(const char *file, int line, const char *what)
{
	panic("%s:%d: %s", file, line, what);
}
