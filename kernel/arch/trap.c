/* SPDX-License-Identifier: MIT */
/*
 * Exceptions but page faults. A program's become signals, with the codes that Linux gives; the
 * kernel's go on at a fix-up or end the machine.
 */
#include "arch/entry.h"
#include "arch/panic.h"
#include "arch/setup.h"
#include "task/signal.h"

/* Floating point errors as both units number them, and si_code. */
static const struct {
	unsigned bits;
	int code;
} float_errors[] = {
	{ 0x01, FPE_FLTINV }, { 0x04, FPE_FLTDIV }, { 0x08, FPE_FLTOVF },
	{ 0x12, FPE_FLTUND }, { 0x20, FPE_FLTRES }, /* 0x12: underflow, denormal */
};

#define DEBUG_STEP 0x4000ull /* in DR6 */
#define DR6_INITIAL 0xffff0ff0ull

/* usercopy.S; offsets from KERNEL_BASE. */
struct fixup {
	uint32_t at, to;
};
extern const struct fixup fixups_start[], fixups_end[];

static _Atomic bool stopping;

static const char *const names[32] = {
	[0] = "divide error",
	[1] = "debug",
	[2] = "non-maskable interrupt",
	[3] = "breakpoint",
	[4] = "overflow",
	[5] = "bound",
	[6] = "invalid opcode",
	[7] = "no coprocessor",
	[8] = "double fault",
	[10] = "invalid TSS",
	[11] = "segment not present",
	[12] = "stack fault",
	[13] = "general protection",
	[16] = "x87 error",
	[17] = "alignment check",
	[18] = "machine check",
	[19] = "SIMD error",
	[21] = "control protection",
};

int fixup_fault(struct registers *regs)
{
	for (const struct fixup *fixup = fixups_start; fixup < fixups_end; fixup++) {
		if (regs->rip == KERNEL_BASE + fixup->at) {
			regs->rip = KERNEL_BASE + fixup->to;
			return 1;
		}
	}
	return 0;
}

/* The program's floating point state is in the CPU: the kernel uses none. */
static int float_code(unsigned vector)
{
	unsigned errors;
	uint32_t simd;
	uint16_t control, status;

	if (vector == EXCEPTION_SIMD) {
		__asm__ volatile("stmxcsr %0" : "=m"(simd));
		errors = simd & ~(simd >> 7);
	} else {
		__asm__ volatile("fnstcw %0" : "=m"(control));
		__asm__ volatile("fnstsw %0" : "=m"(status));
		errors = (unsigned)status & ~(unsigned)control;
	}
	for (size_t i = 0; i < ARRAY_SIZE(float_errors); i++)
		if (errors & float_errors[i].bits)
			return float_errors[i].code;
	return 0;
}

static int debug_code(void)
{
	uint64_t why;

	__asm__ volatile("movq %%dr6, %0" : "=r"(why));
	__asm__ volatile("movq %0, %%dr6" ::"r"(DR6_INITIAL));
	return why & DEBUG_STEP ? TRAP_TRACE : TRAP_BRKPT;
}

/* signo, code and address; what is not named is SIGSEGV by the kernel. */
static void describe(const struct registers *regs, unsigned vector, struct signal_info *info)
{
	info->signo = SIGSEGV;
	info->code = SI_KERNEL;
	switch (vector) {
	case EXCEPTION_DIVIDE:
		info->signo = SIGFPE;
		info->code = FPE_INTDIV;
		info->address = regs->rip;
		break;
	case EXCEPTION_X87:
	case EXCEPTION_SIMD:
		info->signo = SIGFPE;
		info->code = float_code(vector);
		info->address = regs->rip;
		break;
	case EXCEPTION_DEBUG:
		info->signo = SIGTRAP;
		info->code = debug_code();
		info->address = regs->rip;
		break;
	case EXCEPTION_BREAKPOINT:
		info->signo = SIGTRAP;
		break;
	case EXCEPTION_INVALID_OPCODE:
		info->signo = SIGILL;
		info->code = ILL_ILLOPN;
		info->address = regs->rip;
		break;
	case EXCEPTION_NOT_PRESENT:
	case EXCEPTION_STACK_FAULT:
		info->signo = SIGBUS;
		break;
	case EXCEPTION_ALIGNMENT:
		info->signo = SIGBUS;
		info->code = BUS_ADRALN;
		break;
	default:
		break;
	}
}

/*
 * On stacks of their own, anywhere: no lock may be waited for. A non-maskable interrupt is that of
 * a panic on another CPU, or somebody wants to know where this one is.
 */
static _Noreturn void paranoid(const struct registers *regs, unsigned vector)
{
	while (atomic_load_explicit(&stopping, memory_order_relaxed))
		__asm__ volatile("cli; hlt");
	panic_at(regs, "%s", names[vector]);
}

void exception(struct registers *regs, unsigned vector)
{
	struct signal_info info = { .error = regs->error, .trap = vector };

	if (vector == EXCEPTION_NMI || vector == EXCEPTION_DOUBLE_FAULT ||
	    vector == EXCEPTION_MACHINE_CHECK) {
		paranoid(regs, vector);
	} else if (from_user(regs)) {
		describe(regs, vector, &info);
		signal_force(&info);
	} else if (!fixup_fault(regs)) {
		panic_at(regs, "%s, error 0x%lx",
			 names[vector] != NULL ? names[vector] : "exception", regs->error);
	}
}

void trap_stop(void)
{
	atomic_store_explicit(&stopping, true, memory_order_relaxed);
	apic_stop_others();
}
