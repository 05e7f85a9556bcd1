/* SPDX-License-Identifier: MIT */
/*
 * Exceptions and the ways in and out of the kernel: each exception's signal, code and address; what
 * a system call, a fault, an interrupt and a signal's return leave of registers, flags and bases.
 */
#include <asm/prctl.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>

#include "tap.h"

#define FLAG_TRAP 0x100ul
#define FLAG_DIRECTION 0x400ul
#define FLAG_ALIGN 0x40000ul
#define NOT_CANONICAL 0x0800000000000000ul /* with five levels, too */
#define KERNEL_ADDRESS 0xffff800000000000ul
#define HWCAP2_FSGSBASE 2ul

static volatile siginfo_t last;
static volatile int taken;
static volatile unsigned long skip_bytes, last_rip;

/* Notes the signal and goes on behind the instruction; single steps end here. */
static void note(int signal, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

	(void)signal;
	memcpy((void *)&last, info, sizeof(last));
	last_rip = (unsigned long)regs[REG_RIP];
	taken++;
	regs[REG_RIP] += (greg_t)skip_bytes;
	regs[REG_EFL] &= ~(greg_t)(FLAG_TRAP | FLAG_ALIGN);
}

static void on(int signal, void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };

	need(sigaction(signal, &action, NULL) == 0);
}

/* `code` faults at its first instruction, which has so many bytes. */
#define faulting(bytes, code, ...)                                                                 \
	({                                                                                         \
		taken = 0;                                                                         \
		skip_bytes = (bytes);                                                              \
		__asm__ volatile(code ::__VA_ARGS__ : "memory", "cc");                             \
		taken;                                                                             \
	})

static bool was(int signal, int code, bool at_instruction)
{
	bool right = last.si_signo == signal && last.si_code == code;
	unsigned long address = (unsigned long)last.si_addr;

	if (!right || address != (at_instruction ? last_rip : 0))
		printf("# signal %d code %d address 0x%lx rip 0x%lx\n", last.si_signo, last.si_code,
		       address, last_rip);
	return right && address == (at_instruction ? last_rip : 0);
}

static void divide(void)
{
	on(SIGFPE, note);
	check(faulting(2, "divl %%ecx", "a"(1), "d"(0), "c"(0)) == 1);
	check(was(SIGFPE, FPE_INTDIV, true));
	check(faulting(2, "idivl %%ecx", "a"(0x80000000), "d"(-1), "c"(-1)) == 1);
	check(was(SIGFPE, FPE_INTDIV, true));
}

static void invalid(void)
{
	on(SIGILL, note);
	check(faulting(2, "ud2", "i"(0)) == 1);
	check(was(SIGILL, ILL_ILLOPN, true));
}

static void breakpoint(void)
{
	on(SIGTRAP, note);
	check(faulting(0, "int3", "i"(0)) == 1);
	check(was(SIGTRAP, SI_KERNEL, false));
}

/* What only a kernel may do. */
static void privileged(void)
{
	on(SIGSEGV, note);
	check(faulting(1, "hlt", "i"(0)) == 1 && was(SIGSEGV, SI_KERNEL, false));
	check(faulting(1, "cli", "i"(0)) == 1 && was(SIGSEGV, SI_KERNEL, false));
	check(faulting(1, "inb %%dx, %%al", "d"(0x3f8), "a"(0)) == 1);
	check(was(SIGSEGV, SI_KERNEL, false));
	check(faulting(2, "wrmsr", "a"(0), "d"(0), "c"(0xc0000082)) == 1);
	check(was(SIGSEGV, SI_KERNEL, false));
	check(faulting(3, "movq %%rax, %%cr3", "a"(0)) == 1 && was(SIGSEGV, SI_KERNEL, false));
	check(faulting(2, "int $0x33", "i"(0)) == 1 && was(SIGSEGV, SI_KERNEL, false));
	check(faulting(2, "movl %%eax, %%ss", "a"(0x10)) == 1 && was(SIGSEGV, SI_KERNEL, false));
}

static void addresses(void)
{
	on(SIGSEGV, note);
	on(SIGBUS, note);
	check(faulting(2, "movl (%%rcx), %%eax", "c"(NOT_CANONICAL), "a"(0)) == 1);
	check(was(SIGSEGV, SI_KERNEL, false));
	check(faulting(2, "movl (%%rcx), %%eax", "c"(KERNEL_ADDRESS), "a"(0)) == 1);
	check(last.si_signo == SIGSEGV && last.si_code == SEGV_MAPERR &&
	      (unsigned long)last.si_addr == KERNEL_ADDRESS);
}

static void jumps(void)
{
	pid_t child = fork();
	int status;

	if (child == 0)
		((void (*)(void))NOT_CANONICAL)();
	check(killed(child, SIGSEGV));
	if ((child = fork()) == 0)
		((void (*)(void))KERNEL_ADDRESS)();
	check(killed(child, SIGSEGV));
	/* A stack that is nowhere: no frame can be built there. */
	if ((child = fork()) == 0)
		__asm__ volatile("movq %0, %%rsp; pushq %%rax" ::"r"(NOT_CANONICAL + PAGE));
	/* A stack fault, or general protection where an emulator makes no difference. */
	status = ended(child);
	check(WIFSIGNALED(status) && (WTERMSIG(status) == SIGBUS || WTERMSIG(status) == SIGSEGV));
	/* A signal whose frame would lie in the kernel. */
	on(SIGILL, note);
	if ((child = fork()) == 0)
		__asm__ volatile("movq %0, %%rsp; ud2" ::"r"(KERNEL_ADDRESS + PAGE));
	check(killed(child, SIGSEGV));
}

/* One step of each: an ordinary instruction, and a system call, which does not lose the flag. */
static void steps(void)
{
	unsigned long flags, rax = SYS_getpid;

	on(SIGTRAP, note);
	skip_bytes = 0;
	taken = 0;
	__asm__ volatile("pushfq; orq %0, (%%rsp); popfq; nop" ::"i"(FLAG_TRAP) : "memory", "cc");
	check(taken == 1);
	check(was(SIGTRAP, TRAP_TRACE, true));
	taken = 0;
	__asm__ volatile("pushfq; orq %2, (%%rsp); popfq; syscall; nop; pushfq; popq %0"
			 : "=r"(flags), "+a"(rax)
			 : "i"(FLAG_TRAP)
			 : "rcx", "r11", "memory", "cc");
	check(taken == 1 && (flags & FLAG_TRAP) == 0);
}

/* The kernel's string instructions go forward whatever the program's flag says. */
static void direction(void)
{
	unsigned char *fresh = memory(2, PROT_READ | PROT_WRITE);
	unsigned long flags, after;

	__asm__ volatile("std; movl $1, (%2); pushfq; popq %0;"
			 "movl %3, %%eax; syscall; pushfq; popq %1; cld"
			 : "=&r"(flags), "=&r"(after)
			 : "r"(fresh + PAGE), "i"(SYS_sched_yield)
			 : "rax", "rcx", "r11", "memory", "cc");
	check((flags & FLAG_DIRECTION) && (after & FLAG_DIRECTION));
	for (size_t i = 4; i < PAGE; i++)
		need(fresh[PAGE + i] == 0);
}

/* All but rax, rcx and r11 come back from a system call; rcx and r11 say where to and with what. */
static void calls_keep_registers(void)
{
	unsigned long in[12], out[14], rax = SYS_getpid;

	for (int i = 0; i < 12; i++)
		in[i] = 0x0101010101010101ul * (unsigned)(i + 1);
	__asm__ volatile(
		"pushq %%rbp; pushq %%rbx\n\t"
		"movq (%%rsi), %%rbx; movq 8(%%rsi), %%rbp; movq 16(%%rsi), %%r8\n\t"
		"movq 24(%%rsi), %%r9; movq 32(%%rsi), %%r10; movq 40(%%rsi), %%r12\n\t"
		"movq 48(%%rsi), %%r13; movq 56(%%rsi), %%r14; movq 64(%%rsi), %%rdx\n\t"
		"movq %%rdi, %%r15; syscall\n1:\t"
		"movq %%rbx, (%%r15); movq %%rbp, 8(%%r15); movq %%r8, 16(%%r15)\n\t"
		"movq %%r9, 24(%%r15); movq %%r10, 32(%%r15); movq %%r12, 40(%%r15)\n\t"
		"movq %%r13, 48(%%r15); movq %%r14, 56(%%r15); movq %%rdx, 64(%%r15)\n\t"
		"leaq 1b(%%rip), %%rdx; subq %%rdx, %%rcx; movq %%rcx, 72(%%r15)\n\t"
		"cmpq %%rdi, %%r15; setne %%dl; movzbl %%dl, %%edx; movq %%rdx, 80(%%r15)\n\t"
		"popq %%rbx; popq %%rbp"
		: "+a"(rax)
		: "S"(in), "D"(out)
		: "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory",
		  "cc");
	for (int i = 0; i < 9; i++)
		check(out[i] == in[i]);
	check(out[9] == 0 && out[10] == 0);
}

/* Interrupts and the return from their signal change nothing, rcx and r11 included. */
static void interrupts_keep_registers(void)
{
	struct itimerval often = { { 0, 3000 }, { 0, 3000 } };
	unsigned long rcx, r11, n;

	on(SIGALRM, note);
	skip_bytes = 0;
	taken = 0;
	need(setitimer(ITIMER_REAL, &often, NULL) == 0);
	while (taken < 20) {
		rcx = 0x1111222233334444;
		n = 200000;
		__asm__ volatile("movq $0x55667788, %%r11\n"
				 "1:\tcmpq $0x55667788, %%r11; jne 2f; decq %1; jnz 1b\n"
				 "2:\tmovq %%r11, %2"
				 : "+c"(rcx), "+r"(n), "=r"(r11)
				 :
				 : "r11", "cc");
		need(rcx == 0x1111222233334444 && r11 == 0x55667788 && n == 0);
	}
}

static void changes_all(int signal, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

	(void)signal;
	(void)info;
	regs[REG_RCX] = 0x7111;
	regs[REG_R11] = 0x7222;
	regs[REG_RAX] = 0x7333;
	regs[REG_RIP] += 2;
}

static void returns_set_registers(void)
{
	unsigned long rax, rcx, r11;

	on(SIGILL, changes_all);
	__asm__ volatile("ud2; movq %%r11, %2" : "=a"(rax), "=c"(rcx), "=r"(r11)::"r11");
	check(rax == 0x7333 && rcx == 0x7111 && r11 == 0x7222);
}

/* The bases of FS and GS, set by the program itself, are the task's. */
static void bases(void)
{
	unsigned long gs = 0x123456780000, seen = 0;
	bool itself = getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
	pid_t child;

	if (itself)
		__asm__ volatile("wrgsbase %0" ::"r"(gs));
	else
		need(syscall(SYS_arch_prctl, ARCH_SET_GS, gs) == 0);
	child = fork();
	for (int i = 0; i < 50; i++) {
		unsigned char *fresh = memory(1, PROT_READ | PROT_WRITE);

		*fresh = 1;
		sched_yield();
		if (child == 0)
			need(syscall(SYS_arch_prctl, ARCH_SET_GS, gs + (unsigned)i) == 0);
		need(syscall(SYS_arch_prctl, ARCH_GET_GS, &seen) == 0);
		need(seen == gs + (child == 0 ? (unsigned)i : 0));
		munmap(fresh, PAGE);
	}
	if (child == 0)
		_exit(0);
	check(exited(child, 0));
	check(fails(syscall(SYS_arch_prctl, ARCH_SET_GS, NOT_CANONICAL), EPERM));
}

/* Each process has its own vector registers, through faults, switches and interrupts. */
static void vectors(void)
{
	pid_t children[3];

	for (int c = 0; c < 3; c++) {
		if ((children[c] = fork()) != 0)
			continue;
		for (unsigned long i = 0; i < 300; i++) {
			unsigned long in = i * 3 + (unsigned)c, out = 0, rax = SYS_sched_yield;

			__asm__ volatile("movq %2, %%xmm9; syscall; movq %%xmm9, %0"
					 : "=r"(out), "+a"(rax)
					 : "r"(in)
					 : "rcx", "r11", "xmm9", "memory");
			if (in != out)
				_exit(1);
		}
		_exit(0);
	}
	for (int c = 0; c < 3; c++)
		check(exited(children[c], 0));
}

/* A number has 32 bits; what is not there is ENOSYS. */
static void numbers(void)
{
	check(syscall((long)0xabcd00000000ul | SYS_getpid) == getpid());
	check(fails(syscall(-1), ENOSYS));
	check(fails(syscall(0x7fffffff), ENOSYS));
	check(fails(syscall(511), ENOSYS));
}

TAP_MAIN(CASE(divide), CASE(invalid), CASE(breakpoint), CASE(privileged), CASE(addresses),
	 CASE(jumps), CASE(steps), CASE(direction), CASE(calls_keep_registers),
	 CASE(interrupts_keep_registers), CASE(returns_set_registers), CASE(bases), CASE(vectors),
	 CASE(numbers))
